//! Rows of a block back into a chunk of `Spans`, every field as it came.

use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    StructArray, UInt32Array, UInt64Array,
};
use arrow::compute::concat_batches;
use parquet::arrow::ProjectionMask;

use super::Error;
use super::fetch::{Fetch, column, select};
use super::fill::{self, RestLists, children, ids, named, parent_ids, range, strings};
use super::open::Block;
use super::promote::Promoted;
use super::resources::ResourceTable;
use crate::columns::{
    Attributes, DUPLICATE, EMPTY, NO_STATUS, Pool, Projection, ScalarType, SpanColumn, SpanRow,
    Spans, Strings,
};
use crate::scan::ScanCost;
use crate::store::keys::BlockObject;
use crate::trace::{Scalar, SpanId, TraceId};

/// What tells spans of a trace apart, and what their place in it and the facts of the trace follow from.
const LAID_OUT: [SpanColumn; 6] = [
    SpanColumn::ParentId,
    SpanColumn::Duration,
    SpanColumn::Name,
    SpanColumn::Kind,
    SpanColumn::Status,
    SpanColumn::Resource,
];

impl Block {
    /// All fields of the spans in some row ranges, which must be of whole traces, ascend and not overlap.
    ///
    /// # Errors
    /// When the block cannot be read or is damaged.
    pub async fn spans(&self, rows: &[Range<u64>], cost: &mut ScanCost) -> Result<Spans, Error> {
        self.restored(rows, None, cost).await
    }

    /// As [`Block::spans`], but only what tells spans apart and lays them out, and what a projection has; the rest is as if it were not
    /// there.
    ///
    /// # Errors
    /// When the block cannot be read or is damaged.
    pub async fn some_spans(
        &self,
        rows: &[Range<u64>],
        projection: &Projection,
        cost: &mut ScanCost,
    ) -> Result<Spans, Error> {
        let laid_out = projection.clone().with(LAID_OUT);
        self.restored(rows, Some(&laid_out), cost).await
    }

    async fn restored(
        &self,
        rows: &[Range<u64>],
        projection: Option<&Projection>,
        cost: &mut ScanCost,
    ) -> Result<Spans, Error> {
        let tails = self.tails(cost).await?;
        let mask = match projection {
            Some(projection) => self.mask_to_restore(&tails.spans, projection),
            None => ProjectionMask::all(),
        };
        let (row_groups, selection) = select(&tails.spans, rows);
        let fetch = Fetch {
            object: BlockObject::Spans,
            metadata: &tails.spans,
            mask,
            row_groups,
            selection: Some(selection),
        };
        // Side by side: each is a round to the bucket.
        let mut cost_of_rows = ScanCost::default();
        let (resources, pages) = futures::try_join!(
            self.resource_table(cost),
            self.fetch_pages(fetch, &mut cost_of_rows)
        )?;
        cost.add(cost_of_rows);
        let pages = pages.with_resources(&resources);
        let make = move |batches: Vec<RecordBatch>| match &batches[..] {
            [] => Ok(Spans::default()),
            [one] => restore(one, &resources),
            [first, ..] => restore(&concat_batches(&first.schema(), &batches)?, &resources),
        };
        self.decoded(pages, make).await
    }
}

fn restore(whole: &RecordBatch, resources: &ResourceTable) -> Result<Spans, Error> {
    let mut spans = Spans::default();
    push_rows(whole, resources, &mut spans)?;
    let rows: Vec<u32> = (0..spans.next_row()).collect();
    let Spans { pool, attributes, unknown, .. } = &mut spans;
    let fields = whole.schema();
    let columns = fields.fields().iter().map(|field| field.name().as_str()).zip(whole.columns());
    restore_attributes(columns.collect(), &rows, pool, attributes)?;
    let has = |name: &str| whole.column_by_name(name).is_some();
    if has("attributes_rest") {
        let rest = fill::rest_lists(named(whole, "attributes_rest")?)?;
        restore_rest(&rest, &rows, pool, attributes);
    }
    if has("unknown") {
        restore_unknown(column(whole, "unknown")?, pool, unknown);
    }
    if has("events") {
        restore_events(whole, &mut spans)?;
    }
    if has("links") {
        restore_links(whole, &mut spans)?;
    }
    Ok(spans)
}

