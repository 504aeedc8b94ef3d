//! Traces that lie in several places, put together.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use super::sources::{Folds, Sources};
use super::{Querier, unreadable};
use crate::block::{Block, Directory, Place};
use crate::columns::{Batch, Layout, Projection, RowRef, Spans, batch, group_by_trace};
use crate::failure::Failure;
use crate::ingester::Pin;
use crate::scan::ScanCost;
use crate::trace::TraceId;

/// Blocks that are read at once.
const PARALLEL_READS: usize = 4;

/// Some split traces and where in the blocks they lie.
pub(super) struct Group {
    pub folds: Vec<u64>,
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

    /// As [`Assembled::batch`], of spans that were read in part; `None` if all that they have tells which of them are left out.
    fn batch_of_some(&self, projection: &Projection) -> Option<Batch> {
        let (layout, has_twins) = self.layout_of_some();
        (!has_twins).then(|| batch(&self.spans(), &layout, projection))
    }

    /// As [`Assembled::layout`], of spans that were read in part, and whether all that they have would tell which of them are left out.
    pub(super) fn layout_of_some(&self) -> (Layout, bool) {
        let (chunks, has_twins) = (self.spans(), Cell::new(false));
        let hash = |_: RowRef| {
            has_twins.set(true);
            0
        };
        let layout = Layout::of(&chunks, self.traces.iter().cloned(), &hash);
        (layout, has_twins.get())
    }
}

impl Querier {
    /// The split traces in groups that fit in memory together. A trace of which no part lies in the window's blocks or in memory is
    /// left out.
    pub(super) async fn split_groups(
        &self,
        sources: &Sources,
        cost: &mut ScanCost,
    ) -> Result<Vec<Group>, Failure> {
        self.split_groups_but(sources, &Folds::default(), cost).await
    }

    /// As [`Querier::split_groups`], without some that were looked at before.
    pub(super) async fn split_groups_but(
        &self,
        sources: &Sources,
        done: &Folds,
        cost: &mut ScanCost,
    ) -> Result<Vec<Group>, Failure> {
        let mut folds: Vec<u64> = sources.split.difference(done).copied().collect();
        if folds.is_empty() {
            return Ok(Vec::new());
        }
        folds.sort_unstable();
        let inside = self.directories(sources.blocks.clone(), cost).await?;
        let elsewhere = self.directories(sources.elsewhere.clone(), cost).await?;
        let pin = sources.pin.clone();
        let room_max = self.config.assembled_spans_max;
        Ok(self.cpu.run(move || groups(&pin, &folds, (&inside, &elsewhere), room_max)).await)
    }

    /// Any traces as a group, to be read whole.
    pub(super) async fn group_of(
        &self,
        sources: &Sources,
        ids: &[TraceId],
        cost: &mut ScanCost,
    ) -> Result<Group, Failure> {
        let mut folds: Vec<u64> = ids.iter().map(|id| id.fold()).collect();
        folds.sort_unstable();
        folds.dedup();
        let blocks = sources.blocks.iter().chain(&sources.elsewhere).cloned();
        let mut places = Vec::new();
        for (block, directory) in self.directories(blocks.collect(), cost).await? {
            let mine: Vec<Place> =
                folds.iter().flat_map(|fold| directory.places_of_fold(*fold)).collect();
            if !mine.is_empty() {
                places.push((block, mine));
            }
        }
        let spans = places.iter().flat_map(|(_, places)| places).map(|place| place.rows).sum();
        Ok(Group { folds, spans, places })
    }

    /// A group's traces, whole, with the columns of a projection: of what is stored no others are read.
    pub(super) async fn assembled_batch(
        &self,
        sources: &Sources,
        group: &Group,
        projection: &Projection,
        cost: &mut ScanCost,
    ) -> Result<Batch, Failure> {
        let assembled = self.assemble_some(sources, group, Some(projection), cost).await?;
        let wanted = projection.clone();
        if let Some(batch) = self.cpu.run(move || assembled.batch_of_some(&wanted)).await {
            return Ok(batch);
        }
        let assembled = self.assemble(sources, group, &mut ScanCost::default()).await?;
        let wanted = projection.clone();
        Ok(self.cpu.run(move || assembled.batch(&wanted)).await)
    }

    /// Reads all parts of a group's traces.
    pub(super) async fn assemble(
        &self,
        sources: &Sources,
        group: &Group,
        cost: &mut ScanCost,
    ) -> Result<Assembled, Failure> {
        self.assemble_some(sources, group, None, cost).await
    }

    async fn assemble_some(
        &self,
        sources: &Sources,
        group: &Group,
        projection: Option<&Projection>,
        cost: &mut ScanCost,
    ) -> Result<Assembled, Failure> {
        let reads: Vec<_> = group
            .places
            .iter()
            .map(|(block, places)| {
                let (block, places) = (Arc::clone(block), places.clone());
                let projection = projection.cloned();
                async move {
                    let mut cost = ScanCost::default();
                    let rows = ranges(places);
                    let spans = match &projection {
                        Some(projection) => block.some_spans(&rows, projection, &mut cost).await,
                        None => block.spans(&rows, &mut cost).await,
                    };
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

/// A block, and where its traces lie.
type Opened = (Arc<Block>, Directory);

/// Groups of traces of at most so many spans, or of one trace that has more.
fn groups(
    pin: &Pin,
    folds: &[u64],
    (inside, elsewhere): (&[Opened], &[Opened]),
    room_max: usize,
) -> Vec<Group> {
    let mut live: HashMap<u64, usize> = HashMap::new();
    for id in pin.live_ids() {
        let fold = id.fold();
        if folds.binary_search(&fold).is_ok() {
            *live.entry(fold).or_default() += pin.live_rows(id).len();
        }
    }
    let places = |blocks: &[Opened], fold: u64| -> Vec<(Arc<Block>, Vec<Place>)> {
        let found = blocks
            .iter()
            .map(|(block, directory)| (Arc::clone(block), directory.places_of_fold(fold)));
        found.filter(|(_, places)| !places.is_empty()).collect()
    };
    let mut groups: Vec<Group> = Vec::new();
    let mut room = 0;
    for fold in folds {
        let mut found = places(inside, *fold);
        if found.is_empty() && !live.contains_key(fold) {
            continue;
        }
        found.extend(places(elsewhere, *fold));
        let stored: u64 = found.iter().flat_map(|(_, places)| places).map(|p| p.rows).sum();
        let rows =
            usize::try_from(stored).unwrap_or(usize::MAX) + live.get(fold).copied().unwrap_or(0);
        if groups.is_empty() || rows > room {
            groups.push(Group { folds: Vec::new(), spans: 0, places: Vec::new() });
            room = room_max;
        }
        room = room.saturating_sub(rows);
        let group = groups.last_mut().expect("just pushed");
        group.folds.push(*fold);
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

/// Row ranges of places, ascending.
pub(super) fn ranges(mut places: Vec<Place>) -> Vec<std::ops::Range<u64>> {
    places.sort_unstable_by_key(|place| place.first_row);
    places.into_iter().map(|place| place.first_row..place.first_row + place.rows).collect()
}
