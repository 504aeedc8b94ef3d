//! The keys of one unit and their values, taken while a block is written.

use std::collections::{BTreeMap, BTreeSet};

use super::promote::Scope;
use super::source::{RestEntries, Source};
use super::tally::{Counter, Tally};
use super::zones::{KEYS_MAX, KeyScope};
use crate::columns::gather::{NOWHERE, Owners};
use crate::columns::{
    AttributeColumn, DUPLICATE, Resource, RestType, ScalarType, ScalarValues, Spans,
};
use crate::trace::{Scalar, Value};

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

/// The resources of a unit: how many spans each has, and which it is of each chunk's.
pub(super) struct UnitResources<'a> {
    /// By place in the block's list.
    pub spans: Vec<u64>,
    /// The place in the block's list of each resource of each chunk.
    pub places: Vec<Vec<usize>>,
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

    /// Takes in the attributes of a row group.
    pub(super) fn add_scope(
        &mut self,
        source: &Source<'_>,
        owners: &[Owners<'a>],
        scope: Scope,
        resources: &UnitResources<'_>,
    ) {
        let key_scope = match scope {
            Scope::Span => KeyScope::Span,
            Scope::Event => KeyScope::Event,
            Scope::Link => KeyScope::Link,
        };
        for (chunk, Owners { attributes, pool, places }) in owners.iter().enumerate() {
            let mut counter = Counter::of(pool.len());
            for column in attributes.columns() {
                let laid_out = |index: &usize| places[column.owners[*index] as usize] != NOWHERE;
                if !(0..column.owners.len()).any(|index| laid_out(&index)) {
                    continue;
                }
                let key = pool.text(column.key);
                let Some(seen) = self.get(key_scope, key) else { continue };
                let indices = (0..column.owners.len()).filter(laid_out);
                seen.present +=
                    add_column(&mut seen.tally, column, indices.clone(), |codes, tally| {
                        indices.clone().for_each(|index| counter.add(codes[index]));
                        counter
                            .drain()
                            .for_each(|(code, count)| tally.add_text(pool.text(code), count));
                    });
                seen.types |= type_bit(column.values.scalar_type());
                if scope == Scope::Span && resources.keys.contains(key) {
                    let (spans, known) = (source.chunks[chunk], &resources.places[chunk]);
                    let rows = indices.map(|index| column.owners[index] as usize);
                    seen.add_resources(spans, rows, known, resources.spans.len());
                }
            }
        }
        self.add_rest(source.rest_of(scope), key_scope, resources);
    }

    fn add_rest(&mut self, rest: &RestEntries, scope: KeyScope, resources: &UnitResources<'_>) {
        let RestEntries { pool, entries } = rest;
        let mut by_key: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (place, entry) in entries.iter().enumerate() {
            if entry.kind & DUPLICATE == 0 {
                let untold = by_key.entry(entry.key).or_default();
                // The others were counted by their chunk's columns.
                if !entry.is_typed_column {
                    untold.push(place);
                }
            }
        }
        for (key, untold) in by_key {
            let key = pool.text(key);
            let Some(seen) = self.get(scope, key) else { continue };
            seen.rest = true;
            seen.present += untold.len() as u64;
            for place in &untold {
                seen.types |= 1 << (entries[*place].kind & 7);
                match Value::decode(pool.get(entries[*place].value)) {
                    Ok(value) => seen.tally.add_value(&value, 1),
                    Err(_) => seen.other = true,
                }
            }
            if !untold.is_empty() && (seen.other || resources.keys.contains(key)) {
                seen.tally.set_uncounted();
            }
        }
    }
}

/// Adds what a column has at some indices; `add_texts` those of codes. How many there are.
fn add_column<'a>(
    tally: &mut Tally<'a>,
    column: &AttributeColumn,
    indices: impl Iterator<Item = usize> + Clone,
    add_texts: impl FnOnce(&[u32], &mut Tally<'a>),
) -> u64 {
    match &column.values {
        ScalarValues::String(codes) => add_texts(codes, tally),
        ScalarValues::Int(values) => {
            indices.clone().for_each(|index| tally.add_int(values[index], 1));
        }
        ScalarValues::Double(values) => {
            indices.clone().for_each(|index| tally.add(Scalar::Double(values[index]), 1));
        }
        ScalarValues::Bool(values) => {
            indices.clone().for_each(|index| tally.add(Scalar::Bool(values[index]), 1));
        }
    }
    indices.count() as u64
}

impl Seen<'_> {
    fn add_resources(
        &mut self,
        spans: &Spans,
        rows: impl Iterator<Item = usize>,
        places: &[usize],
        count: usize,
    ) {
        let into = self.resources.get_or_insert_with(|| vec![0; count]);
        rows.for_each(|row| into[places[spans.resource[row] as usize]] += 1);
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
