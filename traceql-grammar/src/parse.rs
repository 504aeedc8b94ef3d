//! Text to tree: pest's pairs, stage by stage. Expressions are in `expr`, operands of a pipeline in
//! `spansets`, series in `metrics`.

use crate::ast::{
    Attribute, Direction, Hint, Limit, Metrics, MetricsExpr, Order, OrderKey, Query, Root, Search,
    Span, Static,
};
use crate::error::Error;
use crate::expr;
use crate::limits;
use crate::metrics::{Body, Meaning};
use crate::spansets;
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
            Rule::logical | Rule::without => {
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
    let parts = only(pairs(Rule::query, text)?);
    let mut body = Body::default();
    let (mut order, mut limit, mut hints) = (None, None, Vec::new());
    for part in parts.into_inner() {
        match part.as_rule() {
            Rule::order => order = Some(search_order(part)?),
            Rule::limit => limit = Some(search_limit(part)?),
            Rule::hints => hints = hint_group(part)?,
            _ => body.add(part)?,
        }
    }
    let root = match body.meaning()? {
        Meaning::Stages(stages) => {
            // What only the whole query may be, a combination of pipelines, cannot be piped any further.
            let alone = stages.len() == 1 && order.is_none() && limit.is_none();
            let pipeline =
                if alone { spansets::root(stages)? } else { spansets::pipeline(stages)? };
            Root::Search(Search { pipeline, order, limit })
        }
        Meaning::Series { series: MetricsExpr::Query(Metrics { span, .. }), grouped: true } => {
            let detail = "a metrics query alone stands without parentheses around it";
            return Err(Error::syntax(span, detail));
        }
        Meaning::Series { series, .. } => match (order, limit) {
            (None, None) => Root::Metrics(series),
            (Some(Order { span, .. }), _) | (_, Some(Limit { span, .. })) => {
                let detail =
                    "order by and limit are for searches; topk() and bottomk() choose series";
                return Err(Error::syntax(span, detail));
            }
        },
    };
    Ok(Query { root, hints })
}

fn search_order(order: Pair<'_, Rule>) -> Result<Order, Error> {
    let span = span(&order);
    let (mut key, mut direction) = (None, Direction::Ascending);
    for part in order.into_inner() {
        match part.as_rule() {
            Rule::aggregate => key = Some(OrderKey::Aggregate(spansets::aggregate(part)?)),
            Rule::field => key = Some(OrderKey::Field(expr::field(part)?)),
            Rule::direction if part.as_str() == "desc" => direction = Direction::Descending,
            _ => {}
        }
    }
    Ok(Order { key: key.expect("order by has a key"), direction, span })
}

fn search_limit(limit: Pair<'_, Rule>) -> Result<Limit, Error> {
    let span = span(&limit);
    let count = limit.into_inner().find(|part| part.as_rule() == Rule::integer);
    Ok(Limit { count: integer(&count.expect("limit has a number"))?, span })
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

/// All attributes directly below a pair.
pub(crate) fn attributes(list: Pair<'_, Rule>) -> Result<Vec<Attribute>, Error> {
    let attributes = list.into_inner().filter(|pair| pair.as_rule() == Rule::attribute);
    attributes.map(expr::attribute).collect()
}

/// A whole number without a sign.
pub(crate) fn integer(pair: &Pair<'_, Rule>) -> Result<i64, Error> {
    match expr::literal(pair)? {
        Static::Int(value) => Ok(value),
        _ => Err(Error::syntax(span(pair), "an int is needed here")),
    }
}
