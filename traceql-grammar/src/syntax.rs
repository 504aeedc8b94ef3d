//! From pest's error to words: what stands there, what could, and what was probably meant.

use crate::ast::{AggregateOp, Intrinsic, MetricsOp};
use crate::error::Error;
use crate::expr::SCOPED;
use crate::limits::{self, ends_name};
use crate::parse::Rule;
use pest::error::{ErrorVariant, InputLocation};

/// Most alternatives in one message: more is a grammar, not a hint.
const EXPECTED_MAX: usize = 6;

/// Longest token that is quoted in a message, in characters.
const TOKEN_CHARS_MAX: usize = 40;

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Where and on what the parser stopped.
struct Stop<'t> {
    before: &'t str,
    token: &'t str,
    /// From the token on.
    rest: &'t str,
    /// The rules that were tried there.
    tried: &'t [Rule],
}

pub(crate) fn explain(error: &pest::error::Error<Rule>, text: &str) -> Error {
    let start = match error.location {
        InputLocation::Pos(start) | InputLocation::Span((start, _)) => start,
    };
    let ErrorVariant::ParsingError { positives: tried, .. } = &error.variant else {
        // The only other way to fail is pest's guard of the stack.
        return limits::nested_too_deep(start..start);
    };
    if text.trim_matches('\u{FEFF}').trim().is_empty() {
        return Error::syntax(0..0, "the query is empty; { } selects every span");
    }
    // pest may stop before blanks; the token to blame stands behind them.
    let rest = text.get(start..).unwrap_or("");
    let start = start + rest.len() - rest.trim_start_matches(BLANKS).len();
    let (before, rest) = text.split_at_checked(start).unwrap_or((text, ""));
    let token = token(rest);
    let stop = Stop { before, token, rest, tried };
    let detail = advice(&stop).unwrap_or_else(|| match expected(tried) {
        Some(expected) => format!("unexpected {}; expected {expected}", found(token)),
        None => format!("unexpected {}", found(token)),
    });
    Error::syntax(start..start + token.len(), detail)
}

/// The token as a message shows it.
fn found(token: &str) -> String {
    match token.chars().next() {
        None => "end of query".to_owned(),
        Some(c) if c.is_whitespace() || c.is_control() => {
            format!("character U+{:04X}, which is not a blank here", u32::from(c))
        }
        Some(_) => format!("`{}`", token.chars().take(TOKEN_CHARS_MAX).collect::<String>()),
    }
}

/// The first token of `rest`, roughly: a word or attribute, a number, a string, an operator or one
/// character.
fn token(rest: &str) -> &str {
    let Some(first) = rest.chars().next() else { return "" };
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let is_sign = |c: char| "=!<>~&|".contains(c);
    let end = if is_word(first) {
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let scoped = rest.get(end..).is_some_and(|after| after.starts_with(['.', ':']));
        if scoped && is_name(rest) { rest.find(ends_name) } else { Some(end) }
    } else if is_sign(first) {
        rest.find(|c| !is_sign(c))
    } else if first == '"' || first == '`' {
        rest.char_indices().skip(1).find(|(_, c)| *c == first).map(|(at, _)| at + 1).or(Some(1))
    } else if first == '.' {
        rest.find(ends_name)
    } else {
        Some(first.len_utf8())
    };
    rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest)
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// What people who know another language write, and what they would have to write here.
fn advice(stop: &Stop<'_>) -> Option<String> {
    if let Some(detail) = glued(stop) {
        return Some(detail);
    }
    let lone_nil = stop.tried.iter().all(|rule| *rule == Rule::nil_is);
    let detail = match stop.token {
        _ if lone_nil => "nil can only be compared, as in .a = nil and nil != .a",
        "==" => "== is not an operator; write =",
        // The first `=` was read as one.
        "=" if stop.before.ends_with('=') => "== is not an operator; write =",
        "=~" if stop.before.ends_with('=') => "==~ is not an operator; write =~",
        ">" if stop.before.ends_with('=') => "=> is not an operator; write >=",
        "<" if stop.before.ends_with('=') => "=< is not an operator; write <=",
        "~=" | "~" if stop.tried.contains(&Rule::comparison) => "a regex is compared by =~",
        "<>" => "<> is not an operator; write !=",
        "&" => "& is not an operator; write &&",
        "and" | "AND" => "write && for and",
        "or" | "OR" => "write || for or",
        "not" | "NOT" => "write ! for not",
        "in" | "IN" => "there is no in; write .a = 1 || .a = 2, or =~ with a pattern",
        "null" | "NULL" | "None" => "write nil for a value that is absent",
        "nil" => "nil can only be compared, as in .a = nil and nil != .a",
        "'" => "a string stands in double quotes or back quotes",
        "\"" if stop.before.ends_with('.') => "the quoted name has no end",
        "\"" => "the string has no end, or a line break inside; back quotes may span lines",
        "`" => "the string in back quotes has no end",
        _ if stop.rest.starts_with("/*") => "the comment has no end",
        _ if stop.token.starts_with('"') && stop.before.ends_with('.') => {
            "in the quoted part of a name, only \\\" and \\\\ are escapes"
        }
        _ => return outside(stop).or_else(|| scope(stop)).or_else(|| word(stop)),
    };
    Some(detail.to_owned())
}

