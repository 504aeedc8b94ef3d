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

impl LevelsMax {
    /// Whether one of the rows has a value, by the levels of their page. `None` if they are damaged.
    pub(super) fn has_value(
        self,
        page: &[u8],
        values: usize,
        rows: &[Range<usize>],
    ) -> Option<bool> {
        if self.definition == 0 {
            return Some(true);
        }
        let mut rest = page;
        let wanted = if self.repetition == 0 {
            rows.to_vec()
        } else {
            let (levels, after) = section(rest)?;
            rest = after;
            places(levels, self.repetition, values, rows)?
        };
        let (levels, _) = section(rest)?;
        let mut found = false;
        runs(levels, self.definition, values, |place, run| {
            let end = place + run.len();
            let first = wanted.partition_point(|range| range.end <= place);
            let mut inside = wanted[first..].iter().take_while(|range| range.start < end);
            found = inside.any(|range| {
                run.has(self.definition, range.start.max(place) - place..range.end.min(end) - place)
            });
            !found && first < wanted.len()
        })?;
        Some(found)
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
