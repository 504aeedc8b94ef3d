//! The `index` object: a file of sections.
//!
//! `VIVX`, then the sections one after the other, then the table: per section {kind u32, flags u32, offset u64, stored bytes u64, plain bytes u64,
//! CRC-32C of the stored bytes u32}, then the tail {number of sections u32, CRC-32C of the table u32, version u32, `VIVX`}. All little endian.
//! Flag 1 says that the section is a zstd frame. Readers skip kinds that they do not know.
//!
//! Readers take the end of the object first, and of what lies before it only the sections that a question needs: so what every question
//! asks comes last, and what few ask first.

use std::ops::Range;

use bytes::Bytes;

use super::Error;
use super::bloom::crc32c;

const MAGIC: &[u8; 4] = b"VIVX";
/// What is written. Version 1, of which keys had no entries, is read too; who knows only that must not read this.
const VERSION: u32 = 2;
const FIRST_VERSION: u32 = 1;
const ENTRY_BYTES: usize = 36;
const TAIL_BYTES: usize = 16;
const FLAG_ZSTD: u32 = 1;

/// zstd's: sections are small, and read often.
const SECTION_LEVEL: i32 = 6;

/// Largest section after inflating: a directory of 64 million traces.
const SECTION_BYTES_MAX: u64 = 1 << 30;

/// What a section holds. The numbers are the format's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub(super) enum Section {
    /// Per trace {fold u64, first row u32, rows u32}, sorted by fold.
    Directory = 1,
    /// The tail of `spans.parquet` from its first offset index to its end, after its start (u64).
    SpansTail = 2,
    TracesTail = 3,
    ResourcesTail = 4,
    /// A `Zones` message: see `zones.rs`.
    Zones = 5,
    /// Folds (u64) of traces that were found in other blocks too, sorted.
    Shared = 6,
    /// A `Coverage` message: which spans of the writer's WAL are in the block.
    WalCoverage = 7,
    /// Filters of value hashes, named by the zones: see `hashes.rs`.
    ValueFilters = 8,
    // 9 was `Values` whole; blocks that have it are read without.
    /// Where the entries are: see `entries.rs`.
    EntryTable = 10,
    /// What is known of each key, key by key: its zones (`zones.rs`), and how often each value comes (`values.rs`).
    Entries = 11,
}

impl Section {
    /// What people call a section by its number.
    pub(super) fn name(number: u32) -> &'static str {
        match number {
            1 => "directory of traces",
            2 => "tail of spans.parquet",
            3 => "tail of traces.parquet",
            4 => "tail of resources.parquet",
            5 => "zones and keys",
            6 => "shared traces",
            7 => "coverage of write-ahead logs",
            8 => "value filters",
            9 => "values (no longer read)",
            10 => "table of entries",
            11 => "entries: zones and counts by key",
            _ => "unknown",
        }
    }
}

/// Builds the object.
#[derive(Default)]
pub(super) struct IndexWriter {
    body: Vec<u8>,
    table: Vec<u8>,
    sections: u32,
}

impl IndexWriter {
    pub(super) fn new() -> Self {
        Self { body: MAGIC.to_vec(), ..Self::default() }
    }

    /// Adds a section, compressed if that makes it smaller.
    pub(super) fn add(&mut self, section: Section, plain: &[u8]) -> Result<(), Error> {
        let packed = zstd::bulk::compress(plain, SECTION_LEVEL).map_err(Error::Zstd)?;
        if packed.len() < plain.len() {
            self.put(section, FLAG_ZSTD, &packed, plain.len());
        } else {
            self.add_as_is(section, plain);
        }
        Ok(())
    }

    /// Adds a section that readers look into where it lies.
    pub(super) fn add_as_is(&mut self, section: Section, bytes: &[u8]) {
        self.put(section, 0, bytes, bytes.len());
    }

