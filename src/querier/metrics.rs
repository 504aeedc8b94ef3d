//! Series over time, counted and measured from spans.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use parking_lot::{Mutex, RwLock};

use super::ahead::Ahead;
use super::names::Names;
use super::sources::{Job, Sources};
use super::split::Group;
use super::{Cost, MetricsAnswer, MetricsRequest, Progress, Querier, TagScope, refused};
use crate::columns::{Batch, attributes_of, batch};
use crate::failure::Failure;
use crate::scan::{Attributes, Scan, ScanCost, then};
use crate::tenant::TenantId;
use crate::trace::TraceId;
use crate::traceql::{
    ComparedSpans, MetricsAsk, MetricsQuery, Observed, Partial, Series, compile_metrics,
};

/// Attributes whose values are in memory at once: 64 Ki spans have about 0.3 MB of one that has a column, and at most 256 do.
const KEYS_AT_ONCE: usize = 256;

/// What all jobs of a metrics query share.
struct Run {
    query: MetricsQuery,
    request: MetricsRequest,
    scan: Scan,
    exemplars: usize,
    samples_max: usize,
    /// Parts of the answer that no job works on: there are never more of them than jobs at once.
    partials: Mutex<Vec<Partial>>,
    /// Held for reading by what adds to a part, for writing by who looks at all of them.
    adding: RwLock<()>,
    cost: Mutex<Cost>,
    ahead: Mutex<Ahead>,
}

/// Most samples of an unfinished answer that is looked at: it is copied for that.
const WATCHED_SAMPLES_MAX: usize = 1 << 20;

/// A metrics query that was begun. Clones are the same query.
#[derive(Clone)]
pub struct Metrics(Arc<Run>);

impl Metrics {
    /// How far it has come.
    pub fn progress(&self) -> Progress {
        let cost = *self.0.cost.lock();
        Progress { cost, jobs_left: self.0.ahead.lock().units_left() }
    }

    /// How many slots, from the first on, no unread span can be in.
    pub fn settled_slots(&self) -> usize {
        let (oldest, slots) = (self.0.ahead.lock().oldest(), &self.0.request.slots);
        oldest.map_or(slots.count(), |oldest| slots.before(oldest))
    }
}

/// Keys of span attributes, as many as are read at once.
type KeyGroups = Vec<Arc<BTreeSet<String>>>;

impl Querier {
    /// The series of a metrics query over some tenants together. Exact: the same question over the same data has the same answer.
    ///
    /// # Errors
    /// [`crate::failure::Kind::Invalid`] for a query that is refused or computes no metrics, and for an answer that is too large;
    /// otherwise why the answer would be incomplete.
    pub async fn metrics(
        &self,
        tenants: &[TenantId],
        request: MetricsRequest,
    ) -> Result<MetricsAnswer, Failure> {
        self.finish_metrics(tenants, &self.begin_metrics(request)?).await
    }

    /// A metrics query that can be watched while [`Querier::finish_metrics`] is at work.
    ///
    /// # Errors
    /// [`crate::failure::Kind::Invalid`] for a query that is refused or computes no metrics.
    pub fn begin_metrics(&self, request: MetricsRequest) -> Result<Metrics, Failure> {
        let query = compile_metrics(&request.query).map_err(|error| refused(&error))?;
        let query = query.ok_or_else(|| Failure::invalid("not a metrics query"))?;
        let scan = Scan {
            window: request.slots.window(),
            projection: query.projection().clone(),
            need: query.need(),
        };
        Ok(Metrics(Arc::new(Run {
            exemplars: query
                .exemplars()
                .map_or(request.exemplars, |own| own.min(request.exemplars_max)),
            query,
            request,
            scan,
            samples_max: self.config.metrics_samples_max,
            partials: Mutex::default(),
            adding: RwLock::new(()),
            cost: Mutex::default(),
            ahead: Mutex::new(Ahead::new()),
        })))
    }

