//! Jaeger's older JSON API, which its UI still asks for traces and dependencies, and Grafana's data source for everything.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::request;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::found::{ById, answered, body, encoded, ids_of, joined};
use super::super::found::{JSON, search as found, traces};
use super::super::names;
use super::super::{NO_SERVICE, Shared};
use super::params;
use super::print::{id_of, printed};
use crate::api::{Call, with_cost};
use crate::failure::{Failure, Kind};
use crate::querier::Dependency;
use crate::trace::TraceId;

/// A failure in the envelope of all answers.
pub(super) struct Refused(Failure);

type Answered = Result<Response, Refused>;

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = self.0.kind.http_status();
        let error = json!({"code": status.as_u16(), "msg": self.0.message});
        let envelope = Envelope { errors: Some(vec![error]), ..Envelope::of(Value::Null, 0) };
        (status, answered(&envelope)).into_response()
    }
}

/// What is around all answers.
#[derive(Serialize)]
struct Envelope<T> {
    data: T,
    total: usize,
    limit: usize,
    offset: usize,
    errors: Option<Vec<Value>>,
}

impl<T> Envelope<T> {
    fn of(data: T, total: usize) -> Self {
        Self { data, total, limit: 0, offset: 0, errors: None }
    }
}

/// `/api/services`.
pub(super) async fn services(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let (services, cost) = names::services(&api, &call).await?;
    let count = services.len();
    Ok(with_cost(answered(&Envelope::of(services, count)), &cost))
}

/// `/api/services/{service}/operations`: names only.
pub(super) async fn operation_names(
    State(api): Shared,
    Path(service): Path<String>,
    request: request::Parts,
) -> Answered {
    let call = api.enter(&request)?;
    let (operations, cost) = names::operations(&api, &call, &service, "").await?;
    let names = names::names_of(operations);
    let count = names.len();
    Ok(with_cost(answered(&Envelope::of(names, count)), &cost))
}

/// `/api/operations`: with their kinds.
pub(super) async fn operations(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let service = call.params.get("service").unwrap_or_default();
    if service.is_empty() {
        return Err(Failure::invalid("parameter 'service' is required").into());
    }
    let kind = call.params.get("spanKind").unwrap_or_default();
    let (operations, cost) = names::operations(&api, &call, service, kind).await?;
    let told =
        |operation: &names::Operation| json!({"name": operation.name, "spanKind": operation.kind});
    let told: Vec<Value> = operations.iter().map(told).collect();
    let count = told.len();
    Ok(with_cost(answered(&Envelope::of(told, count)), &cost))
}

/// `/api/traces`: a search, or some traces by their ids.
pub(super) async fn search(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let ids: Result<Vec<_>, _> =
        call.params.all("traceID").map(|id| params::by_id(id, &call.params)).collect();
    let ids = ids?;
    if !ids.is_empty() {
        return Ok(traces_of(&api, call, ids).await?);
    }
    let wanted = params::search(&call.params, api.now())?;
    let answer = found(&api, &call, &wanted).await?;
    let response = traces_of(&api, call, ids_of(&answer)).await?;
    Ok(with_cost(response, &answer.cost))
}

/// `/api/traces/{id}`.
pub(super) async fn trace(
    State(api): Shared,
    Path(id): Path<String>,
    request: request::Parts,
) -> Answered {
    let call = api.enter(&request)?;
    let ById { id, window } = params::by_id(&id, &call.params)?;
    let find = api.parts.querier.find_trace(&call.tenants, id, window);
    let Some(trace) = api.within_lookup(&call, Box::pin(find)).await? else {
        let failure = Failure::new(Kind::NotFound, "trace not found");
        let error = not_found(id);
        let envelope = Envelope { errors: Some(vec![error]), ..Envelope::of(Value::Null, 0) };
        return Ok((failure.kind.http_status(), answered(&envelope)).into_response());
    };
    let cost = trace.cost;
    let printed = futures::stream::once(crate::listener::on_cpu(move || printed(&trace)));
    let response = body(JSON, joined(printed, OPEN, |count| closing(count, &[]))).await?;
    Ok(with_cost(response, &cost))
}

/// What is before the traces of an answer.
const OPEN: &str = r#"{"data":["#;

/// What is behind them.
fn closing(count: usize, missing: &[TraceId]) -> String {
    let errors: Vec<Value> = missing.iter().map(|id| not_found(*id)).collect();
    let errors = if errors.is_empty() { Value::Null } else { Value::from(errors) };
    format!(r#"],"total":{count},"limit":0,"offset":0,"errors":{errors}}}"#)
}

fn not_found(id: TraceId) -> Value {
    json!({"code": 404, "msg": "trace not found", "traceID": id_of(id)})
}

/// Some traces, those that are not there as errors.
async fn traces_of(
    api: &Arc<crate::api::Api>,
    call: Call,
    ids: Vec<ById>,
) -> Result<Response, Failure> {
    let missing = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&missing);
    let traces = traces(Arc::clone(api), call, ids).inspect(move |found| {
        if let Ok((id, None)) = found {
            noted.lock().push(*id);
        }
    });
    let printed = encoded(traces, |trace| printed(&trace));
    let close = move |count| closing(count, &missing.lock());
    body(JSON, joined(printed, OPEN, close)).await
}

/// `/api/dependencies`.
pub(super) async fn dependencies(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let window = params::dependencies(&call.params, api.now())?;
    let found =
        api.within(&call, Box::pin(api.parts.querier.dependencies(&call.tenants, window))).await?;
    let told: Vec<Value> = found.edges.iter().map(dependency).collect();
    let count = told.len();
    Ok(with_cost(answered(&Envelope::of(told, count)), &found.cost))
}

pub(super) fn dependency(edge: &Dependency) -> Value {
    let Dependency { parent, child, calls, errors: _ } = edge;
    json!({"parent": service_name(parent), "child": service_name(child), "callCount": calls})
}

/// A service as Jaeger calls it.
pub(super) fn service_name(name: &str) -> &str {
    if name.is_empty() { NO_SERVICE } else { name }
}
