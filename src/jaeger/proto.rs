//! `api_v2/collector.proto` and `model.proto`, by their field numbers.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;

use super::Error;
use super::model::{Log, Process, Reference, Span, unknown_type};
use super::translate::Translation;
use crate::otlp::build;
use crate::trace::wire::{Fields, WireError};

/// A `PostSpansRequest` as the bytes of an OTLP request of at most `bytes_max`. A span's own process goes before the batch's.
///
/// # Errors
/// Where the bytes are not such a request, or an id has another length than ids have.
pub fn post_spans(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Error> {
    let mut process = None;
    for field in batches(bytes) {
        for field in Fields::of(field?) {
            let field = field?;
            if field.number == 2 {
                process = Some(process_of(field.bytes()?)?);
            }
        }
    }
    let mut translation = Translation::new(process.as_ref(), bytes_max);
    for field in batches(bytes) {
        for field in Fields::of(field?) {
            let field = field?;
            if field.number == 1 {
                let (span, process) = span_of(field.bytes()?)?;
                translation.add_of(span, process.as_ref())?;
            }
        }
    }
    Ok(translation.finish())
}

/// The batch of a request; one that comes in parts is the sum of them.
fn batches(request: &[u8]) -> impl Iterator<Item = Result<&[u8], WireError>> {
    Fields::of(request).filter_map(|field| match field {
        Ok(field) => (field.number == 1).then(|| field.bytes()),
        Err(error) => Some(Err(error)),
    })
}

fn process_of(message: &[u8]) -> Result<Process, WireError> {
    let mut process = Process::default();
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => field.text()?.clone_into(&mut process.service_name),
            2 => process.tags.push(tag_of(field.bytes()?)?),
            _ => {}
        }
    }
    Ok(process)
}

fn span_of(message: &[u8]) -> Result<(Span, Option<Process>), Error> {
    let mut span = Span::default();
    let mut process = None;
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => span.trace_id = trace_id(field.bytes()?)?,
            2 => span.id = span_id(field.bytes()?)?,
            3 => field.text()?.clone_into(&mut span.operation_name),
            4 => span.references.push(reference_of(field.bytes()?)?),
            5 => span.flags = field.varint32()?,
            6 => span.start_unix_nano = nanos(field.bytes()?)?,
            7 => span.duration_nanos = nanos(field.bytes()?)?,
            8 => span.tags.push(tag_of(field.bytes()?)?),
            9 => span.logs.push(log_of(field.bytes()?)?),
            10 => process = Some(process_of(field.bytes()?)?),
            12 => span.warnings.push(field.text()?.to_owned()),
            _ => {}
        }
    }
    Ok((span, process))
}

fn trace_id(bytes: &[u8]) -> Result<u128, Error> {
    if let Ok(whole) = bytes.try_into() {
        return Ok(u128::from_be_bytes(whole));
    }
    let half: [u8; 8] = bytes.try_into().map_err(|_| Error::TraceId(bytes.len()))?;
    Ok(u64::from_be_bytes(half).into())
}

fn span_id(bytes: &[u8]) -> Result<u64, Error> {
    let bytes: [u8; 8] = bytes.try_into().map_err(|_| Error::SpanId(bytes.len()))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Of a `Timestamp` or `Duration`. What is negative is 0.
fn nanos(message: &[u8]) -> Result<u64, WireError> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => seconds = field.varint()?.cast_signed(),
            2 => nanos = field.varint32()?.cast_signed().into(),
            _ => {}
        }
    }
    let sum = seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    Ok(u64::try_from(sum).unwrap_or_default())
}

fn reference_of(message: &[u8]) -> Result<Reference, Error> {
    let mut reference = Reference::default();
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => reference.trace_id = trace_id(field.bytes()?)?,
            2 => reference.span_id = span_id(field.bytes()?)?,
            3 => reference.is_follows_from = field.varint()? != 0,
            _ => {}
        }
    }
    Ok(reference)
}

fn log_of(message: &[u8]) -> Result<Log, WireError> {
    let mut log = Log::default();
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => log.time_unix_nano = nanos(field.bytes()?)?,
            2 => log.fields.push(tag_of(field.bytes()?)?),
            _ => {}
        }
    }
    Ok(log)
}

/// Each type has a field of its own; which one counts is said by a number.
fn tag_of(message: &[u8]) -> Result<KeyValue, WireError> {
    let (mut key, mut kind) = ("", 0);
    let (mut text, mut boolean, mut long, mut double) = ("", false, 0, 0.0);
    let mut binary = &b""[..];
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => key = field.text()?,
            2 => kind = field.varint32()?,
            3 => text = field.text()?,
            4 => boolean = field.varint()? != 0,
            5 => long = field.varint()?.cast_signed(),
            6 => double = f64::from_bits(field.fixed64()?),
            7 => binary = field.bytes()?,
            _ => {}
        }
    }
    let value = match kind {
        0 => Any::StringValue(text.to_owned()),
        1 => Any::BoolValue(boolean),
        2 => Any::IntValue(long),
        3 => Any::DoubleValue(double),
        4 => Any::BytesValue(binary.to_vec()),
        kind => Any::StringValue(unknown_type(kind.cast_signed().into())),
    };
    Ok(build::attribute(key, value))
}
