//! Canonical texts, one by one. Whether they parse back is proved in `tests/round_trip.rs`.

use super::{go_duration, go_float};
use crate::ast::Static;
use crate::{parse, parse_attribute};

#[test]
fn durations_are_in_the_form_of_go() {
    let cases = [
        (0, "0s"),
        (1, "1ns"),
        (999, "999ns"),
        (1000, "1µs"),
        (1500, "1.5µs"),
        (1_000_000, "1ms"),
        (1_000_001, "1.000001ms"),
        (1_500_000_000, "1.5s"),
        (1_000_000_001, "1.000000001s"),
        (90_000_000_000, "1m30s"),
        (60_000_000_000, "1m0s"),
        (86_400_000_000_000, "24h0m0s"),
        (3_661_500_000_000, "1h1m1.5s"),
        (-1_500_000_000, "-1.5s"),
        (-1, "-1ns"),
        (i64::MAX, "2562047h47m16.854775807s"),
        (i64::MIN, "-2562047h47m16.854775808s"),
    ];
    for (nanos, expected) in cases {
        assert_eq!(go_duration(nanos), expected);
    }
}

#[test]
fn floats_are_in_the_shortest_form_of_go() {
    let cases = [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (0.25, "0.25"),
        (100_000.0, "100000.0"),
        (1_000_000.0, "1e+06"),
        (1_234_567.0, "1.234567e+06"),
        (1_234_567.5, "1.2345675e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (2e9, "2e+09"),
        (1e100, "1e+100"),
        (-2.5e-10, "-2.5e-10"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
    ];
    for (value, expected) in cases {
        assert_eq!(go_float(value), expected);
    }
}

#[test]
fn attributes_are_called_as_labels_are() {
    let cases = [
        (".foo", ".foo"),
        ("span.foo", "span.foo"),
        ("resource.service.name", "resource.service.name"),
        ("event.a", "event.a"),
        ("link.a", "link.a"),
        ("instrumentation.a", "instrumentation.a"),
        ("span.\"a b\"", "span.\"a b\""),
        ("span.\"ab\"", "span.ab"),
        ("span.a\"=\"", "span.\"a=\""),
        ("span.\"q\\\"s\"", "span.\"q\\\"s\""),
        (".\"9x\"", ".\"9x\""),
        ("span.9x", "span.9x"),
        (".\"\"", ".\"\""),
        ("..a", "..a"),
        ("name", "name"),
        ("span:name", "name"),
        ("span: duration", "duration"),
        ("status", "status"),
        ("span:statusMessage", "statusMessage"),
        ("span:kind", "kind"),
        ("span:id", "span:id"),
        ("span:parentID", "span:parentID"),
        ("span:childCount", "span:childCount"),
        ("trace:rootName", "rootName"),
        ("trace:rootService", "rootServiceName"),
        ("rootServiceName", "rootServiceName"),
        ("trace:duration", "traceDuration"),
        ("trace:id", "trace:id"),
        ("nestedSetParent", "nestedSetParent"),
        ("event:name", "event:name"),
        ("event:timeSinceStart", "event:timeSinceStart"),
        ("link:traceID", "link:traceID"),
        ("link:spanID", "link:spanID"),
        ("instrumentation:version", "instrumentation:version"),
        ("parent", "parent"),
        ("parent.a", "parent.a"),
        ("parent.span.a", "parent.span.a"),
        ("parent.resource.a", "parent.resource.a"),
        ("parent.\"span.a\"", "parent.\"span.a\""),
        ("\u{FEFF} .a ", ".a"),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_attribute(text).unwrap().to_string(), expected, "{text}");
    }
    for text in
        ["", "foo", ".", "span.", "span.a.", ".a = 1", ".a, .b", "trace:name", ". a", "1", "{.a}"]
    {
        // A dot at the end is part of the name.
        assert_eq!(parse_attribute(text).is_ok(), text == "span.a.", "{text}");
    }
}

#[test]
fn queries_have_one_text() {
    let cases = [
        ("{}", "{ true }"),
        ("{.a=1}", "{ .a = 1 }"),
        ("{ .a = \"x\" }", "{ .a = `x` }"),
        ("{ .a = \"`\" }", "{ .a = \"`\" }"),
        ("{ .a = \"\\r\\n\" }", "{ .a = \"\\r\\n\" }"),
        ("{ .a && .b || .c }", "{ (.a && .b) || .c }"),
        ("{ -.a * .b = 1 }", "{ (-(.a * .b)) = 1 }"),
        ("{ -.a + .b = 1 }", "{ ((-.a) + .b) = 1 }"),
        ("{ (-2) * .a = 1 }", "{ ((-2) * .a) = 1 }"),
        ("{ .a * -2 = 1 }", "{ (.a * -2) = 1 }"),
        ("{ !.a = nil }", "{ (!.a) = nil }"),
        ("{ !nil = .a }", "{ !(.a = nil) }"),
        ("{ nil != .a }", "{ .a != nil }"),
        ("{ .a = -9223372036854775807 }", "{ .a = -9223372036854775807 }"),
        ("{ .a = minInt }", "{ .a = minInt }"),
        ("{ .a } | count()>1|by(name)", "{ .a }|count() > 1|by(name)"),
        ("{}|select(.a,name)|coalesce()", "{ true }|select(.a, name)|coalesce()"),
        ("{} >> {} !~ {}", "({ true } >> { true }) !~ { true }"),
        ("({.a}) && ({.b})", "{ .a } && { .b }"),
        ("({}|{.a}) && ({.b})", "({ true }|{ .a }) && ({ .b })"),
        ("({}|count()) > ({}|max(.a))", "({ true }|count()) > ({ true }|max(.a))"),
        ("{}|avg(duration)>-1.5s", "{ true }|avg(duration) > -1.5s"),
        ("{}|rate()by(.a, name)", "{ true } | rate()by(.a,name)"),
        ("{}|quantile_over_time(duration,.5,1)", "{ true } | quantile_over_time(duration,0.5,1.0)"),
        ("{}|compare({.a})", "{ true } | compare({ .a },10)"),
        ("{}|compare({},7,1,2)", "{ true } | compare({ true },7,1,2)"),
        ("{}|rate()|topk(3)>-1", "{ true } | rate() | topk(3) > -1"),
        ("{}with(a=1)with(b=`x`,c=1s)", "{ true } with(b=`x`,c=1s)"),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text).unwrap().to_string(), expected, "{text}");
        assert_eq!(parse(expected).unwrap().to_string(), expected, "{text} again");
    }
}

#[test]
fn a_string_with_what_a_text_cannot_hold_is_escaped() {
    assert_eq!(Static::String("a\0`".to_owned()).to_string(), "\"a\\x00`\"");
}
