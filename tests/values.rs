//! What a block's index says of values is what its rows say: counts of them are equal, and none is ruled out that is there.

#![expect(clippy::unwrap_used, reason = "the helpers here are parts of the tests")]

use std::collections::BTreeSet;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use uuid::Uuid;
use vivace::block::{self, Block, Blocks, Facts, Opening};
use vivace::columns::{Layout, Projection, RowRef, Spans, group_by_trace};
use vivace::manifest::BlockEntry;
use vivace::otlp::{content_hash, decode};
use vivace::runtime::Cpu;
use vivace::scan::{Need, NeedScope, NeedValue, Scan, ScanCost, SpanSource};
use vivace::store::{Store, keys};
use vivace::tenant::TenantId;
use vivace::traceql::{TagType, ValueSet, compile, compile_values};

mod sent;

use sent::{Dice, Sent, body};

const SPANS: u64 = 6_000;

/// Attributes, and whether the index knows their values.
const ATTRIBUTES: [(&str, bool); 25] = [
    ("span.few", true),
    (".few", true),
    ("span.users", true),
    ("span.unique", false),
    ("span.numbers", false),
    ("span.rare.3", true),
    (".rare.3", true),
    ("span.mixed", false),
    ("span.twice", true),
    ("span.region", true),
    (".region", true),
    ("resource.region", true),
    (".zone", false),
    (".shadow", false),
    ("resource.service.name", true),
    (".service.name", true),
    ("resource.hosts", true),
    ("event.kind", true),
    ("event:name", true),
    ("link.why", true),
    ("instrumentation.mode", true),
    ("instrumentation:name", true),
    ("name", true),
    ("status", true),
    ("statusMessage", true),
];

fn attribute(key: &str, value: Any) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn text(text: impl Into<String>) -> Any {
    Any::StringValue(text.into())
}

fn array(items: impl IntoIterator<Item = Any>) -> Any {
    let values = items.into_iter().map(|item| AnyValue { value: Some(item) }).collect();
    Any::ArrayValue(ArrayValue { values })
}

fn one_of<T: Copy>(all: &[T], roll: u64) -> T {
    all[usize::try_from(roll % all.len() as u64).unwrap()]
}

/// A value of any type: equal ones come again.
fn mixed(dice: &mut Dice) -> Any {
    match dice.below(11) {
        0 => text("one"),
        1 => Any::IntValue(1),
        2 => Any::DoubleValue(1.0),
        3 => Any::DoubleValue(one_of(&[f64::NAN, -0.0, f64::INFINITY], dice.roll())),
        4 => Any::BoolValue(dice.below(2) == 0),
        5 => array([text("first"), text("one")]),
        6 => array([Any::IntValue(7)]),
        7 => array([Any::IntValue(8), text("not alike")]),
        8 => array([]),
        9 => Any::BytesValue(vec![1]),
        _ => Any::KvlistValue(KeyValueList { values: vec![attribute("in", text("side"))] }),
    }
}

fn resource(number: u64) -> Resource {
    let mut attributes = vec![attribute("hosts", array([text("a"), text(format!("h{number}"))]))];
    if number != 0 {
        attributes.push(attribute("service.name", text(format!("service-{}", number % 3))));
    }
    if number.is_multiple_of(2) {
        attributes.push(attribute("region", text(one_of(&["eu", "us"], number / 2))));
        attributes.push(attribute("zone", Any::IntValue(number.cast_signed())));
        attributes.push(attribute("shadow", text("of the resource")));
        attributes.push(attribute("region", text("a second one is not seen")));
    }
    Resource { attributes, ..Resource::default() }
}

