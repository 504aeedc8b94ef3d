//! A tenant's blocks and live spans at one moment.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::live::LiveSource;
use super::tenant::Chunk;
use crate::columns::{RowRef, Spans};
use crate::manifest::Manifest;
use crate::runtime::Cpu;
use crate::trace::TraceId;

/// What is there of a tenant at one moment. While it is held nothing of it changes.
#[derive(Clone)]
pub struct Pin {
    /// The blocks.
    pub manifest: Arc<Manifest>,
    pub(super) live: Arc<LiveIndex>,
}

/// Live chunks, and by trace where its rows are.
pub(super) struct LiveIndex {
    pub(super) chunks: Vec<Chunk>,
    groups: OnceLock<Groups>,
}

/// The live traces, newest first.
#[derive(Default)]
pub(super) struct Groups {
    pub(super) traces: Vec<LiveGroup>,
    by_id: HashMap<TraceId, usize, foldhash::fast::RandomState>,
}

/// A live trace's rows, and the time they span.
pub(super) struct LiveGroup {
    pub(super) id: TraceId,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) rows: Vec<RowRef>,
}

impl LiveIndex {
    pub(super) fn of(chunks: Vec<Chunk>) -> Self {
        Self { chunks, groups: OnceLock::new() }
    }

    /// Grouped when first asked: CPU work.
    pub(super) fn groups(&self) -> &Groups {
        self.groups.get_or_init(|| Groups::of(&self.chunks))
    }

    pub(super) fn spans(&self) -> Vec<&Spans> {
        self.chunks.iter().map(|chunk| &*chunk.spans).collect()
    }
}

impl Groups {
    fn of(chunks: &[Chunk]) -> Self {
        let mut by_id: HashMap<TraceId, usize, foldhash::fast::RandomState> = HashMap::default();
        let mut traces: Vec<LiveGroup> = Vec::new();
        for (number, chunk) in (0_u32..).zip(chunks) {
            let spans = &*chunk.spans;
            for row in (0..spans.next_row()).filter(|row| chunk.is_live(*row as usize)) {
                let (id, at) = (spans.trace_id[row as usize], row as usize);
                let place = *by_id.entry(id).or_insert_with(|| {
                    traces.push(LiveGroup { id, start: u64::MAX, end: 0, rows: Vec::new() });
                    traces.len() - 1
                });
                let group = &mut traces[place];
                group.start = group.start.min(spans.start[at]);
                group.end = group.end.max(spans.end[at]).max(spans.start[at]);
                group.rows.push(RowRef { chunk: number, row });
            }
        }
        traces.sort_unstable_by_key(|group| (std::cmp::Reverse(group.start), group.id));
        let places = traces.iter().enumerate().map(|(place, group)| (group.id, place));
        Self { by_id: places.collect(), traces }
    }

    pub(super) fn find(&self, id: TraceId) -> Option<&LiveGroup> {
        self.by_id.get(&id).map(|place| &self.traces[*place])
    }
}

impl Pin {
    /// The live spans as a source of batches.
    pub fn source(&self, cpu: Cpu) -> LiveSource {
        LiveSource { index: Arc::clone(&self.live), cpu }
    }

    /// Whether anything is live.
    pub fn has_live(&self) -> bool {
        !self.live.chunks.is_empty()
    }

    /// The ids of the live traces. CPU work, when a pin is first asked.
    pub fn live_ids(&self) -> Vec<TraceId> {
        self.live.groups().traces.iter().map(|group| group.id).collect()
    }

    /// The latest end of a live span, Unix nanoseconds. CPU work, when a pin is first asked.
    pub fn newest_live(&self) -> Option<u64> {
        self.live.groups().traces.iter().map(|group| group.end).max()
    }

    /// The live chunks, and the rows of a trace in them. CPU work, when a pin is first asked.
    pub fn live_rows(&self, id: TraceId) -> Vec<RowRef> {
        self.live.groups().find(id).map_or_else(Vec::new, |group| group.rows.clone())
    }

    /// What [`RowRef::chunk`] of a live row counts.
    pub fn live_chunks(&self) -> Vec<Arc<Spans>> {
        self.live.chunks.iter().map(|chunk| Arc::clone(&chunk.spans)).collect()
    }
}
