//! What we encode, read by the Parquet crate: any rows, lists and lists in them, come back as they were.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "any numbers will do"
)]

use std::sync::Arc;

use arrow::array::{
    Array, BinaryArray, BooleanArray, DictionaryArray, FixedSizeBinaryArray, Float64Array,
    Int32Array, Int64Array, ListArray, RecordBatch, StructArray, UInt8Array, UInt32Array,
    UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{Fields, Int32Type, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::write::base_properties;
use super::*;

/// What a row is made of: a number that may be missing, and the elements of its list with those of their own lists.
#[derive(Debug, Clone)]
struct Row {
    number: Option<i64>,
    elements: Vec<(Option<i64>, Vec<Option<i64>>)>,
}

/// Few different numbers, or any: with a dictionary and without.
fn number() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        1 => Just(None),
        2 => (0_i64..4).prop_map(Some),
        2 => any::<i64>().prop_map(Some),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let elements = vec((number(), vec(number(), 0..4)), 0..5);
    let elements = prop_oneof![Just(Vec::new()), elements];
    (number(), elements).prop_map(|(number, elements)| Row { number, elements })
}

/// A text that is long enough to fill dictionaries.
fn text(number: i64) -> String {
    format!("{number:x}-").repeat(number.rem_euclid(9) as usize)
}

fn list(lengths: impl Iterator<Item = usize>, columns: Vec<(Field, ArrayRef)>) -> ArrayRef {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let items = StructArray::new(Fields::from(fields), arrays, None);
    let element = Arc::new(Field::new("element", items.data_type().clone(), false));
    Arc::new(ListArray::new(element, OffsetBuffer::from_lengths(lengths), Arc::new(items), None))
}

/// Columns of all types, from the same numbers; those that may lack values, and those that may not.
fn leaves(numbers: &[Option<i64>]) -> Vec<(Field, ArrayRef)> {
    let there = || numbers.iter().map(|number| number.unwrap_or(-1));
    let id = |number: i64| [number.to_be_bytes(), number.to_le_bytes()].concat();
    let ids: Vec<Option<Vec<u8>>> = numbers.iter().map(|number| number.map(id)).collect();
    let all: Vec<Vec<u8>> = there().map(|number| number.to_be_bytes().to_vec()).collect();
    let (fixed, some_fixed) = if numbers.is_empty() {
        (FixedSizeBinaryArray::new_null(8, 0), FixedSizeBinaryArray::new_null(16, 0))
    } else {
        (
            FixedSizeBinaryArray::try_from_iter(all.into_iter()).unwrap(),
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids.into_iter(), 16).unwrap(),
        )
    };
    let texts: Vec<Option<String>> = numbers.iter().map(|number| number.map(text)).collect();
    let texts = texts.iter().map(Option::as_deref);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("int32", Arc::new(numbers.iter().map(|n| n.map(|n| n as i32)).collect::<Int32Array>())),
        ("uint32", Arc::new(UInt32Array::from_iter_values(there().map(|n| n as u32)))),
        ("uint8", Arc::new(numbers.iter().map(|n| n.map(|n| n as u8)).collect::<UInt8Array>())),
        ("int64", Arc::new(numbers.iter().copied().collect::<Int64Array>())),
        ("uint64", Arc::new(UInt64Array::from_iter_values(there().map(i64::cast_unsigned)))),
        ("double", Arc::new(numbers.iter().map(|n| n.map(|n| n as f64)).collect::<Float64Array>())),
        ("bool", Arc::new(numbers.iter().map(|n| n.map(|n| n % 3 == 1)).collect::<BooleanArray>())),
        ("id", Arc::new(fixed)),
        ("trace", Arc::new(some_fixed)),
        ("text", Arc::new(texts.clone().collect::<DictionaryArray<Int32Type>>())),
        ("bytes", Arc::new(texts.map(|t| t.map(str::as_bytes)).collect::<BinaryArray>())),
    ];
    let optional = |name: &str| !["uint32", "uint64", "id"].contains(&name);
    let field = |(name, array): (&str, ArrayRef)| {
        (Field::new(name, array.data_type().clone(), optional(name)), array)
    };
    columns.into_iter().map(field).collect()
}

fn batch(rows: &[Row]) -> RecordBatch {
    let mut columns = leaves(&rows.iter().map(|row| row.number).collect::<Vec<_>>());
    let elements = || rows.iter().flat_map(|row| &row.elements);
    let mut outer = leaves(&elements().map(|(number, _)| *number).collect::<Vec<_>>());
    let inner: Vec<Option<i64>> = elements().flat_map(|(_, inner)| inner).copied().collect();
    let inner = list(elements().map(|(_, inner)| inner.len()), leaves(&inner));
    outer.push((Field::new("inner", inner.data_type().clone(), false), inner));
    let outer = list(rows.iter().map(|row| row.elements.len()), outer);
    columns.push((Field::new("outer", outer.data_type().clone(), false), outer));
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// A file with row groups of so many rows.
fn written(batch: &RecordBatch, group_rows: usize) -> Bytes {
    let schema = batch.schema();
    let mut bytes = Vec::new();
    let properties = Some(base_properties().build());
    let writer = ArrowWriter::try_new(&mut bytes, Arc::clone(&schema), properties).unwrap();
    let (mut writer, _) = writer.into_serialized_writer().unwrap();
    for first in (0..batch.num_rows()).step_by(group_rows) {
        let rows = first..(first + group_rows).min(batch.num_rows());
        let mut next = 0;
        let mut leaves = Vec::new();
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            let descr = writer.schema_descr();
            leaves.extend(encode(descr, &mut next, (field, array), rows.clone()).unwrap());
        }
        let mut group = writer.next_row_group().unwrap();
        for Encoded { bytes, close } in leaves {
            group.append_column(&bytes, close).unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes.into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nested_arrays_are_read_back_by_the_parquet_crate(
        pattern in vec(row(), 1..12),
        // Now and then more than a page has.
        repeats in prop_oneof![6 => Just(1), 2 => Just(30), 1 => Just(600)],
        step in prop_oneof![Just(0), Just(1), Just(i64::MAX / 7)],
        groups in 1_usize..4,
    ) {
        let shifted = |round: i64, row: &Row| {
            let shift = |number: Option<i64>| number.map(|n| n.wrapping_add(round.wrapping_mul(step)));
            let elements = row.elements.iter();
            let elements = elements.map(|(n, inner)| (shift(*n), inner.iter().map(|n| shift(*n)).collect()));
            Row { number: shift(row.number), elements: elements.collect() }
        };
        let rounds = 0..repeats;
        let rows: Vec<Row> =
            rounds.flat_map(|round| pattern.iter().map(move |row| shifted(round, row))).collect();
        let batch = batch(&rows);
        let file = written(&batch, rows.len().div_ceil(groups));
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let read: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        let read = concat_batches(&batch.schema(), &read).unwrap();
        for (name, (read, stored)) in
            batch.schema().fields().iter().zip(read.columns().iter().zip(batch.columns()))
        {
            prop_assert!(read == stored, "{name}: {read:?} instead of {stored:?}");
        }
    }
}
