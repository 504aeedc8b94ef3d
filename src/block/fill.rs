//! The columns of a batch out of the columns of a block.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, DictionaryArray, FixedSizeBinaryArray, Int32Array,
    Int64Array, ListArray, RecordBatch, StringArray, StructArray, UInt8Array, UInt32Array,
    UInt64Array,
};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::Int32Type;

use super::Error;
use super::fetch::column;
use super::promote::{Promoted, Scope};
use super::resources::ResourceTable;
use crate::columns::{
    AttributeValues, Batch, DUPLICATE, EventBatch, LinkBatch, Projection, ScalarType, SpanColumn,
    Strings, TraceTable, TreeColumns,
};
use crate::trace::{SpanId, Value};

/// The columns of a batch out of the columns of a block.
pub(super) fn fill(
    whole: &RecordBatch,
    projection: &Projection,
    traces: Arc<TraceTable>,
    resources: &ResourceTable,
) -> Result<Batch, Error> {
    let mut batch = Batch { traces, ..Batch::default() };
    for wanted in &projection.columns {
        match wanted {
            SpanColumn::SpanId => batch.span_id = span_ids(whole)?,
            SpanColumn::ParentId => batch.parent_id = parent_ids(whole)?,
            SpanColumn::Tree => batch.tree = tree(whole)?,
            SpanColumn::Tops => batch.tree.top = tops(whole)?,
            SpanColumn::Start => {
                batch.start = column::<UInt64Array>(whole, "start_ns")?.values().clone();
            }
            SpanColumn::Duration => batch.duration = durations(whole)?,
            SpanColumn::Name => batch.name = Some(strings(named(whole, "name")?)?),
            SpanColumn::Kind => batch.kind = column::<Int32Array>(whole, "kind")?.values().clone(),
            SpanColumn::Status => {
                // A null reads as 0, which is what stands where there is no value.
                batch.status = column::<Int32Array>(whole, "status")?.values().clone();
            }
            SpanColumn::StatusMessage => {
                batch.status_message = Some(strings(named(whole, "status_message")?)?);
            }
            SpanColumn::Resource => {
                batch.resource = column::<UInt32Array>(whole, "resource")?.values().clone();
                batch.resources = Arc::clone(&resources.all);
            }
        }
    }
    batch.attributes = span_attributes(whole, &projection.attributes)?;
    if projection.events.is_some() {
        batch.events = Some(events(whole, projection)?);
    }
    if projection.links.is_some() {
        batch.links = Some(links(whole, projection)?);
    }
    Ok(batch)
}

pub(super) fn named<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, Error> {
    batch
        .column_by_name(name)
        .ok_or(Error::Corrupt { part: "parquet", what: "a column is missing" })
}

/// The ids of a fixed-size column.
pub(super) fn ids<const N: usize>(array: &FixedSizeBinaryArray) -> Result<Vec<[u8; N]>, Error> {
    let wrong = Error::Corrupt { part: "spans.parquet", what: "ids of another length" };
    let (chunks, rest) = array.value_data().as_chunks::<N>();
    if usize::try_from(array.value_length()) != Ok(N) || !rest.is_empty() {
        return Err(wrong);
    }
    Ok(chunks[array.offset()..array.offset() + array.len()].to_vec())
}

fn span_ids(whole: &RecordBatch) -> Result<Vec<SpanId>, Error> {
    let ids = ids::<8>(column(whole, "span_id")?)?;
    Ok(ids.into_iter().map(SpanId).collect())
}

/// Parent ids: the parent's row has it, or the span itself if its parent is elsewhere.
pub(super) fn parent_ids(whole: &RecordBatch) -> Result<Vec<SpanId>, Error> {
    let own = span_ids(whole)?;
    let stored = column::<FixedSizeBinaryArray>(whole, "parent_span_id")?;
    let deltas = column::<Int32Array>(whole, "parent_delta")?;
    let parent = |row: usize| {
        let back = usize::try_from(deltas.value(row)).unwrap_or(0);
        if back > 0 {
            return row.checked_sub(back).map(|parent| own[parent]);
        }
        let id = stored.is_valid(row).then(|| stored.value(row).try_into().ok()).flatten();
        Some(id.map(SpanId).unwrap_or_default())
    };
    let what = "a parent lies before the first row";
    (0..own.len())
        .map(|row| parent(row).ok_or(Error::Corrupt { part: "spans.parquet", what }))
        .collect()
}

