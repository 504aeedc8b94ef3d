//! The filter of a half-typed query, for completion: what is there counts, what is missing does not.

use crate::ast::{BinaryOp, ExprKind, FieldExpr, Query, SpansetExpr, Stage, Static, UnaryOp};
use crate::limits;
use crate::parse::{self, Rule, pairs};
use crate::validate;
use std::borrow::Cow;

/// Longest text that is mended. Nobody types more, and mending reads the text several times.
const LENIENT_BYTES_MAX: usize = 16 * 1024;

/// The condition of the single filter that `text` begins with; `None` for no condition.
pub(crate) fn filter(text: &str) -> Option<FieldExpr> {
    let text = text.trim();
    if text.is_empty() || text.len() > LENIENT_BYTES_MAX || limits::check(text).is_err() {
        return None;
    }
    let query = match parse::query(text) {
        Ok(query) => query,
        Err(_) => parse::query(&mended(text)?).ok()?,
    };
    validate::query(&query).ok()?;
    first_filter(query)
}

fn first_filter(query: Query) -> Option<FieldExpr> {
    let Some(Stage::Spansets(SpansetExpr::Filter(condition))) =
        query.into_pipeline()?.stages.into_iter().next()
    else {
        return None;
    };
    limiting(condition)
}

/// `expr` without the parts that are true of every span: `true`, and bare attributes and numbers,
/// which are the beginnings of conditions.
fn limiting(expr: FieldExpr) -> Option<FieldExpr> {
    let FieldExpr { kind, span } = expr;
    let kind = match kind {
        ExprKind::Attribute(_)
        | ExprKind::Static(Static::Bool(true))
        | ExprKind::Unary { op: UnaryOp::Neg, .. } => return None,
        ExprKind::Binary { op, .. } if op.is_arithmetic() => return None,
        ExprKind::Binary { op: BinaryOp::And, lhs, rhs } => {
            match (limiting(*lhs), limiting(*rhs)) {
                (Some(lhs), Some(rhs)) => both(BinaryOp::And, lhs, rhs),
                (one, other) => return one.or(other),
            }
        }
        ExprKind::Binary { op: BinaryOp::Or, lhs, rhs } => {
            both(BinaryOp::Or, limiting(*lhs)?, limiting(*rhs)?)
        }
        other => other,
    };
    Some(FieldExpr { kind, span })
}

fn both(op: BinaryOp, lhs: FieldExpr, rhs: FieldExpr) -> ExprKind {
    ExprKind::Binary { op, lhs: Box::new(lhs), rhs: Box::new(rhs) }
}

/// What a token is for mending.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Attribute,
    Value,
    Comparison,
    Connector,
    /// `+`, `!` and the like.
    Other,
    Open,
    Close,
}

type Token<'t> = (Role, Cow<'t, str>);

/// The text before the first pipe without what dangles, with what is missing at the end.
fn mended(text: &str) -> Option<String> {
    let mut tokens = tokens(text)?;
    // Each round may leave something new to dangle; every round but the last removes a token.
    loop {
        let before = tokens.len();
        tokens = without_dangling(&tokens);
        if tokens.len() == before {
            break;
        }
    }
    close(&mut tokens);
    Some(tokens.iter().map(|(_, text)| text.as_ref()).collect::<Vec<_>>().join(" "))
}

fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let words = parse::only(pairs(Rule::words, text).ok()?);
    let mut tokens = Vec::new();
    for word in words.into_inner() {
        let role = match word.as_rule() {
            Rule::pipe => break,
            Rule::attribute => Role::Attribute,
            Rule::string
            | Rule::raw_string
            | Rule::duration
            | Rule::float
            | Rule::integer
            | Rule::literal_word
            | Rule::nil_word => Role::Value,
            Rule::relation => Role::Comparison,
            Rule::logical => Role::Connector,
            Rule::sum | Rule::product | Rule::power | Rule::not => Role::Other,
            Rule::brace_open | Rule::paren_open => Role::Open,
            Rule::brace_close | Rule::paren_close => Role::Close,
            // A string without its end, a scope without a name, a word nobody knows.
            _ => continue,
        };
        let span = parse::span(&word);
        tokens.push((role, Cow::Borrowed(text.get(span)?)));
    }
    Some(tokens)
}

