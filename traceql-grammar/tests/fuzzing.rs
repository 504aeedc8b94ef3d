//! The body of the fuzz target `parse` over its seeds, and what the target has found: it does not rot, and they stay mended.

#[path = "../../fuzz/bodies/grow.rs"]
mod grow;

#[path = "../../fuzz/bodies/parse.rs"]
mod parse;

const SEEDS: [&str; 5] = [
    include_str!("corpus/accepted.txt"),
    include_str!("corpus/invalid.txt"),
    include_str!("corpus/syntax.txt"),
    include_str!("corpus/unsupported.txt"),
    include_str!("../../tests/answers/queries.txt"),
];

#[test]
fn what_must_hold_of_any_text_holds_of_the_seeds() {
    for seeds in SEEDS {
        parse::check(seeds);
        seeds.lines().for_each(parse::check);
    }
}

#[test]
fn what_must_hold_of_any_text_holds_of_grown_queries() {
    let mut valid = 0;
    for seed in 0..400_u32 {
        let choices: Vec<u8> = (0..100_u32)
            .map(|place| (seed * 7919 + place * place * 104_729).to_le_bytes()[1])
            .collect();
        let mut input = vec![grow::GROWN];
        input.extend(&choices);
        let query = grow::text(&input).expect("it is grown");
        parse::check(&query);
        valid += usize::from(traceql_grammar::parse_valid(&query).is_ok());
    }
    assert!(valid > 200, "only {valid} of 400 grown queries are valid");
}

#[test]
fn an_input_of_a_fuzz_target_is_a_text_or_grown() {
    assert_eq!(grow::text(b"{ name }").as_deref(), Some("{ name }"));
    assert_eq!(grow::text(b"\xfe"), None);
    assert_eq!(grow::text(b"\xff").as_deref(), Some("{ true }"));
}
