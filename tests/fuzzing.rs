//! The body of the fuzz target `evaluate` over its seeds: what it asks for holds, and it does not rot.

#![expect(dead_code, reason = "what is included is made for other questions too")]

#[path = "answers/data.rs"]
#[expect(clippy::unwrap_used, reason = "the data is a part of the tests")]
mod data;

#[path = "../fuzz/bodies/evaluate.rs"]
mod evaluate;

#[path = "../fuzz/bodies/grow.rs"]
mod grow;

mod sent;

/// Of the grammar's seeds one in so many is asked, to save time: there are 700.
const ONE_IN: usize = 3;

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn queries_answer_in_one_way() {
    lines(include_str!("answers/queries.txt")).for_each(evaluate::check);
}

#[test]
fn any_text_answers_in_one_way() {
    let accepted = lines(include_str!("../traceql-grammar/tests/corpus/accepted.txt"));
    let refused = lines(include_str!("../traceql-grammar/tests/corpus/syntax.txt"));
    accepted.chain(refused).step_by(ONE_IN).for_each(evaluate::check);
}

#[test]
fn grown_queries_answer_in_one_way() {
    let mut dice = sent::Dice(20);
    let mut accepted = 0;
    for _ in 0..150 {
        let choices: Vec<u8> = (0..100).map(|_| dice.roll().to_le_bytes()[0]).collect();
        let query = grow::grown(&choices);
        evaluate::check(&query);
        accepted += usize::from(vivace::traceql::compile(&query).is_ok());
    }
    assert!(accepted > 75, "only {accepted} of 150 grown queries are valid");
}
