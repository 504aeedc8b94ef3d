//! The bodies of the fuzz targets `evaluate` and `formats` over their seeds: what they ask for holds, and they do not rot.

#![expect(dead_code, reason = "what is included is made for other questions too")]

#[path = "answers/data.rs"]
#[expect(clippy::unwrap_used, reason = "the data is a part of the tests")]
mod data;

#[path = "../fuzz/bodies/evaluate.rs"]
mod evaluate;

#[path = "../fuzz/bodies/formats.rs"]
mod formats;

#[path = "../fuzz/bodies/grow.rs"]
mod grow;

mod sent;

#[path = "../fuzz/bodies/stored.rs"]
mod stored;

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

#[test]
fn a_block_with_changed_bytes_is_read_or_refused() {
    let mut dice = sent::Dice(11);
    assert!(stored::check(&[]), "as it was written");
    let mut read = 0;
    let rounds = std::env::var("VIVACE_STORED_ROUNDS").map_or(400, |text| text.parse().unwrap());
    for _ in 0..rounds {
        let edits: Vec<u8> =
            (0..5 * (1 + dice.below(4))).map(|_| dice.roll().to_le_bytes()[0]).collect();
        read += usize::from(stored::check(&edits));
    }
    // Checksums are over some parts only: a changed value is a value.
    assert!((1..rounds).contains(&read), "{read} of {rounds} changed blocks were read whole");
}

/// In the order of the decoders.
const PAYLOADS: [&[u8]; formats::DECODERS as usize - 1] = [
    include_bytes!("jaeger/batch.thrift"),
    include_bytes!("jaeger/compact.packet"),
    include_bytes!("jaeger/binary.packet"),
    include_bytes!("jaeger/post_spans.pb"),
    include_bytes!("zipkin/version_2.json"),
    include_bytes!("zipkin/version_1.json"),
    include_bytes!("zipkin/version_2.pb"),
    include_bytes!("zipkin/version_1.thrift"),
    include_bytes!("otlp/request.json"),
];

#[test]
fn broken_bodies_break_nothing() {
    let mut dice = sent::Dice(7);
    let mut accepted = 0;
    let request = vivace::otlp::transcode(include_bytes!("otlp/request.json")).unwrap();
    let payloads = PAYLOADS.into_iter().chain([&request[..]]);
    for (decoder, payload) in (0..).zip(payloads) {
        let whole = [&[decoder], payload].concat();
        assert!(formats::check(&whole), "decoder {decoder}");
        for _ in 0..2000 {
            let mut broken = whole.clone();
            for _ in 0..=dice.below(3) {
                let at = usize::try_from(dice.below(broken.len() as u64 - 1)).unwrap_or(0) + 1;
                match dice.below(4) {
                    0 => broken.truncate(at + 1),
                    1 => drop(broken.remove(at)),
                    2 => broken.insert(at, dice.roll().to_le_bytes()[0]),
                    _ => broken[at] = dice.roll().to_le_bytes()[0],
                }
                if broken.len() < 3 {
                    break;
                }
            }
            accepted += usize::from(formats::check(&broken));
        }
    }
    assert!(accepted > 1000, "only {accepted} of 20,000 broken bodies were accepted");
}
