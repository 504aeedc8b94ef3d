//! Bodies as different senders write them.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, TracesData};
use prost::Message as _;

use super::*;
use crate::otlp::decode;

/// The example of the specification.
const EXAMPLE: &str = r#"{"resourceSpans": [{
    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
    "scopeSpans": [{
        "scope": {"name": "my.library", "version": "1.0.0",
            "attributes": [{"key": "my.scope.attribute", "value": {"stringValue": "some scope attribute"}}]},
        "spans": [{
            "traceId": "5B8EFFF798038103D269B633813FC60C",
            "spanId": "EEE19B7EC3C1B174",
            "parentSpanId": "EEE19B7EC3C1B173",
            "name": "I'm a server span",
            "startTimeUnixNano": "1544712660000000000",
            "endTimeUnixNano": "1544712661000000000",
            "kind": 2,
            "attributes": [{"key": "my.span.attr", "value": {"stringValue": "some value"}}]
        }]
    }]
}]}"#;

fn read(body: &str) -> Vec<ResourceSpans> {
    TracesData::decode(&transcode(body.as_bytes()).unwrap()[..]).unwrap().resource_spans
}

/// The span that has these fields, in a request with valid ids.
fn span_of(fields: &str) -> Span {
    read(&body_of(fields)).remove(0).scope_spans.remove(0).spans.remove(0)
}

fn body_of(fields: &str) -> String {
    format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"01020304050607080102030405060708","spanId":"0102030405060708",{fields}}}]}}]}}]}}"#
    )
}

fn values_of(list: &str) -> Vec<Option<Any>> {
    let attributes = span_of(&format!(r#""attributes":[{list}]"#)).attributes;
    attributes.into_iter().map(|attribute| attribute.value.unwrap().value).collect()
}

fn error_of(body: &str) -> String {
    transcode(body.as_bytes()).unwrap_err().to_string()
}

#[test]
fn the_example_of_the_specification_is_read() {
    let groups = read(EXAMPLE);
    let scope_spans = &groups[0].scope_spans[0];
    let scope = scope_spans.scope.as_ref().unwrap();
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("my.library", "1.0.0"));
    assert_eq!(scope.attributes[0].key, "my.scope.attribute");
    let span = &scope_spans.spans[0];
    assert_eq!(const_hex::encode(&span.trace_id), "5b8efff798038103d269b633813fc60c");
    assert_eq!(const_hex::encode(&span.parent_span_id), "eee19b7ec3c1b173");
    assert_eq!((span.name.as_str(), span.kind), ("I'm a server span", 2));
    assert_eq!(span.start_time_unix_nano, 1_544_712_660_000_000_000);
    assert_eq!(span.status, None);
    let decoded = decode(&transcode(EXAMPLE.as_bytes()).unwrap()).unwrap();
    assert_eq!(&**decoded.spans.resources[0].service_name(), "my.service");
}

#[test]
fn names_of_the_proto_file_are_the_same_fields() {
    let snake = EXAMPLE
        .replace("resourceSpans", "resource_spans")
        .replace("scopeSpans", "scope_spans")
        .replace("traceId", "trace_id")
        .replace("startTimeUnixNano", "start_time_unix_nano")
        .replace("stringValue", "string_value");
    assert_eq!(read(&snake), read(EXAMPLE));
}

#[test]
fn an_sdk_with_numbers_nulls_and_news_is_read() {
    // Numbers as numbers, all lists and messages written out, fields that we do not have.
    let span = span_of(
        r#""traceState":"a=b","parentSpanId":"","flags":257,"name":"fetch","kind":"SPAN_KIND_CLIENT",
        "startTimeUnixNano":1700000000000000001,"endTimeUnixNano":1.5e18,"attributes":null,
        "droppedAttributesCount":3,"events":[{"timeUnixNano":"7","name":"e","attributes":[],"droppedAttributesCount":1}],
        "links":[{"traceId":"aa","spanId":"0102030405060708","flags":1}],"droppedLinksCount":0,
        "status":{"code":"STATUS_CODE_ERROR","message":"no"},"isRemote":{"a":[1,{"b":null}]}"#,
    );
    assert_eq!((span.kind, span.flags, span.trace_state), (3, 257, "a=b".to_owned()));
    assert_eq!(span.start_time_unix_nano, 1_700_000_000_000_000_001);
    assert_eq!(span.end_time_unix_nano, 1_500_000_000_000_000_000);
    assert_eq!((span.events[0].time_unix_nano, span.events[0].name.as_str()), (7, "e"));
    assert_eq!((&span.links[0].trace_id[..], span.links[0].flags), (&[0xaa][..], 1));
    assert_eq!(span.status.unwrap().code, 2);
    assert_eq!(span.dropped_attributes_count, 3);

    let span = span_of(r#""kind":"4","status":null,"name":null,"links":null"#);
    assert_eq!((span.kind, span.status, span.name.as_str()), (4, None, ""));
    assert!(span_of(r#""status":{}"#).status.is_some());
    assert_eq!(span_of(r#""kind":-7"#).kind, -7);
    assert_eq!(read("{}"), []);
    assert_eq!(read(r#"{"resourceSpans":null}"#), []);
}

#[test]
fn every_type_of_value_is_read() {
    let values = values_of(
        r#"{"key":"a","value":{"stringValue":""}},{"key":"a","value":{"boolValue":false}},
        {"key":"a","value":{"intValue":"-9223372036854775808"}},{"key":"a","value":{"intValue":5}},
        {"key":"a","value":{"doubleValue":1}},{"key":"a","value":{"doubleValue":"-Infinity"}},
        {"key":"a","value":{"doubleValue":"0.5"}},{"key":"a","value":{"bytesValue":"-_8="}},
        {"key":"a","value":{"bytesValue":"+/8"}},{"key":"a","value":{}},
        {"key":"a","value":{"stringValue":null}}"#,
    );
    let expected = [
        Some(Any::StringValue(String::new())),
        Some(Any::BoolValue(false)),
        Some(Any::IntValue(i64::MIN)),
        Some(Any::IntValue(5)),
        Some(Any::DoubleValue(1.0)),
        Some(Any::DoubleValue(f64::NEG_INFINITY)),
        Some(Any::DoubleValue(0.5)),
        Some(Any::BytesValue(vec![0xfb, 0xff])),
        Some(Any::BytesValue(vec![0xfb, 0xff])),
        None,
        None,
    ];
    assert_eq!(values, expected);
    let nan = values_of(r#"{"key":"a","value":{"doubleValue":"NaN"}}"#);
    assert!(matches!(nan[0], Some(Any::DoubleValue(value)) if value.is_nan()));
    let nested = values_of(
        r#"{"key":"a","value":{"arrayValue":{"values":[{"intValue":1},null,{"kvlistValue":{"values":[{"key":"k"}]}}]}}},
        {"key":"a","value":{"arrayValue":{}}}"#,
    );
    let Some(Any::ArrayValue(array)) = &nested[0] else { panic!("{nested:?}") };
    assert_eq!(array.values.len(), 3);
    assert_eq!(array.values[1].value, None);
    assert!(
        matches!(&array.values[2].value, Some(Any::KvlistValue(list)) if list.values[0].key == "k")
    );
    assert!(matches!(&nested[1], Some(Any::ArrayValue(array)) if array.values.is_empty()));
}

#[test]
fn a_wrong_id_or_half_a_character_rejects_only_its_span() {
    let good = r#""traceId":"5b8efff798038103d269b633813fc60c""#;
    let body = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[
            {{{good},"spanId":"eee19b7ec3c1b174"}},
            {{"traceId":"W47/95gDgQPSabYzgT/GDA==","spanId":"eee19b7ec3c1b174"}},
            {{{good},"spanId":"eee19b7ec3c1b17"}},
            {{{good},"spanId":"not hex!"}},
            {{{good},"spanId":"eee19b7ec3c1b174","name":"cut \ud83d"}},
            {{}}]}}]}}]}}"#
    );
    let decoded = decode(&transcode(body.as_bytes()).unwrap()).unwrap();
    let reasons: Vec<String> =
        decoded.rejected.iter().map(|rejected| rejected.reason.to_string()).collect();
    assert_eq!(
        reasons,
        [
            "trace id is 24 bytes (\"W47/95gDgQPSabYzgT/GDA==\"), expected 16 bytes (32 hex digits in JSON) that are not all zero",
            "span id is 15 bytes (\"eee19b7ec3c1b17\"), expected 8 bytes (16 hex digits in JSON) that are not all zero",
            "span id is 9 bytes (\"not hex! \"), expected 8 bytes (16 hex digits in JSON) that are not all zero",
            "name is not UTF-8",
            "trace id is empty, expected 16 bytes (32 hex digits in JSON) that are not all zero",
        ]
    );
    assert_eq!(decoded.spans.len(), 1);
}

