//! A trace as Zipkin's JSON: a flat list of spans whose tags are texts.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{Span as OtlpSpan, Status};
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::found::{messages, plain};
use super::params::REMOTE_SERVICES;
use crate::failure::Failure;
use crate::querier::FoundTrace;

const SERVICE_NAME: &str = "service.name";

/// Attributes that tell the port of who is called.
const REMOTE_PORTS: [&str; 2] = ["server.port", "net.peer.port"];

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    trace_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    name: &'a str,
    /// Unix microseconds.
    timestamp: u64,
    /// Microseconds, at least one unless the span took no time at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_endpoint: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_endpoint: Option<Endpoint>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Annotation>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<&'a str, String>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    service_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Annotation {
    /// Unix microseconds.
    timestamp: u64,
    value: String,
}

/// A trace as a list of spans.
///
/// # Errors
/// Our own protobuf cannot be read: a bug.
pub(super) fn printed(trace: &FoundTrace) -> Result<Vec<u8>, Failure> {
    let data = messages(trace)?;
    let none = (Resource::default(), InstrumentationScope::default());
    let mut spans = Vec::with_capacity(trace.span_count());
    for group in &data.resource_spans {
        let resource = group.resource.as_ref().unwrap_or(&none.0);
        for scope_spans in &group.scope_spans {
            let scope = scope_spans.scope.as_ref().unwrap_or(&none.1);
            spans.extend(scope_spans.spans.iter().map(|span| span_of(span, resource, scope)));
        }
    }
    serde_json::to_vec(&spans).map_err(Failure::internal)
}

fn span_of<'a>(
    span: &'a OtlpSpan,
    resource: &'a Resource,
    scope: &'a InstrumentationScope,
) -> Span<'a> {
    let is_set = span.parent_span_id.iter().any(|byte| *byte != 0);
    let length = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
    let service = attribute(&resource.attributes, SERVICE_NAME).filter(|name| !name.is_empty());
    let endpoint = |service_name| Endpoint { service_name, port: None };
    Span {
        trace_id: trace_id(&span.trace_id),
        parent_id: is_set.then(|| const_hex::encode(&span.parent_span_id)),
        id: const_hex::encode(&span.span_id),
        kind: match span.kind {
            2 => Some("SERVER"),
            3 => Some("CLIENT"),
            4 => Some("PRODUCER"),
            5 => Some("CONSUMER"),
            _ => None,
        },
        name: &span.name,
        timestamp: span.start_time_unix_nano / 1000,
        duration: (length > 0).then(|| (length / 1000).max(1)),
        local_endpoint: service.map(endpoint),
        remote_endpoint: remote(span),
        annotations: span.events.iter().map(annotation).collect(),
        tags: tags_of(span, resource, scope),
    }
}

/// 16 digits if the upper half is zero: Zipkin's own ids are as often of 64 bits.
fn trace_id(bytes: &[u8]) -> String {
    let text = const_hex::encode(bytes);
    match text.split_at_checked(16) {
        Some(("0000000000000000", low)) => low.to_owned(),
        _ => text,
    }
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(text_of(found.value.as_ref()))
}

fn remote(span: &OtlpSpan) -> Option<Endpoint> {
    let [best, others @ ..] = REMOTE_SERVICES;
    let of = |key: &&str| attribute(&span.attributes, key);
    let calls = matches!(span.kind, 3 | 4);
    let named = of(&best).or_else(|| others.iter().filter(|_| calls).find_map(of))?;
    let port = REMOTE_PORTS.iter().filter(|_| calls).find_map(|key| of(key)?.parse().ok());
    Some(Endpoint { service_name: named, port })
}

fn text_of(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None => String::new(),
        Some(Any::StringValue(text)) => text.clone(),
        Some(_) => match plain(value) {
            Value::String(text) => text,
            other => other.to_string(),
        },
    }
}

