//! One `KeyValue` into typed columns, or word that they can't hold it.

use crate::columns::{AttributeKey, Attributes, EMPTY, Pool, RestType};
use crate::trace::Scalar;
use crate::trace::wire::{DEPTH_MAX, Field, Fields, WireError};

use super::error::Stop;

/// What attributes were seen last, by their key and the one before: spans of one kind have the same keys in the same order, and often
/// the same values. A look here spares hashing.
#[derive(Default)]
pub(super) struct Keys<'a> {
    slots: Vec<Slot<'a>>,
    /// Code of the key before, or [`NO_KEY`].
    before: u32,
}

#[derive(Clone, Copy)]
struct Slot<'a> {
    key: &'a [u8],
    /// [`NO_KEY`] for an empty slot.
    key_code: u32,
    /// The key in the attributes that are filled.
    place: Option<AttributeKey>,
    /// A text that the key had, and its code.
    text: &'a [u8],
    text_code: u32,
}

/// Pairs of keys that are remembered, as a power of two: more than a request usually has, and small enough for a cache.
const SLOT_BITS: u32 = 9;

const NO_KEY: u32 = u32::MAX;

const EMPTY_SLOT: Slot<'_> =
    Slot { key: &[], key_code: NO_KEY, place: None, text: &[], text_code: EMPTY };

impl<'a> Keys<'a> {
    pub(super) fn start(&mut self) {
        self.before = NO_KEY;
    }

    /// The slot of the next attribute, which has this key.
    fn slot(&mut self, pool: &mut Pool, key: &'a [u8]) -> Result<&mut Slot<'a>, WireError> {
        if self.slots.is_empty() {
            self.slots.resize(1 << SLOT_BITS, EMPTY_SLOT);
        }
        let slot = &mut self.slots[slot_of(self.before, key)];
        if slot.key_code == NO_KEY || slot.key != key {
            *slot = Slot { key, key_code: text_code(pool, key)?, ..EMPTY_SLOT };
        }
        self.before = slot.key_code;
        Ok(slot)
    }
}

/// Where a pair of keys is remembered: told apart by what is cheap to see.
fn slot_of(before: u32, key: &[u8]) -> usize {
    let last = u32::from(key.last().copied().unwrap_or(0));
    let length = u32::from(key.len().to_le_bytes()[0]);
    let mixed = (before ^ last << 16 ^ length << 24).wrapping_mul(0x9e37_79b1);
    (mixed >> (u32::BITS - SLOT_BITS)) as usize
}

impl<'a> Slot<'a> {
    fn text_code(&mut self, pool: &mut Pool, text: &'a [u8]) -> Result<u32, WireError> {
        if self.text != text {
            (self.text, self.text_code) = (text, text_code(pool, text)?);
        }
        Ok(self.text_code)
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
    let Some((key, value)) = pair(message)? else {
        check_key_value(message, 0)?;
        into.unknown.extend_from_slice(raw);
        return Ok(());
    };
    let Into { attributes, pool, keys, owner, .. } = into;
    let slot = keys.slot(pool, key)?;
    let key = *slot.place.get_or_insert_with(|| attributes.key(slot.key_code));
    match single(value)? {
        Single::Text(text) => {
            let text = slot.text_code(pool, text)?;
            attributes.push_text(pool, *owner, key, text);
        }
        Single::Other(scalar) => attributes.push(pool, *owner, key, scalar),
        Single::None => {
            let kind = check_any(value, 0)?;
            attributes.push_any(pool, *owner, key, kind, value);
        }
    }
    Ok(())
}

/// A key, and an `AnyValue`.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// Key and value of a `KeyValue` that has one value, no more than one key, and nothing else.
fn pair(message: &[u8]) -> Result<Option<Pair<'_>>, WireError> {
    if let Some((key, value)) = short_field::<1>(message)
        && let Some((value, [])) = short_field::<2>(value)
    {
        return Ok(Some((key, value)));
    }
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
    Ok(value.filter(|_| keys <= 1 && !odd).map(|value| (key, value)))
}

/// The bytes of a field that comes first and is shorter than 128 bytes, and what follows it: what most attributes are made of.
fn short_field<const NUMBER: u8>(message: &[u8]) -> Option<(&[u8], &[u8])> {
    match message {
        [tag, length @ 0..0x80, rest @ ..] if *tag == NUMBER << 3 | 2 => {
            rest.split_at_checked(usize::from(*length))
        }
        _ => None,
    }
}

/// An `AnyValue` that is one scalar and nothing else.
enum Single<'a> {
    /// It may be no UTF-8.
    Text(&'a [u8]),
    Other(Scalar<'a>),
    /// It is something else.
    None,
}

fn single(any_value: &[u8]) -> Result<Single<'_>, WireError> {
    if let Some((text, [])) = short_field::<1>(any_value) {
        return Ok(Single::Text(text));
    }
    let mut fields = Fields::of(any_value);
    let Some(field) = fields.next() else { return Ok(Single::None) };
    let field = field?;
    let single = match field.number {
        1 => Single::Text(field.bytes()?),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembered_keys_and_texts_have_their_codes() {
        let (mut pool, mut keys) = (Pool::default(), Keys::default());
        for span in [[("a", "1"), ("b", "2")], [("a", "1"), ("c", "2")], [("a", "3"), ("b", "")]] {
            keys.start();
            for (key, text) in span {
                let slot = keys.slot(&mut pool, key.as_bytes()).unwrap();
                let (key_code, text_code) =
                    (slot.key_code, slot.text_code(&mut pool, text.as_bytes()).unwrap());
                assert_eq!((pool.text(key_code), pool.text(text_code)), (key, text));
            }
        }
        for _ in 0..2 {
            keys.start();
            let slot = keys.slot(&mut pool, b"a").unwrap();
            assert_eq!(slot.text_code(&mut pool, b"\xff"), Err(WireError::Utf8));
            assert!(keys.slot(&mut pool, b"\xff").is_err());
        }
    }

    #[test]
    fn text_is_checked_at_every_place() {
        for length in 0..20 {
            let text = vec![b'x'; length];
            assert_eq!(check_text(&text), Ok(()));
            for place in 0..length {
                let mut bad = text.clone();
                bad[place] = 0xe9;
                assert_eq!(check_text(&bad), Err(WireError::Utf8), "{place} of {length}");
            }
        }
        assert_eq!(check_text("eight by é and more".as_bytes()), Ok(()));
    }
}
