//! Any body through the decoders of Jaeger's and Zipkin's formats.

#![no_main]

#[path = "../bodies/formats.rs"]
mod formats;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    formats::check(data);
});
