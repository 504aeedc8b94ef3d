//! Texts and bytes: by codes where they repeat, else one after the other behind their lengths.

use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parquet::basic::Encoding;

use super::packing::differences;
use super::values::{Dictionary, Values};

/// Larger dictionaries are not made: a reader of one row inflates all of it.
const DICTIONARY_BYTES_MAX: usize = 1024 * 1024;

/// One that is smaller is worth it, whatever it holds.
const DICTIONARY_BYTES_SMALL: usize = 8 * 1024;

/// Texts by where they lie among others.
pub(super) struct Texts<'a> {
    offsets: &'a [i32],
    bytes: &'a [u8],
    /// Which text each value is.
    places: Vec<u32>,
    /// Bytes of all values.
    plain_bytes: usize,
    dictionary: Option<Dictionary>,
}

impl<'a> Texts<'a> {
    /// Of texts that lie there once each.
    pub(super) fn of_distinct(offsets: &'a [i32], bytes: &'a [u8], places: Vec<u32>) -> Self {
        let mut texts = Self { offsets, bytes, places, plain_bytes: 0, dictionary: None };
        texts.tell();
        texts
    }

    /// Of texts that may lie there more than once.
    pub(super) fn of_any(offsets: &'a [i32], bytes: &'a [u8], mut places: Vec<u32>) -> Self {
        let hasher = FixedState::default();
        let text = |place: u32| text(offsets, bytes, place);
        let hash = |place: &u32| hasher.hash_one(text(*place));
        let mut first: HashTable<u32> = HashTable::new();
        for place in &mut places {
            let same = |known: &u32| text(*known) == text(*place);
            match first.entry(hash(place), same, hash) {
                Entry::Occupied(known) => *place = *known.get(),
                Entry::Vacant(new) => drop(new.insert(*place)),
            }
        }
        Self::of_distinct(offsets, bytes, places)
    }

    fn text(&self, place: u32) -> &'a [u8] {
        text(self.offsets, self.bytes, place)
    }

    /// Makes the dictionary.
    fn tell(&mut self) {
        let mut codes = vec![u32::MAX; self.offsets.len().saturating_sub(1)];
        let (mut page, mut count, mut plain_bytes) = (Vec::new(), 0_u32, 0);
        let told = self.places.iter().map(|place| {
            let text = self.text(*place);
            plain_bytes += text.len();
            let code = &mut codes[*place as usize];
            if *code == u32::MAX {
                *code = count;
                count += 1;
                let length = u32::try_from(text.len()).expect("a value is bounded by a request");
                page.extend_from_slice(&length.to_le_bytes());
                page.extend_from_slice(text);
            }
            *code
        });
        let codes: Vec<u32> = told.collect();
        self.plain_bytes = plain_bytes;
        let is_useful = !codes.is_empty() && page.len() <= DICTIONARY_BYTES_MAX;
        self.dictionary = is_useful.then_some(Dictionary { page, count: count as usize, codes });
    }
}

fn text<'a>(offsets: &[i32], bytes: &'a [u8], place: u32) -> &'a [u8] {
    let at = place as usize;
    &bytes[offsets[at].cast_unsigned() as usize..offsets[at + 1].cast_unsigned() as usize]
}

impl Values for Texts<'_> {
    fn dictionary(&self) -> Option<&Dictionary> {
        self.dictionary.as_ref()
    }

    /// A dictionary that is large, and of texts that hardly repeat.
    fn is_doubtful(&self) -> bool {
        let entries = self.dictionary.as_ref().map_or(0, |dictionary| dictionary.page.len());
        entries > DICTIONARY_BYTES_SMALL && entries * 2 > self.plain_bytes
    }

    fn encoding(&self) -> Encoding {
        Encoding::DELTA_LENGTH_BYTE_ARRAY
    }

    fn bytes(&self, values: Range<usize>) -> usize {
        self.places[values].iter().map(|place| self.text(*place).len()).sum()
    }

    fn write(&self, values: Range<usize>, out: &mut Vec<u8>) {
        let texts = self.places[values].iter().map(|place| self.text(*place));
        let length = |text: &[u8]| i64::try_from(text.len()).expect("a slice");
        differences::<false>(texts.clone().map(length), out);
        texts.for_each(|text| out.extend_from_slice(text));
    }
}
