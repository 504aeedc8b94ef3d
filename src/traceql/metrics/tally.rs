//! How often each value of one attribute occurs on the two sides of a comparison.

use std::cmp::Ordering;
use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::super::value::Val;
use super::picked::put_key;
use super::second::value_order;
use crate::columns::Pool;
use crate::trace::Value;

/// Spans by slot; slots ascending. Most values of most attributes occur once.
#[derive(Debug, Clone, Default)]
pub(super) enum Counts {
    #[default]
    None,
    One(u32, u64),
    Many(Vec<(u32, u64)>),
}

/// Distinct values of an attribute up to which they are counted one by one: an attribute with more tells spans apart, not kinds of
/// spans.
const VALUES_MAX: usize = 1 << 16;

/// The values of one attribute.
#[derive(Default)]
pub(super) struct Tally {
    /// There are more than [`VALUES_MAX`]: only `all` is counted.
    is_crowded: bool,
    /// On each side.
    all: [Counts; 2],
    /// Bytes of the values, by their codes.
    keys: Pool,
    /// Of each code and side.
    counts: Vec<[Counts; 2]>,
    /// Values that their bytes do not tell.
    others: HashMap<u32, Value, FixedState>,
    /// Room for the bytes of a value.
    key: Vec<u8>,
}

impl Counts {
    pub(super) fn clear(&mut self) {
        match self {
            Self::Many(counts) => counts.clear(),
            Self::None | Self::One(..) => *self = Self::None,
        }
    }

    pub(super) fn add(&mut self, slot: u32, count: u64) {
        match self {
            Self::None => *self = Self::One(slot, count),
            Self::One(one, known) if *one == slot => *known += count,
            Self::One(one, known) => {
                let mut both = vec![(*one, *known), (slot, count)];
                both.sort_unstable();
                *self = Self::Many(both);
            }
            Self::Many(counts) => match counts.last_mut() {
                Some((last, known)) if *last == slot => *known += count,
                _ => match counts.binary_search_by_key(&slot, |(slot, _)| *slot) {
                    Ok(place) => counts[place].1 += count,
                    Err(place) => counts.insert(place, (slot, count)),
                },
            },
        }
    }

    fn each(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let (one, many) = match self {
            Self::None => (None, &[][..]),
            Self::One(slot, count) => (Some((*slot, *count)), &[][..]),
            Self::Many(counts) => (None, &counts[..]),
        };
        one.into_iter().chain(many.iter().copied())
    }

    fn merge(&mut self, other: &Self) {
        other.each().for_each(|(slot, count)| self.add(slot, count));
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::None => true,
            Self::One(..) => false,
            Self::Many(counts) => counts.is_empty(),
        }
    }

    fn total(&self) -> u64 {
        self.each().map(|(_, count)| count).sum()
    }

    pub(super) fn dense(&self, slots: usize) -> Vec<f64> {
        let mut values = vec![0.0; slots];
        for (slot, count) in self.each() {
            #[expect(clippy::cast_precision_loss, reason = "counts of spans are below 2^53")]
            let count = count as f64;
            values[slot as usize] = count;
        }
        values
    }
}

impl Tally {
    /// Whether there are too many values to count each.
    pub(super) fn is_crowded(&self) -> bool {
        self.is_crowded
    }

    /// Values, each on each side that it is on.
    pub(super) fn len(&self) -> usize {
        self.counts.iter().flatten().filter(|counts| !counts.is_empty()).count()
    }

    /// Lets the values go if there are too many; of how many values on how many sides nothing is known any more.
    fn thin(&mut self) -> usize {
        // Of codes the first is the empty text's, which no value has.
        if self.keys.len() <= VALUES_MAX + 1 {
            return 0;
        }
        self.let_go()
    }

    fn let_go(&mut self) -> usize {
        let (gone, all) = (self.len(), std::mem::take(&mut self.all));
        *self = Self { is_crowded: true, all, ..Self::default() };
        gone
    }

