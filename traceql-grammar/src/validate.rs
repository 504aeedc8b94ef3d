//! Whether a query makes sense: types, regular expressions, numbers in range, and what nobody
//! evaluates yet. The first violation wins: depth first, left to right, the pipeline before the
//! metrics.

use crate::ast::{
    Aggregate, AggregateOp, Attribute, BinaryOp, ExprKind, FieldExpr, Intrinsic, Limit, Metrics,
    MetricsArithmetic, MetricsExpr, MetricsFirst, MetricsOp, Order, OrderKey, Pipeline, Query,
    Root, ScalarExpr, ScalarFilter, Scope, Search, SecondStage, Span, SpansetExpr, Stage, Static,
    UnaryOp,
};
use crate::error::Error;
use crate::re2;
use crate::types::Type;

/// Most attributes in `by (...)` of a metrics function, as in Tempo, where a series has that many
/// slots.
pub const METRICS_BY_MAX: usize = 5;

/// Most metrics queries in one expression: each is evaluated over all data, in memory at once.
pub const METRICS_QUERIES_MAX: usize = 16;

pub(crate) fn query(query: &Query) -> Result<(), Error> {
    // Hints are never refused: unknown ones are for somebody else.
    let Query { root, hints: _ } = query;
    match root {
        Root::Search(Search { pipeline: stages, order, limit }) => {
            pipeline(stages)?;
            order.as_ref().map_or(Ok(()), order_by)?;
            limit.as_ref().map_or(Ok(()), |limit| {
                let Limit { count, span } = limit;
                if *count > 0 {
                    return Ok(());
                }
                Err(Error::invalid(span.clone(), format!("limit must be greater than 0: {count}")))
            })
        }
        Root::Metrics(series) => {
            let mut queries = 0;
            metrics_expr(series, &mut queries)
        }
    }
}

fn order_by(order: &Order) -> Result<(), Error> {
    let Order { key, direction: _, span } = order;
    match key {
        OrderKey::Aggregate(key) => aggregate(key),
        OrderKey::Field(key) => {
            field(key)?;
            if key.references_span() {
                return Ok(());
            }
            let detail = format!("order by must reference the span: {key} is constant");
            Err(Error::invalid(span.clone(), detail))
        }
    }
}

/// `queries` counts those that were seen.
fn metrics_expr(expr: &MetricsExpr, queries: &mut usize) -> Result<(), Error> {
    match expr {
        MetricsExpr::Number(_) => Ok(()),
        MetricsExpr::Query(metrics) => {
            *queries += 1;
            pipeline(&metrics.pipeline)?;
            metrics_stage(metrics)
        }
        MetricsExpr::Arithmetic(arithmetic) => {
            let MetricsArithmetic { op: _, lhs, rhs, second, span } = &**arithmetic;
            for side in [lhs, rhs] {
                metrics_expr(side, queries)?;
                if let MetricsExpr::Query(Metrics {
                    first: MetricsFirst::Compare { .. },
                    span,
                    ..
                }) = side
                {
                    let detail = "compare() cannot be computed with";
                    return Err(Error::invalid(span.clone(), detail.to_owned()));
                }
            }
            if *queries > METRICS_QUERIES_MAX {
                let detail =
                    format!("more than {METRICS_QUERIES_MAX} metrics queries in one expression");
                return Err(Error::too_large(span.clone(), detail));
            }
            second_stages(second, span)
        }
    }
}

fn pipeline(pipeline: &Pipeline) -> Result<(), Error> {
    pipeline.stages.iter().try_for_each(|stage| match stage {
        Stage::Spansets(spansets) => spanset(spansets),
        Stage::Scalar(filter) => scalar_filter(filter),
        Stage::GroupBy(by) => group_by(by),
        Stage::Select(attributes) => {
            attributes.iter().try_for_each(|attribute| supported(attribute, 0..0))
        }
        Stage::Coalesce | Stage::Traces => Ok(()),
    })
}

fn spanset(expr: &SpansetExpr) -> Result<(), Error> {
    match expr {
        SpansetExpr::Filter(condition) => filter(condition),
        SpansetExpr::Binary { lhs, rhs, .. } => {
            spanset(lhs)?;
            spanset(rhs)
        }
        SpansetExpr::Pipeline(inner) => pipeline(inner),
    }
}

