//! A Zipkin span as an OTLP span.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span as OtlpSpan, Status};

use super::Error;
use super::model::{Annotation, Endpoint, Span};
use crate::otlp::build::{self, Builder};
use crate::trace::TraceId;

/// A span without a time, as OpenTelemetry's exporters to Zipkin look for it.
const START_ABSENT: &str = "otel.zipkin.absentField.startTime";

/// Says which attribute the service's name was.
const SERVICE_NAME_SOURCE: &str = "otlp.service.name.source";

/// What tags begin with that say something of the resource, by OpenTelemetry's conventions.
const OF_THE_RESOURCE: [&str; 12] = [
    "service.",
    "telemetry.",
    "host.",
    "os.",
    "process.",
    "container.",
    "k8s.",
    "cloud.",
    "deployment.",
    "device.",
    "webengine.",
    "opencensus.",
];

/// Most links that are looked for: as many as the Collector.
const LINKS_MAX: usize = 128;

/// A request in the making.
pub(super) struct Translation {
    builder: Builder,
}

impl Translation {
    /// Of at most so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { builder: Builder::new(bytes_max) }
    }

    pub(super) fn add(&mut self, mut span: Span) -> Result<(), Error> {
        let resource = resource_of(&mut span);
        let scope = build::take_scope(&mut span.tags);
        self.builder.add(&resource, &scope, &translate(span))?;
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.builder.finish()
    }
}

fn resource_of(span: &mut Span) -> Resource {
    let source = build::take_text(&mut span.tags, SERVICE_NAME_SOURCE);
    let source = source.unwrap_or_else(|| "service.name".to_owned());
    let is_of_the_resource =
        |tag: &mut KeyValue| OF_THE_RESOURCE.iter().any(|start| tag.key.starts_with(start));
    let mut attributes: Vec<_> = span.tags.extract_if(.., is_of_the_resource).collect();
    let name = std::mem::take(&mut span.local.service_name);
    if !name.is_empty() && build::find(&attributes, &source).is_none() {
        attributes.insert(0, build::text(source, name));
    }
    Resource { attributes, ..Resource::default() }
}

fn translate(span: Span) -> OtlpSpan {
    let Span {
        trace_id,
        parent_id,
        id,
        kind,
        name,
        start_micros,
        duration_micros,
        local,
        remote,
        annotations,
        tags: mut attributes,
        is_debug,
        is_shared,
    } = span;
    let kind = if kind == SpanKind::Unspecified { kind_of(&mut attributes) } else { kind };
    let status = status_of(&mut attributes);
    let trace_state = build::take_text(&mut attributes, "w3c.tracestate").unwrap_or_default();
    let links = links_of(&mut attributes);
    put_endpoint(&mut attributes, local, ["net.host.ip", "net.host.port", "zipkin.local.ipv6"]);
    if !remote.service_name.is_empty() {
        attributes.push(build::text("peer.service", remote.service_name.clone()));
    }
    put_endpoint(&mut attributes, remote, ["net.peer.ip", "net.peer.port", "zipkin.remote.ipv6"]);
    let first = annotations.iter().map(|annotation| annotation.time_micros).min();
    let start_micros = if start_micros == 0 { first.unwrap_or_default() } else { start_micros };
    for (is_set, key) in [
        (is_shared, "zipkin.shared"),
        (is_debug, "zipkin.debug"),
        (start_micros == 0, START_ABSENT),
    ] {
        if is_set {
            attributes.push(build::attribute(key, Any::BoolValue(true)));
        }
    }
    let has_parent = parent_id != 0 && parent_id != id;
    OtlpSpan {
        trace_id: trace_id.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: if has_parent { parent_id.to_be_bytes().to_vec() } else { Vec::new() },
        trace_state,
        name,
        kind: kind.into(),
        start_time_unix_nano: nanos(start_micros),
        end_time_unix_nano: nanos(start_micros.saturating_add(duration_micros)),
        attributes,
        events: annotations.into_iter().map(event_of).collect(),
        links,
        status,
        ..OtlpSpan::default()
    }
}

fn nanos(micros: u64) -> u64 {
    micros.saturating_mul(1000)
}