fn span(dice: &mut Dice, number: u64) -> Sent {
    let start = 1_790_000_000_000_000_000 + number * 1_000_000;
    let mut attributes = vec![
        attribute("few", text(format!("value {}", dice.below(5)))),
        attribute("unique", text(format!("{number:016x}, once only"))),
        attribute("numbers", Any::DoubleValue(f64::from(u32::try_from(number).unwrap()) / 3.0)),
        attribute("mixed", mixed(dice)),
    ];
    if dice.below(3) > 0 {
        attributes.push(attribute("users", text(format!("u-{:04}", dice.below(200)))));
        attributes.push(attribute("twice", Any::IntValue(dice.below(100).cast_signed())));
        attributes.push(attribute("twice", text("never seen")));
    }
    if dice.below(4) == 0 {
        attributes.push(attribute("region", text(one_of(&["eu", "asia"], dice.roll()))));
        attributes.push(attribute("zone", array([text("x"), text("y")])));
    }
    if dice.below(5) == 0 {
        // An empty array does not hide the resource's value, a kvlist does.
        let map = Any::KvlistValue(KeyValueList::default());
        attributes.push(attribute("shadow", if dice.below(2) == 0 { map } else { array([]) }));
    }
    if number % 700 == 3 {
        attributes.push(attribute("rare.3", text("needle")));
    }
    let event = |name: &str, kind: u64| Event {
        name: name.to_owned(),
        attributes: vec![attribute("kind", Any::IntValue(kind.cast_signed()))],
        ..Event::default()
    };
    let link = Link { attributes: vec![attribute("why", text("retry"))], ..Link::default() };
    let code = i32::try_from(dice.below(3)).unwrap();
    let message = one_of(&["", "", "timeout"], dice.roll()).to_owned();
    let span = Span {
        trace_id: u128::from(1 + number / 20).to_be_bytes().to_vec(),
        span_id: (number + 1).to_be_bytes().to_vec(),
        name: format!("operation {}", dice.below(90)),
        kind: i32::try_from(dice.below(6)).unwrap(),
        start_time_unix_nano: start,
        end_time_unix_nano: start + 5,
        attributes,
        events: (0..dice.below(3)).map(|kind| event(one_of(&["", "e"], kind), kind)).collect(),
        links: (0..dice.below(2)).map(|_| link.clone()).collect(),
        status: (dice.below(2) == 0).then_some(Status { code, message }),
        ..Span::default()
    };
    let scope = (dice.below(2) == 0).then(|| InstrumentationScope {
        name: "library".to_owned(),
        attributes: vec![attribute("mode", Any::BoolValue(true))],
        ..InstrumentationScope::default()
    });
    Sent { resource: Some(resource(dice.below(7))), scope, span }
}

/// A block of several chunks: each has its own codes.
async fn block() -> Arc<Block> {
    let mut dice = Dice(8);
    let all: Vec<Sent> = (0..SPANS).map(|number| span(&mut dice, number)).collect();
    let parts = sent::dealt(&all, 3, 1);
    let chunks: Vec<Spans> = parts.iter().map(|part| decode(&body(part)).unwrap().spans).collect();
    let chunks: Vec<&Spans> = chunks.iter().collect();
    let rows = (0_u32..)
        .zip(&chunks)
        .flat_map(|(chunk, spans)| (0..spans.next_row()).map(move |row| RowRef { chunk, row }));
    let hash = |row: RowRef| content_hash(chunks[row.chunk as usize], row.row as usize);
    let layout = Layout::of(&chunks, group_by_trace(&chunks, rows), &hash);
    let written = block::write(&chunks, &layout, &Facts::default()).unwrap();
    let (store, tenant, id) = (Store::memory(), TenantId::single(), Uuid::from_u128(1));
    let entry = BlockEntry { id, objects: written.object_infos(), ..BlockEntry::default() };
    for (object, bytes) in written.objects {
        store.put(&keys::block(&tenant, id, object), bytes).await.unwrap();
    }
    let blocks = Blocks::new(store, Cpu::new(None).unwrap(), 64 << 20);
    blocks.open(&tenant, &entry, Opening::Short, &mut ScanCost::default()).await.unwrap()
}

/// The values of an attribute by the rows of the block.
async fn by_rows(block: &Arc<Block>, attribute: &str) -> ValueSet {
    let query = compile_values(attribute, "").unwrap();
    let (window, projection) = (0..=u64::MAX, query.projection().clone());
    let scan = Scan { window: window.clone(), projection, need: query.need() };
    let mut values = ValueSet::default();
    for unit in block.units(&scan, &mut ScanCost::default()).await.unwrap() {
        let (batch, _) = block.read(&unit, &scan).await.unwrap();
        query.collect(&batch, &window, &|_| true, &mut values);
    }
    values
}

