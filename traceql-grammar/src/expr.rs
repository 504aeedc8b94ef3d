//! Field expressions: pairs to tree, by precedence, constants folded on the way.

use crate::ast::{
    Attribute, BinaryOp, ExprKind, FieldExpr, Intrinsic, Scope, Span, Static, UnaryOp,
};
use crate::error::Error;
use crate::fold;
use crate::literals;
use crate::parse::{Rule, span};
use pest::iterators::{Pair, Pairs};
use pest::pratt_parser::{Assoc, Op, PrattParser};
use std::sync::LazyLock;

/// The levels of binding, weakest first. AND and OR bind alike, as in Tempo; a minus takes along what
/// binds more strongly to its right, so that `-a * b` is `-(a * b)`.
static LEVELS: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    PrattParser::new()
        .op(Op::infix(Rule::logical, Assoc::Left))
        .op(Op::infix(Rule::comparison, Assoc::Left) | Op::postfix(Rule::nil_after))
        .op(Op::prefix(Rule::nil_before))
        .op(Op::infix(Rule::sum, Assoc::Left))
        .op(Op::prefix(Rule::negate))
        .op(Op::prefix(Rule::not))
        .op(Op::infix(Rule::product, Assoc::Left))
        .op(Op::infix(Rule::power, Assoc::Right))
});

/// The expression between braces; none is `true`.
pub(crate) fn filter(filter: Pair<'_, Rule>) -> Result<FieldExpr, Error> {
    let braces = span(&filter);
    match filter.into_inner().find(|pair| pair.as_rule() == Rule::field) {
        Some(inner) => field(inner),
        None => Ok(FieldExpr { kind: ExprKind::Static(Static::Bool(true)), span: braces }),
    }
}

/// A `field` pair.
pub(crate) fn field(pair: Pair<'_, Rule>) -> Result<FieldExpr, Error> {
    // Closing parentheses are pairs only for the sake of messages.
    climb(pair.into_inner())
}

fn climb(pairs: Pairs<'_, Rule>) -> Result<FieldExpr, Error> {
    LEVELS
        .map_primary(primary)
        .map_prefix(|op, operand| Ok(prefix(&op, operand?)))
        .map_postfix(|operand, op| {
            let (operand, start) = (operand?, op.as_span().start());
            let whole = operand.span.start..span(&op).end.max(start);
            Ok(exists(operand, asks_presence(&op), whole))
        })
        .map_infix(|lhs, op, rhs| Ok(infix(lhs?, &op, rhs?)))
        .parse(pairs)
}

fn primary(pair: Pair<'_, Rule>) -> Result<FieldExpr, Error> {
    let at = span(&pair);
    let kind = match pair.as_rule() {
        Rule::attribute => ExprKind::Attribute(attribute(pair)?),
        Rule::nil_constant => {
            let nil = FieldExpr { kind: ExprKind::Static(Static::Nil), span: at.clone() };
            return Ok(exists(nil, asks_presence(&pair), at));
        }
        Rule::parens => {
            let inner = pair.into_inner().find(|part| part.as_rule() == Rule::field);
            return field(inner.expect("parentheses hold an expression"));
        }
        _ => ExprKind::Static(literal(&pair)?),
    };
    Ok(FieldExpr { kind, span: at })
}

fn prefix(op: &Pair<'_, Rule>, operand: FieldExpr) -> FieldExpr {
    let whole = op.as_span().start()..operand.span.end;
    let op = match op.as_rule() {
        Rule::negate => UnaryOp::Neg,
        Rule::not => UnaryOp::Not,
        _ => return exists(operand, asks_presence(op), whole),
    };
    let kind = ExprKind::Unary { op, expr: Box::new(operand) };
    fold::node(FieldExpr { kind, span: whole })
}

/// Whether a comparison with nil is `!=`.
fn asks_presence(comparison: &Pair<'_, Rule>) -> bool {
    let mut parts = comparison.clone().into_inner();
    parts.any(|part| part.as_rule() == Rule::nil_is && part.as_str() == "!=")
}

fn exists(operand: FieldExpr, present: bool, span: Span) -> FieldExpr {
    let kind = ExprKind::Exists { expr: Box::new(operand), present };
    fold::node(FieldExpr { kind, span })
}

fn infix(lhs: FieldExpr, op: &Pair<'_, Rule>, rhs: FieldExpr) -> FieldExpr {
    let whole = lhs.span.start..rhs.span.end;
    let op = binary_op(op.as_str()).expect("the grammar lets through operators only");
    let kind = ExprKind::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) };
    fold::node(FieldExpr { kind, span: whole })
}

/// The operator that a token stands for, if it stands between two values.
pub(crate) fn binary_op(text: &str) -> Option<BinaryOp> {
    BinaryOp::ALL.into_iter().find(|op| op.symbol() == text)
}

