//! What an index knows of each key, one entry for each: a reader takes the entries that a question is about.
//!
//! The section `EntryTable` has a row {number u32, offset u32, stored bytes u32, plain bytes u32, CRC-32C of the stored bytes u32} for each
//! entry, by number, little endian; offsets are into the section `Entries`. An entry is a zstd frame if the plain bytes are another number
//! than the stored ones. The numbers say what an entry is: see [`EntryNumber`].

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};

use super::Error;
use super::bloom::crc32c;

const ROW_BYTES: usize = 20;

/// zstd's: entries are small.
const LEVEL: i32 = 9;

/// Largest entry after inflating.
const PLAIN_BYTES_MAX: u32 = 256 << 20;

/// Which entry. The numbers are the format's; they ascend so that what queries look at lies together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EntryNumber(u32);

impl EntryNumber {
    /// The zones of a key, by its number in the catalog: at most `KEYS_MAX`.
    pub(super) const fn key_zones(key: u32) -> Self {
        Self(key)
    }

    /// The zones of span names.
    pub(super) const NAME_ZONES: Self = Self(1 << 20);

    /// Whether it is an entry of counts; the others are of zones.
    pub(super) const fn is_counts(self) -> bool {
        self.0 >= 1 << 21
    }

    /// The counts of a subject, by its own number.
    pub(super) const fn counts(subject: u32) -> Self {
        Self((1 << 21) + subject)
    }
}

/// Builds the two sections.
pub(super) struct EntryWriter {
    compressor: Compressor<'static>,
    entries: Vec<(EntryNumber, Vec<u8>, usize)>,
}

impl EntryWriter {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self { compressor: Compressor::new(LEVEL).map_err(Error::Zstd)?, entries: Vec::new() })
    }

    /// Adds an entry, of which there is none yet of the same number.
    pub(super) fn add(&mut self, number: EntryNumber, plain: Vec<u8>) -> Result<(), Error> {
        let packed = self.compressor.compress(&plain).map_err(Error::Zstd)?;
        let plain_bytes = plain.len();
        let stored = if packed.len() < plain_bytes { packed } else { plain };
        self.entries.push((number, stored, plain_bytes));
        Ok(())
    }

    /// The table and the entries.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<u8>) {
        self.entries.sort_by_key(|(number, ..)| *number);
        let (mut table, mut body) = (Vec::new(), Vec::new());
        for (number, stored, plain_bytes) in self.entries {
            let fields = [
                number.0,
                narrow(body.len()),
                narrow(stored.len()),
                narrow(plain_bytes),
                crc32c(&stored),
            ];
            for field in fields {
                table.extend_from_slice(&field.to_le_bytes());
            }
            body.extend_from_slice(&stored);
        }
        (table, body)
    }
}

fn narrow(value: usize) -> u32 {
    u32::try_from(value).expect("entries have less than 4 GiB")
}

/// Where an entry lies in the section `Entries`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub offset: u32,
    pub stored_bytes: u32,
    plain_bytes: u32,
    crc: u32,
}

/// Finds an entry in a table.
pub(super) fn find(table: &[u8], number: EntryNumber) -> Option<Entry> {
    let (rows, _) = table.as_chunks::<ROW_BYTES>();
    let found = rows.binary_search_by_key(&number.0, |row| field(row, 0)).ok()?;
    Some(entry(&rows[found]))
}

/// All entries of a table.
pub(super) fn all(table: &[u8]) -> impl Iterator<Item = (EntryNumber, Entry)> {
    let (rows, _) = table.as_chunks::<ROW_BYTES>();
    rows.iter().map(|row| (EntryNumber(field(row, 0)), entry(row)))
}

fn field(row: &[u8; ROW_BYTES], index: usize) -> u32 {
    let (fields, _) = row.as_chunks::<4>();
    u32::from_le_bytes(fields[index])
}

fn entry(row: &[u8; ROW_BYTES]) -> Entry {
    let [offset, stored_bytes, plain_bytes, crc] = [1, 2, 3, 4].map(|index| field(row, index));
    Entry { offset, stored_bytes, plain_bytes, crc }
}

impl Entry {
    /// The plain bytes.
    ///
    /// # Errors
    /// When the checksum is wrong, or it does not inflate.
    pub(super) fn plain(&self, stored: &Bytes) -> Result<Bytes, Error> {
        let corrupt = |what| Error::Corrupt { part: "index, entries", what };
        if stored.len() != self.stored_bytes as usize || crc32c(stored) != self.crc {
            return Err(corrupt("checksum of an entry mismatches"));
        }
        if self.plain_bytes == self.stored_bytes {
            return Ok(stored.clone());
        }
        if self.plain_bytes > PLAIN_BYTES_MAX {
            return Err(corrupt("an entry is larger than 256 MiB"));
        }
        let mut inflater = Decompressor::new().map_err(Error::Zstd)?;
        let plain = inflater.decompress(stored, self.plain_bytes as usize);
        Ok(plain.map_err(Error::Zstd)?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> (Vec<u8>, Vec<u8>) {
        let mut writer = EntryWriter::new().unwrap();
        writer.add(EntryNumber::counts(3), vec![7; 500]).unwrap();
        writer.add(EntryNumber::key_zones(9), vec![1, 2, 3]).unwrap();
        writer.finish()
    }

    fn read(table: &[u8], body: &[u8], number: EntryNumber) -> Option<Result<Bytes, Error>> {
        let entry = find(table, number)?;
        let from = entry.offset as usize;
        let stored = body.get(from..from + entry.stored_bytes as usize)?;
        Some(entry.plain(&Bytes::copy_from_slice(stored)))
    }

    #[test]
    fn entries_come_back() {
        let (table, body) = written();
        let read = |number| read(&table, &body, number).map(Result::unwrap);
        assert_eq!(read(EntryNumber::counts(3)).unwrap(), vec![7; 500]);
        assert_eq!(&read(EntryNumber::key_zones(9)).unwrap()[..], [1, 2, 3]);
        assert_eq!(read(EntryNumber::key_zones(3)), None);
        assert_eq!(read(EntryNumber::NAME_ZONES), None);
        assert_eq!(find(&table, EntryNumber::key_zones(9)).unwrap().offset, 0, "zones come first");
    }

    #[test]
    fn damage_of_an_entry_is_noticed() {
        let (table, good) = written();
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 1;
            let all = [EntryNumber::counts(3), EntryNumber::key_zones(9)];
            let read = all.map(|number| read(&table, &bad, number).unwrap());
            assert_eq!(read.iter().filter(|read| read.is_err()).count(), 1, "byte {index}");
        }
    }
}
