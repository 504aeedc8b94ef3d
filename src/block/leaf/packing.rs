//! Numbers packed in bits, written: what `packed.rs` reads.

use arrow::buffer::BooleanBuffer;

/// A run of fewer equal numbers costs more than the same numbers packed.
const RUN_MIN: usize = 8;

/// The same for bytes of eight equal bits.
const RUN_BYTES_MIN: usize = 2;

/// Numbers of a block of differences, and of each of its parts.
const BLOCK: usize = 128;
const PART: usize = 32;

/// Appends numbers of one width as runs: equal ones told once, the others packed in bits by eight.
pub(super) struct Runs<'a> {
    width: u32,
    out: &'a mut Vec<u8>,
    /// Not told yet, and no run.
    pending: Vec<u32>,
}

impl<'a> Runs<'a> {
    pub(super) fn new(width: u32, out: &'a mut Vec<u8>) -> Self {
        Self { width, out, pending: Vec::new() }
    }

    /// Appends `count` times a number.
    pub(super) fn push(&mut self, value: u32, count: usize) {
        let filling = self.pending.len().wrapping_neg() % 8;
        if count < RUN_MIN + filling {
            return self.pending.extend(std::iter::repeat_n(value, count));
        }
        self.pending.extend(std::iter::repeat_n(value, filling));
        self.pack_pending();
        varint(((count - filling) as u64) << 1, self.out);
        let bytes = self.width.div_ceil(8) as usize;
        self.out.extend_from_slice(&value.to_le_bytes()[..bytes]);
    }

    /// Appends numbers.
    pub(super) fn extend<T: Copy + Eq + Into<u32>>(&mut self, mut values: &[T]) {
        while !values.is_empty() {
            let (literal, rest) = values.split_at(before_run(values));
            self.pending.extend(literal.iter().map(|value| (*value).into()));
            let Some(first) = rest.first() else { break };
            let run = rest.iter().take_while(|value| *value == first).count();
            self.push((*first).into(), run);
            values = &rest[run..];
        }
    }

    fn pack_pending(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let eights = self.pending.len().div_ceil(8);
        self.pending.resize(eights * 8, 0);
        varint((eights as u64) << 1 | 1, self.out);
        let low = |value: &u32| value.to_le_bytes()[0];
        match self.width {
            1 => pack_bytes::<1>(&self.pending, self.out),
            2 => pack_bytes::<2>(&self.pending, self.out),
            4 => pack_bytes::<4>(&self.pending, self.out),
            8 => self.out.extend(self.pending.iter().map(low)),
            width => pack(self.pending.iter().map(|value| u64::from(*value)), width, self.out),
        }
        self.pending.clear();
    }

    /// Appends what is left: up to seven places more than were told.
    pub(super) fn finish(mut self) {
        self.pack_pending();
    }
}

/// How many values stand before the first run.
fn before_run<T: Copy + Eq>(values: &[T]) -> usize {
    let mut run = 0;
    for (place, pair) in values.windows(2).enumerate() {
        run = if pair[0] == pair[1] { run + 1 } else { 0 };
        if run == RUN_MIN - 1 {
            return place + 2 - RUN_MIN;
        }
    }
    values.len()
}

/// Appends bits as runs: eight at a time, as they lie there.
pub(super) fn bits(bits: &BooleanBuffer, out: &mut Vec<u8>) {
    let chunks = bits.bit_chunks();
    let mut bytes: Vec<u8> = chunks.iter_padded().flat_map(u64::to_le_bytes).collect();
    bytes.truncate(bits.len().div_ceil(8));
    // What is behind the last bit counts as equal to it, so that a run of ones can go to the end.
    if let ([.., u8::MAX, last], padding @ 1..) = (&mut bytes[..], bits.len().wrapping_neg() % 8)
        && last.leading_zeros() as usize == padding
        && last.trailing_ones() as usize == 8 - padding
    {
        *last = u8::MAX;
    }
    let mut at = 0;
    while at < bytes.len() {
        let run = equal_bytes(&bytes[at..]);
        if run >= RUN_BYTES_MIN || (run > 0 && at + run == bytes.len()) {
            let count = (run * 8).min(bits.len() - at * 8);
            varint((count as u64) << 1, out);
            out.push(bytes[at] & 1);
            at += run;
            continue;
        }
        let mut end = at + run.max(1);
        while end < bytes.len() && equal_bytes(&bytes[end..]) < RUN_BYTES_MIN {
            end += 1;
        }
        varint(((end - at) as u64) << 1 | 1, out);
        out.extend_from_slice(&bytes[at..end]);
        at = end;
    }
}

/// How many bytes of nothing but zeros or ones, all alike, come first.
fn equal_bytes(bytes: &[u8]) -> usize {
    match bytes[0] {
        first @ (0 | u8::MAX) => bytes.iter().take_while(|byte| **byte == first).count(),
        _ => 0,
    }
}

