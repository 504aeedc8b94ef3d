//! A trace as JSON for language models: ids in hex, attributes as plain objects, durations in milliseconds.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use prost::Message;
use serde_json::{Map, Value, json};

use super::json::to_json;
use crate::querier::Cost;

const SERVICE_NAME: &str = "service.name";

/// The answer of a trace by id, from its `TracesData` bytes. A trace that was not found is `{}`.
///
/// # Errors
/// Our own protobuf cannot be read: a bug.
pub(super) fn trace(
    traces_data: Option<&[u8]>,
    cost: &Cost,
) -> Result<Vec<u8>, prost::DecodeError> {
    let trace = match traces_data {
        None => json!({}),
        Some(bytes) => trace_of(TracesData::decode(bytes)?),
    };
    let metrics = match cost.inspected_bytes {
        0 => json!({}),
        bytes => json!({"inspectedBytes": bytes}),
    };
    Ok(to_json(&json!({"trace": trace, "metrics": metrics})))
}

fn trace_of(data: TracesData) -> Value {
    let spans = data.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans);
    let Some(id) = spans.map(|span| const_hex::encode(&span.trace_id)).next() else {
        return json!({});
    };
    let services: Vec<Value> = data.resource_spans.into_iter().map(service_of).collect();
    json!({"traceId": id, "services": services})
}

fn service_of(group: ResourceSpans) -> Value {
    let Resource { attributes, .. } = group.resource.unwrap_or_default();
    let mut resource = attributes_of(attributes);
    let name = resource.remove(SERVICE_NAME).unwrap_or_else(|| json!(""));
    let scopes: Vec<Value> = group.scope_spans.into_iter().map(scope_of).collect();
    json!({"serviceName": name, "resource": resource, "scopes": scopes})
}

fn scope_of(group: ScopeSpans) -> Value {
    let scope = group.scope.unwrap_or_default();
    let spans: Vec<Value> = group.spans.into_iter().map(span_of).collect();
    json!({"name": scope.name, "version": scope.version, "spans": spans})
}

fn span_of(span: Span) -> Value {
    let kind = span.kind().as_str_name();
    let duration = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
    let events = span.events.into_iter().map(|event| {
        json!({
            "name": event.name,
            "timeUnixNano": event.time_unix_nano.to_string(),
            "attributes": attributes_of(event.attributes),
        })
    });
    let links = span.links.into_iter().map(|link| {
        json!({
            "traceId": const_hex::encode(link.trace_id),
            "spanId": const_hex::encode(link.span_id),
            "attributes": attributes_of(link.attributes),
        })
    });
    json!({
        "spanId": const_hex::encode(span.span_id),
        "name": span.name,
        "parentSpanId": const_hex::encode(span.parent_span_id),
        "kind": kind,
        "startTimeUnixNano": span.start_time_unix_nano.to_string(),
        "endTimeUnixNano": span.end_time_unix_nano.to_string(),
        "durationMs": std::time::Duration::from_nanos(duration).as_secs_f64() * 1e3,
        "attributes": attributes_of(span.attributes),
        "events": events.collect::<Vec<_>>(),
        "links": links.collect::<Vec<_>>(),
        "status": status_of(&span.status.unwrap_or_default()),
    })
}

fn status_of(status: &Status) -> Value {
    let mut out = Map::new();
    out.insert("code".to_owned(), json!(status.code().as_str_name()));
    if !status.message.is_empty() {
        out.insert("message".to_owned(), json!(status.message));
    }
    out.into()
}

/// Of several with one key the first counts, as in queries.
fn attributes_of(attributes: Vec<KeyValue>) -> Map<String, Value> {
    let mut out = Map::new();
    for KeyValue { key, value, .. } in attributes {
        out.entry(key).or_insert_with(|| plain(value));
    }
    out
}

fn plain(value: Option<AnyValue>) -> Value {
    match value.and_then(|value| value.value) {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::BoolValue(value)) => json!(value),
        Some(Any::IntValue(value)) => json!(value),
        Some(Any::DoubleValue(value)) if value.is_finite() => json!(value),
        Some(Any::DoubleValue(value)) => json!(value.to_string()),
        Some(Any::ArrayValue(array)) => {
            array.values.into_iter().map(|value| plain(Some(value))).collect()
        }
        Some(Any::KvlistValue(list)) => attributes_of(list.values).into(),
        Some(Any::BytesValue(bytes)) => {
            use base64::Engine as _;
            json!(base64::engine::general_purpose::STANDARD.encode(bytes))
        }
        // Nothing, or what newer protocols add.
        None | Some(_) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::span::Event;

    use super::*;

    fn attribute(key: &str, value: Any) -> KeyValue {
        let value = Some(AnyValue { value: Some(value) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    }

    #[test]
    fn a_trace_is_told_plainly() {
        let span = Span {
            trace_id: 0x0123_4567_89ab_cdef_u128.to_be_bytes().to_vec(),
            span_id: vec![0xaa, 0xbb, 0, 0, 0, 0, 0, 0x11],
            name: "GET /<cart>".to_owned(),
            kind: 2,
            start_time_unix_nano: 1_000_000_000,
            end_time_unix_nano: 1_120_500_000,
            attributes: vec![
                attribute("http.response.status_code", Any::IntValue(503)),
                attribute("http.response.status_code", Any::IntValue(200)),
                attribute("ratio", Any::DoubleValue(f64::NAN)),
            ],
            events: vec![Event { name: "retry".to_owned(), ..Event::default() }],
            status: Some(Status { message: "late".to_owned(), code: 2 }),
            ..Span::default()
        };
        let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
        let name = attribute(SERVICE_NAME, Any::StringValue("cart".to_owned()));
        let resource = Some(Resource { attributes: vec![name], ..Resource::default() });
        let group = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
        let bytes = TracesData { resource_spans: vec![group] }.encode_to_vec();
        let cost = Cost { inspected_bytes: 48_213, ..Cost::default() };
        let told = trace(Some(&bytes), &cost).unwrap();
        let expected = json!({
            "trace": {
                "traceId": "00000000000000000123456789abcdef",
                "services": [{
                    "serviceName": "cart",
                    "resource": {},
                    "scopes": [{"name": "", "version": "", "spans": [{
                        "spanId": "aabb000000000011",
                        "name": "GET /<cart>",
                        "parentSpanId": "",
                        "kind": "SPAN_KIND_SERVER",
                        "startTimeUnixNano": "1000000000",
                        "endTimeUnixNano": "1120500000",
                        "durationMs": 120.5,
                        "attributes": {"http.response.status_code": 503, "ratio": "NaN"},
                        "events": [{"name": "retry", "timeUnixNano": "0", "attributes": {}}],
                        "links": [],
                        "status": {"code": "STATUS_CODE_ERROR", "message": "late"},
                    }]}],
                }],
            },
            "metrics": {"inspectedBytes": 48_213},
        });
        assert_eq!(serde_json::from_slice::<Value>(&told).unwrap(), expected);
    }

    #[test]
    fn no_trace_is_an_empty_one() {
        assert_eq!(trace(None, &Cost::default()).unwrap(), br#"{"metrics":{},"trace":{}}"#);
    }
}
