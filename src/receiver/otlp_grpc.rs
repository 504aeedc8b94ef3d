//! OTLP over gRPC: `TraceService/Export`, with the message's bytes as they came.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use prost::Message;
use tonic::Status;

use super::otlp_http::ExportResponse;
use super::{Door, DoorState, grpc};

/// Where the one method is.
pub(super) const EXPORT_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Answers `Export`.
pub(super) async fn export(State(door): DoorState, request: Request) -> Response {
    grpc::answer(request, |request| take_in(door, request)).await
}

async fn take_in(door: Arc<Door>, request: Request) -> Result<Vec<u8>, Status> {
    let taken = grpc::take_in(&door, request).await?;
    let pushed = (door.push)(taken.tenant, taken.held.bytes.clone()).await;
    let pushed = pushed.map_err(|failure| grpc::status_of(&failure))?;
    Ok(ExportResponse::of(&pushed).encode_to_vec())
}
