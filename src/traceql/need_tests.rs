//! The pruning test that a query makes.

use super::*;
use crate::traceql::compile;

fn need_of(query: &str) -> Need {
    compile(query).unwrap().need()
}

fn span_equals(key: &str, value: NeedValue) -> Need {
    Need::Equals { scope: NeedScope::Span, key: key.to_owned(), value }
}

fn span_has(key: &str) -> Need {
    Need::HasAttribute { scope: NeedScope::Span, key: key.to_owned() }
}

#[test]
fn needs_by_table() {
    let name = |name: &str| Need::NameEquals(name.to_owned());
    let table = [
        ("{}", Need::Anything),
        ("{ span.a = 1 }", span_equals("a", NeedValue::Int(1))),
        ("{ 1 = span.a }", span_equals("a", NeedValue::Int(1))),
        ("{ span.a != 1 }", span_has("a")),
        ("{ !(span.a = 1) }", Need::Anything),
        ("{ span.a = nil }", Need::Anything),
        ("{ span.a != nil }", span_has("a")),
        ("{ span.a + 1 = 2 }", span_has("a")),
        ("{ span.a }", span_equals("a", NeedValue::Bool(true))),
        ("{ !span.a }", span_has("a")),
        ("{ name =~ \"a|b\" }", Need::Any(vec![name("a"), name("b")])),
        ("{ name =~ \"a.*\" }", Need::Anything),
        ("{ rootName = \"a\" }", name("a")),
        ("{ rootName = \"\" }", Need::Anything),
        ("{ status = error }", Need::StatusError),
        ("{ status = ok }", Need::Anything),
        ("{ duration > 5ns }", Need::DurationAtLeast(6)),
        ("{ duration >= 5.5 }", Need::DurationAtLeast(6)),
        ("{ 5ns > duration }", Need::DurationAtMost(4)),
        ("{ duration != 5ns }", Need::Anything),
        (
            "{ span.a = 1 && name = \"x\" }",
            Need::All(vec![span_equals("a", NeedValue::Int(1)), name("x")]),
        ),
        ("{ span.a = 1 || kind = server }", Need::Anything),
        ("{ name = \"a\" } && { name = \"b\" }", Need::All(vec![name("a"), name("b")])),
        ("{ name = \"a\" } || { name = \"b\" }", Need::Any(vec![name("a"), name("b")])),
        ("{ name = \"a\" } >> { name = \"b\" }", Need::All(vec![name("a"), name("b")])),
        ("{ name = \"a\" } !>> { name = \"b\" }", name("b")),
        (
            "{ name = \"a\" } | count() < 2 | { name = \"b\" }",
            Need::All(vec![name("a"), name("b")]),
        ),
        (
            "{ event.x = \"a\" }",
            Need::Equals {
                scope: NeedScope::Event,
                key: "x".to_owned(),
                value: NeedValue::String("a".to_owned()),
            },
        ),
    ];
    for (query, wanted) in table {
        assert_eq!(need_of(query), wanted, "{query}");
    }
}

#[test]
fn constants_that_leave_nothing_are_known() {
    for query in
        ["{ false }", "{ 1 = 2 }", "{ name = \"a\" } > { false }", "{ false } !> { false }"]
    {
        assert!(compile(query).unwrap().is_never(), "{query}");
    }
    for query in ["{}", "{ false } || {}", "{ false } !> {}", "{ name = \"a\" || false }"] {
        assert!(!compile(query).unwrap().is_never(), "{query}");
    }
}

#[test]
fn only_what_is_used_is_read() {
    let columns = |query: &str| compile(query).unwrap().projection().clone();
    let always = [SpanColumn::SpanId, SpanColumn::Start, SpanColumn::Duration];
    assert_eq!(columns("{}"), Projection::default().with(always));
    assert!(columns("{} > {}").has(SpanColumn::Tree));
    assert!(columns("{} | count() > 1 | ({} >> {})").has(SpanColumn::Tree));
    assert!(columns("{ .a = 1 }").has(SpanColumn::Resource));
    assert!(!columns("{ span.a = nil }").has(SpanColumn::Resource));
    assert!(columns("{ span.a = nil }").attributes.contains("a"));
    assert!(columns("{} | select(name)").has(SpanColumn::Name));
    assert!(columns("{ event:timeSinceStart > 1s }").events.unwrap().time);
    assert!(columns("{ link:spanID = \"a\" }").links.unwrap().ids);
}
