//! Metrics: series of what the pipeline leaves of all traces.

use std::collections::{BTreeMap, BTreeSet};

use traceql_grammar::ast::{Attribute, MetricsOp, Pipeline};

use crate::evaluate_search::{self, Search, group_key};
use crate::evaluate_trace::{Owner, Trace};
use crate::evaluate_value::Val;

const SECOND: f64 = 1e9;

/// Slots of time: each holds what starts after its left border and not after its right one, by which it is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    /// Left border of the first, Unix nanoseconds.
    start: u64,
    step: u64,
    count: u64,
}

impl Slots {
    /// On multiples of the step, with one more in front.
    pub(crate) fn of_range(start: u64, end: u64, step: u64) -> Self {
        let first = start / step * step - step;
        let last = end.div_ceil(step) * step;
        Self { start: first, step, count: (last - first) / step }
    }

    pub(crate) fn instant(start: u64, end: u64) -> Self {
        Self { start, step: end - start, count: 1 }
    }

    /// Unix milliseconds of the right border of the slot in which something starts.
    fn of(&self, start: u64) -> Option<u64> {
        let mut slots = (0..self.count).map(|slot| self.start + slot * self.step);
        let left = slots.find(|left| *left < start && start <= left + self.step)?;
        Some((left + self.step) / 1_000_000)
    }

    pub(crate) fn stamps(&self) -> impl Iterator<Item = u64> {
        (1..=self.count).map(|slot| (self.start + slot * self.step) / 1_000_000)
    }
}

/// A series by its labels. Samples by Unix milliseconds; never NaN.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) labels: Vec<(String, Val)>,
    pub(crate) samples: BTreeMap<u64, f64>,
    /// What it is made of: possible exemplars.
    pub(crate) seen: Vec<Seen>,
}

/// A span in a slot.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) trace: u128,
    /// Unix nanoseconds.
    pub(crate) start: u64,
    pub(crate) stamp: u64,
    pub(crate) value: Val,
}

/// A span that the pipeline leaves and that starts in a slot.
pub(crate) struct Counted<'a> {
    pub(crate) trace: &'a Trace,
    pub(crate) place: usize,
    pub(crate) stamp: u64,
}

/// The spans that are counted, of all traces, and whether a trace cannot be evaluated.
pub(crate) fn counted<'a>(
    traces: &'a [Trace],
    pipeline: &Pipeline,
    rootless: bool,
    slots: &Slots,
) -> (Vec<Counted<'a>>, bool) {
    let (mut all, mut is_refused) = (Vec::new(), false);
    for trace in traces {
        let Ok(spansets) = (Search { trace, rootless }).run(pipeline) else {
            is_refused = true;
            continue;
        };
        for place in spansets.into_iter().flat_map(|spanset| spanset.spans) {
            if let Some(stamp) = slots.of(trace.spans[place].start) {
                all.push(Counted { trace, place, stamp });
            }
        }
    }
    (all, is_refused)
}

impl Counted<'_> {
    fn value(&self, what: &Attribute) -> Val {
        self.trace.value(self.place, what, Owner::default())
    }

    pub(crate) fn start(&self) -> u64 {
        self.trace.spans[self.place].start
    }
}

/// Every function but `compare()`.
pub(crate) struct Function<'a> {
    pub(crate) op: MetricsOp,
    pub(crate) argument: Option<&'a Attribute>,
    pub(crate) quantiles: &'a [f64],
    pub(crate) by: &'a [Attribute],
}

