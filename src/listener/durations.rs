//! How long requests take, by method, route and status: from the head of the request to the last byte of the answer.
//!
//! The names of routes are those that Tempo's dashboards know: `api_search`, `api_traces_traceid`, `otlp_v1_traces`.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use prometheus_client::metrics::histogram::Histogram;
use tokio::time::Instant;
use tonic::Code;

use super::is_grpc;

/// Seconds; those of Tempo.
const BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0];

/// In which answers say how many bytes were looked at for them.
const INSPECTED_BYTES: &str = "x-vivace-inspected-bytes";

/// Requests of all listeners. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Durations(Arc<Mutex<BTreeMap<Labels, Requests>>>);

/// Which requests. Each part is one of a few texts, whatever clients send.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    /// `gRPC` for its calls.
    pub method: &'static str,
    pub route: String,
    /// Of HTTP the number, 499 for one that its client gave up; of gRPC `success`, `cancel`, `4xx` or `error`.
    pub status_code: String,
}

/// Some requests.
#[derive(Debug, Clone)]
pub struct Requests {
    pub seconds: Histogram,
    pub count: u64,
    /// Bytes that were looked at for the answers, where they say it.
    pub inspected_bytes: u64,
}

impl Labels {
    /// Whether the client did not wait for the end.
    pub fn is_canceled(&self) -> bool {
        matches!(self.status_code.as_str(), "499" | "cancel")
    }
}

impl Durations {
    /// All requests so far, by labels.
    pub fn all(&self) -> Vec<(Labels, Requests)> {
        self.0.lock().iter().map(|(labels, requests)| (labels.clone(), requests.clone())).collect()
    }

    /// Measures all that the routes answer.
    pub fn measured(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), measure))
    }

    fn observe(&self, labels: Labels, seconds: f64, inspected_bytes: u64) {
        let mut all = self.0.lock();
        let requests = all.entry(labels).or_insert_with(|| Requests {
            seconds: Histogram::new(BUCKETS),
            count: 0,
            inspected_bytes: 0,
        });
        requests.seconds.observe(seconds);
        requests.count += 1;
        requests.inspected_bytes += inspected_bytes;
    }
}

async fn measure(State(durations): State<Durations>, request: Request, next: Next) -> Response {
    let is_grpc = is_grpc(request.headers());
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let mut open = Open {
        durations,
        begun: Instant::now(),
        method: if is_grpc { "gRPC" } else { method_name(request.method()) },
        route: path.map_or_else(|| "other".to_owned(), route_name),
        status: Status::Unanswered,
        inspected_bytes: 0,
    };
    let response = next.run(request).await;
    open.inspected_bytes = number_of(response.headers(), INSPECTED_BYTES).unwrap_or(0);
    open.status = match (is_grpc, number_of(response.headers(), "grpc-status")) {
        (false, _) => Status::Http(response.status().as_u16()),
        (true, None) => Status::GrpcOpen,
        (true, Some(code)) => Status::Grpc(code),
    };
    let (parts, body) = response.into_parts();
    let is_over = body.is_end_stream();
    Response::from_parts(parts, Body::new(Measured { body, open, is_over }))
}

/// A request at work; counted when it is dropped.
struct Open {
    durations: Durations,
    begun: Instant,
    method: &'static str,
    route: String,
    status: Status,
    inspected_bytes: u64,
}

/// How an answer ends, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Unanswered,
    Http(u16),
    /// Trailers will tell.
    GrpcOpen,
    Grpc(u64),
}

impl Drop for Open {
    fn drop(&mut self) {
        let status_code = match self.status {
            Status::Http(status) => status.to_string(),
            Status::Grpc(code) => grpc_status(code).to_owned(),
            Status::GrpcOpen => "cancel".to_owned(),
            Status::Unanswered if self.method == "gRPC" => "cancel".to_owned(),
            Status::Unanswered => "499".to_owned(),
        };
        let route = std::mem::take(&mut self.route);
        let labels = Labels { method: self.method, route, status_code };
        let seconds = self.begun.elapsed().as_secs_f64();
        self.durations.observe(labels, seconds, self.inspected_bytes);
    }
}

