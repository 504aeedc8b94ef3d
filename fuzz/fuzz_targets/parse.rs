//! Any text through the parser.

#![no_main]

#[path = "../bodies/grow.rs"]
mod grow;
#[path = "../bodies/parse.rs"]
mod parse;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(text) = grow::text(data) {
        parse::check(&text);
    }
});
