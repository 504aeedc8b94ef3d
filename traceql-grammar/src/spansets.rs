//! What stands in a pipeline: spansets, scalars, groups in parentheses, and which of them fit
//! together.
//!
//! The grammar reads all of them alike, because a `(` does not say what it opens. Here every operand
//! gets its class, and every operator is checked against the classes of its two sides.

use crate::ast::{
    Aggregate, AggregateOp, Attribute, FieldExpr, MetricsExpr, Pipeline, ScalarExpr, ScalarFilter,
    Span, SpansetExpr, SpansetOp, Stage, Static,
};
use crate::error::Error;
use crate::expr;
use crate::metrics::{self, Body, Meaning};
use crate::parse::{self, Rule, span};
use pest::iterators::Pair;
use pest::pratt_parser::{Assoc, Op, PrattParser};
use std::sync::LazyLock;

static LEVELS: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    PrattParser::new()
        .op(Op::infix(Rule::logical, Assoc::Left) | Op::infix(Rule::without, Assoc::Left))
        .op(Op::infix(Rule::relation, Assoc::Left))
        .op(Op::infix(Rule::sum, Assoc::Left))
        .op(Op::infix(Rule::product, Assoc::Left))
        .op(Op::infix(Rule::power, Assoc::Right))
});

/// Part of a stage with what it is and where.
pub(crate) struct Operand {
    class: Class,
    span: Span,
}

enum Class {
    /// Filters and their combinations. `grouped` when every filter is in parentheses: then it may
    /// stand beside a wrapped pipeline.
    Spanset {
        expr: SpansetExpr,
        grouped: bool,
    },
    /// Whole pipelines in parentheses, the leftmost of which is more than a spanset.
    Wrapped(SpansetExpr),
    Scalar(ScalarExpr),
    /// A number with a minus: a scalar that may not stand everywhere.
    Negative(Static),
    /// `({} | count())` and arithmetic on such.
    ScalarPipe(ScalarExpr),
    /// A string, a word: only compared with a scalar pipe.
    Literal(Static),
    ScalarFilter(Box<ScalarFilter>),
    ScalarPipeFilter(Box<ScalarFilter>),
    GroupBy(FieldExpr),
    Select(Vec<Attribute>),
    Coalesce,
    Traces,
    /// Metrics queries in parentheses, and arithmetic on such.
    Series(Box<MetricsExpr>),
}

impl Class {
    /// What a message calls it.
    fn name(&self) -> &'static str {
        match self {
            Self::Spanset { .. } => "a spanset filter",
            Self::Wrapped(_) => "a pipeline in parentheses",
            Self::Scalar(ScalarExpr::Static(_)) | Self::Negative(_) => "a number",
            Self::Scalar(ScalarExpr::Binary { .. }) => "arithmetic",
            Self::Scalar(_) => "an aggregate",
            Self::ScalarPipe(_) => "an aggregated pipeline in parentheses",
            Self::Literal(_) => "a literal",
            Self::ScalarFilter(_) | Self::ScalarPipeFilter(_) => "a comparison of scalars",
            Self::GroupBy(_) => "by()",
            Self::Select(_) => "select()",
            Self::Coalesce => "coalesce()",
            Self::Traces => "traces()",
            Self::Series(_) => "a metrics query",
        }
    }
}

/// The stages of a `pipeline` pair, not yet put together.
pub(crate) fn stages(pipeline: Pair<'_, Rule>) -> Result<Vec<Operand>, Error> {
    pipeline.into_inner().filter(|pair| pair.as_rule() == Rule::stage).map(stage).collect()
}

fn stage(stage: Pair<'_, Rule>) -> Result<Operand, Error> {
    LEVELS
        .map_primary(primary)
        .map_infix(|lhs, op, rhs| infix(lhs?, &op, rhs?))
        .parse(stage.into_inner())
}

