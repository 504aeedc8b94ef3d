//! How many requests, bytes and rounds does an answer take from a bucket 30 ms away, with nothing cached?
//!
//! `cargo bench --bench reads -- [blocks [spans of a block [small blocks]]]` prints a table: 8 blocks of 256 Ki spans, then traces by id
//! over 10,000 small blocks, unless it is told otherwise.
//! A round is a request that was sent after the answer of another.

#![expect(clippy::print_stdout, reason = "a command that prints a table")]

#[expect(dead_code, reason = "other benches use the rest")]
mod data;
#[path = "../tests/watched/mod.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod watched;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use uuid::Uuid;
use vivace::block::{self, Blocks, Facts};
use vivace::columns::{Layout, RowRef, Spans, group_by_trace};
use vivace::distributor::{self, Distributor};
use vivace::ingester::{self, Ingester};
use vivace::manifest::{BlockEntry, Edit, Manifests, ObjectInfo};
use vivace::otlp;
use vivace::querier::{self, Querier, SearchRequest};
use vivace::runtime::{Clock, Cpu};
use vivace::store::{Store, keys};
use vivace::tenant::TenantId;
use vivace::trace::TraceId;
use vivace::wal::{self, SimulatedDisk, Wal};

use data::{BEGIN_UNIX_NANO, SEED, requests_from};
use watched::Watched;

/// What a request to S3 takes, about.
const DELAY: Duration = Duration::from_millis(30);

/// Memory for decoded indexes and filters: that of a process with 2 GiB.
const CACHE_BYTES: u64 = 256 << 20;

/// From the begin of a block to the next: a little more than a block of 256 Ki spans lasts.
const BLOCK_NANOS: u64 = 900_000_000_000;

/// Warm runs, of which the CPU time is told.
const WARM_RUNS: u32 = 5;

struct Bench {
    bucket: Arc<Watched>,
    store: Store,
    ingester: Ingester,
    cpu: Cpu,
    tenants: [TenantId; 1],
    blocks: u64,
}

