//! The distinct values of an attribute, for completion.

use std::ops::RangeInclusive;

use arrow::array::Array as _;
use arrow::buffer::BooleanBuffer;
use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;
use traceql_grammar::ast::{Attribute, Intrinsic, Scope};
use traceql_grammar::{Error, go_duration, go_float, parse_attribute};

use super::plan::{Owner, owner_of};
use super::rows::{Place, Rows, resource_value};
use super::value::{Val, kind_text, status_text};
use super::window;
use super::{Query, compile_lenient, need};
use crate::columns::{Batch, Projection, SpanColumn, Strings};
use crate::scan::{Counted, Counts, Need};
use crate::trace::{TraceId, Value};

/// A question for the values that an attribute has on the spans that a filter keeps.
#[derive(Debug, Clone)]
pub struct ValueQuery {
    field: Attribute,
    filter: Query,
    projection: Projection,
    inside: Projection,
}

/// The type of a value, as the tag endpoints name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TagType {
    String,
    Int,
    Float,
    Bool,
    Duration,
    /// A status or a kind.
    Keyword,
}

/// Distinct values and how often each was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ValueSet {
    /// By type.
    values: [HashMap<String, u64, foldhash::fast::RandomState>; TagType::ALL.len()],
    bytes: usize,
}

/// Binds a question for the values of `attribute`, any spelling of TraceQL, on the spans that `filter` keeps. The filter is a query
/// as it stands while it is being typed: what is unfinished in it does not count.
///
/// # Errors
/// When the attribute is none, or one of a parent span.
pub fn compile_values(attribute: &str, filter: &str) -> Result<ValueQuery, Error> {
    let field = parse_attribute(attribute.trim())?;
    // The words of the language's own refusal of `parent`.
    super::compile(&format!("{{ {field} != nil }}"))?;
    let filter = compile_lenient(filter);
    let mut inside = filter.first_look().clone();
    need::add_field(&mut inside, &field);
    let projection = inside.clone().with([SpanColumn::Start, SpanColumn::Duration]);
    Ok(ValueQuery { field, filter, projection, inside })
}

impl ValueQuery {
    /// The columns that [`ValueQuery::collect`] reads.
    pub fn projection(&self) -> &Projection {
        &self.projection
    }

    /// What of them it reads of traces that all start in the window.
    pub fn projection_inside(&self) -> &Projection {
        &self.inside
    }

    /// What a trace must have to add anything.
    pub fn need(&self) -> Need {
        need::all([need::has(&self.field), self.filter.need()])
    }

    /// What an index may have counted of it; `None` if spans must be looked at.
    pub fn counted(&self) -> Option<Counted> {
        if !self.filter.keeps_all() {
            return None;
        }
        Some(match &self.field {
            Attribute::Named { scope: Scope::Resource | Scope::Instrumentation, .. }
            | Attribute::Intrinsic(
                Intrinsic::InstrumentationName | Intrinsic::InstrumentationVersion,
            ) => Counted::Resources,
            Attribute::Named { scope, name } => {
                Counted::Attribute { scope: need::need_scope(*scope), key: name.clone() }
            }
            Attribute::Intrinsic(Intrinsic::Name) => Counted::Name,
            Attribute::Intrinsic(Intrinsic::Status) => Counted::Status,
            Attribute::Intrinsic(Intrinsic::StatusMessage) => Counted::StatusMessage,
            Attribute::Intrinsic(Intrinsic::Kind) => Counted::Kind,
            Attribute::Intrinsic(Intrinsic::EventName) => Counted::EventName,
            Attribute::Intrinsic(_) | Attribute::OfParent { .. } => return None,
        })
    }

    /// Adds what an index has counted for [`ValueQuery::counted`].
    pub fn add_counts(&self, counts: &Counts, into: &mut ValueSet) {
        let Counts { values, resources } = counts;
        for (value, count) in values {
            let code = |code: i64| i32::try_from(code).unwrap_or_default();
            let value = match (&self.field, value) {
                (Attribute::Intrinsic(Intrinsic::Status), Value::Int(value)) => {
                    Val::Status(code(*value))
                }
                (Attribute::Intrinsic(Intrinsic::Kind), Value::Int(value)) => {
                    Val::Kind(code(*value))
                }
                (_, value) => Val::of_value(value),
            };
            into.add_value(&value, *count);
        }
        for (resource, count) in resources {
            into.add_value(&resource_value(resource, &self.field), *count);
        }
    }

