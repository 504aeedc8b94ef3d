//! Listeners that give answers out: Grafana Tempo's HTTP API.
//!
//! A handler is three steps: `params` makes a typed request of the query string, the querier answers it, `format` writes the
//! answer as JSON or protobuf by `Accept`. Bodies hold Tempo's fields only, since Grafana's decoder refuses others; what an answer cost is in the
//! headers `X-Vivace-Inspected-Bytes`, `-Inspected-Spans`, `-Inspected-Traces`, `-Blocks`, `-Blocks-Skipped`, `-Units-Skipped`,
//! `-Requests` and `-Cpu-Microseconds` (of the CPU pool; answers without a cost have it, too). With `explain=1` a search or a
//! metrics query is answered by how it was answered, as a text.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use futures::future::BoxFuture;
use http::{HeaderMap, StatusCode, header, request};
use tokio::sync::OwnedSemaphorePermit;

pub(crate) use self::cost::with_cost;
use self::format::Form;
pub(crate) use self::legacy::{attribute, quoted, typed};
pub use self::metrics::MetricsLimits;
pub(crate) use self::params::Params;
pub(crate) use self::times::{flexible, go_duration};
use crate::failure::Failure;
use crate::ingester::Ledger;
use crate::listener::{self, Durations, Slots};
use crate::querier::Querier;
use crate::runtime::Turns;
use crate::tenant::{Overrides, Read, TenantId};

mod bounds;
mod compress;
mod cost;
mod explain;
mod format;
mod grpc;
mod json;
mod legacy;
mod llm;
mod mcp;
mod metrics;
mod params;
mod pieces;
mod proto;
mod search;
mod series;
mod status;
mod tags;
mod times;
mod traces;

/// What may be asked, and what is assumed where nothing is said.
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own in tempo.yaml")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// In front of `/api/...`, as `/tempo`; empty = nothing.
    pub http_api_prefix: String,
    /// Whether every question must name its tenant.
    pub multitenancy: bool,
    /// Whether a question may name several tenants.
    pub multi_tenant_queries_enabled: bool,
    /// Traces in a search's answer if the request does not say.
    pub default_result_limit: u32,
    /// Most traces that a search may ask for.
    pub max_result_limit: u32,
    /// Spans per span set if the request does not say.
    pub default_spans_per_span_set: u32,
    /// Most spans per span set that a search may ask for; 0 = no bound.
    pub max_spans_per_span_set: u32,
    /// Longest time range of a search; zero = no bound.
    pub max_duration: Duration,
    /// How far back a question without a time range looks.
    pub recent: Duration,
    /// Longest TraceQL text, in bytes.
    pub max_query_expression_size_bytes: usize,
    /// An answer that takes longer is logged; zero = none.
    pub log_queries_longer_than: Duration,
    /// Longest time for any answer; zero = no bound but the two below.
    pub api_timeout: Duration,
    /// Longest time for an answer that searches; zero = no bound of its own.
    pub search_timeout: Duration,
    /// Longest time to find a trace by its id; zero = no bound of its own.
    pub trace_by_id_timeout: Duration,
    /// Questions that are computed at once; others wait, tenant by tenant.
    pub concurrent_queries: usize,
    /// How long before now questions stop looking; zero = at now.
    pub query_end_cutoff: Duration,
    /// Most questions at work at once; beyond it clients are told to come back.
    pub requests_max: usize,
    /// What metrics queries may ask.
    pub metrics: MetricsLimits,
    /// Whether gRPC is answered.
    pub grpc: bool,
    /// Whether language models are served at `/api/mcp`.
    pub mcp: bool,
    /// Whether search answers print trace ids with their leading zeros.
    pub left_pad_trace_ids: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http_api_prefix: String::new(),
            multitenancy: false,
            multi_tenant_queries_enabled: true,
            default_result_limit: 20,
            max_result_limit: 262_144,
            default_spans_per_span_set: 3,
            max_spans_per_span_set: 0,
            max_duration: Duration::from_hours(168),
            recent: Duration::from_mins(15),
            max_query_expression_size_bytes: 131_072,
            log_queries_longer_than: Duration::from_secs(10),
            api_timeout: Duration::ZERO,
            search_timeout: Duration::from_mins(5),
            trace_by_id_timeout: Duration::from_mins(5),
            concurrent_queries: 20,
            query_end_cutoff: Duration::ZERO,
            requests_max: 512,
            metrics: MetricsLimits::default(),
            grpc: true,
            mcp: false,
            left_pad_trace_ids: false,
        }
    }
}

