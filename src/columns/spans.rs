//! Spans as columns, in the order in which they came.

use std::collections::HashMap;
use std::sync::Arc;

use super::attributes::Attributes;
use super::pool::{EMPTY, Pool};
use super::resource::Resource;
use crate::trace::{SpanId, TraceId};

/// Columns of spans. Row `i` of every column is one span; strings are codes of `pool`. Filled row by row by
/// [`Spans::push`], attributes, events and links of a row before the next row begins.
#[derive(Clone, Default)]
pub struct Spans {
    pub pool: Pool,
    pub trace_id: Vec<TraceId>,
    pub span_id: Vec<SpanId>,
    /// All zero where the span has no parent.
    pub parent_id: Vec<SpanId>,
    pub start: Vec<u64>,
    /// May lie before `start`: it is kept as it came.
    pub end: Vec<u64>,
    pub name: Vec<u32>,
    pub kind: Vec<i32>,
    /// [`NO_STATUS`] where the span had no `Status` message.
    pub status: Vec<i32>,
    pub status_message: Vec<u32>,
    pub trace_state: Vec<u32>,
    pub flags: Vec<u32>,
    /// Attributes, events, links that the sender dropped.
    pub dropped: Vec<[u32; 3]>,
    /// Index into `resources`.
    pub resource: Vec<u32>,
    /// Distinct, but for two of equal hash and different content.
    pub resources: Vec<Arc<Resource>>,
    resource_by_hash: HashMap<u64, u32, foldhash::fast::FixedState>,
    pub attributes: Attributes,
    pub events: Events,
    pub links: Links,
    /// Protobuf fields that we do not know, by row, ascending; codes of the pool.
    pub unknown: Vec<(u32, u32)>,
}

/// `status` of a span that came without a `Status` message.
pub const NO_STATUS: i32 = i32::MIN;

/// Events of all rows, row by row.
#[derive(Clone, Default)]
pub struct Events {
    /// Row of each event, ascending.
    pub row: Vec<u32>,
    pub time: Vec<u64>,
    pub name: Vec<u32>,
    pub dropped: Vec<u32>,
    /// Owners are events.
    pub attributes: Attributes,
    pub unknown: Vec<(u32, u32)>,
}

/// Links of all rows, row by row.
#[derive(Clone, Default)]
pub struct Links {
    /// Row of each link, ascending.
    pub row: Vec<u32>,
    /// Codes: an id of any length is kept as it came.
    pub trace_id: Vec<u32>,
    pub span_id: Vec<u32>,
    pub trace_state: Vec<u32>,
    pub flags: Vec<u32>,
    pub dropped: Vec<u32>,
    /// Owners are links.
    pub attributes: Attributes,
    pub unknown: Vec<(u32, u32)>,
}

/// The scalar fields of one span, to be pushed. Codes are of the pool of the [`Spans`] it is pushed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanRow {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent_id: SpanId,
    pub start: u64,
    pub end: u64,
    pub name: u32,
    pub kind: i32,
    pub status: i32,
    pub status_message: u32,
    pub trace_state: u32,
    pub flags: u32,
    pub dropped: [u32; 3],
    pub resource: u32,
}

impl Default for SpanRow {
    fn default() -> Self {
        Self {
            trace_id: TraceId::default(),
            span_id: SpanId::default(),
            parent_id: SpanId::default(),
            start: 0,
            end: 0,
            name: EMPTY,
            kind: 0,
            status: NO_STATUS,
            status_message: EMPTY,
            trace_state: EMPTY,
            flags: 0,
            dropped: [0; 3],
            resource: 0,
        }
    }
}

/// Most equal resources are one, from the cache.
fn is_same(a: &Arc<Resource>, b: &Arc<Resource>) -> bool {
    Arc::ptr_eq(a, b) || a.parts() == b.parts()
}

impl Spans {
    /// Number of spans.
    pub fn len(&self) -> usize {
        self.trace_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.trace_id.is_empty()
    }

