//! Units of a block as batches: a block's answer to a scan.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use async_trait::async_trait;
use futures::future::BoxFuture;
use parquet::arrow::ProjectionMask;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use super::Error;
use super::fetch::{Fetch, Fetched, select};
use super::fill::{fill, span_attributes};
use super::open::Block;
use super::resources::ResourceTable;
use super::traces::trace_table;
use crate::columns::{Batch, Projection, TraceTable};
use crate::failure::Failure;
use crate::scan::{Attributes, Scan, ScanCost, SpanSource, Then, Unit};
use crate::store::keys::BlockObject;

/// What a value takes when it is decoded, besides the texts: a number, or a code and a bit.
const DECODED_BYTES: u64 = 8;

#[async_trait]
impl SpanSource for Block {
    async fn units(&self, scan: &Scan, cost: &mut ScanCost) -> Result<Vec<Unit>, Failure> {
        let wanted = self.wanted(scan, cost).await.map_err(|error| self.unreadable(&error))?;
        cost.units_skipped += (self.zones.units.len() - wanted.len()) as u64;
        let unit = |index: usize| {
            let zone = &self.zones.units[index];
            Unit {
                index,
                first_start: zone.trace_start_min,
                last_start: zone.trace_start_max,
                rows: zone.rows,
            }
        };
        Ok(wanted.into_iter().map(unit).collect())
    }

    async fn bytes(&self, unit: &Unit, scan: &Scan) -> Result<u64, Failure> {
        let tails = self.tails(&mut ScanCost::default()).await;
        let spans = &tails.map_err(|error| self.unreadable(&error))?.spans;
        let zone = &self.zones.units[unit.index];
        let mask = self.mask(spans, &scan.projection);
        let first = zone.first_row_group as usize;
        let groups = &spans.metadata().row_groups()[first..];
        let columns =
            groups.iter().take(zone.row_groups as usize).flat_map(RowGroupMetaData::columns);
        // Leaves are numbered alike in all row groups.
        let leaves = spans.parquet_schema().num_columns().max(1);
        let wanted = columns.enumerate().filter(|(place, _)| mask.leaf_included(place % leaves));
        let stored = |column: &ColumnChunkMetaData| column.uncompressed_size().unsigned_abs();
        Ok(wanted.map(|(_, column)| stored(column) + unit.rows * DECODED_BYTES).sum())
    }

    async fn read_for(
        &self,
        unit: &Unit,
        scan: &Scan,
        then: Then<Batch>,
    ) -> Result<ScanCost, Failure> {
        let mut cost = ScanCost { units_read: 1, rows: unit.rows, ..ScanCost::default() };
        let traces = self.batch(unit.index, &scan.projection, &mut cost, then).await;
        cost.traces = traces.map_err(|error| self.unreadable(&error))? as u64;
        Ok(cost)
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

    async fn read_attributes_for(
        &self,
        unit: &Unit,
        rows: &[u32],
        keys: &BTreeSet<String>,
        then: Then<Attributes>,
    ) -> Result<ScanCost, Failure> {
        let mut cost = ScanCost::default();
        let read = self.attributes_of(unit.index, rows, keys, &mut cost, then).await;
        read.map_err(|error| self.unreadable(&error))?;
        Ok(cost)
    }
}

impl Block {
    fn unreadable(&self, error: &Error) -> Failure {
        Failure::internal(format!("block {}: {}", self.id, crate::failure::chain(error)))
    }

    /// Hands a unit over, and tells how many traces it has.
    async fn batch(
        &self,
        unit: usize,
        projection: &Projection,
        cost: &mut ScanCost,
        then: Then<Batch>,
    ) -> Result<usize, Error> {
        let zone = &self.zones.units[unit];
        let tails = self.tails(cost).await?;
        if *projection == Projection::default() {
            let traces = self.trace_table(unit, cost).await?;
            let count = traces.len();
            self.cpu.run(move || then(Batch { traces, ..Batch::default() })).await;
            return Ok(count);
        }
        let mask = self.mask(&tails.spans, projection);
        let first = zone.first_row_group as usize;
        let row_groups = (first..first + zone.row_groups as usize).collect();
        let fetch = Fetch {
            object: BlockObject::Spans,
            metadata: &tails.spans,
            mask,
            row_groups,
            selection: None,
        };
        let (resources, traces, pages) = self.beside_tables(unit, fetch, cost).await?;
        let pages = pages.with_resources(&resources);
        let projection = projection.clone();
        let make = move |parts: Vec<RecordBatch>| {
            let count = traces.len();
            then(match joined_parts(&parts)? {
                Some(whole) => fill(&whole, &projection, traces, &resources)?,
                None => Batch { traces, ..Batch::default() },
            });
            Ok(count)
        };
        self.decoded(pages, make).await
    }

