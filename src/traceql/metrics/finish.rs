//! From counted cells to the series of an answer.

use traceql_grammar::ast::MetricsOp;

use super::cells::{Buckets, Cells, Grid};
use super::exemplars::{Candidate, Exemplars, is_kept};
use super::function::{Aggregate, Grouped};
use super::groups::Labels;
use super::quantile::{bucket, bucket_max, quantile};
use super::second::Row;
use super::slots::Slots;
use super::{Exemplar, Series};
use crate::trace::Value;

/// The labels of the series, and their exemplars.
type Of<'a> = (Vec<Labels>, &'a Exemplars);

/// The series of a function, unsorted.
pub(super) fn rows(aggregate: &Aggregate, grouped: Grouped, slots: &Slots) -> Vec<Row> {
    let per_unit = aggregate.per_unit;
    let Grouped { groups, cells, exemplars } = grouped;
    let of = (groups.into_labels(), &exemplars);
    match &cells {
        Cells::Counts(counts) => {
            let per = if aggregate.op == MetricsOp::Rate { slots.step_seconds() } else { 1.0 };
            zero(aggregate, &of.0, slots)
                .unwrap_or_else(|| plain(of, counts, |count| float(*count) / per))
        }
        Cells::Least(values) | Cells::Most(values) => plain(of, values, |value| value / per_unit),
        Cells::Sums(sums) if aggregate.op == MetricsOp::AvgOverTime => {
            plain(of, sums, |sum| sum.mean() / per_unit)
        }
        Cells::Sums(sums) => plain(of, sums, |sum| sum.total() / per_unit),
        Cells::Buckets(buckets) if aggregate.op == MetricsOp::QuantileOverTime => {
            quantiles(aggregate, of, buckets, slots)
        }
        Cells::Buckets(buckets) => histogram(aggregate, of, buckets),
        Cells::Distinct(distinct) => zero(aggregate, &of.0, slots).unwrap_or_else(|| {
            let counts = distinct.counts(of.0.len());
            plain(of, &counts, |count| float(*count))
        }),
    }
}

/// No span, and no grouping: that is a count of zero.
fn zero(aggregate: &Aggregate, series: &[Labels], slots: &Slots) -> Option<Vec<Row>> {
    (series.is_empty() && aggregate.grouping.is_none()).then(|| {
        let labels = aggregate.grouping.ungrouped();
        vec![Row { labels, values: vec![0.0; slots.count()], exemplars: Vec::new() }]
    })
}

fn float(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of spans are below 2^53")]
    let count = count as f64;
    count
}

/// One series for each group.
fn plain<T: Copy>(
    (labels, exemplars): Of<'_>,
    cells: &Grid<T>,
    value: impl Fn(&T) -> f64,
) -> Vec<Row> {
    let row = |(series, labels): (usize, Labels)| Row {
        labels,
        values: cells.row(series).iter().map(&value).collect(),
        exemplars: exemplars.of_series(series),
    };
    labels.into_iter().enumerate().map(row).map(settled).collect()
}

/// Exemplars of what is counted have the value of their sample; those without a sample go.
fn settled(mut row: Row) -> Row {
    for exemplar in &mut row.exemplars {
        let sample = row.values[exemplar.slot as usize];
        if exemplar.value.is_nan() || sample.is_nan() {
            exemplar.value = sample;
        }
    }
    row.exemplars.retain(|exemplar| !exemplar.value.is_nan());
    row
}

fn labelled(labels: &Labels, name: &str, value: f64) -> Labels {
    let last = (name.to_owned(), Value::Double(value));
    labels.iter().cloned().chain([last]).collect()
}

