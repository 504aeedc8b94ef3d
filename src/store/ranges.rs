//! Which byte ranges one request reads together.

use std::ops::Range;

use bytes::Bytes;

/// Ranges at most this far apart are read together: a request costs about as much time as this many bytes.
const GAP_BYTES_MAX: u64 = 1 << 20;

/// Ranges are not joined into more than this, so that large reads go in parallel.
const JOINED_BYTES_MAX: u64 = 16 << 20;

/// Requests of one call that run at once.
pub(super) const PARALLEL_MAX: usize = 10;

/// The ranges to read, sorted and without overlap, of which each of `ranges` is inside one.
pub(super) fn join(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> =
        ranges.iter().filter(|range| range.start < range.end).cloned().collect();
    sorted.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match joined.last_mut() {
            Some(last) if joins(last, &range) => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// Whether `range`, which starts no earlier than `last`, is read together with it.
fn joins(last: &Range<u64>, range: &Range<u64>) -> bool {
    let overlap = range.start < last.end;
    let near = range.start - last.start <= (last.end - last.start).saturating_add(GAP_BYTES_MAX);
    overlap || (near && range.end - last.start <= JOINED_BYTES_MAX)
}

/// The bytes of `range`, cut out of the body of that one of the `joined` ranges that contains it.
pub(super) fn part(range: &Range<u64>, joined: &[Range<u64>], bodies: &[Bytes]) -> Bytes {
    if range.start >= range.end {
        return Bytes::new();
    }
    let after = joined.partition_point(|whole| whole.start <= range.start);
    let index = after.checked_sub(1).expect("`join` covers every range");
    let offset = |at: u64| {
        usize::try_from(at - joined[index].start).expect("the body that contains it is in memory")
    };
    bodies[index].slice(offset(range.start)..offset(range.end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn near_ranges_are_joined_and_far_ones_are_not() {
        let join = |asked: &[Range<u64>]| -> Vec<(u64, u64)> {
            join(asked).iter().map(|range| (range.start, range.end)).collect()
        };
        let far = 5 + GAP_BYTES_MAX;
        assert_eq!(join(&[far..far + 1, 0..5]), [(0, far + 1)]);
        assert_eq!(join(&[far + 1..far + 2, 0..5]), [(0, 5), (far + 1, far + 2)]);
        assert_eq!(join(&[0..9, 2..4, 3..3]), [(0, 9)]);
        assert_eq!(join(&[]), []);
        let most = JOINED_BYTES_MAX;
        assert_eq!(join(&[0..most, most..most + 1]), [(0, most), (most, most + 1)]);
        assert_eq!(join(&[0..most, most - 1..most + 1]), [(0, most + 1)]);
    }

    proptest! {
        // Every case builds some MiB.
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn every_part_is_what_was_asked_for(
            asked in proptest::collection::vec((0_u64..6 << 20, 0_u64..2000), 0..20)
        ) {
            // The byte at each offset is a function of the offset.
            let byte = |at: u64| at.to_le_bytes()[0] ^ at.to_le_bytes()[1];
            let ranges: Vec<_> = asked.iter().map(|(start, len)| *start..start + len).collect();
            let joined = join(&ranges);
            let bodies: Vec<Bytes> = joined.iter().map(|r| r.clone().map(byte).collect()).collect();
            for range in &ranges {
                let wanted: Bytes = range.clone().map(byte).collect();
                prop_assert_eq!(part(range, &joined, &bodies), wanted);
            }
        }
    }
}