/// The configuration as YAML, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// All that holds.
    pub all: String,
    /// What is not the default.
    pub changed: String,
    pub defaults: String,
}

/// Who answers what.
#[derive(Clone)]
pub struct Parts {
    pub querier: Arc<Querier>,
    /// Our own metrics, as text in the `OpenMetrics` format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Whether questions and spans are taken; the error says why not.
    pub ready: Arc<dyn Fn() -> Result<(), Failure> + Send + Sync>,
    /// Whether questions can be answered in full; the error says why not. True while the process stops.
    pub answers: Arc<dyn Fn() -> Result<(), Failure> + Send + Sync>,
    /// Cuts and stores all that is live; done when it is done.
    pub flush: Arc<dyn Fn() -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>,
    /// Where requests are counted.
    pub durations: Durations,
    /// What became of the spans of each tenant.
    pub ledger: Arc<dyn Fn() -> Vec<(TenantId, Ledger)> + Send + Sync>,
    /// The configuration, for people.
    pub config: Arc<Shown>,
    /// What each tenant may use.
    pub overrides: Overrides,
    /// Unix nanoseconds.
    pub now: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// What answers questions, for this room and for those below it that speak other clients' languages: its bounds hold for all
/// of them together.
pub struct Api {
    pub(crate) config: Config,
    pub(crate) parts: Parts,
    slots: Slots,
    turns: Turns,
}

/// The state as handlers see it.
type ApiState = State<Arc<Api>>;

/// A failure as an answer: its text, plain, with its status.
#[derive(Debug)]
struct Refused(Failure);

type Answered = Result<Response, Refused>;

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Failure { kind, mut message } = self.0;
        // A line, as Go's servers end theirs.
        message.push('\n');
        let mut response = (kind.http_status(), message).into_response();
        if let Some(after) = kind.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, after.as_secs().max(1).into());
        }
        response
    }
}

/// A question that was let in. It holds its place among those at work as long as it lives.
pub(crate) struct Call {
    pub(crate) tenants: Vec<TenantId>,
    pub(crate) params: Params,
    /// What holds for this question.
    config: Arc<Config>,
    /// The limits of its tenants.
    read: Read,
    form: Form,
    _place: OwnedSemaphorePermit,
}

impl Api {
    fn new(config: Config, parts: Parts) -> Self {
        let slots = Slots::new(config.requests_max);
        let turns = Turns::new(config.concurrent_queries);
        Self { config, parts, slots, turns }
    }

    /// Reads what all questions have: tenants, parameters, the wanted form; and takes a place among the questions at work.
    pub(crate) fn enter(&self, request: &request::Parts) -> Result<Call, Failure> {
        self.admit(&request.headers, Params::of(&request.uri))
    }

    /// As [`Api::enter`], with parameters from elsewhere.
    pub(crate) fn admit(&self, headers: &HeaderMap, params: Params) -> Result<Call, Failure> {
        (self.parts.answers)()?;
        let tenants = listener::tenants(headers, self.config.multitenancy)?;
        if tenants.len() > 1 && !self.config.multi_tenant_queries_enabled {
            return Err(Failure::invalid("multi-tenant query unsupported"));
        }
        let form = Form::of(headers);
        let read = self.parts.overrides.read_of(&tenants);
        let config = Arc::new(bounds::config_of(&self.config, &read));
        Ok(Call { tenants, params, config, read, form, _place: self.slots.take()? })
    }

