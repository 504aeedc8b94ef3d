//! From pest's error to words: what stands there, what could, and what was probably meant.

use crate::ast::Span;
use crate::error::Error;
use crate::limits;
use crate::parse::Rule;
use pest::error::{ErrorVariant, InputLocation};

/// Most alternatives in one message: more is a grammar, not a hint.
const EXPECTED_MAX: usize = 6;

/// Longest token that is quoted in a message, in characters.
const TOKEN_CHARS_MAX: usize = 40;

pub(crate) fn explain(error: &pest::error::Error<Rule>, text: &str) -> Error {
    let start = match error.location {
        InputLocation::Pos(start) | InputLocation::Span((start, _)) => start,
    };
    let ErrorVariant::ParsingError { positives, .. } = &error.variant else {
        // The only other way to fail is pest's guard of the stack.
        return limits::nested_too_deep(start..start);
    };
    let start = after_blanks(text, start);
    let rest = text.get(start..).unwrap_or("");
    let token = token(rest);
    let span = start..start + token.len();
    if let Some(detail) = advice(text, &span, token) {
        return Error::syntax(span, detail);
    }
    let shown: String = token.chars().take(TOKEN_CHARS_MAX).collect();
    let found = if token.is_empty() { "end of query".to_owned() } else { format!("`{shown}`") };
    let detail = match expected(positives) {
        Some(expected) => format!("unexpected {found}; expected {expected}"),
        None => format!("unexpected {found}"),
    };
    Error::syntax(span, detail)
}

/// pest may stop before blanks; the token to blame stands behind them.
fn after_blanks(text: &str, start: usize) -> usize {
    let rest = text.get(start..).unwrap_or("");
    start + rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len()
}

/// The first token of `rest`, roughly: a word, a number, an operator or one character.
fn token(rest: &str) -> &str {
    let Some(first) = rest.chars().next() else { return "" };
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let is_sign = |c: char| "=!<>~&|".contains(c);
    let end = if is_word(first) {
        rest.find(|c| !is_word(c))
    } else if is_sign(first) {
        rest.find(|c| !is_sign(c))
    } else {
        rest.char_indices().nth(1).map(|(at, _)| at)
    };
    rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest)
}

/// What people who know another language write, and what they would have to write here.
fn advice(text: &str, span: &Span, token: &str) -> Option<String> {
    let rest = text.get(span.start..).unwrap_or("");
    let before = text.get(..span.start).unwrap_or("");
    if text.chars().all(|c| c.is_whitespace() || c == '\u{FEFF}') {
        return Some("the query is empty; { } selects every span".to_owned());
    }
    let detail = match token {
        "==" => "== is not an operator; write =",
        "<>" => "<> is not an operator; write !=",
        "&" => "& is not an operator; write &&",
        "and" | "AND" => "write && for and",
        "or" | "OR" => "write || for or",
        "not" | "NOT" => "write ! for not",
        "in" | "IN" => "there is no in; write a = 1 || a = 2, or =~ with a pattern",
        "TRUE" | "True" => "write true in lower case",
        "FALSE" | "False" => "write false in lower case",
        "null" | "NULL" | "None" | "Nil" | "NIL" => "write nil for a value that is absent",
        "nil" => "nil can only be compared, by = or !=, and not in parentheses of its own",
        "'" => "a string stands in double quotes or back quotes",
        "\"" => "the string has no end, or a line break inside; back quotes may span lines",
        "`" => "the string in back quotes has no end",
        "=>" => "=> is not an operator; write >=",
        "=<" => "=< is not an operator; write <=",
        "~=" => "~= is not an operator; write =~",
        "==~" => "==~ is not an operator; write =~",
        "coalesce" => "coalesce() follows a pipe and takes no argument",
        _ if rest.starts_with("/*") => "the comment has no end",
        _ if rest.starts_with('.') && before.ends_with(|c: char| c.is_alphanumeric()) => {
            return Some(format!("`{}.` is not a scope; {SCOPES}", last_word(before)));
        }
        _ if is_name(token) && rest.get(token.len()..).is_some_and(|r| r.starts_with(':')) => {
            return Some(format!(
                "`{token}:` has no intrinsics; trace:, span:, event:, link: and instrumentation: \
                 have"
            ));
        }
        _ if is_name(token) && rest.get(token.len()..).is_some_and(|r| r.starts_with('.')) => {
            return Some(match token {
                "span" | "resource" | "event" | "link" | "instrumentation" | "parent" => {
                    format!("`{token}.` needs a name right behind the dot, such as {token}.a")
                }
                _ => format!("`{token}.` is not a scope; {SCOPES}"),
            });
        }
        _ => return unknown_word(text, span, token),
    };
    Some(detail.to_owned())
}

const SCOPES: &str = "attributes begin with . or span. resource. event. link. instrumentation.";

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn last_word(before: &str) -> &str {
    let start = before.rfind(|c: char| !c.is_alphanumeric() && c != '_');
    let start = start.map_or(0, |at| at + before.get(at..).map_or(1, first_len));
    before.get(start..).unwrap_or(before)
}

fn first_len(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

/// A word where a value could stand.
fn unknown_word(text: &str, span: &Span, token: &str) -> Option<String> {
    let before = text.get(..span.start)?.trim_end_matches([' ', '\t', '\r', '\n']);
    let operand_follows = before.ends_with(['{', '(', '=', '<', '>', '~', '!', '&', '+', '-', '*']);
    if !is_name(token) || !operand_follows || !before.contains('{') || KNOWN.contains(&token) {
        return None;
    }
    Some(format!(
        "unknown identifier `{token}`; an attribute is written .{token} or span.{token}, \
         a string \"{token}\""
    ))
}

/// Words that exist, only not here.
const KNOWN: [&str; 8] = ["by", "select", "count", "avg", "max", "min", "sum", "with"];

fn expected(positives: &[Rule]) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for name in positives.iter().filter_map(|rule| describe(*rule)) {
        if !names.contains(&name) {
            names.push(name);
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
        Rule::pipe | Rule::second_limit | Rule::metrics => "`|`",
        Rule::filter | Rule::brace_open => "`{`",
        Rule::brace_close => "`}`",
        Rule::paren_close => "`)`",
        Rule::comma => "`,`",
        Rule::duration | Rule::float | Rule::signed => "a number",
        Rule::integer => "an int",
        Rule::field => "an expression",
        Rule::attribute
        | Rule::scoped_intrinsic
        | Rule::of_parent
        | Rule::named
        | Rule::scope
        | Rule::intrinsic => "an attribute",
        Rule::logical
        | Rule::comparison
        | Rule::relation
        | Rule::sum
        | Rule::product
        | Rule::power
        | Rule::nil_after
        | Rule::nil_is => "an operator",
        Rule::name => "an attribute name",
        Rule::group => "`(`",
        Rule::stage | Rule::pipeline | Rule::aggregate => "a stage",
        Rule::metrics_by => "by (...)",
        Rule::hints => "with (...)",
        Rule::hint | Rule::hint_name => "a hint such as most_recent=true",
        Rule::hint_is => "`=`",
        Rule::second_filter => "a comparison",
        _ => return None,
    })
}
