//! What comes out of an encoding, and what is refused.

use std::io::Write;

use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::HeaderValue;

use super::super::body::{Budget, read, too_large};
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

fn snappy_block(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

fn snappy_stream(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.into_inner().unwrap()
}

/// In small blocks, as a stream has that is flushed often.
fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut info = lz4_flex::frame::FrameInfo::new();
    info.block_size = lz4_flex::frame::BlockSize::Max64KB;
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    for piece in bytes.chunks(10_000) {
        encoder.write_all(piece).unwrap();
        encoder.flush().unwrap();
    }
    encoder.finish().unwrap()
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
            (Encoding::Snappy, snappy_block(text)),
            (Encoding::Snappy, snappy_stream(text)),
            (Encoding::Lz4, lz4(text)),
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
    let two_frames = [lz4(b"one "), lz4(b"two")].concat();
    assert_eq!(inflated(Encoding::Lz4, &two_frames).await.unwrap(), "one two");
    let two_streams = [snappy_stream(b"one "), snappy_stream(b"two")].concat();
    assert_eq!(inflated(Encoding::Snappy, &two_streams).await.unwrap(), "one two");
}

#[tokio::test]
async fn an_empty_body_is_empty_in_every_encoding() {
    for encoding in [
        Encoding::Identity,
        Encoding::Gzip,
        Encoding::Deflate,
        Encoding::Zstd,
        Encoding::Snappy,
        Encoding::Lz4,
    ] {
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
        (Encoding::Snappy, snappy_block(&text)),
        (Encoding::Lz4, lz4(&text)),
        (Encoding::Lz4, lz4(&long_text()[..25_000])),
    ] {
        for length in 1..whole.len() {
            let failure = inflated(encoding, &whole[..length]).await.unwrap_err();
            assert_eq!(failure.kind, Kind::Invalid, "{encoding:?} {length}: {failure}");
        }
    }
}

/// The framed form has no end: between two chunks a cut cannot be seen.
#[tokio::test]
async fn a_snappy_stream_cut_inside_a_chunk_is_invalid() {
    let whole = snappy_stream(&b"the quick brown fox jumps over the lazy dog".repeat(20));
    for length in (1..whole.len()).filter(|length| *length != SNAPPY_STREAM.len()) {
        let failure = inflated(Encoding::Snappy, &whole[..length]).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Invalid, "{length}: {failure}");
    }
}

/// Room is made for what can come, not for what is claimed.
#[tokio::test]
async fn a_snappy_block_that_claims_more_than_it_can_hold_is_invalid() {
    let claims_a_megabyte = [0x80, 0x80, 0x40, 0x00, b'x'];
    let failure = inflated(Encoding::Snappy, &claims_a_megabyte).await.unwrap_err();
    assert_eq!(failure.message, "the body is not snappy: 5 bytes cannot be 1048576");
    assert_eq!(failure.kind, Kind::Invalid);
}

#[tokio::test]
async fn what_is_something_else_is_invalid() {
    for encoding in
        [Encoding::Gzip, Encoding::Deflate, Encoding::Zstd, Encoding::Snappy, Encoding::Lz4]
    {
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
        (Encoding::Snappy, snappy_block(&zeros)),
        (Encoding::Snappy, snappy_stream(&zeros)),
        (Encoding::Lz4, lz4(&zeros)),
    ] {
        assert!(bomb.len() < BYTES_MAX / 10);
        let failure = inflated(encoding, &bomb).await.unwrap_err();
        assert_eq!(failure, too_large(BYTES_MAX), "{encoding:?}");
        let whole = &zeros[..BYTES_MAX];
        let fits = match encoding {
            Encoding::Gzip => gzip(whole),
            Encoding::Zstd => zstd(whole),
            Encoding::Snappy => snappy_block(whole),
            Encoding::Lz4 => lz4(whole),
            _ => zlib(whole),
        };
        assert_eq!(inflated(encoding, &fits).await.unwrap().len(), BYTES_MAX, "{encoding:?}");
    }
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
        (&["snappy"], Some(Encoding::Snappy)),
        (&["x-snappy-framed"], Some(Encoding::Snappy)),
        (&["lz4"], Some(Encoding::Lz4)),
        (&["br"], None),
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
            assert!(
                failure
                    .message
                    .ends_with("supported: [gzip, zstd, deflate, snappy, lz4, identity]")
            );
        }
    }
}
