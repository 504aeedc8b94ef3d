//! Metrics queries: spans counted and measured into series over time.
//!
//! A [`MetricsQuery`] observes batches of whole traces: of the spans that its pipeline leaves, those that start in a slot are grouped
//! by codes of dictionaries, resources and traces where it can, and added to the cells of their series ([`Partial`]). Partials merge in any order
//! to the same answer; [`MetricsQuery::finish`] makes the series and runs what follows the function.

mod cells;
mod compare;
mod exemplars;
mod finish;
mod groups;
mod picked;
mod quantile;
mod second;
mod slots;

use std::collections::BTreeSet;

use arrow::buffer::BooleanBuffer;
use traceql_grammar::Error;
use traceql_grammar::ast::{
    Attribute, Hint, Intrinsic, MetricsFirst, MetricsOp, Scope, SecondStage, Static,
};

use self::cells::{Buckets, Cells, Grid};
use self::compare::{Compared, Comparison};
use self::exemplars::Exemplars;
use self::groups::{Grouping, Groups};
use self::picked::{Number, Picked, numbers};
use super::{EvalError, Query, need, window};
use crate::columns::{Batch, Projection, SpanColumn};
use crate::scan::Need;
use crate::trace::{TraceId, Value};

pub use self::slots::Slots;

/// A metrics query, bound. Cheap to share, holds no data.
#[derive(Debug, Clone)]
pub struct MetricsQuery {
    query: Query,
    first: First,
    second: Vec<SecondStage>,
    projection: Projection,
    exemplars: Option<usize>,
}

#[derive(Debug, Clone)]
enum First {
    Aggregate(Aggregate),
    Compare(Comparison),
}

#[derive(Debug, Clone)]
struct Aggregate {
    op: MetricsOp,
    argument: Option<Attribute>,
    /// Durations are told in seconds: how many of what is measured are one of what is told.
    per_unit: f64,
    quantiles: Vec<f64>,
    grouping: Grouping,
}

/// What is asked of a batch besides the query.
pub struct MetricsAsk<'a> {
    /// Whether the spans of a trace count here.
    pub is_wanted: &'a (dyn Fn(TraceId) -> bool + Sync),
}

/// What some batches add to an answer.
pub struct Partial {
    slots: Slots,
    exemplars: usize,
    samples_max: usize,
    body: Body,
}

enum Body {
    Grouped(Box<Grouped>),
    Compared(Box<Compared>),
}

struct Grouped {
    groups: Groups,
    cells: Cells,
    exemplars: Exemplars,
}

/// A series of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub labels: Vec<(String, Value)>,
    /// Milliseconds and value, ascending; never NaN, never none.
    pub samples: Vec<(u64, f64)>,
    pub exemplars: Vec<Exemplar>,
}

/// A span that stands for a part of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    pub trace: TraceId,
    /// The span's start, Unix milliseconds.
    pub timestamp_ms: u64,
    pub value: f64,
}

/// Reads, checks and binds a metrics query; `None` if it is a query without a metrics stage.
///
/// # Errors
/// As [`super::compile`].
pub fn compile_metrics(text: &str) -> Result<Option<MetricsQuery>, Error> {
    let query = super::compile(text)?;
    let Some(metrics) = query.tree.metrics.clone() else { return Ok(None) };
    let mut projection = need::fields(&query.plan).with([SpanColumn::Start]);
    let first = match metrics.first {
        MetricsFirst::Aggregate { op, argument, quantiles, by } => {
            for field in argument.iter().chain(&by) {
                need::add_field(&mut projection, field);
            }
            First::Aggregate(Aggregate::new(op, argument, quantiles, &by))
        }
        MetricsFirst::Compare { selection, top, start_unix_nano, end_unix_nano } => {
            let bound = Comparison::bind(&selection, top, (start_unix_nano, end_unix_nano));
            let (comparison, fields) = bound.map_err(|error| error.with_text(text))?;
            for field in &fields {
                need::add_field(&mut projection, field);
            }
            Comparison::project(&mut projection);
            First::Compare(comparison)
        }
    };
    let exemplars = exemplars_hint(&query.tree.hints);
    Ok(Some(MetricsQuery { query, first, second: metrics.second, projection, exemplars }))
}

/// A count, or `false` for none; `true` changes nothing.
fn exemplars_hint(hints: &[Hint]) -> Option<usize> {
    hints.iter().filter(|hint| hint.name == "exemplars").find_map(|hint| match hint.value {
        Static::Int(count) => Some(usize::try_from(count).unwrap_or(0)),
        Static::Bool(false) => Some(0),
        _ => None,
    })
}

