//! Zone maps and the key catalog, taken while a block is written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::order::UnitPlan;
use super::promote::Scope;
use super::source::{RestEntries, Source};
use super::zones::{
    CatalogKey, KEYS_MAX, KeyScope, KeyZone, NumberRange, TextSet, VALUE_BYTES_MAX, VALUES_MAX,
    Zone, Zones,
};
use crate::columns::gather::{NOWHERE, Owners};
use crate::columns::{DUPLICATE, Layout, Resource, RestType, ScalarType, ScalarValues};
use crate::trace::Value;

/// OTLP's status code for an error.
const STATUS_ERROR: i32 = 2;

/// Collects the zones of a block, unit by unit.
#[derive(Default)]
pub(super) struct Survey {
    keys: BTreeMap<(KeyScope, String), u32>,
    zones: Zones,
    incomplete: BTreeSet<KeyScope>,
}

/// The keys of one unit, at most [`KEYS_MAX`]: a flood of keys must not fill memory and index.
#[derive(Default)]
struct Keys {
    seen: BTreeMap<(KeyScope, String), Seen>,
    /// Scopes of which some key is left out.
    incomplete: BTreeSet<KeyScope>,
}

impl Keys {
    fn get(&mut self, scope: KeyScope, key: &str) -> Option<&mut Seen> {
        let key = (scope, key.to_owned());
        if self.seen.len() >= KEYS_MAX && !self.seen.contains_key(&key) {
            self.incomplete.insert(scope);
            return None;
        }
        Some(self.seen.entry(key).or_default())
    }
}

/// One key of one unit.
struct Seen {
    present: u64,
    types: u32,
    rest: bool,
    other: bool,
    /// `None` once there are too many.
    texts: Option<BTreeSet<String>>,
    min: Option<f64>,
    max: Option<f64>,
    nan: bool,
    bools: u32,
}

