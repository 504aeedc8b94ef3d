//! A query: bound, planned, evaluated. Here: what a search finds.

use crate::trace::{SpanId, TraceId, Value};

/// A trace that a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceMatch {
    pub id: TraceId,
    /// Unix nanoseconds.
    pub start: u64,
    /// Nanoseconds.
    pub duration: u64,
    /// Empty if the root is not there.
    pub root_service: String,
    pub root_name: String,
    pub services: Vec<ServiceCount>,
    pub spansets: Vec<SpansetMatch>,
}

/// One service's part in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceCount {
    pub service: String,
    pub spans: u32,
    pub errors: u32,
}

/// The spans of one trace that matched together.
#[derive(Debug, Clone, PartialEq)]
pub struct SpansetMatch {
    /// How many matched; there may be fewer in `spans`.
    pub matched: u32,
    pub attributes: Vec<(String, Value)>,
    pub spans: Vec<SpanMatch>,
}

/// A span that matched.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanMatch {
    pub id: SpanId,
    /// Unix nanoseconds.
    pub start: u64,
    /// Nanoseconds.
    pub duration: u64,
    pub name: Option<String>,
    pub attributes: Vec<(String, Value)>,
}
