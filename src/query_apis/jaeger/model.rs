//! A trace in Jaeger's own protobuf, `jaeger.api_v2`, for clients of its older query service.

use base64::Engine as _;
use prost::Message;
use serde_json::Value;

use super::super::found::messages;
use super::print::{Log as ToldLog, Process as ToldProcess, Reference, Span as ToldSpan, Tag};
use super::print::{Trace, trace_of};
use super::wire::{Duration, Timestamp};
use crate::failure::Failure;
use crate::querier::FoundTrace;
use crate::trace::TraceId;

/// Spans of one trace.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SpansResponseChunk {
    #[prost(message, repeated, tag = "1")]
    pub(super) spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Span {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace_id: Vec<u8>,
    /// `span_id` in the description.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(super) operation_name: String,
    #[prost(message, repeated, tag = "4")]
    pub(super) references: Vec<SpanRef>,
    #[prost(message, optional, tag = "6")]
    pub(super) start_time: Option<Timestamp>,
    #[prost(message, optional, tag = "7")]
    pub(super) duration: Option<Duration>,
    #[prost(message, repeated, tag = "8")]
    pub(super) tags: Vec<KeyValue>,
    #[prost(message, repeated, tag = "9")]
    pub(super) logs: Vec<Log>,
    #[prost(message, optional, tag = "10")]
    pub(super) process: Option<Process>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SpanRef {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) span_id: Vec<u8>,
    /// 0: child of, 1: follows from.
    #[prost(int32, tag = "3")]
    pub(super) ref_type: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Log {
    #[prost(message, optional, tag = "1")]
    pub(super) timestamp: Option<Timestamp>,
    #[prost(message, repeated, tag = "2")]
    pub(super) fields: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Process {
    #[prost(string, tag = "1")]
    pub(super) service_name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) tags: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    /// 0: text, 1: boolean, 2: int, 3: float, 4: bytes.
    #[prost(int32, tag = "2")]
    pub(super) v_type: i32,
    #[prost(string, tag = "3")]
    pub(super) v_str: String,
    #[prost(bool, tag = "4")]
    pub(super) v_bool: bool,
    #[prost(int64, tag = "5")]
    pub(super) v_int64: i64,
    #[prost(double, tag = "6")]
    pub(super) v_float64: f64,
    #[prost(bytes = "vec", tag = "7")]
    pub(super) v_binary: Vec<u8>,
}

/// A trace in chunks of about so many bytes, each with something in it.
///
/// # Errors
/// Our own protobuf cannot be read: a bug.
pub(super) fn chunks(trace: &FoundTrace, chunk_bytes: usize) -> Result<Vec<Vec<u8>>, Failure> {
    let data = messages(trace)?;
    let Trace { spans, processes, .. } = trace_of(&data);
    let mut chunks = Vec::new();
    let mut next = SpansResponseChunk::default();
    let mut bytes = 0;
    for span in &spans {
        let span = span_of(span, processes.get(&span.process_id));
        bytes += span.encoded_len();
        next.spans.push(span);
        if bytes >= chunk_bytes {
            chunks.push(std::mem::take(&mut next).encode_to_vec());
            bytes = 0;
        }
    }
    if !next.spans.is_empty() {
        chunks.push(next.encode_to_vec());
    }
    Ok(chunks)
}

fn span_of(span: &ToldSpan<'_>, process: Option<&ToldProcess<'_>>) -> Span {
    let process = process.map(|process| Process {
        service_name: process.service_name.to_owned(),
        tags: process.tags.iter().map(tag_of).collect(),
    });
    let length = Timestamp::of(span.duration.saturating_mul(1000));
    Span {
        trace_id: trace_id(&span.trace_id),
        id: hex(&span.id),
        operation_name: span.operation_name.to_owned(),
        references: span.references.iter().map(reference_of).collect(),
        start_time: Some(micros(span.start_time)),
        duration: Some(Duration { seconds: length.seconds, nanos: length.nanos }),
        tags: span.tags.iter().map(tag_of).collect(),
        logs: span.logs.iter().map(log_of).collect(),
        process,
    }
}

fn micros(unix_micro: u64) -> Timestamp {
    Timestamp::of(unix_micro.saturating_mul(1000))
}

/// 16 bytes, also of an id that is told in 16 digits.
fn trace_id(text: &str) -> Vec<u8> {
    TraceId::parse(text).unwrap_or_default().0.to_vec()
}

fn hex(text: &str) -> Vec<u8> {
    const_hex::decode(text).unwrap_or_default()
}

fn reference_of(reference: &Reference) -> SpanRef {
    let Reference { kind, trace_id: of, span_id } = reference;
    SpanRef {
        trace_id: trace_id(of),
        span_id: hex(span_id),
        ref_type: i32::from(*kind != "CHILD_OF"),
    }
}

fn log_of(log: &ToldLog<'_>) -> Log {
    let fields = log.fields.iter().map(tag_of).collect();
    Log { timestamp: Some(micros(log.timestamp)), fields }
}

/// Numbers that JSON has as texts are numbers again.
fn tag_of(tag: &Tag<'_>) -> KeyValue {
    let Tag { key, kind, value } = tag;
    let text = value.as_str().unwrap_or_default();
    let mut told = KeyValue { key: (*key).to_owned(), ..KeyValue::default() };
    match *kind {
        "bool" => (told.v_type, told.v_bool) = (1, *value == Value::Bool(true)),
        "int64" => {
            let number = value.as_i64().or_else(|| text.parse().ok());
            (told.v_type, told.v_int64) = (2, number.unwrap_or(0));
        }
        "float64" => {
            let number = value.as_f64().or_else(|| text.parse().ok());
            (told.v_type, told.v_float64) = (3, number.unwrap_or(0.0));
        }
        "binary" => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text);
            (told.v_type, told.v_binary) = (4, bytes.unwrap_or_default());
        }
        _ => text.clone_into(&mut told.v_str),
    }
    told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_keep_their_types() {
        let none = KeyValue { key: "k".to_owned(), ..KeyValue::default() };
        for (kind, value, expected) in [
            ("string", json!("a"), KeyValue { v_str: "a".to_owned(), ..none.clone() }),
            ("bool", json!(true), KeyValue { v_type: 1, v_bool: true, ..none.clone() }),
            ("int64", json!(-5), KeyValue { v_type: 2, v_int64: -5, ..none.clone() }),
            (
                "int64",
                json!("9007199254740993"),
                KeyValue { v_type: 2, v_int64: 9_007_199_254_740_993, ..none.clone() },
            ),
            ("float64", json!(0.5), KeyValue { v_type: 3, v_float64: 0.5, ..none.clone() }),
            (
                "float64",
                json!("inf"),
                KeyValue { v_type: 3, v_float64: f64::INFINITY, ..none.clone() },
            ),
            (
                "binary",
                json!("AP8="),
                KeyValue { v_type: 4, v_binary: vec![0, 255], ..none.clone() },
            ),
        ] {
            assert_eq!(tag_of(&Tag { key: "k", kind, value }), expected);
        }
    }

    #[test]
    fn a_span_has_whole_ids_and_its_process() {
        let span = ToldSpan {
            trace_id: "00000000000000a1".to_owned(),
            id: "00000000000000a2".to_owned(),
            operation_name: "GET",
            references: vec![Reference {
                kind: "FOLLOWS_FROM",
                trace_id: "b".repeat(32),
                span_id: "c".repeat(16),
            }],
            start_time: 1_790_000_000_000_001,
            duration: 1_000_002,
            tags: vec![],
            logs: vec![],
            process_id: "p1".to_owned(),
            warnings: None,
        };
        let process = ToldProcess { service_name: "shop", tags: vec![] };
        let told = span_of(&span, Some(&process));
        assert_eq!(told.trace_id, 0xa1_u128.to_be_bytes());
        assert_eq!(told.id, 0xa2_u64.to_be_bytes());
        let reference = SpanRef { trace_id: vec![0xbb; 16], span_id: vec![0xcc; 8], ref_type: 1 };
        assert_eq!(told.references, [reference]);
        let start = Timestamp { seconds: 1_790_000_000, nanos: 1000 };
        assert_eq!(told.start_time, Some(start));
        assert_eq!(told.duration, Some(Duration { seconds: 1, nanos: 2000 }));
        assert_eq!(told.process.unwrap().service_name, "shop");
    }
}
