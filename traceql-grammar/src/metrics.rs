//! Metrics: the functions, what follows them, and arithmetic between whole metrics queries.

use pest::iterators::Pair;

use crate::ast::{
    BinaryOp, ExprKind, FieldExpr, Metrics, MetricsArithmetic, MetricsExpr, MetricsFirst,
    MetricsOp, ScalarExpr, SecondStage, Span, Static,
};
use crate::error::Error;
use crate::expr;
use crate::fold;
use crate::literals::SECOND;
use crate::parse::{self, Rule, span};
use crate::spansets::{self, Operand};

/// Values of a `compare()` for which series are made, when the query does not say.
const COMPARE_TOP: i64 = 10;

/// What a whole query and the inside of parentheses have alike: stages, a metrics function behind
/// them, and what is done with series.
#[derive(Default)]
pub(crate) struct Body {
    stages: Vec<Operand>,
    function: Option<Function>,
    second: Vec<(SecondStage, Span)>,
}

struct Function {
    first: MetricsFirst,
    second: Vec<SecondStage>,
    span: Span,
}

/// What a [`Body`] turned out to be.
pub(crate) enum Meaning {
    Stages(Vec<Operand>),
    /// `grouped` when parentheses stand around each query in it.
    Series {
        series: MetricsExpr,
        grouped: bool,
    },
}

impl Body {
    /// Takes in one part of the pair; others are the caller's.
    pub(crate) fn add(&mut self, part: Pair<'_, Rule>) -> Result<(), Error> {
        match part.as_rule() {
            Rule::pipeline => self.stages = spansets::stages(part)?,
            Rule::metrics => self.function = Some(function(part)?),
            Rule::second_top | Rule::second_filter => {
                let span = span(&part);
                self.second.push((second(part)?, span));
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn meaning(self) -> Result<Meaning, Error> {
        let Self { stages, function, second } = self;
        let grouped = function.is_none();
        let mut series = match function {
            Some(Function { first, second, span }) => {
                let pipeline = spansets::pipeline(stages)?;
                MetricsExpr::Query(Metrics { pipeline, first, second, span })
            }
            None => match spansets::series(stages) {
                Ok(series) => series,
                Err(stages) => {
                    return match second.into_iter().next() {
                        None => Ok(Meaning::Stages(stages)),
                        Some((_, span)) => Err(Error::syntax(
                            span,
                            "topk(), bottomk() and comparisons of samples follow a metrics \
                             function, as in { } | rate() | topk(3)",
                        )),
                    };
                }
            },
        };
        for (stage, _) in second {
            then(&mut series, stage);
        }
        Ok(Meaning::Series { series, grouped })
    }
}

/// Does something with the series.
fn then(series: &mut MetricsExpr, stage: SecondStage) {
    match series {
        MetricsExpr::Query(query) => query.second.push(stage),
        MetricsExpr::Arithmetic(arithmetic) => arithmetic.second.push(stage),
        MetricsExpr::Number(_) => unreachable!("a number alone is no series"),
    }
}

/// An operator between metrics queries, or between one and a number.
pub(crate) fn infix(
    mut lhs: MetricsExpr,
    op: &Pair<'_, Rule>,
    rhs: MetricsExpr,
    whole: Span,
) -> Result<MetricsExpr, Error> {
    let text = op.as_str();
    let refused = |detail: String| Err(Error::syntax(span(op), detail));
    match expr::binary_op(text) {
        Some(op @ (BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div)) => {
            let arithmetic = MetricsArithmetic { op, lhs, rhs, second: Vec::new(), span: whole };
            Ok(MetricsExpr::Arithmetic(Box::new(arithmetic)))
        }
        Some(op) if op.is_ordering() || op.is_equality() => match (&lhs, rhs) {
            (MetricsExpr::Number(_), _) => refused(format!(
                "the metrics query stands on the left of {text}, the number on the right"
            )),
            (_, MetricsExpr::Number(value)) => {
                then(&mut lhs, SecondStage::Filter { op, value });
                Ok(lhs)
            }
            _ => refused(format!(
                "{text} compares the samples of a metrics query with a number, not with another query"
            )),
        },
        _ => refused(format!(
            "{text} cannot stand between metrics queries; use + - * / or compare with a number"
        )),
    }
}

/// A number that stands for a query: literals, and arithmetic of such. Of two ints it is an int, as in
/// braces; a duration counts in seconds.
pub(crate) fn constant(scalar: &ScalarExpr) -> Result<Static, Error> {
    match scalar {
        ScalarExpr::Static(value) => Ok(value.clone()),
        ScalarExpr::Binary { op, lhs, rhs, span } => {
            let result = match (constant(lhs)?, constant(rhs)?) {
                (Static::Int(lhs), Static::Int(rhs)) => {
                    fold::int_arithmetic(*op, lhs, rhs).map(Static::Int)
                }
                (lhs, rhs) => fold::binary(*op, &in_seconds(lhs), &in_seconds(rhs)),
            };
            result.ok_or_else(|| {
                Error::syntax(span.clone(), format!("{scalar} is no number that can be written"))
            })
        }
        ScalarExpr::Aggregate(aggregate) => Err(Error::syntax(
            aggregate.span.clone(),
            format!("{aggregate} is about one spanset; metrics take numbers and metrics queries"),
        )),
        ScalarExpr::Pipeline(_, aggregate) => Err(Error::syntax(
            aggregate.span.clone(),
            format!("{aggregate} makes no series; a metrics function such as rate() does"),
        )),
    }
}

fn in_seconds(value: Static) -> Static {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "samples are floats")]
        Static::Duration(nanos) => Static::Float(nanos as f64 / SECOND as f64),
        other => other,
    }
}

