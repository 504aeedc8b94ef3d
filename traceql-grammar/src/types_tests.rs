//! Static types of expressions.

use super::Type;
use crate::ast::{BinaryOp, FieldExpr, SpansetExpr, Stage};
use crate::parse;

fn expr(text: &str) -> FieldExpr {
    match parse(&format!("{{ {text} }}"))
        .unwrap()
        .into_pipeline()
        .unwrap()
        .stages
        .into_iter()
        .next()
    {
        Some(Stage::Spansets(SpansetExpr::Filter(expr))) => expr,
        other => panic!("{text} is {other:?}"),
    }
}

#[test]
fn every_expression_has_a_type_before_a_span_is_read() {
    let cases = [
        (".a", Type::Unknown),
        ("resource.service.name", Type::Unknown),
        ("parent.a", Type::Unknown),
        ("parent", Type::Nil),
        ("name", Type::String),
        ("span:parentID", Type::String),
        ("duration", Type::Duration),
        ("event:timeSinceStart", Type::Duration),
        ("status", Type::Status),
        ("kind", Type::Kind),
        ("nestedSetLeft", Type::Int),
        ("instrumentation:name", Type::Unknown),
        ("1", Type::Int),
        ("1.5", Type::Float),
        ("1s", Type::Duration),
        ("\"x\"", Type::String),
        ("true", Type::Bool),
        ("error", Type::Status),
        ("server", Type::Kind),
        (".a = 1", Type::Bool),
        (".a != nil", Type::Bool),
        (".a && .b", Type::Bool),
        ("!.a", Type::Unknown),
        ("-duration", Type::Duration),
        (".a + 1", Type::Int),
        ("1.5 * .a", Type::Float),
        (".a + .b", Type::Unknown),
        ("duration / .a", Type::Duration),
        ("1 / 0 + .a", Type::Int),
    ];
    for (text, expected) in cases {
        assert_eq!(expr(text).static_type(), expected, "{text}");
    }
}

#[test]
fn constants_do_not_reference_the_span() {
    for (text, expected) in [
        ("1 / 0 = 1", false),
        ("true", false),
        (".a", true),
        ("1 < duration", true),
        ("!(.a = nil)", true),
    ] {
        assert_eq!(expr(text).references_span(), expected, "{text}");
    }
}

#[test]
fn numbers_match_one_another_and_unknown_matches_all() {
    let all = [
        Type::Nil,
        Type::Unknown,
        Type::Int,
        Type::Float,
        Type::String,
        Type::Bool,
        Type::Duration,
        Type::Status,
        Type::Kind,
    ];
    for left in all {
        for right in all {
            let free = |side: Type| matches!(side, Type::Nil | Type::Unknown);
            let expected = left == right
                || free(left)
                || free(right)
                || (left.is_numeric() && right.is_numeric());
            assert_eq!(left.matches(right), expected, "{left:?} {right:?}");
            assert_eq!(left.matches(right), right.matches(left));
        }
    }
}

#[test]
fn operators_are_made_for_types() {
    let allowed = |side: Type| -> String {
        let ops = BinaryOp::ALL.into_iter().filter(|op| side.allows(*op));
        ops.map(BinaryOp::symbol).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(allowed(Type::Int), "+ - * / % ^ = != < <= > >=");
    assert_eq!(allowed(Type::Duration), allowed(Type::Int));
    assert_eq!(allowed(Type::Float), allowed(Type::Int));
    assert_eq!(allowed(Type::String), "= != < <= > >= =~ !~");
    assert_eq!(allowed(Type::Bool), "= != && ||");
    assert_eq!(allowed(Type::Status), "= !=");
    assert_eq!(allowed(Type::Kind), "= !=");
    assert_eq!(allowed(Type::Unknown), "+ - * / % ^ = != < <= > >= =~ !~ && ||");
}