fn primary(pair: Pair<'_, Rule>) -> Result<Operand, Error> {
    let span = span(&pair);
    let class = match pair.as_rule() {
        Rule::filter => {
            Class::Spanset { expr: SpansetExpr::Filter(expr::filter(pair)?), grouped: false }
        }
        Rule::group => {
            let mut body = Body::default();
            pair.into_inner().try_for_each(|part| body.add(part))?;
            match body.meaning()? {
                Meaning::Stages(stages) => group(stages)?,
                Meaning::Series { series, .. } => Class::Series(Box::new(series)),
            }
        }
        Rule::coalesce => Class::Coalesce,
        Rule::traces => Class::Traces,
        Rule::group_by => {
            let field = pair.into_inner().find(|part| part.as_rule() == Rule::field);
            Class::GroupBy(expr::field(field.expect("by() has an expression"))?)
        }
        Rule::select => Class::Select(parse::attributes(pair)?),
        Rule::aggregate => Class::Scalar(ScalarExpr::Aggregate(aggregate(pair)?)),
        Rule::signed => match expr::signed(pair)? {
            (number, true) => Class::Negative(number),
            (number, false) => Class::Scalar(ScalarExpr::Static(number)),
        },
        _ => Class::Literal(expr::literal(&pair)?),
    };
    Ok(Operand { class, span })
}

pub(crate) fn aggregate(pair: Pair<'_, Rule>) -> Result<Aggregate, Error> {
    let span = span(&pair);
    let (mut op, mut argument) = (AggregateOp::Count, None);
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::aggregate_word => {
                let word = part.as_str();
                op = AggregateOp::ALL.into_iter().find(|op| op.as_str() == word).unwrap_or(op);
            }
            Rule::field => argument = Some(expr::field(part)?),
            _ => {}
        }
    }
    Ok(Aggregate { op, argument, span })
}

/// What parentheses around stages make of them.
fn group(mut stages: Vec<Operand>) -> Result<Class, Error> {
    let alone = stages.len() == 1;
    let last = stages.pop().expect("a pipeline is never empty");
    let class = match last.class {
        Class::Scalar(ScalarExpr::Aggregate(aggregate)) if !alone => {
            let before = Box::new(pipeline(stages)?);
            return Ok(Class::ScalarPipe(ScalarExpr::Pipeline(before, aggregate)));
        }
        Class::Spanset { expr, .. } if alone => return Ok(Class::Spanset { expr, grouped: true }),
        Class::Negative(number) if alone => return Ok(Class::Scalar(ScalarExpr::Static(number))),
        class @ (Class::Wrapped(_) | Class::Scalar(_) | Class::ScalarPipe(_)) if alone => {
            return Ok(class);
        }
        class => class,
    };
    stages.push(Operand { class, span: last.span });
    Ok(Class::Wrapped(SpansetExpr::Pipeline(pipeline(stages)?)))
}

/// The series that the stages are, or the stages.
pub(crate) fn series(mut stages: Vec<Operand>) -> Result<MetricsExpr, Vec<Operand>> {
    match stages.pop() {
        Some(Operand { class: Class::Series(series), .. }) if stages.is_empty() => Ok(*series),
        last => Err(stages.into_iter().chain(last).collect()),
    }
}

/// A query that is one stage: the only place for combined pipelines.
pub(crate) fn root(mut stages: Vec<Operand>) -> Result<Pipeline, Error> {
    let stage = match stages.pop().expect("a pipeline is never empty") {
        Operand { class: Class::Wrapped(expr), .. } => Stage::Spansets(expr),
        Operand { class: Class::ScalarPipeFilter(filter), .. } => Stage::Scalar(*filter),
        other => {
            stages.push(other);
            return pipeline(stages);
        }
    };
    Ok(Pipeline { stages: vec![stage] })
}

