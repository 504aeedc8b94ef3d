//! Which attributes there are, and which values they have.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::sources::{Job, Sources};
use super::split::Assembled;
use super::{Querier, TagNames, TagNamesRequest, TagScope, TagValue, TagValues, TagValuesRequest};
use crate::block::KeyScope;
use crate::columns::{Attributes, Batch, RowRef, Spans};
use crate::failure::Failure;
use crate::scan::{Scan, ScanCost};
use crate::tenant::TenantId;
use crate::trace::TraceId;
use crate::traceql::{Query, ValueSet, compile_lenient, compile_values};

/// Traces whose spans are read whole at once.
const TRACES_AT_ONCE: usize = 1024;

/// Names of attributes, by scope.
pub(super) type Names = BTreeMap<TagScope, BTreeSet<String>>;

impl Querier {
    /// The values of an attribute on the spans of the window.
    ///
    /// # Errors
    /// [`crate::failure::Kind::Invalid`] for a text that is no attribute; otherwise why the answer would be incomplete.
    pub async fn tag_values(
        &self,
        tenants: &[TenantId],
        request: TagValuesRequest,
    ) -> Result<TagValues, Failure> {
        let query = compile_values(&request.attribute, &request.filter).map_err(|error| {
            Failure::invalid(format!("please provide a valid tagName: {error}"))
        })?;
        let query = Arc::new(query);
        let scan = Scan {
            window: request.window.clone(),
            projection: query.projection().clone(),
            need: query.need(),
        };
        let mut values = ValueSet::default();
        let mut cost = super::Cost::default();
        for tenant in tenants {
            let sources = self.sources(tenant, &request.window).await?;
            cost.add(sources.cost);
            for part in self.batches(&sources, &scan) {
                let is_whole = matches!(part, Part::Split(_));
                let (batch, read) = self.read(&sources, &scan, part).await?;
                cost.add_scan(read);
                let (query, window) = (Arc::clone(&query), request.window.clone());
                let split = Arc::clone(&sources.split);
                let mut into = std::mem::take(&mut values);
                let collect = move || {
                    let is_wanted = |id: TraceId| is_whole || !split.contains(&id.fold());
                    query.collect(&batch, &window, &is_wanted, &mut into);
                    into
                };
                values = self.cpu.run(collect).await;
            }
        }
        Ok(TagValues { values: ranked(&values, request.limit), cost })
    }

    /// The names of attributes on the spans of the window.
    ///
    /// # Errors
    /// Why the answer would be incomplete.
    pub async fn tag_names(
        &self,
        tenants: &[TenantId],
        request: TagNamesRequest,
    ) -> Result<TagNames, Failure> {
        let mut names = Names::new();
        let mut cost = super::Cost::default();
        let query = compile_lenient(&request.filter);
        let keeps_all = query.projection() == compile_lenient("").projection()
            && query.need() == crate::scan::Need::Anything;
        let query = Arc::new(query);
        for tenant in tenants {
            let sources = self.sources(tenant, &request.window).await?;
            cost.add(sources.cost);
            if keeps_all {
                self.all_names(&sources, &request.window, &mut names).await;
            } else {
                self.kept_names(&sources, &request.window, &query, (&mut names, &mut cost)).await?;
            }
        }
        let limit = if request.limit == 0 { usize::MAX } else { request.limit };
        let wanted = |scope: &TagScope| request.scope.is_none_or(|wanted| wanted == *scope);
        let scopes = names
            .into_iter()
            .filter(|(scope, _)| wanted(scope))
            .map(|(scope, names)| (scope, names.into_iter().take(limit).collect()))
            .collect();
        Ok(TagNames { scopes, cost })
    }

