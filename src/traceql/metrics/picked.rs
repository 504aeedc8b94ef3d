//! The spans of a batch that count, and the values of a field on them.

use std::collections::HashMap;

use arrow::array::Array as _;
use arrow::buffer::BooleanBuffer;
use foldhash::fast::FixedState;
use traceql_grammar::ast::{Attribute, Intrinsic, Scope};

use super::super::rows::{Place, Rows, resource_value};
use super::super::value::Val;
use super::only::{Only, only, there};
use super::slots::Slots;
use crate::columns::{AttributeValues, Batch, Resource, Strings};
use crate::trace::Value;

/// The spans that count, ascending, and the slot of each.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) rows: Vec<u32>,
    pub(super) slots: Vec<u32>,
}

/// The slot of a span that starts in none.
const NO_SLOT: u32 = u32::MAX;

impl Picked {
    /// Of the marked spans those whose start is in a slot.
    pub(super) fn of(batch: &Batch, marked: &BooleanBuffer, slots: &Slots) -> Self {
        let count = marked.count_set_bits();
        let mut rows: Vec<u32> = Vec::with_capacity(count);
        if count == marked.len() {
            rows.extend(0..narrow(count));
        } else {
            rows.extend(marked.set_indices().map(narrow));
        }
        // Neighbours are mostly in one slot: that needs no division.
        let (mut slot, mut bounds, mut outside) = (0, slots.bounds(0), false);
        let of_row = |row: &u32| {
            let start = batch.start[*row as usize];
            if !bounds.contains(&start) {
                let Some(found) = slots.of(start) else {
                    outside = true;
                    return NO_SLOT;
                };
                (slot, bounds) = (narrow(found), slots.bounds(found));
            }
            slot
        };
        let slots = rows.iter().map(of_row).collect();
        let mut picked = Self { rows, slots };
        if outside {
            let Self { rows, slots } = &mut picked;
            let mut each = slots.iter();
            rows.retain(|_| each.next().is_some_and(|slot| *slot != NO_SLOT));
            slots.retain(|slot| *slot != NO_SLOT);
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
        let mut values = Vec::new();
        let codes = numbered(rows, field, picked, |value| {
            values.push(value);
            narrow(values.len() - 1)
        });
        Self { codes, values }
    }

    /// Of an attribute's own values, on those of so many spans that have one, and which these are.
    pub(super) fn of_attribute(attribute: &'a AttributeValues, spans: usize) -> (Vec<u32>, Self) {
        let mut values: Vec<Val<'a>> = Vec::new();
        let there = there(attribute, spans);
        let codes = by_attribute(attribute, &there, |value| {
            values.push(value.canonical());
            narrow(values.len() - 1)
        });
        (there, Self { codes, values })
    }
}

/// A number for the value of a field on each picked span. `number` is asked once for each value, or a few times, not for each span.
pub(super) fn numbered<'a>(
    rows: &Rows<'a>,
    field: &Attribute,
    picked: &[u32],
    mut number: impl FnMut(Val<'a>) -> u32,
) -> Vec<u32> {
    let mut number = |value: Val<'a>| number(value.canonical());
    let batch = rows.batch;
    let at = |row: u32| rows.value(field, Place::span(row as usize));
    match field {
        field if is_of_resource(batch, field) => {
            let known = &mut Known::new(batch.resources.len());
            by_resource(batch, picked, known, |resource| number(resource_value(resource, field)))
        }
        Attribute::Named { scope: Scope::Span, name } => match batch.attributes.get(name) {
            None => same(picked, Val::Nil, number),
            Some(values) => by_attribute(values, picked, number),
        },
        Attribute::Intrinsic(Intrinsic::Name) => by_texts(batch.name.as_ref(), picked, number),
        Attribute::Intrinsic(Intrinsic::StatusMessage) => {
            by_texts(batch.status_message.as_ref(), picked, number)
        }
        Attribute::Intrinsic(Intrinsic::Status) => {
            by_key(picked, |row| Some(batch.status[row]), |code| Val::Status(*code), number)
        }
        Attribute::Intrinsic(Intrinsic::Kind) => {
            by_key(picked, |row| Some(batch.kind[row]), |code| Val::Kind(*code), number)
        }
        Attribute::Intrinsic(
            Intrinsic::RootName
            | Intrinsic::RootService
            | Intrinsic::TraceDuration
            | Intrinsic::TraceId,
        ) => by_trace(batch, picked, at, number),
        Attribute::Named { .. } | Attribute::Intrinsic(_) => by_value(picked, at, number),
        Attribute::OfParent { .. } => same(picked, Val::Nil, number),
    }
}

/// Whether spans of one resource have one value.
pub(super) fn is_of_resource(batch: &Batch, field: &Attribute) -> bool {
    match field {
        Attribute::Named { scope: Scope::Resource | Scope::Instrumentation, .. }
        | Attribute::Intrinsic(
            Intrinsic::InstrumentationName | Intrinsic::InstrumentationVersion,
        ) => true,
        Attribute::Named { scope: Scope::None, name } => !batch.attributes.contains_key(name),
        _ => false,
    }
}

fn by_attribute<'a>(
    values: &'a AttributeValues,
    picked: &[u32],
    mut number: impl FnMut(Val<'a>) -> u32,
) -> Vec<u32> {
    match only(values) {
        Only::Strings(strings) => by_dictionary(strings, picked, &Val::Nil, number),
        Only::Ints(ints) => {
            let at = |row: usize| ints.is_valid(row).then(|| ints.value(row));
            by_key(picked, at, |value| Val::Int(*value), number)
        }
        Only::Bools(bools) => {
            let at = |row: usize| bools.is_valid(row).then(|| bools.value(row));
            by_key(picked, at, |value| Val::Bool(*value), number)
        }
        Only::Doubles(doubles) => {
            let at = |row: usize| doubles.is_valid(row).then(|| doubles.value(row).to_bits());
            by_key(picked, at, |value| Val::Float(f64::from_bits(*value)), number)
        }
        Only::Rest(rest) => by_rest(rest, picked, number),
        Only::Mixed => {
            let at = |row: u32| values.get(row as usize).map_or(Val::Nil, Val::of_cell);
            by_value(picked, at, &mut number)
        }
    }
}

/// All picked spans have one value.
fn same<'a>(picked: &[u32], value: Val<'a>, mut number: impl FnMut(Val<'a>) -> u32) -> Vec<u32> {
    if picked.is_empty() { Vec::new() } else { vec![number(value); picked.len()] }
}

fn by_texts<'a>(
    strings: Option<&'a Strings>,
    picked: &[u32],
    number: impl FnMut(Val<'a>) -> u32,
) -> Vec<u32> {
    match strings {
        Some(strings) => by_dictionary(strings, picked, &Val::text(""), number),
        None => same(picked, Val::text(""), number),
    }
}

fn by_dictionary<'a>(
    strings: &'a Strings,
    picked: &[u32],
    missing: &Val<'a>,
    mut number: impl FnMut(Val<'a>) -> u32,
) -> Vec<u32> {
    let texts = strings.values();
    let none = texts.len();
    let mut known = Known::new(none + 1);
    let keys = strings.keys().values();
    let Some(nulls) = strings.keys().nulls() else {
        let of_row = |row: &u32| {
            let key = keys[*row as usize].cast_unsigned() as usize;
            known.number(key, || number(Val::text(texts.value(key))))
        };
        return picked.iter().map(of_row).collect();
    };
    // A null is the one entry behind the dictionary's.
    let of_row = |row: &u32| {
        let row = *row as usize;
        let key = if nulls.is_valid(row) { keys[row].cast_unsigned() as usize } else { none };
        known.number(key, || match key {
            key if key == none => number(missing.clone()),
            key => number(Val::text(texts.value(key))),
        })
    };
    picked.iter().map(of_row).collect()
}

/// By what `number` says of each resource that is not known yet.
pub(super) fn by_resource<'a>(
    batch: &'a Batch,
    picked: &[u32],
    known: &mut Known,
    mut number: impl FnMut(&'a Resource) -> u32,
) -> Vec<u32> {
    let of_row = |row: &u32| {
        let resource = batch.resource[*row as usize] as usize;
        known.number(resource, || number(&batch.resources[resource]))
    };
    picked.iter().map(of_row).collect()
}

fn by_trace<'a>(
    batch: &Batch,
    picked: &[u32],
    at: impl Fn(u32) -> Val<'a>,
    mut number: impl FnMut(Val<'a>) -> u32,
) -> Vec<u32> {
    let (mut trace, mut end, mut last) = (0, 0, 0);
    let of_row = |row: &u32| {
        if *row as usize >= end {
            while batch.traces.rows(trace).end <= *row as usize {
                trace += 1;
            }
            end = batch.traces.rows(trace).end;
            last = number(at(*row));
        }
        last
    };
    picked.iter().map(of_row).collect()
}

/// By values of one type that are cheap to tell apart.
fn by_key<'a, K: Copy + Eq + std::hash::Hash>(
    picked: &[u32],
    at: impl Fn(usize) -> Option<K>,
    value: impl Fn(&K) -> Val<'a>,
    mut number: impl FnMut(Val<'a>) -> u32,
) -> Vec<u32> {
    let mut known: HashMap<Option<K>, u32, FixedState> = HashMap::default();
    let mut last: Option<(Option<K>, u32)> = None;
    let of_row = |row: &u32| {
        let key = at(*row as usize);
        if let Some((same, code)) = last
            && same == key
        {
            return code;
        }
        let of_key = || number(key.as_ref().map_or(Val::Nil, &value));
        let code = *known.entry(key).or_insert_with(of_key);
        last = Some((key, code));
        code
    };
    picked.iter().map(of_row).collect()
}

/// What no number is.
const NO_CODE: u32 = u32::MAX;

/// Few rows have a value: both lists ascend.
fn by_rest<'a>(
    rest: &'a [(u32, Value)],
    picked: &[u32],
    mut number: impl FnMut(Val<'a>) -> u32,
) -> Vec<u32> {
    let mut codes = vec![NO_CODE; picked.len()];
    let mut known: HashMap<Vec<u8>, u32, FixedState> = HashMap::default();
    let (mut from, mut found) = (0, 0);
    for (row, value) in rest {
        from += picked[from..].partition_point(|picked| picked < row);
        if picked.get(from) != Some(row) {
            continue;
        }
        let value = Val::of_value(value);
        let mut key = Vec::new();
        put_key(&value, &mut key);
        codes[from] = *known.entry(key).or_insert_with(|| number(value));
        found += 1;
    }
    if found < picked.len() {
        let none = number(Val::Nil);
        codes.iter_mut().filter(|code| **code == NO_CODE).for_each(|code| *code = none);
    }
    codes
}

/// By the values themselves; the bytes of a value are made in one buffer.
fn by_value<'a>(
    picked: &[u32],
    at: impl Fn(u32) -> Val<'a>,
    mut number: impl FnMut(Val<'a>) -> u32,
) -> Vec<u32> {
    let mut known: HashMap<Vec<u8>, u32, FixedState> = HashMap::default();
    let mut key = Vec::new();
    let mut last: Option<(Val<'a>, u32)> = None;
    let of_row = |row: &u32| {
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
            let code = number(value.clone());
            known.insert(key.clone(), code);
            code
        };
        last = Some((value, code));
        code
    };
    picked.iter().map(of_row).collect()
}

/// Numbers that were given to something that is counted from 0.
#[derive(Clone, Default)]
pub(super) struct Known(Vec<u32>);

impl Known {
    const NONE: u32 = u32::MAX;

    pub(super) fn new(count: usize) -> Self {
        Self(vec![Self::NONE; count])
    }

    /// The number of one, which `first` tells when it is first asked for.
    #[inline]
    pub(super) fn number(&mut self, of: usize, first: impl FnOnce() -> u32) -> u32 {
        let known = &mut self.0[of];
        if *known == Self::NONE {
            *known = first();
        }
        *known
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
