//! What the compactor counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of the compactor; clones count together.
#[derive(Clone, Default)]
pub struct Metrics {
    pub(crate) joins: Counter,
    pub(crate) joined_blocks: Counter,
    pub(crate) joined_spans: Counter,
    pub(crate) duplicate_spans: Counter,
    /// Work that somebody else did first.
    pub(crate) overtaken: Counter,
    pub(crate) failures: Counter,
    pub(crate) expired_blocks: Counter,
    pub(crate) swept_blocks: Counter,
    /// Blocks that wait to be joined.
    pub(crate) waiting_blocks: Gauge,
}

impl Metrics {
    /// Declares the counters. The registry's prefix is the room's.
    pub fn register(&self, registry: &mut Registry) {
        let Self {
            joins,
            joined_blocks,
            joined_spans,
            duplicate_spans,
            overtaken,
            failures,
            expired_blocks,
            swept_blocks,
            waiting_blocks,
        } = self;
        let counters = [
            ("joins", "Blocks that were made of others", joins),
            ("joined_blocks", "Blocks that were joined into others", joined_blocks),
            ("joined_spans", "Spans in them", joined_spans),
            (
                "duplicate_spans",
                "Spans that were left out: another has their id and kind",
                duplicate_spans,
            ),
            ("overtaken", "Joins that another process had done first", overtaken),
            ("failures", "Rounds that ended with an error", failures),
            ("expired_blocks", "Blocks that had their time", expired_blocks),
            ("swept_blocks", "Blocks of which the objects were deleted", swept_blocks),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let help = "Blocks that wait to be joined";
        registry.register("waiting_blocks", help, waiting_blocks.clone());
    }
}
