//! How fast do columns become a block, and how many bytes does a span take in it?

mod data;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vivace::block::{self, Facts, Written};
use vivace::columns::{Layout, RowRef, Spans, group_by_trace};
use vivace::otlp;

use data::{SEED, SPANS, requests};

fn block_write(c: &mut Criterion) {
    let mut spans = Spans::default();
    let requests = requests(SEED, SPANS);
    let count: u64 = requests.iter().map(|request| request.spans).sum();
    for request in &requests {
        spans.append(&otlp::decode(&request.body).expect("the shop sends OTLP").spans);
    }
    assert_eq!(spans.len() as u64, count, "no span of the shop is refused");
    tell_sizes(&write(&spans, &layout(&spans)));
    let mut group = c.benchmark_group("block_write");
    group.throughput(Throughput::Elements(count)).sample_size(10);
    group.bench_function("layout", |b| b.iter(|| layout(&spans)));
    let laid_out = layout(&spans);
    group.bench_function("write", |b| b.iter(|| write(&spans, &laid_out)));
    group.bench_function("layout_and_write", |b| b.iter(|| write(&spans, &layout(&spans))));
    group.finish();
}

fn layout(spans: &Spans) -> Layout {
    let chunks = [spans];
    let rows = (0..spans.next_row()).map(|row| RowRef { chunk: 0, row });
    let hash = |row: RowRef| otlp::content_hash(spans, row.row as usize);
    Layout::of(&chunks, group_by_trace(&chunks, rows), &hash)
}

fn write(spans: &Spans, layout: &Layout) -> Written {
    block::write(&[spans], layout, &Facts::default()).expect("the shop's resources differ")
}

fn tell_sizes(written: &Written) {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let each = |bytes: u64| bytes as f64 / written.spans as f64;
    eprintln!("{} spans in {} traces", written.spans, written.traces);
    for (object, bytes) in &written.objects {
        let bytes = bytes.len() as u64;
        eprintln!("{:>20} {bytes:>9} bytes {:>6.1} per span", object.to_string(), each(bytes));
    }
    let all = written.objects.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    eprintln!("{:>20} {all:>9} bytes {:>6.1} per span", "all", each(all));
}

criterion_group!(benches, block_write);
criterion_main!(benches);