impl Aggregate {
    fn new(
        op: MetricsOp,
        argument: Option<Attribute>,
        mut quantiles: Vec<f64>,
        by: &[Attribute],
    ) -> Self {
        let is_duration = matches!(
            argument,
            Some(Attribute::Intrinsic(
                Intrinsic::Duration | Intrinsic::TraceDuration | Intrinsic::EventTimeSinceStart
            ))
        );
        let mut seen = BTreeSet::new();
        quantiles.retain(|quantile| seen.insert(quantile.to_bits()));
        let name = match op {
            MetricsOp::QuantileOverTime | MetricsOp::HistogramOverTime => None,
            _ => Some(op.as_str()),
        };
        let per_unit = if is_duration { 1e9 } else { 1.0 };
        Self { op, argument, per_unit, quantiles, grouping: Grouping::new(by, name) }
    }

    fn cells(&self, slots: usize) -> Cells {
        match self.op {
            MetricsOp::Rate | MetricsOp::CountOverTime => Cells::Counts(Grid::new(slots)),
            MetricsOp::MinOverTime => Cells::Least(Grid::new(slots)),
            MetricsOp::MaxOverTime => Cells::Most(Grid::new(slots)),
            MetricsOp::AvgOverTime | MetricsOp::SumOverTime => Cells::Sums(Grid::new(slots)),
            MetricsOp::QuantileOverTime | MetricsOp::HistogramOverTime => {
                Cells::Buckets(Buckets::new(slots))
            }
        }
    }

    /// The number of each picked span, if the function measures one. Only whole numbers from 2 on have a bucket.
    fn numbers(&self, rows: &super::rows::Rows<'_>, picked: &Picked) -> Option<Vec<Number>> {
        let mut numbers = numbers(rows, self.argument.as_ref()?, &picked.rows);
        if matches!(self.op, MetricsOp::QuantileOverTime | MetricsOp::HistogramOverTime) {
            let has_bucket = |number: &Number| matches!(number, Number::Int(2..));
            let others = numbers.iter_mut().filter(|number| !has_bucket(number));
            others.for_each(|number| *number = Number::None);
        }
        Some(numbers)
    }

    fn observe(
        &self,
        rows: &super::rows::Rows<'_>,
        picked: &Picked,
        into: &mut Grouped,
        samples_max: usize,
    ) -> Result<(), EvalError> {
        let Grouped { groups, cells, exemplars } = into;
        let series = self.grouping.series(rows, &picked.rows, groups);
        cells.grow(groups.len(), samples_max)?;
        let numbers = self.numbers(rows, picked);
        cells.add(&series, &picked.slots, numbers.as_deref().unwrap_or_default(), samples_max)?;
        // Of a histogram the bucket is found by what was measured.
        let per_unit = if self.op == MetricsOp::HistogramOverTime { 1.0 } else { self.per_unit };
        let measured = numbers.as_deref().map(|numbers| (numbers, per_unit));
        exemplars.add(rows, picked, (&series, groups.len()), measured);
        Ok(())
    }
}

impl MetricsQuery {
    /// The columns that [`MetricsQuery::observe`] reads.
    pub fn projection(&self) -> &Projection {
        &self.projection
    }

    /// What a trace must have to add anything.
    pub fn need(&self) -> Need {
        let measured = match &self.first {
            First::Aggregate(Aggregate { argument: Some(argument), .. }) => need::has(argument),
            First::Aggregate(_) | First::Compare(_) => Need::Anything,
        };
        need::all([self.query.need(), measured])
    }

    /// Whether no data can match: there is nothing to read.
    pub fn is_never(&self) -> bool {
        self.query.is_never()
    }

    /// Whether all attributes of the spans are counted, which [`MetricsQuery::observe_attributes`] does.
    pub fn counts_attributes(&self) -> bool {
        matches!(self.first, First::Compare(_))
    }

    /// How many exemplars the query itself asks for.
    pub fn exemplars(&self) -> Option<usize> {
        self.exemplars
    }

    /// An answer of nothing yet, with at most `exemplars` of them and `samples_max` samples in memory.
    pub fn partial(&self, slots: Slots, exemplars: usize, samples_max: usize) -> Partial {
        let body = match &self.first {
            First::Aggregate(aggregate) => Body::Grouped(Box::new(Grouped {
                groups: Groups::default(),
                cells: aggregate.cells(slots.count()),
                exemplars: Exemplars::new(exemplars, slots.count()),
            })),
            First::Compare(_) => Body::Compared(Box::default()),
        };
        Partial { slots, exemplars, samples_max, body }
    }

