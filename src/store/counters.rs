//! Requests and bytes per kind of operation, for metrics and for tests that hold a cost.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// What was asked of the bucket since the process started. Every attempt counts as a request, also a failed one; the
/// pages of one listing count once.
#[derive(Debug, Default)]
pub struct Counters {
    pub get: Operation,
    pub put: Operation,
    pub list: Operation,
    pub delete: Operation,
}

/// One kind of operation.
#[derive(Debug, Default)]
pub struct Operation {
    requests: AtomicU64,
    errors: AtomicU64,
    bytes: AtomicU64,
    hedged: AtomicU64,
}

impl Operation {
    /// Attempts begun.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Attempts that failed. "Not found" and "already exists" are answers, not failures.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Bytes of bodies: read whole for `get`, sent by every attempt for `put`, always 0 for the others.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Requests sent because another was slow to answer; they are among [`Operation::requests`]. Always 0 but for `get`.
    pub fn hedged(&self) -> u64 {
        self.hedged.load(Ordering::Relaxed)
    }

    pub(super) fn add_hedged(&self) {
        self.add_request();
        self.hedged.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
