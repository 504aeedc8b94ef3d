//! Rows of some chunks put in trace order: the order of blocks and of batches.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::batch::Top;
use super::pool::EMPTY;
use super::spans::Spans;
use super::traces::{NO_ROOT, ServiceStats, TraceTable};
use super::tree::{self, Node, Tree};
use crate::trace::TraceId;

/// A row of one of several chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowRef {
    pub chunk: u32,
    pub row: u32,
}

/// Traces one after the other, each in depth-first order of its tree.
#[derive(Clone, Default)]
pub struct Layout {
    /// Where each row comes from.
    pub rows: Vec<RowRef>,
    pub parent_delta: Vec<i32>,
    pub subtree: Vec<i32>,
    /// See [`Top`]; 0 for a span whose parent is here.
    pub top: Vec<u8>,
    pub traces: TraceTable,
}

/// OTLP's status code for an error.
const STATUS_ERROR: i32 = 2;

/// Groups rows of chunks by trace. Traces come in the order of their first row.
pub fn group_by_trace(
    chunks: &[&Spans],
    rows: impl IntoIterator<Item = RowRef>,
) -> Vec<(TraceId, Vec<RowRef>)> {
    let mut index: HashMap<TraceId, usize, FixedState> = HashMap::default();
    let mut groups: Vec<(TraceId, Vec<RowRef>)> = Vec::new();
    for row in rows {
        let id = chunks[row.chunk as usize].trace_id[row.row as usize];
        let place = *index.entry(id).or_insert_with(|| {
            groups.push((id, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(row);
    }
    groups
}

impl Layout {
    /// Lays out traces in the given order. Of two spans of a trace with equal id and kind only one stays: the earlier, then the one with
    /// the smaller `content_hash`.
    pub fn of(
        chunks: &[&Spans],
        traces: impl IntoIterator<Item = (TraceId, Vec<RowRef>)>,
        content_hash: &dyn Fn(RowRef) -> u64,
    ) -> Self {
        let mut layout = Self::default();
        layout.traces.first_row.push(0);
        layout.traces.first_service.push(0);
        for (id, rows) in traces {
            layout.push_trace(chunks, id, rows, content_hash);
        }
        layout
    }

    fn push_trace(
        &mut self,
        chunks: &[&Spans],
        id: TraceId,
        mut rows: Vec<RowRef>,
        content_hash: &dyn Fn(RowRef) -> u64,
    ) {
        drop_duplicates(chunks, &mut rows, content_hash);
        let nodes: Vec<Node> = rows.iter().map(|row| node(chunks, *row)).collect();
        let Tree { order, parent_delta, subtree, top, root } = tree::build(&nodes);
        self.push_facts(chunks, id, &rows, root.map(|place| order[place as usize]));
        self.traces.root.push(root.unwrap_or(NO_ROOT));
        self.rows.extend(order.iter().map(|index| rows[*index as usize]));
        self.parent_delta.extend_from_slice(&parent_delta);
        self.subtree.extend_from_slice(&subtree);
        self.top.extend_from_slice(&top);
        self.traces
            .first_row
            .push(u32::try_from(self.rows.len()).expect("a layout holds less than 4 Gi spans"));
    }

    fn push_facts(&mut self, chunks: &[&Spans], id: TraceId, rows: &[RowRef], root: Option<u32>) {
        let traces = &mut self.traces;
        let (mut start, mut end) = (u64::MAX, 0);
        let mut services: Vec<ServiceStats> = Vec::new();
        let mut places: HashMap<u32, usize, FixedState> = HashMap::default();
        for row in rows {
            let (spans, at) = (chunks[row.chunk as usize], row.row as usize);
            start = start.min(spans.start[at]);
            end = end.max(spans.end[at]).max(spans.start[at]);
            let name = spans.resources[spans.resource[at] as usize].service_name();
            let service = traces.strings.intern(name.as_bytes());
            let errors = u32::from(spans.status[at] == STATUS_ERROR);
            let place = *places.entry(service).or_insert_with(|| {
                services.push(ServiceStats { service, spans: 0, errors: 0 });
                services.len() - 1
            });
            services[place].spans += 1;
            services[place].errors += errors;
        }
        let (mut root_service, mut root_name) = (EMPTY, EMPTY);
        if let Some(index) = root {
            let row = rows[index as usize];
            let (spans, at) = (chunks[row.chunk as usize], row.row as usize);
            let service = spans.resources[spans.resource[at] as usize].service_name();
            root_service = traces.strings.intern(service.as_bytes());
            root_name = traces.strings.intern(spans.pool.get(spans.name[at]));
        }
        let name = |stats: &ServiceStats| traces.strings.get(stats.service);
        services.sort_by(|a, b| name(a).cmp(name(b)));
        traces.id.push(id);
        traces.start.push(start);
        traces.end.push(end);
        traces.root_service.push(root_service);
        traces.root_name.push(root_name);
        traces.services.extend(services);
        traces
            .first_service
            .push(u32::try_from(traces.services.len()).expect("fewer services than spans"));
    }

    /// Rows that are laid out.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether the span at a place has a parent id but no parent here.
    pub fn is_orphan(&self, place: usize) -> bool {
        self.top[place] != 0 && self.top[place] != Top::Root as u8
    }
}

fn node(chunks: &[&Spans], row: RowRef) -> Node {
    let (spans, at) = (chunks[row.chunk as usize], row.row as usize);
    Node {
        span_id: spans.span_id[at],
        parent_id: spans.parent_id[at],
        kind: spans.kind[at],
        start: spans.start[at],
    }
}

/// Keeps one of the rows with equal span id and kind.
fn drop_duplicates(
    chunks: &[&Spans],
    rows: &mut Vec<RowRef>,
    content_hash: &dyn Fn(RowRef) -> u64,
) {
    let key = |row: RowRef| {
        let spans = chunks[row.chunk as usize];
        (spans.span_id[row.row as usize], spans.kind[row.row as usize])
    };
    // Places only: a trace may have millions of spans.
    let mut seen: HashTable<u32> = HashTable::with_capacity(rows.len());
    let hasher = FixedState::default();
    let mut kept: Vec<RowRef> = Vec::with_capacity(rows.len());
    for row in rows.iter().copied() {
        let mine = key(row);
        let entry = seen.entry(
            hasher.hash_one(mine),
            |place| key(kept[*place as usize]) == mine,
            |place| hasher.hash_one(key(kept[*place as usize])),
        );
        let place = match entry {
            Entry::Occupied(place) => *place.get() as usize,
            Entry::Vacant(vacant) => {
                vacant.insert(u32::try_from(kept.len()).expect("a layout holds less than 4 Gi"));
                kept.push(row);
                continue;
            }
        };
        let other = kept[place];
        let start = |row: RowRef| chunks[row.chunk as usize].start[row.row as usize];
        let order = start(row).cmp(&start(other));
        if order.then_with(|| content_hash(row).cmp(&content_hash(other))).is_lt() {
            kept[place] = row;
        }
    }
    *rows = kept;
}
