//! Recent spans: held, searched, cut into blocks.
//!
//! A push is written to the WAL and then joins the live spans of its tenant as a chunk of columns. Chunks never change: a
//! reader pins the chunks of a moment together with the manifest of that moment, so that no span is seen twice or missed
//! while it moves from memory into the bucket. Traces leave memory whole when they are closed (`cut`), become one block
//! (`flush`), and their WAL segments are let go when nothing in them is live any more.

mod change;
mod config;
mod coverage;
mod cut;
mod flush;
mod ledger;
mod live;
mod merge;
mod metrics;
mod open;
mod packing;
mod pinned;
mod recover;
mod tenant;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

pub use config::Config;
pub use ledger::{Ledger, Standing};
pub use live::LiveSource;
pub use metrics::Metrics;
pub use open::OpenTraces;
pub use pinned::Pin;

use self::tenant::Tenant;
use crate::block::Blocks;
use crate::columns::Spans;
use crate::failure::{Failure, Kind};
use crate::packs::Packs;
use crate::runtime::{Clock, Cpu, Stop, to_the_end};
use crate::store::Store;
use crate::tenant::TenantId;
use crate::wal::{Format, Record, Refused, Wal};

/// Why spans could not be taken, cut or found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("write-ahead log")]
    Wal(#[from] crate::wal::Error),
    #[error("manifest")]
    Manifest(#[from] crate::manifest::Error),
    #[error("block")]
    Block(#[from] crate::block::Error),
    #[error("store")]
    Store(#[from] crate::store::Error),
    #[error("packs of trace ids")]
    Packs(#[from] crate::packs::Error),
    #[error("a record of the write-ahead log")]
    Record(#[from] crate::otlp::Error),
    #[error("the coverage section of block {block}")]
    Coverage { block: uuid::Uuid, source: prost::DecodeError },
    #[error(
        "live spans hold {bytes} bytes; at most ingester.max_live_bytes = {bytes_max} until blocks are written"
    )]
    Full { bytes: u64, bytes_max: u64 },
    #[error("stopping")]
    Stopping,
}

/// How long a sender should wait when memory is full: about a cut.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

/// Pauses after a cut that failed: doubled each time.
const RETRY_FIRST: std::time::Duration = std::time::Duration::from_secs(1);
const RETRY_MAX: std::time::Duration = std::time::Duration::from_mins(1);

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Wal(error) => error.kind(),
            Self::Manifest(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Packs(error) => error.kind(),
            Self::Full { .. } => Kind::Busy { retry_after: RETRY_AFTER },
            Self::Stopping => Kind::Unavailable { retry_after: RETRY_AFTER },
            Self::Block(_) | Self::Record(_) | Self::Coverage { .. } => Kind::Internal,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), crate::failure::chain(&error))
    }
}

/// The live spans of all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Ingester(Arc<Inner>);

struct Inner {
    config: Config,
    store: Store,
    blocks: Blocks,
    packs: Packs,
    wal: Wal,
    clock: Clock,
    cpu: Cpu,
    metrics: Metrics,
    tenants: Mutex<BTreeMap<TenantId, Arc<Tenant>>>,
    /// Held while a tenant that is not in `tenants` is opened, so that it is opened once.
    opening: tokio::sync::Mutex<()>,
    /// Spans of each WAL segment that are in blocks.
    stored: Mutex<BTreeMap<u64, u64>>,
    /// Spans of the segments that were there at the start, which the WAL does not count.
    recovered: Mutex<BTreeMap<u64, u64>>,
    /// Until all of it has been read no segment is let go.
    has_recovered: AtomicBool,
}

/// What the ingester is made of.
pub struct Parts {
    pub config: Config,
    pub store: Store,
    pub blocks: Blocks,
    pub wal: Wal,
    pub clock: Clock,
    pub cpu: Cpu,
    pub metrics: Metrics,
}

/// One push, decoded and checked.
pub struct Push {
    pub spans: Spans,
    pub refused: Refused,
    /// The request as it is written to the WAL.
    pub body: Bytes,
}

impl Ingester {
    pub fn new(parts: Parts) -> Self {
        let Parts { config, store, blocks, wal, clock, cpu, metrics } = parts;
        let packs = Packs::new(store.clone(), blocks.clone(), cpu.clone(), clock.clone());
        Self(Arc::new(Inner {
            config,
            store,
            blocks,
            packs,
            wal,
            clock,
            cpu,
            metrics,
            tenants: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            stored: Mutex::default(),
            recovered: Mutex::default(),
            has_recovered: AtomicBool::new(false),
        }))
    }

