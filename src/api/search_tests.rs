//! A search's answer, byte by byte.

use prost::Message;

use super::*;
use crate::api::format::Form;
use crate::api::json::to_json;
use crate::querier::Cost;
use crate::trace::{SpanId, TraceId, Value};
use crate::traceql::{Rank, ServiceCount};

fn answer() -> SearchAnswer {
    let span = SpanMatch {
        id: SpanId([0, 0xc0, 0xff, 0xee, 0, 0xc0, 0xff, 0xee]),
        start: 1_755_000_000_040_000_000,
        duration: 61_000_000,
        name: None,
        attributes: vec![
            ("span.db.system".to_owned(), Value::String("redis".to_owned())),
            ("status".to_owned(), Value::String("error".to_owned())),
        ],
    };
    let matching = SpansetMatch {
        matched: 4,
        attributes: vec![("avg(duration)".to_owned(), Value::String("58ms".to_owned()))],
        spans: vec![span],
    };
    let without_spans = SpansetMatch { matched: 0, attributes: vec![], spans: vec![] };
    let count =
        |service: &str, spans, errors| ServiceCount { service: service.into(), spans, errors };
    let whole = TraceMatch {
        id: TraceId(0x0123_4567_89ab_cdef_u128.to_be_bytes()),
        start: 1_755_000_000_000_000_000,
        duration: 843_999_999,
        root_service: "web".to_owned(),
        root_name: "GET /checkout?a&b".to_owned(),
        services: vec![count("web", 3, 0), count("cart", 7, 2)],
        spansets: vec![without_spans, matching],
        orphans: None,
        rank: Rank::default(),
    };
    let rootless = TraceMatch {
        id: TraceId(0xff_u128.to_be_bytes()),
        start: 1_754_999_990_000_000_000,
        duration: 999_999,
        root_service: String::new(),
        root_name: String::new(),
        services: vec![],
        spansets: vec![],
        orphans: None,
        rank: Rank::default(),
    };
    let cost = Cost {
        inspected_bytes: 2_210_331,
        inspected_traces: 1204,
        inspected_spans: 99,
        blocks: 2,
        blocks_skipped: 4,
        block_bytes: 734_003_200,
        jobs: 9,
        ..Cost::default()
    };
    SearchAnswer { traces: vec![whole, rootless], cost }
}

fn text(message: &SearchResponse) -> String {
    String::from_utf8(to_json(message)).unwrap()
}

#[test]
fn an_answer_has_tempos_json() {
    let spans = concat!(
        r#""spans":[{"spanID":"00c0ffee00c0ffee","startTimeUnixNano":"1755000000040000000","#,
        r#""durationNanos":"61000000","attributes":[{"key":"span.db.system","value":{"stringValue":"redis"}},"#,
        r#"{"key":"status","value":{"stringValue":"error"}}]}],"matched":4,"#,
        r#""attributes":[{"key":"avg(duration)","value":{"stringValue":"58ms"}}]"#,
    );
    let expected = [
        r#"{"traces":[{"traceID":"123456789abcdef","rootServiceName":"web","#,
        r#""rootTraceName":"GET /checkout?a\u0026b","startTimeUnixNano":"1755000000000000000","#,
        r#""durationMs":843,"spanSet":{"#,
        spans,
        r#"},"spanSets":[{"#,
        spans,
        r#"}],"serviceStats":{"cart":{"spanCount":7,"errorCount":2},"web":{"spanCount":3}}},"#,
        r#"{"traceID":"ff","rootServiceName":"\u003croot span not yet received\u003e","#,
        r#""startTimeUnixNano":"1754999990000000000"}],"#,
        r#""metrics":{"inspectedTraces":1204,"inspectedBytes":"2210331","totalBlocks":6,"#,
        r#""completedJobs":9,"totalJobs":9,"totalBlockBytes":"734003200"}}"#,
    ]
    .concat();
    assert_eq!(text(&response_of(answer(), false)), expected);
}

#[test]
fn no_traces_are_an_empty_list() {
    let nothing = SearchAnswer { traces: vec![], cost: Cost::default() };
    let message = response_of(nothing, false);
    assert_eq!(text(&message), r#"{"traces":[],"metrics":{}}"#);
    assert_eq!(message.encode_to_vec(), [0x12, 0]);
}

#[test]
fn ids_can_keep_their_zeros() {
    let message = response_of(answer(), true);
    assert_eq!(message.traces[0].trace_id, "00000000000000000123456789abcdef");
    assert_eq!(message.traces[1].trace_id, "000000000000000000000000000000ff");
}

#[test]
fn protobuf_says_the_same() {
    let message = response_of(answer(), false);
    let response = Form::Protobuf.answer(&message);
    assert_eq!(response.headers()["content-type"], "application/protobuf");
    assert_eq!(SearchResponse::decode(&message.encode_to_vec()[..]), Ok(message));
}
