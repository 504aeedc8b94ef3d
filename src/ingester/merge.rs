//! Small chunks joined, and what is dead in chunks let go.

use std::sync::Arc;

use super::coverage::Origin;
use super::flush::Unsettled;
use super::tenant::{Chunk, Tenant, chunk_bytes};
use crate::columns::Spans;
use crate::runtime::Cpu;

/// A chunk of which less than this part is live is written anew without the rest.
const LIVE_PART: usize = 4;

impl Tenant {
    /// Joins small chunks when there are many, and rewrites chunks that are mostly dead; those of an unsettled block stay as they
    /// are. The caller holds `cutting`, whose content is given.
    pub(super) async fn merge_chunks(&self, cpu: &Cpu, unsettled: Option<&Unsettled>) {
        let candidates: Vec<Chunk> = {
            let state = self.state.lock();
            let free = |chunk: &&Chunk| !unsettled.is_some_and(|block| block.holds(chunk));
            let crowded = state.crowded().unwrap_or(0..0);
            let worth = |chunk: &&Chunk| {
                let mostly_dead = chunk.live * LIVE_PART < chunk.spans.len();
                mostly_dead || crowded.contains(&chunk.spans.len())
            };
            state.chunks.iter().filter(free).filter(worth).cloned().collect()
        };
        if candidates.is_empty() {
            return;
        }
        let given = candidates.clone();
        let merged = cpu.run(move || merge(&given)).await;
        let mut state = self.state.lock();
        let is_candidate =
            |chunk: &Chunk| candidates.iter().any(|c| Arc::ptr_eq(&c.spans, &chunk.spans));
        state.chunks.retain(|chunk| !is_candidate(chunk));
        state.chunks.extend(merged);
        state.version += 1;
        state.index = None;
    }
}

/// A joined chunk is closed at this size.
const JOINED_SPANS: usize = 32 * 1024;

/// The live rows of some chunks, in chunks of at least [`JOINED_SPANS`] where there are so many.
fn merge(chunks: &[Chunk]) -> Vec<Chunk> {
    let mut merged = Vec::new();
    let mut open: Option<(Spans, Vec<Origin>, (u64, u64))> = None;
    for chunk in chunks {
        let (spans, origins, received) =
            open.get_or_insert_with(|| (Spans::default(), Vec::new(), (u64::MAX, 0)));
        spans.append_rows(&chunk.spans, |row| chunk.is_live(row));
        let live = (0..chunk.spans.len()).filter(|row| chunk.is_live(*row));
        origins.extend(live.map(|row| chunk.origins[row]));
        *received = (received.0.min(chunk.received.0), received.1.max(chunk.received.1));
        if spans.len() >= JOINED_SPANS {
            merged.extend(open.take().map(closed));
        }
    }
    merged.extend(open.map(closed));
    merged.retain(|chunk| chunk.live > 0);
    merged
}

fn closed((spans, origins, received): (Spans, Vec<Origin>, (u64, u64))) -> Chunk {
    Chunk {
        live: spans.len(),
        bytes: chunk_bytes(&spans),
        spans: Arc::new(spans),
        origins: Arc::new(origins),
        received,
        dead: None,
    }
}
