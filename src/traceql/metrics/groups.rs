//! Which series a span belongs to: the labels of each series, found by the values of the grouping attributes.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use traceql_grammar::ast::Attribute;

use super::super::rows::{Rows, resource_value};
use super::super::value::Val;
use super::picked::{Coded, Known, by_resource, is_of_resource, narrow, numbered, put_key};
use crate::columns::{Pool, Resource};
use crate::trace::Value;

/// Labels of a series, in order.
pub(super) type Labels = Vec<(String, Value)>;

/// The grouping of a metrics function.
#[derive(Debug, Clone)]
pub(super) struct Grouping {
    by: Vec<By>,
    /// The label `__name__` of the one series without grouping; none where the series has another label.
    name: Option<&'static str>,
}

/// An attribute that is grouped by.
#[derive(Debug, Clone)]
struct By {
    field: Attribute,
    /// Of the label.
    name: String,
    /// What the name adds to a [`key`].
    part: Vec<u8>,
}

/// Series that were seen, by their labels.
#[derive(Clone, Default)]
pub(super) struct Groups {
    labels: Vec<Labels>,
    /// The [`key`] of each, and its code.
    keys: Pool,
    codes: Vec<u32>,
    /// By code; [`NO_SERIES`] if none has it.
    of_code: Vec<u32>,
    /// Room for a key.
    key: Vec<u8>,
    of_resources: OfResources,
}

/// The series of the resources of one block, by what they say of one field: the units of a block have the same ones.
#[derive(Clone, Default)]
struct OfResources {
    all: Arc<Vec<Arc<Resource>>>,
    series: Known,
}

const NO_SERIES: u32 = u32::MAX;

impl Grouping {
    pub(super) fn new(by: &[Attribute], name: Option<&'static str>) -> Self {
        let by = by.iter().map(|field| {
            let (name, mut part) = (field.to_string(), Vec::new());
            put_part(&Val::text(&name), &mut part);
            By { field: field.clone(), name, part }
        });
        Self { by: by.collect(), name }
    }

    pub(super) fn is_none(&self) -> bool {
        self.by.is_empty()
    }

    /// The labels of the one series there is without grouping.
    pub(super) fn ungrouped(&self) -> Labels {
        let name = self.name.filter(|_| self.is_none());
        let label = |name: &str| ("__name__".to_owned(), Value::String(name.to_owned()));
        name.map(label).into_iter().collect()
    }

    /// The series of each picked span.
    pub(super) fn series(&self, rows: &Rows<'_>, picked: &[u32], groups: &mut Groups) -> Vec<u32> {
        if let [By { field, .. }] = &self.by[..] {
            if is_of_resource(rows.batch, field) {
                return self.series_of_resources(rows, picked, groups);
            }
            return numbered(rows, field, picked, |value| self.of_values(&[&value], groups));
        }
        let fields: Vec<Coded<'_>> =
            self.by.iter().map(|by| Coded::of(rows, &by.field, picked)).collect();
        let Some((codes, tuples)) = combined(&fields) else {
            return vec![groups.of(self.ungrouped()); picked.len()];
        };
        // A code that no span has makes no series.
        let mut series: Vec<Option<u32>> = vec![None; tuples.len()];
        let of_code = |code: u32| {
            *series[code as usize].get_or_insert_with(|| {
                let codes = tuples[code as usize].iter().zip(&fields);
                let values: Vec<&Val<'_>> =
                    codes.map(|(code, of)| &of.values[*code as usize]).collect();
                self.of_values(&values, groups)
            })
        };
        codes.into_iter().map(of_code).collect()
    }

    /// The series of each picked span, if the one field is a resource's.
    fn series_of_resources(
        &self,
        rows: &Rows<'_>,
        picked: &[u32],
        groups: &mut Groups,
    ) -> Vec<u32> {
        let (batch, field) = (rows.batch, &self.by[0].field);
        let mut known = std::mem::take(&mut groups.of_resources);
        if !Arc::ptr_eq(&known.all, &batch.resources) {
            let series = Known::new(batch.resources.len());
            known = OfResources { all: Arc::clone(&batch.resources), series };
        }
        let series = by_resource(batch, picked, &mut known.series, |resource| {
            let value = resource_value(resource, field).canonical();
            self.of_values(&[&value], groups)
        });
        groups.of_resources = known;
        series
    }