    /// From the catalogs: no span is read.
    pub(super) async fn all_names(
        &self,
        sources: &Sources,
        window: &RangeInclusive<u64>,
        names: &mut Names,
    ) {
        for block in &sources.blocks {
            let zones = block.zones();
            let units = zones.units.iter().filter(|unit| unit.overlaps(window));
            let present: BTreeSet<u32> =
                units.flat_map(|unit| unit.keys.iter().map(|key| key.key)).collect();
            for key in present {
                let key = &zones.keys[key as usize];
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

    /// From the spans that a filter keeps.
    async fn kept_names(
        &self,
        sources: &Sources,
        window: &RangeInclusive<u64>,
        query: &Arc<Query>,
        (names, cost): (&mut Names, &mut super::Cost),
    ) -> Result<(), Failure> {
        let scan = Scan {
            window: window.clone(),
            projection: query.projection().clone(),
            need: query.need(),
        };
        for group in self.split_groups(sources) {
            let mut read = ScanCost::default();
            let assembled = self.assemble(sources, &group, &mut read).await?;
            cost.add_scan(read);
            self.add_kept(assembled, query, names).await?;
        }
        for Job { source, unit } in sources.jobs(&scan, self) {
            let (batch, read) = source.read(&unit, &scan).await?;
            cost.add_scan(read);
            let (filter, split) = (Arc::clone(query), Arc::clone(&sources.split));
            let matching = move || -> Result<Vec<TraceId>, Failure> {
                let kept = filter.matching_rows(&batch).map_err(Failure::invalid)?;
                let traces = &batch.traces;
                let has = |trace: &usize| {
                    let is_split = split.contains(&traces.id[*trace].fold());
                    !is_split && traces.rows(*trace).any(|row| kept.value(row))
                };
                Ok((0..traces.len()).filter(has).map(|trace| traces.id[trace]).collect())
            };
            let ids = self.cpu.run(matching).await?;
            for ids in ids.chunks(TRACES_AT_ONCE) {
                let group = Self::group_of(sources, ids);
                let mut read = ScanCost::default();
                let assembled = self.assemble(sources, &group, &mut read).await?;
                cost.add_scan(read);
                self.add_kept(assembled, query, names).await?;
            }
        }
        Ok(())
    }

    /// The names on the rows of whole traces that the filter keeps.
    async fn add_kept(
        &self,
        assembled: Assembled,
        query: &Arc<Query>,
        names: &mut Names,
    ) -> Result<(), Failure> {
        let query = Arc::clone(query);
        let mut into = std::mem::take(names);
        let collect = move || -> Result<Names, Failure> {
            let layout = assembled.layout();
            let chunks = assembled.spans();
            let batch = crate::columns::batch(&chunks, &layout, query.projection());
            let kept = query.matching_rows(&batch).map_err(Failure::invalid)?;
            let rows = layout.rows.iter().zip(0..).filter(|(_, place)| kept.value(*place));
            let marks = marks(&assembled.chunks, rows.map(|(row, _)| *row));
            for (spans, kept) in chunks.iter().zip(marks) {
                add_names(spans, &kept, &mut into);
            }
            Ok(into)
        };
        *names = self.cpu.run(collect).await?;
        Ok(())
    }

    /// What there is to read: groups of split traces, then units.
    fn batches(&self, sources: &Sources, scan: &Scan) -> Vec<Part> {
        let split = self.split_groups(sources).into_iter().map(Part::Split);
        split.chain(sources.jobs(scan, self).into_iter().map(Part::Unit)).collect()
    }

    /// A part as a batch, without the traces that another part has whole.
    async fn read(
        &self,
        sources: &Sources,
        scan: &Scan,
        part: Part,
    ) -> Result<(Batch, ScanCost), Failure> {
        match part {
            Part::Split(group) => {
                let mut cost = ScanCost::default();
                let assembled = self.assemble(sources, &group, &mut cost).await?;
                let projection = scan.projection.clone();
                Ok((self.cpu.run(move || assembled.batch(&projection)).await, cost))
            }
            Part::Unit(Job { source, unit }) => source.read(&unit, scan).await,
        }
    }
}

/// One thing to read.
enum Part {
    Split(super::split::Group),
    Unit(Job),
}

fn ranked(values: &ValueSet, limit: usize) -> Vec<TagValue> {
    let mut all: Vec<_> = values.iter().collect();
    all.sort_by_key(|(value, count)| (Reverse(*count), value.text.clone(), value.kind.as_str()));
    all.truncate(if limit == 0 { usize::MAX } else { limit });
    let told = |(value, _): (&crate::traceql::TagValue, u64)| TagValue {
        kind: value.kind.as_str(),
        text: value.text.clone(),
    };
    all.into_iter().map(told).collect()
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
fn marks(chunks: &[Arc<Spans>], rows: impl Iterator<Item = RowRef>) -> Vec<Vec<bool>> {
    let mut marks: Vec<Vec<bool>> = chunks.iter().map(|spans| vec![false; spans.len()]).collect();
    rows.for_each(|row| marks[row.chunk as usize][row.row as usize] = true);
    marks
}

/// All names on the marked rows of a chunk.
fn add_names(spans: &Spans, kept: &[bool], names: &mut Names) {
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
