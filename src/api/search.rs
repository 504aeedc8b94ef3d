//! `/api/search`: the traces that a query finds.

use axum::extract::State;
use http::request;

use super::format::{saturated, with_cost};
use super::proto::{
    KeyValue, SearchMetrics, SearchResponse, ServiceStats, Span, SpanSet, TraceSearchMetadata,
};
use super::{Answered, ApiState, params};
use crate::listener::on_cpu;
use crate::querier::{Cost, SearchAnswer};
use crate::traceql::{SpanMatch, SpansetMatch, TraceMatch};

/// What stands for the root's service while the root is missing. Tempo's words: clients know them.
const NO_ROOT: &str = "<root span not yet received>";

pub(super) async fn search(State(api): ApiState, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let wanted = params::search(&call.params, &api.config, api.now())?;
    let answer = api.within(Box::pin(api.parts.querier.search(&call.tenants, wanted))).await?;
    let (form, padded) = (call.form, api.config.left_pad_trace_ids);
    let cost = answer.cost;
    let response = on_cpu(move || form.answer(&response_of(answer, padded))).await;
    Ok(with_cost(response, &cost))
}

fn response_of(answer: SearchAnswer, padded: bool) -> SearchResponse {
    let SearchAnswer { traces, cost } = answer;
    let traces = traces.into_iter().map(|trace| metadata_of(trace, padded)).collect();
    SearchResponse { traces, metrics: metrics_of(&cost) }
}

pub(super) fn metrics_of(cost: &Cost) -> SearchMetrics {
    let Cost {
        inspected_bytes,
        inspected_traces,
        // Tempo's searches do not fill the field: the header has it.
        inspected_spans: _,
        blocks,
        blocks_skipped,
        block_bytes,
        jobs,
    } = *cost;
    SearchMetrics {
        inspected_traces: saturated(inspected_traces),
        inspected_bytes,
        total_blocks: saturated(blocks.saturating_add(blocks_skipped)),
        // A search that cannot be complete fails: all jobs are done.
        completed_jobs: saturated(jobs),
        total_jobs: saturated(jobs),
        total_block_bytes: block_bytes,
        inspected_spans: 0,
    }
}

fn metadata_of(trace: TraceMatch, padded: bool) -> TraceSearchMetadata {
    let TraceMatch { id, start, duration, root_service, root_name, services, spansets, rank: _ } =
        trace;
    // Grafana stumbles over a span set without spans.
    let with_spans = spansets.into_iter().filter(|spanset| !spanset.spans.is_empty());
    let span_sets: Vec<SpanSet> = with_spans.map(span_set_of).collect();
    TraceSearchMetadata {
        trace_id: if padded { id.to_string() } else { id.short_hex() },
        root_service_name: if root_service.is_empty() { NO_ROOT.to_owned() } else { root_service },
        root_trace_name: root_name,
        start_time_unix_nano: start,
        duration_ms: saturated(duration / 1_000_000),
        span_set: span_sets.first().cloned(),
        span_sets,
        service_stats: services
            .into_iter()
            .map(|count| {
                let stats = ServiceStats { span_count: count.spans, error_count: count.errors };
                (count.service, stats)
            })
            .collect(),
    }
}

fn span_set_of(spanset: SpansetMatch) -> SpanSet {
    let SpansetMatch { matched, attributes, spans } = spanset;
    SpanSet {
        spans: spans.into_iter().map(span_of).collect(),
        matched,
        attributes: attributes.into_iter().map(KeyValue::from).collect(),
    }
}

fn span_of(span: SpanMatch) -> Span {
    let SpanMatch { id, start, duration, name, attributes } = span;
    Span {
        id: id.to_string(),
        name: name.unwrap_or_default(),
        start_time_unix_nano: start,
        duration_nanos: duration,
        attributes: attributes.into_iter().map(KeyValue::from).collect(),
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
