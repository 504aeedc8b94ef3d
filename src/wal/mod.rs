//! Durable before acknowledged: the log that all spans of all tenants go through before the OK.
//!
//! # Format, version 1
//!
//! A folder with `writer_id` (the text of the UUID of this log), `lock`, and segments `<20 digits>.wal`. Integers are
//! little endian. CRC is CRC32C (Castagnoli).
//!
//! ```text
//! segment   header, then records until the end of the file
//!
//! header    40 bytes
//!   0   8   magic "VIVACWAL"
//!   8   2   version, 1
//!  10   2   zero
//!  12  16   writer id
//!  28   8   segment number
//!  36   4   CRC of bytes 0..36
//!
//! record
//!   0   4   length of the payload
//!   4   4   CRC of the length's four bytes and the payload
//!   8   n   payload
//!
//! payload
//!   0   8   receive time, nanoseconds since 1970
//!   8   1   format of the body: 0 = OTLP protobuf, ExportTraceServiceRequest
//!   9   1   length t of the tenant id, 1 to 150
//!  10   t   tenant id
//!   .   4   accepted spans of the body
//!   .   4   length b of the bitmap of refused spans; 0 if none was refused
//!   .   b   bitmap: bit i%8 of byte i/8 is set if span i of the body, counted from 0 in its order, was refused
//!   .   *   body
//! ```
//!
//! The accepted spans of a segment are numbered from 0 over all its records; `Position` names the first of a record.
//! Blocks in the bucket name the spans that they hold by (writer id, segment, number), and replay skips those.
//!
//! # Rules
//!
//! - A segment number is used once for one writer id. So the segment with the highest number is never deleted, and a
//!   folder without segments gets a new writer id.
//! - A record is acknowledged after the sync of its bytes. After a failed write or sync nothing more is written to that
//!   segment or acknowledged on it; the next record goes to a new one.
//! - A segment that cannot be read to its end was torn by a crash if nothing valid follows the place, and is damaged if
//!   something does. Both end the segment; `Replay` reports the two apart.
//! - After a start new records go to a new segment.

mod append;
mod disk;
mod open;
mod record;
mod replay;
mod segment;
mod simulated;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

pub use append::Segment;
pub use append::Wal;
pub use disk::Disk;
pub use disk::DiskFile;
pub use disk::FileInfo;
pub use disk::RealDisk;
pub use record::Format;
pub use record::Position;
pub use record::RECORD_BYTES_MAX;
pub use record::Record;
pub use record::Refused;
pub use replay::Damage;
pub use replay::Replay;
pub use simulated::Fault;
pub use simulated::SimulatedDisk;

use crate::failure::Kind;

/// Sizes of the log. All in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A segment that reaches this is followed by a new one; a single larger record is a segment of its own. Smaller
    /// segments are let go earlier. Default 64 MiB.
    pub segment_bytes_max: u64,
    /// Nothing is accepted over this, until blocks are written and segments are let go. Default 4 GiB: about 8 million
    /// spans, minutes of a bucket that is away.
    pub wal_bytes_max: u64,
    /// Bodies that wait for the writer. More wait outside, unanswered. Default 64 MiB.
    pub queue_bytes_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { segment_bytes_max: 64 << 20, wal_bytes_max: 4 << 30, queue_bytes_max: 64 << 20 }
    }
}

/// Why the log did not take, give or let go of something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("a record of {bytes} bytes; at most {bytes_max}")]
    TooLarge { bytes: u64, bytes_max: u64 },
    #[error(
        "the write-ahead log holds {bytes} bytes; at most wal_bytes_max = {bytes_max} until blocks are written"
    )]
    Full { bytes: u64, bytes_max: u64 },
    /// Nothing of this record is acknowledged; it may come back after a restart all the same.
    #[error("{}: {source}", path.display())]
    Disk { path: PathBuf, source: Arc<io::Error> },
    #[error("{}: another process has this log open", path.display())]
    Locked { path: PathBuf },
    #[error("{}: {reason}", path.display())]
    Foreign { path: PathBuf, reason: String },
    #[error("segment {segment} is the newest: it is let go after `rotate`")]
    Newest { segment: u64 },
    #[error("the write-ahead log is closed")]
    Closed,
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::TooLarge { .. } => Kind::TooLarge,
            Self::Full { .. } => Kind::Unavailable { retry_after: Duration::from_secs(5) },
            Self::Disk { .. } | Self::Closed => {
                Kind::Unavailable { retry_after: Duration::from_secs(1) }
            }
            Self::Locked { .. } | Self::Foreign { .. } | Self::Newest { .. } => Kind::Internal,
        }
    }
}
