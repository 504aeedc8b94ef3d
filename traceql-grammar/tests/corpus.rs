//! The queries in `corpus/*.txt`, one a line: which are accepted, and for what kind of reason the
//! others are refused. Lines that begin with `#` say what those below them show.

use traceql_grammar::{ErrorKind, parse_valid};

/// Everything in `text` that is not of the wanted kind, with what it is instead.
fn surprises(text: &str, wanted: Option<ErrorKind>) -> Vec<String> {
    let queries = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut count = 0;
    let mut surprises = Vec::new();
    for query in queries {
        count += 1;
        let result = parse_valid(query);
        if result.as_ref().map_or_else(|error| Some(error.kind), |_| None) != wanted {
            surprises.push(match result {
                Ok(_) => format!("accepted: {query}"),
                Err(error) => format!("{:?}: {error}", error.kind),
            });
        }
    }
    assert!(count > 0, "an empty corpus proves nothing");
    surprises
}

fn check(text: &str, wanted: Option<ErrorKind>) {
    let surprises = surprises(text, wanted);
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

#[test]
fn accepted_queries_are_accepted() {
    check(include_str!("corpus/accepted.txt"), None);
}

#[test]
fn what_is_no_traceql_is_a_syntax_error() {
    check(include_str!("corpus/syntax.txt"), Some(ErrorKind::Syntax));
}

#[test]
fn what_makes_no_sense_is_invalid() {
    check(include_str!("corpus/invalid.txt"), Some(ErrorKind::Invalid));
}

#[test]
fn what_nobody_evaluates_is_unsupported() {
    check(include_str!("corpus/unsupported.txt"), Some(ErrorKind::Unsupported));
}
