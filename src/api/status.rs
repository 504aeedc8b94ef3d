//! How the process is: alive, ready, which version; and what operators may ask of it.

use std::time::{Duration, SystemTime};

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header, request};
use serde_json::json;

use super::format::json as json_response;
use super::params::Params;
use super::{Answered, Api, ApiState};
use crate::failure::Failure;
use crate::ingester::Ledger;
use crate::tenant::{Layer, TenantId};

/// The version of Tempo whose API this is. Clients switch features by it.
const TEMPO_VERSION: &str = "3.0.3";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `prometheus-client` writes `OpenMetrics`.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// That somebody answers. Grafana's check of a data source.
pub(super) async fn echo() -> &'static str {
    "echo\n"
}

/// Which version, in the form that Prometheus gave to the world.
pub(super) async fn buildinfo() -> Response {
    let info = json!({
        "version": TEMPO_VERSION,
        "revision": format!("vivace-{VERSION}"),
        "branch": "HEAD",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    });
    json_response(info.to_string().into_bytes())
}

/// Whether questions and spans are taken.
pub(super) async fn ready(State(api): ApiState) -> Answered {
    (api.parts.ready)()?;
    Ok("ready\n".into_response())
}

/// Our own metrics.
pub(super) async fn metrics(State(api): ApiState) -> Response {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], (api.parts.metrics)()).into_response()
}

