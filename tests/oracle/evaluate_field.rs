//! The value of an expression for one span, and whether a condition is true of it.
//!
//! Conditions on events that are joined by `&&` must hold of one event; all others of any. The same for links.

use traceql_grammar::Type;
use traceql_grammar::ast::{Attribute, BinaryOp, ExprKind, FieldExpr, Intrinsic, Scope, UnaryOp};

use crate::evaluate_trace::{Owner, Trace};
use crate::evaluate_value::{Val, binary, unary};

/// Whose attributes an expression is about.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum About {
    /// Literals only.
    Nobody,
    Event,
    Link,
    /// The span, or several.
    Span,
}

/// A filter keeps a span if this is so.
pub(crate) fn is_true(trace: &Trace, place: usize, expr: &FieldExpr) -> bool {
    let of_part = |part: &FieldExpr| is_true(trace, place, part);
    match &expr.kind {
        ExprKind::Binary { op: BinaryOp::And, .. } => {
            let parts = conjuncts(expr);
            let about = |who: About| parts.iter().copied().filter(move |part| about(part) == who);
            let of_one = |who: About| {
                let parts: Vec<&FieldExpr> = about(who).collect();
                match &parts[..] {
                    [] => true,
                    [part] => of_part(part),
                    parts => owners(trace, place, who)
                        .into_iter()
                        .any(|owner| parts.iter().all(|part| holds(trace, place, part, owner))),
                }
            };
            let mut others = about(About::Nobody).chain(about(About::Span));
            of_one(About::Event) && of_one(About::Link) && others.all(of_part)
        }
        ExprKind::Binary { op: BinaryOp::Or, lhs, rhs } => of_part(lhs) || of_part(rhs),
        ExprKind::Unary { op: UnaryOp::Not, expr } if is_condition(expr) => !of_part(expr),
        // That a span has no event with a value.
        ExprKind::Exists { expr, present: false }
            if matches!(about_operand(expr), About::Event | About::Link) =>
        {
            let mut owners = owners(trace, place, about(expr)).into_iter();
            owners.all(|owner| of(trace, place, expr, owner) == Val::Nil)
        }
        _ => match about(expr) {
            who @ (About::Event | About::Link) => {
                owners(trace, place, who).into_iter().any(|owner| holds(trace, place, expr, owner))
            }
            About::Span | About::Nobody => holds(trace, place, expr, Owner::default()),
        },
    }
}

/// Of an event's or link's attribute, what the first has that has something.
pub(crate) fn value(trace: &Trace, place: usize, expr: &FieldExpr) -> Val {
    of(trace, place, expr, Owner::default())
}

/// Whether an expression is true or false by itself, whatever the span has. `!event.x` is not: it is missing where `event.x` is.
pub(crate) fn is_condition(expr: &FieldExpr) -> bool {
    match &expr.kind {
        ExprKind::Attribute(_) => false,
        ExprKind::Unary { op: UnaryOp::Not, expr: inside } => is_condition(inside),
        _ => expr.static_type() == Type::Bool,
    }
}

/// Whose attributes are in an expression.
pub(crate) fn about(expr: &FieldExpr) -> About {
    match &expr.kind {
        ExprKind::Static(_) => About::Nobody,
        ExprKind::Attribute(attribute) => about_attribute(attribute),
        // That something is true of none is about all.
        ExprKind::Unary { op: UnaryOp::Not, expr } if is_condition(expr) => About::Span,
        ExprKind::Unary { expr, .. } | ExprKind::Exists { expr, .. } => about_operand(expr),
        // A literal is true of the span as it is of any event.
        ExprKind::Binary { op: BinaryOp::And | BinaryOp::Or, lhs, rhs } => {
            if about(lhs) == about(rhs) { about(lhs) } else { About::Span }
        }
        ExprKind::Binary { lhs, rhs, .. } => match (about_operand(lhs), about_operand(rhs)) {
            (About::Nobody, other) | (other, About::Nobody) => other,
            (one, other) if one == other => one,
            _ => About::Span,
        },
    }
}

/// A condition inside of something else is true or false of the span, as in a filter.
fn about_operand(expr: &FieldExpr) -> About {
    if is_condition(expr) && is_of_several(expr) { About::Span } else { about(expr) }
}

pub(crate) fn about_attribute(attribute: &Attribute) -> About {
    match attribute {
        Attribute::Named { scope: Scope::Event, .. }
        | Attribute::Intrinsic(Intrinsic::EventName | Intrinsic::EventTimeSinceStart) => {
            About::Event
        }
        Attribute::Named { scope: Scope::Link, .. }
        | Attribute::Intrinsic(Intrinsic::LinkTraceId | Intrinsic::LinkSpanId) => About::Link,
        _ => About::Span,
    }
}

