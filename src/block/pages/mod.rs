//! Fetched pages, handed to the Parquet crate's column decoders one by one.
//!
//! The crate's own page readers make a zstd context of some 100 KiB for each column chunk; here each thread keeps one. Pages are inflated
//! when they are asked for, and a dictionary only when a page asks for its entries.

mod reader;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use parquet::basic::Encoding;
use parquet::column::page::Page;
use parquet::file::metadata::ParquetMetaData;
use zstd::bulk::Decompressor;

use super::Error;
use super::header::{PageHeader, PageKind, varint};
use super::levels::{LevelsMax, Places};
use super::plan::{ChunkPlan, GroupPlan, PagePlan};

/// Most bytes of a page after inflating. The writer ends a page at 1 MiB, but one of its values may be as large as a request.
const PAGE_BYTES_MAX: usize = 1 << 30;

/// What zstd can make of a byte at most: a block of 128 KiB takes 4 bytes.
const INFLATION_MAX: usize = 1 << 15;

/// Most values of a page, nulls and the values of repeated columns included: their levels take 2 bytes each.
const PAGE_VALUES_MAX: u32 = 1 << 26;

/// A chunk with more wanted pages than this is not looked through before it is decoded: all of its pages would be in memory at once.
const LOOKED_THROUGH_MAX: usize = 4;

/// The pages of a row group, as far as they were fetched.
#[derive(Debug)]
pub(super) struct Pages {
    metadata: Arc<ParquetMetaData>,
    group: usize,
    chunks: BTreeMap<usize, Chunk>,
    failure: Failure,
}

/// The first error of a page. The crate's readers pass on no more than its text.
pub(super) type Failure = Arc<Mutex<Option<Error>>>;

/// The pages of one column of a row group.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    zstd: bool,
    levels: LevelsMax,
    dictionary: Dictionary,
    pages: Arc<[Slot]>,
}

#[derive(Debug, Clone)]
enum Dictionary {
    Missing,
    Stored(Bytes),
}

/// A page and its rows.
#[derive(Debug)]
pub(super) struct Slot {
    first_row: usize,
    rows: usize,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Missing,
    Stored(Bytes),
    Plain(DataPage),
}

/// A data page, inflated.
#[derive(Debug, Clone)]
struct DataPage {
    bytes: Bytes,
    values: u32,
    encoding: Encoding,
    definition: Encoding,
    repetition: Encoding,
}

impl Pages {
    /// The pages of a plan, with the parts that were fetched for it.
    pub(super) fn of(
        metadata: &Arc<ParquetMetaData>,
        plan: &GroupPlan,
        parts: &mut impl Iterator<Item = Bytes>,
    ) -> Self {
        let schema = metadata.file_metadata().schema_descr();
        let chunk = |plan: &ChunkPlan| {
            let column = schema.column(plan.column);
            let levels = LevelsMax {
                repetition: column.max_rep_level().unsigned_abs(),
                definition: column.max_def_level().unsigned_abs(),
            };
            (plan.column, Chunk::of(plan, levels, parts))
        };
        let chunks = plan.chunks.iter().map(chunk).collect();
        let failure = Failure::default();
        Self { metadata: Arc::clone(metadata), group: plan.group, chunks, failure }
    }

    /// The pages of a column that was planned.
    pub(super) fn chunk(&self, column: usize) -> Result<&Chunk, Error> {
        self.chunks.get(&column).ok_or_else(|| damaged("a column was not fetched"))
    }

    /// Where the error of a damaged page is found after the crate's readers have failed.
    pub(super) fn failure(&self) -> Failure {
        Arc::clone(&self.failure)
    }

    /// Those of some columns in which none of the selected rows has a value, as far as that is cheap to tell.
    ///
    /// # Errors
    /// When a page is damaged.
    pub(super) fn without_values(
        &mut self,
        columns: &[usize],
        selected: &[Range<usize>],
    ) -> Result<BTreeSet<usize>, Error> {
        let mut without = BTreeSet::new();
        let mut places = Places::default();
        for (column, chunk) in &mut self.chunks {
            if columns.contains(column)
                && chunk.levels.definition > 0
                && !chunk.may_have_values(selected, &mut places)?
            {
                without.insert(*column);
            }
        }
        Ok(without)
    }
}