/// Bits that a number takes.
pub(super) fn width_of(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

/// Appends numbers as differences, packed in bits. `WIDE`: they have 64 bits, else 32, and differences are taken modulo that.
pub(super) fn differences<const WIDE: bool>(
    mut numbers: impl ExactSizeIterator<Item = i64>,
    out: &mut Vec<u8>,
) {
    for number in [BLOCK, BLOCK / PART, numbers.len()] {
        varint(number as u64, out);
    }
    let mut before = numbers.next().unwrap_or(0);
    zigzag(before, out);
    let mut block = Vec::with_capacity(BLOCK);
    while numbers.len() > 0 {
        block.clear();
        block.extend(numbers.by_ref().take(BLOCK).map(|number| {
            let difference = number.wrapping_sub(before);
            before = number;
            if WIDE { difference } else { i64::from(low(difference.cast_unsigned()).cast_signed()) }
        }));
        let least = block.iter().copied().min().unwrap_or(0);
        zigzag(least, out);
        let above = |difference: i64| difference.wrapping_sub(least).cast_unsigned();
        let widths = out.len();
        out.resize(widths + BLOCK / PART, 0);
        for (place, part) in block.chunks_mut(PART).enumerate() {
            let width =
                width_of(part.iter().map(|difference| above(*difference)).fold(0, |a, b| a | b));
            out[widths + place] = u8::try_from(width).expect("at most 64");
            let padding = std::iter::repeat_n(0, PART - part.len());
            pack(part.iter().map(|difference| above(*difference)).chain(padding), width, out);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "modulo 2^32")]
fn low(number: u64) -> u32 {
    number as u32
}

/// [`pack`] where no number is in two bytes.
fn pack_bytes<const WIDTH: usize>(numbers: &[u32], out: &mut Vec<u8>) {
    out.extend(numbers.chunks(8 / WIDTH).map(|numbers| {
        let bits = numbers.iter().enumerate().map(|(at, n)| n.to_le_bytes()[0] << (at * WIDTH));
        bits.fold(0, |byte, bits| byte | bits)
    }));
}

/// Appends numbers of `width` bits, the lowest bits first, and fills the last byte.
fn pack(numbers: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let (mut word, mut bits) = (0_u64, 0);
    for number in numbers {
        word |= number << bits;
        bits += width;
        if bits >= u64::BITS {
            out.extend_from_slice(&word.to_le_bytes());
            bits -= u64::BITS;
            word = number.checked_shr(width - bits).unwrap_or(0);
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..bits.div_ceil(8) as usize]);
}

/// Appends a number in seven bits a byte, lowest first.
fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        #[expect(clippy::cast_possible_truncation, reason = "the lowest seven bits")]
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most seven bits")]
    out.push(number as u8);
}

/// Appends a signed number: small ones of both signs take few bytes.
pub(in super::super) fn zigzag(number: i64, out: &mut Vec<u8>) {
    varint((number << 1 ^ number >> 63).cast_unsigned(), out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::packed;
    use super::*;

    proptest! {
        #[test]
        fn runs_are_read_back(
            runs in proptest::collection::vec((any::<u32>(), 1_usize..40), 0..60),
            width in 0_u32..=32,
        ) {
            let mask = u32::try_from((1_u64 << width) - 1).unwrap();
            let values: Vec<u32> =
                runs.iter().flat_map(|(value, count)| vec![value & mask; *count]).collect();
            let mut bytes = Vec::new();
            let mut writer = Runs::new(width, &mut bytes);
            writer.extend(&values);
            writer.finish();
            let mut back = Vec::new();
            let read = packed::runs(&bytes, width as usize, values.len(), &mut back, |value| value);
            prop_assert_eq!(read, Some(()));
            prop_assert_eq!(back, values.into_iter().map(u64::from).collect::<Vec<_>>());
        }

        #[test]
        fn bits_are_read_back(
            runs in proptest::collection::vec((any::<bool>(), 1_usize..40), 0..60),
            first in 0_usize..9,
        ) {
            let all: Vec<bool> =
                runs.iter().flat_map(|(bit, count)| vec![*bit; *count]).collect();
            let first = first.min(all.len());
            let buffer = BooleanBuffer::from(all.clone()).slice(first, all.len() - first);
            let mut bytes = Vec::new();
            bits(&buffer, &mut bytes);
            let mut back = Vec::new();
            let read = packed::runs(&bytes, 1, buffer.len(), &mut back, |bit| bit == 1);
            prop_assert_eq!(read, Some(()));
            prop_assert_eq!(&back, &all[first..]);
        }

        #[test]
        fn differences_are_read_back(
            values in proptest::collection::vec(
                prop_oneof![any::<i64>(), 0..100_i64, Just(i64::MIN), Just(i64::MAX)], 0..400),
        ) {
            let mut bytes = Vec::new();
            differences::<true>(values.iter().copied(), &mut bytes);
            let mut back = Vec::new();
            let rest = packed::differences(&bytes, values.len(), &mut back, |value| value);
            prop_assert_eq!(rest, Some(&[][..]));
            prop_assert_eq!(&back, &values);

            let narrow: Vec<i64> =
                values.iter().map(|v| i64::from(low(v.cast_unsigned()).cast_signed())).collect();
            bytes.clear();
            differences::<false>(narrow.iter().copied(), &mut bytes);
            let mut back = Vec::new();
            packed::differences(&bytes, narrow.len(), &mut back, |value| low(value.cast_unsigned()));
            let narrow: Vec<u32> = narrow.iter().map(|v| low(v.cast_unsigned())).collect();
            prop_assert_eq!(back, narrow);
        }
    }
}
