//! What each part of a block can hold: zone maps, value sets and the key catalog. What is concluded from them is in `judge.rs`.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use prost::Message;

use super::entries::EntryNumber;

/// Most distinct texts of a key that are listed in a zone; a key with more has no list.
pub(super) const VALUES_MAX: usize = 64;

/// Longest text in a list: longer ones are seldom asked for, and a list must stay small.
pub(super) const VALUE_BYTES_MAX: usize = 128;

/// The section `Zones`: the units of a block, in row order, and all its keys.
#[derive(Clone, PartialEq, Message)]
pub struct Zones {
    #[prost(message, repeated, tag = "1")]
    pub units: Vec<Zone>,
    #[prost(message, repeated, tag = "2")]
    pub keys: Vec<CatalogKey>,
    /// Scopes with more keys than are listed: nothing is known of a key of them that is not.
    #[prost(enumeration = "KeyScope", repeated, tag = "3")]
    pub incomplete: Vec<i32>,
}

/// Most keys of a block that are listed, over all scopes.
pub(super) const KEYS_MAX: usize = 16 * 1024;

/// A unit: some whole traces in one row group, or one trace over several row groups.
#[derive(Clone, PartialEq, Message)]
pub struct Zone {
    #[prost(uint32, tag = "1")]
    pub first_row_group: u32,
    #[prost(uint32, tag = "2")]
    pub row_groups: u32,
    #[prost(uint64, tag = "3")]
    pub first_row: u64,
    #[prost(uint64, tag = "4")]
    pub rows: u64,
    /// Ordinal of the first trace in `traces.parquet`.
    #[prost(uint64, tag = "5")]
    pub first_trace: u64,
    #[prost(uint64, tag = "6")]
    pub traces: u64,
    /// Earliest and latest start of a trace, Unix nanoseconds.
    #[prost(fixed64, tag = "7")]
    pub trace_start_min: u64,
    #[prost(fixed64, tag = "8")]
    pub trace_start_max: u64,
    /// Latest end of a span.
    #[prost(fixed64, tag = "9")]
    pub end_max: u64,
    #[prost(uint64, tag = "10")]
    pub duration_min: u64,
    #[prost(uint64, tag = "11")]
    pub duration_max: u64,
    /// Spans with status error.
    #[prost(uint64, tag = "12")]
    pub errors: u64,
    /// Numbers of the keys that some span of the unit has.
    #[prost(uint32, repeated, tag = "16")]
    pub key_numbers: Vec<u32>,
    // In blocks from before there were entries the unit's zones of names and keys are here.
    #[prost(message, optional, tag = "13")]
    pub(super) names: Option<TextSet>,
    #[prost(message, repeated, tag = "14")]
    pub(super) keys: Vec<KeyZone>,
    #[prost(message, optional, tag = "15")]
    pub(super) name_filter: Option<ValueFilter>,
}

/// An entry: the zones of one key, or of the span names, in the units that have it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyZones {
    /// Numbers of units, ascending.
    #[prost(uint32, repeated, tag = "1")]
    pub units: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    pub zones: Vec<KeyZone>,
}

/// A set of texts, sorted.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TextSet {
    #[prost(string, repeated, tag = "1")]
    pub values: Vec<String>,
}

/// What a unit has of one key.
#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyZone {
    /// Index into the catalog, in blocks from before there were entries.
    #[prost(uint32, tag = "1")]
    pub(super) key: u32,
    /// Values, of any type.
    #[prost(uint64, tag = "2")]
    pub present: u64,
    /// All texts, if there are at most 64 and each is short.
    #[prost(message, optional, tag = "3")]
    pub texts: Option<TextSet>,
    /// Smallest and largest number, ints told as doubles, if there are numbers. Of an array each element counts, here and above and
    /// below.
    #[prost(message, optional, tag = "4")]
    pub numbers: Option<NumberRange>,
    /// There are values of which lists, ranges and filters say nothing.
    #[prost(bool, tag = "5")]
    pub other: bool,
    /// 1: true occurs; 2: false occurs.
    #[prost(uint32, tag = "6")]
    pub bools: u32,
    /// Hashes of all texts, if there are too many for a list.
    #[prost(message, optional, tag = "7")]
    pub text_filter: Option<ValueFilter>,
    /// Hashes of all numbers.
    #[prost(message, optional, tag = "8")]
    pub number_filter: Option<ValueFilter>,
}

