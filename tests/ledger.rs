//! The ledger: received = stored + rejected + pending, at every moment, whatever happens to the spans.

#![expect(clippy::unwrap_used, reason = "the helpers here are parts of the tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod faulty;
#[expect(dead_code, reason = "other tests use the rest")]
mod house;
#[expect(dead_code, reason = "other tests use the rest")]
mod sent;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::Span;
use tempfile::TempDir;
use vivace::distributor::{Distributor, Metrics};
use vivace::ingester::{Ingester, Ledger};
use vivace::runtime::Clock;
use vivace::store::Store;
use vivace::tenant::{Limits, Overrides, TenantId};

use faulty::{Fault, Faulty};
use house::{House, Sizes};
use sent::{Dice, Sent};

const BEGIN: u64 = 1_790_000_000 * 1_000_000_000;

async fn house(store: Store) -> House {
    let sizes = Sizes { max_block_spans: 300, assembled_spans_max: 2500 };
    House::open(store, TempDir::new().unwrap(), Clock::simulated(BEGIN), sizes).await
}

/// One push of good spans, and of such as have no trace id. The good ones are always of the same ids for the same seed.
fn body(seed: u64, good: u64, bad: u64) -> Bytes {
    let span = |number: u64| {
        let mut dice = Dice(seed * 1000 + number / 4);
        let is_bad = number >= good;
        let id =
            if is_bad { vec![] } else { [dice.roll(), dice.roll()].map(u64::to_be_bytes).concat() };
        Span {
            trace_id: id,
            span_id: (number + 1).to_be_bytes().to_vec(),
            start_time_unix_nano: BEGIN + number,
            end_time_unix_nano: BEGIN + number + 1000,
            ..Span::default()
        }
    };
    let sent = |number| Sent { resource: None, scope: None, span: span(number) };
    sent::body(&(0..good + bad).map(sent).collect::<Vec<_>>()).into()
}

fn ledger(ingester: &Ingester) -> Ledger {
    let standings = ingester.standings();
    let ledger = standings.first().map(|(_, standing)| standing.ledger).unwrap_or_default();
    assert!(ledger.is_balanced(), "{ledger:?}");
    assert_eq!(ledger.pending, ingester.live_spans());
    ledger
}

fn distributor(house: &House) -> Distributor {
    Distributor::new(house.ingester.clone(), house.cpu.clone(), Metrics::default())
}

#[tokio::test]
async fn it_balances_after_pushes_cuts_twins_and_a_restart() {
    let house = house(Store::memory()).await;
    let (tenant, push) = (TenantId::single(), distributor(&house));
    push.push(&tenant, body(1, 100, 7)).await.unwrap();
    let first = Ledger { received: 107, rejected: 7, pending: 100, ..Ledger::default() };
    let Ledger { received_bytes, .. } = ledger(&house.ingester);
    assert_eq!(ledger(&house.ingester), Ledger { received_bytes, ..first });
    assert_eq!(received_bytes, body(1, 100, 7).len() as u64);
    // Once more: each is a twin.
    push.push(&tenant, body(1, 100, 0)).await.unwrap();
    push.push(&tenant, body(2, 0, 3)).await.unwrap();
    house.ingester.flush().await.unwrap();
    let found = ledger(&house.ingester);
    let Ledger { received, stored, rejected, pending, twins, .. } = found;
    assert_eq!((received, stored, rejected, pending, twins), (210, 200, 10, 0, 100));

    push.push(&tenant, body(3, 40, 2)).await.unwrap();
    ledger(&house.ingester);
    drop(push);
    let house = house.restarted().await;
    let found = ledger(&house.ingester);
    assert_eq!((found.received, found.recovered, found.pending), (40, 40, 40));
    house.ingester.flush().await.unwrap();
    assert_eq!(ledger(&house.ingester).stored, 40);
    house.ingester.reject(&tenant, 5, 100);
    assert_eq!(ledger(&house.ingester).rejected, 5);
}

#[tokio::test]
async fn pushes_over_a_limit_are_rejected_whole() {
    let house = house(Store::memory()).await;
    let tenant = TenantId::single();
    let mut limits = Limits::default();
    limits.ingestion.max_traces_per_user = 15;
    let push = distributor(&house).limited(Overrides::new(limits), house.clock.clone());
    // Four spans a trace.
    push.push(&tenant, body(1, 40, 1)).await.unwrap();
    push.push(&tenant, body(2, 40, 3)).await.unwrap_err();
    let found = ledger(&house.ingester);
    assert_eq!((found.received, found.rejected, found.pending), (84, 44, 40));
}

#[tokio::test]
async fn what_the_bucket_does_not_take_is_pending() {
    let (faulty, store) = Faulty::store();
    let house = house(store).await;
    let (tenant, push) = (TenantId::single(), distributor(&house));
    push.push(&tenant, body(1, 50, 1)).await.unwrap();
    for fault in [Fault::Before, Fault::After] {
        faulty.fail(fault, 1000);
        assert!(house.ingester.flush().await.is_err());
        let found = ledger(&house.ingester);
        assert_eq!((found.stored, found.rejected, found.pending), (0, 1, 50));
    }
    faulty.fail(Fault::Before, 0);
    house.ingester.flush().await.unwrap();
    assert_eq!(ledger(&house.ingester).stored, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_balances_at_every_moment() {
    let house = house(Store::memory()).await;
    let (is_over, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let watcher = {
        let (ingester, is_over, looks) =
            (house.ingester.clone(), Arc::clone(&is_over), Arc::clone(&looks));
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                for (_, standing) in ingester.standings() {
                    assert!(standing.ledger.is_balanced(), "{:?}", standing.ledger);
                    looks.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    };
    let pushes = (0..4_u64).map(|pusher| {
        let push = distributor(&house);
        tokio::spawn(async move {
            for number in 0..25 {
                let body = body(pusher * 100 + number, 40, number % 3);
                push.push(&TenantId::single(), body).await.unwrap();
            }
        })
    });
    let pushes: Vec<_> = pushes.collect();
    for push in pushes {
        house.ingester.flush().await.unwrap();
        push.await.unwrap();
    }
    house.ingester.flush().await.unwrap();
    is_over.store(true, Ordering::Relaxed);
    watcher.join().unwrap();
    assert!(looks.load(Ordering::Relaxed) > 0);
    let found = ledger(&house.ingester);
    assert_eq!((found.stored, found.pending), (4 * 25 * 40, 0));
    assert_eq!(found.rejected, 4 * (0..25).map(|number| number % 3).sum::<u64>());
}
