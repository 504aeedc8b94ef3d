//! Tempo's messages, package `tempopb`: one struct each for protobuf and for JSON.
//!
//! Field numbers are Tempo's. JSON follows the protobuf mapping as Tempo writes it: zero values are left out, 64-bit integers are
//! texts. The lists that an answer consists of are written even if empty.

use std::collections::BTreeMap;

use prost::{Message, Oneof};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::json::{bytes, double, integer};
use crate::trace::Value;

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// `SearchResponse`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub(super) struct SearchResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) traces: Vec<TraceSearchMetadata>,
    #[prost(message, required, tag = "2")]
    pub(super) metrics: SearchMetrics,
}

/// `TraceSearchMetadata`.
#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TraceSearchMetadata {
    #[prost(string, tag = "1")]
    #[serde(rename = "traceID", skip_serializing_if = "is_zero")]
    pub(super) trace_id: String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) root_service_name: String,
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) root_trace_name: String,
    #[prost(uint64, tag = "4")]
    #[serde(skip_serializing_if = "is_zero", serialize_with = "integer")]
    pub(super) start_time_unix_nano: u64,
    #[prost(uint32, tag = "5")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) duration_ms: u32,
    /// The first of `span_sets`, for older readers.
    #[prost(message, optional, tag = "6")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) span_set: Option<SpanSet>,
    #[prost(message, repeated, tag = "7")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) span_sets: Vec<SpanSet>,
    #[prost(btree_map = "string, message", tag = "8")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) service_stats: BTreeMap<String, ServiceStats>,
}

/// `ServiceStats`.
#[derive(Clone, Copy, PartialEq, Eq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceStats {
    #[prost(uint32, tag = "1")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) span_count: u32,
    #[prost(uint32, tag = "2")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) error_count: u32,
}

/// `SpanSet`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub(super) struct SpanSet {
    #[prost(message, repeated, tag = "1")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) spans: Vec<Span>,
    #[prost(uint32, tag = "2")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) matched: u32,
    #[prost(message, repeated, tag = "3")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) attributes: Vec<KeyValue>,
}

/// `Span`, as a search finds it.
#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Span {
    #[prost(string, tag = "1")]
    #[serde(rename = "spanID", skip_serializing_if = "is_zero")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) name: String,
    #[prost(uint64, tag = "3")]
    #[serde(skip_serializing_if = "is_zero", serialize_with = "integer")]
    pub(super) start_time_unix_nano: u64,
    #[prost(uint64, tag = "4")]
    #[serde(skip_serializing_if = "is_zero", serialize_with = "integer")]
    pub(super) duration_nanos: u64,
    #[prost(message, repeated, tag = "5")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) attributes: Vec<KeyValue>,
}

/// `SearchMetrics`.
#[derive(Clone, Copy, PartialEq, Eq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SearchMetrics {
    #[prost(uint32, tag = "1")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) inspected_traces: u32,
    #[prost(uint64, tag = "2")]
    #[serde(skip_serializing_if = "is_zero", serialize_with = "integer")]
    pub(super) inspected_bytes: u64,
    #[prost(uint32, tag = "3")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) total_blocks: u32,
    #[prost(uint32, tag = "4")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) completed_jobs: u32,
    #[prost(uint32, tag = "5")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) total_jobs: u32,
    #[prost(uint64, tag = "6")]
    #[serde(skip_serializing_if = "is_zero", serialize_with = "integer")]
    pub(super) total_block_bytes: u64,
    /// Only metrics queries tell it.
    #[prost(uint64, tag = "7")]
    #[serde(skip_serializing_if = "is_zero", serialize_with = "integer")]
    pub(super) inspected_spans: u64,
}

/// `QueryRangeResponse`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub(super) struct QueryRangeResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) series: Vec<TimeSeries>,
    #[prost(message, required, tag = "2")]
    pub(super) metrics: SearchMetrics,
    #[prost(enumeration = "PartialStatus", tag = "3")]
    #[serde(skip_serializing_if = "is_zero", serialize_with = "status")]
    pub(super) status: i32,
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) message: String,
}

/// `QueryInstantResponse`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub(super) struct QueryInstantResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) series: Vec<InstantSeries>,
    #[prost(message, required, tag = "2")]
    pub(super) metrics: SearchMetrics,
    #[prost(enumeration = "PartialStatus", tag = "3")]
    #[serde(skip_serializing_if = "is_zero", serialize_with = "status")]
    pub(super) status: i32,
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) message: String,
}

