//! `compare()`: how often each value of each attribute is in a selection of the spans, and how often in the rest.

use std::cell::Cell;
use std::collections::BTreeMap;

use traceql_grammar::ast::{Attribute, FieldExpr, Intrinsic, Scope};

use crate::evaluate_field::is_true;
use crate::evaluate_metrics::{Counted, Seen, Series, Slots};
use crate::evaluate_search::group_key;
use crate::evaluate_second::by_value;
use crate::evaluate_trace::{Owner, named};
use crate::evaluate_value::Val;
use crate::model::Attributes;

/// The arguments of `compare()`.
pub(crate) struct Compare<'a> {
    pub(crate) selection: &'a FieldExpr,
    pub(crate) top: i64,
    /// Unix nanoseconds, both 0 if there are none: the selection starts after the one and not after the other.
    pub(crate) window: [i64; 2],
    /// Whether it is not said which of two values goes first.
    pub(crate) is_open: Cell<bool>,
}

/// The spans of one side that have a value.
struct Value {
    value: Val,
    seen: Vec<Seen>,
}

impl Compare<'_> {
    pub(crate) fn series(&self, spans: &[Counted<'_>], slots: &Slots) -> Vec<Series> {
        let mut all = Vec::new();
        for (side, is_selection) in [("baseline", false), ("selection", true)] {
            let spans: Vec<&Counted<'_>> =
                spans.iter().filter(|span| self.is_selected(span) == is_selection).collect();
            for (key, values) in Self::values(&spans) {
                let total: Vec<Seen> =
                    values.iter().flat_map(|value| value.seen.iter().cloned()).collect();
                let nil = Val::Text("nil".to_owned());
                all.push(series(&format!("{side}_total"), &key, nil, total, slots));
                for Value { value, seen } in self.most_frequent(values) {
                    all.push(series(side, &key, value, seen, slots));
                }
            }
        }
        all
    }

    fn is_selected(&self, span: &Counted<'_>) -> bool {
        let start = span.start().cast_signed();
        let [first, last] = self.window;
        let is_in = self.window == [0, 0] || (first < start && start <= last);
        is_in && is_true(span.trace, span.place, self.selection)
    }

    fn most_frequent(&self, mut values: Vec<Value>) -> Vec<Value> {
        // Of equal counts the first by value.
        values.sort_by(|one, other| {
            let order = other.seen.len().cmp(&one.seen.len());
            let by_text = || one.value.told().cmp(&other.value.told());
            order.then_with(|| by_value(&one.value, &other.value).unwrap_or_else(by_text))
        });
        let left = values.split_off(values.len().min(usize::try_from(self.top).unwrap()));
        let is_open = values.iter().any(|kept| {
            left.iter().any(|left| {
                kept.seen.len() == left.seen.len() && by_value(&kept.value, &left.value).is_none()
            })
        });
        self.is_open.set(self.is_open.get() || is_open);
        values
    }

    fn values(spans: &[&Counted<'_>]) -> BTreeMap<String, Vec<Value>> {
        let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for span in spans {
            for (key, value) in Self::of_span(span) {
                let seen = Seen {
                    trace: span.trace.id,
                    start: span.start(),
                    stamp: span.stamp,
                    value: Val::Nil,
                };
                let known = all.entry(key).or_default();
                let group = group_key(&value);
                match known.iter_mut().find(|known| group_key(&known.value) == group) {
                    Some(known) => known.seen.push(seen),
                    None => known.push(Value { value, seen: vec![seen] }),
                }
            }
        }
        all
    }

    /// Every attribute of the span, its resource and its scope, and what all spans have.
    fn of_span(counted: &Counted<'_>) -> BTreeMap<String, Val> {
        let span = &counted.trace.spans[counted.place];
        let mut all = BTreeMap::new();
        let scopes = [
            (Scope::Span, &span.attributes),
            (Scope::Resource, &span.resource),
            (Scope::Instrumentation, &span.scope.attributes),
        ];
        for (scope, attributes) in scopes {
            add(scope, attributes, &mut all);
        }
        let service = Attribute::Named { scope: Scope::Resource, name: "service.name".to_owned() };
        let value = |what: &Attribute| counted.trace.value(counted.place, what, Owner::default());
        all.insert(service.to_string(), value(&service));
        let always = [
            Intrinsic::Name,
            Intrinsic::Status,
            Intrinsic::StatusMessage,
            Intrinsic::Kind,
            Intrinsic::RootName,
            Intrinsic::RootService,
            Intrinsic::InstrumentationName,
            Intrinsic::InstrumentationVersion,
        ];
        let always = always.map(Attribute::Intrinsic);
        for attribute in &always {
            all.insert(attribute.to_string(), value(attribute));
        }
        all
    }
}

fn add(scope: Scope, attributes: &Attributes, all: &mut BTreeMap<String, Val>) {
    for (name, _) in attributes {
        let value = named(attributes, name);
        if value != Val::Nil {
            all.insert(Attribute::Named { scope, name: name.clone() }.to_string(), value);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful of spans")]
fn series(side: &str, key: &str, value: Val, seen: Vec<Seen>, slots: &Slots) -> Series {
    let labels =
        vec![("__meta_type".to_owned(), Val::Text(side.to_owned())), (key.to_owned(), value)];
    let count = |stamp| seen.iter().filter(|seen| seen.stamp == stamp).count() as f64;
    let samples = slots.stamps().map(|stamp| (stamp, count(stamp))).collect();
    Series { labels, samples, seen }
}
