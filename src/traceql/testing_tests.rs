//! Batches built by hand, and queries asked of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{Int32Array, StringArray};

use super::{Ask, TraceMatch, compile};
use crate::columns::{
    AttributeValues, Batch, EventBatch, LinkBatch, NO_ROOT, Projection, Resource, ResourceParts,
    ServiceStats, SpanColumn, Strings, Top, TraceTable,
};
use crate::trace::wire::put_bytes_field;
use crate::trace::{SpanId, TraceId, Value, encode_key_value};

/// A span as a test writes it. Ids are numbers; parent 0 is none.
#[derive(Clone, Default)]
pub(super) struct TestSpan {
    id: u64,
    parent: u64,
    start: u64,
    duration: u64,
    name: String,
    kind: i32,
    status: i32,
    message: Option<String>,
    attributes: Attributes,
    resource: Attributes,
    scope: (String, String),
    scope_attributes: Attributes,
    events: Vec<(String, u64, Attributes)>,
    links: Vec<(Vec<u8>, Vec<u8>, Attributes)>,
}

type Attributes = Vec<(String, Value)>;

pub(super) fn span(id: u64, parent: u64) -> TestSpan {
    TestSpan { id, parent, start: 1000 + id, duration: 10, ..TestSpan::default() }
}

pub(super) fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

pub(super) fn texts(texts: &[&str]) -> Value {
    Value::Array(texts.iter().map(|item| text(item)).collect())
}

impl TestSpan {
    pub(super) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    pub(super) fn at(mut self, start: u64, duration: u64) -> Self {
        (self.start, self.duration) = (start, duration);
        self
    }

    /// OTLP's numbers.
    pub(super) fn kind(mut self, kind: i32) -> Self {
        self.kind = kind;
        self
    }

    /// OTLP's numbers.
    pub(super) fn status(mut self, status: i32) -> Self {
        self.status = status;
        self
    }

    pub(super) fn message(mut self, message: &str) -> Self {
        self.message = Some(message.to_owned());
        self
    }

    pub(super) fn with(mut self, key: &str, value: Value) -> Self {
        self.attributes.push((key.to_owned(), value));
        self
    }

    pub(super) fn resource(mut self, key: &str, value: Value) -> Self {
        self.resource.push((key.to_owned(), value));
        self
    }

    pub(super) fn service(self, name: &str) -> Self {
        self.resource("service.name", text(name))
    }

    pub(super) fn scope(mut self, name: &str, version: &str) -> Self {
        self.scope = (name.to_owned(), version.to_owned());
        self
    }

    pub(super) fn scope_with(mut self, key: &str, value: Value) -> Self {
        self.scope_attributes.push((key.to_owned(), value));
        self
    }

    pub(super) fn event(mut self, name: &str, time: u64, attributes: &[(&str, Value)]) -> Self {
        self.events.push((name.to_owned(), time, owned(attributes)));
        self
    }

    pub(super) fn link(mut self, trace: &[u8], span: &[u8], attributes: &[(&str, Value)]) -> Self {
        self.links.push((trace.to_vec(), span.to_vec(), owned(attributes)));
        self
    }

    fn to_resource(&self) -> Arc<Resource> {
        let mut resource = Vec::new();
        for (key, value) in &self.resource {
            put_bytes_field(&mut resource, 1, &encode_key_value(key, &value.encoded()));
        }
        let mut scope = Vec::new();
        put_bytes_field(&mut scope, 1, self.scope.0.as_bytes());
        put_bytes_field(&mut scope, 2, self.scope.1.as_bytes());
        for (key, value) in &self.scope_attributes {
            put_bytes_field(&mut scope, 3, &encode_key_value(key, &value.encoded()));
        }
        let parts = ResourceParts {
            resource: Some(resource.into()),
            scope: Some(scope.into()),
            ..ResourceParts::default()
        };
        Arc::new(Resource::from_parts(parts).unwrap())
    }
}

