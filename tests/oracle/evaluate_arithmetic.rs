//! Metrics queries, and arithmetic between them.

use std::cell::Cell;
use std::collections::BTreeMap;

use traceql_grammar::ast::{
    BinaryOp, Metrics as MetricsTree, MetricsArithmetic, MetricsExpr, MetricsFirst,
};

use crate::evaluate_compare::Compare;
use crate::evaluate_metrics::{Function, Seen, Series, Slots, counted, number, told_labels};
use crate::evaluate_second;
use crate::evaluate_trace::Trace;
use crate::evaluate_value::{Val, binary};

/// What series are made of, and what was seen while they were made.
pub(crate) struct Metrics<'a> {
    pub(crate) traces: &'a [Trace],
    pub(crate) rootless: bool,
    pub(crate) slots: Slots,
    /// Whether the rules do not decide.
    pub(crate) is_open: bool,
    /// Whether a trace cannot be evaluated.
    pub(crate) is_refused: bool,
}

/// One side of an operator.
enum Side {
    Series(Vec<Series>),
    Number(Val),
}

impl Metrics<'_> {
    /// The series of an expression without what its own second stages do.
    pub(crate) fn before_second(&mut self, expr: &MetricsExpr) -> Vec<Series> {
        match expr {
            MetricsExpr::Query(query) => self.query(query),
            MetricsExpr::Number(_) => unreachable!("never a whole query"),
            MetricsExpr::Arithmetic(arithmetic) => {
                let MetricsArithmetic { op, lhs, rhs, .. } = &**arithmetic;
                match (self.side(lhs), self.side(rhs)) {
                    (Side::Series(one), Side::Series(other)) => {
                        both(*op, &one, &other, &name(expr))
                    }
                    (Side::Series(series), Side::Number(number)) => {
                        with_number(series, &name(expr), |sample| {
                            compute(*op, sample, float(&number))
                        })
                    }
                    (Side::Number(number), Side::Series(series)) => {
                        with_number(series, &name(expr), |sample| {
                            compute(*op, float(&number), sample)
                        })
                    }
                    (Side::Number(_), Side::Number(_)) => unreachable!("never a whole query"),
                }
            }
        }
    }

    fn side(&mut self, expr: &MetricsExpr) -> Side {
        let second = match expr {
            MetricsExpr::Number(number) => return Side::Number(Val::of_literal(number)),
            MetricsExpr::Query(query) => &query.second,
            MetricsExpr::Arithmetic(arithmetic) => {
                if let (MetricsExpr::Number(one), MetricsExpr::Number(other)) =
                    (&arithmetic.lhs, &arithmetic.rhs)
                {
                    let (one, other) = (Val::of_literal(one), Val::of_literal(other));
                    return Side::Number(binary(arithmetic.op, &one, &other));
                }
                &arithmetic.second
            }
        };
        let series = self.before_second(expr);
        Side::Series(evaluate_second::apply(second, series, &mut self.is_open))
    }

    fn query(&mut self, query: &MetricsTree) -> Vec<Series> {
        let MetricsTree { pipeline, first, .. } = query;
        let (spans, is_refused) = counted(self.traces, pipeline, self.rootless, &self.slots);
        self.is_refused |= is_refused;
        match first {
            MetricsFirst::Aggregate { op, argument, quantiles, by } => {
                let function = Function { op: *op, argument: argument.as_ref(), quantiles, by };
                function.series(&spans, &self.slots)
            }
            MetricsFirst::Compare { selection, top, start_unix_nano, end_unix_nano } => {
                let compare = Compare {
                    selection,
                    top: *top,
                    window: [*start_unix_nano, *end_unix_nano],
                    is_open: Cell::new(false),
                };
                let series = compare.series(&spans, &self.slots);
                self.is_open |= compare.is_open.get();
                series
            }
        }
    }
}

fn float(value: &Val) -> f64 {
    number(value).unwrap_or(f64::NAN)
}

/// Division by zero gives nothing, nor does what is beyond all numbers.
fn compute(op: BinaryOp, one: f64, other: f64) -> Option<f64> {
    let result = match op {
        BinaryOp::Add => one + other,
        BinaryOp::Sub => one - other,
        BinaryOp::Mul => one * other,
        _ if other == 0.0 => return None,
        _ => one / other,
    };
    result.is_finite().then_some(result)
}

/// How a result without labels is called.
fn name(expr: &MetricsExpr) -> String {
    match expr {
        MetricsExpr::Number(number) => number.to_string(),
        MetricsExpr::Query(query) => match &query.first {
            MetricsFirst::Aggregate { op, .. } => op.as_str().to_owned(),
            MetricsFirst::Compare { .. } => unreachable!("not computed with"),
        },
        MetricsExpr::Arithmetic(arithmetic) => {
            let MetricsArithmetic { op, lhs, rhs, .. } = &**arithmetic;
            format!("({} {} {})", name(lhs), op.symbol(), name(rhs))
        }
    }
}

/// The labels that count when series are paired.
fn paired_by(series: &Series) -> Vec<(String, Val)> {
    series.labels.iter().filter(|(key, _)| key != "__name__").cloned().collect()
}

fn named(labels: Vec<(String, Val)>, name: &str) -> Vec<(String, Val)> {
    if labels.is_empty() {
        return vec![("__name__".to_owned(), Val::Text(name.to_owned()))];
    }
    labels
}

fn with_number(
    series: Vec<Series>,
    name: &str,
    compute: impl Fn(f64) -> Option<f64>,
) -> Vec<Series> {
    let computed = series.into_iter().map(|series| {
        let samples = series.samples.iter();
        let samples =
            samples.filter_map(|(at, sample)| compute(*sample).map(|result| (*at, result)));
        Series {
            labels: named(paired_by(&series), name),
            samples: samples.collect(),
            seen: series.seen.clone(),
        }
    });
    computed.filter(|series| !series.samples.is_empty()).collect()
}

/// Pairs series of equal labels. A single one without any goes with each of the other side.
fn both(op: BinaryOp, lhs: &[Series], rhs: &[Series], name: &str) -> Vec<Series> {
    let is_single = |side: &[Series]| matches!(side, [one] if paired_by(one).is_empty());
    let mut all = Vec::new();
    for one in lhs {
        for other in rhs {
            let (one_labels, other_labels) = (paired_by(one), paired_by(other));
            let labels = if is_single(rhs) {
                one_labels
            } else if is_single(lhs) || told_labels(&one_labels) == told_labels(&other_labels) {
                other_labels
            } else {
                continue;
            };
            let samples: BTreeMap<u64, f64> = one
                .samples
                .iter()
                .filter_map(|(at, sample)| {
                    Some((*at, compute(op, *sample, *other.samples.get(at)?)?))
                })
                .collect();
            let seen: Vec<Seen> = [one.seen.clone(), other.seen.clone()].concat();
            if !samples.is_empty() {
                all.push(Series { labels: named(labels, name), samples, seen });
            }
        }
    }
    all
}
