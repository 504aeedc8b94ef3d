//! Jaeger: the JSON API of its UI in both generations, its service metrics, and the gRPC services of a query service and of a
//! storage backend.

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get};

use crate::api::Api;

mod gateway;
mod legacy;
mod model;
mod params;
mod print;
mod service_metrics;
mod storage;
mod summaries;
mod wire;

/// Behind `/jaeger`.
pub(super) fn http(api: Arc<Api>) -> Router {
    Router::new()
        .route("/api/services", get(legacy::services))
        .route("/api/services/{service}/operations", get(legacy::operation_names))
        .route("/api/operations", get(legacy::operations))
        .route("/api/traces", get(legacy::search))
        .route("/api/traces/{id}", get(legacy::trace))
        .route("/api/dependencies", get(legacy::dependencies))
        .route("/api/metrics/{metric}", get(service_metrics::answer))
        .route("/api/v3/services", get(gateway::services))
        .route("/api/v3/operations", get(gateway::operations))
        .route("/api/v3/traces", get(gateway::search))
        .route("/api/v3/traces/{id}", get(gateway::trace))
        .route("/api/v3/trace-summaries", get(gateway::summaries))
        .route("/api/v3/dependencies", get(gateway::dependencies))
        .with_state(api)
}

/// At the root: gRPC knows no other place.
pub(super) fn grpc(api: Arc<Api>) -> Router {
    let reader = |method| format!("/jaeger.storage.v2.TraceReader/{method}");
    let older = |method| format!("/jaeger.api_v2.QueryService/{method}");
    let query = |method| format!("/jaeger.api_v3.QueryService/{method}");
    Router::new()
        .route(&reader("GetTraces"), any(storage::get_traces))
        .route(&reader("GetServices"), any(storage::get_services))
        .route(&reader("GetOperations"), any(storage::get_operations))
        .route(&reader("FindTraces"), any(storage::find_traces))
        .route(&reader("FindTraceIDs"), any(storage::find_trace_ids))
        .route(&reader("FindTraceSummaries"), any(storage::find_trace_summaries))
        .route(
            "/jaeger.storage.v2.DependencyReader/GetDependencies",
            any(storage::get_dependencies),
        )
        .route("/jaeger.storage.v2.Capabilities/GetCapabilities", any(storage::get_capabilities))
        .route(&query("GetTrace"), any(storage::query_trace))
        .route(&query("FindTraces"), any(storage::query_traces))
        .route(&query("GetServices"), any(storage::get_services))
        .route(&query("GetOperations"), any(storage::get_operations))
        .route(&query("GetDependencies"), any(storage::get_dependencies))
        .route(&query("FindTraceSummaries"), any(storage::query_trace_summaries))
        .route(&older("GetTrace"), any(storage::older_trace))
        .route(&older("FindTraces"), any(storage::older_traces))
        .route(&older("GetServices"), any(storage::get_services))
        .route(&older("GetOperations"), any(storage::older_operations))
        .route(&older("GetDependencies"), any(storage::get_dependencies))
        .with_state(api)
}