impl Function<'_> {
    pub(crate) fn series(&self, spans: &[Counted<'_>], slots: &Slots) -> Vec<Series> {
        let mut groups: Vec<Series> = Vec::new();
        let counts = [MetricsOp::Rate, MetricsOp::CountOverTime, MetricsOp::CountDistinctOverTime];
        if self.by.is_empty() && counts.contains(&self.op) {
            // Nothing at all is a series of zeros.
            groups.push(empty_series(vec![self.name()]));
        }
        for span in spans {
            let value = self.argument.map_or(Val::Bool(true), |argument| span.value(argument));
            let mut labels = self.labels(span);
            match self.op {
                MetricsOp::CountDistinctOverTime if value == Val::Nil => continue,
                MetricsOp::Rate | MetricsOp::CountOverTime | MetricsOp::CountDistinctOverTime => {}
                MetricsOp::HistogramOverTime | MetricsOp::QuantileOverTime => {
                    let Some(bucket) = bucket(&value) else { continue };
                    if self.op == MetricsOp::HistogramOverTime {
                        labels.push(("__bucket".to_owned(), Val::Float(bucket)));
                    }
                }
                _ if number(&value).is_none() => continue,
                _ => {}
            }
            let seen = Seen {
                trace: span.trace.id,
                start: span.start(),
                stamp: span.stamp,
                value: value.clone(),
            };
            let told = told_labels(&labels);
            match groups.iter_mut().find(|group| told_labels(&group.labels) == told) {
                Some(group) => group.seen.push(seen),
                None => groups.push(Series { seen: vec![seen], ..empty_series(labels) }),
            }
        }
        groups.into_iter().flat_map(|group| self.measured(&group, slots)).collect()
    }

    fn name(&self) -> (String, Val) {
        ("__name__".to_owned(), Val::Text(self.op.as_str().to_owned()))
    }

    /// What is missing is left out; if all is, the first stays, unless the function has a label of its own.
    fn labels(&self, span: &Counted<'_>) -> Vec<(String, Val)> {
        let has_own = matches!(self.op, MetricsOp::HistogramOverTime | MetricsOp::QuantileOverTime);
        if self.by.is_empty() {
            return if has_own { Vec::new() } else { vec![self.name()] };
        }
        let mut labels = Vec::new();
        for by in self.by {
            let value = span.value(by);
            if value != Val::Nil {
                labels.push((by.to_string(), value));
            }
        }
        if labels.is_empty() && !has_own {
            labels.push((self.by[0].to_string(), Val::Text("nil".to_owned())));
        }
        labels
    }

    /// The samples of a group.
    fn measured(&self, group: &Series, slots: &Slots) -> Vec<Series> {
        let mut quantiles: Vec<Option<f64>> = vec![None];
        if self.op == MetricsOp::QuantileOverTime {
            quantiles = self.quantiles.iter().copied().map(Some).collect();
            // One that is asked twice is the same series.
            quantiles.sort_by(|one, other| one.partial_cmp(other).unwrap());
            quantiles.dedup();
        }
        let with = |quantile: Option<f64>| {
            let mut series = group.clone();
            if let Some(quantile) = quantile {
                series.labels.push(("p".to_owned(), Val::Float(quantile)));
            }
            for stamp in slots.stamps() {
                let here = group.seen.iter().filter(|seen| seen.stamp == stamp);
                let values: Vec<&Val> = here.map(|seen| &seen.value).collect();
                if let Some(sample) = self.sample(&values, quantile, slots)
                    && !sample.is_nan()
                {
                    series.samples.insert(stamp, sample);
                }
            }
            series
        };
        let series = quantiles.into_iter().map(with);
        series.filter(|series| !series.samples.is_empty()).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "a handful of spans")]
    fn sample(&self, values: &[&Val], quantile: Option<f64>, slots: &Slots) -> Option<f64> {
        let numbers = || values.iter().filter_map(|value| number(value));
        let count = values.len() as f64;
        match self.op {
            MetricsOp::Rate => Some(count / (slots.step as f64 / SECOND)),
            MetricsOp::CountOverTime | MetricsOp::HistogramOverTime => Some(count),
            MetricsOp::CountDistinctOverTime => {
                let keys: BTreeSet<String> = values.iter().map(|value| group_key(value)).collect();
                Some(keys.len() as f64)
            }
            MetricsOp::MinOverTime => numbers().reduce(f64::min),
            MetricsOp::MaxOverTime => numbers().reduce(f64::max),
            MetricsOp::SumOverTime => sum(values),
            // Seconds come last: else three times 1.501 s would be on average more than 1.501 s.
            MetricsOp::AvgOverTime if values.iter().all(|v| matches!(v, Val::Duration(_))) => {
                let all: Vec<Val> = values.iter().map(|value| (*value).clone()).collect();
                (!all.is_empty()).then(|| evaluate_search::sum_of(&all) / count / SECOND)
            }
            MetricsOp::AvgOverTime => sum(values).map(|sum| sum / count),
            MetricsOp::QuantileOverTime => {
                let mut buckets: Vec<f64> =
                    values.iter().filter_map(|value| bucket(value)).collect();
                buckets.sort_by(f64::total_cmp);
                Some(of_buckets(&buckets, quantile.unwrap()))
            }
        }
    }
}

