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
    /// Blocks stay as they were cut, and are not deleted either: another process does both.
    pub disabled: bool,
    pub compaction: Compaction,
}

/// `compactor.compaction`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// Spans are deleted when they were received longer ago than this; 0: never.
    pub block_retention: Duration,
    /// How long the objects of a block stay in the bucket after it was joined into another or had its time.
    pub compacted_block_retention: Duration,
    /// Blocks that were received during one such time are joined.
    pub compaction_window: Duration,
    /// How often is looked for work.
    pub compaction_cycle: Duration,
    /// Most spans of a block that is made of others: about 400 bytes of memory each while it is made.
    pub max_compaction_spans: u64,
}

impl Default for Compaction {
    fn default() -> Self {
        Self {
            block_retention: Duration::from_hours(336),
            compacted_block_retention: Duration::from_hours(1),
            compaction_window: Duration::from_hours(1),
            compaction_cycle: Duration::from_secs(30),
            max_compaction_spans: 512 << 10,
        }
    }
}
