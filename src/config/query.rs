//! `query_frontend` and `querier`: what a query may ask, and what it may take.

use std::time::Duration;

use serde::Deserialize;

/// `query_frontend` in `tempo.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct QueryFrontend {
    /// Longest TraceQL text in bytes; 0: no limit but the request's.
    pub max_query_expression_size_bytes: usize,
    /// How far back from now a query without an end stops. 0: at now, spans are visible at once.
    pub query_end_cutoff: Duration,
    /// A question that takes longer is logged with its cost; 0: none.
    pub log_queries_longer_than: Duration,
    /// Longest time for one request of any kind; 0: only the querier's own limits.
    pub api_timeout: Duration,
    pub mcp_server: McpServer,
    pub search: SearchLimits,
    pub metrics: MetricsLimits,
}

/// `query_frontend.mcp_server`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct McpServer {
    /// Whether language models are served at `/api/mcp`.
    pub enabled: bool,
}

/// `query_frontend.search`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SearchLimits {
    /// Traces in an answer when the request names no `limit`.
    pub default_result_limit: usize,
    /// Largest `limit` that is accepted; 0: any.
    pub max_result_limit: usize,
    /// Longest time range; 0: any.
    pub max_duration: Duration,
    /// Spans of a spanset when the request names no `spss`.
    pub default_spans_per_span_set: usize,
    /// Largest `spss` that is accepted; 0: any.
    pub max_spans_per_span_set: usize,
}

/// `query_frontend.metrics`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct MetricsLimits {
    /// Longest time range; 0: any.
    pub max_duration: Duration,
    /// Largest number of exemplars in an answer; 0: none.
    pub max_exemplars: usize,
    /// Largest number of series in an answer; 0: any.
    pub max_response_series: usize,
    /// Largest number of steps in a time range; 0: any.
    pub max_intervals: usize,
}

/// `querier` in `tempo.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Querier {
    /// Queries that run at once; more wait.
    pub max_concurrent_queries: usize,
    /// Blocks that one query reads at once.
    pub max_concurrent_blocks: usize,
    pub search: SearchTimeout,
    pub trace_by_id: TraceByIdTimeout,
}

/// `querier.search`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SearchTimeout {
    /// A search or metrics query that takes longer is ended with 504; waiting for its turn included.
    pub query_timeout: Duration,
}

/// `querier.trace_by_id`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TraceByIdTimeout {
    /// A lookup that takes longer is ended with 504.
    pub query_timeout: Duration,
}

impl Default for QueryFrontend {
    fn default() -> Self {
        Self {
            max_query_expression_size_bytes: 128 << 10,
            query_end_cutoff: Duration::ZERO,
            log_queries_longer_than: Duration::from_secs(10),
            api_timeout: Duration::ZERO,
            mcp_server: McpServer::default(),
            search: SearchLimits::default(),
            metrics: MetricsLimits::default(),
        }
    }
}

impl Default for SearchLimits {
    fn default() -> Self {
        Self {
            default_result_limit: 20,
            max_result_limit: 262_144,
            max_duration: Duration::from_hours(168),
            default_spans_per_span_set: 3,
            max_spans_per_span_set: 0,
        }
    }
}

impl Default for MetricsLimits {
    fn default() -> Self {
        Self {
            max_duration: Duration::from_hours(24),
            max_exemplars: 100,
            max_response_series: 0,
            max_intervals: 10_000,
        }
    }
}

impl Default for Querier {
    fn default() -> Self {
        Self {
            max_concurrent_queries: 20,
            max_concurrent_blocks: 16,
            search: SearchTimeout::default(),
            trace_by_id: TraceByIdTimeout::default(),
        }
    }
}

impl Default for SearchTimeout {
    fn default() -> Self {
        Self { query_timeout: Duration::from_mins(5) }
    }
}

impl Default for TraceByIdTimeout {
    fn default() -> Self {
        Self { query_timeout: Duration::from_mins(5) }
    }
}
