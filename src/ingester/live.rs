//! Live spans as a source of batches: the same answers as a block's.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;

use super::pinned::{LiveGroup, LiveIndex};
use crate::columns::{Batch, Layout, RowRef, Spans, attributes_of, batch};
use crate::failure::Failure;
use crate::runtime::Cpu;
use crate::scan::{Attributes, Need, Scan, ScanCost, SpanSource, Then, Unit, then};
use crate::trace::TraceId;

/// Rows of a unit: enough to make a batch worth while, few enough that the newest are answered soon.
const UNIT_ROWS: usize = 32 * 1024;

/// What a row takes in the layout of a batch, and a value in a column of it.
const ROW_BYTES: u64 = 64;
const VALUE_BYTES: u64 = 8;

/// The live spans of a pin.
pub struct LiveSource {
    pub(super) index: Arc<LiveIndex>,
    pub(super) cpu: Cpu,
}

impl LiveSource {
    /// Runs of traces, newest first, that make the units.
    fn runs(&self) -> Vec<Range<usize>> {
        let traces = &self.index.groups().traces;
        let mut runs = Vec::new();
        let (mut first, mut rows) = (0, 0);
        for (place, group) in traces.iter().enumerate() {
            rows += group.rows.len();
            if rows >= UNIT_ROWS || place + 1 == traces.len() {
                runs.push(first..place + 1);
                (first, rows) = (place + 1, 0);
            }
        }
        runs
    }
}

#[async_trait]
impl SpanSource for LiveSource {
    async fn units(&self, scan: &Scan, cost: &mut ScanCost) -> Result<Vec<Unit>, Failure> {
        let traces = &self.index.groups().traces;
        let runs = self.runs();
        let count = runs.len();
        let unit = |(index, run): (usize, Range<usize>)| {
            let groups = &traces[run];
            let overlaps = |group: &LiveGroup| {
                group.start <= *scan.window.end() && group.end >= *scan.window.start()
            };
            let wanted = |group: &&LiveGroup| overlaps(group) && may_be(&scan.need, group.id);
            groups.iter().any(|group| wanted(&group)).then(|| Unit {
                index,
                first_start: groups.last().map_or(0, |group| group.start),
                last_start: groups.first().map_or(0, |group| group.start),
                rows: groups.iter().map(|group| group.rows.len() as u64).sum(),
            })
        };
        let units: Vec<Unit> = runs.into_iter().enumerate().filter_map(unit).collect();
        cost.units_skipped += (count - units.len()) as u64;
        Ok(units)
    }

    async fn bytes(&self, unit: &Unit, scan: &Scan) -> Result<u64, Failure> {
        let columns = scan.projection.columns.len() + scan.projection.attributes.len();
        Ok(unit.rows * (ROW_BYTES + columns as u64 * VALUE_BYTES))
    }

    async fn read_for(
        &self,
        unit: &Unit,
        scan: &Scan,
        then: Then<Batch>,
    ) -> Result<ScanCost, Failure> {
        let run = self.runs()[unit.index].clone();
        Ok(self.batch(run.collect(), scan, then).await)
    }

    async fn read_some(
        &self,
        unit: &Unit,
        traces: &[u32],
        scan: &Scan,
    ) -> Result<(Batch, ScanCost), Failure> {
        let first = self.runs()[unit.index].start;
        let traces = traces.iter().map(|trace| first + *trace as usize);
        let (then, batch) = then(|batch| batch);
        let cost = self.batch(traces.collect(), scan, then).await;
        Ok((batch.take(), cost))
    }

    async fn read_attributes_for(
        &self,
        unit: &Unit,
        rows: &[u32],
        keys: &BTreeSet<String>,
        then: Then<Attributes>,
    ) -> Result<ScanCost, Failure> {
        let run = self.runs()[unit.index].clone();
        let (index, rows, keys) = (Arc::clone(&self.index), rows.to_vec(), keys.clone());
        let made = move || {
            let (chunks, layout) = index.layout(run);
            then(attributes_of(&chunks, &layout, &rows, &keys));
        };
        self.cpu.run(made).await;
        Ok(ScanCost::default())
    }
}

impl LiveSource {
    /// Some traces, by their places among all.
    async fn batch(&self, places: Vec<usize>, scan: &Scan, then: Then<Batch>) -> ScanCost {
        let (index, projection) = (Arc::clone(&self.index), scan.projection.clone());
        let made = move || {
            let (chunks, layout) = index.layout(places);
            let batch = batch(&chunks, &layout, &projection);
            let (rows, traces) = (batch.rows() as u64, batch.traces.len() as u64);
            then(batch);
            ScanCost { rows, traces, units_read: 1, ..ScanCost::default() }
        };
        self.cpu.run(made).await
    }
}

impl LiveIndex {
    /// Some traces laid out, by their places among all, and the chunks that they lie in.
    fn layout(&self, places: impl IntoIterator<Item = usize>) -> (Vec<&Spans>, Layout) {
        let chunks = self.spans();
        let groups = places.into_iter().map(|place| &self.groups().traces[place]);
        let traces = groups.map(|group| (group.id, group.rows.clone()));
        let layout = Layout::of(&chunks, traces, &|row| content_hash(&chunks, row));
        (chunks, layout)
    }
}

/// A search for one trace needs no other.
fn may_be(need: &Need, id: TraceId) -> bool {
    match need {
        Need::Trace(wanted) => *wanted == id,
        Need::All(needs) => needs.iter().all(|need| may_be(need, id)),
        Need::Any(needs) => needs.iter().any(|need| may_be(need, id)),
        _ => true,
    }
}

pub(super) fn content_hash(chunks: &[&Spans], row: RowRef) -> u64 {
    crate::otlp::content_hash(chunks[row.chunk as usize], row.row as usize)
}
