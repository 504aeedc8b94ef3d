//! `zipkin.proto` of version 2, by its field numbers.

use std::net::{Ipv4Addr, Ipv6Addr};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::Error;
use super::model::{Annotation, Endpoint, Span};
use super::translate::Translation;
use crate::otlp::build;
use crate::trace::wire::{Fields, WireError};

/// A `ListOfSpans` as the bytes of an OTLP request of at most `bytes_max`.
///
/// # Errors
/// Where the bytes are not such a list, or an id has another length than ids have.
pub fn protobuf(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Error> {
    let mut translation = Translation::new(bytes_max);
    for field in Fields::of(bytes) {
        let field = field?;
        if field.number == 1 {
            translation.add(span_of(field.bytes()?)?)?;
        }
    }
    Ok(translation.finish())
}

fn span_of(message: &[u8]) -> Result<Span, Error> {
    let mut span = Span::default();
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => span.trace_id = trace_id(field.bytes()?)?,
            2 => span.parent_id = parent_id(field.bytes()?)?,
            3 => span.id = span_id(field.bytes()?)?,
            4 => span.kind = kind(field.varint()?),
            5 => field.text()?.clone_into(&mut span.name),
            6 => span.start_micros = field.fixed64()?,
            7 => span.duration_micros = field.varint()?,
            8 => span.local = endpoint_of(field.bytes()?)?,
            9 => span.remote = endpoint_of(field.bytes()?)?,
            10 => span.annotations.push(annotation_of(field.bytes()?)?),
            11 => {
                let (key, value) = entry_of(field.bytes()?)?;
                span.tags.push(build::text(key, value));
            }
            12 => span.is_debug = field.varint()? != 0,
            13 => span.is_shared = field.varint()? != 0,
            _ => {}
        }
    }
    Ok(span)
}

fn trace_id(bytes: &[u8]) -> Result<u128, Error> {
    match bytes.try_into() {
        Ok(whole) => Ok(u128::from_be_bytes(whole)),
        Err(_) => span_id(bytes).map(u128::from),
    }
}

fn span_id(bytes: &[u8]) -> Result<u64, Error> {
    let bytes: [u8; 8] = bytes.try_into().map_err(|_| Error::IdBytes(bytes.len()))?;
    Ok(u64::from_be_bytes(bytes))
}

fn parent_id(bytes: &[u8]) -> Result<u64, Error> {
    if bytes.is_empty() { Ok(0) } else { span_id(bytes) }
}

fn kind(number: u64) -> SpanKind {
    match number {
        1 => SpanKind::Client,
        2 => SpanKind::Server,
        3 => SpanKind::Producer,
        4 => SpanKind::Consumer,
        _ => SpanKind::Unspecified,
    }
}

fn endpoint_of(message: &[u8]) -> Result<Endpoint, WireError> {
    let mut endpoint = Endpoint::default();
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => field.text()?.clone_into(&mut endpoint.service_name),
            2 => endpoint.ipv4 = address::<4, Ipv4Addr>(field.bytes()?),
            3 => endpoint.ipv6 = address::<16, Ipv6Addr>(field.bytes()?),
            4 => endpoint.port = u16::try_from(field.varint32()?).unwrap_or_default(),
            _ => {}
        }
    }
    Ok(endpoint)
}

/// Bytes of another length are no address.
pub(super) fn address<const N: usize, A: From<[u8; N]> + ToString>(bytes: &[u8]) -> String {
    <[u8; N]>::try_from(bytes).map_or_else(|_| String::new(), |bytes| A::from(bytes).to_string())
}

fn annotation_of(message: &[u8]) -> Result<Annotation, WireError> {
    let mut annotation = Annotation::default();
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => annotation.time_micros = field.fixed64()?,
            2 => field.text()?.clone_into(&mut annotation.value),
            _ => {}
        }
    }
    Ok(annotation)
}

fn entry_of(message: &[u8]) -> Result<(&str, &str), WireError> {
    let (mut key, mut value) = ("", "");
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => key = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((key, value))
}
