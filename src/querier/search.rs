//! The newest traces that match a query.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::ahead::Ahead;
use super::sources::{Folds, Job, Sources};
use super::{Cost, Progress, Querier, SearchAnswer, SearchRequest, refused};
use crate::columns::{Batch, SpanColumn};
use crate::failure::Failure;
use crate::manifest::BlockEntry;
use crate::scan::{Scan, ScanCost, then};
use crate::tenant::TenantId;
use crate::trace::TraceId;
use crate::traceql::{Ask, Query, Rank, TraceMatch, compile};

/// A unit of which more than one row in so many is wanted is read whole.
const WHOLE_SHARE: u64 = 2;

/// Blocks that are opened at first: the newest ones. Mostly they have all that is wanted.
const FIRST_WAVE: usize = 8;

/// Then so many times more, again and again: few waits to the bucket, even for a needle.
const WAVE_GROWTH: usize = 4;

/// Spans in a unit, about: for the progress of a search.
const UNIT_SPANS: u64 = 64 << 10;

/// The matches so far: by the query's order, newest first; never more than the limit.
struct Best {
    limit: usize,
    is_ordered: bool,
    /// By rank, then by how much older a trace is than any can be, then its id, then its tenant.
    found: BTreeMap<(Rank, u64, TraceId, usize), TraceMatch>,
}

impl Best {
    /// Whether a trace that matches may be among the first.
    fn wants(&self, start: u64, id: TraceId) -> bool {
        if self.is_ordered || self.found.len() < self.limit {
            return true;
        }
        let last = self.found.last_key_value();
        last.is_none_or(|((_, age, other, _), _)| (u64::MAX - start, id) < (*age, *other))
    }

    fn add(&mut self, tenant: usize, found: Vec<TraceMatch>) {
        for found in found {
            let place = (found.rank.clone(), u64::MAX - found.start, found.id, tenant);
            self.found.insert(place, found);
            if self.found.len() > self.limit {
                self.found.pop_last();
            }
        }
    }
}

/// What all jobs of a search share.
struct Run {
    query: Query,
    request: SearchRequest,
    scan: Scan,
    /// The columns that tell which traces are worth reading.
    first_look: Scan,
    best: Mutex<Best>,
    cost: Mutex<Cost>,
    ahead: Mutex<Ahead>,
}

/// A search that was begun. Clones are the same search.
#[derive(Clone)]
pub struct Search(Arc<Run>);

impl Search {
    /// How far it has come.
    pub fn progress(&self) -> Progress {
        let cost = *self.0.cost.lock();
        Progress { cost, jobs_left: self.0.ahead.lock().units_left() }
    }

    /// Traces that are surely in the answer, the first ones of it, without the first `known` of them: nothing that is still to be read
    /// can come before them.
    pub fn settled(&self, known: usize) -> Vec<TraceMatch> {
        let newest = self.0.ahead.lock().newest();
        let best = self.0.best.lock();
        // What an order of the query's own puts first may be of any time.
        if best.is_ordered && newest.is_some() {
            return Vec::new();
        }
        let is_settled = |found: &&TraceMatch| newest.is_none_or(|newest| found.start > newest);
        best.found.values().take_while(is_settled).skip(known).cloned().collect()
    }
}

impl Querier {
    /// The first traces of some tenants that match: the newest, unless the query says otherwise. Exact: the same question over the same data has the same answer.
    ///
    /// # Errors
    /// [`crate::failure::Kind::Invalid`] for a query that is refused; otherwise why the answer would be incomplete.
    pub async fn search(
        &self,
        tenants: &[TenantId],
        request: SearchRequest,
    ) -> Result<SearchAnswer, Failure> {
        self.finish_search(tenants, &Self::begin_search(request)?).await
    }

    /// As [`Querier::search`], and of the traces found it is known how many spans lack their parents.
    ///
    /// # Errors
    /// As [`Querier::search`].
    pub async fn summaries(
        &self,
        tenants: &[TenantId],
        request: SearchRequest,
    ) -> Result<SearchAnswer, Failure> {
        self.finish_search(tenants, &Self::begin_with(request, [SpanColumn::Tops])?).await
    }

    /// A search that can be watched while [`Querier::finish_search`] is at work.
    ///
    /// # Errors
    /// [`crate::failure::Kind::Invalid`] for a query that is refused.
    pub fn begin_search(request: SearchRequest) -> Result<Search, Failure> {
        Self::begin_with(request, [])
    }