/// What is asked for, taken from a block in the middle.
struct Wanted {
    trace: TraceId,
    request: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let numbers: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let blocks = numbers.first().copied().unwrap_or(8) as u64;
    let spans = numbers.get(1).copied().unwrap_or(256 << 10);
    println!("30 ms a request. CPU in milliseconds, to 10");
    let (bench, wanted) = Bench::fill(blocks, spans).await?;
    bench.bucket.delay(DELAY);
    let id = wanted.trace;
    let mut other = id;
    other.0.reverse();
    println!(
        "{:<44} {:>8} {:>7} {:>12} {:>9} {:>9} {:>9}",
        "", "requests", "rounds", "bytes", "wall ms", "cold CPU", "warm CPU"
    );
    bench.tell("trace by id", |q| async move { found(&q, id).await }).await?;
    bench.tell("trace by id, not there", |q| async move { found(&q, other).await }).await?;
    let needle = format!(r#"{{ span.request.id = "{}" }}"#, wanted.request);
    let searches = [
        (needle.as_str(), 20),
        (r#"{ span.request.id = "0" }"#, 20),
        ("{}", 20),
        (r#"{ resource.service.name = "billing" }"#, 20),
        ("{ status = error }", 20),
        (r#"{ span.user.id = "u-00017" }"#, 20),
        ("{ duration > 390ms }", 20),
    ];
    for (query, limit) in searches {
        bench.tell(query, |q| async move { search(&q, query, limit).await }).await?;
    }
    println!("of {} bytes in {} blocks", bench.stored_bytes().await?, bench.blocks);
    let small = numbers.get(2).copied().unwrap_or(10_000) as u64;
    for (name, apart_nanos) in [("in one hour", 1_000), ("an hour apart", 3_600_000_000_000)] {
        println!("\n{small} small blocks, {name}");
        many(small, apart_nanos).await?;
    }
    Ok(())
}

/// Traces by id over many small blocks, as another process has packed them while they came.
async fn many(blocks: u64, apart_nanos: u64) -> anyhow::Result<()> {
    let (bucket, store) = Watched::bucket();
    let tenants = [TenantId::single()];
    let manifests = Manifests::open(store.clone(), TenantId::single(), Uuid::now_v7()).await?;
    let writer = Bench::over((Arc::clone(&bucket), store.clone()), 0)?;
    let mut wanted = None;
    let cpu = cpu_millis();
    for first in (0..blocks).step_by(64) {
        let mut add = Vec::new();
        for block in first..blocks.min(first + 64) {
            let begin = BEGIN_UNIX_NANO + block * apart_nanos;
            let spans = otlp::decode(&requests_from(begin, block, 20)[0].body)?.spans;
            wanted = if block == blocks / 3 { Some(spans.trace_id[0]) } else { wanted };
            add.push(small_block(&store, spans).await?);
        }
        let manifest = manifests.commit(Edit { add, ..Edit::default() }).await?;
        writer.ingester.packs().keep(&tenants[0], &manifest).await?;
    }
    println!("written and packed in {} CPU-ms", cpu_millis() - cpu);
    bucket.delay(DELAY);
    bucket.take();
    let id = wanted.ok_or_else(|| anyhow::anyhow!("no block"))?;
    let mut other = id;
    other.0.reverse();
    for (name, id) in [("trace by id", id), ("trace by id, not there", other)] {
        let bench = Bench::over((Arc::clone(&bucket), store.clone()), blocks)?;
        bench.ingester.pin(&tenants[0]).await?;
        println!("the list of blocks: {}", bucket.seen());
        let new = format!("{name}, new process");
        bench.tell(&new, |q| async move { found(&q, id).await }).await?;
        bench.tell(name, |q| async move { found(&q, id).await }).await?;
    }
    Ok(())
}

/// Writes a block past the ingester.
async fn small_block(store: &Store, spans: Spans) -> anyhow::Result<BlockEntry> {
    let chunks = [&spans];
    let rows = (0..spans.next_row()).map(|row| RowRef { chunk: 0, row });
    let traces = group_by_trace(&chunks, rows);
    let hash = |row: RowRef| otlp::content_hash(&spans, row.row as usize);
    let written = block::write(&chunks, &Layout::of(&chunks, traces, &hash), &Facts::default())?;
    let id = Uuid::now_v7();
    let mut objects = Vec::new();
    for (object, bytes) in written.objects {
        let (length, crc32c) = (bytes.len() as u64, block::crc32c(&bytes));
        objects.push(ObjectInfo { object, bytes: length, crc32c });
        store.put(&keys::block(&TenantId::single(), id, object), bytes).await?;
    }
    Ok(BlockEntry {
        id,
        spans: written.spans,
        traces: written.traces,
        start_unix_nano: written.start_unix_nano,
        end_unix_nano: written.end_unix_nano,
        objects,
        service_names: written.service_names,
        service_names_complete: true,
        ..BlockEntry::default()
    })
}

async fn found(querier: &Querier, id: TraceId) -> anyhow::Result<usize> {
    let found = querier.find_trace(&[TenantId::single()], id, None).await;
    Ok(found.map_err(|error| anyhow::anyhow!("{error:?}"))?.map_or(0, |found| found.span_count()))
}

async fn search(querier: &Querier, query: &str, limit: usize) -> anyhow::Result<usize> {
    let request = SearchRequest {
        query: query.to_owned(),
        window: 0..=u64::MAX,
        limit,
        spans_per_spanset: 3,
    };
    let answer = querier.search(&[TenantId::single()], request).await;
    Ok(answer.map_err(|error| anyhow::anyhow!("{error:?}"))?.traces.len())
}

impl Bench {
    /// Blocks of the shop, one after the other in time.
    async fn fill(blocks: u64, spans: usize) -> anyhow::Result<(Self, Wanted)> {
        let bench = Self::over(Watched::bucket(), blocks)?;
        let (ingester, cpu) = (bench.ingester.clone(), bench.cpu.clone());
        // Before, no file of the log is let go.
        ingester.recover().await?;
        let distributor = Distributor::new(ingester.clone(), cpu, distributor::Metrics::default());
        let mut wanted = None;
        for block in 0..blocks {
            let begin = BEGIN_UNIX_NANO + block * BLOCK_NANOS;
            let requests = requests_from(begin, SEED + block, spans);
            if block == blocks / 2 {
                wanted = Some(Wanted::of(&requests[requests.len() / 2].body)?);
            }
            for request in requests {
                distributor.push(&bench.tenants[0], request.body).await?;
            }
            ingester.flush().await?;
            let manifest = ingester.pin(&bench.tenants[0]).await?.manifest;
            ingester.packs().keep(&bench.tenants[0], &manifest).await?;
        }
        let wanted = wanted.ok_or_else(|| anyhow::anyhow!("no block"))?;
        Ok((bench, wanted))
    }

    /// A process over a bucket.
    fn over((bucket, store): (Arc<Watched>, Store), blocks: u64) -> anyhow::Result<Self> {
        let cpu = Cpu::new(None)?;
        let disk = Arc::new(SimulatedDisk::new());
        let wal = Wal::open(Path::new("wal"), &wal::Config::default(), disk)?;
        let config = ingester::Config {
            max_block_spans: 1 << 20,
            live_bytes_max: 4 << 30,
            ..ingester::Config::default()
        };
        let ingester = Ingester::new(ingester::Parts {
            config,
            store: store.clone(),
            blocks: Blocks::new(store.clone(), cpu.clone(), CACHE_BYTES),
            wal,
            clock: Clock::real(),
            cpu: cpu.clone(),
            metrics: ingester::Metrics::default(),
        });
        Ok(Self { bucket, store, ingester, cpu, tenants: [TenantId::single()], blocks })
    }

    /// A querier that has nothing in memory but the list of blocks.
    fn cold(&self) -> Querier {
        let blocks = Blocks::new(self.store.clone(), self.cpu.clone(), CACHE_BYTES);
        Querier::new(self.ingester.clone(), blocks, self.cpu.clone(), querier::Config::default())
    }

    /// One line of the table.
    async fn tell<F>(&self, name: &str, ask: impl Fn(Querier) -> F) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<usize>>,
    {
        let querier = self.cold();
        self.bucket.take();
        let (cpu, begun) = (cpu_millis(), Instant::now());
        let count = ask(querier.clone()).await?;
        let (cold, wall) = (cpu_millis() - cpu, begun.elapsed().as_millis());
        let seen = self.bucket.seen();
        let cpu = cpu_millis();
        for _ in 0..WARM_RUNS {
            ask(querier.clone()).await?;
        }
        let warm = (cpu_millis() - cpu) / u64::from(WARM_RUNS);
        let name = format!("{name} → {count}");
        let watched::Seen { requests, bytes, rounds } = seen;
        println!("{name:<44} {requests:>8} {rounds:>7} {bytes:>12} {wall:>9} {cold:>9} {warm:>9}");
        Ok(())
    }

    async fn stored_bytes(&self) -> anyhow::Result<u64> {
        let manifest = self.ingester.pin(&self.tenants[0]).await?.manifest;
        Ok(manifest.blocks().iter().map(|block| block.bytes()).sum())
    }
}

impl Wanted {
    fn of(body: &[u8]) -> anyhow::Result<Self> {
        use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
        use prost::Message;

        let trace = otlp::decode(body)?.spans.trace_id[0];
        let request = ExportTraceServiceRequest::decode(body)?;
        let spans = request.resource_spans.into_iter().flat_map(|group| group.scope_spans);
        let mut attributes = spans.flat_map(|group| group.spans).flat_map(|span| span.attributes);
        let id = attributes.find_map(|attribute| match attribute.value?.value? {
            Any::StringValue(id) if attribute.key == "request.id" => Some(id),
            _ => None,
        });
        Ok(Self { trace, request: id.ok_or_else(|| anyhow::anyhow!("no request.id"))? })
    }
}

/// CPU time of the process so far, in milliseconds, to 10.
fn cpu_millis() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10
}
