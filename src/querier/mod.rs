//! Reads: split over blocks and live spans, run, merged.
//!
//! A query pins one moment of each tenant. Traces that lie in one place only are evaluated there, batch by batch, newest first.
//! Traces that lie in several (found by the blocks' `shared` sections and by the ids that are live) are assembled and
//! evaluated whole, and left out everywhere else: an answer does not depend on how spans were cut into blocks.

mod ahead;
mod dependencies;
mod find;
mod found;
mod metrics;
mod names;
mod search;
mod sources;
mod split;
mod tags;

use std::ops::RangeInclusive;

pub use dependencies::{Dependencies, Dependency};
pub use found::FoundTrace;
pub use metrics::Metrics;
pub use search::Search;

use crate::block::Blocks;
use crate::failure::{Failure, Kind};
use crate::ingester::Ingester;
use crate::runtime::{Budget, Cpu, Room};
use crate::scan::ScanCost;
use crate::traceql::{Series, Slots, TraceMatch};

pub use crate::otlp::JsonStyle;

/// How much a query may do at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Units of one query that are read and evaluated at once.
    pub concurrent_units: usize,
    /// Spans of split traces that are put together at once.
    pub assembled_spans_max: usize,
    /// Spans of a trace by id in one block from which on only what lays them out is read at first, and the rest when the trace is told: of such
    /// parts a trace may have many.
    pub whole_part_spans: u64,
    /// What the units and traces that are read at once may take in memory, over all questions: about. What finds no room waits.
    pub memory_bytes: u64,
    /// Bytes of distinct tag values that one question may gather.
    pub tag_values_bytes_max: usize,
    /// Samples (series times steps) that a part of a metrics answer holds in memory, 8 to 24 bytes each. A query has at most
    /// `concurrent_units` parts.
    pub metrics_samples_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            concurrent_units: 4,
            assembled_spans_max: 256 * 1024,
            whole_part_spans: 16 * 1024,
            memory_bytes: 256 << 20,
            tag_values_bytes_max: 64 << 20,
            metrics_samples_max: 8 * 1024 * 1024,
        }
    }
}

/// Answers questions over all blocks and live spans. Cheap to clone.
#[derive(Clone)]
pub struct Querier {
    ingester: Ingester,
    blocks: Blocks,
    cpu: Cpu,
    config: Config,
    memory: Budget,
}

/// What a span takes in memory with all that it has, about.
const SPAN_BYTES: u64 = 400;

/// A search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchRequest {
    /// TraceQL; empty means `{}`.
    pub query: String,
    /// Unix nanoseconds, both ends included.
    pub window: RangeInclusive<u64>,
    /// Most traces, at least 1.
    pub limit: usize,
    /// Most spans told per spanset; 0: all.
    pub spans_per_spanset: usize,
}

/// The newest traces that match.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchAnswer {
    /// Newest first, ties by trace id.
    pub traces: Vec<TraceMatch>,
    pub cost: Cost,
}

/// A metrics query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsRequest {
    /// TraceQL with a metrics stage.
    pub query: String,
    /// Spans count in the slot that they start in.
    pub slots: Slots,
    /// Most exemplars in the answer; the query's own hint goes before it, up to `exemplars_max`.
    pub exemplars: usize,
    pub exemplars_max: usize,
    /// Most series; 0: all.
    pub max_series: usize,
}

/// The series of a metrics query.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsAnswer {
    /// By the number of labels, then label by label.
    pub series: Vec<Series>,
    /// Whether there were more series than wanted.
    pub is_cut: bool,
    pub cost: Cost,
}

/// What an answer cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    pub inspected_bytes: u64,
    pub inspected_traces: u64,
    pub inspected_spans: u64,
    /// Blocks of which something was read.
    pub blocks: u64,
    /// Blocks that the time range or their statistics ruled out.
    pub blocks_skipped: u64,
    /// Bytes of all blocks that were considered.
    pub block_bytes: u64,
    /// Units read: row groups, and batches of live traces.
    pub jobs: u64,
    /// Units that the index ruled out.
    pub jobs_skipped: u64,
    /// Reads of the bucket, one for all neighbouring ranges.
    pub requests: u64,
}

/// How far a question has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it cost so far.
    pub cost: Cost,
    /// Units that are still to be read, about: what is not opened yet is guessed.
    pub jobs_left: u64,
}

/// Where a tag may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TagScope {
    Resource,
    Span,
    Event,
    Link,
    Instrumentation,
    Intrinsic,
}

