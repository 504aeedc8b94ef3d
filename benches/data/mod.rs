//! OTLP requests of a small shop: what benches push, write and read. The same seed gives the same bytes.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// Spans of a bench: large enough that what is paid once does not show, small enough for a quick run.
pub(crate) const SPANS: usize = 20_000;

/// Seed of all benches.
pub(crate) const SEED: u64 = 42;

/// Spans of a request: what a collector's batches have.
const REQUEST_SPANS: usize = 500;

/// 2026-11-24 12:00:00 UTC.
pub(crate) const BEGIN_UNIX_NANO: u64 = 1_795_521_600_000_000_000;

/// Traces begin this far apart, on average.
const GAP_NANOS: u64 = 20_000_000;

const SERVICES: [&str; 6] = ["gateway", "tasks", "users", "billing", "search", "mailer"];
const TABLES: [&str; 5] = ["tasks", "projects", "users", "invoices", "sessions"];
const ROUTES: [&str; 6] =
    ["/tasks", "/tasks/{id}", "/projects/{id}", "/login", "/invoices", "/search"];

/// One OTLP request, and how many spans are in it.
pub(crate) struct Request {
    pub body: Bytes,
    pub spans: u64,
}

/// Requests of whole traces, about `spans` spans in all, each with ten attributes or so.
pub(crate) fn requests(seed: u64, spans: usize) -> Vec<Request> {
    requests_from(BEGIN_UNIX_NANO, seed, spans)
}

/// The same of another time.
pub(crate) fn requests_from(begin_unix_nano: u64, seed: u64, spans: usize) -> Vec<Request> {
    let mut shop = Shop { rng: StdRng::seed_from_u64(seed), clock: begin_unix_nano };
    let mut requests = Vec::new();
    let mut made = 0;
    while made < spans {
        let mut by_service: Vec<Vec<Span>> = vec![Vec::new(); SERVICES.len()];
        let mut count = 0;
        while count < REQUEST_SPANS.min(spans - made) {
            count += shop.trace(&mut by_service);
        }
        made += count;
        let groups = SERVICES.iter().zip(by_service).filter(|(_, spans)| !spans.is_empty());
        let resource_spans = groups.map(|(service, spans)| of_service(service, spans)).collect();
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec().into();
        requests.push(Request { body, spans: count as u64 });
    }
    requests
}

/// Where spans come from.
struct Shop {
    rng: StdRng,
    clock: u64,
}

/// A span that others are made below.
struct Parent {
    trace_id: Vec<u8>,
    span_id: Vec<u8>,
    start: u64,
    end: u64,
}

impl Shop {
    /// Adds one trace: a request at the gateway, calls to services, their queries. Returns its spans.
    fn trace(&mut self, by_service: &mut [Vec<Span>]) -> usize {
        self.clock += self.rng.random_range(1..2 * GAP_NANOS);
        let start = self.clock;
        let root = Parent {
            trace_id: self.bytes::<16>(),
            span_id: Vec::new(),
            start,
            end: start + self.length(400_000_000),
        };
        let mut count = 1;
        let root = self.request(&root, &mut by_service[0]);
        for _ in 0..self.rng.random_range(1..5) {
            let service = self.rng.random_range(1..SERVICES.len());
            let call = self.request(&root, &mut by_service[service]);
            count += 1;
            for _ in 0..self.rng.random_range(0..6) {
                let query = self.query(&call);
                by_service[service].push(query);
                count += 1;
            }
        }
        count
    }

