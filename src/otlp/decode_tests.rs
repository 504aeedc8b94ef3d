//! Requests that are sound, odd or wrong, and what is kept of them.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use prost::Message;

use super::*;
use crate::columns::{OwnerValue, RestType, ScalarType};
use crate::otlp::encode_trace;
use crate::trace::Scalar;
use crate::trace::wire::{put_bytes_field, put_varint_field};

fn span(name: &str) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: name.into(),
        attributes: vec![attribute("k", Any::StringValue("v".into()))],
        events: vec![Event { name: "e".into(), ..Event::default() }],
        links: vec![Link { trace_id: vec![3; 16], ..Link::default() }],
        status: Some(Status { message: "m".into(), code: 2 }),
        ..Span::default()
    }
}

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

fn request(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    TracesData { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
        .encode_to_vec()
}

/// A request with one span, given as its message.
fn request_of(span: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wrap(&mut out, 1, |out| wrap(out, 2, |out| put_bytes_field(out, 2, span)));
    out
}

fn wrap(out: &mut Vec<u8>, number: u32, fill: impl Fn(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fill(&mut inner);
    put_bytes_field(out, number, &inner);
}

fn ids(out: &mut Vec<u8>) {
    put_bytes_field(out, 1, &[1; 16]);
    put_bytes_field(out, 2, &[2; 8]);
}

fn out_of(spans: &Spans) -> Vec<u8> {
    encode_trace(&(0..spans.len()).map(|row| (spans, row)).collect::<Vec<_>>())
}

fn reasons(body: &[u8]) -> Vec<(u32, String)> {
    let decoded = decode(body).unwrap();
    decoded.rejected.iter().map(|span| (span.ordinal, span.reason.to_string())).collect()
}

fn attributes_of(spans: &Spans, row: u32) -> Vec<String> {
    let mut all = Vec::new();
    spans.attributes.of_owner(&spans.pool, row, |key, value| all.push(format!("{key} {value:?}")));
    all
}

#[test]
fn a_wrong_id_rejects_its_span_and_says_what_was_found() {
    let body = request(vec![
        span("good"),
        Span { trace_id: vec![0xab; 15], ..span("") },
        Span { trace_id: vec![0; 16], ..span("") },
        Span { span_id: vec![], ..span("") },
        Span { span_id: vec![b'x'; 100], ..span("") },
        Span { parent_span_id: vec![1, 2], ..span("") },
        span("good too"),
    ]);
    let x = "x".repeat(32);
    assert_eq!(
        reasons(&body),
        [
            (
                1,
                "trace id is 15 bytes (ababababababababababababababab), expected 16 bytes (32 hex digits in JSON) that are not all zero"
                    .into()
            ),
            (
                2,
                "trace id is 16 bytes (00000000000000000000000000000000), expected 16 bytes (32 hex digits in JSON) that are not all zero"
                    .into()
            ),
            (3, "span id is empty, expected 8 bytes (16 hex digits in JSON) that are not all zero".into()),
            (
                4,
                format!(
                    "span id is 100 bytes (\"{x}…\"), expected 8 bytes (16 hex digits in JSON) that are not all zero"
                )
            ),
            (5, "parent span id is 2 bytes (0102), expected none or 8 bytes (16 hex digits in JSON)".into()),
        ]
    );
    let Decoded { spans, total, .. } = decode(&body).unwrap();
    let names: Vec<_> = spans.name.iter().map(|code| spans.pool.text(*code)).collect();
    assert_eq!((names, total), (vec!["good", "good too"], 7));
    assert_eq!(spans.events.row, [0, 1]);
}

#[test]
fn a_text_that_is_not_utf8_rejects_its_span() {
    let mut name = Vec::new();
    ids(&mut name);
    put_bytes_field(&mut name, 5, b"\xff");
    assert_eq!(reasons(&request_of(&name)), [(0, "name is not UTF-8".into())]);

    let mut value = Vec::new();
    ids(&mut value);
    wrap(&mut value, 9, |out| {
        put_bytes_field(out, 1, b"http.url");
        wrap(out, 2, |out| put_bytes_field(out, 1, b"\xff"));
    });
    assert_eq!(reasons(&request_of(&value)), [(0, "attribute \"http.url\" is not UTF-8".into())]);

    // Of a resource: all its spans, and no others.
    let mut body = Vec::new();
    wrap(&mut body, 1, |out| {
        wrap(out, 1, |out| wrap(out, 1, |out| put_bytes_field(out, 1, b"\xff")));
        wrap(out, 2, |out| put_bytes_field(out, 2, &span("bad").encode_to_vec()));
    });
    body.extend_from_slice(&request(vec![span("good")]));
    assert_eq!(reasons(&body), [(0, "the resource is not UTF-8".into())]);
    assert_eq!(decode(&body).unwrap().spans.len(), 1);
}

#[test]
fn an_error_names_the_place() {
    let mut cut = span("").encode_to_vec();
    cut.pop();
    let mut bad_type = span("").encode_to_vec();
    put_varint_field(&mut bad_type, 5, 1);
    let good = span("").encode_to_vec();
    for (bad, expected) in [
        (cut, "the message ends inside a field"),
        (bad_type, "field 5 has wire type 0, expected length-delimited"),
    ] {
        let mut body = request(vec![]);
        wrap(&mut body, 1, |out| {
            wrap(out, 2, |_| ());
            wrap(out, 2, |out| {
                put_bytes_field(out, 2, &good);
                put_bytes_field(out, 2, &bad);
            });
        });
        let error = decode(&body).err().unwrap().to_string();
        assert_eq!(error, format!("resource_spans[1].scope_spans[1].spans[1]: {expected}"));
    }
    let error = decode(b"{}").err().unwrap().to_string();
    assert_eq!(error, "request: the message ends inside a field");
}

#[test]
fn a_body_cut_anywhere_inside_is_undecodable() {
    let body = request(vec![span("one"), span("two")]);
    for end in 1..body.len() {
        assert!(decode(&body[..end]).is_err(), "{end}");
    }
    assert_eq!(decode(&body[..0]).unwrap().total, 0);
}

#[test]
fn unknown_fields_survive_to_the_byte() {
    let unknown = |out: &mut Vec<u8>| put_bytes_field(out, 1000, b"from the future");
    let mut body = Vec::new();
    wrap(&mut body, 1, |out| {
        wrap(out, 2, |out| {
            wrap(out, 2, |out| {
                ids(out);
                wrap(out, 11, |out| {
                    put_bytes_field(out, 2, b"event");
                    unknown(out);
                });
                wrap(out, 13, |out| {
                    put_bytes_field(out, 1, &[7; 16]);
                    unknown(out);
                });
                wrap(out, 15, |out| put_varint_field(out, 3, 2));
                unknown(out);
                put_varint_field(out, 17, 5);
                // Of an attribute: the whole of it is kept.
                wrap(out, 9, |out| {
                    put_bytes_field(out, 1, b"key");
                    wrap(out, 2, |out| put_varint_field(out, 3, 1));
                    unknown(out);
                });
            });
            unknown(out);
        });
        unknown(out);
    });
    let decoded = decode(&body).unwrap();
    assert_eq!(out_of(&decoded.spans), body);
}

#[test]
fn a_status_with_an_unknown_field_is_typed_and_kept() {
    let mut message = Vec::new();
    ids(&mut message);
    wrap(&mut message, 15, |out| {
        put_varint_field(out, 1, 9); // deprecated
        put_varint_field(out, 3, 2);
    });
    let spans = decode(&request_of(&message)).unwrap().spans;
    assert_eq!(spans.status, [2]);
    let unknown = spans.pool.get(spans.unknown[0].1);
    assert_eq!(unknown, &message[message.len() - 6..]);
    assert!(out_of(&spans).ends_with(unknown));
}

#[test]
fn a_parent_of_zeros_is_none_and_comes_back() {
    let body = request(vec![Span { parent_span_id: vec![0; 8], ..span("") }]);
    let spans = decode(&body).unwrap().spans;
    assert!(spans.parent_id[0].is_none());
    let out = TracesData::decode(&out_of(&spans)[..]).unwrap();
    assert_eq!(out.resource_spans[0].scope_spans[0].spans[0].parent_span_id, vec![0; 8]);
}

#[test]
fn values_that_are_no_single_scalar_go_to_rest_with_the_last_type() {
    let mut message = Vec::new();
    ids(&mut message);
    let value = |out: &mut Vec<u8>, key: &str, fill: &dyn Fn(&mut Vec<u8>)| {
        wrap(out, 9, |out| {
            put_bytes_field(out, 1, key.as_bytes());
            wrap(out, 2, fill);
        });
    };
    value(&mut message, "two", &|out| {
        put_varint_field(out, 3, 1);
        put_bytes_field(out, 1, b"last");
    });
    value(&mut message, "unknown", &|out| put_varint_field(out, 8, 1));
    value(&mut message, "bytes", &|out| put_bytes_field(out, 7, b""));
    value(&mut message, "empty", &|_| ());
    let spans = decode(&request_of(&message)).unwrap().spans;
    assert_eq!(
        spans.attributes.rest.types,
        [RestType::String, RestType::Empty, RestType::Bytes, RestType::Empty]
            .map(|kind| kind as u8)
    );
}

#[test]
fn an_attribute_without_key_is_typed_and_one_without_value_is_kept_raw() {
    let mut message = Vec::new();
    ids(&mut message);
    wrap(&mut message, 9, |out| wrap(out, 2, |out| put_varint_field(out, 2, 1)));
    wrap(&mut message, 9, |out| put_bytes_field(out, 1, b"k"));
    let spans = decode(&request_of(&message)).unwrap().spans;
    assert_eq!(
        attributes_of(&spans, 0),
        [format!(" {:?}", OwnerValue::Scalar(Scalar::Bool(true)))]
    );
    assert_eq!(out_of(&spans), request_of(&message));
}

#[test]
fn what_is_around_spans_may_come_after_them() {
    let mut body = Vec::new();
    wrap(&mut body, 1, |out| {
        wrap(out, 2, |out| {
            put_bytes_field(out, 2, &span("").encode_to_vec());
            put_bytes_field(out, 3, b"scope url");
            wrap(out, 1, |out| put_bytes_field(out, 1, b"lib"));
            // In two parts, which are one message.
            wrap(out, 1, |out| put_bytes_field(out, 2, b"1.0"));
        });
        put_bytes_field(out, 3, b"resource url");
    });
    // An equal one, in the usual order, is the same resource.
    wrap(&mut body, 1, |out| {
        put_bytes_field(out, 3, b"resource url");
        wrap(out, 2, |out| {
            wrap(out, 1, |out| {
                put_bytes_field(out, 1, b"lib");
                put_bytes_field(out, 2, b"1.0");
            });
            put_bytes_field(out, 3, b"scope url");
            put_bytes_field(out, 2, &span("").encode_to_vec());
        });
    });
    let spans = decode(&body).unwrap().spans;
    assert_eq!((spans.resource.clone(), spans.resources.len()), (vec![0, 0], 1));
    let resource = &spans.resources[0];
    assert_eq!(resource.parts().resource_schema_url, "resource url");
    assert_eq!(resource.parts().scope_schema_url, "scope url");
    let view = resource.view();
    assert_eq!((view.scope_name.as_str(), view.scope_version.as_str()), ("lib", "1.0"));
}

#[test]
fn of_a_field_that_comes_twice_the_last_counts() {
    let mut message = span("first").encode_to_vec();
    put_bytes_field(&mut message, 5, b"second");
    let spans = decode(&request_of(&message)).unwrap().spans;
    assert_eq!(spans.pool.text(spans.name[0]), "second");
}

#[test]
fn a_nesting_bomb_rejects_its_span() {
    let mut value = Any::IntValue(1);
    for _ in 0..200 {
        value = Any::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(value) }] });
    }
    let bomb = Span { attributes: vec![attribute("bomb", value)], ..span("") };
    assert_eq!(
        reasons(&request(vec![span(""), bomb])),
        [(1, "attribute \"bomb\" is nested deeper than 100".into())]
    );
}

