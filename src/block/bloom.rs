//! Is this trace possibly in the block? Bloom filters of trace ids, in shards.
//!
//! A shard object is `VIVB`, version (u8), CRC-32C of what follows (u32, little endian), then the bytes of a filter of the crate
//! `bloomfilter` 3 (its header and bits) over the 16 bytes of each id, with the seed below. An id belongs to the shard
//! `fold(id) mod shards`, fold being `TraceId::fold`.

use std::hash::{Hash, Hasher};

use bloomfilter::Bloom;
use bytes::Bytes;
use crc_fast::CrcAlgorithm;

use super::Error;
use crate::trace::TraceId;

const MAGIC: &[u8; 4] = b"VIVB";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 9;

/// Ids per shard: about 160 KB, one cheap GET.
const TRACES_PER_SHARD: usize = 128 * 1024;

/// One id in a hundred that is not there costs a look into the index.
const FALSE_POSITIVE_RATE: f64 = 0.01;

/// The two halves must differ: with equal halves the filter's two hash functions are one, and four times as many ids pass.
const SEED: [u8; 32] = *b"vivace trace-id bloom filter v 1";

/// Hashes just its bytes: `Hash` of an array would add its length, which is not portable.
struct Key(TraceId);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0.0);
    }
}

/// How many shards a block of so many traces has.
pub(super) fn shards(traces: usize) -> u32 {
    u32::try_from(traces.div_ceil(TRACES_PER_SHARD).max(1)).expect("traces are counted in 32 bits")
}

/// The shard that an id belongs to.
pub(super) fn shard_of(id: TraceId, shards: u32) -> u32 {
    u32::try_from(id.fold() % u64::from(shards)).expect("less than shards")
}

/// The shard objects for a set of ids.
pub(super) fn build(ids: &[TraceId]) -> Result<Vec<Bytes>, Error> {
    let shards = shards(ids.len());
    (0..shards)
        .map(|shard| {
            let mine: Vec<TraceId> =
                ids.iter().copied().filter(|id| shard_of(*id, shards) == shard).collect();
            let bits = Bloom::<Key>::compute_bitmap_size(mine.len().max(1), FALSE_POSITIVE_RATE);
            let mut bloom = Bloom::<Key>::new_with_seed(bits, mine.len().max(1), &SEED)
                .map_err(Error::Bloom)?;
            for id in mine {
                bloom.set(&Key(id));
            }
            let body = bloom.into_bytes();
            let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
            out.extend_from_slice(MAGIC);
            out.push(VERSION);
            out.extend_from_slice(&crc32c(&body).to_le_bytes());
            out.extend_from_slice(&body);
            Ok(out.into())
        })
        .collect()
}

/// One decoded shard.
pub(super) struct Shard(Bloom<Key>);

impl Shard {
    /// # Errors
    /// When the bytes are not a filter of this version or their checksum is wrong.
    pub(super) fn decode(object: &[u8]) -> Result<Self, Error> {
        let (header, body) = object
            .split_at_checked(HEADER_BYTES)
            .ok_or(Error::Corrupt { part: "bloom", what: "shorter than its header" })?;
        if !header.starts_with(MAGIC) || header[4] != VERSION {
            return Err(Error::Corrupt { part: "bloom", what: "not a filter of version 1" });
        }
        if header[5..] != crc32c(body).to_le_bytes() {
            return Err(Error::Corrupt { part: "bloom", what: "checksum mismatch" });
        }
        Bloom::from_bytes(body.to_vec()).map(Self).map_err(Error::Bloom)
    }

    /// `false` is certain.
    pub(super) fn may_contain(&self, id: TraceId) -> bool {
        self.0.check(&Key(id))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.0.as_slice().len() + 64
    }
}

/// CRC-32C (Castagnoli): the checksum of objects and sections.
pub fn crc32c(bytes: &[u8]) -> u32 {
    u32::try_from(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes)).expect("a CRC of 32 bits")
}

/// [`crc32c`] of bytes that come in pieces.
#[derive(Debug)]
pub struct Crc32c(crc_fast::Digest);

impl Default for Crc32c {
    fn default() -> Self {
        Self(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi))
    }
}

impl Crc32c {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(&self) -> u32 {
        u32::try_from(self.0.finalize()).expect("a CRC of 32 bits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> TraceId {
        // Spread over all bits, as real ids are.
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        TraceId((u128::from(mixed) << 64 | u128::from(mixed.rotate_left(31))).to_be_bytes())
    }

    #[test]
    fn every_id_passes_and_few_others_do() {
        let ids: Vec<TraceId> = (0..200_000).map(id).collect();
        let shards: Vec<Shard> =
            build(&ids).unwrap().iter().map(|object| Shard::decode(object).unwrap()).collect();
        assert_eq!(shards.len(), 2);
        let may = |id: TraceId| shards[shard_of(id, 2) as usize].may_contain(id);
        assert!(ids.iter().all(|id| may(*id)));
        let passed = (1_000_000..1_100_000).filter(|n| may(id(*n))).count();
        assert!(passed < 1_500, "{passed} of 100,000 pass, 1,000 expected");
    }

    #[test]
    fn the_bytes_never_change() {
        // They are in buckets: a new layout is a new version.
        let object = build(&[id(1), id(2), id(3)]).unwrap().remove(0);
        assert_eq!(crc32c(&object), GOLDEN_CRC, "{:#x}", crc32c(&object));
    }

    const GOLDEN_CRC: u32 = 0xe41c_50d6;

    #[test]
    fn a_flipped_bit_is_noticed() {
        let object = build(&[id(1)]).unwrap().remove(0).to_vec();
        for index in 0..object.len() {
            let mut bad = object.clone();
            bad[index] ^= 1;
            assert!(Shard::decode(&bad).is_err(), "byte {index}");
        }
        assert!(Shard::decode(&[]).is_err());
    }
}
