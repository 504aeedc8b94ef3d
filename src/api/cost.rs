//! What an answer cost: in its headers, in its body as far as Tempo's messages have room, in the log if it took long.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue};
use tracing::warn;

use super::Api;
use super::params::Params;
use super::proto::{MetadataMetrics, SearchMetrics};
use crate::querier::{Cost, Progress};
use crate::runtime::metered;

/// Longest text of a query in the log, in bytes.
const LOGGED_BYTES_MAX: usize = 2048;

/// Each part of the cost that has a header.
fn headers(cost: &Cost) -> [(&'static str, u64); 7] {
    let Cost {
        inspected_bytes,
        inspected_traces,
        inspected_spans,
        blocks,
        blocks_skipped,
        block_bytes: _,
        jobs: _,
        jobs_skipped,
        requests,
    } = *cost;
    [
        ("x-vivace-inspected-bytes", inspected_bytes),
        ("x-vivace-inspected-traces", inspected_traces),
        ("x-vivace-inspected-spans", inspected_spans),
        ("x-vivace-blocks", blocks),
        ("x-vivace-blocks-skipped", blocks_skipped),
        ("x-vivace-units-skipped", jobs_skipped),
        ("x-vivace-requests", requests),
    ]
}

/// Adds what the answer cost, as headers.
pub(crate) fn with_cost(mut response: Response, cost: &Cost) -> Response {
    for (name, value) in headers(cost) {
        let name = HeaderName::from_static(name);
        response.headers_mut().insert(name, HeaderValue::from(value));
    }
    response
}

/// What of the cost stands in the body of all answers but a search's.
pub(super) fn metadata(cost: &Cost) -> MetadataMetrics {
    MetadataMetrics { inspected_bytes: cost.inspected_bytes }
}

/// What of the cost stands in the body of a search's and a metrics query's answer, under Tempo's names.
pub(super) fn metrics_of(cost: &Cost) -> SearchMetrics {
    SearchMetrics {
        inspected_traces: saturated(cost.inspected_traces),
        inspected_bytes: cost.inspected_bytes,
        total_blocks: saturated(cost.blocks.saturating_add(cost.blocks_skipped)),
        // A search that cannot be complete fails: all jobs are done.
        completed_jobs: saturated(cost.jobs),
        total_jobs: saturated(cost.jobs),
        total_block_bytes: cost.block_bytes,
        // Tempo's searches do not fill the field: the header has it.
        inspected_spans: 0,
    }
}

/// The same of a question that is at work: how far it has come.
pub(super) fn metrics_so_far(progress: &Progress) -> SearchMetrics {
    let Progress { cost, jobs_left } = progress;
    let total_jobs = saturated(cost.jobs.saturating_add(*jobs_left));
    SearchMetrics { total_jobs, ..metrics_of(cost) }
}

/// A count for a field of 32 bits.
pub(super) fn saturated(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Measures an answer: its CPU time goes into a header, and one that took longer than `log_queries_longer_than` into the log.
pub(super) async fn measured(
    State(api): State<Arc<Api>>,
    request: Request,
    next: Next,
) -> Response {
    let (uri, begun) = (request.uri().clone(), api.now());
    let (mut response, cpu) = metered(next.run(request)).await;
    let took = api.since(begun);
    let micros = u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX);
    let name = HeaderName::from_static("x-vivace-cpu-microseconds");
    response.headers_mut().insert(name, HeaderValue::from(micros));
    let longest = api.config.log_queries_longer_than;
    if longest > Duration::ZERO && took > longest {
        let params = Params::of(&uri);
        let named = params.get("query").or_else(|| params.get("q"));
        let query = named.or_else(|| uri.query()).unwrap_or_default();
        let of = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or("-").to_owned()
        };
        warn!(
            path = uri.path(),
            query = beginning(query),
            start = params.get("start"),
            end = params.get("end"),
            status = response.status().as_u16(),
            took_ms = took.as_millis(),
            cpu_ms = cpu.as_millis(),
            inspected_bytes = of("x-vivace-inspected-bytes"),
            inspected_spans = of("x-vivace-inspected-spans"),
            requests = of("x-vivace-requests"),
            blocks = of("x-vivace-blocks"),
            "slow query"
        );
    }
    response
}

/// Logs a call that took longer than `log_queries_longer_than`: since when it was at work, and how much CPU time it took.
pub(super) fn log_if_slow(
    api: &Api,
    params: &Params,
    path: &str,
    (begun, cpu): (u64, Duration),
    is_answered: bool,
) {
    let (took, longest) = (api.since(begun), api.config.log_queries_longer_than);
    if longest == Duration::ZERO || took <= longest {
        return;
    }
    warn!(
        path,
        query = beginning(params.get("q").unwrap_or_default()),
        start = params.get("start"),
        end = params.get("end"),
        is_answered,
        took_ms = took.as_millis(),
        cpu_ms = cpu.as_millis(),
        "slow query"
    );
}

/// So much of a text as may stand in the log.
fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LOGGED_BYTES_MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_query_is_logged_in_part() {
        assert_eq!(beginning("{}"), "{}");
        let long = "é".repeat(LOGGED_BYTES_MAX);
        assert_eq!(beginning(&long).len(), LOGGED_BYTES_MAX);
    }
}