    /// The answer of a metrics query. A query is finished once.
    ///
    /// # Errors
    /// [`crate::failure::Kind::Invalid`] for an answer that is too large; otherwise why it would be incomplete.
    pub async fn finish_metrics(
        &self,
        tenants: &[TenantId],
        Metrics(run): &Metrics,
    ) -> Result<MetricsAnswer, Failure> {
        if !run.query.is_never() {
            for (number, tenant) in tenants.iter().enumerate() {
                let sources = self.sources(tenant, &run.scan.window).await?;
                let is_last = number + 1 == tenants.len();
                self.metrics_of(run, &sources, is_last).await?;
                run.cost.lock().add(sources.cost);
            }
        }
        let cost = *run.cost.lock();
        let of_run = Arc::clone(run);
        let mut series = self.cpu.run(move || of_run.finish()).await?;
        Ok(MetricsAnswer { is_cut: cut(&mut series.0, series.1), series: series.0, cost })
    }

    /// The series of an unfinished query, with the samples of some of its slots. Only those up
    /// to [`Metrics::settled_slots`] are as in the answer. None if there are more than can be looked at, or if they are not known
    /// before the end.
    pub async fn samples_so_far(&self, Metrics(run): &Metrics, slots: Range<usize>) -> Vec<Series> {
        let run = Arc::clone(run);
        self.cpu.run(move || run.look(&slots)).await.unwrap_or_default()
    }

    async fn metrics_of(
        &self,
        run: &Arc<Run>,
        sources: &Sources,
        is_last: bool,
    ) -> Result<(), Failure> {
        let keys = if run.query.counts_attributes() {
            self.key_groups(run, sources).await
        } else {
            KeyGroups::new()
        };
        let mut cost = ScanCost::default();
        for group in self.split_groups(sources, &mut cost).await? {
            self.metrics_of_split(run, sources, &keys, group).await?;
        }
        let mut jobs = sources.jobs(&run.scan, self, &mut cost).await?;
        run.cost.lock().add_scan(cost);
        // A span starts after its trace: with the oldest first, slot after slot is known for good.
        jobs.sort_by_key(|job| job.unit.first_start);
        let starts = jobs.iter().map(|job| job.unit.first_start);
        run.ahead.lock().opened(starts, (!is_last).then_some(u64::MAX), 0);
        let work: Vec<_> =
            jobs.into_iter().map(|job| self.metrics_of_job(run, sources, &keys, job)).collect();
        futures::stream::iter(work)
            .buffer_unordered(self.config.concurrent_units)
            .try_collect::<()>()
            .await
    }

    /// All keys of span attributes in the window.
    async fn key_groups(&self, run: &Run, sources: &Sources) -> KeyGroups {
        let mut names = Names::new();
        self.all_names(sources, &run.scan.window, &mut names).await;
        let keys: Vec<String> =
            names.remove(&TagScope::Span).unwrap_or_default().into_iter().collect();
        keys.chunks(KEYS_AT_ONCE).map(|keys| Arc::new(keys.iter().cloned().collect())).collect()
    }

    async fn metrics_of_split(
        &self,
        run: &Arc<Run>,
        sources: &Sources,
        keys: &KeyGroups,
        group: Group,
    ) -> Result<(), Failure> {
        let mut cost = ScanCost::default();
        let _room = self.room_for_spans(group.spans).await;
        let all = |_: TraceId| true;
        if keys.is_empty() {
            let projection = &run.scan.projection;
            let batch = self.assembled_batch(sources, &group, projection, &mut cost).await?;
            run.cost.lock().add_scan(cost);
            let run = Arc::clone(run);
            let observe = move || run.observe(&batch, &all).map(drop);
            return self.cpu.run(observe).await;
        }
        let assembled = self.assemble(sources, &group, &mut cost).await?;
        run.cost.lock().add_scan(cost);
        let (run, keys) = (Arc::clone(run), keys.clone());
        let observe = move || {
            let (layout, chunks) = (assembled.layout(), assembled.spans());
            let Observed::Compared(spans) =
                run.observe(&batch(&chunks, &layout, &run.scan.projection), &all)?
            else {
                return Ok(());
            };
            for keys in &keys {
                let attributes = attributes_of(&chunks, &layout, spans.rows(), keys);
                run.observe_attributes(&attributes, &spans)?;
            }
            Ok(())
        };
        self.cpu.run(observe).await
    }

