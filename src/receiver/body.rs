//! Bodies: read whole and inflated, under a cap for each and a budget for all.

use std::io::{ErrorKind, Read};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::failure::{Failure, Kind};
use crate::listener::on_cpu;

/// Longest time for a body to come in. At the 64 MiB that are allowed by default, 1.1 MB/s.
const READ_TIME_MAX: Duration = Duration::from_mins(1);

/// When to come back if there is no room: the bodies at work are pushed in a second or two.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Inflated at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Bodies up to this size are inflated where they are: about half a millisecond at worst.
const INFLATE_INLINE_BYTES_MAX: usize = 8 << 10;

/// Largest zstd window, as a power of two: 32 MiB, what the best levels of the usual Go encoder take. The window is memory that a
/// few bytes of a header can ask for.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    /// zlib, as HTTP defines it, or the bare stream, as some send it.
    Deflate,
    Zstd,
}

impl Encoding {
    /// All that are understood, for answers.
    pub(super) const NAMES: &'static str = "gzip, zstd, deflate, identity";

    /// The encoding of this name; empty means identity.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" | "zlib" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
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
        }
    }
}

/// The bytes that all bodies together may take. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    free_kib: Arc<Semaphore>,
    bytes: usize,
    spares: Arc<Spares>,
}

/// Most room made for a body because its sender announces that many bytes; the rest is made as they come.
const ANNOUNCED_ROOM_MAX: usize = 1 << 20;

/// Rooms that are worth to be kept: the allocator has smaller ones at hand, and larger ones are seldom needed again.
const SPARE_BYTES: RangeInclusive<usize> = 64 << 10..=8 << 20;

/// Bytes of all spare rooms: they are not in the budget.
const SPARES_BYTES_MAX: usize = 16 << 20;

/// The rooms of bodies that are done with, oldest first. Fresh memory has to be cleared by the system, page by page: that was a tenth
/// of the cost of taking a body in.
#[derive(Debug, Default)]
struct Spares(Mutex<Vec<Vec<u8>>>);

impl Spares {
    /// An empty room of one of these sizes.
    fn take(&self, sizes: &RangeInclusive<usize>) -> Option<Vec<u8>> {
        let mut rooms = self.0.lock();
        let index = rooms.iter().position(|room| sizes.contains(&room.capacity()))?;
        Some(rooms.swap_remove(index))
    }

    fn give(&self, mut room: Vec<u8>) {
        if !SPARE_BYTES.contains(&room.capacity()) {
            return;
        }
        room.clear();
        let mut rooms = self.0.lock();
        rooms.push(room);
        let mut bytes: usize = rooms.iter().map(Vec::capacity).sum();
        while bytes > SPARES_BYTES_MAX {
            bytes -= rooms.remove(0).capacity();
        }
    }
}

/// A body whose room goes to the spare ones when its last reader is done.
struct Lent {
    bytes: Vec<u8>,
    spares: Arc<Spares>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.spares.give(std::mem::take(&mut self.bytes));
    }
}

/// A part of a budget, given back when dropped.
#[derive(Debug)]
struct Share {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
    kib: usize,
}

/// A body and its share of the budget.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    share: Share,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        let kib = bytes.div_ceil(1024).min(Semaphore::MAX_PERMITS);
        Self { free_kib: Arc::new(Semaphore::new(kib)), bytes, spares: Arc::default() }
    }

    fn share(&self) -> Share {
        Share { budget: self.clone(), held: None, kib: 0 }
    }
}

impl Share {
    /// Grows to at least so many bytes.
    fn cover(&mut self, bytes: usize) -> Result<(), Failure> {
        let more_kib = bytes.div_ceil(1024).saturating_sub(self.kib);
        if more_kib == 0 {
            return Ok(());
        }
        let permits = u32::try_from(more_kib).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.budget.free_kib).try_acquire_many_owned(permits);
        let more = more.map_err(|_| {
            let max = self.budget.bytes;
            let text = format!("the requests at work hold {max} bytes (bytes_in_flight_max)");
            Failure::new(Kind::Busy { retry_after: RETRY_AFTER }, text)
        })?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        self.kib += more_kib;
        Ok(())
    }
}

