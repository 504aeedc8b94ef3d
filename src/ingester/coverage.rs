//! Which spans of the WAL are in a block: the section `WalCoverage` of its index.

use std::collections::BTreeMap;

use prost::Message;
use uuid::Uuid;

/// Which spans of some WAL segments a block holds. Numbers are those of [`crate::wal::Position`].
#[derive(Clone, PartialEq, Message)]
pub(super) struct Coverage {
    /// The WAL's writer id.
    #[prost(bytes = "vec", tag = "1")]
    pub writer: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    pub segments: Vec<SegmentCoverage>,
}

/// Spans of one segment as runs.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SegmentCoverage {
    #[prost(uint64, tag = "1")]
    pub segment: u64,
    /// Pairs of (spans left out, spans taken), from the segment's first span on.
    #[prost(uint32, repeated, tag = "2")]
    pub runs: Vec<u32>,
}

/// Where a live span is in the WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    pub segment: u64,
    pub span: u32,
}

impl Coverage {
    /// The coverage of some spans, in any order.
    pub(super) fn of(writer: Uuid, mut origins: Vec<Origin>) -> Self {
        // Stable, since it makes use of runs: those of one chunk ascend.
        origins.sort();
        origins.dedup();
        let mut segments: Vec<SegmentCoverage> = Vec::new();
        let mut next = 0;
        for Origin { segment, span } in origins {
            if segments.last().is_none_or(|last| last.segment != segment) {
                segments.push(SegmentCoverage { segment, runs: Vec::new() });
                next = 0;
            }
            let runs = &mut segments.last_mut().expect("just pushed").runs;
            match runs.last_mut() {
                Some(taken) if span == next => *taken += 1,
                _ => runs.extend([span - next, 1]),
            }
            next = span + 1;
        }
        Self { writer: writer.as_bytes().to_vec(), segments }
    }

    /// First and last segment.
    pub(super) fn range(&self) -> Option<(u64, u64)> {
        Some((self.segments.first()?.segment, self.segments.last()?.segment))
    }
}

/// Spans that need no replay, by segment.
#[derive(Default)]
pub(super) struct Covered(BTreeMap<u64, Vec<(u32, u32)>>);

impl Covered {
    pub(super) fn add(&mut self, coverage: &Coverage) {
        for SegmentCoverage { segment, runs } in &coverage.segments {
            let ranges = self.0.entry(*segment).or_default();
            let mut at = 0;
            for pair in runs.chunks_exact(2) {
                ranges.push((at + pair[0], at + pair[0] + pair[1]));
                at += pair[0] + pair[1];
            }
            ranges.sort_unstable();
        }
    }

    pub(super) fn contains(&self, segment: u64, span: u32) -> bool {
        let Some(ranges) = self.0.get(&segment) else { return false };
        let after = ranges.partition_point(|(start, _)| *start <= span);
        // Runs of several blocks do not overlap: the last that begins before is the only one that can hold it.
        after > 0 && span < ranges[after - 1].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn just_the_covered_spans_are_contained() {
        let spans = [(1, 0), (1, 1), (1, 5), (3, 2), (3, 3), (1, 6)];
        let origins = spans.map(|(segment, span)| Origin { segment, span }).to_vec();
        let coverage = Coverage::of(Uuid::nil(), origins);
        assert_eq!(coverage.range(), Some((1, 3)));
        let told = Coverage::decode(&coverage.encode_to_vec()[..]).unwrap();
        let mut covered = Covered::default();
        covered.add(&told);
        for segment in 0..5 {
            for span in 0..10 {
                let want = spans.contains(&(segment, span));
                assert_eq!(covered.contains(segment, span), want, "{segment} {span}");
            }
        }
    }
}
