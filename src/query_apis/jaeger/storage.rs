//! Jaeger's gRPC services: what its query service asks a storage backend (`jaeger.storage.v2`), and what others ask its query service
//! (`jaeger.api_v3`, and the older `jaeger.api_v2`).
//!
//! A chunk of an answer holds spans of one trace, and something. Chunks are about 1 MiB, so that a client's limit of 4 MiB holds
//! unless a single span is larger.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::super::Shared;
use super::super::found::{ById, encoded, ids_of, search, traces};
use super::super::grpc::{streaming, unary};
use super::super::names;
use super::super::wanted::Wanted;
use super::legacy::service_name;
use super::params::{self, BACK, LIMIT, nanos};
use super::summaries::{Summary, summaries};
use super::wire::{
    Dependency, FindRequest, FindTraceIdsResponse, FindTraceSummariesResponse, FoundTraceId,
    GetCapabilitiesRequest, GetCapabilitiesResponse, GetDependenciesRequest,
    GetDependenciesResponse, GetOperationsRequest, GetOperationsResponse, GetServicesRequest,
    GetServicesResponse, GetTraceParams, GetTracesRequest, KeyValue, OlderOperationsResponse,
    OlderTraceRequest, Operation, QueryParameters, QueryRequest, QueryTraceRequest,
    SearchCapabilities, ServiceSummary, Timestamp, TraceQueryParameters, TraceSummary,
};
use crate::api::{Api, Call};
use crate::failure::{Failure, Kind};
use crate::querier::FoundTrace;
use crate::trace::{TraceId, Value};

/// About so large are the chunks of a trace.
const CHUNK_BYTES: usize = 1 << 20;

/// Summaries in a chunk.
const SUMMARIES_AT_ONCE: usize = 256;

type Chunks = BoxStream<'static, Result<Vec<u8>, Failure>>;

fn unfiltered(filter: Option<&Vec<u8>>) -> Result<(), Failure> {
    match filter {
        None => Ok(()),
        Some(_) => Err(Failure::invalid("structured filters are not supported")),
    }
}

fn limit(depth: i32) -> usize {
    usize::try_from(depth).ok().filter(|depth| *depth > 0).unwrap_or(LIMIT)
}

fn window(
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    now: u64,
) -> std::ops::RangeInclusive<u64> {
    let end = end.map_or(now, Timestamp::unix_nano);
    let start = start.map_or(end.saturating_sub(nanos(BACK)), Timestamp::unix_nano);
    start..=end
}

/// What a storage backend is asked for.
fn of_storage(query: Option<TraceQueryParameters>, now: u64) -> Result<Wanted, Failure> {
    let query = query.ok_or_else(|| Failure::invalid("a query is required"))?;
    unfiltered(query.filter.as_ref())?;
    let tags: Result<Vec<_>, Failure> = query.attributes.into_iter().map(tag_of).collect();
    Ok(Wanted {
        service: query.service_name,
        operation: query.operation_name,
        tags: tags?,
        conditions: Vec::new(),
        min_duration: query.duration_min.and_then(super::wire::Duration::positive),
        max_duration: query.duration_max.and_then(super::wire::Duration::positive),
        window: window(query.start_time_min, query.start_time_max, now),
        limit: limit(query.search_depth),
    })
}

/// Attributes are compared by their text, whatever their type.
fn tag_of(KeyValue { key, value }: KeyValue) -> Result<(String, String), Failure> {
    let text = match Value::decode(&value).map_err(Failure::invalid)? {
        Value::String(text) => text,
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        Value::Empty | Value::Array(_) | Value::Map(_) | Value::Bytes(_) => {
            let text =
                format!("attribute {key}: only texts, numbers and booleans are searched for");
            return Err(Failure::invalid(text));
        }
    };
    Ok((key, text))
}

/// What a query service is asked for.
fn of_query(query: Option<QueryParameters>, now: u64) -> Result<Wanted, Failure> {
    let query = query.ok_or_else(|| Failure::invalid("a query is required"))?;
    unfiltered(query.filter.as_ref())?;
    Ok(Wanted {
        service: query.service_name,
        operation: query.operation_name,
        tags: query.attributes.into_iter().collect(),
        conditions: Vec::new(),
        min_duration: query.duration_min.and_then(super::wire::Duration::positive),
        max_duration: query.duration_max.and_then(super::wire::Duration::positive),
        window: window(query.start_time_min, query.start_time_max, now),
        limit: limit(query.search_depth),
    })
}

fn by_id(id: TraceId, start: Option<Timestamp>, end: Option<Timestamp>) -> ById {
    let window = (start.is_some() || end.is_some()).then(|| {
        let end = end.map_or(u64::MAX, Timestamp::unix_nano);
        start.map_or(0, Timestamp::unix_nano)..=end
    });
    ById { id, window }
}