    /// Adds the values on the spans that the filter keeps, of the wanted traces that overlap the window (Unix nanoseconds). Of an
    /// array each element counts; kvlists, bytes and mixed arrays do not.
    pub fn collect(
        &self,
        batch: &Batch,
        window: &RangeInclusive<u64>,
        is_wanted: &dyn Fn(TraceId) -> bool,
        into: &mut ValueSet,
    ) {
        let rows = self.filter.rows(batch);
        let Some(kept) = window::rows_in(batch, window, is_wanted) else { return };
        let kept = &kept & &self.filter.condition_mask(&rows);
        if !kept.has_true() {
            return;
        }
        match &self.field {
            Attribute::Intrinsic(Intrinsic::Name) => {
                texts(batch.name.as_ref(), &kept, &|_| true, into);
            }
            // A span without a message is no choice: live spans have it as an empty text, blocks as a null.
            Attribute::Intrinsic(Intrinsic::StatusMessage) => {
                texts(batch.status_message.as_ref(), &kept, &|text| !text.is_empty(), into);
            }
            Attribute::Named { scope: Scope::Resource | Scope::Instrumentation, .. }
            | Attribute::Intrinsic(
                Intrinsic::InstrumentationName | Intrinsic::InstrumentationVersion,
            ) => self.by_resource(&rows, &kept, into),
            Attribute::Named { scope: Scope::Span, name } => {
                let Some(values) = batch.attributes.get(name) else { return };
                let counted = values.strings.as_ref();
                texts(counted, &kept, &|_| true, into);
                self.by_row(&rows, &kept, counted, into);
            }
            _ => self.by_row(&rows, &kept, None, into),
        }
    }

    /// Row by row; those that have a text in `counted` have been counted by its dictionary already.
    fn by_row(
        &self,
        rows: &Rows<'_>,
        kept: &BooleanBuffer,
        counted: Option<&Strings>,
        into: &mut ValueSet,
    ) {
        let owner = owner_of(&self.field);
        let is_new = |row: &usize| counted.is_none_or(|strings| strings.key(*row).is_none());
        for row in kept.set_indices().filter(is_new) {
            for index in rows.of_row(owner, row) {
                let place = match owner {
                    Owner::Span => Place::span(row),
                    Owner::Event => Place { row, event: Some(index), link: None },
                    Owner::Link => Place { row, event: None, link: Some(index) },
                };
                into.add_value(&rows.value(&self.field, place), 1);
            }
        }
    }

    /// Resources are few: each is looked at once.
    fn by_resource(&self, rows: &Rows<'_>, kept: &BooleanBuffer, into: &mut ValueSet) {
        let batch = rows.batch;
        let mut counts = vec![(0_u64, 0_usize); batch.resources.len()];
        for row in kept.set_indices() {
            let (count, example) = &mut counts[batch.resource[row] as usize];
            *count += 1;
            *example = row;
        }
        for (count, example) in counts.into_iter().filter(|(count, _)| *count > 0) {
            let value = rows.value(&self.field, Place::span(example));
            into.add_value(&value, count);
        }
    }
}

/// Counts by dictionary entry. Nulls are missing.
fn texts(
    strings: Option<&Strings>,
    kept: &BooleanBuffer,
    is_choice: &dyn Fn(&str) -> bool,
    into: &mut ValueSet,
) {
    let Some(strings) = strings else { return };
    let mut counts = vec![0_u64; strings.values().len()];
    for row in kept.set_indices() {
        if let Some(key) = strings.key(row) {
            counts[key] += 1;
        }
    }
    for (entry, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
        let text = strings.values().value(entry);
        if is_choice(text) {
            into.add(TagType::String, text, count);
        }
    }
}

impl ValueSet {
    /// The values with their types and counts, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (TagType, &str, u64)> {
        TagType::ALL.into_iter().zip(&self.values).flat_map(|(kind, values)| {
            values.iter().map(move |(text, count)| (kind, text.as_str(), *count))
        })
    }

    pub fn len(&self) -> usize {
        self.values.iter().map(HashMap::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all texts: what callers limit.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts a value that was seen `count` times.
    pub fn add(&mut self, kind: TagType, text: &str, count: u64) {
        match self.values[kind as usize].entry_ref(text) {
            EntryRef::Occupied(mut known) => *known.get_mut() += count,
            EntryRef::Vacant(place) => {
                place.insert(count);
                self.bytes += text.len();
            }
        }
    }

    /// Counts a resource's, scope's or span's attribute; of an array each element.
    pub fn add_attribute(&mut self, value: &Value) {
        self.add_value(&Val::of_value(value), 1);
    }

    fn add_value(&mut self, value: &Val<'_>, count: u64) {
        let (kind, text) = match value {
            Val::Nil | Val::Other(_) => return,
            Val::Array(items) => {
                for item in *items {
                    self.add_value(&Val::of_value(item), count);
                }
                return;
            }
            Val::Text(text) => return self.add(TagType::String, text, count),
            Val::Bool(value) => (TagType::Bool, value.to_string()),
            Val::Int(value) => (TagType::Int, value.to_string()),
            Val::Float(value) => (TagType::Float, go_float(*value)),
            Val::Duration(value) => (TagType::Duration, go_duration(*value)),
            Val::Status(code) => (TagType::Keyword, status_text(*code)),
            Val::Kind(code) => (TagType::Keyword, kind_text(*code)),
        };
        self.add(kind, &text, count);
    }
}

impl TagType {
    const ALL: [Self; 6] =
        [Self::String, Self::Int, Self::Float, Self::Bool, Self::Duration, Self::Keyword];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Duration => "duration",
            Self::Keyword => "keyword",
        }
    }
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
