//! What a Jaeger span is in OTLP. Whole batches in each format, read back over the API, are in `tests/receivers.rs`.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span as OtlpSpan};
use prost::Message;

use super::model::{Process, Reference, Span};
use super::translate::Translation;
use super::*;
use crate::otlp::build::{attribute, text};
use crate::thrift::Protocol;

fn translated(process: Option<&Process>, span: Span) -> ResourceSpans {
    let mut translation = Translation::new(process, 1 << 20);
    translation.add(span).unwrap();
    let request = ExportTraceServiceRequest::decode(&translation.finish()[..]).unwrap();
    request.resource_spans.into_iter().next().unwrap()
}

fn otlp(span: Span) -> OtlpSpan {
    translated(None, span).scope_spans.remove(0).spans.remove(0)
}

fn tagged(tags: Vec<KeyValue>) -> OtlpSpan {
    otlp(Span { id: 1, tags, ..Span::default() })
}

#[test]
fn the_status_is_what_the_first_of_three_says() {
    let error = || attribute("error", Any::BoolValue(true));
    let http = |code| attribute("http.status_code", Any::IntValue(code));
    let kind = |kind| text("span.kind", kind);
    for (tags, code, message, left) in [
        (vec![], None, "", 0),
        (vec![error()], Some(2), "", 0),
        (vec![error(), text("otel.status_description", "bad")], Some(2), "bad", 0),
        (vec![error(), text("http.status_message", "gone")], Some(2), "gone", 1),
        (vec![error(), text("otel.status_code", "OK")], Some(2), "", 0),
        (vec![attribute("error", Any::BoolValue(false))], None, "", 1),
        (vec![text("error", "true")], None, "", 1),
        (vec![text("otel.status_code", "ok")], Some(1), "", 0),
        (
            vec![text("otel.status_code", "ERROR"), text("otel.status_description", "x")],
            Some(2),
            "x",
            0,
        ),
        (vec![text("otel.status_code", "?")], Some(0), "", 0),
        (vec![http(200)], None, "", 1),
        (vec![http(500), text("http.status_message", "oh")], Some(2), "oh", 2),
        (vec![text("http.status_code", "503")], Some(2), "", 1),
        (vec![http(404), kind("server")], None, "", 1),
        (vec![http(404), kind("client")], Some(2), "", 1),
        (vec![http(404)], Some(2), "", 1),
    ] {
        let span = tagged(tags.clone());
        assert_eq!(span.status.as_ref().map(|status| status.code), code, "{tags:?}");
        assert_eq!(span.status.unwrap_or_default().message, message, "{tags:?}");
        assert_eq!(span.attributes.len(), left, "{tags:?}");
    }
}

#[test]
fn the_kind_is_a_tag_and_the_format_is_nothing() {
    for (name, kind) in [
        ("client", SpanKind::Client),
        ("server", SpanKind::Server),
        ("producer", SpanKind::Producer),
        ("consumer", SpanKind::Consumer),
        ("internal", SpanKind::Internal),
        ("other", SpanKind::Unspecified),
    ] {
        let span = tagged(vec![text("span.kind", name), text("internal.span.format", "proto")]);
        assert_eq!((span.kind, span.attributes), (kind.into(), vec![]));
    }
}

#[test]
fn the_parent_is_a_reference_and_the_others_are_links() {
    let reference =
        |trace_id, span_id, is_follows_from| Reference { trace_id, span_id, is_follows_from };
    for (parent_span_id, references, parent, links) in [
        (7, vec![], 7, vec![]),
        (7, vec![reference(1, 7, false)], 7, vec![]),
        (0, vec![reference(1, 8, true), reference(1, 9, false)], 9, vec![(8, "follows_from")]),
        (
            0,
            vec![reference(2, 9, false), reference(1, 8, true)],
            8,
            vec![(9, "child_of"), (8, "follows_from")],
        ),
        (0, vec![reference(2, 9, false)], 0, vec![(9, "child_of")]),
    ] {
        let span =
            Span { trace_id: 1, id: 5, parent_id: parent_span_id, references, ..Span::default() };
        let span = otlp(span);
        let id = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_be_bytes);
        assert_eq!(id(&span.parent_span_id), parent);
        let found = span.links.iter().map(|link| (id(&link.span_id), link.attributes[0].clone()));
        let expected = links.iter().map(|(id, kind)| (*id, text("opentracing.ref_type", *kind)));
        assert!(found.eq(expected), "{:?}", span.links);
    }
}

#[test]
fn the_process_is_the_resource() {
    let tags = vec![text("hostname", "h"), text("jaeger.version", "Go-2"), text("ip", "1.2.3.4")];
    let process = Process { service_name: "shop".to_owned(), tags };
    let group = translated(Some(&process), Span { id: 1, ..Span::default() });
    let expected = [
        text("service.name", "shop"),
        text("ip", "1.2.3.4"),
        text("host.name", "h"),
        text("opencensus.exporterversion", "Jaeger-Go-2"),
    ];
    assert_eq!(group.resource.unwrap().attributes, expected);
    let tags = vec![text("service.name", "tag")];
    let process = Process { service_name: "shop".to_owned(), tags: tags.clone() };
    let group = translated(Some(&process), Span { id: 1, ..Span::default() });
    assert_eq!(group.resource.unwrap().attributes, tags);
    let process = Process { service_name: "OTLPResourceNoServiceName".to_owned(), tags: vec![] };
    let group = translated(Some(&process), Span { id: 1, ..Span::default() });
    assert_eq!(group.resource.unwrap().attributes, []);
}

#[test]
fn a_span_in_which_nothing_is_set_is_no_span() {
    let mut translation = Translation::new(None, 0);
    translation.add(Span::default()).unwrap();
    assert_eq!(translation.finish(), b"");
}

#[test]
fn other_methods_of_the_agent_are_named() {
    let packet = packet(Protocol::Compact, b"\x82\x81\x00\x03foo\x00", 100).unwrap_err();
    assert_eq!(packet.to_string(), "the agent has no method \"foo\", only emitBatch");
}

#[test]
fn an_id_has_the_length_of_an_id() {
    let request = b"\x0a\x05\x0a\x03\x0a\x01\x07";
    assert_eq!(post_spans(request, 100), Err(Error::TraceId(1)));
}
