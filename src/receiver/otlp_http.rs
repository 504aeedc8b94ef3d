//! OTLP over HTTP: `POST /v1/traces`, protobuf or JSON, answered in the same.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use prost::Message;
use serde_json::json;

use super::{Door, DoorState, retry_after};
use crate::distributor::Pushed;
use crate::failure::Failure;
use crate::listener::on_cpu;

/// What a body is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// What `/v1/traces` answers to.
const METHODS: HeaderValue = HeaderValue::from_static("POST, OPTIONS");

/// How long a browser may keep the answer of a preflight, in seconds.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("7200");

impl Form {
    /// By `Content-Type`; its parameters, such as a charset, do not matter.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let essence = value.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case(PROTOBUF) {
            Some(Self::Protobuf)
        } else if essence.eq_ignore_ascii_case(JSON) {
            Some(Self::Json)
        } else {
            None
        }
    }

    fn answer(
        self,
        status: StatusCode,
        protobuf: &impl Message,
        json: &serde_json::Value,
    ) -> Response {
        let (kind, body) = match self {
            Self::Protobuf => (PROTOBUF, protobuf.encode_to_vec()),
            Self::Json => (JSON, json.to_string().into_bytes()),
        };
        (status, [(header::CONTENT_TYPE, kind)], body).into_response()
    }
}

/// OTLP's `ExportTraceServiceResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

impl ExportResponse {
    /// Without `partial_success` unless spans were rejected, as OTLP demands.
    pub(super) fn of(pushed: &Pushed) -> Self {
        let Pushed { accepted: _, rejected, reason } = pushed;
        let partial =
            PartialSuccess { rejected_spans: i64::from(*rejected), error_message: reason.clone() };
        Self { partial_success: (*rejected > 0).then_some(partial) }
    }

    fn json(&self) -> serde_json::Value {
        match &self.partial_success {
            None => json!({}),
            Some(PartialSuccess { rejected_spans, error_message }) => json!({"partialSuccess": {
                "rejectedSpans": rejected_spans.to_string(),
                "errorMessage": error_message,
            }}),
        }
    }
}

/// `google.rpc.Status` without details: when to try again is in `Retry-After`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// Answers `/v1/traces`.
pub(super) async fn export(State(door): DoorState, request: Request) -> Response {
    let mut response = match *request.method() {
        Method::POST => match Form::of(request.headers()) {
            Some(form) => match take_in(&door, form, request).await {
                Ok(pushed) => accept(form, &pushed),
                Err(failure) => refuse(form, &failure),
            },
            None => unsupported(),
        },
        Method::OPTIONS => return preflight(request.headers()),
        _ => not_allowed(),
    };
    // Browsers send spans from any page; there is nothing in the answer to protect.
    allow_origin(response.headers_mut());
    response
}

async fn take_in(door: &Door, form: Form, request: Request) -> Result<Pushed, Failure> {
    let taken = door.take_body(request).await?;
    let bytes = taken.held.bytes.clone();
    let spans = match form {
        Form::Json if !bytes.is_empty() => Bytes::from(on_cpu(move || transcode(&bytes)).await?),
        Form::Json | Form::Protobuf => bytes,
    };
    (door.push)(taken.tenant, spans).await
}

/// OTLP JSON to the protobuf bytes of the same request.
fn transcode(json: &[u8]) -> Result<Vec<u8>, Failure> {
    crate::otlp::transcode(json).map_err(Failure::invalid)
}

fn accept(form: Form, pushed: &Pushed) -> Response {
    let response = ExportResponse::of(pushed);
    form.answer(StatusCode::OK, &response, &response.json())
}

fn refuse(form: Form, failure: &Failure) -> Response {
    let Failure { kind, message } = failure;
    let code = i32::from(kind.grpc_code());
    let status = RpcStatus { code, message: message.clone() };
    let json = json!({"code": code, "message": message});
    let mut response = form.answer(kind.http_status(), &status, &json);
    retry_after(*kind, response.headers_mut());
    response
}

fn unsupported() -> Response {
    let text = format!("unsupported media type, supported: [{JSON}, {PROTOBUF}]\n");
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response()
}

fn not_allowed() -> Response {
    let text = "405 method not allowed, supported: [POST]\n";
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, METHODS)], text).into_response()
}

/// The answer to a browser that asks whether it may: it may.
fn preflight(asked: &HeaderMap) -> Response {
    let wanted = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    allow_origin(headers);
    headers.insert(header::ALLOW, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    let any = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.unwrap_or(any));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
    headers.insert(header::VARY, HeaderValue::from_name(REQUEST_HEADERS));
    response
}

const REQUEST_HEADERS: HeaderName = header::ACCESS_CONTROL_REQUEST_HEADERS;

fn allow_origin(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let readable = HeaderValue::from_static("retry-after");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, readable);
}