    /// The series with these values. Mostly it is known, and found without making its labels.
    fn of_values(&self, values: &[&Val<'_>], groups: &mut Groups) -> u32 {
        // These are labels as they are.
        let is_plain = |value: &&&Val<'_>| {
            matches!(**value, Val::Text(_) | Val::Int(_) | Val::Bool(_) | Val::Float(_))
        };
        if values.iter().all(|value| is_plain(&value)) {
            groups.key.clear();
            for (by, value) in self.by.iter().zip(values) {
                groups.key.extend_from_slice(&by.part);
                put_part(value, &mut groups.key);
            }
            return groups.of_key(|| self.labels(values.iter().copied()));
        }
        groups.of(self.labels(values.iter().copied()))
    }

    /// Missing values have no label; if all are missing, the first label is `nil` unless the series has another label.
    fn labels<'v, 'a: 'v>(&self, values: impl Iterator<Item = &'v Val<'a>>) -> Labels {
        let mut labels = Labels::new();
        for (by, value) in self.by.iter().zip(values) {
            if !value.is_nil() {
                labels.push((by.name.clone(), value.to_value()));
            }
        }
        if labels.is_empty() && self.name.is_some() {
            labels.push((self.by[0].name.clone(), Val::Nil.to_value()));
        }
        labels
    }
}

/// One code for each span that stands for the codes of all fields, and what it stands for. None without fields.
fn combined(fields: &[Coded<'_>]) -> Option<(Vec<u32>, Vec<Vec<u32>>)> {
    let (first, others) = fields.split_first()?;
    let mut codes = first.codes.clone();
    let mut tuples: Vec<Vec<u32>> =
        (0..first.values.len()).map(|code| vec![narrow(code)]).collect();
    for other in others {
        let mut known: HashMap<(u32, u32), u32, FixedState> = HashMap::default();
        let mut next: Vec<Vec<u32>> = Vec::new();
        let mut last = None;
        for (code, other) in codes.iter_mut().zip(&other.codes) {
            let pair = (*code, *other);
            *code = match last {
                Some((same, code)) if same == pair => code,
                _ => *known.entry(pair).or_insert_with(|| {
                    let mut tuple = tuples[pair.0 as usize].clone();
                    tuple.push(pair.1);
                    next.push(tuple);
                    narrow(next.len() - 1)
                }),
            };
            last = Some((pair, *code));
        }
        tuples = next;
    }
    Some((codes, tuples))
}

impl Groups {
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    pub(super) fn into_labels(self) -> Vec<Labels> {
        self.labels
    }

    /// The series with these labels.
    pub(super) fn of(&mut self, labels: Labels) -> u32 {
        self.key = key(&labels);
        self.of_key(|| labels)
    }

    /// Adds what another saw, and tells which of these each of its series is.
    pub(super) fn adopt(&mut self, other: Self) -> Vec<u32> {
        let Self { labels, keys, codes, .. } = other;
        let of = |(labels, code): (Labels, u32)| {
            self.key.clear();
            self.key.extend_from_slice(keys.get(code));
            self.of_key(|| labels)
        };
        labels.into_iter().zip(codes).map(of).collect()
    }

    /// The series whose key is in the room for one.
    fn of_key(&mut self, labels: impl FnOnce() -> Labels) -> u32 {
        let code = self.keys.intern(&self.key);
        if self.of_code.len() <= code as usize {
            self.of_code.resize(code as usize + 1, NO_SERIES);
        }
        let series = &mut self.of_code[code as usize];
        if *series == NO_SERIES {
            *series = narrow(self.labels.len());
            self.labels.push(labels());
            self.codes.push(code);
        }
        *series
    }
}

/// Equal for equal labels in one order.
pub(super) fn key<'a>(labels: impl IntoIterator<Item = &'a (String, Value)>) -> Vec<u8> {
    let mut key = Vec::new();
    for (name, value) in labels {
        for value in [Val::text(name), Val::of_value(value)] {
            put_part(&value, &mut key);
        }
    }
    key
}

/// Appends how long the bytes of a value are, and them.
fn put_part(value: &Val<'_>, key: &mut Vec<u8>) {
    let at = key.len();
    key.extend_from_slice(&[0; 8]);
    put_key(value, key);
    let length = (key.len() - at - 8) as u64;
    key[at..at + 8].copy_from_slice(&length.to_le_bytes());
}
