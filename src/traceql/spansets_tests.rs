//! Pipelines: every stage, in any order.

use crate::columns::Batch;
use crate::trace::Value;
use crate::traceql::testing::{batch, kept, search, span, spansets, text};
use crate::traceql::{Ask, EvalError, compile};

/// Two services; ids 1 to 6; `x` on some, durations 10 to 60.
fn shop() -> Batch {
    batch(&[vec![
        span(1, 0).service("web").at(1000, 10).with("x", Value::Int(-3)).named("a"),
        span(2, 1).service("web").at(1000, 20).with("x", Value::Int(-5)).named("b"),
        span(3, 1).service("db").at(1000, 30).with("x", Value::Double(2.5)).named("a"),
        span(4, 1).service("db").at(1000, 40).named("b").status(2),
        span(5, 1).service("db").at(1000, 50).named("c").status(2),
        span(6, 1).service("web").at(1000, 60).with("x", text("no number")).named("c"),
    ]])
}

#[test]
fn stages_in_any_order() {
    let batch = shop();
    let table: [(&str, &[&[u64]]); 24] = [
        ("{ status = error } | count() = 2", &[&[4, 5]]),
        ("{ status = error } | count() < 2", &[]),
        ("{ false } | count() < 2", &[]),
        ("{} | by(resource.service.name)", &[&[3, 4, 5], &[1, 2, 6]]),
        ("by(resource.service.name)", &[&[3, 4, 5], &[1, 2, 6]]),
        ("{} | by(resource.service.name) | count() > 2 | { status = error }", &[&[4, 5]]),
        ("{} | by(resource.service.name) | by(name)", &[&[3], &[4], &[5], &[1], &[2], &[6]]),
        ("{} | by(resource.service.name) | coalesce()", &[&[1, 2, 3, 4, 5, 6]]),
        ("{} | by(name) | avg(duration) > 35ns", &[&[5, 6]]),
        ("{} | by(span.x)", &[&[1], &[2], &[3], &[4, 5], &[6]]),
        ("{} | by(span.x + 1)", &[&[1], &[2], &[3], &[4, 5, 6]]),
        ("{} | by(status = error) | count() = 4", &[&[1, 2, 3, 6]]),
        ("{} | select(span.x) | { span.y = 1 }", &[]),
        ("{} | select(span.x) | { name = \"a\" }", &[&[1, 3]]),
        ("{ name = \"a\" } | { duration > 10ns }", &[&[3]]),
        ("{ name = \"a\" } && { name = \"b\" }", &[&[1, 2, 3, 4]]),
        ("{ name = \"a\" } && { name = \"z\" }", &[]),
        ("{ name = \"z\" } || { name = \"c\" }", &[&[5, 6]]),
        (
            "({ name = \"a\" } | count() > 1) && ({ status = error } | count() > 1)",
            &[&[1, 3, 4, 5]],
        ),
        ("({ name = \"a\" } | count() > 2) || ({ status = error } | count() > 1)", &[&[4, 5]]),
        ("({} | by(name)) && ({ name = \"a\" })", &[&[1, 2, 3, 4, 5, 6]]),
        ("({ name = \"a\" } | count() > 1) > ({ status = error })", &[&[4, 5]]),
        ("{ name = \"a\" } > { status = error } | count() > 1", &[&[4, 5]]),
        ("count() > 5", &[&[1, 2, 3, 4, 5, 6]]),
    ];
    for (query, wanted) in table {
        assert_eq!(spansets(query, &batch), wanted, "{query}");
    }
}

#[test]
fn aggregates() {
    let batch = shop();
    let value = |aggregate: &str, filter: &str| {
        let query = format!("{{ {filter} }} | {aggregate} != 123456");
        let found = search(&query, &batch);
        found.first().map(|trace| trace.spansets[0].attributes[0].1.clone())
    };
    assert_eq!(value("avg(span.x)", "name = \"a\""), Some(Value::Double(-0.25)));
    assert_eq!(value("avg(span.x)", "span.x < 0"), Some(Value::Double(-4.0)));
    assert_eq!(value("sum(span.x)", "span.x < 0"), Some(Value::Int(-8)));
    assert_eq!(value("sum(span.x)", "true"), Some(Value::Double(-5.5)));
    assert_eq!(value("max(span.x)", "span.x < 0"), Some(Value::Int(-3)));
    assert_eq!(value("min(span.x)", "true"), Some(Value::Int(-5)));
    assert_eq!(value("max(span.x)", "true"), Some(Value::Double(2.5)));
    assert_eq!(value("max(-span.x)", "true"), Some(Value::Int(5)));
    assert_eq!(value("avg(duration)", "name = \"a\""), Some(text("20ns")));
    assert_eq!(value("sum(duration)", "true"), Some(text("210ns")));
    assert_eq!(value("max(duration)", "true"), Some(text("60ns")));
    assert_eq!(value("count()", "true"), Some(Value::Int(6)));
    // Nothing to aggregate: no spanset, whatever the comparison.
    assert_eq!(value("avg(span.x)", "status = error"), None);
    assert_eq!(value("max(span.x)", "name = \"c\""), None);
}

