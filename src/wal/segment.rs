//! The file of a segment: its name, its header, and its bytes read bit by bit.

use std::io;
use std::path::Path;

use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use uuid::Uuid;

use super::disk::Disk;

pub(super) const HEADER_BYTES: usize = 40;

const MAGIC: &[u8; 8] = b"VIVACWAL";
const VERSION: u16 = 1;

/// Bytes read from the disk at once.
const CHUNK_BYTES: usize = 1 << 20;

pub(super) fn file_name(number: u64) -> String {
    format!("{number:020}.wal")
}

/// The inverse of [`file_name`]; `None` for any other name.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".wal")?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

/// What the first bytes of a file say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    Valid {
        writer: Uuid,
        number: u64,
    },
    /// A header of a version that this program does not read.
    Version(u16),
    /// No header: torn by a crash before the first record, or damaged.
    None,
}

impl Header {
    pub(super) fn encode(writer: Uuid, number: u64) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..28].copy_from_slice(writer.as_bytes());
        bytes[28..36].copy_from_slice(&number.to_le_bytes());
        let crc = crc32c(&bytes[..36]);
        bytes[36..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Self {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else { return Self::None };
        let crc = u32::from_le_bytes(bytes[36..].try_into().expect("4 bytes"));
        if !bytes.starts_with(MAGIC) || crc != crc32c(&bytes[..36]) {
            return Self::None;
        }
        let version = u16::from_le_bytes(bytes[8..10].try_into().expect("2 bytes"));
        if version != VERSION {
            return Self::Version(version);
        }
        let writer = Uuid::from_bytes(bytes[12..28].try_into().expect("16 bytes"));
        let number = u64::from_le_bytes(bytes[28..36].try_into().expect("8 bytes"));
        Self::Valid { writer, number }
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let crc = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes);
    u32::try_from(crc).expect("a CRC of 32 bits")
}

/// A file read forward in chunks.
pub(super) struct Reader<'a> {
    disk: &'a dyn Disk,
    path: &'a Path,
    chunk: Bytes,
    chunk_at: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(disk: &'a dyn Disk, path: &'a Path) -> Self {
        Self { disk, path, chunk: Bytes::new(), chunk_at: 0 }
    }

    /// Goes on where `chunk`, read at `chunk_at`, was left.
    pub(super) fn resume(disk: &'a dyn Disk, path: &'a Path, chunk: Bytes, chunk_at: u64) -> Self {
        Self { disk, path, chunk, chunk_at }
    }

    pub(super) fn into_chunk(self) -> (Bytes, u64) {
        (self.chunk, self.chunk_at)
    }

    /// The bytes from `offset`, at most `length`, fewer only at the end of the file. They may share the chunk's memory.
    pub(super) fn read(&mut self, offset: u64, length: usize) -> io::Result<Bytes> {
        if let Some(bytes) = self.in_chunk(offset, length) {
            return Ok(bytes);
        }
        if length > CHUNK_BYTES / 2 {
            return self.disk.read(self.path, offset, length).map(Bytes::from);
        }
        self.chunk = self.disk.read(self.path, offset, CHUNK_BYTES)?.into();
        self.chunk_at = offset;
        Ok(self.chunk.slice(..length.min(self.chunk.len())))
    }

    fn in_chunk(&self, offset: u64, length: usize) -> Option<Bytes> {
        let start = usize::try_from(offset.checked_sub(self.chunk_at)?).ok()?;
        let end = start.checked_add(length)?;
        (end <= self.chunk.len()).then(|| self.chunk.slice(start..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_inverses() {
        assert_eq!(file_name(7), "00000000000000000007.wal");
        for number in [0, 7, u64::MAX] {
            assert_eq!(number_of(&file_name(number)), Some(number));
        }
        for bad in
            ["7.wal", "writer_id", "0000000000000000000+.wal", "00000000000000000007.wal.tmp"]
        {
            assert_eq!(number_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_header_comes_back_and_any_change_is_seen() {
        let (writer, number) = (Uuid::from_u128(5), 9);
        let bytes = Header::encode(writer, number);
        assert_eq!(Header::decode(&bytes), Header::Valid { writer, number });
        for at in 0..HEADER_BYTES {
            let mut changed = bytes;
            changed[at] ^= 1;
            assert_eq!(Header::decode(&changed), Header::None, "{at}");
            assert_eq!(Header::decode(&bytes[..at]), Header::None, "{at}");
        }
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut bytes = Header::encode(Uuid::nil(), 1);
        bytes[8] = 2;
        let crc = crc32c(&bytes[..36]);
        bytes[36..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Header::decode(&bytes), Header::Version(2));
    }
}
