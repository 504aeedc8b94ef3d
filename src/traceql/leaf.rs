//! One test of one field over all spans, events or links: once per dictionary entry, resource or trace, over slices of numbers.

use arrow::array::Array as _;
use arrow::buffer::{BooleanBuffer, NullBuffer};
use traceql_grammar::ast::{Attribute, Intrinsic, Scope};

use super::plan::{Check, Owner, Test, owner_of};
use super::rows::{Rows, of_resource};
use super::value::Val;
use crate::columns::{AttributeValues, Resource, Strings};
use crate::trace::Value;

/// Where the field passes the test. Bits outside `within` may be anything.
pub(super) fn mask(
    rows: &Rows<'_>,
    test: &Test,
    owner: Owner,
    within: Option<&BooleanBuffer>,
) -> BooleanBuffer {
    let (batch, check) = (rows.batch, &test.check);
    let count = rows.count(owner);
    if owner != Owner::Span && owner_of(&test.field) != owner {
        return one_by_one(rows, test, owner, within);
    }
    match &test.field {
        Attribute::Named { scope, name } => match scope {
            Scope::Span => attribute(batch.attributes.get(name), count, check),
            Scope::None => {
                let values = batch.attributes.get(name);
                let of_span = attribute(values, count, check);
                let of_resource = by_resource(rows, |resource| {
                    resource
                        .attribute(name)
                        .is_some_and(|value| check.accepts(&Val::of_value(value)))
                });
                match values {
                    Some(_) if of_resource.has_true() => {
                        &of_span | &(&of_resource & &!&present(values, count))
                    }
                    Some(_) => of_span,
                    None => of_resource,
                }
            }
            Scope::Resource => {
                by_resource(rows, |resource| check.accepts(&of_resource(resource, name)))
            }
            Scope::Instrumentation => by_resource(rows, |resource| {
                let value = resource.scope_attribute(name);
                value.is_some_and(|value| check.accepts(&Val::of_value(value)))
            }),
            Scope::Event if owner == Owner::Event => {
                let events = batch.events.as_ref();
                attribute(events.and_then(|events| events.attributes.get(name)), count, check)
            }
            Scope::Link if owner == Owner::Link => {
                let links = batch.links.as_ref();
                attribute(links.and_then(|links| links.attributes.get(name)), count, check)
            }
            Scope::Event | Scope::Link => one_by_one(rows, test, owner, within),
        },
        Attribute::Intrinsic(intrinsic) => self::intrinsic(rows, *intrinsic, test, owner, within),
        Attribute::OfParent { .. } => BooleanBuffer::new_unset(count),
    }
}

fn intrinsic(
    rows: &Rows<'_>,
    intrinsic: Intrinsic,
    test: &Test,
    owner: Owner,
    within: Option<&BooleanBuffer>,
) -> BooleanBuffer {
    let (batch, check) = (rows.batch, &test.check);
    let count = rows.count(owner);
    match intrinsic {
        Intrinsic::Duration => match check.int_range() {
            Some(range) => BooleanBuffer::collect_bool(count, |row| {
                range.contains(i64::try_from(batch.duration[row]).unwrap_or(i64::MAX))
            }),
            None => BooleanBuffer::new_unset(count),
        },
        Intrinsic::Name => texts(batch.name.as_ref(), count, check),
        Intrinsic::StatusMessage => texts(batch.status_message.as_ref(), count, check),
        Intrinsic::EventName if owner == Owner::Event => {
            texts(batch.events.as_ref().and_then(|events| events.name.as_ref()), count, check)
        }
        Intrinsic::Status => codes(&batch.status, |code| check.accepts(&Val::Status(code))),
        Intrinsic::Kind => codes(&batch.kind, |code| check.accepts(&Val::Kind(code))),
        Intrinsic::NestedSetParent if test.is_of_roots() => {
            BooleanBuffer::collect_bool(count, |row| rows.is_root(row))
        }
        Intrinsic::RootName
        | Intrinsic::RootService
        | Intrinsic::TraceDuration
        | Intrinsic::TraceId => {
            by_trace(rows, |trace| check.accepts(&rows.of_trace(intrinsic, trace)))
        }
        Intrinsic::InstrumentationName => {
            by_resource(rows, |resource| check.accepts_text(&resource.view().scope_name))
        }
        Intrinsic::InstrumentationVersion => {
            by_resource(rows, |resource| check.accepts_text(&resource.view().scope_version))
        }
        _ => one_by_one(rows, test, owner, within),
    }
}

