//! One trace by its id, from wherever its spans are.

use std::ops::RangeInclusive;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use super::found::{FoundTrace, Later};
use super::split::{Assembled, ranges};
use super::{Cost, Querier, unanswered, unreadable};
use crate::block::Opening;
use crate::columns::{Projection, RowRef, Spans, group_by_trace};
use crate::failure::Failure;
use crate::ingester::Pin;
use crate::manifest::BlockEntry;
use crate::packs::Narrowed;
use crate::runtime::Budget;
use crate::scan::ScanCost;
use crate::store::keys::BlockObject;
use crate::tenant::TenantId;
use crate::trace::TraceId;

/// Blocks that are asked at once: mostly for a filter of some ten KiB, and each wait is a round to the bucket.
const PARALLEL_BLOCKS: usize = 64;

/// Rows that are restored at once take about so much, and all of one question together this; more wait.
const ROW_BYTES: u64 = 1024;
const ROOM_BYTES: u64 = 128 << 20;

/// What a block is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Filter,
    /// A pack has answered for the filter.
    Index,
}

/// The part of a trace that a block holds.
struct Part {
    entry: Arc<BlockEntry>,
    spans: Arc<Spans>,
    /// Where the rest of their fields is, if it was left out.
    later: Option<Later>,
    read: ScanCost,
    /// The block's writer found other parts in other blocks.
    is_shared: bool,
}

impl Querier {
    /// Finds a trace, whole. With a window it is found if a span of it overlaps that, and only blocks that do are asked for it first.
    ///
    /// # Errors
    /// Why the trace could not be read whole.
    pub async fn find_trace(
        &self,
        tenants: &[TenantId],
        id: TraceId,
        window: Option<RangeInclusive<u64>>,
    ) -> Result<Option<FoundTrace>, Failure> {
        let mut cost = Cost::default();
        let (mut chunks, mut rows, mut later) = (Vec::new(), Vec::new(), Vec::new());
        for tenant in tenants {
            let pin = self.ingester.pin(tenant).await?;
            let offset = u32::try_from(chunks.len()).expect("few chunks");
            let (live_chunks, live_rows) = self.live_rows(&pin, id).await;
            let moved = |row: RowRef| RowRef { chunk: row.chunk + offset, ..row };
            let is_live = !live_rows.is_empty();
            rows.extend(live_rows.into_iter().map(moved));
            chunks.extend(live_chunks);
            later.resize_with(chunks.len(), || None);
            for Part { entry: _, spans, later: rest, read, is_shared: _ } in
                self.stored_parts(tenant, &pin, (id, is_live), window.as_ref(), &mut cost).await?
            {
                let chunk = u32::try_from(chunks.len()).expect("few chunks");
                let mine = |row: &u32| spans.trace_id[*row as usize] == id;
                rows.extend((0..spans.next_row()).filter(mine).map(|row| RowRef { chunk, row }));
                chunks.push(spans);
                later.push(rest);
                cost.add_scan(read);
            }
        }
        let overlaps = |row: &RowRef, window: &RangeInclusive<u64>| {
            let (spans, at) = (&chunks[row.chunk as usize], row.row as usize);
            let end = spans.end[at].max(spans.start[at]);
            spans.start[at] <= *window.end() && end >= *window.start()
        };
        if let Some(window) = &window
            && !rows.iter().any(|row| overlaps(row, window))
        {
            return Ok(None);
        }
        if rows.is_empty() {
            return Ok(None);
        }
        cost.inspected_traces += 1;
        let made = move || {
            let refs: Vec<&Spans> = chunks.iter().map(|chunk: &Arc<Spans>| &**chunk).collect();
            let traces = group_by_trace(&refs, rows);
            let assembled = Assembled { chunks, traces };
            let (layout, has_twins) = assembled.layout_of_some();
            (assembled, layout, has_twins)
        };
        let (mut assembled, mut layout, has_twins) = self.cpu.run(made).await;
        if has_twins {
            // Only all that they have tells which of them are left out.
            for (chunk, later) in assembled.chunks.iter_mut().zip(&mut later) {
                if let Some(later) = later.take() {
                    *chunk = Arc::new(later.spans().await?);
                }
            }
            let made = move || (assembled.layout(), assembled);
            (layout, assembled) = self.cpu.run(made).await;
        }
        Ok(Some(FoundTrace { assembled, later, layout, cost }))
    }

