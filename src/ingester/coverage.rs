//! Which spans of the WAL are in a block: the section `WalCoverage` of its index.

use std::collections::BTreeMap;

use prost::Message;
use uuid::Uuid;

use crate::manifest::WalCoverage;

/// Which spans of some WAL segments a block holds. Numbers are those of [`crate::wal::Position`].
#[derive(Clone, PartialEq, Message)]
pub(super) struct Coverage {
    /// The WAL's writer id.
    #[prost(bytes = "vec", tag = "1")]
    pub writer: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    pub segments: Vec<SegmentCoverage>,
    /// Of other logs, in a block that is made of several: without others of their own.
    #[prost(message, repeated, tag = "3")]
    pub others: Vec<Self>,
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
        Self { writer: writer.as_bytes().to_vec(), segments, others: Vec::new() }
    }

    /// Adds what another block covers, as far as it is to be kept.
    pub(super) fn add(&mut self, other: Self, is_kept: impl Fn(&[u8], u64) -> bool) {
        let Self { writer, segments, others } = other;
        let all = [Self { writer, segments, others: Vec::new() }].into_iter().chain(others);
        for Self { writer, segments, others: _ } in all {
            let kept = segments.into_iter().filter(|segment| is_kept(&writer, segment.segment));
            let kept: Vec<SegmentCoverage> = kept.collect();
            if kept.is_empty() {
                continue;
            }
            if self.writer.is_empty() {
                self.writer.clone_from(&writer);
            }
            if self.writer == writer {
                self.segments.extend(kept);
                continue;
            }
            match self.others.iter_mut().find(|known| known.writer == writer) {
                Some(known) => known.segments.extend(kept),
                None => self.others.push(Self { writer, segments: kept, others: Vec::new() }),
            }
        }
    }

    /// First and last segment of each log.
    pub(super) fn ranges(&self) -> impl Iterator<Item = WalCoverage> + '_ {
        [self].into_iter().chain(&self.others).filter_map(|one| {
            let numbers = || one.segments.iter().map(|segment| segment.segment);
            Some(WalCoverage {
                writer: Uuid::from_slice(&one.writer).ok()?,
                first_segment: numbers().min()?,
                last_segment: numbers().max()?,
            })
        })
    }

    /// The segments of one log.
    fn of_writer(&self, writer: Uuid) -> impl Iterator<Item = &SegmentCoverage> {
        let mine = [self].into_iter().chain(&self.others);
        let mine = mine.filter(move |one| one.writer == writer.as_bytes());
        mine.flat_map(|one| &one.segments)
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
    pub(super) fn add(&mut self, coverage: &Coverage, writer: Uuid) {
        for SegmentCoverage { segment, runs } in coverage.of_writer(writer) {
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
    fn coverages_are_joined_by_log_and_old_segments_left_out() {
        let origins = |spans: &[(u64, u32)]| {
            spans.iter().map(|(segment, span)| Origin { segment: *segment, span: *span }).collect()
        };
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut joined = Coverage::default();
        for (writer, spans) in
            [(one, &[(1, 0), (5, 0), (5, 2)][..]), (other, &[(7, 3)]), (one, &[(5, 1), (6, 0)])]
        {
            let coverage = Coverage::of(writer, origins(spans));
            joined.add(coverage, |writer, segment| writer != one.as_bytes() || segment >= 5);
        }
        let mut again = Coverage::default();
        again.add(joined, |_, _| true);
        let ranges: Vec<_> =
            again.ranges().map(|r| (r.writer, r.first_segment, r.last_segment)).collect();
        assert_eq!(ranges, [(one, 5, 6), (other, 7, 7)]);
        let covered = |writer: Uuid| {
            let mut covered = Covered::default();
            covered.add(&again, writer);
            move |segment, span| covered.contains(segment, span)
        };
        let (of_one, of_other) = (covered(one), covered(other));
        assert!([(5, 0), (5, 1), (5, 2), (6, 0)].iter().all(|(s, n)| of_one(*s, *n)));
        assert!(!of_one(1, 0) && !of_one(5, 3) && !of_one(7, 3) && of_other(7, 3));
    }

    #[test]
    fn just_the_covered_spans_are_contained() {
        let spans = [(1, 0), (1, 1), (1, 5), (3, 2), (3, 3), (1, 6)];
        let origins = spans.map(|(segment, span)| Origin { segment, span }).to_vec();
        let coverage = Coverage::of(Uuid::nil(), origins);
        assert_eq!(coverage.range(), Some((1, 3)));
        let told = Coverage::decode(&coverage.encode_to_vec()[..]).unwrap();
        let mut covered = Covered::default();
        covered.add(&told, Uuid::nil());
        for segment in 0..5 {
            for span in 0..10 {
                let want = spans.contains(&(segment, span));
                assert_eq!(covered.contains(segment, span), want, "{segment} {span}");
            }
        }
    }
}
