//! What is known of each series at each slot while spans are read.

use std::collections::{HashMap, HashSet};

use foldhash::fast::FixedState;

use super::super::EvalError;
use super::numbers::Number;
use super::picked::{Coded, narrow};
use super::quantile::{BUCKETS, bucket};

/// Cells by series and slot.
#[derive(Clone)]
pub(super) struct Grid<T> {
    width: usize,
    cells: Vec<T>,
}

/// A sum of numbers with twice the digits of a float, so that the order of adding does not show; and how many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sum {
    high: f64,
    low: f64,
    count: u64,
}

/// Counts by series and bucket.
#[derive(Clone)]
pub(super) struct Buckets {
    /// Of each series the rows of `counts` that its buckets have.
    rows: Vec<[u32; BUCKETS]>,
    counts: Grid<u64>,
}

/// Which values were seen in which series and slot.
#[derive(Clone)]
pub(super) struct Distinct {
    width: usize,
    /// Numbers of the values, by what tells them apart.
    values: HashMap<Vec<u8>, u32, FixedState>,
    /// Series, slot and value.
    seen: HashSet<(u32, u32, u32), FixedState>,
}

/// The cells of a function.
#[derive(Clone)]
pub(super) enum Cells {
    Counts(Grid<u64>),
    /// NaN where there is no value.
    Least(Grid<f64>),
    Most(Grid<f64>),
    Sums(Grid<Sum>),
    Buckets(Buckets),
    Distinct(Distinct),
}

const NO_ROW: u32 = u32::MAX;

impl<T: Copy> Grid<T> {
    pub(super) fn new(width: usize) -> Self {
        Self { width, cells: Vec::new() }
    }

    fn rows(&self) -> usize {
        self.cells.len() / self.width
    }

    /// Makes place for so many series.
    ///
    /// # Errors
    /// If there would be more than `max` cells.
    fn grow(&mut self, rows: usize, empty: T, max: usize) -> Result<(), EvalError> {
        let wanted = rows.saturating_mul(self.width);
        if wanted > max {
            return Err(EvalError::TooManySamples { max });
        }
        if wanted > self.cells.len() {
            self.cells.resize(wanted, empty);
        }
        Ok(())
    }

    #[inline]
    fn at(&mut self, row: u32, slot: u32) -> &mut T {
        &mut self.cells[row as usize * self.width + slot as usize]
    }

    pub(super) fn row(&self, row: usize) -> &[T] {
        &self.cells[row * self.width..(row + 1) * self.width]
    }

    fn merge_row(&mut self, row: u32, from: &[T], join: impl Fn(&mut T, T)) {
        let first = row as usize * self.width;
        let into = &mut self.cells[first..first + self.width];
        into.iter_mut().zip(from).for_each(|(into, from)| join(into, *from));
    }
}

impl Sum {
    pub(super) fn add(&mut self, number: Number) {
        match number {
            Number::None => return,
            Number::Float(value) => self.add_float(value),
            Number::Int(value) => {
                // What a float cannot hold of the int is added by itself.
                #[expect(clippy::cast_precision_loss, reason = "the rest is added below")]
                let near = value as f64;
                self.add_float(near);
                #[expect(clippy::cast_possible_truncation, reason = "within 2^63")]
                let rest = i128::from(value) - near as i128;
                if rest != 0 {
                    #[expect(clippy::cast_precision_loss, reason = "at most 512")]
                    self.add_float(rest as f64);
                }
            }
        }
        self.count += 1;
    }

    fn add_float(&mut self, value: f64) {
        let sum = self.high + value;
        if !sum.is_finite() {
            (self.high, self.low) = (sum, 0.0);
            return;
        }
        let part = sum - self.high;
        let lost = (self.high - (sum - part)) + (value - part);
        let low = self.low + lost;
        self.high = sum + low;
        self.low = low - (self.high - sum);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.add_float(other.high);
        self.add_float(other.low);
        self.count += other.count;
    }

