//! One leaf of one row group: its values cut into pages.

use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, DictionaryArray,
    FixedSizeBinaryArray, StringArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Float64Type, Int32Type, Int64Type, UInt8Type, UInt32Type, UInt64Type,
};
use parquet::schema::types::ColumnDescPtr;

use super::super::Error;
use super::super::write::PAGE_ROWS;
use super::coded::{Coded, Encoded, compress};
use super::numbers::{Bits, Numbers, Otherwise};
use super::packing::{self, Runs, width_of};
use super::shape::Shape;
use super::texts::Texts;
use super::values::{Dictionary, Values};

/// Most bytes of the values of a page, but for a row that has more, and most entries likewise.
const PAGE_BYTES_MAX: usize = 1024 * 1024;
const PAGE_ENTRIES_MAX: usize = 64 * 1024;

/// So many bytes of a dictionary are as dear as one that is stored.
const BYTES_FOR_ONE: usize = 4;

/// A leaf in some rows.
pub(super) struct Encoder<'a> {
    pub column: ColumnDescPtr,
    pub shape: &'a Shape,
    pub nulls: Option<&'a NullBuffer>,
    pub is_nullable: bool,
}

impl Encoder<'_> {
    pub(super) fn encode(&self, array: &ArrayRef) -> Result<Encoded, Error> {
        use Otherwise::{Differences, Plain};
        match array.data_type() {
            DataType::Int32 => self.chunk(&Numbers::of(
                self.numbers::<Int32Type, _>(array, i32::cast_unsigned),
                Differences,
            )),
            DataType::UInt32 => {
                self.chunk(&Numbers::of(self.numbers::<UInt32Type, _>(array, |n| n), Differences))
            }
            DataType::UInt8 => self
                .chunk(&Numbers::of(self.numbers::<UInt8Type, _>(array, u32::from), Differences)),
            DataType::Int64 => self.chunk(&Numbers::of(
                self.numbers::<Int64Type, _>(array, i64::cast_unsigned),
                Differences,
            )),
            DataType::UInt64 => {
                self.chunk(&Numbers::of(self.numbers::<UInt64Type, _>(array, |n| n), Differences))
            }
            DataType::Float64 => {
                self.chunk(&Numbers::of(self.numbers::<Float64Type, _>(array, f64::to_bits), Plain))
            }
            DataType::Boolean => {
                let bits: &BooleanArray = array.as_boolean();
                self.chunk(&Bits(self.present(|place| bits.value(place))))
            }
            DataType::FixedSizeBinary(8) => {
                let ids = self.ids::<8>(array).into_iter().map(u64::from_le_bytes).collect();
                self.chunk(&Numbers::distinct(ids, Plain))
            }
            DataType::FixedSizeBinary(16) => self.chunk(&Numbers::of(self.ids::<16>(array), Plain)),
            DataType::Binary => {
                let bytes = array.as_binary::<i32>();
                let places = self.present(|place| u32::try_from(place).expect("fewer than 4 Gi"));
                self.chunk(&Texts::of_any(bytes.value_offsets(), bytes.value_data(), places))
            }
            _ => {
                let texts = array
                    .as_dictionary_opt::<Int32Type>()
                    .and_then(DictionaryArray::downcast_dict::<StringArray>)
                    .ok_or(Error::Corrupt { part: "column", what: "no column has such values" })?;
                let keys = texts.keys().values();
                let places = self.present(|place| keys[place].cast_unsigned());
                let (offsets, bytes) =
                    (texts.values().value_offsets(), texts.values().value_data());
                self.chunk(&Texts::of_distinct(offsets, bytes, places))
            }
        }
    }

    fn numbers<T: ArrowPrimitiveType, V>(
        &self,
        array: &ArrayRef,
        of: impl Fn(T::Native) -> V,
    ) -> Vec<V> {
        let values = array.as_primitive::<T>().values();
        self.present(|place| of(values[place]))
    }

    fn ids<const N: usize>(&self, array: &ArrayRef) -> Vec<[u8; N]> {
        let ids: &FixedSizeBinaryArray = array.as_fixed_size_binary();
        let ids = ids.value_data().as_chunks::<N>().0;
        self.present(|place| ids[place])
    }

    /// The values that are there.
    fn present<V>(&self, value: impl Fn(usize) -> V) -> Vec<V> {
        let places = self.shape.places(0..self.shape.rows());
        match self.nulls {
            None => places.map(value).collect(),
            Some(nulls) => {
                let there = nulls.slice(places.start, places.len());
                let mut all = Vec::with_capacity(there.len() - there.null_count());
                all.extend(there.valid_indices().map(|index| value(places.start + index)));
                all
            }
        }
    }

    /// How many values some rows have.
    fn count(&self, rows: Range<usize>) -> usize {
        let places = self.shape.places(rows);
        let missing = |nulls: &NullBuffer| nulls.slice(places.start, places.len()).null_count();
        places.len() - self.nulls.map_or(0, missing)
    }

    /// The chunk in the encoding that is worth most.
    fn chunk(&self, values: &impl Values) -> Result<Encoded, Error> {
        let Some(dictionary) = values.dictionary() else {
            return self.coded(values, None)?.encoded(&self.column, self.shape.rows());
        };
        let width = match (dictionary.width(), dictionary.width_by_bytes()) {
            (narrow, wide) if narrow <= 8 => wide,
            (narrow, wide) => self.smaller(values, dictionary, [narrow, wide])?,
        };
        let by_codes = self.coded(values, Some((dictionary, width)))?;
        if !values.is_doubtful() {
            return by_codes.encoded(&self.column, self.shape.rows());
        }
        let without = self.coded(values, None)?;
        let spared = dictionary.page.len() / BYTES_FOR_ONE;
        let is_worth = without.bytes() <= by_codes.bytes() + spared;
        if is_worth {
            without.encoded(&self.column, self.shape.rows())
        } else {
            by_codes.encoded(&self.column, self.shape.rows())
        }
    }

    /// Which width of codes makes the first page smaller.
    fn smaller(
        &self,
        values: &impl Values,
        dictionary: &Dictionary,
        widths: [u32; 2],
    ) -> Result<u32, Error> {
        let (_, count) = self.page(0, 0, values, true);
        let mut sizes = [0; 2];
        for (width, size) in widths.iter().zip(&mut sizes) {
            let (mut plain, mut small) = (Vec::new(), Vec::new());
            dictionary.write(0..count, *width, &mut plain);
            compress(&plain, &mut small)?;
            *size = small.len();
        }
        Ok(if sizes[1] < sizes[0] { widths[1] } else { widths[0] })
    }

    /// All pages, by the codes of a dictionary or without.
    fn coded<'d>(
        &self,
        values: &impl Values,
        by: Option<(&'d Dictionary, u32)>,
    ) -> Result<Coded<'d>, Error> {
        let mut coded = Coded::new(by.map(|(dictionary, _)| dictionary), values.encoding());
        let (mut row, mut value) = (0, 0);
        while row < self.shape.rows() {
            let (rows, count) = self.page(row, value, values, by.is_some());
            let entries = self.shape.entries(row..row + rows).len();
            let plain = &mut coded.plain;
            self.levels(row..row + rows, plain);
            match by {
                Some((dictionary, width)) => dictionary.write(value..value + count, width, plain),
                None => values.write(value..value + count, plain),
            }
            coded.end_page(rows, entries)?;
            (row, value) = (row + rows, value + count);
        }
        coded.end()?;
        Ok(coded)
    }

    /// How many rows and values a page has that begins at a row and value.
    fn page(
        &self,
        row: usize,
        value: usize,
        values: &impl Values,
        by_codes: bool,
    ) -> (usize, usize) {
        let mut rows = PAGE_ROWS.min(self.shape.rows() - row);
        loop {
            let count = self.count(row..row + rows);
            let entries = self.shape.entries(row..row + rows).len();
            let bytes = if by_codes {
                count * size_of::<u32>()
            } else {
                values.bytes(value..value + count)
            };
            if rows == 1 || (bytes <= PAGE_BYTES_MAX && entries <= PAGE_ENTRIES_MAX) {
                return (rows, count);
            }
            rows /= 2;
        }
    }

    /// Appends the levels of some rows.
    fn levels(&self, rows: Range<usize>, out: &mut Vec<u8>) {
        let Self { shape, nulls, is_nullable, .. } = self;
        let (entries, places) = (shape.entries(rows.clone()), shape.places(rows));
        if shape.repetition_max > 0 {
            levels(shape.repetition_max, out, |runs| {
                runs.extend(&shape.repetition[entries.clone()]);
            });
        }
        let max = shape.definition_max + u8::from(*is_nullable);
        if max == 0 {
            return;
        }
        if let (Some(nulls), 0) = (nulls, shape.definition_max) {
            let there = nulls.inner().slice(places.start, places.len());
            return behind_length(out, |out| packing::bits(&there, out));
        }
        levels(max, out, |runs| match nulls {
            None if shape.definition_max == 0 => runs.push(1, places.len()),
            _ if !is_nullable => runs.extend(&shape.definition[entries]),
            _ => {
                let mut places = places;
                let definition = shape.definition[entries].iter().map(|level| {
                    let is_place = *level == shape.definition_max;
                    let place = if is_place { places.next() } else { None };
                    level + u8::from(place.is_some_and(|p| nulls.is_none_or(|n| n.is_valid(p))))
                });
                runs.extend(&definition.collect::<Vec<u8>>());
            }
        });
    }
}

/// Appends levels up to a highest one, behind their length.
fn levels(max: u8, out: &mut Vec<u8>, write: impl FnOnce(&mut Runs<'_>)) {
    behind_length(out, |out| {
        let mut runs = Runs::new(width_of(max.into()), out);
        write(&mut runs);
        runs.finish();
    });
}

/// Appends what is written, behind its length.
fn behind_length(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = u32::try_from(out.len() - start - 4).expect("a page is small");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}
