//! The receivers over loopback sockets, with a closure in the distributor's place.

use std::net::Ipv4Addr;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use parking_lot::Mutex;
use prost::Message;
use reqwest::header::{HeaderMap as Headers, HeaderName, HeaderValue};
use tokio::sync::{Notify, oneshot};
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;

use super::*;
use crate::failure::Kind;

/// Every push that came through.
type Seen = Arc<Mutex<Vec<(TenantId, Bytes)>>>;

/// Receivers that run until dropped.
struct House {
    grpc: SocketAddr,
    http: SocketAddr,
    jaeger_grpc: SocketAddr,
    jaeger_http: SocketAddr,
    /// Compact, binary.
    udp: [SocketAddr; 2],
    zipkin: SocketAddr,
    metrics: Metrics,
    seen: Seen,
    _stop: oneshot::Sender<()>,
}

#[expect(clippy::unnecessary_wraps, reason = "the form of an answer")]
fn accepting() -> Result<Pushed, Failure> {
    Ok(Pushed { accepted: 1, rejected: 0, reason: String::new() })
}

async fn open(
    change: impl FnOnce(&mut Config),
    answer: impl Fn() -> Result<Pushed, Failure> + Send + Sync + 'static,
) -> House {
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    let push: Push = Arc::new(move |tenant, body| {
        log.lock().push((tenant, body));
        let answer = answer();
        async move { answer }.boxed()
    });
    open_with(change, push, seen).await
}

async fn open_with(change: impl FnOnce(&mut Config), push: Push, seen: Seen) -> House {
    let listeners = ALL.map(on_any_port).into();
    let mut config = Config { listeners, ..Config::default() };
    change(&mut config);
    let receivers = Receivers::bind(config).await.unwrap();
    let address = |protocol| receivers.address(protocol).unwrap();
    let (grpc, http) = (address(Protocol::OtlpGrpc), address(Protocol::OtlpHttp));
    let [jaeger_grpc, jaeger_http] =
        [Protocol::JaegerGrpc, Protocol::JaegerThriftHttp].map(address);
    let udp = [Protocol::JaegerThriftCompact, Protocol::JaegerThriftBinary].map(address);
    let zipkin = address(Protocol::Zipkin);
    let (stop, stopped) = oneshot::channel::<()>();
    let metrics = Metrics::default();
    let running = receivers.run_with(push, metrics.clone(), async { drop(stopped.await) });
    tokio::spawn(running);
    House { grpc, http, jaeger_grpc, jaeger_http, udp, zipkin, metrics, seen, _stop: stop }
}

const ALL: [Protocol; 7] = [
    Protocol::OtlpGrpc,
    Protocol::OtlpHttp,
    Protocol::JaegerGrpc,
    Protocol::JaegerThriftHttp,
    Protocol::JaegerThriftCompact,
    Protocol::JaegerThriftBinary,
    Protocol::Zipkin,
];

fn on_any_port(protocol: Protocol) -> Listener {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Listener { protocol, address, max_body_bytes: None, tls: None }
}

/// Status, headers, body.
type Answer = (u16, Headers, Vec<u8>);

impl House {
    async fn post(&self, headers: &[(&'static str, &'static str)], body: Vec<u8>) -> Answer {
        self.call("POST", "/v1/traces", headers, body).await
    }

    async fn call(
        &self,
        method: &'static str,
        path: &'static str,
        headers: &[(&'static str, &'static str)],
        body: Vec<u8>,
    ) -> Answer {
        self.call_at(self.http, method, path, headers, body).await
    }