/// Letters behind a number that are no unit.
fn glued(stop: &Stop<'_>) -> Option<String> {
    let number = stop.before.rsplit(|c: char| !c.is_alphanumeric() && c != '.').next()?;
    if !is_name(stop.token) || !number.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let token = stop.token;
    Some(format!(
        "{number}{token} is neither a decimal number nor a duration, whose units are \
         ns us µs ms s m h d w y"
    ))
}

/// A condition without its braces.
fn outside(stop: &Stop<'_>) -> Option<String> {
    let stage = stop.tried.iter().any(|rule| [Rule::stage, Rule::pipeline].contains(rule));
    let token = stop.token;
    let attribute = token.contains(['.', ':'])
        || Intrinsic::ALL.into_iter().any(|intrinsic| intrinsic.as_str() == token);
    (stage && attribute).then(|| {
        format!("unexpected `{token}`; conditions stand in braces, such as {{ span.a = 1 }}")
    })
}

/// `spans.a`, `resource:name`, `span. a`.
fn scope(stop: &Stop<'_>) -> Option<String> {
    const SCOPES: &str = "attributes begin with . or span. resource. event. link. instrumentation.";
    let end = stop.token.find(['.', ':'])?;
    let (scope, name) = stop.token.split_at_checked(end)?;
    if !is_name(scope) || !wants_value(stop.tried) {
        return None;
    }
    Some(match scope {
        _ if name.starts_with(':') => format!(
            "`{scope}:` has no intrinsics; trace: span: event: link: and instrumentation: have"
        ),
        "span" | "resource" | "event" | "link" | "instrumentation" | "parent" => {
            format!("`{scope}.` needs a name right behind the dot, such as {scope}.a")
        }
        _ => format!("`{scope}.` is not a scope; {SCOPES}"),
    })
}

fn wants_value(tried: &[Rule]) -> bool {
    let values = [Rule::field, Rule::attribute, Rule::literal_word, Rule::string];
    tried.iter().any(|rule| values.contains(rule))
}

/// A word where another would be right.
fn word(stop: &Stop<'_>) -> Option<String> {
    let token = stop.token;
    if !is_name(token) {
        return None;
    }
    let metrics = MetricsOp::ALL.into_iter().any(|op| op.as_str() == token) || token == "compare";
    if metrics && !stop.tried.contains(&Rule::metrics_plain) {
        return Some(format!(
            "{token}() follows a pipe behind filters, outside all parentheses: {{ }} | {token}(...)"
        ));
    }
    if let Some(known) = known_words().find(|known| known.eq_ignore_ascii_case(token))
        && known != token
    {
        return Some(format!("unknown word `{token}`; did you mean {known}?"));
    }
    let attribute = stop.tried.iter().any(|rule| [Rule::field, Rule::attribute].contains(rule));
    if known_words().any(|known| known == token) || !wants_value(stop.tried) {
        return None;
    }
    let mut scoped = SCOPED.iter().filter(|(_, name, _)| *name == token);
    Some(match scoped.next() {
        Some((scope, name, _)) if attribute => {
            let other = scoped.next().map_or("", |(scope, _, _)| scope);
            let or = if other.is_empty() { "" } else { " or " };
            let second = if other.is_empty() { "" } else { name };
            format!(
                "`{token}` needs its scope: {scope}{name}{or}{other}{second}; an attribute is \
                 .{token}"
            )
        }
        _ if attribute => format!(
            "unknown identifier `{token}`; an attribute is written .{token} or span.{token}, \
             a string \"{token}\""
        ),
        _ => format!("unknown identifier `{token}`; a string is written \"{token}\""),
    })
}

