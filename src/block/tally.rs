//! The values of one key in one unit: each once, with how often it comes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::Hash;

use super::hashes;
use super::zones::{NumberRange, TextSet, VALUE_BYTES_MAX, VALUES_MAX};
use crate::trace::{Scalar, Value};

/// Most distinct numbers that are told apart: past that only their range is known.
const NUMBERS_MAX: usize = 4096;

/// Distinct values of one key in one unit.
#[derive(Default)]
pub(super) struct Tally<'a> {
    texts: HashMap<Cow<'a, str>, u64, foldhash::fast::RandomState>,
    ints: Numbers<i64>,
    /// By their bits.
    doubles: Numbers<u64>,
    /// `false` and `true`.
    bools: [Option<u64>; 2],
    /// There are more numbers than are told apart.
    has_many_numbers: bool,
    range: Option<NumberRange>,
    /// Some value is not one of the above, or how often it comes is not known.
    is_uncounted: bool,
}

/// What the values of a tally come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Distinct ones.
    pub values: usize,
    /// Of distinct texts.
    pub text_bytes: usize,
    /// How often all of them come.
    pub count: u64,
}

type Numbers<T> = HashMap<T, u64, foldhash::fast::RandomState>;

impl<'a> Tally<'a> {
    pub(super) fn add(&mut self, value: Scalar<'a>, count: u64) {
        match value {
            Scalar::String(text) => self.add_text(text, count),
            Scalar::Int(value) => self.add_int(value, count),
            Scalar::Double(value) => self.add_double(value, count),
            Scalar::Bool(value) => {
                *self.bools[usize::from(value)].get_or_insert_default() += count;
            }
        }
    }

    pub(super) fn add_text(&mut self, text: &'a str, count: u64) {
        *self.texts.entry(Cow::Borrowed(text)).or_default() += count;
    }

    pub(super) fn add_int(&mut self, value: i64, count: u64) {
        #[expect(clippy::cast_precision_loss, reason = "rounded alike when asked")]
        self.widen(value as f64);
        if !self.has_many_numbers {
            *self.ints.entry(value).or_default() += count;
            self.bound_numbers();
        }
    }

    fn add_double(&mut self, value: f64, count: u64) {
        self.widen(value);
        if !self.has_many_numbers {
            *self.doubles.entry(value.to_bits()).or_default() += count;
            self.bound_numbers();
        }
    }

    /// Any value. Of an array each element may be asked for, but is not counted; what else is no scalar equals nothing.
    pub(super) fn add_value(&mut self, value: &Value, count: u64) {
        match value {
            Value::String(text) => {
                let text = Cow::Owned(text.clone());
                *self.texts.entry(text).or_default() += count;
            }
            Value::Int(value) => self.add_int(*value, count),
            Value::Double(value) => self.add_double(*value, count),
            Value::Bool(value) => {
                *self.bools[usize::from(*value)].get_or_insert_default() += count;
            }
            Value::Array(items) => {
                self.is_uncounted = true;
                for item in items {
                    self.add_value(item, 0);
                }
            }
            Value::Empty | Value::Map(_) | Value::Bytes(_) => self.is_uncounted = true,
        }
    }

    /// Counts can no longer be told.
    pub(super) fn set_uncounted(&mut self) {
        self.is_uncounted = true;
    }

    fn widen(&mut self, number: f64) {
        if number.is_nan() {
            // It equals nothing.
            return;
        }
        let range = self.range.get_or_insert(NumberRange { min: number, max: number });
        range.min = range.min.min(number);
        range.max = range.max.max(number);
    }

    fn bound_numbers(&mut self) {
        if self.ints.len() + self.doubles.len() > NUMBERS_MAX {
            self.has_many_numbers = true;
            self.is_uncounted = true;
            self.ints = HashMap::default();
            self.doubles = HashMap::default();
        }
    }

    /// The texts as a list, if they are few and short.
    pub(super) fn text_set(&self) -> Option<TextSet> {
        let is_short = |text: &Cow<'_, str>| text.len() <= VALUE_BYTES_MAX;
        let fits = self.texts.len() <= VALUES_MAX && self.texts.keys().all(is_short);
        fits.then(|| {
            let mut values: Vec<String> = self.texts.keys().map(ToString::to_string).collect();
            values.sort_unstable();
            TextSet { values }
        })
    }

    pub(super) fn text_hashes(&self) -> Vec<u64> {
        self.texts.keys().map(|text| hashes::of_text(text)).collect()
    }

    /// Of all numbers; `None` if there are too many, if the range says as much, or if some are doubles: few ask for one of those.
    pub(super) fn number_hashes(&self) -> Option<Vec<u64>> {
        let is_wanted = self.ints.len() > 1 && self.doubles.is_empty() && !self.has_many_numbers;
        is_wanted.then(|| {
            #[expect(clippy::cast_precision_loss, reason = "rounded alike when asked")]
            let numbers = self.ints.keys().map(|value| *value as f64);
            numbers.map(hashes::of_number).collect()
        })
    }

