//! The keys of one unit and their values, taken while a block is written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use super::present::{Present, Rows, Told};
use super::promote::{Promoted, Scope};
use super::source::{RestEntries, RestEntry};
use super::tally::Tally;
use super::zones::{KEYS_MAX, KeyScope};
use crate::columns::{DUPLICATE, Resource, RestType, ScalarType};
use crate::trace::Value;

/// The keys of one unit, at most [`KEYS_MAX`]: a flood of keys must not fill memory and index.
#[derive(Default)]
pub(super) struct Keys<'a> {
    pub seen: BTreeMap<(KeyScope, String), Seen<'a>>,
    /// Scopes of which some key is left out.
    pub incomplete: BTreeSet<KeyScope>,
}

/// One key of one unit.
#[derive(Default)]
pub(super) struct Seen<'a> {
    pub present: u64,
    /// Bits as in the catalog.
    pub types: u32,
    pub rest: bool,
    /// A value could not be read.
    pub other: bool,
    pub tally: Tally<'a>,
    /// Of a span key that some resource has too: spans that have it, by resource.
    pub resources: Option<Vec<u64>>,
}

/// The resources of a unit: how many spans each has.
pub(super) struct UnitResources<'a> {
    /// By place in the block's list.
    pub spans: Vec<u64>,
    /// Keys of attributes.
    pub keys: BTreeSet<&'a str>,
}

impl<'a> Keys<'a> {
    fn get(&mut self, scope: KeyScope, key: &str) -> Option<&mut Seen<'a>> {
        let key = (scope, key.to_owned());
        if self.seen.len() >= KEYS_MAX && !self.seen.contains_key(&key) {
            self.incomplete.insert(scope);
            return None;
        }
        Some(self.seen.entry(key).or_default())
    }

    /// Takes in a resource that so many spans of the unit have.
    pub(super) fn add_resource(&mut self, resource: &Resource, spans: u64) {
        let view = resource.view();
        for (scope, attributes) in [
            (KeyScope::Resource, &view.attributes),
            (KeyScope::Instrumentation, &view.scope_attributes),
        ] {
            for (key, value) in attributes {
                let Some(seen) = self.get(scope, key) else { continue };
                seen.present += spans;
                seen.types |= 1 << (RestType::of(value) as u8);
                seen.tally.add_value(value, spans);
            }
        }
    }

    /// Takes in what a column has in a unit.
    pub(super) fn add_present(
        &mut self,
        present: &'a Present,
        unit: usize,
        resources: &UnitResources<'_>,
    ) {
        let Told::Attribute(Promoted { scope, key, .. }) = &present.told else { return };
        if present.count(unit) == 0 {
            return;
        }
        let Some(seen) = self.get(key_scope(*scope), key) else { return };
        seen.present += present.count(unit);
        seen.types |= type_bit(present.scalar_type());
        present.add_to(&mut seen.tally, unit);
        if let Some(spans) = present.resources(unit)
            && resources.keys.contains(key.as_str())
        {
            seen.add_resources(spans);
        }
    }

    /// Takes in those entries of `attributes_rest` that are a unit's: the places of its owners are given.
    pub(super) fn add_rest(
        &mut self,
        rest: &RestEntries,
        scope: Scope,
        owners: Range<usize>,
        (rows, resources): (&Rows<'_>, &UnitResources<'_>),
    ) {
        let place_of = |owner| rest.entries.partition_point(|e| (e.place as usize) < owner);
        let own = &rest.entries[place_of(owners.start)..place_of(owners.end)];
        let mut counts: HashMap<EntryKey, Vec<u32>, foldhash::fast::FixedState> =
            HashMap::default();
        for entry in own.iter().filter(|entry| entry.kind & DUPLICATE == 0) {
            let RestEntry { place, key, kind, value, is_typed_column } = *entry;
            counts.entry((key, kind, is_typed_column, value)).or_default().push(place);
        }
        let mut counts: Vec<(EntryKey, Vec<u32>)> = counts.into_iter().collect();
        counts.sort_unstable();
        for same_key in counts.chunk_by(|a, b| a.0.0 == b.0.0) {
            let key = rest.pool.text(same_key[0].0.0);
            let Some(seen) = self.get(key_scope(scope), key) else { continue };
            seen.rest = true;
            let is_resources = scope == Scope::Span && resources.keys.contains(key);
            let mut is_untold = false;
            for ((_, kind, is_typed, value), places) in same_key {
                seen.present += places.len() as u64;
                seen.types |= 1 << (kind & 7);
                match Value::decode(rest.pool.get(*value)) {
                    Ok(value) => seen.tally.add_value(&value, places.len() as u64),
                    Err(_) => seen.other = true,
                }
                is_untold |= !is_typed;
                if *is_typed && is_resources {
                    let rows_of = places.iter().map(|place| *place as usize);
                    seen.add_resources(&rows.by_resource(rows_of));
                }
            }
            if is_untold && (seen.other || resources.keys.contains(key)) {
                seen.tally.set_uncounted();
            }
        }
    }
}

/// Of an entry of `attributes_rest`: its key, type, whether its chunk has a column for it, and its value.
type EntryKey = (u32, u8, bool, u32);

fn key_scope(scope: Scope) -> KeyScope {
    match scope {
        Scope::Span => KeyScope::Span,
        Scope::Event => KeyScope::Event,
        Scope::Link => KeyScope::Link,
    }
}

impl Seen<'_> {
    fn add_resources(&mut self, spans: &[u64]) {
        let into = self.resources.get_or_insert_with(|| vec![0; spans.len()]);
        into.iter_mut().zip(spans).for_each(|(sum, spans)| *sum += spans);
    }
}

fn type_bit(scalar: ScalarType) -> u32 {
    match scalar {
        ScalarType::String => 1,
        ScalarType::Int => 2,
        ScalarType::Double => 4,
        ScalarType::Bool => 8,
    }
}
