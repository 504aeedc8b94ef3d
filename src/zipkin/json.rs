//! JSON of both versions, a list of spans, read one by one.

use std::fmt;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use super::Error;
use super::model::{Annotation, Endpoint, Span};
use super::translate::Translation;
use super::version_1::{self, Binary, Core};
use crate::otlp::build;

/// A list of spans of version 2 as the bytes of an OTLP request of at most `bytes_max`.
///
/// # Errors
/// Where the text is not such a list.
pub fn json_2(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Error> {
    let mut translation = Translation::new(bytes_max);
    each(bytes, |span| translation.add(span.into_version_2()?))?;
    Ok(translation.finish())
}

/// As [`json_2`], of version 1.
///
/// # Errors
/// Where the text is not such a list.
pub fn json_1(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Error> {
    let mut translation = Translation::new(bytes_max);
    each(bytes, |span| {
        let spans = version_1::upgrade(span.into_version_1()?);
        spans.into_iter().try_for_each(|span| translation.add(span))
    })?;
    Ok(translation.finish())
}

/// A span of either version.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonSpan {
    trace_id: String,
    parent_id: Option<String>,
    id: String,
    kind: Option<String>,
    name: Option<String>,
    timestamp: Option<i64>,
    duration: Option<i64>,
    local_endpoint: Option<JsonEndpoint>,
    remote_endpoint: Option<JsonEndpoint>,
    annotations: Option<Vec<JsonAnnotation>>,
    binary_annotations: Option<Vec<JsonBinary>>,
    tags: Option<serde_json::Map<String, serde_json::Value>>,
    debug: Option<bool>,
    shared: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonEndpoint {
    service_name: Option<String>,
    ipv4: Option<String>,
    ipv6: Option<String>,
    port: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JsonAnnotation {
    timestamp: i64,
    value: String,
    endpoint: Option<JsonEndpoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JsonBinary {
    key: String,
    value: serde_json::Value,
    endpoint: Option<JsonEndpoint>,
}

impl JsonSpan {
    fn common(&mut self) -> Result<Span, Error> {
        let parent = self.parent_id.take().filter(|id| !id.is_empty());
        Ok(Span {
            trace_id: hex(&self.trace_id, 32)?,
            parent_id: parent.map_or(Ok(0), |id| span_id(&id))?,
            id: span_id(&self.id)?,
            name: self.name.take().unwrap_or_default(),
            start_micros: micros(self.timestamp.unwrap_or_default()),
            duration_micros: micros(self.duration.unwrap_or_default()),
            is_debug: self.debug.unwrap_or_default(),
            ..Span::default()
        })
    }

    fn into_version_2(mut self) -> Result<Span, Error> {
        let kind = match self.kind.as_deref() {
            Some("CLIENT") => SpanKind::Client,
            Some("SERVER") => SpanKind::Server,
            Some("PRODUCER") => SpanKind::Producer,
            Some("CONSUMER") => SpanKind::Consumer,
            _ => SpanKind::Unspecified,
        };
        let annotation = |JsonAnnotation { timestamp, value, endpoint: _ }| Annotation {
            time_micros: micros(timestamp),
            value,
        };
        let tags = self.tags.take().unwrap_or_default().into_iter();
        Ok(Span {
            kind,
            local: endpoint(self.local_endpoint.take()),
            remote: endpoint(self.remote_endpoint.take()),
            annotations: self.annotations.take().into_iter().flatten().map(annotation).collect(),
            tags: tags.map(|(key, value)| build::text(key, text(value))).collect(),
            is_shared: self.shared.unwrap_or_default(),
            ..self.common()?
        })
    }

    fn into_version_1(mut self) -> Result<version_1::Span, Error> {
        let core = |annotation: JsonAnnotation| Core {
            time_micros: micros(annotation.timestamp),
            value: annotation.value,
            endpoint: endpoint(annotation.endpoint),
        };
        let binary = |JsonBinary { key, value, endpoint: at }: JsonBinary| Binary {
            tag: build::text(key, text(value)),
            endpoint: endpoint(at),
        };
        Ok(version_1::Span {
            annotations: self.annotations.take().into_iter().flatten().map(core).collect(),
            binaries: self.binary_annotations.take().into_iter().flatten().map(binary).collect(),
            common: self.common()?,
        })
    }
}

fn endpoint(endpoint: Option<JsonEndpoint>) -> Endpoint {
    let JsonEndpoint { service_name, ipv4, ipv6, port } = endpoint.unwrap_or_default();
    Endpoint {
        service_name: service_name.unwrap_or_default(),
        ipv4: ipv4.unwrap_or_default(),
        ipv6: ipv6.unwrap_or_default(),
        port: port.and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
    }
}

/// Values are texts; what some write without quotes is taken as it is written.
fn text(value: serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text,
        value => value.to_string(),
    }
}

/// Times before 1970 are 0.
fn micros(time: i64) -> u64 {
    u64::try_from(time).unwrap_or_default()
}

fn span_id(text: &str) -> Result<u64, Error> {
    let id = hex(text, 16)?;
    Ok(u64::try_from(id).expect("16 digits are 64 bits"))
}

/// Zeros in front may be left out.
fn hex(text: &str, digits_max: usize) -> Result<u128, Error> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit()) && text.len() <= digits_max;
    let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex);
    number.ok_or_else(|| Error::Id(text.chars().take(40).collect(), digits_max))
}

/// Gives the spans of a list to `take`, so that never all are in memory.
fn each(bytes: &[u8], take: impl FnMut(JsonSpan) -> Result<(), Error>) -> Result<(), Error> {
    let mut each = Each { take, error: None };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = reader.deserialize_seq(&mut each).and_then(|()| reader.end());
    match (each.error, read) {
        (Some(error), _) => Err(error),
        (None, read) => read.map_err(|error| Error::Json(error.to_string())),
    }
}

struct Each<F> {
    take: F,
    error: Option<Error>,
}

impl<'de, F: FnMut(JsonSpan) -> Result<(), Error>> Visitor<'de> for &mut Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of spans")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut spans: A) -> Result<(), A::Error> {
        while let Some(span) = spans.next_element::<Option<JsonSpan>>()? {
            if let Err(error) = span.map_or(Ok(()), |span| (self.take)(span)) {
                self.error = Some(error);
                return Err(A::Error::custom("a span is wrong"));
            }
        }
        Ok(())
    }
}