/// A string, number or word.
pub(crate) fn literal(pair: &Pair<'_, Rule>) -> Result<Static, Error> {
    let text = pair.as_str();
    let at = span(pair);
    let wrong = |reason: String| Error::syntax(at.clone(), reason);
    match pair.as_rule() {
        Rule::string => literals::string(text).map(Static::String).map_err(|(offset, reason)| {
            let start = at.start + offset;
            Error::syntax(start..at.end, reason)
        }),
        Rule::raw_string => Ok(Static::String(literals::raw_string(text))),
        Rule::integer => literals::integer(text).map(Static::Int).map_err(wrong),
        Rule::float => literals::float(text).map(Static::Float).map_err(wrong),
        Rule::duration => literals::duration(text).map(Static::Duration).map_err(wrong),
        _ => literals::word(text).ok_or_else(|| wrong(format!("{text} is not a value"))),
    }
}

/// A number with at most one minus before it, and whether there was one.
pub(crate) fn signed(pair: Pair<'_, Rule>) -> Result<(Static, bool), Error> {
    let mut inner = pair.into_inner();
    let first = inner.next().expect("a signed number is not empty");
    if first.as_rule() != Rule::minus {
        return Ok((literal(&first)?, false));
    }
    let number = literal(&inner.next().expect("a sign stands before a number"))?;
    Ok((fold::unary(UnaryOp::Neg, &number).unwrap_or(number), true))
}

/// An `attribute` pair.
pub(crate) fn attribute(pair: Pair<'_, Rule>) -> Result<Attribute, Error> {
    let inner = pair.into_inner().next().expect("an attribute has one of four forms");
    let at = span(&inner);
    let rule = inner.as_rule();
    let text = inner.as_str();
    let mut parts = inner.into_inner().map(|part| part.as_str());
    match rule {
        Rule::intrinsic => {
            let found = Intrinsic::ALL.into_iter().find(|intrinsic| intrinsic.as_str() == text);
            Ok(Attribute::Intrinsic(found.expect("the grammar lets through intrinsics only")))
        }
        Rule::scoped_intrinsic => {
            let scope = parts.next().unwrap_or("");
            let word = parts.next().unwrap_or("");
            scoped_intrinsic(scope, word).map(Attribute::Intrinsic).ok_or_else(|| {
                let known = SCOPED.iter().filter(|(of, _, _)| *of == scope);
                let known: Vec<&str> = known.map(|(_, word, _)| *word).collect();
                let detail =
                    format!("{scope}{word} does not exist; {scope} has {}", known.join(", "));
                Error::syntax(at, detail)
            })
        }
        Rule::of_parent => {
            let first = parts.next().unwrap_or("");
            let (scope, name) = match parts.next() {
                Some(name) => (scope_of(first), name),
                None => (Scope::None, first),
            };
            Ok(Attribute::OfParent { scope, name: literals::name(name) })
        }
        _ => {
            let scope = scope_of(parts.next().unwrap_or(""));
            Ok(Attribute::Named { scope, name: literals::name(parts.next().unwrap_or("")) })
        }
    }
}

fn scope_of(prefix: &str) -> Scope {
    match prefix {
        "span." => Scope::Span,
        "resource." => Scope::Resource,
        "event." => Scope::Event,
        "link." => Scope::Link,
        "instrumentation." => Scope::Instrumentation,
        _ => Scope::None,
    }
}

/// Every spelling with a colon: scope, word, meaning.
pub(crate) const SCOPED: [(&str, &str, Intrinsic); 18] = [
    ("trace:", "duration", Intrinsic::TraceDuration),
    ("trace:", "rootName", Intrinsic::RootName),
    ("trace:", "rootService", Intrinsic::RootService),
    ("trace:", "id", Intrinsic::TraceId),
    ("span:", "duration", Intrinsic::Duration),
    ("span:", "name", Intrinsic::Name),
    ("span:", "status", Intrinsic::Status),
    ("span:", "statusMessage", Intrinsic::StatusMessage),
    ("span:", "kind", Intrinsic::Kind),
    ("span:", "id", Intrinsic::SpanId),
    ("span:", "parentID", Intrinsic::ParentId),
    ("span:", "childCount", Intrinsic::ChildCount),
    ("event:", "name", Intrinsic::EventName),
    ("event:", "timeSinceStart", Intrinsic::EventTimeSinceStart),
    ("link:", "traceID", Intrinsic::LinkTraceId),
    ("link:", "spanID", Intrinsic::LinkSpanId),
    ("instrumentation:", "name", Intrinsic::InstrumentationName),
    ("instrumentation:", "version", Intrinsic::InstrumentationVersion),
];

fn scoped_intrinsic(scope: &str, word: &str) -> Option<Intrinsic> {
    SCOPED.iter().find(|(of, name, _)| *of == scope && *name == word).map(|(_, _, found)| *found)
}
