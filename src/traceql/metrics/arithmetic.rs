//! Arithmetic between the series of metrics queries, and with numbers.

use std::collections::HashMap;

use traceql_grammar::Error;
use traceql_grammar::ast::{BinaryOp, Hint, MetricsArithmetic, MetricsExpr, SecondStage};

use super::exemplars::Candidate;
use super::function::Function;
use super::groups;
use super::second::{self, Row};
use crate::trace::Value;

/// The label that tells how a series was made where nothing else tells series apart.
const NAME: &str = "__name__";

/// A metrics expression, bound.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Function {
        /// Index of the function.
        function: usize,
        second: Vec<SecondStage>,
    },
    /// A duration is in seconds.
    Number {
        value: f64,
        text: String,
    },
    Binary {
        op: BinaryOp,
        sides: Box<(Node, Node)>,
        second: Vec<SecondStage>,
    },
}

/// A side of an operator.
enum Side {
    Number { value: f64, text: String },
    Series(Vec<Row>),
}

impl Node {
    /// Binds an expression; equal functions over equal pipelines, told by their text, are one.
    pub(super) fn bind(
        expr: &MetricsExpr,
        hints: &[Hint],
        functions: &mut Vec<(String, Function)>,
    ) -> Result<Self, Error> {
        Ok(match expr {
            MetricsExpr::Query(query) => {
                let text = format!("{} | {}", query.pipeline, query.first);
                let known = functions.iter().position(|(known, _)| *known == text);
                let function = known.unwrap_or(functions.len());
                if known.is_none() {
                    functions.push((text, Function::bind(query, hints)?));
                }
                Self::Function { function, second: query.second.clone() }
            }
            MetricsExpr::Number(value) => {
                let text = value.to_string();
                Self::Number { value: second::operand(value).unwrap_or(f64::NAN), text }
            }
            MetricsExpr::Arithmetic(arithmetic) => {
                let MetricsArithmetic { op, lhs, rhs, second, span: _ } = &**arithmetic;
                let lhs = Self::bind(lhs, hints, functions)?;
                let rhs = Self::bind(rhs, hints, functions)?;
                Self::Binary { op: *op, sides: Box::new((lhs, rhs)), second: second.clone() }
            }
        })
    }

    /// The series of the expression, given those of each function.
    pub(super) fn series(&self, mut functions: Vec<Vec<Row>>) -> Vec<Row> {
        if let Self::Function { function, second } = self {
            return run_all(second, functions.swap_remove(*function));
        }
        match self.side(&functions) {
            Side::Series(rows) => rows,
            Side::Number { .. } => unreachable!("a number alone is no query"),
        }
    }

    fn side(&self, functions: &[Vec<Row>]) -> Side {
        let (rows, second) = match self {
            Self::Number { value, text } => {
                return Side::Number { value: *value, text: text.clone() };
            }
            Self::Function { function, second } => (functions[*function].clone(), second),
            Self::Binary { op, sides, second } => {
                let (lhs, rhs) = &**sides;
                (computed(*op, lhs.side(functions), rhs.side(functions)), second)
            }
        };
        Side::Series(run_all(second, rows))
    }
}

fn run_all(stages: &[SecondStage], rows: Vec<Row>) -> Vec<Row> {
    stages.iter().fold(rows, |rows, stage| second::run(stage, rows))
}

fn computed(op: BinaryOp, lhs: Side, rhs: Side) -> Vec<Row> {
    let rows = match (lhs, rhs) {
        (Side::Series(lhs), Side::Series(rhs)) => paired(op, &lhs, &rhs),
        (Side::Series(rows), Side::Number { value, text }) => {
            let with = |row: Row| {
                let name = name(&row).map(|name| format!("({name} {} {text})", op.symbol()));
                each(row, name, |sample, _| apply(op, sample, value))
            };
            rows.into_iter().map(with).collect()
        }
        (Side::Number { value, text }, Side::Series(rows)) => {
            let with = |row: Row| {
                let name = name(&row).map(|name| format!("({text} {} {name})", op.symbol()));
                each(row, name, |sample, _| apply(op, value, sample))
            };
            rows.into_iter().map(with).collect()
        }
        (Side::Number { .. }, Side::Number { .. }) => {
            unreachable!("arithmetic of numbers is done by the grammar")
        }
    };
    second::sorted(rows)
}