    fn put(&mut self, section: Section, flags: u32, stored: &[u8], plain_bytes: usize) {
        self.table.extend_from_slice(&(section as u32).to_le_bytes());
        self.table.extend_from_slice(&flags.to_le_bytes());
        self.table.extend_from_slice(&(self.body.len() as u64).to_le_bytes());
        self.table.extend_from_slice(&(stored.len() as u64).to_le_bytes());
        self.table.extend_from_slice(&(plain_bytes as u64).to_le_bytes());
        self.table.extend_from_slice(&crc32c(stored).to_le_bytes());
        self.body.extend_from_slice(stored);
        self.sections += 1;
    }

    pub(super) fn finish(self) -> Bytes {
        let Self { mut body, table, sections } = self;
        body.extend_from_slice(&table);
        body.extend_from_slice(&sections.to_le_bytes());
        body.extend_from_slice(&crc32c(&table).to_le_bytes());
        body.extend_from_slice(&VERSION.to_le_bytes());
        body.extend_from_slice(MAGIC);
        body.into()
    }
}

/// The end of an object, which has the table of its sections, and perhaps some of them.
pub(super) struct IndexReader {
    /// Where in the object the end begins.
    from: u64,
    end: Bytes,
    table: Bytes,
}

/// Where a section lies, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub range: Range<u64>,
    pub plain_bytes: u64,
    flags: u32,
    crc: u32,
}

impl IndexReader {
    /// Takes the end of an object of so many bytes.
    ///
    /// # Errors
    /// When the table is not there, of another version, or its checksum is wrong.
    pub(super) fn open(end: Bytes, object_bytes: u64) -> Result<Self, Error> {
        let corrupt = |what| Error::Corrupt { part: "index", what };
        let from = object_bytes.checked_sub(end.len() as u64);
        let from = from.ok_or_else(|| corrupt("longer than the list of blocks says"))?;
        let tail_at =
            end.len().checked_sub(TAIL_BYTES).ok_or_else(|| corrupt("shorter than its tail"))?;
        let tail = &end[tail_at..];
        if &tail[12..] != MAGIC {
            return Err(corrupt("does not end in VIVX"));
        }
        if !(FIRST_VERSION..=VERSION).contains(&u32_at(tail, 8)) {
            return Err(corrupt("not of version 1 or 2"));
        }
        let table_bytes = (u32_at(tail, 0) as usize).checked_mul(ENTRY_BYTES);
        let table_at = table_bytes.and_then(|bytes| tail_at.checked_sub(bytes));
        let table_at = table_at.ok_or_else(|| corrupt("shorter than its table"))?;
        let table = end.slice(table_at..tail_at);
        if crc32c(&table) != u32_at(tail, 4) {
            return Err(corrupt("checksum of the table mismatches"));
        }
        Ok(Self { from, end, table })
    }

    /// Bytes of the whole object.
    pub(super) fn object_bytes(&self) -> u64 {
        self.from + self.end.len() as u64
    }

    /// Where a section is; `None` if there is none.
    ///
    /// # Errors
    /// When it lies outside the object, or is too large.
    pub(super) fn place(&self, section: Section) -> Result<Option<Placed>, Error> {
        self.rows()
            .find(|row| u32_at(row, 0) == section as u32)
            .map(|row| self.placed(row))
            .transpose()
    }

    /// All sections by their numbers, also those that we do not know.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, Result<Placed, Error>)> + '_ {
        self.rows().map(|row| (u32_at(row, 0), self.placed(row)))
    }

    fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.table.chunks_exact(ENTRY_BYTES)
    }

    fn placed(&self, entry: &[u8]) -> Result<Placed, Error> {
        let corrupt = |what| Error::Corrupt { part: "index", what };
        let (from, length) = (u64_at(entry, 8), u64_at(entry, 16));
        let end = from.checked_add(length).filter(|end| *end <= self.object_bytes());
        let end = end.ok_or_else(|| corrupt("a section lies outside"))?;
        let plain_bytes = u64_at(entry, 24);
        if plain_bytes.max(length) > SECTION_BYTES_MAX {
            return Err(corrupt("a section is larger than 1 GiB"));
        }
        let (flags, crc) = (u32_at(entry, 4), u32_at(entry, 32));
        Ok(Placed { range: from..end, plain_bytes, flags, crc })
    }

    /// Bytes of the object that were read with its end.
    pub(super) fn held(&self, range: &Range<u64>) -> Option<Bytes> {
        let place = |at: u64| at.checked_sub(self.from).and_then(|at| usize::try_from(at).ok());
        let (from, end) = (place(range.start)?, place(range.end)?);
        (from <= end && end <= self.end.len()).then(|| self.end.slice(from..end))
    }
}

