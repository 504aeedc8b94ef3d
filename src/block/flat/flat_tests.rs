//! Columns of all kinds and encodings, as the Parquet crate reads them.

use std::ops::Range;

use arrow::array::{
    Array, BinaryArray, Float64Array, Int64Array, ListArray, RecordBatch, StructArray, UInt8Array,
    UInt32Array, UInt64Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema};
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use proptest::prelude::*;

use super::super::fetch::decode;
use super::super::nested::{list_of, rest_fields};
use super::super::pages::Pages;
use super::super::plan::GroupPlan;
use super::*;

/// Rows of a page, and of a row group.
const PAGE_ROWS: usize = 100;
const GROUP_ROWS: usize = 450;

fn text_array(values: &[Option<i64>], length: usize) -> ArrayRef {
    let texts = values.iter().map(|value| value.map(|value| format!("{value:0length$}")));
    let texts: Vec<Option<String>> = texts.collect();
    Arc::new(texts.iter().map(Option::as_deref).collect::<DictionaryArray<Int32Type>>())
}

/// None to three entries in each row, of few keys and types, with values that hardly repeat.
fn lists(values: &[Option<i64>]) -> ArrayRef {
    let count = |value: &Option<i64>| value.map_or(0, |value| value.rem_euclid(4));
    let entries: Vec<i64> = values
        .iter()
        .flat_map(|value| (0..count(value)).map(|at| value.unwrap_or(0).wrapping_add(at)))
        .collect();
    let keys: Vec<String> = entries.iter().map(|of| format!("k{}", of.rem_euclid(7))).collect();
    let keys: DictionaryArray<Int32Type> = keys.iter().map(|key| Some(key.as_str())).collect();
    let kinds = entries.iter().map(|of| u8::try_from(of.rem_euclid(24)).unwrap());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(keys),
        Arc::new(UInt8Array::from_iter_values(kinds)),
        Arc::new(BinaryArray::from_iter_values(entries.iter().map(|of| format!("{of:050}")))),
    ];
    let items = StructArray::try_new(rest_fields().into(), columns, None).unwrap();
    let DataType::List(element) = list_of(rest_fields()) else { unreachable!("a list") };
    let lengths = values.iter().map(|value| usize::try_from(count(value)).unwrap());
    let offsets = OffsetBuffer::from_lengths(lengths);
    Arc::new(ListArray::try_new(element, offsets, Arc::new(items), None).unwrap())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "any numbers will do"
)]
/// Columns of all kinds with these values: few of them, if there is a most.
fn batch(values: &[Option<i64>]) -> RecordBatch {
    let of = |number: fn(i64) -> i64| -> Vec<Option<i64>> {
        values.iter().map(|value| value.map(number)).collect()
    };
    let all: Vec<i64> = values.iter().map(|value| value.unwrap_or(-7)).collect();
    let unsigned = |value: &i64| value.cast_unsigned();
    let few = of(|value| value.rem_euclid(9));
    let ids: Vec<u8> = all.iter().flat_map(|value| value.to_le_bytes()).collect();
    let small = |value: i64| u8::try_from(value.rem_euclid(200)).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("resource", Arc::new(UInt64Array::from_iter_values(all.iter().map(unsigned)))),
        ("u64", Arc::new(UInt64Array::from_iter_values(all.iter().map(unsigned)))),
        ("i64", Arc::new(Int64Array::from(values.to_vec()))),
        ("few", Arc::new(Int64Array::from(few.clone()))),
        ("f64", Arc::new(few.iter().map(|v| v.map(|v| v as f64 / 7.0)).collect::<Float64Array>())),
        ("i32", Arc::new(values.iter().map(|v| v.map(|v| v as i32)).collect::<Int32Array>())),
        ("u32", Arc::new(UInt32Array::from_iter_values(all.iter().map(|v| *v as u32)))),
        ("u8", Arc::new(values.iter().map(|v| v.map(small)).collect::<UInt8Array>())),
        ("bool", Arc::new(values.iter().map(|v| v.map(|v| v % 2 == 0)).collect::<BooleanArray>())),
        ("id", Arc::new(FixedSizeBinaryArray::try_new(8, ids.into(), None).unwrap())),
        ("word", text_array(&few, 1)),
        ("text", text_array(values, 30)),
        ("attributes_rest", lists(values)),
    ];
    let field = |(name, array): &(&str, ArrayRef)| {
        Field::new(*name, array.data_type().clone(), array.null_count() > 0)
    };
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, array)| array).collect())
        .unwrap()
}

