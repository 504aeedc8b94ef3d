//! `compare()`: how often each value of each attribute occurs on selected spans, and on the others.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use traceql_grammar::Error;
use traceql_grammar::ast::{Attribute, FieldExpr, Intrinsic, Scope};

use super::super::EvalError;
use super::super::bind::Binder;
use super::super::each;
use super::super::plan::{Expr, Owner};
use super::super::rows::{Rows, SERVICE_NAME};
use super::super::value::Val;
use super::picked::{Coded, Known, Picked, narrow};
use super::second::Row;
use super::tally::{Counts, Tally};
use crate::columns::{Batch, Projection, Resource, SpanColumn};
use crate::trace::Value;

/// What every span has besides its attributes.
const INTRINSICS: [Intrinsic; 8] = [
    Intrinsic::Name,
    Intrinsic::Status,
    Intrinsic::StatusMessage,
    Intrinsic::Kind,
    Intrinsic::RootName,
    Intrinsic::RootService,
    Intrinsic::InstrumentationName,
    Intrinsic::InstrumentationVersion,
];

/// Values and totals of the two sides, as their series are labelled.
const LABELS: [(&str, &str); 2] =
    [("baseline", "baseline_total"), ("selection", "selection_total")];

/// Cells per compared span up to which counts by value, side and slot are a table; past it the spans are sorted.
const CELLS_PER_SPAN: usize = 4;

/// Samples that a distinct value counts for in the limit: about the memory that it takes.
const SAMPLES_PER_VALUE: usize = 16;

/// A bound `compare()`.
#[derive(Debug, Clone)]
pub(super) struct Comparison {
    selection: Expr,
    top: usize,
    /// Selected spans start after the first and not after the second (Unix nanoseconds).
    window: Option<(u64, u64)>,
}

/// What was counted so far.
#[derive(Default)]
pub(super) struct Compared {
    /// Of each attribute, as it is written.
    tallies: HashMap<String, Tally, FixedState>,
    /// Distinct values of each attribute on each side.
    values: usize,
}

impl Comparison {
    /// Binds it, and tells what reading the selection takes.
    pub(super) fn bind(
        selection: &FieldExpr,
        top: i64,
        window: (i64, i64),
    ) -> Result<(Self, Vec<Attribute>), Error> {
        let mut binder = Binder::default();
        let selection = each::condition(binder.expr(selection)?);
        let top = usize::try_from(top).unwrap_or(0);
        let window = match (u64::try_from(window.0), u64::try_from(window.1)) {
            (Ok(start), Ok(end)) if end > 0 => Some((start, end)),
            _ => None,
        };
        let fields = binder.mentions.into_iter().map(|mention| mention.field).collect();
        Ok((Self { selection, top, window }, fields))
    }

    /// Adds the columns that are counted for every span.
    pub(super) fn project(projection: &mut Projection) {
        projection.columns.extend([
            SpanColumn::Name,
            SpanColumn::Status,
            SpanColumn::StatusMessage,
            SpanColumn::Kind,
            SpanColumn::Resource,
        ]);
    }

    /// The picked spans, each on its side.
    pub(super) fn split(&self, rows: &Rows<'_>, picked: Picked) -> ComparedSpans {
        let selected = rows.truth(&self.selection, Owner::Span, None);
        let is_within =
            |start: u64| self.window.is_none_or(|(after, until)| after < start && start <= until);
        let side = |row: &u32| {
            let row = *row as usize;
            u8::from(selected.value(row) && is_within(rows.batch.start[row]))
        };
        let sides = picked.rows.iter().map(side).collect();
        ComparedSpans { picked, sides }
    }

    pub(super) fn finish(&self, compared: &Compared, slots: usize) -> Vec<Row> {
        let mut series = Vec::new();
        for (attribute, tally) in &compared.tallies {
            for (side, (of_value, of_all)) in LABELS.into_iter().enumerate() {
                let Some(all) = tally.all(side) else { continue };
                let row = |meta: &str, value: Value, counts: &Counts| Row {
                    labels: vec![
                        ("__meta_type".to_owned(), Value::String(meta.to_owned())),
                        (attribute.clone(), value),
                    ],
                    values: counts.dense(slots),
                    exemplars: Vec::new(),
                };
                series.push(row(of_all, Val::Nil.to_value(), all));
                let most = tally.most_frequent(side, self.top).into_iter();
                series.extend(most.map(|(value, counts)| row(of_value, value, counts)));
            }
        }
        series
    }
}

/// The spans of a batch that are compared, each on its side.
#[derive(Debug)]
pub struct ComparedSpans {
    picked: Picked,
    /// 1 if it is selected.
    sides: Vec<u8>,
}

impl ComparedSpans {
    /// Their rows in the batch, ascending.
    pub fn rows(&self) -> &[u32] {
        &self.picked.rows
    }