/// The event's name, with what it has as JSON.
fn annotation(event: &Event) -> Annotation {
    let timestamp = event.time_unix_nano / 1000;
    if event.attributes.is_empty() {
        return Annotation { timestamp, value: event.name.clone() };
    }
    let pairs = event.attributes.iter();
    let pairs = pairs.map(|attribute| (attribute.key.clone(), plain(attribute.value.as_ref())));
    let value = format!("{}: {}", event.name, Value::Object(pairs.collect::<Map<_, _>>()));
    Annotation { timestamp, value }
}

/// Attributes of the span, then of what it belongs to; and what OTLP has fields for.
fn tags_of<'a>(
    span: &'a OtlpSpan,
    resource: &'a Resource,
    scope: &'a InstrumentationScope,
) -> BTreeMap<&'a str, String> {
    let mut tags = BTreeMap::new();
    let others = resource.attributes.iter().filter(|attribute| attribute.key != SERVICE_NAME);
    for KeyValue { key, value, .. } in span.attributes.iter().chain(others) {
        tags.entry(key.as_str()).or_insert_with(|| text_of(value.as_ref()));
    }
    for (key, value) in [("otel.scope.name", &scope.name), ("otel.scope.version", &scope.version)] {
        if !value.is_empty() {
            tags.insert(key, value.clone());
        }
    }
    match &span.status {
        Some(Status { code: 1, .. }) => {
            tags.insert("otel.status_code", "OK".to_owned());
        }
        Some(Status { code: 2, message }) => {
            tags.insert("otel.status_code", "ERROR".to_owned());
            // That it is there says that the span failed.
            tags.entry("error").or_insert_with(|| message.clone());
        }
        _ => {}
    }
    tags
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pair(key: &str, value: Any) -> KeyValue {
        let value = Some(AnyValue { value: Some(value) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    }

    fn text(key: &str, value: &str) -> KeyValue {
        pair(key, Any::StringValue(value.to_owned()))
    }

    #[test]
    fn a_span_is_told_as_zipkin_knows_it() {
        let span = OtlpSpan {
            trace_id: 0xa1_u128.to_be_bytes().to_vec(),
            span_id: 2_u64.to_be_bytes().to_vec(),
            parent_span_id: 1_u64.to_be_bytes().to_vec(),
            name: "SELECT".to_owned(),
            kind: 3,
            start_time_unix_nano: 1_790_000_000_000_001_500,
            end_time_unix_nano: 1_790_000_000_000_002_000,
            attributes: vec![
                text("peer.service", "db"),
                pair("server.port", Any::IntValue(5432)),
                pair("cached", Any::BoolValue(false)),
            ],
            events: vec![
                Event { name: "retry".to_owned(), time_unix_nano: 5000, ..Event::default() },
                Event {
                    name: "e".to_owned(),
                    attributes: vec![text("k", "v")],
                    ..Event::default()
                },
            ],
            status: Some(Status { message: "late".to_owned(), code: 2 }),
            ..OtlpSpan::default()
        };
        let resource = Resource {
            attributes: vec![text("service.name", "shop"), text("host.name", "a")],
            ..Resource::default()
        };
        let told =
            serde_json::to_value(span_of(&span, &resource, &InstrumentationScope::default()))
                .unwrap();
        let expected = json!({
            "traceId": "00000000000000a1",
            "parentId": "0000000000000001",
            "id": "0000000000000002",
            "kind": "CLIENT",
            "name": "SELECT",
            "timestamp": 1_790_000_000_000_001_u64,
            "duration": 1,
            "localEndpoint": {"serviceName": "shop"},
            "remoteEndpoint": {"serviceName": "db", "port": 5432},
            "annotations": [
                {"timestamp": 5, "value": "retry"},
                {"timestamp": 0, "value": "e: {\"k\":\"v\"}"},
            ],
            "tags": {
                "peer.service": "db", "server.port": "5432", "cached": "false", "host.name": "a",
                "otel.status_code": "ERROR", "error": "late",
            },
        });
        assert_eq!(told, expected);
    }
}
