//! Blocks joined, and deleted when they have had their time.
//!
//! Every process compacts, beside everything else, one job at a time. What is to be done follows from the block list alone (`plan`), so nobody
//! hands out work: two processes that do the same are told by the manifest who was first, and the other has worked for nothing.
//! A block that is joined into another leaves the list in the step in which the other comes in; its objects stay until no query can read them any more
//! (`sweep`).
//!
//! A job joins blocks that came in during one window, up to `Config::spans_max` spans: parts of a trace become one, twins are
//! left out, and what the blocks covered of write-ahead logs goes with them. Answers do not change by it.

mod merge;
mod metrics;
mod plan;
mod sweep;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use uuid::Uuid;

pub use self::metrics::Metrics;

use self::merge::Done;
use crate::block::{self, Blocks};
use crate::failure::chain;
use crate::ingester::{self, Ingester};
use crate::manifest::{self, BlockEntry, Edit};
use crate::packs;
use crate::runtime::{Clock, Cpu, Stop};
use crate::store::{self, Store};
use crate::tenant::{Overrides, TenantId};

/// Blocks that one edit of the list removes.
const REMOVED_AT_ONCE: usize = 1000;

/// When blocks are joined and deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Blocks that came in during one such time are joined.
    pub window: Duration,
    /// A window is over when it ended so long ago: the last blocks of it are cut by then.
    pub settle_after: Duration,
    /// Most spans of a block that is made of others. They are in memory together, about 400 bytes each.
    pub spans_max: u64,
    /// How often is looked for work.
    pub cycle: Duration,
    /// Spans are deleted when they came in longer ago, unless their tenant has a time of its own; zero = never.
    pub retention: Duration,
    /// How long objects stay after their block has left the list: longer than any query, and than clocks differ.
    pub grace: Duration,
    /// How often is looked for objects that nothing refers to.
    pub sweep_cycle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: Duration::from_hours(1),
            settle_after: Duration::from_mins(20),
            spans_max: 512 << 10,
            cycle: Duration::from_secs(30),
            retention: Duration::from_hours(336),
            grace: Duration::from_hours(1),
            sweep_cycle: Duration::from_hours(1),
        }
    }
}