fn function(stage: Pair<'_, Rule>) -> Result<Function, Error> {
    let mut span = span(&stage);
    let (mut first, mut stages) = (None, Vec::new());
    for part in stage.into_inner() {
        match part.as_rule() {
            Rule::pipe => {}
            Rule::second_top | Rule::second_filter => stages.push(second(part)?),
            _ => {
                span.start = part.as_span().start();
                first = Some(metrics_first(part)?);
            }
        }
    }
    let first = first.expect("a metrics stage contains its function");
    Ok(Function { first, second: stages, span })
}

fn second(stage: Pair<'_, Rule>) -> Result<SecondStage, Error> {
    if stage.as_rule() == Rule::second_filter {
        return filter(stage);
    }
    let mut top = true;
    let mut count = 0;
    for part in stage.into_inner() {
        match part.as_rule() {
            Rule::top_word => top = part.as_str() == "topk",
            Rule::integer => count = parse::integer(&part)?,
            _ => {}
        }
    }
    Ok(if top { SecondStage::TopK(count) } else { SecondStage::BottomK(count) })
}

fn metrics_first(function: Pair<'_, Rule>) -> Result<MetricsFirst, Error> {
    if function.as_rule() == Rule::compare {
        return compare(function);
    }
    let (mut op, mut argument) = (MetricsOp::Rate, None);
    let (mut quantiles, mut by) = (Vec::new(), Vec::new());
    for part in function.into_inner() {
        match part.as_rule() {
            Rule::plain_word | Rule::over_word | Rule::quantile_word => {
                op = metrics_op(part.as_str());
            }
            Rule::attribute => argument = Some(expr::attribute(part)?),
            Rule::float | Rule::integer => quantiles.push(number(&part)?),
            Rule::metrics_by => by = parse::attributes(part)?,
            _ => {}
        }
    }
    Ok(MetricsFirst::Aggregate { op, argument, quantiles, by })
}

fn metrics_op(word: &str) -> MetricsOp {
    let op = MetricsOp::ALL.into_iter().find(|op| op.as_str() == word);
    op.expect("the grammar lets through the names of functions only")
}

fn number(pair: &Pair<'_, Rule>) -> Result<f64, Error> {
    match expr::literal(pair)? {
        Static::Float(value) => Ok(value),
        #[expect(clippy::cast_precision_loss, reason = "validation allows 0 and 1 only")]
        Static::Int(value) => Ok(value as f64),
        _ => Err(Error::syntax(span(pair), "a quantile is a number from 0 to 1")),
    }
}

fn compare(function: Pair<'_, Rule>) -> Result<MetricsFirst, Error> {
    let whole = span(&function);
    let mut selection =
        FieldExpr { kind: ExprKind::Static(Static::Bool(true)), span: whole.clone() };
    let mut numbers = Vec::new();
    for part in function.into_inner() {
        match part.as_rule() {
            Rule::filter => selection = expr::filter(part)?,
            Rule::integer => numbers.push(parse::integer(&part)?),
            _ => {}
        }
    }
    let at = |index: usize| numbers.get(index).copied();
    Ok(MetricsFirst::Compare {
        selection,
        top: at(0).unwrap_or(COMPARE_TOP),
        start_unix_nano: at(1).unwrap_or(0),
        end_unix_nano: at(2).unwrap_or(0),
    })
}

fn filter(stage: Pair<'_, Rule>) -> Result<SecondStage, Error> {
    let mut inner = stage.into_inner();
    let operator = inner.next().expect("a metrics filter begins with its comparison");
    let value = inner.next().expect("a metrics filter ends with its number");
    let op = expr::binary_op(operator.as_str());
    let op = op.filter(|op| op.is_ordering() || op.is_equality()).ok_or_else(|| {
        let text = operator.as_str();
        Error::syntax(span(&operator), format!("{text} cannot compare numbers; use = != < <= > >="))
    })?;
    Ok(SecondStage::Filter { op, value: expr::signed(value)?.0 })
}
