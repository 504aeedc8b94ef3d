//! What is known of whole traces: one row per trace, in the order of their spans.

use std::ops::Range;

use super::pool::Pool;
use crate::trace::TraceId;

/// Facts about the traces of a [`super::Batch`] or block part, as columns. The spans of trace `t` are the rows
/// `first_row[t] .. first_row[t + 1]`.
#[derive(Clone, Default)]
pub struct TraceTable {
    pub id: Vec<TraceId>,
    /// One more than there are traces.
    pub first_row: Vec<u32>,
    /// Earliest start and latest end of the spans, Unix nanoseconds. The end of a span that ends before it starts is its start.
    pub start: Vec<u64>,
    pub end: Vec<u64>,
    /// Row of the root span within the trace, or [`NO_ROOT`].
    pub root: Vec<u32>,
    /// Codes of `strings`; empty without a root.
    pub root_service: Vec<u32>,
    pub root_name: Vec<u32>,
    /// One more than there are traces: the services of trace `t` are `services[first_service[t]..first_service[t + 1]]`.
    pub first_service: Vec<u32>,
    pub services: Vec<ServiceStats>,
    pub strings: Pool,
}

/// `root` of a trace without a span that has no parent.
pub const NO_ROOT: u32 = u32::MAX;

/// How many spans a service has in a trace, and how many of them have status error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceStats {
    /// Code of [`TraceTable::strings`].
    pub service: u32,
    pub spans: u32,
    pub errors: u32,
}

impl TraceTable {
    pub fn len(&self) -> usize {
        self.id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.id.is_empty()
    }

    /// Rows of a trace.
    pub fn rows(&self, trace: usize) -> Range<usize> {
        self.first_row[trace] as usize..self.first_row[trace + 1] as usize
    }

    /// Rows of all traces.
    pub fn row_count(&self) -> usize {
        self.first_row.last().map_or(0, |row| *row as usize)
    }

    /// Some of the traces, in the order given.
    #[must_use]
    pub fn some(&self, traces: &[u32]) -> Self {
        let of = |column: &[u32]| traces.iter().map(|trace| column[*trace as usize]).collect();
        let times = |column: &[u64]| traces.iter().map(|trace| column[*trace as usize]).collect();
        let mut some = Self {
            id: traces.iter().map(|trace| self.id[*trace as usize]).collect(),
            first_row: vec![0],
            start: times(&self.start),
            end: times(&self.end),
            root: of(&self.root),
            root_service: of(&self.root_service),
            root_name: of(&self.root_name),
            first_service: vec![0],
            services: Vec::new(),
            strings: self.strings.clone(),
        };
        let mut rows = 0;
        for trace in traces {
            let trace = *trace as usize;
            rows += self.first_row[trace + 1] - self.first_row[trace];
            some.first_row.push(rows);
            some.services.extend_from_slice(self.services(trace));
            let services = u32::try_from(some.services.len()).expect("no more than in the whole");
            some.first_service.push(services);
        }
        some
    }

    /// Empty if there is no root.
    pub fn root_service(&self, trace: usize) -> &str {
        self.strings.text(self.root_service[trace])
    }

    /// Empty if there is no root.
    pub fn root_name(&self, trace: usize) -> &str {
        self.strings.text(self.root_name[trace])
    }

    /// Latest end minus earliest start, nanoseconds.
    pub fn duration(&self, trace: usize) -> u64 {
        self.end[trace] - self.start[trace]
    }

    pub fn services(&self, trace: usize) -> &[ServiceStats] {
        &self.services[self.first_service[trace] as usize..self.first_service[trace + 1] as usize]
    }
}
