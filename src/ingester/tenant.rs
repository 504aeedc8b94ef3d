//! What the ingester holds of one tenant.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::coverage::Origin;
use super::cut::{self, LiveTrace};
use super::flush::Unsettled;
use super::ledger::{Ledger, Standing};
use super::pinned::LiveIndex;
use super::{Config, Error, Inner, Pin};
use crate::columns::Spans;
use crate::manifest::{Manifest, Manifests};
use crate::tenant::TenantId;
use crate::trace::TraceId;
use crate::wal::Position;

/// Chunks of one of these sizes are joined when there are [`SMALL_CHUNKS_MAX`]: by size, so that a span is copied twice at most.
pub(super) const SMALL_CHUNK_SPANS: [Range<usize>; 2] = [0..1024, 1024..32 * 1024];
pub(super) const SMALL_CHUNKS_MAX: usize = 64;

/// How old the block list may get: what other processes commit is seen after this time.
const REFRESH_PERIOD: Duration = Duration::from_secs(30);

pub(super) struct Tenant {
    pub(super) id: TenantId,
    pub(super) manifests: Manifests,
    /// Held while chunks are joined or traces cut: one at a time. A block of which it is not known whether it is in the manifest.
    pub(super) cutting: tokio::sync::Mutex<Option<Unsettled>>,
    /// Asks for a look at once.
    pub(super) wake: Notify,
    pub(super) state: Mutex<State>,
}

/// A chunk of live spans, some of which may be in a block by now. Cheap to clone.
#[derive(Clone)]
pub(super) struct Chunk {
    pub(super) spans: Arc<Spans>,
    /// Where each span is in the WAL.
    pub(super) origins: Arc<Vec<Origin>>,
    /// First and last receive time.
    pub(super) received: (u64, u64),
    /// The rows that are in a block; `None`: none.
    pub(super) dead: Option<Arc<Vec<bool>>>,
    pub(super) live: usize,
    pub(super) bytes: u64,
}

pub(super) struct State {
    pub(super) chunks: Vec<Chunk>,
    pub(super) traces: HashMap<TraceId, LiveTrace, foldhash::fast::RandomState>,
    /// Always of the same moment as `chunks`: what is in these blocks is not in these chunks.
    pub(super) manifest: Arc<Manifest>,
    /// Counts the changes of `chunks`.
    pub(super) version: u64,
    /// The index of the chunks of a version, once a query has asked for it.
    pub(super) index: Option<(u64, Arc<LiveIndex>)>,
    refreshed: Duration,
    /// Changed in the same steps as `chunks`, which have what is pending.
    ledger: Ledger,
    /// When open traces were last counted (Unix nanoseconds), and their number with those that came since.
    pub(super) open: Option<(u64, u64)>,
    /// After a cut that failed: when it may be tried again, and how long the pause is.
    pub(super) retry: Option<(Duration, Duration)>,
}

impl Chunk {
    pub(super) fn is_live(&self, row: usize) -> bool {
        self.dead.as_ref().is_none_or(|dead| !dead[row])
    }
}

impl Tenant {
    pub(super) async fn open(inner: &Inner, id: TenantId) -> Result<Self, Error> {
        let writer = inner.wal.writer_id();
        let manifests = Manifests::open(inner.store.clone(), id.clone(), writer).await?;
        let state = State {
            chunks: Vec::new(),
            traces: HashMap::default(),
            manifest: manifests.current(),
            version: 0,
            index: None,
            refreshed: inner.clock.running(),
            ledger: Ledger::default(),
            open: None,
            retry: None,
        };
        Ok(Self {
            id,
            manifests,
            cutting: tokio::sync::Mutex::default(),
            wake: Notify::new(),
            state: Mutex::new(state),
        })
    }

    /// Takes a chunk in; whether there are so many small ones now that they should be joined. `entry` says what came in with it.
    pub(super) fn add(
        &self,
        spans: Spans,
        position: Position,
        received_unix_nano: u64,
        entry: &Ledger,
    ) -> bool {
        let first = position.first_span;
        let origins = (first..first + spans.next_row())
            .map(|span| Origin { segment: position.segment, span })
            .collect();
        self.add_chunk(spans, origins, (received_unix_nano, received_unix_nano), entry)
    }

    pub(super) fn add_chunk(
        &self,
        spans: Spans,
        origins: Vec<Origin>,
        received: (u64, u64),
        entry: &Ledger,
    ) -> bool {
        let chunk = Chunk {
            live: spans.len(),
            bytes: chunk_bytes(&spans),
            spans: Arc::new(spans),
            origins: Arc::new(origins),
            received,
            dead: None,
        };
        let mut state = self.state.lock();
        state.note_traces(&chunk.spans, received.1);
        state.chunks.push(chunk);
        state.ledger.add(entry);
        state.version += 1;
        state.crowded().is_some()
    }

    /// Counts spans that nothing else becomes of.
    pub(super) fn note(&self, entry: &Ledger) {
        self.state.lock().ledger.add(entry);
    }

    /// How it stands at this moment.
    pub(super) fn standing(&self) -> Standing {
        let state = self.state.lock();
        let pending = state.chunks.iter().map(|chunk| chunk.live as u64).sum();
        Standing {
            ledger: Ledger { pending, ..state.ledger },
            live_traces: state.traces.len() as u64,
            live_bytes: state.chunks.iter().map(|chunk| chunk.bytes).sum(),
            manifest: Arc::clone(&state.manifest),
        }
    }

