//! What is done with the series of a function: the largest, the smallest, those that pass a comparison.

use std::cmp::Ordering;

use traceql_grammar::ast::{SecondStage, Static};

use super::super::value::{Compare, Val, as_float};
use super::exemplars::Candidate;
use super::groups::Labels;
use crate::trace::Value;

/// A series with a value for each slot; NaN where it has none.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) labels: Labels,
    pub(super) values: Vec<f64>,
    pub(super) exemplars: Vec<Candidate>,
}

impl Row {
    fn is_empty(&self) -> bool {
        self.values.iter().all(|value| value.is_nan())
    }
}

/// In the order of an answer, without those that have no value. There is one zero: which of two is the larger must not depend on
/// the order in which they were seen.
pub(super) fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    for row in &mut rows {
        row.values.iter_mut().for_each(|value| *value += 0.0);
        row.exemplars.iter_mut().for_each(|exemplar| exemplar.value += 0.0);
    }
    rows.retain(|row| !row.is_empty());
    let is_alike = rows.windows(2).all(|pair| is_alike(&pair[0], &pair[1]));
    let key = |row: &Row| if is_alike { first_bytes(row) } else { 0 };
    let mut keyed: Vec<(u64, Row)> = rows.into_iter().map(|row| (key(&row), row)).collect();
    keyed.sort_by(|(key, one), (other_key, other)| {
        key.cmp(other_key).then_with(|| order(&one.labels, &other.labels))
    });
    keyed.into_iter().map(|(_, row)| row).collect()
}

/// Runs a stage; series that have no value any more vanish.
pub(super) fn run(stage: &SecondStage, mut rows: Vec<Row>) -> Vec<Row> {
    match stage {
        SecondStage::TopK(count) => keep(&mut rows, *count, true),
        SecondStage::BottomK(count) => keep(&mut rows, *count, false),
        SecondStage::Filter { op, value } => {
            let (Some(op), Some(operand)) = (Compare::of(*op), operand(value)) else {
                return Vec::new();
            };
            let passes =
                |value: f64| value.partial_cmp(&operand).is_some_and(|ordering| op.holds(ordering));
            for row in &mut rows {
                row.values.iter_mut().filter(|value| !passes(**value)).for_each(|v| *v = f64::NAN);
                row.exemplars.retain(|exemplar| passes(exemplar.value));
            }
        }
    }
    rows.retain(|row| !row.is_empty());
    rows
}

/// Durations are compared in seconds.
pub(super) fn operand(value: &Static) -> Option<f64> {
    let number = as_float(&Val::of_static(value))?;
    Some(if matches!(value, Static::Duration(_)) { number / 1e9 } else { number })
}

/// Keeps the values of the `count` largest or smallest series at each slot.
fn keep(rows: &mut [Row], count: i64, largest: bool) {
    let count = usize::try_from(count).unwrap_or(0);
    if rows.len() <= count {
        return;
    }
    let mut by_labels: Vec<usize> = (0..rows.len()).collect();
    by_labels.sort_by(|one, other| precedence(&rows[*one].labels, &rows[*other].labels));
    if !largest {
        by_labels.reverse();
    }
    let slots = rows.first().map_or(0, |row| row.values.len());
    for slot in 0..slots {
        let value = |row: &usize| rows[*row].values[slot];
        let mut ranked: Vec<usize> =
            by_labels.iter().copied().filter(|row| !value(row).is_nan()).collect();
        // Stable: of equal ones those that come first by their labels.
        ranked.sort_by(|one, other| {
            let order = value(one).total_cmp(&value(other));
            if largest { order.reverse() } else { order }
        });
        for row in ranked.into_iter().skip(count) {
            rows[row].values[slot] = f64::NAN;
        }
    }
}

/// Which of two series `topk` rather keeps: the alphabetically earlier, of numbers the larger.
fn precedence(one: &Labels, other: &Labels) -> Ordering {
    for ((key, value), (other_key, other_value)) in one.iter().zip(other) {
        let order = text(value)
            .cmp(text(other_value))
            .then_with(|| key.cmp(other_key))
            .then_with(|| rank(value).cmp(&rank(other_value)))
            .then_with(|| number(other_value).total_cmp(&number(value)));
        if order.is_ne() {
            return order;
        }
    }
    one.len().cmp(&other.len())
}

/// The first bytes of the text of the first label, the first highest; fewer are as if zeros followed.
fn first_bytes(row: &Row) -> u64 {
    let mut bytes = [0; 8];
    if let Some((_, value)) = row.labels.first() {
        let text = text(value).as_bytes();
        let count = text.len().min(8);
        bytes[..count].copy_from_slice(&text[..count]);
    }
    u64::from_be_bytes(bytes)
}

/// Whether the texts of their first labels come first in the [`order`] of two series.
fn is_alike(one: &Row, other: &Row) -> bool {
    one.labels.len() == other.labels.len()
        && one.labels.first().map(|(key, _)| key) == other.labels.first().map(|(key, _)| key)
}