fn filter(condition: &FieldExpr) -> Result<(), Error> {
    field(condition)?;
    match condition.static_type() {
        Type::Bool | Type::Unknown => Ok(()),
        other => Err(Error::invalid(
            condition.span.clone(),
            format!(
                "span filter field expressions must resolve to a boolean: {condition} is {other}"
            ),
        )),
    }
}

fn group_by(by: &FieldExpr) -> Result<(), Error> {
    field(by)?;
    if by.references_span() {
        return Ok(());
    }
    let detail = format!("grouping field expressions must reference the span: {by} is constant");
    Err(Error::invalid(by.span.clone(), detail))
}

fn field(expr: &FieldExpr) -> Result<(), Error> {
    let span = || expr.span.clone();
    match &expr.kind {
        ExprKind::Static(_) => Ok(()),
        ExprKind::Attribute(attribute) => supported(attribute, span()),
        ExprKind::Unary { op, expr: operand } => {
            field(operand)?;
            unary(*op, operand, span())
        }
        ExprKind::Binary { op, lhs, rhs } => {
            field(lhs)?;
            field(rhs)?;
            binary(*op, &(lhs, lhs.static_type()), &(rhs, rhs.static_type()), span())?;
            if matches!(op, BinaryOp::Regex | BinaryOp::NotRegex) {
                return pattern(rhs);
            }
            Ok(())
        }
        ExprKind::Exists { expr: operand, present } => {
            field(operand)?;
            match &operand.kind {
                ExprKind::Attribute(attribute) if !present && never_nil(attribute) => {
                    let detail = format!("{attribute} = nil is always false: it is never absent");
                    Err(Error::invalid(span(), detail))
                }
                _ => Ok(()),
            }
        }
    }
}

fn supported(attribute: &Attribute, span: Span) -> Result<(), Error> {
    match attribute {
        Attribute::OfParent { .. } | Attribute::Intrinsic(Intrinsic::Parent) => Err(
            Error::unsupported(span, &format!("{attribute}: attributes of the parent span are")),
        ),
        Attribute::Intrinsic(_) | Attribute::Named { .. } => Ok(()),
    }
}

/// What every span has.
fn never_nil(attribute: &Attribute) -> bool {
    match attribute {
        Attribute::Intrinsic(_) => true,
        Attribute::Named { scope, name } => *scope == Scope::Resource && name == "service.name",
        Attribute::OfParent { .. } => false,
    }
}

fn unary(op: UnaryOp, operand: &FieldExpr, span: Span) -> Result<(), Error> {
    let operand_type = operand.static_type();
    if operand_type.allows_unary(op) {
        return Ok(());
    }
    let wanted = match op {
        UnaryOp::Not => "a boolean",
        UnaryOp::Neg => "a number",
    };
    let symbol = op.symbol();
    Err(Error::invalid(span, format!("{symbol} needs {wanted}: {operand} is {operand_type}")))
}

/// The rule for two operands, whatever they are.
fn binary<T: std::fmt::Display>(
    op: BinaryOp,
    (lhs, lhs_type): &(T, Type),
    (rhs, rhs_type): &(T, Type),
    span: Span,
) -> Result<(), Error> {
    if !lhs_type.matches(*rhs_type) {
        let detail = format!(
            "binary operations must operate on the same type: {lhs} is {lhs_type}, \
             {rhs} is {rhs_type}"
        );
        return Err(Error::invalid(span, detail));
    }
    let sides = [(lhs, lhs_type), (rhs, rhs_type)];
    match sides.into_iter().find(|(_, side_type)| !side_type.allows(op)) {
        None => Ok(()),
        Some((side, side_type)) => {
            let symbol = op.symbol();
            let detail = format!("illegal operation: {symbol} for {side}, which is {side_type}");
            Err(Error::invalid(span, detail))
        }
    }
}

/// The right side of `=~` and `!~`.
fn pattern(rhs: &FieldExpr) -> Result<(), Error> {
    let ExprKind::Static(Static::String(pattern)) = &rhs.kind else {
        let detail = format!("the right side of a regex must be a string literal, not {rhs}");
        return Err(Error::invalid(rhs.span.clone(), detail));
    };
    match re2::check(pattern) {
        Ok(()) => Ok(()),
        Err(reason) => {
            let detail = format!("invalid regex {rhs}: {reason}");
            Err(Error::invalid(rhs.span.clone(), detail))
        }
    }
}

