//! How fast do OTLP requests become live spans: decoded, in the log on a real disk, visible?

mod data;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::{StreamExt, TryStreamExt};
use tokio::runtime::Runtime;
use vivace::block::Blocks;
use vivace::distributor::{self, Distributor};
use vivace::ingester::{self, Ingester};
use vivace::otlp;
use vivace::runtime::{Clock, Cpu};
use vivace::store::Store;
use vivace::tenant::TenantId;
use vivace::wal::{self, RealDisk, Wal};

use data::{Request, SEED, SPANS, requests};

/// Senders that push at the same time.
const SENDERS: usize = 8;

fn push(c: &mut Criterion) {
    let requests = requests(SEED, SPANS);
    let spans: u64 = requests.iter().map(|request| request.spans).sum();
    let bytes: usize = requests.iter().map(|request| request.body.len()).sum();
    eprintln!("{spans} spans, {} bytes of OTLP each", bytes as u64 / spans);
    let mut group = c.benchmark_group("push");
    group.throughput(Throughput::Elements(spans)).sample_size(10);
    group.bench_function("decode", |b| {
        b.iter(|| {
            for request in &requests {
                otlp::decode(&request.body).expect("the shop sends OTLP");
            }
        });
    });
    let runtime = Runtime::new().expect("threads");
    group.bench_function("durable_and_visible", |b| {
        b.iter_custom(|rounds| {
            let round = |_| runtime.block_on(pushed(&requests)).expect("the disk has room");
            (0..rounds).map(round).sum()
        });
    });
    group.finish();
}

/// All requests through a new ingester. The time is that of the pushes alone.
async fn pushed(requests: &[Request]) -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir()?;
    let (store, cpu) = (Store::memory(), Cpu::new(None)?);
    let disk = std::sync::Arc::new(RealDisk);
    let wal = Wal::open(folder.path(), &wal::Config::default(), disk)?;
    let ingester = Ingester::new(ingester::Parts {
        config: ingester::Config::default(),
        store: store.clone(),
        blocks: Blocks::new(store, cpu.clone(), 1 << 20),
        wal: wal.clone(),
        clock: Clock::real(),
        cpu: cpu.clone(),
        metrics: ingester::Metrics::default(),
    });
    let distributor = Distributor::new(ingester, cpu, distributor::Metrics::default());
    let (tenant, distributor) = (&TenantId::single(), &distributor);
    let begin = Instant::now();
    let pushes: Vec<_> =
        requests.iter().map(|request| distributor.push(tenant, request.body.clone())).collect();
    futures::stream::iter(pushes).buffer_unordered(SENDERS).try_collect::<Vec<_>>().await?;
    let took = begin.elapsed();
    wal.close().await;
    Ok(took)
}

criterion_group!(benches, push);
criterion_main!(benches);
