//! The columns of `spans.parquet`, one at a time: name, type, and the array of some rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, FixedSizeBinaryArray, Int32Array, Int64Array, UInt8Array,
    UInt32Array, UInt64Array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, Int32Type};

use super::Error;
use super::nested::{
    event_fields, events, link_fields, links, list_of, rest, rest_fields, unknown,
};
use super::promote::{Promoted, Scope};
use super::source::Source;
use crate::columns::gather;
use crate::columns::{AttributeValues, NO_STATUS, RowRef, ScalarType, Spans, Strings};

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

pub(super) fn dictionary_of(values: DataType) -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(values))
}

pub(super) fn scalar_type(scalar: ScalarType) -> DataType {
    match scalar {
        ScalarType::String => dictionary_of(DataType::Utf8),
        ScalarType::Int => DataType::Int64,
        ScalarType::Double => DataType::Float64,
        ScalarType::Bool => DataType::Boolean,
    }
}

fn fixed<const N: usize>(ids: Vec<[u8; N]>, valid: Option<Vec<bool>>) -> Result<ArrayRef, Error> {
    let width = i32::try_from(N).expect("an id is short");
    let bytes: Vec<u8> = ids.into_flattened();
    let nulls = valid.map(NullBuffer::from);
    Ok(Arc::new(FixedSizeBinaryArray::try_new(width, bytes.into(), nulls)?))
}

pub(super) fn dictionary(texts: &Strings) -> ArrayRef {
    let values: ArrayRef = Arc::new(texts.values().clone());
    Arc::new(DictionaryArray::<Int32Type>::new(texts.keys().clone(), values))
}

/// The empty text, always entry 0 of a gathered dictionary, is a null in optional columns.
fn empty_as_null(texts: &Strings) -> ArrayRef {
    let keys = texts.keys().values();
    let valid = BooleanBuffer::collect_bool(keys.len(), |index| keys[index] != 0);
    let keys = Int32Array::new(keys.clone(), Some(NullBuffer::new(valid)));
    dictionary(&Strings::new(keys, texts.values().clone()))
}

fn resource_hashes(source: &Source<'_>) -> ArrayRef {
    let keys_of = |spans: &&Spans| -> Vec<u64> {
        spans.resources.iter().map(|resource| source.resource_key(resource)).collect()
    };
    let keys: Vec<Vec<u64>> = source.chunks.iter().map(keys_of).collect();
    let key = |row: &RowRef| {
        let spans = source.chunks[row.chunk as usize];
        keys[row.chunk as usize][spans.resource[row.row as usize] as usize]
    };
    Arc::new(UInt64Array::from_iter_values(source.rows.iter().map(key)))
}

pub(super) fn attribute(source: &Source<'_>, promoted: &Promoted) -> ArrayRef {
    let Promoted { scope, key: _, scalar } = promoted;
    let count = source.owner_count(*scope);
    let values = gather::attribute_of_type(source.parts(promoted), *scalar, count);
    let AttributeValues { strings, ints, doubles, bools, rest: _ } = values;
    match scalar {
        ScalarType::String => strings.map(|texts| dictionary(&texts)),
        ScalarType::Int => ints.map(|values| Arc::new(values) as ArrayRef),
        ScalarType::Double => doubles.map(|values| Arc::new(values) as ArrayRef),
        ScalarType::Bool => bools.map(|values| Arc::new(values) as ArrayRef),
    }
    .unwrap_or_else(|| arrow::array::new_null_array(&scalar_type(*scalar), count))
}
