//! The traces of a search, one after the other, and bodies that are sent while they are made.

use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, unfold};
use futures::{Stream, StreamExt};
use http::header;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;
use serde_json::{Map, Value, json};

use super::wanted::Wanted;
use crate::api::{Api, Call};
use crate::failure::Failure;
use crate::listener::on_cpu;
use crate::querier::{FoundTrace, SearchAnswer};
use crate::trace::TraceId;

/// Traces that are read ahead of the client.
const TRACES_AT_ONCE: usize = 4;

pub(super) const JSON: &str = "application/json";

/// A trace that is asked for by its id; with a window it is found if a span of it overlaps that, Unix nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ById {
    pub(super) id: TraceId,
    pub(super) window: Option<RangeInclusive<u64>>,
}

impl From<TraceId> for ById {
    fn from(id: TraceId) -> Self {
        Self { id, window: None }
    }
}

/// The newest traces that are wanted.
pub(super) async fn search(
    api: &Api,
    call: &Call,
    wanted: &Wanted,
) -> Result<SearchAnswer, Failure> {
    let request = wanted.request(api, call)?;
    api.within(call, Box::pin(api.parts.querier.search(&call.tenants, request))).await
}

pub(super) fn ids_of(answer: &SearchAnswer) -> Vec<ById> {
    answer.traces.iter().map(|trace| ById::from(trace.id)).collect()
}

/// Traces in the order of their ids, each whole, `None` for one that is not there. The question keeps its place as long as the stream
/// lives.
pub(super) fn traces(
    api: Arc<Api>,
    call: Call,
    ids: Vec<ById>,
) -> impl Stream<Item = Result<(TraceId, Option<FoundTrace>), Failure>> + Send + 'static {
    let shared = Arc::new((api, call));
    let find = move |ById { id, window }| {
        let shared = Arc::clone(&shared);
        async move {
            let (api, call) = &*shared;
            let find = api.parts.querier.find_trace(&call.tenants, id, window);
            Ok((id, api.within_lookup(call, Box::pin(find)).await?))
        }
    };
    stream::iter(ids).map(find).buffered(TRACES_AT_ONCE)
}

/// What `encode` makes of the traces that are there.
pub(super) fn encoded<T: Send + 'static>(
    traces: impl Stream<Item = Result<(TraceId, Option<FoundTrace>), Failure>> + Send + 'static,
    encode: impl Fn(FoundTrace) -> Result<T, Failure> + Clone + Send + 'static,
) -> impl Stream<Item = Result<T, Failure>> + Send + 'static {
    traces.filter_map(move |found| {
        let encode = encode.clone();
        async move {
            match found {
                Ok((_, Some(trace))) => Some(on_cpu(move || encode(trace)).await),
                Ok((_, None)) => None,
                Err(failure) => Some(Err(failure)),
            }
        }
    })
}

/// A trace as messages.
///
/// # Errors
/// A part of it cannot be read, or our own protobuf, which is a bug.
pub(super) fn messages(trace: &FoundTrace) -> Result<TracesData, Failure> {
    TracesData::decode(&trace.protobuf()?[..]).map_err(Failure::internal)
}

/// Items as one list: what opens it, commas between them, what closes it, which is told how many there were.
pub(super) fn joined<S>(
    items: S,
    open: &'static str,
    close: impl FnOnce(usize) -> String + Send + 'static,
) -> impl Stream<Item = Result<Vec<u8>, Failure>> + Send + 'static
where
    S: Stream<Item = Result<Vec<u8>, Failure>> + Send + 'static,
{
    let begin = Some((Box::pin(items), 0_usize, close));
    unfold(begin, move |state| async move {
        let (mut items, count, close) = state?;
        let mut out = if count == 0 { open.as_bytes().to_vec() } else { Vec::new() };
        match items.next().await {
            Some(Ok(item)) => {
                if count > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(&item);
                Some((Ok(out), Some((items, count + 1, close))))
            }
            Some(Err(failure)) => Some((Err(failure), None)),
            None => {
                out.extend_from_slice(close(count).as_bytes());
                Some((Ok(out), None))
            }
        }
    })
}

/// Answers with pieces as they come. An error in one of the first two is the answer; a later one ends the connection in the middle of
/// the body, so that nobody takes it for whole.
pub(super) async fn body(
    content_type: &'static str,
    pieces: impl Stream<Item = Result<Vec<u8>, Failure>> + Send + 'static,
) -> Result<Response, Failure> {
    let mut pieces = Box::pin(pieces);
    let first = pieces.next().await.unwrap_or_else(|| Ok(Vec::new()))?;
    let body = match pieces.next().await.transpose()? {
        None => Body::from(first),
        Some(second) => {
            let begun = stream::iter([Ok(first), Ok(second)]);
            let rest = begun.chain(pieces).map(|piece| {
                piece.map(Bytes::from).inspect_err(|failure| {
                    tracing::error!(error = failure.message, "an answer ends early");
                })
            });
            Body::from_stream(rest)
        }
    };
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

/// A JSON answer that is whole.
pub(super) fn answered(value: &impl serde::Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("answers have text keys, and memory takes all");
    ([(header::CONTENT_TYPE, JSON)], body).into_response()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A value inside an array or a map, as JSON.
pub(super) fn plain(value: Option<&AnyValue>) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::BoolValue(value)) => json!(value),
        Some(Any::IntValue(value)) => json!(value),
        Some(Any::DoubleValue(value)) if value.is_finite() => json!(value),
        Some(Any::DoubleValue(value)) => json!(value.to_string()),
        Some(Any::BytesValue(bytes)) => json!(base64(bytes)),
        Some(Any::ArrayValue(array)) => {
            array.values.iter().map(|value| plain(Some(value))).collect()
        }
        Some(Any::KvlistValue(list)) => {
            let pairs =
                list.values.iter().map(|pair| (pair.key.clone(), plain(pair.value.as_ref())));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        None | Some(_) => Value::Null,
    }
}
