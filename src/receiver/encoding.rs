//! Encodings of bodies: their names, and how each is undone under a cap.

use std::io::{self, ErrorKind, Read};

use flate2::{Decompress, FlushDecompress, Status};
use http::{HeaderMap, header};

use super::body::{Held, Sink};
use crate::failure::{Failure, Kind};
use crate::listener::on_cpu;

/// Inflated at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Bodies up to this size are inflated where they are: about half a millisecond at worst.
const INFLATE_INLINE_BYTES_MAX: usize = 8 << 10;

/// Largest zstd window, as a power of two: 32 MiB, what the best levels of the usual Go encoder take. The window is memory that a
/// few bytes of a header can ask for.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// What the framed form of snappy begins with. No block does: it would copy from before its own beginning.
const SNAPPY_STREAM: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// Three bytes of snappy stand for 64 at most: a block that says more is wrong, and no room is made for it.
const SNAPPY_RATIO_MAX: usize = 22;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    /// zlib, as HTTP defines it, or the bare stream, as some send it.
    Deflate,
    Zstd,
    /// The block format, as HTTP senders have it, or the framed one, as gRPC senders of the Collector do.
    Snappy,
    /// The frame format.
    Lz4,
}

impl Encoding {
    /// All that are understood, for answers.
    pub(super) const NAMES: &'static str = "gzip, zstd, deflate, snappy, lz4, identity";

    /// The encoding of this name; empty means identity.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" | "zlib" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            "snappy" | "x-snappy-framed" => Some(Self::Snappy),
            "lz4" => Some(Self::Lz4),
            _ => None,
        }
    }

    /// What `Content-Encoding` says.
    ///
    /// # Errors
    /// [`Kind::UnsupportedMedia`] if it names another encoding, or several.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = values.next() else { return Ok(Self::Identity) };
        let name = String::from_utf8_lossy(value.as_bytes());
        let refused = |what: &str| {
            let kind = Kind::UnsupportedMedia;
            Failure::new(kind, format!("{what}, supported: [{}]", Self::NAMES))
        };
        if values.next().is_some() || name.contains(',') {
            return Err(refused("a body can have only one content encoding"));
        }
        Self::named(&name).ok_or_else(|| refused(&format!("unsupported content encoding {name:?}")))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
        }
    }
}

/// Undoes the encoding. Of gzip, zstd and lz4, several members or frames in a row are one body. An empty body is empty in all encodings.
///
/// # Errors
/// [`Kind::TooLarge`] over `bytes_max`, at once when it is passed; [`Kind::Busy`] without room in the budget; [`Kind::Invalid`]
/// if the body is cut short or is something else.
pub(super) async fn inflate(
    encoding: Encoding,
    body: Held,
    bytes_max: usize,
) -> Result<Held, Failure> {
    if encoding == Encoding::Identity || body.bytes.is_empty() {
        return Ok(body);
    }
    if body.bytes.len() <= INFLATE_INLINE_BYTES_MAX {
        return inflate_now(encoding, &body, bytes_max);
    }
    on_cpu(move || inflate_now(encoding, &body, bytes_max)).await
}

fn inflate_now(encoding: Encoding, body: &Held, bytes_max: usize) -> Result<Held, Failure> {
    let mut sink = Sink::beside(body, bytes_max);
    let compressed = &body.bytes[..];
    match encoding {
        Encoding::Identity => sink.put(compressed)?,
        Encoding::Gzip => {
            inflate_from(flate2::bufread::MultiGzDecoder::new(compressed), encoding, &mut sink)?;
        }
        Encoding::Deflate => inflate_deflate(compressed, &mut sink)?,
        Encoding::Zstd => {
            let decoder = zstd::Decoder::with_buffer(compressed).and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Ok(decoder)
            });
            let decoder = decoder.map_err(|error| Failure::internal(format!("zstd: {error}")))?;
            inflate_from(decoder, encoding, &mut sink)?;
        }
        Encoding::Snappy if compressed.starts_with(SNAPPY_STREAM) => {
            inflate_from(snap::read::FrameDecoder::new(compressed), encoding, &mut sink)?;
        }
        Encoding::Snappy => inflate_snappy_block(compressed, &mut sink)?,
        Encoding::Lz4 => inflate_lz4(compressed, &mut sink)?,
    }
    Ok(sink.into_held())
}