/// The words that stand alone somewhere.
fn known_words() -> impl Iterator<Item = &'static str> {
    let others = [
        "true",
        "false",
        "nil",
        "ok",
        "error",
        "unset",
        "unspecified",
        "internal",
        "client",
        "server",
        "producer",
        "consumer",
        "by",
        "coalesce",
        "select",
        "with",
        "compare",
        "topk",
        "bottomk",
        "minInt",
        "maxInt",
        "traces",
        "without",
        "order",
        "limit",
        "asc",
        "desc",
    ];
    let aggregates = AggregateOp::ALL.into_iter().map(AggregateOp::as_str);
    let metrics = MetricsOp::ALL.into_iter().map(MetricsOp::as_str);
    let intrinsics = Intrinsic::ALL.into_iter().map(Intrinsic::as_str);
    let intrinsics = intrinsics.filter(|name| !name.contains(':'));
    others.into_iter().chain(aggregates).chain(metrics).chain(intrinsics)
}

/// The alternatives in words, if they are few.
fn expected(tried: &[Rule]) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for name in tried.iter().filter_map(|rule| describe(*rule)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    // Of two of which one says it all, that one.
    for (general, special) in [
        (
            "a stage",
            &[
                "`{`",
                "`(`",
                "a literal",
                "a number",
                "an int",
                "order by",
                "limit",
                "topk or bottomk",
            ][..],
        ),
        ("topk or bottomk", &["order by", "limit"]),
        ("a literal", &["`(`", "a number", "an int"]),
        ("a number", &["an int"]),
    ] {
        if names.contains(&general) {
            names.retain(|name| !special.contains(name));
        }
    }
    if names.is_empty() || names.len() > EXPECTED_MAX {
        return None;
    }
    let last = names.pop()?;
    Some(if names.is_empty() { last.to_owned() } else { format!("{} or {last}", names.join(", ")) })
}

/// How a rule is called in a message; `None` for those that only say the same as another.
fn describe(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::EOI => "the end",
        Rule::pipe | Rule::second_top | Rule::metrics | Rule::order | Rule::limit => "`|`",
        Rule::filter | Rule::brace_open => "`{`",
        Rule::brace_close => "`}`",
        Rule::paren_open => "`(`",
        Rule::paren_close => "`)`",
        Rule::comma => "`,`",
        Rule::string | Rule::raw_string | Rule::literal_word => "a literal",
        Rule::duration | Rule::float | Rule::signed => "a number",
        Rule::integer => "an int",
        Rule::field => "an expression",
        Rule::attribute => "an attribute",
        Rule::logical
        | Rule::comparison
        | Rule::relation
        | Rule::without
        | Rule::sum
        | Rule::product
        | Rule::power
        | Rule::nil_after
        | Rule::nil_is => "an operator",
        Rule::name => "an attribute name",
        Rule::stage | Rule::pipeline | Rule::aggregate => "a stage",
        Rule::metrics_plain | Rule::plain_word => "a metrics function",
        Rule::top_word => "topk or bottomk",
        Rule::metrics_by => "by (...)",
        Rule::order_word => "order by",
        Rule::limit_word => "limit",
        Rule::direction => "asc or desc",
        Rule::hints | Rule::with_word => "with (...)",
        Rule::hint | Rule::hint_name => "a hint such as most_recent=true",
        Rule::hint_is => "`=`",
        Rule::second_filter => "a comparison",
        _ => return None,
    })
}

#[cfg(test)]
#[path = "syntax_tests.rs"]
mod tests;
