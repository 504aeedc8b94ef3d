//! May a unit have this value? Filters of value hashes: split-block Bloom filters, all of a block in one section.
//!
//! The section `ValueFilters` is blocks of 32 bytes, each eight words of 32 bits, little endian; a filter is some of them, each so many
//! after the one before, named by a [`ValueFilter`] of the zones. The filters of a key in all units have equally many blocks and take turns,
//! so that what tells of a value, one block for each unit, lies in one place. Blocks that are read alone have no checksum: like pages, they
//! are checked by the bucket and the connection only. A value's hash (below) chooses the block by its upper half and one bit in each word by its lower
//! half, as Parquet's Bloom filters do; with few bits for each value it has one in some of the words only, by the upper half again. Texts are hashed as they are; numbers as doubles, so that equal numbers of both types are one.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::zones::ValueFilter;

/// Bytes of a block: one look-up touches one cache line.
pub(super) const BLOCK_BYTES: usize = 32;

/// Most bits for each value: of values that are not there less than one in a hundred passes.
pub(super) const BITS_MAX: usize = 11;

/// Least bits for each value: one in five passes, which still spares most units.
pub(super) const BITS_MIN: usize = 4;

/// Odd multipliers that spread a hash over the eight words: those of Parquet's filters.
const SALTS: [u32; 8] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

/// The hash of a text. Part of the format.
pub(super) fn of_text(text: &str) -> u64 {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let start = mixed(0x7669_7661_6365 ^ text.len() as u64);
    let words = words.iter().chain([&last]);
    words.fold(start, |hash, word| mixed(hash ^ u64::from_le_bytes(*word)))
}

/// The hash of a number, whatever its type. Part of the format.
pub(super) fn of_number(number: f64) -> u64 {
    // There is one zero.
    let number = if number == 0.0 { 0.0 } else { number };
    mixed(mixed(0x6e75_6d62_6572) ^ number.to_bits())
}

