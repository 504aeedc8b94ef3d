//! Zipkin over HTTP: `POST /api/v2/spans` (JSON, protobuf) and `/api/v1/spans` (JSON, Thrift), answered 202 without a body.

use axum::extract::{Request, State};
use axum::response::Response;
use http::Method;

use super::{Door, DoorState, accepted, media_type, not_allowed, refuse};
use crate::failure::{Failure, Kind};
use crate::zipkin::{self, Error};

/// How a body becomes an OTLP request of at most so many bytes.
type Translate = fn(&[u8], usize) -> Result<Vec<u8>, Error>;

/// Answers `/api/v2/spans`. What does not say that it is protobuf is JSON, as Zipkin takes it.
pub(super) async fn version_2(State(door): DoorState, request: Request) -> Response {
    let translate: Translate = match media_type(request.headers()).as_str() {
        "application/x-protobuf" | "application/protobuf" => zipkin::protobuf,
        _ => zipkin::json_2,
    };
    answer(&door, request, translate).await
}

/// Answers `/api/v1/spans`. What does not say that it is Thrift is JSON.
pub(super) async fn version_1(State(door): DoorState, request: Request) -> Response {
    let translate: Translate = match media_type(request.headers()).as_str() {
        "application/x-thrift" => zipkin::thrift,
        _ => zipkin::json_1,
    };
    answer(&door, request, translate).await
}

async fn answer(door: &Door, request: Request, translate: Translate) -> Response {
    if request.method() != Method::POST {
        return not_allowed();
    }
    let bytes_max = door.body_bytes_max;
    let pushed = async {
        let taken = door.take_body(request).await?;
        door.push_translated(taken, move |bytes| translate(bytes, bytes_max).map_err(failure)).await
    };
    match pushed.await {
        Ok(pushed) => accepted(&pushed),
        Err(failure) => refuse(&failure),
    }
}

fn failure(error: Error) -> Failure {
    match error {
        Error::TooLarge(_) => Failure::new(Kind::TooLarge, error),
        error => Failure::invalid(error),
    }
}
