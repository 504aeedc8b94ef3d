//! An `ExportTraceServiceRequest` put together span by span, for protocols that are translated into OTLP.

use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::trace::wire::put_bytes_field;

/// More bytes than a request may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("as OTLP the request has more than {bytes_max} bytes (max_body_bytes)")]
pub struct BuildError {
    pub bytes_max: usize,
}

/// The request so far: spans by resource and scope, in the order in which each came first.
#[derive(Debug)]
pub struct Builder {
    groups: Vec<Group>,
    by_message: HashMap<(Vec<u8>, Vec<u8>), usize, foldhash::fast::RandomState>,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Group {
    resource: Vec<u8>,
    /// A `ScopeSpans` message.
    scope_spans: Vec<u8>,
}

impl Builder {
    /// For a request of at most so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { groups: Vec::new(), by_message: HashMap::default(), bytes: 0, bytes_max }
    }

    /// Adds a span of this resource and scope.
    ///
    /// # Errors
    /// The request is larger than allowed.
    pub fn add(
        &mut self,
        resource: &Resource,
        scope: &InstrumentationScope,
        span: &Span,
    ) -> Result<(), BuildError> {
        let key = (resource.encode_to_vec(), scope.encode_to_vec());
        let Self { groups, by_message, bytes, bytes_max } = self;
        let index = *by_message.entry(key).or_insert_with_key(|(resource, scope)| {
            let mut scope_spans = Vec::new();
            if !scope.is_empty() {
                put_bytes_field(&mut scope_spans, 1, scope);
            }
            *bytes += resource.len() + scope.len();
            groups.push(Group { resource: resource.clone(), scope_spans });
            groups.len() - 1
        });
        let scope_spans = &mut groups[index].scope_spans;
        let before = scope_spans.len();
        put_bytes_field(scope_spans, 2, &span.encode_to_vec());
        *bytes += scope_spans.len() - before;
        if *bytes > *bytes_max {
            return Err(BuildError { bytes_max: *bytes_max });
        }
        Ok(())
    }

    /// The bytes of the request.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes + 32 * self.groups.len());
        for Group { resource, scope_spans } in self.groups {
            let mut resource_spans = Vec::with_capacity(resource.len() + scope_spans.len() + 16);
            put_bytes_field(&mut resource_spans, 1, &resource);
            put_bytes_field(&mut resource_spans, 2, &scope_spans);
            put_bytes_field(&mut out, 1, &resource_spans);
        }
        out
    }
}

/// An attribute.
pub fn attribute(key: impl Into<String>, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

/// An attribute that is a text.
pub fn text(key: impl Into<String>, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

/// Takes the attribute of this name out of a list, the last one if there are several.
pub fn take(attributes: &mut Vec<KeyValue>, key: &str) -> Option<Value> {
    let mut taken = None;
    attributes.retain_mut(|attribute| {
        if attribute.key != key {
            return true;
        }
        taken = attribute.value.take().and_then(|value| value.value);
        false
    });
    taken
}

/// As [`take`], and as a text: what is of another type is none.
pub fn take_text(attributes: &mut Vec<KeyValue>, key: &str) -> Option<String> {
    match take(attributes, key)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Takes the scope out of the attributes in which OpenTelemetry's exporters to other formats write it, some under its older name too.
pub fn take_scope(attributes: &mut Vec<KeyValue>) -> InstrumentationScope {
    let mut either = |newer, older| {
        let older = take_text(attributes, older);
        take_text(attributes, newer).or(older)
    };
    let Some(name) = either("otel.scope.name", "otel.library.name") else {
        return InstrumentationScope::default();
    };
    let version = either("otel.scope.version", "otel.library.version").unwrap_or_default();
    InstrumentationScope { name, version, ..InstrumentationScope::default() }
}

/// The value of the attribute of this name.
pub fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = attributes.iter().rev().find(|attribute| attribute.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

    use super::*;

    #[test]
    fn spans_are_grouped_by_resource_and_scope() {
        let resource = |name: &str| Resource {
            attributes: vec![text("service.name", name)],
            ..Resource::default()
        };
        let scope = |name: &str| InstrumentationScope {
            name: name.into(),
            ..InstrumentationScope::default()
        };
        let mut builder = Builder::new(1 << 20);
        for (service, library, name) in
            [("a", "", "1"), ("b", "x", "2"), ("a", "", "3"), ("a", "x", "4")]
        {
            let span = Span { name: name.into(), ..Span::default() };
            builder.add(&resource(service), &scope(library), &span).unwrap();
        }
        let request = ExportTraceServiceRequest::decode(&builder.finish()[..]).unwrap();
        let seen: Vec<_> = request
            .resource_spans
            .iter()
            .map(|group| {
                let spans = &group.scope_spans[0];
                let names: String = spans.spans.iter().map(|span| span.name.as_str()).collect();
                let scope = spans.scope.clone().unwrap_or_default();
                (group.resource.clone().unwrap(), scope.name, names)
            })
            .collect();
        let expected = [("a", "", "13"), ("b", "x", "2"), ("a", "x", "4")];
        assert_eq!(seen, expected.map(|(r, s, n)| (resource(r), s.to_owned(), n.to_owned())));
    }

    #[test]
    fn a_request_is_no_larger_than_allowed() {
        let mut builder = Builder::new(100);
        let span = Span { name: "n".repeat(60), ..Span::default() };
        let (resource, scope) = (Resource::default(), InstrumentationScope::default());
        builder.add(&resource, &scope, &span).unwrap();
        assert_eq!(builder.add(&resource, &scope, &span), Err(BuildError { bytes_max: 100 }));
    }

    #[test]
    fn an_attribute_is_taken_once_and_the_last_counts() {
        let mut attributes = vec![text("a", "1"), text("b", "2"), text("a", "3")];
        assert_eq!(find(&attributes, "a"), Some(&Value::StringValue("3".into())));
        assert_eq!(take_text(&mut attributes, "a").as_deref(), Some("3"));
        assert_eq!(take(&mut attributes, "a"), None);
        assert_eq!(attributes, [text("b", "2")]);
    }

    #[test]
    fn a_scope_is_taken_under_both_its_names() {
        let mut attributes = vec![
            text("otel.library.name", "lib"),
            text("otel.scope.name", "lib"),
            text("otel.library.version", "1"),
            text("a", "b"),
        ];
        let scope = take_scope(&mut attributes);
        assert_eq!((scope.name.as_str(), scope.version.as_str()), ("lib", "1"));
        assert_eq!(attributes, [text("a", "b")]);
        assert_eq!(take_scope(&mut attributes), InstrumentationScope::default());
    }
}