/// An address, a port, and a second address.
fn put_endpoint(attributes: &mut Vec<KeyValue>, endpoint: Endpoint, names: [&'static str; 3]) {
    let Endpoint { service_name: _, ipv4, ipv6, port } = endpoint;
    let [ip_name, port_name, second_name] = names;
    let texts = match (ipv4.is_empty(), ipv6.is_empty()) {
        (true, true) => [None, None],
        (false, true) => [Some((ip_name, ipv4)), None],
        (true, false) => [Some((ip_name, ipv6)), None],
        (false, false) => [Some((ip_name, ipv4)), Some((second_name, ipv6))],
    };
    attributes.extend(texts.into_iter().flatten().map(|(name, text)| build::text(name, text)));
    if port != 0 {
        attributes.push(build::attribute(port_name, Any::IntValue(port.into())));
    }
}

fn kind_of(attributes: &mut Vec<KeyValue>) -> SpanKind {
    match build::take_text(attributes, "span.kind").unwrap_or_default().as_str() {
        "internal" => SpanKind::Internal,
        "client" => SpanKind::Client,
        "server" => SpanKind::Server,
        "producer" => SpanKind::Producer,
        "consumer" => SpanKind::Consumer,
        _ => SpanKind::Unspecified,
    }
}

fn status_of(attributes: &mut Vec<KeyValue>) -> Option<Status> {
    let mut status = None;
    if let Some(code) = build::take_text(attributes, "otel.status_code") {
        let code = code.to_ascii_uppercase();
        let code = match code.strip_prefix("STATUS_CODE_").unwrap_or(&code) {
            "OK" => StatusCode::Ok,
            "ERROR" => StatusCode::Error,
            _ => StatusCode::Unset,
        };
        let message = build::take_text(attributes, "otel.status_description").unwrap_or_default();
        status = Some(Status { code: code.into(), message });
    }
    let error = match build::find(attributes, "error") {
        None | Some(Any::BoolValue(false)) => return status,
        Some(Any::StringValue(text)) if text == "false" => return status,
        Some(Any::StringValue(text)) if text != "true" => text.clone(),
        Some(_) => String::new(),
    };
    if error.is_empty() {
        build::take(attributes, "error");
    }
    let status = status.get_or_insert_default();
    status.code = StatusCode::Error.into();
    if status.message.is_empty() {
        status.message = error;
    }
    Some(status.clone())
}

/// Links as OpenTelemetry's exporters write them: `otlp.link.0` and so on. What is not of that form stays a tag.
fn links_of(attributes: &mut Vec<KeyValue>) -> Vec<Link> {
    let mut links = Vec::new();
    for index in 0..LINKS_MAX {
        let key = format!("otlp.link.{index}");
        let Some(Any::StringValue(text)) = build::find(attributes, &key) else { break };
        if let Some(link) = link_of(text) {
            links.push(link);
            build::take(attributes, &key);
        }
    }
    links
}

/// `trace id|span id|trace state|attributes|dropped attributes`.
fn link_of(text: &str) -> Option<Link> {
    let (trace_id, rest) = text.split_once('|')?;
    let (span_id, rest) = rest.split_once('|')?;
    let (trace_state, rest) = rest.split_once('|')?;
    let (attributes, dropped_attributes_count) = attributes_of(rest)?;
    let span_id = TraceId::parse(span_id.trim_matches('"')).ok()?;
    Some(Link {
        trace_id: TraceId::parse(trace_id.trim_matches('"')).ok()?.0.to_vec(),
        // The lower half: what `span_id` has is shorter and padded.
        span_id: span_id.0.last_chunk::<8>()?.to_vec(),
        trace_state: trace_state.to_owned(),
        attributes,
        dropped_attributes_count,
        ..Link::default()
    })
}

/// The name alone, or `name|attributes|dropped attributes` as OpenTelemetry's exporters write it.
fn event_of(annotation: Annotation) -> Event {
    let Annotation { time_micros, value } = annotation;
    let time_unix_nano = nanos(time_micros);
    let parts = value.split_once('|').and_then(|(name, rest)| Some((name, attributes_of(rest)?)));
    match parts {
        Some((name, (attributes, dropped_attributes_count))) => {
            Event { time_unix_nano, name: name.to_owned(), attributes, dropped_attributes_count }
        }
        None => Event { time_unix_nano, name: value, ..Event::default() },
    }
}

/// `{"key": value}|dropped`. Only texts, numbers and booleans are values.
fn attributes_of(text: &str) -> Option<(Vec<KeyValue>, u32)> {
    let (json, dropped) = text.rsplit_once('|')?;
    let map: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).ok()?;
    let dropped = dropped.parse().ok()?;
    let value = |value| match value {
        serde_json::Value::String(text) => Some(Any::StringValue(text)),
        serde_json::Value::Bool(value) => Some(Any::BoolValue(value)),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Some(Any::IntValue(number)),
            None => number.as_f64().map(Any::DoubleValue),
        },
        _ => None,
    };
    let attribute = |(key, found)| Some(build::attribute(key, value(found)?));
    Some((map.into_iter().filter_map(attribute).collect(), dropped))
}
