//! `ingester` and `compactor`: when traces leave memory, and when they leave for good.

use std::time::Duration;

use serde::Deserialize;

/// `ingester` in `tempo.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Ingester {
    /// A trace without a new span for this long is closed.
    pub trace_idle_period: Duration,
    /// A trace is closed at this age, idle or not.
    pub trace_live_period: Duration,
    /// Closed traces wait at most this long for their block.
    pub max_block_duration: Duration,
    /// Closed spans that make a block.
    pub max_block_spans: usize,
    /// Memory for live spans, in bytes; 0: the share of `memory.limit` that the process chooses.
    pub max_live_bytes: u64,
    /// How often it is looked at what is to be closed and cut.
    pub flush_check_period: Duration,
}

impl Default for Ingester {
    fn default() -> Self {
        Self {
            trace_idle_period: Duration::from_secs(5),
            trace_live_period: Duration::from_secs(30),
            max_block_duration: Duration::from_mins(15),
            max_block_spans: 262_144,
            max_live_bytes: 0,
            flush_check_period: Duration::from_secs(5),
        }
    }
}

/// `compactor` in `tempo.yaml`; `backend_worker` is its name since Tempo 3.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Compactor {
    pub compaction: Compaction,
}

/// `compactor.compaction`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// Spans are deleted when they were received longer ago than this.
    pub block_retention: Duration,
}

impl Default for Compaction {
    fn default() -> Self {
        Self { block_retention: Duration::from_hours(336) }
    }
}
