//! The value of a field or an expression at one place of a batch.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::Range;

use traceql_grammar::ast::{Attribute, Intrinsic, Scope, Static, UnaryOp};
use traceql_grammar::fold_unary;

use super::plan::{Expr, Owner, Test};
use super::tree::Tree;
use super::value::{Compare, Val, arithmetic, compare};
use crate::columns::{AttributeValues, Batch, Resource, Top};
use crate::trace::{SpanId, TraceId};

/// The attribute that names the service of a resource.
pub(super) const SERVICE_NAME: &str = "service.name";

/// A batch, and what is computed from it once and when it is first asked for.
pub(super) struct Rows<'a> {
    pub(super) batch: &'a Batch,
    pub(super) rootless: bool,
    tree: OnceCell<Tree>,
    /// Row of each event, and of each link.
    of_events: OnceCell<Vec<u32>>,
    of_links: OnceCell<Vec<u32>>,
}

/// Where a value is looked up: a span, or one event or link of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) row: usize,
    /// The one event (index into the batch's events) that is spoken of.
    pub(super) event: Option<usize>,
    pub(super) link: Option<usize>,
}

impl Place {
    pub(super) fn span(row: usize) -> Self {
        Self { row, event: None, link: None }
    }
}

impl<'a> Rows<'a> {
    pub(super) fn new(batch: &'a Batch, rootless: bool) -> Self {
        let (tree, of_events, of_links) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self { batch, rootless, tree, of_events, of_links }
    }

    pub(super) fn tree(&self) -> &Tree {
        self.tree.get_or_init(|| Tree::of(self.batch, self.rootless))
    }

    /// Number of spans, events or links.
    pub(super) fn count(&self, owner: Owner) -> usize {
        match owner {
            Owner::Span => self.batch.rows(),
            Owner::Event => last(self.batch.events.as_ref().map(|events| &events.offsets)),
            Owner::Link => last(self.batch.links.as_ref().map(|links| &links.offsets)),
        }
    }

    /// The events or links of a span.
    pub(super) fn of_row(&self, owner: Owner, row: usize) -> Range<usize> {
        let offsets = match owner {
            Owner::Span => return row..row + 1,
            Owner::Event => self.batch.events.as_ref().map(|events| &events.offsets),
            Owner::Link => self.batch.links.as_ref().map(|links| &links.offsets),
        };
        offsets.map_or(0..0, |offsets| offsets[row] as usize..offsets[row + 1] as usize)
    }

    /// The row of every event or link.
    pub(super) fn rows_of(&self, owner: Owner) -> &[u32] {
        let cell = if owner == Owner::Event { &self.of_events } else { &self.of_links };
        cell.get_or_init(|| {
            let mut rows = Vec::with_capacity(self.count(owner));
            for row in 0..self.batch.rows() {
                let number = u32::try_from(row).expect("a batch holds less than 4 Gi spans");
                rows.extend(self.of_row(owner, row).map(|_| number));
            }
            rows
        })
    }

    /// The place of the `index`-th span, event or link.
    pub(super) fn place(&self, owner: Owner, index: usize) -> Place {
        match owner {
            Owner::Span => Place::span(index),
            Owner::Event => {
                let row = self.rows_of(owner)[index] as usize;
                Place { row, event: Some(index), link: None }
            }
            Owner::Link => {
                let row = self.rows_of(owner)[index] as usize;
                Place { row, event: None, link: Some(index) }
            }
        }
    }

    /// Index of the trace that a span belongs to.
    pub(super) fn trace_of(&self, row: usize) -> usize {
        let after = |first: &u32| *first as usize <= row;
        self.batch.traces.first_row.partition_point(after).saturating_sub(1)
    }

