//! Columns with one value or none in each row, and `attributes_rest`, decoded straight from their pages into arrays.
//!
//! The Parquet crate decodes the others. Here a page costs one pass over its levels and one over its values, dictionaries are told as they are
//! stored, and of selected rows only the values are kept: a page in which none of them has one is not decoded.

mod codecs;
mod lists;
mod validity;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, DictionaryArray, FixedSizeBinaryArray, Int32Array,
    PrimitiveArray, StringArray, UInt32Array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Float64Type, Int32Type, Int64Type, UInt8Type, UInt32Type, UInt64Type,
};
use parquet::basic::Type;
use parquet::schema::types::ColumnDescriptor;

use super::Error;
use super::arrays::dictionary_of;
use super::pages::{Chunk, damaged};
use super::resources::ResourceTable;
use codecs::{Bits, Codec, Plain, Texts};
pub(super) use lists::RestLeaves;
pub(super) use validity::Selected;
use validity::Validity;

/// How the values of a column are decoded, and what they become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flat {
    I32,
    U32,
    U8,
    I64,
    U64,
    F64,
    Bool,
    Id8,
    Id16,
    Text,
    /// Keys of resources, told as their places in a table.
    Resource,
}

impl Flat {
    /// How a column is decoded here; `None` for one that is not.
    pub(super) fn of(column: &ColumnDescriptor, data_type: &DataType) -> Option<Self> {
        if column.max_rep_level() > 0
            || column.max_def_level() > 1
            || column.path().parts().len() > 1
        {
            return None;
        }
        Some(match (column.physical_type(), data_type) {
            (Type::INT32, DataType::Int32) => Self::I32,
            (Type::INT32, DataType::UInt32) => Self::U32,
            (Type::INT32, DataType::UInt8) => Self::U8,
            (Type::INT64, DataType::Int64) => Self::I64,
            (Type::INT64, DataType::UInt64) => Self::U64,
            (Type::DOUBLE, DataType::Float64) => Self::F64,
            (Type::BOOLEAN, DataType::Boolean) => Self::Bool,
            (Type::FIXED_LEN_BYTE_ARRAY, DataType::FixedSizeBinary(8)) => Self::Id8,
            (Type::FIXED_LEN_BYTE_ARRAY, DataType::FixedSizeBinary(16)) => Self::Id16,
            (Type::BYTE_ARRAY, text) if *text == dictionary_of(DataType::Utf8) => Self::Text,
            _ => return None,
        })
    }

    /// The type of its arrays.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::I32 => DataType::Int32,
            Self::U32 | Self::Resource => DataType::UInt32,
            Self::U8 => DataType::UInt8,
            Self::I64 => DataType::Int64,
            Self::U64 => DataType::UInt64,
            Self::F64 => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Id8 => DataType::FixedSizeBinary(8),
            Self::Id16 => DataType::FixedSizeBinary(16),
            Self::Text => dictionary_of(DataType::Utf8),
        }
    }

    /// The selected rows of a chunk (`None`: all of them). `None` if none of them has a value. `resources` are those that keys are of, `plain` is
    /// room for a page.
    ///
    /// # Errors
    /// When a page is damaged.
    pub(super) fn array(
        self,
        chunk: &Chunk,
        selected: Option<&Selected<'_>>,
        resources: Option<&ResourceTable>,
        plain: &mut Vec<u8>,
    ) -> Result<Option<ArrayRef>, Error> {
        let read = &mut Reader { chunk, selected, plain };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "as it is stored"
        )]
        match self {
            Self::I32 => read.numbers::<Int32Type, 4>(i32::from_le_bytes, |n| n as i32),
            Self::U32 => read.numbers::<UInt32Type, 4>(u32::from_le_bytes, |n| n as u32),
            Self::U8 => read.numbers::<UInt8Type, 4>(|bytes| bytes[0], |n| n as u8),
            Self::I64 => read.numbers::<Int64Type, 8>(i64::from_le_bytes, |n| n),
            Self::U64 => read.numbers::<UInt64Type, 8>(u64::from_le_bytes, i64::cast_unsigned),
            Self::F64 => read.numbers::<Float64Type, 8>(f64::from_le_bytes, |bits| {
                f64::from_bits(bits.cast_unsigned())
            }),
            Self::Bool => read.bools(),
            Self::Id8 => read.ids::<8>(),
            Self::Id16 => read.ids::<16>(),
            Self::Text => read.texts(),
            Self::Resource => read.resources(resources),
        }
    }
}

/// Not a place in any table.
const NO_RESOURCE: u32 = u32::MAX;

/// The pages of a chunk, and the rows that are wanted of it: all of them, if none are selected.
struct Reader<'a> {
    chunk: &'a Chunk,
    selected: Option<&'a Selected<'a>>,
    /// A page, inflated.
    plain: &'a mut Vec<u8>,
}

/// The values of the wanted rows: anything where there is none.
struct Cells<V> {
    values: Vec<V>,
    nulls: Option<NullBuffer>,
}