/// The traces one after the other, each in chunks of OTLP.
fn chunks(api: Arc<Api>, call: Call, ids: Vec<ById>) -> Chunks {
    chunked(api, call, ids, |trace| {
        let pieces = trace.protobuf_pieces(CHUNK_BYTES);
        let is_empty = |piece: &Result<Vec<u8>, Failure>| piece.as_ref().is_ok_and(Vec::is_empty);
        pieces.filter(|piece| !is_empty(piece)).collect()
    })
}

/// The same in Jaeger's own protobuf.
fn older_chunks(api: Arc<Api>, call: Call, ids: Vec<ById>) -> Chunks {
    chunked(api, call, ids, |trace| super::model::chunks(trace, CHUNK_BYTES))
}

fn chunked(
    api: Arc<Api>,
    call: Call,
    ids: Vec<ById>,
    encode: fn(&FoundTrace) -> Result<Vec<Vec<u8>>, Failure>,
) -> Chunks {
    let of_traces = encoded(traces(api, call, ids), move |trace| encode(&trace));
    let flat = of_traces.flat_map(|pieces: Result<Vec<Vec<u8>>, Failure>| match pieces {
        Ok(pieces) => stream::iter(pieces).map(Ok).boxed(),
        Err(failure) => stream::iter([Err(failure)]).boxed(),
    });
    flat.boxed()
}

/// At least one chunk.
async fn not_none(mut chunks: Chunks) -> Result<Chunks, Failure> {
    let first = chunks.next().await;
    let first = first.ok_or_else(|| Failure::new(Kind::NotFound, "trace not found"))?;
    Ok(stream::iter([first]).chain(chunks).boxed())
}

pub(super) async fn get_traces(State(api): Shared, request: Request) -> Response {
    let method = |api, call, asked: GetTracesRequest| async move {
        let id = |one: GetTraceParams| {
            let id = TraceId::from_otlp(&one.trace_id);
            let id = id.ok_or_else(|| Failure::invalid("a trace id has 16 bytes, not all zero"))?;
            Ok(by_id(id, one.start_time, one.end_time))
        };
        let ids: Result<Vec<_>, Failure> = asked.query.into_iter().map(id).collect();
        Ok(chunks(api, call, ids?))
    };
    streaming(api, request, method).await
}

pub(super) async fn query_trace(State(api): Shared, request: Request) -> Response {
    let method = |api, call, asked: QueryTraceRequest| async move {
        let id = params::trace_id(&asked.trace_id)?;
        let id = by_id(id, asked.start_time, asked.end_time);
        not_none(chunks(api, call, vec![id])).await
    };
    streaming(api, request, method).await
}

async fn found(api: Arc<Api>, call: Call, wanted: Wanted) -> Result<Chunks, Failure> {
    let answer = search(&api, &call, &wanted).await?;
    Ok(chunks(api, call, ids_of(&answer)))
}

pub(super) async fn find_traces(State(api): Shared, request: Request) -> Response {
    let method = |api: Arc<Api>, call, asked: FindRequest| async move {
        let wanted = of_storage(asked.query, api.now())?;
        found(api, call, wanted).await
    };
    streaming(api, request, method).await
}

pub(super) async fn query_traces(State(api): Shared, request: Request) -> Response {
    let method = |api: Arc<Api>, call, asked: QueryRequest| async move {
        let wanted = of_query(asked.query, api.now())?;
        found(api, call, wanted).await
    };
    streaming(api, request, method).await
}

pub(super) async fn older_trace(State(api): Shared, request: Request) -> Response {
    let method = |api, call, asked: OlderTraceRequest| async move {
        let id = const_hex::encode(&asked.trace_id);
        let id = by_id(params::trace_id(&id)?, asked.start_time, asked.end_time);
        not_none(older_chunks(api, call, vec![id])).await
    };
    streaming(api, request, method).await
}

pub(super) async fn older_traces(State(api): Shared, request: Request) -> Response {
    let method = |api: Arc<Api>, call, asked: QueryRequest| async move {
        let wanted = of_query(asked.query, api.now())?;
        let answer = search(&api, &call, &wanted).await?;
        Ok(older_chunks(api, call, ids_of(&answer)))
    };
    streaming(api, request, method).await
}

pub(super) async fn older_operations(State(api): Shared, request: Request) -> Response {
    let method = |api: Arc<Api>, call: Call, asked: GetOperationsRequest| async move {
        let told = operations(&api, &call, asked).await?;
        let operation_names = told.iter().map(|one| one.name.clone()).collect();
        Ok(OlderOperationsResponse { operation_names, operations: told })
    };
    unary(api, request, method).await
}

