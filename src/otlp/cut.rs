//! Texts of attributes cut to a length, with a word about it beside them.
//!
//! What has an attribute that is cut (a span, an event, a link, a resource, a scope) gets the attribute [`CUT_ATTRIBUTES`], a
//! list of the keys. Only texts are cut, not those in arrays and maps, nor bytes.

use crate::trace::wire::{Fields, Wire, WireError, close_message, open_message, put_bytes_field};

/// The key of the attribute that names the attributes that were cut.
pub const CUT_ATTRIBUTES: &str = "vivace.cut_attributes";

/// The messages of a request that have attributes or lead to such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Request,
    ResourceSpans,
    Resource,
    ScopeSpans,
    Scope,
    Span,
    Event,
    Link,
}

impl Level {
    /// The message in a field.
    fn below(self, number: u32) -> Option<Self> {
        Some(match (self, number) {
            (Self::Request, 1) => Self::ResourceSpans,
            (Self::ResourceSpans, 1) => Self::Resource,
            (Self::ResourceSpans, 2) => Self::ScopeSpans,
            (Self::ScopeSpans, 1) => Self::Scope,
            (Self::ScopeSpans, 2) => Self::Span,
            (Self::Span, 11) => Self::Event,
            (Self::Span, 13) => Self::Link,
            _ => return None,
        })
    }

    /// The number of the field of attributes.
    fn attributes(self) -> Option<u32> {
        match self {
            Self::Resource => Some(1),
            Self::Scope | Self::Event => Some(3),
            Self::Link => Some(4),
            Self::Span => Some(9),
            Self::Request | Self::ResourceSpans | Self::ScopeSpans => None,
        }
    }
}

/// The request with texts of at most so many bytes, and how many were cut; none if there are no longer ones, or if it is not
/// protobuf, which decoding tells.
pub fn cut_attributes(body: &[u8], bytes_max: usize) -> Option<(Vec<u8>, u64)> {
    let mut cutting = Cutting { bytes_max, count: 0, out: Vec::with_capacity(body.len()) };
    cutting.message(Level::Request, body).ok()?;
    (cutting.count > 0).then_some((cutting.out, cutting.count))
}

struct Cutting {
    bytes_max: usize,
    count: u64,
    out: Vec<u8>,
}

impl Cutting {
    /// Writes the content of a message.
    fn message(&mut self, level: Level, message: &[u8]) -> Result<(), WireError> {
        let mut cut: Vec<&[u8]> = Vec::new();
        for field in Fields::of(message) {
            let field = field?;
            if let (Some(below), Wire::Bytes(bytes)) = (level.below(field.number), field.value) {
                let start = open_message(&mut self.out, field.number);
                self.message(below, bytes)?;
                close_message(&mut self.out, start);
            } else if let Some((key, text)) = self.long_text(level, field.number, field.value)? {
                let start = open_message(&mut self.out, field.number);
                put_bytes_field(&mut self.out, 1, key);
                let value = open_message(&mut self.out, 2);
                put_bytes_field(&mut self.out, 1, text.as_bytes());
                close_message(&mut self.out, value);
                close_message(&mut self.out, start);
                cut.push(key);
            } else {
                self.out.extend_from_slice(field.raw);
            }
        }
        if let (Some(number), false) = (level.attributes(), cut.is_empty()) {
            self.count += cut.len() as u64;
            self.tell(number, &cut);
        }
        Ok(())
    }

    /// The key and what stays of the text of an attribute that is too long. None for attributes of an unusual shape.
    fn long_text<'a>(
        &self,
        level: Level,
        number: u32,
        value: Wire<'a>,
    ) -> Result<Option<(&'a [u8], &'a str)>, WireError> {
        let Wire::Bytes(attribute) = value else { return Ok(None) };
        if level.attributes() != Some(number) || attribute.len() <= self.bytes_max {
            return Ok(None);
        }
        let (mut key, mut text) = (None, None);
        for field in Fields::of(attribute) {
            let field = field?;
            match (field.number, field.value) {
                (1, Wire::Bytes(bytes)) if key.is_none() => key = Some(bytes),
                (2, Wire::Bytes(any)) if text.is_none() => text = only_text(any),
                _ => return Ok(None),
            }
        }
        let (Some(key), Some(text)) = (key, text) else { return Ok(None) };
        let is_long = text.len() > self.bytes_max;
        let kept = text.split_at(text.floor_char_boundary(self.bytes_max)).0;
        Ok(is_long.then_some((key, kept)))
    }

    /// Writes the attribute that names what was cut.
    fn tell(&mut self, number: u32, keys: &[&[u8]]) {
        let out = &mut self.out;
        let attribute = open_message(out, number);
        put_bytes_field(out, 1, CUT_ATTRIBUTES.as_bytes());
        let value = open_message(out, 2);
        let array = open_message(out, 5);
        for key in keys {
            let element = open_message(out, 1);
            put_bytes_field(out, 1, key);
            close_message(out, element);
        }
        close_message(out, array);
        close_message(out, value);
        close_message(out, attribute);
    }
}

