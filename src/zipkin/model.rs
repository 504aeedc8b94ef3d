//! A Zipkin span of version 2, whatever it was read from.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

/// A span.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Span {
    pub(super) trace_id: u128,
    /// 0: none.
    pub(super) parent_id: u64,
    pub(super) id: u64,
    pub(super) kind: SpanKind,
    pub(super) name: String,
    /// 0: not known.
    pub(super) start_micros: u64,
    pub(super) duration_micros: u64,
    pub(super) local: Endpoint,
    pub(super) remote: Endpoint,
    pub(super) annotations: Vec<Annotation>,
    pub(super) tags: Vec<KeyValue>,
    pub(super) is_debug: bool,
    /// Reported by the server of a call whose client's span has the same id.
    pub(super) is_shared: bool,
}

/// Where something is in the network. Empty and 0: not known.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Endpoint {
    pub(super) service_name: String,
    pub(super) ipv4: String,
    pub(super) ipv6: String,
    pub(super) port: u16,
}

/// Something that happened at a time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Annotation {
    pub(super) time_micros: u64,
    pub(super) value: String,
}
