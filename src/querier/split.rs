//! Traces that lie in several places, put together.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use super::sources::Sources;
use super::{Querier, unreadable};
use crate::block::{Block, Place};
use crate::columns::{Batch, Layout, Projection, RowRef, Spans, batch, group_by_trace};
use crate::failure::Failure;
use crate::scan::ScanCost;
use crate::trace::TraceId;

/// Blocks that are read at once.
const PARALLEL_READS: usize = 4;

/// Some split traces and where in the blocks they lie.
pub(super) struct Group {
    folds: Vec<u64>,
    /// Spans in all places.
    pub spans: u64,
    places: Vec<(Arc<Block>, Vec<Place>)>,
}

/// Rows of some chunks.
pub(super) struct Assembled {
    pub chunks: Vec<Arc<Spans>>,
    pub traces: Vec<(TraceId, Vec<RowRef>)>,
}

impl Assembled {
    /// The traces laid out, each whole, without duplicates.
    pub(super) fn layout(&self) -> Layout {
        let chunks = self.spans();
        let hash =
            |row: RowRef| crate::otlp::content_hash(chunks[row.chunk as usize], row.row as usize);
        Layout::of(&chunks, self.traces.iter().cloned(), &hash)
    }

    pub(super) fn spans(&self) -> Vec<&Spans> {
        self.chunks.iter().map(|chunk| &**chunk).collect()
    }

    pub(super) fn batch(&self, projection: &Projection) -> Batch {
        batch(&self.spans(), &self.layout(), projection)
    }
}

impl Querier {
    /// The split traces in groups that fit in memory together. A trace of which no part lies in the window's blocks or in memory is
    /// left out.
    pub(super) fn split_groups(&self, sources: &Sources) -> Vec<Group> {
        let mut live: HashMap<u64, usize> = HashMap::new();
        for id in sources.pin.live_ids() {
            let fold = id.fold();
            if sources.split.contains(&fold) {
                *live.entry(fold).or_default() += sources.pin.live_rows(id).len();
            }
        }
        let mut groups: Vec<Group> = Vec::new();
        let mut room = 0;
        let mut folds: Vec<u64> = sources.split.iter().copied().collect();
        folds.sort_unstable();
        for fold in folds {
            let places = |blocks: &[Arc<Block>]| -> Vec<(Arc<Block>, Vec<Place>)> {
                let found =
                    blocks.iter().map(|block| (Arc::clone(block), block.places_of_fold(fold)));
                found.filter(|(_, places)| !places.is_empty()).collect()
            };
            let mut found = places(&sources.blocks);
            if found.is_empty() && !live.contains_key(&fold) {
                continue;
            }
            found.extend(places(&sources.elsewhere));
            let stored: u64 = found.iter().flat_map(|(_, places)| places).map(|p| p.rows).sum();
            let rows = usize::try_from(stored).unwrap_or(usize::MAX)
                + live.get(&fold).copied().unwrap_or(0);
            if groups.is_empty() || rows > room {
                groups.push(Group { folds: Vec::new(), spans: 0, places: Vec::new() });
                room = self.config.assembled_spans_max;
            }
            room = room.saturating_sub(rows);
            let group = groups.last_mut().expect("just pushed");
            group.folds.push(fold);
            group.spans += rows as u64;
            for (block, places) in found {
                match group.places.iter_mut().find(|(known, _)| known.id() == block.id()) {
                    Some((_, known)) => known.extend(places),
                    None => group.places.push((block, places)),
                }
            }
        }
        groups
    }

    /// Any traces as a group, to be read whole.
    pub(super) fn group_of(sources: &Sources, ids: &[TraceId]) -> Group {
        let mut folds: Vec<u64> = ids.iter().map(|id| id.fold()).collect();
        folds.sort_unstable();
        folds.dedup();
        let places = |block: &Arc<Block>| {
            let places: Vec<Place> =
                folds.iter().flat_map(|fold| block.places_of_fold(*fold)).collect();
            (!places.is_empty()).then(|| (Arc::clone(block), places))
        };
        let places: Vec<(Arc<Block>, Vec<Place>)> =
            sources.blocks.iter().chain(&sources.elsewhere).filter_map(places).collect();
        let spans = places.iter().flat_map(|(_, places)| places).map(|place| place.rows).sum();
        Group { folds, spans, places }
    }

    /// Reads all parts of a group's traces.
    pub(super) async fn assemble(
        &self,
        sources: &Sources,
        group: &Group,
        cost: &mut ScanCost,
    ) -> Result<Assembled, Failure> {
        let reads: Vec<_> = group
            .places
            .iter()
            .map(|(block, places)| {
                let (block, places) = (Arc::clone(block), places.clone());
                async move {
                    let mut cost = ScanCost::default();
                    let rows = ranges(places);
                    let spans = block.spans(&rows, &mut cost).await;
                    let spans = spans.map_err(|error| unreadable(block.id(), &error))?;
                    Ok::<_, Failure>((Arc::new(spans), cost))
                }
            })
            .collect();
        let read: Vec<(Arc<Spans>, ScanCost)> =
            futures::stream::iter(reads).buffered(PARALLEL_READS).try_collect().await?;
        let mut chunks: Vec<Arc<Spans>> = sources.pin.live_chunks();
        let live = chunks.len();
        for (spans, read) in read {
            cost.add(read);
            chunks.push(spans);
        }
        let mut rows: Vec<RowRef> = Vec::new();
        for id in sources.pin.live_ids() {
            if group.folds.binary_search(&id.fold()).is_ok() {
                rows.extend(sources.pin.live_rows(id));
            }
        }
        for (number, spans) in (0_u32..).zip(&chunks).skip(live) {
            rows.extend((0..spans.next_row()).map(|row| RowRef { chunk: number, row }));
        }
        let refs: Vec<&Spans> = chunks.iter().map(|chunk| &**chunk).collect();
        let traces = group_by_trace(&refs, rows);
        cost.units_read += 1;
        cost.traces += traces.len() as u64;
        cost.rows += traces.iter().map(|(_, rows)| rows.len() as u64).sum::<u64>();
        Ok(Assembled { chunks, traces })
    }
}

/// Row ranges of places, ascending.
pub(super) fn ranges(mut places: Vec<Place>) -> Vec<std::ops::Range<u64>> {
    places.sort_unstable_by_key(|place| place.first_row);
    places.into_iter().map(|place| place.first_row..place.first_row + place.rows).collect()
}
