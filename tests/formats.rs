//! The block format by golden files: every released version reads back, and today's writer keeps what it is given.

#![expect(clippy::unwrap_used, reason = "the helpers here are parts of the tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use prost::Message;
use uuid::Uuid;
use vivace::block::{self, Block, Blocks, Facts, KeyScope, Opening};
use vivace::columns::{
    CellValue, Layout, Projection, ResourceParts, RowRef, SpanColumn, Spans, group_by_trace,
};
use vivace::manifest::BlockEntry;
use vivace::otlp::{content_hash, decode, encode_span, encode_trace};
use vivace::runtime::Cpu;
use vivace::scan::{Need, NeedScope, NeedValue, Scan, ScanCost, SpanSource};
use vivace::store::keys::BlockObject;
use vivace::store::{Store, keys};
use vivace::tenant::TenantId;
use vivace::trace::wire::put_bytes_field;
use vivace::trace::{Scalar, TraceId};

/// The version that is written today.
const VERSION: u32 = 2;

/// With it set, what today's writer makes replaces the golden files of [`VERSION`]. For a version that is not released yet.
const WRITE_GOLDEN: &str = "VIVACE_WRITE_GOLDEN";

const BLOCK: Uuid = Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0001);

/// 2026-11-24 12:00:00 UTC.
const BEGIN: u64 = 1_795_521_600_000_000_000;

/// Traces that are all alike, so that rare keys are rare.
const USUAL_TRACES: u64 = 100;

/// What the block says beside its spans.
fn facts() -> Facts {
    let mut shared = vec![id(7).fold(), id(9).fold()];
    shared.sort_unstable();
    Facts { shared, wal_coverage: b"which spans of the log".to_vec() }
}

// --- the content

fn id(trace: u64) -> TraceId {
    let mixed = trace.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    TraceId((u128::from(mixed) << 64 | u128::from(trace)).to_be_bytes())
}

fn attribute(key: &str, value: Any) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Any::StringValue(value.to_owned()))
}

/// Span `number` of a trace below span `parent`, from 1; 0: none.
fn span(trace: u64, number: u64, parent: u64) -> Span {
    let span_id = |number: u64| (trace << 16 | number).to_be_bytes().to_vec();
    let start = BEGIN + trace * 1_000_000_000 + number * 1_000;
    Span {
        trace_id: id(trace).0.to_vec(),
        span_id: span_id(number),
        parent_span_id: if parent == 0 { Vec::new() } else { span_id(parent) },
        name: format!("step {number}"),
        kind: i32::try_from(1 + number % 5).unwrap(),
        start_time_unix_nano: start,
        end_time_unix_nano: start + 1_000_000 * number,
        ..Span::default()
    }
}

fn usual(trace: u64) -> Vec<Span> {
    let of = |number: u64| {
        let mut span = span(trace, number, number / 2);
        span.attributes = vec![
            text("db.table", ["tasks", "users", "invoices"][usize::try_from(number % 3).unwrap()]),
            attribute("http.response.status_code", Any::IntValue(200)),
            attribute("db.wait_ms", Any::DoubleValue(0.25)),
            attribute("cache.hit", Any::BoolValue(number.is_multiple_of(2))),
        ];
        span.status = (number == 3).then(|| Status { code: 2, message: "no answer".to_owned() });
        span
    };
    (1..=6).map(of).collect()
}

/// One of everything that a span may have.
fn full(trace: u64) -> Span {
    let list = ArrayValue { values: vec![AnyValue { value: Some(Any::IntValue(1)) }] };
    let map = KeyValueList { values: vec![text("inner", "value")] };
    let attributes = vec![
        text("db.table", "only here"),
        text("empty", ""),
        text("rare.text", "needle"),
        attribute("rare.int", Any::IntValue(i64::MIN)),
        attribute("rare.double", Any::DoubleValue(f64::NAN)),
        attribute("rare.zero", Any::DoubleValue(-0.0)),
        attribute("rare.bytes", Any::BytesValue(vec![0, 255])),
        attribute("rare.list", Any::ArrayValue(list)),
        attribute("rare.list.empty", Any::ArrayValue(ArrayValue::default())),
        attribute("rare.map", Any::KvlistValue(map)),
        KeyValue { key: "rare.nothing".to_owned(), ..KeyValue::default() },
        text("twice", "first"),
        attribute("twice", Any::IntValue(2)),
        attribute("ends:int", Any::IntValue(3)),
    ];
    let events = vec![Event {
        time_unix_nano: 5,
        name: "exception".to_owned(),
        attributes: vec![text("exception.type", "Timeout")],
        dropped_attributes_count: 3,
    }];
    let links = vec![Link {
        trace_id: vec![1; 16],
        span_id: vec![2; 3],
        trace_state: "a=b".to_owned(),
        attributes: vec![text("why", "retry")],
        dropped_attributes_count: 4,
        flags: 7,
    }];
    Span {
        trace_state: "vendor=1".to_owned(),
        flags: 0x301,
        attributes,
        dropped_attributes_count: 1,
        events,
        dropped_events_count: 2,
        links,
        dropped_links_count: u32::MAX,
        status: Some(Status::default()),
        ..span(trace, 1, 0)
    }
}