impl Chunk {
    fn of(plan: &ChunkPlan, levels: LevelsMax, parts: &mut impl Iterator<Item = Bytes>) -> Self {
        let mut part = || parts.next().expect("as many parts are fetched as are asked for");
        let dictionary = match plan.dictionary {
            Some(_) => Dictionary::Stored(part()),
            None => Dictionary::Missing,
        };
        let slot = |page: &PagePlan| Slot {
            first_row: page.first_row,
            rows: page.rows,
            data: page.bytes.as_ref().map_or(Data::Missing, |_| Data::Stored(part())),
        };
        let pages = plan.pages.iter().map(slot).collect();
        Self { zstd: plan.zstd, levels, dictionary, pages }
    }

    /// Whether one of the selected rows may have a value. Keeps the pages that it inflates.
    fn may_have_values(
        &mut self,
        selected: &[Range<usize>],
        places: &mut Places,
    ) -> Result<bool, Error> {
        let stored = |slot: &&Slot| !matches!(slot.data, Data::Missing);
        if self.pages.iter().filter(stored).count() > LOOKED_THROUGH_MAX {
            return Ok(true);
        }
        let (zstd, levels) = (self.zstd, self.levels);
        let slots = Arc::get_mut(&mut self.pages).expect("no reader has been made");
        for slot in slots {
            let Data::Stored(bytes) = &slot.data else { continue };
            let page = DataPage::inflate(bytes, zstd, levels)?;
            let rows = slot.first_row..slot.first_row + slot.rows;
            let wanted: Vec<_> = selected
                .iter()
                .map(|range| range.start.max(rows.start)..range.end.min(rows.end))
                .filter(|range| range.start < range.end)
                .map(|range| range.start - rows.start..range.end - rows.start)
                .collect();
            let found = levels.has_value(&page.bytes, page.values as usize, &wanted, places);
            slot.data = Data::Plain(page);
            if found.ok_or_else(cut_short)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A data page of a column that is not repeated, inflated.
pub(super) struct FlatPage<'a> {
    /// Levels, if it can lack values, and values.
    pub bytes: &'a [u8],
    pub encoding: Encoding,
}

/// For [`super::flat`].
impl Chunk {
    pub(super) fn is_optional(&self) -> bool {
        self.levels.definition > 0
    }

    pub(super) fn rows(&self) -> usize {
        self.pages.last().map_or(0, |slot| slot.first_row + slot.rows)
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.pages
    }

    /// One of the pages; `room` is where it is inflated.
    pub(super) fn page<'a>(
        &'a self,
        slot: &'a Slot,
        room: &'a mut Vec<u8>,
    ) -> Result<FlatPage<'a>, Error> {
        let (page, values) = self.list_page(slot, room)?;
        if values != slot.rows {
            return Err(damaged("a page has more or fewer values than the index says"));
        }
        Ok(page)
    }

    /// As [`Chunk::page`], of a repeated column, and how many levels it has.
    pub(super) fn list_page<'a>(
        &'a self,
        slot: &'a Slot,
        room: &'a mut Vec<u8>,
    ) -> Result<(FlatPage<'a>, usize), Error> {
        let Data::Stored(stored) = &slot.data else {
            return Err(damaged("a page was not fetched"));
        };
        let (kind, bytes) = inflate_into(stored, self.zstd, room)?;
        let PageKind::Data { values, encoding, .. } = kind else {
            return Err(damaged("a page is no data page"));
        };
        if values > PAGE_VALUES_MAX {
            return Err(damaged("a page has more values than its header says"));
        }
        Ok((FlatPage { bytes, encoding }, values as usize))
    }

    /// The dictionary's page, and how many entries it has.
    pub(super) fn dictionary(&self) -> Result<(Vec<u8>, usize), Error> {
        let Dictionary::Stored(stored) = &self.dictionary else {
            return Err(damaged("a dictionary is missing"));
        };
        let mut page = Vec::new();
        let (kind, plain) = inflate_into(stored, self.zstd, &mut page)?;
        let PageKind::Dictionary { values, encoding, .. } = kind else {
            return Err(damaged("a page is no dictionary"));
        };
        if ![Encoding::PLAIN, Encoding::PLAIN_DICTIONARY].contains(&encoding)
            || values as usize > plain.len()
        {
            return Err(damaged("a dictionary has fewer entries than its header says"));
        }
        let page = if self.zstd { page } else { plain.to_vec() };
        Ok((page, values as usize))
    }
}

