//! The spans of a batch that count, and the values of a field on them.

use std::collections::HashMap;

use arrow::array::{Array as _, BooleanArray, Float64Array, Int64Array};
use arrow::buffer::BooleanBuffer;
use foldhash::fast::FixedState;
use traceql_grammar::ast::{Attribute, Intrinsic, Scope};

use super::super::rows::{Place, Rows};
use super::super::value::Val;
use super::slots::Slots;
use crate::columns::{AttributeValues, Batch, Strings};
use crate::trace::Value;

/// The spans that count, ascending, and the slot of each.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) rows: Vec<u32>,
    pub(super) slots: Vec<u32>,
}

impl Picked {
    /// Of the marked spans those whose start is in a slot.
    pub(super) fn of(batch: &Batch, marked: &BooleanBuffer, slots: &Slots) -> Self {
        let mut picked = Self { rows: Vec::new(), slots: Vec::new() };
        // Neighbours are mostly in one slot: that needs no division.
        let (mut slot, mut bounds) = (0, slots.bounds(0));
        for (first, end) in marked.set_slices() {
            for (row, start) in (first..end).zip(&batch.start[first..end]) {
                if !bounds.contains(start) {
                    let Some(found) = slots.of(*start) else { continue };
                    (slot, bounds) = (narrow(found), slots.bounds(found));
                }
                picked.rows.push(narrow(row));
                picked.slots.push(slot);
            }
        }
        picked
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Leaves the spans for which it holds.
    pub(super) fn retain(&mut self, mut is_kept: impl FnMut(u32) -> bool) {
        let Self { rows, slots } = self;
        let kept: Vec<bool> = rows.iter().map(|row| is_kept(*row)).collect();
        let mut each = kept.iter();
        rows.retain(|_| *each.next().expect("one for each row"));
        let mut each = kept.iter();
        slots.retain(|_| *each.next().expect("one for each row"));
    }
}

/// A row, a slot or a code: there are fewer than 4 Gi of each in a batch.
pub(super) fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a batch has less than 4 Gi rows, and so have its parts")
}

/// The values of a field on the picked spans: a code for each, and what the codes mean. Several codes may mean the same.
pub(super) struct Coded<'a> {
    pub(super) codes: Vec<u32>,
    pub(super) values: Vec<Val<'a>>,
}

impl<'a> Coded<'a> {
    pub(super) fn of(rows: &Rows<'a>, field: &Attribute, picked: &[u32]) -> Self {
        let Self { codes, values } = Self::as_stored(rows, field, picked);
        Self { codes, values: values.into_iter().map(Val::canonical).collect() }
    }

    fn as_stored(rows: &Rows<'a>, field: &Attribute, picked: &[u32]) -> Self {
        let batch = rows.batch;
        let at = |row: u32| rows.value(field, Place::span(row as usize));
        match field {
            Attribute::Named { scope: Scope::Resource | Scope::Instrumentation, .. }
            | Attribute::Intrinsic(
                Intrinsic::InstrumentationName | Intrinsic::InstrumentationVersion,
            ) => Self::by_resource(batch, picked, at),
            Attribute::Named { scope: Scope::None, name }
                if !batch.attributes.contains_key(name) =>
            {
                Self::by_resource(batch, picked, at)
            }
            Attribute::Named { scope: Scope::Span, name } => match batch.attributes.get(name) {
                None => Self { codes: vec![0; picked.len()], values: vec![Val::Nil] },
                Some(values) => match only(values) {
                    Only::Strings(strings) => Self::by_dictionary(strings, picked, &Val::Nil),
                    Only::Ints(ints) => {
                        let at = |row: usize| ints.is_valid(row).then(|| ints.value(row));
                        Self::by_key(picked, at, |value| Val::Int(*value))
                    }
                    Only::Bools(bools) => {
                        let at = |row: usize| bools.is_valid(row).then(|| bools.value(row));
                        Self::by_key(picked, at, |value| Val::Bool(*value))
                    }
                    Only::Doubles(doubles) => {
                        let bits = |row| doubles.value(row).to_bits();
                        let at = |row: usize| doubles.is_valid(row).then(|| bits(row));
                        Self::by_key(picked, at, |value| Val::Float(f64::from_bits(*value)))
                    }
                    Only::Rest(rest) => Self::by_rest(rest, picked),
                    Only::Mixed => Self::by_value(picked, |row| {
                        values.get(row as usize).map_or(Val::Nil, Val::of_cell)
                    }),
                },
            },
            Attribute::Intrinsic(Intrinsic::Name) => Self::by_texts(batch.name.as_ref(), picked),
            Attribute::Intrinsic(Intrinsic::StatusMessage) => {
                Self::by_texts(batch.status_message.as_ref(), picked)
            }
            Attribute::Intrinsic(
                Intrinsic::RootName
                | Intrinsic::RootService
                | Intrinsic::TraceDuration
                | Intrinsic::TraceId,
            ) => Self::by_trace(batch, picked, at),
            Attribute::Named { .. } | Attribute::Intrinsic(_) => Self::by_value(picked, at),
            Attribute::OfParent { .. } => {
                Self { codes: vec![0; picked.len()], values: vec![Val::Nil] }
            }
        }
    }

    fn by_texts(strings: Option<&'a Strings>, picked: &[u32]) -> Self {
        match strings {
            Some(strings) => Self::by_dictionary(strings, picked, &Val::text("")),
            None => Self { codes: vec![0; picked.len()], values: vec![Val::text("")] },
        }
    }

