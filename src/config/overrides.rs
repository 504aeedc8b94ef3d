//! `overrides`: what one tenant may use, in the scoped form of Tempo 2.3 and later.

use std::time::Duration;

use serde::Deserialize;

/// `overrides` in `tempo.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// Of every tenant.
    pub defaults: Limits,
}

/// `overrides.defaults`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Limits {
    pub ingestion: IngestionLimits,
    pub read: ReadLimits,
    pub compaction: CompactionLimits,
    pub global: GlobalLimits,
}

/// `overrides.defaults.ingestion`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct IngestionLimits {
    /// Bytes of OTLP a second.
    pub rate_limit_bytes: u64,
    /// Bytes of OTLP at once, after a pause. At least one whole request, or it could never be taken in.
    pub burst_size_bytes: u64,
    /// Longest attribute value; longer ones are cut. 0: nothing is cut, the request's size decides.
    pub max_attribute_bytes: usize,
}

/// `overrides.defaults.read`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ReadLimits {
    /// Largest list of tag names or values, in bytes; 0: any.
    pub max_bytes_per_tag_values_query: usize,
    /// Longest time range of a search; 0: `query_frontend.search.max_duration`.
    pub max_search_duration: Duration,
    /// Longest time range of a metrics query; 0: `query_frontend.metrics.max_duration`.
    pub max_metrics_duration: Duration,
}

/// `overrides.defaults.compaction`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CompactionLimits {
    /// 0: `compactor.compaction.block_retention`.
    pub block_retention: Duration,
}

/// `overrides.defaults.global`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GlobalLimits {
    /// Largest trace that is taken in and given out; 0: memory decides.
    pub max_bytes_per_trace: u64,
}

impl Default for IngestionLimits {
    fn default() -> Self {
        Self { rate_limit_bytes: 30_000_000, burst_size_bytes: 64 << 20, max_attribute_bytes: 0 }
    }
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            max_bytes_per_tag_values_query: 1_000_000,
            max_search_duration: Duration::ZERO,
            max_metrics_duration: Duration::ZERO,
        }
    }
}