/// Stores all that is live; answers when it is stored.
pub(super) async fn flush(State(api): ApiState) -> Answered {
    (api.parts.flush)().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// All that `/status/...` tells.
pub(super) async fn status(State(api): ApiState) -> String {
    let sections = [
        ("version", version_text()),
        ("services", services_text(&api)),
        ("endpoints", endpoints_text()),
        ("ledger", ledger_text(&(api.parts.ledger)())),
        ("config", api.parts.config.all.clone()),
    ];
    let told = sections.map(|(name, text)| format!("GET /status/{name}\n{text}\n"));
    told.concat()
}

pub(super) async fn version() -> String {
    version_text()
}

fn version_text() -> String {
    format!("vivace, version {VERSION}\n  API of Tempo: {TEMPO_VERSION}\n")
}

/// The parts of the process and their state: all run, or none yet, or none any more.
pub(super) async fn services(State(api): ApiState) -> String {
    services_text(&api)
}

fn services_text(api: &Api) -> String {
    let state = match (api.parts.ready)() {
        Ok(()) => "Running".to_owned(),
        Err(failure) => format!("Not running: {failure}"),
    };
    let row = |name: &str| format!("{name:<16}{state}\n");
    let parts = ["distributor", "ingester", "querier", "store"].map(row);
    format!("{:<16}STATE\n{}", "SERVICE", parts.concat())
}

/// What became of each span since the start, by tenant: a table, or JSON where `Accept` says so.
pub(super) async fn ledger(State(api): ApiState, request: request::Parts) -> Response {
    let ledgers = (api.parts.ledger)();
    let accepts = request.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if !accepts.is_some_and(|accepts| accepts.contains("application/json")) {
        return ledger_text(&ledgers).into_response();
    }
    let row = |(tenant, ledger): &(TenantId, Ledger)| {
        let Ledger { received, stored, rejected, pending, recovered, twins, received_bytes } =
            ledger;
        json!({
            "tenant": tenant.as_str(),
            "received": received,
            "stored": stored,
            "rejected": rejected,
            "pending": pending,
            "balanced": ledger.is_balanced(),
            "recovered": recovered,
            "storedAsTwins": twins,
            "receivedBytes": received_bytes,
        })
    };
    let rows: Vec<_> = ledgers.iter().map(row).collect();
    json_response(json!({ "tenants": rows }).to_string().into_bytes())
}

fn ledger_text(ledgers: &[(TenantId, Ledger)]) -> String {
    let line = |tenant: &str, cells: [&str; 5]| {
        let [received, stored, rejected, pending, balance] = cells;
        let row = format!(
            "{tenant:<24}{received:>14} = {stored:>14} + {rejected:>12} + {pending:>12}  {balance}"
        );
        format!("{}\n", row.trim_end())
    };
    let row = |(tenant, ledger): &(TenantId, Ledger)| {
        let Ledger { received, stored, rejected, pending, .. } = ledger;
        let cells = [received, stored, rejected, pending].map(u64::to_string);
        let balance = if ledger.is_balanced() { "" } else { "NOT BALANCED" };
        let [received, stored, rejected, pending] = &cells;
        line(tenant.as_str(), [received, stored, rejected, pending, balance])
    };
    let head = line("TENANT", ["RECEIVED", "STORED", "REJECTED", "PENDING", ""]);
    [head].into_iter().chain(ledgers.iter().map(row)).collect()
}

pub(super) async fn endpoints() -> String {
    endpoints_text()
}

fn endpoints_text() -> String {
    let row = |(methods, path): &(&str, &str)| format!("{methods:<24}{path}\n");
    let rows: String = ENDPOINTS.iter().map(row).collect();
    format!("{:<24}PATH\n{rows}", "METHODS")
}

/// What the router knows, for people.
const ENDPOINTS: [(&str, &str); 27] = [
    ("any", "/api/echo"),
    ("GET", "/api/status/buildinfo"),
    ("any", "/api/search"),
    ("any", "/api/search/tags"),
    ("any", "/api/search/tag/{tag}/values"),
    ("any", "/api/v2/search/tags"),
    ("any", "/api/v2/search/tag/{tag}/values"),
    ("any", "/api/traces/{id}"),
    ("any", "/api/v2/traces/{id}"),
    ("any", "/api/metrics/query_range"),
    ("any", "/api/metrics/query"),
    ("POST", "/api/mcp"),
    ("any", "/ready"),
    ("GET", "/metrics"),
    ("GET, POST", "/flush"),
    ("GET", "/status"),
    ("GET", "/status/version"),
    ("GET", "/status/services"),
    ("GET", "/status/endpoints"),
    ("GET", "/status/ledger"),
    ("GET", "/status/config"),
    ("GET", "/status/runtime_config"),
    ("GET", "/status/overrides"),
    ("GET", "/status/overrides/{tenant}"),
    ("gRPC", "/tempopb.StreamingQuerier/{method}"),
    ("gRPC", "/grpc.health.v1.Health/Check"),
    ("gRPC", "/grpc.health.v1.Health/Watch"),
];

/// The configuration as YAML, secrets masked: what holds; with `mode=diff` what is not the default, with `mode=defaults` the defaults.
pub(super) async fn config(State(api): ApiState, request: request::Parts) -> Answered {
    let shown = &api.parts.config;
    let text = match Params::of(&request.uri).get("mode") {
        None => &shown.all,
        Some("diff") => &shown.changed,
        Some("defaults") => &shown.defaults,
        Some(mode) => {
            let text = format!("unknown mode {mode:?}, there are: diff, defaults");
            return Err(Failure::invalid(text).into());
        }
    };
    Ok(yaml(text.clone()))
}

fn yaml(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/yaml; charset=utf-8")], text).into_response()
}

/// Limits that single tenants have, as the per-tenant file says them.
pub(super) async fn runtime_config(State(api): ApiState) -> Response {
    yaml(format!("---\n{}", api.parts.overrides.yaml()))
}

/// The tenants that have limits of their own.
pub(super) async fn overrides(State(api): ApiState) -> Response {
    let tenants = api.parts.overrides.tenants();
    let tenants: Vec<_> = tenants
        .into_iter()
        .map(|name| json!({"name": name, "has_runtime_overrides": true, "has_user_configurable_overrides": false}))
        .collect();
    let answer = json!({"now": rfc3339(api.now()), "tenants": tenants});
    json_response(answer.to_string().into_bytes())
}

/// The limits of one tenant: what its entry says, and what holds.
pub(super) async fn overrides_of(State(api): ApiState, Path(tenant): Path<String>) -> Answered {
    let tenant = TenantId::parse(&tenant).map_err(Failure::invalid)?;
    let overrides = &api.parts.overrides;
    let own = overrides.entry_yaml(&tenant);
    let answer = json!({
        "now": rfc3339(api.now()),
        "tenant": tenant.as_str(),
        "user_configurable_overrides": "",
        "using_default_or_wildcard_runtime_overrides": own.is_none(),
        "runtime_overrides": own.unwrap_or_default(),
        "limits": Layer::from(&*overrides.of(&tenant)).yaml(""),
    });
    Ok(json_response(answer.to_string().into_bytes()))
}

fn rfc3339(unix_nano: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_nano);
    humantime::format_rfc3339_millis(time).to_string()
}