    /// Adds spans with a value, and tells on how many sides it is new, less those that were let go. Missing values are not counted.
    pub(super) fn add(&mut self, value: &Val<'_>, counts: &[Counts; 2]) -> isize {
        if value.is_nil() || self.is_crowded {
            return 0;
        }
        let Self { keys, key, others, .. } = self;
        key.clear();
        put_key(value, key);
        let known = keys.len();
        let code = keys.intern(key);
        if code as usize == known && !is_told(key) {
            others.insert(code, value.to_value());
        }
        let fresh = self.add_code(code, counts);
        signed(fresh) - signed(self.thin())
    }

    fn add_code(&mut self, code: u32, counts: &[Counts; 2]) -> usize {
        let known = &mut self.counts;
        if known.len() <= code as usize {
            known.resize_with(code as usize + 1, Default::default);
        }
        let mut fresh = 0;
        let sides = known[code as usize].iter_mut().zip(counts);
        for (known, counts) in sides.filter(|(_, counts)| !counts.is_empty()) {
            fresh += usize::from(known.is_empty());
            known.merge(counts);
        }
        fresh
    }

    /// Adds spans with a value, whichever: all that [`Tally::add`] is told of.
    pub(super) fn add_all(&mut self, counts: &[Counts; 2]) {
        self.all.iter_mut().zip(counts).for_each(|(all, counts)| all.merge(counts));
    }

    /// Adds what another counted, and tells how many values on how many sides are new, less those that were let go.
    pub(super) fn merge(&mut self, mut other: Self) -> isize {
        self.add_all(&other.all);
        if self.is_crowded {
            return 0;
        }
        if other.is_crowded {
            return -signed(self.let_go());
        }
        let mut fresh = 0;
        for (code, counts) in (0..).zip(&other.counts) {
            let known = self.keys.len();
            let mine = self.keys.intern(other.keys.get(code));
            if mine as usize == known
                && let Some(value) = other.others.remove(&code)
            {
                self.others.insert(mine, value);
            }
            fresh += self.add_code(mine, counts);
        }
        signed(fresh) - signed(self.thin())
    }

    /// All spans of a side that have a value; `None` if none has.
    pub(super) fn all(&self, side: usize) -> Option<&Counts> {
        Some(&self.all[side]).filter(|counts| !counts.is_empty())
    }

    /// The `top` values that most spans of a side have, and how many; of equally frequent ones those that come first in an answer.
    pub(super) fn most_frequent(&self, side: usize, top: usize) -> Vec<(Value, &Counts)> {
        let counts = |code: u32| &self.counts[code as usize][side];
        let codes = (0..).take(self.counts.len()).filter(|code| !counts(*code).is_empty());
        let found: Vec<(u64, u32)> = codes.map(|code| (counts(code).total(), code)).collect();
        let order = |(total, code): &(u64, u32), (other, other_code): &(u64, u32)| {
            other.cmp(total).then_with(|| self.order(*code, *other_code))
        };
        let found =
            if top > FEW { all_first(found, top, order) } else { few_first(found, top, order) };
        found.into_iter().map(|(_, code)| (self.value(code), counts(code))).collect()
    }

    /// The order of two values in an answer.
    fn order(&self, one: u32, other: u32) -> Ordering {
        match (text(self.keys.get(one)), text(self.keys.get(other))) {
            (Some(one), Some(other)) => one.cmp(other),
            _ => value_order(&self.value(one), &self.value(other)),
        }
    }

    fn value(&self, code: u32) -> Value {
        match self.others.get(&code) {
            Some(value) => value.clone(),
            None => told(self.keys.get(code)).expect("all others are kept"),
        }
    }
}

fn signed(count: usize) -> isize {
    isize::try_from(count).unwrap_or(isize::MAX)
}

/// Up to so many are found by looking at each once.
const FEW: usize = 32;

