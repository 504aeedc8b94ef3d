//! Units of a block as batches: a block's answer to a scan.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use async_trait::async_trait;
use futures::future::BoxFuture;
use parquet::arrow::ProjectionMask;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use super::Error;
use super::fetch::{Fetch, Fetched};
use super::fill::{fill, span_attributes};
use super::open::Block;
use super::promote::{Promoted, Scope};
use super::resources::ResourceTable;
use super::traces::trace_table;
use super::zones::{KeyScope, Zone};
use crate::columns::{Batch, Projection, ScalarType, SpanColumn, TraceTable};
use crate::failure::Failure;
use crate::scan::{Attributes, Need, Scan, ScanCost, SpanSource, Unit};
use crate::store::keys::BlockObject;

/// What a value takes when it is decoded, besides the texts: a number, or a code and a bit.
const DECODED_BYTES: u64 = 8;

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

    fn bytes(&self, unit: &Unit, scan: &Scan) -> u64 {
        let zone = &self.index.zones.units[unit.index];
        let mask = self.mask(&scan.projection);
        let first = zone.first_row_group as usize;
        let groups = &self.index.spans.metadata().row_groups()[first..];
        let columns =
            groups.iter().take(zone.row_groups as usize).flat_map(RowGroupMetaData::columns);
        // Leaves are numbered alike in all row groups.
        let leaves = self.index.spans.parquet_schema().num_columns().max(1);
        let wanted = columns.enumerate().filter(|(place, _)| mask.leaf_included(place % leaves));
        let stored = |column: &ColumnChunkMetaData| column.uncompressed_size().unsigned_abs();
        wanted.map(|(_, column)| stored(column) + unit.rows * DECODED_BYTES).sum()
    }

    async fn read(&self, unit: &Unit, scan: &Scan) -> Result<(Batch, ScanCost), Failure> {
        let mut cost = ScanCost { units_read: 1, rows: unit.rows, ..ScanCost::default() };
        let batch = self.batch(unit.index, &scan.projection, &mut cost).await;
        let batch = batch.map_err(|error| self.unreadable(&error))?;
        cost.traces = batch.traces.len() as u64;
        Ok((batch, cost))
    }

    async fn read_some(
        &self,
        unit: &Unit,
        traces: &[u32],
        scan: &Scan,
    ) -> Result<(Batch, ScanCost), Failure> {
        let mut cost = ScanCost::default();
        let batch = self.batch_of(unit.index, traces, &scan.projection, &mut cost).await;
        Ok((batch.map_err(|error| self.unreadable(&error))?, cost))
    }

    async fn read_attributes(
        &self,
        unit: &Unit,
        rows: &[u32],
        keys: &BTreeSet<String>,
    ) -> Result<(Attributes, ScanCost), Failure> {
        let mut cost = ScanCost::default();
        let attributes = self.attributes_of(unit.index, rows, keys, &mut cost).await;
        Ok((attributes.map_err(|error| self.unreadable(&error))?, cost))
    }
}

