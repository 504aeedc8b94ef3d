//! Blocks joined, deleted and swept, over a bucket in memory.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::*;
use crate::ingester::Push;
use crate::store::keys;
use crate::wal::{self, Refused, SimulatedDisk, Wal};

/// 2026-11-28.
const BEGIN: u64 = 1_795_824_000_000_000_000;

/// A process on a bucket.
struct Process {
    compactor: Compactor,
    ingester: Ingester,
}

impl Process {
    fn on(store: &Store, clock: &Clock) -> Self {
        let cpu = Cpu::new(NonZeroUsize::new(1)).unwrap();
        let blocks = Blocks::new(store.clone(), cpu.clone(), 8 << 20);
        let disk = Arc::new(SimulatedDisk::new());
        let ingester = Ingester::new(ingester::Parts {
            config: ingester::Config::default(),
            store: store.clone(),
            blocks: blocks.clone(),
            wal: Wal::open(Path::new("wal"), &wal::Config::default(), disk).unwrap(),
            clock: clock.clone(),
            cpu: cpu.clone(),
            metrics: ingester::Metrics::default(),
        });
        let compactor = Compactor::new(Parts {
            config: Config::default(),
            ingester: ingester.clone(),
            store: store.clone(),
            blocks,
            cpu,
            clock: clock.clone(),
            metrics: Metrics::default(),
        });
        Self { compactor, ingester }
    }

    /// A block with some spans of some traces.
    async fn block(&self, traces: &[u8], spans: &[u8], now: u64) {
        let span = |trace: u8, span: u8| Span {
            trace_id: vec![trace; 16],
            span_id: vec![span; 8],
            name: "work".to_owned(),
            start_time_unix_nano: now,
            end_time_unix_nano: now + 1,
            ..Span::default()
        };
        let all = traces.iter().flat_map(|trace| spans.iter().map(|id| span(*trace, *id)));
        let scope = ScopeSpans { spans: all.collect(), ..ScopeSpans::default() };
        let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
        let request = ExportTraceServiceRequest { resource_spans: vec![resource] };
        let body = Bytes::from(request.encode_to_vec());
        let spans = crate::otlp::decode(&body).unwrap().spans;
        let push = Push { spans, refused: Refused::none(), body };
        self.ingester.push(&TenantId::single(), push).await.unwrap();
        self.ingester.flush().await.unwrap();
    }

    async fn blocks(&self) -> Vec<(u64, u64, u64)> {
        let manifests = self.ingester.manifests(&TenantId::single()).await.unwrap();
        let manifest = manifests.refresh().await.unwrap();
        let blocks = manifest.blocks().iter().map(|b| (b.spans, b.traces, b.shared_traces));
        let mut blocks: Vec<_> = blocks.collect();
        blocks.sort_unstable();
        blocks
    }
}

async fn folders(store: &Store) -> usize {
    store.list_folders(&keys::blocks(&TenantId::single())).await.unwrap().len()
}

#[tokio::test]
async fn parts_of_a_trace_become_one_and_twins_are_left_out() {
    let (store, clock) = (Store::memory(), Clock::simulated(BEGIN));
    let process = Process::on(&store, &clock);
    for spans in [&[1, 2][..], &[2, 3], &[4]] {
        process.block(&[7, 8], spans, clock.now_unix_nano()).await;
    }
    assert_eq!(process.blocks().await, [(2, 2, 2), (4, 2, 0), (4, 2, 2)]);
    let tenant = TenantId::single();
    process.compactor.look_after(&tenant).await.unwrap();
    assert_eq!(process.blocks().await.len(), 3, "the window is not over");
    clock.advance(Duration::from_hours(2));
    process.compactor.look_after(&tenant).await.unwrap();
    assert_eq!(process.blocks().await, [(8, 2, 0)]);
    assert_eq!(process.compactor.metrics.duplicate_spans.get(), 2);
}

#[tokio::test]
async fn two_processes_join_the_same_blocks_once() {
    let (store, clock) = (Store::memory(), Clock::simulated(BEGIN));
    let (one, other) = (Process::on(&store, &clock), Process::on(&store, &clock));
    for number in 1..7 {
        let process = if number % 2 == 0 { &one } else { &other };
        process.block(&[number], &[1, 2], clock.now_unix_nano()).await;
    }
    clock.advance(Duration::from_hours(2));
    assert_eq!((one.blocks().await.len(), other.blocks().await.len()), (6, 6));
    let tenant = TenantId::single();
    let (first, second) =
        tokio::join!(one.compactor.look_after(&tenant), other.compactor.look_after(&tenant));
    first.unwrap();
    second.unwrap();
    assert_eq!(one.blocks().await, [(12, 6, 0)]);
    let metrics = [&one.compactor.metrics, &other.compactor.metrics];
    assert_eq!(metrics.map(|metrics| metrics.joins.get()).iter().sum::<u64>(), 1);
}

