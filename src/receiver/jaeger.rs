//! Jaeger over HTTP and gRPC: `POST /api/traces` and `CollectorService/PostSpans`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::Method;
use tonic::Status;

use super::{Door, DoorState, accepted, grpc, media_type, not_allowed, refuse};
use crate::distributor::Pushed;
use crate::failure::{Failure, Kind};
use crate::jaeger::{self, Error};

/// Where the one gRPC method is.
pub(super) const POST_SPANS_PATH: &str = "/jaeger.api_v2.CollectorService/PostSpans";

/// Media types of Thrift's binary format.
const THRIFT: [&str; 2] = ["application/x-thrift", "application/vnd.apache.thrift.binary"];

/// Answers `POST /api/traces`: 202 without a body, as Jaeger's collector.
pub(super) async fn thrift_http(State(door): DoorState, request: Request) -> Response {
    if request.method() != Method::POST {
        return not_allowed();
    }
    match take_thrift(&door, request).await {
        Ok(pushed) => accepted(&pushed),
        Err(failure) => refuse(&failure),
    }
}

async fn take_thrift(door: &Door, request: Request) -> Result<Pushed, Failure> {
    let media_type = media_type(request.headers());
    if !THRIFT.contains(&media_type.as_str()) {
        // 400 and not 415: what Jaeger's collector and clients know.
        let text = format!("unsupported content type {media_type:?}, supported: {THRIFT:?}");
        return Err(Failure::invalid(text));
    }
    let bytes_max = door.body_bytes_max;
    let taken = door.take_body(request).await?;
    let translate = move |bytes: &[u8]| jaeger::batch(bytes, bytes_max).map_err(failure);
    door.push_translated(taken, translate).await
}

/// Answers `PostSpans`.
pub(super) async fn post_spans(State(door): DoorState, request: Request) -> Response {
    grpc::answer(request, |request| take_call(door, request)).await
}

async fn take_call(door: Arc<Door>, request: Request) -> Result<Vec<u8>, Status> {
    let bytes_max = door.body_bytes_max;
    let taken = grpc::take_in(&door, request).await?;
    let translate = move |bytes: &[u8]| jaeger::post_spans(bytes, bytes_max).map_err(failure);
    let pushed = door.push_translated(taken, translate).await;
    // `PostSpansResponse` has no fields.
    pushed.map(|_| Vec::new()).map_err(|failure| grpc::status_of(&failure))
}

fn failure(error: Error) -> Failure {
    match error {
        Error::TooLarge(_) => Failure::new(Kind::TooLarge, error),
        error => Failure::invalid(error),
    }
}
