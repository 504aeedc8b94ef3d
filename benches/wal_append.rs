//! How fast does the log take records on a real disk, by how many senders share a sync?

mod data;

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::{StreamExt, TryStreamExt};
use tokio::runtime::Runtime;
use vivace::tenant::TenantId;
use vivace::wal::{Config, Format, RealDisk, Record, Refused, Wal};

use data::{Request, SEED, SPANS, requests};

fn wal_append(c: &mut Criterion) {
    let requests = requests(SEED, SPANS);
    let spans: u64 = requests.iter().map(|request| request.spans).sum();
    let runtime = Runtime::new().expect("threads");
    let mut group = c.benchmark_group("wal_append");
    group.throughput(Throughput::Elements(spans)).sample_size(10);
    for senders in [1, 8, 64] {
        group.bench_function(BenchmarkId::new("senders", senders), |b| {
            b.iter_custom(|rounds| {
                let round = |_| runtime.block_on(appended(&requests, senders));
                (0..rounds).map(|number| round(number).expect("the disk has room")).sum()
            });
        });
    }
    group.finish();
    let bytes = runtime.block_on(log_bytes(&requests)).expect("the disk has room");
    eprintln!("{} bytes of log for each span", bytes / spans);
}

fn record(request: &Request) -> Record {
    Record {
        tenant: TenantId::single(),
        received_unix_nano: 1_795_521_600_000_000_000,
        format: Format::Otlp,
        spans: u32::try_from(request.spans).expect("a request holds some hundred spans"),
        refused: Refused::none(),
        body: request.body.clone(),
    }
}

/// The time of all appends to a new log.
async fn appended(requests: &[Request], senders: usize) -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir()?;
    let wal = Wal::open(folder.path(), &Config::default(), Arc::new(RealDisk))?;
    let begin = Instant::now();
    append_all(&wal, requests, senders).await?;
    let took = begin.elapsed();
    wal.close().await;
    Ok(took)
}

async fn append_all(wal: &Wal, requests: &[Request], senders: usize) -> anyhow::Result<()> {
    let appends: Vec<_> = requests.iter().map(|request| wal.append(record(request))).collect();
    futures::stream::iter(appends).buffer_unordered(senders).try_collect::<Vec<_>>().await?;
    Ok(())
}

async fn log_bytes(requests: &[Request]) -> anyhow::Result<u64> {
    let folder = tempfile::tempdir()?;
    let wal = Wal::open(folder.path(), &Config::default(), Arc::new(RealDisk))?;
    append_all(&wal, requests, 8).await?;
    let bytes = wal.bytes();
    wal.close().await;
    Ok(bytes)
}

criterion_group!(benches, wal_append);
criterion_main!(benches);
