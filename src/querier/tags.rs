//! Which attributes there are, and which values they have.

use std::cmp::Reverse;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::names::{Names, Unread, add_names, marks};
use super::sources::{Job, Sources};
use super::split::Assembled;
use super::{Querier, TagNames, TagNamesRequest, TagScope, TagValue, TagValues, TagValuesRequest};
use crate::columns::Batch;
use crate::failure::Failure;
use crate::scan::{Scan, ScanCost};
use crate::tenant::TenantId;
use crate::trace::TraceId;
use crate::traceql::{Query, ValueSet, compile_lenient, compile_values};

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
            for part in self.batches(&sources, &scan) {
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
                let (bytes, bytes_max) = (values.bytes(), self.config.tag_values_bytes_max);
                if bytes > bytes_max {
                    return Err(Failure::invalid(format!(
                        "the values take more than {bytes_max} bytes (max_bytes_per_tag_values_query): \
                         narrow the time range or the filter"
                    )));
                }
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
        let keeps_all = query.keeps_all();
        let query = Arc::new(query);
        for tenant in tenants {
            let sources = self.sources(tenant, &request.window).await?;
            cost.add(sources.cost);
            // Where a block lists not all of its keys the spans must be read.
            let all_listed = sources.blocks.iter().all(|block| block.zones().incomplete.is_empty());
            let unread = if keeps_all && all_listed {
                self.listed_names(&sources, &request.window, &mut names).await
            } else {
                self.all_unread(&sources, &request.window, &query)
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
        Unread { groups, jobs }: Unread,
        (query, window): (&Arc<Query>, &RangeInclusive<u64>),
        (names, cost): (&mut Names, &mut super::Cost),
    ) -> Result<(), Failure> {
        let scan = scan_of(query, window);
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
                let group = Self::group_of(sources, ids);
                let mut read = ScanCost::default();
                let assembled = self.assemble(sources, &group, &mut read).await?;
                cost.add_scan(read);
                self.add_kept(assembled, (query, window), names).await?;
            }
        }
        Ok(())
    }

    fn all_unread(&self, sources: &Sources, window: &RangeInclusive<u64>, query: &Query) -> Unread {
        let (jobs, _) = sources.jobs(&scan_of(query, window), self);
        Unread { groups: self.split_groups(sources), jobs }
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
    fn batches(&self, sources: &Sources, scan: &Scan) -> Vec<Part> {
        let split = self.split_groups(sources).into_iter().map(Part::Split);
        split.chain(sources.jobs(scan, self).0.into_iter().map(Part::Unit)).collect()
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

impl Part {
    /// Whether all traces surely start in the window.
    fn starts_in(&self, window: &RangeInclusive<u64>) -> bool {
        match self {
            Self::Split(_) => false,
            Self::Unit(Job { unit, .. }) => {
                window.contains(&unit.first_start) && window.contains(&unit.last_start)
            }
        }
    }
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

fn scan_of(query: &Query, window: &RangeInclusive<u64>) -> Scan {
    Scan { window: window.clone(), projection: query.projection().clone(), need: query.need() }
}
