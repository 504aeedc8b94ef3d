//! Numbers packed in bits: the codes of a dictionary, and numbers that are told as differences.

use super::header::varint;

/// Most numbers of a block of differences. Writers use 128 to 256.
const BLOCK_MAX: usize = 1 << 16;

/// Appends the `count` codes of a page: {width of a code}, then runs, each {varint} and either one code for `n >> 1` places, or `n >> 1`
/// times eight codes packed in bits. `None` if they are damaged.
pub(super) fn codes<T>(
    page: &[u8],
    count: usize,
    into: &mut Vec<T>,
    of: impl Fn(u64) -> T,
) -> Option<()>
where
    T: Copy,
{
    let (width, bytes) = page.split_first()?;
    runs(bytes, usize::from(*width), count, into, of)
}

/// Appends `count` numbers of `width` bits that are stored in runs.
pub(super) fn runs<T>(
    mut bytes: &[u8],
    width: usize,
    count: usize,
    into: &mut Vec<T>,
    of: impl Fn(u64) -> T,
) -> Option<()>
where
    T: Copy,
{
    if width > 32 {
        return None;
    }
    into.reserve(count);
    let mut left = count;
    while left > 0 {
        let (head, rest) = varint(bytes)?;
        let length = usize::try_from(head >> 1).ok()?;
        let taken;
        if head & 1 == 0 {
            let (value, rest) = rest.split_at_checked(width.div_ceil(8))?;
            bytes = rest;
            taken = length.min(left);
            let value = value.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
            into.extend(std::iter::repeat_n(of(value), taken));
        } else {
            taken = length.checked_mul(8)?.min(left);
            bytes = after(rest, length.checked_mul(width)?, taken * width)?;
            unpack(rest, width, taken, into, &of);
        }
        if taken == 0 {
            return None;
        }
        left -= taken;
    }
    Some(())
}

/// Appends the `count` numbers of a page of differences, and tells what follows them. `None` if they are damaged.
///
/// {numbers of a block, parts of a block, count, first number}, then blocks: {least difference, the width of each part}, and of each part
/// what its differences are above the least, packed in bits. Signed numbers are zigzag varints.
pub(super) fn differences<'a, T>(
    page: &'a [u8],
    count: usize,
    into: &mut Vec<T>,
    of: impl Fn(i64) -> T,
) -> Option<&'a [u8]> {
    let (block, rest) = varint(page)?;
    let (parts, rest) = varint(rest)?;
    let (told, rest) = varint(rest)?;
    let (first, mut rest) = zigzag(rest)?;
    let (block, parts) = (usize::try_from(block).ok()?, usize::try_from(parts).ok()?);
    if told != count as u64 || block > BLOCK_MAX || parts == 0 || block < parts {
        return None;
    }
    if count == 0 {
        return Some(rest);
    }
    into.reserve(count);
    into.push(of(first));
    let (part, mut value, mut left) = (block / parts, first, count - 1);
    while left > 0 {
        let (least, behind) = zigzag(rest)?;
        let (widths, behind) = behind.split_at_checked(parts)?;
        rest = behind;
        for width in widths {
            let taken = part.min(left);
            if taken == 0 {
                break;
            }
            let width = Some(usize::from(*width)).filter(|width| *width <= 64)?;
            let packed = rest;
            rest = after(packed, (part * width).div_ceil(8), taken * width)?;
            unpack(packed, width, taken, into, |above| {
                value = value.wrapping_add(least).wrapping_add(above.cast_signed());
                of(value)
            });
            left -= taken;
        }
    }
    Some(rest)
}

fn zigzag(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (value, rest) = varint(bytes)?;
    Some(((value >> 1).cast_signed() ^ -(value & 1).cast_signed(), rest))
}

/// What follows packed numbers of `length` bytes. The last bytes may be missing, if the `needed` bits are there.
fn after(bytes: &[u8], length: usize, needed: usize) -> Option<&[u8]> {
    let length = length.min(bytes.len());
    (length >= needed.div_ceil(8)).then_some(&bytes[length..])
}

/// Appends `count` numbers of `width` bits, the lowest bits first. The bytes must hold them, and what follows makes it faster.
fn unpack<T>(
    bytes: &[u8],
    width: usize,
    count: usize,
    into: &mut Vec<T>,
    mut of: impl FnMut(u64) -> T,
) {
    if width == 0 {
        return into.extend((0..count).map(|_| of(0)));
    }
    let mut taken = 0;
    if let Some(unpack) = UNPACK.get(width) {
        let mut room = [0; ROOM];
        while count - taken >= ROOM && unpack(&bytes[taken / 8 * width..], &mut room) {
            into.extend(room.iter().map(|value| of(*value)));
            taken += ROOM;
        }
    }
    let mask = u64::MAX >> (64 - width);
    into.extend((taken..count).map(|index| {
        let bit = index * width;
        let mut word = [0; 16];
        let from = &bytes[bit / 8..bytes.len().min(bit / 8 + 16)];
        word[..from.len()].copy_from_slice(from);
        let word = u128::from_le_bytes(word) >> (bit % 8);
        #[expect(clippy::cast_possible_truncation, reason = "masked")]
        of(word as u64 & mask)
    }));
}