/// Why a round ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("block {block} cannot be read")]
    Input { block: Uuid, source: block::Error },
    #[error("a block cannot be written")]
    Write(#[source] block::Error),
    #[error("store")]
    Store(#[from] store::Error),
    #[error("manifest")]
    Manifest(#[from] manifest::Error),
    #[error("block list")]
    Ingester(#[from] ingester::Error),
    #[error("packs of trace ids")]
    Packs(#[from] packs::Error),
}

/// What the compactor is made of.
pub struct Parts {
    pub config: Config,
    pub ingester: Ingester,
    pub store: Store,
    pub blocks: Blocks,
    pub cpu: Cpu,
    pub clock: Clock,
    pub metrics: Metrics,
}

/// Joins and deletes blocks of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Compactor {
    config: Config,
    ingester: Ingester,
    store: Store,
    blocks: Blocks,
    cpu: Cpu,
    clock: Clock,
    metrics: Metrics,
    overrides: Overrides,
    /// Damaged blocks: they stay as they are, and hold up no others.
    aside: Arc<Mutex<HashSet<Uuid>>>,
}

impl Compactor {
    pub fn new(parts: Parts) -> Self {
        let Parts { config, ingester, store, blocks, cpu, clock, metrics } = parts;
        let (overrides, aside) = (Overrides::default(), Arc::default());
        Self { config, ingester, store, blocks, cpu, clock, metrics, overrides, aside }
    }

    /// With the limits of each tenant.
    #[must_use]
    pub fn limited(self, overrides: Overrides) -> Self {
        Self { overrides, ..self }
    }

    /// Works until `stop` is requested. A job at work is dropped then: nothing of it counts.
    pub async fn run(&self, stop: Stop) {
        let mut swept = self.clock.running();
        let mut is_first = true;
        while !stop.is_requested() {
            let mut pause = self.config.cycle;
            // Processes that start together do not work together.
            pause += pause.mul_f64(rand::random::<f64>() / 4.0);
            let is_sweep = self.clock.running().saturating_sub(swept) >= self.config.sweep_cycle;
            if is_sweep {
                swept = self.clock.running();
            }
            tokio::select! {
                () = stop.requested() => return,
                () = self.clock.sleep(pause) => {}
            }
            tokio::select! {
                () = stop.requested() => return,
                () = self.round(is_sweep, is_first || is_sweep) => {}
            }
            is_first = false;
        }
    }

    /// Looks after all tenants once.
    async fn round(&self, is_sweep: bool, is_meeting: bool) {
        if is_meeting && let Err(error) = self.meet_tenants().await {
            self.metrics.failures.inc();
            tracing::warn!(error = chain(&error), "the bucket's tenants could not be listed");
        }
        for tenant in self.ingester.tenants() {
            let done = self.look_after(&tenant).await;
            let swept = match (done, is_sweep) {
                (Ok(()), true) => self.sweep(&tenant).await.map(|blocks| {
                    self.metrics.swept_blocks.inc_by(blocks);
                }),
                (done, _) => done,
            };
            if let Err(error) = swept {
                self.metrics.failures.inc();
                tracing::warn!(%tenant, error = chain(&error), "blocks stay as they are");
            }
        }
    }

    /// Tenants that nobody sends to or asks for any more have blocks that must be deleted some day.
    async fn meet_tenants(&self) -> Result<(), Error> {
        for tenant in manifest::tenants(&self.store).await? {
            self.ingester.manifests(&tenant).await?;
        }
        Ok(())
    }

    /// Deletes what had its time, then joins blocks until there is nothing to join; nothing of both if the tenant wants it so.
    ///
    /// # Errors
    /// The first that a job meets. What was done before stays done.
    pub async fn look_after(&self, tenant: &TenantId) -> Result<(), Error> {
        let limits = self.overrides.of(tenant);
        if limits.compaction.compaction_disabled {
            return Ok(());
        }
        let retention = match limits.compaction.block_retention {
            Duration::ZERO => self.config.retention,
            own => own,
        };
        self.expire(tenant, retention).await?;
        loop {
            let manifest = self.ingester.manifests(tenant).await?.current();
            let now = self.clock.now_unix_nano();
            let jobs = plan::jobs(&self.whole(manifest.blocks()), &self.config, now);
            let waiting: usize = jobs.iter().map(|job| job.inputs.len()).sum();
            self.metrics.waiting_blocks.set(i64::try_from(waiting).unwrap_or(i64::MAX));
            let Some(job) = jobs.into_iter().next() else { return Ok(()) };
            if self.ingester.is_pressed() {
                return Ok(());
            }
            let begun = self.clock.running();
            let done = match self.join(tenant, &job).await {
                Err(Error::Input { block, source }) if is_damage(&source) => {
                    self.aside.lock().insert(block);
                    self.metrics.failures.inc();
                    tracing::error!(%tenant, %block, error = chain(&source), "damaged block left aside");
                    continue;
                }
                done => done?,
            };
            match done {
                Done::Joined { duplicates } => {
                    self.metrics.joins.inc();
                    self.metrics.joined_blocks.inc_by(job.inputs.len() as u64);
                    self.metrics.joined_spans.inc_by(job.spans());
                    self.metrics.duplicate_spans.inc_by(duplicates);
                    tracing::info!(
                        %tenant,
                        blocks = job.inputs.len(),
                        spans = job.spans(),
                        duplicates,
                        took_ms = self.clock.running().saturating_sub(begun).as_millis(),
                        "blocks joined"
                    );
                }
                Done::Overtaken => {
                    self.metrics.overtaken.inc();
                    self.ingester.manifests(tenant).await?.refresh().await?;
                    return Ok(());
                }
            }
        }
    }

    /// The blocks that are not known to be damaged.
    fn whole(&self, blocks: &[Arc<BlockEntry>]) -> Vec<Arc<BlockEntry>> {
        let aside = self.aside.lock();
        blocks.iter().filter(|block| !aside.contains(&block.id)).map(Arc::clone).collect()
    }

    async fn expire(&self, tenant: &TenantId, retention: Duration) -> Result<(), Error> {
        let manifest = self.ingester.manifests(tenant).await?.current();
        let now = self.clock.now_unix_nano();
        let expired = plan::expired(manifest.blocks(), retention, now);
        for ids in expired.chunks(REMOVED_AT_ONCE) {
            let edit = Edit { remove: ids.to_vec(), ..Edit::default() };
            match self.ingester.commit(tenant, edit).await {
                Ok(_) => {}
                // Another process removed some of them: the next round looks again.
                Err(ingester::Error::Manifest(manifest::Error::Gone { .. })) => {
                    self.ingester.manifests(tenant).await?.refresh().await?;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
            self.metrics.expired_blocks.inc_by(ids.len() as u64);
            tracing::info!(%tenant, blocks = ids.len(), "blocks had their time");
        }
        Ok(())
    }
}

/// Whether trying again does not help: an object is gone, or is not as it was written.
fn is_damage(error: &block::Error) -> bool {
    match error {
        block::Error::Store(error) => {
            error.is_not_found() || matches!(error, store::Error::Truncated { .. })
        }
        _ => true,
    }
}

#[cfg(test)]
#[path = "compactor_tests.rs"]
mod tests;