#[test]
fn negative_floats_and_sums_at_the_end_of_their_range() {
    let batch = batch(&[vec![
        span(1, 0).with("f", Value::Double(-1.5)).with("i", Value::Int(i64::MAX)),
        span(2, 1).with("f", Value::Double(-2.5)).with("i", Value::Int(i64::MAX)),
        span(3, 1).with("f", Value::Double(f64::NAN)),
    ]]);
    for query in [
        "{} | max(span.f) = -1.5",
        "{} | min(span.f) = -2.5",
        "{} | sum(span.i) = 9223372036854775807",
        "{ span.i > 0 } | avg(span.i) > 9e18",
    ] {
        assert!(!kept(query, &batch).is_empty(), "{query}");
    }
}

#[test]
fn two_spansets_on_a_side_are_an_error() {
    let batch = shop();
    let ask = Ask { window: 0..=u64::MAX, spans_per_spanset: 0, wanted: &|_, _| true };
    let query = compile("({} | by(name)) > ({} | by(name))").unwrap();
    assert_eq!(query.evaluate(&batch, &ask), Err(EvalError::SeveralSpansets));
    let query = compile("({} | by(name) | coalesce()) > ({} | by(name) | coalesce())").unwrap();
    assert_eq!(query.evaluate(&batch, &ask).unwrap().len(), 1);
}

#[test]
fn traces_are_apart() {
    let trace = |first: u64| vec![span(first, 0).named("a"), span(first + 1, first).named("b")];
    let batch = batch(&[trace(1), trace(11), vec![span(21, 0).named("a")], vec![span(31, 0)]]);
    assert_eq!(spansets("{ name = \"a\" } && { name = \"b\" }", &batch), [[1, 2], [11, 12]]);
    assert_eq!(spansets("{ name = \"a\" }", &batch), [[1], [11], [21]]);
    let ids: Vec<u8> = search("{} | count() = 1", &batch).iter().map(|t| t.id.0[15]).collect();
    assert_eq!(ids, [3, 4]);
    let rows =
        compile("{ name = \"a\" } > { name = \"b\" }").unwrap().matching_rows(&batch).unwrap();
    assert_eq!(rows.set_indices().collect::<Vec<_>>(), [1, 3]);
    let rows = compile("{ name = \"b\" } | rate()").unwrap().matching_rows(&batch).unwrap();
    assert_eq!(rows.set_indices().collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn the_window_decides_by_spans() {
    let batch = batch(&[
        vec![span(1, 0).at(100, 10), span(2, 1).at(500, 10)],
        vec![span(11, 0).at(200, 1000)],
        vec![span(21, 0).at(2000, 10)],
    ]);
    let ids = |window: std::ops::RangeInclusive<u64>| {
        let ask = Ask { window, spans_per_spanset: 0, wanted: &|_, _| true };
        let found = compile("").unwrap().evaluate(&batch, &ask).unwrap();
        found.iter().map(|trace| trace.id.0[15]).collect::<Vec<_>>()
    };
    assert_eq!(ids(0..=u64::MAX), [1, 2, 3]);
    assert_eq!(ids(0..=50), [0; 0]);
    assert_eq!(ids(110..=499), [1, 2]);
    assert_eq!(ids(111..=499), [2]);
    assert_eq!(ids(505..=600), [1, 2]);
    assert_eq!(ids(1500..=3000), [3]);
}

#[test]
fn unwanted_traces_are_left_alone() {
    let batch = batch(&[vec![span(1, 0)], vec![span(2, 0)], vec![span(3, 0)]]);
    let wanted = |id: crate::trace::TraceId, start: u64| id.0[15] != 2 && start > 1001;
    let ask = Ask { window: 0..=u64::MAX, spans_per_spanset: 0, wanted: &wanted };
    let found = compile("{ !(duration > 1s) }").unwrap().evaluate(&batch, &ask).unwrap();
    assert_eq!(found.iter().map(|trace| trace.id.0[15]).collect::<Vec<_>>(), [3]);
}
