//! Which rows have a value: of a page, as its levels say, and of an array.

use std::ops::Range;

use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};

use super::super::levels;

/// Which rows of a page have a value.
pub(super) enum Validity {
    All(usize),
    None,
    /// A bit for each row, and how many rows before each word have one.
    Some {
        words: Vec<u64>,
        ranks: Vec<u32>,
        count: usize,
    },
}

/// The rows of a row group that are wanted.
pub(in super::super) struct Selected<'a> {
    ranges: &'a [Range<usize>],
    /// A bit for each row up to the last that is wanted.
    bits: Vec<u64>,
}

impl<'a> Selected<'a> {
    /// The ranges ascend and do not overlap.
    pub(in super::super) fn of(ranges: &'a [Range<usize>]) -> Self {
        let end = ranges.last().map_or(0, |range| range.end);
        let mut bits = vec![0; end.div_ceil(64) + 1];
        for range in ranges {
            levels::put(&mut bits, range.start, range.len(), None);
        }
        Self { ranges, bits }
    }

    pub(super) fn len(&self) -> usize {
        self.ranges.iter().map(Range::len).sum()
    }

    /// How many rows of a page are wanted.
    pub(super) fn count_of_page(&self, rows: &Range<usize>) -> usize {
        if !rows.start.is_multiple_of(64) {
            return self.of_page(rows).map(|range| range.len()).sum();
        }
        let words = self.bits.get(rows.start / 64..).unwrap_or_default();
        let (whole, rest) = (rows.len() / 64, rows.len() % 64);
        let count: u32 = words.iter().take(whole).map(|word| word.count_ones()).sum();
        let last = words.get(whole).map_or(0, |word| word & !(u64::MAX << rest));
        (count + last.count_ones()) as usize
    }

    /// The wanted rows of a page, counted from its first.
    pub(super) fn of_page<'s>(
        &'s self,
        rows: &Range<usize>,
    ) -> impl Iterator<Item = Range<usize>> + use<'s> {
        let Range { start, end } = *rows;
        let first = self.ranges.partition_point(|range| range.end <= start);
        self.ranges[first..]
            .iter()
            .take_while(move |range| range.start < end)
            .map(move |range| range.start.max(start) - start..range.end.min(end) - start)
    }
}

/// A bit for each row of an array, as far as it is made.
#[derive(Default)]
pub(super) struct Marks {
    words: Vec<u64>,
    rows: usize,
    set: usize,
}

impl Validity {
    /// What the levels of a page say of its rows, and what follows them. `None` if they are damaged.
    pub(super) fn of(is_optional: bool, page: &[u8], rows: usize) -> Option<(Self, &[u8])> {
        if !is_optional {
            return Some((Self::All(rows), page));
        }
        let mut words = Vec::new();
        let (set, rest) = levels::optional(page, rows, &mut words)?;
        let validity = match set {
            0 => Self::None,
            set if set == rows => Self::All(rows),
            count => {
                let mut before = 0;
                let rank = |word: &u64| {
                    before += word.count_ones();
                    before - word.count_ones()
                };
                let ranks = words.iter().map(rank).collect();
                Self::Some { words, ranks, count }
            }
        };
        Some((validity, rest))
    }

    /// How many values the page has.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::All(rows) => *rows,
            Self::None => 0,
            Self::Some { count, .. } => *count,
        }
    }

    /// Whether each of 64 rows has one, from row `64 * word` on; past the end anything.
    pub(super) fn bits(&self, word: usize) -> u64 {
        match self {
            Self::All(_) => u64::MAX,
            Self::None => 0,
            Self::Some { words, .. } => words.get(word).copied().unwrap_or_default(),
        }
    }

    /// How many rows before this one have a value.
    pub(super) fn rank(&self, row: usize) -> usize {
        match self {
            Self::All(_) => row,
            Self::None => 0,
            Self::Some { words, ranks, count } => {
                match (words.get(row / 64), ranks.get(row / 64)) {
                    (Some(word), Some(rank)) => {
                        (rank + (word & !(u64::MAX << (row % 64))).count_ones()) as usize
                    }
                    _ => *count,
                }
            }
        }
    }

    /// Whether one of the selected rows may have a value, if the page's first row is this one.
    pub(super) fn meets(&self, selected: &Selected<'_>, first_row: usize) -> bool {
        match self {
            Self::All(_) => true,
            Self::None => false,
            Self::Some { .. } if !first_row.is_multiple_of(64) => true,
            Self::Some { words, .. } => {
                let wanted = selected.bits.get(first_row / 64..).unwrap_or_default();
                words.iter().zip(wanted).any(|(word, wanted)| word & wanted > 0)
            }
        }
    }

    /// Appends the bits of some rows, and tells how many of them are set.
    pub(super) fn mark(&self, ranges: &[Range<usize>], into: &mut Marks) -> usize {
        let before = into.set;
        for range in ranges {
            let mut row = range.start;
            while row < range.end {
                let count = (64 - row % 64).min(range.end - row);
                let bits = match self {
                    Self::All(_) => u64::MAX,
                    Self::None => 0,
                    Self::Some { words, .. } => words[row / 64] >> (row % 64),
                };
                into.push(bits, count);
                row += count;
            }
        }
        into.set - before
    }

    /// Appends the values of some rows, which `dense` has one after the other, and `empty` for rows without.
    pub(super) fn spread<V: Copy>(
        &self,
        ranges: &[Range<usize>],
        dense: &[V],
        empty: V,
        into: &mut Vec<V>,
    ) {
        for range in ranges {
            match self {
                Self::All(_) => into.extend_from_slice(&dense[range.clone()]),
                Self::None => into.resize(into.len() + range.len(), empty),
                Self::Some { words, ranks, .. } => {
                    let mut row = range.start;
                    while row < range.end {
                        let (word, offset) = (words[row / 64], row % 64);
                        let count = (64 - offset).min(range.end - row);
                        let before = (word & !(u64::MAX << offset)).count_ones();
                        let from = &dense[(ranks[row / 64] + before) as usize..];
                        spread_word(word >> offset, count, from, empty, into);
                        row += count;
                    }
                }
            }
        }
    }
}

