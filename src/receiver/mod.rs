//! Listeners that take spans in: OTLP over gRPC (4317) and over HTTP (4318).
//!
//! Both listeners understand both protocols, as OTLP allows: a sender with the right protocol and the wrong port is served all the
//! same. A request is let in (`Slots`), read and inflated under a cap (`body`), handed to the distributor as the protobuf bytes that came, and answered
//! after the spans are durable and visible.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;

use crate::distributor::{Distributor, Pushed};
use crate::failure::Failure;
use crate::listener::{self, Slots};
use crate::tenant::TenantId;

mod body;
mod encoding;
mod otlp_grpc;
mod otlp_http;

/// What comes in, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where OTLP/gRPC is listened for; `None` = not at all.
    pub grpc: Option<SocketAddr>,
    /// Where OTLP/HTTP is listened for; `None` = not at all.
    pub http: Option<SocketAddr>,
    /// Most bytes of one body, before and after inflating. OTLP's recommended limit.
    pub max_body_bytes: usize,
    /// Most bytes of all bodies that are being read, inflated or pushed; beyond it senders are told to come back. At least two
    /// whole bodies, whatever is set.
    pub bytes_in_flight_max: usize,
    /// Most requests at work at once; beyond it senders are told to come back.
    pub requests_max: usize,
    /// Whether every request must name its tenant.
    pub multitenancy: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            grpc: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 4317))),
            http: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 4318))),
            max_body_bytes: 64 << 20,
            bytes_in_flight_max: 192 << 20,
            requests_max: 512,
            multitenancy: false,
        }
    }
}

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for {protocol} on {address}")]
pub struct BindError {
    pub protocol: &'static str,
    pub address: SocketAddr,
    pub source: io::Error,
}

/// Open listeners that do not answer yet.
#[derive(Debug)]
pub struct Receivers {
    config: Config,
    grpc: Option<TcpListener>,
    http: Option<TcpListener>,
}

/// Where spans go.
type Push =
    Arc<dyn Fn(TenantId, Bytes) -> BoxFuture<'static, Result<Pushed, Failure>> + Send + Sync>;

/// What a handler needs.
struct Door {
    push: Push,
    multitenancy: bool,
    body_bytes_max: usize,
    slots: Slots,
    budget: body::Budget,
}

impl Receivers {
    /// Opens the listeners, so that ports are known, and refused if taken, before anything else starts.
    ///
    /// # Errors
    /// Names the protocol and the address that cannot be had.
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        let grpc = bind("OTLP/gRPC", config.grpc).await?;
        let http = bind("OTLP/HTTP", config.http).await?;
        Ok(Self { config, grpc, http })
    }

    /// Where OTLP/gRPC is listened for, with the port that the system chose for port 0.
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        self.grpc.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Where OTLP/HTTP is listened for, with the port that the system chose for port 0.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Answers until `stop` ends and the requests at work are done.
    pub async fn run(
        self,
        distributor: Arc<Distributor>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) {
        let push: Push = Arc::new(move |tenant, body| {
            let distributor = Arc::clone(&distributor);
            async move { distributor.push(&tenant, body).await }.boxed()
        });
        self.run_with(push, stop).await;
    }

    async fn run_with(self, push: Push, stop: impl Future<Output = ()> + Send + 'static) {
        let Self { config, grpc, http } = self;
        let router = router(&config, push);
        let stop = stop.boxed().shared();
        let serve = |listener: Option<TcpListener>| {
            let (router, stop) = (router.clone(), stop.clone());
            async move {
                if let Some(listener) = listener {
                    listener::serve(listener, router, stop).await;
                }
            }
        };
        futures::join!(serve(grpc), serve(http));
    }
}

async fn bind(
    protocol: &'static str,
    address: Option<SocketAddr>,
) -> Result<Option<TcpListener>, BindError> {
    let Some(address) = address else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).map_err(|source| BindError { protocol, address, source })
}

fn router(config: &Config, push: Push) -> Router {
    let Config {
        grpc: _,
        http: _,
        max_body_bytes,
        bytes_in_flight_max,
        requests_max,
        multitenancy,
    } = *config;
    let door = Door {
        push,
        multitenancy,
        body_bytes_max: max_body_bytes,
        slots: Slots::new(requests_max),
        // A compressed body and what is inflated from it are held together.
        budget: body::Budget::new(bytes_in_flight_max.max(max_body_bytes.saturating_mul(2))),
    };
    Router::new()
        .route("/", get(greeting))
        .route("/v1/traces", any(otlp_http::export))
        .route(otlp_grpc::EXPORT_PATH, any(otlp_grpc::export))
        .fallback(not_found)
        .layer(from_fn(catch_panics))
        .with_state(Arc::new(door))
}

async fn greeting() -> &'static str {
    "Vivace takes OTLP traces here: POST /v1/traces (protobuf or JSON), or gRPC.\n"
}

async fn not_found(request: Request) -> Response {
    if listener::is_grpc(request.headers()) {
        return listener::grpc_unimplemented(request.uri().path());
    }
    (StatusCode::NOT_FOUND, "traces are taken at /v1/traces\n").into_response()
}

async fn catch_panics(request: Request, next: Next) -> Response {
    let is_grpc = listener::is_grpc(request.headers());
    listener::caught(next.run(request)).await.unwrap_or_else(|failure| {
        if is_grpc {
            otlp_grpc::refuse(&failure)
        } else {
            (failure.kind.http_status(), failure.message).into_response()
        }
    })
}

impl Door {
    /// The tenant, and a place among the requests at work.
    fn enter(
        &self,
        headers: &HeaderMap,
    ) -> Result<(TenantId, tokio::sync::OwnedSemaphorePermit), Failure> {
        Ok((listener::tenant(headers, self.multitenancy)?, self.slots.take()?))
    }
}

/// The state as handlers see it.
type DoorState = State<Arc<Door>>;

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
