//! Which attributes there are, and which values they have.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::names::{Names, Unread, add_names, marks};
use super::sources::{Job, Sources};
use super::split::Assembled;
use super::{
    Querier, TagNames, TagNamesRequest, TagScope, TagValue, TagValues, TagValuesRequest, unreadable,
};
use crate::block::KnownCounts;
use crate::columns::Batch;
use crate::failure::Failure;
use crate::scan::{Counted, Scan, ScanCost, SpanSource, Unit};
use crate::tenant::TenantId;
use crate::trace::TraceId;
use crate::traceql::{Query, TagType, ValueQuery, ValueSet, compile_lenient, compile_values};

/// Traces whose spans are read whole at once.
const TRACES_AT_ONCE: usize = 1024;

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
        let inside = Scan { projection: query.projection_inside().clone(), ..scan.clone() };
        let mut values = ValueSet::default();
        let mut cost = super::Cost::default();
        for tenant in tenants {
            let sources = self.sources(tenant, &request.window).await?;
            cost.add(sources.cost);
            let parts = match query.counted() {
                Some(counted) => {
                    let asked = (&query, &scan, &counted);
                    self.counted_values(&sources, asked, &mut values, &mut cost).await?
                }
                None => self.batches(&sources, &scan, &mut cost).await?,
            };
            for part in parts {
                let is_whole = matches!(part, Part::Split(_));
                let scan = if part.starts_in(&request.window) { &inside } else { &scan };
                let (batch, read) = self.read(&sources, scan, part).await?;
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
                self.check_bytes(&values)?;
            }
        }
        Ok(TagValues { values: ranked(&values, request.limit), cost })
    }

    fn check_bytes(&self, values: &ValueSet) -> Result<(), Failure> {
        let bytes_max = self.config.tag_values_bytes_max;
        if values.bytes() <= bytes_max {
            return Ok(());
        }
        Err(Failure::invalid(format!(
            "the values take more than {bytes_max} bytes (max_bytes_per_tag_values_query): \
             narrow the time range or the filter"
        )))
    }

    /// Adds the values that indexes know. What is left to read: units at the window's ends, those with split traces, live spans.
    async fn counted_values(
        &self,
        sources: &Sources,
        (query, scan, counted): (&Arc<ValueQuery>, &Scan, &Counted),
        values: &mut ValueSet,
        cost: &mut super::Cost,
    ) -> Result<Vec<Part>, Failure> {
        let mut of_index = ScanCost::default();
        let groups = self.split_groups(sources, &mut of_index).await?;
        let mut parts: Vec<Part> = groups.into_iter().map(Part::Split).collect();
        for block in &sources.blocks {
            let all = block.units(scan, &mut of_index).await?;
            let split = block.units_with(&sources.split, &mut of_index).await;
            let split = split.map_err(|error| unreadable(block.id(), &error))?;
            let (known, mut unread): (Vec<_>, Vec<_>) = all
                .into_iter()
                .partition(|unit| starts_in(unit, &scan.window) && !split.contains(&unit.index));
            let mut read = ScanCost::default();
            let units = known.iter().map(|unit| unit.index).collect();
            let found = block.counts(counted, units, &mut read).await;
            let KnownCounts { counts, unknown } =
                found.map_err(|error| unreadable(block.id(), &error))?;
            cost.add_scan(read);
            unread.extend(known.into_iter().filter(|unit| unknown.contains(&unit.index)));
            let query = Arc::clone(query);
            let mut into = std::mem::take(values);
            let add = move || {
                query.add_counts(&counts, &mut into);
                into
            };
            *values = self.cpu.run(add).await;
            self.check_bytes(values)?;
            let source = || Arc::clone(block) as Arc<dyn SpanSource>;
            parts.extend(unread.into_iter().map(|unit| Part::Unit(Job { source: source(), unit })));
        }
        cost.add_scan(of_index);
        parts.extend(sources.live_jobs(scan, self).await?.into_iter().map(Part::Unit));
        Ok(parts)
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
        let keeps_all = query.keeps_all();
        let query = Arc::new(query);
        for tenant in tenants {
            let sources = self.sources(tenant, &request.window).await?;
            cost.add(sources.cost);
            // Where a block lists not all of its keys the spans must be read.
            let all_listed = sources.blocks.iter().all(|block| block.zones().incomplete.is_empty());
            let unread = if keeps_all && all_listed {
                self.listed_names(&sources, &request.window, &mut names).await?
            } else {
                self.all_unread(&sources, &request.window, &query).await?
            };
            let asked = (&query, &request.window);
            self.kept_names(&sources, unread, asked, (&mut names, &mut cost)).await?;
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

    /// From the spans that a filter keeps.
    async fn kept_names(
        &self,
        sources: &Sources,
        Unread { groups, jobs, cost: of_index }: Unread,
        (query, window): (&Arc<Query>, &RangeInclusive<u64>),
        (names, cost): (&mut Names, &mut super::Cost),
    ) -> Result<(), Failure> {
        let scan = scan_of(query, window);
        cost.add_scan(of_index);
        for group in groups {
            let mut read = ScanCost::default();
            let assembled = self.assemble(sources, &group, &mut read).await?;
            cost.add_scan(read);
            self.add_kept(assembled, (query, window), names).await?;
        }
        for Job { source, unit } in jobs {
            let (batch, read) = source.read(&unit, &scan).await?;
            cost.add_scan(read);
            let (filter, split) = (Arc::clone(query), Arc::clone(&sources.split));
            let in_window = window.clone();
            let matching = move || -> Result<Vec<TraceId>, Failure> {
                let kept = filter.matching_rows_in(&batch, &in_window).map_err(Failure::invalid)?;
                let traces = &batch.traces;
                let has = |trace: &usize| {
                    let is_split = split.contains(&traces.id[*trace].fold());
                    !is_split && traces.rows(*trace).any(|row| kept.value(row))
                };
                Ok((0..traces.len()).filter(has).map(|trace| traces.id[trace]).collect())
            };
            let ids = self.cpu.run(matching).await?;
            for ids in ids.chunks(TRACES_AT_ONCE) {
                let mut read = ScanCost::default();
                let group = self.group_of(sources, ids, &mut read).await?;
                let assembled = self.assemble(sources, &group, &mut read).await?;
                cost.add_scan(read);
                self.add_kept(assembled, (query, window), names).await?;
            }
        }
        Ok(())
    }

    async fn all_unread(
        &self,
        sources: &Sources,
        window: &RangeInclusive<u64>,
        query: &Query,
    ) -> Result<Unread, Failure> {
        let mut cost = ScanCost::default();
        let jobs = sources.jobs(&scan_of(query, window), self, &mut cost).await?;
        let groups = self.split_groups(sources, &mut cost).await?;
        Ok(Unread { groups, jobs, cost })
    }

    /// The names on the rows of whole traces that the filter keeps.
    async fn add_kept(
        &self,
        assembled: Assembled,
        (query, window): (&Arc<Query>, &RangeInclusive<u64>),
        names: &mut Names,
    ) -> Result<(), Failure> {
        let (query, window) = (Arc::clone(query), window.clone());
        let mut into = std::mem::take(names);
        let collect = move || -> Result<Names, Failure> {
            let layout = assembled.layout();
            let chunks = assembled.spans();
            let batch = crate::columns::batch(&chunks, &layout, query.projection());
            let kept = query.matching_rows_in(&batch, &window).map_err(Failure::invalid)?;
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
    async fn batches(
        &self,
        sources: &Sources,
        scan: &Scan,
        cost: &mut super::Cost,
    ) -> Result<Vec<Part>, Failure> {
        let mut read = ScanCost::default();
        let split = self.split_groups(sources, &mut read).await?.into_iter().map(Part::Split);
        let jobs = sources.jobs(scan, self, &mut read).await?.into_iter().map(Part::Unit);
        cost.add_scan(read);
        Ok(split.chain(jobs).collect())
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
                let projection = &scan.projection;
                Ok((self.assembled_batch(sources, &group, projection, &mut cost).await?, cost))
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

impl Part {
    /// Whether all traces surely start in the window.
    fn starts_in(&self, window: &RangeInclusive<u64>) -> bool {
        match self {
            Self::Split(_) => false,
            Self::Unit(Job { unit, .. }) => starts_in(unit, window),
        }
    }
}

fn starts_in(unit: &Unit, window: &RangeInclusive<u64>) -> bool {
    window.contains(&unit.first_start) && window.contains(&unit.last_start)
}

fn ranked(values: &ValueSet, limit: usize) -> Vec<TagValue> {
    let mut all: Vec<_> = values.iter().collect();
    let rank = |one: &(TagType, &str, u64), other: &(TagType, &str, u64)| {
        let by_text = || (one.1, one.0.as_str()).cmp(&(other.1, other.0.as_str()));
        other.2.cmp(&one.2).then_with(by_text)
    };
    if limit > 0 && limit < all.len() {
        all.select_nth_unstable_by(limit, rank);
        all.truncate(limit);
    }
    all.sort_unstable_by(rank);
    let told = |(kind, text, _): (TagType, &str, u64)| TagValue {
        kind: kind.as_str(),
        text: text.to_owned(),
    };
    all.into_iter().map(told).collect()
}

fn scan_of(query: &Query, window: &RangeInclusive<u64>) -> Scan {
    Scan { window: window.clone(), projection: query.projection().clone(), need: query.need() }
}
