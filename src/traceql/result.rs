//! What an answer says of a trace and its spans.

use traceql_grammar::ast::{Attribute, Intrinsic};

use super::order::Rank;
use super::plan::{Expr, Mention, Order, Owner, Plan, owner_of};
use super::rows::{Place, Rows};
use super::spansets::Spanset;
use super::value::Val;
use super::{ServiceCount, SpanMatch, SpansetMatch, TraceMatch};
use crate::columns::{Batch, Top};
use crate::trace::Value;

/// Tells a trace with its spansets, each cut to `spans_max` spans (0: all).
pub(super) fn trace_match(
    rows: &Rows<'_>,
    plan: &Plan,
    trace: usize,
    mut spansets: Vec<Spanset>,
    spans_max: usize,
) -> TraceMatch {
    let order = plan.order.as_ref();
    let rank = order.map(|order| put_in_order(rows, order, &mut spansets)).unwrap_or_default();
    let traces = &rows.batch.traces;
    let service = |stats: &crate::columns::ServiceStats| ServiceCount {
        service: traces.strings.text(stats.service).to_owned(),
        spans: stats.spans,
        errors: stats.errors,
    };
    TraceMatch {
        id: traces.id[trace],
        start: traces.start[trace],
        duration: traces.duration(trace),
        root_service: traces.root_service(trace).to_owned(),
        root_name: traces.root_name(trace).to_owned(),
        services: traces.services(trace).iter().map(service).collect(),
        orphans: orphans(rows.batch, trace),
        rank,
        spansets: spansets
            .into_iter()
            .map(|spanset| spanset_match(rows, plan, spanset, spans_max))
            .collect(),
    }
}

fn orphans(batch: &Batch, trace: usize) -> Option<u32> {
    let tops = batch.tree.top.get(batch.traces.rows(trace))?;
    let is_orphan = |top: &u8| *top == Top::ParentMissing as u8;
    Some(tops.iter().map(|top| u32::from(is_orphan(top))).sum())
}

/// Puts the spansets of a trace in the order that is asked for, and says where the trace stands.
fn put_in_order(rows: &Rows<'_>, order: &Order, spansets: &mut Vec<Spanset>) -> Rank {
    let mut ranked: Vec<(Rank, Spanset)> =
        spansets.drain(..).map(|spanset| (order.of_spanset(rows, &spanset), spanset)).collect();
    ranked.sort_by(|(one, _), (other, _)| one.cmp(other));
    let first = ranked.first().map(|(rank, _)| rank.clone()).unwrap_or_default();
    spansets.extend(ranked.into_iter().map(|(_, spanset)| spanset));
    first
}

fn spanset_match(rows: &Rows<'_>, plan: &Plan, spanset: Spanset, spans_max: usize) -> SpansetMatch {
    let batch = rows.batch;
    let Spanset { members, attributes } = spanset;
    let members = members.into_rows();
    let matched = u32::try_from(members.len()).expect("rows are u32");
    let key = |row: u32| (batch.start[row as usize], batch.span_id[row as usize], row);
    let spans = match &plan.order {
        None => first_by(members, spans_max, key),
        Some(order) => first_by(members, spans_max, |row| (order.of_span(rows, row), key(row))),
    };
    let spans = spans.into_iter().map(|row| span_match(rows, plan, row as usize)).collect();
    SpansetMatch { matched, attributes, spans }
}

/// The first `max` rows (0: all), in order.
fn first_by<K: Ord>(rows: Vec<u32>, max: usize, key: impl Fn(u32) -> K) -> Vec<u32> {
    let mut keyed: Vec<(K, u32)> = rows.into_iter().map(|row| (key(row), row)).collect();
    if max > 0 && max < keyed.len() {
        keyed.select_nth_unstable(max);
        keyed.truncate(max);
    }
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, row)| row).collect()
}

