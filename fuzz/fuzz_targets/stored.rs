//! Any bytes of a block changed.

#![no_main]

#[path = "../../tests/answers/data.rs"]
#[allow(clippy::unwrap_used, reason = "the data is a part of the tests")]
mod data;

#[path = "../../tests/sent/mod.rs"]
mod sent;

#[path = "../bodies/stored.rs"]
mod stored;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    stored::check(data);
});
