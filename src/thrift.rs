//! Apache Thrift's two wire formats, read in one pass without a schema compiler: what Jaeger's and Zipkin's older senders write.
//!
//! Sources: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md> and `thrift-compact-protocol.md` beside
//! it. A reader is given values one by one and leaves what it does not know. Nothing is allocated, no length is believed: every
//! element of a list takes at least a byte of the input.

/// Deepest nesting of what is skipped. What we read ourselves is five deep.
const DEPTH_MAX: usize = 32;

/// Bytes that are not Thrift, or not the message that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ThriftError {
    #[error("the message ends inside a value")]
    Truncated,
    #[error("a varint is longer than ten bytes")]
    LongVarint,
    #[error("type {0} does not exist")]
    BadType(u8),
    #[error("field {field} is a {found:?}, expected {expected}")]
    WrongType { field: i16, found: Type, expected: &'static str },
    #[error("values are nested deeper than {DEPTH_MAX}")]
    TooDeep,
    #[error("not a message of version 1: it begins with {0:#04x}")]
    NotAMessage(u8),
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Fixed widths, most significant byte first.
    Binary,
    /// Varints.
    Compact,
}

/// What a value is. Both formats have the same types, with different numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Bool,
    I8,
    I16,
    I32,
    I64,
    Double,
    /// Text too.
    Binary,
    List,
    Set,
    Map,
    Struct,
}

/// Reads values from the front of some bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    protocol: Protocol,
}

/// A value that may be read once; if it is not, it is passed over.
#[derive(Debug)]
pub struct Value<'r, 'a> {
    reader: &'r mut Reader<'a>,
    field: i16,
    kind: Type,
    /// The value of a compact boolean field is in its head.
    told: Option<bool>,
    is_read: bool,
}

