//! Makes realistic traces of a shop and sends them over OTLP/HTTP, as fast as they are taken or at a rate.
//!
//!     cargo run --release --example load -- --traces 20000
//!     cargo run --release --example load -- --rate 500 --traces 30000 --endpoint http://127.0.0.1:4318
//!
//! With a seed the same traces are made again. An answer that asks to come back (429, 503) is obeyed; what is refused is counted and told.

mod shop;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::Parser;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use parking_lot::Mutex;
use prost::Message;
use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::blocking::Client;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};

/// Attempts for one request before it counts as failed.
const ATTEMPTS_MAX: u32 = 20;

#[derive(Parser)]
#[command(about = "Makes realistic traces of a shop and sends them over OTLP/HTTP")]
struct Arguments {
    /// Where OTLP/HTTP is taken.
    #[arg(long, default_value = "http://127.0.0.1:4318")]
    endpoint: String,
    /// Traces in all.
    #[arg(long, default_value_t = 10_000)]
    traces: u64,
    /// Traces per second; 0: as fast as they are taken.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Traces in a request.
    #[arg(long, default_value_t = 40)]
    batch: u64,
    /// Requests on the way at once.
    #[arg(long, default_value_t = 4)]
    connections: u64,
    /// The same seed makes the same traces, ids included, which are then stored once; without it they are new each time.
    #[arg(long)]
    seed: Option<u64>,
    /// Over how long a time before its end the traces start, in seconds; 0: all start at its end.
    #[arg(long, default_value_t = 0)]
    past: u64,
    /// How long before now that time ends, in seconds.
    #[arg(long, default_value_t = 0)]
    ago: u64,
    /// Percent of the traces of which every second span comes after all others, as from slow senders.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    late: u32,
    /// `X-Scope-OrgID`.
    #[arg(long)]
    tenant: Option<String>,
}

#[derive(Default)]
struct Counts {
    spans: AtomicU64,
    bytes: AtomicU64,
    requests: AtomicU64,
    retries: AtomicU64,
    rejected: AtomicU64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) => {
            eprintln!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<String> {
    let (counts, next, begun) = (Counts::default(), AtomicU64::new(0), Instant::now());
    let batches = arguments.traces.div_ceil(arguments.batch.max(1));
    let late = Mutex::new(Vec::new());
    let work = || -> anyhow::Result<()> {
        let client = client()?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= batches {
                return Ok(());
            }
            wait_for_turn(arguments, number, begun);
            let mut groups = traces(arguments, number)?;
            late.lock().push(groups.take_late());
            send(arguments, &client, groups, &counts)?;
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> =
            (0..arguments.connections.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let client = client()?;
    for groups in late.into_inner() {
        send(arguments, &client, groups, &counts)?;
    }
    Ok(report(&counts, begun.elapsed()))
}

fn client() -> anyhow::Result<Client> {
    Ok(Client::builder().timeout(Duration::from_mins(1)).build()?)
}

fn wait_for_turn(arguments: &Arguments, batch: u64, begun: Instant) {
    if arguments.rate == 0 {
        return;
    }
    let due = Duration::from_secs(batch * arguments.batch)
        / u32::try_from(arguments.rate).unwrap_or(u32::MAX);
    thread::sleep(due.saturating_sub(begun.elapsed()));
}

/// The traces of one batch. Each batch has a seed of its own, if there is one: what it holds does not depend on who makes it.
fn traces(arguments: &Arguments, batch: u64) -> anyhow::Result<shop::Groups> {
    let Arguments { traces, batch: size, seed, past, ago, late, .. } = arguments;
    let mut dice = match seed {
        Some(seed) => StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ batch),
        None => rand::make_rng(),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let now = u64::try_from(now.as_nanos()).context("the clock is past 2554")?;
    let (first, last) = (batch * size, ((batch + 1) * size).min(*traces));
    let mut groups = shop::Groups::default();
    for trace in first..last {
        let ago = ago * 1_000_000_000 + past * 1_000_000_000 / (*traces).max(1) * (traces - trace);
        groups.add_trace(&mut dice, now.saturating_sub(ago), *late);
    }
    Ok(groups)
}

fn send(
    arguments: &Arguments,
    client: &Client,
    groups: shop::Groups,
    counts: &Counts,
) -> anyhow::Result<()> {
    let spans = groups.span_count();
    if spans == 0 {
        return Ok(());
    }
    let request = ExportTraceServiceRequest { resource_spans: groups.into_resource_spans() };
    let body = request.encode_to_vec();
    let url = format!("{}/v1/traces", arguments.endpoint);
    for _ in 0..ATTEMPTS_MAX {
        let mut request =
            client.post(&url).header(CONTENT_TYPE, "application/x-protobuf").body(body.clone());
        if let Some(tenant) = &arguments.tenant {
            request = request.header("X-Scope-OrgID", tenant);
        }
        let answer = request.send().with_context(|| url.clone())?;
        let status = answer.status().as_u16();
        if status == 200 {
            let answer = ExportTraceServiceResponse::decode(answer.bytes()?)?;
            let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
            let rejected = u64::try_from(rejected).unwrap_or(0);
            counts.spans.fetch_add((spans as u64).saturating_sub(rejected), Ordering::Relaxed);
            counts.rejected.fetch_add(rejected, Ordering::Relaxed);
            counts.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
            counts.requests.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if !matches!(status, 429 | 502 | 503 | 504) {
            bail!("{url}: {status}: {}", answer.text().unwrap_or_default());
        }
        counts.retries.fetch_add(1, Ordering::Relaxed);
        let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let seconds = after.and_then(|text| text.parse().ok()).unwrap_or(1);
        thread::sleep(Duration::from_secs(seconds));
    }
    bail!("{url}: refused {ATTEMPTS_MAX} times")
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn report(counts: &Counts, took: Duration) -> String {
    let Counts { spans, bytes, requests, retries, rejected } = counts;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let seconds = took.as_secs_f64();
    format!(
        "{} spans in {} requests, {:.1} MB, {seconds:.1} s: {:.0} spans/s, {:.1} MB/s; {} retries, {} spans rejected",
        count(spans),
        count(requests),
        count(bytes) as f64 / 1e6,
        count(spans) as f64 / seconds,
        count(bytes) as f64 / 1e6 / seconds,
        count(retries),
        count(rejected),
    )
}