    async fn call_at(
        &self,
        address: SocketAddr,
        method: &'static str,
        path: &'static str,
        headers: &[(&'static str, &'static str)],
        body: Vec<u8>,
    ) -> Answer {
        let mut wanted = Headers::new();
        for (name, value) in headers {
            wanted.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let url = format!("http://{address}{path}");
        tokio::task::spawn_blocking(move || {
            let client = reqwest::blocking::Client::new();
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let answer = client.request(method, url).headers(wanted).body(body).send().unwrap();
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            (status, headers, answer.bytes().unwrap().to_vec())
        })
        .await
        .unwrap()
    }

    async fn client(&self, address: SocketAddr) -> TraceServiceClient<Channel> {
        TraceServiceClient::connect(format!("http://{address}")).await.unwrap()
    }
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

fn request() -> ExportTraceServiceRequest {
    let span = Span { name: "name ".repeat(50), ..Span::default() };
    let scope = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }
}

fn text(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.2).unwrap()
}

#[tokio::test]
async fn http_hands_on_the_bytes_that_came() {
    let house = open(|_| {}, accepting).await;
    let body = request().encode_to_vec();
    let answer = house.post(&[PROTOBUF], body.clone()).await;
    assert_eq!((answer.0, text(&answer)), (200, ""));
    assert_eq!(answer.1["content-type"], "application/x-protobuf");
    assert_eq!(answer.1["access-control-allow-origin"], "*");
    let zstd = zstd::encode_all(&body[..], 1).unwrap();
    let answer = house.post(&[PROTOBUF, ("content-encoding", "zstd")], zstd).await;
    assert_eq!(answer.0, 200);
    let expected = (TenantId::single(), Bytes::from(body));
    assert_eq!(*house.seen.lock(), [expected.clone(), expected]);
}

#[tokio::test]
async fn an_empty_body_is_a_success() {
    let house = open(|_| {}, accepting).await;
    assert_eq!(house.post(&[PROTOBUF], Vec::new()).await.0, 200);
    let answer = house.post(&[JSON], Vec::new()).await;
    assert_eq!((answer.0, text(&answer)), (200, "{}"));
    assert_eq!(answer.1["content-type"], "application/json");
    let gzip = [PROTOBUF, ("content-encoding", "gzip")];
    assert_eq!(house.post(&gzip, Vec::new()).await.0, 200);
}

#[tokio::test]
async fn rejected_spans_are_told_in_the_requests_form() {
    let house =
        open(|_| {}, || Ok(Pushed { accepted: 1, rejected: 3, reason: "bad \"ids\"".to_owned() }))
            .await;
    let answer = house.post(&[JSON], Vec::new()).await;
    assert_eq!(answer.0, 200);
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&answer.2).unwrap(),
        serde_json::json!({"partialSuccess": {"rejectedSpans": "3", "errorMessage": "bad \"ids\""}})
    );
    let answer = house.post(&[PROTOBUF], Vec::new()).await;
    // Field 1, a message: field 1 a varint, field 2 a text.
    assert_eq!(answer.2, b"\x0a\x0d\x08\x03\x12\x09bad \"ids\"");
    let mut client = house.client(house.grpc).await;
    let partial = client.export(request()).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!((partial.rejected_spans, partial.error_message.as_str()), (3, "bad \"ids\""));
}

