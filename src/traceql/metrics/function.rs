//! One metrics function over one pipeline: what it counts of a batch, and the series it makes.

use std::collections::{BTreeMap, BTreeSet};

use arrow::buffer::BooleanBuffer;
use traceql_grammar::Error;
use traceql_grammar::ast::{self, Attribute, Hint, Intrinsic, MetricsFirst, MetricsOp};

use super::super::rows::{Place, Rows};
use super::super::{EvalError, Query, need, window};
use super::cells::{Buckets, Cells, Distinct, Grid};
use super::compare::{Compared, ComparedSpans, Comparison};
use super::exemplars::Exemplars;
use super::groups::{Grouping, Groups};
use super::numbers::{Number, numbers};
use super::picked::{Coded, Picked};
use super::second::{self, Row};
use super::slots::Slots;
use super::{MetricsAsk, Observed, finish};
use crate::columns::{AttributeValues, Batch, Projection, SpanColumn};
use crate::scan::Need;

/// A pipeline with the function behind it.
#[derive(Debug, Clone)]
pub(super) struct Function {
    query: Query,
    first: First,
    projection: Projection,
}

#[derive(Debug, Clone)]
enum First {
    Aggregate(Aggregate),
    Compare(Comparison),
}

#[derive(Debug, Clone)]
pub(super) struct Aggregate {
    pub(super) op: MetricsOp,
    pub(super) argument: Option<Attribute>,
    /// Durations are told in seconds: how many of what is measured are one of what is told.
    pub(super) per_unit: f64,
    pub(super) quantiles: Vec<f64>,
    pub(super) grouping: Grouping,
}

/// What a function knows of some batches.
pub(super) enum Body {
    Grouped(Box<Grouped>),
    Compared(Box<Compared>),
}

pub(super) struct Grouped {
    pub(super) groups: Groups,
    pub(super) cells: Cells,
    pub(super) exemplars: Exemplars,
}

impl Body {
    /// Samples that it holds.
    pub(super) fn samples(&self, slots: &Slots) -> usize {
        match self {
            Self::Grouped(grouped) => grouped.groups.len().saturating_mul(slots.count()),
            Self::Compared(_) => usize::MAX,
        }
    }

    /// The same without exemplars; `None` of a comparison.
    pub(super) fn copy(&self, slots: &Slots) -> Option<Self> {
        let Self::Grouped(grouped) = self else { return None };
        Some(Self::Grouped(Box::new(Grouped {
            groups: grouped.groups.clone(),
            cells: grouped.cells.clone(),
            exemplars: Exemplars::new(0, slots.count()),
        })))
    }
}

impl Function {
    pub(super) fn bind(metrics: &ast::Metrics, hints: &[Hint]) -> Result<Self, Error> {
        let query = Query::bind(&metrics.pipeline, None, hints)?;
        let mut projection = need::untold_fields(&query.plan).with([SpanColumn::Start]);
        let first = match metrics.first.clone() {
            MetricsFirst::Aggregate { op, argument, quantiles, by } => {
                for field in argument.iter().chain(&by) {
                    need::add_field(&mut projection, field);
                }
                First::Aggregate(Aggregate::new(op, argument, quantiles, &by))
            }
            MetricsFirst::Compare { selection, top, start_unix_nano, end_unix_nano } => {
                let bound = Comparison::bind(&selection, top, (start_unix_nano, end_unix_nano));
                let (comparison, fields) = bound?;
                for field in &fields {
                    need::add_field(&mut projection, field);
                }
                Comparison::project(&mut projection);
                First::Compare(comparison)
            }
        };
        Ok(Self { query, first, projection })
    }

    pub(super) fn projection(&self) -> &Projection {
        &self.projection
    }

    pub(super) fn need(&self) -> Need {
        let measured = match &self.first {
            First::Aggregate(Aggregate { argument: Some(argument), .. }) => need::has(argument),
            First::Aggregate(_) | First::Compare(_) => Need::Anything,
        };
        need::all([self.query.need(), measured])
    }

    pub(super) fn is_never(&self) -> bool {
        self.query.is_never()
    }

    pub(super) fn is_compare(&self) -> bool {
        matches!(self.first, First::Compare(_))
    }

    pub(super) fn body(&self, slots: &Slots, exemplars: usize) -> Body {
        match &self.first {
            First::Aggregate(aggregate) => Body::Grouped(Box::new(Grouped {
                groups: Groups::default(),
                cells: aggregate.cells(slots.count()),
                exemplars: Exemplars::new(exemplars, slots.count()),
            })),
            First::Compare(_) => Body::Compared(Box::default()),
        }
    }

