//! Traces as plain structs, their OTLP form, and how they look in the report of a difference.

use std::fmt;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Wire;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource as WireResource;
use opentelemetry_proto::tonic::trace::v1::span::{Event as WireEvent, Link as WireLink};
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as WireSpan, Status as WireStatus,
};
use prost::Message;

/// Keys and values in the order in which they are sent; a key may come twice.
pub(crate) type Attributes = Vec<(String, Any)>;

/// A value as it is sent.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Any {
    Text(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    List(Vec<Any>),
    Map(Vec<(String, Any)>),
    Bytes(Vec<u8>),
    /// An `AnyValue` in which nothing is set.
    Unset,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Event {
    /// Unix nanoseconds.
    pub(crate) time: u64,
    pub(crate) name: String,
    pub(crate) attributes: Attributes,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Link {
    pub(crate) trace: u128,
    pub(crate) span: u64,
    pub(crate) attributes: Attributes,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) attributes: Attributes,
}

/// A span as it is sent, with what is around it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Span {
    pub(crate) trace: u128,
    pub(crate) id: u64,
    /// 0 for none.
    pub(crate) parent: u64,
    pub(crate) name: String,
    /// OTLP's number.
    pub(crate) kind: i32,
    /// OTLP's number: 0 unset, 1 ok, 2 error.
    pub(crate) status: i32,
    pub(crate) message: String,
    /// Unix nanoseconds. The end may be before the start.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) attributes: Attributes,
    pub(crate) events: Vec<Event>,
    pub(crate) links: Vec<Link>,
    pub(crate) resource: Attributes,
    pub(crate) scope: Scope,
    /// The push in which it is sent.
    pub(crate) push: usize,
}

/// The body of a request with these spans: a resource for each, which is what the worst exporters do.
pub(crate) fn body<'a>(spans: impl Iterator<Item = &'a Span>) -> Vec<u8> {
    let groups = spans.map(|span| ResourceSpans {
        resource: Some(WireResource {
            attributes: pairs(&span.resource),
            ..WireResource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: span.scope.name.clone(),
                version: span.scope.version.clone(),
                attributes: pairs(&span.scope.attributes),
                dropped_attributes_count: 0,
            }),
            spans: vec![wire_span(span)],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    });
    ExportTraceServiceRequest { resource_spans: groups.collect() }.encode_to_vec()
}

fn wire_span(span: &Span) -> WireSpan {
    WireSpan {
        trace_id: span.trace.to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        parent_span_id: match span.parent {
            0 => Vec::new(),
            parent => parent.to_be_bytes().to_vec(),
        },
        name: span.name.clone(),
        kind: span.kind,
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        attributes: pairs(&span.attributes),
        events: span.events.iter().map(wire_event).collect(),
        links: span.links.iter().map(wire_link).collect(),
        status: Some(WireStatus { message: span.message.clone(), code: span.status }),
        ..WireSpan::default()
    }
}

fn wire_event(event: &Event) -> WireEvent {
    WireEvent {
        time_unix_nano: event.time,
        name: event.name.clone(),
        attributes: pairs(&event.attributes),
        dropped_attributes_count: 0,
    }
}

fn wire_link(link: &Link) -> WireLink {
    WireLink {
        trace_id: link.trace.to_be_bytes().to_vec(),
        span_id: link.span.to_be_bytes().to_vec(),
        attributes: pairs(&link.attributes),
        ..WireLink::default()
    }
}

fn pairs(attributes: &[(String, Any)]) -> Vec<KeyValue> {
    let pair = |(key, value): &(String, Any)| KeyValue {
        key: key.clone(),
        value: Some(wire_value(value)),
        ..KeyValue::default()
    };
    attributes.iter().map(pair).collect()
}

fn wire_value(value: &Any) -> AnyValue {
    let value = match value {
        Any::Text(text) => Some(Wire::StringValue(text.clone())),
        Any::Int(value) => Some(Wire::IntValue(*value)),
        Any::Double(value) => Some(Wire::DoubleValue(*value)),
        Any::Bool(value) => Some(Wire::BoolValue(*value)),
        Any::List(items) => {
            Some(Wire::ArrayValue(ArrayValue { values: items.iter().map(wire_value).collect() }))
        }
        Any::Map(entries) => Some(Wire::KvlistValue(KeyValueList { values: pairs(entries) })),
        Any::Bytes(bytes) => Some(Wire::BytesValue(bytes.clone())),
        Any::Unset => None,
    };
    AnyValue { value }
}

impl fmt::Display for Any {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Double(value) => write!(f, "{value:?}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (place, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if place > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Map(entries) => write!(f, "{{{}}}", Listed(entries)),
            Self::Bytes(bytes) => write!(f, "bytes {bytes:?}"),
            Self::Unset => f.write_str("(not set)"),
        }
    }
}

/// Attributes on one line.
struct Listed<'a>(&'a [(String, Any)]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (key, value)) in self.0.iter().enumerate() {
            write!(f, "{}{key}={value}", if place > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

/// A span on one line, and a line for each of its events and links.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, id, parent, name, kind, status, message, start, end, .. } = self;
        write!(f, "push {} trace {trace:x} span {id:x} parent {parent:x} {name:?}", self.push)?;
        write!(f, " kind {kind} status {status} {message:?} start {start} end {end}")?;
        write!(f, "\n    span: {}", Listed(&self.attributes))?;
        write!(f, "\n    resource: {}", Listed(&self.resource))?;
        let Scope { name, version, attributes } = &self.scope;
        write!(f, "\n    scope {name:?} {version:?}: {}", Listed(attributes))?;
        for Event { time, name, attributes } in &self.events {
            write!(f, "\n    event {name:?} at {time}: {}", Listed(attributes))?;
        }
        for Link { trace, span, attributes } in &self.links {
            write!(f, "\n    link {trace:x} {span:x}: {}", Listed(attributes))?;
        }
        Ok(())
    }
}
