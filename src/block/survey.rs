//! Zone maps, value filters, value counts and the key catalog, taken while a block is written.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use prost::Message;

use super::Error;
use super::entries::{EntryNumber, EntryWriter};
use super::filters::{FilterPlan, Planned, Wanted};
use super::index::{IndexWriter, Section};
use super::keys::{Keys, Seen, UnitResources};
use super::order::UnitPlan;
use super::present::{Present, Rows, Told};
use super::promote::Scope;
use super::resources::ResourceKeys;
use super::source::Source;
use super::tally::Tally;
use super::values::{Subject, ValuesWriter};
use super::zones::{CatalogKey, KEYS_MAX, KeyScope, KeyZone, KeyZones, Zone, Zones};
use crate::columns::{Layout, NO_STATUS};

/// OTLP's status code for an error.
const STATUS_ERROR: i32 = 2;

/// Collects what an index says of the spans of a block, unit by unit.
pub(super) struct Survey<'a> {
    resources: &'a ResourceKeys,
    keys: BTreeMap<(KeyScope, String), u32>,
    zones: Zones,
    /// What will be the entries of keys, and of the names.
    entries: BTreeMap<EntryNumber, KeyZones>,
    filters: FilterPlan,
    values: ValuesWriter,
    incomplete: BTreeSet<KeyScope>,
}

/// The values of one unit that are no attributes.
#[derive(Default)]
struct Intrinsics<'a> {
    names: Tally<'a>,
    status: Tally<'a>,
    kind: Tally<'a>,
    messages: Tally<'a>,
    event_names: Tally<'a>,
}

impl<'a> Survey<'a> {
    pub(super) fn of(resources: &'a ResourceKeys) -> Self {
        Self {
            resources,
            keys: BTreeMap::new(),
            zones: Zones::default(),
            entries: BTreeMap::new(),
            filters: FilterPlan::default(),
            values: ValuesWriter::default(),
            incomplete: BTreeSet::new(),
        }
    }

    /// Takes in the units of a block, of which each takes so many bytes of the file. The source has all rows, and `present` what the
    /// columns have.
    pub(super) fn add(
        &mut self,
        source: &Source<'_>,
        rows: &Rows<'_>,
        present: &[Present],
        units: &[(UnitPlan, usize)],
    ) {
        let mut first_row_group = 0;
        for (index, (unit, stored_bytes)) in units.iter().enumerate() {
            let mut zone = frame(source.layout, unit);
            zone.first_row_group = first_row_group;
            zone.row_groups = u32::try_from(unit.row_groups.len()).expect("few row groups");
            first_row_group += zone.row_groups;
            let resources = self.resources_of(rows.by_resource(unit.rows.clone()));
            let mut keys = Keys::default();
            let used = self.resources.all().iter().zip(&resources.spans);
            for ((_, resource), spans) in used.filter(|(_, spans)| **spans > 0) {
                keys.add_resource(resource, *spans);
            }
            let mut intrinsics = Intrinsics::default();
            intrinsics.add(source, unit.rows.clone(), &mut zone);
            for present in present {
                keys.add_present(present, index, &resources);
                intrinsics.add_present(present, index);
            }
            for scope in [Scope::Span, Scope::Event, Scope::Link] {
                let owners = source.owners_of_rows(scope, unit.rows.clone());
                keys.add_rest(source.rest_of(scope), scope, owners, (rows, &resources));
            }
            self.finish_unit(zone, keys, &intrinsics, &resources.spans, *stored_bytes);
        }
    }

