//! The columns of `spans.parquet`, one at a time: name, type, and the array of some rows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, DictionaryArray, FixedSizeBinaryArray, Int32Array, Int64Array,
    ListArray, StructArray, UInt8Array, UInt32Array, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Int32Type};

use super::Error;
use super::promote::{Promoted, Scope};
use crate::columns::gather::{self, NOWHERE, Owners};
use crate::columns::{
    AttributeValues, Children, Layout, NO_STATUS, OwnerValue, Pool, RestType, RowRef, ScalarType,
    Spans, Strings,
};

/// The rows of one row group and what their columns are made of.
pub(super) struct Source<'a> {
    pub chunks: &'a [&'a Spans],
    pub rows: &'a [RowRef],
    /// Of the whole layout; the group's rows begin at `first`.
    pub layout: &'a Layout,
    pub first: usize,
    /// Place of each row of each chunk in `rows`, or [`NOWHERE`].
    pub places: Vec<Vec<u32>>,
    pub events: Children,
    pub links: Children,
    rest: BTreeMap<Scope, RestEntries>,
}

/// The entries of `attributes_rest` of a scope, by owner.
#[derive(Default)]
pub(super) struct RestEntries {
    /// Keys and values of the entries are its codes.
    pub pool: Pool,
    pub entries: Vec<RestEntry>,
}

impl<'a> Source<'a> {
    /// The rows without what goes to `attributes_rest`: enough to see which keys there are.
    pub(super) fn bare(chunks: &'a [&'a Spans], layout: &'a Layout, rows: Range<usize>) -> Self {
        let first = rows.start;
        let rows = &layout.rows[rows];
        let places = gather::places(chunks, rows);
        let events = Children::of(chunks, &places, rows.len(), |spans| &spans.events.row);
        let links = Children::of(chunks, &places, rows.len(), |spans| &spans.links.row);
        let rest = BTreeMap::new();
        Self { chunks, rows, layout, first, places, events, links, rest }
    }

    pub(super) fn of(
        chunks: &'a [&'a Spans],
        layout: &'a Layout,
        rows: Range<usize>,
        promoted: &[Promoted],
    ) -> Self {
        let mut source = Self::bare(chunks, layout, rows);
        for scope in [Scope::Span, Scope::Event, Scope::Link] {
            source.rest.insert(scope, rest_entries(&source, scope, promoted));
        }
        source
    }

    pub(super) fn rest_of(&self, scope: Scope) -> &RestEntries {
        &self.rest[&scope]
    }

    /// The attributes of a scope and where their owners go.
    pub(super) fn owners(&self, scope: Scope) -> Vec<Owners<'_>> {
        let places = match scope {
            Scope::Span => &self.places,
            Scope::Event => &self.events.places,
            Scope::Link => &self.links.places,
        };
        let attributes = |spans: &'a Spans| match scope {
            Scope::Span => &spans.attributes,
            Scope::Event => &spans.events.attributes,
            Scope::Link => &spans.links.attributes,
        };
        self.chunks
            .iter()
            .zip(places)
            .map(|(spans, places)| Owners {
                attributes: attributes(spans),
                pool: &spans.pool,
                places,
            })
            .collect()
    }

    fn owner_count(&self, scope: Scope) -> usize {
        match scope {
            Scope::Span => self.rows.len(),
            Scope::Event => self.events.from.len(),
            Scope::Link => self.links.from.len(),
        }
    }

    fn each<T>(&self, rows: &[RowRef], value: impl Fn(&Spans, usize) -> T) -> Vec<T> {
        rows.iter().map(|row| value(self.chunks[row.chunk as usize], row.row as usize)).collect()
    }
}

/// A column of `spans.parquet`, in the order of the file: what queries need most comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Column {
    TraceId,
    Resource,
    Name,
    Kind,
    Status,
    Start,
    Duration,
    ParentDelta,
    Subtree,
    Top,
    Attribute(Promoted),
    SpanId,
    ParentSpanId,
    StatusMessage,
    TraceState,
    Flags,
    DroppedAttributes,
    DroppedEvents,
    DroppedLinks,
    AttributesRest,
    Events(Vec<Promoted>),
    Links(Vec<Promoted>),
    Unknown,
}

