//! Rows of a Parquet object: the pages that are needed, fetched in one round and decoded on the CPU pool.

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{Field, Fields, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, RowSelection};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use parquet::file::reader::FileReader;

use super::Error;
use super::flat::{Flat, RestLeaves, Selected};
use super::open::Block;
use super::pages::Pages;
use super::plan::GroupPlan;
use super::promote::Promoted;
use super::resources::ResourceTable;
use crate::scan::ScanCost;
use crate::store::keys::{self, BlockObject};

/// The keys of the resources of rows.
const RESOURCE: &str = "resource";

/// The list of span attributes without a column of their own.
const REST: &str = "attributes_rest";

/// Requests for rows of all columns: with its filter, its index and its resources, a block takes five for a trace by id.
const WHOLE_ROWS_REQUESTS: usize = 2;

/// What to read of one Parquet object of a block.
pub(super) struct Fetch<'a> {
    pub object: BlockObject,
    pub metadata: &'a ArrowReaderMetadata,
    pub mask: ProjectionMask,
    pub row_groups: Vec<usize>,
    /// Rows within `row_groups`, counted from the first of them; `None` for all.
    pub selection: Option<RowSelection>,
}

/// Pages as they are in the bucket, to be decoded.
pub(super) struct Fetched {
    metadata: ArrowReaderMetadata,
    columns: Vec<usize>,
    plans: Vec<GroupPlan>,
    parts: Vec<Bytes>,
    /// The resources that the rows may have.
    resources: Option<Arc<ResourceTable>>,
}

impl Fetched {
    /// Rows that have resources of a table.
    pub(super) fn with_resources(self, table: &Arc<ResourceTable>) -> Self {
        Self { resources: Some(Arc::clone(table)), ..self }
    }
}

impl Block {
    /// What `make` makes of one batch for each row group that has selected rows. Attributes that no row has may be left out.
    pub(super) async fn fetch<T: Send + 'static>(
        &self,
        fetch: Fetch<'_>,
        cost: &mut ScanCost,
        make: impl FnOnce(Vec<RecordBatch>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let fetched = self.fetch_pages(fetch, cost).await?;
        self.decoded(fetched, make).await
    }

    /// The first half of [`Block::fetch`]: what waits for the bucket.
    pub(super) async fn fetch_pages(
        &self,
        fetch: Fetch<'_>,
        cost: &mut ScanCost,
    ) -> Result<Fetched, Error> {
        let Fetch { object, metadata, mask, row_groups, selection } = fetch;
        let leaves = metadata.parquet_schema().num_columns();
        let columns: Vec<usize> = (0..leaves).filter(|leaf| mask.leaf_included(*leaf)).collect();
        let plans = GroupPlan::all(metadata.metadata(), &columns, &row_groups, selection)?;
        let ranges: Vec<_> = plans.iter().flat_map(GroupPlan::ranges).collect();
        let key = keys::block(&self.tenant, self.id, object);
        // A few whole rows are a little of each column.
        let is_whole = columns.len() == leaves;
        let requests_max = if is_whole { WHOLE_ROWS_REQUESTS } else { usize::MAX };
        let parts = self.store.get_ranges_in(&key, &ranges, requests_max).await?;
        cost.requests += 1;
        cost.bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        Ok(Fetched { metadata: metadata.clone(), columns, plans, parts, resources: None })
    }

    /// The second half of [`Block::fetch`]: CPU work.
    pub(super) async fn decoded<T: Send + 'static>(
        &self,
        fetched: Fetched,
        make: impl FnOnce(Vec<RecordBatch>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let Fetched { metadata, columns, plans, parts, resources } = fetched;
        self.cpu
            .run(move || {
                let mut parts = parts.into_iter();
                let pages = |plan| (Pages::of(metadata.metadata(), plan, &mut parts), plan);
                let groups = plans.iter().map(pages).collect();
                make(decode(&metadata, &columns, groups, resources.as_deref())?)
            })
            .await
    }
}

