//! What the columns of a block have, unit by unit: counted by codes while they are written.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};

use super::arrays::Column;
use super::order::UnitPlan;
use super::promote::Promoted;
use super::resources::ResourceKeys;
use super::source::Source;
use super::tally::{Counter, Tally};
use crate::columns::{Resource, ScalarType, Spans};
use crate::trace::Scalar;

/// What a column of values tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Name,
    StatusMessage,
    EventName,
    Attribute(Promoted),
}

/// The values of one column.
pub(super) struct Present {
    pub told: Told,
    values: Values,
    units: Vec<UnitValues>,
}

enum Values {
    /// Each once.
    Texts(StringArray),
    /// All, unit after unit.
    Ints(Vec<i64>),
    Doubles(Vec<f64>),
    Bools(Vec<bool>),
}

/// What one unit has.
#[derive(Default)]
struct UnitValues {
    /// Of numbers and truth values, those that are its own.
    values: Range<usize>,
    /// Of texts, how often each comes.
    texts: Vec<(u32, u64)>,
    count: u64,
    /// Of a span key that some resource has too: spans that have it, by resource.
    resources: Option<Vec<u64>>,
}

/// The rows of a block: by unit, and of which resource they are.
pub(super) struct Rows<'a> {
    pub units: Vec<Range<usize>>,
    /// By place in the block's list.
    pub resources: Vec<u32>,
    resource_count: usize,
    /// Keys of attributes of all resources.
    resource_keys: BTreeSet<&'a str>,
}

impl<'a> Rows<'a> {
    pub(super) fn of(source: &Source<'_>, units: &[UnitPlan], resources: &'a ResourceKeys) -> Self {
        // Those that no row of the block has are nowhere, and are not looked up.
        let place = |resource: &Arc<Resource>| {
            let place = resources.place_of(resource).unwrap_or(usize::MAX);
            u32::try_from(place).unwrap_or(u32::MAX)
        };
        let of_chunk = |chunk: &&Spans| -> Vec<u32> { chunk.resources.iter().map(place).collect() };
        let places: Vec<Vec<u32>> = source.chunks.iter().map(of_chunk).collect();
        let all = resources.all();
        let attributes = all.iter().flat_map(|(_, resource)| &resource.view().attributes);
        Self {
            units: units.iter().map(|unit| unit.rows.clone()).collect(),
            resources: source
                .rows
                .iter()
                .map(|row| {
                    let resource = source.chunks[row.chunk as usize].resource[row.row as usize];
                    places[row.chunk as usize][resource as usize]
                })
                .collect(),
            resource_count: all.len(),
            resource_keys: attributes.map(|(key, _)| key.as_str()).collect(),
        }
    }

    /// Spans of each resource, in some rows.
    pub(super) fn by_resource(&self, rows: impl Iterator<Item = usize>) -> Vec<u64> {
        let mut spans = vec![0; self.resource_count];
        rows.for_each(|row| spans[self.resources[row] as usize] += 1);
        spans
    }
}

impl Present {
    /// What is counted of a column, whose array has all rows of the block.
    pub(super) fn of(
        column: &Column,
        array: &ArrayRef,
        source: &Source<'_>,
        rows: &Rows<'_>,
    ) -> Vec<Self> {
        let children = |offsets: &[u32]| -> Vec<Range<usize>> {
            let at = |row: usize| offsets[row] as usize;
            rows.units.iter().map(|unit| at(unit.start)..at(unit.end)).collect()
        };
        let of_child = |promoted: &[Promoted], units: &[Range<usize>]| -> Vec<Self> {
            let elements = array.as_list::<i32>().values().as_struct();
            let attribute = |promoted: &Promoted| {
                let array = elements.column_by_name(&promoted.column_name())?;
                Some(Self::counted(Told::Attribute(promoted.clone()), array, units, None))
            };
            promoted.iter().filter_map(attribute).collect()
        };
        match column {
            Column::Name => vec![Self::counted(Told::Name, array, &rows.units, None)],
            Column::StatusMessage => {
                vec![Self::counted(Told::StatusMessage, array, &rows.units, None)]
            }
            Column::Attribute(promoted) => {
                let by = rows.resource_keys.contains(promoted.key.as_str()).then_some(rows);
                vec![Self::counted(Told::Attribute(promoted.clone()), array, &rows.units, by)]
            }
            Column::Events(promoted) => {
                let units = children(&source.events.offsets);
                let mut all = of_child(promoted, &units);
                let names = array.as_list::<i32>().values().as_struct().column_by_name("name");
                all.extend(names.map(|names| Self::counted(Told::EventName, names, &units, None)));
                all
            }
            Column::Links(promoted) => of_child(promoted, &children(&source.links.offsets)),
            _ => Vec::new(),
        }
    }

