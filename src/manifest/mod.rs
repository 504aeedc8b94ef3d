//! The list of blocks a tenant has: what is in a manifest exists, and nothing else does.
//!
//! Version N of a tenant's list is the object `<tenant>/manifest/<N, 20 digits>`. It is written once, by
//! put-if-absent, and the next change is the object N+1. Long lists are kept in pieces, `manifest/segments/<uuid>`,
//! immutable too, which manifests name.
//!
//! # Format, version 1
//!
//! Both kinds of object are an envelope around one protobuf message. Integers of the envelope are little endian.
//!
//! ```text
//!   0   8   magic: "VIVAMANI" a manifest, "VIVASEGM" a segment
//!   8   2   version of this layout, 1
//!  10   1   codec of the body: 0 = as it is, 1 = zstd
//!  11   1   zero
//!  12   4   length of the body as stored
//!  16   4   CRC32C of the body as stored
//!  20   4   length of the body before the codec
//!  24   8   number of the manifest; 0 for a segment
//!  32  16   writer id
//!  48  16   commit id; for a segment its own id
//!  64   4   CRC32C of bytes 0..64
//!  68   *   body
//! ```
//!
//! The messages, with their field numbers, are in `wire.rs`. A manifest has:
//!
//! - `min_reader`, `min_writer`: who knows a smaller version refuses to read, or to commit. A new field raises
//!   `min_writer`, unless it may be lost; one that a reader must not overlook raises `min_reader` too;
//! - the blocks that were added since they were last moved into segments, and the ids of blocks that a segment still
//!   has though they were removed;
//! - references to segments: id, size, CRC32C of the whole object, count, range of time;
//! - the commit ids of the last 128 manifests, its own last;
//! - the fence: no block whose id was made before it can be added any more, so that what was left behind by a process
//!   that died or sleeps can be deleted;
//! - reserved, carried along unread: tombstones, watermarks of the writers. Of a block: retention class, span weight, rollup.
//!
//! A manifest has at most 64 KiB, and a segment usually at most 48 KiB: with 20,000 blocks a commit writes, and a
//! follower reads, at most 128 KiB.
//!
//! # Rules
//!
//! - A commit puts N+1 if absent. "Already exists" with our own commit id means that an earlier attempt, whose answer
//!   was lost, had won. With another commit id the change is made again on top of that one.
//! - Manifests are deleted one at a time, oldest first, an hour or more after they were followed by another. So a process
//!   that slept may find N+1 free though it once was written. Hence: whatever was read or written after N counts only
//!   if N is still there afterwards, and is the same N (its commit id). Else the newest is found by a listing, and the
//!   commit ids in it tell whether a commit counted.
//! - Nothing else is decided by a listing.

mod audit;
mod commit;
mod entry;
mod envelope;
mod head;
mod snapshot;
mod spill;
mod sweep;
mod wire;

use uuid::Uuid;

pub use audit::Audit;
pub use audit::audit;
pub use commit::Edit;
pub use commit::Manifests;
pub use entry::BlockEntry;
pub use entry::ObjectInfo;
pub use entry::SERVICE_NAMES_MAX;
pub use entry::SHARED_WITH_MAX;
pub use entry::WalCoverage;
pub use entry::made_unix_milli;
pub use head::newest;
pub use snapshot::Manifest;
pub use sweep::Swept;

use crate::failure::Kind;
use crate::store;
use crate::store::Store;
use crate::tenant::TenantId;

/// Largest manifest, as stored. Where it would be larger, commits are refused.
pub const MANIFEST_BYTES_MAX: usize = 64 << 10;

/// Why the list could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("{key}: {reason}")]
    Corrupt { key: store::Path, reason: String },
    #[error("{key}: needs a reader of version {min_reader}; this is version {version}")]
    ReaderTooOld { key: store::Path, min_reader: u32, version: u32 },
    #[error("the manifest takes changes from version {min_writer} on; this is version {version}")]
    WriterTooOld { min_writer: u32, version: u32 },
    /// Somebody else was faster: nothing was changed.
    #[error("block {block} is to be removed, but is not in the manifest")]
    Gone { block: Uuid },
    /// Made anew with what is there now, the edit may hold.
    #[error("block {block} came meanwhile, and may share traces with what is to be added")]
    Overtaken { block: Uuid },
    #[error("block {block} is to be added, but is in the manifest already")]
    AlreadyThere { block: Uuid },
    /// The block took longer to write than the sweeper's grace period: it must be written again under a new id.
    #[error(
        "block {block} was begun before {fence_unix_milli} ms since 1970, when its objects may have been swept"
    )]
    Expired { block: Uuid, fence_unix_milli: u64 },
    #[error("an edit that {0}")]
    Invalid(String),
    #[error("a manifest of {bytes} bytes; at most {bytes_max}")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("{attempts} attempts, each of which found that somebody else had committed")]
    Contended { attempts: u32 },
    /// The process slept so long that nobody knows any more whether manifest `number` counted.
    #[error("it is unknown whether the change was made in manifest {number}; look for its blocks")]
    Unknown { number: u64 },
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Contended { .. } => {
                Kind::Unavailable { retry_after: std::time::Duration::from_secs(1) }
            }
            Self::Corrupt { .. }
            | Self::ReaderTooOld { .. }
            | Self::WriterTooOld { .. }
            | Self::Gone { .. }
            | Self::AlreadyThere { .. }
            | Self::Overtaken { .. }
            | Self::Expired { .. }
            | Self::Invalid(_)
            | Self::TooLarge { .. }
            | Self::Unknown { .. } => Kind::Internal,
        }
    }

    fn corrupt(key: &store::Path, reason: impl Into<String>) -> Self {
        Self::Corrupt { key: key.clone(), reason: reason.into() }
    }
}

/// The tenants of a bucket, sorted. A hint: one that was never written to is not there, one whose blocks are all
/// gone may be.
///
/// # Errors
/// The bucket's.
pub async fn tenants(store: &Store) -> Result<Vec<TenantId>, Error> {
    let folders = store.list_folders(&store::Path::from("")).await?;
    // Names that are no tenant ids are not ours.
    Ok(folders.iter().filter_map(|name| TenantId::parse(name).ok()).collect())
}