/// The first of some things, in order.
fn all_first<T>(mut found: Vec<T>, top: usize, order: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    if top < found.len() {
        found.select_nth_unstable_by(top, &order);
        found.truncate(top);
    }
    found.sort_unstable_by(order);
    found
}

/// The same: most of many are after the last of the few that come first so far.
fn few_first<T>(found: Vec<T>, top: usize, order: impl Fn(&T, &T) -> Ordering) -> Vec<T> {
    let mut first: Vec<T> = Vec::with_capacity(top + 1);
    for one in found {
        if first.len() == top && first.last().is_none_or(|last| order(&one, last).is_ge()) {
            continue;
        }
        let place = first.partition_point(|other| order(other, &one).is_lt());
        first.insert(place, one);
        first.truncate(top);
    }
    first
}

/// The bytes of a text, if they are the value's.
fn text(key: &[u8]) -> Option<&[u8]> {
    let value = key.strip_prefix(&TEXT)?;
    Some(value)
}

/// What [`put_key`] puts before the bytes of a text.
const TEXT: [u8; 1] = [4];

/// Whether [`told`] has a value for the bytes of one.
fn is_told(key: &[u8]) -> bool {
    matches!(key, [1, _] | [4, ..]) || matches!(key, [2 | 3, value @ ..] if value.len() == 8)
}

/// A value by its bytes, as far as they tell it.
fn told(key: &[u8]) -> Option<Value> {
    match key {
        [1, value] => Some(Value::Bool(*value == 1)),
        [2, value @ ..] => Some(Value::Int(i64::from_le_bytes(value.try_into().ok()?))),
        [3, value @ ..] => Some(Value::Double(f64::from_le_bytes(value.try_into().ok()?))),
        [4, value @ ..] => Some(Value::String(std::str::from_utf8(value).ok()?.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with_values(numbers: std::ops::Range<i64>) -> (Tally, isize) {
        let mut tally = Tally::default();
        let counts = [Counts::One(0, 1), Counts::None];
        let fresh = numbers.map(|number| {
            tally.add_all(&counts);
            tally.add(&Val::Int(number), &counts)
        });
        let fresh = fresh.sum();
        (tally, fresh)
    }

    #[test]
    fn an_attribute_with_too_many_values_has_totals_only_however_it_was_counted() {
        let most = i64::try_from(VALUES_MAX).unwrap();
        let (full, fresh) = with_values(0..most);
        assert_eq!((full.is_crowded(), fresh, full.len()), (false, fresh, VALUES_MAX));
        let (over, fresh) = with_values(0..most + 5);
        assert_eq!((over.is_crowded(), fresh, over.len()), (true, 0, 0));
        let total = |tally: &Tally| tally.all(0).unwrap().total();
        assert_eq!(total(&over), u64::try_from(most).unwrap() + 5);
        for (one, other) in [(0..most, most..most + 1), (0..1, 1..most + 9), (0..most + 9, 0..1)] {
            let ((mut one, first), (other, second)) = (with_values(one), with_values(other));
            let (all, merged) = (total(&one) + total(&other), one.merge(other));
            assert!(one.is_crowded() && one.len() == 0);
            assert_eq!((total(&one), first + merged), (all, 0), "{second}");
        }
        let (mut same, _) = with_values(0..most);
        assert_eq!(same.merge(with_values(0..most).0), 0);
        assert!(!same.is_crowded());
    }

    proptest! {
        #[test]
        fn the_first_few_are_the_first_of_all(
            found in proptest::collection::vec(0_u8..50, 0..60),
            top in 0_usize..12,
        ) {
            let mut sorted = found.clone();
            sorted.sort_unstable();
            sorted.truncate(top);
            prop_assert_eq!(&few_first(found.clone(), top, u8::cmp), &sorted);
            prop_assert_eq!(&all_first(found, top, u8::cmp), &sorted);
        }
    }
}
