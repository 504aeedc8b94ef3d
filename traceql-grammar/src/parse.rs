//! Text to tree: pest's pairs, stage by stage. Expressions are in `expr`, operands of a pipeline in
//! `spansets`.

use crate::ast::{
    Attribute, ExprKind, FieldExpr, Hint, Metrics, MetricsFirst, MetricsOp, Pipeline, Query,
    SecondStage, Span, Static,
};
use crate::error::Error;
use crate::expr;
use crate::limits;
use crate::spansets::{self, Operand};
use crate::syntax;
use pest::Parser;
use pest::iterators::{Pair, Pairs};

/// The generated parser. In a module of its own, because the derive makes `Rule` public.
mod generated {
    /// Recognises the tokens and their order.
    #[derive(pest_derive::Parser)]
    #[grammar = "grammar.pest"]
    pub(crate) struct Grammar;
}
pub(crate) use generated::{Grammar, Rule};

/// Values of a `compare()` for which series are made, when the query does not say.
const COMPARE_TOP: i64 = 10;

/// Runs `rule` over `text`, with the limits checked before and after.
pub(crate) fn pairs(rule: Rule, text: &str) -> Result<Pairs<'_, Rule>, Error> {
    limits::check(text)?;
    let pairs = Grammar::parse(rule, text).map_err(|error| syntax::explain(&error, text))?;
    for part in pairs.clone() {
        if depth(&part) > limits::DEPTH_MAX {
            return Err(limits::chained_too_long(span(&part)));
        }
    }
    let is_pattern = |pair: &Pair<'_, Rule>| {
        pair.as_rule() == Rule::comparison && matches!(pair.as_str(), "=~" | "!~")
    };
    if let Some(extra) = pairs.clone().flatten().filter(is_pattern).nth(limits::PATTERNS_MAX) {
        let detail = format!("more than {} regular expressions in a query", limits::PATTERNS_MAX);
        return Err(Error::too_large(span(&extra), detail));
    }
    Ok(pairs)
}

/// An upper bound of the depth of the tree that a pair becomes. Connectives bind most weakly, so what
/// stands between two of them is a tree of its own, and a long list of comparisons is only as deep
/// as the list is long.
///
/// Recurses over brackets, the depth of which has been checked.
fn depth(pair: &Pair<'_, Rule>) -> usize {
    let (mut chain, mut deepest) = (0, 0);
    let (mut operators, mut inside) = (0, 0);
    for part in pair.clone().into_inner() {
        match part.as_rule() {
            Rule::logical => {
                chain += 1;
                deepest = deepest.max(operators + inside);
                (operators, inside) = (0, 0);
            }
            rule if is_operator(rule) => operators += 1,
            _ => inside = inside.max(depth(&part)),
        }
    }
    chain + deepest.max(operators + inside)
}

fn is_operator(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::comparison
            | Rule::relation
            | Rule::sum
            | Rule::product
            | Rule::power
            | Rule::negate
            | Rule::not
            | Rule::nil_before
            | Rule::nil_after
    )
}

/// Where a pair stands, without the blanks behind it.
pub(crate) fn span(pair: &Pair<'_, Rule>) -> Span {
    let start = pair.as_span().start();
    start..start + pair.as_str().trim_end_matches([' ', '\t', '\r', '\n']).len()
}

