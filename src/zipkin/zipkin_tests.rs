//! What a Zipkin span is in OTLP. Whole lists in each format, read back over the API, are in `tests/receivers.rs`.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span as OtlpSpan;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;

use super::*;
use crate::otlp::build::{attribute, text};

/// Resource, scope and span of each span, in order.
type Read = Vec<(Vec<KeyValue>, InstrumentationScope, OtlpSpan)>;

fn read(bytes: &[u8]) -> Read {
    let request = ExportTraceServiceRequest::decode(bytes).unwrap();
    let mut spans = Vec::new();
    for group in request.resource_spans {
        let resource = group.resource.unwrap_or_default().attributes;
        for group in group.scope_spans {
            let scope = group.scope.unwrap_or_default();
            spans.extend(
                group.spans.into_iter().map(|span| (resource.clone(), scope.clone(), span)),
            );
        }
    }
    spans
}

fn version_2(fields: &str) -> (Vec<KeyValue>, InstrumentationScope, OtlpSpan) {
    let json = format!(r#"[{{"traceId":"1","id":"2",{fields}}}]"#);
    read(&json_2(json.as_bytes(), 1 << 20).unwrap()).remove(0)
}

fn version_1(fields: &str) -> Read {
    let json = format!(r#"[{{"traceId":"1","id":"2",{fields}}}]"#);
    read(&json_1(json.as_bytes(), 1 << 20).unwrap())
}

#[test]
fn the_presence_of_error_is_an_error() {
    for (tags, code, message, left) in [
        ("{}", None, "", 0),
        (r#"{"error":"true"}"#, Some(2), "", 0),
        (r#"{"error":""}"#, Some(2), "", 0),
        (r#"{"error":"timeout"}"#, Some(2), "timeout", 1),
        (r#"{"error":"false"}"#, None, "", 1),
        (r#"{"otel.status_code":"STATUS_CODE_OK"}"#, Some(1), "", 0),
        (
            r#"{"otel.status_code":"ERROR","otel.status_description":"x","error":"y"}"#,
            Some(2),
            "x",
            1,
        ),
    ] {
        let (_, _, span) = version_2(&format!(r#""tags":{tags},"timestamp":1"#));
        assert_eq!(span.status.as_ref().map(|status| status.code), code, "{tags}");
        assert_eq!(span.status.unwrap_or_default().message, message, "{tags}");
        assert_eq!(span.attributes.len(), left, "{tags}");
    }
}

#[test]
fn a_time_that_is_not_given_is_the_first_annotations_or_said_to_be_absent() {
    let (_, _, span) =
        version_2(r#""annotations":[{"timestamp":7,"value":"a"},{"timestamp":5,"value":"b"}]"#);
    assert_eq!((span.start_time_unix_nano, span.attributes.len()), (5000, 0));
    let (_, _, span) = version_2(r#""duration":3"#);
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (0, 3000));
    let absent = attribute("otel.zipkin.absentField.startTime", Any::BoolValue(true));
    assert_eq!(span.attributes, [absent]);
}

#[test]
fn tags_of_the_resource_and_the_scope_go_there() {
    let (resource, scope, span) = version_2(
        r#""timestamp":1,"localEndpoint":{"serviceName":"a"},"tags":{"host.name":"h","http.path":"/",
           "otel.library.name":"lib","otel.library.version":"2","w3c.tracestate":"k=v","span.kind":"internal"}"#,
    );
    assert_eq!(resource, [text("service.name", "a"), text("host.name", "h")]);
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("lib", "2"));
    assert_eq!(span.attributes, [text("http.path", "/")]);
    assert_eq!((span.trace_state.as_str(), span.kind), ("k=v", SpanKind::Internal.into()));
}

#[test]
fn links_and_events_of_opentelemetry_become_them_again() {
    let (_, _, span) = version_2(
        r#""timestamp":1,"tags":{"otlp.link.0":"0af7651916cd43dd8448eb211c80319c|b7ad6b7169203331|s=1|{\"a\":1,\"b\":\"x|y\"}|3",
           "otlp.link.1":"nonsense"},
           "annotations":[{"timestamp":1,"value":"exception|{\"k\":true}|2"},{"timestamp":1,"value":"a|b|c"}]"#,
    );
    let link = &span.links[0];
    assert_eq!((link.trace_state.as_str(), link.dropped_attributes_count), ("s=1", 3));
    assert_eq!(link.span_id, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
    assert_eq!(link.attributes, [attribute("a", Any::IntValue(1)), text("b", "x|y")]);
    assert_eq!(span.attributes, [text("otlp.link.1", "nonsense")]);
    let [first, second] = &span.events[..] else { panic!("{:?}", span.events) };
    assert_eq!((first.name.as_str(), first.dropped_attributes_count), ("exception", 2));
    assert_eq!(first.attributes, [attribute("k", Any::BoolValue(true))]);
    assert_eq!((second.name.as_str(), second.attributes.len()), ("a|b|c", 0));
}

#[test]
fn both_sides_of_an_old_span_are_spans() {
    let at = |service: &str| format!(r#""endpoint":{{"serviceName":"{service}"}}"#);
    let (front, back) = (at("front"), at("back"));
    let spans = version_1(&format!(
        r#""timestamp":100,"duration":50,"annotations":[
            {{"timestamp":100,"value":"cs",{front}}},{{"timestamp":110,"value":"sr",{back}}},
            {{"timestamp":120,"value":"work",{back}}},{{"timestamp":130,"value":"ss",{back}}},
            {{"timestamp":150,"value":"cr",{front}}}],
          "binaryAnnotations":[{{"key":"who","value":"x",{back}}},{{"key":"sa","value":true,{back}}}]"#
    ));
    let [(client, _, first), (server, _, second)] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(
        (client, server),
        (&vec![text("service.name", "front")], &vec![text("service.name", "back")])
    );
    assert_eq!((first.kind, second.kind), (SpanKind::Client.into(), SpanKind::Server.into()));
    assert_eq!((first.start_time_unix_nano, first.end_time_unix_nano), (100_000, 150_000));
    assert_eq!((second.start_time_unix_nano, second.end_time_unix_nano), (110_000, 130_000));
    assert_eq!(first.attributes, [text("peer.service", "back")]);
    let shared = attribute("zipkin.shared", Any::BoolValue(true));
    assert_eq!(second.attributes, [text("who", "x"), shared]);
    assert_eq!((first.events.len(), second.events[0].name.as_str()), (0, "work"));
}

#[test]
fn a_local_component_is_a_service() {
    let spans = version_1(r#""timestamp":1,"binaryAnnotations":[{"key":"lc","value":"job"}]"#);
    let (resource, _, span) = &spans[0];
    assert_eq!(resource[..], [text("service.name", "job")]);
    assert_eq!(span.attributes, [text("component", "job")]);
}

#[test]
fn ids_may_lack_their_zeros_and_nothing_else() {
    for (id, expected) in [
        ("1", Ok(1)),
        ("0AF7651916CD43DD8448EB211C80319C", Ok(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c)),
        ("", Err(Error::Id(String::new(), 32))),
        ("+1", Err(Error::Id("+1".to_owned(), 32))),
        ("x", Err(Error::Id("x".to_owned(), 32))),
    ] {
        let json = format!(r#"[{{"traceId":"{id}","id":"2"}}]"#);
        let found = json_2(json.as_bytes(), 1 << 20).map(|bytes| read(&bytes).remove(0).2.trace_id);
        assert_eq!(found, expected.map(|id: u128| id.to_be_bytes().to_vec()), "{id}");
    }
    assert_eq!(protobuf(b"\x0a\x03\x0a\x01\x07", 100), Err(Error::IdBytes(1)));
}

#[test]
fn what_grows_over_the_limit_is_refused() {
    let refused = json_2(br#"[{"traceId":"1","id":"2","name":"a long name"}]"#, 10).unwrap_err();
    assert!(matches!(refused, Error::TooLarge(_)), "{refused}");
}
