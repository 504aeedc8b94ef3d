//! Traces out of memory: a block written, published, and its spans let go.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use prost::Message;
use uuid::Uuid;

use super::coverage::Coverage;
use super::live::content_hash;
use super::tenant::{Chunk, Tenant};
use super::{Error, Ingester};
use crate::block::{self, Facts, Written};
use crate::columns::{Layout, RowRef, Spans, group_by_trace};
use crate::manifest::Error::{Expired, Overtaken};
use crate::manifest::{self, BlockEntry, Edit, Manifest, WalCoverage};
use crate::trace::TraceId;

/// Spans so far from the time they came in go to a block of their own, so that one wrong clock does not widen all blocks.
const FAR_NANOS: u64 = 24 * 3600 * 1_000_000_000;

/// Memory of the spans of one block, roughly, unless one trace alone has more: Arrow's texts are bounded by 2 GiB a column.
const PORTION_BYTES_MAX: u64 = 512 << 20;

/// A block that is written and perhaps in the manifest already: its commit was not answered. Its spans stay live, and no other
/// block is written before it is known what became of it, so that no span gets into two blocks.
pub(super) struct Unsettled {
    entry: BlockEntry,
    /// The list by which was looked for other parts of its traces, and the folds of their ids.
    base: Arc<Manifest>,
    folds: Arc<Vec<u64>>,
    /// The block's rows by chunk.
    cut: Vec<(Chunk, Vec<u32>)>,
}

/// A block as it is to be written, whatever it shares with others.
struct Made {
    given: Vec<Arc<Spans>>,
    layout: Arc<Layout>,
    /// Of the ids of its traces.
    folds: Arc<Vec<u64>>,
    /// Its rows by chunk.
    cut: Vec<(Chunk, Vec<u32>)>,
}

/// Blocks that are written of the same spans, each but the first because another process stored a part of their traces meanwhile.
const ATTEMPTS_MAX: u32 = 4;

/// What goes into one block.
struct Portion {
    traces: Vec<(TraceId, Vec<RowRef>)>,
    spans: usize,
    bytes: u64,
}

impl Unsettled {
    /// Whether rows of the chunk are in the block.
    pub(super) fn holds(&self, chunk: &Chunk) -> bool {
        self.cut.iter().any(|(held, _)| Arc::ptr_eq(&held.spans, &chunk.spans))
    }
}

impl Ingester {
    /// Writes some traces of a tenant into blocks. The caller holds `cutting`, whose content is given, and has settled it.
    pub(super) async fn flush_traces(
        &self,
        tenant: &Tenant,
        unsettled: &mut Option<Unsettled>,
        traces: Vec<TraceId>,
    ) -> Result<(), Error> {
        if traces.is_empty() {
            return Ok(());
        }
        let chunks = tenant.state.lock().chunks.clone();
        let max_spans = self.0.config.max_block_spans;
        let given = chunks.clone();
        let portions = self.0.cpu.run(move || portions(&given, &traces, max_spans)).await;
        for portion in portions {
            self.flush_portion(tenant, unsettled, &chunks, portion).await?;
        }
        Ok(())
    }

    async fn flush_portion(
        &self,
        tenant: &Tenant,
        unsettled: &mut Option<Unsettled>,
        chunks: &[Chunk],
        mut portion: Portion,
    ) -> Result<(), Error> {
        let folds: Vec<u64> = portion.traces.iter().map(|(id, _)| id.fold()).collect();
        let (cut, given) = (rows_by_chunk(chunks, &portion), only_used(chunks, &mut portion));
        let (given, layout) = self.0.cpu.run(move || laid_out(given, portion)).await;
        let made = Made { given, layout: Arc::new(layout), folds: Arc::new(folds), cut };
        for _ in 1..ATTEMPTS_MAX {
            match self.store_made(tenant, unsettled, &made).await {
                // The next block knows of it.
                Err(Error::Manifest(Overtaken { .. })) => {}
                done => return done,
            }
        }
        self.store_made(tenant, unsettled, &made).await
    }