/// Which names attributes have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagNamesRequest {
    /// Only this scope; `None` for all.
    pub scope: Option<TagScope>,
    pub window: RangeInclusive<u64>,
    /// A filter, perhaps half-typed; names then are those of the spans that it keeps.
    pub filter: String,
    /// Most names per scope; 0: all.
    pub limit: usize,
}

/// Names by scope, sorted; without [`TagScope::Intrinsic`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagNames {
    pub scopes: Vec<(TagScope, Vec<String>)>,
    pub cost: Cost,
}

/// Which values an attribute has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagValuesRequest {
    /// A TraceQL attribute.
    pub attribute: String,
    pub window: RangeInclusive<u64>,
    /// A filter, perhaps half-typed.
    pub filter: String,
    /// Most values; 0: all.
    pub limit: usize,
}

/// Values, the most frequent first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagValues {
    pub values: Vec<TagValue>,
    pub cost: Cost,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagValue {
    /// `string`, `int`, `float`, `bool`, `duration` or `keyword`.
    pub kind: &'static str,
    pub text: String,
}

impl Querier {
    pub fn new(ingester: Ingester, blocks: Blocks, cpu: Cpu, config: Config) -> Self {
        let memory = Budget::new(config.memory_bytes);
        Self { ingester, blocks, cpu, config, memory }
    }

    /// Bytes that questions have taken for what they read.
    pub fn memory_taken(&self) -> u64 {
        self.memory.taken()
    }

    /// Waits for room for so many whole spans.
    async fn room_for_spans(&self, spans: u64) -> Room {
        self.memory.take(spans.saturating_mul(SPAN_BYTES)).await
    }
}

impl Cost {
    pub(crate) fn add(&mut self, other: Self) {
        let Self {
            inspected_bytes,
            inspected_traces,
            inspected_spans,
            blocks,
            blocks_skipped,
            block_bytes,
            jobs,
            jobs_skipped,
            requests,
        } = other;
        self.inspected_bytes += inspected_bytes;
        self.inspected_traces += inspected_traces;
        self.inspected_spans += inspected_spans;
        self.blocks += blocks;
        self.blocks_skipped += blocks_skipped;
        self.block_bytes += block_bytes;
        self.jobs += jobs;
        self.jobs_skipped += jobs_skipped;
        self.requests += requests;
    }

    fn add_scan(&mut self, scan: ScanCost) {
        let ScanCost { bytes, requests, rows, traces, units_read, units_skipped } = scan;
        self.inspected_bytes += bytes;
        self.inspected_spans += rows;
        self.inspected_traces += traces;
        self.jobs += units_read;
        self.jobs_skipped += units_skipped;
        self.requests += requests;
    }
}

/// A query text that is refused.
fn refused(error: &crate::traceql::Error) -> Failure {
    Failure::invalid(format!("invalid TraceQL query: {error}"))
}

/// A block that cannot be read: the answer would be incomplete, so there is none.
fn unreadable(block: uuid::Uuid, error: &crate::block::Error) -> Failure {
    let kind = match error {
        crate::block::Error::Store(error) => error.kind(),
        _ => Kind::Internal,
    };
    Failure::new(kind, format!("block {block}: {}", crate::failure::chain(error)))
}

/// Packs that cannot be asked: the bucket does not answer.
fn unanswered(error: &crate::packs::Error) -> Failure {
    Failure::new(error.kind(), format!("packs of trace ids: {}", crate::failure::chain(error)))
}

#[cfg(test)]
impl Querier {
    /// A querier over an empty bucket.
    pub(crate) fn over_nothing() -> Self {
        use crate::wal::{SimulatedDisk, Wal};

        let (store, cpu) = (crate::store::Store::memory(), Cpu::new(None).unwrap());
        let blocks = Blocks::new(store.clone(), cpu.clone(), 1 << 20);
        let disk = std::sync::Arc::new(SimulatedDisk::new());
        let wal = Wal::open(std::path::Path::new("wal"), &crate::wal::Config::default(), disk);
        let ingester = Ingester::new(crate::ingester::Parts {
            config: crate::ingester::Config::default(),
            store,
            blocks: blocks.clone(),
            wal: wal.unwrap(),
            clock: crate::runtime::Clock::simulated(1_755_000_000_000_000_000),
            cpu: cpu.clone(),
            metrics: crate::ingester::Metrics::default(),
        });
        Self::new(ingester, blocks, cpu, Config::default())
    }
}
