//! `tempopb.StreamingQuerier`: the questions of the HTTP API as calls that answer in messages.
//!
//! A request becomes the parameters of the same question over HTTP and goes the same way, so that both answer alike. While it is at work,
//! messages tell what of the answer is certain by then, and how far it has come; the last ones tell the whole answer once more,
//! as clients of Tempo expect. Each message stays under the 4 MiB that gRPC clients take. A call that its client
//! cancels is dropped with its work.
//!
//! The service is on the ports of the API and of gRPC alike; `proto/tempopb/tempo.proto` describes it.

mod health;
mod metrics;
mod packets;
mod search;
mod stream;
mod tags;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::Stream;
use futures::future::BoxFuture;
use http::StatusCode;
use prost::Message;
use tonic::Status;
use tonic::codec::CompressionEncoding;
use tonic::server::Grpc;
use tonic_prost::ProstCodec;
use tower::service_fn;

use self::stream::Answers;
use super::params::Params;
use super::{Api, ApiState, Call};
use crate::failure::Failure;
use crate::listener;

/// Longest request: a query of the longest length, and then some.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// The calls, by path.
pub(super) fn router(state: Arc<Api>) -> Router {
    let method = |name: &str| format!("/tempopb.StreamingQuerier/{name}");
    Router::new()
        .route(&method("Search"), post(search::search))
        .route(&method("SearchTags"), post(tags::names))
        .route(&method("SearchTagsV2"), post(tags::names_v2))
        .route(&method("SearchTagValues"), post(tags::values))
        .route(&method("SearchTagValuesV2"), post(tags::values_v2))
        .route(&method("MetricsQueryRange"), post(metrics::range))
        .route(&method("MetricsQueryInstant"), post(metrics::instant))
        .route("/grpc.health.v1.Health/Check", post(health::check))
        .route("/grpc.health.v1.Health/Watch", post(health::watch))
        .with_state(state)
}

/// A request that says the same as parameters of the HTTP API.
trait Question: Message + Default + 'static {
    /// As text; fields that are not set are left out.
    fn params(self) -> Params;
}

/// Answers a call with the messages that `ask` makes of it.
async fn answer<Q, M, S>(
    State(api): ApiState,
    request: Request,
    ask: impl FnOnce(Arc<Api>, Arc<Call>) -> Result<S, Failure> + Clone + Send + 'static,
) -> Response
where
    Q: Question,
    M: Message + 'static,
    S: Stream<Item = Result<M, Status>> + Send + 'static,
{
    if !listener::is_grpc(request.headers()) {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "this is a gRPC method\n").into_response();
    }
    let service = service_fn(move |request: tonic::Request<Q>| {
        let (api, ask) = (Arc::clone(&api), ask.clone());
        let answer: BoxFuture<'static, Result<tonic::Response<Answers<M>>, Status>> =
            Box::pin(async move {
                let (metadata, _, question) = request.into_parts();
                let headers = metadata.into_headers();
                let call = api.admit(&headers, question.params()).map_err(status_of)?;
                let answers = ask(api, Arc::new(call)).map_err(status_of)?;
                Ok(tonic::Response::new(Answers::of(answers)))
            });
        answer
    });
    let mut grpc = Grpc::new(ProstCodec::<M, Q>::default())
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(REQUEST_BYTES_MAX);
    grpc.server_streaming(service, request).await.map(Body::new)
}

/// Only what a caller can do something about has a code of its own.
fn status_of(failure: Failure) -> Status {
    let Failure { kind, message } = failure;
    Status::new(kind.grpc_code(), message)
}

/// The answer to a call of which the handler panicked, or that never was one.
pub(super) fn refuse(failure: Failure) -> Response {
    status_of(failure).into_http::<Body>()
}