    /// Takes spans in: durable and visible when it returns. What was begun goes on if the future is dropped, so that no span is in
    /// the WAL and not in memory.
    ///
    /// # Errors
    /// When memory or the WAL is full, or the disk fails: then nothing of the push is acknowledged.
    pub async fn push(&self, tenant: &TenantId, push: Push) -> Result<(), Error> {
        let (spans, refused) = (push.spans.len() as u64, u64::from(push.refused.count()));
        if spans + refused == 0 {
            return Ok(());
        }
        let bytes = push.body.len() as u64;
        let tenant = self.tenant(tenant).await?;
        if push.spans.is_empty() {
            tenant.note(&Ledger::pushed(0, refused, bytes));
            return Ok(());
        }
        if let Err(full) = self.check_memory() {
            tenant.note(&Ledger::pushed(0, spans + refused, bytes));
            return Err(full);
        }
        let this = self.clone();
        let append = async move {
            let appended = this.append(&tenant, push).await;
            if appended.is_err() {
                tenant.note(&Ledger::pushed(0, spans + refused, bytes));
            }
            appended
        };
        to_the_end("push", append).await.unwrap_or(Err(Error::Stopping))
    }

    /// Counts spans that were refused before they got here. Of a tenant that this process does not know yet nothing is counted: to refuse must
    /// not take a look into the bucket.
    pub fn reject(&self, id: &TenantId, spans: u64, bytes: u64) {
        let known = self.0.tenants.lock().get(id).map(Arc::clone);
        if let Some(tenant) = known {
            tenant.note(&Ledger::pushed(0, spans, bytes));
        }
    }

    /// How each tenant stands that this process knows.
    pub fn standings(&self) -> Vec<(TenantId, Standing)> {
        self.all_tenants().iter().map(|tenant| (tenant.id.clone(), tenant.standing())).collect()
    }

    async fn append(&self, tenant: &Tenant, push: Push) -> Result<(), Error> {
        let Push { spans, refused, body } = push;
        let (rejected, bytes) = (u64::from(refused.count()), body.len() as u64);
        let entry = Ledger::pushed(spans.len() as u64, rejected, bytes);
        let received_unix_nano = self.0.clock.now_unix_nano();
        let record = Record {
            tenant: tenant.id.clone(),
            received_unix_nano,
            format: Format::Otlp,
            spans: spans.next_row(),
            refused,
            body,
        };
        let position = self.0.wal.append(record).await?;
        let crowded = tenant.add(spans, position, received_unix_nano, &entry);
        if crowded {
            tenant.wake.notify_one();
        }
        Ok(())
    }

    /// Over the limit a sender must wait: blocks are written meanwhile.
    fn check_memory(&self) -> Result<(), Error> {
        let (bytes, bytes_max) = (self.live_bytes(), self.0.config.live_bytes_max);
        if bytes >= bytes_max {
            self.all_tenants().iter().for_each(|tenant| tenant.wake.notify_one());
            return Err(Error::Full { bytes, bytes_max });
        }
        Ok(())
    }

    /// Spans that are not in a block yet.
    pub fn live_spans(&self) -> u64 {
        self.all_tenants().iter().map(|tenant| tenant.live_spans()).sum()
    }

    /// Memory of the live spans, roughly.
    pub fn live_bytes(&self) -> u64 {
        self.all_tenants().iter().map(|tenant| tenant.live_bytes()).sum()
    }

    /// Bytes of the WAL on disk.
    pub fn wal_bytes(&self) -> u64 {
        self.0.wal.bytes()
    }

    fn all_tenants(&self) -> Vec<Arc<Tenant>> {
        self.0.tenants.lock().values().map(Arc::clone).collect()
    }

    /// The tenant's state, opened if it is not yet known.
    async fn tenant(&self, id: &TenantId) -> Result<Arc<Tenant>, Error> {
        let known = || self.0.tenants.lock().get(id).map(Arc::clone);
        if let Some(tenant) = known() {
            return Ok(tenant);
        }
        let _opening = self.0.opening.lock().await;
        if let Some(tenant) = known() {
            return Ok(tenant);
        }
        let tenant = Tenant::open(&self.0, id.clone()).await?;
        let tenant = Arc::new(tenant);
        self.0.tenants.lock().insert(id.clone(), Arc::clone(&tenant));
        Ok(tenant)
    }

    /// What is there of a tenant at this moment: its blocks and its live spans.
    ///
    /// # Errors
    /// When the tenant's block list cannot be read.
    pub async fn pin(&self, id: &TenantId) -> Result<Pin, Error> {
        let known = self.0.tenants.lock().get(id).map(Arc::clone);
        if let Some(tenant) = known {
            tenant.refresh_if_old(&self.0).await?;
            return Ok(tenant.pin());
        }
        let _opening = self.0.opening.lock().await;
        let known = self.0.tenants.lock().get(id).map(Arc::clone);
        if let Some(tenant) = known {
            return Ok(tenant.pin());
        }
        let tenant = Arc::new(Tenant::open(&self.0, id.clone()).await?);
        let pin = tenant.pin();
        // Names that somebody only asks for are not kept: there are as many as anybody likes.
        if !pin.manifest.blocks().is_empty() {
            self.0.tenants.lock().insert(id.clone(), tenant);
        }
        Ok(pin)
    }