    /// A search that reads these columns too.
    fn begin_with<const N: usize>(
        request: SearchRequest,
        columns: [SpanColumn; N],
    ) -> Result<Search, Failure> {
        let query = compile(&request.query).map_err(|error| refused(&error))?;
        let scan = Scan {
            window: request.window.clone(),
            projection: query.projection().clone().with(columns),
            need: query.need(),
        };
        let limit = query.limit().map_or(request.limit, |own| own.min(request.limit));
        let best = Best { limit, is_ordered: query.is_ordered(), found: BTreeMap::new() };
        let first_look = Scan { projection: query.first_look().clone(), ..scan.clone() };
        let (best, cost, ahead) = (Mutex::new(best), Mutex::default(), Mutex::new(Ahead::new()));
        Ok(Search(Arc::new(Run { query, request, scan, first_look, best, cost, ahead })))
    }

    /// The answer of a search. A search is finished once.
    ///
    /// # Errors
    /// Why the answer would be incomplete.
    pub async fn finish_search(
        &self,
        tenants: &[TenantId],
        Search(run): &Search,
    ) -> Result<SearchAnswer, Failure> {
        if !run.query.is_never() {
            for (number, tenant) in tenants.iter().enumerate() {
                let is_last = number + 1 == tenants.len();
                self.search_tenant(run, (number, is_last), tenant).await?;
            }
        }
        let traces = std::mem::take(&mut run.best.lock().found).into_values().collect();
        let cost = *run.cost.lock();
        Ok(SearchAnswer { traces, cost })
    }

    /// Searches live spans and the newest blocks first, then more and more of the others, as long as they may have what is wanted.
    async fn search_tenant(
        &self,
        run: &Arc<Run>,
        (number, is_last): (usize, bool),
        tenant: &TenantId,
    ) -> Result<(), Failure> {
        let pin = self.ingester.pin(tenant).await?;
        let window = &run.scan.window;
        let all = pin.manifest.blocks();
        let overlaps = |block: &&Arc<BlockEntry>| block.overlaps(*window.start(), *window.end());
        let mut left: Vec<Arc<BlockEntry>> = all.iter().filter(overlaps).cloned().collect();
        // A trace starts before the end of each of its spans.
        left.sort_by_key(|block| std::cmp::Reverse((block.end_unix_nano, block.id)));
        let mut skipped = all.len() - left.len();
        let mut wave = if run.best.lock().is_ordered { usize::MAX } else { FIRST_WAVE };
        let (mut split, mut done) = (Folds::default(), Folds::default());
        let mut has_live = pin.has_live();
        while has_live || !left.is_empty() {
            let newest = left.first().map_or(u64::MAX, |block| block.end_unix_nano);
            if !has_live && !run.best.lock().wants(newest, TraceId::default()) {
                skipped += left.len();
                break;
            }
            let rest = left.split_off(wave.min(left.len()));
            let inside = std::mem::replace(&mut left, rest);
            let sources =
                self.some_sources(tenant, pin.clone(), (inside, has_live), &split).await?;
            let rest = Rest::of(&left, is_last);
            self.search_sources(run, number, (&sources, rest), &mut done).await?;
            run.cost.lock().add(sources.cost);
            split.clone_from(&sources.split);
            wave = wave.saturating_mul(WAVE_GROWTH);
            has_live = false;
        }
        if !is_last {
            run.ahead.lock().expect_anything();
        }
        run.cost.lock().blocks_skipped += skipped as u64;
        Ok(())
    }

    async fn search_sources(
        &self,
        run: &Arc<Run>,
        tenant: usize,
        (sources, rest): (&Sources, Rest),
        done: &mut Folds,
    ) -> Result<(), Failure> {
        // Split traces first: they may be of any age.
        let mut cost = ScanCost::default();
        for group in self.split_groups_but(sources, done, &mut cost).await? {
            let _room = self.room_for_spans(group.spans).await;
            let projection = &run.scan.projection;
            let batch = self.assembled_batch(sources, &group, projection, &mut cost).await?;
            let shared = Arc::clone(run);
            let evaluate = move || shared.evaluate(&batch, &|_| false);
            let found = self.cpu.run(evaluate).await?;
            run.best.lock().add(tenant, found);
            done.extend(group.folds);
        }
        let jobs = sources.jobs(&run.scan, self, &mut cost).await?;
        run.cost.lock().add_scan(cost);
        let starts = jobs.iter().map(|job| job.unit.last_start);
        run.ahead.lock().opened(starts, rest.newest, rest.units);
        let mut jobs = jobs.into_iter();
        // Mostly the newest unit has all that is wanted.
        if let Some(job) = jobs.next() {
            self.search_job(run, tenant, sources, job).await?;
        }
        let work: Vec<_> = jobs.map(|job| self.search_job(run, tenant, sources, job)).collect();
        futures::stream::iter(work)
            .buffer_unordered(self.config.concurrent_units)
            .try_collect::<()>()
            .await
    }