fn tree(whole: &RecordBatch) -> Result<TreeColumns, Error> {
    Ok(TreeColumns {
        parent_delta: column::<Int32Array>(whole, "parent_delta")?.values().clone(),
        subtree: column::<Int32Array>(whole, "subtree")?.values().clone(),
        top: tops(whole)?,
    })
}

/// A null reads as 0, which is what stands where there is no value.
fn tops(whole: &RecordBatch) -> Result<ScalarBuffer<u8>, Error> {
    Ok(column::<UInt8Array>(whole, "top")?.values().clone())
}

/// As queries see them: 0 where the end lies before the start.
fn durations(whole: &RecordBatch) -> Result<ScalarBuffer<u64>, Error> {
    let starts = column::<UInt64Array>(whole, "start_ns")?.values();
    let lengths = column::<Int64Array>(whole, "duration_ns")?.values();
    let visible = |(start, length): (&u64, &i64)| {
        let length = length.cast_unsigned();
        // Past the end of time means that the end lies before the start.
        if start.checked_add(length).is_some() { length } else { 0 }
    };
    Ok(starts.iter().zip(lengths).map(visible).collect::<Vec<_>>().into())
}

pub(super) fn strings(array: &ArrayRef) -> Result<Strings, Error> {
    let wrong = Error::Corrupt { part: "parquet", what: "a text column is no dictionary of texts" };
    let dictionary = array.as_any().downcast_ref::<DictionaryArray<Int32Type>>();
    let Some(dictionary) = dictionary else { return Err(wrong) };
    let values = dictionary.values().as_any().downcast_ref::<StringArray>();
    let Some(values) = values else { return Err(wrong) };
    Ok(Strings::new(dictionary.keys().clone(), values.clone()))
}

/// The values of some keys of span attributes.
pub(super) fn span_attributes(
    whole: &RecordBatch,
    keys: &BTreeSet<String>,
) -> Result<BTreeMap<String, AttributeValues>, Error> {
    attributes(Scope::Span, keys, &|name| whole.column_by_name(name))
}

/// The values of some keys, by typed columns and `attributes_rest`.
fn attributes<'a>(
    scope: Scope,
    keys: &BTreeSet<String>,
    find: &dyn Fn(&str) -> Option<&'a ArrayRef>,
) -> Result<BTreeMap<String, AttributeValues>, Error> {
    let rest = find("attributes_rest").map(rest_lists).transpose()?;
    let mut rest = rest.map(|rest| rest.values_of(keys)).transpose()?.unwrap_or_default();
    let mut all = BTreeMap::new();
    for key in keys {
        let name = |scalar| Promoted { scope, key: key.clone(), scalar }.column_name();
        let typed = |scalar| find(&name(scalar)).map(Array::as_any);
        let values = AttributeValues {
            strings: find(&name(ScalarType::String)).map(strings).transpose()?,
            ints: typed(ScalarType::Int).and_then(|any| any.downcast_ref().cloned()),
            doubles: typed(ScalarType::Double).and_then(|any| any.downcast_ref().cloned()),
            bools: typed(ScalarType::Bool).and_then(|any| any.downcast_ref().cloned()),
            rest: rest.remove(key.as_str()).unwrap_or_default(),
        };
        let AttributeValues { strings, ints, doubles, bools, rest } = &values;
        let typed = strings.is_some() || ints.is_some() || doubles.is_some() || bools.is_some();
        if typed || !rest.is_empty() {
            all.insert(key.clone(), values);
        }
    }
    Ok(all)
}

/// Values of one key, rows ascending.
type ByRow = Vec<(u32, Value)>;

/// `attributes_rest` of a set of owners.
pub(super) struct RestLists<'a> {
    list: &'a ListArray,
    pub keys: Strings,
    pub types: &'a UInt8Array,
    pub values: &'a BinaryArray,
}

pub(super) fn rest_lists(array: &ArrayRef) -> Result<RestLists<'_>, Error> {
    let wrong = || Error::Corrupt { part: "parquet", what: "attributes_rest has another shape" };
    let list = array.as_list_opt::<i32>().ok_or_else(wrong)?;
    let items = list.values().as_struct_opt().ok_or_else(wrong)?;
    let types = items.column_by_name("type").and_then(|a| a.as_any().downcast_ref());
    let values = items.column_by_name("value").and_then(|a| a.as_any().downcast_ref());
    Ok(RestLists {
        list,
        keys: strings(items.column_by_name("key").ok_or_else(wrong)?)?,
        types: types.ok_or_else(wrong)?,
        values: values.ok_or_else(wrong)?,
    })
}