impl Reader<'_> {
    fn numbers<T: ArrowPrimitiveType, const N: usize>(
        &mut self,
        read: impl Fn([u8; N]) -> T::Native,
        of: impl Fn(i64) -> T::Native,
    ) -> Result<Option<ArrayRef>, Error> {
        let cells = self.cells(&mut Plain::new(read, of))?;
        Ok(cells.map(|Cells { values, nulls }| {
            Arc::new(PrimitiveArray::<T>::new(values.into(), nulls)) as ArrayRef
        }))
    }

    fn ids<const N: usize>(&mut self) -> Result<Option<ArrayRef>, Error> {
        // No id is told as a difference: of the writer's there are none, and of damaged ones any will do.
        let codec = &mut Plain::new(|bytes: [u8; N]| bytes, |_| [0; N]);
        let Some(cells) = self.cells(codec)? else {
            return Ok(None);
        };
        let width = i32::try_from(N).expect("an id is short");
        let bytes = Buffer::from(cells.values.into_flattened());
        Ok(Some(Arc::new(FixedSizeBinaryArray::try_new(width, bytes, cells.nulls)?)))
    }

    fn bools(&mut self) -> Result<Option<ArrayRef>, Error> {
        let cells = self.cells(&mut Bits)?;
        Ok(cells.map(|Cells { values, nulls }| {
            Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls)) as ArrayRef
        }))
    }

    fn texts(&mut self) -> Result<Option<ArrayRef>, Error> {
        let mut texts = Texts::new(self.selected.is_some());
        let Some(Cells { values, nulls }) = self.cells(&mut texts)? else { return Ok(None) };
        let (offsets, bytes) = texts.finish();
        let texts = StringArray::try_new(OffsetBuffer::new(offsets.into()), bytes.into(), None)?;
        let keys = Int32Array::new(values.into(), nulls);
        Ok(Some(Arc::new(DictionaryArray::try_new(keys, Arc::new(texts))?)))
    }

    /// A key is looked up once for each time that it is stored: mostly that is once in a row group.
    fn resources(&mut self, table: Option<&ResourceTable>) -> Result<Option<ArrayRef>, Error> {
        let place = |key: u64| table.and_then(|table| table.index_of(key)).unwrap_or(NO_RESOURCE);
        let of = |bytes| place(u64::from_le_bytes(bytes));
        let cells = self.cells(&mut Plain::new(of, |key| place(key.cast_unsigned())))?;
        let Some(Cells { values, nulls }) = cells else { return Ok(None) };
        if values.contains(&NO_RESOURCE) {
            return Err(damaged("a span names a resource that is not there"));
        }
        Ok(Some(Arc::new(UInt32Array::new(values.into(), nulls))))
    }

    /// Decodes the pages that have wanted rows. `None` if none of these has a value.
    fn cells<V: Copy>(&mut self, codec: &mut impl Codec<V>) -> Result<Option<Cells<V>>, Error> {
        let Self { chunk, selected, plain } = self;
        let rows = selected.map_or(chunk.rows(), Selected::len);
        let mut valid = validity::Marks::default();
        let (mut values, mut dense): (Vec<V>, Vec<V>) = (Vec::new(), Vec::new());
        let (mut has_dictionary, mut ranges) = (false, Vec::new());
        for slot in chunk.slots() {
            let page_rows = slot.rows();
            let wanted = selected.map_or(page_rows.len(), |s| s.count_of_page(&page_rows));
            if wanted == 0 {
                continue;
            }
            let page = chunk.page(slot, plain)?;
            let there = Validity::of(chunk.is_optional(), page.bytes, page_rows.len());
            let (there, bytes) = there.ok_or(damaged("the levels of a page are cut short"))?;
            if selected.is_some_and(|selected| !there.meets(selected, page_rows.start)) {
                valid.pass(wanted);
                continue;
            }
            ranges.clear();
            match selected {
                None => ranges.push(0..page_rows.len()),
                Some(selected) => ranges.extend(selected.of_page(&page_rows)),
            }
            let before = valid.len();
            if there.mark(&ranges, &mut valid) == 0 {
                continue;
            }
            if codecs::is_by_dictionary(page.encoding) && !has_dictionary {
                has_dictionary = true;
                let (entries, count) = chunk.dictionary()?;
                codec.dictionary(entries, count).ok_or(damaged("a dictionary is cut short"))?;
            }
            // What had no value so far is made up for: now there is one.
            if values.capacity() == 0 {
                values.reserve_exact(rows);
            }
            values.resize(before, codec.empty());
            let wrong = || damaged("the values of a page are cut short");
            let count = there.count();
            if selected.is_none() && count == page_rows.len() {
                codec.values(page.encoding, bytes, count, &mut values).ok_or_else(wrong)?;
            } else {
                dense.clear();
                codec.values(page.encoding, bytes, count, &mut dense).ok_or_else(wrong)?;
                there.spread(&ranges, &dense, codec.empty(), &mut values);
            }
            codec.settle(&mut values[before..], &valid, before).ok_or_else(wrong)?;
        }
        if !valid.any() {
            return Ok(None);
        }
        values.resize(valid.len(), codec.empty());
        Ok(Some(Cells { values, nulls: valid.finish() }))
    }
}

#[cfg(test)]
#[path = "flat_tests.rs"]
mod tests;
