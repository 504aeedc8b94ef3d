//! A trace as Jaeger's JSON: spans with tags, logs and references, and the processes that they belong to.

use std::collections::{BTreeMap, HashMap};

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span as OtlpSpan, Status, TracesData};
use prost::Message;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::NO_SERVICE;
use super::super::found::{base64, messages, plain};
use crate::failure::Failure;
use crate::querier::FoundTrace;
use crate::trace::TraceId;

const SERVICE_NAME: &str = "service.name";

/// Integers beyond this are texts: JavaScript rounds them.
const EXACT_MAX: u64 = 1 << 53;

/// OTLP's number of the status "error".
const ERROR: i32 = 2;

#[derive(Serialize)]
pub(super) struct Trace<'a> {
    #[serde(rename = "traceID")]
    pub(super) id: String,
    pub(super) spans: Vec<Span<'a>>,
    pub(super) processes: BTreeMap<String, Process<'a>>,
    pub(super) warnings: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Process<'a> {
    pub(super) service_name: &'a str,
    pub(super) tags: Vec<Tag<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Span<'a> {
    #[serde(rename = "traceID")]
    pub(super) trace_id: String,
    #[serde(rename = "spanID")]
    pub(super) id: String,
    pub(super) operation_name: &'a str,
    pub(super) references: Vec<Reference>,
    /// Unix microseconds.
    pub(super) start_time: u64,
    /// Microseconds.
    pub(super) duration: u64,
    pub(super) tags: Vec<Tag<'a>>,
    pub(super) logs: Vec<Log<'a>>,
    #[serde(rename = "processID")]
    pub(super) process_id: String,
    pub(super) warnings: Option<Vec<String>>,
}

#[derive(Serialize)]
pub(super) struct Reference {
    #[serde(rename = "refType")]
    pub(super) kind: &'static str,
    #[serde(rename = "traceID")]
    pub(super) trace_id: String,
    #[serde(rename = "spanID")]
    pub(super) span_id: String,
}

#[derive(Serialize)]
pub(super) struct Log<'a> {
    /// Unix microseconds.
    pub(super) timestamp: u64,
    pub(super) fields: Vec<Tag<'a>>,
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Tag<'a> {
    pub(super) key: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) value: Value,
}

/// A trace as JSON.
///
/// # Errors
/// Our own protobuf cannot be read: a bug.
pub(super) fn printed(trace: &FoundTrace) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(&trace_of(&messages(trace)?)).map_err(Failure::internal)
}

/// A trace as Jaeger knows it.
pub(super) fn trace_of(data: &TracesData) -> Trace<'_> {
    let mut ids: HashMap<Vec<u8>, String> = HashMap::new();
    let mut processes = BTreeMap::new();
    let mut spans = Vec::new();
    for group in &data.resource_spans {
        let resource = group.resource.as_ref();
        let next = format!("p{}", ids.len() + 1);
        let key = resource.map(Resource::encode_to_vec).unwrap_or_default();
        let id = ids.entry(key).or_insert(next).clone();
        processes.entry(id.clone()).or_insert_with(|| process_of(resource));
        for scope_spans in &group.scope_spans {
            let scope = scope_spans.scope.as_ref();
            spans.extend(scope_spans.spans.iter().map(|span| span_of(span, scope, &id)));
        }
    }
    let id = spans.first().map(|span| span.trace_id.clone()).unwrap_or_default();
    Trace { id, spans, processes, warnings: None }
}

/// As Jaeger prints it: 32 hex digits, 16 if the upper half is zero.
pub(super) fn id_of(id: TraceId) -> String {
    let text = id.to_string();
    match text.split_at_checked(16) {
        Some(("0000000000000000", low)) => low.to_owned(),
        _ => text,
    }
}

fn trace_id(bytes: &[u8]) -> String {
    TraceId::from_otlp(bytes).map_or_else(|| const_hex::encode(bytes), id_of)
}