    /// Adds the spans of a batch.
    pub(super) fn observe(
        &self,
        batch: &Batch,
        ask: &MetricsAsk<'_>,
        slots: &Slots,
        into: &mut Body,
        samples_max: usize,
    ) -> Result<Observed, EvalError> {
        let picked = self.pick(batch, ask, slots)?;
        if picked.is_empty() {
            return Ok(Observed::Nothing);
        }
        let rows = self.query.rows(batch);
        match (&self.first, into) {
            (First::Aggregate(aggregate), Body::Grouped(grouped)) => {
                aggregate.observe(&rows, picked, grouped, samples_max)?;
                Ok(Observed::Counted)
            }
            (First::Compare(comparison), Body::Compared(compared)) => {
                let spans = comparison.split(&rows, picked);
                compared.add_common(&rows, &spans, samples_max)?;
                Ok(Observed::Compared(spans))
            }
            _ => unreachable!("a body is made by its function"),
        }
    }

    /// The spans that count.
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

    /// The series, in order, without those that have no sample.
    pub(super) fn rows(&self, body: Body, slots: &Slots) -> Vec<Row> {
        let rows = match (&self.first, body) {
            (First::Aggregate(aggregate), Body::Grouped(grouped)) => {
                finish::rows(aggregate, *grouped, slots)
            }
            (First::Compare(comparison), Body::Compared(compared)) => {
                comparison.finish(&compared, slots.count())
            }
            _ => unreachable!("a body is made by its function"),
        };
        second::sorted(rows)
    }
}

impl Body {
    /// Counts the values of some span attributes, if that is what the function does.
    pub(super) fn observe_attributes(
        &mut self,
        attributes: &BTreeMap<String, AttributeValues>,
        spans: &ComparedSpans,
        samples_max: usize,
    ) -> Result<(), EvalError> {
        let Self::Compared(compared) = self else { return Ok(()) };
        for (key, values) in attributes {
            compared.add_attribute((key, values), spans, samples_max)?;
        }
        Ok(())
    }

    /// Adds another part of the same answer.
    pub(super) fn merge(&mut self, other: Self, samples_max: usize) -> Result<(), EvalError> {
        match (self, other) {
            (Self::Grouped(mine), Self::Grouped(other)) => mine.merge(*other, samples_max),
            (Self::Compared(mine), Self::Compared(other)) => mine.merge(*other, samples_max),
            _ => unreachable!("parts of one answer are of one query"),
        }
    }
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
            MetricsOp::CountDistinctOverTime => Cells::Distinct(Distinct::new(slots)),
        }
    }

    /// The number of each picked span, if the function measures one. Only whole numbers from 2 on have a bucket.
    fn numbers(&self, rows: &Rows<'_>, picked: &Picked) -> Option<Vec<Number>> {
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
        rows: &Rows<'_>,
        mut picked: Picked,
        into: &mut Grouped,
        samples_max: usize,
    ) -> Result<(), EvalError> {
        let Grouped { groups, cells, exemplars } = into;
        if let (Cells::Distinct(distinct), Some(argument)) = (&mut *cells, &self.argument) {
            picked.retain(|row| !rows.value(argument, Place::span(row as usize)).is_nil());
            let series = self.grouping.series(rows, &picked.rows, groups);
            let values = Coded::of(rows, argument, &picked.rows);
            distinct.add(&series, &picked.slots, &values, samples_max)?;
            exemplars.add(rows, &picked, (&series, groups.len()), None);
            return Ok(());
        }
        let series = self.grouping.series(rows, &picked.rows, groups);
        cells.grow(groups.len(), samples_max)?;
        let numbers = self.numbers(rows, &picked);
        cells.add(&series, &picked.slots, numbers.as_deref().unwrap_or_default(), samples_max)?;
        // Of a histogram the bucket is found by what was measured.
        let per_unit = if self.op == MetricsOp::HistogramOverTime { 1.0 } else { self.per_unit };
        let measured = numbers.as_deref().map(|numbers| (numbers, per_unit));
        exemplars.add(rows, &picked, (&series, groups.len()), measured);
        Ok(())
    }
}

impl Grouped {
    fn merge(&mut self, other: Self, max: usize) -> Result<(), EvalError> {
        if self.groups.len() == 0 {
            *self = other;
            return Ok(());
        }
        let Self { groups, cells, exemplars } = other;
        let series = self.groups.adopt(groups);
        self.cells.grow(self.groups.len(), max)?;
        self.cells.merge(&cells, &series, max)?;
        self.exemplars.merge(exemplars, &series, self.groups.len());
        Ok(())
    }
}