fn inflate_from(
    mut decoder: impl Read,
    encoding: Encoding,
    sink: &mut Sink,
) -> Result<(), Failure> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let bytes = decoder.read(&mut piece).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => cut_short(encoding),
            _ => Failure::invalid(format!("the body is not {}: {error}", encoding.name())),
        })?;
        if bytes == 0 {
            return Ok(());
        }
        sink.put(&piece[..bytes])?;
    }
}

/// One block: its first bytes say what it inflates to.
fn inflate_snappy_block(compressed: &[u8], sink: &mut Sink) -> Result<(), Failure> {
    let wrong = |error: snap::Error| Failure::invalid(format!("the body is not snappy: {error}"));
    let bytes = snap::raw::decompress_len(compressed).map_err(wrong)?;
    if bytes / SNAPPY_RATIO_MAX > compressed.len() {
        return Err(Failure::invalid(format!(
            "the body is not snappy: {} bytes cannot be {bytes}",
            compressed.len()
        )));
    }
    let room = sink.room(bytes)?;
    snap::raw::Decoder::new().decompress(compressed, room).map_err(wrong)?;
    Ok(())
}

/// Bytes that remember whether more was asked for than there was.
struct Watched<'a> {
    rest: &'a [u8],
    is_exhausted: bool,
}

impl Read for Watched<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.rest.read(into)?;
        self.is_exhausted |= bytes < into.len();
        Ok(bytes)
    }
}

/// The decoder ends a read behind each frame, and takes a stream that is cut between two blocks for a whole one.
fn inflate_lz4(compressed: &[u8], sink: &mut Sink) -> Result<(), Failure> {
    let source = Watched { rest: compressed, is_exhausted: false };
    let mut decoder = lz4_flex::frame::FrameDecoder::new(source);
    loop {
        inflate_from(&mut decoder, Encoding::Lz4, sink)?;
        let Watched { rest, is_exhausted } = decoder.get_ref();
        if *is_exhausted {
            return Err(cut_short(Encoding::Lz4));
        }
        if rest.is_empty() {
            return Ok(());
        }
    }
}

/// By hand: the decoder that reads takes a cut stream for a whole one.
fn inflate_deflate(compressed: &[u8], sink: &mut Sink) -> Result<(), Failure> {
    let mut decoder = Decompress::new(has_zlib_header(compressed));
    let mut piece = vec![0; PIECE_BYTES];
    let mut rest = compressed;
    loop {
        let (taken_before, given_before) = (decoder.total_in(), decoder.total_out());
        let status = decoder.decompress(rest, &mut piece, FlushDecompress::None);
        let status = status
            .map_err(|error| Failure::invalid(format!("the body is not deflate: {error}")))?;
        let taken = in_memory(decoder.total_in() - taken_before);
        let given = in_memory(decoder.total_out() - given_before);
        rest = &rest[taken..];
        sink.put(&piece[..given])?;
        match status {
            Status::StreamEnd if rest.is_empty() => return Ok(()),
            Status::StreamEnd => {
                let text = format!("{} bytes follow the deflate stream", rest.len());
                return Err(Failure::invalid(text));
            }
            Status::Ok | Status::BufError if taken == 0 && given == 0 => {
                return Err(cut_short(Encoding::Deflate));
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a part of what is in memory")
}

/// RFC 1950: the method is 8 and the two bytes are a multiple of 31. A bare stream that begins so would be a stored block with a
/// padding bit set, which no encoder writes.
fn has_zlib_header(compressed: &[u8]) -> bool {
    match compressed {
        [method, flags, ..] => {
            method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31)
        }
        _ => false,
    }
}

fn cut_short(encoding: Encoding) -> Failure {
    Failure::invalid(format!("the {} body is cut short", encoding.name()))
}

#[cfg(test)]
#[path = "encoding_tests.rs"]
mod tests;