#[tokio::test]
async fn the_index_counts_as_the_rows_do() {
    let block = block().await;
    for (attribute, is_known) in ATTRIBUTES {
        let query = compile_values(attribute, "").unwrap();
        let asked = query.counted().unwrap();
        let units = (0..block.zones().units.len()).collect();
        let mut cost = ScanCost::default();
        let found = block.counts(&asked, units, &mut cost).await.unwrap();
        assert_eq!(found.unknown.is_empty(), is_known, "{attribute}");
        assert_eq!((cost.rows, cost.units_read), (0, 0), "{attribute}");
        let expected = by_rows(&block, attribute).await;
        assert!(!expected.is_empty(), "{attribute}");
        if is_known {
            let mut values = ValueSet::default();
            query.add_counts(&found.counts, &mut values);
            assert_eq!(values, expected, "{attribute}");
        } else {
            assert!(found.counts.values.is_empty() && found.counts.resources.is_empty());
        }
    }
}

#[test]
fn with_a_filter_or_of_a_place_in_the_tree_spans_are_read() {
    for (attribute, filter) in [
        ("span.few", "{ status = error }"),
        ("name", "{ span.few = \"value 1\" }"),
        ("duration", ""),
        ("nestedSetParent", ""),
    ] {
        assert_eq!(compile_values(attribute, filter).unwrap().counted(), None, "{attribute}");
    }
    assert!(compile_values("span.few", "{ }").unwrap().counted().is_some());
}

/// Over all needs.
async fn passed_of(block: &Block, needs: impl Iterator<Item = Need>) -> usize {
    let mut passed = 0;
    for need in needs {
        passed += units(block, need).await;
    }
    passed
}

async fn units(block: &Block, need: Need) -> usize {
    let scan = Scan { window: 0..=u64::MAX, projection: Projection::default(), need };
    block.units(&scan, &mut ScanCost::default()).await.unwrap().len()
}

#[tokio::test]
async fn no_value_that_is_there_is_ruled_out() {
    let block = block().await;
    for (attribute, _) in ATTRIBUTES {
        for (kind, text, _) in by_rows(&block, attribute).await.iter() {
            let literal = match kind {
                TagType::String => format!("{text:?}"),
                _ if ["NaN", "+Inf"].contains(&text) => continue,
                _ => text.to_owned(),
            };
            let need = compile(&format!("{{ {attribute} = {literal} }}")).unwrap().need();
            assert_eq!(units(&block, need).await, 1, "{attribute} = {literal}");
        }
    }
}

#[tokio::test]
async fn most_values_that_are_not_there_are_ruled_out() {
    let block = block().await;
    let equals = |scope, key: &str, value| Need::Equals { scope, key: key.to_owned(), value };
    let is_text = |number| NeedValue::String(format!("{number:016x}, another"));
    for (scope, key) in [
        (NeedScope::SpanOrResource, "unique"),
        (NeedScope::Span, "users"),
        (NeedScope::SpanOrResource, "mixed"),
        (NeedScope::Event, "kind"),
        (NeedScope::Resource, "hosts"),
    ] {
        let needs = (0..1_000).map(|number| equals(scope, key, is_text(number)));
        let passed = passed_of(&block, needs).await;
        assert!(passed < 25, "{key}: {passed} of 1,000 pass, at most 10 expected");
    }
    let names = (0..1_000).map(|number| Need::NameEquals(format!("none {number}")));
    let passed = passed_of(&block, names).await;
    assert!(passed < 25, "{passed} of 1,000 names pass, at most 10 expected");
    // In the range, and one of no more than a hundred.
    let needs = (0..1_000).map(|number| {
        equals(NeedScope::Span, "twice", NeedValue::Double(f64::from(number) / 20.0 + 0.01))
    });
    let passed = passed_of(&block, needs).await;
    assert!(passed < 25, "{passed} of 1,000 numbers pass, at most 10 expected");
}

#[tokio::test]
async fn every_value_is_of_some_row() {
    // Else the tests above prove nothing.
    let block = block().await;
    let of = |kind| move |set: &ValueSet| set.iter().any(|(known, ..)| known == kind);
    let mixed = by_rows(&block, "span.mixed").await;
    for kind in [TagType::String, TagType::Int, TagType::Float, TagType::Bool] {
        assert!(of(kind)(&mixed), "{kind:?}");
    }
    let zones: BTreeSet<String> =
        by_rows(&block, ".zone").await.iter().map(|(_, text, _)| text.to_owned()).collect();
    assert!(zones.contains("x") && zones.contains("2"), "{zones:?}");
}
