//! The `index` object: a file of sections.
//!
//! `VIVX`, then the sections one after the other, then the table: per section {kind u32, flags u32, offset u64, stored bytes u64, plain bytes u64,
//! CRC-32C of the stored bytes u32}, then the tail {number of sections u32, CRC-32C of the table u32, version u32, `VIVX`}. All little endian.
//! Flag 1 says that the section is a zstd frame. Readers skip kinds that they do not know.

use bytes::Bytes;

use super::Error;
use super::bloom::crc32c;

const MAGIC: &[u8; 4] = b"VIVX";
const VERSION: u32 = 1;
const ENTRY_BYTES: usize = 36;
const TAIL_BYTES: usize = 16;
const FLAG_ZSTD: u32 = 1;

/// zstd's: sections are small, and read often.
const SECTION_LEVEL: i32 = 6;

/// Largest section after inflating: a directory of 64 million traces.
const SECTION_BYTES_MAX: u64 = 1 << 30;

/// What a section holds. The numbers are the format's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// How often each value comes: see `values.rs`.
    Values = 9,
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

/// The sections of an object that was read whole.
pub(super) struct IndexReader {
    object: Bytes,
    table: Bytes,
}

impl IndexReader {
    /// # Errors
    /// When the table is not there, of another version, or its checksum is wrong.
    pub(super) fn open(object: Bytes) -> Result<Self, Error> {
        let corrupt = |what| Error::Corrupt { part: "index", what };
        let tail_at =
            object.len().checked_sub(TAIL_BYTES).ok_or_else(|| corrupt("shorter than its tail"))?;
        let tail = &object[tail_at..];
        if &tail[12..] != MAGIC {
            return Err(corrupt("does not end in VIVX"));
        }
        if u32_at(tail, 8) != VERSION {
            return Err(corrupt("not of version 1"));
        }
        let table_bytes = u32_at(tail, 0) as usize * ENTRY_BYTES;
        let table_at =
            tail_at.checked_sub(table_bytes).ok_or_else(|| corrupt("shorter than its table"))?;
        let table = object.slice(table_at..tail_at);
        if crc32c(&table) != u32_at(tail, 4) {
            return Err(corrupt("checksum of the table mismatches"));
        }
        Ok(Self { object, table })
    }

    /// The plain bytes of a section; empty if there is none.
    ///
    /// # Errors
    /// When it lies outside the object, its checksum is wrong, or it does not inflate.
    pub(super) fn section(&self, section: Section) -> Result<Bytes, Error> {
        let corrupt = |what| Error::Corrupt { part: "index", what };
        let entry =
            self.table.chunks_exact(ENTRY_BYTES).find(|entry| u32_at(entry, 0) == section as u32);
        let Some(entry) = entry else { return Ok(Bytes::new()) };
        let (from, length) = (u64_at(entry, 8), u64_at(entry, 16));
        let range = from.checked_add(length).filter(|end| *end <= self.object.len() as u64);
        let end = range.ok_or_else(|| corrupt("a section lies outside"))?;
        let place = |at: u64| usize::try_from(at).map_err(|_| corrupt("a section lies outside"));
        let stored = self.object.slice(place(from)?..place(end)?);
        if crc32c(&stored) != u32_at(entry, 32) {
            return Err(corrupt("checksum of a section mismatches"));
        }
        if u32_at(entry, 4) & FLAG_ZSTD == 0 {
            return Ok(stored);
        }
        let plain = u64_at(entry, 24);
        if plain > SECTION_BYTES_MAX {
            return Err(corrupt("a section is larger than 1 GiB"));
        }
        let plain = zstd::bulk::decompress(&stored, place(plain)?).map_err(Error::Zstd)?;
        Ok(plain.into())
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

    #[test]
    fn sections_come_back() {
        let reader = IndexReader::open(object()).unwrap();
        assert_eq!(reader.section(Section::Directory).unwrap(), vec![7; 4000]);
        assert_eq!(&reader.section(Section::Shared).unwrap()[..], [1, 2, 3]);
        assert_eq!(reader.section(Section::Zones).unwrap(), Bytes::new());
        assert!(object().len() < 300, "the first section is compressed");
    }

    #[test]
    fn any_flipped_bit_is_noticed_or_harmless() {
        let good = object();
        for index in 4..good.len() {
            let mut bad = good.to_vec();
            bad[index] ^= 0x40;
            let Ok(reader) = IndexReader::open(bad.into()) else { continue };
            let read = [Section::Directory, Section::Shared].map(|s| reader.section(s));
            assert!(read.iter().any(Result::is_err), "byte {index}");
        }
        assert!(IndexReader::open(Bytes::new()).is_err());
        assert!(IndexReader::open(good.slice(..good.len() - 1)).is_err());
    }
}