/// Numbers that are unpacked at once.
const ROOM: usize = 32;

/// Unpacks numbers of `WIDTH` bits, each by one load. `false` if the bytes, or those that a load takes behind them, are not there.
fn unpack_room<const WIDTH: usize>(bytes: &[u8], room: &mut [u64; ROOM]) -> bool {
    let Some(bytes) = bytes.get(..WIDTH * ROOM / 8 + 8) else { return false };
    for (index, value) in room.iter_mut().enumerate() {
        let bit = index * WIDTH;
        let word = bytes[bit / 8..].first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
        *value = word >> (bit % 8) & ((1 << WIDTH) - 1);
    }
    true
}

type UnpackRoom = fn(&[u8], &mut [u64; ROOM]) -> bool;

/// A function cannot name constants in a loop.
macro_rules! unpack_rooms {
    ($($width:literal)*) => { [$(unpack_room::<$width>),*] };
}

/// By width: with the width known, the compiler knows all shifts. Eight bytes hold a number of 57 bits, wherever in the first it begins.
static UNPACK: [UnpackRoom; 58] = unpack_rooms![
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28
    29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(values: &[u64], width: usize) -> Vec<u8> {
        let mut bytes = vec![0_u8; (values.len() * width).div_ceil(8)];
        for (index, value) in values.iter().enumerate() {
            for bit in (0..width).filter(|bit| value >> bit & 1 == 1) {
                let place = index * width + bit;
                bytes[place / 8] |= 1 << (place % 8);
            }
        }
        bytes
    }

    fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            bytes.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        bytes.push(value.to_le_bytes()[0]);
    }

    fn put_zigzag(bytes: &mut Vec<u8>, value: i64) {
        put_varint(bytes, (value << 1 ^ value >> 63).cast_unsigned());
    }

    /// A page with blocks of 64 numbers in two parts, as wide as they must be.
    fn told(values: &[i64]) -> Vec<u8> {
        let mut bytes = vec![64, 2];
        put_varint(&mut bytes, values.len() as u64);
        put_zigzag(&mut bytes, values.first().copied().unwrap_or(0));
        let steps: Vec<i64> = values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        for block in steps.chunks(64) {
            let least = block.iter().copied().min().unwrap();
            put_zigzag(&mut bytes, least);
            let above = |step: &i64| step.wrapping_sub(least).cast_unsigned();
            let parts: Vec<Vec<u64>> =
                block.chunks(32).map(|part| part.iter().map(above).collect()).collect();
            let widths: Vec<usize> = parts
                .iter()
                .map(|part| 64 - part.iter().max().unwrap().leading_zeros() as usize)
                .collect();
            let width = |part: usize| widths.get(part).copied().unwrap_or(0);
            bytes.extend([width(0), width(1)].map(|width| u8::try_from(width).unwrap()));
            for (part, width) in parts.iter().zip(&widths) {
                let mut part = part.clone();
                part.resize(32, 0);
                bytes.extend(packed(&part, *width));
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn packed_numbers_come_out_again(
            values in proptest::collection::vec(any::<u64>(), 0..100),
            width in 0_usize..=64,
            more in 0_usize..10,
        ) {
            let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
            let values: Vec<u64> = values.into_iter().map(|value| value & mask).collect();
            let mut bytes = packed(&values, width);
            bytes.resize(bytes.len() + more, 0xff);
            let mut found = Vec::new();
            unpack(&bytes, width, values.len(), &mut found, |value| value);
            prop_assert_eq!(found, values);
        }

        #[test]
        fn numbers_told_as_differences_come_out_again(
            values in prop_oneof![
                proptest::collection::vec(any::<i64>(), 0..200),
                proptest::collection::vec(0..1000_i64, 0..200),
            ],
            rest in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut page = told(&values);
            page.extend(&rest);
            let mut found = Vec::new();
            let after = differences(&page, values.len(), &mut found, |value| value);
            prop_assert_eq!(after, Some(&rest[..]));
            prop_assert_eq!(found, values);
        }

        #[test]
        fn garbage_is_damaged_or_read(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            count in 0_usize..3000,
        ) {
            let (mut numbers, mut found) = (Vec::new(), Vec::new());
            if codes(&bytes, count, &mut found, |code| code).is_some() {
                prop_assert_eq!(found.len(), count);
            }
            if differences(&bytes, count, &mut numbers, |value| value).is_some() {
                prop_assert_eq!(numbers.len(), count);
            }
        }
    }

    #[test]
    fn codes_are_stored_in_runs_of_both_kinds() {
        // Width 3; five times the code 6; eight packed codes 0 to 7; of eight more only three count.
        let page = [3, 10, 6, 3, 0b1000_1000, 0b1100_0110, 0b1111_1010, 3, 0b1101_0001, 0];
        let mut found = Vec::new();
        codes(&page, 16, &mut found, |code| code).unwrap();
        assert_eq!(found, [6, 6, 6, 6, 6, 0, 1, 2, 3, 4, 5, 6, 7, 1, 2, 3]);
        assert_eq!(codes(&page[..4], 16, &mut found, |code| code), None);
        assert_eq!(codes(&[33, 2, 0, 0, 0, 0, 0], 1, &mut found, |code| code), None);
    }
}
