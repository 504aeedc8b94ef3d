//! Spans as Jaeger's and Zipkin's senders write them, sent to the real process and read back.
//!
//! The payloads are in `tests/jaeger` and `tests/zipkin`, made by `tests/clients/old_formats.py`, which has encoders of its own.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "receivers/server.rs"]
mod server;

use std::fs;

use bytes::{BufMut, BytesMut};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, TracesData};
use vivace::otlp::build::{attribute, text};

use server::{Port, Server};

const START: u64 = 1_700_000_000_000_000_000;

fn payload(name: &str) -> Vec<u8> {
    fs::read(format!("tests/{name}")).unwrap()
}

fn trace_id(low: u64) -> u128 {
    0x11 << 64 | u128::from(low)
}

/// Resource, scope and span of each span, by the spans' ids; attributes by their names: their order may change.
fn spans_of(trace: TracesData) -> Vec<(Resource, InstrumentationScope, Span)> {
    let sort = |attributes: &mut Vec<KeyValue>| attributes.sort_by(|a, b| a.key.cmp(&b.key));
    let mut spans = Vec::new();
    for group in trace.resource_spans {
        let mut resource = group.resource.unwrap_or_default();
        sort(&mut resource.attributes);
        for group in group.scope_spans {
            let scope = group.scope.unwrap_or_default();
            spans.extend(group.spans.into_iter().map(|mut span| {
                sort(&mut span.attributes);
                (resource.clone(), scope.clone(), span)
            }));
        }
    }
    spans.sort_by(|a, b| a.2.span_id.cmp(&b.2.span_id));
    spans
}

