//! The parts built, started and drained.
//!
//! Start: bucket, write-ahead log, ingester; listeners bound; the log replayed; then spans are taken and `/ready` says so.
//! Stop: receivers end, what is live is stored, the log is closed, then the API ends.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures::FutureExt;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::net::TcpListener;
use tracing::{error, info};

use crate::api;
use crate::block::Blocks;
use crate::compactor::{self, Compactor};
use crate::config::{self, Config, Endpoint, Listening, PerTenantFile};
use crate::distributor::{self, Distributor};
use crate::failure::{Failure, Kind};
use crate::figures::Figures;
use crate::ingester::{self, Ingester};
use crate::listener::{Listener, Tls, TlsFiles};
use crate::querier::{self, Querier};
use crate::query_apis;
use crate::receiver::{self, Receivers};
use crate::runtime::{Clock, Cpu, Drain, Task, blocking};
use crate::store::Store;
use crate::telemetry::{Registry, VERSION};
use crate::tenant::Overrides;
use crate::wal::{RealDisk, Wal};

/// Share of `memory.limit` that live spans may take if `ingester.max_live_bytes` does not say.
const LIVE_SHARE: u64 = 4;

/// Share of `memory.limit` for decoded indexes and filters.
const CACHE_SHARE: u64 = 8;

/// Share of `memory.limit` for what questions read.
const QUERY_SHARE: u64 = 4;

/// Where the process is in its life; in this order.
const STARTING: u8 = 0;
const READY: u8 = 1;
const STOPPING: u8 = 2;

/// The running parts.
struct App {
    clock: Clock,
    ingester: Ingester,
    distributor: Distributor,
    querier: Querier,
    compactor: Compactor,
    receiver_metrics: receiver::Metrics,
    overrides: Overrides,
    per_tenant: Mutex<Option<PerTenantFile>>,
    registry: Mutex<Registry>,
    phase: Arc<AtomicU8>,
}

/// Runs until a signal comes and all parts have finished.
///
/// # Errors
/// When a part cannot start: the bucket, the log, a listener.
pub async fn run(config: &Config) -> anyhow::Result<()> {
    let drain = Drain::new();
    let _signals = drain.on_signals()?;
    let app = Arc::new(App::build(config).await?);
    let receivers = Receivers::bind(receivers_config(config).await?).await?;
    let server = &config.server;
    let min_version = server.tls_min_version;
    let tls = server.http_tls_config.files("server.http_tls_config", min_version);
    let http = bind(&server.http_endpoint(), tls).await?;
    let tls = server.grpc_tls_config.files("server.grpc_tls_config", min_version);
    let api_listeners = [http, bind(&server.grpc_endpoint(), tls).await?];
    let ended = Drain::new();
    let mut servers = Vec::new();
    for (listener, grpc) in api_listeners.into_iter().zip([config.stream_over_http_enabled, true]) {
        let api_config = api::Config { grpc, ..api_config(config) };
        let router = api::router_with(api_config, app.api_parts(config), query_apis::routes);
        let stop = ended.stop();
        let serve = async move {
            api::serve(listener, router, async move { stop.requested().await }).await;
        };
        servers.push(Task::spawn("api", serve));
    }
    let recovered = app.ingester.recover().await.context("replaying the write-ahead log")?;
    app.phase.store(READY, Ordering::Release);
    info!(version = VERSION, recovered_spans = recovered, "ready");

    let (ingester, stop) = (app.ingester.clone(), drain.stop());
    let keeper = Task::spawn("ingester", async move { ingester.run(stop).await });
    let (ingester, stop) = (app.ingester.clone(), drain.stop());
    // Ends with its handle: what it leaves undone is done by the next process.
    let _packing = Task::spawn("packs", async move { ingester.run_packing(stop).await });
    let (per_tenant, clock) = (app.per_tenant.lock().take(), app.clock.clone());
    let stop = drain.stop();
    let _limits =
        per_tenant.map(|file| Task::spawn("limits", async move { file.follow(clock, stop).await }));
    let (compactor, stop) = (app.compactor.clone(), drain.stop());
    let is_on = !config.compactor.disabled;
    // As the packs.
    let _compacting =
        is_on.then(|| Task::spawn("compactor", async move { compactor.run(stop).await }));
    let stop = drain.stop();
    let distributor = Arc::new(app.distributor.clone());
    let metrics = app.receiver_metrics.clone();
    receivers.run(distributor, metrics, async move { stop.requested().await }).await;
    // Without any receiver the process only answers questions.
    drain.stop().requested().await;
    app.phase.store(STOPPING, Ordering::Release);
    info!("stopping: no more spans are taken");
    let closing = Box::pin(async {
        if let Err(error) = keeper.join().await {
            error!(%error, "the ingester had ended before");
        }
        app.ingester.close().await
    });
    let limit = config.server.graceful_shutdown_timeout;
    match app.clock.timeout(limit, closing).await {
        Ok(Ok(())) => info!("all spans are stored"),
        // Nothing is lost: the log has it, and the next start replays it.
        Ok(Err(error)) => {
            error!(error = crate::failure::chain(&error), "live spans stay in the log");
        }
        Err(_) => error!("live spans stay in the log: storing them took longer than {limit:?}"),
    }
    ended.begin();
    for server in servers {
        server.join().await?;
    }
    info!("stopped");
    Ok(())
}

