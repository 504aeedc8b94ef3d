//! Listeners that take spans in: OTLP over gRPC (4317) and HTTP (4318), Jaeger over gRPC (14250), Thrift over HTTP (14268) and UDP
//! (6831, 6832), Zipkin (9411).
//!
//! Both listeners of OTLP understand both its protocols, as OTLP allows: a sender with the right protocol and the wrong port is served all
//! the same; so do Jaeger's two TCP listeners. A request is let in (`Slots`), read and inflated under a cap (`body`, `encoding`),
//! translated into the bytes of an OTLP request unless it is one, handed to the distributor, and answered after the spans are durable
//! and visible. What comes over UDP (`udp`) cannot be answered: what is lost there is counted.

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
use futures::future::{BoxFuture, join_all};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::OwnedSemaphorePermit;

use crate::distributor::{Distributor, Pushed};
use crate::failure::{Failure, Kind};
use crate::listener::{self, Slots, Tls, on_cpu};
use crate::tenant::TenantId;
use crate::thrift;

mod body;
mod encoding;
mod grpc;
mod jaeger;
mod metrics;
mod otlp_grpc;
mod otlp_http;
mod udp;
mod zipkin;

pub use metrics::Metrics;

/// What comes in, and how much of it.
#[derive(Debug, Clone)]
pub struct Config {
    pub listeners: Vec<Listener>,
    /// Most bytes of one body, before and after inflating, where a listener has no limit of its own. OTLP's recommended limit.
    pub max_body_bytes: usize,
    /// Most bytes of all bodies that are being read, inflated or pushed; beyond it senders are told to come back. At least two
    /// whole bodies, whatever is set.
    pub bytes_in_flight_max: usize,
    /// Most requests at work at once; beyond it senders are told to come back.
    pub requests_max: usize,
    /// Whether every request must name its tenant.
    pub multitenancy: bool,
}

/// Something to listen on.
#[derive(Debug, Clone)]
pub struct Listener {
    pub protocol: Protocol,
    pub address: SocketAddr,
    /// Most bytes of one body here. No effect over UDP, where a packet has at most 65,507.
    pub max_body_bytes: Option<usize>,
    /// No effect over UDP.
    pub tls: Option<Tls>,
}

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    OtlpGrpc,
    OtlpHttp,
    JaegerGrpc,
    JaegerThriftHttp,
    /// UDP.
    JaegerThriftCompact,
    /// UDP.
    JaegerThriftBinary,
    Zipkin,
}

impl Protocol {
    /// As Tempo's metrics name it. A listener is named by what it was opened for.
    fn labels(self) -> [(&'static str, &'static str); 2] {
        let (receiver, transport) = match self {
            Self::OtlpGrpc => ("otlp", "grpc"),
            Self::OtlpHttp => ("otlp", "http"),
            Self::JaegerGrpc => ("jaeger", "grpc"),
            Self::JaegerThriftHttp => ("jaeger", "http"),
            Self::JaegerThriftCompact => ("jaeger", "udp_thrift_compact"),
            Self::JaegerThriftBinary => ("jaeger", "udp_thrift_binary"),
            Self::Zipkin => ("zipkin", "http"),
        };
        [("receiver", receiver), ("transport", transport)]
    }

    fn name(self) -> &'static str {
        match self {
            Self::OtlpGrpc => "OTLP/gRPC",
            Self::OtlpHttp => "OTLP/HTTP",
            Self::JaegerGrpc => "Jaeger/gRPC",
            Self::JaegerThriftHttp => "Jaeger/Thrift over HTTP",
            Self::JaegerThriftCompact => "Jaeger/compact Thrift over UDP",
            Self::JaegerThriftBinary => "Jaeger/binary Thrift over UDP",
            Self::Zipkin => "Zipkin",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let listener = |protocol, port| Listener {
            protocol,
            address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            max_body_bytes: None,
            tls: None,
        };
        Self {
            listeners: vec![listener(Protocol::OtlpGrpc, 4317), listener(Protocol::OtlpHttp, 4318)],
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
    sockets: Vec<(Listener, Socket)>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket, thrift::Protocol),
}

/// Where spans go.
type Push =
    Arc<dyn Fn(TenantId, Bytes) -> BoxFuture<'static, Result<Pushed, Failure>> + Send + Sync>;

/// What a handler needs. Clones share all but the cap.
#[derive(Clone)]
struct Door {
    push: Push,
    multitenancy: bool,
    body_bytes_max: usize,
    slots: Slots,
    budget: body::Budget,
}

/// A request's body, with the place that it takes.
struct Taken {
    tenant: TenantId,
    held: body::Held,
    _place: OwnedSemaphorePermit,
}

impl Receivers {
    /// Opens the listeners, so that ports are known, and refused if taken, before anything else starts.
    ///
    /// # Errors
    /// Names the protocol and the address that cannot be had.
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        let mut sockets = Vec::with_capacity(config.listeners.len());
        for listener in &config.listeners {
            let Listener { protocol, address, .. } = *listener;
            let socket = Socket::bind(protocol, address).await.map_err(|source| BindError {
                protocol: protocol.name(),
                address,
                source,
            })?;
            sockets.push((listener.clone(), socket));
        }
        Ok(Self { config, sockets })
    }