/// `PartialStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum PartialStatus {
    Complete = 0,
    Partial = 1,
}

/// `TimeSeries`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub(super) struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<KeyValue>,
    #[prost(message, repeated, tag = "2")]
    pub(super) samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) exemplars: Vec<Exemplar>,
}

/// `InstantSeries`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub(super) struct InstantSeries {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<KeyValue>,
    #[prost(double, tag = "2")]
    #[serde(skip_serializing_if = "is_zero", serialize_with = "double")]
    pub(super) value: f64,
}

/// `Sample`. Tempo writes the time first.
#[derive(Clone, Copy, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sample {
    #[prost(int64, tag = "2")]
    #[serde(skip_serializing_if = "is_zero", serialize_with = "integer")]
    pub(super) timestamp_ms: i64,
    #[prost(double, tag = "1")]
    #[serde(skip_serializing_if = "is_zero", serialize_with = "double")]
    pub(super) value: f64,
}

/// `Exemplar`.
#[derive(Clone, PartialEq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<KeyValue>,
    #[prost(double, tag = "2")]
    #[serde(skip_serializing_if = "is_zero", serialize_with = "double")]
    pub(super) value: f64,
    #[prost(int64, tag = "3")]
    #[serde(skip_serializing_if = "is_zero", serialize_with = "integer")]
    pub(super) timestamp_ms: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn status<S: Serializer>(status: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    let is_partial = *status == PartialStatus::Partial as i32;
    serializer.serialize_str(if is_partial { "PARTIAL" } else { "COMPLETE" })
}

/// `SearchTagsResponse`.
#[derive(Clone, PartialEq, Eq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SearchTagsResponse {
    #[prost(string, repeated, tag = "1")]
    pub(super) tag_names: Vec<String>,
    #[prost(message, required, tag = "2")]
    pub(super) metrics: MetadataMetrics,
}

/// `SearchTagsV2Response`.
#[derive(Clone, PartialEq, Eq, Message, Serialize)]
pub(super) struct SearchTagsV2Response {
    #[prost(message, repeated, tag = "1")]
    pub(super) scopes: Vec<SearchTagsV2Scope>,
    #[prost(message, required, tag = "2")]
    pub(super) metrics: MetadataMetrics,
}

/// `SearchTagsV2Scope`.
#[derive(Clone, PartialEq, Eq, Message, Serialize)]
pub(super) struct SearchTagsV2Scope {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) tags: Vec<String>,
}

/// `SearchTagValuesResponse`.
#[derive(Clone, PartialEq, Eq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SearchTagValuesResponse {
    #[prost(string, repeated, tag = "1")]
    pub(super) tag_values: Vec<String>,
    #[prost(message, required, tag = "2")]
    pub(super) metrics: MetadataMetrics,
}

/// `SearchTagValuesV2Response`.
#[derive(Clone, PartialEq, Eq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SearchTagValuesV2Response {
    #[prost(message, repeated, tag = "1")]
    pub(super) tag_values: Vec<TagValue>,
    #[prost(message, required, tag = "2")]
    pub(super) metrics: MetadataMetrics,
}

/// `TagValue`.
#[derive(Clone, PartialEq, Eq, Message, Serialize)]
pub(super) struct TagValue {
    #[prost(string, tag = "1")]
    #[serde(rename = "type", skip_serializing_if = "is_zero")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) value: String,
}

/// `MetadataMetrics`: what Tempo fills of it.
#[derive(Clone, Copy, PartialEq, Eq, Message, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetadataMetrics {
    #[prost(uint64, tag = "1")]
    #[serde(skip_serializing_if = "is_zero", serialize_with = "integer")]
    pub(super) inspected_bytes: u64,
}

/// `TraceByIDResponse`. The trace is the bytes of its message; an empty trace is written, too.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct TraceByIdResponse {
    #[prost(bytes = "vec", required, tag = "1")]
    pub(super) trace: Vec<u8>,
    #[prost(message, required, tag = "2")]
    pub(super) metrics: MetadataMetrics,
}

/// `KeyValue`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) key: String,
    #[prost(message, required, tag = "2")]
    pub(super) value: AnyValue,
}

/// `AnyValue`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyValue {
    #[prost(oneof = "AnyKind", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(super) value: Option<AnyKind>,
}

