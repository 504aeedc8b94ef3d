//! `grpc.health.v1.Health`: what load balancers ask.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::stream::unfold;
use prost::Message;
use tonic::server::Grpc;
use tonic::{Request as Called, Response as Answered, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::super::{Api, ApiState};
use super::stream::Answers;

/// How often a watched state is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The services that have a state; the empty name is all.
const SERVICES: [&str; 2] = ["", "tempopb.StreamingQuerier"];

/// `HealthCheckRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `HealthCheckResponse`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    status: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

fn state(api: &Api, service: &str) -> ServingStatus {
    if !SERVICES.contains(&service) {
        return ServingStatus::ServiceUnknown;
    }
    match (api.parts.ready)() {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    }
}

pub(super) async fn check(State(api): ApiState, request: Request) -> Response {
    let service = service_fn(move |request: Called<HealthCheckRequest>| {
        let api = Arc::clone(&api);
        async move {
            match state(&api, &request.get_ref().service) {
                ServingStatus::ServiceUnknown => Err(Status::not_found("unknown service")),
                state => Ok(Answered::new(HealthCheckResponse { status: state as i32 })),
            }
        }
    });
    let codec = ProstCodec::<HealthCheckResponse, HealthCheckRequest>::default();
    Grpc::new(codec).unary(service, request).await.map(Body::new)
}

/// Tells the state, and each other one that comes after it.
pub(super) async fn watch(State(api): ApiState, request: Request) -> Response {
    let service = service_fn(move |request: Called<HealthCheckRequest>| {
        let (api, service) = (Arc::clone(&api), request.into_inner().service);
        let states = unfold((None, api, service), |(known, api, service)| async move {
            let mut next = state(&api, &service);
            while known == Some(next) {
                tokio::time::sleep(LOOK_EVERY).await;
                next = state(&api, &service);
            }
            let message = HealthCheckResponse { status: next as i32 };
            Some((Ok(message), (Some(next), api, service)))
        });
        async move { Ok::<_, Status>(Answered::new(Answers::of(states))) }
    });
    let codec = ProstCodec::<HealthCheckResponse, HealthCheckRequest>::default();
    Grpc::new(codec).server_streaming(service, request).await.map(Body::new)
}
