//! Zipkin's API v2, as its UI (Lens) and Grafana's data source ask it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::StreamExt;
use http::{header, request};
use serde_json::{Value, json};

use super::found::{ById, JSON, answered, body, encoded, ids_of, joined};
use super::found::{search as found, traces as read};
use super::{Shared, names};
use crate::api::{Api, Call, attribute, with_cost};
use crate::failure::{Failure, Kind};
use crate::querier::{TagNamesRequest, TagScope};
use crate::trace::TraceId;

mod params;
mod print;

use self::params::REMOTE_SERVICES;
use self::print::printed;

/// Behind `/zipkin`.
pub(super) fn http(api: Arc<Api>) -> Router {
    Router::new()
        .route("/config.json", get(config))
        .route("/api/v2/services", get(services))
        .route("/api/v2/spans", get(span_names))
        .route("/api/v2/remoteServices", get(remote_services))
        .route("/api/v2/traces", get(search))
        .route("/api/v2/trace/{id}", get(trace))
        .route("/api/v2/traceMany", get(many))
        .route("/api/v2/dependencies", get(dependencies))
        .route("/api/v2/autocompleteKeys", get(keys))
        .route("/api/v2/autocompleteValues", get(values))
        .with_state(api)
}

/// A failure as a text.
struct Refused(Failure);

type Answered = Result<Response, Refused>;

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Failure { kind, message } = self.0;
        let mut response = (kind.http_status(), message).into_response();
        if let Some(after) = kind.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, after.as_secs().max(1).into());
        }
        response
    }
}

/// What Lens wants to know of the server.
async fn config() -> Response {
    answered(&json!({
        "environment": "",
        "queryLimit": params::LIMIT,
        "defaultLookback": params::BACK.as_secs() * 1000,
        "searchEnabled": true,
        "logsUrl": null,
        "supportUrl": null,
        "archivePostUrl": null,
        "archiveUrl": null,
        "dependency": {"enabled": true, "lowErrorRate": 0.5, "highErrorRate": 0.75},
    }))
}

/// `/api/v2/services`: those that have a name.
async fn services(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let (names, cost) = names::values(&api, &call, "resource.service.name", "").await?;
    let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
    Ok(with_cost(answered(&names), &cost))
}

/// `/api/v2/spans`: the names of a service's spans.
async fn span_names(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let service = required(&call, "serviceName")?;
    let (operations, cost) = names::operations(&api, &call, service, "").await?;
    Ok(with_cost(answered(&names::names_of(operations)), &cost))
}

/// `/api/v2/remoteServices`: whom a service calls, as its spans say.
async fn remote_services(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let service = required(&call, "serviceName")?;
    let mut all = Vec::new();
    let mut cost = crate::querier::Cost::default();
    for key in REMOTE_SERVICES {
        let filter = format!("{{ {} }}", params::naming(service, key));
        let (names, more) = names::values(&api, &call, &format!("span.{key}"), &filter).await?;
        all.extend(names);
        cost.add(more);
    }
    all.sort_unstable();
    all.dedup();
    Ok(with_cost(answered(&all), &cost))
}

fn required<'a>(call: &'a Call, name: &str) -> Result<&'a str, Failure> {
    let missing = || Failure::invalid(format!("required parameter {name} is missing"));
    call.params.get(name).ok_or_else(missing)
}

/// `/api/v2/traces`.
async fn search(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let wanted = params::search(&call.params, api.now())?;
    let answer = found(&api, &call, &wanted).await?;
    let response = traces(&api, call, ids_of(&answer)).await?;
    Ok(with_cost(response, &answer.cost))
}

/// `/api/v2/traceMany`: those of some traces that are there.
async fn many(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let ids: Result<Vec<ById>, Failure> =
        required(&call, "traceIds")?.split(',').map(|id| id_of(id).map(ById::from)).collect();
    Ok(traces(&api, call, ids?).await?)
}

fn id_of(text: &str) -> Result<TraceId, Failure> {
    TraceId::parse(text.trim()).map_err(Failure::invalid)
}

async fn traces(api: &Arc<Api>, call: Call, ids: Vec<ById>) -> Result<Response, Failure> {
    let lists = encoded(read(Arc::clone(api), call, ids), |trace| printed(&trace));
    body(JSON, joined(lists, "[", |_| "]".to_owned())).await
}

/// `/api/v2/trace/{id}`: a list of spans.
async fn trace(State(api): Shared, Path(id): Path<String>, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let id = id_of(&id)?;
    let traces = read(Arc::clone(&api), call, vec![ById::from(id)]);
    let mut lists = Box::pin(encoded(traces, |trace| printed(&trace)));
    let Some(list) = lists.next().await else {
        return Err(Failure::new(Kind::NotFound, format!("{id} not found")).into());
    };
    let list = list?;
    Ok(([(header::CONTENT_TYPE, JSON)], list).into_response())
}

/// `/api/v2/dependencies`. Spans without a service name are left out: Zipkin has no word for them.
async fn dependencies(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let window = params::window(&call.params, api.now())?;
    let found =
        api.within(&call, Box::pin(api.parts.querier.dependencies(&call.tenants, window))).await?;
    let named = found.edges.iter().filter(|edge| !edge.parent.is_empty() && !edge.child.is_empty());
    let told = named.map(|edge| {
        json!({
            "parent": edge.parent,
            "child": edge.child,
            "callCount": edge.calls,
            "errorCount": edge.errors,
        })
    });
    Ok(with_cost(answered(&told.collect::<Vec<Value>>()), &found.cost))
}

/// `/api/v2/autocompleteKeys`: the keys of all span attributes.
async fn keys(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let request = TagNamesRequest {
        scope: Some(TagScope::Span),
        window: 0..=u64::MAX,
        filter: String::new(),
        limit: 0,
    };
    let found =
        api.within(&call, Box::pin(api.parts.querier.tag_names(&call.tenants, request))).await?;
    let names: Vec<String> = found.scopes.into_iter().flat_map(|(_, names)| names).collect();
    call.check_list(names.iter().map(String::as_str))?;
    Ok(with_cost(answered(&names), &found.cost))
}

/// `/api/v2/autocompleteValues`: the values of one of those.
async fn values(State(api): Shared, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let key = format!("span{}", attribute(required(&call, "key")?));
    let (values, cost) = names::values(&api, &call, &key, "").await?;
    Ok(with_cost(answered(&values), &cost))
}