    async fn search_job(
        &self,
        run: &Arc<Run>,
        tenant: usize,
        sources: &Sources,
        job: Job,
    ) -> Result<(), Failure> {
        let start = job.unit.last_start;
        self.search_unit(run, tenant, sources, job).await?;
        run.ahead.lock().done(start);
        Ok(())
    }

    async fn search_unit(
        &self,
        run: &Arc<Run>,
        tenant: usize,
        sources: &Sources,
        Job { source, unit }: Job,
    ) -> Result<(), Failure> {
        // Units come newest first: no trace of this one, nor of any after it, may be new enough.
        if !run.best.lock().wants(unit.last_start, TraceId::default()) {
            run.cost.lock().jobs_skipped += 1;
            return Ok(());
        }
        let room = self.memory.take(source.bytes(&unit, &run.first_look).await?).await;
        let (shared, split) = (Arc::clone(run), Arc::clone(&sources.split));
        let (look, looked) = then(move |batch: Batch| {
            let found = shared.candidates(&batch, &|id| split.contains(&id.fold()));
            let rows: usize =
                found.iter().map(|trace| batch.traces.rows(*trace as usize).len()).sum();
            (found, rows as u64)
        });
        let cost = source.read_for(&unit, &run.first_look, look).await?;
        run.cost.lock().add_scan(cost);
        let (traces, rows) = looked.take();
        drop(room);
        if traces.is_empty() {
            return Ok(());
        }
        let _room = self.memory.take(source.bytes(&unit, &run.scan).await?).await;
        let (batch, mut cost) = if rows * WHOLE_SHARE > unit.rows {
            source.read(&unit, &run.scan).await?
        } else {
            source.read_some(&unit, &traces, &run.scan).await?
        };
        // The unit was counted when it was looked at.
        (cost.units_read, cost.rows, cost.traces) = (0, 0, 0);
        run.cost.lock().add_scan(cost);
        let (shared, split) = (Arc::clone(run), Arc::clone(&sources.split));
        let evaluate = move || shared.evaluate(&batch, &|id| split.contains(&id.fold()));
        let found = self.cpu.run(evaluate).await?;
        run.best.lock().add(tenant, found);
        Ok(())
    }
}

/// What a wave leaves for later.
#[derive(Debug, Clone, Copy)]
struct Rest {
    /// The latest that a trace there may start; `None` if nothing is left.
    newest: Option<u64>,
    units: u64,
}

impl Rest {
    /// The blocks that are left, the newest first. After another tenant than the last one, anything may come.
    fn of(left: &[Arc<BlockEntry>], is_last: bool) -> Self {
        // A trace starts before the end of each of its spans.
        let newest = left.first().map(|block| block.end_unix_nano);
        let units = left.iter().map(|block| block.spans.div_ceil(UNIT_SPANS)).sum();
        Self { newest: if is_last { newest } else { Some(u64::MAX) }, units }
    }
}

impl Run {
    /// The traces of a unit that are worth reading.
    fn candidates(
        &self,
        batch: &Batch,
        is_elsewhere: &(dyn Fn(TraceId) -> bool + Sync),
    ) -> Vec<u32> {
        let wanted =
            |id: TraceId, start: u64| !is_elsewhere(id) && self.best.lock().wants(start, id);
        let window = self.request.window.clone();
        let ask = Ask { window, spans_per_spanset: 0, wanted: &wanted };
        let newest_max = self.best.lock().limit;
        self.query.candidates(batch, &ask, newest_max)
    }

    fn evaluate(
        &self,
        batch: &Batch,
        is_elsewhere: &(dyn Fn(TraceId) -> bool + Sync),
    ) -> Result<Vec<TraceMatch>, Failure> {
        let wanted =
            |id: TraceId, start: u64| !is_elsewhere(id) && self.best.lock().wants(start, id);
        let ask = Ask {
            window: self.request.window.clone(),
            spans_per_spanset: self.request.spans_per_spanset,
            wanted: &wanted,
        };
        self.query.evaluate(batch, &ask).map_err(Failure::invalid)
    }
}
