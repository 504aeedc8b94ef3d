//! Traces of a shop: what it is asked, which services take part, and what goes wrong now and then.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use rand::RngExt;
use rand::rngs::StdRng;

const MICRO: u64 = 1_000;

/// A service: its name, its SDK's language, and how many pods it has.
const SERVICES: [(&str, &str, u32); 8] = [
    ("frontend", "nodejs", 4),
    ("cart", "go", 3),
    ("catalog", "go", 6),
    ("checkout", "java", 4),
    ("payment", "java", 2),
    ("shipping", "python", 2),
    ("postgres", "cpp", 2),
    ("kafka-consumer", "java", 3),
];

/// What a service does when it is called.
struct Operation {
    service: usize,
    name: &'static str,
    kind: SpanKind,
    /// Its own work, in microseconds: typical, and how much more now and then.
    micros: (u64, u64),
    what: What,
    /// What it calls: operation, percent of the times, most times.
    calls: &'static [(usize, u32, u32)],
}

#[derive(Clone, Copy)]
enum What {
    Http(&'static str, &'static str),
    Rpc(&'static str, &'static str),
    Database(&'static str, &'static str),
    Message(&'static str),
    Inside,
}

const OPERATIONS: [Operation; 14] = [
    operation(
        0,
        "GET /",
        SpanKind::Server,
        (900, 4_000),
        What::Http("GET", "/"),
        &[(4, 100, 1), (2, 40, 1)],
    ),
    operation(
        0,
        "POST /checkout",
        SpanKind::Server,
        (1_500, 9_000),
        What::Http("POST", "/checkout"),
        &[(2, 100, 1), (5, 100, 1)],
    ),
    operation(
        1,
        "cart.Cart/Get",
        SpanKind::Server,
        (300, 1_200),
        What::Rpc("cart.Cart", "Get"),
        &[(9, 100, 1)],
    ),
    operation(
        0,
        "GET /product/{id}",
        SpanKind::Server,
        (800, 3_000),
        What::Http("GET", "/product/{id}"),
        &[(4, 100, 1), (13, 60, 3)],
    ),
    operation(
        2,
        "catalog.Catalog/List",
        SpanKind::Server,
        (700, 2_500),
        What::Rpc("catalog.Catalog", "List"),
        &[(10, 100, 8), (13, 30, 2)],
    ),
    operation(
        3,
        "checkout.Checkout/Place",
        SpanKind::Server,
        (2_000, 9_000),
        What::Rpc("checkout.Checkout", "Place"),
        &[(2, 100, 1), (6, 100, 1), (7, 90, 1), (11, 100, 3), (8, 100, 1)],
    ),
    operation(
        4,
        "payment.Payment/Charge",
        SpanKind::Server,
        (20_000, 90_000),
        What::Rpc("payment.Payment", "Charge"),
        &[(12, 100, 2)],
    ),
    operation(
        5,
        "shipping.Shipping/Quote",
        SpanKind::Server,
        (4_000, 20_000),
        What::Rpc("shipping.Shipping", "Quote"),
        &[(13, 100, 2)],
    ),
    operation(
        7,
        "orders process",
        SpanKind::Consumer,
        (2_000, 30_000),
        What::Message("orders"),
        &[(11, 100, 2), (13, 50, 1)],
    ),
    operation(
        6,
        "SELECT cart",
        SpanKind::Client,
        (400, 3_000),
        What::Database("SELECT", "carts"),
        &[],
    ),
    operation(
        6,
        "SELECT product",
        SpanKind::Client,
        (500, 6_000),
        What::Database("SELECT", "products"),
        &[],
    ),
    operation(
        6,
        "INSERT orders",
        SpanKind::Client,
        (900, 9_000),
        What::Database("INSERT", "orders"),
        &[],
    ),
    operation(
        4,
        "POST bank",
        SpanKind::Client,
        (30_000, 400_000),
        What::Http("POST", "/v2/charges"),
        &[],
    ),
    operation(2, "render", SpanKind::Internal, (200, 2_000), What::Inside, &[]),
];

/// How traces begin, and how often in a hundred.
const ROOTS: [(usize, u32); 3] = [(0, 55), (3, 30), (1, 15)];

const fn operation(
    service: usize,
    name: &'static str,
    kind: SpanKind,
    micros: (u64, u64),
    what: What,
    calls: &'static [(usize, u32, u32)],
) -> Operation {
    Operation { service, name, kind, micros, what, calls }
}

/// Spans of some traces, by service and pod.
#[derive(Default)]
pub(crate) struct Groups {
    soon: Places,
    late: Places,
}

/// By service and pod.
type Places = Vec<((usize, u32), Vec<Span>)>;

/// One trace while it is made.
struct Trace<'a> {
    dice: &'a mut StdRng,
    groups: &'a mut Groups,
    id: [u8; 16],
    user: u32,
    fails: bool,
    /// Whether some of its spans come late, and how many spans it has.
    is_late: bool,
    spans: u32,
}

impl Groups {
    /// Adds a trace that starts at a time, in Unix nanoseconds. Of so many percent of all traces every second span is late.
    pub(crate) fn add_trace(&mut self, dice: &mut StdRng, start: u64, late: u32) {
        let mut left = dice.random_range(0..100);
        let root = ROOTS.iter().find(|(_, share)| {
            let is_it = left < *share;
            left = left.saturating_sub(*share);
            is_it
        });
        let (id, user, fails) =
            (dice.random(), dice.random_range(0..5_000), dice.random_ratio(1, 50));
        let is_late = dice.random_range(0..100) < late;
        let mut trace = Trace { dice, groups: self, id, user, fails, is_late, spans: 0 };
        trace.call(root.map_or(0, |(root, _)| *root), &[], start);
    }