impl RestLists<'_> {
    /// The entries of an owner.
    pub(super) fn of(&self, owner: usize) -> std::ops::Range<usize> {
        range(self.list, owner)
    }

    /// The values of some keys by row, in one pass.
    fn values_of<'k>(&self, keys: &'k BTreeSet<String>) -> Result<BTreeMap<&'k str, ByRow>, Error> {
        let dictionary = self.keys.values();
        let mut found: Vec<(&str, ByRow)> = Vec::new();
        let mut places: Vec<Option<usize>> = Vec::with_capacity(dictionary.len());
        for key in dictionary {
            let wanted = keys.get(key.unwrap_or_default()).filter(|_| key.is_some());
            places.push(wanted.map(|key| {
                // A dictionary may have an entry twice.
                found.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
                    found.push((key, Vec::new()));
                    found.len() - 1
                })
            }));
        }
        if found.is_empty() {
            return Ok(BTreeMap::new());
        }
        for owner in 0..self.list.len() {
            for entry in self.of(owner) {
                let place = self.keys.key(entry).and_then(|code| places[code]);
                if let Some(place) = place
                    && self.types.value(entry) & DUPLICATE == 0
                {
                    let row = u32::try_from(owner).expect("a unit has less than 4 Gi rows");
                    found[place].1.push((row, Value::decode(self.values.value(entry))?));
                }
            }
        }
        Ok(found.into_iter().collect())
    }
}

/// The children of one row of a list.
pub(super) fn range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = list.value_offsets();
    let at = |index: usize| usize::try_from(offsets[index]).unwrap_or(0);
    at(row)..at(row + 1)
}

pub(super) fn children<'a>(
    whole: &'a RecordBatch,
    name: &str,
) -> Result<(&'a ListArray, &'a StructArray), Error> {
    let wrong = || Error::Corrupt { part: "parquet", what: "events or links have another shape" };
    let list = named(whole, name)?.as_list_opt::<i32>().ok_or_else(wrong)?;
    let items = list.values().as_struct_opt().ok_or_else(wrong)?;
    Ok((list, items))
}

fn offsets(list: &ListArray) -> Vec<u32> {
    list.value_offsets().iter().map(|offset| offset.cast_unsigned()).collect()
}

fn events(whole: &RecordBatch, projection: &Projection) -> Result<EventBatch, Error> {
    let wanted = projection.events.as_ref();
    let (list, items) = children(whole, "events")?;
    let mut batch = EventBatch { offsets: offsets(list), ..EventBatch::default() };
    let Some(wanted) = wanted else { return Ok(batch) };
    if wanted.time {
        let starts = column::<UInt64Array>(whole, "start_ns")?;
        let offsets = items.column_by_name("time_offset_ns");
        let offsets = offsets.and_then(|array| array.as_any().downcast_ref::<Int64Array>());
        let missing = Error::Corrupt { part: "parquet", what: "events have no time" };
        let offsets = offsets.ok_or(missing)?;
        let mut times = vec![0; items.len()];
        for row in 0..list.len() {
            for event in range(list, row) {
                let offset = offsets.value(event).cast_unsigned();
                times[event] = starts.value(row).wrapping_add(offset);
            }
        }
        batch.time = times.into();
    }
    if wanted.name {
        batch.name = items.column_by_name("name").map(strings).transpose()?;
    }
    batch.attributes = attributes(Scope::Event, &wanted.attributes, &|n| items.column_by_name(n))?;
    Ok(batch)
}

fn links(whole: &RecordBatch, projection: &Projection) -> Result<LinkBatch, Error> {
    let (list, items) = children(whole, "links")?;
    let mut batch = LinkBatch { offsets: offsets(list), ..LinkBatch::default() };
    let Some(wanted) = projection.links.as_ref() else { return Ok(batch) };
    let bytes = |name: &str| -> Vec<Vec<u8>> {
        let array = items.column_by_name(name);
        let array = array.and_then(|array| array.as_any().downcast_ref::<BinaryArray>());
        array.map_or_else(Vec::new, |array| {
            (0..array.len()).map(|link| array.value(link).to_vec()).collect()
        })
    };
    if wanted.ids {
        batch.trace_id = bytes("trace_id");
        batch.span_id = bytes("span_id");
    }
    batch.attributes = attributes(Scope::Link, &wanted.attributes, &|n| items.column_by_name(n))?;
    Ok(batch)
}