fn owned(attributes: &[(&str, Value)]) -> Attributes {
    attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

/// A batch of traces with ids 1, 2, …. Spans are put in tree order, siblings in the order written.
pub(super) fn batch(traces: &[Vec<TestSpan>]) -> Batch {
    let mut batch = Batch::default();
    let mut table = TraceTable { first_row: vec![0], first_service: vec![0], ..Default::default() };
    let mut spans = Vec::new();
    let mut tree = (Vec::new(), Vec::new(), Vec::new());
    for (number, trace) in traces.iter().enumerate() {
        table.id.push(TraceId((number as u128 + 1).to_be_bytes()));
        let first = spans.len();
        for (index, span) in trace.iter().enumerate() {
            if let Some(top) = top_of(trace, span) {
                tree.2.push(top as u8);
                put(trace, index, 0, &mut spans, &mut tree);
            }
        }
        add_trace(&mut table, &spans[first..]);
        table.first_row.push(u32::try_from(spans.len()).unwrap());
    }
    batch.traces = Arc::new(table);
    batch.tree.parent_delta = tree.0.into();
    batch.tree.subtree = tree.1.into();
    batch.tree.top = tree.2.into();
    add_columns(&mut batch, &spans);
    batch
}

fn top_of(trace: &[TestSpan], span: &TestSpan) -> Option<Top> {
    if span.parent == 0 {
        return Some(Top::Root);
    }
    if span.parent == span.id {
        return Some(Top::Cycle);
    }
    trace.iter().all(|other| other.id != span.parent).then_some(Top::ParentMissing)
}

/// Puts a span and its descendants, without recursion: a chain may be deep.
fn put(
    trace: &[TestSpan],
    top: usize,
    parent_row: usize,
    spans: &mut Vec<TestSpan>,
    tree: &mut (Vec<i32>, Vec<i32>, Vec<u8>),
) {
    let mut children: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (index, span) in trace.iter().enumerate().rev() {
        if top_of(trace, span).is_none() {
            children.entry(span.parent).or_default().push(index);
        }
    }
    let mut pending = vec![(top, parent_row, true)];
    while let Some((index, parent_row, is_top)) = pending.pop() {
        let row = spans.len();
        tree.0.push(if is_top { 0 } else { i32::try_from(row - parent_row).unwrap() });
        tree.1.push(0);
        if !is_top {
            tree.2.push(0);
        }
        spans.push(trace[index].clone());
        for child in children.get(&trace[index].id).into_iter().flatten() {
            pending.push((*child, row, false));
        }
    }
    recount(tree);
}

fn recount(tree: &mut (Vec<i32>, Vec<i32>, Vec<u8>)) {
    tree.1.fill(0);
    for row in (0..tree.0.len()).rev() {
        let delta = usize::try_from(tree.0[row]).unwrap();
        if delta > 0 {
            tree.1[row - delta] += tree.1[row] + 1;
        }
    }
}

fn add_trace(table: &mut TraceTable, spans: &[TestSpan]) {
    table.start.push(spans.iter().map(|span| span.start).min().unwrap());
    table.end.push(spans.iter().map(|span| span.start + span.duration).max().unwrap());
    let root = spans
        .iter()
        .enumerate()
        .filter(|(_, span)| span.parent == 0)
        .min_by_key(|(_, span)| (span.start, span.id));
    let service_of = |span: &TestSpan| span.to_resource().service_name().to_string();
    table.root.push(root.map_or(NO_ROOT, |(row, _)| u32::try_from(row).unwrap()));
    let service = root.map(|(_, span)| service_of(span)).unwrap_or_default();
    let name = root.map(|(_, span)| span.name.clone()).unwrap_or_default();
    table.root_service.push(table.strings.intern(service.as_bytes()));
    table.root_name.push(table.strings.intern(name.as_bytes()));
    let mut counts: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for span in spans {
        let count = counts.entry(service_of(span)).or_default();
        count.0 += 1;
        count.1 += u32::from(span.status == 2);
    }
    for (service, (spans, errors)) in counts {
        let service = table.strings.intern(service.as_bytes());
        table.services.push(ServiceStats { service, spans, errors });
    }
    table.first_service.push(u32::try_from(table.services.len()).unwrap());
}

fn add_columns(batch: &mut Batch, spans: &[TestSpan]) {
    let ids = |id: u64| SpanId(id.to_be_bytes());
    batch.span_id = spans.iter().map(|span| ids(span.id)).collect();
    batch.parent_id = spans.iter().map(|span| ids(span.parent)).collect();
    batch.start = spans.iter().map(|span| span.start).collect();
    batch.duration = spans.iter().map(|span| span.duration).collect();
    batch.name = Some(strings(spans.iter().map(|span| Some(span.name.as_str()))));
    batch.kind = spans.iter().map(|span| span.kind).collect();
    batch.status = spans.iter().map(|span| span.status).collect();
    batch.status_message = Some(strings(spans.iter().map(|span| span.message.as_deref())));
    let mut resources: Vec<Arc<Resource>> = Vec::new();
    let mut indexes = Vec::new();
    for span in spans {
        let resource = span.to_resource();
        let known = resources.iter().position(|other| other.hash() == resource.hash());
        indexes.push(u32::try_from(known.unwrap_or(resources.len())).unwrap());
        if known.is_none() {
            resources.push(resource);
        }
    }
    batch.resource = indexes.into();
    batch.resources = Arc::new(resources);
    batch.attributes = attributes(spans.iter().map(|span| &span.attributes));
    let events: Vec<_> = spans.iter().flat_map(|span| &span.events).collect();
    batch.events = Some(EventBatch {
        offsets: offsets(spans.iter().map(|span| span.events.len())),
        time: events.iter().map(|event| event.1).collect(),
        name: Some(strings(events.iter().map(|event| Some(event.0.as_str())))),
        attributes: attributes(events.iter().map(|event| &event.2)),
    });
    let links: Vec<_> = spans.iter().flat_map(|span| &span.links).collect();
    batch.links = Some(LinkBatch {
        offsets: offsets(spans.iter().map(|span| span.links.len())),
        trace_id: links.iter().map(|link| link.0.clone()).collect(),
        span_id: links.iter().map(|link| link.1.clone()).collect(),
        attributes: attributes(links.iter().map(|link| &link.2)),
    });
}

fn offsets(counts: impl Iterator<Item = usize>) -> Vec<u32> {
    let mut offsets = vec![0];
    for count in counts {
        offsets.push(offsets.last().unwrap() + u32::try_from(count).unwrap());
    }
    offsets
}

fn strings<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Strings {
    // An entry that no row has, as dictionaries may hold.
    let mut values = vec!["nobody has this"];
    let mut known = HashMap::new();
    let keys: Vec<Option<i32>> = texts
        .map(|text| {
            let text = text?;
            let key = *known.entry(text).or_insert_with(|| {
                values.push(text);
                values.len() - 1
            });
            Some(i32::try_from(key).unwrap())
        })
        .collect();
    Strings::new(Int32Array::from(keys), StringArray::from(values))
}

fn attributes<'a>(
    owners: impl Iterator<Item = &'a Attributes>,
) -> BTreeMap<String, AttributeValues> {
    let owners: Vec<&Attributes> = owners.collect();
    let keys: BTreeSet<&String> =
        owners.iter().flat_map(|attributes| attributes.iter().map(|(key, _)| key)).collect();
    let of_key = |key: &String| {
        let values: Vec<Option<&Value>> = owners
            .iter()
            .map(|attributes| attributes.iter().find(|(other, _)| other == key))
            .map(|found| found.map(|(_, value)| value))
            .collect();
        (key.clone(), attribute_values(&values))
    };
    keys.into_iter().map(of_key).collect()
}

