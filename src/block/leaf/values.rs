//! The values of a chunk, as its pages tell them.

use std::ops::Range;

use parquet::basic::Encoding;

use super::packing::{Runs, width_of};

/// Values of a chunk, those that are there one after the other.
///
/// # Which encoding is taken
///
/// Where values repeat, a dictionary and its codes; else texts behind their lengths, whole numbers as differences, the others plain.
/// Where both are likely, both are tried: see [`Values::is_doubtful`] and `chunk.rs`. A reader of one row inflates all of a dictionary, but
/// only one page, so that a dictionary of values that hardly repeat costs more than the bytes that it saves.
pub(super) trait Values {
    /// If the values may be told by codes.
    fn dictionary(&self) -> Option<&Dictionary>;

    /// Whether values without a dictionary may be as small.
    fn is_doubtful(&self) -> bool;

    /// How values are told without a dictionary.
    fn encoding(&self) -> Encoding;

    /// Bytes of some values, about.
    fn bytes(&self, values: Range<usize>) -> usize;

    /// Appends some values in their encoding.
    fn write(&self, values: Range<usize>, out: &mut Vec<u8>);
}

/// Each value once, in the order in which they come, and which one each is.
pub(super) struct Dictionary {
    /// As [`Encoding::PLAIN`].
    pub page: Vec<u8>,
    pub count: usize,
    pub codes: Vec<u32>,
}

impl Dictionary {
    /// Appends the codes of some values, each so many bits wide.
    pub(super) fn write(&self, values: Range<usize>, width: u32, out: &mut Vec<u8>) {
        out.push(u8::try_from(width).expect("at most 32 bits"));
        let mut runs = Runs::new(width, out);
        runs.extend(&self.codes[values]);
        runs.finish();
    }

    /// Bits that a code needs.
    pub(super) fn width(&self) -> u32 {
        width_of(self.count.saturating_sub(1) as u64)
    }

    /// Bits that a code takes so that no byte has parts of two: what zstd finds repeated are bytes.
    pub(super) fn width_by_bytes(&self) -> u32 {
        match self.width() {
            0 => 0,
            width @ 1..=16 => width.next_power_of_two(),
            width => width.next_multiple_of(8),
        }
    }
}
