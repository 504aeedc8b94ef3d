//! What an answer takes from the bucket: requests, bytes and rounds. And packs: their answers, and what may become of them.

#![expect(clippy::unwrap_used, reason = "the helpers here are parts of the tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod house;
#[expect(dead_code, reason = "other tests use the rest")]
mod sent;
mod watched;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span;
use tempfile::TempDir;
use vivace::block::Blocks;
use vivace::manifest::BlockEntry;
use vivace::packs::{Narrowed, Packs};
use vivace::querier::{self, Querier, SearchRequest};
use vivace::runtime::{Clock, Cpu};
use vivace::store::{Hedge, Store, keys};
use vivace::tenant::TenantId;
use vivace::trace::TraceId;

use house::{House, Sizes};
use sent::{Dice, Sent};
use watched::{Read, Seen, Watched};

const BEGIN: u64 = 1_790_000_000 * 1_000_000_000;
const HOUR: u64 = 3600 * 1_000_000_000;

/// Long enough that two requests that do not wait for each other overlap.
const DELAY: Duration = Duration::from_millis(250);

fn id(number: u64) -> TraceId {
    let mut dice = Dice(number);
    TraceId((u128::from(dice.roll()) << 64 | u128::from(dice.roll())).to_be_bytes())
}

/// Traces of one span each.
fn spans(numbers: std::ops::Range<u64>, start: u64) -> Vec<Sent> {
    let span = |number| Span {
        trace_id: id(number).0.to_vec(),
        span_id: (number + 1).to_be_bytes().to_vec(),
        name: format!("GET /{number}"),
        start_time_unix_nano: start + number,
        end_time_unix_nano: start + number + 1000,
        ..Span::default()
    };
    numbers.map(|number| Sent { resource: None, scope: None, span: span(number) }).collect()
}

async fn house(store: Store) -> House {
    let sizes = Sizes { max_block_spans: 100_000, assembled_spans_max: 2500 };
    House::open(store, TempDir::new().unwrap(), Clock::simulated(BEGIN + HOUR), sizes).await
}

/// Blocks of ten traces, an hour after each other.
async fn filled(store: Store, blocks: u64) -> House {
    let house = house(store).await;
    for block in 0..blocks {
        house.push_and_cut(&[spans(block * 10..block * 10 + 10, BEGIN + block * HOUR)]).await;
    }
    house
}

/// A querier that has nothing in memory.
fn cold(house: &House, store: &Store) -> Querier {
    let cpu = Cpu::new(None).unwrap();
    let blocks = Blocks::new(store.clone(), cpu.clone(), 64 << 20);
    Querier::new(house.ingester.clone(), blocks, cpu, querier::Config::default())
}

fn search_for(query: &str, window: RangeInclusive<u64>) -> SearchRequest {
    SearchRequest { query: query.to_owned(), window, limit: 5, spans_per_spanset: 3 }
}

async fn found(querier: &Querier, id: TraceId) -> usize {
    let found = querier.find_trace(&[TenantId::single()], id, None).await.unwrap();
    found.map_or(0, |found| found.span_count())
}

async fn keep(house: &House) {
    let manifest = house.ingester.pin(&TenantId::single()).await.unwrap().manifest;
    house.ingester.packs().keep(&TenantId::single(), &manifest).await.unwrap();
}

fn packs_of(store: &Store, clock: Clock) -> Packs {
    let cpu = Cpu::new(None).unwrap();
    Packs::new(store.clone(), Blocks::new(store.clone(), cpu.clone(), 64 << 20), cpu, clock)
}

async fn entries(house: &House) -> Vec<Arc<BlockEntry>> {
    let pin = house.ingester.pin(&TenantId::single()).await.unwrap();
    pin.manifest.blocks().to_vec()
}

