//! A block as a whole: written, stored, opened, read.

use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status, TracesData, span,
};
use prost::Message;
use uuid::Uuid;

use super::*;
use crate::columns::{
    Batch, EventProjection, Layout, Projection, RowRef, SpanColumn, Spans, group_by_trace,
};
use crate::manifest::BlockEntry;
use crate::runtime::Cpu;
use crate::scan::{Need, NeedScope, NeedValue, Scan, ScanCost, SpanSource};
use crate::store::{Store, keys};
use crate::tenant::TenantId;
use crate::trace::{Scalar, TraceId};

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(text: &str) -> any_value::Value {
    any_value::Value::StringValue(text.into())
}

fn trace_id(trace: u64) -> Vec<u8> {
    ((u128::from(trace) << 64) | u128::from(trace)).to_be_bytes().to_vec()
}

/// Nothing but a name, so that some rows of a page lack what others have.
fn bare(span: Span) -> Span {
    Span {
        attributes: vec![],
        events: vec![],
        links: vec![],
        status: None,
        trace_state: String::new(),
        ..span
    }
}

/// A trace of `spans` spans in a chain, with attributes of many kinds.
fn trace(trace: u64, spans: u64) -> ResourceSpans {
    // Few enough to be absent from most pages, many enough for a column.
    let seldom = |index: u64| {
        let is_here = trace.is_multiple_of(20) && index == 0;
        is_here.then(|| attribute("seldom", text("here")))
    };
    let span_of = |index: u64| Span {
        trace_id: trace_id(trace),
        span_id: ((trace << 20) | (index + 1)).to_be_bytes().to_vec(),
        parent_span_id: if index == 0 {
            vec![]
        } else {
            ((trace << 20) | index).to_be_bytes().to_vec()
        },
        name: format!("op-{}", index % 3),
        kind: i32::try_from(index % 6).unwrap(),
        start_time_unix_nano: 1_000_000_000_000 * trace + index,
        end_time_unix_nano: 1_000_000_000_000 * trace + index * 10,
        attributes: vec![
            attribute("table", text(&format!("t{}", index % 4))),
            attribute("code", any_value::Value::IntValue(i64::try_from(200 + index).unwrap())),
            attribute("ratio", any_value::Value::DoubleValue(0.5)),
            attribute("ok", any_value::Value::BoolValue(index.is_multiple_of(2))),
            attribute("code", text("repeated")),
            attribute("bytes", any_value::Value::BytesValue(vec![0, 1, 255])),
            attribute(&format!("rare-{trace}-{index}"), text("x")),
        ]
        .into_iter()
        .chain(seldom(index))
        .collect(),
        events: vec![span::Event {
            time_unix_nano: 5,
            name: "exception".into(),
            attributes: vec![attribute("exception.type", text("Bad"))],
            dropped_attributes_count: 2,
        }],
        links: vec![span::Link {
            trace_id: vec![1; 16],
            span_id: vec![2; 3],
            trace_state: "a=b".into(),
            attributes: vec![attribute("why", text("x"))],
            dropped_attributes_count: 1,
            flags: 7,
        }],
        trace_state: "v=1".into(),
        flags: 0x101,
        dropped_attributes_count: 3,
        dropped_events_count: 4,
        dropped_links_count: 5,
        status: (index % 2 == 1).then(|| Status { message: "no".into(), code: 2 }),
    };
    let span_of =
        |index| if trace.is_multiple_of(13) { bare(span_of(index)) } else { span_of(index) };
    ResourceSpans {
        resource: Some(Resource {
            attributes: vec![attribute("service.name", text(&format!("svc-{}", trace % 3)))],
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "lib".into(),
                ..InstrumentationScope::default()
            }),
            spans: (0..spans).map(span_of).collect(),
            schema_url: "http://schema".into(),
        }],
        schema_url: String::new(),
    }
}

pub(super) fn chunk(traces: impl Iterator<Item = (u64, u64)>) -> Spans {
    let resource_spans = traces.map(|(id, spans)| trace(id, spans)).collect();
    let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    let decoded = crate::otlp::decode(&body).unwrap();
    assert!(decoded.rejected.is_empty());
    decoded.spans
}

fn layout(chunks: &[&Spans]) -> Layout {
    let rows = (0_u32..)
        .zip(chunks)
        .flat_map(|(chunk, spans)| (0..spans.next_row()).map(move |row| RowRef { chunk, row }));
    let hash =
        |row: RowRef| crate::otlp::content_hash(chunks[row.chunk as usize], row.row as usize);
    Layout::of(chunks, group_by_trace(chunks, rows), &hash)
}

