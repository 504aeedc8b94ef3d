//! Which blocks go into a new pack, which packs are merged into it, and which are of no use any more. Pure.
//!
//! Blocks that no pack knows wait until there are [`UNPACKED_MIN`], then they become a pack, together with every pack that has no more
//! entries than what is merged so far, the smallest first. So each pack has more entries than all smaller ones together: there are
//! at most as many as the logarithm of all entries, and an entry is written about as often as that.

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use crate::manifest::BlockEntry;

/// Blocks that no pack knows: so many wait, and a look-up asks each of them.
const UNPACKED_MIN: usize = 8;

/// Traces of blocks that are packed in one step: 16 bytes of memory each.
const STEP_TRACES_MAX: u64 = 1 << 20;

/// Blocks that are packed in one step: so many indexes are read for it.
const STEP_BLOCKS_MAX: usize = 512;

/// Entries of a pack over which nothing more is added to it: about 60 MB, which are in memory twice while they are merged.
const PACK_ENTRIES_MAX: u64 = 8 << 20;

/// What the plan must know of a pack.
pub(super) struct Facts<'a> {
    pub(super) id: Uuid,
    pub(super) blocks: &'a [Uuid],
    pub(super) entries: u64,
}

/// What is to be done, by places among the packs that were given. Nothing if all is empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) add: Vec<Arc<BlockEntry>>,
    pub(super) merge: Vec<usize>,
    /// Of no use: all their blocks are gone, or in larger packs.
    pub(super) delete: Vec<usize>,
}

/// `is_gone` says whether a block will never be in a manifest again.
pub(super) fn plan(
    blocks: &[Arc<BlockEntry>],
    packs: &[Facts<'_>],
    is_gone: &dyn Fn(Uuid) -> bool,
) -> Plan {
    let mut plan = Plan::default();
    let mut largest_first: Vec<usize> = (0..packs.len()).collect();
    largest_first.sort_by_key(|pack| (std::cmp::Reverse(packs[*pack].entries), packs[*pack].id));
    let mut packed: HashSet<Uuid, foldhash::fast::RandomState> = HashSet::default();
    let mut useful = Vec::new();
    for place in largest_first {
        let Facts { blocks, entries, .. } = &packs[place];
        let new = blocks.iter().filter(|id| !packed.contains(id) && !is_gone(**id)).count();
        if new == 0 {
            plan.delete.push(place);
            continue;
        }
        packed.extend(*blocks);
        useful.push((place, *entries, new * 2 < blocks.len()));
    }
    let unpacked: Vec<_> = blocks.iter().filter(|block| !packed.contains(&block.id)).collect();
    let mut traces = 0;
    if unpacked.len() >= UNPACKED_MIN {
        for block in unpacked.into_iter().take(STEP_BLOCKS_MAX) {
            if traces > 0 && traces + block.traces > STEP_TRACES_MAX {
                break;
            }
            traces += block.traces;
            plan.add.push(Arc::clone(block));
        }
    }
    for (place, entries, is_sparse) in useful.into_iter().rev() {
        let fits = entries <= traces && traces + entries <= PACK_ENTRIES_MAX;
        if is_sparse || fits {
            traces += entries;
            plan.merge.push(place);
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u128, traces: u64) -> Arc<BlockEntry> {
        Arc::new(BlockEntry { id: Uuid::from_u128(number), traces, ..BlockEntry::default() })
    }

    /// A pack of the blocks of some numbers, of 100 traces each.
    struct Made(Vec<Uuid>);

    impl Made {
        fn of(numbers: std::ops::Range<u128>) -> Self {
            Self(numbers.map(Uuid::from_u128).collect())
        }

        fn facts(&self) -> Facts<'_> {
            Facts { id: self.0[0], blocks: &self.0, entries: self.0.len() as u64 * 100 }
        }
    }

    fn planned(blocks: &[Arc<BlockEntry>], packs: &[Made]) -> Plan {
        let facts: Vec<_> = packs.iter().map(Made::facts).collect();
        let there: HashSet<Uuid, foldhash::fast::RandomState> =
            blocks.iter().map(|block| block.id).collect();
        plan(blocks, &facts, &|id| !there.contains(&id))
    }

    #[test]
    fn ten_thousand_blocks_end_in_a_few_packs() {
        let all: Vec<_> = (0..10_000).map(|number| block(number, 100)).collect();
        let (mut packs, mut written, mut most) = (Vec::<Made>::new(), 0, 0);
        for count in (8..=all.len()).step_by(8) {
            let Plan { add, merge, delete } = planned(&all[..count], &packs);
            assert!(delete.is_empty());
            if add.is_empty() {
                assert!(merge.is_empty(), "{count}");
                continue;
            }
            let mut ids: Vec<Uuid> = add.iter().map(|block| block.id).collect();
            ids.extend(merge.iter().flat_map(|pack| &packs[*pack].0));
            let mut place = 0..;
            packs.retain(|_| !merge.contains(&place.next().unwrap()));
            written += ids.len();
            packs.push(Made(ids));
            most = most.max(packs.len());
        }
        assert!(most <= 11, "{most}");
        assert_eq!(packs.iter().map(|pack| pack.0.len()).sum::<usize>(), 10_000);
        assert!(written <= 11 * 10_000, "each block is written {written} / 10,000 times");
    }

    #[test]
    fn many_blocks_at_once_are_packed_step_by_step() {
        let all: Vec<_> = (0..2000).map(|number| block(number, 10_000)).collect();
        let plan = planned(&all, &[]);
        assert_eq!(plan.add.len(), 104);
        assert_eq!(planned(&all[..7], &[]), Plan::default());
        let large = [block(0, 5 << 20), block(1, 1)];
        let large: Vec<_> = large.into_iter().chain(all[2..12].iter().cloned()).collect();
        assert_eq!(planned(&large, &[]).add.len(), 1, "one at least");
    }

    #[test]
    fn packs_of_what_is_gone_or_elsewhere_are_deleted_and_sparse_ones_written_anew() {
        let all: Vec<_> = (100..200).map(|number| block(number, 100)).collect();
        let packs = [Made::of(0..10), Made::of(100..130), Made::of(110..120), Made::of(70..140)];
        let Plan { add, merge, delete } = planned(&all, &packs);
        assert_eq!((add.len(), merge, delete), (60, vec![], vec![1, 0, 2]));
        let packs = [Made::of(150..200), Made::of(80..110)];
        let Plan { add, merge, delete } = planned(&all[..10], &packs);
        assert_eq!((add.len(), merge, delete), (0, vec![1], vec![0]));
    }

    #[test]
    fn full_packs_are_left_alone() {
        let all: Vec<_> = (0..20).map(|number| block(number, 1 << 20)).collect();
        let packs = [Made::of(0..1), Made::of(1..2)];
        let mut facts: Vec<_> = packs.iter().map(Made::facts).collect();
        (facts[0].entries, facts[1].entries) = (PACK_ENTRIES_MAX, 1 << 20);
        let plan = plan(&all, &facts, &|_| false);
        assert_eq!((plan.add.len(), plan.merge, plan.delete), (1, vec![1], vec![]));
    }
}
