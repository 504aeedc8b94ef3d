//! A batch: whole traces in tree order, with the columns that a query wants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::buffer::ScalarBuffer;

use super::resource::Resource;
use super::traces::TraceTable;
use crate::trace::{Scalar, SpanId, Value};

/// Which columns a reader must fill in a [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Projection {
    pub columns: BTreeSet<SpanColumn>,
    /// Keys of span attributes: all values of a key, whatever their type.
    pub attributes: BTreeSet<String>,
    pub events: Option<EventProjection>,
    pub links: Option<LinkProjection>,
}

/// The columns of a span that are not attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SpanColumn {
    SpanId,
    ParentId,
    /// `parent_delta`, `subtree` and `top`.
    Tree,
    /// `top` alone.
    Tops,
    Start,
    Duration,
    Name,
    Kind,
    Status,
    StatusMessage,
    Resource,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventProjection {
    pub name: bool,
    pub time: bool,
    pub attributes: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkProjection {
    pub ids: bool,
    pub attributes: BTreeSet<String>,
}

/// Whole traces in tree order. A column is there if the [`Projection`] asked for it; attribute keys that no row has are left out.
/// Every column has [`Batch::rows`] rows.
#[derive(Clone, Default)]
pub struct Batch {
    pub traces: Arc<TraceTable>,
    pub span_id: Vec<SpanId>,
    /// All zero where the span has no parent.
    pub parent_id: Vec<SpanId>,
    pub tree: TreeColumns,
    /// Unix nanoseconds.
    pub start: ScalarBuffer<u64>,
    /// Nanoseconds, as queries see it: 0 where the end lies before the start.
    pub duration: ScalarBuffer<u64>,
    pub name: Option<Strings>,
    /// OTLP's numbers: 1 internal, 2 server, 3 client, 4 producer, 5 consumer; unknown ones as they came.
    pub kind: ScalarBuffer<i32>,
    /// OTLP's numbers: 0 unset, 1 ok, 2 error; unknown ones as they came.
    pub status: ScalarBuffer<i32>,
    /// A null reads as the empty text.
    pub status_message: Option<Strings>,
    /// Index into `resources`.
    pub resource: ScalarBuffer<u32>,
    pub resources: Arc<Vec<Arc<Resource>>>,
    pub attributes: BTreeMap<String, AttributeValues>,
    pub events: Option<EventBatch>,
    pub links: Option<LinkBatch>,
}

/// The tree of each trace: rows are in depth-first pre-order, so that `j` descends from `i` just if `i < j && j <= i + subtree[i]`.
#[derive(Clone, Default)]
pub struct TreeColumns {
    /// Rows back to the parent, 0 for a top.
    pub parent_delta: ScalarBuffer<i32>,
    /// Number of descendants.
    pub subtree: ScalarBuffer<i32>,
    /// A [`Top`] as a number, 0 where the span has a parent here.
    pub top: ScalarBuffer<u8>,
}

/// Why a span has no parent in its trace. The numbers are the format's (`spans.parquet`, column `top`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Top {
    /// It has no parent id.
    Root = 1,
    /// Its parent is not here.
    ParentMissing = 2,
    /// Its parents lead back to itself: the cycle is cut at its earliest span.
    Cycle = 3,
}

/// The values of one attribute key. A row has a value in at most one of them.
#[derive(Clone, Default)]
pub struct AttributeValues {
    pub strings: Option<Strings>,
    pub ints: Option<Int64Array>,
    pub doubles: Option<Float64Array>,
    pub bools: Option<BooleanArray>,
    /// Values without a column, rows ascending. May also hold scalars.
    pub rest: Vec<(u32, Value)>,
}

/// Texts by dictionary: compare once per entry of `values`, then by key.
#[derive(Clone)]
pub struct Strings {
    keys: Int32Array,
    values: StringArray,
}

