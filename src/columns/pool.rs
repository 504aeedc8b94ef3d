//! Byte strings kept once, named by small codes.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};

/// Interned byte strings: equal ones have equal codes, codes count up from 0. Code 0 is always the empty string.
#[derive(Clone)]
pub struct Pool {
    bytes: Vec<u8>,
    /// Where each string ends; it begins where the one before ends.
    ends: Vec<u32>,
    /// Of each string, so that it is hashed once, wherever it is told.
    hashes: Vec<u32>,
    codes: HashTable<u32>,
    hasher: FixedState,
}

/// The code of the empty string in every pool.
pub const EMPTY: u32 = 0;

impl Default for Pool {
    fn default() -> Self {
        // The seed only has to differ from what an attacker can guess cheaply: pools are short-lived and bounded by the size of
        // a request or of the live set.
        let mut pool = Self {
            bytes: Vec::new(),
            ends: Vec::new(),
            hashes: Vec::new(),
            codes: HashTable::new(),
            hasher: FixedState::with_seed(0x7669_7661_6365),
        };
        pool.intern(b"");
        pool
    }
}

impl Pool {
    /// The code of `text`, which is kept if it is new.
    ///
    /// # Panics
    /// Past 4 GiB of distinct bytes: a pool holds one request or one cut, both bounded far below.
    pub fn intern(&mut self, text: &[u8]) -> u32 {
        let hash = self.hash(text);
        self.intern_hashed(text, hash)
    }

    /// [`Pool::intern`] of a text of which the hash is known.
    fn intern_hashed(&mut self, text: &[u8], hash: u32) -> u32 {
        let Self { bytes, ends, hashes, codes, hasher: _ } = self;
        let entry = codes.entry(
            widened(hash),
            |code| hashes[*code as usize] == hash && slice(bytes, ends, *code) == text,
            |code| widened(hashes[*code as usize]),
        );
        match entry {
            hashbrown::hash_table::Entry::Occupied(found) => *found.get(),
            hashbrown::hash_table::Entry::Vacant(place) => {
                let code = u32::try_from(ends.len()).expect("fewer strings than bytes");
                bytes.extend_from_slice(text);
                ends.push(
                    u32::try_from(bytes.len()).expect("a pool is bounded by a request or a cut"),
                );
                hashes.push(hash);
                place.insert(code);
                code
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is enough of one")]
    fn hash(&self, text: &[u8]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(text);
        hasher.finish() as u32
    }

    /// The code of `text`, if it is there.
    pub fn find(&self, text: &[u8]) -> Option<u32> {
        let hash = widened(self.hash(text));
        self.codes.find(hash, |code| self.get(*code) == text).copied()
    }

    pub fn get(&self, code: u32) -> &[u8] {
        slice(&self.bytes, &self.ends, code)
    }

    /// The string of a code that was interned as text; anything else reads as empty.
    pub fn text(&self, code: u32) -> &str {
        std::str::from_utf8(self.get(code)).unwrap_or_default()
    }

    /// All strings one after the other, and where each ends.
    pub fn joined(&self) -> (&[u8], &[u32]) {
        (&self.bytes, &self.ends)
    }

    /// Gives back room that is not filled.
    pub(super) fn shrink(&mut self) {
        let Self { bytes, ends, hashes, codes: _, hasher: _ } = self;
        bytes.shrink_to_fit();
        ends.shrink_to_fit();
        hashes.shrink_to_fit();
    }

    /// Number of codes.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of memory held, roughly.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 8 + self.codes.capacity() * 5
    }
}

/// A hash for the table, which looks at its lowest and its highest bits.
fn widened(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

fn slice<'a>(bytes: &'a [u8], ends: &[u32], code: u32) -> &'a [u8] {
    let index = code as usize;
    let start = if index == 0 { 0 } else { ends[index - 1] as usize };
    &bytes[start..ends[index] as usize]
}

/// Codes of one pool told in another: each string is looked up once.
#[derive(Default)]
pub struct Recode {
    known: Vec<u32>,
}

impl Recode {
    pub fn from(pool: &Pool) -> Self {
        Self { known: vec![u32::MAX; pool.len()] }
    }

    /// Makes room for the codes of another pool, after those of the one before were forgotten.
    pub(super) fn widen(&mut self, pool: &Pool) {
        if self.known.len() < pool.len() {
            self.known.resize(pool.len(), u32::MAX);
        }
    }

    /// Forgets codes: less work than forgetting all of a pool of which they are few.
    pub(super) fn forget(&mut self, codes: &[u32]) {
        for code in codes {
            self.known[*code as usize] = u32::MAX;
        }
    }

    pub fn code(&mut self, from: &Pool, code: u32, into: &mut Pool) -> u32 {
        let known = &mut self.known[code as usize];
        if *known == u32::MAX {
            *known = into.intern_hashed(from.get(code), from.hashes[code as usize]);
        }
        *known
    }
}

/// No place: a row or owner that is left out.
pub const NOWHERE: u32 = u32::MAX;

/// One pool's codes, being told in another.
pub(super) struct Told<'a> {
    pub from: &'a Pool,
    recode: Recode,
}

impl<'a> Told<'a> {
    pub(super) fn of(from: &'a Pool) -> Self {
        Self { from, recode: Recode::from(from) }
    }

    pub(super) fn code(&mut self, code: u32, into: &mut Pool) -> u32 {
        self.recode.code(self.from, code, into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_have_equal_codes() {
        let mut pool = Pool::default();
        let (a, b) = (pool.intern(b"alpha"), pool.intern(b"beta"));
        assert_eq!((pool.intern(b"alpha"), pool.intern(b"")), (a, EMPTY));
        assert_eq!((pool.text(a), pool.get(b)), ("alpha", &b"beta"[..]));
        assert_eq!((pool.find(b"beta"), pool.find(b"gamma")), (Some(b), None));
    }

    #[test]
    fn codes_are_told_in_another_pool() {
        let (mut from, mut into) = (Pool::default(), Pool::default());
        into.intern(b"other");
        let code = from.intern(b"x");
        let mut recode = Recode::from(&from);
        let told = recode.code(&from, code, &mut into);
        assert_eq!(into.text(told), "x");
        assert_eq!(recode.code(&from, code, &mut into), told);
    }
}