    /// Calls `each` with every code that a span has, and its spans by side.
    fn count(&self, codes: &[u32], count: usize, mut each: impl FnMut(usize, &[Counts; 2])) {
        let Picked { slots, .. } = &self.picked;
        let width = slots.iter().max().map_or(0, |slot| *slot as usize + 1) * 2;
        let spans = codes.iter().zip(slots).zip(&self.sides);
        let place = |((code, slot), side): ((&u32, &u32), &u8)| {
            *code as usize * width + *slot as usize * 2 + usize::from(*side)
        };
        let mut counted: Vec<(usize, u64)> = Vec::new();
        if count.saturating_mul(width) <= codes.len().saturating_mul(CELLS_PER_SPAN) {
            let mut cells = vec![0_u64; count * width];
            spans.for_each(|span| cells[place(span)] += 1);
            let there = cells.into_iter().enumerate().filter(|(_, count)| *count > 0);
            counted.extend(there);
        } else {
            let mut places: Vec<usize> = spans.map(place).collect();
            places.sort_unstable();
            counted.extend(places.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u64)));
        }
        let mut counts = <[Counts; 2]>::default();
        for run in counted.chunk_by(|(one, _), (other, _)| one / width == other / width) {
            counts.iter_mut().for_each(Counts::clear);
            for (place, count) in run {
                counts[place % 2].add(narrow(place % width / 2), *count);
            }
            each(run[0].0 / width, &counts);
        }
    }
}

impl Compared {
    /// Counts what all spans have: intrinsics, and the attributes of resources and scopes.
    ///
    /// # Errors
    /// If there are too many distinct values for `max` samples.
    pub(super) fn add_common(
        &mut self,
        rows: &Rows<'_>,
        split: &ComparedSpans,
        max: usize,
    ) -> Result<(), EvalError> {
        for intrinsic in INTRINSICS {
            self.add_field(rows, split, &Attribute::Intrinsic(intrinsic), max)?;
        }
        let batch = rows.batch;
        let service = Attribute::Named { scope: Scope::Resource, name: SERVICE_NAME.to_owned() };
        self.add_field(rows, split, &service, max)?;
        let (codes, resources) = resources(batch, &split.picked.rows);
        let mut written: HashMap<(Scope, &str), String, FixedState> = HashMap::default();
        split.count(&codes, resources.len(), |code, counts| {
            let view = resources[code].view();
            for (scope, attributes) in [
                (Scope::Resource, &view.attributes),
                (Scope::Instrumentation, &view.scope_attributes),
            ] {
                for (index, (name, value)) in attributes.iter().enumerate() {
                    let is_first = !attributes[..index].iter().any(|(known, _)| known == name);
                    if !is_first || scope == Scope::Resource && name == SERVICE_NAME {
                        continue;
                    }
                    let key = written.entry((scope, name)).or_insert_with(|| {
                        Attribute::Named { scope, name: name.clone() }.to_string()
                    });
                    let value = Val::of_value(value).canonical();
                    self.values += tally(&mut self.tallies, key).add(&value, counts);
                }
            }
        });
        self.check(max)
    }

    /// Counts the values of a field.
    ///
    /// # Errors
    /// If there are too many distinct values for `max` samples.
    pub(super) fn add_field(
        &mut self,
        rows: &Rows<'_>,
        split: &ComparedSpans,
        field: &Attribute,
        max: usize,
    ) -> Result<(), EvalError> {
        self.add_coded(&Coded::of(rows, field, &split.picked.rows), split, field, max)
    }

    /// Counts the values of a field, of which there is one for each of the spans.
    ///
    /// # Errors
    /// If there are too many distinct values for `max` samples.
    pub(super) fn add_coded(
        &mut self,
        coded: &Coded<'_>,
        split: &ComparedSpans,
        field: &Attribute,
        max: usize,
    ) -> Result<(), EvalError> {
        let Coded { codes, values } = coded;
        if values.iter().all(Val::is_nil) {
            return Ok(());
        }
        let tally = tally(&mut self.tallies, &field.to_string());
        let mut fresh = 0;
        split.count(codes, values.len(), |code, counts| fresh += tally.add(&values[code], counts));
        self.values += fresh;
        self.check(max)
    }

    fn check(&self, max: usize) -> Result<(), EvalError> {
        if self.values.saturating_mul(SAMPLES_PER_VALUE) > max {
            return Err(EvalError::TooManySamples { max });
        }
        Ok(())
    }

    /// Adds what another counted.
    ///
    /// # Errors
    /// If there are too many distinct values for `max` samples.
    pub(super) fn merge(&mut self, other: Self, max: usize) -> Result<(), EvalError> {
        for (key, other) in other.tallies {
            self.values += tally(&mut self.tallies, &key).merge(other);
        }
        self.check(max)
    }
}

/// What is known of an attribute.
fn tally<'a>(tallies: &'a mut HashMap<String, Tally, FixedState>, key: &str) -> &'a mut Tally {
    if !tallies.contains_key(key) {
        tallies.insert(key.to_owned(), Tally::default());
    }
    tallies.get_mut(key).expect("it is there now")
}

/// A code for the resource of each span, and the resources.
fn resources<'a>(batch: &'a Batch, picked: &[u32]) -> (Vec<u32>, Vec<&'a Resource>) {
    let mut known = Known::new(batch.resources.len());
    let mut resources: Vec<&Resource> = Vec::new();
    let codes = picked
        .iter()
        .map(|row| {
            let resource = batch.resource[*row as usize] as usize;
            known.number(resource, || {
                resources.push(&batch.resources[resource]);
                narrow(resources.len() - 1)
            })
        })
        .collect();
    (codes, resources)
}
