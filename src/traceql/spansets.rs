//! The spanset pipeline of one trace.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;

use arrow::buffer::BooleanBuffer;
use traceql_grammar::ast::Form;

use super::EvalError;
use super::plan::{Expr, Owner, Plan, ScalarFilter, Spansets, Stage};
use super::rows::{Place, Rows};
use super::structural;
use super::value::{Val, compare};
use crate::trace::Value;

/// Some spans of one trace, and what stages have said of them.
#[derive(Debug, Clone)]
pub(super) struct Spanset {
    pub(super) members: Members,
    pub(super) attributes: Vec<(String, Value)>,
}

/// Rows, ascending and distinct.
#[derive(Debug, Clone)]
pub(super) enum Members {
    /// All spans of the trace, so that most traces never need a list.
    Run(Range<usize>),
    List(Vec<u32>),
}

impl Members {
    pub(super) fn into_rows(self) -> Vec<u32> {
        match self {
            Self::Run(run) => run
                .map(|row| u32::try_from(row).expect("a batch holds less than 4 Gi spans"))
                .collect(),
            Self::List(rows) => rows,
        }
    }
}

/// The evaluation of a plan over one batch. Masks are made when a stage first needs them.
pub(super) struct Run<'a> {
    pub(super) rows: &'a Rows<'a>,
    plan: &'a Plan,
    masks: Vec<OnceCell<BooleanBuffer>>,
    /// The rows of the traces that may still be answered; `None` for all.
    within: Option<BooleanBuffer>,
}

impl<'a> Run<'a> {
    pub(super) fn new(rows: &'a Rows<'a>, plan: &'a Plan, within: Option<BooleanBuffer>) -> Self {
        let masks = plan.filters.iter().map(|_| OnceCell::new()).collect();
        Self { rows, plan, masks, within }
    }

    fn mask(&self, filter: usize) -> &BooleanBuffer {
        self.masks[filter].get_or_init(|| {
            self.rows.truth(&self.plan.filters[filter], Owner::Span, self.within.as_ref())
        })
    }

    /// The spansets of one trace that are left after the last stage.
    pub(super) fn trace(&self, trace: usize) -> Result<Vec<Spanset>, EvalError> {
        let members = Members::Run(self.rows.batch.traces.rows(trace));
        self.pipeline(&self.plan.stages, vec![Spanset { members, attributes: Vec::new() }])
    }

    /// Traces that may have a spanset left after the first stage.
    pub(super) fn candidates(&self) -> Vec<bool> {
        self.may_begin(&self.plan.stages)
    }

    fn may_begin(&self, stages: &'a [Stage]) -> Vec<bool> {
        match stages.first() {
            Some(Stage::Spansets(expr)) => self.may_have(expr),
            _ => vec![true; self.rows.batch.traces.len()],
        }
    }

    fn may_have(&self, expr: &'a Spansets) -> Vec<bool> {
        match expr {
            Spansets::Filter(filter) => self.traces_with_any(self.mask(*filter)),
            Spansets::Pipeline(stages) => self.may_begin(stages),
            Spansets::Structural { form: Form::Negated, rhs: kept, .. }
            | Spansets::Without(kept, _) => self.may_have(kept),
            Spansets::Both(lhs, rhs) | Spansets::Structural { lhs, rhs, .. } => {
                zip(self.may_have(lhs), &self.may_have(rhs), |one, other| one && other)
            }
            Spansets::Either(lhs, rhs) => {
                zip(self.may_have(lhs), &self.may_have(rhs), |one, other| one || other)
            }
        }
    }

    fn traces_with_any(&self, mask: &BooleanBuffer) -> Vec<bool> {
        let traces = &self.rows.batch.traces;
        let mut found = vec![false; traces.len()];
        let mut trace = 0;
        for (start, end) in mask.set_slices() {
            while trace < traces.len() && traces.rows(trace).end <= start {
                trace += 1;
            }
            while trace < traces.len() && traces.rows(trace).start < end {
                found[trace] = true;
                trace += 1;
            }
        }
        found
    }

    fn pipeline(
        &self,
        stages: &'a [Stage],
        input: Vec<Spanset>,
    ) -> Result<Vec<Spanset>, EvalError> {
        let mut spansets = input;
        for stage in stages {
            if spansets.is_empty() {
                break;
            }
            spansets = self.stage(stage, spansets)?;
        }
        Ok(spansets)
    }

    fn stage(&self, stage: &'a Stage, input: Vec<Spanset>) -> Result<Vec<Spanset>, EvalError> {
        let mut output = Vec::new();
        match stage {
            Stage::Spansets(expr) => {
                for spanset in &input {
                    output.extend(self.spansets(expr, spanset)?);
                }
            }
            Stage::Scalar(filter) => {
                output.extend(input.into_iter().filter_map(|spanset| self.scalar(filter, spanset)));
            }
            Stage::GroupBy { expr, label } => {
                for spanset in input {
                    output.extend(self.group(expr, label, spanset));
                }
            }
            Stage::Traces => {
                let batch = self.rows.batch;
                let first = rows_of(input).into_iter().min_by_key(|row| {
                    let at = *row as usize;
                    (batch.start[at], batch.span_id[at], batch.kind[at], *row)
                });
                let members = Members::List(first.into_iter().collect());
                output.push(Spanset { members, attributes: Vec::new() });
            }
            Stage::Coalesce => {
                let members = Members::List(rows_of(input));
                output.push(Spanset { members, attributes: Vec::new() });
            }
        }
        Ok(output)
    }

