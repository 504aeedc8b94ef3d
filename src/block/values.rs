//! How often each value comes: the section `Values`, by which tag values are told without reading spans.
//!
//! Little endian: the number of entries (u32), the entries {subject u32, offset u32, stored bytes u32, plain bytes u32} by subject, then
//! what they point at, offsets from the section's start: a [`Listed`] message each, as a zstd frame if the plain bytes are another
//! number than the stored ones. A subject is the number of a key in the catalog, or one of [`Subject`] past them. Units of which the
//! counts are not known, or where values hardly repeat, are left out.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use prost::{Message, Oneof};
use zstd::bulk::{Compressor, Decompressor};

use super::Error;
use super::tally::Tally;
use crate::trace::Scalar;

/// Most values of one subject that are listed for a unit.
const LISTED_MAX: usize = 4096;

/// Most bytes of texts of one subject that are listed for a unit.
const LISTED_BYTES_MAX: usize = 64 * 1024;

/// So many values are listed even if they hardly repeat.
const FEW: usize = 64;

/// Otherwise a value must come so often, on average: reading the rows costs less than a long list.
const REPEATS_MIN: u64 = 16;

const ENTRY_BYTES: usize = 16;

/// zstd's: entries are small.
const LEVEL: i32 = 9;

/// Largest entry after inflating.
const PLAIN_BYTES_MAX: u32 = 256 << 20;

/// What is counted, in the order of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The number that stands for it in the section. Part of the format.
    fn number(self) -> u32 {
        let past_keys = |index: u32| (1 << 31) + index;
        match self {
            Self::Key(key) => key,
            Self::Resources => past_keys(0),
            Self::Name => past_keys(1),
            Self::Status => past_keys(2),
            Self::Kind => past_keys(3),
            Self::StatusMessage => past_keys(4),
            Self::EventName => past_keys(5),
        }
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

/// Builds the section.
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
        let Some(counts) = tally.counts().filter(|counts| pays(counts)) else { return };
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

    pub(super) fn finish(self) -> Result<Vec<u8>, Error> {
        let mut compressor = Compressor::new(LEVEL).map_err(Error::Zstd)?;
        let mut section = number(self.subjects.len()).to_le_bytes().to_vec();
        let mut offset = section.len() + self.subjects.len() * ENTRY_BYTES;
        let mut bodies = Vec::with_capacity(self.subjects.len());
        for (subject, Growing { listed, .. }) in self.subjects {
            let plain = listed.encode_to_vec();
            let packed = compressor.compress(&plain).map_err(Error::Zstd)?;
            let plain_bytes = plain.len();
            let stored = if packed.len() < plain_bytes { packed } else { plain };
            for field in
                [subject.number(), number(offset), number(stored.len()), number(plain_bytes)]
            {
                section.extend_from_slice(&field.to_le_bytes());
            }
            offset += stored.len();
            bodies.push(stored);
        }
        for body in bodies {
            section.extend_from_slice(&body);
        }
        Ok(section)
    }
}

/// Whether listing costs less than reading.
fn pays(counts: &[(Scalar<'_>, u64)]) -> bool {
    let text = |value: &Scalar<'_>| if let Scalar::String(text) = value { text.len() } else { 0 };
    let bytes: usize = counts.iter().map(|(value, _)| text(value)).sum();
    let present: u64 = counts.iter().map(|(_, count)| count).sum();
    let repeats = counts.len() <= FEW || counts.len() as u64 * REPEATS_MIN <= present;
    repeats && counts.len() <= LISTED_MAX && bytes <= LISTED_BYTES_MAX
}

fn without_end(counts: &[u64]) -> Vec<u64> {
    let end = counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
    counts[..end].to_vec()
}

fn number(value: usize) -> u32 {
    u32::try_from(value).expect("a section of values has less than 4 GiB")
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

/// What a section says of a subject; nothing if it is not there.
///
/// # Errors
/// When the section is damaged.
pub(super) fn find(section: &Bytes, subject: Subject) -> Result<Listed, Error> {
    let corrupt = |what| Error::Corrupt { part: "index, values", what };
    if section.is_empty() {
        return Ok(Listed::default());
    }
    let count = section.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
    let table = count.checked_mul(ENTRY_BYTES).and_then(|bytes| section.get(4..4 + bytes));
    let table = table.ok_or_else(|| corrupt("shorter than its table"))?;
    let (entries, _) = table.as_chunks::<ENTRY_BYTES>();
    let field = |entry: &[u8; ENTRY_BYTES], index: usize| {
        let (fields, _) = entry.as_chunks::<4>();
        u32::from_le_bytes(fields[index])
    };
    let found = entries.binary_search_by_key(&subject.number(), |entry| field(entry, 0));
    let Ok(found) = found else { return Ok(Listed::default()) };
    let [from, length, plain] = [1, 2, 3].map(|index| field(&entries[found], index));
    let end = from as usize + length as usize;
    let stored = section.get(from as usize..end).ok_or_else(|| corrupt("an entry lies outside"))?;
    if plain > PLAIN_BYTES_MAX {
        return Err(corrupt("an entry is larger than 256 MiB"));
    }
    let listed = if plain == length {
        Listed::decode(stored)?
    } else {
        let mut inflater = Decompressor::new().map_err(Error::Zstd)?;
        let plain = inflater.decompress(stored, plain as usize).map_err(Error::Zstd)?;
        Listed::decode(&plain[..])?
    };
    let fits = |unit: &UnitCounts| {
        let last: u64 = unit.steps.iter().map(|step| u64::from(*step)).sum();
        unit.steps.len() == unit.counts.len()
            && (unit.steps.is_empty() || last < listed.values.len() as u64)
    };
    let is_whole = listed.units.iter().all(fits);
    is_whole.then_some(listed).ok_or_else(|| corrupt("a count is of no value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> Bytes {
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
        writer.finish().unwrap().into()
    }

    #[test]
    fn subjects_come_back() {
        let section = section();
        let listed = find(&section, Subject::Key(3)).unwrap();
        let value = |value| ListedValue { value: Some(value) };
        let text = |text: &str| value(AnyScalar::String(text.to_owned()));
        assert_eq!(listed.values, [text("a"), text("b"), value(AnyScalar::Int(-1)), text("c")]);
        let unit = listed.unit(2).unwrap();
        assert_eq!((&unit.steps[..], &unit.counts[..]), (&[0, 2, 1][..], &[3, 5, 1][..]));
        assert_eq!(unit.resources, [0, 7]);
        assert_eq!(listed.unit(1), None);
        let resources = find(&section, Subject::Resources).unwrap();
        assert_eq!(resources.unit(0).unwrap().resources, [1, 0, 4]);
        for absent in [Subject::Kind, Subject::Key(2), Subject::Name] {
            assert_eq!(find(&section, absent).unwrap(), Listed::default(), "{absent:?}");
        }
        assert_eq!(find(&Bytes::new(), Subject::Name).unwrap(), Listed::default());
    }

    #[test]
    fn damage_is_an_error_or_harmless() {
        let good = section();
        for (index, bit) in (0..good.len()).flat_map(|index| (0..8).map(move |bit| (index, bit))) {
            let mut bad = good.to_vec();
            bad[index] ^= 1 << bit;
            for subject in [Subject::Key(3), Subject::Resources, Subject::Status] {
                // No panic; the section's checksum says the rest.
                let found = find(&bad.clone().into(), subject);
                assert!(found.is_err() || found.is_ok());
            }
        }
        assert!(find(&good.slice(..good.len() / 2), Subject::Resources).is_err());
    }
}