    /// Where a protocol is listened for, with the port that the system chose for port 0.
    pub fn address(&self, protocol: Protocol) -> Option<SocketAddr> {
        let (_, socket) = self.sockets.iter().find(|(l, _)| l.protocol == protocol)?;
        match socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Udp(socket, _) => socket.local_addr().ok(),
        }
    }

    /// Answers until `stop` ends and the requests at work are done.
    pub async fn run(
        self,
        distributor: Arc<Distributor>,
        metrics: Metrics,
        stop: impl Future<Output = ()> + Send + 'static,
    ) {
        let push: Push = Arc::new(move |tenant, body| {
            let distributor = Arc::clone(&distributor);
            async move { distributor.push(&tenant, body).await }.boxed()
        });
        self.run_with(push, metrics, stop).await;
    }

    async fn run_with(
        self,
        push: Push,
        metrics: Metrics,
        stop: impl Future<Output = ()> + Send + 'static,
    ) {
        let Self { config, sockets } = self;
        let door = Door::new(&config, push);
        let stop = stop.boxed().shared();
        let serve = |(listener, socket): (Listener, Socket)| {
            let Listener { protocol, address: _, max_body_bytes, tls } = listener;
            let (mut door, metrics, stop) = (door.clone(), metrics.clone(), stop.clone());
            door.body_bytes_max = max_body_bytes.unwrap_or(door.body_bytes_max);
            door.push = counted(door.push, protocol, metrics.clone());
            async move {
                match socket {
                    Socket::Tcp(tcp) => {
                        let listener = listener::Listener::new(tcp, tls);
                        let router = metrics.durations.measured(router(protocol, door));
                        listener::serve(listener, router, stop).await;
                    }
                    Socket::Udp(socket, written) => {
                        udp::serve(socket, written, door.push, metrics, stop).await;
                    }
                }
            }
        };
        join_all(sockets.into_iter().map(serve)).await;
    }
}

impl Socket {
    async fn bind(protocol: Protocol, address: SocketAddr) -> io::Result<Self> {
        let written = match protocol {
            Protocol::JaegerThriftCompact => thrift::Protocol::Compact,
            Protocol::JaegerThriftBinary => thrift::Protocol::Binary,
            _ => return TcpListener::bind(address).await.map(Self::Tcp),
        };
        UdpSocket::bind(address).await.map(|socket| Self::Udp(socket, written))
    }
}

/// Counts the spans that a listener brings.
fn counted(push: Push, protocol: Protocol, metrics: Metrics) -> Push {
    Arc::new(move |tenant, body| {
        let (pushing, metrics) = (push(tenant, body), metrics.clone());
        async move {
            let pushed = pushing.await;
            if let Ok(Pushed { accepted, rejected, .. }) = &pushed {
                metrics.pushed(protocol, *accepted, *rejected);
            }
            pushed
        }
        .boxed()
    })
}

fn router(protocol: Protocol, door: Door) -> Router {
    let routes = Router::new();
    let (routes, greeting) = match protocol {
        Protocol::OtlpGrpc | Protocol::OtlpHttp => (
            routes
                .route("/v1/traces", any(otlp_http::export))
                .route(otlp_grpc::EXPORT_PATH, any(otlp_grpc::export)),
            "Vivace takes OTLP traces here: POST /v1/traces (protobuf or JSON), or gRPC.\n",
        ),
        Protocol::Zipkin => (
            routes
                .route("/api/v2/spans", any(zipkin::version_2))
                .route("/api/v1/spans", any(zipkin::version_1)),
            "Vivace takes Zipkin's spans here: POST /api/v2/spans (JSON or protobuf), or /api/v1/spans \
             (JSON or Thrift).\n",
        ),
        _ => (
            routes
                .route("/api/traces", any(jaeger::thrift_http))
                .route(jaeger::POST_SPANS_PATH, any(jaeger::post_spans)),
            "Vivace takes Jaeger's spans here: POST /api/traces (Thrift), or gRPC.\n",
        ),
    };
    routes
        .route("/", get(move || async move { greeting }))
        .fallback(move |request: Request| async move { not_found(&request, greeting) })
        .layer(from_fn(catch_panics))
        .with_state(Arc::new(door))
}

