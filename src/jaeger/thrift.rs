//! `jaeger.thrift` and `agent.thrift`, by their field numbers.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;

use super::Error;
use super::model::{Log, Process, Reference, Span, unknown_type};
use super::translate::Translation;
use crate::otlp::build;
use crate::thrift::{Protocol, Reader, ThriftError, Value};

/// A `Batch` in Thrift's binary format, the body of `POST /api/traces`, as the bytes of an OTLP request of at most `bytes_max`.
///
/// # Errors
/// Where the bytes are not such a batch.
pub fn batch(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Error> {
    batch_at(&Reader::new(Protocol::Binary, bytes), bytes_max)
}

/// A packet to the agent: a call of `emitBatch`. As [`batch`].
///
/// # Errors
/// Where the bytes are not such a call.
pub fn packet(protocol: Protocol, bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Error> {
    let mut reader = Reader::new(protocol, bytes);
    let method = reader.call()?;
    if method != b"emitBatch" {
        return Err(Error::Method(String::from_utf8_lossy(method).into_owned()));
    }
    let mut translated = None;
    reader.structure(|field, value| {
        if field == 1 {
            translated = Some(batch_at(&value.reader()?, bytes_max)?);
        }
        Ok::<(), Error>(())
    })?;
    translated.ok_or(Error::Thrift(ThriftError::Truncated))
}

/// The process may stand behind the spans: it is looked for first.
fn batch_at(reader: &Reader<'_>, bytes_max: usize) -> Result<Vec<u8>, Error> {
    let mut process = None;
    reader.clone().structure(|field, value| {
        if field == 1 {
            process = Some(process_of(value)?);
        }
        Ok::<(), Error>(())
    })?;
    let mut translation = Translation::new(process.as_ref(), bytes_max);
    reader.clone().structure(|field, value| {
        if field == 2 {
            value.list(|value| translation.add(span_of(value)?))?;
        }
        Ok::<(), Error>(())
    })?;
    Ok(translation.finish())
}

fn process_of(value: &mut Value<'_, '_>) -> Result<Process, ThriftError> {
    let mut process = Process::default();
    value.structure(|field, value| {
        match field {
            1 => process.service_name = value.text()?,
            2 => process.tags = tags_of(value)?,
            _ => {}
        }
        Ok::<(), ThriftError>(())
    })?;
    Ok(process)
}

fn span_of(value: &mut Value<'_, '_>) -> Result<Span, ThriftError> {
    let mut span = Span::default();
    let mut trace_id = TraceIdHalves::default();
    value.structure(|field, value| {
        match field {
            1 => trace_id.low = value.integer()?,
            2 => trace_id.high = value.integer()?,
            3 => span.id = value.integer()?.cast_unsigned(),
            4 => span.parent_id = value.integer()?.cast_unsigned(),
            5 => span.operation_name = value.text()?,
            6 => span.references = all_of(value, reference_of)?,
            7 => span.flags = flags(value.integer()?),
            8 => span.start_unix_nano = nanos(value.integer()?),
            9 => span.duration_nanos = nanos(value.integer()?),
            10 => span.tags = tags_of(value)?,
            11 => span.logs = all_of(value, log_of)?,
            _ => {}
        }
        Ok::<(), ThriftError>(())
    })?;
    span.trace_id = trace_id.whole();
    Ok(span)
}

#[derive(Default)]
struct TraceIdHalves {
    low: i64,
    high: i64,
}

impl TraceIdHalves {
    fn whole(&self) -> u128 {
        u128::from(self.high.cast_unsigned()) << 64 | u128::from(self.low.cast_unsigned())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "32 bits in the schema")]
fn flags(value: i64) -> u32 {
    value.cast_unsigned() as u32
}

/// From microseconds. Times before 1970 and negative durations are 0.
fn nanos(micros: i64) -> u64 {
    u64::try_from(micros).unwrap_or_default().saturating_mul(1000)
}

fn all_of<T>(
    value: &mut Value<'_, '_>,
    read: impl Fn(&mut Value<'_, '_>) -> Result<T, ThriftError>,
) -> Result<Vec<T>, ThriftError> {
    let mut all = Vec::new();
    value.list(|value| {
        all.push(read(value)?);
        Ok::<(), ThriftError>(())
    })?;
    Ok(all)
}

fn reference_of(value: &mut Value<'_, '_>) -> Result<Reference, ThriftError> {
    let mut reference = Reference::default();
    let mut trace_id = TraceIdHalves::default();
    value.structure(|field, value| {
        match field {
            1 => reference.is_follows_from = value.integer()? != 0,
            2 => trace_id.low = value.integer()?,
            3 => trace_id.high = value.integer()?,
            4 => reference.span_id = value.integer()?.cast_unsigned(),
            _ => {}
        }
        Ok::<(), ThriftError>(())
    })?;
    reference.trace_id = trace_id.whole();
    Ok(reference)
}

fn log_of(value: &mut Value<'_, '_>) -> Result<Log, ThriftError> {
    let mut log = Log::default();
    value.structure(|field, value| {
        match field {
            1 => log.time_unix_nano = nanos(value.integer()?),
            2 => log.fields = tags_of(value)?,
            _ => {}
        }
        Ok::<(), ThriftError>(())
    })?;
    Ok(log)
}

fn tags_of(value: &mut Value<'_, '_>) -> Result<Vec<KeyValue>, ThriftError> {
    all_of(value, tag_of)
}

/// Each type has a field of its own; which one counts is said by a number.
fn tag_of(value: &mut Value<'_, '_>) -> Result<KeyValue, ThriftError> {
    let (mut key, mut kind) = (String::new(), 0);
    let (mut text, mut double, mut boolean, mut long) = (String::new(), 0.0, false, 0);
    let mut binary = &b""[..];
    value.structure(|field, value| {
        match field {
            1 => key = value.text()?,
            2 => kind = value.integer()?,
            3 => text = value.text()?,
            4 => double = value.double()?,
            5 => boolean = value.bool()?,
            6 => long = value.integer()?,
            7 => binary = value.bytes()?,
            _ => {}
        }
        Ok::<(), ThriftError>(())
    })?;
    let value = match kind {
        0 => Any::StringValue(text),
        1 => Any::DoubleValue(double),
        2 => Any::BoolValue(boolean),
        3 => Any::IntValue(long),
        4 => Any::BytesValue(binary.to_vec()),
        kind => Any::StringValue(unknown_type(kind)),
    };
    Ok(build::attribute(key, value))
}
