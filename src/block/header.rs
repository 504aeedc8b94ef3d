//! Page headers of Parquet, read and written: as much of Thrift's compact protocol as they need.
//!
//! A struct is a row of fields, each {id delta u4, type u4} and its value, ended by a zero byte. Numbers are zigzag varints.

use parquet::basic::Encoding;

use super::leaf::zigzag;

/// What stands before a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageHeader {
    /// Length of the header itself.
    pub header_bytes: usize,
    /// Length of the page as it is stored, and after inflating.
    pub stored_bytes: usize,
    pub plain_bytes: usize,
    pub kind: PageKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    /// Of the first version: the only one that the writer makes.
    Data {
        /// Nulls included.
        values: u32,
        encoding: Encoding,
        definition: Encoding,
        repetition: Encoding,
    },
    Dictionary {
        values: u32,
        encoding: Encoding,
        sorted: bool,
    },
}

/// Structs within structs that are gone through: statistics are one, and nothing in them is.
const DEPTH_MAX: usize = 4;

const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// `PageType` of the format.
const DATA_PAGE: i32 = 0;
const DICTIONARY_PAGE: i32 = 2;

impl PageHeader {
    /// Reads the header that `page` begins with. `None` if there is none, or none of a page that the writer makes.
    pub(super) fn read(page: &[u8]) -> Option<Self> {
        let mut reader = Reader { rest: page };
        let (mut kind, mut plain, mut stored) = (None, None, None);
        let (mut data, mut dictionary) = (None, None);
        reader.fields(|reader, id, kind_of| {
            match (id, kind_of) {
                (1, I32) => kind = Some(reader.i32()?),
                (2, I32) => plain = Some(reader.i32()?),
                (3, I32) => stored = Some(reader.i32()?),
                (5, STRUCT) => data = Some(data_header(reader)?),
                (7, STRUCT) => dictionary = Some(dictionary_header(reader)?),
                _ => reader.skip(kind_of, DEPTH_MAX)?,
            }
            Some(())
        })?;
        Some(Self {
            header_bytes: page.len() - reader.rest.len(),
            stored_bytes: usize::try_from(stored?).ok()?,
            plain_bytes: usize::try_from(plain?).ok()?,
            kind: match kind? {
                DATA_PAGE => data?,
                DICTIONARY_PAGE => dictionary?,
                _ => return None,
            },
        })
    }
}

impl PageHeader {
    /// Appends the header; its own length is not looked at.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Self { header_bytes: _, stored_bytes, plain_bytes, kind } = self;
        let length = |bytes: &usize| i64::try_from(*bytes).expect("a page is in memory");
        let (page, id, numbers, sorted) = match kind {
            PageKind::Data { values, encoding, definition, repetition } => {
                let encodings = [encoding, definition, repetition].map(|e| i64::from(number(*e)));
                let [encoding, definition, repetition] = encodings;
                let numbers = vec![i64::from(*values), encoding, definition, repetition];
                (DATA_PAGE, 5, numbers, None)
            }
            PageKind::Dictionary { values, encoding, sorted } => {
                let numbers = vec![i64::from(*values), i64::from(number(*encoding))];
                (DICTIONARY_PAGE, 7, numbers, Some(*sorted))
            }
        };
        for value in [i64::from(page), length(plain_bytes), length(stored_bytes)] {
            put_number(value, out);
        }
        out.push((id - 3) << 4 | STRUCT);
        for value in numbers {
            put_number(value, out);
        }
        out.extend(sorted.map(|sorted| 1 << 4 | if sorted { TRUE } else { FALSE }));
        out.extend([STOP, STOP]);
    }
}

/// Appends the field after the one before.
fn put_number(value: i64, out: &mut Vec<u8>) {
    out.push(1 << 4 | I32);
    zigzag(value, out);
}

fn data_header(reader: &mut Reader<'_>) -> Option<PageKind> {
    let (mut values, mut encodings) = (None, [None; 3]);
    reader.fields(|reader, id, kind| {
        match (id, kind) {
            (1, I32) => values = u32::try_from(reader.i32()?).ok(),
            (2, I32) => encodings[0] = encoding(reader.i32()?),
            (3, I32) => encodings[1] = encoding(reader.i32()?),
            (4, I32) => encodings[2] = encoding(reader.i32()?),
            _ => reader.skip(kind, DEPTH_MAX)?,
        }
        Some(())
    })?;
    let [encoding, definition, repetition] = encodings;
    Some(PageKind::Data {
        values: values?,
        encoding: encoding?,
        definition: definition?,
        repetition: repetition?,
    })
}

fn dictionary_header(reader: &mut Reader<'_>) -> Option<PageKind> {
    let (mut values, mut stored_as, mut sorted) = (None, None, false);
    reader.fields(|reader, id, kind| {
        match (id, kind) {
            (1, I32) => values = u32::try_from(reader.i32()?).ok(),
            (2, I32) => stored_as = encoding(reader.i32()?),
            (3, TRUE) => sorted = true,
            _ => reader.skip(kind, DEPTH_MAX)?,
        }
        Some(())
    })?;
    Some(PageKind::Dictionary { values: values?, encoding: stored_as?, sorted })
}

