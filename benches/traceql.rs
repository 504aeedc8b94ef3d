//! How long does it take from the text of a query to a tree that is valid, and on to one that is bound?
//!
//! Queries as people and Grafana send them. Expected: under 20 µs each to read; binding adds little.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use traceql_grammar::parse_valid;
use vivace::traceql::{compile, compile_metrics};

/// By who sends them. The last two are what Grafana Traces Drilldown makes of its structure and comparison tabs.
const QUERIES: [(&str, &str); 10] = [
    ("all", "{}"),
    ("one_attribute", r#"{ span.user.id = "u-00042" }"#),
    (
        "search_builder",
        r#"{resource.service.name="gateway" && name="GET /tasks" && status=error && duration>100ms && span.http.response.status_code>=500}"#,
    ),
    (
        "search_builder_regex",
        r#"{resource.service.name="gateway" && name="GET /tasks" && span.http.request.method=~"GET|POST" && status=error && kind=server}"#,
    ),
    (
        "structure",
        r#"{ resource.service.name = "gateway" } >> { span.db.system = "postgresql" && duration > 50ms }"#,
    ),
    (
        "aggregate",
        "{ kind = client } | by(resource.service.name) | avg(span.db.rows) > 100 | select(span.db.table)",
    ),
    (
        "drilldown_rate",
        "{nestedSetParent<0 && true && status=error} | rate() by(resource.service.name)",
    ),
    (
        "drilldown_duration",
        "{nestedSetParent<0 && true && resource.service.name != nil} | quantile_over_time(duration, 0.5,0.9) by(resource.service.name)",
    ),
    (
        "drilldown_comparison",
        "{nestedSetParent<0 && true} | compare({duration >= 1s && duration <= 2s}, 10, 1795521600000000000, 1795525200000000000)",
    ),
    (
        "drilldown_structure",
        "({nestedSetParent<0 && true && status = error} &>> { status = error }) || ({nestedSetParent<0 && true && status = error}) \
         | select(status, resource.service.name, name, nestedSetParent, nestedSetLeft, nestedSetRight)",
    ),
];

fn traceql(c: &mut Criterion) {
    let mut group = c.benchmark_group("traceql");
    for (name, query) in QUERIES {
        group.throughput(Throughput::Bytes(query.len() as u64));
        group.bench_function(format!("read/{name}"), |b| {
            b.iter(|| parse_valid(black_box(query)).expect("it is valid"));
        });
        // Reads it, too: what is bound is a tree.
        group.bench_function(format!("read_and_bind/{name}"), |b| {
            let is_metrics = compile_metrics(query).expect("it is valid").is_some();
            b.iter(|| {
                if is_metrics {
                    compile_metrics(black_box(query)).map(drop)
                } else {
                    compile(black_box(query)).map(drop)
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, traceql);
criterion_main!(benches);
