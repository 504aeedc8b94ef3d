//! Limits of tenants in the real process: what is refused and how, one tenant beside another, and the file read again.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "limits/server.rs"]
mod server;

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tempfile::TempDir;
use tonic::Code;

use server::{Server, set_tenants};

const TENANTS: &str = r#"
overrides:
  "*": {read: {max_metrics_duration: 2h}}
  slow: {ingestion: {rate_limit_bytes: 10, burst_size_bytes: 2000}}
  few: {ingestion: {max_traces_per_user: 2}}
  small: {global: {max_bytes_per_trace: 900}}
  cut: {ingestion: {max_attribute_bytes: 10}}
  asked: {read: {max_search_duration: 30m, max_bytes_per_tag_values_query: 5, left_pad_trace_ids: true}}
"#;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A request of one span for each trace, with an attribute of so many bytes.
fn request(traces: &[u8], span: u8, bytes: usize) -> ExportTraceServiceRequest {
    let start = now() * 1_000_000_000;
    let span = |trace: &u8| Span {
        trace_id: [&[0_u8; 15][..], &[*trace]].concat(),
        span_id: vec![span; 8],
        name: "work".to_owned(),
        start_time_unix_nano: start,
        end_time_unix_nano: start + 1,
        attributes: vec![KeyValue {
            key: "long".to_owned(),
            value: Some(AnyValue { value: Some(Value::StringValue("x".repeat(bytes))) }),
            ..KeyValue::default()
        }],
        ..Span::default()
    };
    let scope = ScopeSpans { spans: traces.iter().map(span).collect(), ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }
}

fn started() -> (TempDir, Server) {
    let dir = TempDir::new().unwrap();
    set_tenants(dir.path(), TENANTS);
    let server = Server::start(dir.path());
    (dir, server)
}

/// A search over the last minutes.
fn search(query: &str, minutes: u64) -> String {
    let end = now() + 60;
    let query = query.replace(' ', "%20").replace('{', "%7B").replace('}', "%7D");
    format!("/api/search?q={}&start={}&end={end}", query.replace('"', "%22"), end - minutes * 60)
}

fn grpc(server: &Server, tenant: &str, body: ExportTraceServiceRequest) -> tonic::Status {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let endpoint = tonic::transport::Endpoint::from_shared(server.receiver.clone()).unwrap();
        let mut client = TraceServiceClient::new(endpoint.connect().await.unwrap());
        let mut request = tonic::Request::new(body);
        request.metadata_mut().insert("x-scope-orgid", tenant.parse().unwrap());
        client.export(request).await.unwrap_err()
    })
}

#[test]
fn a_rate_is_held_and_says_when_to_come_back() {
    let (_dir, server) = started();
    let body = request(&[1], 1, 1400);
    let bytes = prost::Message::encoded_len(&body) as u64;
    server.push("slow", &body).assert(200, None, &[]);
    let refused = server.push("slow", &body);
    // Some of it has leaked out meanwhile.
    let wait = (2 * bytes - 2000).div_ceil(10);
    let told = refused.retry_after.unwrap();
    assert!((wait - 60..=wait).contains(&told), "{told} of {wait} seconds");
    let says = ["RATE_LIMITED", "10 bytes/s", "burst 2000 bytes", "for user slow"];
    refused.assert(429, Some(told), &says);
    refused.assert(429, Some(told), &["ingestion.rate_limit_bytes"]);
    let large = request(&[2], 1, 3000);
    let says = ["batch size (30", "burst (2000 bytes", "ingestion.burst_size_bytes"];
    server.push("slow", &large).assert(413, None, &says);
    for span in 0..5 {
        server.push("free", &request(&[2], span + 1, 3000)).assert(200, None, &[]);
    }
    let status = grpc(&server, "slow", body);
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let details = String::from_utf8_lossy(status.details()).into_owned();
    assert!(details.contains("google.rpc.RetryInfo"), "{details}");
    let status = grpc(&server, "slow", large);
    assert_eq!((status.code(), status.details()), (Code::InvalidArgument, &b""[..]));
    let metrics = server.get("slow", "/metrics");
    let counted = r#"tempo_discarded_spans_total{reason="rate_limited",tenant="slow"} 4"#;
    metrics.assert(200, None, &[counted, "tempo_runtime_config_last_reload_successful 1\n"]);
    server.push("slow", &ExportTraceServiceRequest::default()).assert(200, None, &[]);
}

#[test]
fn live_traces_are_counted_before_the_ok() {
    let (_dir, server) = started();
    server.push("few", &request(&[1, 2], 1, 5)).assert(200, None, &[]);
    let says = ["LIVE_TRACES_EXCEEDED", "2 live traces", "at most 2", "max_traces_per_user"];
    server.push("few", &request(&[3], 1, 5)).assert(429, Some(600), &says);
    server.push("few", &request(&[1, 2], 2, 5)).assert(200, None, &[]);
    server.push("few", &request(&[3, 4, 5], 1, 5)).assert(413, None, &says[2..]);
    server.push("free", &request(&[3, 4, 5], 1, 5)).assert(200, None, &[]);
}