fn process_of(resource: Option<&Resource>) -> Process<'_> {
    let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
    let name = attributes.iter().find(|attribute| attribute.key == SERVICE_NAME);
    let name = name.and_then(|name| match name.value.as_ref()?.value.as_ref()? {
        Any::StringValue(text) if !text.is_empty() => Some(text.as_str()),
        _ => None,
    });
    let others = attributes.iter().filter(|attribute| attribute.key != SERVICE_NAME);
    Process { service_name: name.unwrap_or(NO_SERVICE), tags: others.map(tag_of).collect() }
}

fn span_of<'a>(
    span: &'a OtlpSpan,
    scope: Option<&InstrumentationScope>,
    process: &str,
) -> Span<'a> {
    let length = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
    let mut logs: Vec<Log<'_>> = span.events.iter().map(log_of).collect();
    logs.sort_by_key(|log| log.timestamp);
    Span {
        trace_id: trace_id(&span.trace_id),
        id: const_hex::encode(&span.span_id),
        operation_name: &span.name,
        references: references_of(span),
        start_time: span.start_time_unix_nano / 1000,
        duration: length / 1000,
        tags: tags_of(span, scope),
        logs,
        process_id: process.to_owned(),
        warnings: None,
    }
}

/// The parent first, then links; a link without ids leads nowhere and is left out.
fn references_of(span: &OtlpSpan) -> Vec<Reference> {
    let is_set = |id: &[u8]| id.iter().any(|byte| *byte != 0);
    let mut references = Vec::new();
    if is_set(&span.parent_span_id) {
        references.push(Reference {
            kind: "CHILD_OF",
            trace_id: trace_id(&span.trace_id),
            span_id: const_hex::encode(&span.parent_span_id),
        });
    }
    let links = span.links.iter().filter(|link| is_set(&link.trace_id) && is_set(&link.span_id));
    references.extend(links.map(|link| Reference {
        kind: if is_child(link) { "CHILD_OF" } else { "FOLLOWS_FROM" },
        trace_id: trace_id(&link.trace_id),
        span_id: const_hex::encode(&link.span_id),
    }));
    references
}

/// What `OpenTracing` called another parent.
fn is_child(link: &Link) -> bool {
    let child = Some(Any::StringValue("child_of".to_owned()));
    let is_kind = |attribute: &KeyValue| {
        attribute.key == "opentracing.ref_type"
            && attribute.value.as_ref().is_some_and(|value| value.value == child)
    };
    link.attributes.iter().any(is_kind)
}

fn text<'a>(key: &'a str, value: &str) -> Tag<'a> {
    Tag { key, kind: "string", value: json!(value) }
}

/// The attributes, and what in Jaeger is a tag.
fn tags_of<'a>(span: &'a OtlpSpan, scope: Option<&InstrumentationScope>) -> Vec<Tag<'a>> {
    let mut tags = Vec::with_capacity(span.attributes.len() + 4);
    if let Some(InstrumentationScope { name, version, .. }) = scope {
        let named = [("otel.scope.name", name), ("otel.scope.version", version)];
        let named = named.into_iter().filter(|(_, value)| !value.is_empty());
        tags.extend(named.map(|(key, value)| text(key, value)));
    }
    tags.extend(span.attributes.iter().map(tag_of));
    let kind = match span.kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "",
    };
    if !kind.is_empty() {
        tags.push(text("span.kind", kind));
    }
    if let Some(Status { message, code }) = &span.status {
        match code {
            1 => tags.push(text("otel.status_code", "OK")),
            &ERROR => {
                tags.push(text("otel.status_code", "ERROR"));
                if !span.attributes.iter().any(|attribute| attribute.key == "error") {
                    tags.push(Tag { key: "error", kind: "bool", value: json!(true) });
                }
            }
            _ => {}
        }
        if !message.is_empty() {
            tags.push(text("otel.status_description", message));
        }
    }
    if !span.trace_state.is_empty() {
        tags.push(text("w3c.tracestate", &span.trace_state));
    }
    tags
}

