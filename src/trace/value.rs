//! Attribute values and their protobuf form, `opentelemetry.proto.common.v1.AnyValue`.

use super::wire::{
    DEPTH_MAX, Field, Fields, WireError, put_bytes_field, put_fixed64_field, put_varint_field,
};

/// An attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An `AnyValue` in which nothing is set.
    Empty,
    String(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(Vec<Value>),
    Map(Vec<(String, Value)>),
    Bytes(Vec<u8>),
}

/// A value of the four types that have columns, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    String(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
}

impl Value {
    /// Reads an `AnyValue` message. Of several set fields the last counts, as protobuf says of a `oneof`; unknown fields
    /// are passed over.
    ///
    /// # Errors
    /// When the bytes are not protobuf, a text is not UTF-8, or values are nested deeper than [`DEPTH_MAX`].
    pub fn decode(any_value: &[u8]) -> Result<Self, WireError> {
        Self::decode_at(any_value, 0)
    }

    fn decode_at(any_value: &[u8], depth: usize) -> Result<Self, WireError> {
        if depth > DEPTH_MAX {
            return Err(WireError::TooDeep);
        }
        let mut value = Self::Empty;
        for field in Fields::of(any_value) {
            let field = field?;
            match field.number {
                1 => value = Self::String(field.text()?.to_owned()),
                2 => value = Self::Bool(field.varint()? != 0),
                3 => value = Self::Int(field.varint()?.cast_signed()),
                4 => value = Self::Double(f64::from_bits(field.fixed64()?)),
                5 => value = Self::Array(decode_array(field, depth)?),
                6 => value = Self::Map(decode_map(field, depth)?),
                7 => value = Self::Bytes(field.bytes()?.to_vec()),
                _ => {}
            }
        }
        Ok(value)
    }

    /// Writes the `AnyValue` message that [`Value::decode`] reads.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Empty => {}
            Self::String(text) => put_bytes_field(out, 1, text.as_bytes()),
            Self::Bool(value) => put_varint_field(out, 2, u64::from(*value)),
            Self::Int(value) => put_varint_field(out, 3, value.cast_unsigned()),
            Self::Double(value) => put_fixed64_field(out, 4, value.to_bits()),
            Self::Array(values) => {
                let mut array = Vec::new();
                for value in values {
                    put_bytes_field(&mut array, 1, &value.encoded());
                }
                put_bytes_field(out, 5, &array);
            }
            Self::Map(entries) => {
                let mut map = Vec::new();
                for (key, value) in entries {
                    put_bytes_field(&mut map, 1, &encode_key_value(key, &value.encoded()));
                }
                put_bytes_field(out, 6, &map);
            }
            Self::Bytes(bytes) => put_bytes_field(out, 7, bytes),
        }
    }

    pub fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// The borrowed form of the four types that have columns.
    pub fn scalar(&self) -> Option<Scalar<'_>> {
        match self {
            Self::String(text) => Some(Scalar::String(text)),
            Self::Bool(value) => Some(Scalar::Bool(*value)),
            Self::Int(value) => Some(Scalar::Int(*value)),
            Self::Double(value) => Some(Scalar::Double(*value)),
            Self::Empty | Self::Array(_) | Self::Map(_) | Self::Bytes(_) => None,
        }
    }
}

impl Scalar<'_> {
    /// Writes the `AnyValue` message.
    pub fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::String(text) => put_bytes_field(out, 1, text.as_bytes()),
            Self::Bool(value) => put_varint_field(out, 2, u64::from(value)),
            Self::Int(value) => put_varint_field(out, 3, value.cast_unsigned()),
            Self::Double(value) => put_fixed64_field(out, 4, value.to_bits()),
        }
    }

    pub fn to_value(self) -> Value {
        match self {
            Self::String(text) => Value::String(text.to_owned()),
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Double(value) => Value::Double(value),
        }
    }
}

/// A `KeyValue` message around an encoded `AnyValue`.
pub fn encode_key_value(key: &str, any_value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + any_value.len() + 8);
    put_bytes_field(&mut out, 1, key.as_bytes());
    put_bytes_field(&mut out, 2, any_value);
    out
}

fn decode_array(field: Field<'_>, depth: usize) -> Result<Vec<Value>, WireError> {
    let mut values = Vec::new();
    for item in Fields::of(field.bytes()?) {
        let item = item?;
        if item.number == 1 {
            values.push(Value::decode_at(item.bytes()?, depth + 1)?);
        }
    }
    Ok(values)
}

fn decode_map(field: Field<'_>, depth: usize) -> Result<Vec<(String, Value)>, WireError> {
    let mut entries = Vec::new();
    for item in Fields::of(field.bytes()?) {
        let item = item?;
        if item.number != 1 {
            continue;
        }
        let (mut key, mut value) = (String::new(), Value::Empty);
        for part in Fields::of(item.bytes()?) {
            let part = part?;
            match part.number {
                1 => part.text()?.clone_into(&mut key),
                2 => value = Value::decode_at(part.bytes()?, depth + 1)?,
                _ => {}
            }
        }
        entries.push((key, value));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back() {
        let values = [
            Value::Empty,
            Value::String("schlüssel".into()),
            Value::String(String::new()),
            Value::Bool(false),
            Value::Int(i64::MIN),
            Value::Double(-0.0),
            Value::Bytes(vec![0, 255]),
            Value::Array(vec![]),
            Value::Array(vec![Value::Int(0), Value::Empty, Value::Array(vec![])]),
            Value::Map(vec![("k".into(), Value::Map(vec![])), ("k".into(), Value::Bool(true))]),
        ];
        for value in values {
            assert_eq!(Value::decode(&value.encoded()), Ok(value));
        }
    }

    #[test]
    fn nesting_without_end_is_an_error() {
        let mut value = Value::Int(1);
        for _ in 0..=DEPTH_MAX {
            value = Value::Array(vec![value]);
        }
        assert_eq!(Value::decode(&value.encoded()), Err(WireError::TooDeep));
    }
}