    /// NaN without a number.
    pub(super) fn total(&self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.high + self.low }
    }

    /// NaN without a number.
    pub(super) fn mean(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts of spans are below 2^53")]
        let count = self.count as f64;
        self.total() / count
    }
}

impl Buckets {
    pub(super) fn new(width: usize) -> Self {
        Self { rows: Vec::new(), counts: Grid::new(width) }
    }

    /// The counts of a series by bucket and slot; buckets ascending, without those that have none.
    pub(super) fn of_series(&self, series: usize) -> impl Iterator<Item = (usize, &[u64])> {
        let rows = self.rows[series].iter().enumerate().filter(|(_, row)| **row != NO_ROW);
        rows.map(|(bucket, row)| (bucket, self.counts.row(*row as usize)))
    }

    fn grow(&mut self, series: usize, max: usize) -> Result<(), EvalError> {
        if series.saturating_mul(BUCKETS) > max.saturating_mul(2) {
            return Err(EvalError::TooManySamples { max });
        }
        if series > self.rows.len() {
            self.rows.resize(series, [NO_ROW; BUCKETS]);
        }
        Ok(())
    }

    fn row(&mut self, series: u32, bucket: usize, max: usize) -> Result<u32, EvalError> {
        let row = self.rows[series as usize][bucket];
        if row != NO_ROW {
            return Ok(row);
        }
        let rows = self.counts.rows();
        self.counts.grow(rows + 1, 0, max)?;
        let row = narrow(rows);
        self.rows[series as usize][bucket] = row;
        Ok(row)
    }
}

impl Distinct {
    pub(super) fn new(width: usize) -> Self {
        Self { width, values: HashMap::default(), seen: HashSet::default() }
    }

    /// Notes the value of each span.
    pub(super) fn add(
        &mut self,
        series: &[u32],
        slots: &[u32],
        values: &Coded<'_>,
        max: usize,
    ) -> Result<(), EvalError> {
        let numbers: Vec<u32> =
            values.values.iter().map(|value| self.number(value.group_key())).collect();
        for ((series, slot), code) in series.iter().zip(slots).zip(&values.codes) {
            self.seen.insert((*series, *slot, numbers[*code as usize]));
        }
        self.check(max)
    }

    fn merge(&mut self, other: &Self, series: &[u32], max: usize) -> Result<(), EvalError> {
        let mut numbers = vec![0; other.values.len()];
        for (value, number) in &other.values {
            numbers[*number as usize] = self.number(value.clone());
        }
        for (from, slot, value) in &other.seen {
            self.seen.insert((series[*from as usize], *slot, numbers[*value as usize]));
        }
        self.check(max)
    }

    fn number(&mut self, value: Vec<u8>) -> u32 {
        let next = narrow(self.values.len());
        *self.values.entry(value).or_insert(next)
    }

    fn check(&self, max: usize) -> Result<(), EvalError> {
        if self.seen.len() > max { Err(EvalError::TooManySamples { max }) } else { Ok(()) }
    }

    /// How many values each series has in each slot.
    pub(super) fn counts(&self, series: usize) -> Grid<u64> {
        let mut counts = Grid { width: self.width, cells: vec![0; series * self.width] };
        for (series, slot, _) in &self.seen {
            *counts.at(*series, *slot) += 1;
        }
        counts
    }
}

impl Cells {
    /// Makes place for so many series.
    pub(super) fn grow(&mut self, series: usize, max: usize) -> Result<(), EvalError> {
        match self {
            Self::Counts(grid) => grid.grow(series, 0, max),
            Self::Least(grid) | Self::Most(grid) => grid.grow(series, f64::NAN, max),
            Self::Sums(grid) => grid.grow(series, Sum::default(), max),
            Self::Buckets(buckets) => buckets.grow(series, max),
            Self::Distinct(_) => Ok(()),
        }
    }

