//! A bucket that fails for a while: spans stay visible, and are stored once when it works again.

use std::sync::Arc;

use object_store::memory::InMemory;
use rand::SeedableRng;
use rand::rngs::StdRng;
use vivace::ingester;
use vivace::runtime::Clock;
use vivace::tenant::TenantId;
use vivace::wal::{self, SimulatedDisk};

use super::bucket::{Bucket, Fault, Weather};
use super::house::{BEGIN_UNIX_NANO, House, cpu, open_wal};
use super::ledger::Ledger;

async fn push(house: &House, tenant: &TenantId, ledger: &mut Ledger, rng: &mut StdRng) {
    for _ in 0..5 {
        let batch = ledger.batch(rng, 0, BEGIN_UNIX_NANO);
        assert!(house.push(tenant, batch.body).await);
        ledger.acknowledge(&batch.spans);
    }
}

/// A flush in such weather, then another when it is fine again. Whether the first one failed.
async fn flush_twice(weather: Weather) -> bool {
    let sky = format!("{weather:?}");
    let mut rng = StdRng::seed_from_u64(3);
    let (tenant, mut ledger) = (TenantId::parse("a").unwrap(), Ledger::default());
    let (disk, objects) = (SimulatedDisk::new(), Arc::<InMemory>::default());
    let (bucket, store) = Bucket::over(&objects);
    let wal = open_wal(&disk, &wal::Config::default()).unwrap();
    let clock = Clock::simulated(BEGIN_UNIX_NANO);
    let house = House::new(ingester::Config::default(), store, wal, clock, cpu());
    house.ingester.recover().await.unwrap();
    // A block is there before.
    push(&house, &tenant, &mut ledger, &mut rng).await;
    house.ingester.flush().await.unwrap();
    push(&house, &tenant, &mut ledger, &mut rng).await;

    bucket.set(weather);
    let failed = house.ingester.flush().await.is_err();
    bucket.set(Weather::Fine);
    house.check(&tenant, &ledger).await.unwrap();
    assert_eq!(house.ingester.live_spans() > 0, failed, "{sky}");
    push(&house, &tenant, &mut ledger, &mut rng).await;
    house.check(&tenant, &ledger).await.unwrap();

    house.ingester.flush().await.unwrap();
    assert_eq!(house.ingester.live_spans(), 0, "{sky}");
    house.check(&tenant, &ledger).await.unwrap();
    assert_eq!(house.stored_spans(&tenant).await, ledger.acknowledged, "{sky}: stored once");
    failed
}

/// Flushes that fail later and later, until one is done before.
async fn flush_at_any(weather: fn(u32, Fault) -> Weather, fault: Fault) {
    let mut answered = 0;
    while flush_twice(weather(answered, fault)).await {
        answered += 1;
    }
    assert!(answered > 6, "a block and a manifest are more than {answered} requests");
}

#[tokio::test]
async fn a_flush_that_fails_at_any_put_is_made_good_by_the_next() {
    flush_at_any(Weather::Puts, Fault::Before).await;
    flush_at_any(Weather::Puts, Fault::After).await;
}

/// Reads fail too, so that it stays unknown what became of a put.
#[tokio::test]
async fn a_flush_that_is_cut_off_at_any_request_is_made_good_by_the_next() {
    flush_at_any(Weather::Requests, Fault::Before).await;
    flush_at_any(Weather::Requests, Fault::After).await;
}
