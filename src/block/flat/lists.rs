//! `attributes_rest` of spans, decoded straight from its pages.
//!
//! Nothing in it is null, so that each level is one bit: a repetition level says whether an entry follows another of its row, a definition level
//! whether there is an entry at all. Of selected rows only their entries are kept.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, DictionaryArray, Int32Array, ListArray, StringArray, StructArray,
    UInt8Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, FieldRef, Fields};

use super::super::Error;
use super::super::nested::{list_of, rest_fields};
use super::super::pages::{Pages, damaged};
use super::Reader;
use super::codecs::{self, Codec, Plain, Texts};
use super::validity::{Marks, Selected, Validity};

/// The leaves of a column of rest attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct RestLeaves {
    pub key: usize,
    pub kind: usize,
    pub value: usize,
}

/// The entries of the wanted rows.
struct Entries<V> {
    /// How many there are up to the end of each row.
    ends: Vec<i32>,
    values: Vec<V>,
}

impl RestLeaves {
    /// The lists of the selected rows of a row group (`None`: of all). `plain` is room for a page.
    ///
    /// # Errors
    /// When a page is damaged.
    pub(in super::super) fn array(
        self,
        pages: &Pages,
        selected: Option<&Selected<'_>>,
        plain: &mut Vec<u8>,
    ) -> Result<ArrayRef, Error> {
        let Self { key, kind, value } = self;
        let (mut keys, mut values) = (Texts::new(selected.is_some()), Texts::new(true));
        let mut kinds = Plain::new(|bytes: [u8; 4]| bytes[0], low);
        let key = Reader { chunk: pages.chunk(key)?, selected, plain }.entries(&mut keys)?;
        let kind = Reader { chunk: pages.chunk(kind)?, selected, plain }.entries(&mut kinds)?;
        let value = Reader { chunk: pages.chunk(value)?, selected, plain }.entries(&mut values)?;
        if key.ends != kind.ends || key.ends != value.ends {
            return Err(damaged("the fields of a list have other lengths"));
        }
        let (offsets, bytes) = keys.finish();
        let texts = StringArray::try_new(OffsetBuffer::new(offsets.into()), bytes.into(), None)?;
        let key = DictionaryArray::try_new(Int32Array::from(key.values), Arc::new(texts))?;
        let fields: Vec<ArrayRef> = vec![
            Arc::new(key),
            Arc::new(UInt8Array::from(kind.values)),
            Arc::new(binary(&value.values, values)),
        ];
        let items = StructArray::try_new(Fields::from(rest_fields()), fields, None)?;
        let offsets = OffsetBuffer::new(std::iter::once(0).chain(value.ends).collect());
        Ok(Arc::new(ListArray::try_new(element()?, offsets, Arc::new(items), None)?))
    }

    /// The type of its arrays.
    pub(in super::super) fn data_type() -> DataType {
        list_of(rest_fields())
    }
}

fn element() -> Result<FieldRef, Error> {
    match RestLeaves::data_type() {
        DataType::List(element) => Ok(element),
        _ => Err(damaged("a list is none")),
    }
}

/// A small number that is told as a difference.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as it is stored")]
fn low(number: i64) -> u8 {
    number as u8
}

/// The bytes of each entry, by its place among those that were kept.
fn binary(places: &[i32], kept: Texts) -> BinaryArray {
    let (offsets, bytes) = kept.finish();
    let offset = |place: usize| offsets[place].cast_unsigned() as usize;
    let of = |place: &i32| {
        let place = place.cast_unsigned() as usize;
        &bytes[offset(place)..offset(place + 1)]
    };
    BinaryArray::from_iter_values(places.iter().map(of))
}

