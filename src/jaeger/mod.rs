//! Jaeger's formats to OTLP: what its clients and agents send, for those that still do.
//!
//! `thrift` reads a `Batch` of `jaeger.thrift` and the agent's `emitBatch`, `proto` a `PostSpansRequest` of `api_v2`, both into
//! the spans of `model`; `translate` writes those as OTLP. The result is the bytes of an `ExportTraceServiceRequest`, so that the
//! log, and all behind it, know one format only.
//!
//! The translation is that of the OpenTelemetry Collector, whose Jaeger receiver Tempo has: ids of 64 bits get zeros in front;
//! the tag `span.kind` becomes the kind, `error`, `otel.status_code` and `otel.status_description` the status (without them
//! `http.status_code` says whether it is an error), `w3c.tracestate` the trace state, `otel.scope.name` (or `otel.library.name`) the scope;
//! logs become events named by their field `event`, references the parent and links; the process becomes the resource.
//! What the Collector loses is kept: warnings as the attribute `@jaeger@warnings`, as Jaeger's own translation has them.

mod model;
mod proto;
mod thrift;
mod translate;

use crate::otlp::build::BuildError;
use crate::thrift::ThriftError;
use crate::trace::wire::WireError;

pub use proto::post_spans;
pub use thrift::{batch, packet};

/// Bytes that are no batch of spans.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("not a Jaeger batch in Thrift: {0}")]
    Thrift(#[from] ThriftError),
    #[error("the agent has no method {0:?}, only emitBatch")]
    Method(String),
    #[error("not a Jaeger batch in protobuf: {0}")]
    Proto(#[from] WireError),
    #[error("a trace id has {0} bytes, not 16 or 8")]
    TraceId(usize),
    #[error("a span id has {0} bytes, not 8")]
    SpanId(usize),
    #[error(transparent)]
    TooLarge(#[from] BuildError),
}

#[cfg(test)]
#[path = "jaeger_tests.rs"]
mod tests;