    /// The row that the next [`Spans::push`] fills.
    pub fn next_row(&self) -> u32 {
        u32::try_from(self.len()).expect("a chunk holds less than 4 Gi spans")
    }

    /// The index of an equal resource, which is added if it is new.
    pub fn adopt(&mut self, resource: &Arc<Resource>) -> u32 {
        let known = self.resource_by_hash.get(&resource.hash()).copied();
        if let Some(index) = known
            && is_same(&self.resources[index as usize], resource)
        {
            return index;
        }
        let index = u32::try_from(self.resources.len()).expect("fewer resources than spans");
        self.resources.push(Arc::clone(resource));
        self.resource_by_hash.entry(resource.hash()).or_insert(index);
        index
    }

    /// Gives back room that is not filled: for spans that are kept while others are read.
    pub fn shrink(&mut self) {
        let Self {
            pool,
            trace_id,
            span_id,
            parent_id,
            start,
            end,
            name,
            kind,
            status,
            status_message,
            trace_state,
            flags,
            dropped,
            resource,
            resources: _,
            resource_by_hash: _,
            attributes,
            events,
            links,
            unknown: _,
        } = self;
        trace_id.shrink_to_fit();
        for ids in [span_id, parent_id] {
            ids.shrink_to_fit();
        }
        for times in [start, end] {
            times.shrink_to_fit();
        }
        for codes in [name, status_message, trace_state, flags, resource] {
            codes.shrink_to_fit();
        }
        for numbers in [kind, status] {
            numbers.shrink_to_fit();
        }
        dropped.shrink_to_fit();
        pool.shrink();
        for attributes in [attributes, &mut events.attributes, &mut links.attributes] {
            attributes.shrink();
        }
    }

    pub fn push(&mut self, row: SpanRow) {
        let SpanRow {
            trace_id,
            span_id,
            parent_id,
            start,
            end,
            name,
            kind,
            status,
            status_message,
            trace_state,
            flags,
            dropped,
            resource,
        } = row;
        self.trace_id.push(trace_id);
        self.span_id.push(span_id);
        self.parent_id.push(parent_id);
        self.start.push(start);
        self.end.push(end);
        self.name.push(name);
        self.kind.push(kind);
        self.status.push(status);
        self.status_message.push(status_message);
        self.trace_state.push(trace_state);
        self.flags.push(flags);
        self.dropped.push(dropped);
        self.resource.push(resource);
    }

    /// The scalar fields of a row.
    pub fn row(&self, row: usize) -> SpanRow {
        SpanRow {
            trace_id: self.trace_id[row],
            span_id: self.span_id[row],
            parent_id: self.parent_id[row],
            start: self.start[row],
            end: self.end[row],
            name: self.name[row],
            kind: self.kind[row],
            status: self.status[row],
            status_message: self.status_message[row],
            trace_state: self.trace_state[row],
            flags: self.flags[row],
            dropped: self.dropped[row],
            resource: self.resource[row],
        }
    }

    /// Length of the span as queries see it: 0 where the end lies before the start.
    pub fn duration(&self, row: usize) -> u64 {
        self.end[row].saturating_sub(self.start[row])
    }

    /// Bytes of memory held, roughly.
    pub fn memory_bytes(&self) -> usize {
        // 16 + 8 + 8 + 8 + 8 ids and times, 4 × 6 codes and numbers, 12 dropped counts, 4 resource.
        let scalars = self.trace_id.capacity() * 88;
        // What several chunks hold is counted in parts.
        let resource = |r: &Arc<Resource>| r.memory_bytes() / Arc::strong_count(r).max(1);
        let resources: usize = self.resources.iter().map(resource).sum();
        let children = self.events.row.capacity() * 20 + self.links.row.capacity() * 24;
        scalars
            + resources
            + children
            + self.pool.memory_bytes()
            + self.attributes.memory_bytes()
            + self.events.attributes.memory_bytes()
            + self.links.attributes.memory_bytes()
    }
}
