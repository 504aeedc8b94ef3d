//! `storage`: the bucket and the write-ahead log.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// `storage` in `tempo.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Storage {
    pub trace: Trace,
}

/// `storage.trace`: in the file the log stands inside the bucket's section.
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

/// What kind of bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// A folder on a file system with hard links.
    #[default]
    Local,
    S3,
    Gcs,
    Azure,
    /// Gone when the process ends.
    Memory,
}

/// `storage.trace.local`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Local {
    /// Made if it is not there.
    pub path: PathBuf,
}

/// `storage.trace.s3`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct S3 {
    pub bucket: String,
    /// Before every key.
    pub prefix: String,
    /// `host` or `host:port`. Empty: AWS.
    pub endpoint: String,
    /// Empty: from the endpoint or the environment.
    pub region: String,
    /// Empty: from the environment or the machine's role.
    pub access_key: String,
    pub secret_key: Secret,
    pub session_token: Secret,
    /// HTTP without TLS.
    pub insecure: bool,
    /// The bucket in the path, not in the host name.
    pub forcepathstyle: bool,
    /// 0: by the endpoint, 1: in the host name, 2: in the path.
    pub bucket_lookup_type: u8,
    /// PEM file of certificates to trust too.
    pub tls_ca_path: PathBuf,
    /// Trust any certificate.
    pub tls_insecure_skip_verify: bool,
    pub sse: Sse,
    /// Attempts of one operation, the first included.
    pub retry_max_attempts: u32,
    pub retry_backoff_initial: Duration,
    pub retry_backoff_max: Duration,
}

/// `storage.trace.s3.sse`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Sse {
    /// Empty, `SSE-S3`, `SSE-KMS` or `SSE-C`.
    #[serde(rename = "type")]
    pub kind: String,
    pub kms_key_id: String,
    pub encryption_key: Secret,
}

/// `storage.trace.gcs`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Gcs {
    pub bucket_name: String,
    pub prefix: String,
    /// Of an emulator.
    pub endpoint: String,
    /// HTTP without TLS and without credentials.
    pub insecure: bool,
    /// Attempts after the first.
    pub max_retries: u32,
}

/// `storage.trace.azure`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Azure {
    pub storage_account_name: String,
    pub storage_account_key: Secret,
    pub use_managed_identity: bool,
    pub use_federated_token: bool,
    pub user_assigned_id: String,
    pub container_name: String,
    pub prefix: String,
    pub endpoint_suffix: String,
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

/// A text that is never printed.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl Default for Local {
    fn default() -> Self {
        Self { path: PathBuf::from("./vivace-data/blocks") }
    }
}

impl Default for S3 {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            prefix: String::new(),
            endpoint: String::new(),
            region: String::new(),
            access_key: String::new(),
            secret_key: Secret::default(),
            session_token: Secret::default(),
            insecure: false,
            forcepathstyle: false,
            bucket_lookup_type: 0,
            tls_ca_path: PathBuf::new(),
            tls_insecure_skip_verify: false,
            sse: Sse::default(),
            retry_max_attempts: 10,
            retry_backoff_initial: Duration::from_millis(200),
            retry_backoff_max: Duration::from_secs(5),
        }
    }
}

impl Default for Gcs {
    fn default() -> Self {
        Self {
            bucket_name: String::new(),
            prefix: String::new(),
            endpoint: String::new(),
            insecure: false,
            max_retries: 9,
        }
    }
}

impl Default for Azure {
    fn default() -> Self {
        Self {
            storage_account_name: String::new(),
            storage_account_key: Secret::default(),
            use_managed_identity: false,
            use_federated_token: false,
            user_assigned_id: String::new(),
            container_name: String::new(),
            prefix: String::new(),
            endpoint_suffix: "blob.core.windows.net".to_owned(),
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