#[test]
fn an_error_names_the_path_and_what_is_allowed() {
    let start = "resourceSpans[0].scopeSpans[0].spans[0]";
    for (fields, expected) in [
        (
            r#""startTimeUnixNano":"yesterday""#,
            ".startTimeUnixNano: invalid value: string \"yesterday\", expected a whole number from 0 to \
             18446744073709551615, in quotes or not at line 1 column",
        ),
        (r#""startTimeUnixNano":-1"#, ".startTimeUnixNano: invalid value: integer `-1`, expected"),
        (
            r#""status":{"code":"ERROR"}"#,
            ".status.code: invalid value: string \"ERROR\", expected a number or one of STATUS_CODE_UNSET, \
             STATUS_CODE_OK, STATUS_CODE_ERROR",
        ),
        (r#""name":5"#, ".name: invalid type: integer `5`, expected a string"),
        (r#""attributes":{}"#, ".attributes: invalid type: map, expected an array"),
        (
            r#""attributes":[{"key":"a"},{"value":{"boolValue":"true"}}]"#,
            ".attributes[1].value.boolValue: invalid type: string \"true\", expected true or false",
        ),
        (
            r#""attributes":[{"value":{"bytesValue":"?"}}]"#,
            ".attributes[0].value.bytesValue: invalid value: string \"?\", expected base64",
        ),
        (r#""flags":4294967296"#, ".flags: invalid value: integer `4294967296`, expected"),
        (r#""links":["#, ".links[0]: "),
    ] {
        let error = error_of(&body_of(fields));
        assert!(error.starts_with(&format!("{start}{expected}")), "{error}");
    }
    assert!(
        error_of("[]").starts_with("body: invalid type: sequence, expected an OTLP trace request")
    );
    assert!(error_of("").starts_with("body: EOF while parsing"));
    assert!(error_of("{} {}").starts_with("body: trailing characters"));
}

#[test]
fn nesting_is_bounded() {
    let depth = 10_000;
    let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(depth), "]}}".repeat(depth));
    let body = body_of(&format!(r#""attributes":[{{"key":"a","value":{open}{close}}}]"#));
    assert!(error_of(&body).contains("recursion limit exceeded"));
    let ignored = body_of(&format!(r#""other":{}{}"#, "[".repeat(depth), "]".repeat(depth)));
    transcode(ignored.as_bytes()).ok();
}

#[test]
fn a_body_cut_anywhere_is_an_error() {
    for end in 0..EXAMPLE.len() {
        assert!(transcode(&EXAMPLE.as_bytes()[..end]).is_err(), "{end}");
    }
}
