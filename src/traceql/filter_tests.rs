//! Conditions: what each operator keeps.

use crate::columns::Batch;
use crate::trace::Value;
use crate::traceql::testing::{TestSpan, batch, kept, span, text, texts};

fn all_keep(batch: &Batch, table: &[(&str, &[u64])]) {
    for (condition, ids) in table {
        assert_eq!(kept(&format!("{{ {condition} }}"), batch), *ids, "{condition}");
    }
}

#[test]
fn a_missing_value_makes_comparisons_false_and_their_negation_true() {
    let batch = batch(&[vec![
        span(1, 0).with("a", Value::Int(1)),
        span(2, 1).with("a", text("x")),
        span(3, 1),
        span(4, 1).with("flag", Value::Bool(false)),
        span(5, 1).with("flag", Value::Bool(true)),
        span(6, 1).with("a", Value::Bytes(vec![1])),
    ]]);
    all_keep(
        &batch,
        &[
            ("span.a = 1", &[1]),
            ("span.a != 1", &[]),
            ("span.a != 2", &[1]),
            ("span.a != \"y\"", &[2]),
            ("!(span.a = 1)", &[2, 3, 4, 5, 6]),
            ("!(span.a < 500)", &[2, 3, 4, 5, 6]),
            ("span.a = nil", &[3, 4, 5]),
            ("span.a != nil", &[1, 2, 6]),
            ("nil = span.a", &[3, 4, 5]),
            ("!(span.a != nil)", &[3, 4, 5]),
            ("span.flag", &[5]),
            ("!span.flag", &[4]),
            ("!!span.flag", &[5]),
            ("span.flag || span.a = 1", &[1, 5]),
            ("span.flag = span.flag", &[4, 5]),
            ("span.nothing != \"x\"", &[]),
            ("span.a + 1 = 2", &[1]),
            ("!(span.a + 1 = 2)", &[2, 3, 4, 5, 6]),
            ("(span.a + 1) = nil", &[2, 3, 4, 5, 6]),
            ("span.a / 0 = 1", &[]),
            ("span.a =~ \".*\"", &[2]),
            ("span.a !~ \"y\"", &[2]),
            ("true", &[1, 2, 3, 4, 5, 6]),
            ("false", &[]),
        ],
    );
}

#[test]
fn numbers_mix() {
    let batch = batch(&[vec![
        span(1, 0).with("n", Value::Int(409)).at(1000, 2_000_000_001),
        span(2, 1).with("n", Value::Double(409.0)).at(1000, 2_000_000_000),
        span(3, 1).with("n", Value::Int(-3)).at(1000, 26_000),
        span(4, 1).with("n", Value::Double(8.25)).at(1000, 0),
        span(5, 1).with("n", Value::Int(9_223_372_036_854_775_801)).at(1000, 5),
    ]]);
    all_keep(
        &batch,
        &[
            ("span.n = 409", &[1, 2]),
            ("span.n = 409.0", &[1, 2]),
            ("span.n > 408.5", &[1, 2, 5]),
            ("span.n < 0", &[3]),
            ("-10 > span.n", &[]),
            ("-2 > span.n", &[3]),
            ("409 != span.n", &[3, 4, 5]),
            ("span.n > 9223372036854775800", &[5]),
            ("span.n > 9223372036854775807.0", &[]),
            ("2s < duration", &[1]),
            ("duration >= 2s", &[1, 2]),
            ("duration = 26us", &[3]),
            ("duration < 26000.5", &[3, 4, 5]),
            ("duration > 1s + 500ms", &[1, 2]),
            ("span.n * 2 = 818", &[1, 2]),
            ("span.n ^ 2 = 9", &[3]),
            ("2 ^ span.n < 1", &[3]),
            ("-span.n = 3", &[3]),
            ("span.n = span.n", &[1, 2, 3, 4, 5]),
            ("duration > span.n", &[1, 2, 3]),
        ],
    );
}