    pub(super) fn range(&self) -> Option<NumberRange> {
        self.range.clone()
    }

    /// 1: true occurs; 2: false occurs.
    pub(super) fn bool_bits(&self) -> u32 {
        u32::from(self.bools[1].is_some()) + 2 * u32::from(self.bools[0].is_some())
    }

    /// How much there is to list; `None` if how often each value comes is not known.
    pub(super) fn size(&self) -> Option<Size> {
        let Self { texts, ints, doubles, bools, has_many_numbers: _, range: _, is_uncounted } =
            self;
        let bools = bools.iter().flatten();
        let counts = texts.values().chain(ints.values()).chain(doubles.values());
        (!is_uncounted).then(|| Size {
            values: texts.len() + ints.len() + doubles.len() + bools.clone().count(),
            text_bytes: texts.keys().map(|text| text.len()).sum(),
            count: counts.chain(bools).sum(),
        })
    }

    /// All values and how often each comes, in order; `None` if that is not known.
    pub(super) fn counts(&self) -> Option<Vec<(Scalar<'_>, u64)>> {
        if self.is_uncounted {
            return None;
        }
        let mut texts: Vec<(&str, u64)> = self.texts.iter().map(|(t, n)| (&**t, *n)).collect();
        texts.sort_unstable();
        let (ints, doubles) = (sorted(&self.ints), sorted(&self.doubles));
        let mut all: Vec<(Scalar<'_>, u64)> = Vec::new();
        all.extend(texts.into_iter().map(|(text, count)| (Scalar::String(text), count)));
        all.extend(ints.into_iter().map(|(value, count)| (Scalar::Int(value), count)));
        let doubles = doubles.into_iter();
        all.extend(doubles.map(|(bits, count)| (Scalar::Double(f64::from_bits(bits)), count)));
        for (value, count) in [false, true].into_iter().zip(self.bools) {
            all.extend(count.map(|count| (Scalar::Bool(value), count)));
        }
        Some(all)
    }
}

fn sorted<T: Copy + Ord + Hash>(numbers: &Numbers<T>) -> Vec<(T, u64)> {
    let mut sorted: Vec<(T, u64)> = numbers.iter().map(|(value, count)| (*value, *count)).collect();
    sorted.sort_unstable();
    sorted
}

/// Counts codes of one pool. Clearing costs what was counted, not what the pool holds.
pub(super) struct Counter {
    counts: Vec<u32>,
    touched: Vec<u32>,
}

impl Counter {
    pub(super) fn of(codes: usize) -> Self {
        Self { counts: vec![0; codes], touched: Vec::new() }
    }

    pub(super) fn add(&mut self, code: u32) {
        let count = &mut self.counts[code as usize];
        if *count == 0 {
            self.touched.push(code);
        }
        *count += 1;
    }

    /// Each code that was counted, and how often; it begins anew.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u32, u64)> {
        self.touched.drain(..).map(|code| {
            let count = std::mem::take(&mut self.counts[code as usize]);
            (code, u64::from(count))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_by_type() {
        let mut tally = Tally::default();
        for (value, count) in [
            (Scalar::String("b"), 1),
            (Scalar::Int(1), 2),
            (Scalar::Double(1.0), 1),
            (Scalar::Bool(true), 3),
            (Scalar::String("a"), 1),
            (Scalar::String("b"), 4),
            (Scalar::Double(f64::INFINITY), 1),
        ] {
            tally.add(value, count);
        }
        let counts = tally.counts().unwrap();
        let expected = [
            (Scalar::String("a"), 1),
            (Scalar::String("b"), 5),
            (Scalar::Int(1), 2),
            (Scalar::Double(1.0), 1),
            (Scalar::Double(f64::INFINITY), 1),
            (Scalar::Bool(true), 3),
        ];
        assert_eq!(counts, expected);
        assert_eq!(tally.bool_bits(), 1);
        assert_eq!(tally.range(), Some(NumberRange { min: 1.0, max: f64::INFINITY }));
        assert_eq!(tally.number_hashes(), None);
    }

    #[test]
    fn elements_of_arrays_are_known_but_not_counted() {
        let mut tally = Tally::default();
        tally.add_value(&Value::Array(vec![Value::String("x".into()), Value::Int(7)]), 1);
        assert_eq!(tally.counts(), None);
        assert_eq!(tally.text_set().unwrap().values, ["x"]);
        assert_eq!(tally.range(), Some(NumberRange { min: 7.0, max: 7.0 }));
    }

    #[test]
    fn a_flood_of_numbers_leaves_their_range() {
        let mut tally = Tally::default();
        (0..10_000).for_each(|value| tally.add_int(value, 1));
        assert_eq!((tally.counts(), tally.number_hashes()), (None, None));
        assert_eq!(tally.range(), Some(NumberRange { min: 0.0, max: 9_999.0 }));
        tally.add_double(f64::NAN, 1);
        assert_eq!(tally.range(), Some(NumberRange { min: 0.0, max: 9_999.0 }));
    }
}