fn log_of(event: &Event) -> Log<'_> {
    let mut fields = Vec::with_capacity(event.attributes.len() + 1);
    let is_named = event.attributes.iter().any(|attribute| attribute.key == "event");
    if !event.name.is_empty() && !is_named {
        fields.push(text("event", &event.name));
    }
    fields.extend(event.attributes.iter().map(tag_of));
    Log { timestamp: event.time_unix_nano / 1000, fields }
}

fn tag_of(attribute: &KeyValue) -> Tag<'_> {
    let (kind, value) = match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => ("string", json!(text)),
        Some(Any::BoolValue(value)) => ("bool", json!(value)),
        Some(Any::IntValue(value)) if value.unsigned_abs() <= EXACT_MAX => ("int64", json!(value)),
        Some(Any::IntValue(value)) => ("int64", json!(value.to_string())),
        Some(Any::DoubleValue(value)) if value.is_finite() => ("float64", json!(value)),
        Some(Any::DoubleValue(value)) => ("float64", json!(value.to_string())),
        Some(Any::BytesValue(bytes)) => ("binary", json!(base64(bytes))),
        Some(Any::ArrayValue(_) | Any::KvlistValue(_)) => {
            ("string", json!(plain(attribute.value.as_ref()).to_string()))
        }
        // Nothing, or what newer protocols add.
        None | Some(_) => ("string", json!("")),
    };
    Tag { key: &attribute.key, kind, value }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::AnyValue;

    use super::*;

    fn attribute(key: &str, value: Any) -> KeyValue {
        let value = Some(AnyValue { value: Some(value) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    }

    #[test]
    fn values_have_jaegers_types() {
        let array = opentelemetry_proto::tonic::common::v1::ArrayValue {
            values: vec![AnyValue { value: Some(Any::IntValue(1)) }, AnyValue::default()],
        };
        for (value, kind, expected) in [
            (Any::StringValue("a".to_owned()), "string", json!("a")),
            (Any::BoolValue(true), "bool", json!(true)),
            (Any::IntValue(-5), "int64", json!(-5)),
            (Any::IntValue(1 << 53), "int64", json!(9_007_199_254_740_992_i64)),
            (Any::IntValue((1 << 53) + 1), "int64", json!("9007199254740993")),
            (Any::DoubleValue(0.5), "float64", json!(0.5)),
            (Any::DoubleValue(f64::NAN), "float64", json!("NaN")),
            (Any::BytesValue(vec![0, 255]), "binary", json!("AP8=")),
            (Any::ArrayValue(array), "string", json!("[1,null]")),
        ] {
            let attribute = attribute("k", value);
            assert_eq!(tag_of(&attribute), Tag { key: "k", kind, value: expected });
        }
    }

    #[test]
    fn ids_of_64_bits_are_short() {
        assert_eq!(id_of(TraceId::parse("a1").unwrap()), "00000000000000a1");
        let long = "0123456789abcdef0000000000000001";
        assert_eq!(id_of(TraceId::parse(long).unwrap()), long);
    }

    #[test]
    fn links_are_references_unless_they_lead_nowhere() {
        let id = |byte| vec![byte; 8];
        let link = |span_id, kind: &str| Link {
            trace_id: vec![1; 16],
            span_id,
            attributes: vec![attribute("opentracing.ref_type", Any::StringValue(kind.to_owned()))],
            ..Link::default()
        };
        let span = OtlpSpan {
            trace_id: vec![2; 16],
            parent_span_id: id(7),
            links: vec![link(id(8), "child_of"), link(id(9), ""), link(vec![], "")],
            ..OtlpSpan::default()
        };
        let found: Vec<_> =
            references_of(&span).into_iter().map(|one| (one.kind, one.span_id)).collect();
        let expected = [
            ("CHILD_OF", "0707070707070707"),
            ("CHILD_OF", "0808080808080808"),
            ("FOLLOWS_FROM", "0909090909090909"),
        ];
        assert_eq!(found, expected.map(|(kind, id)| (kind, id.to_owned())));
    }
}
