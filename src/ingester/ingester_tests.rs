//! An ingester as a whole, over a simulated disk and a bucket in memory.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use object_store::memory::InMemory;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::*;
use crate::block::Block;
use crate::block::Opening;
use crate::runtime::Drain;
use crate::scan::ScanCost;
use crate::trace::{SpanId, TraceId};
use crate::wal::SimulatedDisk;

const NOW: u64 = 1_795_478_400_000_000_000;

/// Spans by trace and id, with how often each is there.
type Seen = BTreeMap<(TraceId, SpanId), u32>;

struct Fixture {
    ingester: Ingester,
    blocks: Blocks,
    clock: Clock,
    tenant: TenantId,
}

fn wal(disk: &SimulatedDisk) -> Wal {
    Wal::open(Path::new("/wal"), &crate::wal::Config::default(), Arc::new(disk.clone())).unwrap()
}

fn store() -> Store {
    Store::from_object_store(Arc::new(InMemory::new()))
}

async fn fixture(disk: &SimulatedDisk, store: &Store, config: Config) -> Fixture {
    let cpu = Cpu::new(NonZeroUsize::new(1)).unwrap();
    let blocks = Blocks::new(store.clone(), cpu.clone(), 64 << 20);
    let clock = Clock::simulated(NOW);
    let ingester = Ingester::new(Parts {
        config,
        store: store.clone(),
        blocks: blocks.clone(),
        wal: wal(disk),
        clock: clock.clone(),
        cpu,
        metrics: Metrics::default(),
    });
    ingester.recover().await.unwrap();
    Fixture { ingester, blocks, clock, tenant: TenantId::parse("a").unwrap() }
}

async fn new() -> Fixture {
    fixture(&SimulatedDisk::new(), &store(), Config::default()).await
}

fn trace_id(trace: u64) -> TraceId {
    TraceId(u128::from(trace + 1).to_be_bytes())
}

