//! Bodies that no sender should send, and large ones.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

/// When all spans of the tests start, more or less: Unix nanoseconds.
const BEGIN: u64 = 1_790_000_000_000_000_000;

/// The body with this name in a YAML file.
pub(crate) fn made(name: &str) -> Vec<u8> {
    match name {
        "three spans" => request(spans(3)),
        "cut short" => {
            let mut body = request(spans(3));
            body.truncate(body.len() - 10);
            body
        }
        "invalid UTF-8 in the second span" => {
            let mut body = request(spans(3));
            let at = body.windows(6).position(|bytes| bytes == b"span 1").unwrap();
            body[at] = 0xff;
            body
        }
        "200 MiB of zeros in gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            let zeros = vec![0; 1 << 20];
            (0..200).for_each(|_| encoder.write_all(&zeros).unwrap());
            encoder.finish().unwrap()
        }
        "a key of 64 KiB" => {
            let mut spans = spans(1);
            spans[0].attributes.push(pair(&"k".repeat(64 << 10), "found"));
            request(spans)
        }
        "a value of 1 MiB" => {
            let mut spans = spans(1);
            spans[0].attributes.push(pair("big", &"v".repeat(1 << 20)));
            request(spans)
        }
        _ => panic!("no body is called {name:?}"),
    }
}

/// Spans of trace `b0d` in one chain, named by their number.
fn spans(count: u64) -> Vec<Span> {
    let id = |number: u64| (0xb0d0_0000 + number).to_be_bytes().to_vec();
    let span = |number: u64| Span {
        trace_id: 0xb0d_u128.to_be_bytes().to_vec(),
        span_id: id(number),
        parent_span_id: if number == 0 { Vec::new() } else { id(number - 1) },
        name: format!("span {number}"),
        start_time_unix_nano: BEGIN + number,
        end_time_unix_nano: BEGIN + 1_000_000,
        attributes: vec![pair("number", &number.to_string())],
        ..Span::default()
    };
    (0..count).map(span).collect()
}

/// Bodies that together have `count` spans of trace `beef`: `width` under each span. The span with number n is called `level n mod 10`.
pub(crate) fn huge_trace(count: u64, per_body: u64, width: u64) -> Vec<Vec<u8>> {
    let id = |number: u64| (number + 1).to_be_bytes().to_vec();
    let span = |number: u64| Span {
        trace_id: 0xbeef_u128.to_be_bytes().to_vec(),
        span_id: id(number),
        parent_span_id: number.checked_sub(1).map(|below| id(below / width)).unwrap_or_default(),
        name: format!("level {}", number % 10),
        start_time_unix_nano: BEGIN + number,
        end_time_unix_nano: BEGIN + 1_000_000_000,
        ..Span::default()
    };
    let bodies = (0..count.div_ceil(per_body)).map(|part| part * per_body);
    bodies.map(|from| request((from..count.min(from + per_body)).map(span).collect())).collect()
}

fn request(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn pair(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Any::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