/// The body of an answer, which knows how it ends.
struct Measured {
    body: Body,
    open: Open,
    is_over: bool,
}

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(frame) = &polled {
            let trailers = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.trailers_ref());
            let code = trailers.and_then(|trailers| number_of(trailers, "grpc-status"));
            if let Some(code) = code {
                self.open.status = Status::Grpc(code);
            }
            self.is_over = frame.is_none() || self.body.is_end_stream();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if !self.is_over && matches!(self.open.status, Status::Http(_)) {
            self.open.status = Status::Unanswered;
        }
    }
}

fn number_of(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

/// `error` is ours, `4xx` the caller's: dashboards and alerts look for `error` and `5..`.
fn grpc_status(code: u64) -> &'static str {
    match i32::try_from(code).map_or(Code::Unknown, Code::from) {
        Code::Ok => "success",
        Code::Cancelled => "cancel",
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => "4xx",
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => "error",
    }
}

/// What Tempo calls a route: `/api/v2/traces/{id}` is `api_v2_traces_traceid`. Methods of gRPC keep their paths, but OTLP's.
fn route_name(path: &str) -> String {
    const OTLP: &str = "/opentelemetry.";
    if path.contains('.') && !path.starts_with(OTLP) {
        return path.to_owned();
    }
    if path == "/v1/traces" {
        return "otlp_v1_traces".to_owned();
    }
    let named = path.replace("{id}", "traceid").replace("{*tag}", "tagname_values");
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = named.chars().filter(|c| !"{}*".contains(*c)).map(letter).collect();
    match name.trim_matches('_') {
        "" => "root".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use http::StatusCode;
    use http_body_util::{BodyExt, Full};
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn routes_have_tempos_names() {
        for (path, name) in [
            ("/api/search", "api_search"),
            ("/api/traces/{id}", "api_traces_traceid"),
            ("/api/v2/search/tag/{*tag}", "api_v2_search_tag_tagname_values"),
            ("/api/metrics/query_range", "api_metrics_query_range"),
            ("/v1/traces", "otlp_v1_traces"),
            (
                "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                "opentelemetry_proto_collector_trace_v1_traceservice_export",
            ),
            ("/tempopb.StreamingQuerier/Search", "/tempopb.StreamingQuerier/Search"),
            ("/status/overrides/{tenant}", "status_overrides_tenant"),
            ("/", "root"),
        ] {
            assert_eq!(route_name(path), name, "{path}");
        }
    }

    fn router(durations: &Durations) -> Router {
        let routes = Router::new()
            .route("/api/traces/{id}", get(|| async { ([(INSPECTED_BYTES, "12")], "here") }))
            .route("/busy", get(|| async { StatusCode::TOO_MANY_REQUESTS }))
            .route(
                "/a.B/C",
                get(|| async {
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", 13.into());
                    let body = Full::new(Bytes::from_static(b"x"));
                    Body::new(body.with_trailers(async { Some(Ok(trailers)) }))
                }),
            );
        durations.measured(routes)
    }

    async fn ask(router: Router, path: &str, is_read: bool, kind: &str) {
        let request = Request::builder().uri(path).header("content-type", kind);
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        if is_read {
            response.into_body().collect().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_request_is_counted_when_its_answer_has_ended() {
        let durations = Durations::default();
        let asked = [
            ("/api/traces/1", true, ""),
            ("/api/traces/2", true, ""),
            ("/api/traces/3", false, ""),
            ("/busy", true, ""),
            ("/nowhere", true, ""),
            ("/a.B/C", true, "application/grpc"),
            ("/a.B/C", false, "application/grpc"),
        ];
        for (path, is_read, kind) in asked {
            ask(router(&durations), path, is_read, kind).await;
        }
        let told: Vec<String> = durations
            .all()
            .into_iter()
            .map(|(Labels { method, route, status_code }, requests)| {
                let Requests { count, inspected_bytes, .. } = requests;
                format!("{method} {route} {status_code} {count} {inspected_bytes}")
            })
            .collect();
        let wanted = [
            "GET api_traces_traceid 200 2 24",
            "GET api_traces_traceid 499 1 12",
            "GET busy 429 1 0",
            "GET other 404 1 0",
            "gRPC /a.B/C cancel 1 0",
            "gRPC /a.B/C error 1 0",
        ];
        assert_eq!(told, wanted);
    }
}
