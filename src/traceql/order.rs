//! The order of a search's answer: keys of spans, spansets and traces, and how they compare.

use std::cmp::Ordering;

use traceql_grammar::ast::Direction;

use super::plan::{Order, OrderKey};
use super::rows::{Place, Rows};
use super::spansets::Spanset;
use super::value::{Val, numeric_order};

/// Where something stands in an answer that has an order: what comes first is less. Without an order all are equal.
#[derive(Debug, Clone, Default)]
pub struct Rank(Option<Key>);

/// A value to order by. The variants are in the order of their kinds.
#[derive(Debug, Clone)]
enum Key {
    Ascending(Sortable),
    Descending(Sortable),
    /// No value to order by: last, both ways.
    Missing,
}

#[derive(Debug, Clone)]
enum Sortable {
    Bool(bool),
    Int(i64),
    /// Never NaN.
    Float(f64),
    Text(String),
    /// By their numbers in the language.
    Status(i32),
    Kind(i32),
}

impl Sortable {
    /// Arrays, NaN and what no operator takes count as no value.
    fn of(value: &Val<'_>) -> Option<Self> {
        Some(match value {
            Val::Bool(value) => Self::Bool(*value),
            Val::Int(value) | Val::Duration(value) => Self::Int(*value),
            Val::Float(value) if !value.is_nan() => Self::Float(*value),
            Val::Text(text) => Self::Text(text.clone().into_owned()),
            Val::Status(code) => Self::Status(status_number(*code)),
            Val::Kind(code) => Self::Kind(kind_number(*code)),
            Val::Nil | Val::Float(_) | Val::Array(_) | Val::Other(_) => return None,
        })
    }

    fn class(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Int(_) | Self::Float(_) => 1,
            Self::Text(_) => 2,
            Self::Status(_) => 3,
            Self::Kind(_) => 4,
        }
    }

    fn number(&self) -> Option<Val<'static>> {
        match self {
            Self::Int(value) => Some(Val::Int(*value)),
            Self::Float(value) => Some(Val::Float(*value)),
            _ => None,
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => one.cmp(other),
            (Self::Text(one), Self::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
            (Self::Status(one), Self::Status(other)) | (Self::Kind(one), Self::Kind(other)) => {
                one.cmp(other)
            }
            _ => match (self.number(), other.number()) {
                (Some(one), Some(other)) => numeric_order(&one, &other).unwrap_or(Ordering::Equal),
                _ => self.class().cmp(&other.class()),
            },
        }
    }
}

/// error 0, ok 1, unset 2; others as they came.
fn status_number(code: i32) -> i32 {
    match code {
        0 => 2,
        2 => 0,
        other => other,
    }
}

/// client 2, server 3; others as they came.
fn kind_number(code: i32) -> i32 {
    match code {
        2 => 3,
        3 => 2,
        other => other,
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Some(Key::Ascending(one)), Some(Key::Ascending(other))) => one.order(other),
            (Some(Key::Descending(one)), Some(Key::Descending(other))) => other.order(one),
            (one, other) => {
                matches!(one, Some(Key::Missing)).cmp(&matches!(other, Some(Key::Missing)))
            }
        }
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rank {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Rank {}

impl Order {
    fn rank(&self, value: Option<&Val<'_>>) -> Rank {
        let sortable = value.and_then(Sortable::of);
        Rank(Some(match (sortable, self.direction) {
            (None, _) => Key::Missing,
            (Some(value), Direction::Ascending) => Key::Ascending(value),
            (Some(value), Direction::Descending) => Key::Descending(value),
        }))
    }

    /// Where a span stands in its spanset; all equal where spansets are ordered, not spans.
    pub(super) fn of_span(&self, rows: &Rows<'_>, row: u32) -> Rank {
        match &self.key {
            OrderKey::Field(expr) => self.rank(Some(&rows.eval(expr, Place::span(row as usize)))),
            OrderKey::Aggregate(..) => Rank::default(),
        }
    }

    /// Where a spanset stands in its trace: where its best span would.
    pub(super) fn of_spanset(&self, rows: &Rows<'_>, spanset: &Spanset) -> Rank {
        let members = spanset.members.clone().into_rows();
        match &self.key {
            OrderKey::Field(_) => {
                members.iter().map(|row| self.of_span(rows, *row)).min().unwrap_or_default()
            }
            OrderKey::Aggregate(op, argument) => {
                self.rank(rows.aggregate(*op, argument.as_ref(), &members).as_ref())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traceql::plan::Expr;
    use traceql_grammar::ast::Static;

    fn order(direction: Direction) -> Order {
        Order { key: OrderKey::Field(Expr::Constant(Static::Nil)), direction }
    }

    #[test]
    fn unlike_values_have_one_order_and_missing_ones_come_last() {
        let values = [
            Val::Bool(false),
            Val::Bool(true),
            Val::Float(f64::NEG_INFINITY),
            Val::Int(-1),
            Val::Float(0.5),
            Val::Duration(7),
            Val::Float(1e19),
            Val::text(""),
            Val::text("a"),
            Val::Status(2),
            Val::Status(1),
            Val::Status(0),
            Val::Kind(0),
            Val::Kind(3),
            Val::Kind(2),
        ];
        for (direction, first) in [(Direction::Ascending, true), (Direction::Descending, false)] {
            let order = order(direction);
            let ranks: Vec<Rank> = values.iter().map(|value| order.rank(Some(value))).collect();
            assert!(ranks.is_sorted_by(|one, other| (one < other) == first && one != other));
            for missing in [None, Some(&Val::Nil), Some(&Val::Float(f64::NAN))] {
                assert!(ranks.iter().all(|rank| *rank < order.rank(missing)));
            }
            assert_eq!(order.rank(Some(&Val::Int(7))), order.rank(Some(&Val::Duration(7))));
        }
        assert_eq!(Rank::default(), Rank::default());
    }
}
