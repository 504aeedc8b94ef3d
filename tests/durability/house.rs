//! The write path and the querier in this process, over a simulated disk and a bucket in memory.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use vivace::block::Blocks;
use vivace::compactor::{self, Compactor};
use vivace::distributor::{self, Distributor};
use vivace::ingester::{self, Ingester, Parts};
use vivace::querier::{self, Querier, SearchRequest};
use vivace::runtime::{Clock, Cpu};
use vivace::store::Store;
use vivace::tenant::TenantId;
use vivace::trace::TraceId;
use vivace::wal::{self, SimulatedDisk, Wal};

use super::ledger::{Found, Ledger, spans_of};

const DIR: &str = "/wal";

/// Traces of a tenant that are asked for by their id: a search tells of all.
const TRACES_ASKED: usize = 10;

/// When simulated time begins: 2026-11-24.
pub(crate) const BEGIN_UNIX_NANO: u64 = 1_795_478_400_000_000_000;

/// Windows of some steps, blocks of some pushes. Readers follow the list of another process for [`GRACE`] at most.
const COMPACTION: compactor::Config = compactor::Config {
    window: Duration::from_secs(4),
    settle_after: Duration::from_secs(1),
    spans_max: 400,
    cycle: Duration::from_secs(1),
    retention: Duration::ZERO,
    grace: GRACE,
    sweep_cycle: Duration::from_secs(1),
};

/// More than the half minute after which the list of other processes is looked at.
const GRACE: Duration = Duration::from_secs(40);

pub(crate) struct House {
    pub(crate) ingester: Ingester,
    distributor: Distributor,
    querier: Querier,
    pub(crate) compactor: Compactor,
}

pub(crate) fn cpu() -> Cpu {
    Cpu::new(NonZeroUsize::new(1)).unwrap()
}

pub(crate) fn open_wal(disk: &SimulatedDisk, config: &wal::Config) -> Result<Wal, wal::Error> {
    Wal::open(Path::new(DIR), config, Arc::new(disk.of_one_process()))
}

impl House {
    pub(crate) fn new(
        config: ingester::Config,
        store: Store,
        wal: Wal,
        clock: Clock,
        cpu: Cpu,
    ) -> Self {
        let blocks = Blocks::new(store.clone(), cpu.clone(), 64 << 20);
        let ingester = Ingester::new(Parts {
            config,
            store: store.clone(),
            blocks: blocks.clone(),
            wal,
            clock: clock.clone(),
            cpu: cpu.clone(),
            metrics: ingester::Metrics::default(),
        });
        let compactor = Compactor::new(compactor::Parts {
            config: COMPACTION,
            ingester: ingester.clone(),
            store,
            blocks: blocks.clone(),
            cpu: cpu.clone(),
            clock,
            metrics: compactor::Metrics::default(),
        });
        let distributor =
            Distributor::new(ingester.clone(), cpu.clone(), distributor::Metrics::default());
        let querier = Querier::new(ingester.clone(), blocks, cpu, querier::Config::default());
        Self { ingester, distributor, querier, compactor }
    }

    /// Whether the push was acknowledged.
    pub(crate) async fn push(&self, tenant: &TenantId, body: Vec<u8>) -> bool {
        match self.distributor.push(tenant, Bytes::from(body)).await {
            Ok(pushed) => {
                assert_eq!(pushed.rejected, 0, "{}", pushed.reason);
                true
            }
            Err(_) => false,
        }
    }

    /// Blocks that are made of others.
    pub(crate) async fn joined_blocks(&self, tenant: &TenantId) -> usize {
        let pin = self.ingester.pin(tenant).await.unwrap();
        pin.manifest.blocks().iter().filter(|block| block.level > 0).count()
    }

    /// The spans of a tenant that a query finds.
    pub(crate) async fn search(&self, tenant: &TenantId, query: &str) -> Result<Found, String> {
        let request = SearchRequest {
            query: query.to_owned(),
            window: 0..=u64::MAX,
            limit: 100_000,
            spans_per_spanset: 0,
        };
        let answer = self.querier.search(std::slice::from_ref(tenant), request).await;
        let answer = answer.map_err(|e| format!("search: {e}"))?;
        let mut found = BTreeMap::new();
        for trace in answer.traces {
            let id = trace.id;
            let [spanset] = &trace.spansets[..] else {
                return Err(format!("trace {id}: {} spansets", trace.spansets.len()));
            };
            let spans: Vec<_> = spanset.spans.iter().map(|span| span.id).collect();
            if spans.len() != spanset.matched as usize {
                let matched = spanset.matched;
                return Err(format!("trace {id}: {matched} matched, {} told", spans.len()));
            }
            if found.insert(id, spans).is_some() {
                return Err(format!("trace {id}: told twice"));
            }
        }
        Ok(found)
    }

    /// Compares all that is found of a tenant by search, and its newest traces by id, with what was pushed. Returns what is found.
    pub(crate) async fn check(&self, tenant: &TenantId, ledger: &Ledger) -> Result<Found, String> {
        let by_search = self.search(tenant, "{}").await?;
        ledger.check(0..=0, &by_search).map_err(|wrong| format!("by search: {wrong}"))?;
        let asked = ledger.ids().iter().rev().take(TRACES_ASKED);
        for id in asked {
            let found = self.find(tenant, *id).await?;
            ledger.check_trace(*id, &found)?;
            let searched = by_search.get(id).map_or(0, Vec::len);
            if found.len() != searched {
                let count = found.len();
                return Err(format!("trace {id}: {count} spans by id, {searched} by search"));
            }
        }
        Ok(by_search)
    }

    async fn find(
        &self,
        tenant: &TenantId,
        id: TraceId,
    ) -> Result<Vec<vivace::trace::SpanId>, String> {
        let found = self.querier.find_trace(std::slice::from_ref(tenant), id, None).await;
        match found.map_err(|e| format!("find: {e}"))? {
            Some(found) => spans_of(&found.protobuf().map_err(|e| format!("find: {e}"))?, id),
            None => Ok(Vec::new()),
        }
    }

    /// Spans in all blocks of a tenant.
    pub(crate) async fn stored_spans(&self, tenant: &TenantId) -> u64 {
        let pin = self.ingester.pin(tenant).await.unwrap();
        pin.manifest.blocks().iter().map(|block| block.spans).sum()
    }
}