    /// What is to be sent after all others.
    pub(crate) fn take_late(&mut self) -> Self {
        Self { soon: std::mem::take(&mut self.late), late: Places::new() }
    }

    pub(crate) fn span_count(&self) -> usize {
        self.soon.iter().map(|(_, spans)| spans.len()).sum()
    }

    /// What is not late, as OTLP.
    pub(crate) fn into_resource_spans(self) -> Vec<ResourceSpans> {
        let group = |((service, pod), spans): ((usize, u32), Vec<Span>)| ResourceSpans {
            resource: Some(resource(service, pod)),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: format!("io.opentelemetry.{}", SERVICES[service].1),
                    version: "1.40.0".to_owned(),
                    ..InstrumentationScope::default()
                }),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        };
        self.soon.into_iter().map(group).collect()
    }

    fn push(&mut self, place: (usize, u32), span: Span, is_late: bool) {
        let places = if is_late { &mut self.late } else { &mut self.soon };
        match places.iter_mut().find(|(known, _)| *known == place) {
            Some((_, spans)) => spans.push(span),
            None => places.push((place, vec![span])),
        }
    }
}

impl Trace<'_> {
    /// Makes the span of an operation and of all that it calls; its end.
    fn call(&mut self, number: usize, parent: &[u8], start: u64) -> u64 {
        let Operation { service, name, kind, micros, what, calls } = &OPERATIONS[number];
        let id: [u8; 8] = self.dice.random();
        let mut now = start + self.work(*micros) / 2;
        for (callee, percent, most) in *calls {
            for _ in 0..self.dice.random_range(1..=*most) {
                if self.dice.random_range(0..100) < *percent {
                    let after = self.dice.random_range(5..50) * MICRO;
                    now = self.call(*callee, &id, now + after);
                }
            }
        }
        let end = now + self.work(*micros) / 2;
        let is_broken = self.fails && matches!(what, What::Http("POST", _));
        let span = Span {
            trace_id: self.id.to_vec(),
            span_id: id.to_vec(),
            parent_span_id: parent.to_vec(),
            flags: 1,
            name: (*name).to_owned(),
            kind: *kind as i32,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes: self.attributes(*what, is_broken),
            events: if is_broken { vec![declined(end)] } else { Vec::new() },
            status: is_broken.then(|| Status {
                message: "the card was declined".to_owned(),
                code: StatusCode::Error as i32,
            }),
            ..Span::default()
        };
        let pod = self.dice.random_range(0..SERVICES[*service].2);
        self.spans += 1;
        let is_late = self.is_late && self.spans.is_multiple_of(2);
        self.groups.push((*service, pod), span, is_late);
        end
    }

    /// Mostly about the typical time, seldom much more.
    fn work(&mut self, (typical, more): (u64, u64)) -> u64 {
        let extra = if self.dice.random_ratio(1, 20) { self.dice.random_range(0..more) } else { 0 };
        (typical / 2 + self.dice.random_range(0..typical) + extra) * MICRO
    }

    fn attributes(&mut self, what: What, is_broken: bool) -> Vec<KeyValue> {
        match what {
            What::Http(method, route) => vec![
                text("http.request.method", method),
                text("http.route", route),
                text(
                    "url.full",
                    &format!(
                        "https://shop.example{}?sku=SKU-{:06}",
                        route.replace("{id}", "7"),
                        self.dice.random_range(0..20_000)
                    ),
                ),
                text("user.id", &format!("u-{:06}", self.user)),
                text(
                    "client.address",
                    &format!("10.0.{}.{}", self.user >> 8 & 255, self.user & 255),
                ),
                int("http.response.status_code", if is_broken { 502 } else { 200 }),
                int("http.response.body.size", self.dice.random_range(200..60_000)),
            ],
            What::Rpc(service, method) => vec![
                text("rpc.system", "grpc"),
                text("rpc.service", service),
                text("rpc.method", method),
                int("rpc.grpc.status_code", 0),
                text("app.request.id", &const_hex::encode(self.dice.random::<[u8; 8]>())),
            ],
            What::Database(verb, table) => vec![
                text("db.system.name", "postgresql"),
                text("db.operation.name", verb),
                text("db.collection.name", table),
                text("db.query.text", &format!("{verb} * FROM {table} WHERE id = $1")),
                int("db.response.returned_rows", self.dice.random_range(0..50)),
            ],
            What::Message(topic) => vec![
                text("messaging.system", "kafka"),
                text("messaging.destination.name", topic),
                int("messaging.kafka.offset", self.dice.random_range(0..1_000_000)),
            ],
            What::Inside => vec![number("app.score", self.dice.random_range(0.0..1.0))],
        }
    }
}

fn declined(at: u64) -> Event {
    Event {
        time_unix_nano: at,
        name: "exception".to_owned(),
        attributes: vec![
            text("exception.type", "PaymentDeclined"),
            text("exception.message", "the card was declined"),
        ],
        ..Event::default()
    }
}

fn resource(service: usize, pod: u32) -> Resource {
    let (name, language, _) = SERVICES[service];
    let attributes = vec![
        text("service.name", name),
        text("service.namespace", "shop"),
        text("service.version", "2.14.0"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.language", language),
        text("k8s.cluster.name", "prod-eu-1"),
        text("k8s.namespace.name", "shop"),
        text("k8s.pod.name", &format!("{name}-7d9f8b6c5-{pod:05}")),
        text("cloud.region", "eu-west-1"),
        text("deployment.environment.name", "production"),
    ];
    Resource { attributes, ..Resource::default() }
}

fn pair(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.to_owned()))
}

fn int(key: &str, value: i64) -> KeyValue {
    pair(key, Value::IntValue(value))
}

fn number(key: &str, value: f64) -> KeyValue {
    pair(key, Value::DoubleValue(value))
}