#[test]
fn texts_compare_by_bytes_and_patterns_match_whole() {
    let batch = batch(&[vec![
        span(1, 0).named("GET /a/{id}").with("t", text("orders")),
        span(2, 1).named("GET\n/b").with("t", text("stock")),
        span(3, 1).named("café").with("t", text("")),
    ]]);
    all_keep(
        &batch,
        &[
            ("name =~ \"GET /a/{id}\"", &[1]),
            ("name =~ \"GET.*\"", &[1, 2]),
            ("name =~ \"GET\"", &[]),
            ("name !~ \"GET.*\"", &[3]),
            ("name =~ \"caf.\"", &[3]),
            ("name =~ \"caf\\\\w\"", &[]),
            ("span.t =~ \"orders|stock\"", &[1, 2]),
            ("span.t < \"p\"", &[1, 3]),
            ("span.t = \"\"", &[3]),
            ("name > \"b\"", &[3]),
        ],
    );
}

#[test]
fn scopes_and_shadowing() {
    let resource = |span: TestSpan| span.resource("region", text("eu")).service("cart");
    let batch = batch(&[vec![
        resource(span(1, 0)).with("region", text("us")),
        resource(span(2, 1)).scope("lib", "1.0").scope_with("mode", text("auto")),
        span(3, 1).with("region", text("eu")),
        resource(span(4, 1)).with("region", Value::Bytes(vec![0])),
    ]]);
    all_keep(
        &batch,
        &[
            (".region = \"eu\"", &[2, 3]),
            (".region = \"us\"", &[1]),
            (".region != \"eu\"", &[1]),
            (".region = nil", &[]),
            ("resource.region = \"eu\"", &[1, 2, 4]),
            ("span.region = \"eu\"", &[3]),
            ("resource.service.name != nil", &[1, 2, 3, 4]),
            ("resource.service.name = ``", &[3]),
            ("resource.service.name =~ `|x`", &[3]),
            ("resource.region = span.region", &[]),
            ("instrumentation:name = \"lib\"", &[2]),
            ("instrumentation:version = \"\"", &[1, 3, 4]),
            ("instrumentation.mode = \"auto\"", &[2]),
            ("instrumentation.mode = nil", &[1, 3, 4]),
            ("instrumentation:name != \"lib\"", &[1, 3, 4]),
        ],
    );
}

#[test]
fn arrays_match_by_any_element() {
    let batch = batch(&[vec![
        span(1, 0).with("tags", texts(&["x", "y"])).with("n", Value::Array(vec![Value::Int(5)])),
        span(2, 1).with("tags", texts(&["x"])),
        span(3, 1).with("tags", text("y")),
        span(4, 1).with("tags", Value::Array(vec![])),
        span(5, 1).with("tags", Value::Array(vec![text("x"), Value::Int(1)])),
        span(6, 1).with("tags", Value::Map(vec![("x".to_owned(), text("x"))])),
    ]]);
    all_keep(
        &batch,
        &[
            ("span.tags = \"x\"", &[1, 2]),
            ("span.tags != \"x\"", &[1, 3]),
            ("span.tags =~ \"x|z\"", &[1, 2]),
            ("span.tags !~ \"x\"", &[1, 3]),
            ("span.tags > \"x\"", &[1, 3]),
            ("span.tags != nil", &[1, 2, 3, 5, 6]),
            ("span.tags = nil", &[4]),
            ("span.tags = \"x\" || span.tags = \"y\"", &[1, 2, 3]),
            ("span.n > 4", &[1]),
            ("6 > span.n", &[1]),
            ("span.n + 1 = 6", &[1]),
        ],
    );
}