#[test]
fn a_long_key_and_many_attributes_are_taken() {
    let key = "k".repeat(64 * 1024);
    let mut attributes = vec![attribute(&key, Any::BoolValue(true))];
    // Were each looked for among all others, this would not end.
    for index in 0..100_000 {
        attributes.push(attribute(&format!("{}", index % 60_000), Any::BytesValue(vec![1])));
    }
    let spans = decode(&request(vec![Span { attributes, ..span("") }])).unwrap().spans;
    let code = spans.pool.find(key.as_bytes()).unwrap();
    assert!(spans.attributes.column(code, ScalarType::Bool).is_some());
    let repeated = spans.attributes.rest.types.iter().filter(|kind| **kind > 16).count();
    assert_eq!((spans.attributes.rest.owners.len(), repeated), (100_000, 40_000));
}

#[test]
fn replay_passes_over_what_was_refused() {
    let body = request(vec![span("a"), Span { span_id: vec![], ..span("bad") }, span("c")]);
    let spans = decode_accepted(&body, |ordinal| ordinal == 1).unwrap();
    assert_eq!(spans.len(), 2);
    let error = decode_accepted(&body, |_| false).err().unwrap().to_string();
    assert_eq!(
        error,
        "resource_spans[0].scope_spans[0].spans[1]: span id is empty, expected 8 bytes (16 hex digits in JSON) that are not all zero"
    );
}

#[test]
fn a_flood_of_empty_spans_is_refused_as_a_whole() {
    let mut body = Vec::new();
    wrap(&mut body, 1, |out| wrap(out, 2, |out| out.extend([0x12, 0].repeat(REJECTED_MAX + 1))));
    assert_eq!(
        decode(&body).err().unwrap().to_string(),
        "more than 65536 spans are wrong, the last of them: trace id is empty, expected 16 bytes \
         (32 hex digits in JSON) that are not all zero"
    );
}
