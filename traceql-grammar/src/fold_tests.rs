//! What constants become, and what stays for others to judge.

use super::{fold, int_power};
use crate::ast::{ExprKind, FieldExpr, SpansetExpr, Stage, Static};
use crate::parse;

fn expr(text: &str) -> FieldExpr {
    let query = parse(&format!("{{ {text} }}")).unwrap();
    match query.into_pipeline().unwrap().stages.into_iter().next() {
        Some(Stage::Spansets(SpansetExpr::Filter(expr))) => expr,
        other => panic!("{text} is {other:?}"),
    }
}

#[test]
fn constants_are_computed() {
    let cases = [
        ("1 + 1", "2"),
        ("-1", "-1"),
        ("--5", "5"),
        ("!true", "false"),
        ("7 / 2", "3"),
        ("-7 / 2", "-3"),
        ("(-7) % 3", "-1"),
        ("maxInt + 1 = minInt", "true"),
        ("minInt / -1", "minInt"),
        ("2 ^ 3", "8"),
        ("2 ^ 3 ^ 2", "512"),
        ("2 ^ 3 = 8", "true"),
        ("1 + 1.5", "2.5"),
        ("5.5 % 2", "1.5"),
        ("1s * 2", "2e+09"),
        ("1s + 1s = 2s", "true"),
        ("1h / 1m", "60.0"),
        ("1s < 2s", "true"),
        ("1s = 1000000000", "true"),
        ("1 = 1.0", "true"),
        ("1 != 2", "true"),
        ("\"a\" = \"a\"", "true"),
        ("\"a\" < \"b\"", "true"),
        ("\"ab\" =~ \"a.\"", "true"),
        ("\"ab\" =~ \"a\"", "false"),
        ("\"ab\" !~ \"a\"", "true"),
        ("\"a\\nb\" =~ \"a.b\"", "true"),
        ("true && false", "false"),
        ("true || false", "true"),
        ("true = false", "false"),
        ("ok != error", "true"),
        ("server = server", "true"),
        ("nil = nil", "false"),
        ("nil != nil", "false"),
        ("nil != \"x\"", "true"),
        ("1 = nil", "false"),
        ("\"nil\" = nil", "false"),
        (".a > 1 + 1", ".a > 2"),
        (".a + 1 + 1 = 2", "((.a + 1) + 1) = 2"),
        (".a = (1 + 2) * 3", ".a = 9"),
    ];
    for (text, expected) in cases {
        assert_eq!(expr(text).to_string(), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_computed_stays() {
    let cases = [
        ("1 / 0 = 1", "(1 / 0) = 1"),
        ("1 % 0 = 1", "(1 % 0) = 1"),
        ("1.0 / 0 > 1", "(1.0 / 0) > 1"),
        ("1 = \"1\"", "1 = `1`"),
        ("true > false", "true > false"),
        ("\"x\" =~ \"(\"", "`x` =~ `(`"),
        ("1 && true", "1 && true"),
        ("-true", "-true"),
        ("!1", "!1"),
        ("ok = server", "ok = server"),
    ];
    for (text, expected) in cases {
        assert_eq!(expr(text).to_string(), expected, "{text}");
        assert_eq!(fold(expr(text)), expr(text), "{text}");
    }
}

#[test]
fn a_literal_beside_the_trace_id_loses_its_leading_zeros() {
    assert_eq!(expr("trace:id = \"00ab0\"").to_string(), "trace:id = `ab0`");
    assert_eq!(expr("\"00ab\" != trace:id").to_string(), "`ab` != trace:id");
    assert_eq!(expr("span:id = \"00ab\"").to_string(), "span:id = `00ab`");
    assert_eq!(expr("link:traceID = \"00ab\"").to_string(), "link:traceID = `00ab`");
}

#[test]
fn a_folded_constant_spans_the_whole_expression() {
    let FieldExpr { kind, span } = expr("1 + 2  * 3");
    assert_eq!(kind, ExprKind::Static(Static::Int(7)));
    assert_eq!(span, 2..12);
}

#[test]
fn the_power_of_ints_is_exact_or_the_end_of_the_range() {
    let cases = [
        (-1, i64::MAX, -1),
        (-1, i64::MAX - 1, 1),
        (-3, i64::MAX, i64::MIN),
        (-3, i64::MAX - 1, i64::MAX),
        (1, i64::MAX, 1),
        (2, 10, 1024),
        (-3, 3, -27),
        (3, 39, 4_052_555_153_018_976_267),
        (2, 63, i64::MAX),
        (-2, 63, i64::MIN),
        (-2, 65, i64::MIN),
        (10, -1, 0),
        (1, -1, 1),
        (0, 0, 1),
        (i64::MAX, i64::MAX, i64::MAX),
    ];
    for (base, exponent, expected) in cases {
        assert_eq!(int_power(base, exponent), expected, "{base} ^ {exponent}");
    }
}