async fn pack_keys(store: &Store) -> Vec<vivace::store::Path> {
    let listed = store.list(&keys::filter_packs(&TenantId::single())).await.unwrap();
    listed.into_iter().map(|object| object.key).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_is_read_in_three_rounds_and_five_requests() {
    let (bucket, store) = Watched::bucket();
    let house = filled(store.clone(), 3).await;
    let querier = cold(&house, &store);
    bucket.delay(DELAY);
    bucket.take();
    assert_eq!(found(&querier, id(15)).await, 1);
    let reads = bucket.take();
    let (seen, told) = (Seen::of(&reads), reads.iter().map(Read::told).collect::<Vec<_>>());
    assert!(seen.rounds <= 3 && seen.requests <= 2 + 5, "{seen}: {told:#?}");
    assert_eq!(found(&cold(&house, &store), id(99)).await, 0);
    let seen = bucket.seen();
    assert!(seen.rounds == 1 && seen.requests == 3, "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_for_the_newest_stops_early() {
    let (bucket, store) = Watched::bucket();
    let house = filled(store.clone(), 12).await;
    let querier = cold(&house, &store);
    bucket.delay(DELAY);
    bucket.take();
    let request = search_for("{}", 0..=u64::MAX);
    let answer = querier.search(&[TenantId::single()], request).await.unwrap();
    let newest: Vec<TraceId> = (115..120).rev().map(id).collect();
    assert_eq!(answer.traces.iter().map(|found| found.id).collect::<Vec<_>>(), newest);
    let seen = bucket.seen();
    // The indexes of all, and of one block resources, traces, and the spans in two looks.
    assert!(seen.requests <= 12 + 4 && seen.rounds <= 3, "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_read_is_sent_again_where_that_is_asked_for() {
    let (bucket, store) = Watched::bucket();
    let key = vivace::store::Path::from("a");
    store.put(&key, bytes::Bytes::from_static(b"slow")).await.unwrap();
    let hedge = Hedge { at: Duration::from_millis(20), up_to: 2 };
    let hedged = store.clone().with_hedge(hedge);
    bucket.slow(Duration::from_hours(1), vec![0]);
    assert_eq!(hedged.get(&key).await.unwrap(), &b"slow"[..]);
    assert_eq!(store.counters().get.hedged(), 1);
    bucket.slow(Duration::from_hours(1), vec![0]);
    assert_eq!(hedged.get_range(&key, 1..3).await.unwrap(), &b"lo"[..]);
    let get = &store.counters().get;
    assert_eq!((get.hedged(), get.requests(), get.errors()), (2, 4, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_blocks_packs_tell_which_to_ask() {
    let (bucket, store) = Watched::bucket();
    let house = filled(store.clone(), 60).await;
    keep(&house).await;
    assert_eq!(pack_keys(&store).await.len(), 1);
    house.push_and_cut(&[spans(600..610, BEGIN + 61 * HOUR)]).await;
    for packed in [0, 333, 599, 600] {
        bucket.take();
        assert_eq!(found(&cold(&house, &store), id(packed)).await, 1, "{packed}");
        let Seen { requests, .. } = bucket.seen();
        assert!(requests <= 7, "{packed}: {requests}");
    }
    bucket.take();
    assert_eq!(found(&cold(&house, &store), id(1_000_000)).await, 0);
    let Seen { requests, .. } = bucket.seen();
    assert!(requests <= 2, "the filter of the block that is not packed: {requests}");
    // Every trace, by another process: block by block what the pack says is right.
    let packs = packs_of(&store, house.clock.clone());
    for block in 0..60 {
        let fold = id(block * 10 + 3).fold();
        let all = entries(&house).await;
        let Narrowed { maybe, unknown } =
            packs.narrow(&TenantId::single(), all.clone(), &[fold]).await.unwrap();
        assert_eq!((maybe.len(), unknown.len()), (1, 1));
        assert_eq!(maybe[0].start_unix_nano / HOUR, (BEGIN + block * HOUR) / HOUR);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packs_that_are_merged_deleted_or_damaged_cost_no_answer() {
    let (_bucket, store) = Watched::bucket();
    let house = filled(store.clone(), 24).await;
    keep(&house).await;
    let reader = packs_of(&store, house.clock.clone());
    let ask = async |packs: &Packs, number: u64| {
        let all = entries(&house).await;
        packs.narrow(&TenantId::single(), all, &[id(number).fold()]).await.unwrap()
    };
    assert_eq!(ask(&reader, 5).await.maybe.len(), 1);
    let before = pack_keys(&store).await;
    // Another process packs 24 more and merges.
    for block in 24..48 {
        house.push_and_cut(&[spans(block * 10..block * 10 + 10, BEGIN + block * HOUR)]).await;
    }
    keep(&house).await;
    let after = pack_keys(&store).await;
    assert_eq!(after.len(), 1);
    assert_ne!(before, after);
    let told = ask(&reader, 300).await;
    assert_eq!(told.maybe.len() + told.unknown.len(), 24, "the old pack, as it was listed");
    house.clock.advance(Duration::from_mins(1));
    assert_eq!(ask(&reader, 300).await.maybe.len(), 1);
    assert_eq!(found(&house.querier, id(300)).await, 1);
    // Damaged: every block is asked itself.
    store.put(&after[0], bytes::Bytes::from_static(b"nothing")).await.unwrap();
    let fresh = packs_of(&store, house.clock.clone());
    assert_eq!(ask(&fresh, 300).await.unknown.len(), 48);
    // Gone: the same, and packed anew.
    store.delete(&after[0]).await.unwrap();
    let fresh = packs_of(&store, house.clock.clone());
    assert_eq!(ask(&fresh, 300).await.unknown.len(), 48);
    let manifest = house.ingester.pin(&TenantId::single()).await.unwrap().manifest;
    fresh.keep(&TenantId::single(), &manifest).await.unwrap();
    assert_eq!(ask(&fresh, 300).await.maybe.len(), 1);
    assert_eq!(pack_keys(&store).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_outside_the_window_are_found_without_opening_every_block() {
    let (bucket, store) = Watched::bucket();
    let house = filled(store.clone(), 40).await;
    keep(&house).await;
    // Trace 55 goes on days later; first live, then in a block of its own.
    let late = BEGIN + 100 * HOUR;
    let mut part = spans(55..56, late);
    part[0].span.span_id = vec![9; 8];
    house.push_all(&[part]).await;
    let search = async |querier: &Querier| {
        let request = search_for("{} | count() = 2", late - HOUR..=late + HOUR);
        let answer = querier.search(&[TenantId::single()], request).await.unwrap();
        assert_eq!(answer.traces.iter().map(|found| found.id).collect::<Vec<_>>(), [id(55)]);
    };
    bucket.take();
    search(&cold(&house, &store)).await;
    let Seen { requests, .. } = bucket.seen();
    assert!(requests <= 8, "{requests}");
    house.ingester.flush().await.unwrap();
    assert_eq!(house.ingester.live_spans(), 0);
    let all = entries(&house).await;
    let (sharing, shared) = (all.last().unwrap(), &all[5]);
    assert_eq!(sharing.shared_with, [shared.id]);
    bucket.take();
    search(&cold(&house, &store)).await;
    let Seen { requests, .. } = bucket.seen();
    assert!(requests <= 8, "{requests}");
    // And from the other side: the older block does not know of the younger.
    let request = search_for("{} | count() = 2", BEGIN + 5 * HOUR..=BEGIN + 5 * HOUR + HOUR / 2);
    let answer = cold(&house, &store).search(&[TenantId::single()], request).await.unwrap();
    assert_eq!(answer.traces.len(), 1);
    let Seen { requests, .. } = bucket.seen();
    assert!(requests <= 8, "{requests}");
}
