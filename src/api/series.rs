//! Series of an answer as JSON, written without a tree in between: thousands of them are mostly the same few names.

use super::json::{put_integer, put_json, put_number, put_text};
use super::proto::{AnyValue, KeyValue, QueryRangeResponse, TimeSeries};
use crate::trace::Value;
use crate::traceql::Series;

/// How a [`QueryRangeResponse`] without series begins, up to where they belong.
const HEAD: &[u8] = br#"{"series":["#;

/// Bytes of a series and of a sample, about.
const SERIES_BYTES: usize = 96;
const SAMPLE_BYTES: usize = 48;

/// What [`to_json`](super::json::to_json) writes of an answer with these series; `rest` is the answer without any.
pub(super) fn range_json(series: Vec<Series>, rest: &QueryRangeResponse) -> Vec<u8> {
    let samples: usize = series.iter().map(|series| series.samples.len()).sum();
    let mut out = Vec::with_capacity(series.len() * SERIES_BYTES + samples * SAMPLE_BYTES);
    put_json(rest, &mut out);
    let tail = out.split_off(HEAD.len());
    for one in series {
        if out.len() > HEAD.len() {
            out.push(b',');
        }
        put_series(one, &mut out);
    }
    out.extend_from_slice(&tail);
    out
}

fn put_series(series: Series, out: &mut Vec<u8>) {
    if !series.exemplars.is_empty() {
        return put_json(&TimeSeries::from(series), out);
    }
    let Series { labels, samples, exemplars: _ } = series;
    out.extend_from_slice(br#"{"labels":["#);
    for (index, label) in labels.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        put_label(label, out);
    }
    out.extend_from_slice(br#"],"samples":["#);
    for (index, (timestamp_ms, value)) in samples.into_iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",{" } else { b"{" });
        if timestamp_ms != 0 {
            out.extend_from_slice(br#""timestampMs":""#);
            put_integer(timestamp_ms, out);
            out.push(b'"');
        }
        if value != 0.0 {
            let comma: &[u8] = if timestamp_ms != 0 { b"," } else { b"" };
            out.extend_from_slice(comma);
            out.extend_from_slice(br#""value":"#);
            put_number(value, out);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}

fn put_label((key, value): (String, Value), out: &mut Vec<u8>) {
    match value {
        Value::String(text) if !key.is_empty() => {
            out.extend_from_slice(br#"{"key":"#);
            put_text(&key, out);
            out.extend_from_slice(br#","value":{"stringValue":"#);
            put_text(&text, out);
            out.extend_from_slice(b"}}");
        }
        value => put_json(&KeyValue { key, value: AnyValue::from(value) }, out),
    }
}