impl App {
    async fn build(config: &Config) -> anyhow::Result<Self> {
        let trace = &config.storage.trace;
        let store = Store::open(&trace.store()).await.context("storage.trace")?;
        let wal = open_wal(trace).await?;
        let cpu = Cpu::new(None)?;
        let memory_bytes = config.memory.limit_bytes();
        let blocks = Blocks::new(store.clone(), cpu.clone(), memory_bytes / CACHE_SHARE);
        let clock = Clock::real();
        let mut registry = Registry::new();
        let (overrides, per_tenant) = open_overrides(&config.overrides, &mut registry).await?;
        let ingester_metrics = ingester::Metrics::default();
        let distributor_metrics = distributor::Metrics::default();
        let ingester = Ingester::new(ingester::Parts {
            config: ingester_config(config, memory_bytes),
            store: store.clone(),
            blocks: blocks.clone(),
            wal,
            clock: clock.clone(),
            cpu: cpu.clone(),
            metrics: ingester_metrics.clone(),
        });
        let distributor =
            Distributor::new(ingester.clone(), cpu.clone(), distributor_metrics.clone())
                .limited(overrides.clone(), clock.clone());
        let compactor_metrics = compactor::Metrics::default();
        let compactor = Compactor::new(compactor::Parts {
            config: compactor_config(config),
            ingester: ingester.clone(),
            store: store.clone(),
            blocks: blocks.clone(),
            cpu: cpu.clone(),
            clock: clock.clone(),
            metrics: compactor_metrics.clone(),
        })
        .limited(overrides.clone());
        let querier = Querier::new(
            ingester.clone(),
            blocks,
            cpu.clone(),
            querier_config(config, &cpu, memory_bytes),
        );
        distributor_metrics.register(registry.room("distributor"));
        distributor_metrics.register_known(registry.root());
        let receiver_metrics = receiver::Metrics::default();
        let figures = Figures {
            ingester: ingester.clone(),
            ingester_metrics,
            compactor_metrics,
            durations: receiver_metrics.durations().clone(),
            store,
        };
        declare(&mut registry, figures, &receiver_metrics, querier.clone());
        Ok(Self {
            clock,
            ingester,
            distributor,
            querier,
            compactor,
            receiver_metrics,
            overrides,
            per_tenant: Mutex::new(per_tenant),
            registry: Mutex::new(registry),
            phase: Arc::new(AtomicU8::new(STARTING)),
        })
    }

    fn api_parts(self: &Arc<Self>, config: &Config) -> api::Parts {
        let config::Shown { all, changed, defaults } = config.shown.clone();
        let (metrics, ready, flush, now) =
            (Arc::clone(self), Arc::clone(&self.phase), self.ingester.clone(), self.clock.clone());
        let (phase, ledger) = (Arc::clone(&self.phase), self.ingester.clone());
        api::Parts {
            querier: Arc::new(self.querier.clone()),
            metrics: Arc::new(move || metrics.registry.lock().encode()),
            ready: Arc::new(move || is_ready(ready.load(Ordering::Acquire))),
            answers: Arc::new(move || match is_ready(phase.load(Ordering::Acquire)) {
                Err(failure) if phase.load(Ordering::Acquire) == STARTING => Err(failure),
                _ => Ok(()),
            }),
            flush: Arc::new(move || {
                let ingester = flush.clone();
                async move { ingester.flush().await.map_err(Failure::from) }.boxed()
            }),
            durations: self.receiver_metrics.durations().clone(),
            ledger: Arc::new(move || {
                let standings = ledger.standings().into_iter();
                standings.map(|(tenant, standing)| (tenant, standing.ledger)).collect()
            }),
            config: Arc::new(api::Shown { all, changed, defaults }),
            overrides: self.overrides.clone(),
            now: Arc::new(move || now.now_unix_nano()),
        }
    }
}