    /// Adds the spans of a batch, which must have the columns of [`MetricsQuery::projection`]. Tells whether there were any.
    ///
    /// # Errors
    /// [`EvalError`]; missing values and operands that do not fit are none.
    pub fn observe(
        &self,
        batch: &Batch,
        ask: &MetricsAsk<'_>,
        into: &mut Partial,
    ) -> Result<bool, EvalError> {
        let picked = self.pick(batch, ask, &into.slots)?;
        if picked.is_empty() {
            return Ok(false);
        }
        let rows = self.query.rows(batch);
        let max = into.samples_max;
        match (&self.first, &mut into.body) {
            (First::Aggregate(aggregate), Body::Grouped(grouped)) => {
                aggregate.observe(&rows, &picked, grouped, max)?;
            }
            (First::Compare(comparison), Body::Compared(compared)) => {
                compared.add_common(&comparison.split(&rows, &picked), max)?;
            }
            _ => unreachable!("a partial is made by its query"),
        }
        Ok(true)
    }

    /// Counts the values of some span attributes, which the batch must have besides the columns of [`MetricsQuery::projection`].
    ///
    /// # Errors
    /// As [`MetricsQuery::observe`].
    pub fn observe_attributes(
        &self,
        batch: &Batch,
        keys: &BTreeSet<String>,
        ask: &MetricsAsk<'_>,
        into: &mut Partial,
    ) -> Result<(), EvalError> {
        let picked = self.pick(batch, ask, &into.slots)?;
        let (First::Compare(comparison), Body::Compared(compared)) = (&self.first, &mut into.body)
        else {
            return Ok(());
        };
        let rows = self.query.rows(batch);
        let split = comparison.split(&rows, &picked);
        for key in keys.iter().filter(|key| batch.attributes.contains_key(*key)) {
            let field = Attribute::Named { scope: Scope::Span, name: key.clone() };
            compared.add_field(&split, &field, into.samples_max)?;
        }
        Ok(())
    }

    fn pick(
        &self,
        batch: &Batch,
        ask: &MetricsAsk<'_>,
        slots: &Slots,
    ) -> Result<Picked, EvalError> {
        let wanted: Vec<bool> = batch.traces.id.iter().map(|id| (ask.is_wanted)(*id)).collect();
        if !wanted.contains(&true) {
            return Ok(Picked::of(batch, &BooleanBuffer::new_unset(batch.rows()), slots));
        }
        let mut marked = self.query.matching_rows(batch)?;
        if wanted.contains(&false) {
            marked = &marked & &window::rows_of(batch, &wanted);
        }
        Ok(Picked::of(batch, &marked, slots))
    }

    /// The series of an answer: by the number of labels, then label by label.
    pub fn finish(&self, partial: Partial) -> Vec<Series> {
        let Partial { slots, exemplars, samples_max: _, body } = partial;
        let mut rows = match (&self.first, body) {
            (First::Aggregate(aggregate), Body::Grouped(grouped)) => {
                finish::rows(aggregate, &grouped, &slots)
            }
            (First::Compare(comparison), Body::Compared(compared)) => {
                comparison.finish(*compared, slots.count())
            }
            _ => unreachable!("a partial is made by its query"),
        };
        rows.sort_by(|one, other| second::order(&one.labels, &other.labels));
        rows.retain(|row| row.values.iter().any(|value| !value.is_nan()));
        let rows = self.second.iter().fold(rows, |rows, stage| second::run(stage, rows));
        finish::series(rows, &slots, exemplars)
    }
}

impl Partial {
    /// Adds another part of the same answer.
    ///
    /// # Errors
    /// If both together have too many samples.
    pub fn merge(&mut self, other: Self) -> Result<(), EvalError> {
        match (&mut self.body, other.body) {
            (Body::Grouped(mine), Body::Grouped(other)) => mine.merge(*other, self.samples_max),
            (Body::Compared(mine), Body::Compared(other)) => mine.merge(*other, self.samples_max),
            _ => unreachable!("parts of one answer are of one query"),
        }
    }
}

impl Grouped {
    fn merge(&mut self, other: Self, max: usize) -> Result<(), EvalError> {
        if self.groups.len() == 0 {
            *self = other;
            return Ok(());
        }
        let Self { groups, cells, exemplars } = other;
        let series: Vec<u32> =
            groups.into_labels().into_iter().map(|labels| self.groups.of(labels)).collect();
        self.cells.grow(self.groups.len(), max)?;
        self.cells.merge(&cells, &series, max)?;
        self.exemplars.merge(exemplars, &series, self.groups.len());
        Ok(())
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
