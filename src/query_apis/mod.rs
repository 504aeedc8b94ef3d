//! The query APIs of other tracing systems, answered by the same engine: Jaeger's under `/jaeger`, Zipkin's under `/zipkin`, and
//! Jaeger's gRPC services at the root of the same port.
//!
//! A question is translated: what it looks for becomes TraceQL (`wanted`), names come from the index or a count (`names`), traces
//! are found by id and sent one after the other (`found`), so that an answer of many large traces is never in memory as a
//! whole. `docs/jaeger.md` tells users how to point clients here and what differs.

use std::sync::Arc;

use axum::Router;

use crate::api::{Api, Others};

mod found;
mod grpc;
mod jaeger;
mod names;
mod wanted;
mod zipkin;

/// The state as handlers see it.
type Shared = axum::extract::State<Arc<Api>>;

/// A resource without `service.name`, as Jaeger calls it.
const NO_SERVICE: &str = "OTLPResourceNoServiceName";

/// The routes of this room.
pub fn routes(api: &Arc<Api>) -> Others {
    let prefixed = Router::new()
        .nest("/jaeger", jaeger::http(Arc::clone(api)))
        .nest("/zipkin", zipkin::http(Arc::clone(api)));
    Others { prefixed, rooted: jaeger::grpc(Arc::clone(api)) }
}
