//! `/api/mcp`: the questions as tools for language models, by the Model Context Protocol (JSON-RPC 2.0 over HTTP).
//!
//! The server has no sessions and sends nothing by itself: each POST holds one message and has one answer, as the protocol's
//! "streamable HTTP" allows. Answers are bounded, since a model reads all of them: what is larger is refused with a hint how to ask for less.
//! Off unless `query_frontend.mcp_server.enabled`.

mod call;
mod docs;
mod tools;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::{Value, json};

use super::format::json as json_response;
use super::{Api, ApiState, Refused};
use crate::failure::Failure;

/// Revisions of the protocol that are spoken, the newest first: what is used here is the same in all.
const PROTOCOLS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Longest message of a client.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// What a client is told once, at the beginning.
const INSTRUCTIONS: &str = "Distributed traces (OpenTelemetry spans), queried by TraceQL. Read docs-traceql before you write a query. \
    Find names with get-attribute-names and values with get-attribute-values; find traces with traceql-search, rates and durations over \
    time with the traceql-metrics tools, and read one trace with get-trace.";

/// Codes of JSON-RPC.
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
const RESOURCE_NOT_FOUND: i32 = -32002;

/// A message of a client. Without an id it wants no answer.
#[derive(Deserialize)]
struct Message {
    jsonrpc: String,
    id: Option<Value>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
}

/// Why a message is answered with an error, and not with a result.
struct Wrong {
    code: i32,
    message: String,
}

impl Wrong {
    fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

pub(super) async fn serve(State(api): ApiState, request: axum::extract::Request) -> Response {
    if !api.config.mcp {
        return super::not_found(request).await;
    }
    if request.method() != Method::POST {
        // No stream of messages by ourselves, no session to end.
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")]).into_response();
    }
    let (parts, body) = request.into_parts();
    if let Err(failure) = check_origin(&parts.headers) {
        return Refused(failure).into_response();
    }
    let body = match Limited::new(body, MESSAGE_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            let text = format!("a message of at most {MESSAGE_BYTES_MAX} bytes is wanted: {error}");
            return Refused(Failure::invalid(text)).into_response();
        }
    };
    let message: Message = match serde_json::from_slice(&body) {
        Ok(message) => message,
        Err(error) => {
            let wrong = Wrong::new(PARSE_ERROR, format!("not a JSON-RPC message: {error}"));
            return answer(&Value::Null, Err(wrong));
        }
    };
    let Message { jsonrpc, id, method, params } = message;
    let (Some(id), Some(method)) = (id, method) else {
        // A notification, or an answer to a question that was never asked.
        return StatusCode::ACCEPTED.into_response();
    };
    if jsonrpc != "2.0" {
        let wrong = Wrong::new(INVALID_REQUEST, format!("jsonrpc {jsonrpc:?}, only 2.0 is spoken"));
        return answer(&id, Err(wrong));
    }
    let result = Box::pin(result(&api, &parts.headers, &method, &params)).await;
    answer(&id, result)
}

async fn result(
    api: &Api,
    headers: &HeaderMap,
    method: &str,
    params: &Value,
) -> Result<Value, Wrong> {
    match method {
        "initialize" => Ok(initialized(params)),
        "ping" => Ok(json!({})),
        "tools/list" => Ok(json!({"tools": tools::list()})),
        "tools/call" => call::tool(api, headers, params).await,
        "resources/list" => Ok(json!({"resources": docs::list()})),
        "resources/templates/list" => Ok(json!({"resourceTemplates": []})),
        "resources/read" => {
            let uri = params["uri"].as_str().unwrap_or_default();
            let text = docs::resource(uri).ok_or_else(|| {
                Wrong::new(RESOURCE_NOT_FOUND, format!("no resource {uri:?}: see resources/list"))
            })?;
            let contents = json!([{"uri": uri, "mimeType": docs::MARKDOWN, "text": text}]);
            Ok(json!({"contents": contents}))
        }
        _ => Err(Wrong::new(METHOD_NOT_FOUND, format!("no method {method:?}"))),
    }
}

/// The client's revision if it is spoken, else the newest: a client that does not speak that ends here.
fn initialized(params: &Value) -> Value {
    let wanted = params["protocolVersion"].as_str().unwrap_or_default();
    let version = PROTOCOLS.iter().find(|known| **known == wanted).unwrap_or(&PROTOCOLS[0]);
    json!({
        "protocolVersion": version,
        "capabilities": {"tools": {"listChanged": false}, "resources": {"listChanged": false}},
        "serverInfo": {"name": "vivace", "version": env!("CARGO_PKG_VERSION")},
        "instructions": INSTRUCTIONS,
    })
}

fn answer(id: &Value, result: Result<Value, Wrong>) -> Response {
    let message = match result {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(Wrong { code, message }) => {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
        }
    };
    json_response(message.to_string().into_bytes())
}

/// A page of somebody else's in a browser must not talk to a server on the user's machine: a request that comes from a page must come
/// from one of this host, or of this machine.
fn check_origin(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let text = |value: Option<&http::HeaderValue>| {
        value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let origin = text(Some(origin));
    let host = origin.split_once("://").map_or("", |(_, host)| host);
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if host == text(headers.get(header::HOST))
        || ["localhost", "127.0.0.1", "[::1]"].contains(&name)
    {
        return Ok(());
    }
    Err(Failure::invalid(format!("a page of {origin} may not talk to this server")))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn pages_of_others_are_refused() {
        let check = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("vivace:3200"));
            headers.extend(origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin))));
            check_origin(&headers).is_ok()
        };
        for good in [
            None,
            Some("http://vivace:3200"),
            Some("http://localhost:6274"),
            Some("https://127.0.0.1"),
            Some("http://[::1]:80"),
        ] {
            assert!(check(good), "{good:?}");
        }
        for bad in ["http://evil.example", "http://vivace:80", "null", "", "http://localhost.evil"]
        {
            assert!(!check(Some(bad)), "{bad}");
        }
    }

    #[test]
    fn the_clients_revision_is_taken_if_it_is_known() {
        for (wanted, spoken) in [("2025-03-26", "2025-03-26"), ("1999-01-01", "2025-11-25")] {
            let told = initialized(&json!({"protocolVersion": wanted}));
            assert_eq!(told["protocolVersion"], spoken);
        }
    }
}
