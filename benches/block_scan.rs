//! How fast is a query over one block, opened and in memory, and how much of it is read?

mod data;
#[path = "data/stored.rs"]
mod stored;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use vivace::querier::SearchRequest;
use vivace::tenant::TenantId;

use stored::{Stored, stored};

/// By what is asked of the engine.
const QUERIES: [(&str, &str); 5] = [
    ("all", "{}"),
    ("attribute_and_duration", r#"{ span.db.table = "tasks" && duration > 100ms }"#),
    ("needle", r#"{ span.user.id = "u-00042" }"#),
    ("structure", r#"{ resource.service.name = "gateway" } >> { span.db.table = "invoices" }"#),
    ("aggregate", "{ kind = client } | avg(span.db.rows) > 100"),
];

fn block_scan(c: &mut Criterion) {
    let runtime = Runtime::new().expect("threads");
    let Stored { querier, requests } = runtime.block_on(stored()).expect("memory has room");
    let spans = requests.iter().map(|request| request.spans).sum();
    let mut group = c.benchmark_group("block_scan");
    group.throughput(Throughput::Elements(spans)).sample_size(20);
    let tenants = [TenantId::single()];
    for (name, query) in QUERIES {
        let search = || {
            let answer = runtime.block_on(querier.search(&tenants, request(query)));
            answer.expect("the block can be read")
        };
        // The first one opens the block.
        search();
        let cost = search().cost;
        eprintln!("{name}: {} bytes of a span read", cost.inspected_bytes / spans);
        group.bench_function(name, |b| b.iter(search));
    }
    group.finish();
}

/// The newest 20 traces, as Grafana asks for them.
fn request(query: &str) -> SearchRequest {
    SearchRequest { query: query.to_owned(), window: 0..=u64::MAX, limit: 20, spans_per_spanset: 3 }
}

criterion_group!(benches, block_scan);
criterion_main!(benches);
