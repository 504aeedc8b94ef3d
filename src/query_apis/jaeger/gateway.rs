//! Jaeger's API v3 over HTTP, as its gateway answers: traces in OTLP/JSON, lists of found traces as summaries.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::request;
use serde_json::{Value, json};

use super::super::Shared;
use super::super::found::{ById, search as found, traces};
use super::super::found::{JSON, answered, body, encoded, ids_of, joined};
use super::super::names;
use super::legacy::dependency;
use super::params;
use super::summaries::{OfService, Summary, summaries as summarised};
use crate::api::{Api, Call, with_cost};
use crate::failure::{Failure, Kind};
use crate::querier::{FoundTrace, JsonStyle};

/// A failure as the gateway tells it.
pub(super) struct Refused(Failure);

type Answered = Result<Response, Refused>;

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Failure { kind, message } = self.0;
        let status = kind.http_status();
        let error = json!({
            "grpcCode": i32::from(kind.grpc_code()),
            "httpCode": status.as_u16(),
            "message": message,
            "httpStatus": status.canonical_reason().unwrap_or_default(),
        });
        (status, answered(&json!({"error": error}))).into_response()
    }
}

/// `/api/v3/services`.
pub(super) async fn services(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let (services, cost) = names::services(&api, &call).await?;
    Ok(with_cost(answered(&json!({"services": services})), &cost))
}

/// `/api/v3/operations`. The UI wants a kind of each.
pub(super) async fn operations(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let service = call.params.get("service").unwrap_or_default();
    if service.is_empty() {
        return Err(Failure::invalid("parameter 'service' is required").into());
    }
    let kind = call.params.get("spanKind").or_else(|| call.params.get("span_kind"));
    let (operations, cost) =
        names::operations(&api, &call, service, kind.unwrap_or_default()).await?;
    let told = operations.iter().map(|operation| {
        let kind = if operation.kind.is_empty() { "internal" } else { &operation.kind };
        json!({"name": operation.name, "spanKind": kind})
    });
    let told: Vec<Value> = told.collect();
    Ok(with_cost(answered(&json!({"operations": told})), &cost))
}

/// `/api/v3/traces`.
pub(super) async fn search(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let wanted = params::search_v3(&call.params, api.now())?;
    let answer = found(&api, &call, &wanted).await?;
    let response = traces_of(&api, call, ids_of(&answer)).await?;
    Ok(with_cost(response, &answer.cost))
}

/// `/api/v3/traces/{id}`.
pub(super) async fn trace(
    State(api): Shared,
    Path(id): Path<String>,
    request: request::Parts,
) -> Answered {
    let call = api.enter(&request)?;
    let id = params::by_id(&id, &call.params)?;
    Ok(traces_of(&api, call, vec![id]).await?)
}

/// The traces in one wrapper; an error if there is none.
async fn traces_of(api: &Arc<Api>, call: Call, ids: Vec<ById>) -> Result<Response, Failure> {
    let mut lists = Box::pin(encoded(traces(Arc::clone(api), call, ids), |trace| list_of(&trace)));
    let Some(first) = lists.next().await else {
        return Err(Failure::new(Kind::NotFound, "No traces found"));
    };
    let lists = futures::stream::iter([first]).chain(lists);
    let open = r#"{"result":{"resourceSpans":["#;
    body(JSON, joined(lists, open, |_| "]}}".to_owned())).await
}

/// The resources of a trace, without what is around the list.
fn list_of(trace: &FoundTrace) -> Result<Vec<u8>, Failure> {
    let pieces: Result<Vec<Vec<u8>>, Failure> =
        trace.json_pieces(JsonStyle::Otlp, usize::MAX).collect();
    let whole = pieces?.concat();
    let list = whole.strip_prefix(br#"{"resourceSpans":["#);
    let list = list.and_then(|list| list.strip_suffix(b"]}"));
    list.map(<[u8]>::to_vec).ok_or_else(|| Failure::internal("a trace without spans"))
}

/// `/api/v3/trace-summaries`.
pub(super) async fn summaries(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let wanted = params::search_v3(&call.params, api.now())?;
    let (found, cost) = summarised(&api, &call, &wanted).await?;
    let told: Vec<Value> = found.iter().map(summary).collect();
    Ok(with_cost(answered(&json!({"summaries": told})), &cost))
}

/// The UI checks each field: ids of 32 digits, times as texts, counts as numbers, zeros too.
fn summary(summary: &Summary) -> Value {
    let service = |one: &OfService| json!({"name": one.name, "spanCount": one.spans, "errorSpanCount": one.errors});
    json!({
        "traceId": summary.id.to_string(),
        "rootServiceName": summary.root_service,
        "rootOperationName": summary.root_operation,
        "minStartTimeUnixNano": summary.start.to_string(),
        "maxEndTimeUnixNano": summary.end.to_string(),
        "spanCount": summary.spans,
        "errorSpanCount": summary.errors,
        "orphanSpanCount": summary.orphans,
        "services": summary.services.iter().map(service).collect::<Vec<_>>(),
    })
}

/// `/api/v3/dependencies`, with the parameters of the older API or with times.
pub(super) async fn dependencies(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let window = params::dependencies_v3(&call.params, api.now())?;
    let found =
        api.within(&call, Box::pin(api.parts.querier.dependencies(&call.tenants, window))).await?;
    let told: Vec<Value> = found.edges.iter().map(dependency).collect();
    Ok(with_cost(answered(&json!({"dependencies": told})), &found.cost))
}
