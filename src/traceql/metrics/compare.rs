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
use crate::columns::{AttributeValues, Batch, Projection, Resource, SpanColumn};
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

/// Tempo's words: clients know them.
const TOO_MANY: &str = "__too_many_values__";

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
            u32::from(selected.value(row) && is_within(rows.batch.start[row]))
        };
        let place = |(row, slot): (&u32, &u32)| slot * 2 + side(row);
        let places: Vec<u32> = picked.rows.iter().zip(&picked.slots).map(place).collect();
        let width = places.iter().max().map_or(0, |place| *place as usize + 1).next_multiple_of(2);
        ComparedSpans { rows: picked.rows, places, width }
    }

    pub(super) fn finish(&self, compared: &Compared, slots: usize) -> Vec<Row> {
        let mut series = Vec::new();
        for (attribute, tally) in &compared.tallies {
            if tally.is_crowded() {
                series.push(crowded(attribute, tally, slots));
            }
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

/// What stands for the values of an attribute that has too many: how many spans have one.
fn crowded(attribute: &str, tally: &Tally, slots: usize) -> Row {
    let mut values = vec![0.0; slots];
    for counts in (0..LABELS.len()).filter_map(|side| tally.all(side)) {
        values.iter_mut().zip(counts.dense(slots)).for_each(|(value, more)| *value += more);
    }
    let error = Value::String(TOO_MANY.to_owned());
    let labels =
        vec![("__meta_error".to_owned(), error), (attribute.to_owned(), Val::Nil.to_value())];
    Row { labels, values, exemplars: Vec::new() }
}

/// The spans of a batch that are compared, each on its side.
#[derive(Debug)]
pub struct ComparedSpans {
    rows: Vec<u32>,
    /// Of each span: twice its slot, and one more if it is selected.
    places: Vec<u32>,
    /// More than any place, and even.
    width: usize,
}

impl ComparedSpans {
    /// Their rows in the batch, ascending.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// Calls `each` with every code of some spans, and how many of them have it by side. `codes` are below `count`, `places` those of the spans.
    fn count(
        &self,
        (codes, places): (&[u32], &[u32]),
        count: usize,
        mut each: impl FnMut(usize, &[Counts; 2]),
    ) {
        let width = self.width;
        let spans = codes.iter().zip(places);
        let place = |(code, place): (&u32, &u32)| *code as usize * width + *place as usize;
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
        let (codes, resources) = resources(batch, &split.rows);
        let mut written: HashMap<(Scope, &str), String, FixedState> = HashMap::default();
        split.count((&codes, &split.places), resources.len(), |code, counts| {
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
                    if value.is_nil() {
                        continue;
                    }
                    let tally = tally(&mut self.tallies, key);
                    tally.add_all(counts);
                    self.values = self.values.saturating_add_signed(tally.add(&value, counts));
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
        self.add_coded((&Coded::of(rows, field, &split.rows), &split.places), split, field, max)
    }

    /// Counts the values of an attribute, of which there is one or none for each of the spans.
    ///
    /// # Errors
    /// If there are too many distinct values for `max` samples.
    pub(super) fn add_attribute(
        &mut self,
        (name, attribute): (&str, &AttributeValues),
        split: &ComparedSpans,
        max: usize,
    ) -> Result<(), EvalError> {
        let field = Attribute::Named { scope: Scope::Span, name: name.to_owned() };
        let (spans, coded) = Coded::of_attribute(attribute, split.rows.len());
        let places: Vec<u32> = spans.iter().map(|span| split.places[*span as usize]).collect();
        self.add_coded((&coded, &places), split, &field, max)
    }

    /// Counts the values of a field on spans in some places.
    fn add_coded(
        &mut self,
        (Coded { codes, values }, places): (&Coded<'_>, &[u32]),
        split: &ComparedSpans,
        field: &Attribute,
        max: usize,
    ) -> Result<(), EvalError> {
        if values.iter().all(Val::is_nil) {
            return Ok(());
        }
        let tally = tally(&mut self.tallies, &field.to_string());
        // All spans that have a value, whichever, are counted once.
        let mut all = vec![0_u64; split.width];
        for (code, place) in codes.iter().zip(places) {
            all[*place as usize] += u64::from(!values[*code as usize].is_nil());
        }
        tally.add_all(&counts_of(all.into_iter().enumerate()));
        let mut fresh = 0;
        let of_codes = (&codes[..], places);
        split.count(of_codes, values.len(), |code, counts| {
            fresh += tally.add(&values[code], counts);
        });
        self.values = self.values.saturating_add_signed(fresh);
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
            let fresh = tally(&mut self.tallies, &key).merge(other);
            self.values = self.values.saturating_add_signed(fresh);
        }
        self.check(max)
    }
}

/// Counts by place as counts by side and slot.
fn counts_of(by_place: impl Iterator<Item = (usize, u64)>) -> [Counts; 2] {
    let mut counts = <[Counts; 2]>::default();
    for (place, count) in by_place.filter(|(_, count)| *count > 0) {
        counts[place % 2].add(narrow(place / 2), count);
    }
    counts
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
