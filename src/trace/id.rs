//! Trace and span ids: parse, print, order.

use std::fmt;

/// The 16 bytes that name a trace. Ids of 64 bits are left-padded with zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TraceId(pub [u8; 16]);

/// The 8 bytes that name a span. All zero means "none" (a root's parent).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SpanId(pub [u8; 8]);

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error(
        "trace IDs can only contain hex characters: invalid character '{found}' at position {position}"
    )]
    NotHex { found: char, position: usize },
    #[error("trace IDs can't be larger than 128 bits")]
    TooLong,
    #[error("trace IDs can't be empty")]
    Empty,
}

impl TraceId {
    /// Parses 1 to 32 hex digits of either case, as Tempo's API takes them; shorter ones are left-padded with zeros.
    ///
    /// # Errors
    /// Names the first character that is not a hex digit and its position, from 1.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        let mut value: u128 = 0;
        let mut digits = 0;
        for (index, found) in text.chars().enumerate() {
            let digit = found.to_digit(16).ok_or(IdError::NotHex { found, position: index + 1 })?;
            digits += 1;
            if digits > 32 {
                return Err(IdError::TooLong);
            }
            value = value << 4 | u128::from(digit);
        }
        Ok(Self(value.to_be_bytes()))
    }

    /// `None` unless there are 16 bytes that are not all zero, as OTLP demands.
    pub fn from_otlp(bytes: &[u8]) -> Option<Self> {
        let id: [u8; 16] = bytes.try_into().ok()?;
        (id != [0; 16]).then_some(Self(id))
    }

    /// The two halves folded into one word: the key of trace directories, and part of the block format. Tells apart
    /// 64-bit ids, whose upper half is zero, and ids whose halves are equal.
    pub fn fold(self) -> u64 {
        let value = u128::from_be_bytes(self.0);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of 128 bits")]
        let halves = ((value >> 64) as u64, value as u64);
        halves.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ halves.1
    }

    /// Hex without leading zeros, as Tempo's search answers print it.
    pub fn short_hex(self) -> String {
        format!("{:x}", u128::from_be_bytes(self.0))
    }
}

impl SpanId {
    /// `None` unless there are 8 bytes that are not all zero, as OTLP demands.
    pub fn from_otlp(bytes: &[u8]) -> Option<Self> {
        let id: [u8; 8] = bytes.try_into().ok()?;
        (id != [0; 8]).then_some(Self(id))
    }

    pub fn is_none(self) -> bool {
        self.0 == [0; 8]
    }
}

/// 32 lower-case hex digits.
impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 16 lower-case hex digits.
impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_upper_case_ids_are_padded() {
        let id = TraceId::parse("ABcd").unwrap();
        assert_eq!(id.to_string(), "0000000000000000000000000000abcd");
        assert_eq!(id.short_hex(), "abcd");
    }

    #[test]
    fn an_error_names_the_character_and_its_position() {
        assert_eq!(
            TraceId::parse("12x4").unwrap_err().to_string(),
            "trace IDs can only contain hex characters: invalid character 'x' at position 3"
        );
        assert_eq!(TraceId::parse(&"1".repeat(33)), Err(IdError::TooLong));
        assert_eq!(TraceId::parse(""), Err(IdError::Empty));
    }

    #[test]
    fn zero_or_wrongly_sized_otlp_ids_are_refused() {
        assert_eq!(TraceId::from_otlp(&[0; 16]), None);
        assert_eq!(TraceId::from_otlp(&[1; 15]), None);
        assert_eq!(SpanId::from_otlp(&[0; 8]), None);
        assert_eq!(SpanId::from_otlp(&[1; 8]), Some(SpanId([1; 8])));
    }

    #[test]
    fn the_fold_of_a_64_bit_id_is_not_constant() {
        let (a, b) = (TraceId::parse("1").unwrap(), TraceId::parse("2").unwrap());
        assert_ne!(a.fold(), b.fold());
    }
}