pub(super) async fn stored(chunks: &[&Spans]) -> (Arc<Block>, Written) {
    let (store, tenant, id) = (Store::memory(), TenantId::single(), Uuid::now_v7());
    let written = write(chunks, &layout(chunks), &Facts::default()).unwrap();
    for (object, bytes) in &written.objects {
        store.put(&keys::block(&tenant, id, *object), bytes.clone()).await.unwrap();
    }
    let cpu = Cpu::new(None).unwrap();
    let blocks = Blocks::new(store, cpu, 64 << 20);
    let entry = BlockEntry { id, objects: written.object_infos(), ..BlockEntry::default() };
    let cost = &mut ScanCost::default();
    let block = blocks.open(&tenant, &entry, Opening::Short, cost).await.unwrap();
    block.tails(cost).await.unwrap();
    (block, written)
}

/// The opened `spans.parquet` of a stored block.
pub(super) fn spans_of(block: &Block) -> &ArrowReaderMetadata {
    &block.known.tails.get().unwrap().spans
}

async fn places(block: &Block, id: TraceId) -> Vec<Place> {
    block.directory(&mut ScanCost::default()).await.unwrap().places(id)
}

fn everything() -> Projection {
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<BTreeSet<_>>();
    Projection {
        attributes: keys(&["table", "code", "bytes", "rare-7-0", "nowhere"]),
        events: Some(EventProjection {
            name: true,
            time: true,
            attributes: keys(&["exception.type"]),
        }),
        ..Projection::default()
    }
    .with([
        SpanColumn::SpanId,
        SpanColumn::ParentId,
        SpanColumn::Tree,
        SpanColumn::Start,
        SpanColumn::Duration,
        SpanColumn::Name,
        SpanColumn::Kind,
        SpanColumn::Status,
        SpanColumn::StatusMessage,
        SpanColumn::Resource,
    ])
}

/// Everything that can be seen of a batch, row by row.
fn seen(batch: &Batch) -> Vec<String> {
    let row = |row: usize| {
        let attributes: Vec<_> =
            batch.attributes.iter().filter_map(|(k, v)| Some((k, v.get(row)?))).collect();
        let events = batch.events.as_ref().unwrap();
        let of_row = events.offsets[row] as usize..events.offsets[row + 1] as usize;
        let events: Vec<_> = of_row
            .map(|event| {
                let kind = events.attributes.get("exception.type").and_then(|v| v.get(event));
                (events.time[event], events.name.as_ref().unwrap().get(event), kind)
            })
            .collect();
        format!(
            "{:?} {:?} {} {} {} {} {} {:?} {} {} {:?} {} {attributes:?} {events:?}",
            batch.span_id[row],
            batch.parent_id[row],
            batch.tree.parent_delta[row],
            batch.tree.subtree[row],
            batch.tree.top[row],
            batch.start[row],
            batch.duration[row],
            batch.name.as_ref().unwrap().get(row),
            batch.kind[row],
            batch.status[row],
            batch.status_message.as_ref().unwrap().get(row).unwrap_or_default(),
            batch.service_name(row),
        )
    };
    (0..batch.rows()).map(row).collect()
}

#[tokio::test]
async fn a_block_answers_as_the_chunks_it_was_made_of() {
    // Two chunks: every trace has its even spans in one and its odd spans in the other.
    let whole = chunk((1..30).map(|id| (id, 5)));
    let (block, written) = stored(&[&whole]).await;
    assert_eq!((written.spans, written.traces), (145, 29));
    assert_eq!(written.service_names, ["svc-0", "svc-1", "svc-2"]);

    let live = layout(&[&whole]);
    let live = crate::columns::batch(&[&whole], &live, &everything());
    let scan = Scan { window: 0..=u64::MAX, projection: everything(), need: Need::Anything };
    let mut cost = ScanCost::default();
    let units = block.units(&scan, &mut cost).await.unwrap();
    assert_eq!((units.len(), cost.units_skipped), (1, 0));
    let (batch, cost) = block.read(&units[0], &scan).await.unwrap();
    assert_eq!((cost.rows, cost.traces), (145, 29));
    let sorted = |batch: &Batch| {
        let mut rows = seen(batch);
        rows.sort();
        rows
    };
    assert_eq!(sorted(&batch), sorted(&live));
    assert_eq!(
        batch.attributes["code"].get(0),
        Some(crate::columns::CellValue::Scalar(Scalar::Int(200)))
    );
    assert!(!batch.attributes.contains_key("nowhere"));
    for trace in 0..batch.traces.len() {
        let facts = |batch: &Batch, trace: usize| {
            let t = &batch.traces;
            let services: Vec<_> = t
                .services(trace)
                .iter()
                .map(|s| (t.strings.text(s.service).to_owned(), s.spans, s.errors))
                .collect();
            (
                t.id[trace],
                t.start[trace],
                t.end[trace],
                t.root[trace],
                t.root_service(trace).to_owned(),
                t.root_name(trace).to_owned(),
                services,
                t.rows(trace).len(),
            )
        };
        let mine = facts(&batch, trace);
        let other = (0..live.traces.len()).find(|t| live.traces.id[*t] == mine.0).unwrap();
        assert_eq!(mine, facts(&live, other));
    }
}