    /// A span that serves a request.
    fn request(&mut self, parent: &Parent, spans: &mut Vec<Span>) -> Parent {
        let route = ROUTES[self.skewed(ROUTES.len())];
        let method = if self.rng.random_ratio(1, 4) { "POST" } else { "GET" };
        let status = if self.rng.random_ratio(1, 50) { 500 } else { 200 };
        let user: u32 = self.rng.random_range(0..5_000);
        let attributes = vec![
            text("http.request.method", method),
            text("http.route", route),
            text("url.path", &format!("/api{route}?page={}", self.rng.random_range(0..40))),
            int("http.response.status_code", status),
            text("user.id", &format!("u-{user:05}")),
            text("client.address", &format!("10.0.{}.{}", user / 250, user % 250)),
            text("network.protocol.version", "1.1"),
            int("http.request.body.size", self.rng.random_range(0..4_096)),
            text("request.id", &const_hex::encode(self.bytes::<8>())),
            flag("cache.hit", self.rng.random_ratio(2, 3)),
        ];
        let mut span = self.span(parent, &format!("{method} {route}"), 2, attributes);
        if status == 500 {
            span.status = Some(Status { message: format!("upstream of {route} failed"), code: 2 });
            span.events.push(exception(span.end_time_unix_nano));
        }
        let told = Parent {
            trace_id: span.trace_id.clone(),
            span_id: span.span_id.clone(),
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
        };
        spans.push(span);
        told
    }

    /// A span that asks a database.
    fn query(&mut self, parent: &Parent) -> Span {
        let table = TABLES[self.skewed(TABLES.len())];
        let id = self.rng.random_range(0..100_000);
        let attributes = vec![
            text("db.system", "postgresql"),
            text("db.table", table),
            text("db.operation", "SELECT"),
            text("db.query", &format!("SELECT id, title, state FROM {table} WHERE id = {id}")),
            int("db.rows", self.rng.random_range(0..200)),
            double("db.wait_ms", self.rng.random_range(0.0..5.0)),
            text("server.address", &format!("db-{}.internal", id % 3)),
            int("server.port", 5_432),
            flag("db.prepared", self.rng.random_ratio(1, 2)),
        ];
        self.span(parent, &format!("query {table}"), 3, attributes)
    }

    /// A span within the time of its parent.
    fn span(&mut self, parent: &Parent, name: &str, kind: i32, attributes: Vec<KeyValue>) -> Span {
        let span_id = self.bytes::<8>();
        let is_root = parent.span_id.is_empty();
        let room = parent.end - parent.start;
        let start = parent.start + if is_root { 0 } else { self.rng.random_range(0..=room / 2) };
        let end = if is_root { parent.end } else { parent.end.min(start + self.length(room / 2)) };
        Span {
            trace_id: parent.trace_id.clone(),
            span_id,
            parent_span_id: parent.span_id.clone(),
            name: name.to_owned(),
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            flags: 0x101,
            status: Some(Status::default()),
            ..Span::default()
        }
    }

    /// Most are short, some are long.
    fn length(&mut self, usual: u64) -> u64 {
        let share = self.rng.random_range(0.0_f64..1.0);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a random length need not be exact, and is far from the ends"
        )]
        let length = (usual as f64 * share.powi(3)) as u64;
        length + 1_000
    }

    /// The first are chosen more often.
    fn skewed(&mut self, count: usize) -> usize {
        let first = self.rng.random_range(0..count);
        self.rng.random_range(0..=first)
    }

    fn bytes<const N: usize>(&mut self) -> Vec<u8> {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes.to_vec()
    }
}

fn of_service(service: &str, spans: Vec<Span>) -> ResourceSpans {
    let attributes = vec![
        text("service.name", service),
        text("service.version", "2.14.1"),
        text("deployment.environment", "production"),
        text("k8s.pod.name", &format!("{service}-7d9f-0")),
        text("telemetry.sdk.language", "rust"),
    ];
    let scope = InstrumentationScope {
        name: format!("shop/{service}"),
        version: "1.0.0".to_owned(),
        ..InstrumentationScope::default()
    };
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, schema_url: String::new() }],
        schema_url: String::new(),
    }
}

fn exception(time_unix_nano: u64) -> span::Event {
    span::Event {
        time_unix_nano,
        name: "exception".to_owned(),
        attributes: vec![
            text("exception.type", "Timeout"),
            text("exception.message", "no answer within 2 s"),
        ],
        ..span::Event::default()
    }
}

fn attribute(key: &str, value: Any) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Any::StringValue(value.to_owned()))
}

fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Any::IntValue(value))
}

fn double(key: &str, value: f64) -> KeyValue {
    attribute(key, Any::DoubleValue(value))
}

fn flag(key: &str, value: bool) -> KeyValue {
    attribute(key, Any::BoolValue(value))
}
