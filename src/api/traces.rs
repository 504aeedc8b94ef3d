//! `/api/traces/{id}` and `/api/v2/traces/{id}`: one trace, whole.

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use http::{StatusCode, request};
use prost::Message;

use super::format::{Form, json, llm, metadata, protobuf, with_cost};
use super::json::to_json;
use super::proto::TraceByIdResponse;
use super::{Answered, Api, ApiState, Call, params};
use crate::failure::Failure;
use crate::listener::on_cpu;
use crate::querier::{Cost, FoundTrace, JsonStyle};
use crate::trace::TraceId;

/// The bare trace; 404 if there is none.
pub(super) async fn v1(
    State(api): ApiState,
    Path(id): Path<String>,
    request: request::Parts,
) -> Answered {
    let call = api.enter(&request)?;
    let Some(trace) = find(&api, &call, &id).await? else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let cost = trace.cost;
    let response = match call.form {
        Form::Protobuf => protobuf(on_cpu(move || trace.protobuf()).await),
        Form::Json | Form::Llm => json(on_cpu(move || trace.json(JsonStyle::V1)).await?),
    };
    Ok(with_cost(response, &cost))
}

/// The trace in an envelope, which is empty if there is none.
pub(super) async fn v2(
    State(api): ApiState,
    Path(id): Path<String>,
    request: request::Parts,
) -> Answered {
    let call = api.enter(&request)?;
    let trace = find(&api, &call, &id).await?;
    let cost = trace.as_ref().map(|trace| trace.cost).unwrap_or_default();
    let response = match call.form {
        Form::Protobuf => protobuf(on_cpu(move || protobuf_v2(trace.as_ref(), &cost)).await),
        Form::Json => json(on_cpu(move || json_v2(trace.as_ref(), &cost)).await?),
        Form::Llm => {
            let bytes = move || trace.map(|trace| trace.protobuf());
            let body = on_cpu(move || super::llm::trace(bytes().as_deref(), &cost)).await;
            llm(body.map_err(Failure::internal)?)
        }
    };
    Ok(with_cost(response, &cost))
}

async fn find(api: &Api, call: &Call, id: &str) -> Result<Option<FoundTrace>, Failure> {
    let id = TraceId::parse(id).map_err(Failure::invalid)?;
    params::check_mode(&call.params)?;
    let window = params::trace_window(&call.params)?;
    api.within(api.parts.querier.find_trace(&call.tenants, id, window)).await
}

fn protobuf_v2(trace: Option<&FoundTrace>, cost: &Cost) -> Vec<u8> {
    let trace = trace.map(FoundTrace::protobuf).unwrap_or_default();
    TraceByIdResponse { trace, metrics: metadata(cost) }.encode_to_vec()
}

fn json_v2(trace: Option<&FoundTrace>, cost: &Cost) -> Result<Vec<u8>, Failure> {
    let trace = trace.map_or_else(|| Ok(b"{}".to_vec()), |trace| trace.json(JsonStyle::V2))?;
    let metrics = to_json(&metadata(cost));
    Ok([br#"{"trace":"#, &trace[..], br#","metrics":"#, &metrics, b"}"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_trace_is_an_empty_envelope() {
        assert_eq!(json_v2(None, &Cost::default()).unwrap(), br#"{"trace":{},"metrics":{}}"#);
        assert_eq!(protobuf_v2(None, &Cost::default()), [0x0a, 0, 0x12, 0]);
        let cost = Cost { inspected_bytes: 300, ..Cost::default() };
        let expected = br#"{"trace":{},"metrics":{"inspectedBytes":"300"}}"#;
        assert_eq!(json_v2(None, &cost).unwrap(), expected);
        assert_eq!(protobuf_v2(None, &cost), [0x0a, 0, 0x12, 3, 0x08, 0xac, 0x02]);
    }
}
