//! The values of pages, by type and encoding.

use parquet::basic::Encoding;

use super::super::packed;
use super::validity::Marks;

/// What turns the pages of a column into values. Everything is `None` where the page is damaged or encoded as the writer does not.
pub(super) trait Codec<V> {
    /// What stands where there is no value.
    fn empty(&self) -> V;

    /// Takes the entries that the pages' codes stand for.
    fn dictionary(&mut self, page: Vec<u8>, count: usize) -> Option<()>;

    /// Appends the `count` values of a page.
    fn values(
        &mut self,
        encoding: Encoding,
        page: &[u8],
        count: usize,
        into: &mut Vec<V>,
    ) -> Option<()>;

    /// Sees the values of the wanted rows of the page that was read last; rows from `first` on, where `marks` says which have one.
    fn settle(&mut self, fresh: &mut [V], marks: &Marks, first: usize) -> Option<()>;
}

pub(super) fn is_by_dictionary(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY)
}

/// Values of one width: by their bytes, or from a number that is told as a difference. The functions are parameters, not pointers, so that
/// they are not called for each value.
pub(super) struct Plain<V, R, O, const N: usize> {
    read: R,
    of: O,
    entries: Vec<V>,
    codes: Vec<u32>,
}

impl<V, R: Fn([u8; N]) -> V, O: Fn(i64) -> V, const N: usize> Plain<V, R, O, N> {
    pub(super) fn new(read: R, of: O) -> Self {
        Self { read, of, entries: Vec::new(), codes: Vec::new() }
    }
}

impl<V: Copy, R: Fn([u8; N]) -> V, O: Fn(i64) -> V, const N: usize> Codec<V> for Plain<V, R, O, N> {
    fn empty(&self) -> V {
        (self.read)([0; N])
    }

    fn dictionary(&mut self, page: Vec<u8>, count: usize) -> Option<()> {
        let page = page.get(..count.checked_mul(N)?)?;
        self.entries.extend(page.as_chunks().0.iter().map(|bytes| (self.read)(*bytes)));
        Some(())
    }

    fn values(
        &mut self,
        encoding: Encoding,
        page: &[u8],
        count: usize,
        into: &mut Vec<V>,
    ) -> Option<()> {
        match encoding {
            encoding if is_by_dictionary(encoding) => {
                let Self { entries, codes, .. } = self;
                codes.clear();
                packed::codes(page, count, codes, low)?;
                let past = codes.iter().max().map_or(0, |code| *code as usize + 1);
                if past > entries.len() {
                    return None;
                }
                into.extend(codes.iter().map(|code| entries[*code as usize]));
            }
            Encoding::DELTA_BINARY_PACKED => {
                packed::differences(page, count, into, &self.of)?;
            }
            Encoding::PLAIN => {
                let page = page.get(..count.checked_mul(N)?)?;
                into.extend(page.as_chunks().0.iter().map(|bytes| (self.read)(*bytes)));
            }
            _ => return None,
        }
        Some(())
    }

    fn settle(&mut self, _: &mut [V], _: &Marks, _: usize) -> Option<()> {
        Some(())
    }
}

/// A code of a dictionary: no more than 32 bits wide.
#[expect(clippy::cast_possible_truncation, reason = "no more than 32 bits wide")]
fn low(code: u64) -> u32 {
    code as u32
}

/// Booleans, packed or in runs.
pub(super) struct Bits;

impl Codec<bool> for Bits {
    fn empty(&self) -> bool {
        false
    }

    fn dictionary(&mut self, _: Vec<u8>, _: usize) -> Option<()> {
        None
    }

    fn values(
        &mut self,
        encoding: Encoding,
        page: &[u8],
        count: usize,
        into: &mut Vec<bool>,
    ) -> Option<()> {
        match encoding {
            Encoding::PLAIN => {
                let page = page.get(..count.div_ceil(8))?;
                into.extend((0..count).map(|place| page[place / 8] >> (place % 8) & 1 == 1));
                Some(())
            }
            Encoding::RLE => packed::runs(page.get(4..)?, 1, count, into, |bit| bit == 1),
            _ => None,
        }
    }

    fn settle(&mut self, _: &mut [bool], _: &Marks, _: usize) -> Option<()> {
        Some(())
    }
}

fn are_codes(codes: &[i32], entries: usize) -> bool {
    let past = codes.iter().map(|code| code.cast_unsigned()).max();
    past.is_none_or(|most| (most as usize) < entries)
}

/// Where a text begins and ends in its page.
type TextPlace = (u32, u32);

