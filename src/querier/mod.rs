//! Reads: split, run, merged.

use std::ops::RangeInclusive;

use crate::failure::Failure;
use crate::tenant::TenantId;
use crate::trace::TraceId;

/// Answers questions about spans.
#[derive(Debug, Default)]
pub struct Querier {
    _private: (),
}

/// A search for traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchRequest {
    /// TraceQL; empty means `{}`.
    pub query: String,
    /// Unix nanoseconds.
    pub window: RangeInclusive<u64>,
    pub limit: usize,
    /// 0 = all.
    pub spans_per_spanset: usize,
}

/// The traces found, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchAnswer {
    pub traces: Vec<crate::traceql::TraceMatch>,
    pub cost: Cost,
}

/// What an answer took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    pub inspected_bytes: u64,
    pub inspected_traces: u64,
    pub inspected_spans: u64,
    /// Blocks read.
    pub blocks: u64,
    pub blocks_skipped: u64,
    /// Size of all blocks considered.
    pub block_bytes: u64,
    pub jobs: u64,
}

/// Which of Tempo's two JSON forms of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonStyle {
    V1,
    V2,
}

/// A trace found by its id.
#[derive(Debug, Clone)]
pub struct FoundTrace {
    pub cost: Cost,
}

impl FoundTrace {
    pub fn span_count(&self) -> usize {
        0
    }

    /// `TracesData` bytes.
    pub fn protobuf(&self) -> Vec<u8> {
        Vec::new()
    }

    /// `{"batches":[..]}` or `{"resourceSpans":[..]}`.
    pub fn json(&self, style: JsonStyle) -> Vec<u8> {
        match style {
            JsonStyle::V1 => br#"{"batches":[]}"#.to_vec(),
            JsonStyle::V2 => br#"{"resourceSpans":[]}"#.to_vec(),
        }
    }
}

/// Where a tag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TagScope {
    Resource,
    Span,
    Event,
    Link,
    Instrumentation,
    Intrinsic,
}

/// A question for tag names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagNamesRequest {
    pub scope: Option<TagScope>,
    /// Unix nanoseconds.
    pub window: RangeInclusive<u64>,
    /// Half-typed TraceQL; may be empty.
    pub filter: String,
    /// Most names per scope; 0 = all.
    pub limit: usize,
}

/// Tag names by scope, without the intrinsic ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagNames {
    pub scopes: Vec<(TagScope, Vec<String>)>,
    pub cost: Cost,
}

/// A question for the values of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagValuesRequest {
    /// A TraceQL attribute.
    pub attribute: String,
    /// Unix nanoseconds.
    pub window: RangeInclusive<u64>,
    pub filter: String,
    /// 0 = all.
    pub limit: usize,
}

/// The values of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagValues {
    pub values: Vec<TagValue>,
    pub cost: Cost,
}

/// One value of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagValue {
    /// string, int, float, bool, duration, keyword.
    pub kind: &'static str,
    pub text: String,
}

#[expect(clippy::unused_async, reason = "the room comes with another change")]
impl Querier {
    pub async fn search(
        &self,
        _tenants: &[TenantId],
        _request: SearchRequest,
    ) -> Result<SearchAnswer, Failure> {
        Err(Failure::internal("there is no querier yet"))
    }

    pub async fn find_trace(
        &self,
        _tenants: &[TenantId],
        _id: TraceId,
        _window: Option<RangeInclusive<u64>>,
    ) -> Result<Option<FoundTrace>, Failure> {
        Err(Failure::internal("there is no querier yet"))
    }

    pub async fn tag_names(
        &self,
        _tenants: &[TenantId],
        _request: TagNamesRequest,
    ) -> Result<TagNames, Failure> {
        Err(Failure::internal("there is no querier yet"))
    }

    pub async fn tag_values(
        &self,
        _tenants: &[TenantId],
        _request: TagValuesRequest,
    ) -> Result<TagValues, Failure> {
        Err(Failure::internal("there is no querier yet"))
    }
}