fn attribute_values(values: &[Option<&Value>]) -> AttributeValues {
    let column = |test: fn(&Value) -> bool| values.iter().flatten().any(|value| test(value));
    AttributeValues {
        strings: column(|value| matches!(value, Value::String(_))).then(|| {
            strings(values.iter().map(|value| match value {
                Some(Value::String(text)) => Some(text.as_str()),
                _ => None,
            }))
        }),
        ints: column(|value| matches!(value, Value::Int(_))).then(|| {
            values
                .iter()
                .map(|value| match value {
                    Some(Value::Int(value)) => Some(*value),
                    _ => None,
                })
                .collect()
        }),
        doubles: column(|value| matches!(value, Value::Double(_))).then(|| {
            values
                .iter()
                .map(|value| match value {
                    Some(Value::Double(value)) => Some(*value),
                    _ => None,
                })
                .collect()
        }),
        bools: column(|value| matches!(value, Value::Bool(_))).then(|| {
            values
                .iter()
                .map(|value| match value {
                    Some(Value::Bool(value)) => Some(*value),
                    _ => None,
                })
                .collect()
        }),
        rest: (0_u32..)
            .zip(values)
            .filter_map(|(row, value)| {
                value.filter(|value| value.scalar().is_none()).map(|value| (row, value.clone()))
            })
            .collect(),
    }
}