fn scalar_filter(filter: &ScalarFilter) -> Result<(), Error> {
    let ScalarFilter { lhs, op, rhs, span } = filter;
    scalar(lhs)?;
    scalar(rhs)?;
    binary(*op, &(lhs, lhs.static_type()), &(rhs, rhs.static_type()), span.clone())?;
    if let (ScalarExpr::Aggregate(_), ScalarExpr::Static(_)) = (lhs, rhs) {
        return Ok(());
    }
    let what = format!(
        "{filter}: scalar filters other than an aggregate compared with a literal, such as \
         count() > 2, are"
    );
    Err(Error::unsupported(span.clone(), &what))
}

fn scalar(expr: &ScalarExpr) -> Result<(), Error> {
    match expr {
        ScalarExpr::Static(_) => Ok(()),
        ScalarExpr::Aggregate(inner) => aggregate(inner),
        ScalarExpr::Binary { op, lhs, rhs, span } => {
            scalar(lhs)?;
            scalar(rhs)?;
            binary(*op, &(lhs, lhs.static_type()), &(rhs, rhs.static_type()), span.clone())
        }
        ScalarExpr::Pipeline(stages, inner) => {
            pipeline(stages)?;
            aggregate(inner)
        }
    }
}

fn aggregate(aggregate: &Aggregate) -> Result<(), Error> {
    let Aggregate { op, argument, span } = aggregate;
    let Some(argument) = argument.as_ref().filter(|_| *op != AggregateOp::Count) else {
        return Ok(());
    };
    field(argument)?;
    let argument_type = argument.static_type();
    let takes_any = *op == AggregateOp::CountDistinct || argument_type == Type::Unknown;
    let detail = if !argument_type.is_numeric() && !takes_any {
        format!("{aggregate}: aggregates need a number, {argument} is {argument_type}")
    } else if !argument.references_span() {
        format!("{aggregate}: aggregates must reference the span, {argument} is constant")
    } else {
        return Ok(());
    };
    Err(Error::invalid(span.clone(), detail))
}

fn metrics_stage(metrics: &Metrics) -> Result<(), Error> {
    let Metrics { pipeline: _, first, second, span } = metrics;
    let wrong = |detail: String| Err(Error::invalid(span.clone(), detail));
    match first {
        MetricsFirst::Aggregate { op, argument: _, quantiles, by } => {
            let max = by_max(*op);
            if by.len() > max {
                let (function, found) = (op.as_str(), by.len());
                return wrong(format!("{function}() takes at most {max} groups, not {found}"));
            }
            if let Some(out) = quantiles.iter().find(|quantile| !(0.0..=1.0).contains(*quantile)) {
                return wrong(format!("quantile must be between 0 and 1: {out}"));
            }
        }
        MetricsFirst::Compare { selection, top, start_unix_nano, end_unix_nano } => {
            filter(selection)?;
            let (start, end) = (*start_unix_nano, *end_unix_nano);
            if *top <= 0 {
                return wrong(format!("compare() number of values must be greater than 0: {top}"));
            }
            if (start, end) != (0, 0) && (start <= 0 || end <= start) {
                return wrong(format!(
                    "compare() needs 0 < start < end in nanoseconds, or neither: {start}, {end}"
                ));
            }
            if !second.is_empty() {
                return wrong("nothing can follow compare()".to_owned());
            }
        }
    }
    second_stages(second, span)
}

fn second_stages(stages: &[SecondStage], span: &Span) -> Result<(), Error> {
    stages.iter().try_for_each(|stage| match stage {
        SecondStage::TopK(limit) | SecondStage::BottomK(limit) if *limit <= 0 => {
            let detail =
                format!("the limit of topk() and bottomk() must be greater than 0, not {limit}");
            Err(Error::invalid(span.clone(), detail))
        }
        SecondStage::TopK(_) | SecondStage::BottomK(_) | SecondStage::Filter { .. } => Ok(()),
    })
}

/// Averages, quantiles and histograms keep one slot of a series for themselves.
fn by_max(op: MetricsOp) -> usize {
    match op {
        MetricsOp::AvgOverTime | MetricsOp::QuantileOverTime | MetricsOp::HistogramOverTime => {
            METRICS_BY_MAX - 1
        }
        MetricsOp::Rate
        | MetricsOp::CountOverTime
        | MetricsOp::MinOverTime
        | MetricsOp::MaxOverTime
        | MetricsOp::SumOverTime
        | MetricsOp::CountDistinctOverTime => METRICS_BY_MAX,
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