    fn by_dictionary(strings: &'a Strings, picked: &[u32], missing: &Val<'a>) -> Self {
        let mut compact = Compact::new(strings.values().len() + 1);
        let none = strings.values().len();
        let mut values = Vec::new();
        let codes = picked
            .iter()
            .map(|row| {
                let key = strings.key(*row as usize);
                compact.code(key.unwrap_or(none), || {
                    values.push(match key {
                        Some(key) => Val::text(strings.values().value(key)),
                        None => missing.clone(),
                    });
                })
            })
            .collect();
        Self { codes, values }
    }

    fn by_resource(batch: &Batch, picked: &[u32], at: impl Fn(u32) -> Val<'a>) -> Self {
        let mut compact = Compact::new(batch.resources.len());
        let mut values = Vec::new();
        let codes = picked
            .iter()
            .map(|row| {
                let resource = batch.resource[*row as usize] as usize;
                compact.code(resource, || values.push(at(*row)))
            })
            .collect();
        Self { codes, values }
    }

    fn by_trace(batch: &Batch, picked: &[u32], at: impl Fn(u32) -> Val<'a>) -> Self {
        let mut values = Vec::new();
        let mut end = 0;
        let mut trace = 0;
        let codes = picked
            .iter()
            .map(|row| {
                if *row as usize >= end {
                    while batch.traces.rows(trace).end <= *row as usize {
                        trace += 1;
                    }
                    end = batch.traces.rows(trace).end;
                    values.push(at(*row));
                }
                narrow(values.len() - 1)
            })
            .collect();
        Self { codes, values }
    }

    /// By values of one type that are cheap to tell apart.
    fn by_key<K: Copy + Eq + std::hash::Hash>(
        picked: &[u32],
        at: impl Fn(usize) -> Option<K>,
        value: impl Fn(&K) -> Val<'a>,
    ) -> Self {
        let mut known: HashMap<Option<K>, u32, FixedState> = HashMap::default();
        let mut values = Vec::new();
        let mut last: Option<(Option<K>, u32)> = None;
        let codes = picked
            .iter()
            .map(|row| {
                let key = at(*row as usize);
                if let Some((same, code)) = last
                    && same == key
                {
                    return code;
                }
                let code = *known.entry(key).or_insert_with(|| {
                    values.push(key.as_ref().map_or(Val::Nil, &value));
                    narrow(values.len() - 1)
                });
                last = Some((key, code));
                code
            })
            .collect();
        Self { codes, values }
    }

    /// Few rows have a value: both lists ascend.
    fn by_rest(rest: &'a [(u32, Value)], picked: &[u32]) -> Self {
        let mut codes = vec![0; picked.len()];
        let mut known: HashMap<Vec<u8>, u32, FixedState> = HashMap::default();
        let mut values = vec![Val::Nil];
        let mut from = 0;
        for (row, value) in rest {
            from += picked[from..].partition_point(|picked| picked < row);
            if picked.get(from) != Some(row) {
                continue;
            }
            let value = Val::of_value(value);
            let mut key = Vec::new();
            put_key(&value, &mut key);
            codes[from] = *known.entry(key).or_insert_with(|| {
                values.push(value);
                narrow(values.len() - 1)
            });
        }
        Self { codes, values }
    }

    /// By the values themselves; the bytes of a value are made in one buffer.
    fn by_value(picked: &[u32], at: impl Fn(u32) -> Val<'a>) -> Self {
        let mut known: HashMap<Vec<u8>, u32, FixedState> = HashMap::default();
        let mut values = Vec::new();
        let mut key = Vec::new();
        let mut last: Option<(Val<'a>, u32)> = None;
        let codes = picked
            .iter()
            .map(|row| {
                let value = at(*row);
                if let Some((same, code)) = &last
                    && *same == value
                {
                    return *code;
                }
                key.clear();
                put_key(&value, &mut key);
                let code = if let Some(code) = known.get(key.as_slice()) {
                    *code
                } else {
                    known.insert(key.clone(), narrow(values.len()));
                    values.push(value.clone());
                    narrow(values.len() - 1)
                };
                last = Some((value, code));
                code
            })
            .collect();
        Self { codes, values }
    }
}

/// The one column that an attribute has.
enum Only<'a> {
    Strings(&'a Strings),
    Ints(&'a Int64Array),
    Doubles(&'a Float64Array),
    Bools(&'a BooleanArray),
    /// No column at all.
    Rest(&'a [(u32, Value)]),
    /// Several.
    Mixed,
}

fn only(values: &AttributeValues) -> Only<'_> {
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

/// Numbers given out in the order in which something is first seen.
pub(super) struct Compact {
    codes: Vec<u32>,
    next: u32,
}

impl Compact {
    const NONE: u32 = u32::MAX;

    pub(super) fn new(count: usize) -> Self {
        Self { codes: vec![Self::NONE; count], next: 0 }
    }

    #[inline]
    pub(super) fn code(&mut self, of: usize, first: impl FnOnce()) -> u32 {
        if self.codes[of] == Self::NONE {
            self.codes[of] = self.next;
            self.next += 1;
            first();
        }
        self.codes[of]
    }
}

/// The bytes of a value: different for different values of one field, whatever their types.
pub(super) fn put_key(value: &Val<'_>, key: &mut Vec<u8>) {
    match value {
        Val::Nil => {}
        Val::Bool(value) => key.extend([1, u8::from(*value)]),
        Val::Int(value) | Val::Duration(value) => {
            key.push(2);
            key.extend(value.to_le_bytes());
        }
        Val::Float(value) => {
            key.push(3);
            key.extend(value.to_bits().to_le_bytes());
        }
        Val::Text(text) => {
            key.push(4);
            key.extend(text.as_bytes());
        }
        Val::Status(code) | Val::Kind(code) => {
            key.push(5);
            key.extend(code.to_le_bytes());
        }
        other @ (Val::Array(_) | Val::Other(_)) => {
            key.push(6);
            other.to_value().encode(key);
        }
    }
}

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