/// Series with equal labels, or each series of one side with the only one, without labels, of the other.
fn paired(op: BinaryOp, lhs: &[Row], rhs: &[Row]) -> Vec<Row> {
    if let Some(other) = only_unlabelled(rhs) {
        return lhs.iter().map(|row| joined(op, row, other, row)).collect();
    }
    if let Some(other) = only_unlabelled(lhs) {
        return rhs.iter().map(|row| joined(op, other, row, row)).collect();
    }
    let by_labels: HashMap<Vec<u8>, &Row> = rhs.iter().map(|row| (key(row), row)).collect();
    let pair = |row: &Row| by_labels.get(&key(row)).map(|other| joined(op, row, other, row));
    lhs.iter().filter_map(pair).collect()
}

fn only_unlabelled(rows: &[Row]) -> Option<&Row> {
    match rows {
        [only] if labels(only).next().is_none() => Some(only),
        _ => None,
    }
}

/// A series of both, with the labels of one.
fn joined(op: BinaryOp, lhs: &Row, rhs: &Row, labelled: &Row) -> Row {
    let name = match (name(lhs), name(rhs)) {
        (Some(lhs), Some(rhs)) => Some(format!("({lhs} {} {rhs})", op.symbol())),
        _ => None,
    };
    let row = Row {
        labels: labelled.labels.clone(),
        values: lhs.values.clone(),
        exemplars: lhs.exemplars.iter().chain(&rhs.exemplars).copied().collect(),
    };
    each(row, name, |sample, slot| apply(op, sample, rhs.values[slot]))
}

/// The series with its samples changed and, where it has a name, another one.
fn each(row: Row, name: Option<String>, change: impl Fn(f64, usize) -> f64) -> Row {
    let Row { mut labels, values, exemplars } = row;
    if let Some((_, known)) = labels.iter_mut().find(|(key, _)| key == NAME)
        && let Some(name) = name
    {
        *known = Value::String(name);
    }
    let values: Vec<f64> =
        values.into_iter().enumerate().map(|(slot, sample)| change(sample, slot)).collect();
    let moved = |one: Candidate| Candidate { value: values[one.slot as usize], ..one };
    let mut exemplars: Vec<Candidate> = exemplars.into_iter().map(moved).collect();
    exemplars.retain(|one| !one.value.is_nan());
    exemplars.sort_by_key(|one| (one.start, one.trace));
    // Both sides may have chosen the same span.
    exemplars.dedup_by_key(|one| (one.start, one.trace));
    Row { labels, values, exemplars }
}

/// A sample; NaN, which is none, if either is missing, or if it cannot be told as a number.
fn apply(op: BinaryOp, lhs: f64, rhs: f64) -> f64 {
    let value = match op {
        BinaryOp::Add => lhs + rhs,
        BinaryOp::Sub => lhs - rhs,
        BinaryOp::Mul => lhs * rhs,
        BinaryOp::Div => lhs / rhs,
        _ => f64::NAN,
    };
    // A negative zero becomes a plain one.
    if value.is_finite() { value + 0.0 } else { f64::NAN }
}

fn labels(row: &Row) -> impl Iterator<Item = &(String, Value)> {
    row.labels.iter().filter(|(key, _)| key != NAME)
}

fn key(row: &Row) -> Vec<u8> {
    groups::key(labels(row))
}

fn name(row: &Row) -> Option<&str> {
    row.labels.iter().find(|(key, _)| key == NAME).and_then(|(_, value)| match value {
        Value::String(name) => Some(name.as_str()),
        _ => None,
    })
}
