//! What each part of a block can hold: zone maps, value sets and the key catalog, and the tests that use them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use prost::Message;

use super::hashes;
use crate::scan::{Need, NeedScope, NeedValue};

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
    /// Distinct span names, if at most 64.
    #[prost(message, optional, tag = "13")]
    pub names: Option<TextSet>,
    #[prost(message, repeated, tag = "14")]
    pub keys: Vec<KeyZone>,
    /// Hashes of the span names, if there are too many for a list.
    #[prost(message, optional, tag = "15")]
    pub name_filter: Option<ValueFilter>,
}

/// A set of texts, sorted.
#[derive(Clone, PartialEq, Message)]
pub struct TextSet {
    #[prost(string, repeated, tag = "1")]
    pub values: Vec<String>,
}

/// What a unit has of one key.
#[derive(Clone, PartialEq, Message)]
pub struct KeyZone {
    /// Index into the catalog.
    #[prost(uint32, tag = "1")]
    pub key: u32,
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
pub struct ValueFilter {
    #[prost(uint32, tag = "1")]
    pub first_block: u32,
    #[prost(uint32, tag = "2")]
    pub blocks: u32,
    /// Words of its block in which a value has a bit, 1 to 8.
    #[prost(uint32, tag = "3")]
    pub words: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct NumberRange {
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

/// Catalog lookup by scope and key, and what zones say of values.
pub struct Catalog {
    index: BTreeMap<(KeyScope, String), u32>,
    incomplete: Vec<KeyScope>,
    /// The section `ValueFilters`.
    filters: Bytes,
}

impl Catalog {
    pub fn of(zones: &Zones, filters: Bytes) -> Self {
        let index = (0_u32..)
            .zip(&zones.keys)
            .map(|(place, key)| ((key.scope(), key.key.clone()), place))
            .collect();
        Self { index, incomplete: zones.incomplete().collect(), filters }
    }

    fn may_contain(&self, filter: Option<&ValueFilter>, hash: impl Fn() -> u64) -> bool {
        filter.is_none_or(|filter| hashes::may_contain(&self.filters, filter, hash()))
    }

    /// Whether a unit of which no zone has a key may have it all the same.
    pub(super) fn is_incomplete(&self, scope: KeyScope) -> bool {
        self.incomplete.contains(&scope)
    }

    pub fn find(&self, scope: KeyScope, key: &str) -> Option<u32> {
        // One allocation per question, not per row.
        self.index.get(&(scope, key.to_owned())).copied()
    }
}

impl Zone {
    /// Whether some trace of the unit may overlap the window.
    pub fn overlaps(&self, window: &RangeInclusive<u64>) -> bool {
        self.trace_start_min <= *window.end() && self.end_max >= *window.start()
    }

    /// Whether some span of the unit may satisfy the need. `false` is certain.
    pub fn may_satisfy(&self, catalog: &Catalog, need: &Need) -> bool {
        match need {
            Need::Anything | Need::Trace(_) => true,
            Need::All(needs) => needs.iter().all(|need| self.may_satisfy(catalog, need)),
            Need::Any(needs) => needs.iter().any(|need| self.may_satisfy(catalog, need)),
            Need::HasAttribute { scope, key } => self.may_have(catalog, *scope, key, |_| true),
            Need::Equals { scope, key, value } => {
                self.may_have(catalog, *scope, key, |zone| zone.may_equal(catalog, value))
            }
            Need::NameEquals(name) => match &self.names {
                Some(names) => names.values.binary_search(name).is_ok(),
                None => catalog.may_contain(self.name_filter.as_ref(), || hashes::of_text(name)),
            },
            Need::DurationAtLeast(nanos) => self.duration_max >= *nanos,
            Need::DurationAtMost(nanos) => self.duration_min <= *nanos,
            Need::StatusError => self.errors > 0,
        }
    }

    /// What the unit has of a key.
    pub(super) fn key(&self, key: u32) -> Option<&KeyZone> {
        // They ascend by scope and key, not by number.
        self.keys.iter().find(|zone| zone.key == key)
    }

    fn may_have(
        &self,
        catalog: &Catalog,
        scope: NeedScope,
        key: &str,
        passes: impl Fn(&KeyZone) -> bool,
    ) -> bool {
        scopes_of(scope).iter().any(|scope| {
            let zone = catalog.find(*scope, key).and_then(|key| self.key(key));
            zone.map_or_else(|| catalog.is_incomplete(*scope), &passes)
        })
    }
}

fn scopes_of(scope: NeedScope) -> &'static [KeyScope] {
    match scope {
        NeedScope::SpanOrResource => &[KeyScope::Span, KeyScope::Resource],
        NeedScope::Span => &[KeyScope::Span],
        NeedScope::Resource => &[KeyScope::Resource],
        NeedScope::Event => &[KeyScope::Event],
        NeedScope::Link => &[KeyScope::Link],
        NeedScope::Instrumentation => &[KeyScope::Instrumentation],
    }
}

impl KeyZone {
    fn may_equal(&self, catalog: &Catalog, value: &NeedValue) -> bool {
        if self.other {
            return true;
        }
        match value {
            NeedValue::String(text) => match &self.texts {
                Some(texts) => texts.values.binary_search(text).is_ok(),
                None => catalog.may_contain(self.text_filter.as_ref(), || hashes::of_text(text)),
            },
            #[expect(clippy::cast_precision_loss, reason = "stored ints are rounded alike")]
            NeedValue::Int(value) => self.may_be(catalog, *value as f64),
            NeedValue::Double(value) => self.may_be(catalog, *value),
            NeedValue::Bool(value) => self.bools & if *value { 1 } else { 2 } != 0,
        }
    }