#[tokio::test]
async fn http_refuses_with_the_status_that_says_what_to_do() {
    let house = open(
        |config| {
            config.max_body_bytes = 1000;
            config.multitenancy = true;
        },
        accepting,
    )
    .await;
    let tenant = ("x-scope-orgid", "a");
    let gzip = ("content-encoding", "gzip");
    for (headers, body, status, words) in [
        (&[PROTOBUF][..], vec![], 401, "no org id"),
        (&[PROTOBUF, ("x-scope-orgid", "a|b")], vec![], 400, "unsupported character '|'"),
        (&[tenant, PROTOBUF], vec![0; 1001], 413, "more than 1000 bytes"),
        (&[tenant, PROTOBUF, gzip], b"plain text, not gzip".to_vec(), 400, "not gzip"),
        (&[tenant, PROTOBUF, ("content-encoding", "br")], vec![], 415, "encoding \"br\""),
        (&[tenant, ("content-type", "text/plain")], vec![], 415, "unsupported media type"),
        (&[tenant], vec![], 415, "unsupported media type"),
    ] {
        let answer = house.post(headers, body).await;
        assert_eq!(answer.0, status, "{headers:?}");
        assert!(String::from_utf8_lossy(&answer.2).contains(words), "{headers:?}: {answer:?}");
    }
    let answer = house.post(&[JSON], vec![]).await;
    assert_eq!((answer.0, text(&answer)), (401, r#"{"code":16,"message":"no org id"}"#));
    let answer = house.call("GET", "/v1/traces", &[], vec![]).await;
    assert_eq!((answer.0, answer.1["allow"].as_bytes()), (405, &b"POST, OPTIONS"[..]));
    let answer = house.call("POST", "/v1/logs", &[PROTOBUF], vec![]).await;
    assert_eq!(
        (answer.0, text(&answer)),
        (
            404,
            "404 not found. Vivace takes OTLP traces here: POST /v1/traces (protobuf or JSON), or gRPC.\n"
        )
    );
    let answer = house.call("GET", "/", &[], vec![]).await;
    assert!(answer.0 == 200 && text(&answer).contains("OTLP"));
    assert!(house.seen.lock().is_empty());
}

#[tokio::test]
async fn what_can_be_retried_says_when() {
    let retry_after = Duration::from_millis(1200);
    for (kind, status, code) in [
        (Kind::Busy { retry_after }, 429, tonic::Code::ResourceExhausted),
        (Kind::Unavailable { retry_after }, 503, tonic::Code::Unavailable),
    ] {
        let house = open(|_| {}, move || Err(Failure::new(kind, "later"))).await;
        let answer = house.post(&[JSON], Vec::new()).await;
        assert_eq!((answer.0, answer.1["retry-after"].as_bytes()), (status, &b"2"[..]));
        assert!(text(&answer).contains("later"));
        let refused = house.client(house.grpc).await.export(request()).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (code, "later"));
        assert!(!refused.details().is_empty());
    }
}

#[tokio::test]
async fn a_browser_may_send_spans() {
    let house = open(|_| {}, accepting).await;
    let asks = [
        ("origin", "https://shop.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,x-scope-orgid"),
    ];
    let answer = house.call("OPTIONS", "/v1/traces", &asks, vec![]).await;
    assert_eq!(answer.0, 204);
    assert_eq!(answer.1["access-control-allow-origin"], "*");
    assert_eq!(answer.1["access-control-allow-headers"], "content-type,x-scope-orgid");
    assert_eq!(answer.1["access-control-allow-methods"], "POST, OPTIONS");
}

#[tokio::test]
async fn grpc_hands_on_the_bytes_that_came_on_either_port() {
    let house = open(|config| config.multitenancy = true, accepting).await;
    for address in [house.grpc, house.http] {
        for encoding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
            let mut client = house.client(address).await;
            if let Some(encoding) = encoding {
                client = client.send_compressed(encoding);
            }
            let mut call = tonic::Request::new(request());
            call.metadata_mut().insert("x-scope-orgid", "team".parse().unwrap());
            let answer = client.export(call).await.unwrap().into_inner();
            assert_eq!(answer.partial_success, None);
        }
    }
    let expected = (TenantId::parse("team").unwrap(), Bytes::from(request().encode_to_vec()));
    assert_eq!(*house.seen.lock(), vec![expected; 6]);
}

#[tokio::test]
async fn grpc_refuses_with_a_code_that_senders_do_not_retry() {
    let house = open(|config| config.max_body_bytes = 100, accepting).await;
    let mut client = house.client(house.grpc).await;
    let refused = client.export(request()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.message().contains("more than 100 bytes"), "{refused}");
    // Inflates to over the limit.
    let mut client = client.send_compressed(CompressionEncoding::Gzip);
    let refused = client.export(request()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.details().is_empty());

    let house = open(|config| config.multitenancy = true, accepting).await;
    let refused = house.client(house.grpc).await.export(request()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (tonic::Code::Unauthenticated, "no org id"));
    let empty = house.call("POST", otlp_grpc::EXPORT_PATH, &[PROTOBUF], vec![]).await;
    assert_eq!(empty.0, 415);
    let other = house.call("POST", "/x.Y/Z", &[("content-type", "application/grpc")], vec![]).await;
    assert_eq!((other.0, other.1["grpc-status"].as_bytes()), (200, &b"12"[..]));
}