/// What is set in an [`AnyValue`]. Written even if zero.
#[derive(Clone, PartialEq, Oneof, Serialize)]
pub(super) enum AnyKind {
    #[prost(string, tag = "1")]
    #[serde(rename = "stringValue")]
    String(String),
    #[prost(bool, tag = "2")]
    #[serde(rename = "boolValue")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    #[serde(rename = "intValue", serialize_with = "integer")]
    Int(i64),
    #[prost(double, tag = "4")]
    #[serde(rename = "doubleValue", serialize_with = "double")]
    Double(f64),
    #[prost(message, tag = "5")]
    #[serde(rename = "arrayValue")]
    Array(ArrayValue),
    #[prost(message, tag = "6")]
    #[serde(rename = "kvlistValue")]
    Map(KeyValueList),
    #[prost(bytes = "vec", tag = "7")]
    #[serde(rename = "bytesValue", serialize_with = "bytes")]
    Bytes(Vec<u8>),
}

/// `ArrayValue`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub(super) struct ArrayValue {
    #[prost(message, repeated, tag = "1")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) values: Vec<AnyValue>,
}

/// `KeyValueList`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub(super) struct KeyValueList {
    #[prost(message, repeated, tag = "1")]
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) values: Vec<KeyValue>,
}

impl Serialize for AnyValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            None => serializer.serialize_map(Some(0))?.end(),
            Some(kind) => kind.serialize(serializer),
        }
    }
}

impl From<Value> for AnyValue {
    fn from(value: Value) -> Self {
        let value = match value {
            Value::Empty => None,
            Value::String(text) => Some(AnyKind::String(text)),
            Value::Bool(value) => Some(AnyKind::Bool(value)),
            Value::Int(value) => Some(AnyKind::Int(value)),
            Value::Double(value) => Some(AnyKind::Double(value)),
            Value::Array(values) => {
                let values = values.into_iter().map(Self::from).collect();
                Some(AnyKind::Array(ArrayValue { values }))
            }
            Value::Map(entries) => {
                let values = entries.into_iter().map(KeyValue::from).collect();
                Some(AnyKind::Map(KeyValueList { values }))
            }
            Value::Bytes(bytes) => Some(AnyKind::Bytes(bytes)),
        };
        Self { value }
    }
}

impl From<(String, Value)> for KeyValue {
    fn from((key, value): (String, Value)) -> Self {
        Self { key, value: value.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::json::to_json;

    #[test]
    fn values_are_written_by_the_protobuf_json_rules_and_as_the_same_protobuf() {
        let map = vec![("k".to_owned(), Value::Bool(false)), (String::new(), Value::Empty)];
        for (value, expected) in [
            (Value::Empty, "{}"),
            (Value::String(String::new()), r#"{"stringValue":""}"#),
            (Value::String("<".into()), r#"{"stringValue":"\u003c"}"#),
            (Value::Bool(false), r#"{"boolValue":false}"#),
            (Value::Int(0), r#"{"intValue":"0"}"#),
            (Value::Int(i64::MIN), r#"{"intValue":"-9223372036854775808"}"#),
            (Value::Double(1.0), r#"{"doubleValue":1}"#),
            (Value::Double(f64::NAN), r#"{"doubleValue":"NaN"}"#),
            (Value::Double(f64::NEG_INFINITY), r#"{"doubleValue":"-Infinity"}"#),
            (Value::Bytes(vec![0, 255]), r#"{"bytesValue":"AP8="}"#),
            (Value::Array(vec![]), r#"{"arrayValue":{}}"#),
            (
                Value::Array(vec![Value::Int(1), Value::Empty]),
                r#"{"arrayValue":{"values":[{"intValue":"1"},{}]}}"#,
            ),
            (
                Value::Map(map),
                r#"{"kvlistValue":{"values":[{"key":"k","value":{"boolValue":false}},{"value":{}}]}}"#,
            ),
        ] {
            let message = AnyValue::from(value.clone());
            assert_eq!(String::from_utf8(to_json(&message)).unwrap(), expected);
            let back = Value::decode(&message.encode_to_vec()).unwrap();
            assert_eq!(format!("{back:?}"), format!("{value:?}"));
        }
    }

    #[test]
    fn an_empty_trace_is_an_empty_message_and_not_a_missing_one() {
        assert_eq!(TraceByIdResponse::default().encode_to_vec(), [0x0a, 0, 0x12, 0]);
    }
}