    async fn metrics_of_job(
        &self,
        run: &Arc<Run>,
        sources: &Sources,
        keys: &KeyGroups,
        job: Job,
    ) -> Result<(), Failure> {
        let start = job.unit.first_start;
        self.metrics_of_unit(run, sources, keys, job).await?;
        run.ahead.lock().done(start);
        Ok(())
    }

    async fn metrics_of_unit(
        &self,
        run: &Arc<Run>,
        sources: &Sources,
        keys: &KeyGroups,
        Job { source, unit }: Job,
    ) -> Result<(), Failure> {
        let _room = self.memory.take(source.bytes(&unit, &run.scan).await?).await;
        let (shared, split) = (Arc::clone(run), Arc::clone(&sources.split));
        let observe = move |batch: Batch| shared.observe(&batch, &|id| !split.contains(&id.fold()));
        let (observe, observed) = then(observe);
        let cost = source.read_for(&unit, &run.scan, observe).await?;
        run.cost.lock().add_scan(cost);
        let Observed::Compared(spans) = observed.take()? else { return Ok(()) };
        let spans = Arc::new(spans);
        for keys in keys {
            let (shared, compared) = (Arc::clone(run), Arc::clone(&spans));
            let observe =
                move |attributes: Attributes| shared.observe_attributes(&attributes, &compared);
            let (observe, observed) = then(observe);
            let cost = source.read_attributes_for(&unit, spans.rows(), keys, observe).await?;
            // The spans were counted before.
            run.cost.lock().inspected_bytes += cost.bytes;
            observed.take()?;
        }
        Ok(())
    }
}

/// Leaves at most so many series (0: all); whether some were left out.
fn cut<T>(series: &mut Vec<T>, max: usize) -> bool {
    let is_cut = max > 0 && series.len() > max;
    if is_cut {
        series.truncate(max);
    }
    is_cut
}

impl Run {
    fn take(&self) -> Partial {
        let known = self.partials.lock().pop();
        known.unwrap_or_else(|| {
            self.query.partial(self.request.slots, self.exemplars, self.samples_max)
        })
    }

    fn observe(
        &self,
        batch: &Batch,
        is_wanted: &(dyn Fn(TraceId) -> bool + Sync),
    ) -> Result<Observed, Failure> {
        let _adding = self.adding.read();
        let mut partial = self.take();
        let seen = self.query.observe(batch, &MetricsAsk { is_wanted }, &mut partial);
        self.partials.lock().push(partial);
        seen.map_err(Failure::invalid)
    }

    fn observe_attributes(
        &self,
        attributes: &Attributes,
        spans: &ComparedSpans,
    ) -> Result<(), Failure> {
        let _adding = self.adding.read();
        let mut partial = self.take();
        let seen = partial.observe_attributes(attributes, spans);
        self.partials.lock().push(partial);
        seen.map_err(Failure::invalid)
    }

    /// The series so far.
    fn look(&self, slots: &Range<usize>) -> Option<Vec<Series>> {
        let _nobody_adds = self.adding.write();
        let whole = self.whole().ok()?;
        let copy = self.query.copy(&whole, WATCHED_SAMPLES_MAX);
        self.partials.lock().push(whole);
        let mut series = self.query.finish(copy?);
        if self.request.max_series > 0 && series.len() > self.request.max_series {
            return None;
        }
        let times = slots.clone().map(|slot| self.request.slots.timestamp_ms(slot));
        let times: HashSet<u64> = times.collect();
        for one in &mut series {
            one.samples.retain(|(time, _)| times.contains(time));
        }
        series.retain(|one| !one.samples.is_empty());
        Some(series)
    }

    /// All parts as one.
    fn whole(&self) -> Result<Partial, Failure> {
        let mut whole = self.take();
        for partial in std::mem::take(&mut *self.partials.lock()) {
            whole.merge(partial).map_err(Failure::invalid)?;
        }
        Ok(whole)
    }

    /// The series, and how many of them are wanted.
    fn finish(&self) -> Result<(Vec<Series>, usize), Failure> {
        Ok((self.query.finish(self.whole()?), self.request.max_series))
    }
}
