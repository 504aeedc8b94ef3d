//! A trace is answered whole and without duplicates, wherever its spans are.

use std::sync::Arc;

use object_store::memory::InMemory;
use rand::SeedableRng;
use rand::rngs::StdRng;
use vivace::ingester;
use vivace::runtime::Clock;
use vivace::tenant::TenantId;
use vivace::wal::{self, SimulatedDisk};

use super::bucket::Bucket;
use super::house::{BEGIN_UNIX_NANO, House, cpu, open_wal};
use super::ledger::{Batch, Ledger};

struct Place {
    house: House,
    tenant: TenantId,
    ledger: Ledger,
    rng: StdRng,
}

impl Place {
    async fn new() -> Self {
        let (_bucket, store) = Bucket::over(&Arc::<InMemory>::default());
        let wal = open_wal(&SimulatedDisk::new(), &wal::Config::default()).unwrap();
        let clock = Clock::simulated(BEGIN_UNIX_NANO);
        let house = House::new(ingester::Config::default(), store, wal, clock, cpu());
        house.ingester.recover().await.unwrap();
        let tenant = TenantId::parse("a").unwrap();
        Self { house, tenant, ledger: Ledger::default(), rng: StdRng::seed_from_u64(5) }
    }

    async fn push(&mut self) -> Batch {
        let batch = self.ledger.batch(&mut self.rng, 0, BEGIN_UNIX_NANO);
        self.push_again(&batch).await;
        batch
    }

    async fn push_again(&mut self, batch: &Batch) {
        assert!(self.house.push(&self.tenant, batch.body.clone()).await);
        self.ledger.acknowledge(&batch.spans);
    }

    async fn flush(&self) {
        self.house.ingester.flush().await.unwrap();
        assert_eq!(self.house.ingester.live_spans(), 0);
    }

    /// By search and by id; and by a condition on whole traces, which a part of one would answer otherwise.
    async fn check(&self) {
        let found = self.house.check(&self.tenant, &self.ledger).await.unwrap();
        for (id, spans) in &found {
            let count = spans.len();
            let query = format!("{{trace:id = \"{id}\"}} | count() = {count}");
            let told = self.house.search(&self.tenant, &query).await.unwrap();
            assert_eq!(told.get(id).map(Vec::len), Some(count), "{query}");
            let query = format!("{{trace:id = \"{id}\"}} | count() < {count}");
            let told = self.house.search(&self.tenant, &query).await.unwrap();
            assert!(told.is_empty(), "{query}: answered by a part of the trace");
        }
    }
}

#[tokio::test]
async fn late_spans_of_stored_traces_are_answered_with_the_others() {
    let mut place = Place::new().await;
    for _ in 0..4 {
        place.push().await;
        place.push().await;
        // Some are live, some stored.
        place.check().await;
        place.flush().await;
        place.check().await;
    }
    let pin = place.house.ingester.pin(&place.tenant).await.unwrap();
    assert!(pin.manifest.blocks().iter().any(|block| block.shared_traces > 0));
}

#[tokio::test]
async fn a_span_that_was_pushed_twice_counts_once() {
    let mut place = Place::new().await;
    let batch = place.push().await;
    // Both live; one stored and one live; both stored; both in one block; and with late spans.
    place.push_again(&batch).await;
    place.check().await;
    place.flush().await;
    place.push_again(&batch).await;
    place.check().await;
    place.flush().await;
    place.check().await;
    place.push_again(&batch).await;
    place.push_again(&batch).await;
    place.flush().await;
    place.check().await;
    for _ in 0..3 {
        place.push().await;
    }
    place.push_again(&batch).await;
    place.check().await;
}
