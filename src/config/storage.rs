//! `storage`: the bucket and the write-ahead log.

use std::path::PathBuf;

use serde::Deserialize;

use crate::store;
pub use crate::store::{Azure, Backend, Gcs, Local, S3, Secret, Sse};
use crate::wal;

/// `storage` in `tempo.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Storage {
    pub trace: Trace,
}

/// `storage.trace`: which kind of bucket, the section of each kind, and the write-ahead log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Trace {
    pub backend: Backend,
    pub local: Local,
    pub s3: S3,
    pub gcs: Gcs,
    pub azure: Azure,
    pub wal: Wal,
}

impl Trace {
    /// The bucket.
    pub fn store(&self) -> store::Config {
        let Self { backend, local, s3, gcs, azure, wal: _ } = self.clone();
        store::Config { backend, local, s3, gcs, azure }
    }
}

/// `storage.trace.wal`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Wal {
    pub path: PathBuf,
    pub segment_bytes_max: u64,
    /// Pushes are refused above it.
    pub wal_bytes_max: u64,
}

impl Wal {
    /// The sizes of the log.
    pub fn sizes(&self) -> wal::Config {
        let Self { path: _, segment_bytes_max, wal_bytes_max } = self;
        wal::Config {
            segment_bytes_max: *segment_bytes_max,
            wal_bytes_max: *wal_bytes_max,
            ..wal::Config::default()
        }
    }
}

impl Default for Wal {
    fn default() -> Self {
        Self {
            path: PathBuf::from("./vivace-data/wal"),
            segment_bytes_max: 64 << 20,
            wal_bytes_max: 4 << 30,
        }
    }
}
