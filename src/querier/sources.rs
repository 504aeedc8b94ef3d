//! What a query reads of one tenant: its blocks, its live spans, and which traces lie in several of them.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use super::{Cost, Querier, unanswered, unreadable};
use crate::block::Block;
use crate::failure::Failure;
use crate::ingester::Pin;
use crate::manifest::BlockEntry;
use crate::packs::Narrowed;
use crate::scan::{Scan, SpanSource, Unit};
use crate::tenant::TenantId;
use crate::trace::TraceId;

/// Blocks that are opened at once: an index has half a MiB, and each wait is a round to the bucket.
const PARALLEL_OPENS: usize = 32;

/// One tenant at one moment, opened for a query.
pub(super) struct Sources {
    pub pin: Pin,
    /// Blocks that overlap the window.
    pub blocks: Vec<Arc<Block>>,
    /// Blocks outside the window that may hold fragments of traces inside.
    pub elsewhere: Vec<Arc<Block>>,
    /// Folds of the ids of traces that lie in several places.
    pub split: Arc<HashSet<u64, foldhash::fast::RandomState>>,
    pub cost: Cost,
}

/// A unit of one of the sources.
pub(super) struct Job {
    pub source: Arc<dyn SpanSource>,
    pub unit: Unit,
}

impl Querier {
    /// Pins a tenant and opens what a query over the window needs.
    pub(super) async fn sources(
        &self,
        tenant: &TenantId,
        window: &RangeInclusive<u64>,
    ) -> Result<Sources, Failure> {
        let pin = self.ingester.pin(tenant).await?;
        let all = pin.manifest.blocks();
        let (inside, outside): (Vec<_>, Vec<_>) =
            all.iter().cloned().partition(|block| block.overlaps(*window.start(), *window.end()));
        let (sharing, others): (Vec<_>, Vec<_>) =
            outside.iter().cloned().partition(|block| may_share(block, &inside));
        let cost = Cost {
            blocks: inside.len() as u64,
            blocks_skipped: outside.len() as u64,
            block_bytes: inside.iter().map(|block| block.bytes()).sum(),
            ..Cost::default()
        };
        let blocks = self.open_all(tenant, inside).await?;
        let mut elsewhere = self.open_all(tenant, sharing).await?;
        if pin.has_live() && !others.is_empty() {
            let of_live = self.holding_live(tenant, &pin, others).await?;
            elsewhere.extend(self.open_all(tenant, of_live).await?);
        }
        let (of_pin, opened) =
            (pin.clone(), blocks.iter().chain(&elsewhere).cloned().collect::<Vec<_>>());
        let split = Arc::new(self.cpu.run(move || split_folds(&of_pin, &opened)).await);
        Ok(Sources { pin, blocks, elsewhere, split, cost })
    }

    /// Of blocks outside the window, those that may hold older parts of live traces.
    async fn holding_live(
        &self,
        tenant: &TenantId,
        pin: &Pin,
        blocks: Vec<Arc<BlockEntry>>,
    ) -> Result<Vec<Arc<BlockEntry>>, Failure> {
        let of_pin = pin.clone();
        let folds = move || of_pin.live_ids().into_iter().map(TraceId::fold).collect::<Vec<_>>();
        let folds = self.cpu.run(folds).await;
        let narrowed = self.ingester.packs().narrow(tenant, blocks, &folds).await;
        let Narrowed { mut maybe, unknown } = narrowed.map_err(|error| unanswered(&error))?;
        maybe.extend(unknown);
        Ok(maybe)
    }

    async fn open_all(
        &self,
        tenant: &TenantId,
        entries: Vec<Arc<BlockEntry>>,
    ) -> Result<Vec<Arc<Block>>, Failure> {
        let opens: Vec<_> = entries
            .into_iter()
            .map(|entry| async move {
                let block = self.blocks.open(tenant, entry.id).await;
                block.map_err(|error| unreadable(entry.id, &error))
            })
            .collect();
        futures::stream::iter(opens).buffered(PARALLEL_OPENS).try_collect().await
    }
}

/// Whether a block outside the window may have parts of traces of the blocks inside. Of two blocks that share a trace the younger says so.
fn may_share(block: &BlockEntry, inside: &[Arc<BlockEntry>]) -> bool {
    inside.iter().any(|other| block.may_share_with(other.id) || other.may_share_with(block.id))
}

/// Folds of traces that are in two blocks, or live and in a block. A trace that only seems to be split costs a little; one that is
/// missed would be answered in pieces.
fn split_folds(pin: &Pin, blocks: &[Arc<Block>]) -> HashSet<u64, foldhash::fast::RandomState> {
    let mut split: HashSet<u64, foldhash::fast::RandomState> =
        blocks.iter().flat_map(|block| block.shared()).collect();
    let mut live: Vec<u64> = pin.live_ids().into_iter().map(TraceId::fold).collect();
    live.sort_unstable();
    for block in blocks {
        let mut mine = live.iter().copied().peekable();
        for fold in block.folds() {
            while mine.next_if(|live| *live < fold).is_some() {}
            if mine.peek() == Some(&fold) {
                split.insert(fold);
            }
        }
    }
    split
}

impl Sources {
    /// The units that may matter, the newest first, and how many were ruled out.
    pub(super) fn jobs(&self, scan: &Scan, querier: &Querier) -> (Vec<Job>, u64) {
        let mut sources: Vec<Arc<dyn SpanSource>> =
            self.blocks.iter().map(|block| Arc::clone(block) as Arc<dyn SpanSource>).collect();
        if self.pin.has_live() {
            sources.push(Arc::new(self.pin.source(querier.cpu.clone())));
        }
        let (mut jobs, mut skipped): (Vec<Job>, u64) = (Vec::new(), 0);
        for source in sources {
            let (units, ruled_out) = source.units(scan);
            skipped += ruled_out;
            jobs.extend(units.into_iter().map(|unit| Job { source: Arc::clone(&source), unit }));
        }
        jobs.sort_by_key(|job| std::cmp::Reverse(job.unit.last_start));
        (jobs, skipped)
    }

    /// The units of live spans that may matter.
    pub(super) fn live_jobs(&self, scan: &Scan, querier: &Querier) -> Vec<Job> {
        if !self.pin.has_live() {
            return Vec::new();
        }
        let source: Arc<dyn SpanSource> = Arc::new(self.pin.source(querier.cpu.clone()));
        let (units, _) = source.units(scan);
        units.into_iter().map(|unit| Job { source: Arc::clone(&source), unit }).collect()
    }
}
