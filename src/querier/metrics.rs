//! Series over time, counted and measured from spans.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::names::Names;
use super::sources::{Job, Sources};
use super::split::Group;
use super::{Cost, MetricsAnswer, MetricsRequest, Querier, TagScope, refused};
use crate::columns::{Batch, attributes_of, batch};
use crate::failure::Failure;
use crate::scan::{Attributes, Scan, ScanCost, then};
use crate::tenant::TenantId;
use crate::trace::TraceId;
use crate::traceql::{ComparedSpans, MetricsAsk, MetricsQuery, Observed, Partial, compile_metrics};

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
    cost: Mutex<Cost>,
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
        let query = compile_metrics(&request.query).map_err(|error| refused(&error))?;
        let query = query.ok_or_else(|| Failure::invalid("not a metrics query"))?;
        let scan = Scan {
            window: request.slots.window(),
            projection: query.projection().clone(),
            need: query.need(),
        };
        let run = Arc::new(Run {
            exemplars: query
                .exemplars()
                .map_or(request.exemplars, |own| own.min(request.exemplars_max)),
            query,
            request,
            scan,
            samples_max: self.config.metrics_samples_max,
            partials: Mutex::default(),
            cost: Mutex::default(),
        });
        if !run.query.is_never() {
            for tenant in tenants {
                let sources = self.sources(tenant, &run.scan.window).await?;
                self.metrics_of(&run, &sources).await?;
                run.cost.lock().add(sources.cost);
            }
        }
        let cost = *run.cost.lock();
        let mut series = self.cpu.run(move || run.finish()).await?;
        Ok(MetricsAnswer { is_cut: cut(&mut series.0, series.1), series: series.0, cost })
    }

    async fn metrics_of(&self, run: &Arc<Run>, sources: &Sources) -> Result<(), Failure> {
        let keys = if run.query.counts_attributes() {
            self.key_groups(run, sources).await
        } else {
            KeyGroups::new()
        };
        let mut cost = ScanCost::default();
        for group in self.split_groups(sources, &mut cost).await? {
            self.metrics_of_split(run, sources, &keys, group).await?;
        }
        let jobs = sources.jobs(&run.scan, self, &mut cost).await?;
        run.cost.lock().add_scan(cost);
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
        let Job { source, unit } = job;
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
        let mut partial = self.take();
        let seen = partial.observe_attributes(attributes, spans);
        self.partials.lock().push(partial);
        seen.map_err(Failure::invalid)
    }

    /// The series, and how many of them are wanted.
    fn finish(&self) -> Result<(Vec<crate::traceql::Series>, usize), Failure> {
        let mut whole = self.take();
        for partial in std::mem::take(&mut *self.partials.lock()) {
            whole.merge(partial).map_err(Failure::invalid)?;
        }
        Ok((self.query.finish(whole), self.request.max_series))
    }
}