    /// Unix nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        (self.parts.now)()
    }

    fn since(&self, unix_nano: u64) -> Duration {
        Duration::from_nanos(self.now().saturating_sub(unix_nano))
    }
}

/// The table of routes.
pub fn router(config: Config, parts: Parts) -> Router {
    router_with(config, parts, |_| Others::default())
}

/// Routes of other rooms, which are measured, compressed and bounded as ours are.
#[derive(Debug, Default)]
pub struct Others {
    /// Behind the same prefix as ours.
    pub prefixed: Router,
    /// At the root, where gRPC looks for its methods.
    pub rooted: Router,
}

/// The table of routes, with others' beside it.
pub fn router_with(
    config: Config,
    parts: Parts,
    others: impl FnOnce(&Arc<Api>) -> Others,
) -> Router {
    let api = Router::new()
        .route("/api/echo", any(status::echo))
        .route("/api/status/buildinfo", get(status::buildinfo))
        .route("/api/search", any(search::search))
        .route("/api/search/tags", any(tags::names_v1))
        .route("/api/v2/search/tags", any(tags::names_v2))
        .route("/api/search/tag/{*tag}", any(tags::values_v1))
        .route("/api/v2/search/tag/{*tag}", any(tags::values_v2))
        .route("/api/traces/{id}", any(traces::v1))
        .route("/api/v2/traces/{id}", any(traces::v2))
        .route("/api/metrics/query_range", any(metrics::query_range))
        .route("/api/metrics/query", any(metrics::query))
        .route("/api/mcp", any(mcp::serve));
    let state = Arc::new(Api::new(config, parts));
    let Others { prefixed, rooted } = others(&state);
    let measured = || from_fn_with_state(Arc::clone(&state), cost::measured);
    let api = api.with_state(Arc::clone(&state)).merge(prefixed).layer(measured());
    let prefix = state.config.http_api_prefix.trim_matches('/');
    let api = if prefix.is_empty() { api } else { Router::new().nest(&format!("/{prefix}"), api) };
    let own = Router::new()
        .route("/ready", any(status::ready))
        .route("/metrics", get(status::metrics))
        .route("/flush", get(status::flush).post(status::flush))
        .route("/status", get(status::status))
        .route("/status/version", get(status::version))
        .route("/status/services", get(status::services))
        .route("/status/endpoints", get(status::endpoints))
        .route("/status/ledger", get(status::ledger))
        .route("/status/config", get(status::config))
        .route("/status/runtime_config", get(status::runtime_config))
        .route("/status/overrides", get(status::overrides))
        .route("/status/overrides/{tenant}", get(status::overrides_of))
        .with_state(Arc::clone(&state));
    let grpc = if state.config.grpc {
        grpc::router(Arc::clone(&state)).merge(rooted.layer(measured()))
    } else {
        Router::new()
    };
    let all = api
        .merge(own)
        .fallback(not_found)
        .layer(from_fn(compress::gzip))
        .merge(grpc)
        .layer(from_fn(catch_panics));
    state.parts.durations.measured(all)
}

/// Answers until `stop` ends and the questions at work are done.
pub async fn serve(
    listener: impl Into<listener::Listener>,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    listener::serve(listener, router, stop).await;
}

async fn not_found(request: Request) -> Response {
    if listener::is_grpc(request.headers()) {
        return listener::grpc_unimplemented(request.uri().path());
    }
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

async fn catch_panics(request: Request, next: Next) -> Response {
    let is_grpc = listener::is_grpc(request.headers());
    listener::caught(next.run(request)).await.unwrap_or_else(|failure| {
        if is_grpc { grpc::refuse(failure) } else { Refused(failure).into_response() }
    })
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
