//! Pages of a chunk, compressed, and what the file says of them.

use std::cell::RefCell;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::super::Error;
use super::super::header::{PageHeader, PageKind};
use super::values::Dictionary;

/// Higher ones take much longer, and pages are hardly smaller.
const ZSTD_LEVEL: i32 = 1;

/// A chunk of which zstd takes away less than one byte in so many is stored as it is.
const GAIN_MIN: usize = 64;

/// So is one of which it takes away fewer bytes a page: to make the tables of its codes costs a reader more than to read the bytes.
const PAGE_GAIN_MIN: usize = 80;

/// A thread keeps room for a compressed page up to this size.
const ROOM_BYTES_KEPT: usize = 4 * 1024 * 1024;

/// A column chunk, with what the file says of it; its offsets count from its first byte.
pub(in super::super) struct Encoded {
    pub bytes: Bytes,
    pub close: ColumnCloseResult,
}

/// The pages of a chunk in one encoding.
pub(super) struct Coded<'a> {
    /// The page that is being written, and those before it.
    pub plain: Vec<u8>,
    small: Vec<u8>,
    pages: Vec<Page>,
    dictionary: Option<&'a Dictionary>,
    small_dictionary: Vec<u8>,
    encoding: Encoding,
}

/// How much a page holds, and where it ends as it is and compressed.
struct Page {
    rows: usize,
    entries: usize,
    plain_end: usize,
    small_end: usize,
}

impl<'a> Coded<'a> {
    pub(super) fn new(dictionary: Option<&'a Dictionary>, otherwise: Encoding) -> Self {
        Self {
            plain: Vec::new(),
            small: Vec::new(),
            pages: Vec::new(),
            dictionary,
            small_dictionary: Vec::new(),
            encoding: dictionary.map_or(otherwise, |_| Encoding::RLE_DICTIONARY),
        }
    }

    pub(super) fn end_page(&mut self, rows: usize, entries: usize) -> Result<(), Error> {
        let Self { plain, small, pages, .. } = self;
        let start = pages.last().map_or(0, |page| page.plain_end);
        compress(&plain[start..], small)?;
        pages.push(Page { rows, entries, plain_end: plain.len(), small_end: small.len() });
        Ok(())
    }

    /// After the last page.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        self.dictionary.map_or(Ok(()), |d| compress(&d.page, &mut self.small_dictionary))
    }

    /// Stored without compression.
    fn is_plain(&self) -> bool {
        let plain =
            self.plain.len() + self.dictionary.map_or(0, |dictionary| dictionary.page.len());
        let gain = plain.saturating_sub(self.small.len() + self.small_dictionary.len());
        gain <= (plain / GAIN_MIN).max(self.pages.len() * PAGE_GAIN_MIN)
    }

    /// Bytes that it takes, without the pages' headers.
    pub(super) fn bytes(&self) -> usize {
        match self.dictionary {
            Some(dictionary) if self.is_plain() => self.plain.len() + dictionary.page.len(),
            None if self.is_plain() => self.plain.len(),
            _ => self.small.len() + self.small_dictionary.len(),
        }
    }

    /// The chunk of a column in some rows.
    pub(super) fn encoded(&self, column: &ColumnDescPtr, rows: usize) -> Result<Encoded, Error> {
        let is_plain = self.is_plain();
        let mut out = Pages::default();
        if let Some(dictionary) = self.dictionary {
            let kind = PageKind::Dictionary {
                values: count(dictionary.count),
                encoding: Encoding::PLAIN,
                sorted: false,
            };
            let stored = if is_plain { &dictionary.page } else { &self.small_dictionary };
            out.put(kind, stored, dictionary.page.len());
        }
        let first_data = signed(out.bytes.len());
        let mut index = OffsetIndexBuilder::new();
        let (mut plain_start, mut small_start, mut entries) = (0, 0, 0);
        for page in &self.pages {
            let kind = PageKind::Data {
                values: count(page.entries),
                encoding: self.encoding,
                definition: Encoding::RLE,
                repetition: Encoding::RLE,
            };
            let plain = &self.plain[plain_start..page.plain_end];
            let small = &self.small[small_start..page.small_end];
            (plain_start, small_start) = (page.plain_end, page.small_end);
            let at = signed(out.bytes.len());
            let length = out.put(kind, if is_plain { plain } else { small }, plain.len());
            index.append_offset_and_size(at, i32::try_from(length).expect("a page is small"));
            index.append_row_count(signed(page.rows));
            entries += page.entries;
        }
        let zstd = Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?);
        let mut encodings = vec![Encoding::RLE, self.encoding];
        encodings.extend(self.dictionary.map(|_| Encoding::PLAIN));
        let metadata = ColumnChunkMetaData::builder(ColumnDescPtr::clone(column))
            .set_encodings(encodings)
            .set_compression(if is_plain { Compression::UNCOMPRESSED } else { zstd })
            .set_num_values(signed(entries))
            .set_total_compressed_size(signed(out.bytes.len()))
            .set_total_uncompressed_size(signed(out.plain_bytes))
            .set_dictionary_page_offset(self.dictionary.map(|_| 0))
            .set_data_page_offset(first_data)
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: out.bytes.len() as u64,
            rows_written: rows as u64,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: Some(index.build()),
        };
        Ok(Encoded { bytes: out.bytes.into(), close })
    }
}

/// Pages behind their headers.
#[derive(Default)]
struct Pages {
    bytes: Vec<u8>,
    /// With all pages inflated.
    plain_bytes: usize,
}

impl Pages {
    /// Appends a page, and tells its length with the header.
    fn put(&mut self, kind: PageKind, stored: &[u8], plain_bytes: usize) -> usize {
        let header = PageHeader { header_bytes: 0, stored_bytes: stored.len(), plain_bytes, kind };
        let start = self.bytes.len();
        header.write(&mut self.bytes);
        self.plain_bytes += self.bytes.len() - start + plain_bytes;
        self.bytes.extend_from_slice(stored);
        self.bytes.len() - start
    }
}

/// Appends `plain`, compressed.
pub(super) fn compress(plain: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    type Kept = Option<(Compressor<'static>, Vec<u8>)>;
    thread_local! {
        static COMPRESSOR: RefCell<Kept> = const { RefCell::new(None) };
    }
    COMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Some((Compressor::new(ZSTD_LEVEL).map_err(Error::Zstd)?, Vec::new()));
        }
        let (compressor, room) = kept.as_mut().expect("it has been made above");
        room.clear();
        room.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        compressor.compress_to_buffer(plain, room).map_err(Error::Zstd)?;
        out.extend_from_slice(room);
        if room.capacity() > ROOM_BYTES_KEPT {
            *room = Vec::new();
        }
        Ok(())
    })
}

fn count(count: usize) -> u32 {
    u32::try_from(count).expect("a page is small")
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).expect("a block is in memory")
}
