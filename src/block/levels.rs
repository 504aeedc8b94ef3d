//! Levels at the start of a data page: whether the rows that are wanted have a value at all.
//!
//! A page begins with the repetition levels, if the column is repeated, and the definition levels, if it can lack values: each a length
//! (u32) and runs. A run is a varint and either one value for `n >> 1` levels, or `n >> 1` times eight levels packed in bits.

use std::ops::Range;

use super::header::varint;

/// The highest levels of a column: repetition is 0 where a row has one value, definition is reached where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LevelsMax {
    pub repetition: u16,
    pub definition: u16,
}

/// Where the levels of some rows are, by the repetition levels of their page. The leaves of one list mostly have the same ones.
#[derive(Debug, Default)]
pub(super) struct Places {
    repetition: Vec<u8>,
    rows: Vec<Range<usize>>,
    levels: Vec<Range<usize>>,
}

impl LevelsMax {
    /// Whether one of the rows has a value, by the levels of their page; `known` is kept from page to page. `None` if they are damaged.
    pub(super) fn has_value(
        self,
        page: &[u8],
        values: usize,
        rows: &[Range<usize>],
        known: &mut Places,
    ) -> Option<bool> {
        if self.definition == 0 {
            return Some(true);
        }
        if self.repetition == 0 {
            return self.reached(section(page)?.0, values, rows);
        }
        let (repetition, rest) = section(page)?;
        if known.repetition != repetition || known.rows != rows {
            let levels = places(repetition, self.repetition, values, rows)?;
            *known = Places { repetition: repetition.to_vec(), rows: rows.to_vec(), levels };
        }
        self.reached(section(rest)?.0, values, &known.levels)
    }

    /// Whether the highest definition level is reached in one of the wanted places.
    fn reached(self, levels: &[u8], values: usize, wanted: &[Range<usize>]) -> Option<bool> {
        let mut found = false;
        runs(levels, self.definition, values, |place, run| {
            let end = place + run.len();
            let first = wanted.partition_point(|range| range.end <= place);
            let mut inside = wanted[first..].iter().take_while(|range| range.start < end);
            found = inside.any(|range| {
                let (from, to) = (range.start.max(place), range.end.min(end));
                from < to && run.has(self.definition, from - place..to - place)
            });
            !found && first < wanted.len()
        })?;
        Some(found)
    }

    /// Whether a page of a repeated column has as many repetition levels as values.
    pub(super) fn are_whole(self, page: &[u8], values: usize) -> bool {
        let whole = || runs(section(page)?.0, self.repetition, values, |_, _| true);
        self.repetition == 0 || whole().is_some()
    }

    /// Where the values of a page begin. `None` if the levels are damaged.
    pub(super) fn values_of(self, page: &[u8]) -> Option<&[u8]> {
        let mut rest = page;
        for max in [self.repetition, self.definition] {
            if max > 0 {
                rest = section(rest)?.1;
            }
        }
        Some(rest)
    }
}

/// Levels and what follows them.
fn section(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

/// The places of the levels of some rows: a row begins where the repetition level is 0.
fn places(
    levels: &[u8],
    max: u16,
    values: usize,
    rows: &[Range<usize>],
) -> Option<Vec<Range<usize>>> {
    let mut bounds = rows.iter().flat_map(|range| [range.start, range.end]).peekable();
    let mut places = Vec::with_capacity(rows.len() * 2);
    let mut row = 0;
    runs(levels, max, values, |place, run| {
        for offset in 0..run.len() {
            if run.level(offset) == 0 {
                while bounds.next_if_eq(&row).is_some() {
                    places.push(place + offset);
                }
                row += 1;
            }
        }
        bounds.peek().is_some()
    })?;
    // The last row's end is the end of the page.
    places.extend(bounds.map(|_| values));
    Some(places.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect())
}

/// Which of the rows of a page have a value, one or none each: sets a bit of `words` for each that does, and tells how many do and what
/// follows the levels. No bits are made where all rows or none have one. `None` if the levels are damaged.
pub(super) fn optional<'a>(
    page: &'a [u8],
    rows: usize,
    words: &mut Vec<u64>,
) -> Option<(usize, &'a [u8])> {
    let (mut levels, rest) = section(page)?;
    let (mut place, mut set) = (0, 0);
    while place < rows {
        let (head, after) = match levels.split_first()? {
            (head, after) if *head < 0x80 => (u64::from(*head), after),
            _ => varint(levels)?,
        };
        let (length, left) = (usize::try_from(head >> 1).ok()?, rows - place);
        if length == 0 {
            return None;
        }
        if words.is_empty() && (head & 1 == 1 || length < rows) {
            words.resize(rows.div_ceil(64), 0);
        }
        if head & 1 == 0 {
            let (level, after) = after.split_first()?;
            levels = after;
            let count = length.min(left);
            if *level == 1 {
                set += if words.is_empty() { count } else { put(words, place, count, None) };
            }
            place += count;
        } else {
            // The last run may be cut short: its padding need not be there.
            let bits = &after[..length.min(after.len())];
            levels = &after[bits.len()..];
            let count = length.checked_mul(8)?.min(left);
            if bits.len() < count.div_ceil(8) {
                return None;
            }
            set += put(words, place, count, Some(bits));
            place += count;
        }
    }
    Some((set, rest))
}

