//! The engine's answers as lines of text, which is how they are compared.

use std::collections::BTreeMap;

use vivace::trace::Value;
use vivace::traceql;

use crate::evaluate_value::told_float;

/// How much of a spanset's spans is told.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Spans {
    /// All, in whatever order they come.
    Any,
    /// In their order. Those with equal start and id may be told in any.
    Ordered,
}

pub(crate) fn told_samples(labels: &str, samples: impl Iterator<Item = (u64, f64)>) -> String {
    let samples: Vec<(u64, f64)> = samples.collect();
    let zeros = samples.iter().filter(|(_, value)| *value == 0.0).count();
    let others = samples.iter().filter(|(_, value)| *value != 0.0);
    let others: Vec<String> =
        others.map(|(at, value)| format!("{at}: {}", told_float(*value))).collect();
    format!("{labels} {zeros} zeros {}", others.join(" "))
}

pub(crate) fn told_span(id: u64, start: u64, duration: u64, spans: Spans) -> String {
    match spans {
        Spans::Any => format!("{id:x}@{start}+{duration}"),
        Spans::Ordered => format!("{id:x}@{start}"),
    }
}

/// The engine's trace as such a line.
pub(crate) fn told_match(found: &traceql::TraceMatch, told: Spans) -> String {
    let traceql::TraceMatch {
        id,
        start,
        duration,
        root_service,
        root_name,
        services,
        spansets,
        ..
    } = found;
    let services: BTreeMap<String, (u32, u32)> =
        services.iter().map(|one| (one.service.clone(), (one.spans, one.errors))).collect();
    let mut sets = Vec::new();
    for spanset in spansets {
        let mut spans: Vec<_> = spanset.spans.iter().collect();
        if told == Spans::Any {
            spans.sort_by_key(|span| (span.start, span.id, span.duration));
        }
        let spans: Vec<String> = spans
            .iter()
            .map(|span| told_span(u64::from_be_bytes(span.id.0), span.start, span.duration, told))
            .collect();
        sets.push(format!(
            "({}: {} {})",
            told_values(&spanset.attributes),
            spanset.matched,
            spans.join(" ")
        ));
    }
    format!(
        "{id} {root_service:?} {root_name:?} {start}+{duration} {services:?} {}",
        sets.join(" ")
    )
}

pub(crate) fn told_values(labels: &[(String, Value)]) -> String {
    let told = |(key, value): &(String, Value)| format!("{key}= {}", told_value(value));
    labels.iter().map(told).collect::<Vec<_>>().join(" ")
}

pub(crate) fn told_value(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Bool(value) => format!("{value}"),
        Value::Int(value) => format!("{value}"),
        Value::Double(value) => told_float(*value),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(told_value).collect::<Vec<_>>().join(", "))
        }
        Value::Bytes(bytes) => format!("bytes {bytes:?}"),
        Value::Map(entries) => {
            let told = |(key, value): &(String, Value)| format!("{key}: {}", told_value(value));
            format!("{{{}}}", entries.iter().map(told).collect::<Vec<_>>().join(", "))
        }
        Value::Empty => "unset".to_owned(),
    }
}
