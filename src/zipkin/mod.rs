//! Zipkin's formats to OTLP: versions 1 (JSON, Thrift) and 2 (JSON, protobuf) of its spans.
//!
//! `json`, `proto` and `thrift` read spans one by one into those of `model`, which are of version 2; `version_1` makes those of
//! the older ones, as Zipkin itself does; `translate` writes them as OTLP. The result is the bytes of an `ExportTraceServiceRequest`, so
//! that the log, and all behind it, know one format only.
//!
//! The translation is that of the OpenTelemetry Collector, whose Zipkin receiver Tempo has: ids of 64 bits get zeros in front,
//! times are microseconds; the service of the local endpoint is the resource, with tags that name parts of a resource; annotations
//! become events, tags attributes, endpoints `net.host.*`, `net.peer.*` and `peer.service`; `otlp.link.*`, `otel.*` and `w3c.tracestate`
//! are what OpenTelemetry's exporters made of a span and become it again. In three things we differ:
//! - The presence of the tag `error` is an error, as Zipkin says, with its text as the message; in the Collector only the text `true` is.
//! - A span without a time begins at its first annotation.
//! - What the Collector loses is kept: `shared`, `debug` and a second address of an endpoint, as attributes `zipkin.*`.

mod json;
mod model;
mod proto;
mod thrift;
mod translate;
mod version_1;

use crate::otlp::build::BuildError;
use crate::thrift::ThriftError;
use crate::trace::wire::WireError;

pub use json::{json_1, json_2};
pub use proto::protobuf;
pub use thrift::thrift;

/// Bytes that are no list of spans.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("not a list of Zipkin spans in JSON: {0}")]
    Json(String),
    #[error("not a list of Zipkin spans in protobuf: {0}")]
    Proto(#[from] WireError),
    #[error("not a list of Zipkin spans in Thrift: {0}")]
    Thrift(#[from] ThriftError),
    #[error("{0:?} is not an id: up to {1} hexadecimal digits")]
    Id(String, usize),
    #[error("an id of {0} bytes, not 8, or 16 of a trace")]
    IdBytes(usize),
    #[error(transparent)]
    TooLarge(#[from] BuildError),
}

#[cfg(test)]
#[path = "zipkin_tests.rs"]
mod tests;
