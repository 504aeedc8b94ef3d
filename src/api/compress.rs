//! Answers compressed with gzip, where the client takes it and it is worth it.

use std::io::Write;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt;
use futures::stream::unfold;
use http::{HeaderMap, HeaderValue, header};

use super::Refused;
use crate::failure::Failure;
use crate::listener::on_cpu;

/// Smaller bodies fit into one packet anyway.
const COMPRESSED_BYTES_MIN: usize = 1024;

/// Bodies up to this size are compressed where they are: about half a millisecond.
const INLINE_BYTES_MAX: usize = 32 << 10;

/// Compresses the answer if its body is over 1 KiB and the client accepts gzip.
pub(super) async fn gzip(request: Request, next: Next) -> Result<Response, Refused> {
    let wanted = accepts_gzip(request.headers());
    let mut response = next.run(request).await;
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !wanted || response.headers().contains_key(header::CONTENT_ENCODING) {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    if body.size_hint().exact().is_none() {
        parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        return Ok(Response::from_parts(parts, in_pieces(body)));
    }
    // All other bodies are whole, in memory, and bounded where they are made.
    let body = to_bytes(body, usize::MAX).await.map_err(Failure::internal)?;
    if body.len() < COMPRESSED_BYTES_MIN {
        return Ok(Response::from_parts(parts, Body::from(body)));
    }
    let compressed = if body.len() <= INLINE_BYTES_MAX {
        compress(&body)
    } else {
        on_cpu(move || compress(&body)).await
    };
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(compressed.len()));
    Ok(Response::from_parts(parts, Body::from(compressed)))
}

/// A body that comes in pieces, compressed piece by piece.
fn in_pieces(body: Body) -> Body {
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let pieces = unfold(Some((body.into_data_stream(), encoder)), |state| async {
        let (mut body, mut encoder) = state?;
        let piece = match body.next().await {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Some((Err(error), None)),
            None => {
                let rest = encoder.finish().expect("memory takes all");
                return Some((Ok(Bytes::from(rest)), None));
            }
        };
        let write = move || {
            encoder.write_all(&piece).expect("memory takes all");
            (std::mem::take(encoder.get_mut()), encoder)
        };
        let (compressed, encoder) = on_cpu(write).await;
        Some((Ok(Bytes::from(compressed)), Some((body, encoder))))
    });
    Body::from_stream(pieces)
}

fn compress(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING);
    let mut codings =
        values.iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
        is_gzip && weight.is_none_or(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    fn pieces() -> Body {
        let pieces = (0..10).map(|_| Ok::<_, std::io::Error>("long ".repeat(1000)));
        Body::from_stream(futures::stream::iter(pieces))
    }

    async fn answer(path: &str, accepted: &'static str) -> (HeaderMap, Vec<u8>) {
        let router = Router::new()
            .route("/long", get(|| async { "long ".repeat(10_000) }))
            .route("/short", get(|| async { "short" }))
            .route("/pieces", get(|| async { pieces() }))
            .layer(from_fn(gzip));
        let request = Request::builder().uri(path).header(header::ACCEPT_ENCODING, accepted);
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.headers, to_bytes(body, usize::MAX).await.unwrap().to_vec())
    }

    #[tokio::test]
    async fn long_answers_are_compressed_for_who_takes_it() {
        let (headers, body) = answer("/long", "br, gzip;q=0.5").await;
        assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
        assert_eq!(headers[header::CONTENT_LENGTH], body.len().to_string());
        let mut text = String::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "long ".repeat(10_000));
    }

    #[tokio::test]
    async fn what_comes_in_pieces_is_compressed_in_pieces() {
        let (headers, body) = answer("/pieces", "gzip").await;
        assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
        assert!(!headers.contains_key(header::CONTENT_LENGTH));
        let mut text = String::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "long ".repeat(10_000));
    }

    #[tokio::test]
    async fn short_answers_and_other_clients_get_plain_text() {
        for (path, accepted) in [("/short", "gzip"), ("/long", "gzip;q=0"), ("/long", "br")] {
            let (headers, body) = answer(path, accepted).await;
            assert!(!headers.contains_key(header::CONTENT_ENCODING), "{path} {accepted}");
            assert!(body.starts_with(&path.as_bytes()[1..]));
        }
    }
}
