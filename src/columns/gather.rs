//! A layout's columns, gathered from its chunks into dense arrays.

use arrow::array::{BooleanArray, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};

use super::attributes::{AttributeColumn, Attributes, DUPLICATE, ScalarType, ScalarValues};
use super::batch::{AttributeValues, Strings};
use super::layout::RowRef;
pub use super::pool::NOWHERE;
use super::pool::{Pool, Recode};
use super::spans::Spans;
use crate::trace::Value;

/// For each chunk and row the place it has in `rows`, or [`NOWHERE`].
pub fn places(chunks: &[&Spans], rows: &[RowRef]) -> Vec<Vec<u32>> {
    let mut places: Vec<Vec<u32>> = chunks.iter().map(|spans| vec![NOWHERE; spans.len()]).collect();
    for (place, row) in rows.iter().enumerate() {
        let place = u32::try_from(place).expect("a layout holds less than 4 Gi spans");
        places[row.chunk as usize][row.row as usize] = place;
    }
    places
}

/// Texts of a dense column.
pub fn strings(chunks: &[&Spans], rows: &[RowRef], codes: impl Fn(&Spans) -> &[u32]) -> Strings {
    let mut pool = Pool::default();
    let mut recodes: Vec<Recode> = chunks.iter().map(|spans| Recode::from(&spans.pool)).collect();
    let keys: Vec<i32> = rows
        .iter()
        .map(|row| {
            let spans = chunks[row.chunk as usize];
            let code = codes(spans)[row.row as usize];
            key(recodes[row.chunk as usize].code(&spans.pool, code, &mut pool))
        })
        .collect();
    Strings::new(Int32Array::from(keys), dictionary(&pool))
}

/// A dictionary of all strings of a pool.
pub fn dictionary(pool: &Pool) -> StringArray {
    let (bytes, ends) = pool.joined();
    let end = |end: &u32| i32::try_from(*end).ok();
    let offsets: Option<Vec<i32>> = std::iter::once(Some(0)).chain(ends.iter().map(end)).collect();
    // One look at all bytes; only where some string is no text, one after the other.
    let whole = offsets.and_then(|offsets| {
        StringArray::try_new(OffsetBuffer::new(offsets.into()), Buffer::from(bytes), None).ok()
    });
    if let Some(whole) = whole {
        return whole;
    }
    let count = u32::try_from(pool.len()).expect("codes are 32 bits");
    StringArray::from_iter_values((0..count).map(|code| pool.text(code)))
}

fn key(code: u32) -> i32 {
    i32::try_from(code).expect("a dictionary holds less than 2 Gi strings")
}

/// One set of attributes of a chunk, and where its owners go.
pub struct Owners<'a> {
    pub attributes: &'a Attributes,
    pub pool: &'a Pool,
    /// Place of each owner, or [`NOWHERE`].
    pub places: &'a [u32],
}

/// All values of one key, dense, `count` places long; `None` if no place has one.
pub fn attribute(owners: &[Owners<'_>], key: &str, count: usize) -> Option<AttributeValues> {
    let mut values = AttributeValues::default();
    let mut any = false;
    for scalar in ScalarType::ALL {
        any |= typed(owners, key, scalar, count, &mut values);
    }
    for Owners { attributes, pool, places } in owners {
        let Some(code) = pool.find(key.as_bytes()) else { continue };
        let rest = &attributes.rest;
        for (index, rest_key) in rest.keys.iter().enumerate() {
            let place = places[rest.owners[index] as usize];
            if *rest_key != code || rest.types[index] & DUPLICATE != 0 || place == NOWHERE {
                continue;
            }
            // Undecodable bytes were refused at the door; were there any, they match nothing.
            let value = Value::decode(pool.get(rest.values[index])).unwrap_or(Value::Empty);
            values.rest.push((place, value));
            any = true;
        }
    }
    values.rest.sort_by_key(|(place, _)| *place);
    any.then_some(values)
}

/// One column of a chunk, and where its owners go.
pub struct Part<'a> {
    pub column: &'a AttributeColumn,
    pub pool: &'a Pool,
    /// Place of each owner, or [`NOWHERE`].
    pub places: &'a [u32],
}

