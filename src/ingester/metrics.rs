//! What the ingester counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Counters of the ingester; clones count together.
#[derive(Clone, Default)]
pub struct Metrics {
    /// Blocks written and published.
    pub(crate) blocks: Counter,
    pub(crate) block_bytes: Counter,
    pub(crate) block_spans: Counter,
    /// Attempts to write a block that failed: its spans stay in memory.
    pub(crate) failed_flushes: Counter,
    /// Spans that came back from the WAL at the start.
    pub(crate) recovered_spans: Counter,
}

impl Metrics {
    /// Declares the counters. The registry's prefix is the room's.
    pub fn register(&self, registry: &mut Registry) {
        let Self { blocks, block_bytes, block_spans, failed_flushes, recovered_spans } = self;
        registry.register("blocks_written", "Blocks written and published", blocks.clone());
        registry.register("block_written_bytes", "Bytes of all their objects", block_bytes.clone());
        registry.register("block_written_spans", "Spans in them", block_spans.clone());
        registry.register(
            "failed_flushes",
            "Blocks that could not be written",
            failed_flushes.clone(),
        );
        let help = "Spans that came back from the write-ahead log at the start";
        registry.register("recovered_spans", help, recovered_spans.clone());
    }
}
