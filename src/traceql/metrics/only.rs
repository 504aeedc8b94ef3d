//! The columns of one attribute: mostly it has one.

use arrow::array::{Array as _, BooleanArray, Float64Array, Int64Array};

use super::picked::narrow;
use crate::columns::{AttributeValues, Strings};
use crate::trace::Value;

/// The one column that an attribute has.
pub(super) enum Only<'a> {
    Strings(&'a Strings),
    Ints(&'a Int64Array),
    Doubles(&'a Float64Array),
    Bools(&'a BooleanArray),
    /// No column at all.
    Rest(&'a [(u32, Value)]),
    /// Several.
    Mixed,
}

pub(super) fn only(values: &AttributeValues) -> Only<'_> {
    let AttributeValues { strings, ints, doubles, bools, rest } = values;
    match (strings, ints, doubles, bools) {
        (None, None, None, None) => Only::Rest(rest),
        _ if !rest.is_empty() => Only::Mixed,
        (Some(strings), None, None, None) => Only::Strings(strings),
        (None, Some(ints), None, None) => Only::Ints(ints),
        (None, None, Some(doubles), None) => Only::Doubles(doubles),
        (None, None, None, Some(bools)) => Only::Bools(bools),
        _ => Only::Mixed,
    }
}

/// Those of so many spans that have a value.
pub(super) fn there(values: &AttributeValues, spans: usize) -> Vec<u32> {
    let nulls = match only(values) {
        Only::Strings(strings) => strings.keys().nulls(),
        Only::Ints(ints) => ints.nulls(),
        Only::Bools(bools) => bools.nulls(),
        Only::Doubles(doubles) => doubles.nulls(),
        Only::Rest(rest) => return rest.iter().map(|(row, _)| *row).collect(),
        Only::Mixed => {
            let has_value = |row: &u32| values.get(*row as usize).is_some();
            return (0..narrow(spans)).filter(has_value).collect();
        }
    };
    match nulls {
        Some(nulls) => nulls.valid_indices().map(narrow).collect(),
        None => (0..narrow(spans)).collect(),
    }
}