    /// Writes a block and puts it into the manifest.
    async fn store_made(
        &self,
        tenant: &Tenant,
        unsettled: &mut Option<Unsettled>,
        made: &Made,
    ) -> Result<(), Error> {
        let Made { given, layout, folds, cut } = made;
        let base = tenant.manifests.current();
        let blocks = base.blocks().to_vec();
        let shared = self.0.packs.sharing(&tenant.id, blocks, folds.to_vec()).await?;
        let origins = cut
            .iter()
            .flat_map(|(chunk, rows)| rows.iter().map(|row| chunk.origins[*row as usize]));
        let coverage = Coverage::of(self.0.wal.writer_id(), origins.collect());
        let range = coverage.range();
        let shared_traces = shared.folds.len() as u64;
        let facts = Facts { shared: shared.folds, wal_coverage: coverage.encode_to_vec() };

        // Made before the first object is written: a sweeper tells by it what may still be in the making.
        let id = self.0.clock.new_id();
        let (given, layout) = (given.clone(), Arc::clone(layout));
        let write = move || block::write(&refs(&given), &layout, &facts);
        let written = self.0.cpu.run(write).await?;
        let mut entry = entry(id, &written, cut);
        (entry.shared_traces, entry.shared_with) = (shared_traces, shared.blocks);
        let writer = self.0.wal.writer_id();
        entry.wal.extend(range.map(|(first_segment, last_segment)| WalCoverage {
            writer,
            first_segment,
            last_segment,
        }));
        written.put(&self.0.store, &tenant.id, &mut entry).await?;
        let (folds, cut) = (Arc::clone(folds), cut.clone());
        *unsettled = Some(Unsettled { entry, base, folds, cut });
        self.settle(tenant, unsettled).await
    }

    /// Whether none of the blocks that came after a list holds a part of some traces, by the folds of their ids; if so, the list that has them.
    async fn still_alone(
        &self,
        tenant: &Tenant,
        base: &Manifest,
        folds: &[u64],
    ) -> Result<Option<Arc<Manifest>>, Error> {
        let newest = tenant.manifests.refresh().await?;
        let known: HashSet<Uuid> = base.blocks().iter().map(|block| block.id).collect();
        let new = newest.blocks().iter().filter(|block| !known.contains(&block.id));
        let sharing = self.0.packs.sharing(&tenant.id, new.cloned().collect(), folds.to_vec());
        Ok(sharing.await?.folds.is_empty().then_some(newest))
    }

    /// Puts a written block into the manifest and lets its spans go. After an error, or when the future is dropped, the same call
    /// again finds out what became of the commit.
    pub(super) async fn settle(
        &self,
        tenant: &Tenant,
        unsettled: &mut Option<Unsettled>,
    ) -> Result<(), Error> {
        let Some(Unsettled { entry, base, folds, .. }) = &mut *unsettled else { return Ok(()) };
        let manifest = match self.commit_block(tenant, entry, base, folds).await {
            Ok(manifest) => manifest,
            // By an attempt that the manifests do not remember any more.
            Err(Error::Manifest(manifest::Error::AlreadyThere { block })) if block == entry.id => {
                tenant.manifests.refresh().await?
            }
            Err(error) => {
                // Its objects may be deleted by now, or it does not know what it shares: the spans go into a new block.
                if matches!(&error, Error::Manifest(Overtaken { .. } | Expired { .. })) {
                    *unsettled = None;
                }
                return Err(error);
            }
        };
        let Unsettled { entry, cut, base: _, folds: _ } =
            unsettled.take().expect("looked at above");
        tenant.remove(&cut, manifest, entry.spans);
        self.count_stored(&cut);
        let (bytes, spans) =
            (entry.bytes(), cut.iter().map(|(_, rows)| rows.len() as u64).sum::<u64>());
        self.0.metrics.blocks.inc();
        self.0.metrics.block_bytes.inc_by(bytes);
        self.0.metrics.block_spans.inc_by(spans);
        tracing::info!(tenant = %tenant.id, block = %entry.id, spans, bytes, "block written");
        Ok(())
    }

    /// Adds a block to the list, if what it knows of the traces that it shares still holds: blocks that came meanwhile are looked at.
    async fn commit_block(
        &self,
        tenant: &Tenant,
        entry: &BlockEntry,
        base: &mut Arc<Manifest>,
        folds: &[u64],
    ) -> Result<Arc<Manifest>, Error> {
        loop {
            let based_on = Some(Arc::clone(base));
            let edit = Edit { add: vec![entry.clone()], based_on, ..Edit::default() };
            match tenant.manifests.commit(edit).await {
                Err(error @ Overtaken { .. }) => {
                    let newest = self.still_alone(tenant, base, folds).await?;
                    *base = newest.ok_or(error)?;
                }
                done => return Ok(done?),
            }
        }
    }

    /// Counts the spans whose WAL segments may be let go.
    fn count_stored(&self, cut: &[(Chunk, Vec<u32>)]) {
        let mut stored = self.0.stored.lock();
        for (chunk, rows) in cut {
            for row in rows {
                *stored.entry(chunk.origins[*row as usize].segment).or_default() += 1;
            }
        }
    }
}