/// The text of an `AnyValue` that is one and nothing else.
fn only_text(any: &[u8]) -> Option<&str> {
    let mut fields = Fields::of(any);
    let field = fields.next()?.ok()?;
    (field.number == 1 && fields.next().is_none()).then(|| field.text().ok())?
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message;

    use super::*;
    use crate::otlp::{span_count, span_sizes};
    use crate::trace::TraceId;

    fn attribute(key: &str, value: Value) -> KeyValue {
        let value = Some(AnyValue { value: Some(value) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    }

    fn text(key: &str, text: &str) -> KeyValue {
        attribute(key, Value::StringValue(text.to_owned()))
    }

    /// A request whose attributes are all these.
    fn request(attributes: &[KeyValue]) -> ExportTraceServiceRequest {
        let attributes = attributes.to_vec();
        let event =
            Event { name: "e".repeat(50), attributes: attributes.clone(), ..Event::default() };
        let link = Link { attributes: attributes.clone(), ..Link::default() };
        let span = Span {
            trace_id: vec![7; 16],
            span_id: vec![7; 8],
            name: "n".repeat(50),
            attributes: attributes.clone(),
            events: vec![event],
            links: vec![link],
            ..Span::default()
        };
        let scope = InstrumentationScope {
            attributes: attributes.clone(),
            ..InstrumentationScope::default()
        };
        let scope_spans =
            ScopeSpans { scope: Some(scope), spans: vec![span], schema_url: "s".repeat(50) };
        let resource = Resource { attributes, ..Resource::default() };
        let resource_spans = ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![scope_spans],
            schema_url: String::new(),
        };
        ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
    }

    #[test]
    fn long_texts_are_cut_everywhere_and_named() {
        let bytes = attribute("bytes", Value::BytesValue(vec![1; 50]));
        let came = [text("long", "aaaaüüü"), text("short", "aaaaü"), bytes.clone()];
        let (cut, count) = cut_attributes(&request(&came).encode_to_vec(), 6).unwrap();
        assert_eq!(count, 5);
        let keys = opentelemetry_proto::tonic::common::v1::ArrayValue {
            values: vec![AnyValue { value: Some(Value::StringValue("long".to_owned())) }],
        };
        let named = attribute(CUT_ATTRIBUTES, Value::ArrayValue(keys));
        let left = [text("long", "aaaaü"), text("short", "aaaaü"), bytes, named];
        assert_eq!(ExportTraceServiceRequest::decode(&*cut).unwrap(), request(&left));
    }

    #[test]
    fn what_is_short_or_broken_stays_as_it_came() {
        let body = request(&[text("a", "bcdefgh")]).encode_to_vec();
        assert_eq!(cut_attributes(&body, 7), None);
        assert!(cut_attributes(&body, 6).is_some());
        assert_eq!(cut_attributes(&body[..body.len() - 1], 6), None);
    }

    #[test]
    fn spans_are_counted_with_their_sizes() {
        let mut many = request(&[]);
        let spans = &mut many.resource_spans[0].scope_spans[0].spans;
        spans.push(Span { trace_id: vec![1; 3], ..Span::default() });
        let bytes = spans[0].encoded_len() as u64;
        let body = many.encode_to_vec();
        let found = span_sizes(&body).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], SpanSize { trace: Some(TraceId([7; 16])), bytes });
        assert_eq!(found[1], SpanSize { trace: None, bytes: 5 });
        assert_eq!((span_count(&body), span_count(&body[..body.len() - 1])), (2, 0));
    }

    use crate::otlp::SpanSize;
}
