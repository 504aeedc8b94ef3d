//! Which rule refuses a query, in which words.

use crate::{ErrorKind, parse, parse_valid, validate};

/// The first violation, without its position.
fn refused(text: &str) -> (ErrorKind, String) {
    let error = parse_valid(text).map(|query| query.to_string()).expect_err(text);
    (error.kind, error.detail)
}

#[test]
fn every_rule_says_what_is_wrong() {
    let cases = [
        ("{ name = 3 }", "must operate on the same type: name is a string, 3 is an int"),
        ("{ duration = \"1s\" }", "duration is a duration, `1s` is a string"),
        ("{ true > false }", "illegal operation: > for true, which is a boolean"),
        ("{ .a && 1 }", "illegal operation: && for 1, which is an int"),
        ("{ .a =~ .b }", "must be a string literal, not .b"),
        ("{ .a =~ \"(\" }", "invalid regex `(`: unclosed group"),
        ("{ !name }", "! needs a boolean: name is a string"),
        ("{ -\"x\" = 1 }", "- needs a number: `x` is a string"),
        ("{ duration }", "must resolve to a boolean: duration is a duration"),
        ("{ .a + 1 }", "must resolve to a boolean: .a + 1 is an int"),
        ("{ name = nil }", "name = nil is always false"),
        ("{ nil = resource.service.name }", "resource.service.name = nil is always false"),
        ("{} | by(1 / 0)", "must reference the span: 1 / 0 is constant"),
        ("{} | avg(1) > 1", "avg(1): aggregates must reference the span, 1 is constant"),
        ("{} | max(name) > 1", "max(name): aggregates need a number, name is a string"),
        ("{} | rate() by (.a,.b,.c,.d,.e,.f)", "rate() takes at most 5 groups, not 6"),
        ("{} | avg_over_time(.x) by (.a,.b,.c,.d,.e)", "takes at most 4 groups, not 5"),
        ("{} | quantile_over_time(.x, 1.5)", "quantile must be between 0 and 1: 1.5"),
        ("{} | rate() | topk(0)", "must be greater than 0, not 0"),
        ("{} | compare({}, 0)", "must be greater than 0: 0"),
        ("{} | compare({}, 1, 2, 1)", "0 < start < end"),
        ("{} | compare({}) | topk(1)", "nothing can follow compare()"),
        ("{} | compare({ 1 })", "must resolve to a boolean: 1 is an int"),
    ];
    for (text, expected) in cases {
        let (kind, detail) = refused(text);
        assert_eq!(kind, ErrorKind::Invalid, "{text}");
        assert!(detail.contains(expected), "{text}: {detail}");
    }
}

#[test]
fn what_nobody_evaluates_ends_in_not_yet_supported() {
    for text in [
        "{ parent }",
        "{ parent.a = 1 }",
        "{ .a = parent.span.b }",
        "{} | select(parent.a)",
        "{} | by(parent.a)",
        "{} | 3 < count()",
        "{} | count() > count()",
        "{} | count() + 1 > 2",
        "({} | count()) > 1",
        "({} | count()) > ({} | count())",
    ] {
        let (kind, detail) = refused(text);
        assert_eq!(kind, ErrorKind::Unsupported, "{text}");
        assert!(detail.ends_with("not yet supported"), "{text}: {detail}");
    }
}

#[test]
fn the_first_violation_wins() {
    let cases = [
        ("{ name = 1 && duration = true }", "name is a string"),
        ("{ 1 } | max(name) > 1", "1 is an int"),
        ("{ .a } | max(name) > 1 | rate() | topk(0)", "name is a string"),
        ("{ (1 + true) = name }", "1 is an int, true is a boolean"),
        ("({} | count()) = \"x\"", "({ true }|count()) is an int, `x` is a string"),
    ];
    for (text, expected) in cases {
        let (_, detail) = refused(text);
        assert!(detail.contains(expected), "{text}: {detail}");
    }
}

#[test]
fn a_tree_without_its_text_is_judged_all_the_same() {
    let text = "{ .a }\n&& { name = 3 }";
    let error = validate(&parse(text).unwrap()).unwrap_err();
    assert_eq!((error.line, error.column, error.text.as_str()), (0, 0, ""));
    assert_eq!(error.to_string(), error.message());
    let error = error.with_text(text);
    assert_eq!((error.line, error.column), (2, 6));
    assert_eq!(
        error.to_string(),
        "binary operations must operate on the same type: name is a string, 3 is an int\n  \
         && { name = 3 }\n       ^^^^^^^^"
    );
}
