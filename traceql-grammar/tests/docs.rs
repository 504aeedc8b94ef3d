//! The reference page for those who write queries: its examples are read as it says, and it names every word of the language.

use traceql_grammar::ast::{
    AggregateOp, BinaryOp, Intrinsic, Kind, MetricsOp, Scope, SpansetOp, Status,
};
use traceql_grammar::parse_valid;

const PAGE: &str = include_str!("../../docs/traceql.md");

/// The lines of all blocks that are marked so, with their numbers in the page.
fn examples(mark: &str) -> Vec<(usize, &'static str)> {
    let mut examples = Vec::new();
    let mut block = None;
    for (number, line) in PAGE.lines().enumerate() {
        match (line.strip_prefix("```"), block) {
            (Some(mark), None) => block = Some(mark),
            (Some(_), Some(_)) => block = None,
            (None, Some(open)) if open == mark => examples.push((number + 1, line)),
            (None, _) => {}
        }
    }
    assert!(examples.len() > 10, "an empty page proves nothing");
    examples
}

#[test]
fn every_example_is_accepted() {
    let refused: Vec<String> = examples("traceql")
        .into_iter()
        .filter_map(|(number, query)| Some(format!("line {number}: {}", parse_valid(query).err()?)))
        .collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn what_is_said_to_be_refused_is_refused() {
    let accepted: Vec<String> = examples("traceql-refused")
        .into_iter()
        .filter(|(_, query)| parse_valid(query).is_ok())
        .map(|(number, query)| format!("line {number}: {query}"))
        .collect();
    assert!(accepted.is_empty(), "{}", accepted.join("\n"));
}

#[test]
fn every_word_and_operator_is_told() {
    let words = Intrinsic::ALL
        .map(Intrinsic::as_str)
        .into_iter()
        .chain(AggregateOp::ALL.map(AggregateOp::as_str))
        .chain(MetricsOp::ALL.map(MetricsOp::as_str))
        .chain(Status::ALL.map(Status::as_str))
        .chain(Kind::ALL.map(Kind::as_str))
        .chain(BinaryOp::ALL.map(BinaryOp::symbol))
        .chain(SpansetOp::all().map(SpansetOp::symbol))
        .chain([Scope::None, Scope::Span, Scope::Resource, Scope::Event].map(Scope::prefix))
        .chain([Scope::Link, Scope::Instrumentation].map(Scope::prefix));
    // In a table, `|` is escaped.
    let page = PAGE.replace("\\|", "|");
    let is_told = |word: &str| {
        page.split('`').skip(1).step_by(2).any(|code| {
            code == word || code.strip_prefix(word).is_some_and(|rest| rest.starts_with('('))
        })
    };
    let is_scope = |word: &str| word.ends_with('.') && page.contains(&format!("`{word}"));
    let missing: Vec<&str> = words.filter(|word| !is_told(word) && !is_scope(word)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
