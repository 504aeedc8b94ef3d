//! How fast is one trace found by its id in a block that is open, and how much is read for it? And one that is not there?

mod data;
#[path = "data/stored.rs"]
mod stored;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use vivace::otlp;
use vivace::querier::FoundTrace;
use vivace::tenant::TenantId;
use vivace::trace::TraceId;

use stored::{Stored, stored};

fn find_trace(c: &mut Criterion) {
    let runtime = Runtime::new().expect("threads");
    let Stored { querier, requests } = runtime.block_on(stored()).expect("memory has room");
    let ids: Vec<TraceId> = requests
        .iter()
        .map(|request| otlp::decode(&request.body).expect("the shop sends OTLP").spans.trace_id[0])
        .collect();
    let tenants = [TenantId::single()];
    let find = |id: TraceId| -> Option<FoundTrace> {
        let found = runtime.block_on(querier.find_trace(&tenants, id, None));
        found.expect("the block can be read")
    };
    let mut group = c.benchmark_group("find_trace");
    let found = find(ids[0]).expect("it was pushed");
    let (spans, bytes) = (found.span_count() as u64, found.cost.inspected_bytes);
    eprintln!("a trace of {spans} spans: {bytes} bytes read, {} a span", bytes / spans);
    group.throughput(Throughput::Elements(spans)).sample_size(20);
    group.bench_function("stored", |b| b.iter(|| find(ids[0])));
    group.bench_function("stored_as_protobuf", |b| {
        b.iter(|| find(ids[0]).map(|found| found.protobuf().ok()));
    });
    group.throughput(Throughput::Elements(ids.len() as u64));
    group.bench_function("absent", |b| {
        b.iter(|| {
            for id in &ids {
                // Half of its bits are another's.
                let mut other = *id;
                other.0.reverse();
                assert!(find(other).is_none(), "ids are random");
            }
        });
    });
    group.finish();
}

criterion_group!(benches, find_trace);
criterion_main!(benches);