fn push_rows(
    whole: &RecordBatch,
    resources: &ResourceTable,
    spans: &mut Spans,
) -> Result<(), Error> {
    let trace_ids = ids::<16>(column(whole, "trace_id")?)?;
    let span_ids = ids::<8>(column(whole, "span_id")?)?;
    let parents = parent_ids(whole)?;
    let starts = column::<UInt64Array>(whole, "start_ns")?;
    let lengths = column::<Int64Array>(whole, "duration_ns")?;
    let kinds = column::<Int32Array>(whole, "kind")?;
    let statuses = column::<Int32Array>(whole, "status")?;
    let count = whole.num_rows();
    let mut texts = |name: &str| -> Result<Vec<u32>, Error> {
        match whole.column_by_name(name) {
            Some(column) => Ok(codes(&strings(column)?, &mut spans.pool)),
            None => Ok(vec![EMPTY; count]),
        }
    };
    let numbers = |name: &str| -> Result<UInt32Array, Error> {
        match whole.column_by_name(name) {
            Some(_) => column::<UInt32Array>(whole, name).cloned(),
            None => Ok(UInt32Array::from(vec![0; count])),
        }
    };
    let (names, messages, states) =
        (texts("name")?, texts("status_message")?, texts("trace_state")?);
    let flags = numbers("flags")?;
    let dropped = [
        numbers("dropped_attributes_count")?,
        numbers("dropped_events_count")?,
        numbers("dropped_links_count")?,
    ];
    let of_row = column::<UInt32Array>(whole, "resource")?.values();
    let mut adopted: Vec<Option<u32>> = vec![None; resources.all.len()];
    for row in 0..whole.num_rows() {
        let index = of_row[row] as usize;
        let resource = *adopted[index].get_or_insert_with(|| spans.adopt(&resources.all[index]));
        let start = starts.value(row);
        spans.push(SpanRow {
            trace_id: TraceId(trace_ids[row]),
            span_id: SpanId(span_ids[row]),
            parent_id: parents[row],
            start,
            end: start.wrapping_add(lengths.value(row).cast_unsigned()),
            name: names[row],
            kind: kinds.value(row),
            status: if statuses.is_valid(row) { statuses.value(row) } else { NO_STATUS },
            status_message: messages[row],
            trace_state: states[row],
            flags: flags.value(row),
            dropped: dropped.each_ref().map(|counts| counts.value(row)),
            resource,
        });
    }
    Ok(())
}

/// Codes of a dictionary column; a null is the empty text. Each entry is looked up once, if there are fewer entries than rows.
fn codes(texts: &Strings, pool: &mut Pool) -> Vec<u32> {
    if texts.len() < texts.values().len() {
        let text = |row| texts.get(row).map_or(EMPTY, |text| pool.intern(text.as_bytes()));
        return (0..texts.len()).map(text).collect();
    }
    let mut known: Vec<Option<u32>> = vec![None; texts.values().len()];
    (0..texts.len())
        .map(|row| {
            texts.key(row).map_or(EMPTY, |key| {
                *known[key].get_or_insert_with(|| pool.intern(texts.values().value(key).as_bytes()))
            })
        })
        .collect()
}

/// Typed columns, owner by owner: that is how [`Attributes`] is filled.
fn restore_attributes(
    columns: Vec<(&str, &ArrayRef)>,
    owners: &[u32],
    pool: &mut Pool,
    into: &mut Attributes,
) -> Result<(), Error> {
    let wrong =
        || Error::Corrupt { part: "spans.parquet", what: "an attribute column has another type" };
    for (name, array) in columns {
        let Some(Promoted { key, scalar, .. }) = Promoted::parse(name) else { continue };
        let key = pool.intern(key.as_bytes());
        let key = into.key(key);
        let any = array.as_any();
        let valid = valid_rows(array).map(|row| (row, owners[row]));
        match scalar {
            ScalarType::String => {
                let codes = codes(&strings(array)?, pool);
                valid.for_each(|(row, owner)| into.push_text(pool, owner, key, codes[row]));
            }
            ScalarType::Int => {
                let values = any.downcast_ref::<Int64Array>().ok_or_else(wrong)?.values();
                valid
                    .for_each(|(row, owner)| into.push(pool, owner, key, Scalar::Int(values[row])));
            }
            ScalarType::Double => {
                let values = any.downcast_ref::<Float64Array>().ok_or_else(wrong)?.values();
                valid.for_each(|(row, owner)| {
                    into.push(pool, owner, key, Scalar::Double(values[row]));
                });
            }
            ScalarType::Bool => {
                let values = any.downcast_ref::<BooleanArray>().ok_or_else(wrong)?.values();
                valid.for_each(|(row, owner)| {
                    into.push(pool, owner, key, Scalar::Bool(values.value(row)));
                });
            }
        }
    }
    Ok(())
}

/// The rows that have a value.
fn valid_rows(array: &ArrayRef) -> Box<dyn Iterator<Item = usize> + '_> {
    match array.nulls() {
        Some(nulls) => Box::new(nulls.valid_indices()),
        None => Box::new(0..array.len()),
    }
}