/// Stages that follow one another.
pub(crate) fn pipeline(operands: Vec<Operand>) -> Result<Pipeline, Error> {
    let mut stages = Vec::with_capacity(operands.len());
    for Operand { class, span } in operands {
        stages.push(match class {
            Class::Spanset { expr, .. } => Stage::Spansets(expr),
            Class::ScalarFilter(filter) => Stage::Scalar(*filter),
            Class::GroupBy(field) => Stage::GroupBy(field),
            Class::Select(attributes) => Stage::Select(attributes),
            Class::Coalesce if !stages.is_empty() => Stage::Coalesce,
            Class::Traces if !stages.is_empty() => Stage::Traces,
            class => return Err(no_stage(&class, span)),
        });
    }
    Ok(Pipeline { stages })
}

fn no_stage(class: &Class, span: Span) -> Error {
    let why = match class {
        Class::Coalesce => "coalesce() cannot be the first stage; begin with a filter such as { }",
        Class::Traces => "traces() cannot be the first stage; begin with a filter such as { }",
        Class::Series(_) => {
            "a metrics query in parentheses can be computed with, but not piped into or out of"
        }
        Class::Scalar(ScalarExpr::Static(_)) | Class::Negative(_) | Class::Literal(_) => {
            "a value is not a stage; conditions stand in braces, such as { span.a = 1 }"
        }
        Class::Scalar(_) => "an aggregate needs a comparison, such as count() > 2",
        Class::ScalarPipe(_) => {
            "an aggregated pipeline in parentheses needs a comparison behind it"
        }
        _ => "pipelines in parentheses can be combined, but not piped into or out of",
    };
    Error::syntax(span, why)
}

fn infix(lhs: Operand, op: &Pair<'_, Rule>, rhs: Operand) -> Result<Operand, Error> {
    let whole = lhs.span.start..rhs.span.end;
    let text = op.as_str();
    let class = match (lhs.class, rhs.class) {
        (
            Class::Spanset { expr: lhs, grouped: left },
            Class::Spanset { expr: rhs, grouped: right },
        ) => {
            let expr = combine(lhs, spanset_operator(op)?, rhs, whole.clone());
            Class::Spanset { expr, grouped: left && right }
        }
        // Tempo's rules for pipelines in parentheses do not bind what is not Tempo's.
        (Class::Spanset { expr: lhs, grouped }, Class::Wrapped(rhs)) if is_without(op) => {
            let expr = combine(lhs, SpansetOp::Without, rhs, whole.clone());
            Class::Spanset { expr, grouped }
        }
        (Class::Wrapped(lhs), Class::Spanset { expr: rhs, .. }) if is_without(op) => {
            Class::Wrapped(combine(lhs, SpansetOp::Without, rhs, whole.clone()))
        }
        (Class::Wrapped(lhs), Class::Wrapped(rhs)) => {
            Class::Wrapped(combine(lhs, spanset_operator(op)?, rhs, whole.clone()))
        }
        (Class::Wrapped(lhs), Class::Spanset { expr: rhs, grouped: true }) => {
            // `({a} | {b}) && ({c})`: what is pure may follow, in parentheses.
            let rhs = SpansetExpr::Pipeline(Pipeline { stages: vec![Stage::Spansets(rhs)] });
            Class::Wrapped(combine(lhs, spanset_operator(op)?, rhs, whole.clone()))
        }
        (lhs @ Class::Series(_), rhs) | (lhs, rhs @ Class::Series(_)) => {
            let (lhs, rhs) = (computed(lhs, op)?, computed(rhs, op)?);
            Class::Series(Box::new(metrics::infix(lhs, op, rhs, whole.clone())?))
        }
        (Class::ScalarPipe(lhs), Class::ScalarPipe(rhs)) => {
            match scalar_operator(op, lhs, rhs, whole.clone())? {
                Computed::Scalar(scalar) => Class::ScalarPipe(scalar),
                Computed::Filter(filter) => Class::ScalarPipeFilter(filter),
            }
        }
        (
            Class::ScalarPipe(lhs),
            Class::Literal(value) | Class::Scalar(ScalarExpr::Static(value)),
        ) => match scalar_operator(op, lhs, ScalarExpr::Static(value), whole.clone())? {
            Computed::Filter(filter) => Class::ScalarPipeFilter(filter),
            Computed::Scalar(_) => {
                let detail = format!("{text} needs an aggregated pipeline on both sides");
                return Err(Error::syntax(span(op), detail));
            }
        },
        (lhs, rhs) => match (scalar(lhs), scalar(rhs)) {
            (Ok(lhs), Ok(rhs)) => match scalar_operator(op, lhs, rhs, whole.clone())? {
                Computed::Scalar(scalar) => Class::Scalar(scalar),
                Computed::Filter(filter) => Class::ScalarFilter(filter),
            },
            (lhs, rhs) => return Err(no_pair(&named(lhs), op, &named(rhs))),
        },
    };
    Ok(Operand { class, span: whole })
}

