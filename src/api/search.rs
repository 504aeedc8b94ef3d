//! `/api/search`: the traces that a query finds.

use axum::extract::State;
use http::request;

use super::cost::{metrics_of, saturated, with_cost};
use super::explain::{self, Explained, counted};
use super::proto::{KeyValue, SearchResponse, ServiceStats, Span, SpanSet, TraceSearchMetadata};
use super::{Answered, Api, ApiState, Call, params};
use crate::failure::Failure;
use crate::listener::on_cpu;
use crate::querier::{Cost, SearchAnswer, SearchRequest};
use crate::runtime::metered;
use crate::traceql::{SpanMatch, SpansetMatch, TraceMatch, compile};

/// What stands for the root's service while the root is missing. Tempo's words: clients know them.
const NO_ROOT: &str = "<root span not yet received>";

pub(super) async fn search(State(api): ApiState, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    if explain::is_wanted(&call.params) {
        let wanted = params::search(&call.params, &call.config, api.now())?;
        return explained(&api, &call, wanted).await;
    }
    let (message, cost) = found(&api, &call).await?;
    let form = call.form;
    let response = on_cpu(move || form.answer(&message)).await;
    Ok(with_cost(response, &cost))
}

/// What a search finds, by the parameters of a call.
pub(super) async fn found(api: &Api, call: &Call) -> Result<(SearchResponse, Cost), Failure> {
    let wanted = params::search(&call.params, &call.config, api.now())?;
    let answer =
        api.within(call, Box::pin(api.parts.querier.search(&call.tenants, wanted))).await?;
    let (padded, cost) = (call.config.left_pad_trace_ids, answer.cost);
    Ok((on_cpu(move || response_of(answer, padded)).await, cost))
}

/// Searches, and tells how.
async fn explained(api: &Api, call: &Call, wanted: SearchRequest) -> Answered {
    let (text, window, begun) = (wanted.query.clone(), wanted.window.clone(), api.now());
    let searched = api.within(call, Box::pin(api.parts.querier.search(&call.tenants, wanted)));
    let (answer, cpu) = metered(searched).await;
    let SearchAnswer { traces, cost } = answer?;
    let query = compile(&text).map_err(|error| Failure::invalid(error.to_string()))?;
    let explained = Explained {
        query: explain::canonical(&text),
        window,
        need: query.need(),
        first_look: Some(query.first_look()),
        projection: query.projection(),
        cost,
        cpu,
        took: api.since(begun),
        found: counted(traces.len(), "trace"),
    };
    Ok(explained.answer())
}

fn response_of(answer: SearchAnswer, padded: bool) -> SearchResponse {
    let SearchAnswer { traces, cost } = answer;
    let traces = traces.into_iter().map(|trace| metadata_of(trace, padded)).collect();
    SearchResponse { traces, metrics: metrics_of(&cost) }
}

/// As it is told.
pub(super) fn metadata_of(trace: TraceMatch, padded: bool) -> TraceSearchMetadata {
    let TraceMatch { id, start, duration, root_service, root_name, services, spansets, .. } = trace;
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