/// Bytes that grow up to a cap, covered by a share.
struct Sink {
    bytes: Vec<u8>,
    bytes_max: usize,
    /// Room that is made at once.
    announced: usize,
    share: Share,
}

impl Sink {
    fn new(bytes_max: usize, budget: &Budget) -> Self {
        Self { bytes: Vec::new(), bytes_max, announced: 0, share: budget.share() }
    }

    fn put(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let wanted = self.bytes.len().saturating_add(piece.len());
        if wanted > self.bytes_max {
            return Err(too_large(self.bytes_max));
        }
        if wanted > self.bytes.capacity() {
            // Doubled, but never over the cap: what is allocated is what is covered.
            let capacity = (self.bytes.capacity() * 2).max(self.announced);
            self.grow(capacity.clamp(wanted, self.bytes_max.max(wanted)))?;
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    fn grow(&mut self, capacity: usize) -> Result<(), Failure> {
        let sizes = capacity..=capacity.saturating_mul(2).min(self.bytes_max);
        let spares = Arc::clone(&self.share.budget.spares);
        if let Some(mut room) = spares.take(&sizes) {
            self.share.cover(room.capacity())?;
            room.extend_from_slice(&self.bytes);
            spares.give(std::mem::replace(&mut self.bytes, room));
        } else {
            self.share.cover(capacity)?;
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        Ok(())
    }

    fn into_held(self) -> Held {
        let Self { bytes, bytes_max: _, announced: _, share } = self;
        let bytes = if SPARE_BYTES.contains(&bytes.capacity()) {
            Bytes::from_owner(Lent { bytes, spares: Arc::clone(&share.budget.spares) })
        } else {
            bytes.into()
        };
        Held { bytes, share }
    }
}

/// The refusal of a body that is larger than allowed.
pub(super) fn too_large(bytes_max: usize) -> Failure {
    let text = format!("request body too large: more than {bytes_max} bytes (max_body_bytes)");
    Failure::new(Kind::TooLarge, text)
}

/// Reads a body to its end.
///
/// # Errors
/// [`Kind::TooLarge`] over `bytes_max`, [`Kind::Busy`] without room in the budget, [`Kind::Timeout`] after 60 s,
/// [`Kind::Invalid`] when the sender breaks off.
pub(super) async fn read(body: Body, bytes_max: usize, budget: &Budget) -> Result<Held, Failure> {
    let announced = body.size_hint().lower();
    if usize::try_from(announced).map_or(true, |bytes| bytes > bytes_max) {
        return Err(too_large(bytes_max));
    }
    let mut sink = Sink::new(bytes_max, budget);
    sink.announced = usize::try_from(announced).map_or(0, |bytes| bytes.min(ANNOUNCED_ROOM_MAX));
    timeout(READ_TIME_MAX, read_to_end(body, sink)).await.unwrap_or_else(|_| {
        let text = format!("the body did not come in within {READ_TIME_MAX:?}");
        Err(Failure::new(Kind::Timeout, text))
    })
}

async fn read_to_end(mut body: Body, mut sink: Sink) -> Result<Held, Failure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Failure::invalid(format!(
                "the body breaks off after {} bytes: {error}",
                sink.bytes.len()
            ))
        })?;
        if let Some(piece) = frame.data_ref() {
            sink.put(piece)?;
        }
    }
    Ok(sink.into_held())
}

/// Undoes the encoding. Of gzip and zstd, several members or frames in a row are one body. An empty body is empty in all encodings.
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
    let mut sink = Sink::new(bytes_max, &body.share.budget);
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
#[path = "body_tests.rs"]
mod tests;