    /// Rows, and the two tables that go with them, side by side: each is a round to the bucket.
    async fn beside_tables(
        &self,
        unit: usize,
        fetch: Fetch<'_>,
        cost: &mut ScanCost,
    ) -> Result<(Arc<ResourceTable>, Arc<TraceTable>, Fetched), Error> {
        let (mut of_traces, mut of_rows) = (ScanCost::default(), ScanCost::default());
        let read = futures::try_join!(
            self.resource_table(cost),
            self.trace_table(unit, &mut of_traces),
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
        let zone = &self.zones.units[unit];
        let tails = self.tails(cost).await?;
        let all = self.trace_table(unit, cost).await?;
        let rows = traces.iter().map(|trace| {
            let rows = all.rows(*trace as usize);
            zone.first_row + rows.start as u64..zone.first_row + rows.end as u64
        });
        let (row_groups, selection) = select(&tails.spans, &joined(rows));
        let fetch = Fetch {
            object: BlockObject::Spans,
            metadata: &tails.spans,
            mask: self.mask(&tails.spans, projection),
            row_groups,
            selection: Some(selection),
        };
        let (resources, _, pages) = self.beside_tables(unit, fetch, cost).await?;
        let pages = pages.with_resources(&resources);
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
        then: Then<Attributes>,
    ) -> Result<(), Error> {
        let tails = self.tails(cost).await?;
        let first = self.zones.units[unit].first_row;
        let rows = rows.iter().map(|row| first + u64::from(*row)..first + u64::from(*row) + 1);
        let (row_groups, selection) = select(&tails.spans, &joined(rows));
        let projection = Projection { attributes: keys.clone(), ..Projection::default() };
        let fetch = Fetch {
            object: BlockObject::Spans,
            metadata: &tails.spans,
            mask: self.mask(&tails.spans, &projection),
            row_groups,
            selection: Some(selection),
        };
        let make = move |parts: Vec<RecordBatch>| {
            then(match joined_parts(&parts)? {
                Some(whole) => span_attributes(&whole, &projection.attributes)?,
                None => Attributes::new(),
            });
            Ok(())
        };
        self.fetch(fetch, cost, make).await
    }

    /// The resources of the block, read once.
    pub(super) async fn resource_table(
        &self,
        cost: &mut ScanCost,
    ) -> Result<Arc<ResourceTable>, Error> {
        let load: BoxFuture<'_, Result<Arc<ResourceTable>, Error>> = Box::pin(async {
            let metadata = &self.tails(cost).await?.resources;
            let fetch = Fetch {
                object: BlockObject::Resources,
                metadata,
                mask: ProjectionMask::all(),
                row_groups: (0..metadata.metadata().num_row_groups()).collect(),
                selection: None,
            };
            let make = |batches: Vec<RecordBatch>| Ok(Arc::new(ResourceTable::decode(&batches)?));
            self.fetch(fetch, cost, make).await
        });
        self.resources.get_or_try_init(|| load).await.cloned()
    }

    /// The traces of a unit, read once.
    async fn trace_table(
        &self,
        unit: usize,
        cost: &mut ScanCost,
    ) -> Result<Arc<TraceTable>, Error> {
        if let Some(all) = self.traces.all.get() {
            return Ok(Arc::clone(&all[unit]));
        }
        let load: BoxFuture<'_, Result<(usize, Arc<TraceTable>), Error>> = Box::pin(async {
            let mut tables = self.read_traces(unit..unit + 1, cost).await?;
            Ok((unit, tables.pop().expect("one for each unit")))
        });
        let (first, table) = self.traces.first.get_or_try_init(|| load).await?;
        if *first == unit {
            return Ok(Arc::clone(table));
        }
        let load: BoxFuture<'_, Result<Vec<Arc<TraceTable>>, Error>> =
            Box::pin(self.read_traces(0..self.zones.units.len(), cost));
        Ok(Arc::clone(&self.traces.all.get_or_try_init(|| load).await?[unit]))
    }

    pub(super) async fn read_traces(
        &self,
        units: Range<usize>,
        cost: &mut ScanCost,
    ) -> Result<Vec<Arc<TraceTable>>, Error> {
        let metadata = &self.tails(cost).await?.traces;
        let zones = self.zones.units[units].to_vec();
        let first = zones.first().map_or(0, |zone| zone.first_trace);
        let end = zones.last().map_or(0, |zone| zone.first_trace + zone.traces);
        let (row_groups, selection) = select(metadata, std::slice::from_ref(&(first..end)));
        let fetch = Fetch {
            object: BlockObject::Traces,
            metadata,
            mask: ProjectionMask::all(),
            row_groups,
            selection: Some(selection),
        };
        let make = move |batches: Vec<RecordBatch>| {
            let Some(whole) = joined_parts(&batches)? else { return Ok(Vec::new()) };
            zones.iter().map(|zone| trace_table(&whole, zone, first).map(Arc::new)).collect()
        };
        self.fetch(fetch, cost, make).await
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
