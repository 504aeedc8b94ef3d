//! Which series a span belongs to: the labels of each series, found by the values of the grouping attributes.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use traceql_grammar::ast::Attribute;

use super::super::rows::Rows;
use super::super::value::Val;
use super::picked::{Coded, narrow, numbered, put_key};
use crate::trace::Value;

/// Labels of a series, in order.
pub(super) type Labels = Vec<(String, Value)>;

/// The grouping of a metrics function.
#[derive(Debug, Clone)]
pub(super) struct Grouping {
    /// Each attribute with the key of its label.
    by: Vec<(Attribute, String)>,
    /// The label `__name__` of the one series without grouping; none where the series has another label.
    name: Option<&'static str>,
}

/// Series that were seen, by their labels.
#[derive(Default)]
pub(super) struct Groups {
    labels: Vec<Labels>,
    index: HashMap<Vec<u8>, u32, FixedState>,
    /// Rooms for a key, and a part of it.
    key: Vec<u8>,
    part: Vec<u8>,
}

impl Grouping {
    pub(super) fn new(by: &[Attribute], name: Option<&'static str>) -> Self {
        Self { by: by.iter().map(|field| (field.clone(), field.to_string())).collect(), name }
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
        if let [(field, _)] = &self.by[..] {
            return numbered(rows, field, picked, |value| self.of_values(&[&value], groups));
        }
        let fields: Vec<Coded<'_>> =
            self.by.iter().map(|(field, _)| Coded::of(rows, field, picked)).collect();
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

    /// The series with these values. Mostly it is known, and found without making its labels.
    fn of_values(&self, values: &[&Val<'_>], groups: &mut Groups) -> u32 {
        // These are labels as they are.
        let is_plain = |value: &&&Val<'_>| {
            matches!(**value, Val::Text(_) | Val::Int(_) | Val::Bool(_) | Val::Float(_))
        };
        if values.iter().all(|value| is_plain(&value)) {
            let Groups { key, part, index, .. } = groups;
            key.clear();
            for ((_, name), value) in self.by.iter().zip(values) {
                put_part(&Val::text(name), key, part);
                put_part(value, key, part);
            }
            if let Some(series) = index.get(key.as_slice()) {
                return *series;
            }
        }
        groups.of(self.labels(values.iter().copied()))
    }

    /// Missing values have no label; if all are missing, the first label is `nil` unless the series has another label.
    fn labels<'v, 'a: 'v>(&self, values: impl Iterator<Item = &'v Val<'a>>) -> Labels {
        let mut labels = Labels::new();
        for ((_, key), value) in self.by.iter().zip(values) {
            if !value.is_nil() {
                labels.push((key.clone(), value.to_value()));
            }
        }
        if labels.is_empty() && self.name.is_some() {
            let (_, key) = &self.by[0];
            labels.push((key.clone(), Val::Nil.to_value()));
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

    pub(super) fn labels(&self) -> &[Labels] {
        &self.labels
    }

    /// The series with these labels.
    pub(super) fn of(&mut self, labels: Labels) -> u32 {
        *self.index.entry(key(&labels)).or_insert_with(|| {
            self.labels.push(labels);
            narrow(self.labels.len() - 1)
        })
    }
}

/// Equal for equal labels in one order.
pub(super) fn key<'a>(labels: impl IntoIterator<Item = &'a (String, Value)>) -> Vec<u8> {
    let (mut key, mut part) = (Vec::new(), Vec::new());
    for (name, value) in labels {
        for value in [Val::text(name), Val::of_value(value)] {
            put_part(&value, &mut key, &mut part);
        }
    }
    key
}

fn put_part(value: &Val<'_>, key: &mut Vec<u8>, part: &mut Vec<u8>) {
    part.clear();
    put_key(value, part);
    key.extend(part.len().to_le_bytes());
    key.append(part);
}
