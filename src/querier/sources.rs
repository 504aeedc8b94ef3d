//! What a query reads of one tenant: its blocks, its live spans, and which traces lie in several of them.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use uuid::Uuid;

use super::{Cost, Querier, unanswered, unreadable};
use crate::block::{Block, Directory, Opening};
use crate::failure::Failure;
use crate::ingester::Pin;
use crate::manifest::BlockEntry;
use crate::packs::Narrowed;
use crate::scan::{Scan, ScanCost, SpanSource, Unit};
use crate::tenant::TenantId;
use crate::trace::TraceId;

/// Blocks that are asked at once: for little, and each wait is a round to the bucket.
const PARALLEL_BLOCKS: usize = 64;

/// Folds of trace ids.
pub(super) type Folds = HashSet<u64, foldhash::fast::RandomState>;

/// One tenant at one moment, opened for a query: all that the window has, or a part of it.
pub(super) struct Sources {
    pub pin: Pin,
    /// Whether live spans are among what is to be read.
    pub has_live: bool,
    /// Blocks that overlap the window.
    pub blocks: Vec<Arc<Block>>,
    /// Other blocks that may hold fragments of their traces, or of live ones.
    pub elsewhere: Vec<Arc<Block>>,
    /// Folds of the ids of traces that lie in several places.
    pub split: Arc<Folds>,
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
        let overlaps = |block: &&Arc<BlockEntry>| block.overlaps(*window.start(), *window.end());
        let inside: Vec<Arc<BlockEntry>> = all.iter().filter(overlaps).cloned().collect();
        let blocks_skipped = (all.len() - inside.len()) as u64;
        let has_live = pin.has_live();
        let mut sources =
            self.some_sources(tenant, pin, (inside, has_live), &Folds::default()).await?;
        sources.cost.blocks_skipped = blocks_skipped;
        Ok(sources)
    }

    /// Opens some of the blocks, and what may have other parts of their traces and, if those are read too, of live ones. Some traces
    /// are known to be split.
    pub(super) async fn some_sources(
        &self,
        tenant: &TenantId,
        pin: Pin,
        (inside, has_live): (Vec<Arc<BlockEntry>>, bool),
        known_split: &Folds,
    ) -> Result<Sources, Failure> {
        let mut cost = Cost {
            blocks: inside.len() as u64,
            block_bytes: inside.iter().map(|block| block.bytes()).sum(),
            ..Cost::default()
        };
        let all = pin.manifest.blocks();
        let holding = if has_live {
            self.holding_live(tenant, &pin, all.to_vec()).await?
        } else {
            HashSet::new()
        };
        let relatives = Relatives::of(&inside);
        let is_elsewhere = |block: &&Arc<BlockEntry>| {
            !relatives.blocks.contains(&block.id)
                && (holding.contains(&block.id) || relatives.may_share(block))
        };
        let outside: Vec<_> = all.iter().filter(is_elsewhere).cloned().collect();
        let (blocks, elsewhere) =
            futures::try_join!(self.open_all(tenant, inside), self.open_all(tenant, outside))?;
        let mut read = ScanCost::default();
        let (blocks, of_blocks) = blocks;
        let (elsewhere, of_elsewhere) = elsewhere;
        let opened: Vec<Arc<Block>> = blocks.iter().chain(&elsewhere).cloned().collect();
        let holders = opened.iter().filter(|block| holding.contains(&block.id())).cloned();
        let directories = self.directories(holders.collect(), &mut read).await?;
        for of_some in [read, of_blocks, of_elsewhere] {
            cost.add_scan(of_some);
        }
        let (of_pin, mut split) = (pin.clone(), known_split.clone());
        let find = move || {
            split.extend(opened.iter().flat_map(|block| block.shared()));
            add_live_folds(&of_pin, &directories, &mut split);
            split
        };
        let split = Arc::new(self.cpu.run(find).await);
        Ok(Sources { pin, has_live, blocks, elsewhere, split, cost })
    }

    /// Which blocks may hold older parts of live traces.
    async fn holding_live(
        &self,
        tenant: &TenantId,
        pin: &Pin,
        blocks: Vec<Arc<BlockEntry>>,
    ) -> Result<HashSet<Uuid>, Failure> {
        let of_pin = pin.clone();
        let folds = move || of_pin.live_ids().into_iter().map(TraceId::fold).collect::<Vec<_>>();
        let folds = self.cpu.run(folds).await;
        let narrowed = self.ingester.packs().narrow(tenant, blocks, &folds).await;
        let Narrowed { maybe, unknown } = narrowed.map_err(|error| unanswered(&error))?;
        Ok(maybe.iter().chain(&unknown).map(|entry| entry.id).collect())
    }

    async fn open_all(
        &self,
        tenant: &TenantId,
        entries: Vec<Arc<BlockEntry>>,
    ) -> Result<(Vec<Arc<Block>>, ScanCost), Failure> {
        let opens: Vec<_> = entries
            .into_iter()
            .map(|entry| async move {
                let mut cost = ScanCost::default();
                let block = self.blocks.open(tenant, &entry, Opening::Short, &mut cost).await;
                Ok::<_, Failure>((block.map_err(|error| unreadable(entry.id, &error))?, cost))
            })
            .collect();
        let opened: Vec<(Arc<Block>, ScanCost)> =
            futures::stream::iter(opens).buffered(PARALLEL_BLOCKS).try_collect().await?;
        let mut cost = ScanCost::default();
        for (_, read) in &opened {
            cost.add(*read);
        }
        Ok((opened.into_iter().map(|(block, _)| block).collect(), cost))
    }

    /// Where the traces of some blocks lie.
    pub(super) async fn directories(
        &self,
        blocks: Vec<Arc<Block>>,
        cost: &mut ScanCost,
    ) -> Result<Vec<(Arc<Block>, Directory)>, Failure> {
        let reads: Vec<_> = blocks
            .into_iter()
            .map(|block| async move {
                let mut cost = ScanCost::default();
                let directory = block.directory(&mut cost).await.cloned();
                let directory = directory.map_err(|error| unreadable(block.id(), &error))?;
                Ok::<_, Failure>((block, directory, cost))
            })
            .collect();
        let read: Vec<(Arc<Block>, Directory, ScanCost)> =
            futures::stream::iter(reads).buffered(PARALLEL_BLOCKS).try_collect().await?;
        for (.., read) in &read {
            cost.add(*read);
        }
        Ok(read.into_iter().map(|(block, directory, _)| (block, directory)).collect())
    }
}