/// All columns of a block with these promoted keys.
pub(super) fn columns(promoted: &[Promoted]) -> Vec<Column> {
    let of = |scope: Scope| promoted.iter().filter(move |p| p.scope == scope).cloned();
    let mut columns = vec![
        Column::TraceId,
        Column::Resource,
        Column::Name,
        Column::Kind,
        Column::Status,
        Column::Start,
        Column::Duration,
        Column::ParentDelta,
        Column::Subtree,
        Column::Top,
    ];
    columns.extend(of(Scope::Span).map(Column::Attribute));
    columns.extend([
        Column::SpanId,
        Column::ParentSpanId,
        Column::StatusMessage,
        Column::TraceState,
        Column::Flags,
        Column::DroppedAttributes,
        Column::DroppedEvents,
        Column::DroppedLinks,
        Column::AttributesRest,
        Column::Events(of(Scope::Event).collect()),
        Column::Links(of(Scope::Link).collect()),
        Column::Unknown,
    ]);
    columns
}

impl Column {
    pub(super) fn name(&self) -> String {
        let name = match self {
            Self::TraceId => "trace_id",
            Self::Resource => "resource",
            Self::Name => "name",
            Self::Kind => "kind",
            Self::Status => "status",
            Self::Start => "start_ns",
            Self::Duration => "duration_ns",
            Self::ParentDelta => "parent_delta",
            Self::Subtree => "subtree",
            Self::Top => "top",
            Self::Attribute(promoted) => return promoted.column_name(),
            Self::SpanId => "span_id",
            Self::ParentSpanId => "parent_span_id",
            Self::StatusMessage => "status_message",
            Self::TraceState => "trace_state",
            Self::Flags => "flags",
            Self::DroppedAttributes => "dropped_attributes_count",
            Self::DroppedEvents => "dropped_events_count",
            Self::DroppedLinks => "dropped_links_count",
            Self::AttributesRest => "attributes_rest",
            Self::Events(_) => "events",
            Self::Links(_) => "links",
            Self::Unknown => "unknown",
        };
        name.to_owned()
    }

    pub(super) fn field(&self) -> Field {
        let (data_type, nullable) = match self {
            Self::TraceId => (DataType::FixedSizeBinary(16), false),
            Self::Resource | Self::Start => (DataType::UInt64, false),
            Self::Name => (dictionary_of(DataType::Utf8), false),
            Self::Kind | Self::ParentDelta | Self::Subtree => (DataType::Int32, false),
            Self::Status => (DataType::Int32, true),
            Self::Duration => (DataType::Int64, false),
            Self::Top => (DataType::UInt8, true),
            Self::Attribute(promoted) => (scalar_type(promoted.scalar), true),
            Self::SpanId => (DataType::FixedSizeBinary(8), false),
            Self::ParentSpanId => (DataType::FixedSizeBinary(8), true),
            Self::StatusMessage | Self::TraceState => (dictionary_of(DataType::Utf8), true),
            Self::Flags | Self::DroppedAttributes | Self::DroppedEvents | Self::DroppedLinks => {
                (DataType::UInt32, false)
            }
            Self::AttributesRest => (list_of(rest_fields()), false),
            Self::Events(promoted) => (list_of(event_fields(promoted)), false),
            Self::Links(promoted) => (list_of(link_fields(promoted)), false),
            Self::Unknown => (DataType::Binary, true),
        };
        Field::new(self.name(), data_type, nullable)
    }