/// The format's numbers; the retired bit packing of levels is not among them.
fn encoding(number: i32) -> Option<Encoding> {
    Some(match number {
        0 => Encoding::PLAIN,
        2 => Encoding::PLAIN_DICTIONARY,
        3 => Encoding::RLE,
        5 => Encoding::DELTA_BINARY_PACKED,
        6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        7 => Encoding::DELTA_BYTE_ARRAY,
        8 => Encoding::RLE_DICTIONARY,
        9 => Encoding::BYTE_STREAM_SPLIT,
        _ => return None,
    })
}

fn number(encoding: Encoding) -> i32 {
    (0..=9).find(|number| self::encoding(*number) == Some(encoding)).expect("one of the format's")
}

/// The number at the start of `bytes` in seven bits a byte, lowest first, and what follows it.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (place, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(u32::try_from(place * 7).ok()?)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[place + 1..]));
        }
    }
    None
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    /// Calls `field` with the id and type of each field of a struct, which must read or skip the value.
    fn fields(&mut self, mut field: impl FnMut(&mut Self, i64, u8) -> Option<()>) -> Option<()> {
        let mut id = 0_i64;
        loop {
            let head = self.byte()?;
            let kind = head & 0x0f;
            if kind == STOP {
                return Some(());
            }
            id = match head >> 4 {
                0 => self.zigzag()?,
                delta => id.checked_add(i64::from(delta))?,
            };
            field(self, id, kind)?;
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn varint(&mut self) -> Option<u64> {
        let (value, rest) = varint(self.rest)?;
        self.rest = rest;
        Some(value)
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn i32(&mut self) -> Option<i32> {
        i32::try_from(self.zigzag()?).ok()
    }

    fn pass(&mut self, count: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    /// Passes over a value. A list costs at least a byte an element, so this ends with the input.
    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            TRUE | FALSE => Some(()),
            BYTE => self.pass(1),
            I16 | I32 | I64 => self.varint().map(|_| ()),
            DOUBLE => self.pass(8),
            BINARY => {
                let length = self.varint()?;
                self.pass(length)
            }
            LIST | SET => {
                let head = self.byte()?;
                let count = match head >> 4 {
                    15 => self.varint()?,
                    short => u64::from(short),
                };
                (0..count).try_for_each(|_| self.skip_element(head & 0x0f, depth))
            }
            MAP => {
                let count = self.varint()?;
                if count == 0 {
                    return Some(());
                }
                let kinds = self.byte()?;
                (0..count).try_for_each(|_| {
                    self.skip_element(kinds >> 4, depth)?;
                    self.skip_element(kinds & 0x0f, depth)
                })
            }
            STRUCT => self.fields(|reader, _, kind| reader.skip(kind, depth)),
            _ => None,
        }
    }

    /// As [`Reader::skip`], but a truth value within a collection takes a byte.
    fn skip_element(&mut self, kind: u8, depth: usize) -> Option<()> {
        if matches!(kind, TRUE | FALSE) { self.pass(1) } else { self.skip(kind, depth) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A data page header with statistics and a field that nobody knows, as another writer could make it.
    const HEADER: &[u8] = &[
        0x15, 0, 0x15, 200, 1, 0x15, 100, // type 0, 100 bytes plain, 50 stored
        0x15, 3, // a checksum
        0x1c, 0x15, 16, 0x15, 16, 0x15, 6, 0x15, 6, // 8 values, RLE_DICTIONARY, levels RLE
        0x1c, 0x18, 2, 7, 7, 0x16, 4, 0x11, 0, // statistics: bytes, an i64, true
        0, 0x08, 40, 1, 9, // the end of the data header; field 20 by its full id
        0,
    ];

    #[test]
    fn a_header_is_read_and_what_is_not_known_passed_over() {
        let header = PageHeader::read(&[HEADER, b"page"].concat()).unwrap();
        assert_eq!(
            header,
            PageHeader {
                header_bytes: HEADER.len(),
                stored_bytes: 50,
                plain_bytes: 100,
                kind: PageKind::Data {
                    values: 8,
                    encoding: Encoding::RLE_DICTIONARY,
                    definition: Encoding::RLE,
                    repetition: Encoding::RLE,
                },
            }
        );
        for end in 0..HEADER.len() {
            assert_eq!(PageHeader::read(&HEADER[..end]), None, "{end} bytes");
        }
    }

    #[test]
    fn a_negative_length_and_deep_nesting_are_no_header() {
        assert_eq!(PageHeader::read(&[0x15, 0, 0x15, 1, 0x15, 100, 0]), None);
        assert_eq!(PageHeader::read(&vec![0x1c; 100_000]), None);
        assert_eq!(PageHeader::read(&vec![0x19; 100_000]), None);
        let endless = [&[0x19, 0xf5][..], &[0xff; 9], &[1]].concat();
        assert_eq!(PageHeader::read(&endless), None, "a list of 2^64 elements");
    }

    proptest! {
        #[test]
        fn garbage_is_told_or_read_within_its_bounds(
            bytes in proptest::collection::vec(any::<u8>(), 0..80)
        ) {
            if let Some(header) = PageHeader::read(&bytes) {
                prop_assert!(header.header_bytes <= bytes.len());
            }
        }

        #[test]
        fn a_damaged_header_never_reaches_past_its_end(at in 0..HEADER.len(), with: u8) {
            let mut bytes = HEADER.to_vec();
            bytes[at] = with;
            if let Some(header) = PageHeader::read(&bytes) {
                prop_assert!(header.header_bytes <= bytes.len());
            }
        }
    }
}