#[tokio::test]
async fn every_field_comes_back_from_a_block() {
    let whole = chunk((1..200).map(|id| (id, 1 + id % 7)));
    let (block, _) = stored(&[&whole]).await;
    for id in [1_u64, 7, 150, 199] {
        let id_bytes = TraceId(trace_id(id).try_into().unwrap());
        let places = places(&block, id_bytes).await;
        assert_eq!(places.len(), 1);
        let rows = places[0].first_row..places[0].first_row + places[0].rows;
        let spans = block.spans(&[rows], &mut ScanCost::default()).await.unwrap();
        let rows: Vec<_> = (0..spans.len()).map(|row| (&spans, row)).collect();
        let got = TracesData::decode(&crate::otlp::encode_trace(&rows)[..]).unwrap();
        assert_eq!(sorted(got.resource_spans), sorted(vec![trace(id, 1 + id % 7)]));
    }
    assert_eq!(places(&block, TraceId::parse("ffff").unwrap()).await, []);
}

/// Spans by id, attributes by key: their order may change.
fn sorted(mut resource_spans: Vec<ResourceSpans>) -> Vec<ResourceSpans> {
    let spans = resource_spans.iter_mut().flat_map(|r| &mut r.scope_spans);
    for scope in spans {
        scope.spans.sort_by(|a, b| a.span_id.cmp(&b.span_id));
        for span in &mut scope.spans {
            span.attributes.sort_by(|a, b| a.key.cmp(&b.key));
        }
    }
    resource_spans
}

#[tokio::test]
async fn a_unit_without_the_value_is_left_unread() {
    let whole = chunk((1..30).map(|id| (id, 5)));
    let (block, _) = stored(&[&whole]).await;
    let units = |need: Need| {
        let scan = Scan { window: 0..=u64::MAX, projection: Projection::default(), need };
        let block = &block;
        async move { block.units(&scan, &mut ScanCost::default()).await.unwrap().len() }
    };
    let equals = |scope, key: &str, value: &str| Need::Equals {
        scope,
        key: key.into(),
        value: NeedValue::String(value.into()),
    };
    assert_eq!(units(equals(NeedScope::Span, "table", "t1")).await, 1);
    assert_eq!(units(equals(NeedScope::Span, "table", "t9")).await, 0);
    assert_eq!(units(equals(NeedScope::SpanOrResource, "service.name", "svc-1")).await, 1);
    assert_eq!(units(equals(NeedScope::SpanOrResource, "service.name", "svc-9")).await, 0);
    assert_eq!(units(equals(NeedScope::Event, "exception.type", "Bad")).await, 1);
    assert_eq!(
        units(Need::Equals {
            scope: NeedScope::Span,
            key: "code".into(),
            value: NeedValue::Int(300)
        })
        .await,
        0
    );
    assert_eq!(units(Need::Trace(TraceId(trace_id(3).try_into().unwrap()))).await, 1);
    assert_eq!(units(Need::Trace(TraceId(trace_id(300).try_into().unwrap()))).await, 0);
}

#[tokio::test]
async fn a_damaged_object_is_an_error_that_names_the_part() {
    let whole = chunk((1..5).map(|id| (id, 3)));
    let (store, tenant, id) = (Store::memory(), TenantId::single(), Uuid::now_v7());
    let blocks = Blocks::new(store.clone(), Cpu::new(None).unwrap(), 1 << 20);
    let written = write(&[&whole], &layout(&[&whole]), &Facts::default()).unwrap();
    let entry = BlockEntry { id, objects: written.object_infos(), ..BlockEntry::default() };
    let open = || async {
        blocks.open(&tenant, &entry, Opening::Short, &mut ScanCost::default()).await.err().unwrap()
    };
    let missing = open().await;
    assert!(matches!(missing, Error::Store(_)), "{missing}");
    for (object, bytes) in &written.objects {
        let mut bytes = bytes.to_vec();
        if *object == keys::BlockObject::Index {
            let middle = bytes.len() - 40;
            bytes[middle] ^= 1;
        }
        store.put(&keys::block(&tenant, id, *object), Bytes::from(bytes)).await.unwrap();
    }
    let damaged = open().await;
    assert!(matches!(damaged, Error::Corrupt { part: "index", .. }), "{damaged}");
    assert!(
        blocks.may_contain(&tenant, id, 1, TraceId(trace_id(1).try_into().unwrap())).await.unwrap()
    );
}
