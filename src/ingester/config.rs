//! When traces leave memory.

use std::time::Duration;

/// Settings of the ingester. The YAML keys of the same names are under `ingester`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// A trace without a new span for this long is closed.
    pub trace_idle_period: Duration,
    /// A trace of this age is closed, idle or not.
    pub trace_live_period: Duration,
    /// Closed traces wait at most this long for company in their block.
    pub max_block_duration: Duration,
    /// Spans of a block, unless one trace alone has more.
    pub max_block_spans: usize,
    /// Memory for live spans, in bytes. At half of it traces are cut early; at all of it pushes are refused.
    pub live_bytes_max: u64,
    /// The bound of the WAL, in bytes. At half of it traces are cut early, so that its segments are let go.
    pub wal_bytes_max: u64,
    /// How often the ingester looks what is to be closed and cut.
    pub flush_check_period: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            trace_idle_period: Duration::from_secs(5),
            trace_live_period: Duration::from_secs(30),
            max_block_duration: Duration::from_mins(15),
            max_block_spans: 256 * 1024,
            live_bytes_max: 256 << 20,
            wal_bytes_max: 4 << 30,
            flush_check_period: Duration::from_secs(1),
        }
    }
}
