//! Aggregates over the spans of one spanset.

use std::cmp::Ordering;
use std::collections::HashSet;

use foldhash::fast::FixedState;
use traceql_grammar::ast::AggregateOp;

use super::plan::Expr;
use super::rows::{Place, Rows};
use super::value::{Val, as_float, numeric_order};

impl<'a> Rows<'a> {
    /// The aggregate's value; `None` if no span has a number to aggregate.
    pub(super) fn aggregate<'e>(
        &self,
        op: AggregateOp,
        argument: Option<&'e Expr>,
        rows: &[u32],
    ) -> Option<Val<'e>>
    where
        'a: 'e,
    {
        match (op, argument) {
            (AggregateOp::Count, _) | (_, None) => {
                Some(Val::Int(i64::try_from(rows.len()).unwrap_or(i64::MAX)))
            }
            (AggregateOp::Max, Some(argument)) => self.extreme(argument, rows, Ordering::Greater),
            (AggregateOp::Min, Some(argument)) => self.extreme(argument, rows, Ordering::Less),
            (AggregateOp::Sum, Some(argument)) => Some(self.total(argument, rows)?.sum()),
            (AggregateOp::Avg, Some(argument)) => Some(self.total(argument, rows)?.average()),
            (AggregateOp::CountDistinct, Some(argument)) => {
                let values: HashSet<Vec<u8>, FixedState> = rows
                    .iter()
                    .map(|row| self.eval(argument, Place::span(*row as usize)))
                    .filter(|value| !value.is_nil())
                    .map(|value| value.canonical().group_key())
                    .collect();
                Some(Val::Int(i64::try_from(values.len()).unwrap_or(i64::MAX)))
            }
        }
    }

    /// Missing values and those that are no number do not count.
    fn numbers(&self, argument: &'a Expr, rows: &[u32]) -> impl Iterator<Item = Val<'a>> {
        let value = |row: &u32| self.eval(argument, Place::span(*row as usize));
        rows.iter().map(value).filter(Val::is_numeric)
    }

    /// The first of the largest (or smallest); NaN only where there is nothing else.
    fn extreme(&self, argument: &'a Expr, rows: &[u32], wanted: Ordering) -> Option<Val<'a>> {
        self.numbers(argument, rows).reduce(|best, value| {
            let is_nan = |value: &Val<'_>| matches!(value, Val::Float(float) if float.is_nan());
            match numeric_order(&value, &best) {
                Some(ordering) if ordering == wanted => value,
                None if is_nan(&best) => value,
                _ => best,
            }
        })
    }

    fn total(&self, argument: &'a Expr, rows: &[u32]) -> Option<Total> {
        let mut total = Total::default();
        for value in self.numbers(argument, rows) {
            total.add(&value);
        }
        (total.count > 0).then_some(total)
    }
}

/// A sum of numbers and what they were.
#[derive(Default)]
struct Total {
    count: i64,
    /// How many of them were ints, and how many durations.
    ints: i64,
    durations: i64,
    /// Exact sum of the ints and durations.
    whole: i128,
    floats: f64,
}

impl Total {
    fn add(&mut self, value: &Val<'_>) {
        self.count += 1;
        match value {
            Val::Int(int) => {
                self.ints += 1;
                self.whole += i128::from(*int);
            }
            Val::Duration(nanoseconds) => {
                self.durations += 1;
                self.whole += i128::from(*nanoseconds);
            }
            other => self.floats += as_float(other).unwrap_or_default(),
        }
    }

    /// Of ints an int, of durations a duration, both held at the ends of their range; of a mix a float.
    fn sum<'a>(&self) -> Val<'a> {
        if self.ints == self.count {
            Val::Int(clamped(self.whole))
        } else if self.durations == self.count {
            Val::Duration(clamped(self.whole))
        } else {
            Val::Float(self.float())
        }
    }

    /// Of durations a duration, else a float.
    fn average<'a>(&self) -> Val<'a> {
        if self.durations == self.count {
            return Val::Duration(clamped(self.whole / i128::from(self.count)));
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "fewer spans than a float has whole numbers"
        )]
        let count = self.count as f64;
        Val::Float(self.float() / count)
    }

    fn float(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "the result is a float")]
        let whole = self.whole as f64;
        whole + self.floats
    }
}

fn clamped(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}
