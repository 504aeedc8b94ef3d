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
use super::picked::{Coded, Picked, put_key};
use super::second::{Row, order};
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

/// Spans by slot; slots ascending.
#[derive(Debug, Clone, Default)]
struct Counts(Vec<(u32, u64)>);

/// The values of one attribute on one side.
#[derive(Default)]
struct Tally {
    all: Counts,
    values: HashMap<Vec<u8>, (Value, Counts), FixedState>,
}

/// What was counted so far.
#[derive(Default)]
pub(super) struct Compared {
    /// By the attribute as it is written: baseline and selection.
    sides: [HashMap<String, Tally, FixedState>; 2],
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

    pub(super) fn finish(&self, compared: Compared, slots: usize) -> Vec<Row> {
        let mut series = Vec::new();
        for (side, (of_value, of_all)) in compared.sides.into_iter().zip(LABELS) {
            for (attribute, Tally { all, values }) in side {
                let row = |meta: &str, value: Value, counts: &Counts| Row {
                    labels: vec![
                        ("__meta_type".to_owned(), Value::String(meta.to_owned())),
                        (attribute.clone(), value),
                    ],
                    values: counts.dense(slots),
                    exemplars: Vec::new(),
                };
                series.push(row(of_all, Val::Nil.to_value(), &all));
                let mut values: Vec<(u64, Row)> = values
                    .into_values()
                    .map(|(value, counts)| (counts.total(), row(of_value, value, &counts)))
                    .collect();
                values.sort_by(|(one, row), (other, other_row)| {
                    other.cmp(one).then_with(|| order(&row.labels, &other_row.labels))
                });
                series.extend(values.into_iter().take(self.top).map(|(_, row)| row));
            }
        }
        series
    }
}

impl Counts {
    fn add(&mut self, slot: u32, count: u64) {
        match self.0.last_mut() {
            Some((last, known)) if *last == slot => *known += count,
            _ => match self.0.binary_search_by_key(&slot, |(slot, _)| *slot) {
                Ok(place) => self.0[place].1 += count,
                Err(place) => self.0.insert(place, (slot, count)),
            },
        }
    }

    fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(slot, count)| self.add(*slot, *count));
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    fn dense(&self, slots: usize) -> Vec<f64> {
        let mut values = vec![0.0; slots];
        for (slot, count) in &self.0 {
            #[expect(clippy::cast_precision_loss, reason = "counts of spans are below 2^53")]
            let count = *count as f64;
            values[*slot as usize] = count;
        }
        values
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
    /// The spans of each code, by side.
    fn count(&self, codes: &[u32], count: usize) -> Vec<[Counts; 2]> {
        let mut counts: Vec<[Counts; 2]> = vec![<[Counts; 2]>::default(); count];
        for ((code, slot), side) in codes.iter().zip(&self.picked.slots).zip(&self.sides) {
            counts[*code as usize][usize::from(*side)].add(*slot, 1);
        }
        counts
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
        let counted = split.count(&codes, resources.len());
        for (resource, counts) in resources.into_iter().zip(&counted) {
            let view = resource.view();
            for (scope, attributes) in [
                (Scope::Resource, &view.attributes),
                (Scope::Instrumentation, &view.scope_attributes),
            ] {
                for (index, (name, value)) in attributes.iter().enumerate() {
                    let is_first = !attributes[..index].iter().any(|(known, _)| known == name);
                    let field = Attribute::Named { scope, name: name.clone() };
                    if is_first && field != service {
                        self.add_counts(
                            &field.to_string(),
                            &Val::of_value(value).canonical(),
                            counts,
                            max,
                        )?;
                    }
                }
            }
        }
        Ok(())
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
        let Coded { codes, values } = Coded::of(rows, field, &split.picked.rows);
        let key = field.to_string();
        for (value, counts) in values.iter().zip(&split.count(&codes, values.len())) {
            match value {
                Val::Nil => {}
                value => self.add_counts(&key, value, counts, max)?,
            }
        }
        Ok(())
    }

    fn add_counts(
        &mut self,
        key: &str,
        value: &Val<'_>,
        counts: &[Counts; 2],
        max: usize,
    ) -> Result<(), EvalError> {
        if value.is_nil() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        put_key(value, &mut bytes);
        for (side, counts) in counts.iter().enumerate().filter(|(_, counts)| !counts.is_empty()) {
            let tally = match self.sides[side].get_mut(key) {
                Some(tally) => tally,
                None => self.sides[side].entry(key.to_owned()).or_default(),
            };
            tally.all.merge(counts);
            if let Some((_, known)) = tally.values.get_mut(&bytes) {
                known.merge(counts);
                continue;
            }
            tally.values.insert(bytes.clone(), (value.to_value(), counts.clone()));
            self.values += 1;
        }
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
        for (mine, other) in self.sides.iter_mut().zip(other.sides) {
            for (key, Tally { all, values }) in other {
                let tally = mine.entry(key).or_default();
                tally.all.merge(&all);
                for (key, (value, counts)) in values {
                    let (_, known) = tally.values.entry(key).or_insert_with(|| {
                        self.values += 1;
                        (value, Counts::default())
                    });
                    known.merge(&counts);
                }
            }
        }
        self.check(max)
    }
}

/// A code for the resource of each span, and the resources.
fn resources<'a>(batch: &'a Batch, picked: &[u32]) -> (Vec<u32>, Vec<&'a Resource>) {
    let mut compact = super::picked::Compact::new(batch.resources.len());
    let mut resources: Vec<&Resource> = Vec::new();
    let codes = picked
        .iter()
        .map(|row| {
            let resource = batch.resource[*row as usize] as usize;
            compact.code(resource, || resources.push(&batch.resources[resource]))
        })
        .collect();
    (codes, resources)
}