    fn resources_of(&self, spans: Vec<u64>) -> UnitResources<'a> {
        let used = self.resources.all().iter().zip(&spans).filter(|(_, spans)| **spans > 0);
        let attributes = used.flat_map(|((_, resource), _)| &resource.view().attributes);
        let keys = attributes.map(|(key, _)| key.as_str()).collect();
        UnitResources { spans, keys }
    }

    fn finish_unit(
        &mut self,
        mut zone: Zone,
        keys: Keys<'_>,
        intrinsics: &Intrinsics<'_>,
        resources: &[u64],
        stored_bytes: usize,
    ) {
        let unit = u32::try_from(self.zones.units.len()).expect("fewer units than row groups");
        self.values.add_resources(unit, resources);
        intrinsics.list(&mut self.values, unit);
        let Keys { seen, incomplete } = keys;
        self.incomplete.extend(incomplete);
        let texts = intrinsics.names.text_set();
        if texts.is_none() {
            let wanted = Wanted::Texts(EntryNumber::NAME_ZONES);
            let hashes = intrinsics.names.text_hashes();
            self.filters.add(wanted, (unit, zone.rows), hashes, zone.rows);
        }
        let names = KeyZone { texts, ..KeyZone::default() };
        self.entries.entry(EntryNumber::NAME_ZONES).or_default().push(unit, names);
        for (key, seen) in seen {
            let Some(key) = self.catalog(key, &seen) else { continue };
            self.values.add(Subject::Key(key), unit, &seen.tally, seen.resources.as_deref());
            zone.key_numbers.push(key);
            self.add_key(EntryNumber::key_zones(key), (unit, zone.rows), &seen);
        }
        self.filters.end_unit(stored_bytes);
        self.zones.units.push(zone);
    }

    fn add_key(&mut self, entry: EntryNumber, (unit, rows): (u32, u64), seen: &Seen<'_>) {
        let texts = seen.tally.text_set();
        if texts.is_none() {
            let hashes = seen.tally.text_hashes();
            self.filters.add(Wanted::Texts(entry), (unit, rows), hashes, seen.present);
        }
        if let Some(hashes) = seen.tally.number_hashes() {
            self.filters.add(Wanted::Numbers(entry), (unit, rows), hashes, seen.present);
        }
        let zone = KeyZone {
            present: seen.present,
            texts,
            numbers: seen.tally.range(),
            other: seen.other,
            bools: seen.tally.bool_bits(),
            ..KeyZone::default()
        };
        self.entries.entry(entry).or_default().push(unit, zone);
    }

    /// Writes the sections that only some questions are about.
    pub(super) fn write_entries(&mut self, index: &mut IndexWriter) -> Result<Vec<u8>, Error> {
        let (planned, filters) = std::mem::take(&mut self.filters).finish();
        for Planned { wanted, filters } in planned {
            let (Wanted::Texts(entry) | Wanted::Numbers(entry)) = wanted;
            let zones = self.entries.get_mut(&entry).expect("added with the values");
            for (unit, filter) in filters {
                let place = zones.units.binary_search(&unit).expect("added with the values");
                match wanted {
                    Wanted::Texts(_) => zones.zones[place].text_filter = Some(filter),
                    Wanted::Numbers(_) => zones.zones[place].number_filter = Some(filter),
                }
            }
        }
        let mut entries = EntryWriter::new()?;
        for (number, zones) in &self.entries {
            entries.add(*number, zones.encode_to_vec())?;
        }
        std::mem::take(&mut self.values).finish(&mut entries)?;
        let (table, body) = entries.finish();
        index.add_as_is(Section::Entries, &body);
        index.add_as_is(Section::ValueFilters, &filters);
        Ok(table)
    }

    /// What all questions are about.
    pub(super) fn zones(mut self) -> Zones {
        self.zones.incomplete = self.incomplete.iter().map(|scope| *scope as i32).collect();
        self.zones
    }

    /// The number of a key in the catalog, with what a unit adds to it.
    fn catalog(&mut self, (scope, key): (KeyScope, String), seen: &Seen<'_>) -> Option<u32> {
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
        catalog.present += seen.present;
        catalog.types |= seen.types;
        catalog.rest |= seen.rest;
        Some(index)
    }
}

impl<'a> Intrinsics<'a> {
    /// Takes in rows, and what the zone says of their numbers.
    fn add(&mut self, source: &Source<'_>, rows: Range<usize>, zone: &mut Zone) {
        let (mut statuses, mut kinds) = (Few::default(), Few::default());
        for row in &source.rows[rows] {
            let (spans, at) = (source.chunks[row.chunk as usize], row.row as usize);
            let duration = spans.duration(at);
            zone.duration_min = zone.duration_min.min(duration);
            zone.duration_max = zone.duration_max.max(duration);
            let status = if spans.status[at] == NO_STATUS { 0 } else { spans.status[at] };
            zone.errors += u64::from(status == STATUS_ERROR);
            statuses.add(status, &mut self.status);
            kinds.add(spans.kind[at], &mut self.kind);
        }
        statuses.finish(&mut self.status);
        kinds.finish(&mut self.kind);
    }

    /// Takes in what a column has in a unit.
    fn add_present(&mut self, present: &'a Present, unit: usize) {
        let tally = match present.told {
            Told::Name => &mut self.names,
            Told::StatusMessage => &mut self.messages,
            Told::EventName => &mut self.event_names,
            Told::Attribute(_) => return,
        };
        present.add_to(tally, unit);
    }

    fn list(&self, values: &mut ValuesWriter, unit: u32) {
        let Self { names, status, kind, messages, event_names } = self;
        for (subject, tally) in [
            (Subject::Name, names),
            (Subject::Status, status),
            (Subject::Kind, kind),
            (Subject::StatusMessage, messages),
            (Subject::EventName, event_names),
        ] {
            values.add(subject, unit, tally, None);
        }
    }
}

/// Counts numbers of which almost all are small.
#[derive(Default)]
struct Few([u64; 8]);

impl Few {
    fn add(&mut self, number: i32, rare: &mut Tally<'_>) {
        match usize::try_from(number).ok().and_then(|place| self.0.get_mut(place)) {
            Some(count) => *count += 1,
            None => rare.add_int(number.into(), 1),
        }
    }

    fn finish(self, tally: &mut Tally<'_>) {
        let counted = (0..).zip(self.0).filter(|(_, count)| *count > 0);
        counted.for_each(|(number, count)| tally.add_int(number, count));
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
        duration_min: u64::MAX,
        ..Zone::default()
    }
}
