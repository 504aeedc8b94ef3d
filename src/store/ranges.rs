//! Which byte ranges one request reads together.
//!
//! A request costs about as much as reading [`REQUEST_BYTES`] more: on S3 a GET is some 30 ms and a ten-thousandth of a cent, and
//! what is read that nobody wants is time on the wire, memory and, across zones, money. So two ranges are read together where the
//! gap between them is smaller than that, the smallest gaps first, as long as what is read for nothing stays below what is wanted:
//! a call reads at most twice the bytes that it was asked for. Small calls may waste one request's worth all the same: there the
//! requests are what counts. Who wants a little of everything, as a look-up of one trace in all columns, may ask for few requests instead
//! of few bytes: then more gaps are read through, up to [`FEW_GAP_MAX`].

use std::ops::Range;

use bytes::Bytes;

/// What a request costs, in bytes: wider gaps are left out, and so many may always be read for nothing.
const REQUEST_BYTES: u64 = 512 << 10;

/// Wider gaps are not read through for the sake of fewer requests.
const FEW_GAP_MAX: u64 = 1 << 20;

/// Wider gaps of a file are not read: past that copying costs more than another read.
const FILE_GAP_MAX: u64 = 4 << 10;

/// Ranges are not joined into more than this, so that large reads go in parallel.
const JOINED_BYTES_MAX: u64 = 16 << 20;

/// Requests of one call that run at once.
pub(super) const PARALLEL_MAX: usize = 10;

/// The ranges to read, sorted and without overlap, of which each of `ranges` is inside one: if it can be, no more than `requests_max`.
pub(super) fn join(ranges: &[Range<u64>], requests_max: usize) -> Vec<Range<u64>> {
    let pieces = without_overlap(ranges);
    let read_through = gaps_read_through(&pieces, requests_max);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(pieces.len());
    for (place, piece) in pieces.into_iter().enumerate() {
        match joined.last_mut() {
            Some(last) if read_through[place - 1] && piece.end - last.start <= JOINED_BYTES_MAX => {
                last.end = piece.end;
            }
            _ => joined.push(piece),
        }
    }
    joined
}

/// What to read of a file, sorted and without overlap: each of `ranges` is inside one.
pub(super) fn of_file(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut pieces = without_overlap(ranges);
    pieces.dedup_by(|next, last| {
        let is_near =
            next.start - last.end <= FILE_GAP_MAX && next.end - last.start <= JOINED_BYTES_MAX;
        if is_near {
            last.end = next.end;
        }
        is_near
    });
    pieces
}

/// The bytes that are wanted, each once, ascending.
fn without_overlap(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> =
        ranges.iter().filter(|range| range.start < range.end).cloned().collect();
    sorted.sort_unstable_by_key(|range| range.start);
    let mut pieces: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match pieces.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => pieces.push(range),
        }
    }
    pieces
}

/// Of the gaps between pieces, which are read too.
fn gaps_read_through(pieces: &[Range<u64>], requests_max: usize) -> Vec<bool> {
    let wanted: u64 = pieces.iter().map(|piece| piece.end - piece.start).sum();
    let gaps = pieces.windows(2).map(|pair| pair[1].start - pair[0].end);
    let mut smallest_first: Vec<(u64, usize)> = gaps.zip(0..).collect();
    smallest_first.sort_unstable();
    let mut read_through = vec![false; smallest_first.len()];
    let mut room = wanted.max(REQUEST_BYTES);
    let mut requests = pieces.len();
    for (gap, place) in smallest_first {
        let is_cheap = gap <= REQUEST_BYTES && gap <= room;
        if !is_cheap && (requests <= requests_max || gap > FEW_GAP_MAX) {
            break;
        }
        room = room.saturating_sub(gap);
        requests -= 1;
        read_through[place] = true;
    }
    read_through
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

    fn joined(asked: &[Range<u64>]) -> Vec<(u64, u64)> {
        join(asked, usize::MAX).iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn near_ranges_are_joined_and_far_ones_are_not() {
        let far = 5 + REQUEST_BYTES;
        assert_eq!(joined(&[far..far + 1, 0..5]), [(0, far + 1)]);
        assert_eq!(joined(&[far + 1..far + 2, 0..5]), [(0, 5), (far + 1, far + 2)]);
        assert_eq!(joined(&[0..9, 2..4, 3..3]), [(0, 9)]);
        assert_eq!(joined(&[]), []);
        let most = JOINED_BYTES_MAX;
        assert_eq!(joined(&[0..most, most..most + 1]), [(0, most), (most, most + 1)]);
        assert_eq!(joined(&[0..most, most - 1..most + 1]), [(0, most + 1)]);
    }

    #[test]
    fn of_many_gaps_the_smallest_are_read_through_up_to_what_is_wanted() {
        // 20 pages of 100 KiB with gaps of 10 KiB and of 250 KiB by turns: all of the small ones and 7 of the wide ones fit.
        let kib = 1 << 10;
        let pages: Vec<Range<u64>> = (0..20)
            .map(|page| page / 2 * 460 * kib + page % 2 * 110 * kib)
            .map(|start| start..start + 100 * kib)
            .collect();
        let read = join(&pages, usize::MAX);
        assert_eq!(read.len(), 3);
        assert_eq!(read[2], 9 * 460 * kib..9 * 460 * kib + 210 * kib);
        // Of small things as much is read for nothing as a request costs, and not more.
        let small: Vec<Range<u64>> =
            (0..9).map(|page| page * 120 * kib).map(|s| s..s + 1).collect();
        assert_eq!(join(&small[..5], usize::MAX).len(), 1);
        assert_eq!(join(&small, usize::MAX).len(), 5);
        // Unless few requests are asked for.
        assert_eq!(join(&small, 2).len(), 2);
        assert_eq!(join(&[0..1, 9 << 20..10 << 20], 1).len(), 2);
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
            let joined = join(&ranges, usize::MAX);
            let bytes = |ranges: &[Range<u64>]| -> u64 { ranges.iter().map(|r| r.end - r.start).sum() };
            let (wanted, read) = (bytes(&without_overlap(&ranges)), bytes(&joined));
            prop_assert!(read <= wanted + wanted.max(REQUEST_BYTES), "{} for {}", read, wanted);
            let bodies: Vec<Bytes> = joined.iter().map(|r| r.clone().map(byte).collect()).collect();
            let pieces = of_file(&ranges);
            prop_assert!(pieces.is_sorted_by(|one, next| one.end + FILE_GAP_MAX < next.start));
            let of_file: Vec<Bytes> = pieces.iter().map(|r| r.clone().map(byte).collect()).collect();
            for range in &ranges {
                let wanted: Bytes = range.clone().map(byte).collect();
                prop_assert_eq!(&part(range, &joined, &bodies), &wanted);
                prop_assert_eq!(part(range, &pieces, &of_file), wanted);
            }
        }
    }
}