    /// The value of an attribute or intrinsic.
    pub(super) fn value(&self, field: &Attribute, at: Place) -> Val<'a> {
        match field {
            Attribute::Named { scope, name } => self.named(*scope, name, at),
            Attribute::Intrinsic(intrinsic) => self.intrinsic(*intrinsic, at),
            Attribute::OfParent { .. } => Val::Nil,
        }
    }

    fn named(&self, scope: Scope, name: &str, at: Place) -> Val<'a> {
        let resource = || &self.batch.resources[self.batch.resource[at.row] as usize];
        match scope {
            Scope::None => match cell(self.batch.attributes.get(name), at.row) {
                Val::Nil => named_of_resource(resource(), scope, name),
                value => value,
            },
            Scope::Span => cell(self.batch.attributes.get(name), at.row),
            Scope::Resource | Scope::Instrumentation => named_of_resource(resource(), scope, name),
            Scope::Event => {
                let events = self.batch.events.as_ref();
                let values = events.and_then(|events| events.attributes.get(name));
                self.first(Owner::Event, at.event, at.row, |event| cell(values, event))
            }
            Scope::Link => {
                let links = self.batch.links.as_ref();
                let values = links.and_then(|links| links.attributes.get(name));
                self.first(Owner::Link, at.link, at.row, |link| cell(values, link))
            }
        }
    }

    /// The value of the one event that is spoken of, else of the first that has one.
    fn first(
        &self,
        owner: Owner,
        one: Option<usize>,
        row: usize,
        value: impl Fn(usize) -> Val<'a>,
    ) -> Val<'a> {
        match one {
            Some(index) => value(index),
            None => {
                self.of_row(owner, row).map(value).find(|value| !value.is_nil()).unwrap_or(Val::Nil)
            }
        }
    }

    fn intrinsic(&self, intrinsic: Intrinsic, at: Place) -> Val<'a> {
        let (batch, row) = (self.batch, at.row);
        match intrinsic {
            Intrinsic::Duration => Val::duration(batch.duration[row]),
            Intrinsic::Name => text_or_empty(batch.name.as_ref().and_then(|name| name.get(row))),
            Intrinsic::Status => Val::Status(batch.status[row]),
            Intrinsic::StatusMessage => {
                text_or_empty(batch.status_message.as_ref().and_then(|text| text.get(row)))
            }
            Intrinsic::Kind => Val::Kind(batch.kind[row]),
            Intrinsic::SpanId => span_id_text(batch.span_id[row]),
            Intrinsic::ParentId => span_id_text(batch.parent_id[row]),
            Intrinsic::ChildCount => Val::Int(i64::from(self.tree().child_count(row))),
            Intrinsic::RootName
            | Intrinsic::RootService
            | Intrinsic::TraceDuration
            | Intrinsic::TraceId => self.of_trace(intrinsic, self.trace_of(row)),
            Intrinsic::NestedSetLeft => Val::Int(self.tree().left(row)),
            Intrinsic::NestedSetRight => Val::Int(self.tree().right(row)),
            Intrinsic::NestedSetParent => Val::Int(self.tree().parent(row)),
            Intrinsic::EventName => {
                let names = batch.events.as_ref().and_then(|events| events.name.as_ref());
                let name = |event| text_or_empty(names.and_then(|names| names.get(event)));
                self.first(Owner::Event, at.event, row, name)
            }
            Intrinsic::EventTimeSinceStart => {
                let times = batch.events.as_ref().map(|events| &events.time);
                self.first(Owner::Event, at.event, row, |event| {
                    times.map_or(Val::Nil, |times| since(batch.start[row], times[event]))
                })
            }
            Intrinsic::LinkTraceId => {
                let ids = batch.links.as_ref().map(|links| &links.trace_id);
                self.first(Owner::Link, at.link, row, |link| {
                    ids.map_or(Val::Nil, |ids| hex_text(&ids[link], true))
                })
            }
            Intrinsic::LinkSpanId => {
                let ids = batch.links.as_ref().map(|links| &links.span_id);
                self.first(Owner::Link, at.link, row, |link| {
                    ids.map_or(Val::Nil, |ids| hex_text(&ids[link], false))
                })
            }
            Intrinsic::InstrumentationName | Intrinsic::InstrumentationVersion => {
                intrinsic_of_resource(&batch.resources[batch.resource[row] as usize], intrinsic)
            }
            Intrinsic::Parent => Val::Nil,
        }
    }

    /// The intrinsics that all spans of a trace share.
    pub(super) fn of_trace(&self, intrinsic: Intrinsic, trace: usize) -> Val<'a> {
        let traces = &self.batch.traces;
        match intrinsic {
            Intrinsic::RootName => Val::text(traces.root_name(trace)),
            Intrinsic::RootService => Val::text(traces.root_service(trace)),
            Intrinsic::TraceDuration => Val::duration(traces.duration(trace)),
            Intrinsic::TraceId => trace_id_text(traces.id[trace]),
            _ => Val::Nil,
        }
    }

    /// Whether a field passes its test.
    pub(super) fn passes(&self, test: &Test, at: Place) -> bool {
        if test.is_of_roots() {
            return self.is_root(at.row);
        }
        test.check.accepts(&self.value(&test.field, at))
    }

    /// Whether a span is a root, which is told by the column of tops alone.
    pub(super) fn is_root(&self, row: usize) -> bool {
        self.batch.tree.top[row] == Top::Root as u8
    }

    /// The value of an expression.
    pub(super) fn eval(&self, expr: &'a Expr, at: Place) -> Val<'a> {
        match expr {
            Expr::Constant(value) => Val::of_static(value),
            Expr::Field(field) => self.value(field, at),
            Expr::Test(test) => Val::Bool(self.passes(test, at)),
            Expr::Not(inner) => match self.eval(inner, at) {
                Val::Bool(value) => Val::Bool(!value),
                _ => Val::Nil,
            },
            Expr::Neg(inner) => negative(&self.eval(inner, at)),
            Expr::And(items) => {
                Val::Bool(items.iter().all(|item| self.eval(item, at) == Val::Bool(true)))
            }
            Expr::Or(items) => {
                Val::Bool(items.iter().any(|item| self.eval(item, at) == Val::Bool(true)))
            }
            Expr::Binary { op, lhs, rhs } => {
                let (lhs, rhs) = (self.eval(lhs, at), self.eval(rhs, at));
                match Compare::of(*op) {
                    Some(op) => Val::Bool(compare(op, &lhs, &rhs)),
                    None => arithmetic(*op, &lhs, &rhs),
                }
            }
            Expr::Exists { expr, present } => Val::Bool(self.eval(expr, at).is_nil() != *present),
            Expr::Each { owner, expr } => Val::Bool(self.of_row(*owner, at.row).any(|index| {
                let place = match owner {
                    Owner::Span => at,
                    Owner::Event => Place { event: Some(index), ..at },
                    Owner::Link => Place { link: Some(index), ..at },
                };
                self.eval(expr, place) == Val::Bool(true)
            })),
        }
    }
}