/// The row groups of a file that hold some rows, and the rows' places in them. Ranges ascend and do not overlap.
pub(super) fn select(
    metadata: &ArrowReaderMetadata,
    rows: &[Range<u64>],
) -> (Vec<usize>, RowSelection) {
    let (mut groups, mut ranges) = (Vec::new(), Vec::new());
    let (mut start, mut taken) = (0_u64, 0_usize);
    for (group, metadata) in metadata.metadata().row_groups().iter().enumerate() {
        let count = metadata.num_rows().unsigned_abs();
        let end = start + count;
        let mut any = false;
        for range in rows {
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from < to {
                any = true;
                let place = |row: u64| taken + usize::try_from(row - start).unwrap_or(usize::MAX);
                ranges.push(place(from)..place(to));
            }
        }
        if any {
            groups.push(group);
            taken += usize::try_from(count).unwrap_or(usize::MAX);
        }
        start = end;
    }
    (groups, RowSelection::from_consecutive_ranges(ranges.into_iter(), taken))
}

/// Decodes the columns of some row groups. Attributes that no row has may be left out.
pub(super) fn decode(
    metadata: &ArrowReaderMetadata,
    columns: &[usize],
    mut groups: Vec<(Pages, &GroupPlan)>,
    resources: Option<&ResourceTable>,
) -> Result<Vec<RecordBatch>, Error> {
    let schema = metadata.parquet_schema();
    let (mut flat, mut others): (Vec<(usize, Flat)>, Vec<usize>) = (Vec::new(), Vec::new());
    for column in columns {
        let root = schema.get_column_root_idx(*column);
        match Flat::of(&schema.column(*column), metadata.schema().field(root).data_type()) {
            Some(_) if resources.is_some() && schema.column(*column).name() == RESOURCE => {
                flat.push((*column, Flat::Resource));
            }
            Some(kind) => flat.push((*column, kind)),
            None => others.push(*column),
        }
    }
    let mut batches = decode_flat(metadata, &flat, &groups, resources)?;
    if let Some(leaves) = take_rest(metadata, &mut others) {
        decode_rest(leaves, &groups, &mut batches)?;
    }
    if others.is_empty() {
        return Ok(batches);
    }
    let mut absent: BTreeSet<usize> = others.iter().copied().collect();
    for (pages, plan) in &mut groups {
        let without = match &plan.selected {
            Some(selected) => pages.without_values(&others, selected)?,
            None => BTreeSet::new(),
        };
        absent.retain(|column| without.contains(column));
    }
    others.retain(|column| {
        !absent.contains(column) || !is_attribute(schema.column(*column).path().parts())
    });
    let mask = ProjectionMask::leaves(schema, others);
    let levels = parquet_to_arrow_field_levels(schema, mask, Some(metadata.schema().fields()))?;
    for ((pages, plan), batch) in groups.into_iter().zip(&mut batches) {
        let selection = plan
            .selected
            .as_ref()
            .map(|ranges| RowSelection::from_consecutive_ranges(ranges.iter().cloned(), plan.rows));
        let failure = pages.failure();
        let pages: Arc<dyn FileReader> = Arc::new(pages);
        let rows = batch.num_rows();
        let read = || -> Result<Option<RecordBatch>, Error> {
            let mut reader = ParquetRecordBatchReader::try_new_with_row_groups(
                &levels, &pages, rows, selection,
            )?;
            let ours = |error| failure.lock().take().unwrap_or(Error::Arrow(error));
            reader.next().transpose().map_err(ours)
        };
        if let Some(nested) = guarded(read)? {
            *batch = beside(batch, &nested)?;
        }
    }
    Ok(batches)
}

/// The crate's decoders panic over some pages that are not as they were written.
fn guarded<T>(read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let damaged = Error::Corrupt { part: "spans.parquet", what: "a page that cannot be decoded" };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(damaged))
}

