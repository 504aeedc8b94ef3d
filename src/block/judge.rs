//! Which units of a block may matter to a query, by their zones and filters.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::directory::{Directory, unit_of};
use super::entries::EntryNumber;
use super::hashes::{self, FilterBlocks};
use super::zones::{Catalog, KeyScope, KeyZone, KeyZones, NumberRange, ValueFilter, Zone, Zones};
use crate::scan::{Need, NeedScope, NeedValue};

/// The entries that tell which units may satisfy a need.
pub(super) fn entries_of(need: &Need, catalog: &Catalog) -> BTreeSet<EntryNumber> {
    match need {
        Need::All(needs) | Need::Any(needs) => {
            needs.iter().flat_map(|need| entries_of(need, catalog)).collect()
        }
        Need::Equals { scope, key, value: _ } => {
            let known = scopes_of(*scope).iter().filter_map(|scope| catalog.find(*scope, key));
            known.map(EntryNumber::key_zones).collect()
        }
        Need::NameEquals(_) => [EntryNumber::NAME_ZONES].into(),
        Need::Anything
        | Need::HasAttribute { .. }
        | Need::DurationAtLeast(_)
        | Need::DurationAtMost(_)
        | Need::StatusError
        | Need::Trace(_) => BTreeSet::new(),
    }
}

/// Whether the directory tells which units may satisfy a need.
pub(super) fn asks_for_traces(need: &Need) -> bool {
    match need {
        Need::All(needs) | Need::Any(needs) => needs.iter().any(asks_for_traces),
        Need::Trace(_) => true,
        _ => false,
    }
}

/// Tells of units whether they may matter, by what was read of the index.
pub(super) struct Judge<'a> {
    pub zones: &'a Zones,
    pub catalog: &'a Catalog,
    pub entries: &'a HashMap<EntryNumber, Arc<KeyZones>>,
    pub filters: &'a FilterBlocks,
    /// Where a need asks for traces.
    pub directory: Option<&'a Directory>,
    /// Blocks of filters that would tell more.
    pub unread: RefCell<BTreeSet<u32>>,
}