fn empty_series(labels: Vec<(String, Val)>) -> Series {
    Series { labels, samples: BTreeMap::new(), seen: Vec::new() }
}

/// Ints and durations are added exactly, and apart from floats.
fn sum(values: &[&Val]) -> Option<f64> {
    let of = |values: Vec<Val>| {
        let float = evaluate_search::sum_of(&values);
        if matches!(values.first(), Some(Val::Duration(_))) { float / SECOND } else { float }
    };
    let (durations, others): (Vec<Val>, Vec<Val>) = values
        .iter()
        .map(|value| (*value).clone())
        .partition(|value| matches!(value, Val::Duration(_)));
    (!values.is_empty()).then(|| of(durations) + of(others))
}

/// Durations in seconds. NaN is no number.
pub(crate) fn number(value: &Val) -> Option<f64> {
    let number = value.as_float()?;
    let number = if matches!(value, Val::Duration(_)) { number / SECOND } else { number };
    (!number.is_nan()).then_some(number)
}

/// The smallest power of two that is not below an int or a duration, of which there must be two at least.
fn bucket(value: &Val) -> Option<f64> {
    let (number, unit) = match value {
        Val::Int(number) => (*number, 1.0),
        Val::Duration(nanos) => (*nanos, SECOND),
        _ => return None,
    };
    let mut bound: u64 = 2;
    while bound < u64::try_from(number).ok()? {
        bound *= 2;
    }
    #[expect(clippy::cast_precision_loss, reason = "a power of two")]
    (number >= 2).then_some(bound as f64 / unit)
}

/// The quantile of values of which only the buckets are known, ascending: between the bounds of the bucket in which it lies,
/// by the logarithm. The bucket before is the one before that has values.
#[expect(clippy::cast_precision_loss, reason = "a handful of spans")]
#[expect(clippy::float_cmp, reason = "whole numbers and powers of two")]
fn of_buckets(values: &[f64], quantile: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let wanted = (quantile * values.len() as f64).ceil().max(1.0);
    let mut bounds = values.to_vec();
    bounds.dedup();
    let mut below = 0.0;
    for (place, bound) in bounds.iter().enumerate() {
        let here = values.iter().filter(|value| *value == bound).count() as f64;
        if below + here == wanted {
            return *bound;
        }
        if below + here > wanted {
            let high = bound.log2();
            let low = if place > 0 { bounds[place - 1].log2() } else { high - 1.0 };
            return 2.0_f64.powf(low + (high - low) * (wanted - below) / here);
        }
        below += here;
    }
    unreachable!("no quantile is above 1")
}

/// What tells series apart.
pub(crate) fn told_labels(labels: &[(String, Val)]) -> String {
    let told = |(key, value): &(String, Val)| format!("{key}= {}", value.told());
    labels.iter().map(told).collect::<Vec<_>>().join(" ")
}
