//! The numbers that are counted, measured or added up.

use arrow::array::Array as _;
use traceql_grammar::ast::{Attribute, Intrinsic, Scope};

use super::super::rows::{Place, Rows};
use super::super::value::Val;
use crate::columns::AttributeValues;

/// A number that is counted, measured or added up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// There is none: nothing, something else, or NaN.
    None,
    /// An int, or a duration's nanoseconds.
    Int(i64),
    Float(f64),
}

impl Number {
    fn of(value: &Val<'_>) -> Self {
        match value {
            Val::Int(value) | Val::Duration(value) => Self::Int(*value),
            Val::Float(value) if !value.is_nan() => Self::Float(*value),
            _ => Self::None,
        }
    }

    pub(super) fn to_float(self) -> Option<f64> {
        match self {
            Self::None => None,
            #[expect(clippy::cast_precision_loss, reason = "answers are floats")]
            Self::Int(value) => Some(value as f64),
            Self::Float(value) => Some(value),
        }
    }
}

/// The numbers of a field on the picked spans.
pub(super) fn numbers(rows: &Rows<'_>, field: &Attribute, picked: &[u32]) -> Vec<Number> {
    let batch = rows.batch;
    match field {
        Attribute::Intrinsic(Intrinsic::Duration) => {
            let of = |row: &u32| {
                Number::Int(i64::try_from(batch.duration[*row as usize]).unwrap_or(i64::MAX))
            };
            picked.iter().map(of).collect()
        }
        Attribute::Named { scope: Scope::Span, name } => match batch.attributes.get(name) {
            None => vec![Number::None; picked.len()],
            Some(AttributeValues {
                strings: None,
                ints: Some(ints),
                doubles: None,
                bools: None,
                rest,
            }) if rest.is_empty() => {
                let of = |row: &u32| {
                    let row = *row as usize;
                    if ints.is_valid(row) { Number::Int(ints.value(row)) } else { Number::None }
                };
                picked.iter().map(of).collect()
            }
            Some(_) => one_by_one(rows, field, picked),
        },
        _ => one_by_one(rows, field, picked),
    }
}

fn one_by_one(rows: &Rows<'_>, field: &Attribute, picked: &[u32]) -> Vec<Number> {
    let of = |row: &u32| Number::of(&rows.value(field, Place::span(*row as usize)));
    picked.iter().map(of).collect()
}
