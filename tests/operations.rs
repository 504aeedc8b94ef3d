//! What `operations/` says is so: its dashboard and alerts read only metrics that the real process has, and each alert has its
//! section in the runbook.

#![expect(clippy::unwrap_used, reason = "the helpers here are parts of the tests")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "api/server.rs"]
mod server;

use std::collections::BTreeSet;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use server::{Headers, Server};

#[derive(Deserialize)]
struct Alerts {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    annotations: Annotations,
}

#[derive(Deserialize)]
struct Annotations {
    summary: String,
    runbook_url: String,
}

fn alerts() -> Vec<Rule> {
    let text = std::fs::read_to_string("operations/alerts.yaml").unwrap();
    let alerts: Alerts = serde_saphyr::from_str(&text).unwrap();
    alerts.groups.into_iter().flat_map(|group| group.rules).collect()
}

fn dashboard() -> Value {
    let text = std::fs::read_to_string("operations/dashboard.json").unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The queries of all panels and variables.
fn queries(dashboard: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let definitions = variables.filter_map(|variable| variable.get("definition"));
    targets.map(|target| text(&target["expr"])).chain(definitions.map(text)).collect()
}

/// Names of metrics in a query: words that are followed by neither `(` nor `=`, nor stand in a list of labels.
fn metrics_in(query: &str) -> BTreeSet<String> {
    let labels =
        Regex::new(r"\{[^}]*\}|\b(by|without|on|ignoring)\s*\([^)]*\)|\[[^\]]*\]").unwrap();
    let label_values = Regex::new(r"label_values\((\w+),.*\)").unwrap();
    let query = label_values.replace_all(query, "$1");
    let query = labels.replace_all(&query, " ");
    let word = Regex::new(r"\b[a-z_][a-z0-9_]*\b\s*\(?").unwrap();
    let words = word.find_iter(&query).map(|found| found.as_str().trim().to_owned());
    words
        .filter(|word| !word.ends_with('(') && !["or", "and", "unless"].contains(&&**word))
        .collect()
}

/// Every name that a scrape can have, also of families that have no row yet.
fn names_on(page: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in page.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap();
            let endings: &[&str] = match kind {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_count", "_sum"],
                "info" => &["_info"],
                _ => &[""],
            };
            names.extend(endings.iter().map(|ending| format!("{name}{ending}")));
        }
    }
    names
}

fn ask(server: &Server, path: &str, headers: &Headers) -> String {
    let response = server.get(path, headers);
    assert!(response.status().is_success(), "{path}: {}", response.status());
    response.text().unwrap()
}

/// A server that was sent one good span and one bad one, and was asked for it.
fn used() -> Server {
    let server = Server::start(false);
    let span = |id: &str| {
        format!(
            r#"{{"traceId":"{id}","spanId":"eee19b7ec3c1b174","name":"a",
                "startTimeUnixNano":"1790000000000000000","endTimeUnixNano":"1790000000000000001"}}"#
        )
    };
    let spans = [span("5b8efff798038103d269b633813fc60c"), span("")].join(",");
    let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
    let json = vec![("content-type".to_owned(), "application/json".to_owned())];
    let response = server.post(body.into_bytes(), &json);
    assert!(response.status().is_success(), "{}", response.text().unwrap());
    ask(&server, "/api/traces/5b8efff798038103d269b633813fc60c", &Headers::new());
    ask(&server, "/api/search", &Headers::new());
    server
}

#[test]
fn dashboard_and_alerts_read_metrics_that_there_are() {
    let server = used();
    let page = ask(&server, "/metrics", &Headers::new());
    let there = names_on(&page);
    let dashboard = queries(&dashboard());
    let alerts: Vec<String> = alerts().into_iter().map(|rule| rule.expr).collect();
    assert!(dashboard.len() > 30 && alerts.len() > 10);
    for query in dashboard.iter().chain(&alerts) {
        let wanted = metrics_in(query);
        assert!(!wanted.is_empty(), "no metric in {query}");
        let missing: Vec<_> = wanted.difference(&there).collect();
        assert!(missing.is_empty(), "{missing:?} of {query} are not among {there:#?}");
    }
}