fn last(offsets: Option<&Vec<u32>>) -> usize {
    offsets.and_then(|offsets| offsets.last()).map_or(0, |last| *last as usize)
}

fn cell(values: Option<&AttributeValues>, index: usize) -> Val<'_> {
    values.and_then(|values| values.get(index)).map_or(Val::Nil, Val::of_cell)
}

fn text_or_empty(text: Option<&str>) -> Val<'_> {
    Val::text(text.unwrap_or_default())
}

fn negative<'a>(value: &Val<'_>) -> Val<'a> {
    let number = match value {
        Val::Int(value) => Static::Int(*value),
        Val::Float(value) => Static::Float(*value),
        Val::Duration(value) => Static::Duration(*value),
        _ => return Val::Nil,
    };
    match fold_unary(UnaryOp::Neg, &number) {
        Some(Static::Int(value)) => Val::Int(value),
        Some(Static::Float(value)) => Val::Float(value),
        Some(Static::Duration(value)) => Val::Duration(value),
        _ => Val::Nil,
    }
}

fn since<'a>(start: u64, time: u64) -> Val<'a> {
    let nanoseconds = i128::from(time) - i128::from(start);
    let end = if nanoseconds < 0 { i64::MIN } else { i64::MAX };
    Val::Duration(i64::try_from(nanoseconds).unwrap_or(end))
}

fn span_id_text<'a>(id: SpanId) -> Val<'a> {
    Val::Text(Cow::Owned(id.to_string()))
}

fn trace_id_text<'a>(id: TraceId) -> Val<'a> {
    Val::Text(Cow::Owned(id.short_hex()))
}

/// An id of any length in hex; a trace id without leading zeros.
fn hex_text<'a>(id: &[u8], trace: bool) -> Val<'a> {
    let hex = const_hex::encode(id);
    Val::Text(Cow::Owned(if trace { hex.trim_start_matches('0').to_owned() } else { hex }))
}

/// What a resource says of a field: of an unscoped one, where its spans have no value of their own.
pub(super) fn resource_value<'a>(resource: &'a Resource, field: &Attribute) -> Val<'a> {
    match field {
        Attribute::Named { scope, name } => named_of_resource(resource, *scope, name),
        Attribute::Intrinsic(intrinsic) => intrinsic_of_resource(resource, *intrinsic),
        Attribute::OfParent { .. } => Val::Nil,
    }
}

fn named_of_resource<'a>(resource: &'a Resource, scope: Scope, name: &str) -> Val<'a> {
    match scope {
        Scope::Resource => of_resource(resource, name),
        Scope::None => resource.attribute(name).map_or(Val::Nil, Val::of_value),
        Scope::Instrumentation => resource.scope_attribute(name).map_or(Val::Nil, Val::of_value),
        Scope::Span | Scope::Event | Scope::Link => Val::Nil,
    }
}

fn intrinsic_of_resource(resource: &Resource, intrinsic: Intrinsic) -> Val<'_> {
    match intrinsic {
        Intrinsic::InstrumentationName => Val::text(&resource.view().scope_name),
        Intrinsic::InstrumentationVersion => Val::text(&resource.view().scope_version),
        _ => Val::Nil,
    }
}

/// An attribute of a resource. One without a service's name has the empty one, as in Tempo.
pub(super) fn of_resource<'a>(resource: &'a Resource, name: &str) -> Val<'a> {
    match resource.attribute(name) {
        Some(value) => Val::of_value(value),
        None if name == SERVICE_NAME => Val::text(""),
        None => Val::Nil,
    }
}