    fn may_be(&self, catalog: &Catalog, number: f64) -> bool {
        let within = |range: &NumberRange| range.min <= number && number <= range.max;
        self.numbers.as_ref().is_some_and(within)
            && catalog.may_contain(self.number_filter.as_ref(), || hashes::of_number(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones() -> Zones {
        let key = |scope: KeyScope, key: &str| CatalogKey {
            scope: scope as i32,
            key: key.into(),
            ..CatalogKey::default()
        };
        let set = |values: &[&str]| TextSet {
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let zone = Zone {
            duration_min: 10,
            duration_max: 20,
            names: Some(set(&["a", "b"])),
            keys: vec![
                KeyZone { key: 0, texts: Some(set(&["x", "y"])), ..KeyZone::default() },
                KeyZone {
                    key: 1,
                    numbers: Some(NumberRange { min: 200.0, max: 404.0 }),
                    texts: Some(TextSet::default()),
                    ..KeyZone::default()
                },
                KeyZone { key: 3, other: true, ..KeyZone::default() },
            ],
            ..Zone::default()
        };
        Zones {
            incomplete: vec![],
            units: vec![zone],
            keys: vec![
                key(KeyScope::Span, "table"),
                key(KeyScope::Span, "code"),
                key(KeyScope::Resource, "elsewhere"),
                key(KeyScope::Span, "tags"),
            ],
        }
    }

    #[test]
    fn a_unit_is_ruled_out_only_for_certain() {
        let zones = zones();
        let (catalog, zone) = (Catalog::of(&zones, Bytes::new()), &zones.units[0]);
        let equals = |key: &str, value| Need::Equals {
            scope: NeedScope::SpanOrResource,
            key: key.into(),
            value,
        };
        let text = |text: &str| NeedValue::String(text.into());
        for (need, may) in [
            (equals("table", text("x")), true),
            (equals("table", text("z")), false),
            (equals("table", NeedValue::Int(1)), false),
            (equals("code", NeedValue::Int(404)), true),
            (equals("code", NeedValue::Double(404.5)), false),
            (equals("code", text("404")), false),
            (equals("tags", text("anything")), true),
            (equals("nowhere", text("x")), false),
            (equals("elsewhere", text("x")), false),
            (Need::NameEquals("b".into()), true),
            (Need::NameEquals("c".into()), false),
            (Need::DurationAtLeast(20), true),
            (Need::DurationAtLeast(21), false),
            (Need::DurationAtMost(9), false),
            (Need::StatusError, false),
            (Need::Any(vec![Need::StatusError, Need::Anything]), true),
            (Need::All(vec![Need::StatusError, Need::Anything]), false),
        ] {
            assert_eq!(zone.may_satisfy(&catalog, &need), may, "{need:?}");
        }
    }
}
