//! Any query through the engine, over a few fixed blocks.

#![no_main]

#[expect(dead_code, reason = "the data is made for other questions too")]
#[path = "../../tests/answers/data.rs"]
mod data;
#[path = "../bodies/evaluate.rs"]
mod evaluate;
#[path = "../bodies/grow.rs"]
mod grow;
#[expect(dead_code, reason = "what is sent is made for other questions too")]
#[path = "../../tests/sent/mod.rs"]
mod sent;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(text) = grow::text(data) {
        evaluate::check(&text);
    }
});