    /// Looks after all tenants until `stop` is requested: joins small chunks, closes and cuts traces.
    pub async fn run(&self, stop: Stop) {
        while !stop.is_requested() {
            let pause = self.0.config.flush_check_period;
            let woken = self.woken();
            tokio::select! {
                () = stop.requested() => return,
                () = self.0.clock.sleep(pause) => {}
                () = woken => {}
            }
            for tenant in self.all_tenants() {
                self.look_after(&tenant).await;
            }
        }
    }

    /// Resolves when some tenant asks to be looked after.
    async fn woken(&self) {
        let tenants = self.all_tenants();
        if tenants.is_empty() {
            return futures::future::pending().await;
        }
        let waits = tenants.iter().map(|tenant| Box::pin(tenant.wake.notified()));
        futures::future::select_all(waits).await;
    }

    async fn look_after(&self, tenant: &Arc<Tenant>) {
        let now = self.0.clock.running();
        if tenant.state.lock().retry.is_some_and(|(at, _)| now < at) {
            return;
        }
        let (this, looked_after) = (self.clone(), Arc::clone(tenant));
        // In a task of its own: what panics there must not end the looking after.
        let done = to_the_end("cut", async move { this.try_look_after(&looked_after).await }).await;
        let mut state = tenant.state.lock();
        match done {
            Some(Ok(())) => state.retry = None,
            failed => {
                let pause =
                    state.retry.map_or(RETRY_FIRST, |(_, pause)| (pause * 2).min(RETRY_MAX));
                state.retry = Some((now + pause, pause));
                drop(state);
                self.0.metrics.failed_flushes.inc();
                let error = failed.map_or_else(
                    || "a panic, which is logged".to_owned(),
                    |failed| failed.map_or_else(|e| crate::failure::chain(&e), |()| String::new()),
                );
                tracing::warn!(tenant = %tenant.id, error, retry_in = ?pause, "spans stay in memory");
            }
        }
    }

    async fn try_look_after(&self, tenant: &Tenant) -> Result<(), Error> {
        let mut unsettled = tenant.cutting.lock().await;
        tenant.merge_chunks(&self.0.cpu, unsettled.as_ref()).await;
        self.settle(tenant, &mut unsettled).await?;
        let config = &self.0.config;
        let pressure = self.live_bytes() >= config.live_bytes_max / 2
            || self.wal_bytes() >= config.wal_bytes_max / 2;
        let now = self.0.clock.now_unix_nano();
        let plan = tenant.plan_cut(&self.0.config, now, pressure);
        if plan.is_empty() {
            return Ok(());
        }
        self.flush_traces(tenant, &mut unsettled, plan).await?;
        self.release_segments(false).await
    }

    /// Stores everything that was acknowledged before the call and lets go of its WAL segments.
    ///
    /// # Errors
    /// When a block cannot be written; what is live stays live.
    pub async fn flush(&self) -> Result<(), Error> {
        let this = self.clone();
        // A block that is published must also leave memory, whoever asked for it and has gone away.
        to_the_end("flush", async move { this.flush_all().await })
            .await
            .unwrap_or(Err(Error::Stopping))
    }

    async fn flush_all(&self) -> Result<(), Error> {
        let mut first_error = None;
        for tenant in self.all_tenants() {
            // One tenant's trouble is not the others'.
            if let Err(error) = self.flush_tenant(&tenant).await {
                first_error.get_or_insert(error);
            }
        }
        let released = self.release_segments(true).await;
        first_error.map_or(released, Err)
    }

    async fn flush_tenant(&self, tenant: &Tenant) -> Result<(), Error> {
        let mut unsettled = tenant.cutting.lock().await;
        self.settle(tenant, &mut unsettled).await?;
        let all = tenant.plan_all();
        self.flush_traces(tenant, &mut unsettled, all).await
    }

    /// Stores what is live and closes the WAL: the last thing before the process ends.
    ///
    /// # Errors
    /// As [`Ingester::flush`]; the WAL is closed all the same, and replayed at the next start.
    pub async fn close(&self) -> Result<(), Error> {
        let flushed = self.flush().await;
        self.0.wal.close().await;
        flushed
    }

    /// Deletes WAL segments whose spans are all in blocks.
    async fn release_segments(&self, rotate: bool) -> Result<(), Error> {
        if !self.0.has_recovered.load(Ordering::Acquire) {
            return Ok(());
        }
        if rotate {
            self.0.wal.rotate().await?;
        }
        let segments = self.0.wal.segments();
        let Some((_newest, older)) = segments.split_last() else { return Ok(()) };
        for segment in older {
            let recovered = self.0.recovered.lock().get(&segment.number).copied();
            let stored = self.0.stored.lock().get(&segment.number).copied().unwrap_or(0);
            if stored == recovered.unwrap_or(u64::from(segment.spans)) {
                self.0.wal.release(segment.number).await?;
                self.0.stored.lock().remove(&segment.number);
                self.0.recovered.lock().remove(&segment.number);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "ingester_tests.rs"]
mod tests;