fn span_match(rows: &Rows<'_>, plan: &Plan, row: usize) -> SpanMatch {
    let batch = rows.batch;
    let mut attributes = Vec::new();
    let mut name = None;
    let events = candidates(rows, plan, Owner::Event, row);
    let links = candidates(rows, plan, Owner::Link, row);
    let shown = |mention: &Mention| {
        let places = match owner_of(&mention.field) {
            Owner::Span => &[Place::span(row)][..],
            Owner::Event => &events,
            Owner::Link => &links,
        };
        shown(rows, mention, places)
    };
    for mention in &plan.shown {
        if mention.field == Attribute::Intrinsic(Intrinsic::Name) {
            if let Some(Value::String(text)) = shown(mention) {
                name = Some(text);
            }
        } else if let Some(key) = key_of(&mention.field)
            && let Some(value) = shown(mention)
        {
            attributes.push((key, value));
        }
    }
    let (start, duration) = (batch.start[row], batch.duration[row]);
    SpanMatch { id: batch.span_id[row], start, duration, name, attributes }
}

/// The key without its scope; `None` for what an answer tells elsewhere.
fn key_of(field: &Attribute) -> Option<String> {
    match field {
        Attribute::Named { name, .. } => Some(name.clone()),
        Attribute::Intrinsic(intrinsic) => match intrinsic {
            Intrinsic::Name
            | Intrinsic::Duration
            | Intrinsic::TraceDuration
            | Intrinsic::RootName
            | Intrinsic::RootService
            | Intrinsic::TraceId
            | Intrinsic::SpanId
            | Intrinsic::Parent => None,
            shown => Some(shown.to_string()),
        },
        Attribute::OfParent { .. } => None,
    }
}

/// The events (or links) of a span, those first whose values are shown: those that a condition is true of, then those of which more
/// is shown, then the last ones. So what is shown of one span is of one event where it can be.
fn candidates(rows: &Rows<'_>, plan: &Plan, owner: Owner, row: usize) -> Vec<Place> {
    let mentions: Vec<&Mention> =
        plan.shown.iter().filter(|mention| owner_of(&mention.field) == owner).collect();
    if mentions.is_empty() {
        return Vec::new();
    }
    let mut ranked: Vec<_> = rows
        .of_row(owner, row)
        .map(|index| {
            let place = match owner {
                Owner::Event => Place { row, event: Some(index), link: None },
                Owner::Span | Owner::Link => Place { row, event: None, link: Some(index) },
            };
            let is_true = |(of, expr): &(Owner, Expr)| {
                *of == owner && rows.eval(expr, place) == Val::Bool(true)
            };
            let is_shown = |mention: &&&Mention| {
                accepted(mention, &rows.value(&mention.field, place)).is_some()
            };
            let shown = mentions.iter().filter(is_shown).count();
            ((plan.wanted.iter().any(is_true), shown, index), place)
        })
        .collect();
    ranked.sort_by(|(one, _), (other, _)| other.cmp(one));
    ranked.into_iter().map(|(_, place)| place).collect()
}

/// The first value that is shown. The name of an event reads as empty where there is none.
fn shown(rows: &Rows<'_>, mention: &Mention, places: &[Place]) -> Option<Value> {
    let value =
        places.iter().find_map(|place| accepted(mention, &rows.value(&mention.field, *place)));
    let is_event_name = mention.field == Attribute::Intrinsic(Intrinsic::EventName);
    value.or_else(|| (is_event_name && mention.whole).then(|| Value::String(String::new())))
}

/// A value that one of the comparisons accepts, of an array its accepted elements; all of it if mentioned without a literal.
fn accepted(mention: &Mention, value: &Val<'_>) -> Option<Value> {
    let accepts = |value: &Val<'_>| mention.checks.iter().any(|check| check.accepts(value));
    match value {
        Val::Nil => None,
        value if mention.whole => Some(value.to_value()),
        Val::Array(items) => {
            let mut kept: Vec<Value> =
                items.iter().filter(|item| accepts(&Val::of_value(item))).cloned().collect();
            match kept.len() {
                0 => None,
                1 => kept.pop(),
                _ => Some(Value::Array(kept)),
            }
        }
        value => accepts(value).then(|| value.to_value()),
    }
}

#[cfg(test)]
#[path = "result_tests.rs"]
mod tests;