#[tokio::test]
async fn a_full_house_sends_away() {
    let gate = Arc::new(Notify::new());
    let (entered, mut entries) = tokio::sync::mpsc::channel::<()>(1);
    let opened = Arc::clone(&gate);
    let push: Push = Arc::new(move |_, _| {
        let (gate, entered) = (Arc::clone(&opened), entered.clone());
        async move {
            entered.send(()).await.unwrap();
            gate.notified().await;
            accepting()
        }
        .boxed()
    });
    let house = open_with(|config| config.requests_max = 1, push, Seen::default()).await;
    let mut first = house.client(house.grpc).await;
    let first = tokio::spawn(async move { first.export(request()).await });
    entries.recv().await.unwrap();
    let answer = house.post(&[PROTOBUF], Vec::new()).await;
    assert_eq!((answer.0, answer.1["retry-after"].as_bytes()), (429, &b"1"[..]));
    gate.notify_one();
    assert!(first.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    let house = open(|_| {}, || panic!("a bug")).await;
    assert_eq!(house.post(&[PROTOBUF], Vec::new()).await.0, 500);
    let mut client = house.client(house.grpc).await;
    assert_eq!(client.export(request()).await.unwrap_err().code(), tonic::Code::Internal);
    assert_eq!(client.export(request()).await.unwrap_err().code(), tonic::Code::Internal);
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let house = open(|_| {}, accepting).await;
    let taken = Listener { address: house.grpc, ..on_any_port(Protocol::OtlpGrpc) };
    let config = Config { listeners: vec![taken], ..Config::default() };
    let error = Receivers::bind(config).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen for OTLP/gRPC on {}", house.grpc));
}

#[tokio::test]
async fn the_receivers_end_when_they_are_told() {
    let listeners = [Protocol::OtlpGrpc, Protocol::JaegerThriftCompact].map(on_any_port).into();
    let receivers = Receivers::bind(Config { listeners, ..Config::default() }).await.unwrap();
    assert_eq!(receivers.address(Protocol::OtlpHttp), None);
    let push: Push = Arc::new(|_, _| async { accepting() }.boxed());
    receivers.run_with(push, Metrics::default(), async {}).await;
}

/// One span of the service `a` in Zipkin's JSON.
const ZIPKIN: &str = r#"[{"traceId":"1","id":"2","name":"n","localEndpoint":{"serviceName":"a"}}]"#;

fn pushed(house: &House) -> Vec<(String, String)> {
    let names = |body: &Bytes| {
        let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
        let spans = request.resource_spans.iter().flat_map(|group| &group.scope_spans);
        spans.flat_map(|group| &group.spans).fold(String::new(), |all, span| all + &span.name + " ")
    };
    let seen = house.seen.lock();
    seen.iter().map(|(tenant, body)| (tenant.as_str().to_owned(), names(body))).collect()
}

#[tokio::test]
async fn zipkin_and_jaeger_are_answered_accepted() {
    let house = open(|config| config.multitenancy = true, accepting).await;
    let tenant = ("x-scope-orgid", "team");
    let post = async |address, path, headers: &[_], body: &[u8]| {
        house.call_at(address, "POST", path, headers, body.to_vec()).await
    };
    for body in [ZIPKIN.as_bytes(), b"", b"[]"] {
        let answer = post(house.zipkin, "/api/v2/spans", &[tenant], body).await;
        assert_eq!((answer.0, text(&answer)), (202, ""));
    }
    let gzip = zstd::encode_all(ZIPKIN.as_bytes(), 1).unwrap();
    let headers = [tenant, ("content-encoding", "zstd"), JSON];
    assert_eq!(post(house.zipkin, "/api/v1/spans", &headers, &gzip).await.0, 202);
    let thrift = ("content-type", "application/vnd.apache.thrift.binary");
    let answer = post(house.jaeger_http, "/api/traces", &[tenant, thrift], BATCH).await;
    assert_eq!((answer.0, text(&answer)), (202, ""));
    let mut names = pushed(&house);
    names.retain(|(_, spans)| !spans.is_empty());
    assert_eq!(names, ["n ", "n ", "op "].map(|name| ("team".to_owned(), name.to_owned())));
}

#[tokio::test]
async fn zipkin_and_jaeger_are_refused_with_a_reason() {
    let busy = Kind::Busy { retry_after: Duration::from_secs(3) };
    let house = open(
        |config| {
            for listener in &mut config.listeners {
                listener.max_body_bytes = Some(100);
            }
        },
        move || Err(Failure::new(busy, "later")),
    )
    .await;
    let thrift = ("content-type", "application/x-thrift");
    let (zipkin, jaeger) = (house.zipkin, house.jaeger_http);
    for (address, path, headers, body, status, words) in [
        (zipkin, "/api/v2/spans", &[JSON][..], &b"{}"[..], 400, "expected a list of spans"),
        (zipkin, "/api/v2/spans", &[PROTOBUF], b"\x0a\x05", 400, "ends inside a field"),
        (zipkin, "/api/v1/spans", &[thrift], b"\x0c\0\0\0\x01", 400, "ends inside a value"),
        (zipkin, "/api/v2/spans", &[JSON], &[b' '; 101], 413, "more than 100 bytes"),
        (zipkin, "/api/v2/spans", &[JSON], b"[]", 429, "later"),
        (jaeger, "/api/traces", &[JSON], BATCH, 400, "unsupported content type"),
        (jaeger, "/api/traces", &[thrift], b"hello", 400, "not a Jaeger batch in Thrift"),
        (jaeger, "/api/traces", &[thrift], BATCH, 429, "later"),
        (jaeger, "/elsewhere", &[], b"", 404, "POST /api/traces"),
    ] {
        let answer = house.call_at(address, "POST", path, headers, body.to_vec()).await;
        assert_eq!(answer.0, status, "{path} {headers:?}: {answer:?}");
        assert!(text(&answer).contains(words), "{path} {headers:?}: {answer:?}");
        assert_eq!(answer.1.contains_key("retry-after"), status == 429);
    }
    let answer = house.call_at(zipkin, "GET", "/api/v2/spans", &[], vec![]).await;
    assert_eq!(answer.0, 405);
    assert_eq!(house.seen.lock().len(), 2);
}

/// A Jaeger batch in binary Thrift: one span `op`.
const BATCH: &[u8] = &[
    15, 0, 2, 12, 0, 0, 0, 1, // spans: a list of one struct
    10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, // traceIdLow
    10, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2, // spanId
    11, 0, 5, 0, 0, 0, 2, b'o', b'p', // operationName
    0, 0,
];

#[tokio::test]
async fn packets_are_stored_and_what_is_lost_is_counted() {
    let house = open(|config| config.multitenancy = true, accepting).await;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let [compact, binary] = house.udp;
    let call = |head: &[u8], batch: &[u8]| [head, &[12, 0, 1], batch, &[0]].concat();
    let head = b"\x80\x01\0\x04\0\0\0\x09emitBatch\0\0\0\0";
    socket.send_to(b"what is this", binary).await.unwrap();
    socket.send_to(&call(head, BATCH), binary).await.unwrap();
    let mut packet = b"\x82\x81\x00\x09emitBatch\x1c".to_vec();
    // Field 2, a list of one struct: fields 1 and 3 are 1 and 2, field 5 is a text.
    packet.extend_from_slice(b"\x29\x1c\x16\x02\x26\x04\x28\x02op\0\0\0");
    socket.send_to(&packet, compact).await.unwrap();
    let expected = ("single-tenant".to_owned(), "op ".to_owned());
    let stored = async {
        while pushed(&house).len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), stored).await.unwrap();
    assert_eq!(pushed(&house), [expected.clone(), expected]);
    assert_eq!(house.metrics.packets.get(), 3);
    assert_eq!(house.metrics.dropped(metrics::Dropped::Malformed).get(), 1);
    assert_eq!(house.metrics.dropped(metrics::Dropped::QueueFull).get(), 0);
}