    /// None or one spanset, but for a pipeline that groups.
    fn spansets(&self, expr: &'a Spansets, input: &Spanset) -> Result<Vec<Spanset>, EvalError> {
        let rows = match expr {
            Spansets::Filter(filter) => self.filter(*filter, &input.members),
            Spansets::Pipeline(stages) => return self.pipeline(stages, vec![input.clone()]),
            Spansets::Both(lhs, rhs) => {
                let lhs = rows_of(self.spansets(lhs, input)?);
                let rhs =
                    if lhs.is_empty() { lhs.clone() } else { rows_of(self.spansets(rhs, input)?) };
                if rhs.is_empty() { rhs } else { structural::merged(&lhs, &rhs) }
            }
            Spansets::Either(lhs, rhs) => {
                let lhs = rows_of(self.spansets(lhs, input)?);
                structural::merged(&lhs, &rows_of(self.spansets(rhs, input)?))
            }
            Spansets::Without(lhs, rhs) => {
                let lhs = rows_of(self.spansets(lhs, input)?);
                let is_kept = !lhs.is_empty() && self.spansets(rhs, input)?.is_empty();
                if is_kept { lhs } else { Vec::new() }
            }
            Spansets::Structural { relation, form, lhs, rhs } => {
                let (lhs, rhs) = (self.spansets(lhs, input)?, self.spansets(rhs, input)?);
                if lhs.len() > 1 || rhs.len() > 1 {
                    return Err(EvalError::SeveralSpansets);
                }
                let tree = self.rows.tree();
                structural::apply(tree, *relation, *form, &rows_of(lhs), &rows_of(rhs))
            }
        };
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let attributes = input.attributes.clone();
        Ok(vec![Spanset { members: Members::List(rows), attributes }])
    }

    fn filter(&self, filter: usize, members: &Members) -> Vec<u32> {
        let mask = self.mask(filter);
        match members {
            Members::Run(run) => {
                let first = u32::try_from(run.start).expect("a batch holds less than 4 Gi spans");
                let mask = mask.slice(run.start, run.len());
                mask.set_indices_u32().map(|index| first + index).collect()
            }
            Members::List(rows) => {
                rows.iter().copied().filter(|row| mask.value(*row as usize)).collect()
            }
        }
    }

    fn scalar(&self, filter: &'a ScalarFilter, spanset: Spanset) -> Option<Spanset> {
        let Spanset { members, mut attributes } = spanset;
        let rows = members.into_rows();
        let value = self.rows.aggregate(filter.aggregate, filter.argument.as_ref(), &rows)?;
        if !compare(filter.op, &value, &Val::of_static(&filter.operand)) {
            return None;
        }
        say(&mut attributes, &filter.label, value.to_value());
        Some(Spanset { members: Members::List(rows), attributes })
    }

    /// One spanset for each value, spans without one together; in the order of their last spans.
    fn group(&self, expr: &'a Expr, label: &str, spanset: Spanset) -> Vec<Spanset> {
        let mut groups: Vec<(Val<'a>, Vec<u32>)> = Vec::new();
        let mut places: HashMap<Vec<u8>, usize, foldhash::fast::FixedState> = HashMap::default();
        for row in spanset.members.into_rows() {
            let value = self.rows.eval(expr, Place::span(row as usize)).canonical();
            let place = *places.entry(value.group_key()).or_insert(groups.len());
            match groups.get_mut(place) {
                Some((_, rows)) => rows.push(row),
                None => groups.push((value, vec![row])),
            }
        }
        groups.sort_by_key(|(_, rows)| rows.last().copied());
        let with_value = |(value, rows): (Val<'a>, Vec<u32>)| {
            let mut attributes = spanset.attributes.clone();
            say(&mut attributes, label, value.to_value());
            Spanset { members: Members::List(rows), attributes }
        };
        groups.into_iter().map(with_value).collect()
    }
}

/// All rows of some spansets of one trace, ascending and distinct.
fn rows_of(mut spansets: Vec<Spanset>) -> Vec<u32> {
    if spansets.len() <= 1 {
        return spansets.pop().map(|only| only.members.into_rows()).unwrap_or_default();
    }
    let mut rows: Vec<u32> =
        spansets.into_iter().flat_map(|spanset| spanset.members.into_rows()).collect();
    rows.sort_unstable();
    rows.dedup();
    rows
}

/// Sets an attribute of a spanset; the last stage that says it counts.
fn say(attributes: &mut Vec<(String, Value)>, label: &str, value: Value) {
    match attributes.iter_mut().find(|(known, _)| known == label) {
        Some((_, known)) => *known = value,
        None => attributes.push((label.to_owned(), value)),
    }
}

fn zip(mut one: Vec<bool>, other: &[bool], join: impl Fn(bool, bool) -> bool) -> Vec<bool> {
    for (one, other) in one.iter_mut().zip(other) {
        *one = join(*one, *other);
    }
    one
}

#[cfg(test)]
#[path = "spansets_tests.rs"]
mod tests;
