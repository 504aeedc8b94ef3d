//! A Jaeger span as an OTLP span.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span as OtlpSpan, Status};

use super::Error;
use super::model::{Log, Process, Reference, Span};
use crate::otlp::build::{self, Builder};

/// The service name that says that there is none.
const NO_SERVICE_NAME: &str = "OTLPResourceNoServiceName";

/// Where Jaeger's own translation keeps what it has to say about a span.
const WARNINGS: &str = "@jaeger@warnings";

/// What Jaeger's collector notes of the format of a span. It is of no use to anybody.
const SPAN_FORMAT: &str = "internal.span.format";

/// A request in the making.
pub(super) struct Translation {
    resource: Resource,
    builder: Builder,
}

impl Translation {
    /// For spans of a process, as at most so many bytes.
    pub(super) fn new(process: Option<&Process>, bytes_max: usize) -> Self {
        Self { resource: resource_of(process), builder: Builder::new(bytes_max) }
    }

    pub(super) fn add(&mut self, span: Span) -> Result<(), Error> {
        self.add_of(span, None)
    }

    /// Adds a span that may have a process of its own. One in which nothing is set is left out.
    pub(super) fn add_of(
        &mut self,
        mut span: Span,
        process: Option<&Process>,
    ) -> Result<(), Error> {
        if span == Span::default() {
            return Ok(());
        }
        let scope = build::take_scope(&mut span.tags);
        let own = process.map(|process| resource_of(Some(process)));
        let resource = own.as_ref().unwrap_or(&self.resource);
        self.builder.add(resource, &scope, &translate(span))?;
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.builder.finish()
    }
}

fn resource_of(process: Option<&Process>) -> Resource {
    let mut attributes = Vec::new();
    if let Some(Process { service_name, tags }) = process
        && service_name != NO_SERVICE_NAME
    {
        // Some say it twice; the tag counts.
        if !service_name.is_empty() && build::find(tags, "service.name").is_none() {
            attributes.push(build::text("service.name", service_name));
        }
        attributes.extend(tags.iter().cloned());
        rename(&mut attributes, "hostname", "host.name");
        if build::find(&attributes, "opencensus.exporterversion").is_none()
            && let Some(version) = build::take_text(&mut attributes, "jaeger.version")
        {
            let version = format!("Jaeger-{version}");
            attributes.push(build::text("opencensus.exporterversion", version));
        }
    }
    Resource { attributes, ..Resource::default() }
}

/// Unless there is one with the new name.
fn rename(attributes: &mut Vec<KeyValue>, from: &str, to: &str) {
    if build::find(attributes, to).is_none()
        && let Some(value) = build::take(attributes, from)
    {
        attributes.push(build::attribute(to, value));
    }
}

fn translate(span: Span) -> OtlpSpan {
    let parent = parent_of(&span);
    let Span {
        trace_id,
        id,
        parent_id: _,
        operation_name,
        references,
        flags,
        start_unix_nano,
        duration_nanos,
        tags: mut attributes,
        logs,
        warnings,
    } = span;
    build::take(&mut attributes, SPAN_FORMAT);
    let kind = kind_of(&mut attributes);
    let status = status_of(&mut attributes, kind);
    let trace_state = build::take_text(&mut attributes, "w3c.tracestate").unwrap_or_default();
    if !warnings.is_empty() {
        attributes.push(build::attribute(WARNINGS, texts(warnings)));
    }
    OtlpSpan {
        trace_id: trace_id.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        trace_state,
        parent_span_id: id_or_none(parent),
        // The sampled flag is the same bit; Jaeger's others mean nothing in OTLP.
        flags: flags & 1,
        name: operation_name,
        kind: kind.into(),
        start_time_unix_nano: start_unix_nano,
        end_time_unix_nano: start_unix_nano.saturating_add(duration_nanos),
        attributes,
        events: logs.into_iter().map(event_of).collect(),
        links: links_of(references, parent),
        status,
        ..OtlpSpan::default()
    }
}