    /// Counts spans: the series and the slot of each, and the number that is measured if one is.
    pub(super) fn add(
        &mut self,
        series: &[u32],
        slots: &[u32],
        numbers: &[Number],
        max: usize,
    ) -> Result<(), EvalError> {
        let places = series.iter().zip(slots);
        let measured = series.iter().zip(slots).zip(numbers);
        match self {
            Self::Counts(grid) => places.for_each(|(row, slot)| *grid.at(*row, *slot) += 1),
            Self::Least(grid) => measured.for_each(|((row, slot), number)| {
                let Some(value) = number.to_float() else { return };
                let least = grid.at(*row, *slot);
                *least = least.min(value);
            }),
            Self::Most(grid) => measured.for_each(|((row, slot), number)| {
                let Some(value) = number.to_float() else { return };
                let most = grid.at(*row, *slot);
                *most = most.max(value);
            }),
            Self::Sums(grid) => {
                measured.for_each(|((row, slot), number)| grid.at(*row, *slot).add(*number));
            }
            Self::Buckets(buckets) => {
                for ((series, slot), number) in measured {
                    let Number::Int(value) = number else { continue };
                    let Some(bucket) = bucket(*value) else { continue };
                    let row = buckets.row(*series, bucket, max)?;
                    *buckets.counts.at(row, *slot) += 1;
                }
            }
            Self::Distinct(_) => unreachable!("values are noted by themselves"),
        }
        Ok(())
    }

    /// Adds what another read. `series` tells which series of these each of the other's is.
    pub(super) fn merge(
        &mut self,
        other: &Self,
        series: &[u32],
        max: usize,
    ) -> Result<(), EvalError> {
        if let (Self::Distinct(mine), Self::Distinct(other)) = (&mut *self, other) {
            return mine.merge(other, series, max);
        }
        for (from, into) in series.iter().enumerate() {
            match (&mut *self, other) {
                (Self::Counts(mine), Self::Counts(other)) => {
                    mine.merge_row(*into, other.row(from), |into, from| *into += from);
                }
                (Self::Least(mine), Self::Least(other)) => {
                    mine.merge_row(*into, other.row(from), |into, from| *into = into.min(from));
                }
                (Self::Most(mine), Self::Most(other)) => {
                    mine.merge_row(*into, other.row(from), |into, from| *into = into.max(from));
                }
                (Self::Sums(mine), Self::Sums(other)) => {
                    mine.merge_row(*into, other.row(from), Sum::merge);
                }
                (Self::Buckets(mine), Self::Buckets(other)) => {
                    for (bucket, counts) in other.of_series(from) {
                        let row = mine.row(*into, bucket, max)?;
                        mine.counts.merge_row(row, counts, |into, from| *into += from);
                    }
                }
                _ => unreachable!("parts of one query have one kind of cells"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_does_not_depend_on_the_order() {
        let numbers = [0.1, 1e9, 0.7, -1e9, 1e-7, 0.2].map(Number::Float);
        let of = |numbers: &mut dyn Iterator<Item = &Number>| {
            let mut sum = Sum::default();
            numbers.for_each(|number| sum.add(*number));
            sum
        };
        let (forth, back) = (of(&mut numbers.iter()), of(&mut numbers.iter().rev()));
        assert_eq!((forth.total(), back.total()), (1.000_000_1, 1.000_000_1));
        let mut halves = of(&mut numbers[..2].iter());
        halves.merge(of(&mut numbers[2..].iter()));
        assert_eq!((halves.total(), halves.count), (1.000_000_1, 6));
        let big = [Number::Int((1 << 53) + 1), Number::Int(1 << 53)];
        let rest = Number::Int(-(1 << 54));
        assert_eq!(of(&mut big.iter().chain([&rest])).total().to_bits(), 1.0_f64.to_bits());
        assert!(Sum::default().total().is_nan() && Sum::default().mean().is_nan());
    }

    #[test]
    fn infinite_values_stay_infinite() {
        let mut sum = Sum::default();
        for value in [1.0, f64::INFINITY, 2.0] {
            sum.add(Number::Float(value));
        }
        assert!(sum.total().is_infinite());
    }
}