/// The order of series in an answer: by the number of labels, then label by label.
pub(super) fn order(one: &Labels, other: &Labels) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| {
        let mut orders = one.iter().zip(other).map(|((key, value), (other_key, other_value))| {
            key.cmp(other_key).then_with(|| value_order(value, other_value))
        });
        orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    })
}

/// The order of the values of one label.
pub(super) fn value_order(one: &Value, other: &Value) -> Ordering {
    if let (Value::String(one), Value::String(other)) = (one, other) {
        return one.cmp(other);
    }
    text(one)
        .cmp(text(other))
        .then_with(|| rank(one).cmp(&rank(other)))
        .then_with(|| number(one).total_cmp(&number(other)))
        .then_with(|| one.encoded().cmp(&other.encoded()))
}

fn text(value: &Value) -> &str {
    match value {
        Value::String(text) => text,
        _ => "",
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Empty => 0,
        Value::Int(_) => 1,
        Value::Double(_) => 2,
        Value::String(_) => 3,
        Value::Bool(_) => 4,
        Value::Array(_) => 5,
        Value::Map(_) => 6,
        Value::Bytes(_) => 7,
    }
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Bool(value) => f64::from(u8::from(*value)),
        other => as_float(&Val::of_value(other)).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use traceql_grammar::ast::BinaryOp;

    use super::*;

    const NONE: f64 = f64::NAN;

    fn row(label: Value, values: &[f64]) -> Row {
        Row { labels: vec![("a".into(), label)], values: values.to_vec(), exemplars: Vec::new() }
    }

    fn text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    /// Labels with values; a missing value is -1.
    fn told(rows: Vec<Row>) -> Vec<(Value, Vec<f64>)> {
        let no_nan = |value: f64| if value.is_nan() { -1.0 } else { value };
        rows.into_iter()
            .map(|mut row| (row.labels.remove(0).1, row.values.into_iter().map(no_nan).collect()))
            .collect()
    }

    #[test]
    fn topk_keeps_the_largest_of_each_slot_and_of_equal_ones_the_earlier() {
        let rows = vec![
            row(text("a"), &[1.0, 5.0, 0.0]),
            row(text("b"), &[2.0, NONE, 0.0]),
            row(text("c"), &[3.0, 4.0, 0.0]),
            row(text("d"), &[0.0, 3.0, 0.0]),
        ];
        assert_eq!(
            told(run(&SecondStage::TopK(2), rows.clone())),
            [
                (text("a"), vec![-1.0, 5.0, 0.0]),
                (text("b"), vec![2.0, -1.0, 0.0]),
                (text("c"), vec![3.0, 4.0, -1.0]),
            ]
        );
        assert_eq!(
            told(run(&SecondStage::BottomK(2), rows.clone())),
            [
                (text("a"), vec![1.0, -1.0, -1.0]),
                (text("c"), vec![-1.0, 4.0, 0.0]),
                (text("d"), vec![0.0, 3.0, 0.0]),
            ]
        );
        assert_eq!(run(&SecondStage::TopK(4), rows.clone()).len(), 4);
        let numbers = vec![row(Value::Int(1), &[0.0]), row(Value::Int(2), &[0.0])];
        assert_eq!(told(run(&SecondStage::TopK(1), numbers)), [(Value::Int(2), vec![0.0])]);
    }

    #[test]
    fn comparisons_keep_the_samples_that_pass() {
        let rows = vec![row(text("a"), &[1.0, 2.0, NONE]), row(text("b"), &[0.5, 0.0, 0.0])];
        let filter = |op, value| run(&SecondStage::Filter { op, value }, rows.clone());
        assert_eq!(told(filter(BinaryOp::Ge, Static::Int(1))), [(text("a"), vec![1.0, 2.0, -1.0])]);
        assert_eq!(
            told(filter(BinaryOp::Eq, Static::Duration(500_000_000))),
            [(text("b"), vec![0.5, -1.0, -1.0])]
        );
        assert_eq!(told(filter(BinaryOp::Ne, Static::Float(0.0))).len(), 2);
        assert!(filter(BinaryOp::Gt, Static::Int(2)).is_empty());
    }

    #[test]
    fn series_are_in_the_order_of_their_labels() {
        let labels = |labels: &[(&str, Value)]| -> Labels {
            labels.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
        };
        let sorted = [
            labels(&[]),
            labels(&[("a", Value::Int(9))]),
            labels(&[("a", Value::Int(10))]),
            labels(&[("a", text("x"))]),
            labels(&[("a", text("y"))]),
            labels(&[("b", text("a"))]),
            labels(&[("a", text("x")), ("b", text("y"))]),
        ];
        for pair in sorted.windows(2) {
            assert_eq!(order(&pair[0], &pair[1]), Ordering::Less, "{pair:?}");
        }
    }
}