impl Survey {
    /// Takes in a unit; its row groups follow those taken in before. The sources are the unit's row groups.
    pub(super) fn add(&mut self, layout: &Layout, unit: &UnitPlan, sources: &[Source<'_>]) {
        let mut zone = frame(layout, unit);
        zone.first_row_group =
            self.zones.units.last().map_or(0, |z| z.first_row_group + z.row_groups);
        zone.row_groups = u32::try_from(unit.row_groups.len()).expect("few row groups");
        let mut keys = Keys::default();
        let mut names = Some(BTreeSet::new());
        let mut resources: HashMap<u64, (&Resource, u64), foldhash::fast::FixedState> =
            HashMap::default();
        (zone.duration_min, zone.duration_max) = (u64::MAX, 0);
        for source in sources {
            let mut known_names: Vec<Vec<bool>> =
                source.chunks.iter().map(|spans| vec![false; spans.pool.len()]).collect();
            let mut spans_of: Vec<Vec<u64>> =
                source.chunks.iter().map(|spans| vec![0; spans.resources.len()]).collect();
            for row in source.rows {
                let (spans, at) = (source.chunks[row.chunk as usize], row.row as usize);
                let duration = spans.duration(at);
                zone.duration_min = zone.duration_min.min(duration);
                zone.duration_max = zone.duration_max.max(duration);
                zone.errors += u64::from(spans.status[at] == STATUS_ERROR);
                spans_of[row.chunk as usize][spans.resource[at] as usize] += 1;
                let known = &mut known_names[row.chunk as usize][spans.name[at] as usize];
                if !std::mem::replace(known, true) {
                    add_name(&mut names, spans.pool.text(spans.name[at]));
                }
            }
            for (spans, counts) in source.chunks.iter().zip(spans_of) {
                let counted = spans.resources.iter().zip(counts).filter(|(_, count)| *count > 0);
                for (resource, count) in counted {
                    resources.entry(resource.hash()).or_insert((&**resource, 0)).1 += count;
                }
            }
            for scope in [Scope::Span, Scope::Event, Scope::Link] {
                survey_scope(source, scope, &mut keys);
            }
        }
        for (resource, spans) in resources.into_values() {
            let view = resource.view();
            survey_values(&view.attributes, KeyScope::Resource, spans, &mut keys);
            survey_values(&view.scope_attributes, KeyScope::Instrumentation, spans, &mut keys);
        }
        zone.names = names.map(|names| TextSet { values: names.into_iter().collect() });
        let Keys { seen, incomplete } = keys;
        self.incomplete.extend(incomplete);
        zone.keys = seen.into_iter().filter_map(|(key, seen)| self.key_zone(key, seen)).collect();
        self.zones.units.push(zone);
    }

    pub(super) fn finish(mut self) -> Zones {
        self.zones.incomplete = self.incomplete.iter().map(|scope| *scope as i32).collect();
        self.zones
    }

    fn key_zone(&mut self, (scope, key): (KeyScope, String), seen: Seen) -> Option<KeyZone> {
        let Seen { present, types, rest, other, texts, min, max, nan, bools } = seen;
        let known = self.keys.get(&(scope, key.clone())).copied();
        let index = match known {
            Some(index) => index,
            None if self.zones.keys.len() >= KEYS_MAX => {
                self.incomplete.insert(scope);
                return None;
            }
            None => {
                let next = u32::try_from(self.zones.keys.len()).expect("at most KEYS_MAX");
                self.keys.insert((scope, key.clone()), next);
                let listed = CatalogKey { scope: scope as i32, key, ..CatalogKey::default() };
                self.zones.keys.push(listed);
                next
            }
        };
        let catalog = &mut self.zones.keys[index as usize];
        catalog.present += present;
        catalog.types |= types;
        catalog.rest |= rest;
        let numbers = min.zip(max).map(|(min, max)| NumberRange { min, max });
        Some(KeyZone {
            key: index,
            present,
            texts: texts.map(|texts| TextSet { values: texts.into_iter().collect() }),
            numbers,
            other: other || nan,
            bools,
        })
    }
}

fn frame(layout: &Layout, unit: &UnitPlan) -> Zone {
    let traces = &layout.traces;
    let starts = &traces.start[unit.traces.clone()];
    let ends = &traces.end[unit.traces.clone()];
    Zone {
        first_row: unit.rows.start as u64,
        rows: unit.rows.len() as u64,
        first_trace: unit.traces.start as u64,
        traces: unit.traces.len() as u64,
        trace_start_min: starts.iter().min().copied().unwrap_or_default(),
        trace_start_max: starts.iter().max().copied().unwrap_or_default(),
        end_max: ends.iter().max().copied().unwrap_or_default(),
        ..Zone::default()
    }
}

fn add_name(names: &mut Option<BTreeSet<String>>, name: &str) {
    if let Some(set) = names
        && !set.contains(name)
    {
        if set.len() == VALUES_MAX || name.len() > VALUE_BYTES_MAX {
            *names = None;
        } else {
            set.insert(name.to_owned());
        }
    }
}

fn survey_scope(source: &Source<'_>, scope: Scope, keys: &mut Keys) {
    let key_scope = match scope {
        Scope::Span => KeyScope::Span,
        Scope::Event => KeyScope::Event,
        Scope::Link => KeyScope::Link,
    };
    for Owners { attributes, pool, places } in source.owners(scope) {
        for column in attributes.columns() {
            let laid_out = |index: &usize| places[column.owners[*index] as usize] != NOWHERE;
            let indices = (0..column.owners.len()).filter(laid_out);
            let mut indices = indices.peekable();
            if indices.peek().is_none() {
                continue;
            }
            let Some(seen) = keys.get(key_scope, pool.text(column.key)) else { continue };
            let mut seen_codes = [u32::MAX; SEEN_CODES];
            for index in indices {
                seen.present += 1;
                match &column.values {
                    ScalarValues::String(codes) => {
                        let code = codes[index];
                        let known = &mut seen_codes[code as usize % SEEN_CODES];
                        if *known != code && seen.texts.is_some() {
                            *known = code;
                            seen.add_text(pool.text(code));
                        }
                    }
                    #[expect(clippy::cast_precision_loss, reason = "rounded alike when asked")]
                    ScalarValues::Int(values) => seen.add_number(values[index] as f64),
                    ScalarValues::Double(values) => seen.add_number(values[index]),
                    ScalarValues::Bool(values) => seen.add_bool(values[index]),
                }
            }
            seen.types |= type_bit(column.values.scalar_type());
        }
    }
    let RestEntries { pool, entries } = source.rest_of(scope);
    let (mut facts, mut order) = (HashMap::<u32, RestFacts, Hasher>::default(), Vec::new());
    for entry in entries.iter().filter(|entry| entry.kind & DUPLICATE == 0) {
        let fact = facts.entry(entry.key).or_insert_with(|| {
            order.push(entry.key);
            RestFacts::default()
        });
        let is_untyped = entry.kind >= RestType::Array as u8;
        fact.present += u64::from(is_untyped);
        // Or a key past the column bound: its typed value was not counted above.
        if is_untyped || !entry.is_typed_column {
            fact.other = true;
            fact.types |= 1 << (entry.kind & 7);
        }
    }
    for key in order {
        let Some(seen) = keys.get(key_scope, pool.text(key)) else { continue };
        let RestFacts { present, other, types } = facts[&key];
        seen.rest = true;
        seen.present += present;
        seen.other |= other;
        seen.types |= types;
    }
}

type Hasher = foldhash::fast::FixedState;

/// Codes of one column that are remembered as looked at, each in one place: common values come again and again.
const SEEN_CODES: usize = 256;

/// What the entries of one key in `attributes_rest` come to.
#[derive(Default)]
struct RestFacts {
    present: u64,
    other: bool,
    types: u32,
}

fn survey_values(values: &[(String, Value)], scope: KeyScope, spans: u64, keys: &mut Keys) {
    for (key, value) in values {
        let Some(seen) = keys.get(scope, key) else { continue };
        seen.present += spans;
        seen.types |= 1 << (RestType::of(value) as u8);
        match value {
            Value::String(text) => seen.add_text(text),
            #[expect(clippy::cast_precision_loss, reason = "rounded alike when asked")]
            Value::Int(value) => seen.add_number(*value as f64),
            Value::Double(value) => seen.add_number(*value),
            Value::Bool(value) => seen.add_bool(*value),
            Value::Empty | Value::Array(_) | Value::Map(_) | Value::Bytes(_) => seen.other = true,
        }
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

impl Default for Seen {
    fn default() -> Self {
        Self {
            present: 0,
            types: 0,
            rest: false,
            other: false,
            texts: Some(BTreeSet::new()),
            min: None,
            max: None,
            nan: false,
            bools: 0,
        }
    }
}

impl Seen {
    fn add_text(&mut self, text: &str) {
        add_name(&mut self.texts, text);
    }

    fn add_number(&mut self, number: f64) {
        self.nan |= number.is_nan();
        self.min = Some(self.min.map_or(number, |min| min.min(number)));
        self.max = Some(self.max.map_or(number, |max| max.max(number)));
    }

    fn add_bool(&mut self, value: bool) {
        self.bools |= if value { 1 } else { 2 };
    }
}