impl Placed {
    pub(super) fn is_compressed(&self) -> bool {
        self.flags & FLAG_ZSTD != 0
    }

    /// CRC-32C of the stored bytes, as the table says.
    pub(super) fn crc32c(&self) -> u32 {
        self.crc
    }

    /// The plain bytes of the section.
    ///
    /// # Errors
    /// When its checksum is wrong, or it does not inflate.
    pub(super) fn plain(&self, stored: Bytes) -> Result<Bytes, Error> {
        let corrupt = |what| Error::Corrupt { part: "index", what };
        if crc32c(&stored) != self.crc {
            return Err(corrupt("checksum of a section mismatches"));
        }
        if !self.is_compressed() {
            return Ok(stored);
        }
        let bytes = usize::try_from(self.plain_bytes);
        let bytes = bytes.map_err(|_| corrupt("a section is larger than the address space"))?;
        Ok(zstd::bulk::decompress(&stored, bytes).map_err(Error::Zstd)?.into())
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> Bytes {
        let mut writer = IndexWriter::new();
        writer.add(Section::Directory, &[7; 4000]).unwrap();
        writer.add(Section::Shared, &[1, 2, 3]).unwrap();
        writer.finish()
    }

    fn section(reader: &IndexReader, section: Section) -> Result<Bytes, Error> {
        let Some(placed) = reader.place(section)? else { return Ok(Bytes::new()) };
        placed.plain(reader.held(&placed.range).unwrap())
    }

    fn open(object: Bytes) -> Result<IndexReader, Error> {
        let bytes = object.len() as u64;
        IndexReader::open(object, bytes)
    }

    #[test]
    fn sections_come_back() {
        let reader = open(object()).unwrap();
        assert_eq!(section(&reader, Section::Directory).unwrap(), vec![7; 4000]);
        assert_eq!(&section(&reader, Section::Shared).unwrap()[..], [1, 2, 3]);
        assert_eq!(section(&reader, Section::Zones).unwrap(), Bytes::new());
        assert!(object().len() < 300, "the first section is compressed");
    }

    #[test]
    fn of_the_end_alone_sections_are_placed() {
        let whole = object();
        let end = whole.slice(whole.len() - 100..);
        let reader = IndexReader::open(end, whole.len() as u64).unwrap();
        assert_eq!(&section(&reader, Section::Shared).unwrap()[..], [1, 2, 3]);
        let placed = reader.place(Section::Directory).unwrap().unwrap();
        assert_eq!(reader.held(&placed.range), None);
        let stored = open(whole.clone()).unwrap().held(&placed.range).unwrap();
        assert_eq!(placed.plain(stored).unwrap(), vec![7; 4000]);
        let (shorter, longer) = (whole.slice(whole.len() - 60..), whole.len() as u64 - 1);
        assert!(IndexReader::open(shorter, whole.len() as u64).is_err(), "the table is cut");
        assert!(IndexReader::open(whole, longer).is_err());
    }

    #[test]
    fn any_flipped_bit_is_noticed_or_harmless() {
        let good = object();
        for index in 4..good.len() {
            let mut bad = good.to_vec();
            bad[index] ^= 0x40;
            let Ok(reader) = open(bad.into()) else { continue };
            let read = [Section::Directory, Section::Shared].map(|wanted| section(&reader, wanted));
            assert!(read.iter().any(Result::is_err), "byte {index}");
        }
        assert!(open(Bytes::new()).is_err());
        assert!(open(good.slice(..good.len() - 1)).is_err());
    }
}
