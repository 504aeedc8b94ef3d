//! A Jaeger span as both formats have it.

use opentelemetry_proto::tonic::common::v1::KeyValue;

/// A span.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Span {
    pub(super) trace_id: u128,
    pub(super) id: u64,
    /// 0: none, or said by a reference.
    pub(super) parent_id: u64,
    pub(super) operation_name: String,
    pub(super) references: Vec<Reference>,
    pub(super) flags: u32,
    pub(super) start_unix_nano: u64,
    pub(super) duration_nanos: u64,
    pub(super) tags: Vec<KeyValue>,
    pub(super) logs: Vec<Log>,
    pub(super) warnings: Vec<String>,
}

/// What a span belongs to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Process {
    pub(super) service_name: String,
    pub(super) tags: Vec<KeyValue>,
}

/// Another span, and how this one relates to it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reference {
    pub(super) trace_id: u128,
    pub(super) span_id: u64,
    pub(super) is_follows_from: bool,
}

/// Something that happened at a time.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Log {
    pub(super) time_unix_nano: u64,
    pub(super) fields: Vec<KeyValue>,
}

/// The text that stands for a value of a type that Jaeger has not.
pub(super) fn unknown_type(number: i64) -> String {
    format!("<Unknown Jaeger TagType \"{number}\">")
}