/// Traces whose tree is odd.
fn odd() -> Vec<Span> {
    let mut parent_elsewhere = span(202, 1, 0);
    parent_elsewhere.parent_span_id = vec![9; 8];
    let mut shared_id = span(205, 2, 1);
    shared_id.span_id = span(205, 1, 0).span_id;
    shared_id.parent_span_id = Vec::new();
    let mut backwards = span(206, 1, 0);
    backwards.end_time_unix_nano = backwards.start_time_unix_nano - 1;
    let mut never = span(207, 1, 0);
    (never.start_time_unix_nano, never.end_time_unix_nano) = (0, u64::MAX);
    let cycle = [span(203, 1, 2), span(203, 2, 1)];
    let two_roots = [span(204, 1, 0), span(204, 2, 0)];
    let shared_ids = [span(205, 1, 0), shared_id];
    let singles = [full(201), parent_elsewhere, backwards, never];
    singles.into_iter().chain(cycle).chain(two_roots).chain(shared_ids).collect()
}

fn of_service(service: &str, spans: Vec<Span>) -> ResourceSpans {
    let scope = InstrumentationScope {
        name: "golden".to_owned(),
        version: "1.0".to_owned(),
        attributes: vec![text("mode", "auto")],
        dropped_attributes_count: 1,
    };
    let attributes = vec![text("service.name", service), text("region", "eu")];
    ResourceSpans {
        resource: Some(Resource { attributes, dropped_attributes_count: 2, ..Resource::default() }),
        scope_spans: vec![ScopeSpans {
            scope: Some(scope),
            spans,
            schema_url: "http://schema/scope".to_owned(),
        }],
        schema_url: "http://schema/resource".to_owned(),
    }
}