fn id_or_none(id: u64) -> Vec<u8> {
    if id == 0 { Vec::new() } else { id.to_be_bytes().to_vec() }
}

fn texts(texts: Vec<String>) -> Any {
    let value = |text| AnyValue { value: Some(Any::StringValue(text)) };
    Any::ArrayValue(ArrayValue { values: texts.into_iter().map(value).collect() })
}

/// The parent as it is said, or the first reference within the trace: to a parent, else to what the span follows from.
fn parent_of(span: &Span) -> u64 {
    if span.parent_id != 0 {
        return span.parent_id;
    }
    let within = |follows: bool| {
        span.references.iter().find(move |reference| {
            reference.trace_id == span.trace_id && reference.is_follows_from == follows
        })
    };
    within(false).or_else(|| within(true)).map_or(0, |reference| reference.span_id)
}

/// All references but the one that says the parent.
fn links_of(references: Vec<Reference>, parent: u64) -> Vec<Link> {
    let is_parent =
        |reference: &Reference| reference.span_id == parent && !reference.is_follows_from;
    let link = |Reference { trace_id, span_id, is_follows_from }| {
        let kind = if is_follows_from { "follows_from" } else { "child_of" };
        Link {
            trace_id: trace_id.to_be_bytes().to_vec(),
            span_id: span_id.to_be_bytes().to_vec(),
            attributes: vec![build::text("opentracing.ref_type", kind)],
            ..Link::default()
        }
    };
    references.into_iter().filter(|reference| !is_parent(reference)).map(link).collect()
}

fn event_of(log: Log) -> Event {
    let Log { time_unix_nano, fields: mut attributes } = log;
    let name = build::take_text(&mut attributes, "event").unwrap_or_default();
    Event { time_unix_nano, name, attributes, ..Event::default() }
}

fn kind_of(attributes: &mut Vec<KeyValue>) -> SpanKind {
    match build::take_text(attributes, "span.kind").as_deref() {
        Some("client") => SpanKind::Client,
        Some("server") => SpanKind::Server,
        Some("producer") => SpanKind::Producer,
        Some("consumer") => SpanKind::Consumer,
        Some("internal") => SpanKind::Internal,
        _ => SpanKind::Unspecified,
    }
}

/// `error: true` first, then what OpenTelemetry's exporters say, then what the status of HTTP says.
fn status_of(attributes: &mut Vec<KeyValue>, kind: SpanKind) -> Option<Status> {
    let http_message =
        |attributes: &[KeyValue]| match build::find(attributes, "http.status_message") {
            Some(Any::StringValue(text)) => text.clone(),
            _ => String::new(),
        };
    let code = build::take_text(attributes, "otel.status_code");
    if build::find(attributes, "error") == Some(&Any::BoolValue(true)) {
        build::take(attributes, "error");
        let message = build::take_text(attributes, "otel.status_description");
        let message = message.unwrap_or_else(|| http_message(attributes));
        return Some(Status { code: StatusCode::Error.into(), message });
    }
    if let Some(code) = code {
        let code = match code.to_ascii_uppercase().as_str() {
            "OK" => StatusCode::Ok,
            "ERROR" => StatusCode::Error,
            _ => StatusCode::Unset,
        };
        let message = build::take_text(attributes, "otel.status_description").unwrap_or_default();
        return Some(Status { code: code.into(), message });
    }
    let http = match build::find(attributes, "http.status_code")? {
        Any::IntValue(code) => *code,
        Any::StringValue(code) => code.parse().ok()?,
        _ => return None,
    };
    // A server's 4xx is its client's error.
    let is_error = match http {
        100..400 => false,
        400..500 => kind != SpanKind::Server,
        _ => true,
    };
    let code = StatusCode::Error.into();
    is_error.then(|| Status { code, message: http_message(attributes) })
}