/// Sets `count` bits from `place` on, to those of `bits` if there are any, and tells how many are set.
#[inline]
pub(super) fn put(words: &mut [u64], place: usize, count: usize, bits: Option<&[u8]>) -> usize {
    let mut set = 0;
    for at in (0..count).step_by(64) {
        let taken = (count - at).min(64);
        let bits = bits.map_or(u64::MAX, |bits| word(&bits[at / 8..])) & u64::MAX >> (64 - taken);
        let (word, offset) = ((place + at) / 64, (place + at) % 64);
        words[word] |= bits << offset;
        if offset + taken > 64 {
            words[word + 1] |= bits >> (64 - offset);
        }
        set += bits.count_ones() as usize;
    }
    set
}

/// The first 64 of some bits; zeros past the end. Mostly a run has eight.
#[inline]
fn word(bits: &[u8]) -> u64 {
    match bits {
        [one] => u64::from(*one),
        from => match from.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => from.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        },
    }
}

/// Levels that are stored together.
enum Run<'a> {
    Same { level: u16, count: usize },
    Packed { bits: &'a [u8], width: usize, count: usize },
}

impl Run<'_> {
    fn len(&self) -> usize {
        match self {
            Run::Same { count, .. } | Run::Packed { count, .. } => *count,
        }
    }

    fn level(&self, place: usize) -> u16 {
        match self {
            Run::Same { level, .. } => *level,
            Run::Packed { bits, width, .. } => {
                let bit = place * width;
                let byte = |at: usize| u32::from(bits.get(at).copied().unwrap_or_default());
                let word = byte(bit / 8) | byte(bit / 8 + 1) << 8 | byte(bit / 8 + 2) << 16;
                let level = (word >> (bit % 8)) & ((1 << width) - 1);
                u16::try_from(level).expect("a level has at most 16 bits")
            }
        }
    }

    fn has(&self, wanted: u16, places: Range<usize>) -> bool {
        match self {
            Run::Same { level, .. } => *level == wanted,
            Run::Packed { .. } => places.into_iter().any(|place| self.level(place) == wanted),
        }
    }
}