/// Where the field is not missing.
pub(super) fn presence(
    rows: &Rows<'_>,
    field: &Attribute,
    owner: Owner,
    within: Option<&BooleanBuffer>,
) -> BooleanBuffer {
    let batch = rows.batch;
    let count = rows.count(owner);
    let Attribute::Named { scope, name } = field else {
        return BooleanBuffer::collect_bool(count, |index| {
            within.is_none_or(|within| within.value(index))
                && !rows.value(field, rows.place(owner, index)).is_nil()
        });
    };
    match (scope, owner) {
        (Scope::Span, Owner::Span) => present(batch.attributes.get(name), count),
        (Scope::None, Owner::Span) => {
            let of_span = present(batch.attributes.get(name), count);
            &of_span | &by_resource(rows, |resource| is_there(resource.attribute(name)))
        }
        (Scope::Resource, Owner::Span) => {
            by_resource(rows, |resource| !of_resource(resource, name).is_nil())
        }
        (Scope::Instrumentation, Owner::Span) => {
            by_resource(rows, |resource| is_there(resource.scope_attribute(name)))
        }
        (Scope::Event, Owner::Event) => {
            let events = batch.events.as_ref();
            present(events.and_then(|events| events.attributes.get(name)), count)
        }
        (Scope::Link, Owner::Link) => {
            let links = batch.links.as_ref();
            present(links.and_then(|links| links.attributes.get(name)), count)
        }
        _ => BooleanBuffer::collect_bool(count, |index| {
            !rows.value(field, rows.place(owner, index)).is_nil()
        }),
    }
}

fn one_by_one(
    rows: &Rows<'_>,
    test: &Test,
    owner: Owner,
    within: Option<&BooleanBuffer>,
) -> BooleanBuffer {
    BooleanBuffer::collect_bool(rows.count(owner), |index| {
        within.is_none_or(|within| within.value(index))
            && rows.passes(test, rows.place(owner, index))
    })
}

/// The values of one key.
fn attribute(values: Option<&AttributeValues>, count: usize, check: &Check) -> BooleanBuffer {
    let mut all = BooleanBuffer::new_unset(count);
    let Some(AttributeValues { strings, ints, doubles, bools, rest }) = values else { return all };
    if let Some(strings) = strings {
        let verdicts = verdicts(strings, check);
        if verdicts.contains(&true) {
            all = &all | &by_key(strings, &verdicts);
        }
    }
    if let (Some(ints), Some(range)) = (ints, check.int_range()) {
        let numbers = ints.values();
        let bits = BooleanBuffer::collect_bool(count, |row| range.contains(numbers[row]));
        all = &all | &valid(bits, ints.nulls());
    }
    if let Some(doubles) = doubles {
        let numbers = doubles.values();
        let bits =
            BooleanBuffer::collect_bool(count, |row| check.accepts(&Val::Float(numbers[row])));
        all = &all | &valid(bits, doubles.nulls());
    }
    if let Some(bools) = bools {
        let accepts = [check.accepts(&Val::Bool(false)), check.accepts(&Val::Bool(true))];
        let bits = match accepts {
            [false, false] => BooleanBuffer::new_unset(count),
            [false, true] => bools.values().clone(),
            [true, false] => !bools.values(),
            [true, true] => BooleanBuffer::new_set(count),
        };
        all = &all | &valid(bits, bools.nulls());
    }
    let others = rest.iter().filter(|(_, value)| check.accepts(&Val::of_value(value)));
    with_rows(all, count, others.map(|(row, _)| *row))
}

