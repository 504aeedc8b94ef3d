//! Leaves of `spans.parquet`, encoded by us: an array's rows become the pages of a column chunk.
//!
//! The Parquet crate hashes each value of a dictionary again for each row, tells the levels of each leaf of a list anew, and makes a zstd
//! context for each chunk. Here codes are told in codes, the leaves of a list share its [`Shape`], and one context serves them all. The
//! crate still writes the file around the chunks: footer and offset indexes are its own.
//!
//! What a chunk is made of is standard Parquet of the first version, and [`values`] says which encoding is taken when.

mod chunk;
mod coded;
mod numbers;
mod packing;
mod shape;
mod texts;
mod values;

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field};
use parquet::schema::types::SchemaDescriptor;

use super::Error;
use chunk::Encoder;
pub(super) use coded::Encoded;
pub(super) use packing::zigzag;
use shape::Shape;

/// Encodes the leaves of a column in some rows, in the order of the schema. `next` is the place of the first one in it, and counts on.
///
/// # Errors
/// When an array is of a type that no column has, or zstd fails.
pub(super) fn encode(
    schema: &SchemaDescriptor,
    next: &mut usize,
    (field, array): (&Field, &ArrayRef),
    rows: Range<usize>,
) -> Result<Vec<Encoded>, Error> {
    let mut leaves = Leaves { schema, next, encoded: Vec::new() };
    leaves.add(field, array, &Shape::of_rows(rows))?;
    Ok(leaves.encoded)
}

struct Leaves<'a> {
    schema: &'a SchemaDescriptor,
    next: &'a mut usize,
    encoded: Vec<Encoded>,
}

impl Leaves<'_> {
    /// Lists and structs are never null in a block, only their leaves are.
    fn add(&mut self, field: &Field, array: &ArrayRef, shape: &Shape) -> Result<(), Error> {
        match field.data_type() {
            DataType::List(element) => {
                let list = array.as_list::<i32>();
                self.add(element, list.values(), &shape.within(list.value_offsets()))
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                fields
                    .iter()
                    .zip(columns)
                    .try_for_each(|(field, array)| self.add(field, array, shape))
            }
            _ => {
                let column = self.schema.column(*self.next);
                *self.next += 1;
                let nulls = array.nulls().filter(|_| field.is_nullable());
                let encoder = Encoder { column, shape, nulls, is_nullable: field.is_nullable() };
                self.encoded.push(encoder.encode(array)?);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
#[path = "leaf_tests.rs"]
mod tests;
