//! Units of a block as batches: a block's answer to a scan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, DictionaryArray, FixedSizeBinaryArray, Int32Array,
    Int64Array, ListArray, RecordBatch, StringArray, StructArray, UInt8Array, UInt32Array,
    UInt64Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::Int32Type;
use async_trait::async_trait;
use futures::future::BoxFuture;
use parquet::arrow::ProjectionMask;

use super::Error;
use super::fetch::{Fetch, column};
use super::open::Block;
use super::promote::{Promoted, Scope};
use super::resources::ResourceTable;
use super::zones::{KeyScope, Zone};
use crate::columns::{
    AttributeValues, Batch, DUPLICATE, EventBatch, LinkBatch, Projection, ScalarType, SpanColumn,
    Strings, TraceTable, TreeColumns,
};
use crate::failure::Failure;
use crate::scan::{Need, Scan, ScanCost, SpanSource, Unit};
use crate::store::keys::BlockObject;
use crate::trace::{SpanId, TraceId, Value};

#[async_trait]
impl SpanSource for Block {
    fn units(&self, scan: &Scan) -> (Vec<Unit>, u64) {
        let zones = &self.index.zones.units;
        let may = |zone: &Zone| {
            zone.overlaps(&scan.window) && zone.may_satisfy(&self.index.catalog, &scan.need)
        };
        let wanted: Vec<Unit> = (0..)
            .zip(zones)
            .filter(|(_, zone)| may(zone) && self.may_hold(zone, &scan.need))
            .map(|(index, zone)| Unit {
                index,
                first_start: zone.trace_start_min,
                last_start: zone.trace_start_max,
                rows: zone.rows,
            })
            .collect();
        let skipped = (zones.len() - wanted.len()) as u64;
        (wanted, skipped)
    }

    async fn read(&self, unit: &Unit, scan: &Scan) -> Result<(Batch, ScanCost), Failure> {
        let mut cost = ScanCost { units_read: 1, rows: unit.rows, ..ScanCost::default() };
        let batch = self.batch(unit.index, &scan.projection, &mut cost).await;
        let batch = batch.map_err(|error| {
            Failure::internal(format!("block {}: {}", self.id, crate::failure::chain(&error)))
        })?;
        cost.traces = batch.traces.len() as u64;
        Ok((batch, cost))
    }
}

impl Block {
    /// A search for one trace needs only the unit that it lies in.
    fn may_hold(&self, zone: &Zone, need: &Need) -> bool {
        match need {
            Need::Trace(id) => {
                let rows = zone.first_row..zone.first_row + zone.rows;
                self.places(*id).iter().any(|place| rows.contains(&place.first_row))
            }
            Need::All(needs) => needs.iter().all(|need| self.may_hold(zone, need)),
            Need::Any(needs) => needs.iter().any(|need| self.may_hold(zone, need)),
            _ => true,
        }
    }

    async fn batch(
        &self,
        unit: usize,
        projection: &Projection,
        cost: &mut ScanCost,
    ) -> Result<Batch, Error> {
        let zone = &self.index.zones.units[unit];
        let resources = self.resource_table(cost).await?;
        let traces = Arc::clone(&self.trace_tables(cost).await?[unit]);
        let mask = self.mask(projection);
        let first = zone.first_row_group as usize;
        let row_groups = (first..first + zone.row_groups as usize).collect();
        let fetch = Fetch {
            object: BlockObject::Spans,
            metadata: &self.index.spans,
            mask,
            row_groups,
            selection: None,
        };
        let parts = self.fetch(fetch, cost).await?;
        let projection = projection.clone();
        self.cpu
            .run(move || {
                let whole = match &parts[..] {
                    [part] => part.clone(),
                    [] => return Ok(Batch { traces, ..Batch::default() }),
                    parts => concat_batches(&parts[0].schema(), parts)?,
                };
                fill(&whole, &projection, traces, &resources)
            })
            .await
    }

