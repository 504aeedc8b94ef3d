//! Which traces of a batch lie in a window of time.

use std::ops::RangeInclusive;

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::BooleanBuffer;

use crate::columns::Batch;
use crate::trace::TraceId;

/// Whether a span of the trace overlaps the window (Unix nanoseconds).
pub(super) fn has(batch: &Batch, trace: usize, window: &RangeInclusive<u64>) -> bool {
    by_bounds(batch, trace, window).unwrap_or_else(|| {
        batch.traces.rows(trace).any(|row| {
            let start = batch.start[row];
            start <= *window.end() && start.saturating_add(batch.duration[row]) >= *window.start()
        })
    })
}

/// The same without looking at spans; `None` where only they can tell.
pub(super) fn by_bounds(batch: &Batch, trace: usize, window: &RangeInclusive<u64>) -> Option<bool> {
    let (start, end) = (batch.traces.start[trace], batch.traces.end[trace]);
    if end < *window.start() || start > *window.end() {
        return Some(false);
    }
    // The span that starts first, or the one that ends last, does.
    (window.contains(&start) || window.contains(&end)).then_some(true)
}

/// The rows of the wanted traces in the window; `None` if there are none.
pub(super) fn rows_in(
    batch: &Batch,
    window: &RangeInclusive<u64>,
    is_wanted: &dyn Fn(TraceId) -> bool,
) -> Option<BooleanBuffer> {
    let is_in = |trace: usize| is_wanted(batch.traces.id[trace]) && has(batch, trace, window);
    let traces: Vec<bool> = (0..batch.traces.len()).map(is_in).collect();
    traces.contains(&true).then(|| rows_of(batch, &traces))
}

/// The rows of the marked traces.
pub(super) fn rows_of(batch: &Batch, traces: &[bool]) -> BooleanBuffer {
    let mut bits = BooleanBufferBuilder::new(batch.rows());
    for (trace, wanted) in traces.iter().enumerate() {
        bits.append_n(batch.traces.rows(trace).len(), *wanted);
    }
    bits.finish()
}
