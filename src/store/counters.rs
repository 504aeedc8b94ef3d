//! Requests and bytes per kind of operation, for metrics and for tests that hold a cost.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use prometheus_client::metrics::histogram::Histogram;

/// Seconds: from what a local folder takes to what a slow bucket does.
const BUCKETS: [f64; 11] = [0.001, 0.004, 0.016, 0.064, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

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
    durations: Durations,
}

/// How attempts ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Answered,
    NotFound,
    Failed,
}

/// Times of attempts by how they ended.
#[derive(Debug)]
struct Durations {
    answered: Histogram,
    not_found: Histogram,
    failed: Histogram,
}

impl Default for Durations {
    fn default() -> Self {
        let [answered, not_found, failed] = [(); 3].map(|()| Histogram::new(BUCKETS));
        Self { answered, not_found, failed }
    }
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

    /// Seconds of attempts by how they ended, as a status of HTTP: 200, 404, or 500 for all others.
    pub fn durations(&self) -> [(&'static str, &Histogram); 3] {
        let Durations { answered, not_found, failed } = &self.durations;
        [("200", answered), ("404", not_found), ("500", failed)]
    }

    pub(super) fn observe(&self, ended: Ended, seconds: f64) {
        let Durations { answered, not_found, failed } = &self.durations;
        match ended {
            Ended::Answered => answered.observe(seconds),
            Ended::NotFound => not_found.observe(seconds),
            Ended::Failed => failed.observe(seconds),
        }
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