/// Calls `each` with the runs of `values` levels and where each begins, as long as it says `true`. `None` if they end before.
fn runs(
    mut bytes: &[u8],
    max: u16,
    values: usize,
    mut each: impl FnMut(usize, &Run<'_>) -> bool,
) -> Option<()> {
    let width = (u16::BITS - max.leading_zeros()) as usize;
    let mut place = 0;
    while place < values {
        let (head, rest) = varint(bytes)?;
        let count = usize::try_from(head >> 1).ok()?;
        let left = values - place;
        let run = if head & 1 == 0 {
            let (level, rest) = rest.split_at_checked(width.div_ceil(8))?;
            bytes = rest;
            let level = level.iter().rev().fold(0, |level, byte| level << 8 | u16::from(*byte));
            Run::Same { level, count: count.min(left) }
        } else {
            // The last run may be cut short: its padding need not be there.
            let length = count.checked_mul(width)?;
            let needed = (count.checked_mul(8)?.min(left) * width).div_ceil(8);
            let bits = rest.get(..length.min(rest.len()))?;
            if bits.len() < needed {
                return None;
            }
            bytes = &rest[bits.len()..];
            Run::Packed { bits, width, count: count.checked_mul(8)?.min(left) }
        };
        if run.len() == 0 {
            return None;
        }
        if !each(place, &run) {
            return Some(());
        }
        place += run.len();
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Levels as a page has them: single runs of eight packed levels, or runs of one level.
    fn stored(levels: &[u16], max: u16, packed: bool) -> Vec<u8> {
        let width = (u16::BITS - max.leading_zeros()) as usize;
        let mut bytes = Vec::new();
        if packed {
            for eight in levels.chunks(8) {
                bytes.push(0b11);
                let mut word = 0_u64;
                for (place, level) in eight.iter().enumerate() {
                    word |= u64::from(*level) << (place * width);
                }
                bytes.extend_from_slice(&word.to_le_bytes()[..width]);
            }
        } else {
            for level in levels {
                bytes.push(0b10);
                bytes.extend_from_slice(&level.to_le_bytes()[..width.div_ceil(8)]);
            }
        }
        let mut all = u32::try_from(bytes.len()).unwrap().to_le_bytes().to_vec();
        all.extend(bytes);
        all
    }

    /// A row each: the definition levels of its values; none means an empty list, whose one level is 0.
    fn page(rows: &[Vec<bool>], packed: bool) -> (Vec<u8>, usize) {
        let (mut repetition, mut definition) = (Vec::new(), Vec::new());
        for row in rows {
            repetition.push(0);
            definition.push(row.first().map_or(0, |value| 1 + u16::from(*value)));
            for value in row.iter().skip(1) {
                repetition.push(1);
                definition.push(1 + u16::from(*value));
            }
        }
        let bytes = [stored(&repetition, 1, packed), stored(&definition, 2, packed)].concat();
        (bytes, definition.len())
    }

    const LIST: LevelsMax = LevelsMax { repetition: 1, definition: 2 };
    const FLAT: LevelsMax = LevelsMax { repetition: 0, definition: 1 };

    proptest! {
        #[test]
        fn a_value_is_found_just_where_one_is(
            rows in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 0..4), 1..40),
            wanted in proptest::collection::vec(any::<bool>(), 40),
            packed: bool,
        ) {
            let ranges: Vec<Range<usize>> =
                (0..rows.len()).filter(|row| wanted[*row]).map(|row| row..row + 1).collect();
            let (bytes, values) = page(&rows, packed);
            let expected = ranges.iter().any(|range| rows[range.start].contains(&true));
            let found = LIST.has_value(&bytes, values, &ranges, &mut Places::default());
            prop_assert_eq!(found, Some(expected));

            let flat: Vec<u16> = rows.iter().map(|row| u16::from(row.contains(&true))).collect();
            let bytes = stored(&flat, 1, packed);
            let found = FLAT.has_value(&bytes, flat.len(), &ranges, &mut Places::default());
            prop_assert_eq!(found, Some(expected));
            prop_assert_eq!(FLAT.values_of(&bytes), Some(&[][..]));
        }

        #[test]
        fn garbage_is_damaged_or_read(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            values in 0_usize..5000,
        ) {
            for levels in [LIST, FLAT] {
                let rows: Vec<_> = std::iter::once(3..values.max(4)).collect();
                let _ = levels.has_value(&bytes, values, &rows, &mut Places::default());
                levels.are_whole(&bytes, values);
                let _ = levels.values_of(&bytes);
            }
        }
    }

    #[test]
    fn levels_that_end_early_are_damaged() {
        let (bytes, values) = page(&[vec![false; 3], vec![false; 3]], true);
        let rows: Vec<_> = std::iter::once(0..2).collect();
        let all =
            |bytes: &[u8], values| LIST.has_value(bytes, values, &rows, &mut Places::default());
        assert_eq!(all(&bytes, values), Some(false));
        assert_eq!(all(&bytes, values + 20), None);
        assert!(LIST.are_whole(&bytes, values) && !LIST.are_whole(&bytes, values + 20));
        assert_eq!(all(&bytes[..bytes.len() - 1], values), None);
        assert_eq!(all(&[], values), None);
    }
}
