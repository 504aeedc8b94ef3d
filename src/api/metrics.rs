//! `/api/metrics/query` and `/api/metrics/query_range`: series computed from spans.

use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, request};

use super::{Answered, ApiState, params};
use crate::failure::Failure;
use crate::traceql::compile;

/// Tells what is wrong with the query, or that metrics cannot be computed yet.
pub(super) async fn query(State(api): ApiState, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let query = call.params.get("q").or_else(|| call.params.get("query"));
    let query =
        query.ok_or_else(|| Failure::invalid("a metrics query is required: q is missing"))?;
    params::check_query_size(query, &api.config)?;
    check_metrics_query(query)?;
    let text = "metrics queries come with the next release of Vivace\n";
    Ok((StatusCode::NOT_IMPLEMENTED, text).into_response())
}

/// Refuses what is not TraceQL, and what computes no metrics (`not a metrics query`).
fn check_metrics_query(query: &str) -> Result<(), Failure> {
    let query = compile(query)
        .map_err(|error| Failure::invalid(format!("invalid TraceQL query: {error}")))?;
    match query.tree().metrics {
        Some(_) => Ok(()),
        None => Err(Failure::invalid("not a metrics query")),
    }
}