/// A file of them, written as blocks are: `text` outgrows its dictionary.
fn file(batch: &RecordBatch) -> Bytes {
    let differences = |name: &str| ColumnPath::new(vec![name.to_owned()]);
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap()))
        .set_coerce_types(true)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_dictionary_page_size_limit(5000);
    for name in ["u64", "i64", "i32"] {
        builder = builder
            .set_column_dictionary_enabled(differences(name), false)
            .set_column_encoding(differences(name), Encoding::DELTA_BINARY_PACKED);
    }
    for (name, encoding) in [
        ("resource", Encoding::DELTA_BINARY_PACKED),
        ("text", Encoding::DELTA_LENGTH_BYTE_ARRAY),
        ("u32", Encoding::DELTA_BINARY_PACKED),
    ] {
        builder = builder.set_column_encoding(differences(name), encoding);
    }
    let mut bytes = Vec::new();
    let properties = builder.build();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes.into()
}

/// Rows as we read them.
fn ours(object: &Bytes, selection: Option<RowSelection>) -> Vec<RecordBatch> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    let metadata = ArrowReaderMetadata::load(object, options).unwrap();
    let schema = metadata.parquet_schema();
    let columns: Vec<usize> = (0..schema.num_columns()).collect();
    for column in &columns {
        let field = metadata.schema().field(schema.get_column_root_idx(*column));
        let is_ours = Flat::of(&schema.column(*column), field.data_type()).is_some()
            || *field.data_type() == RestLeaves::data_type();
        assert!(is_ours, "{field}");
    }
    let groups: Vec<usize> = (0..metadata.metadata().num_row_groups()).collect();
    let plans = GroupPlan::all(metadata.metadata(), &columns, &groups, selection).unwrap();
    let place = |at: u64| usize::try_from(at).unwrap();
    let parts = plans.iter().flat_map(GroupPlan::ranges);
    let mut parts = parts.map(|range| object.slice(place(range.start)..place(range.end)));
    let pages = |plan| (Pages::of(metadata.metadata(), plan, &mut parts), plan);
    let pages = plans.iter().map(pages).collect();
    decode(&metadata, &columns, pages, None).unwrap()
}

fn theirs(object: &Bytes, selection: Option<RowSelection>) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(object.clone()).unwrap();
    let builder = match selection {
        Some(selection) => builder.with_row_selection(selection),
        None => builder,
    };
    let schema = Arc::clone(builder.schema());
    let batches: Vec<_> = builder.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn assert_same(object: &Bytes, ranges: Option<&[Range<usize>]>, rows: usize) {
    let selection =
        || ranges.map(|r| RowSelection::from_consecutive_ranges(r.iter().cloned(), rows));
    let (theirs, ours) = (theirs(object, selection()), ours(object, selection()));
    let mut first = 0;
    for ours in &ours {
        for (field, found) in ours.schema().fields().iter().zip(ours.columns()) {
            let expected = theirs.column_by_name(field.name()).unwrap();
            for row in 0..ours.num_rows() {
                let (found, expected) = (
                    array_value_to_string(found, row).unwrap(),
                    array_value_to_string(expected, first + row).unwrap(),
                );
                assert_eq!(found, expected, "{} {row}", field.name());
            }
        }
        first += ours.num_rows();
    }
    assert_eq!(first, theirs.num_rows());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn columns_read_as_the_parquet_crate_reads_them(
        values in prop_oneof![
            proptest::collection::vec(proptest::option::of(any::<i64>()), 1..1200),
            proptest::collection::vec(proptest::option::weighted(0.02, 0..50_i64), 1..1200),
            proptest::collection::vec((0..1_000_000_i64).prop_map(Some), 1..1200),
        ],
        bounds in proptest::collection::vec(0_usize..1300, 2..30),
    ) {
        let object = file(&batch(&values));
        assert_same(&object, None, values.len());
        let mut bounds: Vec<usize> = bounds.iter().map(|at| at % (values.len() + 1)).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let ranges: Vec<Range<usize>> = bounds.chunks_exact(2).map(|b| b[0]..b[1]).collect();
        assert_same(&object, Some(&ranges), values.len());
    }
}