    /// The column's values for the rows of `source`.
    pub(super) fn array(&self, source: &Source<'_>) -> Result<ArrayRef, Error> {
        let rows = source.rows;
        let places = source.first..source.first + rows.len();
        let layout = source.layout;
        let optional = |texts: Strings| empty_as_null(&texts);
        Ok(match self {
            Self::TraceId => fixed(source.each(rows, |spans, row| spans.trace_id[row].0), None)?,
            Self::Resource => resource_hashes(source),
            Self::Name => dictionary(&gather::strings(source.chunks, rows, |spans| &spans.name)),
            Self::Kind => Arc::new(Int32Array::from(source.each(rows, |s, row| s.kind[row]))),
            Self::Status => Arc::new(Int32Array::from(source.each(rows, |spans, row| {
                (spans.status[row] != NO_STATUS).then_some(spans.status[row])
            }))),
            Self::Start => Arc::new(UInt64Array::from(source.each(rows, |s, row| s.start[row]))),
            Self::Duration => Arc::new(Int64Array::from(source.each(rows, |spans, row| {
                spans.end[row].wrapping_sub(spans.start[row]).cast_signed()
            }))),
            Self::ParentDelta => Arc::new(Int32Array::from(layout.parent_delta[places].to_vec())),
            Self::Subtree => Arc::new(Int32Array::from(layout.subtree[places].to_vec())),
            Self::Top => {
                let tops = layout.top[places].iter().map(|top| (*top != 0).then_some(*top));
                Arc::new(tops.collect::<UInt8Array>())
            }
            Self::Attribute(promoted) => attribute(source, promoted),
            Self::SpanId => fixed(source.each(rows, |spans, row| spans.span_id[row].0), None)?,
            Self::ParentSpanId => {
                let ids = source.each(rows, |spans, row| spans.parent_id[row].0);
                let orphans = places.map(|place| layout.is_orphan(place)).collect();
                fixed(ids, Some(orphans))?
            }
            Self::StatusMessage => {
                optional(gather::strings(source.chunks, rows, |spans| &spans.status_message))
            }
            Self::TraceState => {
                optional(gather::strings(source.chunks, rows, |spans| &spans.trace_state))
            }
            Self::Flags => Arc::new(UInt32Array::from(source.each(rows, |s, row| s.flags[row]))),
            Self::DroppedAttributes => dropped(source, 0),
            Self::DroppedEvents => dropped(source, 1),
            Self::DroppedLinks => dropped(source, 2),
            Self::AttributesRest => rest(source, Scope::Span)?,
            Self::Events(promoted) => events(source, promoted)?,
            Self::Links(promoted) => links(source, promoted)?,
            Self::Unknown => unknown(source, &source.places, rows.len(), |spans| &spans.unknown),
        })
    }
}

fn dropped(source: &Source<'_>, which: usize) -> ArrayRef {
    Arc::new(UInt32Array::from(source.each(source.rows, |spans, row| spans.dropped[row][which])))
}

fn dictionary_of(values: DataType) -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(values))
}

fn list_of(fields: Vec<Field>) -> DataType {
    DataType::List(Arc::new(Field::new("element", DataType::Struct(fields.into()), false)))
}

fn scalar_type(scalar: ScalarType) -> DataType {
    match scalar {
        ScalarType::String => dictionary_of(DataType::Utf8),
        ScalarType::Int => DataType::Int64,
        ScalarType::Double => DataType::Float64,
        ScalarType::Bool => DataType::Boolean,
    }
}

fn rest_fields() -> Vec<Field> {
    vec![
        Field::new("key", dictionary_of(DataType::Utf8), false),
        Field::new("type", DataType::UInt8, false),
        Field::new("value", DataType::Binary, false),
    ]
}

fn promoted_fields(promoted: &[Promoted]) -> impl Iterator<Item = Field> {
    promoted.iter().map(|p| Field::new(p.column_name(), scalar_type(p.scalar), true))
}