/// An OTLP request with all that a block must keep.
fn content() -> Vec<u8> {
    let (mut front, mut back) = (Vec::new(), Vec::new());
    for span in (1..=USUAL_TRACES).flat_map(usual) {
        if span.parent_span_id.is_empty() { &mut front } else { &mut back }.push(span);
    }
    let bare = ResourceSpans {
        scope_spans: vec![ScopeSpans { spans: odd(), ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    };
    let resource_spans = vec![of_service("front", front), of_service("back", back), bare];
    let mut body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();

    // A span with field 900 = 5, which no version of OTLP has.
    let mut unknown = span(208, 1, 0).encode_to_vec();
    unknown.extend([0xa0, 0x38, 0x05]);
    let nested = |inner: &[u8]| {
        let mut outer = Vec::new();
        put_bytes_field(&mut outer, 2, inner);
        outer
    };
    put_bytes_field(&mut body, 1, &nested(&nested(&unknown)));
    body
}

// --- the tests

/// The folder of a version.
fn golden(version: u32) -> PathBuf {
    PathBuf::from(format!("tests/formats/block/v{version}"))
}

/// The objects of a block by name.
type Objects = BTreeMap<String, Bytes>;

#[tokio::test]
async fn blocks_of_every_version_are_read() {
    for version in 1..=VERSION {
        let mut objects = Objects::new();
        for file in fs::read_dir(golden(version)).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            objects.insert(name, fs::read(file.path()).unwrap().into());
        }
        let expected = objects.remove("expected.pb").unwrap();
        check(objects, &expected).await;
    }
}

#[tokio::test]
async fn what_is_written_today_reads_back() {
    let body = content();
    let decoded = decode(&body).unwrap();
    assert_eq!(decoded.rejected, []);
    let objects = written(&decoded.spans);
    if std::env::var_os(WRITE_GOLDEN).is_some() {
        let folder = golden(VERSION);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("expected.pb"), &body).unwrap();
        for (name, bytes) in &objects {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
    check(objects, &body).await;
}

fn written(spans: &Spans) -> Objects {
    let chunks = [spans];
    let rows = (0..spans.next_row()).map(|row| RowRef { chunk: 0, row });
    let hash = |row: RowRef| content_hash(spans, row.row as usize);
    let layout = Layout::of(&chunks, group_by_trace(&chunks, rows), &hash);
    let written = block::write(&chunks, &layout, &facts()).unwrap();
    written.objects.into_iter().map(|(object, bytes)| (object.to_string(), bytes)).collect()
}

/// Everything that is asked of a block, on a block that holds `expected`.
async fn check(objects: Objects, expected: &[u8]) {
    let plain = [BlockObject::Spans, BlockObject::Traces, BlockObject::Resources];
    for object in plain {
        check_is_plain(&objects[&object.to_string()]);
    }
    let (store, tenant) = (Store::memory(), TenantId::single());
    let mut entry = BlockEntry { id: BLOCK, ..BlockEntry::default() };
    for (name, bytes) in objects {
        let object = BlockObject::parse(&name).unwrap();
        entry.objects.push(block::object_info(object, &bytes));
        store.put(&keys::block(&tenant, BLOCK, object), bytes).await.unwrap();
    }
    let blocks = Blocks::new(store, Cpu::new(None).unwrap(), 64 << 20);
    let cost = &mut ScanCost::default();
    let block = blocks.open(&tenant, &entry, Opening::Short, cost).await.unwrap();
    let wanted = decode(expected).unwrap().spans;
    check_spans(&block, &wanted, expected).await;
    check_bloom(&blocks, &tenant, &wanted).await;
    check_scans(&block, &wanted).await;
    assert_eq!(block.shared().collect::<Vec<_>>(), facts().shared);
    assert_eq!(&block.wal_coverage().await.unwrap()[..], facts().wal_coverage);
}

/// Any reader of Parquet opens the file by its own footer.
fn check_is_plain(object: &Bytes) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(object.clone()).unwrap();
    let promised = builder.metadata().file_metadata().num_rows();
    let rows: usize = builder.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(i64::try_from(rows).unwrap(), promised);
}

/// Spans with what is around them, comparable whatever their order.
fn kept(spans: &Spans) -> Vec<(Vec<u8>, ResourceParts)> {
    let of = |row: usize| {
        let mut message = Vec::new();
        encode_span(spans, row, &mut message);
        (message, spans.resources[spans.resource[row] as usize].parts().clone())
    };
    let mut all: Vec<_> = (0..spans.len()).map(of).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// The same by prost, which knows nothing of our columns but drops unknown fields.
fn told(data: &TracesData) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    for of_resource in &data.resource_spans {
        for of_scope in &of_resource.scope_spans {
            let around = ResourceSpans {
                scope_spans: vec![ScopeSpans { spans: Vec::new(), ..of_scope.clone() }],
                ..of_resource.clone()
            };
            for span in &of_scope.spans {
                let mut span = span.clone();
                // Bytes, since NaN is not equal to itself.
                span.attributes.sort_by_cached_key(Message::encode_to_vec);
                all.push((span.encode_to_vec(), around.encode_to_vec()));
            }
        }
    }
    all.sort();
    all
}

async fn check_spans(block: &Block, wanted: &Spans, expected: &[u8]) {
    let ids: BTreeSet<TraceId> = wanted.trace_id.iter().copied().collect();
    let mut ranges = Vec::new();
    let directory = block.directory(&mut ScanCost::default()).await.unwrap();
    for id in &ids {
        let places = directory.places(*id);
        assert_eq!(places.len(), 1, "{id}");
        let rows = places[0].first_row..places[0].first_row + places[0].rows;
        let mut cost = ScanCost::default();
        let spans = block.spans(std::slice::from_ref(&rows), &mut cost).await.unwrap();
        assert!(spans.trace_id.iter().all(|found| found == id), "{id}");
        ranges.push(rows);
    }
    assert_eq!(directory.places(id(300)), []);
    ranges.sort_by_key(|rows| rows.start);
    let found = block.spans(&ranges, &mut ScanCost::default()).await.unwrap();
    assert!(kept(&found) == kept(wanted));
    let rows: Vec<_> = (0..found.len()).map(|row| (&found, row)).collect();
    let found = TracesData::decode(&encode_trace(&rows)[..]).unwrap();
    assert!(told(&found) == told(&TracesData::decode(expected).unwrap()));
}

async fn check_bloom(blocks: &Blocks, tenant: &TenantId, wanted: &Spans) {
    for id in &wanted.trace_id {
        assert!(blocks.may_contain(tenant, BLOCK, 1, *id).await.unwrap(), "{id}");
    }
    let mut passed = 0;
    for other in 1_000..2_000 {
        passed += u32::from(blocks.may_contain(tenant, BLOCK, 1, id(other)).await.unwrap());
    }
    assert!(passed < 40, "{passed} of 1,000 pass, 10 expected");
}

async fn check_scans(block: &Arc<Block>, wanted: &Spans) {
    let equals = |scope, key: &str, value| Need::Equals { scope, key: key.to_owned(), value };
    let is_text = |text: &str| NeedValue::String(text.to_owned());
    let has = |scope, key: &str| Need::HasAttribute { scope, key: key.to_owned() };
    for (need, expected) in [
        (Need::Anything, 1),
        (equals(NeedScope::Span, "db.table", is_text("users")), 1),
        (equals(NeedScope::Span, "db.table", is_text("nowhere")), 0),
        (equals(NeedScope::SpanOrResource, "service.name", is_text("back")), 1),
        (equals(NeedScope::SpanOrResource, "service.name", is_text("side")), 0),
        (equals(NeedScope::Span, "http.response.status_code", NeedValue::Int(500)), 0),
        (equals(NeedScope::Event, "exception.type", is_text("Timeout")), 1),
        (has(NeedScope::Span, "rare.text"), 1),
        (has(NeedScope::Span, "rare.none"), 0),
        (has(NeedScope::Link, "why"), 1),
        (has(NeedScope::Instrumentation, "mode"), 1),
        (Need::StatusError, 1),
        (Need::Trace(id(5)), 1),
        (Need::Trace(id(300)), 0),
    ] {
        let scan = Scan { window: 0..=u64::MAX, projection: Projection::default(), need };
        let units = block.units(&scan, &mut ScanCost::default()).await.unwrap();
        assert_eq!(units.len(), expected, "{:?}", scan.need);
    }
    check_batch(block, wanted).await;
    let rest = block.zones().keys.iter().filter(|key| key.rest && key.scope() == KeyScope::Span);
    let rest: Vec<&str> = rest.map(|key| key.key.as_str()).collect();
    assert!(rest.contains(&"rare.map"), "{rest:?}");
}

/// A scan's batch has the tree, the facts of the traces and the values of a key.
async fn check_batch(block: &Arc<Block>, wanted: &Spans) {
    let columns = [SpanColumn::SpanId, SpanColumn::Tree, SpanColumn::Duration];
    let attributes = ["db.table", "rare.text"].map(str::to_owned).into();
    let projection = Projection { attributes, ..Projection::default() }.with(columns);
    let scan = Scan { window: 0..=u64::MAX, projection, need: Need::Anything };
    let units = block.units(&scan, &mut ScanCost::default()).await.unwrap();
    let (batch, cost) = block.read(&units[0], &scan).await.unwrap();
    assert_eq!((batch.rows(), cost.rows), (wanted.len(), wanted.len() as u64));
    let values = |key: &str| -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for value in (0..batch.rows()).filter_map(|row| batch.attributes[key].get(row)) {
            let CellValue::Scalar(Scalar::String(text)) = value else { panic!("{value:?}") };
            *counts.entry(text.to_owned()).or_default() += 1;
        }
        counts
    };
    let counts = |pairs: &[(&str, usize)]| -> BTreeMap<String, usize> {
        pairs.iter().map(|(text, count)| ((*text).to_owned(), *count)).collect()
    };
    let tables = counts(&[("invoices", 200), ("only here", 1), ("tasks", 200), ("users", 200)]);
    assert_eq!(values("db.table"), tables);
    assert_eq!(values("rare.text"), counts(&[("needle", 1)]));

    let traces = &batch.traces;
    let trace_of = |wanted: TraceId| (0..traces.len()).find(|t| traces.id[*t] == wanted).unwrap();
    let usual = trace_of(id(5));
    let first = traces.rows(usual).start;
    assert_eq!(&batch.tree.subtree[first..first + 6], [5, 2, 0, 0, 1, 0]);
    assert_eq!(&batch.tree.parent_delta[first..first + 6], [0, 1, 1, 2, 4, 1]);
    assert_eq!((traces.root_service(usual), traces.root_name(usual)), ("front", "step 1"));
    assert_eq!(traces.services(usual).len(), 2);
    let tops = |trace: u64| {
        traces.rows(trace_of(id(trace))).map(|row| batch.tree.top[row]).collect::<Vec<_>>()
    };
    assert_eq!([202, 203, 204].map(tops), [vec![2], vec![3, 0], vec![1, 1]]);
    assert_eq!(batch.duration[traces.rows(trace_of(id(206))).start], 0);
}