#[test]
fn each_family_is_declared_once() {
    let page = ask(&used(), "/metrics", &Headers::new());
    let mut seen = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("# TYPE ")) {
        assert!(seen.insert(line.to_owned()), "{line}, twice");
    }
}

#[test]
fn what_was_sent_and_asked_is_counted_under_tempos_names() {
    let server = used();
    let page = ask(&server, "/metrics", &Headers::new());
    let tenant = r#"tenant="single-tenant""#;
    for line in [
        format!("tempo_distributor_spans_received_total{{{tenant}}} 2"),
        format!(r#"vivace_ledger_spans{{{tenant},state="received"}} 2"#),
        format!(r#"vivace_ledger_spans{{{tenant},state="rejected"}} 1"#),
        format!(r#"vivace_ledger_spans{{{tenant},state="pending"}} 1"#),
        format!("tempo_live_store_live_traces{{{tenant}}} 1"),
        format!("tempodb_blocklist_length{{{tenant}}} 0"),
        r#"tempo_receiver_accepted_spans{receiver="otlp",transport="http"} 1"#.to_owned(),
        r#"tempo_receiver_refused_spans{receiver="otlp",transport="http"} 1"#.to_owned(),
        r#"tempo_query_frontend_queries_total{op="search",result="completed"} 1"#.to_owned(),
        r#"tempo_query_frontend_queries_total{op="traces",result="completed"} 1"#.to_owned(),
        "tempo_ingester_failed_flushes_total 0".to_owned(),
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    for labels in [
        r#"method="POST",route="otlp_v1_traces",status_code="200""#,
        r#"method="GET",route="api_traces_traceid",status_code="200""#,
        r#"method="GET",route="api_search",status_code="200""#,
    ] {
        let line = format!("tempo_request_duration_seconds_count{{{labels}}} 1");
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }
    assert!(page.contains(
        r#"tempodb_backend_request_duration_seconds_count{operation="LIST",status_code="200"}"#
    ));
    let accept = vec![("accept".to_owned(), "application/json".to_owned())];
    let ledger: Value = serde_json::from_str(&ask(&server, "/status/ledger", &accept)).unwrap();
    let row = &ledger["tenants"][0];
    assert_eq!((&row["received"], &row["balanced"]), (&2.into(), &true.into()));
    let table = ask(&server, "/status/ledger", &Headers::new());
    assert!(table.contains("single-tenant") && !table.contains("NOT BALANCED"), "{table}");
}

#[test]
fn each_alert_has_its_section_in_the_runbook() {
    let runbook = std::fs::read_to_string("operations/runbook.md").unwrap();
    let sections: BTreeSet<&str> =
        runbook.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let alerts = alerts();
    let names: BTreeSet<&str> = alerts.iter().map(|rule| &*rule.alert).collect();
    assert_eq!(sections, names);
    for rule in &alerts {
        let anchor = format!("operations/runbook.md#{}", rule.alert.to_lowercase());
        assert_eq!(rule.annotations.runbook_url, anchor);
        assert!(rule.annotations.summary.ends_with('.'), "{}", rule.alert);
    }
}

#[test]
fn names_of_metrics_are_found_in_queries() {
    let found = |query: &str| metrics_in(query).into_iter().collect::<Vec<_>>();
    let query = r#"sum by (le, x) (rate(a_total{b="c", d=~"e"}[5m])) / on (f) g_count > 0.05 * h"#;
    assert_eq!(found(query), ["a_total", "g_count", "h"]);
    assert_eq!(found("label_values(a_info, tenant)"), ["a_info"]);
    assert_eq!(found("topk(10, a{b=\"c\"}) or absent(d)"), ["a", "d"]);
}