async fn open_wal(trace: &config::Trace) -> anyhow::Result<Wal> {
    let (path, sizes) = (trace.wal.path.clone(), trace.wal.sizes());
    let wal = blocking(move || Wal::open(&path, &sizes, Arc::new(RealDisk))).await;
    wal.with_context(|| format!("storage.trace.wal.path {}", trace.wal.path.display()))
}

/// Declares what rooms count, and what is looked at when it is asked for.
fn declare(
    registry: &mut Registry,
    figures: Figures,
    receiver_metrics: &receiver::Metrics,
    querier: Querier,
) {
    receiver_metrics.register(registry.room("receiver"));
    receiver_metrics.register_as_tempo(registry.root());
    figures.ingester_metrics.register(registry.room("ingester"));
    figures.compactor_metrics.register(registry.room("compactor"));
    let (ingester, store) = (figures.ingester.clone(), figures.store.clone());
    registry.root().register_collector(Box::new(Seen { ingester, querier, store }));
    registry.root().register_collector(Box::new(figures));
}

/// The limits of all tenants, and the file that changes them, if there is one.
async fn open_overrides(
    config: &config::Overrides,
    registry: &mut Registry,
) -> anyhow::Result<(Overrides, Option<PerTenantFile>)> {
    let overrides = Overrides::new(config.defaults.clone());
    let file = PerTenantFile::read_first(config, &overrides, registry).await;
    Ok((overrides, file.context("overrides.per_tenant_override_config")?))
}

fn is_ready(phase: u8) -> Result<(), Failure> {
    let retry_after = Duration::from_secs(1);
    match phase {
        READY => Ok(()),
        STARTING => {
            let text = "starting: the write-ahead log is being replayed";
            Err(Failure::new(Kind::Unavailable { retry_after }, text))
        }
        _ => Err(Failure::new(Kind::Unavailable { retry_after }, "stopping")),
    }
}

async fn bind(address: &str, tls: Option<TlsFiles>) -> anyhow::Result<Listener> {
    let tls = open_tls(tls).await?;
    let tcp = TcpListener::bind(address).await;
    let tcp = tcp.with_context(|| format!("cannot listen on {address}"))?;
    info!(address = %tcp.local_addr()?, tls = tls.is_some(), "api listens");
    Ok(Listener::new(tcp, tls))
}

async fn open_tls(files: Option<TlsFiles>) -> anyhow::Result<Option<Tls>> {
    let Some(files) = files else { return Ok(None) };
    Ok(Some(blocking(move || Tls::open(files)).await?))
}

async fn resolve(endpoint: &Endpoint) -> anyhow::Result<SocketAddr> {
    let text = endpoint.to_string();
    let mut found = tokio::net::lookup_host(&text).await.with_context(|| text.clone())?;
    found.next().ok_or_else(|| anyhow!("{text} has no address"))
}

async fn receivers_config(config: &Config) -> anyhow::Result<receiver::Config> {
    let mut listeners = Vec::new();
    for listening in config.distributor.listening() {
        let Listening { protocol, key, endpoint, max_body_bytes, tls } = listening;
        let tls = tls.and_then(|tls| tls.files(&format!("{key}.tls")));
        let tls = open_tls(tls).await?;
        let address = resolve(endpoint).await?;
        listeners.push(receiver::Listener { protocol, address, max_body_bytes, tls });
    }
    Ok(receiver::Config {
        listeners,
        max_body_bytes: config.distributor.max_body_bytes,
        multitenancy: config.multitenancy_enabled,
        ..receiver::Config::default()
    })
}

fn ingester_config(config: &Config, memory_bytes: u64) -> ingester::Config {
    let ingester = &config.ingester;
    let live_bytes_max = match ingester.max_live_bytes {
        0 => memory_bytes / LIVE_SHARE,
        bytes => bytes,
    };
    ingester::Config {
        trace_idle_period: ingester.trace_idle_period,
        trace_live_period: ingester.trace_live_period,
        max_block_duration: ingester.max_block_duration,
        max_block_spans: ingester.max_block_spans,
        live_bytes_max,
        wal_bytes_max: config.storage.trace.wal.wal_bytes_max,
        flush_check_period: ingester.flush_check_period,
    }
}

