//! What an answer tells of traces, spansets and spans.

use crate::columns::Batch;
use crate::trace::{SpanId, Value};
use crate::traceql::testing::{batch, search, span, text, texts};
use crate::traceql::{Ask, ServiceCount, SpanMatch, compile};

fn first(query: &str, batch: &Batch) -> SpanMatch {
    search(query, batch)[0].spansets[0].spans[0].clone()
}

fn attributes(query: &str, batch: &Batch) -> Vec<(String, Value)> {
    first(query, batch).attributes
}

fn pairs(pairs: &[(&str, Value)]) -> Vec<(String, Value)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

fn one_span() -> Batch {
    batch(&[vec![
        span(7, 0)
            .named("GET /")
            .service("web")
            .resource("db", text("pg"))
            .status(2)
            .kind(2)
            .at(1000, 1_500_000_000)
            .with("db", text("pg"))
            .with("n", Value::Int(5))
            .with("tags", texts(&["x", "y", "z"]))
            .event("e1", 1500, &[("type", text("A"))])
            .event("e2", 1600, &[("type", text("B"))]),
    ]])
}

#[test]
fn a_span_shows_what_the_query_mentions() {
    let batch = one_span();
    let table: [(&str, &[(&str, Value)]); 20] = [
        ("{}", &[]),
        ("{ name = \"GET /\" && duration > 1s && rootName != \"x\" }", &[]),
        ("{ span.db = \"pg\" }", &[("db", text("pg"))]),
        ("{ \"pg\" = span.db }", &[("db", text("pg"))]),
        ("{ .db = \"pg\" }", &[("db", text("pg")), ("db", text("pg"))]),
        ("{ .n = 5 }", &[("n", Value::Int(5))]),
        ("{ span.db = \"other\" || span.n = 5 }", &[("n", Value::Int(5))]),
        ("{ span.db != nil }", &[("db", text("pg"))]),
        ("{ span.gone = nil }", &[]),
        ("{ !(span.db = \"other\") }", &[]),
        ("{ !(span.n > 9) && span.n > 1 }", &[("n", Value::Int(5))]),
        ("{ span.n + 1 = 6 }", &[("n", Value::Int(5))]),
        (
            "{ status = error && kind = server }",
            &[("status", text("error")), ("kind", text("server"))],
        ),
        ("{ span.tags = \"x\" }", &[("tags", text("x"))]),
        ("{ span.tags != \"x\" }", &[("tags", texts(&["y", "z"]))]),
        ("{ span.tags = \"x\" } | select(span.tags)", &[("tags", texts(&["x", "y", "z"]))]),
        ("{} | select(span.db, rootName, traceDuration, span.gone)", &[("db", text("pg"))]),
        ("{} | by(span.n) | max(span.n) > 0", &[("n", Value::Int(5))]),
        (
            "{ event.type != \"A\" } | select(event:name)",
            &[("type", text("B")), ("event:name", text("e2"))],
        ),
        (
            "{ nestedSetParent < 0 && nestedSetLeft > 5 || span.n = 5 }",
            &[("nestedSetParent", Value::Int(-1)), ("n", Value::Int(5))],
        ),
    ];
    for (query, wanted) in table {
        assert_eq!(attributes(query, &batch), pairs(wanted), "{query}");
    }
}