/// The batch with no more than the columns that are asked for.
pub(super) fn projected(batch: &Batch, projection: &Projection) -> Batch {
    let mut all = batch.clone();
    let has = |column| projection.has(column);
    let cleared = Batch { traces: Arc::clone(&all.traces), ..Batch::default() };
    if !has(SpanColumn::ParentId) {
        all.parent_id = cleared.parent_id;
    }
    if !has(SpanColumn::Tree) {
        all.tree = cleared.tree;
    }
    if !has(SpanColumn::Name) {
        all.name = None;
    }
    if !has(SpanColumn::Kind) {
        all.kind = cleared.kind;
    }
    if !has(SpanColumn::Status) {
        all.status = cleared.status;
    }
    if !has(SpanColumn::StatusMessage) {
        all.status_message = None;
    }
    if !has(SpanColumn::Resource) {
        all.resource = cleared.resource;
        all.resources = cleared.resources;
    }
    all.attributes.retain(|key, _| projection.attributes.contains(key));
    match (&projection.events, &mut all.events) {
        (Some(wanted), Some(events)) => {
            events.attributes.retain(|key, _| wanted.attributes.contains(key));
            if !wanted.name {
                events.name = None;
            }
            if !wanted.time {
                events.time = Vec::new().into();
            }
        }
        _ => all.events = None,
    }
    match (&projection.links, &mut all.links) {
        (Some(wanted), Some(links)) => {
            links.attributes.retain(|key, _| wanted.attributes.contains(key));
            if !wanted.ids {
                (links.trace_id, links.span_id) = (Vec::new(), Vec::new());
            }
        }
        _ => all.links = None,
    }
    all
}

/// Everything that matches, all spans told.
pub(super) fn search(query: &str, batch: &Batch) -> Vec<TraceMatch> {
    let query = compile(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let ask = Ask { window: 0..=u64::MAX, spans_per_spanset: 0, wanted: &|_, _| true };
    query.evaluate(&projected(batch, query.projection()), &ask).unwrap()
}

/// Ids of the spans of the spansets, spanset by spanset, of all traces.
pub(super) fn spansets(query: &str, batch: &Batch) -> Vec<Vec<u64>> {
    let number = |id: SpanId| u64::from_be_bytes(id.0);
    search(query, batch)
        .iter()
        .flat_map(|trace| &trace.spansets)
        .map(|spanset| {
            let mut ids: Vec<u64> = spanset.spans.iter().map(|span| number(span.id)).collect();
            ids.sort_unstable();
            ids
        })
        .collect()
}

/// Ids of all spans that match, ascending; checks on the way that both ways to evaluate a condition agree.
pub(super) fn kept(query: &str, batch: &Batch) -> Vec<u64> {
    let mut all = spansets(query, batch).concat();
    all.sort_unstable();
    let bound = compile(query).unwrap();
    let projected = projected(batch, bound.projection());
    let rows = bound.rows(&projected);
    for filter in &bound.plan.filters {
        let mask = rows.truth(filter, super::plan::Owner::Span, None);
        for row in 0..batch.rows() {
            let value = rows.eval(filter, super::rows::Place::span(row));
            let is_true = value == super::value::Val::Bool(true);
            assert_eq!(mask.value(row), is_true, "{query}, row {row}: {value:?}");
        }
    }
    all
}