pub(super) async fn find_trace_ids(State(api): Shared, request: Request) -> Response {
    let method = |api: Arc<Api>, call, asked: FindRequest| async move {
        let wanted = of_storage(asked.query, api.now())?;
        let answer = search(&api, &call, &wanted).await?;
        let found = answer.traces.iter().map(|trace| FoundTraceId {
            trace_id: trace.id.0.to_vec(),
            start: Some(Timestamp::of(trace.start)),
            end: Some(Timestamp::of(trace.start.saturating_add(trace.duration))),
        });
        Ok(FindTraceIdsResponse { trace_ids: found.collect() })
    };
    unary(api, request, method).await
}

/// Summaries in chunks, with their ids as `id` writes them.
async fn summarised(
    api: &Api,
    call: &Call,
    wanted: &Wanted,
    id: fn(TraceId) -> Vec<u8>,
) -> Result<Chunks, Failure> {
    use prost::Message as _;
    let (found, _) = summaries(api, call, wanted).await?;
    let told: Vec<TraceSummary> =
        found.into_iter().map(|summary| message_of(summary, id)).collect();
    let chunks: Vec<_> = told
        .chunks(SUMMARIES_AT_ONCE)
        .map(|some| Ok(FindTraceSummariesResponse { summaries: some.to_vec() }.encode_to_vec()))
        .collect();
    Ok(stream::iter(chunks).boxed())
}

fn message_of(summary: Summary, id: fn(TraceId) -> Vec<u8>) -> TraceSummary {
    let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let services = summary.services.into_iter().map(|one| ServiceSummary {
        name: one.name,
        span_count: count(one.spans),
        error_span_count: count(one.errors),
    });
    TraceSummary {
        trace_id: id(summary.id),
        root_service_name: summary.root_service,
        root_operation_name: summary.root_operation,
        min_start_time_unix_nano: summary.start,
        max_end_time_unix_nano: summary.end,
        span_count: count(summary.spans),
        error_span_count: count(summary.errors),
        orphan_span_count: count(summary.orphans),
        services: services.collect(),
    }
}

pub(super) async fn find_trace_summaries(State(api): Shared, request: Request) -> Response {
    let method = |api: Arc<Api>, call: Call, asked: FindRequest| async move {
        let wanted = of_storage(asked.query, api.now())?;
        summarised(&api, &call, &wanted, |id| id.0.to_vec()).await
    };
    streaming(api, request, method).await
}

pub(super) async fn query_trace_summaries(State(api): Shared, request: Request) -> Response {
    let method = |api: Arc<Api>, call: Call, asked: QueryRequest| async move {
        let wanted = of_query(asked.query, api.now())?;
        summarised(&api, &call, &wanted, |id| id.to_string().into_bytes()).await
    };
    streaming(api, request, method).await
}

pub(super) async fn get_services(State(api): Shared, request: Request) -> Response {
    let method = |api: Arc<Api>, call: Call, _: GetServicesRequest| async move {
        let (services, _) = names::services(&api, &call).await?;
        Ok(GetServicesResponse { services })
    };
    unary(api, request, method).await
}

async fn operations(
    api: &Api,
    call: &Call,
    asked: GetOperationsRequest,
) -> Result<Vec<Operation>, Failure> {
    let GetOperationsRequest { service, span_kind } = asked;
    if service.is_empty() {
        return Err(Failure::invalid("a service is required"));
    }
    let (found, _) = names::operations(api, call, &service, &span_kind).await?;
    Ok(found.into_iter().map(|one| Operation { name: one.name, span_kind: one.kind }).collect())
}

pub(super) async fn get_operations(State(api): Shared, request: Request) -> Response {
    let method = |api: Arc<Api>, call: Call, asked: GetOperationsRequest| async move {
        let operations = operations(&api, &call, asked).await?;
        Ok(GetOperationsResponse { operations })
    };
    unary(api, request, method).await
}

pub(super) async fn get_dependencies(State(api): Shared, request: Request) -> Response {
    let method = |api: Arc<Api>, call: Call, asked: GetDependenciesRequest| async move {
        let window = window(asked.start_time, asked.end_time, api.now());
        let found = api
            .within(&call, Box::pin(api.parts.querier.dependencies(&call.tenants, window)))
            .await?;
        let told = found.edges.into_iter().map(|edge| Dependency {
            parent: service_name(&edge.parent).to_owned(),
            child: service_name(&edge.child).to_owned(),
            call_count: edge.calls,
        });
        Ok(GetDependenciesResponse { dependencies: told.collect() })
    };
    unary(api, request, method).await
}

/// Searches need no service, and all conditions are of one span.
pub(super) async fn get_capabilities(State(api): Shared, request: Request) -> Response {
    let method = |_: Arc<Api>, _: Call, _: GetCapabilitiesRequest| async move {
        let search = SearchCapabilities { without_service_name: true, same_span_conjunction: true };
        Ok(GetCapabilitiesResponse { search: Some(search) })
    };
    unary(api, request, method).await
}