fn event_fields(promoted: &[Promoted]) -> Vec<Field> {
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

fn link_fields(promoted: &[Promoted]) -> Vec<Field> {
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

fn fixed<const N: usize>(ids: Vec<[u8; N]>, valid: Option<Vec<bool>>) -> Result<ArrayRef, Error> {
    let width = i32::try_from(N).expect("an id is short");
    let bytes: Vec<u8> = ids.into_flattened();
    let nulls = valid.map(NullBuffer::from);
    Ok(Arc::new(FixedSizeBinaryArray::try_new(width, bytes.into(), nulls)?))
}

fn dictionary(texts: &Strings) -> ArrayRef {
    let values: ArrayRef = Arc::new(texts.values().clone());
    Arc::new(DictionaryArray::<Int32Type>::new(texts.keys().clone(), values))
}

/// The empty text, always entry 0 of a gathered dictionary, is a null in optional columns.
fn empty_as_null(texts: &Strings) -> ArrayRef {
    let valid: Vec<bool> = texts.keys().values().iter().map(|key| *key != 0).collect();
    let keys = Int32Array::new(texts.keys().values().clone(), Some(NullBuffer::from(valid)));
    dictionary(&Strings::new(keys, texts.values().clone()))
}

fn resource_hashes(source: &Source<'_>) -> ArrayRef {
    Arc::new(UInt64Array::from(
        source.each(source.rows, |spans, row| spans.resources[spans.resource[row] as usize].hash()),
    ))
}

fn attribute(source: &Source<'_>, promoted: &Promoted) -> ArrayRef {
    let Promoted { scope, key, scalar } = promoted;
    let count = source.owner_count(*scope);
    let owners = source.owners(*scope);
    let values = gather::attribute_of_type(&owners, key, *scalar, count);
    let AttributeValues { strings, ints, doubles, bools, rest: _ } = values;
    match scalar {
        ScalarType::String => strings.map(|texts| dictionary(&texts)),
        ScalarType::Int => ints.map(|values| Arc::new(values) as ArrayRef),
        ScalarType::Double => doubles.map(|values| Arc::new(values) as ArrayRef),
        ScalarType::Bool => bools.map(|values| Arc::new(values) as ArrayRef),
    }
    .unwrap_or_else(|| arrow::array::new_null_array(&scalar_type(*scalar), count))
}

/// What has no column of its own: everything in the chunks' `rest`, and typed values of keys that were not promoted.
pub(super) struct RestEntry {
    pub place: u32,
    pub key: u32,
    pub kind: u8,
    pub value: u32,
    /// It lies in a typed column of its chunk: only the block has none for it.
    pub is_typed_column: bool,
}

fn rest_entries(source: &Source<'_>, scope: Scope, promoted: &[Promoted]) -> RestEntries {
    let mut pool = Pool::default();
    let mut entries = Vec::new();
    for Owners { attributes, pool: from, places } in source.owners(scope) {
        for column in attributes.columns() {
            let (key, scalar) = (from.text(column.key), column.values.scalar_type());
            if promoted.iter().any(|p| p.scope == scope && p.scalar == scalar && p.key == key) {
                continue;
            }
            let key = pool.intern(key.as_bytes());
            for (index, owner) in column.owners.iter().enumerate() {
                let place = places[*owner as usize];
                if place != NOWHERE {
                    let value = OwnerValue::Scalar(column.values.get(index, from));
                    entries.push(entry(&mut pool, place, key, value));
                }
            }
        }
        let rest = &attributes.rest;
        for (index, owner) in rest.owners.iter().enumerate() {
            let place = places[*owner as usize];
            if place != NOWHERE {
                let key = pool.intern(from.get(rest.keys[index]));
                let value = OwnerValue::Rest(rest.types[index], from.get(rest.values[index]));
                entries.push(entry(&mut pool, place, key, value));
            }
        }
    }
    // Stable: what came first of an owner stays first.
    entries.sort_by_key(|entry| entry.place);
    RestEntries { pool, entries }
}

fn entry(pool: &mut Pool, place: u32, key: u32, value: OwnerValue<'_>) -> RestEntry {
    match value {
        OwnerValue::Scalar(scalar) => {
            let mut any = Vec::new();
            scalar.encode(&mut any);
            let kind = RestType::of(&scalar.to_value()) as u8;
            let value = pool.intern(&any);
            RestEntry { place, key, kind, value, is_typed_column: true }
        }
        OwnerValue::Rest(kind, any) => {
            RestEntry { place, key, kind, value: pool.intern(any), is_typed_column: false }
        }
    }
}

fn rest(source: &Source<'_>, scope: Scope) -> Result<ArrayRef, Error> {
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

fn events(source: &Source<'_>, promoted: &[Promoted]) -> Result<ArrayRef, Error> {
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

fn links(source: &Source<'_>, promoted: &[Promoted]) -> Result<ArrayRef, Error> {
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

fn unknown(
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