impl Judge<'_> {
    /// Whether some span of the unit may satisfy the need. `false` is certain.
    pub(super) fn may_satisfy(&self, unit: usize, need: &Need) -> bool {
        let zone = &self.zones.units[unit];
        match need {
            Need::Anything => true,
            Need::Trace(id) => self.directory.is_none_or(|directory| {
                directory.places(*id).iter().any(|place| unit_of(self.zones, *place) == unit)
            }),
            Need::All(needs) => needs.iter().all(|need| self.may_satisfy(unit, need)),
            Need::Any(needs) => needs.iter().any(|need| self.may_satisfy(unit, need)),
            Need::HasAttribute { scope, key } => self.may_have(zone, *scope, key, |_| true),
            Need::Equals { scope, key, value } => self.may_have(zone, *scope, key, |number| {
                let zones = self.entries.get(&EntryNumber::key_zones(number));
                zones
                    .and_then(|zones| zones.unit(unit))
                    .is_none_or(|zone| self.may_equal(zone, value))
            }),
            Need::NameEquals(name) => {
                let zones = self.entries.get(&EntryNumber::NAME_ZONES);
                zones
                    .and_then(|zones| zones.unit(unit))
                    .is_none_or(|zone| self.may_be_text(zone, name))
            }
            Need::DurationAtLeast(nanos) => zone.duration_max >= *nanos,
            Need::DurationAtMost(nanos) => zone.duration_min <= *nanos,
            Need::StatusError => zone.errors > 0,
        }
    }

    fn may_have(
        &self,
        zone: &Zone,
        scope: NeedScope,
        key: &str,
        passes: impl Fn(u32) -> bool,
    ) -> bool {
        scopes_of(scope).iter().any(|scope| {
            let number = self.catalog.find(*scope, key).filter(|number| zone.has_key(*number));
            number.map_or_else(|| self.catalog.is_incomplete(*scope), &passes)
        })
    }

    fn may_equal(&self, zone: &KeyZone, value: &NeedValue) -> bool {
        if zone.other {
            return true;
        }
        match value {
            NeedValue::String(text) => self.may_be_text(zone, text),
            #[expect(clippy::cast_precision_loss, reason = "stored ints are rounded alike")]
            NeedValue::Int(value) => self.may_be_number(zone, *value as f64),
            NeedValue::Double(value) => self.may_be_number(zone, *value),
            NeedValue::Bool(value) => zone.bools & if *value { 1 } else { 2 } != 0,
        }
    }

    fn may_be_text(&self, zone: &KeyZone, text: &str) -> bool {
        match &zone.texts {
            Some(texts) => texts.values.binary_search_by(|known| known.as_str().cmp(text)).is_ok(),
            None => self.may_contain(zone.text_filter.as_ref(), || hashes::of_text(text)),
        }
    }

    fn may_be_number(&self, zone: &KeyZone, number: f64) -> bool {
        let within = |range: &NumberRange| range.min <= number && number <= range.max;
        zone.numbers.as_ref().is_some_and(within)
            && self.may_contain(zone.number_filter.as_ref(), || hashes::of_number(number))
    }

    fn may_contain(&self, filter: Option<&ValueFilter>, hash: impl Fn() -> u64) -> bool {
        let Some(filter) = filter else { return true };
        let hash = hash();
        let Some(place) = hashes::place_of(filter, hash) else { return true };
        let Some(block) = self.filters.block(place) else {
            self.unread.borrow_mut().insert(place);
            return true;
        };
        hashes::may_contain(&block, filter, hash)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::zones::{CatalogKey, TextSet};

    fn zones() -> Zones {
        let key = |scope: KeyScope, key: &str| CatalogKey {
            scope: scope as i32,
            key: key.into(),
            ..CatalogKey::default()
        };
        let zone = Zone {
            duration_min: 10,
            duration_max: 20,
            key_numbers: vec![0, 1, 3],
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

    fn entries() -> HashMap<EntryNumber, Arc<KeyZones>> {
        let set = |values: &[&str]| {
            Some(TextSet { values: values.iter().map(|value| (*value).to_owned()).collect() })
        };
        let of = |zone| Arc::new(KeyZones { units: vec![0], zones: vec![zone] });
        let numbers = Some(NumberRange { min: 200.0, max: 404.0 });
        [
            (EntryNumber::NAME_ZONES, KeyZone { texts: set(&["a", "b"]), ..KeyZone::default() }),
            (EntryNumber::key_zones(0), KeyZone { texts: set(&["x", "y"]), ..KeyZone::default() }),
            (EntryNumber::key_zones(1), KeyZone { numbers, texts: set(&[]), ..KeyZone::default() }),
            (EntryNumber::key_zones(3), KeyZone { other: true, ..KeyZone::default() }),
        ]
        .into_iter()
        .map(|(number, zone)| (number, of(zone)))
        .collect()
    }

    #[test]
    fn a_unit_is_ruled_out_only_for_certain() {
        let (zones, entries) = (zones(), entries());
        let catalog = Catalog::of(&zones);
        let judge = Judge {
            zones: &zones,
            catalog: &catalog,
            entries: &entries,
            filters: &FilterBlocks::default(),
            directory: None,
            unread: RefCell::default(),
        };
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
            assert_eq!(judge.may_satisfy(0, &need), may, "{need:?}");
        }
    }

    #[test]
    fn what_was_not_read_rules_nothing_out_and_is_told() {
        let zones = zones();
        let catalog = Catalog::of(&zones);
        let filter = ValueFilter { first_block: 7, blocks: 1, words: 8, stride: 3 };
        let zone = KeyZone { text_filter: Some(filter), ..KeyZone::default() };
        let entries = HashMap::from([(
            EntryNumber::key_zones(0),
            Arc::new(KeyZones { units: vec![0], zones: vec![zone] }),
        )]);
        let need = Need::Equals {
            scope: NeedScope::Span,
            key: "table".into(),
            value: NeedValue::String("x".into()),
        };
        assert_eq!(entries_of(&need, &catalog), [EntryNumber::key_zones(0)].into());
        let judge = |filters: &FilterBlocks, entries| {
            let unread = RefCell::default();
            let judge = Judge {
                zones: &zones,
                catalog: &catalog,
                entries,
                filters,
                directory: None,
                unread,
            };
            (judge.may_satisfy(0, &need), judge.unread.into_inner())
        };
        let (nothing, unread) = (FilterBlocks::default(), HashMap::new());
        assert_eq!(judge(&nothing, &unread), (true, [].into()));
        assert_eq!(judge(&nothing, &entries), (true, [7].into()));
        let mut read = FilterBlocks::default();
        read.add(7, [0; 32]);
        assert_eq!(judge(&read, &entries), (false, [].into()));
    }
}