impl Block {
    fn unreadable(&self, error: &Error) -> Failure {
        Failure::internal(format!("block {}: {}", self.id, crate::failure::chain(error)))
    }

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
        if *projection == Projection::default() {
            let traces = Arc::clone(&self.trace_tables(cost).await?[unit]);
            return Ok(Batch { traces, ..Batch::default() });
        }
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
        let (resources, tables, pages) = self.beside_tables(fetch, cost).await?;
        let (projection, traces) = (projection.clone(), Arc::clone(&tables[unit]));
        let make = move |parts: Vec<RecordBatch>| match joined_parts(&parts)? {
            Some(whole) => fill(&whole, &projection, traces, &resources),
            None => Ok(Batch { traces, ..Batch::default() }),
        };
        self.decoded(pages, make).await
    }

    /// Rows, and the two tables that go with them, side by side: each is a round to the bucket.
    async fn beside_tables(
        &self,
        fetch: Fetch<'_>,
        cost: &mut ScanCost,
    ) -> Result<(Arc<ResourceTable>, &Vec<Arc<TraceTable>>, Fetched), Error> {
        let (mut of_traces, mut of_rows) = (ScanCost::default(), ScanCost::default());
        let read = futures::try_join!(
            self.resource_table(cost),
            self.trace_tables(&mut of_traces),
            self.fetch_pages(fetch, &mut of_rows)
        )?;
        cost.add(of_traces);
        cost.add(of_rows);
        Ok(read)
    }

    /// Some traces of a unit.
    async fn batch_of(
        &self,
        unit: usize,
        traces: &[u32],
        projection: &Projection,
        cost: &mut ScanCost,
    ) -> Result<Batch, Error> {
        let zone = &self.index.zones.units[unit];
        let all = Arc::clone(&self.trace_tables(cost).await?[unit]);
        let rows = traces.iter().map(|trace| {
            let rows = all.rows(*trace as usize);
            zone.first_row + rows.start as u64..zone.first_row + rows.end as u64
        });
        let (row_groups, selection) = self.select(&joined(rows));
        let fetch = Fetch {
            object: BlockObject::Spans,
            metadata: &self.index.spans,
            mask: self.mask(projection),
            row_groups,
            selection: Some(selection),
        };
        let (resources, _, pages) = self.beside_tables(fetch, cost).await?;
        let (projection, traces) = (projection.clone(), traces.to_vec());
        let make = move |parts: Vec<RecordBatch>| {
            let traces = Arc::new(all.some(&traces));
            match joined_parts(&parts)? {
                Some(whole) => fill(&whole, &projection, traces, &resources),
                None => Ok(Batch { traces, ..Batch::default() }),
            }
        };
        self.decoded(pages, make).await
    }

    /// Span attributes of some rows of a unit.
    async fn attributes_of(
        &self,
        unit: usize,
        rows: &[u32],
        keys: &BTreeSet<String>,
        cost: &mut ScanCost,
    ) -> Result<Attributes, Error> {
        let first = self.index.zones.units[unit].first_row;
        let rows = rows.iter().map(|row| first + u64::from(*row)..first + u64::from(*row) + 1);
        let (row_groups, selection) = self.select(&joined(rows));
        let projection = Projection { attributes: keys.clone(), ..Projection::default() };
        let fetch = Fetch {
            object: BlockObject::Spans,
            metadata: &self.index.spans,
            mask: self.mask(&projection),
            row_groups,
            selection: Some(selection),
        };
        let make = move |parts: Vec<RecordBatch>| match joined_parts(&parts)? {
            Some(whole) => span_attributes(&whole, &projection.attributes),
            None => Ok(Attributes::new()),
        };
        self.fetch(fetch, cost, make).await
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
            let make = |batches: Vec<RecordBatch>| Ok(Arc::new(ResourceTable::decode(&batches)?));
            self.fetch(fetch, cost, make).await
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
            let zones = self.index.zones.units.clone();
            let make = move |batches: Vec<RecordBatch>| {
                let Some(whole) = joined_parts(&batches)? else { return Ok(Vec::new()) };
                zones.iter().map(|zone| trace_table(&whole, zone).map(Arc::new)).collect()
            };
            self.fetch(fetch, cost, make).await
        });
        self.traces.get_or_try_init(|| load).await
    }

    /// The leaves of `spans.parquet` that a projection needs.
    fn mask(&self, projection: &Projection) -> ProjectionMask {
        let wanted = Wanted::of(projection, |scope, key| {
            let found = self.index.catalog.find(scope, key);
            found.is_some_and(|key| self.index.zones.keys[key as usize].rest)
                || self.index.catalog.is_incomplete(scope)
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

/// The rows of several row groups as one batch; none for none.
fn joined_parts(parts: &[RecordBatch]) -> Result<Option<RecordBatch>, Error> {
    Ok(match parts {
        [] => None,
        [one] => Some(one.clone()),
        [first, ..] => Some(concat_batches(&first.schema(), parts)?),
    })
}

/// Ascending ranges, neighbours made one.
fn joined(ranges: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
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
                SpanColumn::Tops => &["top"],
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