/// The columns with one value or none in each row.
fn decode_flat(
    metadata: &ArrowReaderMetadata,
    columns: &[(usize, Flat)],
    groups: &[(Pages, &GroupPlan)],
    resources: Option<&ResourceTable>,
) -> Result<Vec<RecordBatch>, Error> {
    let mut plain = Vec::new();
    let selected: Vec<Option<Selected<'_>>> =
        groups.iter().map(|(_, plan)| plan.selected.as_deref().map(Selected::of)).collect();
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays: Vec<Vec<ArrayRef>> = vec![Vec::with_capacity(columns.len()); groups.len()];
    for (column, kind) in columns {
        let descriptor = metadata.parquet_schema().column(*column);
        let mut found: Vec<Option<ArrayRef>> = Vec::with_capacity(groups.len());
        for ((pages, _), selected) in groups.iter().zip(&selected) {
            let (chunk, selected) = (pages.chunk(*column)?, selected.as_ref());
            found.push(kind.array(chunk, selected, resources, &mut plain)?);
        }
        if found.iter().all(Option::is_none) && is_attribute(descriptor.path().parts()) {
            continue;
        }
        let is_optional = descriptor.max_def_level() > 0;
        fields.push(Field::new(descriptor.name(), kind.data_type(), is_optional));
        for ((arrays, found), (_, plan)) in arrays.iter_mut().zip(found).zip(groups) {
            arrays.push(found.unwrap_or_else(|| new_null_array(&kind.data_type(), plan.wanted())));
        }
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = |(arrays, (_, plan)): (Vec<ArrayRef>, &(Pages, &GroupPlan))| {
        let count = RecordBatchOptions::new().with_row_count(Some(plan.wanted()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &count)?)
    };
    arrays.into_iter().zip(groups).map(batch).collect()
}

/// Takes the leaves of the spans' `attributes_rest` out, if all are there and as the format says.
fn take_rest(metadata: &ArrowReaderMetadata, others: &mut Vec<usize>) -> Option<RestLeaves> {
    let (_, field) = metadata.schema().column_with_name(REST)?;
    if *field.data_type() != RestLeaves::data_type() {
        return None;
    }
    let schema = metadata.parquet_schema();
    let is_rest = |leaf: &usize| schema.column(*leaf).path().parts()[0] == REST;
    let leaves: Vec<usize> = others.iter().copied().filter(is_rest).collect();
    let [key, kind, value] = leaves[..] else { return None };
    let is_as_told = |leaf: usize| {
        let column = schema.column(leaf);
        (column.max_rep_level(), column.max_def_level()) == (1, 1)
    };
    if !leaves.into_iter().all(is_as_told) {
        return None;
    }
    others.retain(|leaf| !is_rest(leaf));
    Some(RestLeaves { key, kind, value })
}

fn decode_rest(
    leaves: RestLeaves,
    groups: &[(Pages, &GroupPlan)],
    batches: &mut [RecordBatch],
) -> Result<(), Error> {
    let field = Field::new(REST, RestLeaves::data_type(), false);
    let schema = Arc::new(Schema::new(vec![field]));
    let mut plain = Vec::new();
    for ((pages, plan), batch) in groups.iter().zip(batches) {
        let selected = plan.selected.as_deref().map(Selected::of);
        let lists = leaves.array(pages, selected.as_ref(), &mut plain)?;
        *batch = beside(batch, &RecordBatch::try_new(Arc::clone(&schema), vec![lists])?)?;
    }
    Ok(())
}

/// The columns of both, which have the same rows.
fn beside(flat: &RecordBatch, nested: &RecordBatch) -> Result<RecordBatch, Error> {
    let (one, other) = (flat.schema(), nested.schema());
    let fields: Fields = one.fields().iter().chain(other.fields()).cloned().collect();
    let columns = flat.columns().iter().chain(nested.columns()).cloned().collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Whether a leaf is an attribute that may have no value, and so may be absent.
fn is_attribute(path: &[String]) -> bool {
    // A list's fields: events . list . element . <field>
    let field =
        if path.len() == 1 { path.first() } else { path.get(3).filter(|_| path.len() == 4) };
    field.is_some_and(|field| Promoted::parse(field).is_some())
}

/// A column of the type that the format says.
pub(super) fn column<'a, A: Array + 'static>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a A, Error> {
    let array = batch.column_by_name(name);
    array.and_then(|array| array.as_any().downcast_ref::<A>()).ok_or(Error::Corrupt {
        part: "parquet",
        what: "a column is missing or has another type than the format says",
    })
}