/// Events of all rows: those of row `r` are `offsets[r] .. offsets[r + 1]`.
#[derive(Clone, Default)]
pub struct EventBatch {
    pub offsets: Vec<u32>,
    /// Unix nanoseconds.
    pub time: ScalarBuffer<u64>,
    pub name: Option<Strings>,
    pub attributes: BTreeMap<String, AttributeValues>,
}

/// Links of all rows: those of row `r` are `offsets[r] .. offsets[r + 1]`.
#[derive(Clone, Default)]
pub struct LinkBatch {
    pub offsets: Vec<u32>,
    /// As they came, of any length.
    pub trace_id: Vec<Vec<u8>>,
    pub span_id: Vec<Vec<u8>>,
    pub attributes: BTreeMap<String, AttributeValues>,
}

/// A value of a batch, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CellValue<'a> {
    Scalar(Scalar<'a>),
    /// Array, kvlist, bytes or empty value.
    Other(&'a Value),
}

impl Projection {
    /// Asks for these columns too.
    #[must_use]
    pub fn with(mut self, columns: impl IntoIterator<Item = SpanColumn>) -> Self {
        self.columns.extend(columns);
        self
    }

    pub fn has(&self, column: SpanColumn) -> bool {
        self.columns.contains(&column)
    }

    /// Adds all that `other` asks for.
    pub fn extend(&mut self, other: &Self) {
        let Self { columns, attributes, events, links } = other;
        self.columns.extend(columns);
        self.attributes.extend(attributes.iter().cloned());
        if let Some(events) = events {
            let EventProjection { name, time, attributes } = events;
            let mine = self.events.get_or_insert_default();
            mine.name |= name;
            mine.time |= time;
            mine.attributes.extend(attributes.iter().cloned());
        }
        if let Some(links) = links {
            let LinkProjection { ids, attributes } = links;
            let mine = self.links.get_or_insert_default();
            mine.ids |= ids;
            mine.attributes.extend(attributes.iter().cloned());
        }
    }
}

impl Batch {
    /// Number of spans.
    pub fn rows(&self) -> usize {
        self.traces.row_count()
    }

    /// Empty where the span's resource has no `service.name`.
    pub fn service_name(&self, row: usize) -> &str {
        self.resources[self.resource[row] as usize].service_name()
    }
}

impl AttributeValues {
    pub fn get(&self, row: usize) -> Option<CellValue<'_>> {
        if let Some(text) = self.strings.as_ref().and_then(|strings| strings.get(row)) {
            return Some(CellValue::Scalar(Scalar::String(text)));
        }
        if let Some(ints) = self.ints.as_ref().filter(|ints| ints.is_valid(row)) {
            return Some(CellValue::Scalar(Scalar::Int(ints.value(row))));
        }
        if let Some(doubles) = self.doubles.as_ref().filter(|doubles| doubles.is_valid(row)) {
            return Some(CellValue::Scalar(Scalar::Double(doubles.value(row))));
        }
        if let Some(bools) = self.bools.as_ref().filter(|bools| bools.is_valid(row)) {
            return Some(CellValue::Scalar(Scalar::Bool(bools.value(row))));
        }
        let place = self.rest.binary_search_by_key(&row, |(row, _)| *row as usize).ok()?;
        let value = &self.rest[place].1;
        Some(value.scalar().map_or(CellValue::Other(value), CellValue::Scalar))
    }
}

impl Strings {
    pub fn new(keys: Int32Array, values: StringArray) -> Self {
        Self { keys, values }
    }

    pub fn get(&self, row: usize) -> Option<&str> {
        self.key(row).map(|key| self.values.value(key))
    }

    /// Index into [`Strings::values`], `None` for a null.
    pub fn key(&self, row: usize) -> Option<usize> {
        self.keys.is_valid(row).then(|| {
            usize::try_from(self.keys.value(row)).expect("dictionary keys are not negative")
        })
    }

    pub fn keys(&self) -> &Int32Array {
        &self.keys
    }

    /// The dictionary. It may hold entries that no row has, and equal ones.
    pub fn values(&self) -> &StringArray {
        &self.values
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}