fn not_found(request: &Request, greeting: &str) -> Response {
    if listener::is_grpc(request.headers()) {
        return listener::grpc_unimplemented(request.uri().path());
    }
    (StatusCode::NOT_FOUND, format!("404 not found. {greeting}")).into_response()
}

async fn catch_panics(request: Request, next: Next) -> Response {
    let is_grpc = listener::is_grpc(request.headers());
    listener::caught(next.run(request))
        .await
        .unwrap_or_else(|failure| if is_grpc { grpc::refuse(&failure) } else { refuse(&failure) })
}

/// The answer to a request that failed, as a text.
fn refuse(failure: &Failure) -> Response {
    let Failure { kind, message } = failure;
    let mut response = (kind.http_status(), format!("{message}\n")).into_response();
    retry_after(*kind, response.headers_mut());
    response
}

/// Says when to try again, where that helps: in whole seconds, rounded up, as zero would mean "at once".
fn retry_after(kind: Kind, headers: &mut HeaderMap) {
    if let Some(after) = kind.retry_after() {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
}

/// The answer of Jaeger and Zipkin when spans are stored: nothing, unless some were rejected.
fn accepted(pushed: &Pushed) -> Response {
    let Pushed { accepted: _, rejected, reason } = pushed;
    let text = match rejected {
        0 => String::new(),
        rejected => format!("{rejected} spans rejected: {reason}\n"),
    };
    (StatusCode::ACCEPTED, text).into_response()
}

/// The answer to a method that is not POST.
fn not_allowed() -> Response {
    let text = "405 method not allowed, supported: [POST]\n";
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")], text).into_response()
}

/// The media type of a body, without its parameters, in small letters. Empty if there is none.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

impl Door {
    fn new(config: &Config, push: Push) -> Self {
        let Config { listeners, max_body_bytes, bytes_in_flight_max, requests_max, multitenancy } =
            config;
        let own = listeners.iter().filter_map(|listener| listener.max_body_bytes);
        let largest = own.chain([*max_body_bytes]).max().unwrap_or_default();
        Self {
            push,
            multitenancy: *multitenancy,
            body_bytes_max: *max_body_bytes,
            slots: Slots::new(*requests_max),
            // A compressed body and what is inflated from it are held together.
            budget: body::Budget::new((*bytes_in_flight_max).max(largest.saturating_mul(2))),
        }
    }

    /// The tenant, and a place among the requests at work.
    fn enter(&self, headers: &HeaderMap) -> Result<(TenantId, OwnedSemaphorePermit), Failure> {
        Ok((listener::tenant(headers, self.multitenancy)?, self.slots.take()?))
    }

    /// Lets an HTTP request in, reads its body and undoes its encoding.
    async fn take_body(&self, request: Request) -> Result<Taken, Failure> {
        let (tenant, place) = self.enter(request.headers())?;
        let encoding = encoding::Encoding::of(request.headers())?;
        let raw = body::read(request.into_body(), self.body_bytes_max, &self.budget).await?;
        let held = encoding::inflate(encoding, raw, self.body_bytes_max).await?;
        Ok(Taken { tenant, held, _place: place })
    }

    /// Pushes what a body says in OTLP. An empty one has no spans.
    async fn push_translated(
        &self,
        taken: Taken,
        translate: impl FnOnce(&[u8]) -> Result<Vec<u8>, Failure> + Send + 'static,
    ) -> Result<Pushed, Failure> {
        let Taken { tenant, mut held, _place } = taken;
        held.cover_twice()?;
        let bytes = held.bytes.clone();
        let empty = bytes.is_empty();
        let spans = if empty { Vec::new() } else { on_cpu(move || translate(&bytes)).await? };
        (self.push)(tenant, spans.into()).await
    }
}

/// The state as handlers see it.
type DoorState = State<Arc<Door>>;

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