fn id(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn jaeger(low: u64, warnings: &[&str]) -> Vec<(Resource, InstrumentationScope, Span)> {
    let resource = Resource {
        attributes: vec![
            text("host.name", "h1"),
            text("ip", "10.0.0.1"),
            text("opencensus.exporterversion", "Jaeger-Go-2.30"),
            attribute("pid", Any::IntValue(42)),
            text("service.name", "shop"),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: "lib".to_owned(),
        version: "1.2".to_owned(),
        ..InstrumentationScope::default()
    };
    let event = |at: u64, name: &str, attributes| Event {
        time_unix_nano: START + at * 1000,
        name: name.to_owned(),
        attributes,
        ..Event::default()
    };
    let trace = trace_id(low).to_be_bytes().to_vec();
    let root = Span {
        trace_id: trace.clone(),
        span_id: id(1),
        trace_state: "k=v".to_owned(),
        flags: 1,
        name: "GET /cart".to_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: START,
        end_time_unix_nano: START + 2_500_000,
        attributes: vec![
            attribute("blob", Any::BytesValue(vec![0, 255])),
            attribute("cached", Any::BoolValue(true)),
            attribute("http.status_code", Any::IntValue(200)),
            attribute("ratio", Any::DoubleValue(0.5)),
        ],
        events: vec![
            event(10, "cache miss", vec![text("key", "k")]),
            event(20, "", vec![text("message", "no name")]),
        ],
        ..Span::default()
    };
    let link = Link {
        trace_id: 0x99_u128.to_be_bytes().to_vec(),
        span_id: id(0x8877_6655_4433_2211),
        attributes: vec![text("opentracing.ref_type", "follows_from")],
        ..Link::default()
    };
    let warning = |warning: &&str| AnyValue { value: Some(Any::StringValue((*warning).into())) };
    let values = warnings.iter().map(warning).collect::<Vec<_>>();
    let warnings =
        attribute("@jaeger@warnings", Any::ArrayValue(ArrayValue { values: values.clone() }));
    let child = Span {
        trace_id: trace,
        span_id: id(2),
        parent_span_id: id(1),
        name: "redis".to_owned(),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: START + 100_000,
        end_time_unix_nano: START + 1_100_000,
        attributes: if values.is_empty() { vec![] } else { vec![warnings] },
        links: vec![link],
        status: Some(Status { code: 2, message: "gone".to_owned() }),
        ..Span::default()
    };
    vec![(resource.clone(), scope, root), (resource, InstrumentationScope::default(), child)]
}

fn zipkin(low: u64, is_shared: bool) -> Vec<(Resource, InstrumentationScope, Span)> {
    let resource =
        Resource { attributes: vec![text("service.name", "shop")], ..Resource::default() };
    let local =
        || [text("net.host.ip", "10.0.0.1"), attribute("net.host.port", Any::IntValue(40000))];
    let trace = trace_id(low).to_be_bytes().to_vec();
    let mut attributes = Vec::from(local());
    attributes.push(attribute("zipkin.debug", Any::BoolValue(true)));
    if is_shared {
        attributes.push(attribute("zipkin.shared", Any::BoolValue(true)));
    }
    let event =
        Event { time_unix_nano: START + 10_000, name: "cache miss".to_owned(), ..Event::default() };
    let root = Span {
        trace_id: trace.clone(),
        span_id: id(1),
        name: "get /cart".to_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: START,
        end_time_unix_nano: START + 2_500_000,
        attributes,
        events: vec![event],
        ..Span::default()
    };
    let mut attributes = vec![text("error", "gone"), text("http.path", "/cart")];
    attributes.extend(local());
    attributes.extend([
        text("net.peer.ip", "10.0.0.2"),
        attribute("net.peer.port", Any::IntValue(6379)),
        text("peer.service", "redis"),
        text("zipkin.remote.ipv6", "2001:db8::2"),
    ]);
    let child = Span {
        trace_id: trace,
        span_id: id(2),
        parent_span_id: id(1),
        name: "get".to_owned(),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: START + 100_000,
        end_time_unix_nano: START + 1_100_000,
        attributes,
        status: Some(Status { code: 2, message: "gone".to_owned() }),
        ..Span::default()
    };
    let scope = InstrumentationScope::default();
    vec![(resource.clone(), scope.clone(), root), (resource, scope, child)]
}

#[test]
fn every_field_of_jaegers_spans_is_kept_in_all_four_formats() {
    let server = Server::start(false);
    let thrift = "application/x-thrift";
    let batch = payload("jaeger/batch.thrift");
    let answer = server.post(Port::JaegerHttp, "/api/traces", thrift, batch);
    assert_eq!(answer, (202, String::new()));
    assert_eq!(spans_of(server.trace(trace_id(0x22))), jaeger(0x22, &[]));
    server.send(Port::JaegerCompact, &payload("jaeger/compact.packet"));
    assert_eq!(spans_of(server.trace(trace_id(0x24))), jaeger(0x24, &[]));
    server.send(Port::JaegerBinary, &payload("jaeger/binary.packet"));
    assert_eq!(spans_of(server.trace(trace_id(0x25))), jaeger(0x25, &[]));

    tokio::runtime::Runtime::new().unwrap().block_on(post_spans(&server));
    assert_eq!(spans_of(server.trace(trace_id(0x23))), jaeger(0x23, &["clock skew"]));
}

/// As bytes: what is sent is the file.
async fn post_spans(server: &Server) {
    let address = format!("http://127.0.0.1:{}", server.port(Port::JaegerGrpc));
    let channel = tonic::transport::Channel::from_shared(address).unwrap();
    let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
    client.ready().await.unwrap();
    let path = "/jaeger.api_v2.CollectorService/PostSpans".parse().unwrap();
    let call = tonic::Request::new(payload("jaeger/post_spans.pb"));
    let answer = client.unary(call, path, Bytes).await.unwrap().into_inner();
    assert_eq!(answer, b"");
}

/// A codec of messages that are bytes already.
#[derive(Clone, Copy)]
struct Bytes;

impl tonic::codec::Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl tonic::codec::Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn encode(
        &mut self,
        item: Vec<u8>,
        to: &mut tonic::codec::EncodeBuf<'_>,
    ) -> Result<(), tonic::Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl tonic::codec::Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn decode(
        &mut self,
        from: &mut tonic::codec::DecodeBuf<'_>,
    ) -> Result<Option<Vec<u8>>, tonic::Status> {
        let mut bytes = BytesMut::new();
        bytes.put(from);
        Ok(Some(bytes.to_vec()))
    }
}

#[test]
fn every_field_of_zipkins_spans_is_kept_in_all_four_formats() {
    let server = Server::start(false);
    let (json, protobuf) = ("application/json", "application/x-protobuf");
    for (path, kind, name, low, is_shared) in [
        ("/api/v2/spans", json, "zipkin/version_2.json", 0x32, true),
        ("/api/v2/spans", protobuf, "zipkin/version_2.pb", 0x33, true),
        ("/api/v1/spans", json, "zipkin/version_1.json", 0x34, false),
        ("/api/v1/spans", "application/x-thrift", "zipkin/version_1.thrift", 0x35, false),
    ] {
        let answer = server.post(Port::Zipkin, path, kind, payload(name));
        assert_eq!(answer, (202, String::new()), "{name}");
        assert_eq!(spans_of(server.trace(trace_id(low))), zipkin(low, is_shared), "{name}");
    }
}

#[test]
fn a_receiver_with_tls_takes_spans_of_those_with_a_certificate() {
    let server = Server::start(true);
    let spans = payload("zipkin/version_2.json");
    let post = |client| server.post_tls(Port::ZipkinTls, "/api/v2/spans", client, &spans);
    assert!(!post(None).is_ok_and(|line| line.contains("202")));
    assert!(!post(Some("stranger")).is_ok_and(|line| line.contains("202")));
    assert_eq!(post(Some("client")).unwrap(), "HTTP/1.1 202 Accepted");
    assert_eq!(spans_of(server.trace(trace_id(0x32))), zipkin(0x32, true));
}