impl Reader<'_> {
    /// Decodes the pages that have wanted rows.
    fn entries<V: Copy>(&mut self, codec: &mut impl Codec<V>) -> Result<Entries<V>, Error> {
        let Self { chunk, selected, plain } = self;
        let rows = selected.map_or(chunk.rows(), Selected::len);
        let mut found = Entries { ends: Vec::with_capacity(rows), values: Vec::new() };
        let (mut dense, mut has_dictionary): (Vec<V>, bool) = (Vec::new(), false);
        let (mut ranges, mut wanted, mut marks) = (Vec::new(), Vec::new(), Marks::default());
        for slot in chunk.slots() {
            let rows = slot.rows();
            ranges.clear();
            match selected {
                None => ranges.push(0..rows.len()),
                Some(selected) => ranges.extend(selected.of_page(&rows)),
            }
            if ranges.is_empty() {
                continue;
            }
            let (page, levels) = chunk.list_page(slot, plain)?;
            wanted.clear();
            let lists = Lists::of(page.bytes, levels, rows.len(), &ranges, &mut wanted);
            let (count, bytes) = lists.ok_or(damaged("the levels of a list are wrong"))?;
            let before = found.values.len();
            if wanted.iter().any(|entries| !entries.is_empty()) {
                if codecs::is_by_dictionary(page.encoding) && !has_dictionary {
                    has_dictionary = true;
                    let (entries, count) = chunk.dictionary()?;
                    codec.dictionary(entries, count).ok_or(damaged("a dictionary is cut short"))?;
                }
                let wrong = || damaged("the values of a page are cut short");
                dense.clear();
                codec.values(page.encoding, bytes, count, &mut dense).ok_or_else(wrong)?;
                for entries in &wanted {
                    found.values.extend_from_slice(&dense[entries.clone()]);
                }
                marks.set(found.values.len() - before);
                codec.settle(&mut found.values[before..], &marks, before).ok_or_else(wrong)?;
            }
            let mut end = before;
            for entries in &wanted {
                end += entries.len();
                found.ends.push(i32::try_from(end).map_err(|_| damaged("a list is too long"))?);
            }
        }
        Ok(found)
    }
}

/// The levels of a page of lists.
struct Lists {
    /// Whether a level goes on with the row of the level before.
    goes_on: Validity,
    /// Whether a level is one of an entry.
    is_there: Validity,
    levels: usize,
}

impl Lists {
    /// Appends which values of a page the wanted rows have, and tells how many values it has and where they are. `None` if the levels are damaged.
    fn of<'a>(
        page: &'a [u8],
        levels: usize,
        rows: usize,
        ranges: &[Range<usize>],
        wanted: &mut Vec<Range<usize>>,
    ) -> Option<(usize, &'a [u8])> {
        let (goes_on, rest) = Validity::of(true, page, levels)?;
        let (is_there, values) = Validity::of(true, rest, levels)?;
        let lists = Self { goes_on, is_there, levels };
        if levels - lists.goes_on.count() != rows || lists.goes_on.bits(0) & 1 == 1 {
            return None;
        }
        let mut starts = Starts { lists: &lists, next: 0, base: 0, left: lists.row_bits(0) };
        for range in ranges {
            let mut start = lists.is_there.rank(starts.of(range.start));
            for row in range.clone() {
                let end = lists.is_there.rank(starts.of(row + 1));
                wanted.push(start..end);
                start = end;
            }
        }
        Some((lists.is_there.count(), values))
    }

    /// Which of 64 levels from `base` on begin a row.
    fn row_bits(&self, base: usize) -> u64 {
        let count = self.levels.saturating_sub(base).min(64);
        let mask = if count == 64 { u64::MAX } else { !(u64::MAX << count) };
        !self.goes_on.bits(base / 64) & mask
    }
}

/// Finds the level that a row begins with; rows ascend.
struct Starts<'a> {
    lists: &'a Lists,
    /// The row that the lowest bit of `left` begins.
    next: usize,
    base: usize,
    left: u64,
}

impl Starts<'_> {
    /// The level that a row begins with; behind the last row all levels.
    fn of(&mut self, row: usize) -> usize {
        while self.base < self.lists.levels {
            let rows = self.left.count_ones() as usize;
            if self.next + rows > row {
                while self.next < row {
                    self.left &= self.left - 1;
                    self.next += 1;
                }
                return self.base + self.left.trailing_zeros() as usize;
            }
            self.next += rows;
            self.base += 64;
            self.left = self.lists.row_bits(self.base);
        }
        self.lists.levels
    }
}
