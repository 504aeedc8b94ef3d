//! Questions that are not asked yet: what the engine answers otherwise than the rules say, until one of them is mended.

use traceql_grammar::ast::{
    BinaryOp, ExprKind, FieldExpr, MetricsFirst, Pipeline, Query, ScalarExpr, SpansetExpr, Stage,
    UnaryOp,
};

use crate::evaluate_field::{About, about, conjuncts, is_condition, is_of_several};

/// `resource.service.name` is an empty text in `by (...)` of metrics functions and in `compare()` where it is missing.
pub(crate) const SERVICES_WITHOUT_NAME_ARE_EMPTY: bool = true;

/// In `compare()` an array of one element and its element are two series with equal labels.
pub(crate) const COMPARE_KEEPS_ARRAYS_OF_ONE_APART: bool = true;

/// Whether a query has something in it that is not asked yet.
pub(crate) fn is_pending(query: &Query) -> bool {
    let of_metrics = query.metrics.as_ref().is_some_and(|metrics| match &metrics.first {
        MetricsFirst::Compare { selection, .. } => of_condition(selection),
        MetricsFirst::Aggregate { .. } => false,
    });
    of_metrics || of_pipeline(&query.pipeline)
}

/// An event's name is shown of spans that have no event.
pub(crate) fn is_shown_anyway(key: &str, told: &str) -> bool {
    key == "event:name" && told == "\"\""
}

fn of_pipeline(pipeline: &Pipeline) -> bool {
    pipeline.stages.iter().any(|stage| match stage {
        Stage::Spansets(expr) => of_spansets(expr),
        Stage::GroupBy(by) => of_operand(by),
        Stage::Scalar(filter) => match &filter.lhs {
            ScalarExpr::Aggregate(aggregate) => aggregate.argument.as_ref().is_some_and(of_operand),
            _ => false,
        },
        Stage::Select(_) | Stage::Coalesce => false,
    })
}

fn of_spansets(expr: &SpansetExpr) -> bool {
    match expr {
        SpansetExpr::Filter(condition) => of_condition(condition),
        SpansetExpr::Pipeline(pipeline) => of_pipeline(pipeline),
        SpansetExpr::Binary { lhs, rhs, .. } => of_spansets(lhs) || of_spansets(rhs),
    }
}

/// An expression whose truth is asked.
fn of_condition(expr: &FieldExpr) -> bool {
    match &expr.kind {
        ExprKind::Static(_) | ExprKind::Attribute(_) => false,
        ExprKind::Unary { op: UnaryOp::Not, expr: inside } if is_condition(inside) => {
            is_not_of_value(inside) || of_condition(inside)
        }
        ExprKind::Binary { op: BinaryOp::And, .. } => {
            let parts = conjuncts(expr);
            // Joined to conditions on events: some that are on events and on something else.
            let is_joined =
                parts.iter().any(|part| matches!(about(part), About::Event | About::Link));
            let is_mixed =
                parts.iter().any(|part| about(part) == About::Span && is_of_several(part));
            (is_joined && is_mixed) || parts.into_iter().any(of_condition)
        }
        ExprKind::Binary { op: BinaryOp::Or, lhs, rhs } => of_condition(lhs) || of_condition(rhs),
        ExprKind::Unary { expr, .. } | ExprKind::Exists { expr, .. } => of_operand(expr),
        // Events compared with what is not of one event.
        ExprKind::Binary { lhs, rhs, .. } => {
            (about(expr) == About::Span && is_of_several(expr))
                || of_operand(lhs)
                || of_operand(rhs)
        }
    }
}

/// `!x`, in which `x` may be no boolean.
fn is_not_of_value(expr: &FieldExpr) -> bool {
    matches!(&expr.kind, ExprKind::Unary { op: UnaryOp::Not, expr } if !is_condition(expr))
}

/// An expression whose value is asked: no conditions on events, no `!` of something that may be missing.
fn of_operand(expr: &FieldExpr) -> bool {
    if is_not_of_value(expr) || (is_condition(expr) && is_of_several(expr)) {
        return true;
    }
    match &expr.kind {
        ExprKind::Static(_) | ExprKind::Attribute(_) => false,
        ExprKind::Unary { expr, .. } | ExprKind::Exists { expr, .. } => of_operand(expr),
        ExprKind::Binary { lhs, rhs, .. } => of_operand(lhs) || of_operand(rhs),
    }
}
