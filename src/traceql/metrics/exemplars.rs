//! Spans that stand for a part of a series: of each series, in equal parts of the time, the one that starts first.

use super::super::rows::Rows;
use super::numbers::Number;
use super::picked::{Picked, narrow};
use crate::trace::TraceId;

/// More series have no exemplars: nobody could look at them.
const SERIES_MAX: usize = 1000;

/// A span that was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// Unix nanoseconds.
    pub(super) start: u64,
    pub(super) trace: TraceId,
    pub(super) slot: u32,
    /// What is measured of it; NaN where the function measures nothing.
    pub(super) value: f64,
}

/// The best candidates so far, by series and part of the time.
pub(super) struct Exemplars {
    /// The part of the time that each slot is in; none if no exemplars are wanted.
    part_of_slot: Vec<u32>,
    parts: usize,
    best: Vec<Option<Candidate>>,
    /// When each of them starts; the end of time where there is none.
    starts: Vec<u64>,
}

impl Exemplars {
    /// At most `wanted` of each series.
    pub(super) fn new(wanted: usize, slots: usize) -> Self {
        let parts = wanted.min(slots);
        let part_of_slot = match parts {
            0 => Vec::new(),
            parts => (0..slots).map(|slot| narrow(slot * parts / slots)).collect(),
        };
        Self { part_of_slot, parts, best: Vec::new(), starts: Vec::new() }
    }

    fn stop(&mut self) {
        *self = Self::new(0, 0);
    }

    /// Makes place for so many series.
    fn grow(&mut self, series: usize) {
        if series > SERIES_MAX {
            self.stop();
        }
        let wanted = series * self.parts;
        if wanted > self.best.len() {
            self.best.resize(wanted, None);
            self.starts.resize(wanted, u64::MAX);
        }
    }

    fn offer(&mut self, place: usize, candidate: Candidate) {
        let best = &mut self.best[place];
        let is_before = |other: &Candidate| {
            let order = candidate.start.cmp(&other.start);
            let order = order.then_with(|| candidate.trace.cmp(&other.trace));
            order.then_with(|| candidate.value.total_cmp(&other.value)).is_lt()
        };
        if best.as_ref().is_none_or(is_before) {
            *best = Some(candidate);
            self.starts[place] = candidate.start;
        }
    }

    /// Looks at spans: the series of each, and its number if one is measured; spans without it do not count.
    pub(super) fn add(
        &mut self,
        rows: &Rows<'_>,
        picked: &Picked,
        (series, series_count): (&[u32], usize),
        numbers: Option<(&[Number], f64)>,
    ) {
        self.grow(series_count);
        if self.parts == 0 {
            return;
        }
        let starts = &rows.batch.start[..];
        let spans = picked.rows.iter().zip(&picked.slots).zip(series);
        // Neighbours are mostly in one slot.
        let (mut part_of, mut part) = (u32::MAX, 0);
        for (index, ((row, slot), series)) in spans.enumerate() {
            if part_of != *slot {
                (part_of, part) = (*slot, self.part_of_slot[*slot as usize] as usize);
            }
            let place = *series as usize * self.parts + part;
            let start = starts[*row as usize];
            if self.starts[place] < start {
                continue;
            }
            let value = match numbers {
                None => f64::NAN,
                Some((numbers, per_unit)) => match numbers[index].to_float() {
                    Some(value) => value / per_unit,
                    None => continue,
                },
            };
            let trace = rows.batch.traces.id[rows.trace_of(*row as usize)];
            self.offer(place, Candidate { start, trace, slot: *slot, value });
        }
    }

    /// Adds what another found. `series` tells which series of these each of the other's is.
    pub(super) fn merge(&mut self, other: Self, series: &[u32], series_count: usize) {
        self.grow(series_count);
        if self.parts == 0 || other.parts == 0 && !series.is_empty() {
            return self.stop();
        }
        for (from, best) in other.best.into_iter().enumerate() {
            let place = series[from / self.parts] as usize * self.parts + from % self.parts;
            if let Some(best) = best {
                self.offer(place, best);
            }
        }
    }

    /// Those of a series, by time.
    pub(super) fn of_series(&self, series: usize) -> Vec<Candidate> {
        let first = series * self.parts;
        self.best.iter().skip(first).take(self.parts).flatten().copied().collect()
    }
}

/// How many of so many things are kept if `wanted` are: evenly spread.
pub(super) fn is_kept(index: usize, of: usize, wanted: usize) -> bool {
    of <= wanted || index * wanted / of != (index + 1) * wanted / of
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: u64, slot: u32) -> Candidate {
        Candidate { start, trace: TraceId::default(), slot, value: f64::NAN }
    }

    #[test]
    fn the_first_span_of_each_part_of_the_time_is_kept() {
        let mut one = Exemplars::new(2, 4);
        one.grow(1);
        assert_eq!(one.part_of_slot, [0, 0, 1, 1]);
        one.offer(0, at(7, 1));
        one.offer(0, at(9, 1));
        let mut other = Exemplars::new(2, 4);
        other.grow(2);
        other.offer(2, at(5, 0));
        other.offer(3, at(20, 2));
        other.offer(0, at(6, 0));
        one.merge(other, &[1, 0], 2);
        let starts = |series| one.of_series(series).iter().map(|one| one.start).collect::<Vec<_>>();
        assert_eq!((starts(0), starts(1)), (vec![5, 20], vec![6]));
    }

    #[test]
    fn too_many_series_have_none() {
        let mut some = Exemplars::new(2, 4);
        some.grow(SERIES_MAX);
        assert_eq!(some.best.len(), 2 * SERIES_MAX);
        some.grow(SERIES_MAX + 1);
        some.grow(3);
        assert!(some.of_series(0).is_empty());
    }

    #[test]
    fn what_is_kept_is_spread() {
        let kept = |of, wanted| (0..of).filter(|index| is_kept(*index, of, wanted)).count();
        assert_eq!((kept(10, 3), kept(3, 10), kept(10, 10), kept(7, 0)), (3, 3, 10, 0));
    }
}