/// A side of an operator the other side of which is a metrics query.
fn computed(class: Class, op: &Pair<'_, Rule>) -> Result<MetricsExpr, Error> {
    match class {
        Class::Series(series) => Ok(*series),
        Class::Negative(value) => Ok(MetricsExpr::Number(value)),
        Class::Scalar(scalar) => metrics::constant(&scalar).map(MetricsExpr::Number),
        other => {
            let (text, name) = (op.as_str(), other.name());
            let detail = format!(
                "{text} cannot stand between a metrics query and {name}; write a metrics query in \
                 parentheses, or a number"
            );
            Err(Error::syntax(span(op), detail))
        }
    }
}

fn scalar(class: Class) -> Result<ScalarExpr, Class> {
    match class {
        Class::Scalar(scalar) => Ok(scalar),
        Class::Negative(number) => Ok(ScalarExpr::Static(number)),
        other => Err(other),
    }
}

fn named(side: Result<ScalarExpr, Class>) -> Class {
    side.map_or_else(|class| class, Class::Scalar)
}

fn no_pair(lhs: &Class, op: &Pair<'_, Rule>, rhs: &Class) -> Error {
    let advice = match (lhs, rhs) {
        (Class::Spanset { .. }, Class::Wrapped(_)) => {
            "; write the pipeline first, or pipe instead of combining"
        }
        (Class::Wrapped(_), Class::Spanset { .. }) => "; put the filter in parentheses",
        (Class::Spanset { .. } | Class::Wrapped(_), _) => {
            "; both sides must be spansets, such as { span.a }"
        }
        _ => "",
    };
    let (lhs, text, rhs) = (lhs.name(), op.as_str(), rhs.name());
    Error::syntax(span(op), format!("{text} cannot stand between {lhs} and {rhs}{advice}"))
}

fn is_without(op: &Pair<'_, Rule>) -> bool {
    op.as_rule() == Rule::without
}

fn combine(lhs: SpansetExpr, op: SpansetOp, rhs: SpansetExpr, span: Span) -> SpansetExpr {
    SpansetExpr::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs), span }
}

fn spanset_operator(op: &Pair<'_, Rule>) -> Result<SpansetOp, Error> {
    let text = op.as_str();
    let found = SpansetOp::all().find(|op| op.symbol() == text);
    found.ok_or_else(|| {
        let detail = format!(
            "{text} cannot stand between spansets; use && || or one of > >> < << ~ with ! or & \
             before it"
        );
        Error::syntax(span(op), detail)
    })
}

enum Computed {
    Scalar(ScalarExpr),
    Filter(Box<ScalarFilter>),
}

fn scalar_operator(
    token: &Pair<'_, Rule>,
    lhs: ScalarExpr,
    rhs: ScalarExpr,
    whole: Span,
) -> Result<Computed, Error> {
    let text = token.as_str();
    match expr::binary_op(text) {
        Some(op) if op.is_arithmetic() => {
            let (lhs, rhs) = (Box::new(lhs), Box::new(rhs));
            Ok(Computed::Scalar(ScalarExpr::Binary { op, lhs, rhs, span: whole }))
        }
        Some(op) if op.is_ordering() || op.is_equality() => {
            Ok(Computed::Filter(Box::new(ScalarFilter { lhs, op, rhs, span: whole })))
        }
        _ => Err(Error::syntax(span(token), format!("{text} cannot stand between scalars"))),
    }
}
