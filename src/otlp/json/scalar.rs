//! One scalar of OTLP/JSON into a protobuf field.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{Deserializer, Error, Unexpected, Visitor};

use crate::otlp::schema::{FieldDef, Kind};
use crate::trace::wire::{put_bytes_field, put_fixed32_field, put_fixed64_field, put_varint_field};

/// Reads a value of the field's kind and writes it, unless it is zero and zeros need not be written.
pub(super) fn read<'de, D: Deserializer<'de>>(
    field: &'static FieldDef,
    zero_is_written: bool,
    out: &mut Vec<u8>,
    deserializer: D,
) -> Result<(), D::Error> {
    let visitor = Scalar { field, zero_is_written, out };
    match field.kind {
        // As bytes: a text may hold half a surrogate pair, which JavaScript sends when it cuts a text.
        // It is written as it is, not UTF-8, and rejects its span only.
        Kind::Text | Kind::Id | Kind::Bytes => deserializer.deserialize_bytes(visitor),
        _ => deserializer.deserialize_any(visitor),
    }
}

struct Scalar<'o> {
    field: &'static FieldDef,
    zero_is_written: bool,
    out: &'o mut Vec<u8>,
}

impl Scalar<'_> {
    fn put_bytes(self, bytes: &[u8]) {
        if self.zero_is_written || !bytes.is_empty() {
            put_bytes_field(self.out, self.field.number, bytes);
        }
    }

    fn put_varint(self, value: u64) {
        if self.zero_is_written || value != 0 {
            put_varint_field(self.out, self.field.number, value);
        }
    }

    /// Writes an integer if the field can hold it.
    fn integer<E: Error>(self, value: i128, found: Unexpected<'_>) -> Result<(), E> {
        let Self { field, zero_is_written, out } = self;
        if value == 0 && !zero_is_written {
            return Ok(());
        }
        let wrong = |_| E::invalid_value(found, &Expected(field));
        match field.kind {
            Kind::Uint32 => {
                let value = u32::try_from(value).map_err(wrong)?;
                put_varint_field(out, field.number, u64::from(value));
            }
            Kind::Fixed32 => {
                put_fixed32_field(out, field.number, u32::try_from(value).map_err(wrong)?);
            }
            Kind::Fixed64 => {
                put_fixed64_field(out, field.number, u64::try_from(value).map_err(wrong)?);
            }
            Kind::Int64 => {
                let value = i64::try_from(value).map_err(wrong)?;
                put_varint_field(out, field.number, value.cast_unsigned());
            }
            Kind::Enum(_) => {
                let value = i64::from(i32::try_from(value).map_err(wrong)?);
                put_varint_field(out, field.number, value.cast_unsigned());
            }
            _ => return Err(E::invalid_type(found, &Expected(field))),
        }
        Ok(())
    }

    fn double(self, value: f64) {
        // Only in a `oneof`, where a zero is a value.
        put_fixed64_field(self.out, self.field.number, value.to_bits());
    }
}

impl Visitor<'_> for Scalar<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Expected(self.field), f)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => {
                self.put_varint(u64::from(value));
                Ok(())
            }
            _ => Err(E::invalid_type(Unexpected::Bool(value), &self)),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a double takes any number, as JSON has one type"
    )]
    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => {
                self.double(value as f64);
                Ok(())
            }
            _ => self.integer(i128::from(value), Unexpected::Unsigned(value)),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a double takes any number, as JSON has one type"
    )]
    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => {
                self.double(value as f64);
                Ok(())
            }
            _ => self.integer(i128::from(value), Unexpected::Signed(value)),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match (self.field.kind, whole(value)) {
            (Kind::Double, _) => {
                self.double(value);
                Ok(())
            }
            (_, Some(whole)) => self.integer(whole, Unexpected::Float(value)),
            (_, None) => Err(E::invalid_value(Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.field.kind {
            Kind::Text | Kind::Id | Kind::Bytes => self.visit_bytes(text.as_bytes()),
            Kind::Double => {
                let value = double(text);
                let value = value.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))?;
                self.double(value);
                Ok(())
            }
            Kind::Enum(names) if names.contains(&text) => {
                let number = names.iter().position(|name| *name == text).unwrap_or_default();
                self.put_varint(number as u64);
                Ok(())
            }
            Kind::Bool | Kind::Message(_) => Err(E::invalid_type(Unexpected::Str(text), &self)),
            _ => {
                let whole = text.parse().ok().or_else(|| whole(text.parse().ok()?));
                let value = whole.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))?;
                self.integer(value, Unexpected::Str(text))
            }
        }
    }

    fn visit_bytes<E: Error>(self, text: &[u8]) -> Result<(), E> {
        match self.field.kind {
            Kind::Text => self.put_bytes(text),
            Kind::Id => self.put_bytes(&id(text)),
            _ => {
                let bytes = base64(text).ok_or_else(|| {
                    E::invalid_value(Unexpected::Str(&String::from_utf8_lossy(text)), &self)
                })?;
                self.put_bytes(&bytes);
            }
        }
        Ok(())
    }
}

/// What a field may hold, as an error says it.
struct Expected(&'static FieldDef);

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.kind {
            Kind::Message(message) => message.name,
            Kind::Text => "a string",
            Kind::Id => "an id in hex",
            Kind::Bytes => "base64",
            Kind::Bool => "true or false",
            Kind::Uint32 | Kind::Fixed32 => "a whole number from 0 to 4294967295",
            Kind::Fixed64 => "a whole number from 0 to 18446744073709551615, in quotes or not",
            Kind::Int64 => "a whole number of 64 bits, in quotes or not",
            Kind::Double => "a number, \"NaN\", \"Infinity\" or \"-Infinity\"",
            Kind::Enum(names) => return write!(f, "a number or one of {}", names.join(", ")),
        })
    }
}

impl serde::de::Expected for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The whole number that a JSON number with a point or an exponent stands for.
fn whole(value: f64) -> Option<i128> {
    // Past 2^64 no field can hold it.
    #[expect(clippy::cast_possible_truncation, reason = "whole and far below 2^127")]
    (value.fract() == 0.0 && value.abs() < 1e20).then_some(value as i128)
}

fn double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok().filter(|value: &f64| value.is_finite()),
    }
}

/// The bytes of a hex id of any length; another text as it is, but never as long as an id.
fn id(text: &[u8]) -> Cow<'_, [u8]> {
    if text.iter().all(u8::is_ascii_hexdigit)
        && let Ok(bytes) = const_hex::decode(text)
    {
        return Cow::Owned(bytes);
    }
    match text.len() {
        8 | 16 => Cow::Owned([text, b" "].concat()),
        _ => Cow::Borrowed(text),
    }
}

/// Base64 of the standard or the URL alphabet, padded or not.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let standard: Vec<u8> = text
        .iter()
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    ENGINE.decode(standard).ok()
}
