//! What is done with series once they are complete.

use std::cmp::Ordering;

use traceql_grammar::ast::{BinaryOp, SecondStage, Static};

use crate::evaluate_metrics::{Series, number};
use crate::evaluate_value::{Val, binary};

/// Second stages, one after the other.
pub(crate) fn apply(stages: &[SecondStage], mut series: Vec<Series>) -> Vec<Series> {
    for stage in stages {
        match stage {
            SecondStage::TopK(limit) => best(&mut series, *limit, true),
            SecondStage::BottomK(limit) => best(&mut series, *limit, false),
            SecondStage::Filter { op, value } => filter(&mut series, *op, value),
        }
        series.retain(|series| !series.samples.is_empty());
    }
    series
}

/// The samples for which the comparison holds; durations count in seconds.
fn filter(series: &mut [Series], op: BinaryOp, literal: &Static) {
    let bound = number(&Val::of_literal(literal)).unwrap();
    for series in series {
        series.samples.retain(|_, sample| {
            binary(op, &Val::Float(*sample), &Val::Float(bound)) == Val::Bool(true)
        });
    }
}

/// The largest, or the smallest, at each time.
fn best(series: &mut [Series], limit: i64, largest: bool) {
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
            let order = one.samples[&stamp].total_cmp(&other.samples[&stamp]);
            let ties = tie(one, other);
            if largest { order.reverse().then(ties) } else { order.then(ties.reverse()) }
        });
        for place in here.into_iter().skip(limit) {
            series[place].samples.remove(&stamp);
        }
    }
}

/// Label by label: the text, then the key, then the type, then the number, of which the larger goes first.
fn tie(one: &Series, other: &Series) -> Ordering {
    for ((one_key, one), (other_key, other)) in one.labels.iter().zip(&other.labels) {
        let order = text(one)
            .cmp(&text(other))
            .then(one_key.cmp(other_key))
            .then(one.type_rank().cmp(&other.type_rank()))
            .then(
                one.as_float().unwrap_or(0.0).total_cmp(&other.as_float().unwrap_or(0.0)).reverse(),
            );
        if order != Ordering::Equal {
            return order;
        }
    }
    one.labels.len().cmp(&other.labels.len())
}

fn text(value: &Val) -> String {
    match value {
        Val::Text(text) => text.clone(),
        Val::Duration(_) | Val::Status(_) | Val::Kind(_) => value.word(),
        _ => String::new(),
    }
}