/// One series for each group and bucket.
fn histogram(aggregate: &Aggregate, (labels, exemplars): Of<'_>, buckets: &Buckets) -> Vec<Row> {
    let mut rows = Vec::new();
    for (series, labels) in labels.iter().enumerate() {
        let candidates = exemplars.of_series(series);
        for (of, counts) in buckets.of_series(series) {
            let is_of = |candidate: &&Candidate| bucket(whole(candidate.value)) == Some(of);
            let counted = |candidate: &Candidate| Candidate { value: f64::NAN, ..*candidate };
            rows.push(settled(Row {
                labels: labelled(labels, "__bucket", bucket_max(of, aggregate.per_unit)),
                values: counts.iter().map(|count| float(*count)).collect(),
                exemplars: candidates.iter().filter(is_of).map(counted).collect(),
            }));
        }
    }
    rows
}

/// A whole number that was measured.
fn whole(value: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "it came from an i64")]
    let value = value as i64;
    value
}

/// One series for each group and quantile.
fn quantiles(
    aggregate: &Aggregate,
    (labels, exemplars): Of<'_>,
    buckets: &Buckets,
    slots: &Slots,
) -> Vec<Row> {
    let max = |of: usize| bucket_max(of, aggregate.per_unit);
    let overall = overall(aggregate, labels.len(), buckets);
    let mut rows = Vec::new();
    for (series, labels) in labels.iter().enumerate() {
        let counted: Vec<(usize, &[u64])> = buckets.of_series(series).collect();
        if counted.is_empty() {
            continue;
        }
        let candidates = exemplars.of_series(series);
        for (index, wanted) in aggregate.quantiles.iter().enumerate() {
            let at = |slot: usize| {
                let of: Vec<(f64, u64)> =
                    counted.iter().map(|(of, counts)| (max(*of), counts[slot])).collect();
                quantile(*wanted, &of)
            };
            let is_nearest = |candidate: &&Candidate| nearest(candidate.value, &overall) == index;
            rows.push(settled(Row {
                labels: labelled(labels, "p", *wanted),
                values: (0..slots.count()).map(at).collect(),
                exemplars: candidates.iter().filter(is_nearest).copied().collect(),
            }));
        }
    }
    rows
}

/// Each quantile over all groups and slots.
fn overall(aggregate: &Aggregate, series_count: usize, buckets: &Buckets) -> Vec<f64> {
    let mut totals = std::collections::BTreeMap::<usize, u64>::new();
    for series in 0..series_count {
        for (of, counts) in buckets.of_series(series) {
            *totals.entry(of).or_default() += counts.iter().sum::<u64>();
        }
    }
    let all: Vec<(f64, u64)> =
        totals.into_iter().map(|(of, count)| (bucket_max(of, aggregate.per_unit), count)).collect();
    aggregate.quantiles.iter().map(|wanted| quantile(*wanted, &all)).collect()
}

fn nearest(value: f64, quantiles: &[f64]) -> usize {
    let distance = |index: &usize| (quantiles[*index] - value).abs();
    let by_distance = |one: &usize, other: &usize| distance(one).total_cmp(&distance(other));
    (0..quantiles.len()).min_by(by_distance).unwrap_or(0)
}

/// The answer: samples that are there, at most so many exemplars in all.
pub(super) fn series(rows: Vec<Row>, slots: &Slots, exemplars_max: usize) -> Vec<Series> {
    let exemplars: usize = rows.iter().map(|row| row.exemplars.len()).sum();
    let mut index = 0;
    let mut is_told = |_: &Candidate| {
        index += 1;
        is_kept(index - 1, exemplars, exemplars_max)
    };
    rows.into_iter()
        .map(|row| {
            let Row { labels, values, exemplars } = row;
            let samples = values.into_iter().enumerate().filter(|(_, value)| !value.is_nan());
            let exemplar = |one: Candidate| Exemplar {
                trace: one.trace,
                timestamp_ms: one.start / 1_000_000,
                value: one.value,
            };
            Series {
                labels,
                samples: samples.map(|(slot, value)| (slots.timestamp_ms(slot), value)).collect(),
                exemplars: exemplars.into_iter().filter(|one| is_told(one)).map(exemplar).collect(),
            }
        })
        .collect()
}
