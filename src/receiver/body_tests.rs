//! What comes out of a body, and what is refused.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use futures::stream;
use http::HeaderValue;

use super::*;

const BYTES_MAX: usize = 1 << 20;

fn budget() -> Budget {
    Budget::new(16 << 20)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bare_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

async fn inflated(encoding: Encoding, compressed: &[u8]) -> Result<Bytes, Failure> {
    let held = read(Body::from(compressed.to_vec()), BYTES_MAX, &budget()).await?;
    Ok(inflate(encoding, held, BYTES_MAX).await?.bytes)
}

/// A text that neither compresses to nothing nor fits into one piece.
fn long_text() -> Vec<u8> {
    (0..40_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_string().into_bytes()).collect()
}

#[tokio::test]
async fn every_encoding_comes_back() {
    for text in [&b""[..], b"x", &long_text()] {
        for (encoding, compressed) in [
            (Encoding::Identity, text.to_vec()),
            (Encoding::Gzip, gzip(text)),
            (Encoding::Deflate, zlib(text)),
            (Encoding::Deflate, bare_deflate(text)),
            (Encoding::Zstd, zstd(text)),
        ] {
            assert_eq!(inflated(encoding, &compressed).await.unwrap(), text, "{encoding:?}");
        }
    }
}

#[tokio::test]
async fn members_and_frames_in_a_row_are_one_body() {
    let two_members = [gzip(b"one "), gzip(b"two")].concat();
    assert_eq!(inflated(Encoding::Gzip, &two_members).await.unwrap(), "one two");
    let two_frames = [zstd(b"one "), zstd(b"two")].concat();
    assert_eq!(inflated(Encoding::Zstd, &two_frames).await.unwrap(), "one two");
}

#[tokio::test]
async fn an_empty_body_is_empty_in_every_encoding() {
    for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Deflate, Encoding::Zstd] {
        assert_eq!(inflated(encoding, b"").await.unwrap(), "");
    }
}

#[tokio::test]
async fn a_body_cut_anywhere_is_invalid() {
    let text = b"the quick brown fox jumps over the lazy dog".repeat(20);
    for (encoding, whole) in [
        (Encoding::Gzip, gzip(&text)),
        (Encoding::Deflate, zlib(&text)),
        (Encoding::Deflate, bare_deflate(&text)),
        (Encoding::Zstd, zstd(&text)),
    ] {
        for length in 1..whole.len() {
            let failure = inflated(encoding, &whole[..length]).await.unwrap_err();
            assert_eq!(failure.kind, Kind::Invalid, "{encoding:?} {length}: {failure}");
        }
    }
}

#[tokio::test]
async fn what_is_something_else_is_invalid() {
    for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Zstd] {
        let failure = inflated(encoding, b"{\"resourceSpans\":[]}").await.unwrap_err();
        assert_eq!(failure.kind, Kind::Invalid, "{encoding:?}: {failure}");
    }
    let trailing = [zlib(b"x"), b"more".to_vec()].concat();
    let failure = inflated(Encoding::Deflate, &trailing).await.unwrap_err();
    assert_eq!(failure.message, "4 bytes follow the deflate stream");
}

#[tokio::test]
async fn a_bomb_stops_at_the_cap() {
    let zeros = vec![0; BYTES_MAX + 1];
    for (encoding, bomb) in [
        (Encoding::Gzip, gzip(&zeros)),
        (Encoding::Deflate, zlib(&zeros)),
        (Encoding::Zstd, zstd(&zeros)),
    ] {
        assert!(bomb.len() < BYTES_MAX / 100);
        let failure = inflated(encoding, &bomb).await.unwrap_err();
        assert_eq!(failure, too_large(BYTES_MAX), "{encoding:?}");
        let whole = &zeros[..BYTES_MAX];
        let fits = match encoding {
            Encoding::Gzip => gzip(whole),
            Encoding::Zstd => zstd(whole),
            _ => zlib(whole),
        };
        assert_eq!(inflated(encoding, &fits).await.unwrap().len(), BYTES_MAX, "{encoding:?}");
    }
}

