//! What is done with series once they are complete.

use std::cmp::Ordering;

use traceql_grammar::ast::{BinaryOp, SecondStage, Static};

use crate::evaluate_metrics::{Series, number, told_labels};
use crate::evaluate_value::{Val, binary};

/// Second stages, one after the other. Says if the rules do not decide.
pub(crate) fn apply(
    stages: &[SecondStage],
    mut series: Vec<Series>,
    is_open: &mut bool,
) -> Vec<Series> {
    for stage in stages {
        match stage {
            SecondStage::TopK(limit) => best(&mut series, *limit, true, is_open),
            SecondStage::BottomK(limit) => best(&mut series, *limit, false, is_open),
            SecondStage::Filter { op, value } => filter(&mut series, *op, value),
        }
        series.retain(|series| !series.samples.is_empty());
    }
    series
}

fn filter(series: &mut [Series], op: BinaryOp, literal: &Static) {
    for series in series {
        series.samples.retain(|_, sample| passes(*sample, op, literal));
    }
}

/// Whether the comparison holds; durations count in seconds.
pub(crate) fn passes(sample: f64, op: BinaryOp, literal: &Static) -> bool {
    let bound = number(&Val::of_literal(literal)).unwrap();
    binary(op, &Val::Float(sample), &Val::Float(bound)) == Val::Bool(true)
}

/// The largest, or the smallest, at each time.
fn best(series: &mut [Series], limit: i64, largest: bool, is_open: &mut bool) {
    let limit = usize::try_from(limit).unwrap();
    if series.len() <= limit {
        return;
    }
    let mut stamps: Vec<u64> = series.iter().flat_map(|one| one.samples.keys().copied()).collect();
    stamps.sort_unstable();
    stamps.dedup();
    for stamp in stamps {
        let mut here: Vec<usize> =
            (0..series.len()).filter(|place| series[*place].samples.contains_key(&stamp)).collect();
        here.sort_by(|one, other| {
            let (one, other) = (&series[*one], &series[*other]);
            let order = order(one.samples[&stamp], other.samples[&stamp]);
            let by_text = || told_labels(&one.labels).cmp(&told_labels(&other.labels));
            let ties = tie(one, other).unwrap_or_else(by_text);
            if largest { order.reverse().then(ties) } else { order.then(ties.reverse()) }
        });
        let (kept, left) = here.split_at(limit.min(here.len()));
        *is_open |= kept.iter().any(|kept| {
            left.iter().any(|left| {
                let (kept, left) = (&series[*kept], &series[*left]);
                order(kept.samples[&stamp], left.samples[&stamp]).is_eq()
                    && tie(kept, left).is_none()
            })
        });
        for place in here.into_iter().skip(limit) {
            series[place].samples.remove(&stamp);
        }
    }
}

/// Label by label: what goes first; none if arrays decide. The key counts after the text, as in Tempo, and large numbers go first.
fn tie(one: &Series, other: &Series) -> Option<Ordering> {
    for ((one_key, one), (other_key, other)) in one.labels.iter().zip(&other.labels) {
        let words = text(one).cmp(&text(other)).then(one_key.cmp(other_key));
        if words.is_ne() {
            return Some(words);
        }
        if one.told() == other.told() && one.type_rank() == other.type_rank() {
            continue;
        }
        if is_array(one) && is_array(other) {
            return None;
        }
        let types = one.type_rank().cmp(&other.type_rank());
        return Some(types.then(by_number(one, other).reverse()));
    }
    Some(one.labels.len().cmp(&other.labels.len()))
}

/// The text, which numbers do not have, then the type, then the number; none between arrays.
pub(crate) fn by_value(one: &Val, other: &Val) -> Option<Ordering> {
    if is_array(one) && is_array(other) {
        return None;
    }
    let types = text(one).cmp(&text(other)).then(one.type_rank().cmp(&other.type_rank()));
    Some(types.then(by_number(one, other)))
}

fn is_array(value: &Val) -> bool {
    matches!(value, Val::List(_) | Val::Other(_))
}

fn by_number(one: &Val, other: &Val) -> Ordering {
    match (one, other) {
        (Val::Int(one), Val::Int(other)) => one.cmp(other),
        (Val::Float(one), Val::Float(other)) => one.total_cmp(other),
        (Val::Bool(one), Val::Bool(other)) => one.cmp(other),
        _ => Ordering::Equal,
    }
}

fn text(value: &Val) -> String {
    match value {
        Val::Text(text) => text.clone(),
        Val::Duration(_) | Val::Status(_) | Val::Kind(_) => value.word(),
        _ => String::new(),
    }
}

/// There is one zero.
fn order(one: f64, other: f64) -> Ordering {
    (one + 0.0).total_cmp(&(other + 0.0))
}
