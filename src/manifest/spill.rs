//! Which blocks leave the manifest for segments, and which segments are written anew. Pure.
//!
//! Blocks are added to the manifest itself. When those, and the ids of removed ones, are more than 32 KiB, all of
//! them go into a new segment, together with what is left of segments that have lost blocks, and of small ones, as
//! many as the budget of one commit allows. So every block is rewritten a few times, segments are between half full
//! and full, and a commit stays small whatever the length of the list.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use super::entry::BlockEntry;
use super::snapshot::Segment;
use super::wire;

/// Bytes of blocks and removed ids in the manifest, before compression, over which they move.
const INLINE_BYTES_MAX: usize = 32 << 10;

/// A segment as stored. See [`scale`].
const SEGMENT_BYTES_MAX: u64 = 48 << 10;

/// Segments written by one commit, as stored, as far as that can be known before.
const COMMIT_BYTES_MAX: u64 = 56 << 10;

/// Segments up to which the sizes above hold: their references take about 20 KiB of the manifest.
const SEGMENTS_MAX: usize = 256;

/// Bytes of one removed id in the manifest.
const REMOVED_BYTES: usize = 16;

/// The parts of a list that move.
pub(super) struct Parts {
    pub(super) inline: Vec<Arc<BlockEntry>>,
    pub(super) removed: HashSet<Uuid>,
    pub(super) segments: Vec<Arc<Segment>>,
}

/// Whether it is time.
pub(super) fn is_due(parts: &Parts) -> bool {
    let block = |block: &Arc<BlockEntry>| wire::Block::from(&**block).encoded_len() + 4;
    let blocks: usize = parts.inline.iter().map(block).sum();
    blocks + parts.removed.len() * REMOVED_BYTES > INLINE_BYTES_MAX
}

/// Moves all blocks from the manifest into segments. Returns the new parts, and the objects of the new segments.
pub(super) fn spill(writer: Uuid, parts: Parts) -> (Parts, Vec<(Uuid, Bytes)>) {
    let Parts { inline: mut moving, removed, segments } = parts;
    let scale = scale(segments.len());
    let mut budget = (COMMIT_BYTES_MAX * scale).saturating_sub(stored_bytes(writer, &moving));
    let mut removed_left = removed.len() * REMOVED_BYTES;
    let mut kept = Vec::new();
    for Candidate { segment, dead, live_bytes } in candidates(segments, &removed) {
        let worth = dead > 0 || segment.bytes < SEGMENT_BYTES_MAX * scale / 2;
        let affordable = live_bytes <= budget;
        // The ids of removed blocks must not fill the manifest: then the budget does not hold.
        let needed = dead > 0 && removed_left > INLINE_BYTES_MAX / 2;
        if !(worth && affordable || needed) {
            kept.push(segment);
            continue;
        }
        budget = budget.saturating_sub(live_bytes);
        removed_left -= dead * REMOVED_BYTES;
        let live = segment.entries.iter().filter(|block| !removed.contains(&block.id));
        moving.extend(live.map(Arc::clone));
    }
    moving.sort_unstable_by_key(|block| (block.start_unix_nano, block.id));
    let mut objects = Vec::new();
    for (segment, object) in cut(writer, moving, SEGMENT_BYTES_MAX * scale) {
        objects.push((segment.id, object));
        kept.push(Arc::new(segment));
    }
    let still: HashSet<Uuid> =
        kept.iter().flat_map(|segment| &segment.entries).map(|block| block.id).collect();
    let removed = removed.into_iter().filter(|id| still.contains(id)).collect();
    (Parts { inline: Vec::new(), removed, segments: kept }, objects)
}

/// Lists that are unusually long, or of unusually large entries, have larger segments instead of more: their commits
/// cost more, but the manifest does not fill up.
fn scale(segments: usize) -> u64 {
    1 + (segments / SEGMENTS_MAX) as u64
}

struct Candidate {
    segment: Arc<Segment>,
    /// Blocks that were removed.
    dead: usize,
    /// What the rest takes as stored, about.
    live_bytes: u64,
}

/// Segments without any block left first, then those that have lost the largest part, then the smallest.
fn candidates(segments: Vec<Arc<Segment>>, removed: &HashSet<Uuid>) -> Vec<Candidate> {
    let candidate = |segment: Arc<Segment>| {
        let dead = segment.entries.iter().filter(|block| removed.contains(&block.id)).count();
        let (all, live) =
            (segment.entries.len().max(1) as u64, (segment.entries.len() - dead) as u64);
        Candidate { dead, live_bytes: segment.bytes * live / all, segment }
    };
    let mut candidates: Vec<Candidate> = segments.into_iter().map(candidate).collect();
    let dead_permille = |c: &Candidate| c.dead * 1000 / c.segment.entries.len().max(1);
    candidates
        .sort_by_key(|c| (std::cmp::Reverse(dead_permille(c)), c.segment.bytes, c.segment.id));
    candidates
}

fn stored_bytes(writer: Uuid, entries: &[Arc<BlockEntry>]) -> u64 {
    if entries.is_empty() { 0 } else { Segment::seal(writer, entries.to_vec()).0.bytes }
}

/// Cuts a run of blocks into segments of at most `bytes_max`, or of one block.
fn cut(writer: Uuid, entries: Vec<Arc<BlockEntry>>, bytes_max: u64) -> Vec<(Segment, Bytes)> {
    let mut done = Vec::new();
    let mut open = vec![entries];
    while let Some(mut entries) = open.pop() {
        if entries.is_empty() {
            continue;
        }
        let (segment, object) = Segment::seal(writer, entries.clone());
        if segment.bytes <= bytes_max || entries.len() == 1 {
            done.push((segment, object));
            continue;
        }
        let late = entries.split_off(entries.len() / 2);
        open.extend([late, entries]);
    }
    done
}
