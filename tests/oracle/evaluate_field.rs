//! The value of an expression for one span.

use traceql_grammar::ast::{BinaryOp, ExprKind, FieldExpr, UnaryOp};

use crate::evaluate_trace::{Owner, Trace};
use crate::evaluate_value::{Val, binary, unary};

/// Conditions on events that are joined by `&&` must hold of one event, and so must all that is compared with one another: each event
/// is tried with each link. True if it is true for one; else what the first has that has something.
pub(crate) fn value(trace: &Trace, place: usize, expr: &FieldExpr) -> Val {
    let span = &trace.spans[place];
    let events: Vec<_> = match &span.events[..] {
        [] => vec![None],
        events => events.iter().map(Some).collect(),
    };
    let links: Vec<_> = match &span.links[..] {
        [] => vec![None],
        links => links.iter().map(Some).collect(),
    };
    let mut first = Val::Nil;
    for event in events {
        for link in &links {
            let found = of(trace, place, expr, Owner { event, link: *link });
            if found == Val::Bool(true) {
                return found;
            }
            if first == Val::Nil {
                first = found;
            }
        }
    }
    first
}

/// Whether a filter keeps a span: nothing but the boolean true does.
pub(crate) fn is_true(trace: &Trace, place: usize, expr: &FieldExpr) -> bool {
    value(trace, place, expr) == Val::Bool(true)
}

fn of(trace: &Trace, place: usize, expr: &FieldExpr, owner: Owner<'_>) -> Val {
    let of_part = |part: &FieldExpr| of(trace, place, part, owner);
    match &expr.kind {
        ExprKind::Static(literal) => Val::of_literal(literal),
        ExprKind::Attribute(attribute) => trace.value(place, attribute, owner),
        // Not: no event for which it is true.
        ExprKind::Unary { op: UnaryOp::Not, expr } => {
            unary(UnaryOp::Not, &value(trace, place, expr))
        }
        ExprKind::Unary { op, expr } => unary(*op, &of_part(expr)),
        // Whatever is not a boolean counts as false.
        ExprKind::Binary { op: BinaryOp::And, lhs, rhs } => {
            Val::Bool(of_part(lhs) == Val::Bool(true) && of_part(rhs) == Val::Bool(true))
        }
        ExprKind::Binary { op: BinaryOp::Or, lhs, rhs } => {
            Val::Bool(of_part(lhs) == Val::Bool(true) || of_part(rhs) == Val::Bool(true))
        }
        ExprKind::Binary { op, lhs, rhs } => binary(*op, &of_part(lhs), &of_part(rhs)),
        ExprKind::Exists { expr, present } => Val::Bool((of_part(expr) != Val::Nil) == *present),
    }
}
