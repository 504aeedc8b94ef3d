//! The ledger: what became of each span that came in since the process started.

use std::sync::Arc;

use crate::manifest::Manifest;

/// Spans of one tenant. At every moment `received = stored + rejected + pending`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Came in by pushes, or back from the write-ahead log.
    pub received: u64,
    /// Are in blocks that this process has written.
    pub stored: u64,
    /// Were refused: the sender was told.
    pub rejected: u64,
    /// Are live: in the write-ahead log and in memory, and in no block yet.
    pub pending: u64,
    /// Of those received: came back from the write-ahead log at the start.
    pub recovered: u64,
    /// Of those stored: are one span in the block with another of their id and kind.
    pub twins: u64,
    /// Bytes of the pushes that brought them, before they were refused.
    pub received_bytes: u64,
}

/// How a tenant stands, all of one moment.
#[derive(Debug, Clone)]
pub struct Standing {
    pub ledger: Ledger,
    pub live_traces: u64,
    /// Memory of the live spans, roughly.
    pub live_bytes: u64,
    pub manifest: Arc<Manifest>,
}

impl Ledger {
    /// Whether each span that came in is somewhere. If not, this is a bug.
    pub fn is_balanced(&self) -> bool {
        self.received == self.stored + self.rejected + self.pending
    }

    /// Of a push.
    pub(super) fn pushed(accepted: u64, rejected: u64, received_bytes: u64) -> Self {
        let received = accepted + rejected;
        Self { received, rejected, received_bytes, ..Self::default() }
    }

    /// Of spans that the log gave back.
    pub(super) fn recovered(spans: u64) -> Self {
        Self { received: spans, recovered: spans, ..Self::default() }
    }

    /// Adds all but what is pending, which the live spans tell.
    pub(super) fn add(&mut self, other: &Self) {
        let Self { received, stored, rejected, pending: _, recovered, twins, received_bytes } =
            other;
        self.received += received;
        self.stored += stored;
        self.rejected += rejected;
        self.recovered += recovered;
        self.twins += twins;
        self.received_bytes += received_bytes;
    }
}