    pub(super) fn live_spans(&self) -> u64 {
        self.state.lock().chunks.iter().map(|chunk| chunk.live as u64).sum()
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.state.lock().chunks.iter().map(|chunk| chunk.bytes).sum()
    }

    /// Follows the block list of other processes, but not while our own changes or may have changed.
    pub(super) async fn refresh_if_old(&self, inner: &Inner) -> Result<(), Error> {
        let now = inner.clock.running();
        if now.saturating_sub(self.state.lock().refreshed) < REFRESH_PERIOD {
            return Ok(());
        }
        let Ok(unsettled) = self.cutting.try_lock() else { return Ok(()) };
        if unsettled.is_some() {
            return Ok(());
        }
        let manifest = self.manifests.refresh().await?;
        let mut state = self.state.lock();
        state.manifest = manifest;
        state.refreshed = now;
        Ok(())
    }

    pub(super) fn pin(&self) -> Pin {
        let mut state = self.state.lock();
        let version = state.version;
        let index = match &state.index {
            Some((of, index)) if *of == version => Arc::clone(index),
            _ => {
                let index = Arc::new(LiveIndex::of(state.chunks.clone()));
                state.index = Some((version, Arc::clone(&index)));
                index
            }
        };
        Pin { manifest: Arc::clone(&state.manifest), live: index }
    }

    /// The traces to be cut now, oldest first.
    pub(super) fn plan_cut(
        &self,
        config: &Config,
        now_unix_nano: u64,
        pressure: bool,
    ) -> Vec<TraceId> {
        let state = self.state.lock();
        let traces = state.traces.iter().map(|(id, trace)| (*id, *trace));
        cut::plan(traces, config, now_unix_nano, pressure)
    }

    /// All live traces, oldest first.
    pub(super) fn plan_all(&self) -> Vec<TraceId> {
        let state = self.state.lock();
        let mut traces: Vec<(u64, TraceId)> =
            state.traces.iter().map(|(id, trace)| (trace.first_unix_nano, *id)).collect();
        traces.sort_unstable();
        traces.into_iter().map(|(_, id)| id).collect()
    }

    /// Takes spans out of memory that a block of `manifest` holds: in one step, so that no reader sees them twice or not at all.
    /// `cut` names rows by chunk; the chunks are those of the cut's own snapshot. `written` are the spans of the block, in which twins are one.
    pub(super) fn remove(&self, cut: &[(Chunk, Vec<u32>)], manifest: Arc<Manifest>, written: u64) {
        let stored = cut.iter().map(|(_, rows)| rows.len() as u64).sum();
        let mut state = self.state.lock();
        let twins = u64::saturating_sub(stored, written);
        state.ledger.add(&Ledger { stored, twins, ..Ledger::default() });
        for (chunk, rows) in cut {
            let found = state.chunks.iter().position(|c| Arc::ptr_eq(&c.spans, &chunk.spans));
            let index = found.expect("chunks change under `cutting` only, and new ones are added");
            let chunk = &mut state.chunks[index];
            let mut dead = match &chunk.dead {
                Some(dead) => Vec::clone(dead),
                None => vec![false; chunk.spans.len()],
            };
            for row in rows {
                dead[*row as usize] = true;
            }
            chunk.live -= rows.len();
            chunk.dead = Some(Arc::new(dead));
        }
        state.chunks.retain(|chunk| chunk.live > 0);
        state.manifest = manifest;
        state.version += 1;
        state.index = None;
        state.recount_traces(cut);
    }
}

pub(super) fn chunk_bytes(spans: &Spans) -> u64 {
    (spans.memory_bytes() + spans.len() * size_of::<Origin>()) as u64
}

impl State {
    /// The smallest size of which there are so many chunks that they should be joined.
    pub(super) fn crowded(&self) -> Option<Range<usize>> {
        let count = |sizes: &Range<usize>| {
            self.chunks.iter().filter(|chunk| sizes.contains(&chunk.spans.len())).count()
        };
        SMALL_CHUNK_SPANS.into_iter().find(|sizes| count(sizes) >= SMALL_CHUNKS_MAX)
    }

    fn note_traces(&mut self, spans: &Spans, received_unix_nano: u64) {
        for (row, id) in spans.trace_id.iter().enumerate() {
            let trace = self.traces.entry(*id).or_insert(LiveTrace {
                first_unix_nano: received_unix_nano,
                last_unix_nano: received_unix_nano,
                spans: 0,
                has_root: false,
            });
            if trace.spans == 0
                && let Some((_, open)) = &mut self.open
            {
                *open += 1;
            }
            trace.last_unix_nano = trace.last_unix_nano.max(received_unix_nano);
            trace.spans += 1;
            trace.has_root |= spans.parent_id[row].is_none();
        }
    }

    /// Forgets the traces of which all spans are gone; of the others the spans that came meanwhile stay.
    fn recount_traces(&mut self, cut: &[(Chunk, Vec<u32>)]) {
        let mut gone: HashSet<TraceId, foldhash::fast::RandomState> = HashSet::default();
        for (chunk, rows) in cut {
            for row in rows {
                let id = chunk.spans.trace_id[*row as usize];
                if let Some(trace) = self.traces.get_mut(&id) {
                    trace.spans -= 1;
                    if trace.spans == 0 {
                        gone.insert(id);
                    }
                }
            }
        }
        self.traces.retain(|id, _| !gone.contains(id));
    }
}
