//! What a list of found traces shows of each, without reading the traces.

use super::super::wanted::Wanted;
use super::legacy::service_name;
use crate::api::{Api, Call};
use crate::failure::Failure;
use crate::querier::Cost;
use crate::trace::TraceId;
use crate::traceql::TraceMatch;

/// A trace in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) id: TraceId,
    /// Empty without a root.
    pub(super) root_service: String,
    pub(super) root_operation: String,
    /// Unix nanoseconds.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) spans: u32,
    pub(super) errors: u32,
    /// Spans whose parent is not in the trace.
    pub(super) orphans: u32,
    /// Sorted by name.
    pub(super) services: Vec<OfService>,
}

/// What a service has in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OfService {
    pub(super) name: String,
    pub(super) spans: u32,
    pub(super) errors: u32,
}

/// Of the newest traces that are wanted.
pub(super) async fn summaries(
    api: &Api,
    call: &Call,
    wanted: &Wanted,
) -> Result<(Vec<Summary>, Cost), Failure> {
    let request = wanted.request(api, call)?;
    let found =
        api.within(call, Box::pin(api.parts.querier.summaries(&call.tenants, request))).await?;
    Ok((found.traces.into_iter().map(Summary::from).collect(), found.cost))
}

impl From<TraceMatch> for Summary {
    fn from(trace: TraceMatch) -> Self {
        let has_root = !trace.root_name.is_empty() || !trace.root_service.is_empty();
        let mut services: Vec<OfService> = trace
            .services
            .into_iter()
            .map(|one| OfService {
                name: service_name(&one.service).to_owned(),
                spans: one.spans,
                errors: one.errors,
            })
            .collect();
        services.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let root_service = if has_root { service_name(&trace.root_service) } else { "" };
        Self {
            id: trace.id,
            root_service: root_service.to_owned(),
            root_operation: trace.root_name,
            start: trace.start,
            end: trace.start.saturating_add(trace.duration),
            spans: services.iter().map(|one| one.spans).sum(),
            errors: services.iter().map(|one| one.errors).sum(),
            orphans: trace.orphans.unwrap_or(0),
            services,
        }
    }
}
