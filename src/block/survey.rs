//! Zone maps, value filters, value counts and the key catalog, taken while a block is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message;

use super::Error;
use super::hashes::{BITS_MAX, BITS_MIN, FilterWriter};
use super::index::{IndexWriter, Section};
use super::keys::{Keys, Seen, UnitResources};
use super::order::UnitPlan;
use super::promote::Scope;
use super::resources::ResourceKeys;
use super::source::Source;
use super::tally::{Counter, Tally};
use super::values::{Subject, ValuesWriter};
use super::zones::{CatalogKey, KEYS_MAX, KeyScope, KeyZone, Zone, Zones};
use crate::columns::gather::NOWHERE;
use crate::columns::{EMPTY, Layout, NO_STATUS, Resource, Spans};

/// OTLP's status code for an error.
const STATUS_ERROR: i32 = 2;

/// Filters of a unit take at most one byte in so many of those of its spans.
const FILTER_SHARE: usize = 112;

/// A filter of more numbers comes after those of texts: few are asked for by equality.
const FEW_NUMBERS: usize = 128;

/// So many bytes they may always take.
const FILTER_BYTES_MIN: usize = 16 * 1024;

/// Collects what an index says of the spans of a block, unit by unit.
pub(super) struct Survey<'a> {
    resources: &'a ResourceKeys,
    keys: BTreeMap<(KeyScope, String), u32>,
    zones: Zones,
    filters: FilterWriter,
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
            filters: FilterWriter::default(),
            values: ValuesWriter::default(),
            incomplete: BTreeSet::new(),
        }
    }

    /// Takes in a unit, which takes `stored_bytes` of the file; its row groups follow those taken in before. The sources are the
    /// unit's row groups.
    pub(super) fn add(
        &mut self,
        layout: &Layout,
        unit: &UnitPlan,
        sources: &[Source<'_>],
        stored_bytes: usize,
    ) {
        let mut zone = frame(layout, unit);
        zone.first_row_group =
            self.zones.units.last().map_or(0, |z| z.first_row_group + z.row_groups);
        zone.row_groups = u32::try_from(unit.row_groups.len()).expect("few row groups");
        let resources = self.resources_of(sources);
        let mut intrinsics = Intrinsics::default();
        let mut keys = Keys::default();
        let used = self.resources.all().iter().zip(&resources.spans);
        for ((_, resource), spans) in used.filter(|(_, spans)| **spans > 0) {
            keys.add_resource(resource, *spans);
        }
        let owners: Vec<_> = sources
            .iter()
            .flat_map(|source| {
                [Scope::Span, Scope::Event, Scope::Link]
                    .map(|scope| (source, scope, source.owners(scope)))
            })
            .collect();
        for (source, scope, owners) in &owners {
            keys.add_scope(source, owners, *scope, &resources);
        }
        for source in sources {
            intrinsics.add(source, &mut zone);
        }
        self.finish_unit(zone, keys, &intrinsics, &resources.spans, stored_bytes);
    }

    fn resources_of(&self, sources: &[Source<'_>]) -> UnitResources<'a> {
        let all = self.resources.all();
        let chunks = sources.first().map_or(&[][..], |source| source.chunks);
        // Those that no row of the block has are nowhere, and are not looked up.
        let place =
            |resource: &Arc<Resource>| self.resources.place_of(resource).unwrap_or(usize::MAX);
        let places: Vec<Vec<usize>> =
            chunks.iter().map(|chunk| chunk.resources.iter().map(place).collect()).collect();
        let mut spans = vec![0; all.len()];
        for row in sources.iter().flat_map(|source| source.rows) {
            let chunk = row.chunk as usize;
            let resource = chunks[chunk].resource[row.row as usize];
            spans[places[chunk][resource as usize]] += 1;
        }
        let used = all.iter().zip(&spans).filter(|(_, spans)| **spans > 0);
        let attributes = used.flat_map(|((_, resource), _)| &resource.view().attributes);
        let keys = attributes.map(|(key, _)| key.as_str()).collect();
        UnitResources { spans, places, keys }
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
        zone.names = intrinsics.names.text_set();
        let mut wanted: Vec<(Wanted, Vec<u64>)> = Vec::new();
        if zone.names.is_none() {
            wanted.push((Wanted::Names, intrinsics.names.text_hashes()));
        }
        for (key, seen) in seen {
            let Some(key) = self.catalog(key, &seen) else { continue };
            self.values.add(Subject::Key(key), unit, &seen.tally, seen.resources.as_deref());
            let place = zone.keys.len();
            let texts = seen.tally.text_set();
            if texts.is_none() {
                wanted.push((Wanted::Texts(place), seen.tally.text_hashes()));
            }
            wanted.extend(seen.tally.number_hashes().map(|all| (Wanted::Numbers(place), all)));
            zone.keys.push(KeyZone {
                key,
                present: seen.present,
                texts,
                numbers: seen.tally.range(),
                other: seen.other,
                bools: seen.tally.bool_bits(),
                ..KeyZone::default()
            });
        }
        self.add_filters(&mut zone, wanted, stored_bytes);
        self.zones.units.push(zone);
    }

    /// Adds filters. Each value gets as many bits as there is room for; if that is too little, the largest filters are left out. Large
    /// ones of numbers get what is left over.
    fn add_filters(&mut self, zone: &mut Zone, mut wanted: Vec<(Wanted, Vec<u64>)>, stored: usize) {
        let is_extra = |(wanted, hashes): &(Wanted, Vec<u64>)| {
            matches!(wanted, Wanted::Numbers(_)) && hashes.len() > FEW_NUMBERS
        };
        wanted.sort_by_key(|wanted| (is_extra(wanted), wanted.1.len()));
        let end = self.filters.len() + (stored / FILTER_SHARE).max(FILTER_BYTES_MIN);
        let counted = wanted.iter().filter(|wanted| !is_extra(wanted));
        let values: usize = counted.map(|(_, hashes)| hashes.len()).sum();
        let bits = (end - self.filters.len()) * 8 / values.max(1);
        let bits = bits.clamp(BITS_MIN, BITS_MAX);
        for (wanted, hashes) in wanted {
            if self.filters.len() + FilterWriter::bytes_for(hashes.len(), bits) > end {
                break;
            }
            let filter = self.filters.add(&hashes, bits);
            match wanted {
                Wanted::Names => zone.name_filter = filter,
                Wanted::Texts(key) => zone.keys[key].text_filter = filter,
                Wanted::Numbers(key) => zone.keys[key].number_filter = filter,
            }
        }
    }

    /// Writes the sections.
    pub(super) fn finish(mut self, index: &mut IndexWriter) -> Result<(), Error> {
        self.zones.incomplete = self.incomplete.iter().map(|scope| *scope as i32).collect();
        index.add(Section::Zones, &self.zones.encode_to_vec())?;
        index.add_as_is(Section::ValueFilters, &self.filters.finish());
        index.add_as_is(Section::Values, &self.values.finish()?);
        Ok(())
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

/// What a filter is for: of a key, by its place in the zone.
enum Wanted {
    Names,
    Texts(usize),
    Numbers(usize),
}

impl<'a> Intrinsics<'a> {
    /// Takes in a row group, and what the zone says of its numbers.
    fn add(&mut self, source: &Source<'a>, zone: &mut Zone) {
        let counters = || -> Vec<Counter> {
            source.chunks.iter().map(|spans| Counter::of(spans.pool.len())).collect()
        };
        let (mut names, mut messages) = (counters(), counters());
        for row in source.rows {
            let (spans, at) = (source.chunks[row.chunk as usize], row.row as usize);
            let duration = spans.duration(at);
            zone.duration_min = zone.duration_min.min(duration);
            zone.duration_max = zone.duration_max.max(duration);
            let status = if spans.status[at] == NO_STATUS { 0 } else { spans.status[at] };
            zone.errors += u64::from(status == STATUS_ERROR);
            self.status.add_int(i64::from(status), 1);
            self.kind.add_int(i64::from(spans.kind[at]), 1);
            names[row.chunk as usize].add(spans.name[at]);
            if spans.status_message[at] != EMPTY {
                messages[row.chunk as usize].add(spans.status_message[at]);
            }
        }
        drain(&mut self.names, source.chunks, &mut names);
        drain(&mut self.messages, source.chunks, &mut messages);
        for ((spans, places), counter) in
            source.chunks.iter().zip(&source.events.places).zip(&mut names)
        {
            let laid_out = spans.events.name.iter().zip(places).filter(|(_, at)| **at != NOWHERE);
            laid_out.for_each(|(name, _)| counter.add(*name));
        }
        drain(&mut self.event_names, source.chunks, &mut names);
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

fn drain<'a>(into: &mut Tally<'a>, chunks: &[&'a Spans], counters: &mut [Counter]) {
    for (spans, counter) in chunks.iter().zip(counters) {
        counter.drain().for_each(|(code, count)| into.add_text(spans.pool.text(code), count));
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
