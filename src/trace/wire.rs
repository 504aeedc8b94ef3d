//! The protobuf wire format: fields out of bytes, bytes out of fields.
//!
//! Only what OTLP needs. Source: <https://protobuf.dev/programming-guides/encoding/>. Every field comes with its raw bytes,
//! so that what we do not know can be kept as it came.

/// A message that is not protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("the message ends inside a field")]
    Truncated,
    #[error("a varint is longer than ten bytes")]
    LongVarint,
    #[error("field {field} has wire type {found}, expected {expected}")]
    WireType { field: u32, found: u8, expected: &'static str },
    #[error("field number 0 or wire type {0} does not exist")]
    BadTag(u64),
    #[error("text is not UTF-8")]
    Utf8,
    #[error("messages are nested deeper than {DEPTH_MAX}")]
    TooDeep,
}

/// Deepest nesting of arrays, kvlists and groups. prost's limit: what it can't read nobody sends.
pub const DEPTH_MAX: usize = 100;

/// A field's value as the wire carries it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
    /// Deprecated in protobuf; skipped as a whole.
    Group,
}

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field<'a> {
    pub number: u32,
    pub value: Wire<'a>,
    /// Tag and value, as they came.
    pub raw: &'a [u8],
}

impl<'a> Field<'a> {
    pub fn bytes(&self) -> Result<&'a [u8], WireError> {
        match self.value {
            Wire::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong("length-delimited")),
        }
    }

    pub fn text(&self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError::Utf8)
    }

    pub fn varint(&self) -> Result<u64, WireError> {
        match self.value {
            Wire::Varint(value) => Ok(value),
            _ => Err(self.wrong("varint")),
        }
    }

    /// A varint of a 32-bit field: the upper half is cut, as protobuf says.
    #[expect(clippy::cast_possible_truncation, reason = "protobuf's rule for 32-bit fields")]
    pub fn varint32(&self) -> Result<u32, WireError> {
        Ok(self.varint()? as u32)
    }

    pub fn fixed64(&self) -> Result<u64, WireError> {
        match self.value {
            Wire::Fixed64(value) => Ok(value),
            _ => Err(self.wrong("fixed64")),
        }
    }

    pub fn fixed32(&self) -> Result<u32, WireError> {
        match self.value {
            Wire::Fixed32(value) => Ok(value),
            _ => Err(self.wrong("fixed32")),
        }
    }

    fn wrong(&self, expected: &'static str) -> WireError {
        let found = match self.value {
            Wire::Varint(_) => 0,
            Wire::Fixed64(_) => 1,
            Wire::Bytes(_) => 2,
            Wire::Group => 3,
            Wire::Fixed32(_) => 5,
        };
        WireError::WireType { field: self.number, found, expected }
    }
}

/// The fields of a message, in order. After an error there are no more.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    #[expect(
        clippy::inline_always,
        reason = "a field copied through memory stalls: a quarter of a decode"
    )]
    #[inline(always)]
    fn read(&mut self) -> Result<Field<'a>, WireError> {
        let whole = self.rest;
        let (number, value) = self.read_field(0)?;
        let taken = whole.len() - self.rest.len();
        Ok(Field { number, value, raw: &whole[..taken] })
    }

    #[expect(
        clippy::inline_always,
        reason = "a field copied through memory stalls: a quarter of a decode"
    )]
    #[inline(always)]
    fn read_field(&mut self, depth: usize) -> Result<(u32, Wire<'a>), WireError> {
        let tag = self.read_varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| WireError::BadTag(tag))?;
        if number == 0 {
            return Err(WireError::BadTag(tag));
        }
        let value = match tag & 7 {
            0 => Wire::Varint(self.read_varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.take_array()?)),
            2 => {
                let length = self.read_varint()?;
                let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
                Wire::Bytes(self.take(length)?)
            }
            3 => {
                self.skip_group(number, depth)?;
                Wire::Group
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.take_array()?)),
            _ => return Err(WireError::BadTag(tag)),
        };
        Ok((number, value))
    }

    #[cold]
    fn skip_group(&mut self, number: u32, depth: usize) -> Result<(), WireError> {
        if depth >= DEPTH_MAX {
            return Err(WireError::TooDeep);
        }
        loop {
            let before = self.rest;
            let tag = self.read_varint()?;
            if tag & 7 == 4 {
                return if tag >> 3 == u64::from(number) {
                    Ok(())
                } else {
                    Err(WireError::BadTag(tag))
                };
            }
            self.rest = before;
            self.read_field(depth + 1)?;
        }
    }

    /// Most varints are tags and lengths of one byte.
    #[inline]
    fn read_varint(&mut self) -> Result<u64, WireError> {
        match self.rest.split_first() {
            Some((byte, rest)) if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.read_long_varint(),
        }
    }

    fn read_long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().enumerate() {
            if index == 10 {
                return Err(WireError::LongVarint);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(WireError::Truncated)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    #[expect(
        clippy::inline_always,
        reason = "a field copied through memory stalls: a quarter of a decode"
    )]
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "seven bits and the marker")]
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "less than 0x80")]
    out.push(value as u8);
}

