//! `zipkinCore.thrift` of version 1, by its field numbers.

use std::net::{Ipv4Addr, Ipv6Addr};

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;

use super::Error;
use super::model::Endpoint;
use super::proto::address;
use super::translate::Translation;
use super::version_1::{self, Binary, Core, Span};
use crate::otlp::build;
use crate::thrift::{Protocol, Reader, ThriftError, Value};

/// A list of spans in Thrift's binary format as the bytes of an OTLP request of at most `bytes_max`.
///
/// # Errors
/// Where the bytes are not such a list.
pub fn thrift(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Error> {
    let mut translation = Translation::new(bytes_max);
    Reader::new(Protocol::Binary, bytes).list(|value| {
        let spans = version_1::upgrade(span_of(value)?);
        spans.into_iter().try_for_each(|span| translation.add(span))
    })?;
    Ok(translation.finish())
}

fn span_of(value: &mut Value<'_, '_>) -> Result<Span, ThriftError> {
    let mut read = Span::default();
    let (mut low, mut high) = (0, 0);
    value.structure(|field, value| {
        let span = &mut read.common;
        match field {
            1 => low = value.integer()?.cast_unsigned(),
            3 => span.name = value.text()?,
            4 => span.id = value.integer()?.cast_unsigned(),
            5 => span.parent_id = value.integer()?.cast_unsigned(),
            6 => value.list(|value| {
                read.annotations.push(annotation_of(value)?);
                Ok::<(), ThriftError>(())
            })?,
            8 => value.list(|value| {
                read.binaries.push(binary_of(value)?);
                Ok::<(), ThriftError>(())
            })?,
            9 => span.is_debug = value.bool()?,
            10 => span.start_micros = micros(value.integer()?),
            11 => span.duration_micros = micros(value.integer()?),
            12 => high = value.integer()?.cast_unsigned(),
            _ => {}
        }
        Ok::<(), ThriftError>(())
    })?;
    read.common.trace_id = u128::from(high) << 64 | u128::from(low);
    Ok(read)
}

/// Times before 1970 are 0.
fn micros(time: i64) -> u64 {
    u64::try_from(time).unwrap_or_default()
}

fn annotation_of(value: &mut Value<'_, '_>) -> Result<Core, ThriftError> {
    let mut core = Core::default();
    value.structure(|field, value| {
        match field {
            1 => core.time_micros = micros(value.integer()?),
            2 => core.value = value.text()?,
            3 => core.endpoint = endpoint_of(value)?,
            _ => {}
        }
        Ok::<(), ThriftError>(())
    })?;
    Ok(core)
}

fn endpoint_of(value: &mut Value<'_, '_>) -> Result<Endpoint, ThriftError> {
    let mut endpoint = Endpoint::default();
    value.structure(|field, value| {
        match field {
            1 => {
                let bits = value.integer()? & i64::from(u32::MAX);
                let bits = u32::try_from(bits).unwrap_or_default();
                if bits != 0 {
                    endpoint.ipv4 = Ipv4Addr::from_bits(bits).to_string();
                }
            }
            // Signed on the wire: ports from 32768 come as negative numbers.
            2 => endpoint.port = u16::try_from(value.integer()? & 0xffff).unwrap_or_default(),
            3 => endpoint.service_name = value.text()?,
            4 => endpoint.ipv6 = address::<16, Ipv6Addr>(value.bytes()?),
            _ => {}
        }
        Ok::<(), ThriftError>(())
    })?;
    Ok(endpoint)
}

fn binary_of(value: &mut Value<'_, '_>) -> Result<Binary, ThriftError> {
    let (mut key, mut bytes, mut kind) = (String::new(), &b""[..], 6);
    let mut endpoint = Endpoint::default();
    value.structure(|field, value| {
        match field {
            1 => key = value.text()?,
            2 => bytes = value.bytes()?,
            3 => kind = value.integer()?,
            4 => endpoint = endpoint_of(value)?,
            _ => {}
        }
        Ok::<(), ThriftError>(())
    })?;
    Ok(Binary { tag: build::attribute(key, typed(kind, bytes)), endpoint })
}

/// What the bytes are by their type; what does not fit it stays bytes.
fn typed(kind: i64, bytes: &[u8]) -> Any {
    let value = match (kind, bytes.len()) {
        (0, 1) => Some(Any::BoolValue(bytes == [1])),
        (2, _) => bytes.try_into().ok().map(|b| Any::IntValue(i16::from_be_bytes(b).into())),
        (3, _) => bytes.try_into().ok().map(|b| Any::IntValue(i32::from_be_bytes(b).into())),
        (4, _) => bytes.try_into().ok().map(|b| Any::IntValue(i64::from_be_bytes(b))),
        (5, _) => bytes.try_into().ok().map(|b| Any::DoubleValue(f64::from_be_bytes(b))),
        (6, _) => Some(Any::StringValue(String::from_utf8_lossy(bytes).into_owned())),
        _ => None,
    };
    value.unwrap_or_else(|| Any::BytesValue(bytes.to_vec()))
}