/// Nothing is stored while the gate is shut: the queue and one push fill, the rest is lost. What waits at the stop is stored.
#[tokio::test]
async fn packets_that_come_too_fast_are_counted_and_those_that_wait_are_stored_at_the_stop() {
    let listener = on_any_port(Protocol::JaegerThriftBinary);
    let config = Config { listeners: vec![listener], ..Config::default() };
    let receivers = Receivers::bind(config).await.unwrap();
    let address = receivers.address(Protocol::JaegerThriftBinary).unwrap();
    let (gate, seen) = (Arc::new(Notify::new()), Seen::default());
    let (opened, log) = (Arc::clone(&gate), Arc::clone(&seen));
    let push: Push = Arc::new(move |tenant, body| {
        let (gate, log) = (Arc::clone(&opened), Arc::clone(&log));
        async move {
            gate.notified().await;
            gate.notify_one();
            log.lock().push((tenant, body));
            accepting()
        }
        .boxed()
    });
    let (metrics, (stop, stopped)) = (Metrics::default(), oneshot::channel::<()>());
    let running = receivers.run_with(push, metrics.clone(), async { drop(stopped.await) });
    let running = tokio::spawn(running);
    let head = b"\x80\x01\0\x04\0\0\0\x09emitBatch\0\0\0\0\x0c\0\x01";
    let packet = [head, BATCH, &[0]].concat();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let lost = metrics.dropped(metrics::Dropped::QueueFull);
    let flood = async {
        while lost.get() == 0 {
            socket.send_to(&packet, address).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), flood).await.unwrap();
    gate.notify_one();
    stop.send(()).unwrap();
    running.await.unwrap();
    let stored: usize = seen
        .lock()
        .iter()
        .map(|(_, body)| ExportTraceServiceRequest::decode(&body[..]).unwrap())
        .map(|request| request.resource_spans.len())
        .sum();
    assert_eq!(stored as u64, metrics.packets.get() - lost.get());
}

