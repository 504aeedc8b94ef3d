//! A pack's bytes: written, and read page by page.

use std::ops::Range;

use bytes::Bytes;
use uuid::Uuid;

use crate::block::crc32c;

const MAGIC: &[u8; 8] = b"VIVATRCE";
const VERSION: u32 = 1;
pub(super) const TAIL_BYTES: usize = 32;
const PAGE_INFO_BYTES: usize = 28;
const ID_BYTES: usize = 16;

/// Entries of a page, unless one trace alone is in more blocks: about 60 KB, a cheap GET.
const PAGE_ENTRIES: usize = 8192;

/// A trace of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) key: u64,
    /// The block's place in the pack's list.
    pub(super) block: u32,
}

/// The key of a trace by the fold of its id: spread over all its bits, whatever ids look like.
pub(super) fn key_of(fold: u64) -> u64 {
    fold.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

/// Where a page is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PageInfo {
    pub(super) first_key: u64,
    pub(super) bytes: Range<u64>,
    pub(super) entries: u32,
    crc32c: u32,
}

/// What is in a pack and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) blocks: Vec<Uuid>,
    pub(super) pages: Vec<PageInfo>,
    pub(super) entries: u64,
}

/// A page decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
}

/// Writes a pack of entries that ascend.
#[derive(Default)]
pub(super) struct PackWriter {
    body: Vec<u8>,
    pages: Vec<PageInfo>,
    open: Vec<Entry>,
    entries: u64,
}

impl PackWriter {
    pub(super) fn add(&mut self, entry: Entry) {
        if let Some(last) = self.open.last() {
            if *last == entry {
                return;
            }
            assert!(*last < entry, "entries ascend");
            if self.open.len() >= PAGE_ENTRIES && last.key != entry.key {
                self.close_page();
            }
        }
        self.open.push(entry);
        self.entries += 1;
    }

    fn close_page(&mut self) {
        let Some(first) = self.open.first() else { return };
        let (first_key, start) = (first.key, self.body.len());
        let mut before = first_key;
        for Entry { key, block } in &self.open {
            put_number(&mut self.body, key - before);
            put_number(&mut self.body, u64::from(*block));
            before = *key;
        }
        self.pages.push(PageInfo {
            first_key,
            bytes: start as u64..self.body.len() as u64,
            entries: u32::try_from(self.open.len()).expect("a page has some thousand entries"),
            crc32c: crc32c(&self.body[start..]),
        });
        self.open.clear();
    }

    pub(super) fn finish(mut self, blocks: &[Uuid]) -> (Bytes, Directory) {
        self.close_page();
        let Self { mut body, pages, open: _, entries } = self;
        let directory_at = body.len();
        for id in blocks {
            body.extend_from_slice(id.as_bytes());
        }
        for PageInfo { first_key, bytes, entries, crc32c } in &pages {
            let length = u32::try_from(bytes.end - bytes.start).expect("a page has some KiB");
            body.extend_from_slice(&first_key.to_le_bytes());
            body.extend_from_slice(&bytes.start.to_le_bytes());
            body.extend_from_slice(&length.to_le_bytes());
            body.extend_from_slice(&entries.to_le_bytes());
            body.extend_from_slice(&crc32c.to_le_bytes());
        }
        let count = |count: usize| u32::try_from(count).expect("counted in 32 bits").to_le_bytes();
        body.extend_from_slice(&count(blocks.len()));
        body.extend_from_slice(&count(pages.len()));
        body.extend_from_slice(&entries.to_le_bytes());
        let crc = crc32c(&body[directory_at..]);
        body.extend_from_slice(&crc.to_le_bytes());
        body.extend_from_slice(&VERSION.to_le_bytes());
        body.extend_from_slice(MAGIC);
        (body.into(), Directory { blocks: blocks.to_vec(), pages, entries })
    }
}

/// How many bytes at the end of an object, whose last bytes are given, are its directory and tail.
pub(super) fn directory_bytes(end: &[u8]) -> Result<u64, &'static str> {
    let tail = end.last_chunk::<TAIL_BYTES>().ok_or("shorter than its tail")?;
    if &tail[24..] != MAGIC {
        return Err("does not end in VIVATRCE");
    }
    if u32_at(tail, 20) != VERSION {
        return Err("not of version 1");
    }
    let (blocks, pages) = (u64::from(u32_at(tail, 0)), u64::from(u32_at(tail, 4)));
    Ok(blocks * ID_BYTES as u64 + pages * PAGE_INFO_BYTES as u64 + TAIL_BYTES as u64)
}

impl Directory {
    /// From the last bytes of an object, at least [`directory_bytes`] of them.
    pub(super) fn decode(end: &[u8], object_bytes: u64) -> Result<Self, &'static str> {
        let wanted = usize::try_from(directory_bytes(end)?).map_err(|_| "a huge directory")?;
        let at = end.len().checked_sub(wanted).ok_or("shorter than its directory")?;
        let (directory, tail) = end[at..].split_at(wanted - TAIL_BYTES);
        if crc32c(&end[at..end.len() - TAIL_BYTES + 16]) != u32_at(tail, 16) {
            return Err("checksum of the directory mismatches");
        }
        let blocks = u32_at(tail, 0) as usize;
        let (ids, infos) = directory.split_at(blocks * ID_BYTES);
        let ids = ids.as_chunks::<ID_BYTES>().0;
        let pages = infos.chunks_exact(PAGE_INFO_BYTES).map(|info| {
            let (start, length) = (u64_at(info, 8), u64::from(u32_at(info, 16)));
            let end = start.checked_add(length).filter(|end| *end <= object_bytes);
            Ok(PageInfo {
                first_key: u64_at(info, 0),
                bytes: start..end.ok_or("a page lies outside")?,
                entries: u32_at(info, 20),
                crc32c: u32_at(info, 24),
            })
        });
        let pages = pages.collect::<Result<Vec<_>, &'static str>>()?;
        if !pages.is_sorted_by(|a, b| a.first_key < b.first_key) {
            return Err("pages are out of order");
        }
        let blocks = ids.iter().map(|id| Uuid::from_bytes(*id)).collect();
        Ok(Self { blocks, pages, entries: u64_at(tail, 8) })
    }

    /// The page that has the entries of a key, if any has.
    pub(super) fn page_of(&self, key: u64) -> Option<usize> {
        self.pages.partition_point(|page| page.first_key <= key).checked_sub(1)
    }
}