#[test]
fn a_trace_that_is_too_large_grows_no_more_and_a_restart_agrees() {
    let (dir, server) = started();
    server.push("small", &request(&[1], 1, 600)).assert(200, None, &[]);
    let says = [
        "TRACE_TOO_LARGE",
        "trace 00000000000000000000000000000001",
        "at most 900",
        "max_bytes_per_trace",
    ];
    server.push("small", &request(&[1, 2], 2, 600)).assert(200, None, &says);
    server.push("cut", &request(&[1], 1, 600)).assert(200, None, &[]);
    server.push("free", &request(&[1, 2], 2, 600)).assert(200, None, &[]);
    let check = |server: &Server| {
        for (tenant, query, matched) in [
            ("small", "{ trace:id = \"00000000000000000000000000000001\" }", "\"matched\":1"),
            ("small", "{ trace:id = \"00000000000000000000000000000002\" }", "\"matched\":1"),
            ("cut", "{ span.vivace.cut_attributes = \"long\" }", "\"matched\":1"),
            ("cut", "{ span.long = \"xxxxxxxxxx\" }", "\"matched\":1"),
            ("free", "{ span.vivace.cut_attributes = \"long\" }", "\"traces\":[]"),
        ] {
            let found = server.get(tenant, &search(query, 10));
            assert!(found.status == 200 && found.text.contains(matched), "{query}: {found:?}");
        }
    };
    check(&server);
    let metrics = server.get("small", "/metrics");
    metrics.assert(
        200,
        None,
        &[
            r#"tempo_discarded_spans_total{reason="trace_too_large",tenant="small"} 1"#,
            r#"tempo_distributor_attributes_truncated_total{tenant="cut"} 1"#,
        ],
    );
    drop(server);
    check(&Server::start(dir.path()));
}

#[test]
fn questions_have_the_bounds_of_their_tenants() {
    let (_dir, server) = started();
    for tenant in ["asked", "free"] {
        server.push(tenant, &request(&[1], 1, 7)).assert(200, None, &[]);
    }
    server.get("asked", &search("{}", 20)).assert(200, None, &["00000000000000000000000000000001"]);
    server.get("free", &search("{}", 45)).assert(200, None, &["\"traceID\":\"1\""]);
    let says = ["exceeds 30m0s", "read.max_search_duration"];
    server.get("asked", &search("{}", 45)).assert(400, None, &says);
    server.get("free", &search("{}", 90)).assert(400, None, &["exceeds 1h0m0s"]);
    server.get("asked|free", &search("{}", 45)).assert(400, None, &says);
    let metrics = search("{} | rate()", 180).replace("/api/search", "/api/metrics/query_range");
    let says = ["2h0m0s", "read.max_metrics_duration"];
    server.get("free", &metrics.replace('|', "%7C")).assert(400, None, &says);
    let values = "/api/v2/search/tag/span.long/values";
    let says = ["7 bytes", "at most 5", "read.max_bytes_per_tag_values_query"];
    server.get("asked", values).assert(400, None, &says);
    server.get("asked", "/api/search/tag/long/values").assert(400, None, &says);
    server.get("free", values).assert(200, None, &["xxxxxxx"]);
    server.get("asked", "/api/v2/search/tags?scope=span").assert(200, None, &["long"]);
}

#[test]
fn the_file_is_read_again_and_a_wrong_one_changes_nothing() {
    let (dir, server) = started();
    let body = request(&[1], 1, 1400);
    server.push("slow", &body).assert(200, None, &[]);
    let reloaded = |good: bool| {
        let wanted = format!("tempo_runtime_config_last_reload_successful {}\n", u8::from(good));
        let ask = |server: &Server| server.get("slow", "/metrics");
        server.until(&wanted, ask, |answer| answer.text.contains(&wanted));
    };
    set_tenants(dir.path(), "overrides: {slow: {ingestion: {rate_limit_byte: 5}}}");
    reloaded(false);
    server.push("slow", &body).assert(
        429,
        Some(server.push("slow", &body).retry_after.unwrap()),
        &[],
    );
    let own = server.get("slow", "/status/overrides/slow");
    own.assert(
        200,
        None,
        &["rate_limit_bytes: 10", "default_or_wildcard_runtime_overrides\":false"],
    );

    set_tenants(dir.path(), "overrides: {slow: {ingestion: {rate_limit_bytes: 10MB}}, '*': {}}");
    reloaded(true);
    let push = |server: &Server| server.push("slow", &body);
    server.until("room", push, |answer| answer.status == 200);
    server.push("slow", &request(&[1], 2, 3000)).assert(200, None, &[]);
    let all = server.get("", "/status/runtime_config");
    let text = "---\noverrides:\n    \"*\": {}\n    \"slow\":\n        ingestion:\n            rate_limit_bytes: 10000000\n";
    assert_eq!(all.text, text);
    server.get("", "/status/overrides").assert(200, None, &["\"name\":\"slow\""]);
    let other = server.get("", "/status/overrides/other");
    other.assert(200, None, &["max_search_duration: 3600s", "_runtime_overrides\":true"]);
}

#[test]
fn a_wrong_file_is_told_at_the_start() {
    let dir = TempDir::new().unwrap();
    set_tenants(dir.path(), "overrides:\n  a: {ingestion: {rate_limit_byte: 5}}\n");
    let log = Server::try_start(dir.path()).err().unwrap();
    for part in
        ["per_tenant_override_config", "rate_limit_byte", "line 2, column 19", "did you mean"]
    {
        assert!(log.contains(part), "{part} in {log}");
    }
}
