//! Which services call which: counted from every span of the window whose parent belongs to another service.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::sources::{Job, Sources};
use super::{Cost, Querier};
use crate::columns::{Batch, Projection, SpanColumn};
use crate::failure::Failure;
use crate::scan::{Need, Scan, ScanCost, then};
use crate::tenant::TenantId;
use crate::trace::TraceId;

/// OTLP's number of the status "error".
const ERROR: i32 = 2;

/// The calls between services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependencies {
    /// By caller, then by who is called.
    pub edges: Vec<Dependency>,
    pub cost: Cost,
}

/// Calls from one service to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Empty for spans without a service name.
    pub parent: String,
    pub child: String,
    /// Spans of the child whose parent span is of the parent.
    pub calls: u64,
    /// Those of them with status error.
    pub errors: u64,
}

/// Calls and errors by caller and called.
type Edges = BTreeMap<(String, String), (u64, u64)>;

/// What all jobs share.
struct Run {
    scan: Scan,
    edges: Mutex<Edges>,
    cost: Mutex<Cost>,
}

impl Querier {
    /// Counts calls by the spans that start in the window, Unix nanoseconds. Exact: four small columns of every span of the window
    /// are read, and parents are found wherever they are stored.
    ///
    /// # Errors
    /// Why the answer would be incomplete.
    pub async fn dependencies(
        &self,
        tenants: &[TenantId],
        window: RangeInclusive<u64>,
    ) -> Result<Dependencies, Failure> {
        let columns =
            [SpanColumn::Tree, SpanColumn::Resource, SpanColumn::Start, SpanColumn::Status];
        let projection = Projection::default().with(columns);
        let scan = Scan { window, projection, need: Need::Anything };
        let run = Arc::new(Run { scan, edges: Mutex::default(), cost: Mutex::default() });
        for tenant in tenants {
            let sources = self.sources(tenant, &run.scan.window).await?;
            self.dependencies_of(&run, &sources).await?;
            run.cost.lock().add(sources.cost);
        }
        let edges = std::mem::take(&mut *run.edges.lock()).into_iter();
        let edge = |((parent, child), (calls, errors))| Dependency { parent, child, calls, errors };
        let cost = *run.cost.lock();
        Ok(Dependencies { edges: edges.map(edge).collect(), cost })
    }

    async fn dependencies_of(&self, run: &Arc<Run>, sources: &Sources) -> Result<(), Failure> {
        let mut cost = ScanCost::default();
        for group in self.split_groups(sources, &mut cost).await? {
            let _room = self.room_for_spans(group.spans).await;
            let projection = &run.scan.projection;
            let batch = self.assembled_batch(sources, &group, projection, &mut cost).await?;
            let run = Arc::clone(run);
            self.cpu.run(move || run.observe(&batch, &|_| true)).await;
        }
        let jobs = sources.jobs(&run.scan, self, &mut cost).await?;
        run.cost.lock().add_scan(cost);
        let work: Vec<_> =
            jobs.into_iter().map(|job| self.dependencies_of_job(run, sources, job)).collect();
        futures::stream::iter(work)
            .buffer_unordered(self.config.concurrent_units)
            .try_collect::<()>()
            .await
    }

    async fn dependencies_of_job(
        &self,
        run: &Arc<Run>,
        sources: &Sources,
        job: Job,
    ) -> Result<(), Failure> {
        let Job { source, unit } = job;
        let _room = self.memory.take(source.bytes(&unit, &run.scan).await?).await;
        let (shared, split) = (Arc::clone(run), Arc::clone(&sources.split));
        let (observe, observed) = then(move |batch: Batch| {
            shared.observe(&batch, &|id| !split.contains(&id.fold()));
        });
        let cost = source.read_for(&unit, &run.scan, observe).await?;
        run.cost.lock().add_scan(cost);
        observed.take();
        Ok(())
    }

    /// The latest end of what is stored or live, Unix nanoseconds; `None` if nothing is.
    ///
    /// # Errors
    /// Why it is not known.
    pub async fn newest(&self, tenants: &[TenantId]) -> Result<Option<u64>, Failure> {
        let mut newest = None;
        for tenant in tenants {
            let pin = self.ingester.pin(tenant).await?;
            let stored = pin.manifest.blocks().iter().map(|block| block.end_unix_nano).max();
            let live = self.cpu.run(move || pin.newest_live()).await;
            newest = newest.max(stored).max(live);
        }
        Ok(newest)
    }
}

impl Run {
    fn observe(&self, batch: &Batch, is_wanted: &dyn Fn(TraceId) -> bool) {
        // By the numbers of the two resources, of which a batch has few.
        let mut counts: BTreeMap<(u32, u32), (u64, u64)> = BTreeMap::new();
        let traces = &batch.traces;
        let wanted = (0..traces.len()).filter(|trace| is_wanted(traces.id[*trace]));
        for row in wanted.flat_map(|trace| traces.rows(trace)) {
            let delta = usize::try_from(batch.tree.parent_delta[row]).unwrap_or(0);
            if delta == 0 || !self.scan.window.contains(&batch.start[row]) {
                continue;
            }
            let (parent, child) = (batch.resource[row - delta], batch.resource[row]);
            if parent != child {
                let (calls, errors) = counts.entry((parent, child)).or_default();
                *calls += 1;
                *errors += u64::from(batch.status[row] == ERROR);
            }
        }
        let name = |resource: u32| batch.resources[resource as usize].service_name().to_string();
        let mut edges = self.edges.lock();
        for ((parent, child), (calls, errors)) in counts {
            let pair = (name(parent), name(child));
            if pair.0 != pair.1 {
                let sum = edges.entry(pair).or_default();
                sum.0 += calls;
                sum.1 += errors;
            }
        }
    }
}