    fn counted(
        told: Told,
        array: &ArrayRef,
        units: &[Range<usize>],
        by_resource: Option<&Rows<'_>>,
    ) -> Self {
        let mut present = Self { told, values: Values::Bools(Vec::new()), units: Vec::new() };
        match array.data_type() {
            DataType::Int64 => {
                let from = array.as_primitive::<Int64Type>().values();
                present.values = Values::Ints(present.taken(array, units, |place| from[place]));
            }
            DataType::Float64 => {
                let from = array.as_primitive::<Float64Type>().values();
                present.values = Values::Doubles(present.taken(array, units, |place| from[place]));
            }
            DataType::Boolean => {
                let from = array.as_boolean();
                let values = present.taken(array, units, |place| from.value(place));
                present.values = Values::Bools(values);
            }
            _ => present.add_texts(array.as_dictionary::<Int32Type>(), units),
        }
        if let Some(rows) = by_resource {
            for (unit, range) in present.units.iter_mut().zip(units) {
                unit.resources = Some(rows.by_resource(there(array, range).into_iter()));
            }
        }
        present
    }

    fn taken<V>(
        &mut self,
        array: &ArrayRef,
        units: &[Range<usize>],
        value: impl Fn(usize) -> V,
    ) -> Vec<V> {
        let mut values = Vec::new();
        for range in units {
            let start = values.len();
            values.extend(there(array, range).into_iter().map(&value));
            let count = (values.len() - start) as u64;
            self.units.push(UnitValues {
                values: start..values.len(),
                count,
                ..UnitValues::default()
            });
        }
        values
    }

    fn add_texts(&mut self, array: &DictionaryArray<Int32Type>, units: &[Range<usize>]) {
        let texts: &StringArray = array.values().as_string();
        let keys = array.keys().values();
        let mut counter = Counter::of(texts.len());
        for range in units {
            for place in there(array, range) {
                counter.add(keys[place].cast_unsigned());
            }
            let texts: Vec<(u32, u64)> = counter.drain().collect();
            let count = texts.iter().map(|(_, count)| count).sum();
            self.units.push(UnitValues { texts, count, ..UnitValues::default() });
        }
        self.values = Values::Texts(texts.clone());
    }

    /// How many values a unit has.
    pub(super) fn count(&self, unit: usize) -> u64 {
        self.units[unit].count
    }

    /// Adds the values of a unit.
    pub(super) fn add_to<'a>(&'a self, tally: &mut Tally<'a>, unit: usize) {
        let UnitValues { values: range, texts: counted, .. } = &self.units[unit];
        match &self.values {
            Values::Texts(texts) => {
                for (code, count) in counted {
                    tally.add_text(texts.value(*code as usize), *count);
                }
            }
            Values::Ints(all) => {
                all[range.clone()].iter().for_each(|value| tally.add_int(*value, 1));
            }
            Values::Doubles(all) => {
                let values = all[range.clone()].iter();
                values.for_each(|value| tally.add(Scalar::Double(*value), 1));
            }
            Values::Bools(all) => {
                let values = all[range.clone()].iter();
                values.for_each(|value| tally.add(Scalar::Bool(*value), 1));
            }
        }
    }

    /// Spans of a unit that have a value, by resource, if some resource has the key too.
    pub(super) fn resources(&self, unit: usize) -> Option<&[u64]> {
        self.units[unit].resources.as_deref()
    }

    pub(super) fn scalar_type(&self) -> ScalarType {
        match self.values {
            Values::Texts(_) => ScalarType::String,
            Values::Ints(_) => ScalarType::Int,
            Values::Doubles(_) => ScalarType::Double,
            Values::Bools(_) => ScalarType::Bool,
        }
    }
}

/// The places in a range that have a value.
fn there(array: &dyn Array, range: &Range<usize>) -> Vec<usize> {
    match array.nulls() {
        None => range.clone().collect(),
        Some(nulls) => {
            let nulls = nulls.slice(range.start, range.len());
            nulls.valid_indices().map(|index| range.start + index).collect()
        }
    }
}
