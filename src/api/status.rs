//! How the process is: alive, ready, which version; and what operators may ask of it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::json;

use super::format::json as json_response;
use super::{Answered, ApiState};

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
    let ready = match (api.parts.ready)() {
        Ok(()) => "ready".to_owned(),
        Err(failure) => format!("not ready: {failure}"),
    };
    format!("GET /status/version\n{}\nGET /ready\n{ready}\n", version_text())
}

pub(super) async fn version() -> String {
    version_text()
}

fn version_text() -> String {
    format!("vivace, version {VERSION}\n  API of Tempo: {TEMPO_VERSION}\n")
}