impl Slot {
    pub(super) fn rows(&self) -> Range<usize> {
        self.first_row..self.first_row + self.rows
    }
}

impl DataPage {
    fn inflate(stored: &Bytes, zstd: bool, levels: LevelsMax) -> Result<Self, Error> {
        let (kind, bytes) = inflate(stored, zstd)?;
        let PageKind::Data { values, encoding, definition, repetition } = kind else {
            return Err(damaged("a page is no data page"));
        };
        let page = Self { bytes, values, encoding, definition, repetition };
        if values > PAGE_VALUES_MAX || !page.counts_agree(levels) {
            return Err(damaged("a page has more values than its header says"));
        }
        // The crate's decoders never end where levels do not suffice.
        if levels.are_whole(&page.bytes, values as usize) { Ok(page) } else { Err(cut_short()) }
    }

    /// Values that are told as differences begin with {block size, blocks, count}, and the decoders trust the count.
    fn counts_agree(&self, levels: LevelsMax) -> bool {
        let differences = [Encoding::DELTA_BINARY_PACKED, Encoding::DELTA_LENGTH_BYTE_ARRAY];
        if !differences.contains(&self.encoding) {
            return true;
        }
        match levels.values_of(&self.bytes) {
            None => false,
            Some([]) => true,
            Some(values) => {
                let count = || {
                    let (_, rest) = varint(values)?;
                    let (_, rest) = varint(rest)?;
                    varint(rest)
                };
                count().is_some_and(|(count, _)| count <= u64::from(self.values))
            }
        }
    }

    fn page(&self) -> Page {
        Page::DataPage {
            buf: self.bytes.clone(),
            num_values: self.values,
            encoding: self.encoding,
            def_level_encoding: self.definition,
            rep_level_encoding: self.repetition,
            statistics: None,
        }
    }
}

/// What the header says, and the page after it.
fn inflate(stored: &Bytes, zstd: bool) -> Result<(PageKind, Bytes), Error> {
    let mut room = Vec::new();
    let (kind, plain) = inflate_into(stored, zstd, &mut room)?;
    let plain = if zstd { room.into() } else { stored.slice_ref(plain) };
    Ok((kind, plain))
}

/// As [`inflate`]; where it is compressed the page is in `room`.
fn inflate_into<'a>(
    stored: &'a Bytes,
    zstd: bool,
    room: &'a mut Vec<u8>,
) -> Result<(PageKind, &'a [u8]), Error> {
    thread_local! {
        static INFLATER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    let header = PageHeader::read(stored).ok_or_else(|| damaged("a page has no header"))?;
    let PageHeader { header_bytes, stored_bytes, plain_bytes, kind } = header;
    let body = &stored[header_bytes..];
    if body.len() != stored_bytes {
        return Err(damaged("a page is not as long as the index says"));
    }
    if !zstd {
        return Ok((kind, body));
    }
    if plain_bytes > PAGE_BYTES_MAX.min(stored_bytes.saturating_mul(INFLATION_MAX)) {
        return Err(damaged("a page is larger than it can be"));
    }
    room.clear();
    room.reserve(plain_bytes);
    let found = INFLATER.with_borrow_mut(|inflater| -> std::io::Result<usize> {
        if inflater.is_none() {
            *inflater = Some(Decompressor::new()?);
        }
        let inflater = inflater.as_mut().expect("it has been made above");
        inflater.decompress_to_buffer(body, room)
    });
    let found = found.map_err(|_| damaged("a page does not inflate"))?;
    if found != plain_bytes {
        return Err(damaged("a page is shorter than its header says"));
    }
    Ok((kind, room))
}

fn cut_short() -> Error {
    damaged("the levels of a page are cut short")
}

pub(super) fn damaged(what: &'static str) -> Error {
    Error::Corrupt { part: "parquet", what }
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
