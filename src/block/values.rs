//! How often each value comes: entries by which tag values are told without reading spans.
//!
//! An entry (see `entries.rs`) is a [`Listed`] message about one subject: a key, by its number in the catalog, or one of the others of
//! [`Subject`], past them. Units of which the counts are not known, or where values hardly repeat, are left out.

use std::collections::{BTreeMap, HashMap};

use prost::{Message, Oneof};

use super::Error;
use super::entries::{EntryNumber, EntryWriter};
use super::tally::{Size, Tally};
use crate::trace::Scalar;

/// Most values of one subject that are listed for a unit.
const LISTED_MAX: usize = 4096;

/// Most bytes of texts of one subject that are listed for a unit.
const LISTED_BYTES_MAX: usize = 64 * 1024;

/// So many values are listed even if they hardly repeat.
const FEW: usize = 64;

/// Otherwise a value must come so often, on average: reading the rows costs less than a long list.
const REPEATS_MIN: u64 = 16;

/// What is counted, in the order of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Subject {
    /// An attribute, by its number in the catalog.
    Key(u32),
    /// Spans by resource.
    Resources,
    Name,
    /// OTLP's numbers.
    Status,
    Kind,
    /// Those that are not empty.
    StatusMessage,
    EventName,
}

impl Subject {
    /// The entry that tells of it. Part of the format.
    pub(super) fn entry(self) -> EntryNumber {
        let past_keys = |index: u32| (1 << 20) + index;
        EntryNumber::counts(match self {
            Self::Key(key) => key,
            Self::Resources => past_keys(0),
            Self::Name => past_keys(1),
            Self::Status => past_keys(2),
            Self::Kind => past_keys(3),
            Self::StatusMessage => past_keys(4),
            Self::EventName => past_keys(5),
        })
    }
}