/// One round: comparisons without a value, connectors without a neighbour, empty parentheses.
fn without_dangling<'t>(tokens: &[Token<'t>]) -> Vec<Token<'t>> {
    let role = |index: Option<usize>| index.and_then(|at| tokens.get(at)).map(|token| token.0);
    let mut kept: Vec<Token<'t>> = Vec::with_capacity(tokens.len());
    let mut skip = false;
    for (index, token) in tokens.iter().enumerate() {
        if skip {
            skip = false;
            continue;
        }
        let before = kept.last().map(|token| token.0);
        let after = role(Some(index + 1));
        let is_empty_pair = |token: &Token<'_>| {
            token.1 == "(" && tokens.get(index + 1).is_some_and(|next| next.1 == ")")
        };
        match token.0 {
            // The attribute stays, bare: of an untyped one the rest of the filter holds, of an intrinsic like `name` the whole is no
            // longer valid and nothing is filtered. So Tempo answers, and its clients expect.
            Role::Comparison if before == Some(Role::Attribute) && !begins_value(after) => {}
            Role::Connector
                if matches!(before, None | Some(Role::Open | Role::Connector))
                    || matches!(after, None | Some(Role::Close | Role::Connector)) => {}
            Role::Open if is_empty_pair(token) => skip = true,
            _ => kept.push(token.clone()),
        }
    }
    kept
}

/// Whether a value can begin with a token.
fn begins_value(role: Option<Role>) -> bool {
    matches!(role, Some(Role::Attribute | Role::Value | Role::Open | Role::Other))
}

/// Appends the brackets that were never closed.
fn close(tokens: &mut Vec<Token<'_>>) {
    let mut open = Vec::new();
    for (_, text) in tokens.iter() {
        match text.as_ref() {
            "{" => open.push("}"),
            "(" => open.push(")"),
            "}" | ")" => {
                open.pop();
            }
            _ => {}
        }
    }
    for bracket in open.into_iter().rev() {
        tokens.push((Role::Close, Cow::Borrowed(bracket)));
    }
}

#[cfg(test)]
mod tests {
    use super::filter;

    fn shown(text: &str) -> String {
        filter(text).map_or_else(|| "-".to_owned(), |condition| condition.to_string())
    }

    #[test]
    fn a_whole_query_gives_its_first_filter() {
        let cases = [
            ("{ .a = 1 }", ".a = 1"),
            ("  { span.a = `x` && name != `y` }  ", "(span.a = `x`) && (name != `y`)"),
            ("{ .a = 1 } | count() > 2", ".a = 1"),
            ("{ .a = 1 } | rate() by (name)", ".a = 1"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_that_limits_is_no_filter() {
        let cases = [
            "",
            "  ",
            "{}",
            "{ }",
            "{ true }",
            "{ .a }",
            "{ .a = 1 } && { .b = 2 }",
            "{ .a = 1 } >> { .b = 2 }",
            "by(.a)",
            "{ name = 3 }",
            "{ .a =~ \"(\" }",
            "{ parent.a = 1 }",
            "nonsense",
            "\"",
        ];
        for text in cases {
            assert_eq!(shown(text), "-", "{text}");
        }
    }

    #[test]
    fn what_is_not_typed_yet_does_not_count() {
        let cases = [
            ("{", "-"),
            ("{ span.a", "-"),
            ("{ span.a = }", "-"),
            ("{ span.a =", "-"),
            ("{ span.", "-"),
            ("{ span.a = 1 && ", "span.a = 1"),
            ("{ span.a = 1 && }", "span.a = 1"),
            ("{ span.a = 1 && span. }", "span.a = 1"),
            ("{ && span.a = 1 }", "span.a = 1"),
            ("{ span.a = 1 || || .b = 2 }", "(span.a = 1) || (.b = 2)"),
            ("{ span.a = 1 && .b = }", "span.a = 1"),
            ("{ span.a = 1 || .b = }", "-"),
            ("{ (span.a = 1 || .b = ) && .c = 2 }", ".c = 2"),
            ("{ span.a = && .b = 2 }", ".b = 2"),
            ("{ resource.service.name = \"x\" && span.a = \"y", "resource.service.name = `x`"),
            ("{ (span.a = 1 && ) }", "span.a = 1"),
            ("{ span.a = 1 && () }", "span.a = 1"),
            ("{ (span.a = 1", "span.a = 1"),
            ("{ name = `x` && duration >", "-"),
            ("{ name = `x` && span.a >", "name = `x`"),
            ("{ .a = 1 && .b =~ } | select(.c", ".a = 1"),
            ("{ .a = -", "-"),
            ("{ -.a = && .b = 1 }", ".b = 1"),
            ("{ .a = 1 || true }", "-"),
            ("{ .a = 1 && true }", ".a = 1"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text), expected, "{text}");
        }
    }
}