    /// The resources of the block, read once.
    pub(super) async fn resource_table(
        &self,
        cost: &mut ScanCost,
    ) -> Result<Arc<ResourceTable>, Error> {
        let load: BoxFuture<'_, Result<Arc<ResourceTable>, Error>> = Box::pin(async {
            let fetch = Fetch {
                object: BlockObject::Resources,
                metadata: &self.index.resources,
                mask: ProjectionMask::all(),
                row_groups: (0..self.index.resources.metadata().num_row_groups()).collect(),
                selection: None,
            };
            let batches = self.fetch(fetch, cost).await?;
            let table = self.cpu.run(move || ResourceTable::decode(&batches)).await?;
            Ok(Arc::new(table))
        });
        self.resources.get_or_try_init(|| load).await.cloned()
    }

    /// The traces of each unit, read once.
    async fn trace_tables(&self, cost: &mut ScanCost) -> Result<&Vec<Arc<TraceTable>>, Error> {
        let load: BoxFuture<'_, Result<Vec<Arc<TraceTable>>, Error>> = Box::pin(async {
            let fetch = Fetch {
                object: BlockObject::Traces,
                metadata: &self.index.traces,
                mask: ProjectionMask::all(),
                row_groups: (0..self.index.traces.metadata().num_row_groups()).collect(),
                selection: None,
            };
            let batches = self.fetch(fetch, cost).await?;
            let zones = self.index.zones.units.clone();
            let decode = move || {
                let Some(first) = batches.first() else { return Ok(Vec::new()) };
                let whole = concat_batches(&first.schema(), &batches)?;
                zones.iter().map(|zone| trace_table(&whole, zone).map(Arc::new)).collect()
            };
            self.cpu.run(decode).await
        });
        self.traces.get_or_try_init(|| load).await
    }

    /// The leaves of `spans.parquet` that a projection needs.
    fn mask(&self, projection: &Projection) -> ProjectionMask {
        let wanted = Wanted::of(projection, |scope, key| {
            let found = self.index.catalog.find(scope, key);
            found.is_some_and(|key| self.index.zones.keys[key as usize].rest)
        });
        let schema = self.index.spans.parquet_schema();
        let leaves = schema
            .columns()
            .iter()
            .enumerate()
            .filter(|(_, column)| wanted.has(column.path().parts()))
            .map(|(index, _)| index)
            .collect::<Vec<_>>();
        ProjectionMask::leaves(schema, leaves)
    }
}