fn compactor_config(config: &Config) -> compactor::Config {
    let compaction = &config.compactor.compaction;
    compactor::Config {
        window: compaction.compaction_window,
        spans_max: compaction.max_compaction_spans,
        cycle: compaction.compaction_cycle,
        retention: compaction.block_retention,
        grace: compaction.compacted_block_retention,
        // What is not cut at the end of a window by then joins nothing of it any more.
        settle_after: config.ingester.max_block_duration + config.ingester.max_block_duration / 2,
        ..compactor::Config::default()
    }
}

fn querier_config(config: &Config, cpu: &Cpu, memory_bytes: u64) -> querier::Config {
    querier::Config {
        memory_bytes: memory_bytes / QUERY_SHARE,
        concurrent_units: cpu.threads().min(config.querier.max_concurrent_blocks).max(1),
        ..querier::Config::default()
    }
}

fn api_config(config: &Config) -> api::Config {
    let frontend = &config.query_frontend;
    let count = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    // In these two 0 means "any".
    let any = |value: usize| if value == 0 { usize::MAX } else { value };
    api::Config {
        multitenancy: config.multitenancy_enabled,
        default_result_limit: count(frontend.search.default_result_limit),
        max_result_limit: count(any(frontend.search.max_result_limit)),
        default_spans_per_span_set: count(frontend.search.default_spans_per_span_set),
        max_spans_per_span_set: count(frontend.search.max_spans_per_span_set),
        max_duration: frontend.search.max_duration,
        max_query_expression_size_bytes: any(frontend.max_query_expression_size_bytes),
        api_timeout: frontend.api_timeout,
        search_timeout: config.querier.search.query_timeout,
        trace_by_id_timeout: config.querier.trace_by_id.query_timeout,
        concurrent_queries: config.querier.max_concurrent_queries,
        query_end_cutoff: frontend.query_end_cutoff,
        mcp: frontend.mcp_server.enabled,
        log_queries_longer_than: frontend.log_queries_longer_than,
        metrics: api::MetricsLimits {
            max_duration: frontend.metrics.max_duration,
            max_exemplars: frontend.metrics.max_exemplars,
            max_response_series: frontend.metrics.max_response_series,
            max_intervals: frontend.metrics.max_intervals,
        },
        ..api::Config::default()
    }
}

/// Figures that are read when they are asked for.
struct Seen {
    ingester: Ingester,
    querier: Querier,
    store: Store,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seen")
    }
}

impl Collector for Seen {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: u64| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)
        };
        let ingester = &self.ingester;
        gauge("vivace_live_spans", "Spans that are not in a block yet", ingester.live_spans())?;
        gauge("vivace_live_bytes", "Memory of the live spans", ingester.live_bytes())?;
        let taken = self.querier.memory_taken();
        gauge(
            "vivace_query_memory_bytes",
            "Memory that questions at work have taken, about",
            taken,
        )?;
        gauge("vivace_wal_bytes", "Bytes of the write-ahead log on disk", ingester.wal_bytes())?;
        let counters = self.store.counters();
        let hedged = ConstCounter::new(counters.get.hedged());
        let help = "GETs sent again because the first was slow to answer";
        let name = "vivace_store_hedged_requests";
        hedged.encode(encoder.encode_descriptor(name, help, None, hedged.metric_type())?)?;
        let operations = [
            ("get", &counters.get),
            ("put", &counters.put),
            ("list", &counters.list),
            ("delete", &counters.delete),
        ];
        for (what, help) in [
            ("requests", "Requests to the bucket, retries included"),
            ("errors", "Requests to the bucket that failed"),
            ("bytes", "Bytes read from or written to the bucket"),
        ] {
            let name = format!("vivace_store_{what}");
            let count = |operation: &crate::store::Operation| match what {
                "requests" => operation.requests(),
                "errors" => operation.errors(),
                _ => operation.bytes(),
            };
            let first = ConstCounter::new(0_u64);
            let mut family = encoder.encode_descriptor(&name, help, None, first.metric_type())?;
            for (operation, counter) in operations {
                let labels = [("operation", operation)];
                ConstCounter::new(count(counter)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
