//! What must hold of any text that is read as TraceQL. The body of the fuzz target `parse`; the grammar's tests run it too.

use traceql_grammar::ast::{FieldExpr, Query};
use traceql_grammar::{
    Error, ErrorKind, parse, parse_attribute, parse_lenient, parse_valid, validate,
};

/// Reads the text in every way.
///
/// # Panics
/// If something does not hold.
pub(crate) fn check(text: &str) {
    match parse(text) {
        Err(error) => has_a_place(text, &error),
        Ok(query) => is_told_by_its_text(text, &query),
    }
    match parse_valid(text) {
        Ok(query) => assert_eq!(validate(&query), Ok(())),
        Err(error) => has_a_place(text, &error),
    }
    match parse_attribute(text) {
        Ok(attribute) => {
            let again = parse_attribute(&attribute.to_string());
            assert_eq!(again.as_ref(), Ok(&attribute), "{text:?}");
        }
        Err(error) => has_a_place(text, &error),
    }
    if let Some(condition) = parse_lenient(text) {
        is_a_condition(text, &condition);
    }
}

/// An error tells a kind, a reason and a piece of the text.
fn has_a_place(text: &str, error: &Error) {
    let blamed = text.get(error.span.clone());
    assert!(blamed.is_some(), "{text:?} has no {:?}: {error}", error.span);
    let lines = text.split('\n').count();
    assert!((1..=lines).contains(&error.line), "line {} of {text:?}", error.line);
    let line = text.split('\n').nth(error.line - 1).map_or(0, |line| line.chars().count());
    assert!((1..=line + 1).contains(&error.column), "column {} of {text:?}", error.column);
    assert!(!error.detail.is_empty() && !error.to_string().is_empty(), "{text:?}");
    assert_eq!(error.text, text);
}

/// A tree prints to a text that means the same tree. Only parentheses that printing adds may make the text too deep.
fn is_told_by_its_text(text: &str, query: &Query) {
    let printed = query.to_string();
    let again = match parse(&printed) {
        Ok(again) => again,
        Err(error) if error.kind == ErrorKind::TooLarge => return,
        Err(error) => panic!("{text:?} is told as {printed:?}, which is refused: {error}"),
    };
    assert_eq!(without_places(query), without_places(&again), "{text:?} is told as {printed:?}");
    assert_eq!(again.to_string(), printed, "of {text:?}");
    let verdict = |query: &Query| validate(query).map_err(|error| (error.kind, error.detail));
    assert_eq!(verdict(query), verdict(&again), "{text:?} is told as {printed:?}");
}

/// What is left of a half-typed query is a valid condition.
fn is_a_condition(text: &str, condition: &FieldExpr) {
    let query = format!("{{ {condition} }}");
    match parse_valid(&query) {
        Ok(_) => {}
        Err(error) if error.kind == ErrorKind::TooLarge => {}
        Err(error) => panic!("{text:?} leaves {query:?}, which is refused: {error}"),
    }
}

/// The tree in words, without byte ranges. Of two trees with equal words all else is equal, NaN included.
fn without_places(query: &Query) -> String {
    let words = format!("{query:?}");
    let mut parts = words.split("span: ");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.'));
    }
    out
}