/// Names of wanted columns. Keys may hold dots, so paths are compared part by part.
struct Wanted {
    columns: BTreeSet<&'static str>,
    attributes: BTreeSet<String>,
    /// Names of fields within `events` and `links`.
    children: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Wanted {
    fn of(projection: &Projection, in_rest: impl Fn(KeyScope, &str) -> bool) -> Self {
        let Projection { columns, attributes, events, links } = projection;
        let mut wanted = Self {
            columns: BTreeSet::new(),
            attributes: BTreeSet::new(),
            children: BTreeMap::new(),
        };
        for column in columns {
            let names: &[&'static str] = match column {
                SpanColumn::SpanId => &["span_id"],
                // A parent's id stands in the parent's row.
                SpanColumn::ParentId => &["span_id", "parent_span_id", "parent_delta"],
                SpanColumn::Tree => &["parent_delta", "subtree", "top"],
                SpanColumn::Start => &["start_ns"],
                SpanColumn::Duration => &["start_ns", "duration_ns"],
                SpanColumn::Name => &["name"],
                SpanColumn::Kind => &["kind"],
                SpanColumn::Status => &["status"],
                SpanColumn::StatusMessage => &["status_message"],
                SpanColumn::Resource => &["resource"],
            };
            wanted.columns.extend(names);
        }
        wanted.attributes = promoted_names(Scope::Span, attributes);
        if attributes.iter().any(|key| in_rest(KeyScope::Span, key)) {
            wanted.columns.insert("attributes_rest");
        }
        let rest = |scope, keys: &BTreeSet<String>| {
            keys.iter().any(|key| in_rest(scope, key)).then(|| "attributes_rest".to_owned())
        };
        if let Some(events) = events {
            // One column is always read: it tells how many there are.
            let mut fields = promoted_names(Scope::Event, &events.attributes);
            fields.extend(rest(KeyScope::Event, &events.attributes));
            fields.extend(events.name.then(|| "name".to_owned()));
            fields.insert("time_offset_ns".to_owned());
            wanted.children.insert("events", fields);
            wanted.columns.insert("start_ns");
        }
        if let Some(links) = links {
            let mut fields = promoted_names(Scope::Link, &links.attributes);
            fields.extend(rest(KeyScope::Link, &links.attributes));
            fields.extend(["trace_id".to_owned(), "span_id".to_owned()]);
            wanted.children.insert("links", fields);
        }
        wanted
    }

    fn has(&self, path: &[String]) -> bool {
        let root = path[0].as_str();
        if let Some(fields) = self.children.get(root) {
            // events . list . element . <field> …
            return path.get(3).is_some_and(|field| fields.contains(field));
        }
        self.columns.contains(root) || self.attributes.contains(root)
    }
}

fn promoted_names(scope: Scope, keys: &BTreeSet<String>) -> BTreeSet<String> {
    let names = keys.iter().flat_map(|key| {
        ScalarType::ALL.map(|scalar| Promoted { scope, key: key.clone(), scalar }.column_name())
    });
    names.collect()
}

/// The columns of a batch out of the columns of a block.
fn fill(
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
            SpanColumn::Start => {
                batch.start = column::<UInt64Array>(whole, "start_ns")?.values().clone();
            }
            SpanColumn::Duration => batch.duration = durations(whole)?,
            SpanColumn::Name => batch.name = Some(strings(named(whole, "name")?)?),
            SpanColumn::Kind => batch.kind = column::<Int32Array>(whole, "kind")?.values().clone(),
            SpanColumn::Status => {
                let status = column::<Int32Array>(whole, "status")?;
                batch.status = status.iter().map(Option::unwrap_or_default).collect();
            }
            SpanColumn::StatusMessage => {
                batch.status_message = Some(strings(named(whole, "status_message")?)?);
            }
            SpanColumn::Resource => {
                let hashes = column::<UInt64Array>(whole, "resource")?;
                batch.resource = resources.indices_of(hashes)?.into();
                batch.resources = Arc::clone(&resources.all);
            }
        }
    }
    let find = |name: &str| whole.column_by_name(name);
    batch.attributes = attributes(Scope::Span, &projection.attributes, &find)?;
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
    let top = column::<UInt8Array>(whole, "top")?;
    Ok(TreeColumns {
        parent_delta: column::<Int32Array>(whole, "parent_delta")?.values().clone(),
        subtree: column::<Int32Array>(whole, "subtree")?.values().clone(),
        top: top.iter().map(Option::unwrap_or_default).collect(),
    })
}

/// As queries see them: 0 where the end lies before the start.
fn durations(whole: &RecordBatch) -> Result<arrow::buffer::ScalarBuffer<u64>, Error> {
    let starts = column::<UInt64Array>(whole, "start_ns")?.values();
    let lengths = column::<Int64Array>(whole, "duration_ns")?.values();
    let visible = |(start, length): (&u64, &i64)| {
        let length = length.cast_unsigned();
        // Past the end of time means that the end lies before the start.
        if start.checked_add(length).is_some() { length } else { 0 }
    };
    Ok(starts.iter().zip(lengths).map(visible).collect())
}

pub(super) fn strings(array: &ArrayRef) -> Result<Strings, Error> {
    let wrong = Error::Corrupt { part: "parquet", what: "a text column is no dictionary of texts" };
    let dictionary = array.as_any().downcast_ref::<DictionaryArray<Int32Type>>();
    let Some(dictionary) = dictionary else { return Err(wrong) };
    let values = dictionary.values().as_any().downcast_ref::<StringArray>();
    let Some(values) = values else { return Err(wrong) };
    Ok(Strings::new(dictionary.keys().clone(), values.clone()))
}

