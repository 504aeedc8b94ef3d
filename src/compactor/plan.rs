//! Which blocks are joined now, and which have had their time. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::Config;
use crate::manifest::BlockEntry;

/// Blocks of one level that are worth joining while others may still come: each span is written once for each level.
const SIMILAR_BLOCKS: usize = 4;

/// Blocks that one job joins at most: each is read whole.
const INPUTS_MAX: usize = 64;

/// Spans that lie so far from the time they came in are kept apart, as they were cut.
const FAR_NANOS: u64 = 24 * 3600 * 1_000_000_000;

/// Blocks to be joined into one, by the time they came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) inputs: Vec<Arc<BlockEntry>>,
}

impl Job {
    pub(super) fn spans(&self) -> u64 {
        self.inputs.iter().map(|block| block.spans).sum()
    }
}

/// Of which blocks are joined with one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    /// The window that its spans came in.
    window: u64,
    is_far: bool,
}

/// The jobs, the newest window first. In a window that is over, all blocks are joined that fit together; in the others those of
/// one level, when there are several.
pub(super) fn jobs(blocks: &[Arc<BlockEntry>], config: &Config, now_unix_nano: u64) -> Vec<Job> {
    let window_nanos = nanos(config.window).max(1);
    let mut groups: BTreeMap<Group, Vec<&Arc<BlockEntry>>> = BTreeMap::new();
    // A block that is large enough is left alone.
    for block in blocks.iter().filter(|block| block.spans <= config.spans_max / 2) {
        let window = block.received_max_unix_nano / window_nanos;
        let far = |time: u64| time.abs_diff(block.received_max_unix_nano) > FAR_NANOS;
        let is_far = far(block.start_unix_nano) || far(block.end_unix_nano);
        groups.entry(Group { window, is_far }).or_default().push(block);
    }
    let current = now_unix_nano.saturating_sub(nanos(config.settle_after)) / window_nanos;
    let mut jobs = Vec::new();
    for (group, mut blocks) in groups.into_iter().rev() {
        blocks.sort_by_key(|block| (block.received_max_unix_nano, block.id));
        if group.window < current {
            jobs.extend(packed(&blocks, config, 2));
            continue;
        }
        let mut levels: BTreeMap<u32, Vec<&Arc<BlockEntry>>> = BTreeMap::new();
        for block in blocks {
            levels.entry(block.level).or_default().push(block);
        }
        for blocks in levels.into_values() {
            jobs.extend(packed(&blocks, config, SIMILAR_BLOCKS));
        }
    }
    jobs
}

/// Blocks that follow one another in jobs of at most so many spans; those of fewer blocks than `least` are none.
fn packed(blocks: &[&Arc<BlockEntry>], config: &Config, least: usize) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    let (mut inputs, mut spans): (Vec<Arc<BlockEntry>>, u64) = (Vec::new(), 0);
    for block in blocks {
        if spans + block.spans > config.spans_max || inputs.len() == INPUTS_MAX {
            jobs.push(Job { inputs: std::mem::take(&mut inputs) });
            spans = 0;
        }
        spans += block.spans;
        inputs.push(Arc::clone(block));
    }
    jobs.push(Job { inputs });
    jobs.retain(|job| job.inputs.len() >= least);
    jobs
}

/// The blocks of which all spans came in longer ago than they are kept; none if they are kept for ever.
pub(super) fn expired(
    blocks: &[Arc<BlockEntry>],
    retention: Duration,
    now_unix_nano: u64,
) -> Vec<Uuid> {
    if retention.is_zero() {
        return Vec::new();
    }
    let oldest = now_unix_nano.saturating_sub(nanos(retention));
    let is_over = |block: &&Arc<BlockEntry>| block.received_max_unix_nano < oldest;
    blocks.iter().filter(is_over).map(|block| block.id).collect()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60 * 1_000_000_000;
    /// In the middle of an hour.
    const NOW: u64 = 1_000_000 * 60 * MINUTE + 30 * MINUTE;

    fn block(number: u128, minutes_ago: u64, spans: u64, level: u32) -> Arc<BlockEntry> {
        let received = NOW - minutes_ago * MINUTE;
        Arc::new(BlockEntry {
            id: Uuid::from_u128(number),
            spans,
            level,
            start_unix_nano: received - MINUTE,
            end_unix_nano: received,
            received_min_unix_nano: received - MINUTE,
            received_max_unix_nano: received,
            ..BlockEntry::default()
        })
    }

    fn planned(blocks: &[Arc<BlockEntry>]) -> Vec<Vec<u128>> {
        let config = Config { spans_max: 1000, ..Config::default() };
        let ids = |job: &Job| job.inputs.iter().map(|block| block.id.as_u128()).collect();
        jobs(blocks, &config, NOW).iter().map(ids).collect()
    }

    #[test]
    fn in_the_present_window_only_many_of_one_level_are_joined() {
        let mut blocks: Vec<_> =
            (0_u8..3).map(|n| block(n.into(), 10 - u64::from(n), 10, 0)).collect();
        blocks.push(block(8, 20, 10, 1));
        assert_eq!(planned(&blocks), [[0; 0]; 0]);
        blocks.push(block(3, 1, 10, 0));
        assert_eq!(planned(&blocks), [[0, 1, 2, 3]]);
    }

    #[test]
    fn a_window_that_is_over_is_joined_as_far_as_it_fits() {
        // Of 31 to 90 minutes ago; the window before is another.
        let blocks = [
            block(1, 60, 400, 0),
            block(2, 59, 400, 2),
            block(3, 58, 400, 0),
            block(4, 57, 100, 1),
            block(5, 56, 501, 0),
            block(6, 100, 1, 0),
        ];
        assert_eq!(planned(&blocks), [[1, 2], [3, 4]]);
    }

    #[test]
    fn spans_of_another_time_stay_apart() {
        let far = |number, minutes_ago| {
            let block = block(number, minutes_ago, 10, 0);
            Arc::new(BlockEntry { start_unix_nano: 5, ..BlockEntry::clone(&block) })
        };
        let blocks = [block(1, 60, 10, 0), far(2, 60), block(3, 61, 10, 0), far(4, 62)];
        assert_eq!(planned(&blocks), [[4, 2], [3, 1]]);
    }

    #[test]
    fn a_block_is_over_when_its_last_span_is() {
        let blocks = [block(1, 61, 1, 0), block(2, 60, 1, 0), block(3, 59, 1, 0)];
        assert_eq!(expired(&blocks, Duration::from_hours(1), NOW), [Uuid::from_u128(1)]);
        assert!(expired(&blocks, Duration::ZERO, NOW).is_empty());
    }
}