/// Spans `spans` of a trace; the first of all is the root, and the parent of the others.
fn request(trace: u64, spans: std::ops::Range<u64>) -> Push {
    let id = |span: u64| (span + 1).to_be_bytes().to_vec();
    let span = |span: u64| Span {
        trace_id: trace_id(trace).0.to_vec(),
        span_id: id(span),
        parent_span_id: if span == 0 { Vec::new() } else { id(0) },
        name: "op".to_owned(),
        kind: 2,
        start_time_unix_nano: NOW + span,
        end_time_unix_nano: NOW + span + 5,
        ..Span::default()
    };
    let scope_spans =
        vec![ScopeSpans { spans: spans.map(span).collect(), ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let body = Bytes::from(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
    let decoded = crate::otlp::decode(&body).unwrap();
    Push { spans: decoded.spans, refused: Refused::none(), body }
}

#[tokio::test]
async fn parts_of_a_trace_that_two_processes_cut_at_once_know_of_each_other() {
    let store = store();
    let (one, other) = (
        fixture(&SimulatedDisk::new(), &store, Config::default()).await,
        fixture(&SimulatedDisk::new(), &store, Config::default()).await,
    );
    one.push(1, 0..3).await;
    one.push(2, 0..1).await;
    other.push(1, 3..5).await;
    // Neither has seen a block of the other when it cuts.
    one.ingester.flush().await.unwrap();
    other.ingester.flush().await.unwrap();
    // A block that shares nothing is committed though others came meanwhile.
    one.push(3, 0..1).await;
    one.ingester.flush().await.unwrap();
    let manifests = other.ingester.manifests(&other.tenant).await.unwrap();
    let newest = manifests.refresh().await.unwrap();
    let mut shared: Vec<_> = newest.blocks().iter().map(|b| (b.spans, b.shared_traces)).collect();
    shared.sort_unstable();
    assert_eq!(shared, [(1, 0), (2, 1), (4, 0)]);
    let [first, second] = [(4, 0), (2, 1)].map(|of| {
        newest.blocks().iter().find(|block| (block.spans, block.shared_traces) == of).unwrap()
    });
    assert_eq!(second.shared_with, [first.id]);
    assert_eq!(one.ingester.live_spans() + other.ingester.live_spans(), 0);
}

impl Fixture {
    async fn push(&self, trace: u64, spans: std::ops::Range<u64>) {
        self.ingester.push(&self.tenant, request(trace, spans)).await.unwrap();
    }

    async fn pin(&self) -> Pin {
        self.ingester.pin(&self.tenant).await.unwrap()
    }

    async fn block(&self, pin: &Pin, index: usize) -> Arc<Block> {
        let (entry, cost) = (&pin.manifest.blocks()[index], &mut ScanCost::default());
        self.blocks.open(&self.tenant, entry, Opening::Short, cost).await.unwrap()
    }

    /// All that a pin shows, blocks and live spans.
    async fn seen(&self, pin: &Pin) -> Seen {
        let mut seen = Seen::new();
        let live = pin.live_chunks();
        for id in pin.live_ids() {
            for row in pin.live_rows(id) {
                let span = live[row.chunk as usize].span_id[row.row as usize];
                *seen.entry((id, span)).or_default() += 1;
            }
        }
        for (index, entry) in pin.manifest.blocks().iter().enumerate() {
            let block = self.block(pin, index).await;
            let all = 0..entry.spans;
            let spans = block.spans(&[all], &mut ScanCost::default()).await.unwrap();
            for (id, span) in spans.trace_id.iter().zip(&spans.span_id) {
                *seen.entry((*id, *span)).or_default() += 1;
            }
        }
        seen
    }
}

/// Traces with so many spans each, every span once.
fn want(traces: &[(u64, u64)]) -> Seen {
    let spans = traces.iter().flat_map(|(trace, spans)| {
        (0..*spans).map(|span| ((trace_id(*trace), SpanId((span + 1).to_be_bytes())), 1))
    });
    spans.collect()
}

#[tokio::test]
async fn spans_are_visible_right_after_the_push() {
    let house = new().await;
    assert_eq!(house.seen(&house.pin().await).await, Seen::new());
    for spans in 1..5 {
        house.push(0, spans - 1..spans).await;
        house.push(spans, 0..spans).await;
        let pin = house.pin().await;
        assert_eq!(pin.live_rows(trace_id(0)).len() as u64, spans);
        assert_eq!(pin.live_rows(trace_id(spans)).len() as u64, spans);
    }
    assert_eq!(house.ingester.live_spans(), 14);
    assert!(house.ingester.live_bytes() > 0);
}

#[tokio::test]
async fn a_flush_empties_memory_and_log() {
    let (disk, store) = (SimulatedDisk::new(), store());
    let house = fixture(&disk, &store, Config::default()).await;
    house.push(1, 0..3).await;
    house.push(2, 0..2).await;
    house.ingester.flush().await.unwrap();
    assert_eq!((house.ingester.live_spans(), house.ingester.live_bytes()), (0, 0));
    let segments = house.ingester.0.wal.segments();
    assert_eq!(segments.iter().map(|segment| segment.spans).collect::<Vec<_>>(), [0]);

    // Nothing is left to do, and nothing is done.
    house.ingester.flush().await.unwrap();
    assert_eq!(house.ingester.0.wal.segments(), segments);
    assert_eq!(house.pin().await.manifest.blocks().len(), 1);
    assert_eq!(house.seen(&house.pin().await).await, want(&[(1, 3), (2, 2)]));
}

#[tokio::test]
async fn at_every_moment_of_a_flush_a_pin_shows_each_span_once() {
    let house = fixture(
        &SimulatedDisk::new(),
        &store(),
        // A block a trace.
        Config { max_block_spans: 3, ..Config::default() },
    )
    .await;
    let all = want(&[(1, 3), (2, 2), (3, 2)]);
    for (trace, spans) in [(1, 3), (2, 2), (3, 2)] {
        house.push(trace, 0..spans).await;
    }
    let before = house.pin().await;
    let ingester = house.ingester.clone();
    let flush = tokio::spawn(async move { ingester.flush().await });
    let mut blocks_seen = BTreeSet::new();
    loop {
        let is_done = flush.is_finished();
        let pin = house.pin().await;
        blocks_seen.insert(pin.manifest.blocks().len());
        assert_eq!(house.seen(&pin).await, all);
        if is_done {
            break;
        }
        tokio::task::yield_now().await;
    }
    flush.await.unwrap().unwrap();
    assert!(blocks_seen.contains(&0) && blocks_seen.contains(&3), "{blocks_seen:?}");
    assert_eq!(house.seen(&before).await, all, "a pin does not change");
    assert!(before.manifest.blocks().is_empty() && before.has_live());
    assert!(!house.pin().await.has_live());
}

#[tokio::test]
async fn a_block_names_the_traces_that_earlier_blocks_hold() {
    let house = new().await;
    house.push(1, 0..3).await;
    house.push(2, 0..3).await;
    house.ingester.flush().await.unwrap();
    house.push(1, 3..5).await;
    house.push(3, 0..1).await;
    house.ingester.flush().await.unwrap();

    let pin = house.pin().await;
    let counts: Vec<u64> = pin.manifest.blocks().iter().map(|block| block.shared_traces).collect();
    assert_eq!(counts, [0, 1]);
    let shared: Vec<u64> = house.block(&pin, 1).await.shared().collect();
    assert_eq!(shared, [trace_id(1).fold()]);
    assert_eq!(house.block(&pin, 0).await.shared().count(), 0);
    assert_eq!(house.seen(&pin).await, want(&[(1, 5), (2, 3), (3, 1)]));
}

#[tokio::test]
async fn closed_traces_leave_memory_when_their_time_has_come_and_open_ones_stay() {
    let house = new().await;
    let drain = Drain::new();
    let (ingester, stop) = (house.ingester.clone(), drain.stop());
    let keeper = tokio::spawn(async move { ingester.run(stop).await });
    house.push(1, 0..3).await;
    // Past `max_block_duration`, by then long idle. The other one has just come.
    house.clock.advance(Duration::from_mins(16));
    house.push(2, 0..2).await;
    house.ingester.all_tenants()[0].wake.notify_one();
    while house.pin().await.manifest.blocks().is_empty() {
        tokio::task::yield_now().await;
        house.clock.advance(Duration::from_millis(1));
    }
    let pin = house.pin().await;
    assert_eq!(pin.live_ids(), [trace_id(2)]);
    assert_eq!(house.seen(&pin).await, want(&[(1, 3), (2, 2)]));
    drain.begin();
    keeper.await.unwrap();
}

#[tokio::test]
async fn many_small_pushes_are_joined_and_nothing_of_them_is_lost() {
    let house = new().await;
    for span in 0..200 {
        house.push(span % 7, span / 7..span / 7 + 1).await;
    }
    let before = house.seen(&house.pin().await).await;
    assert_eq!((before.len(), house.pin().await.live_chunks().len()), (200, 200));
    let tenant = house.ingester.all_tenants().remove(0);
    house.ingester.try_look_after(&tenant).await.unwrap();
    assert_eq!(house.pin().await.live_chunks().len(), 1);
    assert_eq!(house.seen(&house.pin().await).await, before);
    house.ingester.flush().await.unwrap();
    assert_eq!(house.seen(&house.pin().await).await, before);
}

#[tokio::test]
async fn a_restart_finds_what_was_live_and_not_again_what_is_stored() {
    let (disk, store) = (SimulatedDisk::new(), store());
    let house = fixture(&disk, &store, Config::default()).await;
    house.push(1, 0..3).await;
    house.push(2, 0..3).await;
    // One of two traces of the segment is stored: the segment stays.
    let tenant = house.ingester.all_tenants().remove(0);
    let mut unsettled = tenant.cutting.lock().await;
    house.ingester.flush_traces(&tenant, &mut unsettled, vec![trace_id(1)]).await.unwrap();
    drop(unsettled);
    assert_eq!(house.ingester.live_spans(), 3);
    house.ingester.0.wal.close().await;

    let house = fixture(&disk, &store, Config::default()).await;
    assert_eq!(house.ingester.live_spans(), 3);
    assert_eq!(house.seen(&house.pin().await).await, want(&[(1, 3), (2, 3)]));
    house.ingester.close().await.unwrap();
    assert_eq!(wal(&disk).replay().count(), 0);
}

#[tokio::test]
async fn a_push_is_refused_when_memory_is_full_and_taken_after_a_flush() {
    let config = Config { live_bytes_max: 1, ..Config::default() };
    let house = fixture(&SimulatedDisk::new(), &store(), config).await;
    house.push(1, 0..1).await;
    let refused = house.ingester.push(&house.tenant, request(2, 0..1)).await.unwrap_err();
    assert!(matches!(refused, Error::Full { bytes_max: 1, .. }), "{refused}");
    assert!(matches!(refused.kind(), Kind::Busy { .. }));
    house.ingester.flush().await.unwrap();
    house.push(2, 0..1).await;
    assert_eq!(house.seen(&house.pin().await).await, want(&[(1, 1), (2, 1)]));
}

#[tokio::test]
async fn a_trace_larger_than_a_row_group_is_stored_whole() {
    const SPANS: u64 = 300_000;
    const PUSH: u64 = 60_000;
    let house = new().await;
    for push in 0..SPANS / PUSH {
        house.push(1, push * PUSH..(push + 1) * PUSH).await;
    }
    house.ingester.flush().await.unwrap();
    assert_eq!(house.ingester.live_spans(), 0);
    let pin = house.pin().await;
    assert_eq!(pin.manifest.blocks().len(), 1, "a trace is not cut");
    let block = house.block(&pin, 0).await;
    let directory = block.directory(&mut ScanCost::default()).await.unwrap();
    let places = directory.places(trace_id(1));
    assert_eq!(places.iter().map(|place| place.rows).sum::<u64>(), SPANS);
    let rows = places[0].first_row..places[0].first_row + places[0].rows;
    let spans = block.spans(&[rows], &mut ScanCost::default()).await.unwrap();
    let ids: HashSet<SpanId> = spans.span_id.iter().copied().collect();
    assert_eq!((ids.len(), spans.len()), (300_000, 300_000));
}
