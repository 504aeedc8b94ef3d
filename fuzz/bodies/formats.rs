//! What must hold of any body that claims to be Jaeger's, Zipkin's or OTLP's. The body of the fuzz target `formats`; a test of the house runs
//! it too.

use vivace::thrift::Protocol;
use vivace::{jaeger, otlp, zipkin};

/// Bytes that a body may become.
const BYTES_MAX: usize = 1 << 20;

/// Number of decoders: the first byte of an input chooses one.
pub(crate) const DECODERS: u8 = 10;

/// What the chosen decoder makes of the rest of an input; none if it refuses it.
fn translated(data: &[u8]) -> Option<Vec<u8>> {
    let (first, body) = data.split_first()?;
    match first % DECODERS {
        0 => jaeger::batch(body, BYTES_MAX).ok(),
        1 => jaeger::packet(Protocol::Compact, body, BYTES_MAX).ok(),
        2 => jaeger::packet(Protocol::Binary, body, BYTES_MAX).ok(),
        3 => jaeger::post_spans(body, BYTES_MAX).ok(),
        4 => zipkin::json_2(body, BYTES_MAX).ok(),
        5 => zipkin::json_1(body, BYTES_MAX).ok(),
        6 => zipkin::protobuf(body, BYTES_MAX).ok(),
        7 => zipkin::thrift(body, BYTES_MAX).ok(),
        8 => otlp::transcode(body).ok(),
        // A request in OTLP, as it is: it may well be none.
        _ => otlp::decode(body).is_ok().then(|| body.to_vec()),
    }
}

/// Nothing panics, and what is accepted is a request in OTLP of which at most single spans are rejected. Says whether it was accepted.
pub(crate) fn check(data: &[u8]) -> bool {
    let Some(request) = translated(data) else { return false };
    assert!(request.len() <= 2 * BYTES_MAX, "{} bytes", request.len());
    match otlp::decode(&request) {
        Ok(_) | Err(otlp::Error::TooManyRejected { .. }) => true,
        Err(error) => panic!("what was translated is not OTLP: {error}"),
    }
}