/// Where there is a value of the key, of any type.
fn present(values: Option<&AttributeValues>, count: usize) -> BooleanBuffer {
    let mut all = BooleanBuffer::new_unset(count);
    let Some(AttributeValues { strings, ints, doubles, bools, rest }) = values else { return all };
    let columns = [
        strings.as_ref().map(|strings| strings.keys().nulls()),
        ints.as_ref().map(|ints| ints.nulls()),
        doubles.as_ref().map(|doubles| doubles.nulls()),
        bools.as_ref().map(|bools| bools.nulls()),
    ];
    for nulls in columns.into_iter().flatten() {
        all = &all | &valid(BooleanBuffer::new_set(count), nulls);
    }
    let there = rest.iter().filter(|(_, value)| !Val::of_value(value).is_nil());
    with_rows(all, count, there.map(|(row, _)| *row))
}

fn is_there(value: Option<&Value>) -> bool {
    value.is_some_and(|value| !Val::of_value(value).is_nil())
}

fn valid(bits: BooleanBuffer, nulls: Option<&NullBuffer>) -> BooleanBuffer {
    match nulls {
        Some(nulls) => &bits & nulls.inner(),
        None => bits,
    }
}

fn with_rows(all: BooleanBuffer, count: usize, rows: impl Iterator<Item = u32>) -> BooleanBuffer {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return all;
    }
    let mut marks = vec![0_u8; count.div_ceil(8)];
    for row in rows {
        set(&mut marks, row as usize);
    }
    &all | &BooleanBuffer::new(marks.into(), 0, count)
}

/// Sets one bit of a mask.
pub(super) fn set(marks: &mut [u8], index: usize) {
    marks[index / 8] |= 1 << (index % 8);
}

/// A column of texts in which a null, and a column that is not there, reads as the empty text.
fn texts(strings: Option<&Strings>, count: usize, check: &Check) -> BooleanBuffer {
    let empty = check.accepts_text("");
    let Some(strings) = strings else {
        return if empty { BooleanBuffer::new_set(count) } else { BooleanBuffer::new_unset(count) };
    };
    let bits = by_key(strings, &verdicts(strings, check));
    match strings.keys().nulls() {
        Some(nulls) if empty => &bits | &!nulls.inner(),
        _ => bits,
    }
}

/// What the check says of each entry of the dictionary.
fn verdicts(strings: &Strings, check: &Check) -> Vec<bool> {
    let values = strings.values();
    (0..values.len())
        .map(|entry| values.is_valid(entry) && check.accepts_text(values.value(entry)))
        .collect()
}

fn by_key(strings: &Strings, verdicts: &[bool]) -> BooleanBuffer {
    let keys = strings.keys().values();
    // The key of a null may be anything.
    let bits = BooleanBuffer::collect_bool(keys.len(), |row| {
        usize::try_from(keys[row]).is_ok_and(|key| verdicts.get(key).copied().unwrap_or(false))
    });
    valid(bits, strings.keys().nulls())
}

fn codes(codes: &[i32], accepts: impl Fn(i32) -> bool) -> BooleanBuffer {
    // The codes that there are names for, so that each is asked about once.
    let known: [bool; 6] = std::array::from_fn(|code| i32::try_from(code).is_ok_and(&accepts));
    BooleanBuffer::collect_bool(codes.len(), |row| {
        let code = codes[row];
        let index = usize::try_from(code).ok();
        index.and_then(|code| known.get(code).copied()).unwrap_or_else(|| accepts(code))
    })
}

fn by_resource(rows: &Rows<'_>, accepts: impl Fn(&Resource) -> bool) -> BooleanBuffer {
    let batch = rows.batch;
    let verdicts: Vec<bool> = batch.resources.iter().map(|resource| accepts(resource)).collect();
    if !verdicts.contains(&true) {
        return BooleanBuffer::new_unset(batch.rows());
    }
    BooleanBuffer::collect_bool(batch.rows(), |row| verdicts[batch.resource[row] as usize])
}

fn by_trace(rows: &Rows<'_>, accepts: impl Fn(usize) -> bool) -> BooleanBuffer {
    let traces = &rows.batch.traces;
    let mut bits = arrow::array::BooleanBufferBuilder::new(rows.batch.rows());
    for trace in 0..traces.len() {
        bits.append_n(traces.rows(trace).len(), accepts(trace));
    }
    bits.finish()
}