/// What is known of one subject.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Listed {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<ListedValue>,
    /// Those in which the subject occurs and all its values are counted, ascending.
    #[prost(message, repeated, tag = "2")]
    pub units: Vec<UnitCounts>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListedValue {
    #[prost(oneof = "AnyScalar", tags = "1, 2, 3, 4")]
    pub value: Option<AnyScalar>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum AnyScalar {
    #[prost(string, tag = "1")]
    String(String),
    #[prost(sint64, tag = "2")]
    Int(i64),
    #[prost(double, tag = "3")]
    Double(f64),
    #[prost(bool, tag = "4")]
    Bool(bool),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UnitCounts {
    #[prost(uint32, tag = "1")]
    pub unit: u32,
    /// Which values the unit has: each as its index minus the one before, the first as it is.
    #[prost(uint32, repeated, tag = "2")]
    pub steps: Vec<u32>,
    /// How often each of them comes.
    #[prost(uint64, repeated, tag = "3")]
    pub counts: Vec<u64>,
    /// Spans that the subject is counted for, by the row of their resource in `resources.parquet`, zeros at the end left out: of
    /// [`Subject::Resources`], and of span keys that some resource of the unit has too.
    #[prost(uint64, repeated, tag = "4")]
    pub resources: Vec<u64>,
}

impl Listed {
    /// What is known of a unit.
    pub(super) fn unit(&self, unit: usize) -> Option<&UnitCounts> {
        let place = self.units.binary_search_by_key(&unit, |counts| counts.unit as usize).ok()?;
        Some(&self.units[place])
    }
}

/// Builds the entries.
#[derive(Default)]
pub(super) struct ValuesWriter {
    subjects: BTreeMap<Subject, Growing>,
}

#[derive(Default)]
struct Growing {
    index: HashMap<ValueKey, u32, foldhash::fast::RandomState>,
    listed: Listed,
}

#[derive(PartialEq, Eq, Hash)]
enum ValueKey {
    String(String),
    Int(i64),
    /// Its bits.
    Double(u64),
    Bool(bool),
}

impl ValuesWriter {
    /// Adds what a unit has of a subject, if that is known and pays; `resources` as in [`UnitCounts`]. Units ascend.
    pub(super) fn add(
        &mut self,
        subject: Subject,
        unit: u32,
        tally: &Tally<'_>,
        resources: Option<&[u64]>,
    ) {
        if !tally.size().is_some_and(pays) {
            return;
        }
        let Some(counts) = tally.counts() else { return };
        let growing = self.subjects.entry(subject).or_default();
        let mut places: Vec<(u32, u64)> =
            counts.iter().map(|(value, count)| (growing.place(*value), *count)).collect();
        places.sort_unstable();
        let mut last = 0;
        let steps = places.iter().map(|(place, _)| place - std::mem::replace(&mut last, *place));
        growing.listed.units.push(UnitCounts {
            unit,
            steps: steps.collect(),
            counts: places.iter().map(|(_, count)| *count).collect(),
            resources: resources.map(without_end).unwrap_or_default(),
        });
    }

    /// Adds how many spans of a unit each resource has.
    pub(super) fn add_resources(&mut self, unit: u32, spans: &[u64]) {
        let growing = self.subjects.entry(Subject::Resources).or_default();
        let counts = UnitCounts { unit, resources: without_end(spans), ..UnitCounts::default() };
        growing.listed.units.push(counts);
    }

    pub(super) fn finish(self, entries: &mut EntryWriter) -> Result<(), Error> {
        for (subject, Growing { listed, .. }) in self.subjects {
            entries.add(subject.entry(), listed.encode_to_vec())?;
        }
        Ok(())
    }
}

/// Whether listing costs less than reading.
fn pays(size: Size) -> bool {
    let Size { values, text_bytes, count } = size;
    let repeats = values <= FEW || values as u64 * REPEATS_MIN <= count;
    repeats && values <= LISTED_MAX && text_bytes <= LISTED_BYTES_MAX
}

fn without_end(counts: &[u64]) -> Vec<u64> {
    let end = counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
    counts[..end].to_vec()
}

fn number(value: usize) -> u32 {
    u32::try_from(value).expect("fewer values than spans")
}

impl Growing {
    /// The index of a value, which is added if it is new.
    fn place(&mut self, value: Scalar<'_>) -> u32 {
        let (key, stored) = match value {
            Scalar::String(text) => {
                (ValueKey::String(text.to_owned()), AnyScalar::String(text.to_owned()))
            }
            Scalar::Int(value) => (ValueKey::Int(value), AnyScalar::Int(value)),
            Scalar::Double(value) => (ValueKey::Double(value.to_bits()), AnyScalar::Double(value)),
            Scalar::Bool(value) => (ValueKey::Bool(value), AnyScalar::Bool(value)),
        };
        let values = &mut self.listed.values;
        *self.index.entry(key).or_insert_with(|| {
            values.push(ListedValue { value: Some(stored) });
            number(values.len() - 1)
        })
    }
}

impl Listed {
    /// An entry read back.
    ///
    /// # Errors
    /// When it is damaged.
    pub(super) fn read(entry: &[u8]) -> Result<Self, Error> {
        let listed = Self::decode(entry)?;
        let fits = |unit: &UnitCounts| {
            let last: u64 = unit.steps.iter().map(|step| u64::from(*step)).sum();
            unit.steps.len() == unit.counts.len()
                && (unit.steps.is_empty() || last < listed.values.len() as u64)
        };
        let is_whole = listed.units.iter().all(fits);
        let corrupt = Error::Corrupt { part: "index, values", what: "a count is of no value" };
        is_whole.then_some(listed).ok_or(corrupt)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::block::entries::find;

    /// The plain entry of a subject.
    fn entry(subject: Subject) -> Option<Bytes> {
        let mut writer = ValuesWriter::default();
        for unit in [0, 2] {
            let mut tally = Tally::default();
            tally.add_text("a", u64::from(unit) + 1);
            tally.add_text(["b", "", "c"][unit as usize], 1);
            tally.add_int(-1, 5);
            writer.add(Subject::Key(3), unit, &tally, Some(&[0, 7, 0]));
            writer.add_resources(unit, &[1, 0, 4, 0]);
        }
        let mut many = Tally::default();
        (0..100).for_each(|value| many.add_int(value, 1));
        writer.add(Subject::Kind, 0, &many, None);
        let mut entries = EntryWriter::new().unwrap();
        writer.finish(&mut entries).unwrap();
        let (table, body) = entries.finish();
        let found = find(&table, subject.entry())?;
        let stored = &body[found.offset as usize..(found.offset + found.stored_bytes) as usize];
        Some(found.plain(&Bytes::copy_from_slice(stored)).unwrap())
    }

    #[test]
    fn subjects_come_back() {
        let listed = Listed::read(&entry(Subject::Key(3)).unwrap()).unwrap();
        let value = |value| ListedValue { value: Some(value) };
        let text = |text: &str| value(AnyScalar::String(text.to_owned()));
        assert_eq!(listed.values, [text("a"), text("b"), value(AnyScalar::Int(-1)), text("c")]);
        let unit = listed.unit(2).unwrap();
        assert_eq!((&unit.steps[..], &unit.counts[..]), (&[0, 2, 1][..], &[3, 5, 1][..]));
        assert_eq!(unit.resources, [0, 7]);
        assert_eq!(listed.unit(1), None);
        let resources = Listed::read(&entry(Subject::Resources).unwrap()).unwrap();
        assert_eq!(resources.unit(0).unwrap().resources, [1, 0, 4]);
        for absent in [Subject::Kind, Subject::Key(2), Subject::Name] {
            assert_eq!(entry(absent), None, "{absent:?}");
        }
    }

    #[test]
    fn damage_is_an_error_or_harmless() {
        let good = entry(Subject::Key(3)).unwrap();
        for (index, bit) in (0..good.len()).flat_map(|index| (0..8).map(move |bit| (index, bit))) {
            let mut bad = good.to_vec();
            bad[index] ^= 1 << bit;
            // No panic; the entry's checksum says the rest.
            let read = Listed::read(&bad);
            assert!(read.is_err() || read.is_ok());
        }
        let nowhere = UnitCounts { steps: vec![9], counts: vec![1], ..UnitCounts::default() };
        let listed = Listed { units: vec![nowhere], ..Listed::default() };
        assert!(Listed::read(&listed.encode_to_vec()).is_err());
    }
}