#[test]
fn what_is_shown_of_events_is_of_one_that_was_meant() {
    let event = |kind: &str, more: &[(&'static str, &str)]| {
        let mut attributes = vec![("type", text(kind))];
        attributes.extend(more.iter().map(|(key, value)| (*key, text(value))));
        attributes
    };
    let batch = batch(&[vec![
        span(1, 0)
            .event("e", 1500, &event("A", &[("message", "first"), ("stack", "at a")]))
            .event("e", 1600, &event("B", &[("message", "second"), ("stack", "at b")]))
            .event("e", 1700, &event("C", &[])),
    ]]);
    let shown = |query: &str| {
        let shown = attributes(query, &batch).into_iter();
        shown.map(|(_, value)| format!("{value:?}")).collect::<Vec<_>>().join(" ")
    };
    let of = |texts: &[&str]| {
        texts.iter().map(|one| format!("{:?}", text(one))).collect::<Vec<_>>().join(" ")
    };
    let select = "| select(event.message, event.stack)";
    assert_eq!(shown(&format!("{{ event.type = \"A\" }} {select}")), of(&["A", "first", "at a"]));
    assert_eq!(shown(&format!("{{ }} {select}")), of(&["second", "at b"]));
    assert_eq!(shown(&format!("{{ event.type = \"C\" }} {select}")), of(&["C", "second", "at b"]));
}

#[test]
fn the_name_is_told_when_it_is_mentioned() {
    let batch = one_span();
    assert_eq!(first("{}", &batch).name, None);
    assert_eq!(first("{} | select(name)", &batch).name.as_deref(), Some("GET /"));
    assert_eq!(first("{ name != \"x\" }", &batch).name.as_deref(), Some("GET /"));
}

#[test]
fn a_spanset_shows_what_its_stages_say() {
    let batch = one_span();
    let said = |query: &str| search(query, &batch)[0].spansets[0].attributes.clone();
    assert_eq!(
        said("{} | by(span.n) | count() > 0 | avg(duration) > 1s"),
        pairs(&[
            ("by(span.n)", Value::Int(5)),
            ("count()", Value::Int(1)),
            ("avg(duration)", text("1.5s")),
        ])
    );
    assert_eq!(said("{} | by(span.gone)"), pairs(&[("by(span.gone)", text("nil"))]));
    assert_eq!(said("{} | by(status)"), pairs(&[("by(status)", text("error"))]));
    assert_eq!(said("{} | by(span.n) | coalesce()"), pairs(&[]));
    assert_eq!(said("({} | count() > 0) && ({} | by(name))"), pairs(&[]));
    assert_eq!(said("{} | by(1 + span.n)"), pairs(&[("by(1 + span.n)", Value::Int(6))]));
}

#[test]
fn spans_are_the_first_by_start_and_id() {
    let batch = batch(&[vec![
        span(9, 0).at(50, 1),
        span(3, 9).at(20, 1),
        span(4, 9).at(10, 1),
        span(2, 9).at(20, 1),
    ]]);
    let ask = Ask { window: 0..=u64::MAX, spans_per_spanset: 3, wanted: &|_, _| true };
    let found = compile("{}").unwrap().evaluate(&batch, &ask).unwrap();
    let spanset = &found[0].spansets[0];
    let ids: Vec<u8> = spanset.spans.iter().map(|span| span.id.0[7]).collect();
    assert_eq!((spanset.matched, ids), (4, vec![4, 2, 3]));
}

#[test]
fn a_trace_is_told_whole_whatever_matched() {
    let batch = batch(&[
        vec![
            span(1, 0).named("GET /").service("web").at(100, 50),
            span(2, 1).service("db").at(110, 100).status(2),
            span(3, 1).service("db").at(120, 5),
        ],
        vec![span(5, 4).at(7, 1)],
    ]);
    let found = search("{ duration < 10ns }", &batch);
    let trace = &found[0];
    assert_eq!((trace.id.short_hex().as_str(), trace.start, trace.duration), ("1", 100, 110));
    assert_eq!((trace.root_service.as_str(), trace.root_name.as_str()), ("web", "GET /"));
    let count =
        |service: &str, spans, errors| ServiceCount { service: service.into(), spans, errors };
    assert_eq!(trace.services, [count("db", 2, 1), count("web", 1, 0)]);
    assert_eq!(trace.spansets[0].spans[0].id, SpanId([0, 0, 0, 0, 0, 0, 0, 3]));
    assert_eq!((found[1].root_service.as_str(), found[1].root_name.as_str()), ("", ""));
}