/// What is joined by `&&`.
pub(crate) fn conjuncts(expr: &FieldExpr) -> Vec<&FieldExpr> {
    match &expr.kind {
        ExprKind::Binary { op: BinaryOp::And, lhs, rhs } => {
            [conjuncts(lhs), conjuncts(rhs)].concat()
        }
        _ => vec![expr],
    }
}

/// The events or links of a span.
fn owners(trace: &Trace, place: usize, who: About) -> Vec<Owner<'_>> {
    let span = &trace.spans[place];
    match who {
        About::Event => {
            span.events.iter().map(|event| Owner { event: Some(event), link: None }).collect()
        }
        _ => span.links.iter().map(|link| Owner { event: None, link: Some(link) }).collect(),
    }
}

/// Whether a condition is true of one event or link.
fn holds(trace: &Trace, place: usize, expr: &FieldExpr, owner: Owner<'_>) -> bool {
    is_truth(&of(trace, place, expr, owner))
}

/// Whatever is not a boolean counts as false; of an array one element must be true.
fn is_truth(value: &Val) -> bool {
    match value {
        Val::List(items) => items.contains(&Val::Bool(true)),
        other => *other == Val::Bool(true),
    }
}

fn of(trace: &Trace, place: usize, expr: &FieldExpr, owner: Owner<'_>) -> Val {
    let of_part = |part: &FieldExpr| of(trace, place, part, owner);
    let of_operand = |part: &FieldExpr| match about_operand(part) {
        About::Span if is_condition(part) => of(trace, place, part, Owner::default()),
        _ => of_part(part),
    };
    let is_of_one = owner.event.is_some() || owner.link.is_some();
    match &expr.kind {
        ExprKind::Static(literal) => Val::of_literal(literal),
        ExprKind::Attribute(attribute) => trace.value(place, attribute, owner),
        _ if !is_of_one && is_of_several(expr) && is_of_span(expr) => {
            Val::Bool(is_true(trace, place, expr))
        }
        ExprKind::Unary { op, expr } => unary(*op, &of_operand(expr)),
        ExprKind::Binary { op: BinaryOp::And, lhs, rhs } => {
            Val::Bool(is_truth(&of_part(lhs)) && is_truth(&of_part(rhs)))
        }
        ExprKind::Binary { op: BinaryOp::Or, lhs, rhs } => {
            Val::Bool(is_truth(&of_part(lhs)) || is_truth(&of_part(rhs)))
        }
        ExprKind::Binary { op, lhs, rhs } => {
            let (one, other) = (of_operand(lhs), of_operand(rhs));
            if op.is_equality() || op.is_ordering() {
                return binary(*op, &beside(one, lhs, rhs), &beside(other, rhs, lhs));
            }
            binary(*op, &one, &other)
        }
        ExprKind::Exists { expr, present } => Val::Bool((of_operand(expr) != Val::Nil) == *present),
    }
}

/// A literal that is compared with an id is written as ids are: in lower case, of a span with zeros in front up to its length, of a
/// trace without.
fn beside(value: Val, expr: &FieldExpr, other: &FieldExpr) -> Val {
    let (ExprKind::Static(_), Val::Text(text), ExprKind::Attribute(Attribute::Intrinsic(id))) =
        (&expr.kind, &value, &other.kind)
    else {
        return value;
    };
    let text = text.to_ascii_lowercase();
    Val::Text(match id {
        Intrinsic::SpanId | Intrinsic::ParentId | Intrinsic::LinkSpanId => format!("{text:0>16}"),
        Intrinsic::TraceId | Intrinsic::LinkTraceId => text.trim_start_matches('0').to_owned(),
        _ => return value,
    })
}

/// Whether it is a condition that is more than a comparison of what the span has.
fn is_of_span(expr: &FieldExpr) -> bool {
    let is_joined = matches!(
        &expr.kind,
        ExprKind::Binary { op: BinaryOp::And | BinaryOp::Or, .. }
            | ExprKind::Unary { op: UnaryOp::Not, .. }
    );
    is_condition(expr) && (is_joined || about(expr) != About::Span)
}

/// Whether events or links are in it.
pub(crate) fn is_of_several(expr: &FieldExpr) -> bool {
    match &expr.kind {
        ExprKind::Static(_) => false,
        ExprKind::Attribute(attribute) => about_attribute(attribute) != About::Span,
        ExprKind::Unary { expr, .. } | ExprKind::Exists { expr, .. } => is_of_several(expr),
        ExprKind::Binary { lhs, rhs, .. } => is_of_several(lhs) || is_of_several(rhs),
    }
}
