//! Names of attributes: what blocks list of their units and what memory has; and what must be read for the others.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::sources::{Job, Sources};
use super::split::Group;
use super::{Querier, TagScope};
use crate::block::{Block, KeyScope, Zone};
use crate::columns::{Attributes, Projection, RowRef, Spans};
use crate::failure::Failure;
use crate::scan::{Need, Scan, ScanCost, SpanSource};

pub(super) type Names = BTreeMap<TagScope, BTreeSet<String>>;

/// What must be read to know the rest of the names.
pub(super) struct Unread {
    pub groups: Vec<Group>,
    pub jobs: Vec<Job>,
    pub cost: ScanCost,
}

impl Querier {
    /// The names on spans of traces that overlap the window, as far as no span needs to be read for them. What is left is little: units
    /// at the window's ends, and split traces, and those only where they list a name that is not known yet. Of a span that came
    /// twice the names of both may be told.
    pub(super) async fn listed_names(
        &self,
        sources: &Sources,
        window: &RangeInclusive<u64>,
        names: &mut Names,
    ) -> Result<Unread, Failure> {
        let mut cost = ScanCost::default();
        for block in &sources.blocks {
            // A trace that starts in the window overlaps it.
            let inside = |unit: &&Zone| {
                unit.trace_start_min >= *window.start() && unit.trace_start_max <= *window.end()
            };
            for unit in block.zones().units.iter().filter(inside) {
                for (scope, name) in listed(block, unit) {
                    add_name(names, scope, name);
                }
            }
        }
        let live_is_known = self.live_names(sources, window, names).await;
        let knows = |block: &Block, unit: &Zone| {
            listed(block, unit).all(|(scope, name)| is_known(names, scope, name))
        };
        let knows_all =
            |block: &Arc<Block>| block.zones().units.iter().all(|unit| knows(block.as_ref(), unit));
        let mut blocks = sources.blocks.iter().chain(&sources.elsewhere);
        let split_is_known = live_is_known && blocks.all(knows_all);
        let groups =
            if split_is_known { Vec::new() } else { self.split_groups(sources, &mut cost).await? };
        let projection = Projection::default();
        let scan = Scan { window: window.clone(), projection, need: Need::Anything };
        let mut jobs = Vec::new();
        for block in &sources.blocks {
            let mut units = block.units(&scan, &mut cost).await?;
            units.retain(|unit| !knows(block.as_ref(), &block.zones().units[unit.index]));
            let source = || Arc::clone(block) as Arc<dyn SpanSource>;
            jobs.extend(units.into_iter().map(|unit| Job { source: source(), unit }));
        }
        Ok(Unread { groups, jobs, cost })
    }

    /// At least the names on spans of the window: all that the opened blocks list. No span is read.
    pub(super) async fn all_names(
        &self,
        sources: &Sources,
        window: &RangeInclusive<u64>,
        names: &mut Names,
    ) {
        for block in sources.blocks.iter().chain(&sources.elsewhere) {
            let zones = block.zones();
            for key in &zones.keys {
                names.entry(scope_of(key.scope())).or_default().insert(key.key.clone());
            }
        }
        let (pin, window) = (sources.pin.clone(), window.clone());
        let mut into = std::mem::take(names);
        let collect = move || {
            let overlaps = |spans: &Spans, row: usize| {
                let end = spans.end[row].max(spans.start[row]);
                spans.start[row] <= *window.end() && end >= *window.start()
            };
            let rows = pin.live_ids().into_iter().flat_map(|id| pin.live_rows(id));
            let chunks = pin.live_chunks();
            for (spans, mut kept) in chunks.iter().zip(marks(&chunks, rows)) {
                kept.iter_mut().enumerate().for_each(|(row, kept)| *kept &= overlaps(spans, row));
                add_names(spans, &kept, &mut into);
            }
            into
        };
        *names = self.cpu.run(collect).await;
    }

