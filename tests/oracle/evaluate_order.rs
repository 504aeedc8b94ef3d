//! `order by`: where a trace stands, and the order inside it.

use std::cmp::Ordering;

use traceql_grammar::ast::{Direction, Order, OrderKey};

use crate::evaluate_field::value;
use crate::evaluate_search::{Spanset, aggregate_of};
use crate::evaluate_trace::Trace;
use crate::evaluate_value::{Val, compare_numbers};

/// A trace with its spansets and spans in the query's order.
pub(crate) struct Ordered<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) spansets: Vec<Spanset>,
    /// That of its best span or spanset.
    key: Val,
}

impl<'a> Ordered<'a> {
    pub(crate) fn of(trace: &'a Trace, mut spansets: Vec<Spanset>, order: Option<&Order>) -> Self {
        let by_start = |place: &usize| (trace.spans[*place].start, trace.spans[*place].id);
        for spanset in &mut spansets {
            spanset.spans.sort_by_key(by_start);
        }
        let Some(Order { key, direction, .. }) = order else {
            return Self { trace, spansets, key: Val::Nil };
        };
        let key_of = |spanset: &Spanset| match key {
            OrderKey::Field(field) => {
                spanset.spans.first().map_or(Val::Nil, |place| value(trace, *place, field))
            }
            OrderKey::Aggregate(aggregate) => aggregate_of(trace, aggregate, spanset),
        };
        if let OrderKey::Field(field) = key {
            for spanset in &mut spansets {
                spanset.spans.sort_by(|one, other| {
                    let (one, other) = (value(trace, *one, field), value(trace, *other, field));
                    compare(&one, &other, *direction)
                });
            }
        }
        spansets.sort_by(|one, other| compare(&key_of(one), &key_of(other), *direction));
        let key = spansets.first().map_or(Val::Nil, key_of);
        Self { trace, spansets, key }
    }

    /// Ties: newest first, then by id.
    pub(crate) fn compare(&self, other: &Self, order: Option<&Order>) -> Ordering {
        let by_key =
            order.map_or(Ordering::Equal, |order| compare(&self.key, &other.key, order.direction));
        by_key
            .then(other.trace.start().cmp(&self.trace.start()))
            .then(self.trace.id.cmp(&other.trace.id))
    }
}

/// What is missing comes last, both ways.
fn compare(one: &Val, other: &Val, direction: Direction) -> Ordering {
    match (group(one), group(other)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(one_group), Some(other_group)) => {
            let order = one_group.cmp(&other_group).then_with(|| within(one, other));
            if direction == Direction::Descending { order.reverse() } else { order }
        }
    }
}

/// Booleans, numbers, texts, status, kind; arrays and NaN are no values.
fn group(value: &Val) -> Option<u8> {
    match value {
        Val::Float(value) if value.is_nan() => None,
        Val::Nil | Val::List(_) | Val::Other(_) => None,
        Val::Bool(_) => Some(0),
        Val::Int(_) | Val::Float(_) | Val::Duration(_) => Some(1),
        Val::Text(_) => Some(2),
        Val::Status(_) => Some(3),
        Val::Kind(_) => Some(4),
    }
}

fn within(one: &Val, other: &Val) -> Ordering {
    match (one, other) {
        (Val::Bool(one), Val::Bool(other)) => one.cmp(other),
        (Val::Text(one), Val::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
        (Val::Status(one), Val::Status(other)) | (Val::Kind(one), Val::Kind(other)) => {
            one.cmp(other)
        }
        (one, other) => compare_numbers(one, other).unwrap(),
    }
}