    async fn live_rows(&self, pin: &Pin, id: TraceId) -> (Vec<Arc<Spans>>, Vec<RowRef>) {
        if !pin.has_live() {
            return (Vec::new(), Vec::new());
        }
        let pin = pin.clone();
        self.cpu.run(move || (pin.live_chunks(), pin.live_rows(id))).await
    }

    /// The parts of the trace in blocks: bloom filter, directory, rows.
    async fn stored_parts(
        &self,
        tenant: &TenantId,
        pin: &Pin,
        (id, is_live): (TraceId, bool),
        window: Option<&RangeInclusive<u64>>,
        cost: &mut Cost,
    ) -> Result<Vec<Part>, Failure> {
        let overlaps = |block: &Arc<BlockEntry>| {
            window.is_none_or(|window| block.overlaps(*window.start(), *window.end()))
        };
        let (inside, mut outside): (Vec<_>, Vec<_>) =
            pin.manifest.blocks().iter().cloned().partition(overlaps);
        let inside_count = inside.len();
        let found = self.ask(tenant, inside, id).await?;
        if !is_live {
            // Of two blocks that hold parts of a trace the younger says that it is shared.
            let may_share = |block: &BlockEntry, part: &Part| {
                block.may_share_with(part.entry.id)
                    || part.is_shared && part.entry.may_share_with(block.id)
            };
            outside.retain(|block| found.iter().any(|part| may_share(block, part)));
        }
        cost.blocks_skipped += (pin.manifest.blocks().len() - inside_count - outside.len()) as u64;
        let elsewhere = self.ask(tenant, outside, id).await?;
        let parts: Vec<_> = found.into_iter().chain(elsewhere).collect();
        cost.blocks += parts.len() as u64;
        Ok(parts)
    }

    /// Asks blocks for their parts of the trace: those of which a pack says that they may have one, and those that no pack knows.
    async fn ask(
        &self,
        tenant: &TenantId,
        blocks: Vec<Arc<BlockEntry>>,
        id: TraceId,
    ) -> Result<Vec<Part>, Failure> {
        let narrowed = self.ingester.packs().narrow(tenant, blocks, &[id.fold()]).await;
        let Narrowed { maybe, unknown } = narrowed.map_err(|error| unanswered(&error))?;
        let known = maybe.into_iter().map(|block| (block, Asked::Index));
        let room = Budget::new(ROOM_BYTES);
        let reads: Vec<_> = known
            .chain(unknown.into_iter().map(|block| (block, Asked::Filter)))
            .map(|(block, first)| self.stored_part(tenant, block, (id, first), &room))
            .collect();
        let parts: Vec<Option<Part>> =
            futures::stream::iter(reads).buffer_unordered(PARALLEL_BLOCKS).try_collect().await?;
        Ok(parts.into_iter().flatten().collect())
    }

    async fn stored_part(
        &self,
        tenant: &TenantId,
        entry: Arc<BlockEntry>,
        (id, first): (TraceId, Asked),
        room: &Budget,
    ) -> Result<Option<Part>, Failure> {
        let fails = |error| unreadable(entry.id, &error);
        let is_shard =
            |object: &&crate::manifest::ObjectInfo| matches!(object.object, BlockObject::Bloom(_));
        let shards = u32::try_from(entry.objects.iter().filter(is_shard).count()).expect("few");
        if first == Asked::Filter
            && !self.blocks.may_contain(tenant, entry.id, shards, id).await.map_err(fails)?
        {
            return Ok(None);
        }
        let mut read = ScanCost::default();
        let open = self.blocks.open(tenant, &entry, Opening::Long, &mut read);
        let block = open.await.map_err(fails)?;
        let places = block.directory(&mut read).await.map_err(fails)?.places(id);
        if places.is_empty() {
            return Ok(None);
        }
        let count: u64 = places.iter().map(|place| place.rows).sum();
        let rows = ranges(places);
        let room = room.take(count * ROW_BYTES).await;
        let (spans, later) = if count < self.config.whole_part_spans {
            (block.spans(&rows, &mut read).await.map_err(fails)?, None)
        } else {
            let nothing_else = Projection::default();
            let mut spans =
                block.some_spans(&rows, &nothing_else, &mut read).await.map_err(fails)?;
            spans.shrink();
            (spans, Some(Later { block: Arc::clone(&block), rows }))
        };
        drop(room);
        let in_others = block.shared().any(|fold| fold == id.fold());
        Ok(Some(Part { entry, spans: Arc::new(spans), later, read, is_shared: in_others }))
    }
}