/// Scalars of unpromoted keys become typed again; everything else stays in `rest`.
fn restore_rest(rest: &RestLists<'_>, owners: &[u32], pool: &mut Pool, into: &mut Attributes) {
    for (index, owner) in owners.iter().enumerate() {
        for entry in rest.of(index) {
            let key = pool.intern(rest.keys.get(entry).unwrap_or_default().as_bytes());
            let (kind, any) = (rest.types.value(entry), rest.values.value(entry));
            let exact = (kind & DUPLICATE == 0).then(|| exact_scalar(any)).flatten();
            match exact.as_ref().and_then(crate::trace::Value::scalar) {
                Some(scalar) => {
                    let key = into.key(key);
                    into.push(pool, *owner, key, scalar);
                }
                None => into.push_rest_raw(pool, *owner, key, kind, any),
            }
        }
    }
}

/// The value of an `AnyValue` message that is just one scalar and written the way we write it.
fn exact_scalar(any: &[u8]) -> Option<crate::trace::Value> {
    let value = crate::trace::Value::decode(any).ok()?;
    (value.scalar().is_some() && value.encoded() == any).then_some(value)
}

fn restore_unknown(column: &BinaryArray, pool: &mut Pool, into: &mut Vec<(u32, u32)>) {
    for (owner, value) in (0_u32..).zip(column.iter()) {
        if let Some(bytes) = value {
            into.push((owner, pool.intern(bytes)));
        }
    }
}

/// A field of events or links.
fn field<'a, A: Array + 'static>(items: &'a StructArray, name: &str) -> Result<&'a A, Error> {
    let array = items.column_by_name(name).and_then(|array| array.as_any().downcast_ref());
    array.ok_or(Error::Corrupt {
        part: "spans.parquet",
        what: "a field of events or links is missing",
    })
}

fn child_attributes(
    items: &StructArray,
    pool: &mut Pool,
    into: &mut Attributes,
) -> Result<(), Error> {
    let count = u32::try_from(items.len()).expect("a unit has less than 4 Gi children");
    let owners: Vec<u32> = (0..count).collect();
    let names = items.column_names();
    let columns = names.into_iter().zip(items.columns()).collect();
    restore_attributes(columns, &owners, pool, into)?;
    let missing = Error::Corrupt { part: "spans.parquet", what: "attributes_rest is missing" };
    let rest = fill::rest_lists(items.column_by_name("attributes_rest").ok_or(missing)?)?;
    restore_rest(&rest, &owners, pool, into);
    Ok(())
}

fn restore_events(whole: &RecordBatch, spans: &mut Spans) -> Result<(), Error> {
    let (list, items) = children(whole, "events")?;
    let offsets = field::<Int64Array>(items, "time_offset_ns")?;
    let Spans { pool, events, start, .. } = spans;
    for (row, start) in start.iter().enumerate() {
        for event in range(list, row) {
            events.row.push(u32::try_from(row).expect("a unit has less than 4 Gi rows"));
            events.time.push(start.wrapping_add(offsets.value(event).cast_unsigned()));
        }
    }
    let missing = Error::Corrupt { part: "spans.parquet", what: "events have no name" };
    events.name = codes(&strings(items.column_by_name("name").ok_or(missing)?)?, pool);
    events.dropped = field::<UInt32Array>(items, "dropped_attributes_count")?.values().to_vec();
    restore_unknown(field(items, "unknown")?, pool, &mut events.unknown);
    child_attributes(items, pool, &mut events.attributes)
}

fn restore_links(whole: &RecordBatch, spans: &mut Spans) -> Result<(), Error> {
    let (list, items) = children(whole, "links")?;
    let Spans { pool, links, .. } = spans;
    for row in 0..list.len() {
        for _ in range(list, row) {
            links.row.push(u32::try_from(row).expect("a unit has less than 4 Gi rows"));
        }
    }
    let mut bytes = |name: &str| -> Result<Vec<u32>, Error> {
        let array = field::<BinaryArray>(items, name)?;
        Ok((0..array.len()).map(|link| pool.intern(array.value(link))).collect())
    };
    links.trace_id = bytes("trace_id")?;
    links.span_id = bytes("span_id")?;
    let missing = Error::Corrupt { part: "spans.parquet", what: "links have no trace state" };
    links.trace_state = codes(&strings(items.column_by_name("trace_state").ok_or(missing)?)?, pool);
    links.flags = field::<UInt32Array>(items, "flags")?.values().to_vec();
    links.dropped = field::<UInt32Array>(items, "dropped_attributes_count")?.values().to_vec();
    restore_unknown(field(items, "unknown")?, pool, &mut links.unknown);
    child_attributes(items, pool, &mut links.attributes)
}