impl PageInfo {
    /// The page, from its bytes.
    pub(super) fn decode(&self, bytes: &[u8], blocks: usize) -> Result<Page, &'static str> {
        if crc32c(bytes) != self.crc32c {
            return Err("checksum of a page mismatches");
        }
        // At least two bytes each.
        let room = (self.entries as usize).min(bytes.len() / 2);
        let (mut entries, mut rest, mut key) = (Vec::with_capacity(room), bytes, self.first_key);
        while !rest.is_empty() {
            let damaged = "a number in a page is damaged";
            key = key.checked_add(number(&mut rest).ok_or(damaged)?).ok_or(damaged)?;
            let block = number(&mut rest).filter(|block| *block < blocks as u64).ok_or(damaged)?;
            entries.push(Entry { key, block: u32::try_from(block).map_err(|_| damaged)? });
        }
        Ok(Page { entries })
    }
}

impl Page {
    /// Blocks that have a trace of this key.
    pub(super) fn blocks_of(&self, key: u64) -> impl Iterator<Item = u32> + '_ {
        let first = self.entries.partition_point(|entry| entry.key < key);
        let same = self.entries[first..].iter().take_while(move |entry| entry.key == key);
        same.map(|entry| entry.block)
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        (self.entries.capacity() * size_of::<Entry>() + 64) as u64
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// The next number; `None` if there is none, or it is of more than 64 bits.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: u128) -> Vec<Uuid> {
        (0..count).map(Uuid::from_u128).collect()
    }

    fn pack(entries: u64, blocks: &[Uuid]) -> (Bytes, Directory) {
        let mut writer = PackWriter::default();
        for n in 0..entries {
            let block = u32::try_from(n % blocks.len() as u64).unwrap();
            // Of every hundredth trace a second block has a part.
            writer.add(Entry { key: n / 100 * 101 * 977 + n % 100, block });
            if n % 100 == 99 {
                writer.add(Entry { key: n / 100 * 101 * 977 + n % 100, block: block + 1 });
            }
        }
        writer.finish(blocks)
    }

    #[test]
    fn what_was_added_is_found_in_the_page_that_the_directory_names() {
        let blocks = ids(500);
        let (object, written) = pack(20_000, &blocks[..499]);
        let directory = Directory::decode(&object, object.len() as u64).unwrap();
        assert_eq!(directory, written);
        assert_eq!((directory.pages.len(), directory.entries), (3, 20_200));
        let blocks_of = |key: u64| -> Vec<u32> {
            let Some(page) = directory.page_of(key) else { return Vec::new() };
            let info = &directory.pages[page];
            let at = |at: u64| usize::try_from(at).unwrap();
            let bytes = &object[at(info.bytes.start)..at(info.bytes.end)];
            info.decode(bytes, 500).unwrap().blocks_of(key).collect()
        };
        assert_eq!(blocks_of(0), [0]);
        assert_eq!(blocks_of(99), [99, 100]);
        assert!(blocks_of(100).is_empty());
        assert_eq!(blocks_of(199 * 101 * 977 + 98), [19_998 % 499]);
    }

    #[test]
    fn equal_keys_stay_in_one_page() {
        let mut writer = PackWriter::default();
        (0..20_000).for_each(|block| writer.add(Entry { key: 7, block }));
        writer.add(Entry { key: 8, block: 0 });
        writer.add(Entry { key: 8, block: 0 });
        let (_, directory) = writer.finish(&ids(20_000));
        assert_eq!(
            directory.pages.iter().map(|page| page.entries).collect::<Vec<_>>(),
            [20_000, 1]
        );
        assert_eq!((directory.page_of(7), directory.page_of(8)), (Some(0), Some(1)));
        assert_eq!((directory.page_of(6), directory.entries), (None, 20_001));
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let (object, directory) = pack(60, &ids(3));
        let pages = usize::try_from(directory.pages[0].bytes.end).unwrap();
        for at in 0..object.len() {
            let mut bad = object.to_vec();
            bad[at] ^= 4;
            let decoded = Directory::decode(&bad, bad.len() as u64);
            if at < pages {
                let page = &decoded.unwrap().pages[0];
                assert!(page.decode(&bad[..pages], 3).is_err(), "{at}");
            } else {
                assert!(decoded.is_err(), "{at}");
            }
            assert!(Directory::decode(&object[..at], at as u64).is_err(), "{at}");
        }
    }

    #[test]
    fn numbers_of_up_to_64_bits_come_back() {
        for wanted in [0, 1, 127, 128, 1 << 48, u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, wanted);
            assert_eq!(number(&mut &bytes[..]), Some(wanted));
            assert_eq!(number(&mut &bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(number(&mut &[0xff; 11][..]), None);
    }

    #[test]
    fn the_bytes_never_change() {
        // They are in buckets: a new layout is a new version.
        assert_eq!(crc32c(&pack(60, &ids(3)).0), 0x91b3_f532);
        assert_eq!(key_of(0x0123_4567_89ab_cdef), 0x0c93_a7b7_9aed);
    }
}
