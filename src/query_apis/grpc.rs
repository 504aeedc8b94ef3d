//! gRPC methods: one request, one answer or a stream of them. Messages go through as bytes, so that a trace need not be decoded to
//! be sent.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::{Buf, BufMut, Bytes};
use futures::StreamExt;
use futures::stream::BoxStream;
use http::StatusCode;
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::Grpc;

use crate::api::{Api, Call, Params};
use crate::failure::Failure;
use crate::listener;

/// Messages as they are on the wire.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

fn status_of(failure: Failure) -> Status {
    Status::new(failure.kind.grpc_code(), failure.message)
}

fn read<Q: Message + Default>(request: tonic::Request<Bytes>) -> Result<Q, Status> {
    Q::decode(request.into_inner()).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// The answer to a request that is no call.
fn no_call() -> Response {
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "this is a gRPC method\n").into_response()
}

/// A method with one answer.
pub(super) async fn unary<Q, A, F>(
    api: Arc<Api>,
    request: Request,
    method: impl FnOnce(Arc<Api>, Call, Q) -> F + Send,
) -> Response
where
    Q: Message + Default,
    A: Message,
    F: Future<Output = Result<A, Failure>> + Send,
{
    if !listener::is_grpc(request.headers()) {
        return no_call();
    }
    let call = api.admit(request.headers(), Params::of(request.uri())).map_err(status_of);
    let mut once = Some((api, call, method));
    let service = tower::service_fn(|request| {
        let once = once.take();
        async move {
            let (api, call, method) = once.expect("a call has one request");
            let answer = method(api, call?, read(request)?).await.map_err(status_of)?;
            Ok(tonic::Response::new(answer.encode_to_vec()))
        }
    });
    Grpc::new(Raw).unary(service, request).await.map(Body::new)
}

/// A method with a stream of answers, which are encoded already.
pub(super) async fn streaming<Q, F>(
    api: Arc<Api>,
    request: Request,
    method: impl FnOnce(Arc<Api>, Call, Q) -> F + Send,
) -> Response
where
    Q: Message + Default,
    F: Future<Output = Result<BoxStream<'static, Result<Vec<u8>, Failure>>, Failure>> + Send,
{
    if !listener::is_grpc(request.headers()) {
        return no_call();
    }
    let call = api.admit(request.headers(), Params::of(request.uri())).map_err(status_of);
    let mut once = Some((api, call, method));
    let service = tower::service_fn(|request| {
        let once = once.take();
        async move {
            let (api, call, method) = once.expect("a call has one request");
            let answers = method(api, call?, read(request)?).await.map_err(status_of)?;
            Ok(tonic::Response::new(answers.map(|answer| answer.map_err(status_of))))
        }
    });
    Grpc::new(Raw).server_streaming(service, request).await.map(Body::new)
}