impl<'a> Reader<'a> {
    pub fn new(protocol: Protocol, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, protocol }
    }

    /// Reads the head of a call, and says which method it calls. A struct with the arguments follows.
    ///
    /// # Errors
    /// Where the bytes are no message of version 1 (of the binary format also of the time before versions).
    pub fn call(&mut self) -> Result<&'a [u8], ThriftError> {
        let first = *self.rest.first().ok_or(ThriftError::Truncated)?;
        match self.protocol {
            Protocol::Binary if first == 0x80 => {
                let [_, version, _, _] = self.array()?;
                if version != 1 {
                    return Err(ThriftError::NotAMessage(version));
                }
                let name = self.bytes()?;
                self.array::<4>()?;
                Ok(name)
            }
            Protocol::Binary if first == 0 => {
                let name = self.bytes()?;
                self.array::<5>()?;
                Ok(name)
            }
            Protocol::Compact if first == 0x82 => {
                let [_, version] = self.array()?;
                if version & 0x1f != 1 {
                    return Err(ThriftError::NotAMessage(version));
                }
                self.varint()?;
                self.bytes()
            }
            _ => Err(ThriftError::NotAMessage(first)),
        }
    }

    /// Gives each field of a struct, by its number, to `take`.
    ///
    /// # Errors
    /// Where the bytes are not Thrift, and what `take` says.
    pub fn structure<E: From<ThriftError>>(
        &mut self,
        mut take: impl FnMut(i16, &mut Value<'_, 'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut before = 0;
        while let Some((field, kind, told)) = self.field_head(before)? {
            before = field;
            self.given(field, kind, told, &mut |value| take(field, value))?;
        }
        Ok(())
    }

    /// Gives each element of a list or set, as it stands without a struct around it, to `take`.
    ///
    /// # Errors
    /// As [`Reader::structure`].
    pub fn list<E: From<ThriftError>>(
        &mut self,
        mut take: impl FnMut(&mut Value<'_, 'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (kind, count) = self.list_head()?;
        for _ in 0..count {
            self.given(0, kind, None, &mut take)?;
        }
        Ok(())
    }

    fn given<E: From<ThriftError>>(
        &mut self,
        field: i16,
        kind: Type,
        told: Option<bool>,
        take: &mut impl FnMut(&mut Value<'_, 'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut value = Value { reader: self, field, kind, told, is_read: false };
        take(&mut value)?;
        if !value.is_read && told.is_none() {
            self.skip(kind, 0)?;
        }
        Ok(())
    }

    /// `None` at the end of the struct.
    fn field_head(
        &mut self,
        before: i16,
    ) -> Result<Option<(i16, Type, Option<bool>)>, ThriftError> {
        let [head] = self.array()?;
        if head == 0 {
            return Ok(None);
        }
        if self.protocol == Protocol::Binary {
            let kind = binary_type(head)?;
            return Ok(Some((i16::from_be_bytes(self.array()?), kind, None)));
        }
        let kind = compact_type(head & 0x0f)?;
        let told = (kind == Type::Bool).then_some(head & 0x0f == 1);
        let field = match head >> 4 {
            0 => i16::try_from(self.zigzag()?).unwrap_or(i16::MAX),
            delta => before.wrapping_add(i16::from(delta)),
        };
        Ok(Some((field, kind, told)))
    }

    fn list_head(&mut self) -> Result<(Type, u64), ThriftError> {
        let [head] = self.array()?;
        if self.protocol == Protocol::Binary {
            let count = i32::from_be_bytes(self.array()?);
            let count = u64::try_from(count).map_err(|_| ThriftError::Truncated)?;
            // An empty list may say that it holds nothing.
            return if count == 0 { Ok((Type::Bool, 0)) } else { Ok((binary_type(head)?, count)) };
        }
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        if count == 0 { Ok((Type::Bool, 0)) } else { Ok((compact_type(head & 0x0f)?, count)) }
    }

    fn skip(&mut self, kind: Type, depth: usize) -> Result<(), ThriftError> {
        if depth > DEPTH_MAX {
            return Err(ThriftError::TooDeep);
        }
        match kind {
            Type::Bool | Type::I8 => self.take(1).map(drop),
            Type::I16 | Type::I32 | Type::I64 => self.integer(kind).map(drop),
            Type::Double => self.take(8).map(drop),
            Type::Binary => self.bytes().map(drop),
            Type::Struct => {
                let mut before = 0;
                while let Some((field, kind, told)) = self.field_head(before)? {
                    before = field;
                    if told.is_none() {
                        self.skip(kind, depth + 1)?;
                    }
                }
                Ok(())
            }
            Type::List | Type::Set => {
                let (kind, count) = self.list_head()?;
                (0..count).try_for_each(|_| self.skip(kind, depth + 1))
            }
            Type::Map => {
                let (key, value, count) = self.map_head()?;
                (0..count).try_for_each(|_| {
                    self.skip(key, depth + 1)?;
                    self.skip(value, depth + 1)
                })
            }
        }
    }

    fn map_head(&mut self) -> Result<(Type, Type, u64), ThriftError> {
        const EMPTY: (Type, Type, u64) = (Type::Bool, Type::Bool, 0);
        if self.protocol == Protocol::Binary {
            let [key, value] = self.array()?;
            let count = i32::from_be_bytes(self.array()?);
            let count = u64::try_from(count).map_err(|_| ThriftError::Truncated)?;
            let types = |count| Ok((binary_type(key)?, binary_type(value)?, count));
            return if count == 0 { Ok(EMPTY) } else { types(count) };
        }
        let count = self.varint()?;
        if count == 0 {
            return Ok(EMPTY);
        }
        let [types] = self.array()?;
        Ok((compact_type(types >> 4)?, compact_type(types & 0x0f)?, count))
    }

    /// An integer of 16 bits and more.
    fn integer(&mut self, kind: Type) -> Result<i64, ThriftError> {
        match (self.protocol, kind) {
            (Protocol::Compact, _) => self.zigzag(),
            (Protocol::Binary, Type::I16) => Ok(i16::from_be_bytes(self.array()?).into()),
            (Protocol::Binary, Type::I32) => Ok(i32::from_be_bytes(self.array()?).into()),
            (Protocol::Binary, _) => Ok(i64::from_be_bytes(self.array()?)),
        }
    }

    fn zigzag(&mut self) -> Result<i64, ThriftError> {
        let coded = self.varint()?;
        Ok((coded >> 1).cast_signed() ^ -(coded & 1).cast_signed())
    }

    fn varint(&mut self) -> Result<u64, ThriftError> {
        let mut value = 0;
        for shift in 0..10 {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ThriftError::LongVarint)
    }

    fn bytes(&mut self) -> Result<&'a [u8], ThriftError> {
        let length = match self.protocol {
            Protocol::Binary => i32::from_be_bytes(self.array()?).into(),
            Protocol::Compact => self.varint()?.cast_signed(),
        };
        self.take(usize::try_from(length).map_err(|_| ThriftError::Truncated)?)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ThriftError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ThriftError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ThriftError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(ThriftError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }
}

impl<'a> Value<'_, 'a> {
    fn begin(&mut self, allowed: &[Type], expected: &'static str) -> Result<(), ThriftError> {
        if self.is_read || !allowed.contains(&self.kind) {
            let Self { field, kind: found, .. } = *self;
            return Err(ThriftError::WrongType { field, found, expected });
        }
        self.is_read = true;
        Ok(())
    }

    pub fn bool(&mut self) -> Result<bool, ThriftError> {
        self.begin(&[Type::Bool], "a boolean")?;
        match self.told {
            Some(value) => Ok(value),
            None => Ok(self.reader.array()? == [1]),
        }
    }

    /// An integer of any width.
    pub fn integer(&mut self) -> Result<i64, ThriftError> {
        self.begin(&[Type::I8, Type::I16, Type::I32, Type::I64], "an integer")?;
        if self.kind == Type::I8 {
            return Ok(i8::from_be_bytes(self.reader.array()?).into());
        }
        self.reader.integer(self.kind)
    }

    pub fn double(&mut self) -> Result<f64, ThriftError> {
        self.begin(&[Type::Double], "a double")?;
        let bytes = self.reader.array()?;
        Ok(match self.reader.protocol {
            Protocol::Binary => f64::from_be_bytes(bytes),
            Protocol::Compact => f64::from_le_bytes(bytes),
        })
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], ThriftError> {
        self.begin(&[Type::Binary], "a text or bytes")?;
        self.reader.bytes()
    }

    /// A text. Thrift does not say that texts are UTF-8: what is not, is replaced by U+FFFD.
    pub fn text(&mut self) -> Result<String, ThriftError> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    /// A reader that begins with a struct's first field. The value itself counts as not read, and is passed over later.
    ///
    /// # Errors
    /// The value is no struct.
    pub fn reader(&self) -> Result<Reader<'a>, ThriftError> {
        if self.kind == Type::Struct {
            return Ok(self.reader.clone());
        }
        let (field, found) = (self.field, self.kind);
        Err(ThriftError::WrongType { field, found, expected: "a struct" })
    }

    /// As [`Reader::structure`].
    pub fn structure<E: From<ThriftError>>(
        &mut self,
        take: impl FnMut(i16, &mut Value<'_, 'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.begin(&[Type::Struct], "a struct")?;
        self.reader.structure(take)
    }

    /// As [`Reader::list`].
    pub fn list<E: From<ThriftError>>(
        &mut self,
        take: impl FnMut(&mut Value<'_, 'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.begin(&[Type::List, Type::Set], "a list")?;
        self.reader.list(take)
    }
}

fn binary_type(number: u8) -> Result<Type, ThriftError> {
    Ok(match number {
        2 => Type::Bool,
        3 => Type::I8,
        4 => Type::Double,
        6 => Type::I16,
        8 => Type::I32,
        10 => Type::I64,
        11 => Type::Binary,
        12 => Type::Struct,
        13 => Type::Map,
        14 => Type::Set,
        15 => Type::List,
        _ => return Err(ThriftError::BadType(number)),
    })
}

fn compact_type(number: u8) -> Result<Type, ThriftError> {
    Ok(match number {
        1 | 2 => Type::Bool,
        3 => Type::I8,
        4 => Type::I16,
        5 => Type::I32,
        6 => Type::I64,
        7 => Type::Double,
        8 => Type::Binary,
        9 => Type::List,
        10 => Type::Set,
        11 => Type::Map,
        12 => Type::Struct,
        _ => return Err(ThriftError::BadType(number)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same struct in both formats: 1: true, 2: -3 (32 bits), 4: 1.5, 20: "ab", 21: a list of two 64-bit integers, 22: a map,
    /// 23: a struct with a struct, 24: the end.
    const BINARY: &[u8] = &[
        2, 0, 1, 1, 8, 0, 2, 0xff, 0xff, 0xff, 0xfd, 4, 0, 4, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 11, 0,
        20, 0, 0, 0, 2, b'a', b'b', 15, 0, 21, 10, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0,
        0, 0, 0, 2, 13, 0, 22, 11, 8, 0, 0, 0, 1, 0, 0, 0, 1, b'k', 0, 0, 0, 9, 12, 0, 23, 12, 0,
        1, 0, 0, 6, 0, 24, 0, 7, 0,
    ];
    const COMPACT: &[u8] = &[
        0x11, 0x15, 5, 0x27, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x08, 40, 2, b'a', b'b', 0x19, 0x26, 2,
        4, 0x1b, 1, 0x85, 1, b'k', 18, 0x1c, 0x1c, 0, 0, 0x14, 14, 0,
    ];

    fn seen(protocol: Protocol, bytes: &[u8]) -> Result<Vec<String>, ThriftError> {
        let mut seen = Vec::new();
        Reader::new(protocol, bytes).structure(|field, value| {
            match field {
                1 => seen.push(value.bool()?.to_string()),
                2 | 24 => seen.push(value.integer()?.to_string()),
                4 => seen.push(value.double()?.to_string()),
                20 => seen.push(value.text()?),
                21 => value.list(|value| {
                    seen.push(value.integer()?.to_string());
                    Ok::<(), ThriftError>(())
                })?,
                // 22 and 23 are passed over.
                _ => {}
            }
            Ok::<(), ThriftError>(())
        })?;
        Ok(seen)
    }

    #[test]
    fn both_formats_say_the_same() {
        let expected = ["true", "-3", "1.5", "ab", "1", "2", "7"];
        assert_eq!(seen(Protocol::Binary, BINARY).unwrap(), expected);
        assert_eq!(seen(Protocol::Compact, COMPACT).unwrap(), expected);
    }

    #[test]
    fn a_message_cut_anywhere_is_an_error() {
        for (protocol, bytes) in [(Protocol::Binary, BINARY), (Protocol::Compact, COMPACT)] {
            for length in 0..bytes.len() {
                let found = seen(protocol, &bytes[..length]);
                assert_eq!(found, Err(ThriftError::Truncated), "{protocol:?} {length}");
            }
        }
    }

    #[test]
    fn lengths_are_not_believed() {
        // A list of 2^31 - 1 structs, a text of 2^31 - 1 bytes, a negative one.
        for bytes in [
            &b"\x0f\0\x01\x0c\x7f\xff\xff\xff"[..],
            b"\x0b\0\x01\x7f\xff\xff\xff",
            b"\x0b\0\x01\xff\0\0\0",
        ] {
            assert_eq!(
                seen(Protocol::Binary, bytes),
                Err(ThriftError::WrongType {
                    field: 1,
                    found: if bytes[0] == 15 { Type::List } else { Type::Binary },
                    expected: "a boolean",
                })
            );
            let bytes = [&[bytes[0], 0, 3], &bytes[3..]].concat();
            assert_eq!(seen(Protocol::Binary, &bytes), Err(ThriftError::Truncated));
        }
        let deep = [12, 0, 3].repeat(100_000);
        assert_eq!(seen(Protocol::Binary, &deep), Err(ThriftError::TooDeep));
        let deep = [0x3c].repeat(100_000);
        assert_eq!(seen(Protocol::Compact, &deep), Err(ThriftError::TooDeep));
    }

    #[test]
    fn a_call_has_a_name() {
        for (protocol, head) in [
            (Protocol::Binary, &b"\x80\x01\0\x04\0\0\0\x03foo\0\0\0\x07"[..]),
            (Protocol::Binary, b"\0\0\0\x03foo\x04\0\0\0\x07"),
            (Protocol::Compact, b"\x82\x81\x07\x03foo"),
        ] {
            let mut reader = Reader::new(protocol, head);
            assert_eq!(reader.call(), Ok(&b"foo"[..]));
            assert_eq!(reader.rest, b"");
        }
        assert_eq!(
            Reader::new(Protocol::Compact, b"x").call(),
            Err(ThriftError::NotAMessage(b'x'))
        );
        assert_eq!(
            Reader::new(Protocol::Binary, b"\x80\x02\0\0").call(),
            Err(ThriftError::NotAMessage(2))
        );
    }
}