#[test]
fn the_room_for_a_body_never_grows_past_the_cap() {
    let mut sink = Sink::new(100, &budget());
    sink.put(&[0; 60]).unwrap();
    sink.put(&[0; 40]).unwrap();
    assert_eq!(sink.bytes.capacity(), 100);
    assert_eq!(sink.put(&[0]), Err(too_large(100)));
}

#[tokio::test]
async fn the_room_of_a_body_is_used_again_and_stays_bounded() {
    let budget = Budget::new(64 << 20);
    let taken_in = async |bytes: usize| {
        let held = read(Body::from(vec![1; bytes]), 16 << 20, &budget).await.unwrap();
        assert_eq!(held.bytes, vec![1; bytes]);
        held
    };
    let first = taken_in(100_000).await;
    let room = first.bytes.as_ptr();
    let reader = first.bytes.clone();
    drop(first);
    assert_ne!(taken_in(90_000).await.bytes.as_ptr(), room, "it is still read");
    drop(reader);
    let kept = |budget: &Budget| budget.spares.0.lock().iter().map(Vec::capacity).sum::<usize>();
    assert_eq!(kept(&budget), 190_000);
    let again = taken_in(95_000).await;
    assert_eq!((again.bytes.as_ptr(), kept(&budget)), (room, 90_000));
    drop(again);
    let mut large = Vec::new();
    for _ in 0..9 {
        large.push(taken_in(4 << 20).await);
    }
    drop(large);
    assert!(kept(&budget) <= SPARES_BYTES_MAX);
    assert_eq!(budget.free_kib.available_permits(), 64 << 10);
}

#[tokio::test]
async fn a_body_over_the_cap_is_refused_however_it_comes() {
    let announced = read(Body::from(vec![0; 11]), 10, &budget()).await.unwrap_err();
    assert_eq!(announced, too_large(10));
    let pieces = stream::iter([Ok::<_, std::io::Error>(vec![0; 6]), Ok(vec![0; 5])]);
    let unannounced = read(Body::from_stream(pieces), 10, &budget()).await.unwrap_err();
    assert_eq!(unannounced, too_large(10));
    assert_eq!(read(Body::from(vec![0; 10]), 10, &budget()).await.unwrap().bytes.len(), 10);
}

#[tokio::test]
async fn a_sender_that_breaks_off_is_told_where() {
    let pieces = stream::iter([Ok(vec![0; 6]), Err(std::io::Error::other("gone"))]);
    let failure = read(Body::from_stream(pieces), 10, &budget()).await.unwrap_err();
    assert_eq!(failure.message, "the body breaks off after 6 bytes: gone");
}

#[tokio::test]
async fn without_room_in_the_budget_the_sender_comes_back_later() {
    let budget = Budget::new(4096);
    let first = read(Body::from(vec![0; 3000]), 4096, &budget).await.unwrap();
    let failure = read(Body::from(vec![0; 3000]), 4096, &budget).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Busy { retry_after: RETRY_AFTER });
    assert_eq!(failure.message, "the requests at work hold 4096 bytes (bytes_in_flight_max)");
    drop(first);
    assert!(read(Body::from(vec![0; 3000]), 4096, &budget).await.is_ok());
    assert_eq!(budget.free_kib.available_permits(), 4);
}

#[test]
fn the_content_encoding_is_one_or_none() {
    for (values, expected) in [
        (&[][..], Some(Encoding::Identity)),
        (&[""], Some(Encoding::Identity)),
        (&["identity"], Some(Encoding::Identity)),
        (&["GZIP"], Some(Encoding::Gzip)),
        (&["x-gzip"], Some(Encoding::Gzip)),
        (&["deflate"], Some(Encoding::Deflate)),
        (&["zstd"], Some(Encoding::Zstd)),
        (&["snappy"], None),
        (&["gzip, zstd"], None),
        (&["gzip", "gzip"], None),
    ] {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        let found = Encoding::of(&headers);
        assert_eq!(found.clone().ok(), expected, "{values:?}");
        if let Err(failure) = found {
            assert_eq!(failure.kind, Kind::UnsupportedMedia);
            assert!(failure.message.ends_with("supported: [gzip, zstd, deflate, identity]"));
        }
    }
}