#[tokio::test]
async fn what_had_its_time_is_deleted_after_a_grace() {
    let (store, clock) = (Store::memory(), Clock::simulated(BEGIN));
    let process = Process::on(&store, &clock);
    let tenant = TenantId::single();
    process.block(&[1], &[1], clock.now_unix_nano()).await;
    process.block(&[2], &[1], clock.now_unix_nano()).await;
    clock.advance(Duration::from_hours(336) - Duration::from_mins(5));
    process.compactor.look_after(&tenant).await.unwrap();
    assert_eq!(process.blocks().await, [(2, 2, 0)], "joined, and kept");
    process.block(&[3], &[1], clock.now_unix_nano()).await;
    clock.advance(Duration::from_mins(10));
    process.compactor.look_after(&tenant).await.unwrap();
    assert_eq!(process.blocks().await, [(1, 1, 0)], "the younger one");
    assert_eq!(folders(&store).await, 4);
    // For the bucket, whose clock is the machine's, all manifests are old by now.
    assert_eq!(process.compactor.sweep(&tenant).await.unwrap(), 2, "the joined one is young");
    clock.advance(Duration::from_hours(1));
    assert_eq!(process.compactor.sweep(&tenant).await.unwrap(), 1);
    assert_eq!(folders(&store).await, 1);
    assert_eq!(process.blocks().await, [(1, 1, 0)]);
}

#[tokio::test]
async fn a_tenant_may_have_a_retention_of_its_own_or_none() {
    use crate::tenant::{Layer, Overrides};

    let (store, clock) = (Store::memory(), Clock::simulated(BEGIN));
    let Process { compactor, ingester } = Process::on(&store, &clock);
    let overrides = Overrides::default();
    let process = Process { compactor: compactor.limited(overrides.clone()), ingester };
    let tenant = TenantId::single();
    let set = |change: fn(&mut Layer)| {
        let mut layer = Layer::default();
        change(&mut layer);
        overrides.set([(tenant.to_string(), layer)].into());
    };
    process.block(&[1], &[1], clock.now_unix_nano()).await;
    process.block(&[2], &[1], clock.now_unix_nano()).await;
    clock.advance(Duration::from_hours(2));
    set(|layer| layer.compaction.compaction_disabled = Some(true));
    process.compactor.look_after(&tenant).await.unwrap();
    assert_eq!(process.blocks().await.len(), 2, "neither joined nor deleted");
    set(|layer| layer.compaction.block_retention = Some(Duration::from_hours(3)));
    process.compactor.look_after(&tenant).await.unwrap();
    assert_eq!(process.blocks().await, [(2, 2, 0)]);
    set(|layer| layer.compaction.block_retention = Some(Duration::from_hours(1)));
    process.compactor.look_after(&tenant).await.unwrap();
    assert_eq!(process.blocks().await, []);
}

#[tokio::test]
async fn objects_of_a_joined_block_stay_while_somebody_may_read_them() {
    let (store, clock) = (Store::memory(), Clock::real());
    let mut process = Process::on(&store, &clock);
    let tenant = TenantId::single();
    for trace in 1..5 {
        process.block(&[trace], &[1], clock.now_unix_nano()).await;
    }
    process.compactor.look_after(&tenant).await.unwrap();
    assert_eq!(process.blocks().await, [(4, 4, 0)], "four of a level are joined at once");
    assert_eq!(process.compactor.sweep(&tenant).await.unwrap(), 0);
    assert_eq!(folders(&store).await, 5);
    process.compactor.config.grace = Duration::ZERO;
    assert_eq!(process.compactor.sweep(&tenant).await.unwrap(), 4);
    assert_eq!(folders(&store).await, 1);
}

#[tokio::test]
async fn objects_that_nothing_refers_to_are_swept() {
    let (store, clock) = (Store::memory(), Clock::real());
    let process = Process::on(&store, &clock);
    let tenant = TenantId::single();
    process.block(&[1], &[1], clock.now_unix_nano()).await;
    let manifests = process.ingester.manifests(&tenant).await.unwrap();
    let kept: BTreeSet<Uuid> = manifests.current().blocks().iter().map(|b| b.id).collect();
    // Of a write that failed long ago, and of one that is under way.
    let now = clock.now_unix_nano() / 1_000_000;
    let id = |unix_milli: u64| {
        uuid::Builder::from_unix_timestamp_millis(unix_milli, &[7; 10]).into_uuid()
    };
    let (old, young) = (id(now - 3 * 3_600_000), id(now));
    for id in [old, young] {
        for object in [keys::BlockObject::Index, keys::BlockObject::Spans] {
            let key = keys::block(&tenant, id, object);
            store.put(&key, Bytes::from_static(b"x")).await.unwrap();
        }
    }
    assert_eq!(process.compactor.sweep(&tenant).await.unwrap(), 1);
    let left = store.list_folders(&keys::blocks(&tenant)).await.unwrap();
    let left: BTreeSet<Uuid> = left.iter().map(|name| Uuid::parse_str(name).unwrap()).collect();
    assert_eq!(left, kept.into_iter().chain([young]).collect());
}

#[tokio::test]
async fn a_damaged_block_holds_up_no_others() {
    let (store, clock) = (Store::memory(), Clock::simulated(BEGIN));
    let process = Process::on(&store, &clock);
    let tenant = TenantId::single();
    for trace in 1..5 {
        process.block(&[trace], &[1], clock.now_unix_nano()).await;
    }
    let manifests = process.ingester.manifests(&tenant).await.unwrap();
    let damaged = manifests.current().blocks()[1].id;
    let key = keys::block(&tenant, damaged, keys::BlockObject::Spans);
    store.put(&key, Bytes::from_static(b"not its spans")).await.unwrap();
    clock.advance(Duration::from_hours(2));
    process.compactor.look_after(&tenant).await.unwrap();
    assert_eq!(process.blocks().await, [(1, 1, 0), (3, 3, 0)]);
    assert_eq!(process.compactor.metrics.failures.get(), 1);
    assert!(manifests.current().block(damaged).is_some());
}