/// The part of a text after its entry rule: never empty, since pest would have failed.
pub(crate) fn only(mut pairs: Pairs<'_, Rule>) -> Pair<'_, Rule> {
    pairs.next().expect("the rule that was asked for is the first pair")
}

pub(crate) fn query(text: &str) -> Result<Query, Error> {
    let body = only(pairs(Rule::query, text)?);
    let (mut stages, mut metrics, mut hints) = (Vec::new(), None, Vec::new());
    for part in body.into_inner() {
        match part.as_rule() {
            Rule::pipeline => stages = spansets::stages(part)?,
            Rule::metrics => metrics = Some(metrics_stage(part)?),
            Rule::hints => hints = hint_group(part)?,
            _ => {}
        }
    }
    let pipeline = pipeline(stages, metrics.is_some())?;
    Ok(Query { pipeline, metrics, hints })
}

/// What only the whole query may be, a combination of pipelines, cannot be piped any further.
fn pipeline(stages: Vec<Operand>, piped: bool) -> Result<Pipeline, Error> {
    if piped || stages.len() != 1 {
        return spansets::pipeline(stages);
    }
    spansets::root(stages)
}

/// The attribute that a text consists of.
pub(crate) fn attribute(text: &str) -> Result<Attribute, Error> {
    let body = only(pairs(Rule::attribute_only, text)?);
    let attribute = body.into_inner().find(|pair| pair.as_rule() == Rule::attribute);
    expr::attribute(attribute.expect("attribute_only contains an attribute"))
}

fn hint_group(group: Pair<'_, Rule>) -> Result<Vec<Hint>, Error> {
    let hints = group.into_inner().filter(|pair| pair.as_rule() == Rule::hint);
    hints
        .map(|hint| {
            let mut inner = hint.into_inner();
            let name = inner.next().expect("a hint begins with its name").as_str().to_owned();
            let value = inner.nth(1).expect("a hint ends with its value");
            Ok(Hint { name, value: expr::literal(&value)? })
        })
        .collect()
}

fn metrics_stage(stage: Pair<'_, Rule>) -> Result<Metrics, Error> {
    let mut span = span(&stage);
    let (mut first, mut second) = (None, Vec::new());
    for part in stage.into_inner() {
        match part.as_rule() {
            Rule::pipe => {}
            Rule::second_limit => second.push(limit(part)?),
            Rule::second_filter => second.push(filter(part)?),
            _ => {
                span.start = part.as_span().start();
                first = Some(metrics_first(part)?);
            }
        }
    }
    let first = first.expect("a metrics stage contains its function");
    Ok(Metrics { first, second, span })
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
            Rule::metrics_by => by = attributes(part)?,
            _ => {}
        }
    }
    Ok(MetricsFirst::Aggregate { op, argument, quantiles, by })
}

fn metrics_op(word: &str) -> MetricsOp {
    let op = MetricsOp::ALL.into_iter().find(|op| op.as_str() == word);
    op.expect("the grammar lets through the names of functions only")
}

/// All attributes directly below a pair.
pub(crate) fn attributes(list: Pair<'_, Rule>) -> Result<Vec<Attribute>, Error> {
    let attributes = list.into_inner().filter(|pair| pair.as_rule() == Rule::attribute);
    attributes.map(expr::attribute).collect()
}

fn number(pair: &Pair<'_, Rule>) -> Result<f64, Error> {
    match expr::literal(pair)? {
        Static::Float(value) => Ok(value),
        #[expect(clippy::cast_precision_loss, reason = "validation allows 0 and 1 only")]
        Static::Int(value) => Ok(value as f64),
        _ => Err(Error::syntax(span(pair), "a quantile is a number from 0 to 1")),
    }
}

fn integer(pair: &Pair<'_, Rule>) -> Result<i64, Error> {
    match expr::literal(pair)? {
        Static::Int(value) => Ok(value),
        _ => Err(Error::syntax(span(pair), "an int is needed here")),
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
            Rule::integer => numbers.push(integer(&part)?),
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

fn limit(stage: Pair<'_, Rule>) -> Result<SecondStage, Error> {
    let mut top = true;
    let mut count = 0;
    for part in stage.into_inner() {
        match part.as_rule() {
            Rule::limit_word => top = part.as_str() == "topk",
            Rule::integer => count = integer(&part)?,
            _ => {}
        }
    }
    Ok(if top { SecondStage::TopK(count) } else { SecondStage::BottomK(count) })
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
