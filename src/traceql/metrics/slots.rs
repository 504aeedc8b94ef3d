//! The time slots of a metrics query.

use std::ops::RangeInclusive;

/// Equal slots of time: slot `i` holds the spans that start after `start + i * step` and not after `start + (i + 1) * step`, and is
/// told by that right end. All in Unix nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    start: u64,
    step: u64,
    count: usize,
}

impl Slots {
    /// The slots of a range query: on multiples of the step, from the one that ends at or before `start` to the one that ends at or
    /// after `end`.
    ///
    /// # Panics
    /// If the step is zero.
    pub fn of_range(start: u64, end: u64, step: u64) -> Self {
        let first = start - start % step;
        let last = end.checked_next_multiple_of(step).unwrap_or(end - end % step);
        Self::between(first.saturating_sub(step), last.max(first), step)
    }

    /// The same without the slot that is still running at `now`.
    ///
    /// # Panics
    /// If the step is zero.
    pub fn of_range_until(start: u64, end: u64, step: u64, now: u64) -> Self {
        let whole = Self::of_range(start, end, step);
        if whole.end() <= now {
            return whole;
        }
        Self::between(whole.start, (now - now % step).max(whole.start + step), step)
    }

    /// The one slot of an instant query.
    ///
    /// # Panics
    /// If it is empty.
    pub fn instant(start: u64, end: u64) -> Self {
        assert!(start < end, "a slot has a length");
        Self { start, step: end - start, count: 1 }
    }

    fn between(start: u64, end: u64, step: u64) -> Self {
        let count = usize::try_from((end - start) / step).unwrap_or(usize::MAX);
        Self { start, step, count }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Nanoseconds.
    pub fn step(&self) -> u64 {
        self.step
    }

    fn end(&self) -> u64 {
        self.start + self.step * self.count as u64
    }

    /// All starts of spans that are in a slot.
    pub fn window(&self) -> RangeInclusive<u64> {
        self.start.saturating_add(1)..=self.end()
    }

    /// The slot of a span by its start.
    pub fn of(&self, start: u64) -> Option<usize> {
        let after = start.checked_sub(self.start)?.checked_sub(1)?;
        usize::try_from(after / self.step).ok().filter(|slot| *slot < self.count)
    }

    /// How many slots, from the first on, have only spans that start before `start`.
    pub fn before(&self, start: u64) -> usize {
        let after = start.saturating_sub(self.start).saturating_sub(1);
        usize::try_from(after / self.step).map_or(self.count, |slots| slots.min(self.count))
    }

    /// The starts that are in one slot.
    pub(super) fn bounds(&self, slot: usize) -> RangeInclusive<u64> {
        let left = self.start + self.step * slot as u64;
        left + 1..=left + self.step
    }

    /// What a slot's sample is stamped with, in milliseconds.
    pub fn timestamp_ms(&self, slot: usize) -> u64 {
        (self.start + self.step * (slot as u64 + 1)) / 1_000_000
    }

    /// The step in seconds.
    pub(super) fn step_seconds(&self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a step is far below 2^53 ns, or so long that it does not matter"
        )]
        let step = self.step as f64;
        step / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn slots_lie_on_multiples_of_the_step_with_one_before() {
        let slots = Slots::of_range(1_700_000_007 * S, 1_700_000_037 * S, 10 * S);
        let stamps: Vec<u64> = (0..slots.count()).map(|slot| slots.timestamp_ms(slot)).collect();
        let expected = [0, 10, 20, 30, 40].map(|second| 1_700_000_000_000 + second * 1000);
        assert_eq!(stamps, expected);
        for (start, slot) in [
            (1_699_999_990 * S, None),
            (1_699_999_990 * S + 1, Some(0)),
            (1_699_999_995 * S, Some(0)),
            (1_700_000_000 * S, Some(0)),
            (1_700_000_000 * S + 1, Some(1)),
            (1_700_000_010 * S, Some(1)),
            (1_700_000_038 * S, Some(4)),
            (1_700_000_040 * S, Some(4)),
            (1_700_000_040 * S + 1, None),
            (0, None),
        ] {
            assert_eq!(slots.of(start), slot, "{start}");
            assert_eq!(slots.window().contains(&start), slot.is_some(), "{start}");
            if let Some(slot) = slot {
                assert!(slots.bounds(slot).contains(&start));
            }
        }
    }

    #[test]
    fn the_running_slot_is_left_out() {
        let count = |end, now| Slots::of_range_until(100 * S, end * S, 10 * S, now * S).count();
        assert_eq!(count(120, 120), 3);
        assert_eq!(count(120, 119), 2);
        assert_eq!(count(121, 129), 3);
        assert_eq!(count(121, 500), 4);
        // Never empty: there is the slot before.
        assert_eq!(count(120, 5), 1);
    }

    #[test]
    fn an_instant_query_has_one_slot_without_alignment() {
        let slots = Slots::instant(7, 12);
        assert_eq!((slots.count(), slots.step(), slots.window()), (1, 5, 8..=12));
        assert_eq!([7, 8, 12, 13].map(|start| slots.of(start)), [None, Some(0), Some(0), None]);
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        assert_eq!(Slots::of_range(0, 5, 10).count(), 1);
        assert_eq!(Slots::of_range(u64::MAX - 5, u64::MAX, 10).count(), 1);
    }
}
