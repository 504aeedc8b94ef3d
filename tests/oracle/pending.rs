//! What is not asked yet: what the engine answers otherwise than the rules say, until one of them is mended.

use traceql_grammar::ast::{
    BinaryOp, ExprKind, FieldExpr, MetricsExpr, MetricsFirst, OrderKey, Pipeline, Query, Root,
    ScalarExpr, SpansetExpr, Stage, UnaryOp,
};

use crate::evaluate_field::{About, about, is_condition};

/// An empty event's name is shown of spans that have no event.
pub(crate) fn is_shown_anyway(key: &str, told: &str) -> bool {
    key == "event:name" && told == "\"\""
}

/// Whether `!event.x` stands where its value is asked: it is false of spans without events in `by()`, and missing in tests for `nil`.
pub(crate) fn is_pending(query: &Query) -> bool {
    match &query.root {
        Root::Search(search) => {
            let of_key = search.order.as_ref().is_some_and(|order| match &order.key {
                OrderKey::Field(field) => of_operand(field),
                OrderKey::Aggregate(aggregate) => {
                    aggregate.argument.as_ref().is_some_and(of_operand)
                }
            });
            of_key || of_pipeline(&search.pipeline)
        }
        Root::Metrics(expr) => of_metrics(expr),
    }
}

fn of_metrics(expr: &MetricsExpr) -> bool {
    match expr {
        MetricsExpr::Number(_) => false,
        MetricsExpr::Query(query) => {
            let of_first = match &query.first {
                MetricsFirst::Compare { selection, .. } => of_condition(selection),
                MetricsFirst::Aggregate { .. } => false,
            };
            of_first || of_pipeline(&query.pipeline)
        }
        MetricsExpr::Arithmetic(arithmetic) => {
            of_metrics(&arithmetic.lhs) || of_metrics(&arithmetic.rhs)
        }
    }
}

fn of_pipeline(pipeline: &Pipeline) -> bool {
    pipeline.stages.iter().any(|stage| match stage {
        Stage::Spansets(expr) => of_spansets(expr),
        Stage::GroupBy(by) => of_operand(by),
        Stage::Scalar(filter) => match &filter.lhs {
            ScalarExpr::Aggregate(aggregate) => aggregate.argument.as_ref().is_some_and(of_operand),
            _ => false,
        },
        Stage::Select(_) | Stage::Coalesce | Stage::Traces => false,
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
            of_condition(inside)
        }
        ExprKind::Binary { op: BinaryOp::And | BinaryOp::Or, lhs, rhs } => {
            of_condition(lhs) || of_condition(rhs)
        }
        ExprKind::Unary { expr, .. } | ExprKind::Exists { expr, .. } => of_operand(expr),
        ExprKind::Binary { lhs, rhs, .. } => of_operand(lhs) || of_operand(rhs),
    }
}

/// `!event.x`
fn is_not_of_event(expr: &FieldExpr) -> bool {
    let ExprKind::Unary { op: UnaryOp::Not, expr } = &expr.kind else { return false };
    matches!(about(expr), About::Event | About::Link)
}

/// An expression whose value is asked.
fn of_operand(expr: &FieldExpr) -> bool {
    if is_not_of_event(expr) {
        return true;
    }
    match &expr.kind {
        ExprKind::Static(_) | ExprKind::Attribute(_) => false,
        ExprKind::Unary { expr, .. } | ExprKind::Exists { expr, .. } => of_operand(expr),
        ExprKind::Binary { lhs, rhs, .. } => of_operand(lhs) || of_operand(rhs),
    }
}