/// The values of columns of one key and type, dense, `count` places long; no field is set if no place has one.
pub fn attribute_of_type<'a>(
    parts: impl Iterator<Item = Part<'a>>,
    scalar: ScalarType,
    count: usize,
) -> AttributeValues {
    let mut dense = Dense::new(scalar);
    parts.for_each(|part| dense.add(&part, count));
    let mut values = AttributeValues::default();
    dense.finish(count, &mut values);
    values
}

/// Fills the column of one type; whether there is any value.
fn typed(
    owners: &[Owners<'_>],
    key: &str,
    scalar: ScalarType,
    count: usize,
    into: &mut AttributeValues,
) -> bool {
    let mut dense = Dense::new(scalar);
    for Owners { attributes, pool, places } in owners {
        let column = pool.find(key.as_bytes()).and_then(|code| attributes.column(code, scalar));
        if let Some(column) = column {
            dense.add(&Part { column, pool, places }, count);
        }
    }
    dense.finish(count, into)
}

/// Values at their places, made when the first one comes.
struct Dense {
    /// A bit per place.
    valid: Vec<u8>,
    values: DenseValues,
    pool: Pool,
    recode: Recode,
}

enum DenseValues {
    String(Vec<i32>),
    Int(Vec<i64>),
    Double(Vec<f64>),
    Bool(Vec<bool>),
}

impl Dense {
    fn new(scalar: ScalarType) -> Self {
        let values = match scalar {
            ScalarType::String => DenseValues::String(Vec::new()),
            ScalarType::Int => DenseValues::Int(Vec::new()),
            ScalarType::Double => DenseValues::Double(Vec::new()),
            ScalarType::Bool => DenseValues::Bool(Vec::new()),
        };
        Self { valid: Vec::new(), values, pool: Pool::default(), recode: Recode::default() }
    }

    fn add(&mut self, part: &Part<'_>, count: usize) {
        let Part { column, pool: from, places } = *part;
        let Self { valid, values, pool, recode } = self;
        let owners = Scatter { owners: &column.owners, places, count };
        match (values, &column.values) {
            (DenseValues::String(into), ScalarValues::String(codes)) => {
                recode.widen(from);
                owners.put(valid, into, |at| key(recode.code(from, codes[at], pool)));
                recode.forget(codes);
            }
            (DenseValues::Int(into), ScalarValues::Int(values)) => {
                owners.put(valid, into, |at| values[at]);
            }
            (DenseValues::Double(into), ScalarValues::Double(values)) => {
                owners.put(valid, into, |at| values[at]);
            }
            (DenseValues::Bool(into), ScalarValues::Bool(values)) => {
                owners.put(valid, into, |at| values[at]);
            }
            _ => unreachable!("a column is found by its type"),
        }
    }

    fn finish(self, count: usize, into: &mut AttributeValues) -> bool {
        if self.valid.is_empty() {
            return false;
        }
        let nulls = Some(NullBuffer::new(BooleanBuffer::new(self.valid.into(), 0, count)));
        match self.values {
            DenseValues::String(keys) => {
                let keys = Int32Array::new(keys.into(), nulls);
                into.strings = Some(Strings::new(keys, dictionary(&self.pool)));
            }
            DenseValues::Int(values) => into.ints = Some(Int64Array::new(values.into(), nulls)),
            DenseValues::Double(values) => {
                into.doubles = Some(Float64Array::new(values.into(), nulls));
            }
            DenseValues::Bool(values) => {
                into.bools = Some(BooleanArray::new(values.into(), nulls));
            }
        }
        true
    }
}

/// The owners of a column and where each goes.
struct Scatter<'a> {
    owners: &'a [u32],
    places: &'a [u32],
    count: usize,
}

impl Scatter<'_> {
    fn put<T: Copy + Default>(
        &self,
        valid: &mut Vec<u8>,
        into: &mut Vec<T>,
        mut value: impl FnMut(usize) -> T,
    ) {
        for (index, owner) in self.owners.iter().enumerate() {
            let place = self.places[*owner as usize];
            if place == NOWHERE {
                continue;
            }
            if valid.is_empty() {
                valid.resize(self.count.div_ceil(8), 0);
                into.resize(self.count, T::default());
            }
            let place = place as usize;
            valid[place / 8] |= 1 << (place % 8);
            into[place] = value(index);
        }
    }
}
