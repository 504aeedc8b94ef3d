//! The routes, as far as they need no spans.

use axum::body::{Body, to_bytes};
use futures::FutureExt;
use http::HeaderMap;
use parking_lot::Mutex;
use tower::ServiceExt;

use super::*;
use crate::failure::Kind;

fn parts() -> Parts {
    Parts {
        querier: Arc::new(Querier::over_nothing()),
        metrics: Arc::new(|| "# EOF\n".to_owned()),
        ready: Arc::new(|| Ok(())),
        answers: Arc::new(|| Ok(())),
        flush: Arc::new(|| async { Ok(()) }.boxed()),
        durations: Durations::default(),
        ledger: Arc::new(Vec::new),
        config: Arc::default(),
        overrides: Overrides::default(),
        now: Arc::new(|| 1_755_000_000_000_000_000),
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

async fn ask(router: Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        text: String::from_utf8(body.to_vec()).unwrap(),
    }
}

async fn get(path: &str) -> Answer {
    ask(router(Config::default(), parts()), "GET", path, &[]).await
}

#[tokio::test]
async fn what_needs_no_spans_answers() {
    for (path, status, kind, text) in [
        ("/api/echo", 200, "text/plain; charset=utf-8", "echo\n"),
        ("/ready", 200, "text/plain; charset=utf-8", "ready\n"),
        ("/metrics", 200, "application/openmetrics-text; version=1.0.0; charset=utf-8", "# EOF\n"),
        ("/nowhere", 404, "text/plain; charset=utf-8", "404 page not found\n"),
        ("/api/search/tag/a", 404, "text/plain; charset=utf-8", "404 page not found\n"),
        (
            "/api/search/tags?scope=intrinsic&limit=2",
            200,
            "application/json",
            r#"{"tagNames":["duration","event:name"],"metrics":{}}"#,
        ),
        (
            "/api/v2/search/tags?scope=trace",
            200,
            "application/json",
            r#"{"scopes":[],"metrics":{}}"#,
        ),
        (
            "/api/search/tag/status.code/values",
            200,
            "application/json",
            r#"{"tagValues":["error","ok","unset"],"metrics":{}}"#,
        ),
        (
            "/api/search/tag/status%2Ecode/values?limit=1",
            200,
            "application/json",
            r#"{"tagValues":["error"],"metrics":{}}"#,
        ),
        (
            "/api/v2/search/tag/span%3Aid/values",
            200,
            "application/json",
            r#"{"tagValues":[],"metrics":{}}"#,
        ),
        (
            "/api/search/tag/error/values",
            200,
            "application/json",
            r#"{"tagValues":["true"],"metrics":{}}"#,
        ),
        (
            "/api/v2/search/tag/span:status/values?q={}",
            200,
            "application/json",
            r#"{"tagValues":[{"type":"keyword","value":"ok"},{"type":"keyword","value":"error"},{"type":"keyword","value":"unset"}],"metrics":{}}"#,
        ),
        (
            "/api/v2/search/tag/duration/values",
            200,
            "application/json",
            r#"{"tagValues":[],"metrics":{}}"#,
        ),
    ] {
        let answer = get(path).await;
        assert_eq!((answer.status, answer.text.as_str()), (status, text), "{path}");
        assert_eq!(answer.headers["content-type"], kind, "{path}");
    }
}

#[tokio::test]
async fn all_intrinsic_names_are_offered() {
    let answer = get("/api/v2/search/tags?scope=intrinsic").await;
    let json: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(json["scopes"][0]["name"], "intrinsic");
    assert_eq!(json["scopes"][0]["tags"].as_array().unwrap().len(), 25);
    assert_eq!(answer.headers["x-vivace-inspected-bytes"], "0");
}

#[tokio::test]
async fn the_version_is_one_that_clients_know() {
    let info: serde_json::Value =
        serde_json::from_str(&get("/api/status/buildinfo").await.text).unwrap();
    assert_eq!(info["version"], "3.0.3");
    let revision = format!("vivace-{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(info["revision"], revision.as_str());
    for path in ["/status", "/status/version"] {
        assert!(get(path).await.text.contains("vivace, version"), "{path}");
    }
}

#[tokio::test]
async fn wrong_questions_are_told_why_in_plain_text() {
    for (path, text) in [
        ("/api/search?limit=0", "invalid limit: must be a positive number\n"),
        ("/api/search/tags?scope=x", "invalid scope: x\n"),
        ("/api/search/tag//values", "please provide a non-empty tagName\n"),
        ("/api/v2/search/tag//values", "please provide a non-empty tagName\n"),
        (
            "/api/traces/12x4",
            "trace IDs can only contain hex characters: invalid character 'x' at position 3\n",
        ),
        ("/api/v2/traces/1?mode=x", "invalid value for mode x\n"),
        (
            "/api/v2/traces/111111111111111111111111111111111",
            "trace IDs can't be larger than 128 bits\n",
        ),
        ("/api/metrics/query_range", "a metrics query is required: q is missing\n"),
    ] {
        let answer = get(path).await;
        assert_eq!((answer.status, answer.text.as_str()), (400, text), "{path}");
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
        let post = ask(router(Config::default(), parts()), "POST", path, &[]).await;
        assert_eq!((post.status, post.text.as_str()), (400, text), "{path}");
    }
}

#[tokio::test]
async fn who_asks_must_be_said_where_there_are_several_tenants() {
    let config = Config { multitenancy: true, ..Config::default() };
    let asked = |headers: &'static [(&str, &str)], config: Config| async move {
        let path = "/api/search/tag/error/values";
        let answer = ask(router(config, parts()), "GET", path, headers).await;
        (answer.status, answer.text)
    };
    let (status, text) = asked(&[], config.clone()).await;
    assert_eq!((status, text.as_str()), (401, "no org id\n"));
    let (status, text) = asked(&[("x-scope-orgid", "a/b")], config.clone()).await;
    let expected = "tenant ID 'a/b' contains unsupported character '/'\n";
    assert_eq!((status, text.as_str()), (400, expected));
    assert_eq!(asked(&[("x-scope-orgid", "a|b")], config.clone()).await.0, 200);
    let config = Config { multi_tenant_queries_enabled: false, ..config };
    let (status, text) = asked(&[("x-scope-orgid", "a|b")], config.clone()).await;
    assert_eq!((status, text.as_str()), (400, "multi-tenant query unsupported\n"));
    let echo = ask(router(config, parts()), "GET", "/api/echo", &[]).await;
    assert_eq!(echo.status, 200);
}

#[tokio::test]
async fn who_is_not_ready_says_so() {
    let kind = Kind::Unavailable { retry_after: Duration::from_secs(3) };
    let ready = Arc::new(move || Err(Failure::new(kind, "reading the log")));
    let parts = Parts { ready, ..parts() };
    let answer = ask(router(Config::default(), parts), "GET", "/ready", &[]).await;
    assert_eq!((answer.status, answer.text.as_str()), (503, "reading the log\n"));
    assert_eq!(answer.headers["retry-after"], "3");
}

#[tokio::test]
async fn a_flush_is_answered_when_it_is_done() {
    let flushes = Arc::new(Mutex::new(0));
    let count = Arc::clone(&flushes);
    let flush = Arc::new(move || {
        *count.lock() += 1;
        async { Ok(()) }.boxed()
    });
    let router = router(Config::default(), Parts { flush, ..parts() });
    for method in ["GET", "POST"] {
        assert_eq!(ask(router.clone(), method, "/flush", &[]).await.status, 204);
    }
    let answer = ask(router, "DELETE", "/flush", &[]).await;
    assert_eq!((answer.status, &answer.headers["allow"]), (405, &"GET,HEAD,POST".parse().unwrap()));
    assert_eq!(*flushes.lock(), 2);
}

#[tokio::test]
async fn the_prefix_is_in_front_of_the_api_only() {
    let config = Config { http_api_prefix: "/tempo".to_owned(), ..Config::default() };
    let router = router(config, parts());
    for (path, status) in [
        ("/tempo/api/echo", 200),
        ("/tempo/api/search/tag/a/b/values?start=1", 400),
        ("/api/echo", 404),
        ("/ready", 200),
        ("/tempo/ready", 404),
    ] {
        assert_eq!(ask(router.clone(), "GET", path, &[]).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn metrics_queries_over_nothing_are_answered() {
    let range = "start=1755000000&end=1755000060&step=1m";
    let of_range = get(&format!("/api/metrics/query_range?q={{}}|rate()&{range}")).await;
    let series = concat!(
        r#"{"series":[{"labels":[{"key":"__name__","value":{"stringValue":"rate"}}],"#,
        r#""samples":[{"timestampMs":"1755000000000"}]}],"metrics":{}}"#,
    );
    assert_eq!((of_range.status, of_range.text.as_str()), (200, series));
    assert_eq!(of_range.headers["content-type"], "application/json");
    let of_instant = get("/api/metrics/query?q={}|rate()by(name)").await;
    assert_eq!(
        (of_instant.status, of_instant.text.as_str()),
        (200, r#"{"series":[],"metrics":{}}"#)
    );
    for path in ["/api/metrics/query_range?q={}", "/api/metrics/query?query={}|count()%3E1"] {
        let answer = get(path).await;
        assert_eq!((answer.status, answer.text.as_str()), (400, "not a metrics query\n"), "{path}");
    }
}

#[tokio::test]
async fn a_grpc_call_of_nothing_is_unimplemented() {
    let router = router(Config::default(), parts());
    let headers = [("content-type", "application/grpc")];
    let answer = ask(router, "POST", "/tempopb.StreamingQuerier/Nothing", &headers).await;
    assert_eq!((answer.status, &answer.headers["grpc-status"]), (200, &"12".parse().unwrap()));
}

#[tokio::test]
async fn a_panic_is_a_500() {
    let metrics = Arc::new(|| panic!("a secret"));
    let router = router(Config::default(), Parts { metrics, ..parts() });
    let answer = ask(router, "GET", "/metrics", &[]).await;
    assert_eq!(answer.status, 500);
    assert!(!answer.text.contains("secret"));
}

#[tokio::test]
async fn a_full_house_sends_away() {
    let api = Api::new(Config { requests_max: 1, ..Config::default() }, parts());
    let request = Request::new(Body::empty()).into_parts().0;
    let first = api.enter(&request);
    let refused = Refused(api.enter(&request).err().unwrap()).into_response();
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "1");
    drop(first);
    assert!(api.enter(&request).is_ok());
}

#[tokio::test]
async fn a_slow_answer_is_not_waited_for() {
    let config = Config { api_timeout: Duration::from_millis(1), ..Config::default() };
    let api = Api::new(config, parts());
    let call = api.enter(&Request::new(Body::empty()).into_parts().0).unwrap();
    let never = || std::future::pending::<Result<(), _>>();
    let failure = api.within(&call, never()).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Timeout);
    let text =
        "unable to process request in the configured timeout (query_frontend.api_timeout: 1ms)";
    assert_eq!(failure.message, text);
    let config = Config { trace_by_id_timeout: Duration::from_millis(1), ..Config::default() };
    let api = Api::new(config, parts());
    let failure = api.within_lookup(&call, never()).await.unwrap_err();
    assert!(failure.message.contains("querier.trace_by_id.query_timeout: 1ms"), "{failure}");
}