/// Each bit of the result depends on all bits of the word (but for zero, which no start makes likely).
fn mixed(word: u64) -> u64 {
    let product = u128::from(word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of 128 bits")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    low ^ high
}

/// The filters of a block, one after the other.
#[derive(Default)]
pub(super) struct FilterWriter {
    bytes: Vec<u8>,
}

impl FilterWriter {
    /// Bytes of a filter of so many values, with so many bits for each.
    pub(super) fn bytes_for(values: usize, bits: usize) -> usize {
        (values * bits).div_ceil(BLOCK_BYTES * 8).max(1) * BLOCK_BYTES
    }

    /// Adds the filters of one key, one for each unit, with so many bits for each value of the largest. `None` if the section is full.
    pub(super) fn add(&mut self, units: &[&[u64]], bits_each: usize) -> Option<Vec<ValueFilter>> {
        // Some 0.7 of the bits is what rules out most.
        let probes = u32::try_from(bits_each * 7 / 10).map_or(8, |words| words.clamp(1, 8));
        let from = self.bytes.len();
        let largest = units.iter().map(|hashes| hashes.len()).max()?;
        let blocks = Self::bytes_for(largest, bits_each) / BLOCK_BYTES;
        let end = from / BLOCK_BYTES + blocks * units.len();
        u32::try_from(end).ok()?;
        self.bytes.resize(end * BLOCK_BYTES, 0);
        let number = |blocks: usize| u32::try_from(blocks).expect("less than the end");
        let filter = |slot: usize| ValueFilter {
            first_block: number(from / BLOCK_BYTES + slot),
            blocks: number(blocks),
            words: probes,
            stride: number(units.len()),
        };
        let filters: Vec<ValueFilter> = (0..units.len()).map(filter).collect();
        for (filter, hashes) in filters.iter().zip(units) {
            for hash in *hashes {
                let place = place_of(filter, *hash).expect("inside the section") as usize;
                let block = &mut self.bytes[place * BLOCK_BYTES..][..BLOCK_BYTES];
                let (words, _) = block.as_chunks_mut::<4>();
                for (word, bit) in words.iter_mut().zip(bits(*hash, probes)) {
                    *word = (u32::from_le_bytes(*word) | bit).to_le_bytes();
                }
            }
        }
        Some(filters)
    }

    /// Bytes of all filters so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// The number of the block that tells of a hash; `None` if there can be no such block.
pub(super) fn place_of(filter: &ValueFilter, hash: u64) -> Option<u32> {
    let block = u32::try_from(block_of(hash, u64::from(filter.blocks))).ok()?;
    block.checked_mul(filter.stride.max(1))?.checked_add(filter.first_block)
}

/// Whether a value of this hash may be in a filter, by the block that tells. `false` is certain.
pub(super) fn may_contain(block: &[u8; BLOCK_BYTES], filter: &ValueFilter, hash: u64) -> bool {
    let (words, _) = block.as_chunks::<4>();
    words
        .iter()
        .zip(bits(hash, filter.words))
        .all(|(word, bit)| u32::from_le_bytes(*word) & bit == bit)
}

/// Blocks of the section that were read.
#[derive(Default, Clone)]
pub(super) struct FilterBlocks {
    pieces: BTreeMap<u32, [u8; BLOCK_BYTES]>,
    whole: Option<Bytes>,
}

impl FilterBlocks {
    /// The whole section.
    pub(super) fn whole(section: Bytes) -> Self {
        Self { pieces: BTreeMap::new(), whole: Some(section) }
    }

    /// A block; of those outside the section all bits count as set.
    pub(super) fn block(&self, place: u32) -> Option<[u8; BLOCK_BYTES]> {
        match &self.whole {
            Some(section) => {
                let block = section.get(place as usize * BLOCK_BYTES..);
                Some(block.and_then(|bytes| bytes.first_chunk()).copied().unwrap_or([u8::MAX; 32]))
            }
            None => self.pieces.get(&place).copied(),
        }
    }

    pub(super) fn add(&mut self, place: u32, block: [u8; BLOCK_BYTES]) {
        self.pieces.insert(place, block);
    }
}

/// Runs of blocks, and the bytes of the section that each of them takes: of `section_bytes`, what lies outside left out.
pub(super) fn runs(places: &BTreeSet<u32>, section_bytes: u64) -> Vec<(u32, std::ops::Range<u64>)> {
    let mut runs: Vec<(u32, std::ops::Range<u64>)> = Vec::new();
    for place in places {
        let from = u64::from(*place) * BLOCK_BYTES as u64;
        let end = from + BLOCK_BYTES as u64;
        match runs.last_mut() {
            _ if end > section_bytes => break,
            Some((_, run)) if run.end == from => run.end = end,
            _ => runs.push((*place, from..end)),
        }
    }
    runs
}

fn block_of(hash: u64, blocks: u64) -> usize {
    usize::try_from(((hash >> 32) * blocks) >> 32).expect("less than the blocks")
}

/// The bit of a hash in each word; none in those that it leaves out, which come after the others in a ring.
fn bits(hash: u64, words: u32) -> [u32; 8] {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    let low = hash as u32;
    let mut place = (hash >> 32) as u32 & 7;
    SALTS.map(|salt| {
        let is_used = place & 7 < words;
        place += 1;
        u32::from(is_used) << (low.wrapping_mul(salt) >> 27)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(section: &[u8], filter: &ValueFilter, hash: u64) -> bool {
        let blocks = FilterBlocks::whole(Bytes::copy_from_slice(section));
        may_contain(&blocks.block(place_of(filter, hash).unwrap()).unwrap(), filter, hash)
    }

    fn passing(section: &[u8], filter: &ValueFilter, hashes: &[u64]) -> usize {
        let blocks = FilterBlocks::whole(Bytes::copy_from_slice(section));
        let passes = |hash: &&u64| {
            let block = blocks.block(place_of(filter, **hash).unwrap()).unwrap();
            may_contain(&block, filter, **hash)
        };
        hashes.iter().filter(passes).count()
    }

    #[test]
    fn every_value_passes_and_few_others_do() {
        let mut writer = FilterWriter::default();
        let hashes = |range: std::ops::Range<u32>| -> Vec<u64> {
            range.map(|n| of_text(&format!("u-{n:06}"))).collect()
        };
        let few = writer.add(&[&hashes(0..3)], BITS_MAX).unwrap().remove(0);
        let many = writer.add(&[&hashes(0..50_000)], BITS_MAX).unwrap().remove(0);
        let numbers: Vec<u64> = (0..4000).map(|n| of_number(f64::from(n))).collect();
        let numbers = (writer.add(&[&numbers], BITS_MAX).unwrap().remove(0), numbers);
        let section = writer.finish();
        assert_eq!((few.blocks, section.len() * 8 / 54_003), (1, 11));
        for (filter, range) in [(&few, 0..3), (&many, 0..50_000)] {
            let all = hashes(range);
            assert_eq!(passing(&section, filter, &all), all.len());
        }
        assert_eq!(passing(&section, &numbers.0, &numbers.1), 4000);
        let others = passing(&section, &many, &hashes(50_000..150_000));
        assert!(others < 1_500, "{others} of 100,000 pass, some 1,000 expected");
        let others: Vec<u64> = (4000..104_000).map(|n| of_number(f64::from(n))).collect();
        let others = passing(&section, &numbers.0, &others);
        assert!(others < 1_500, "{others} of 100,000 pass, some 1,000 expected");
    }

    #[test]
    fn few_bits_still_rule_out_most_values() {
        let hashes: Vec<u64> = (0..5000).map(|n| of_number(f64::from(n))).collect();
        let mut writer = FilterWriter::default();
        let narrow = writer.add(&[&hashes], BITS_MIN).unwrap().remove(0);
        assert_eq!((narrow.blocks, writer.len()), (79, FilterWriter::bytes_for(5000, BITS_MIN)));
        assert_eq!(passing(&writer.bytes, &narrow, &hashes), 5000);
        let others: Vec<u64> = (5000..15_000).map(|n| of_number(f64::from(n))).collect();
        let passed = passing(&writer.bytes, &narrow, &others);
        assert!(passed < 2_500, "{passed} of 10,000 pass, some 2,000 expected");
    }

    #[test]
    fn what_tells_of_a_value_in_all_units_lies_together() {
        let units: Vec<Vec<u64>> = (0..3)
            .map(|unit| (0..900).map(|n| of_number(f64::from(n * 3 + unit))).collect())
            .collect();
        let mut writer = FilterWriter::default();
        writer.add(&[&[1, 2, 3]], BITS_MAX).unwrap();
        let filters =
            writer.add(&units.iter().map(|unit| &unit[..]).collect::<Vec<_>>(), BITS_MAX).unwrap();
        let section = writer.finish();
        for (filter, hashes) in filters.iter().zip(&units) {
            assert_eq!(passing(&section, filter, hashes), 900);
        }
        let hash = of_number(4.0);
        let places: BTreeSet<u32> =
            filters.iter().map(|filter| place_of(filter, hash).unwrap()).collect();
        let runs = runs(&places, section.len() as u64);
        assert_eq!(runs.len(), 1, "{runs:?}");
        assert_eq!(runs[0].1.end - runs[0].1.start, 3 * BLOCK_BYTES as u64);
        assert!(super::runs(&places, 32).is_empty(), "outside of the section");
    }

    #[test]
    fn the_hashes_never_change() {
        // They are in buckets: others are a new version.
        let texts = ["", "a", "12345678", "a longer text than two words"].map(of_text);
        let numbers = [0.0, 1.0, -1.5, f64::MAX].map(of_number);
        assert_eq!(texts, GOLDEN_TEXTS, "{texts:#x?}");
        assert_eq!(numbers, GOLDEN_NUMBERS, "{numbers:#x?}");
        assert_eq!(of_number(-0.0), of_number(0.0));
        assert_ne!(of_text("a"), of_text("a\0"));
    }

    const GOLDEN_TEXTS: [u64; 4] = [
        0xf420_c216_16fa_a97e,
        0x4df9_a148_abce_7bc5,
        0xe091_41dc_30b1_5699,
        0x3c40_1165_6965_d28e,
    ];
    const GOLDEN_NUMBERS: [u64; 4] = [
        0x25a4_0bae_65ee_9a47,
        0xfd97_5308_d495_4b86,
        0xfcb1_2b34_963b_7f80,
        0x62c1_e433_573a_c9fc,
    ];

    #[test]
    fn a_filter_outside_the_section_rules_nothing_out() {
        let outside = ValueFilter { first_block: 9, blocks: u32::MAX, words: 8, stride: 1 };
        assert!(passes(&[0; 64], &outside, of_text("x")));
        let nowhere = ValueFilter { first_block: u32::MAX, blocks: u32::MAX, words: 8, stride: 7 };
        assert_eq!(place_of(&nowhere, u64::MAX), None);
        assert!(passes(&[], &ValueFilter::default(), of_text("x")));
    }
}