/// The rows of the traces, in portions that make a block each.
fn portions(chunks: &[Chunk], traces: &[TraceId], max_spans: usize) -> Vec<Portion> {
    let spans: Vec<&Spans> = chunks.iter().map(|chunk| &*chunk.spans).collect();
    let wanted: HashSet<&TraceId, foldhash::fast::RandomState> = traces.iter().collect();
    let rows = (0_u32..).zip(chunks).flat_map(|(number, chunk)| {
        let wanted = &wanted;
        (0..chunk.spans.next_row())
            .filter(|row| {
                let id = &chunk.spans.trace_id[*row as usize];
                chunk.is_live(*row as usize) && wanted.contains(id)
            })
            .map(move |row| RowRef { chunk: number, row })
    });
    let mut groups: BTreeMap<bool, Vec<(TraceId, Vec<RowRef>)>> = BTreeMap::new();
    for (id, rows) in group_by_trace(&spans, rows) {
        let is_far = rows.iter().any(|row| {
            let chunk = &chunks[row.chunk as usize];
            chunk.spans.start[row.row as usize].abs_diff(chunk.received.1) > FAR_NANOS
        });
        groups.entry(is_far).or_default().push((id, rows));
    }
    groups.into_values().flat_map(|traces| split(chunks, traces, max_spans)).collect()
}

fn split(chunks: &[Chunk], traces: Vec<(TraceId, Vec<RowRef>)>, max_spans: usize) -> Vec<Portion> {
    let span_bytes: Vec<u64> =
        chunks.iter().map(|chunk| chunk.bytes / chunk.spans.len().max(1) as u64).collect();
    let mut portions: Vec<Portion> = Vec::new();
    for (id, rows) in traces {
        let bytes: u64 = rows.iter().map(|row| span_bytes[row.chunk as usize]).sum();
        match portions.last_mut() {
            Some(last)
                if last.spans + rows.len() <= max_spans
                    && last.bytes + bytes <= PORTION_BYTES_MAX =>
            {
                last.spans += rows.len();
                last.bytes += bytes;
                last.traces.push((id, rows));
            }
            _ => portions.push(Portion { spans: rows.len(), bytes, traces: vec![(id, rows)] }),
        }
    }
    portions
}

/// The chunks that have a row in the portion, whose rows name them by their new places: all that is written from a chunk looks at all
/// of its rows.
fn only_used(chunks: &[Chunk], portion: &mut Portion) -> Vec<Arc<Spans>> {
    let mut used = vec![false; chunks.len()];
    for row in portion.traces.iter().flat_map(|(_, rows)| rows) {
        used[row.chunk as usize] = true;
    }
    let (mut kept, mut places) = (Vec::new(), vec![0; chunks.len()]);
    for (index, chunk) in chunks.iter().enumerate().filter(|(index, _)| used[*index]) {
        places[index] = u32::try_from(kept.len()).expect("chunks are counted in 32 bits");
        kept.push(Arc::clone(&chunk.spans));
    }
    for row in portion.traces.iter_mut().flat_map(|(_, rows)| rows) {
        row.chunk = places[row.chunk as usize];
    }
    kept
}

fn refs(chunks: &[Arc<Spans>]) -> Vec<&Spans> {
    chunks.iter().map(|spans| &**spans).collect()
}

fn laid_out(chunks: Vec<Arc<Spans>>, portion: Portion) -> (Vec<Arc<Spans>>, Layout) {
    let spans = refs(&chunks);
    let layout = Layout::of(&spans, portion.traces, &|row| content_hash(&spans, row));
    (chunks, layout)
}

fn rows_by_chunk(chunks: &[Chunk], portion: &Portion) -> Vec<(Chunk, Vec<u32>)> {
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); chunks.len()];
    for row in portion.traces.iter().flat_map(|(_, rows)| rows) {
        rows[row.chunk as usize].push(row.row);
    }
    // As they came: what is looked up for them lies in this order.
    for rows in &mut rows {
        rows.sort_unstable();
    }
    chunks.iter().cloned().zip(rows).filter(|(_, rows)| !rows.is_empty()).collect()
}

fn entry(id: Uuid, written: &Written, cut: &[(Chunk, Vec<u32>)]) -> BlockEntry {
    let received = cut.iter().map(|(chunk, _)| chunk.received);
    BlockEntry {
        received_min_unix_nano: received.clone().map(|(first, _)| first).min().unwrap_or(0),
        received_max_unix_nano: received.map(|(_, last)| last).max().unwrap_or(0),
        ..written.entry(id)
    }
}