/// Texts; the values are places in [`Texts::finish`].
pub(super) struct Texts {
    /// Whether only the texts of wanted rows are kept.
    is_sparse: bool,
    dictionary: Vec<u8>,
    entries: Vec<TextPlace>,
    /// Of each entry the place that it was given, [`NO_PLACE`] if none.
    places: Vec<i32>,
    /// The texts of the last page, if it has no codes.
    page: Option<(Vec<u8>, Vec<TextPlace>)>,
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

const NO_PLACE: i32 = -1;

impl Texts {
    pub(super) fn new(is_sparse: bool) -> Self {
        Self {
            is_sparse,
            dictionary: Vec::new(),
            entries: Vec::new(),
            places: Vec::new(),
            page: None,
            offsets: vec![0],
            bytes: Vec::new(),
        }
    }

    /// Where each text begins and ends, and all texts.
    pub(super) fn finish(self) -> (Vec<i32>, Vec<u8>) {
        (self.offsets, self.bytes)
    }
}

/// Appends a text and tells its place.
fn push(offsets: &mut Vec<i32>, bytes: &mut Vec<u8>, text: &[u8]) -> Option<i32> {
    let place = i32::try_from(offsets.len() - 1).ok()?;
    bytes.extend_from_slice(text);
    offsets.push(i32::try_from(bytes.len()).ok()?);
    Some(place)
}

/// A text of some bytes.
fn text(bytes: &[u8], (start, end): TextPlace) -> &[u8] {
    &bytes[start as usize..end as usize]
}

/// Where texts are that stand each behind its length.
fn plain(page: &[u8], count: usize) -> Option<Vec<TextPlace>> {
    let mut places = Vec::with_capacity(count.min(page.len() / 4));
    let mut at = 0_usize;
    for _ in 0..count {
        let length = page.get(at..)?.first_chunk::<4>()?;
        let start = at + 4;
        at = start.checked_add(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        if at > page.len() {
            return None;
        }
        places.push((u32::try_from(start).ok()?, u32::try_from(at).ok()?));
    }
    Some(places)
}

/// Where texts are of which all lengths stand before all bytes.
fn by_lengths(page: &[u8], count: usize) -> Option<(&[u8], Vec<TextPlace>)> {
    let mut lengths: Vec<i64> = Vec::new();
    let bytes = packed::differences(page, count, &mut lengths, |length| length)?;
    let mut places = Vec::with_capacity(count);
    let mut at = 0_u32;
    for length in lengths {
        let end = at.checked_add(u32::try_from(length).ok()?)?;
        places.push((at, end));
        at = end;
    }
    (at as usize <= bytes.len()).then_some((bytes, places))
}

impl Codec<i32> for Texts {
    fn empty(&self) -> i32 {
        0
    }

    fn dictionary(&mut self, page: Vec<u8>, count: usize) -> Option<()> {
        self.entries = plain(&page, count)?;
        self.places = vec![NO_PLACE; count];
        self.dictionary = page;
        if !self.is_sparse {
            let Self { dictionary, entries, places, offsets, bytes, .. } = self;
            bytes.reserve(dictionary.len());
            offsets.reserve(count);
            for (entry, place) in entries.iter().zip(places) {
                *place = push(offsets, bytes, text(dictionary, *entry))?;
            }
        }
        Some(())
    }

    fn values(
        &mut self,
        encoding: Encoding,
        page: &[u8],
        count: usize,
        into: &mut Vec<i32>,
    ) -> Option<()> {
        let first = into.len();
        self.page = None;
        match encoding {
            encoding if is_by_dictionary(encoding) => {
                packed::codes(page, count, into, |code| low(code).cast_signed())?;
                return are_codes(&into[first..], self.entries.len()).then_some(());
            }
            Encoding::DELTA_LENGTH_BYTE_ARRAY => {
                let (bytes, places) = by_lengths(page, count)?;
                self.page = Some((bytes.to_vec(), places));
            }
            Encoding::PLAIN => self.page = Some((page.to_vec(), plain(page, count)?)),
            _ => return None,
        }
        into.extend(0..i32::try_from(count).ok()?);
        Some(())
    }

    fn settle(&mut self, fresh: &mut [i32], marks: &Marks, first: usize) -> Option<()> {
        let Self { is_sparse, dictionary, entries, places, page, offsets, bytes } = self;
        // A dictionary that was told as it is begins with the first text.
        let as_it_is = page.is_none() && !*is_sparse && places.first().is_none_or(|p| *p == 0);
        if as_it_is {
            return Some(());
        }
        for (_, value) in (first..).zip(fresh).filter(|(row, _)| marks.has(*row)) {
            let index = usize::try_from(*value).ok()?;
            if let Some((from, places)) = page {
                *value = push(offsets, bytes, text(from, places[index]))?;
                continue;
            }
            if places[index] == NO_PLACE {
                places[index] = push(offsets, bytes, text(dictionary, entries[index]))?;
            }
            *value = places[index];
        }
        Some(())
    }
}