/// Appends values for `count` rows: the next of `from` where a bit is set.
fn spread_word<V: Copy>(bits: u64, count: usize, from: &[V], empty: V, into: &mut Vec<V>) {
    let all = u64::MAX >> (64 - count);
    match bits & all {
        0 => into.resize(into.len() + count, empty),
        bits if bits == all => into.extend_from_slice(&from[..count]),
        bits => {
            let mut next = 0;
            into.extend((0..count).map(|place| {
                // Without a branch: whether a row has a value is hard to foresee.
                let value = from.get(next).copied().unwrap_or(empty);
                let is_there = bits >> place & 1 == 1;
                next += usize::from(is_there);
                if is_there { value } else { empty }
            }));
        }
    }
}

impl Marks {
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// Appends rows with a value.
    pub(super) fn set(&mut self, rows: usize) {
        for at in (0..rows).step_by(64) {
            self.push(u64::MAX, (rows - at).min(64));
        }
    }

    /// Appends rows without a value.
    pub(super) fn pass(&mut self, rows: usize) {
        for at in (0..rows).step_by(64) {
            self.push(0, (rows - at).min(64));
        }
    }

    pub(super) fn any(&self) -> bool {
        self.set > 0
    }

    pub(super) fn has(&self, row: usize) -> bool {
        self.words[row / 64] >> (row % 64) & 1 == 1
    }

    /// Appends the lowest `count` bits, 1 to 64.
    fn push(&mut self, bits: u64, count: usize) {
        let bits = bits & u64::MAX >> (64 - count);
        let offset = self.rows % 64;
        match self.words.last_mut() {
            Some(last) if offset > 0 => *last |= bits << offset,
            _ => self.words.push(bits),
        }
        if offset + count > 64 {
            self.words.push(bits >> (64 - offset));
        }
        self.rows += count;
        self.set += bits.count_ones() as usize;
    }

    /// `None` if all rows have a value.
    pub(super) fn finish(self) -> Option<NullBuffer> {
        let Self { words, rows, set } = self;
        let bits = || BooleanBuffer::new(Buffer::from_vec(words), 0, rows);
        (set < rows).then(|| NullBuffer::new(bits()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Levels as a page has them: runs of one level or of packed ones, as `packed` says by turns.
    fn levels(rows: &[bool], packed: &[bool]) -> Vec<u8> {
        let mut runs = Vec::new();
        let mut turns = packed.iter().cycle();
        let mut left = rows;
        while let Some(first) = left.first() {
            let same = left.iter().take_while(|row| *row == first).count();
            if *turns.next().unwrap() || same < 8 {
                let (these, rest) = left.split_at(left.len().min(8));
                let byte = these.iter().enumerate().fold(0, |b, (i, row)| b | u8::from(*row) << i);
                runs.extend([0b11, byte]);
                left = rest;
            } else {
                let count = same.min(60);
                runs.extend([u8::try_from(count << 1).unwrap(), u8::from(*first)]);
                left = &left[count..];
            }
        }
        let mut page = u32::try_from(runs.len()).unwrap().to_le_bytes().to_vec();
        page.extend(runs);
        page
    }

    proptest! {
        #[test]
        fn values_go_to_the_rows_that_have_one(
            rows in prop_oneof![
                proptest::collection::vec(any::<bool>(), 1..300),
                (1_usize..300, any::<bool>()).prop_map(|(count, all)| vec![all; count]),
                proptest::collection::vec((any::<bool>(), 1_usize..90), 1..6).prop_map(|runs| {
                    runs.into_iter().flat_map(|(value, count)| vec![value; count]).collect()
                }),
            ],
            wanted in proptest::collection::vec(0_usize..540, 0..8),
            packed in proptest::collection::vec(any::<bool>(), 1..5),
        ) {
            let mut page = levels(&rows, &packed);
            page.push(77);
            let (validity, rest) = Validity::of(true, &page, rows.len()).unwrap();
            prop_assert_eq!(rest, [77]);
            let dense: Vec<usize> = (0..rows.len()).filter(|row| rows[*row]).collect();
            prop_assert_eq!(validity.count(), dense.len());

            let mut bounds: Vec<usize> = wanted.iter().map(|at| at % (rows.len() + 1)).collect();
            bounds.sort_unstable();
            bounds.dedup();
            let ranges: Vec<Range<usize>> = bounds.chunks_exact(2).map(|b| b[0]..b[1]).collect();
            let (mut marks, mut values) = (Marks::default(), Vec::new());
            let set = validity.mark(&ranges, &mut marks);
            validity.spread(&ranges, &dense, usize::MAX, &mut values);
            let picked: Vec<usize> = ranges.iter().cloned().flatten().collect();
            prop_assert_eq!((marks.len(), values.len()), (picked.len(), picked.len()));
            prop_assert_eq!(set, picked.iter().filter(|row| rows[**row]).count());
            for (place, row) in picked.into_iter().enumerate() {
                prop_assert_eq!(marks.has(place), rows[row]);
                prop_assert_eq!(values[place], if rows[row] { row } else { usize::MAX });
            }
        }
    }
}
