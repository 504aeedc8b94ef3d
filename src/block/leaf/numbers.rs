//! Numbers, ids and truth values.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;

use foldhash::fast::FixedState;
use parquet::basic::Encoding;

use super::packing::differences;
use super::values::{Dictionary, Values};

/// A dictionary is not doubted if it has at most one number for so many values.
const REPEATED_MIN: usize = 8;

/// After so many values it is looked whether they repeat at all.
const FIRST: usize = 2048;

/// A value of one width, as its bytes are stored.
pub(super) trait Fixed: Copy + Eq + Hash {
    /// Appends its bytes.
    fn put(self, out: &mut Vec<u8>);

    /// Appends some as differences; they are no ids.
    fn differences(values: &[Self], out: &mut Vec<u8>);
}

impl Fixed for u32 {
    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn differences(values: &[Self], out: &mut Vec<u8>) {
        differences::<false>(values.iter().map(|value| i64::from(value.cast_signed())), out);
    }
}

impl Fixed for u64 {
    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn differences(values: &[Self], out: &mut Vec<u8>) {
        differences::<true>(values.iter().map(|value| value.cast_signed()), out);
    }
}

impl Fixed for [u8; 16] {
    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self);
    }

    fn differences(_: &[Self], _: &mut Vec<u8>) {
        unreachable!("ids have no differences")
    }
}

/// How numbers are told that no dictionary has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Otherwise {
    Plain,
    Differences,
}

/// Values of one width.
pub(super) struct Numbers<T> {
    values: Vec<T>,
    otherwise: Otherwise,
    dictionary: Option<Dictionary>,
}

impl<T: Fixed> Numbers<T> {
    /// Of values that do not repeat.
    pub(super) fn distinct(values: Vec<T>, otherwise: Otherwise) -> Self {
        Self { values, otherwise, dictionary: None }
    }

    /// Of values that may repeat.
    pub(super) fn of(values: Vec<T>, otherwise: Otherwise) -> Self {
        let dictionary = dictionary(&values);
        Self { values, otherwise, dictionary }
    }
}

/// `None` if there is no value, or hardly one repeats.
fn dictionary<T: Fixed>(values: &[T]) -> Option<Dictionary> {
    let mut known: HashMap<T, u32, FixedState> = HashMap::default();
    let (mut page, mut codes) = (Vec::new(), Vec::with_capacity(values.len()));
    let mut last = None;
    for (place, value) in values.iter().enumerate() {
        if place == FIRST && known.len() > FIRST / 4 * 3 {
            return None;
        }
        if let Some((before, code)) = last
            && before == *value
        {
            codes.push(code);
            continue;
        }
        let next = u32::try_from(known.len()).expect("a row group has fewer values");
        let code = *known.entry(*value).or_insert_with(|| {
            value.put(&mut page);
            next
        });
        codes.push(code);
        last = Some((*value, code));
    }
    (!values.is_empty()).then_some(Dictionary { page, count: known.len(), codes })
}

impl<T: Fixed> Values for Numbers<T> {
    fn dictionary(&self) -> Option<&Dictionary> {
        self.dictionary.as_ref()
    }

    fn is_doubtful(&self) -> bool {
        let hardly = |known: &Dictionary| known.count * REPEATED_MIN > self.values.len();
        self.dictionary.as_ref().is_some_and(hardly)
    }

    fn encoding(&self) -> Encoding {
        match self.otherwise {
            Otherwise::Plain => Encoding::PLAIN,
            Otherwise::Differences => Encoding::DELTA_BINARY_PACKED,
        }
    }

    fn bytes(&self, values: Range<usize>) -> usize {
        values.len() * size_of::<T>()
    }

    fn write(&self, values: Range<usize>, out: &mut Vec<u8>) {
        let values = &self.values[values];
        match self.otherwise {
            Otherwise::Plain => values.iter().for_each(|value| value.put(out)),
            Otherwise::Differences => T::differences(values, out),
        }
    }
}

/// Truth values, a bit each.
pub(super) struct Bits(pub Vec<bool>);

impl Values for Bits {
    fn dictionary(&self) -> Option<&Dictionary> {
        None
    }

    fn is_doubtful(&self) -> bool {
        false
    }

    fn encoding(&self) -> Encoding {
        Encoding::PLAIN
    }

    fn bytes(&self, values: Range<usize>) -> usize {
        values.len().div_ceil(8)
    }

    fn write(&self, values: Range<usize>, out: &mut Vec<u8>) {
        for eight in self.0[values].chunks(8) {
            let bits = eight.iter().enumerate().map(|(place, bit)| u8::from(*bit) << place);
            out.push(bits.fold(0, |byte, bit| byte | bit));
        }
    }
}
