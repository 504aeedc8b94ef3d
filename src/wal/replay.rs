//! What is there after a crash.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tracing::error;
use tracing::warn;

use super::Error;
use super::append::Shared;
use super::record;
use super::record::LOOK_BYTES;
use super::record::PREFIX_BYTES;
use super::record::Position;
use super::record::Record;
use super::segment;
use super::segment::HEADER_BYTES;
use super::segment::Header;
use super::segment::Reader;

/// Bytes looked through at once for a record after a bad place.
const LOOK_CHUNK_BYTES: usize = 256 << 10;

/// Bytes whose CRC is tried after one bad place, before it is called damage without proof: some seconds of CPU.
const TRIED_BYTES_MAX: u64 = 16 << 30;

/// The records of the segments that were there at the start, oldest first. Reads while it goes, and holds about a
/// MiB beside the record that it returns. It blocks on the disk: run it where that is allowed.
///
/// A torn end of a segment is logged and is no error; damage is logged, kept in [`Replay::damage`], and ends that
/// segment too. Segments without any record are removed. The iterator ends after its first error.
#[derive(Debug)]
pub struct Replay {
    shared: Arc<Shared>,
    segments: VecDeque<u64>,
    open: Option<Open>,
    torn: u32,
    damage: Vec<Damage>,
}

/// A place in a segment that does not parse, with a record after it that does: no crash leaves that, except one of a disk
/// that writes later pages before earlier ones. The rest of the segment was not replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub path: PathBuf,
    pub segment: u64,
    /// Where the first bad record begins.
    pub offset: u64,
    /// Where a good record begins again.
    pub resumes_at: u64,
}

/// The segment being read.
#[derive(Debug)]
struct Open {
    number: u64,
    path: PathBuf,
    /// Of the next record.
    offset: u64,
    spans: u32,
    records: u64,
    chunk: Bytes,
    chunk_at: u64,
}

/// What is at a place in a segment.
enum Found {
    Record {
        record: Record,
        next: u64,
    },
    End,
    Bad,
    /// Whole, but not of this version.
    Unknown,
}

impl Replay {
    pub(super) fn new(shared: Arc<Shared>, segments: VecDeque<u64>) -> Self {
        Self { shared, segments, open: None, torn: 0, damage: Vec::new() }
    }

    /// Segments so far whose end was torn.
    pub fn torn(&self) -> u32 {
        self.torn
    }

    /// Damage found so far.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    fn next_record(&mut self) -> Result<Option<(Position, Record)>, Error> {
        loop {
            let Some(mut open) = self.open.take() else {
                let Some(number) = self.segments.pop_front() else { return Ok(None) };
                self.begin(number)?;
                continue;
            };
            let disk = |source: io::Error| Error::disk(&open.path, source);
            let chunk = std::mem::take(&mut open.chunk);
            let mut reader = Reader::resume(&*self.shared.disk, &open.path, chunk, open.chunk_at);
            match find(&mut reader, open.offset).map_err(disk)? {
                Found::Record { record, next } => {
                    (open.chunk, open.chunk_at) = reader.into_chunk();
                    let position = Position { segment: open.number, first_span: open.spans };
                    open.offset = next;
                    open.records += 1;
                    // The writer never lets a segment have more.
                    open.spans = open.spans.saturating_add(record.spans);
                    self.open = Some(open);
                    return Ok(Some((position, record)));
                }
                Found::End => {}
                Found::Bad => {
                    let resumes = find_after(&mut reader, open.offset + 1).map_err(disk)?;
                    self.bad_place(&open, resumes);
                }
                Found::Unknown => {
                    let reason = format!("the record at {} is of a later version", open.offset);
                    return Err(Error::Foreign { path: open.path, reason });
                }
            }
            self.end(&open)?;
        }
    }

    fn begin(&mut self, number: u64) -> Result<(), Error> {
        let path = self.shared.dir.join(segment::file_name(number));
        let mut reader = Reader::new(&*self.shared.disk, &path);
        let header = match reader.read(0, HEADER_BYTES) {
            Ok(bytes) => Header::decode(&bytes),
            // Let go of since the start.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::disk(&path, e)),
        };
        let (chunk, chunk_at) = reader.into_chunk();
        let offset = match header {
            Header::Valid { .. } => HEADER_BYTES as u64,
            // Nothing parses there, which tells torn from damaged.
            Header::None | Header::Version(_) => 0,
        };
        self.open = Some(Open { number, path, offset, spans: 0, records: 0, chunk, chunk_at });
        Ok(())
    }

    fn bad_place(&mut self, open: &Open, resumes_at: Option<u64>) {
        let Open { number: segment, ref path, offset, .. } = *open;
        let path = path.clone();
        let Some(resumes_at) = resumes_at else {
            self.torn += 1;
            warn!(path = %path.display(), offset, "write-ahead log segment torn by a crash, as expected");
            return;
        };
        error!(
            path = %path.display(), offset, resumes_at,
            "write-ahead log segment damaged, records after the place are not replayed"
        );
        self.damage.push(Damage { path, segment, offset, resumes_at });
    }

    fn end(&mut self, open: &Open) -> Result<(), Error> {
        let damaged = self.damage.last().is_some_and(|damage| damage.segment == open.number);
        if open.records == 0 && !damaged {
            return self.shared.remove(open.number);
        }
        self.shared.set_spans(open.number, open.spans);
        Ok(())
    }
}

impl Iterator for Replay {
    type Item = Result<(Position, Record), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_record().transpose();
        if matches!(next, Some(Err(_))) {
            self.segments.clear();
            self.open = None;
        }
        next
    }
}

fn find(reader: &mut Reader<'_>, offset: u64) -> io::Result<Found> {
    let prefix = reader.read(offset, PREFIX_BYTES)?;
    if prefix.is_empty() {
        return Ok(Found::End);
    }
    let Some(prefix) = prefix.first_chunk() else { return Ok(Found::Bad) };
    let Some((length, crc)) = record::decode_prefix(*prefix) else { return Ok(Found::Bad) };
    let at = offset + PREFIX_BYTES as u64;
    let payload = reader.read(at, usize::try_from(length).expect("at most RECORD_BYTES_MAX"))?;
    if payload.len() as u64 != u64::from(length) || record::crc_of(length, &payload) != crc {
        return Ok(Found::Bad);
    }
    // A copy, so that a small record does not hold the whole chunk.
    match Record::decode(&Bytes::copy_from_slice(&payload)) {
        Some(record) => Ok(Found::Record { record, next: at + u64::from(length) }),
        None => Ok(Found::Unknown),
    }
}

/// Where the first record at or after `offset` is, at any byte.
fn find_after(reader: &mut Reader<'_>, mut offset: u64) -> io::Result<Option<u64>> {
    let mut tried = 0;
    loop {
        let bytes = reader.read(offset, LOOK_CHUNK_BYTES)?;
        for (at, look) in bytes.windows(LOOK_BYTES).enumerate() {
            let look = look.first_chunk().expect("a window of that size");
            if !record::may_begin(*look) {
                continue;
            }
            let at = offset + at as u64;
            let [a, b, c, d, ..] = *look;
            tried += u64::from(u32::from_le_bytes([a, b, c, d]));
            let found = matches!(find(reader, at)?, Found::Record { .. } | Found::Unknown);
            if found || tried > TRIED_BYTES_MAX {
                return Ok(Some(at));
            }
        }
        if bytes.len() < LOOK_CHUNK_BYTES {
            return Ok(None);
        }
        offset += (bytes.len() - LOOK_BYTES + 1) as u64;
    }
}