/// The values of some keys, by typed columns and `attributes_rest`.
fn attributes<'a>(
    scope: Scope,
    keys: &BTreeSet<String>,
    find: &dyn Fn(&str) -> Option<&'a ArrayRef>,
) -> Result<BTreeMap<String, AttributeValues>, Error> {
    let rest = find("attributes_rest").map(rest_lists).transpose()?;
    let mut all = BTreeMap::new();
    for key in keys {
        let name = |scalar| Promoted { scope, key: key.clone(), scalar }.column_name();
        let typed = |scalar| find(&name(scalar)).map(Array::as_any);
        let mut values = AttributeValues {
            strings: find(&name(ScalarType::String)).map(strings).transpose()?,
            ints: typed(ScalarType::Int).and_then(|any| any.downcast_ref().cloned()),
            doubles: typed(ScalarType::Double).and_then(|any| any.downcast_ref().cloned()),
            bools: typed(ScalarType::Bool).and_then(|any| any.downcast_ref().cloned()),
            rest: Vec::new(),
        };
        if let Some(rest) = &rest {
            values.rest = rest.values_of(key)?;
        }
        let AttributeValues { strings, ints, doubles, bools, rest } = &values;
        let typed = strings.is_some() || ints.is_some() || doubles.is_some() || bools.is_some();
        if typed || !rest.is_empty() {
            all.insert(key.clone(), values);
        }
    }
    Ok(all)
}

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

    fn values_of(&self, key: &str) -> Result<Vec<(u32, Value)>, Error> {
        let dictionary = self.keys.values();
        let codes: Vec<bool> =
            (0..dictionary.len()).map(|at| dictionary.value(at) == key).collect();
        let mut values = Vec::new();
        if !codes.contains(&true) {
            return Ok(values);
        }
        for owner in 0..self.list.len() {
            for entry in self.of(owner) {
                let wanted = self.keys.key(entry).is_some_and(|code| codes[code]);
                if wanted && self.types.value(entry) & DUPLICATE == 0 {
                    let row = u32::try_from(owner).expect("a unit has less than 4 Gi rows");
                    values.push((row, Value::decode(self.values.value(entry))?));
                }
            }
        }
        Ok(values)
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

/// The traces of one unit, out of all of `traces.parquet`.
fn trace_table(whole: &RecordBatch, zone: &Zone) -> Result<TraceTable, Error> {
    let outside = Error::Corrupt { part: "traces.parquet", what: "a unit's traces lie outside" };
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let (first, count) = (place(zone.first_trace), place(zone.traces));
    if first.checked_add(count).is_none_or(|end| end > whole.num_rows()) {
        return Err(outside);
    }
    let part = &whole.slice(first, count);
    let mut table = TraceTable { first_service: vec![0], ..TraceTable::default() };
    table.id = ids::<16>(column(part, "trace_id")?)?.into_iter().map(TraceId).collect();
    table.start = column::<UInt64Array>(part, "start_ns")?.values().to_vec();
    table.end = column::<UInt64Array>(part, "end_ns")?.values().to_vec();
    let roots = column::<UInt32Array>(part, "root_row")?;
    table.root = roots.iter().map(|root| root.unwrap_or(crate::columns::NO_ROOT)).collect();
    for (name, codes) in
        [("root_service", &mut table.root_service), ("root_name", &mut table.root_name)]
    {
        let texts = column::<StringArray>(part, name)?;
        codes.extend(
            texts.iter().map(|text| table.strings.intern(text.unwrap_or_default().as_bytes())),
        );
    }
    let spans = column::<UInt32Array>(part, "spans")?;
    table.first_row.push(0);
    for trace in 0..count {
        table.first_row.push(table.first_row[trace] + spans.value(trace));
    }
    services(part, &mut table)?;
    Ok(table)
}

fn services(part: &RecordBatch, table: &mut TraceTable) -> Result<(), Error> {
    let (list, items) = children(part, "services")?;
    let wrong = || Error::Corrupt { part: "traces.parquet", what: "services have another shape" };
    let names = items.column_by_name("service").and_then(|a| a.as_any().downcast_ref());
    let names: &StringArray = names.ok_or_else(wrong)?;
    let count = |name: &str| {
        let array = items.column_by_name(name).and_then(|a| a.as_any().downcast_ref());
        array.ok_or_else(wrong)
    };
    let (spans, errors): (&UInt32Array, &UInt32Array) = (count("spans")?, count("errors")?);
    for trace in 0..list.len() {
        for service in range(list, trace) {
            table.services.push(crate::columns::ServiceStats {
                service: table.strings.intern(names.value(service).as_bytes()),
                spans: spans.value(service),
                errors: errors.value(service),
            });
        }
        let end = u32::try_from(table.services.len()).expect("fewer services than spans");
        table.first_service.push(end);
    }
    Ok(())
}
