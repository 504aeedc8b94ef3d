//! The shop's spans in one block of a bucket in memory, and a querier over it.

use std::path::Path;
use std::sync::Arc;

use vivace::block::Blocks;
use vivace::distributor::{self, Distributor};
use vivace::ingester::{self, Ingester};
use vivace::querier::{self, Querier};
use vivace::runtime::{Clock, Cpu};
use vivace::store::Store;
use vivace::tenant::TenantId;
use vivace::wal::{self, SimulatedDisk, Wal};

use super::data::{Request, SEED, SPANS, requests};

/// Memory for decoded indexes and filters: all of one block.
const CACHE_BYTES: u64 = 64 << 20;

/// A querier, and what it was given.
pub(crate) struct Stored {
    pub querier: Querier,
    pub requests: Vec<Request>,
}

/// Pushes the shop's spans and flushes them into a block.
pub(crate) async fn stored() -> anyhow::Result<Stored> {
    let (store, cpu, clock) = (Store::memory(), Cpu::new(None)?, Clock::real());
    let disk = Arc::new(SimulatedDisk::new());
    let wal = Wal::open(Path::new("wal"), &wal::Config::default(), disk)?;
    let blocks = Blocks::new(store.clone(), cpu.clone(), CACHE_BYTES);
    let ingester = Ingester::new(ingester::Parts {
        config: ingester::Config::default(),
        store,
        blocks: blocks.clone(),
        wal,
        clock,
        cpu: cpu.clone(),
        metrics: ingester::Metrics::default(),
    });
    let metrics = distributor::Metrics::default();
    let distributor = Distributor::new(ingester.clone(), cpu.clone(), metrics);
    let requests = requests(SEED, SPANS);
    for request in &requests {
        let pushed = distributor.push(&TenantId::single(), request.body.clone()).await?;
        assert_eq!(u64::from(pushed.accepted), request.spans, "no span of the shop is refused");
    }
    ingester.flush().await?;
    let config = querier::Config::default();
    Ok(Stored { querier: Querier::new(ingester, blocks, cpu, config), requests })
}
