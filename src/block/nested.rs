//! The nested columns of `spans.parquet`: `attributes_rest`, `events`, `links`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, Int32Array, Int64Array, ListArray, StructArray, UInt8Array,
    UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};

use super::Error;
use super::arrays::{attribute, dictionary, dictionary_of, scalar_type};
use super::promote::{Promoted, Scope};
use super::source::{RestEntries, Source};
use crate::columns::gather::{self, NOWHERE};
use crate::columns::{Children, RowRef, Spans, Strings};

pub(super) fn list_of(fields: Vec<Field>) -> DataType {
    DataType::List(Arc::new(Field::new("element", DataType::Struct(fields.into()), false)))
}

pub(super) fn rest_fields() -> Vec<Field> {
    vec![
        Field::new("key", dictionary_of(DataType::Utf8), false),
        Field::new("type", DataType::UInt8, false),
        Field::new("value", DataType::Binary, false),
    ]
}

fn promoted_fields(promoted: &[Promoted]) -> impl Iterator<Item = Field> {
    promoted.iter().map(|p| Field::new(p.column_name(), scalar_type(p.scalar), true))
}

pub(super) fn event_fields(promoted: &[Promoted]) -> Vec<Field> {
    let mut fields = vec![
        // Nanoseconds after the start of the span, modulo 2^64.
        Field::new("time_offset_ns", DataType::Int64, false),
        Field::new("name", dictionary_of(DataType::Utf8), false),
    ];
    fields.extend(promoted_fields(promoted));
    fields.extend([
        Field::new("attributes_rest", list_of(rest_fields()), false),
        Field::new("dropped_attributes_count", DataType::UInt32, false),
        Field::new("unknown", DataType::Binary, true),
    ]);
    fields
}

pub(super) fn link_fields(promoted: &[Promoted]) -> Vec<Field> {
    let mut fields = vec![
        Field::new("trace_id", DataType::Binary, false),
        Field::new("span_id", DataType::Binary, false),
        Field::new("trace_state", dictionary_of(DataType::Utf8), false),
        Field::new("flags", DataType::UInt32, false),
    ];
    fields.extend(promoted_fields(promoted));
    fields.extend([
        Field::new("attributes_rest", list_of(rest_fields()), false),
        Field::new("dropped_attributes_count", DataType::UInt32, false),
        Field::new("unknown", DataType::Binary, true),
    ]);
    fields
}

pub(super) fn rest(source: &Source<'_>, scope: Scope) -> Result<ArrayRef, Error> {
    let RestEntries { pool, entries } = source.rest_of(scope);
    let mut offsets = vec![0_i32; source.owner_count(scope) + 1];
    for entry in entries {
        offsets[entry.place as usize + 1] += 1;
    }
    for index in 1..offsets.len() {
        offsets[index] += offsets[index - 1];
    }
    let keys = gather::dictionary(pool);
    let key_codes = entries.iter().map(|entry| i32::try_from(entry.key).expect("few keys"));
    let keys = Strings::new(Int32Array::from_iter_values(key_codes), keys);
    let values = BinaryArray::from_iter_values(entries.iter().map(|e| pool.get(e.value)));
    let types = UInt8Array::from_iter_values(entries.iter().map(|entry| entry.kind));
    let fields: Vec<ArrayRef> = vec![dictionary(&keys), Arc::new(types), Arc::new(values)];
    list(offsets, rest_fields(), fields)
}

fn list(offsets: Vec<i32>, fields: Vec<Field>, columns: Vec<ArrayRef>) -> Result<ArrayRef, Error> {
    let count = columns.first().map_or(0, Array::len);
    let items = StructArray::try_new_with_length(fields.clone().into(), columns, None, count)?;
    let element = Arc::new(Field::new("element", DataType::Struct(fields.into()), false));
    Ok(Arc::new(ListArray::try_new(
        element,
        OffsetBuffer::new(offsets.into()),
        Arc::new(items),
        None,
    )?))
}

fn offsets(children: &Children) -> Vec<i32> {
    let signed = |offset: &u32| i32::try_from(*offset).expect("a row group has few children");
    children.offsets.iter().map(signed).collect()
}

pub(super) fn events(source: &Source<'_>, promoted: &[Promoted]) -> Result<ArrayRef, Error> {
    let from = &source.events.from;
    let offset = |spans: &Spans, event: usize| {
        let start = spans.start[spans.events.row[event] as usize];
        spans.events.time[event].wrapping_sub(start).cast_signed()
    };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(source.each(from, offset))),
        dictionary(&gather::strings(source.chunks, from, |spans| &spans.events.name)),
    ];
    columns.extend(promoted.iter().map(|promoted| attribute(source, promoted)));
    columns.extend([
        rest(source, Scope::Event)?,
        Arc::new(UInt32Array::from(source.each(from, |s, event| s.events.dropped[event]))),
        unknown(source, &source.events.places, from.len(), |spans| &spans.events.unknown),
    ]);
    list(offsets(&source.events), event_fields(promoted), columns)
}

pub(super) fn links(source: &Source<'_>, promoted: &[Promoted]) -> Result<ArrayRef, Error> {
    let from = &source.links.from;
    let bytes = |codes: &dyn Fn(&Spans) -> &[u32]| -> ArrayRef {
        let value = |row: &RowRef| {
            let spans = source.chunks[row.chunk as usize];
            spans.pool.get(codes(spans)[row.row as usize])
        };
        Arc::new(BinaryArray::from_iter_values(from.iter().map(value)))
    };
    let mut columns: Vec<ArrayRef> = vec![
        bytes(&|spans| &spans.links.trace_id),
        bytes(&|spans| &spans.links.span_id),
        dictionary(&gather::strings(source.chunks, from, |spans| &spans.links.trace_state)),
        Arc::new(UInt32Array::from(source.each(from, |spans, link| spans.links.flags[link]))),
    ];
    columns.extend(promoted.iter().map(|promoted| attribute(source, promoted)));
    columns.extend([
        rest(source, Scope::Link)?,
        Arc::new(UInt32Array::from(source.each(from, |spans, link| spans.links.dropped[link]))),
        unknown(source, &source.links.places, from.len(), |spans| &spans.links.unknown),
    ]);
    list(offsets(&source.links), link_fields(promoted), columns)
}

pub(super) fn unknown(
    source: &Source<'_>,
    places: &[Vec<u32>],
    count: usize,
    of: impl Fn(&Spans) -> &[(u32, u32)],
) -> ArrayRef {
    let mut values: Vec<Option<&[u8]>> = vec![None; count];
    for (spans, places) in source.chunks.iter().zip(places) {
        for (owner, code) in of(spans) {
            let place = places[*owner as usize];
            if place != NOWHERE {
                values[place as usize] = Some(spans.pool.get(*code));
            }
        }
    }
    Arc::new(BinaryArray::from_iter(values))
}
