//! `/api/traces/{id}` and `/api/v2/traces/{id}`: one trace, whole.

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use http::{StatusCode, request};
use prost::Message;

use super::cost::{metadata, with_cost};
use super::format::{Form, JSON, PROTOBUF, llm};
use super::json::to_json;
use super::pieces::{self, PIECE_BYTES, Sink};
use super::proto::TraceByIdResponse;
use super::{Answered, Api, ApiState, Call, params};
use crate::failure::Failure;
use crate::listener::on_cpu;
use crate::querier::{Cost, FoundTrace, JsonStyle};
use crate::trace::TraceId;
use crate::trace::wire::put_bytes_field;

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
        Form::Protobuf => {
            let encode = move |sink: Sink<'_>| {
                let _all = trace.protobuf_pieces(PIECE_BYTES).all(sink);
            };
            pieces::answer(PROTOBUF, encode).await?
        }
        Form::Json | Form::Llm => {
            let encode = move |sink: Sink<'_>| {
                let _all = trace.json_pieces(JsonStyle::V1, PIECE_BYTES).all(sink);
            };
            pieces::answer(JSON, encode).await?
        }
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
        Form::Protobuf => {
            let encode = move |sink: Sink<'_>| protobuf_v2(trace.as_ref(), &cost, sink);
            pieces::answer(PROTOBUF, encode).await?
        }
        Form::Json => {
            let encode = move |sink: Sink<'_>| json_v2(trace.as_ref(), &cost, sink);
            pieces::answer(JSON, encode).await?
        }
        Form::Llm => {
            let told = move || -> Result<Vec<u8>, Failure> {
                let bytes = trace.map(|trace| trace.protobuf()).transpose()?;
                super::llm::trace(bytes.as_deref(), &cost).map_err(Failure::internal)
            };
            llm(on_cpu(told).await?)
        }
    };
    Ok(with_cost(response, &cost))
}

/// The trace of this id, by the parameters of a call.
pub(super) async fn find(api: &Api, call: &Call, id: &str) -> Result<Option<FoundTrace>, Failure> {
    let id = TraceId::parse(id).map_err(Failure::invalid)?;
    params::check_mode(&call.params)?;
    let window = params::trace_window(&call.params)?;
    api.within_lookup(call, api.parts.querier.find_trace(&call.tenants, id, window)).await
}

/// Of a field that is a message several are one: the pieces of the trace come one by one.
fn protobuf_v2(trace: Option<&FoundTrace>, cost: &Cost, sink: Sink<'_>) {
    let mut out = Vec::new();
    for next in trace.map(|trace| trace.protobuf_pieces(PIECE_BYTES)).into_iter().flatten() {
        let next = match next {
            Ok(next) => next,
            Err(failure) => {
                sink(Err(failure));
                return;
            }
        };
        let piece = std::mem::replace(&mut out, next);
        if piece.is_empty() {
            continue;
        }
        let mut field = Vec::with_capacity(piece.len() + 8);
        put_bytes_field(&mut field, 1, &piece);
        if !sink(Ok(field)) {
            return;
        }
    }
    let last = TraceByIdResponse { trace: out, metrics: metadata(cost) };
    sink(Ok(last.encode_to_vec()));
}

fn json_v2(trace: Option<&FoundTrace>, cost: &Cost, sink: Sink<'_>) {
    let mut out = br#"{"trace":"#.to_vec();
    match trace {
        None => out.extend_from_slice(b"{}"),
        Some(trace) => {
            for piece in trace.json_pieces(JsonStyle::V2, PIECE_BYTES) {
                let is_more = out.len() >= PIECE_BYTES;
                let full = is_more.then(|| std::mem::take(&mut out));
                if full.is_some_and(|full| !sink(Ok(full))) {
                    return;
                }
                match piece {
                    Ok(piece) => out.extend_from_slice(&piece),
                    Err(error) => {
                        sink(Err(error));
                        return;
                    }
                }
            }
        }
    }
    out.extend_from_slice(br#","metrics":"#);
    out.extend_from_slice(&to_json(&metadata(cost)));
    out.push(b'}');
    sink(Ok(out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_trace_is_an_empty_envelope() {
        type Encode = fn(Option<&FoundTrace>, &Cost, Sink<'_>);
        let encoded = |encode: Encode, cost: &Cost| {
            let mut all = Vec::new();
            encode(None, cost, &mut |piece| {
                all.extend(piece.unwrap());
                true
            });
            all
        };
        assert_eq!(encoded(json_v2, &Cost::default()), br#"{"trace":{},"metrics":{}}"#);
        assert_eq!(encoded(protobuf_v2, &Cost::default()), [0x0a, 0, 0x12, 0]);
        let cost = Cost { inspected_bytes: 300, ..Cost::default() };
        let expected = br#"{"trace":{},"metrics":{"inspectedBytes":"300"}}"#;
        assert_eq!(encoded(json_v2, &cost), expected);
        assert_eq!(encoded(protobuf_v2, &cost), [0x0a, 0, 0x12, 3, 0x08, 0xac, 0x02]);
    }
}
