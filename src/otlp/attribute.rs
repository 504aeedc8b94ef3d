//! One `KeyValue` into typed columns, or word that they can't hold it.

use crate::columns::{Attributes, Pool, RestType};
use crate::trace::Scalar;
use crate::trace::wire::{DEPTH_MAX, Field, Fields, WireError};

use super::error::Stop;

/// Codes of the keys that the last owners had, by position: spans of one kind have the same keys in the same order, so
/// that most keys are found by comparing bytes.
#[derive(Default)]
pub(super) struct Keys<'a> {
    by_position: Vec<(&'a [u8], u32)>,
    next: usize,
}

/// Positions that are remembered. More attributes than that are looked up in the pool.
const POSITIONS_MAX: usize = 256;

impl<'a> Keys<'a> {
    /// Begins a new owner.
    pub(super) fn start(&mut self) {
        self.next = 0;
    }

    fn code(&mut self, pool: &mut Pool, key: &'a [u8]) -> Result<u32, WireError> {
        let position = self.next;
        self.next += 1;
        match self.by_position.get_mut(position) {
            Some((known, code)) if *known == key => return Ok(*code),
            Some(known) => {
                *known = (key, text_code(pool, key)?);
                return Ok(known.1);
            }
            None => {}
        }
        let code = text_code(pool, key)?;
        if position < POSITIONS_MAX {
            self.by_position.push((key, code));
        }
        Ok(code)
    }
}

/// Whether bytes are UTF-8. Most texts are short and ASCII, which this sees with fewer steps than the standard library.
pub(super) fn check_text(text: &[u8]) -> Result<(), WireError> {
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = text.as_chunks::<8>();
    let words = words.iter().fold(0, |all, word| all | u64::from_le_bytes(*word));
    let rest = rest.iter().fold(0, |all, byte| all | byte);
    if words & HIGH_BITS == 0 && rest & 0x80 == 0 {
        return Ok(());
    }
    std::str::from_utf8(text).map(drop).map_err(|_| WireError::Utf8)
}

fn text_code(pool: &mut Pool, key: &[u8]) -> Result<u32, WireError> {
    check_text(key)?;
    Ok(pool.intern(key))
}

/// Where attributes go.
pub(super) struct Into<'s, 'a> {
    pub(super) attributes: &'s mut Attributes,
    pub(super) pool: &'s mut Pool,
    pub(super) keys: &'s mut Keys<'a>,
    pub(super) owner: u32,
    /// What the owner keeps as raw fields.
    pub(super) unknown: &'s mut Vec<u8>,
}

/// Adds the attribute that `field` holds: to a typed column, to `rest`, or, where it has no value or a field that we
/// do not know, as it is to `unknown`.
pub(super) fn push<'a>(into: &mut Into<'_, 'a>, field: Field<'a>) -> Result<(), Stop> {
    let bytes = field.bytes()?;
    push_key_value(into, bytes, field.raw).map_err(|error| {
        let key = Fields::of(bytes).find_map(|part| part.ok()?.bytes().ok()).unwrap_or_default();
        Stop::at(error, format!("attribute {:?}", shown(key)))
    })
}

/// The first characters of a key that may be anything.
fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(key).chars().take(64).collect()
}

fn push_key_value<'a>(
    into: &mut Into<'_, 'a>,
    message: &'a [u8],
    raw: &[u8],
) -> Result<(), WireError> {
    let (mut key, mut value): (&[u8], Option<&[u8]>) = (&[], None);
    let (mut keys, mut odd) = (0, false);
    for part in Fields::of(message) {
        let part = part?;
        match part.number {
            1 => {
                key = part.bytes()?;
                keys += 1;
            }
            2 if value.is_none() => value = Some(part.bytes()?),
            _ => odd = true,
        }
    }
    let Some(value) = value.filter(|_| keys <= 1 && !odd) else {
        check_key_value(message, 0)?;
        into.unknown.extend_from_slice(raw);
        return Ok(());
    };
    let Into { attributes, pool, keys, owner, .. } = into;
    let key = keys.code(pool, key)?;
    match single(value)? {
        Single::Text(text) => attributes.push_text(pool, *owner, key, text),
        Single::Other(scalar) => attributes.push(pool, *owner, key, scalar),
        Single::None => {
            let kind = check_any(value, 0)?;
            attributes.push_any(pool, *owner, key, kind, value);
        }
    }
    Ok(())
}

/// An `AnyValue` that is one scalar and nothing else.
enum Single<'a> {
    /// It is UTF-8.
    Text(&'a [u8]),
    Other(Scalar<'a>),
    /// It is something else.
    None,
}

fn single(any_value: &[u8]) -> Result<Single<'_>, WireError> {
    let mut fields = Fields::of(any_value);
    let Some(field) = fields.next() else { return Ok(Single::None) };
    let field = field?;
    let single = match field.number {
        1 => {
            let text = field.bytes()?;
            check_text(text)?;
            Single::Text(text)
        }
        2 => Single::Other(Scalar::Bool(field.varint()? != 0)),
        3 => Single::Other(Scalar::Int(field.varint()?.cast_signed())),
        4 => Single::Other(Scalar::Double(f64::from_bits(field.fixed64()?))),
        _ => return Ok(Single::None),
    };
    Ok(if fields.next().is_none() { single } else { Single::None })
}

/// Checks all that an `AnyValue` holds and names its type, which is that of the last field that is set.
pub(super) fn check_any(any_value: &[u8], depth: usize) -> Result<RestType, WireError> {
    if depth > DEPTH_MAX {
        return Err(WireError::TooDeep);
    }
    let mut kind = RestType::Empty;
    for field in Fields::of(any_value) {
        let field = field?;
        kind = match field.number {
            1 => field.text().map(|_| RestType::String)?,
            2 => field.varint().map(|_| RestType::Bool)?,
            3 => field.varint().map(|_| RestType::Int)?,
            4 => field.fixed64().map(|_| RestType::Double)?,
            5 => {
                check_list(field, |value| check_any(value, depth + 1).map(drop))?;
                RestType::Array
            }
            6 => {
                check_list(field, |entry| check_key_value(entry, depth))?;
                RestType::Map
            }
            7 => field.bytes().map(|_| RestType::Bytes)?,
            _ => kind,
        };
    }
    Ok(kind)
}

/// Checks a `KeyValue` that is not taken apart, in an `AnyValue` at `depth`.
pub(super) fn check_key_value(message: &[u8], depth: usize) -> Result<(), WireError> {
    for part in Fields::of(message) {
        let part = part?;
        match part.number {
            1 => part.text().map(drop)?,
            2 => check_any(part.bytes()?, depth + 1).map(drop)?,
            _ => {}
        }
    }
    Ok(())
}

/// Checks the messages in field 1 of an `ArrayValue` or `KeyValueList`.
fn check_list(
    list: Field<'_>,
    check: impl Fn(&[u8]) -> Result<(), WireError>,
) -> Result<(), WireError> {
    for item in Fields::of(list.bytes()?) {
        let item = item?;
        if item.number == 1 {
            check(item.bytes()?)?;
        }
    }
    Ok(())
}