/// Bytes that [`put_varint`] writes.
pub fn varint_len(value: u64) -> usize {
    (63 - (value | 1).leading_zeros() as usize) / 7 + 1
}

pub fn put_varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

pub fn put_bytes_field(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub fn put_fixed64_field(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

pub fn put_fixed32_field(out: &mut Vec<u8>, number: u32, value: u32) {
    put_varint(out, u64::from(number) << 3 | 5);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Begins a message field whose length is not known yet; [`close_message`] ends it. Returns where its content begins.
pub fn open_message(out: &mut Vec<u8>, number: u32) -> usize {
    put_varint(out, u64::from(number) << 3 | 2);
    out.push(0);
    out.len()
}

/// Writes the length of the message that began at `start`. Content of 128 bytes and more is moved up once.
pub fn close_message(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    let mut wanted = varint_len(length as u64);
    out.resize(out.len() + wanted - 1, 0);
    out.copy_within(start..start + length, start + wanted - 1);
    let mut value = length;
    let mut at = start - 1;
    while wanted > 0 {
        wanted -= 1;
        let more = if wanted > 0 { 0x80 } else { 0 };
        #[expect(clippy::cast_possible_truncation, reason = "seven bits and the marker")]
        let byte = (value & 0x7f) as u8 | more;
        out[at] = byte;
        at += 1;
        value >>= 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_with_their_raw_bytes() {
        let mut message = Vec::new();
        put_varint_field(&mut message, 1, 300);
        put_bytes_field(&mut message, 2, b"abc");
        put_fixed64_field(&mut message, 3, 7);
        put_fixed32_field(&mut message, 1000, 9);
        let fields: Vec<_> = Fields::of(&message).map(Result::unwrap).collect();
        assert_eq!(fields[0].varint(), Ok(300));
        assert_eq!(fields[1].text(), Ok("abc"));
        assert_eq!(fields[2].fixed64(), Ok(7));
        assert_eq!((fields[3].number, fields[3].fixed32()), (1000, Ok(9)));
        let raw: Vec<u8> = fields.iter().flat_map(|f| f.raw.to_vec()).collect();
        assert_eq!(raw, message);
    }

    #[test]
    fn a_cut_message_is_an_error_and_ends() {
        let mut message = Vec::new();
        put_bytes_field(&mut message, 2, b"abcdef");
        for end in 1..message.len() {
            let all: Vec<_> = Fields::of(&message[..end]).collect();
            assert_eq!(all, [Err(WireError::Truncated)], "{end}");
        }
    }

    #[test]
    fn groups_are_skipped_whole() {
        let message = [0x0b, 0x10, 0x01, 0x0c, 0x18, 0x05]; // group 1 { 2: 1 }, 3: 5
        let fields: Vec<_> = Fields::of(&message).map(Result::unwrap).collect();
        assert_eq!((fields[0].number, fields[0].value), (1, Wire::Group));
        assert_eq!((fields[1].number, fields[1].varint()), (3, Ok(5)));
        let deep = [0x0b_u8; 5000];
        assert_eq!(Fields::of(&deep).next(), Some(Err(WireError::TooDeep)));
    }

    #[test]
    fn a_message_of_unknown_length_is_closed_with_the_length_it_got() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 70_000] {
            let content: Vec<u8> = (0..=250).cycle().take(length).collect();
            let (mut out, mut expected) = (vec![9, 9], vec![9, 9]);
            let start = open_message(&mut out, 77);
            out.extend_from_slice(&content);
            close_message(&mut out, start);
            put_bytes_field(&mut expected, 77, &content);
            assert_eq!(out, expected, "{length}");
        }
    }

    #[test]
    fn the_length_of_a_varint_is_what_is_written() {
        for value in [0, 1, 127, 128, 16383, 16384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
        }
    }
}