#[test]
fn tests_of_events_hold_of_one_event() {
    let exception = |kind: &str| [("kind", text(kind)), ("n", Value::Int(1))];
    let batch = batch(&[vec![
        span(1, 0).at(100, 50).event("exception", 110, &exception("io")).event("log", 120, &[]),
        span(2, 1).at(100, 50).event("log", 90, &exception("io")).event("exception", 130, &[]),
        span(3, 1).at(100, 50),
        span(4, 1).at(100, 50).event("flagged", 100, &[("flag", Value::Bool(false))]),
    ]]);
    all_keep(
        &batch,
        &[
            ("event:name = \"exception\" && event.kind = \"io\"", &[1]),
            ("event:name = \"exception\" && name = \"\" && event.kind = \"io\"", &[1]),
            ("(event:name = \"log\" || event:name = \"x\") && event.kind = \"io\"", &[2]),
            ("event:name = \"log\" || event.kind = \"io\"", &[1, 2]),
            ("event:name = \"log\" && event:name = \"exception\"", &[]),
            ("event:name != \"log\"", &[1, 2, 4]),
            ("!(event:name = \"log\")", &[3, 4]),
            ("event.kind = nil", &[3, 4]),
            ("event.kind != nil", &[1, 2]),
            ("event:name = \"exception\" && event.kind = nil", &[2]),
            ("event:timeSinceStart < 10ns", &[2, 4]),
            ("event:timeSinceStart < 0", &[2]),
            ("event.n + 1 = 2", &[1, 2]),
            ("event.flag", &[]),
            ("!event.flag", &[4]),
            ("event:name = \"x\"", &[]),
        ],
    );
    assert_eq!(kept("{ event:name = \"log\" } && { event:name = \"exception\" }", &batch), [1, 2]);
}

#[test]
fn links_and_ids() {
    let batch = batch(&[vec![
        span(0xab01, 0).link(&[0, 0xCD], &[0, 1], &[("index", Value::Int(0))]),
        span(2, 0xab01).link(&[9], &[8], &[("index", Value::Int(1))]),
        span(3, 2),
    ]]);
    all_keep(
        &batch,
        &[
            ("link:traceID = \"00CD\"", &[0xab01]),
            ("link:traceID = \"cd\" && link.index = 0", &[0xab01]),
            ("link:traceID = \"cd\" && link.index = 1", &[]),
            ("link:traceID != nil", &[2, 0xab01]),
            ("link.index >= 0", &[2, 0xab01]),
            ("span:id = \"000000000000AB01\"", &[0xab01]),
            ("span:id =~ \"0+ab01\"", &[0xab01]),
            ("span:parentID = \"AB01\"", &[2]),
            ("span:parentID = \"0000000000000000\"", &[0xab01]),
            ("trace:id = \"00000000000000000000000000000001\"", &[2, 3, 0xab01]),
            ("trace:id = \"1\"", &[2, 3, 0xab01]),
            ("trace:id != \"01\"", &[]),
        ],
    );
}

#[test]
fn status_kind_and_the_trace_s_own_fields() {
    let batch = batch(&[
        vec![
            span(1, 0).named("root").service("web").status(2).kind(2).at(100, 1000),
            span(2, 1).status(0).kind(3).message("boom").at(200, 10),
            span(3, 1).status(7).kind(9).at(300, 10),
            span(4, 1).status(1).kind(1).at(300, 10),
        ],
        vec![span(5, 99).named("orphan").at(100, 10)],
    ]);
    all_keep(
        &batch,
        &[
            ("status = error", &[1]),
            ("status != error", &[2, 3, 4, 5]),
            ("status = unset", &[2, 5]),
            ("error = status", &[1]),
            ("!(status = ok)", &[1, 2, 3, 5]),
            ("kind = server", &[1]),
            ("kind = client", &[2]),
            ("kind != internal", &[1, 2, 3, 5]),
            ("statusMessage = \"\"", &[1, 3, 4, 5]),
            ("statusMessage != \"\"", &[2]),
            ("rootName = \"root\"", &[1, 2, 3, 4]),
            ("rootServiceName = \"\"", &[5]),
            ("traceDuration > 900ns && duration < 20", &[2, 3, 4]),
            ("span:childCount = 3", &[1]),
            ("span:childCount = 0", &[2, 3, 4, 5]),
            ("nestedSetParent = -1", &[1]),
            ("nestedSetParent = 0", &[5]),
            ("status = span.nothing", &[]),
        ],
    );
}
