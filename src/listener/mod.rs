//! What all listeners share: connections with deadlines, a bound on the work let in, the tenant of a request.
//!
//! The parts: `connections` accepts and drains, `durations` measures requests, `slots` bounds the requests at work, `tenant` reads whose request it is, `tls` has the
//! certificates.

use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::response::Response;
use futures::FutureExt;
use http::{HeaderMap, header};

use crate::failure::Failure;

mod connections;
mod durations;
mod slots;
mod tenant;
mod tls;

pub use connections::{Listener, serve};
pub use durations::{Durations, Labels, Requests};
pub use slots::Slots;
pub use tenant::{TENANT_HEADER, tenant, tenants};
pub use tls::{Clients, Tls, TlsError, TlsFiles, Version};

/// Whether a request is a gRPC call.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let rest = kind.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The answer to a gRPC call of a method that nobody here has.
pub fn grpc_unimplemented(path: &str) -> Response {
    tonic::Status::unimplemented(format!("unknown method {path}")).into_http::<Body>()
}

/// Turns a panic in a handler into a failure, so that it costs one request and not the connection with all others on it.
///
/// # Errors
/// The handler panicked; the panic's own text goes to the log only.
pub async fn caught(handler: impl Future<Output = Response>) -> Result<Response, Failure> {
    AssertUnwindSafe(handler).catch_unwind().await.map_err(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        tracing::error!(panic = text, "a handler panicked");
        Failure::internal("a bug in the server: its log says more")
    })
}

/// Runs work that takes more than half a millisecond without waiting, away from the threads that serve connections.
///
/// # Panics
/// A panic in the work goes on in the caller.
pub async fn on_cpu<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use http::HeaderValue;

    use super::*;

    #[test]
    fn grpc_is_known_by_its_content_type() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(is_grpc(&headers), expected, "{kind}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_that_tells_nothing() {
        let answer = caught(async { panic!("a secret") }).await;
        assert!(!answer.unwrap_err().message.contains("secret"));
        assert!(caught(async { "fine".into_response() }).await.is_ok());
    }
}