/// What some blocks tell of others that have parts of their traces.
struct Relatives {
    blocks: HashSet<Uuid>,
    named: HashSet<Uuid>,
    /// Some block shares traces with more than it names.
    is_any: bool,
}

impl Relatives {
    fn of(blocks: &[Arc<BlockEntry>]) -> Self {
        let sharing = || blocks.iter().filter(|block| block.shared_traces > 0);
        Self {
            blocks: blocks.iter().map(|block| block.id).collect(),
            named: sharing().flat_map(|block| &block.shared_with).copied().collect(),
            is_any: sharing().any(|block| block.shared_with.is_empty()),
        }
    }

    /// Whether a block may have parts of traces of these. Of two blocks that share a trace the younger says so.
    fn may_share(&self, block: &BlockEntry) -> bool {
        let names = || block.shared_with.iter().any(|other| self.blocks.contains(other));
        self.is_any
            || self.named.contains(&block.id)
            || block.shared_traces > 0 && (block.shared_with.is_empty() || names())
    }
}

/// Adds the folds of traces that are live and in a block. A trace that only seems to be split costs a little; one that is missed would be
/// answered in pieces.
fn add_live_folds(pin: &Pin, blocks: &[(Arc<Block>, Directory)], split: &mut Folds) {
    if blocks.is_empty() {
        return;
    }
    let mut live: Vec<u64> = pin.live_ids().into_iter().map(TraceId::fold).collect();
    live.sort_unstable();
    for (_, directory) in blocks {
        let mut mine = live.iter().copied().peekable();
        for fold in directory.folds() {
            while mine.next_if(|live| *live < fold).is_some() {}
            if mine.peek() == Some(&fold) {
                split.insert(fold);
            }
        }
    }
}

impl Sources {
    /// The units that may matter, the newest first. How many were ruled out is in the cost.
    pub(super) async fn jobs(
        &self,
        scan: &Scan,
        querier: &Querier,
        cost: &mut ScanCost,
    ) -> Result<Vec<Job>, Failure> {
        let mut sources: Vec<Arc<dyn SpanSource>> =
            self.blocks.iter().map(|block| Arc::clone(block) as Arc<dyn SpanSource>).collect();
        sources.extend(self.live_source(querier));
        let reads: Vec<_> = sources
            .into_iter()
            .map(|source| async move {
                let mut cost = ScanCost::default();
                let units = source.units(scan, &mut cost).await?;
                Ok::<_, Failure>((source, units, cost))
            })
            .collect();
        let found: Vec<(Arc<dyn SpanSource>, Vec<Unit>, ScanCost)> =
            futures::stream::iter(reads).buffered(PARALLEL_BLOCKS).try_collect().await?;
        let mut jobs: Vec<Job> = Vec::new();
        for (source, units, read) in found {
            cost.add(read);
            jobs.extend(units.into_iter().map(|unit| Job { source: Arc::clone(&source), unit }));
        }
        jobs.sort_by_key(|job| std::cmp::Reverse(job.unit.last_start));
        Ok(jobs)
    }

    /// The units of live spans that may matter.
    pub(super) async fn live_jobs(
        &self,
        scan: &Scan,
        querier: &Querier,
    ) -> Result<Vec<Job>, Failure> {
        let Some(source) = self.live_source(querier) else { return Ok(Vec::new()) };
        let units = source.units(scan, &mut ScanCost::default()).await?;
        Ok(units.into_iter().map(|unit| Job { source: Arc::clone(&source), unit }).collect())
    }

    fn live_source(&self, querier: &Querier) -> Option<Arc<dyn SpanSource>> {
        self.has_live.then(|| Arc::new(self.pin.source(querier.cpu.clone())) as Arc<dyn SpanSource>)
    }
}