    /// The names of live traces. Whether nothing is left to know of split ones: one without a live span in the window may have a
    /// stored one there.
    async fn live_names(
        &self,
        sources: &Sources,
        window: &RangeInclusive<u64>,
        names: &mut Names,
    ) -> bool {
        let (pin, split) = (sources.pin.clone(), Arc::clone(&sources.split));
        let (window, mut into) = (window.clone(), std::mem::take(names));
        let collect = move || {
            let chunks = pin.live_chunks();
            let overlaps = |row: &RowRef| {
                let (spans, row) = (&chunks[row.chunk as usize], row.row as usize);
                let end = spans.end[row].max(spans.start[row]);
                spans.start[row] <= *window.end() && end >= *window.start()
            };
            let (mut inside, mut open) = (Vec::new(), Vec::new());
            for id in pin.live_ids() {
                let rows = pin.live_rows(id);
                if rows.iter().any(overlaps) {
                    inside.extend(rows);
                } else if split.contains(&id.fold()) {
                    open.extend(rows);
                }
            }
            let mut of_open = Names::new();
            for (rows, names) in [(inside, &mut into), (open, &mut of_open)] {
                for (spans, kept) in chunks.iter().zip(marks(&chunks, rows.into_iter())) {
                    add_names(spans, &kept, names);
                }
            }
            let mut of_open = of_open
                .iter()
                .flat_map(|(scope, names)| names.iter().map(move |name| (*scope, name.as_str())));
            let known = of_open.all(|(scope, name)| is_known(&into, scope, name));
            (into, known)
        };
        let (found, known) = self.cpu.run(collect).await;
        *names = found;
        known
    }
}

/// The names that a unit of a block has.
fn listed<'a>(block: &'a Block, unit: &'a Zone) -> impl Iterator<Item = (TagScope, &'a str)> {
    let keys = &block.zones().keys;
    let known = unit.key_numbers.iter().filter_map(|number| keys.get(*number as usize));
    known.map(|key| (scope_of(key.scope()), key.key.as_str()))
}

fn is_known(names: &Names, scope: TagScope, name: &str) -> bool {
    names.get(&scope).is_some_and(|known| known.contains(name))
}

fn add_name(names: &mut Names, scope: TagScope, name: &str) {
    if !is_known(names, scope, name) {
        names.entry(scope).or_default().insert(name.to_owned());
    }
}

fn scope_of(scope: KeyScope) -> TagScope {
    match scope {
        KeyScope::Span => TagScope::Span,
        KeyScope::Event => TagScope::Event,
        KeyScope::Link => TagScope::Link,
        KeyScope::Resource => TagScope::Resource,
        KeyScope::Instrumentation => TagScope::Instrumentation,
    }
}

/// Rows marked, chunk by chunk.
pub(super) fn marks(chunks: &[Arc<Spans>], rows: impl Iterator<Item = RowRef>) -> Vec<Vec<bool>> {
    let mut marks: Vec<Vec<bool>> = chunks.iter().map(|spans| vec![false; spans.len()]).collect();
    rows.for_each(|row| marks[row.chunk as usize][row.row as usize] = true);
    marks
}

/// All names on the marked rows of a chunk.
pub(super) fn add_names(spans: &Spans, kept: &[bool], names: &mut Names) {
    let pool = &spans.pool;
    let mut add = |scope: TagScope, attributes: &Attributes, is_kept: &dyn Fn(u32) -> bool| {
        let known = names.entry(scope).or_default();
        let columns = attributes.columns().iter();
        let used = columns.filter(|column| column.owners.iter().any(|owner| is_kept(*owner)));
        known.extend(used.map(|column| pool.text(column.key).to_owned()));
        let rest = attributes.rest.owners.iter().zip(&attributes.rest.keys);
        for (_, key) in rest.filter(|(owner, _)| is_kept(**owner)) {
            known.insert(pool.text(*key).to_owned());
        }
    };
    let (events, links) = (&spans.events, &spans.links);
    add(TagScope::Span, &spans.attributes, &|row| kept[row as usize]);
    add(TagScope::Event, &events.attributes, &|event| kept[events.row[event as usize] as usize]);
    add(TagScope::Link, &links.attributes, &|link| kept[links.row[link as usize] as usize]);
    let used: BTreeSet<u32> =
        (0..spans.len()).filter(|row| kept[*row]).map(|row| spans.resource[row]).collect();
    for resource in used {
        let view = spans.resources[resource as usize].view();
        for (scope, attributes) in [
            (TagScope::Resource, &view.attributes),
            (TagScope::Instrumentation, &view.scope_attributes),
        ] {
            let known = names.entry(scope).or_default();
            known.extend(attributes.iter().map(|(key, _)| key.clone()));
        }
    }
}