/// Where in the section `ValueFilters` a filter is: see `hashes.rs`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct ValueFilter {
    #[prost(uint32, tag = "1")]
    pub first_block: u32,
    #[prost(uint32, tag = "2")]
    pub blocks: u32,
    /// Words of its block in which a value has a bit, 1 to 8.
    #[prost(uint32, tag = "3")]
    pub words: u32,
    /// From one block of the filter to its next; 0 is 1.
    #[prost(uint32, tag = "4")]
    pub stride: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NumberRange {
    #[prost(double, tag = "1")]
    pub min: f64,
    #[prost(double, tag = "2")]
    pub max: f64,
}

/// A key that occurs in the block.
#[derive(Clone, PartialEq, Message)]
pub struct CatalogKey {
    #[prost(enumeration = "KeyScope", tag = "1")]
    pub scope: i32,
    #[prost(string, tag = "2")]
    pub key: String,
    /// Values in the block.
    #[prost(uint64, tag = "3")]
    pub present: u64,
    /// Bit per type: 1 string, 2 int, 4 double, 8 bool, 16 array, 32 kvlist, 64 bytes, 128 empty.
    #[prost(uint32, tag = "4")]
    pub types: u32,
    /// Some values are in `attributes_rest`.
    #[prost(bool, tag = "5")]
    pub rest: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum KeyScope {
    Span = 0,
    Event = 1,
    Link = 2,
    Resource = 3,
    Instrumentation = 4,
}

/// Catalog lookup by scope and key.
pub(super) struct Catalog {
    index: BTreeMap<(KeyScope, String), u32>,
    incomplete: Vec<KeyScope>,
}

impl Catalog {
    pub(super) fn of(zones: &Zones) -> Self {
        let index = (0_u32..)
            .zip(&zones.keys)
            .map(|(place, key)| ((key.scope(), key.key.clone()), place))
            .collect();
        Self { index, incomplete: zones.incomplete().collect() }
    }

    /// Whether a unit of which no zone has a key may have it all the same.
    pub(super) fn is_incomplete(&self, scope: KeyScope) -> bool {
        self.incomplete.contains(&scope)
    }

    pub(super) fn find(&self, scope: KeyScope, key: &str) -> Option<u32> {
        // One allocation per question, not per row.
        self.index.get(&(scope, key.to_owned())).copied()
    }
}

impl Zone {
    /// Whether some trace of the unit may overlap the window.
    pub fn overlaps(&self, window: &RangeInclusive<u64>) -> bool {
        self.trace_start_min <= *window.end() && self.end_max >= *window.start()
    }

    /// Whether some span of the unit has a key of the catalog.
    pub(super) fn has_key(&self, key: u32) -> bool {
        self.key_numbers.contains(&key)
    }
}

impl Zones {
    /// Takes the zones of names and keys out of the units, where blocks from before there were entries have them.
    pub(super) fn take_entries(&mut self) -> HashMap<EntryNumber, Arc<KeyZones>> {
        let mut entries: HashMap<EntryNumber, KeyZones> = HashMap::new();
        for (number, unit) in (0..).zip(&mut self.units) {
            if unit.key_numbers.is_empty() {
                unit.key_numbers = unit.keys.iter().map(|zone| zone.key).collect();
            }
            let (texts, text_filter) = (unit.names.take(), unit.name_filter.take());
            if texts.is_some() || text_filter.is_some() {
                let names = KeyZone { texts, text_filter, ..KeyZone::default() };
                entries.entry(EntryNumber::NAME_ZONES).or_default().push(number, names);
            }
            for zone in std::mem::take(&mut unit.keys) {
                entries.entry(EntryNumber::key_zones(zone.key)).or_default().push(number, zone);
            }
        }
        entries.into_iter().map(|(number, zones)| (number, Arc::new(zones))).collect()
    }
}

impl KeyZones {
    /// What a unit has of the key.
    pub(super) fn unit(&self, unit: usize) -> Option<&KeyZone> {
        let place = self.units.binary_search_by_key(&unit, |number| *number as usize).ok()?;
        self.zones.get(place)
    }

    /// Adds a unit; they ascend.
    pub(super) fn push(&mut self, unit: u32, zone: KeyZone) {
        self.units.push(unit);
        self.zones.push(zone);
    }
}