#[tokio::test]
async fn jaeger_over_grpc_is_answered_by_an_empty_message() {
    let house = open(|_| {}, accepting).await;
    let channel = Channel::from_shared(format!("http://{}", house.jaeger_grpc)).unwrap();
    let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(jaeger::POST_SPANS_PATH);
    let span = PostedSpan {
        trace_id: 1_u128.to_be_bytes().to_vec(),
        span_id: 2_u64.to_be_bytes().to_vec(),
        operation_name: "op".to_owned(),
    };
    let request = PostSpans { batch: Some(Posted { spans: vec![span] }) };
    let codec = tonic_prost::ProstCodec::<PostSpans, Posted>::default();
    let call = tonic::Request::new(request);
    let answer: tonic::Response<Posted> = client.unary(call, path, codec).await.unwrap();
    assert_eq!(answer.into_inner(), Posted::default());
    assert_eq!(pushed(&house)[0].1, "op ");
}

#[derive(Clone, PartialEq, Message)]
struct PostSpans {
    #[prost(message, optional, tag = "1")]
    batch: Option<Posted>,
}

#[derive(Clone, PartialEq, Message)]
struct Posted {
    #[prost(message, repeated, tag = "1")]
    spans: Vec<PostedSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct PostedSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    operation_name: String,
}
