//! What a query needs of storage: the columns it reads, and what a trace must have to matter.

use traceql_grammar::ast::{Attribute, Form, Intrinsic, Scope, Static, Status};

use super::plan::{self, Check, Expr, Mention, Plan, Spansets, Stage, Test};
use super::rows::SERVICE_NAME;
use super::value::Compare;
use crate::columns::{Projection, SpanColumn};
use crate::scan::{Need, NeedScope, NeedValue};
use crate::trace::TraceId;

/// Most alternatives of a pattern that are looked for one by one: past that reading costs less than asking.
const ALTERNATIVES_MAX: usize = 64;

/// The columns that evaluating a plan and telling its results read.
pub(super) fn projection(plan: &Plan) -> Projection {
    fields(plan).with([SpanColumn::SpanId, SpanColumn::Start, SpanColumn::Duration])
}

/// The columns that evaluating a plan and telling what it mentions reads.
pub(super) fn fields(plan: &Plan) -> Projection {
    fields_if(plan, |_| true)
}

/// The columns that evaluating a plan reads, if nothing of the spans is told.
pub(super) fn untold_fields(plan: &Plan) -> Projection {
    let is_of_roots = |mention: &Mention| {
        let Mention { field, whole, checks } = mention;
        let all = || checks.iter().all(|check| plan::is_of_roots(field, check));
        !whole && !checks.is_empty() && all()
    };
    let mut projection = fields_if(plan, |mention| !is_of_roots(mention));
    if plan.mentions.iter().any(is_of_roots) {
        projection.columns.insert(SpanColumn::Tops);
    }
    projection
}

fn fields_if(plan: &Plan, is_read: impl Fn(&Mention) -> bool) -> Projection {
    let mut projection = Projection::default();
    for mention in plan.mentions.iter().filter(|mention| is_read(mention)) {
        add_field(&mut projection, &mention.field);
    }
    if stages_relate(&plan.stages) {
        projection.columns.insert(SpanColumn::Tree);
    }
    if stages_take_first(&plan.stages) {
        projection.columns.extend([SpanColumn::SpanId, SpanColumn::Start, SpanColumn::Kind]);
    }
    projection
}

/// The columns that tell which traces the first stage may leave something of.
pub(super) fn first_fields(plan: &Plan) -> Projection {
    let mut projection = Projection::default();
    if let Some(Stage::Spansets(expr)) = plan.stages.first() {
        add_spansets(&mut projection, plan, expr);
    }
    projection
}

fn add_spansets(projection: &mut Projection, plan: &Plan, expr: &Spansets) {
    match expr {
        Spansets::Filter(filter) => add_expr(projection, &plan.filters[*filter]),
        // What the other side is decides nothing yet.
        Spansets::Structural { form: Form::Negated, rhs: kept, .. }
        | Spansets::Without(kept, _) => {
            add_spansets(projection, plan, kept);
        }
        Spansets::Both(lhs, rhs)
        | Spansets::Either(lhs, rhs)
        | Spansets::Structural { lhs, rhs, .. } => {
            add_spansets(projection, plan, lhs);
            add_spansets(projection, plan, rhs);
        }
        Spansets::Pipeline(stages) => {
            if let Some(Stage::Spansets(expr)) = stages.first() {
                add_spansets(projection, plan, expr);
            }
        }
    }
}

fn add_expr(projection: &mut Projection, expr: &Expr) {
    match expr {
        Expr::Constant(_) => {}
        Expr::Test(test) if test.is_of_roots() => {
            projection.columns.insert(SpanColumn::Tops);
        }
        Expr::Field(field) | Expr::Test(Test { field, .. }) => add_field(projection, field),
        Expr::Not(inner) | Expr::Neg(inner) => add_expr(projection, inner),
        Expr::Exists { expr: inner, .. } | Expr::Each { expr: inner, .. } => {
            add_expr(projection, inner);
        }
        Expr::And(items) | Expr::Or(items) => {
            for item in items {
                add_expr(projection, item);
            }
        }
        Expr::Binary { lhs, rhs, .. } => {
            add_expr(projection, lhs);
            add_expr(projection, rhs);
        }
    }
}

/// Adds what reading the field takes.
pub(super) fn add_field(projection: &mut Projection, field: &Attribute) {
    let column = match field {
        Attribute::Named { scope, name } => match scope {
            Scope::Span => {
                projection.attributes.insert(name.clone());
                return;
            }
            Scope::None => {
                projection.attributes.insert(name.clone());
                SpanColumn::Resource
            }
            Scope::Resource | Scope::Instrumentation => SpanColumn::Resource,
            Scope::Event => {
                let events = projection.events.get_or_insert_default();
                events.attributes.insert(name.clone());
                return;
            }
            Scope::Link => {
                projection.links.get_or_insert_default().attributes.insert(name.clone());
                return;
            }
        },
        Attribute::Intrinsic(intrinsic) => match intrinsic_column(*intrinsic) {
            Some(column) => column,
            None => return add_child(projection, *intrinsic),
        },
        Attribute::OfParent { .. } => return,
    };
    projection.columns.insert(column);
}

fn intrinsic_column(intrinsic: Intrinsic) -> Option<SpanColumn> {
    Some(match intrinsic {
        Intrinsic::Duration => SpanColumn::Duration,
        Intrinsic::Name => SpanColumn::Name,
        Intrinsic::Status => SpanColumn::Status,
        Intrinsic::StatusMessage => SpanColumn::StatusMessage,
        Intrinsic::Kind => SpanColumn::Kind,
        Intrinsic::SpanId => SpanColumn::SpanId,
        Intrinsic::ParentId => SpanColumn::ParentId,
        Intrinsic::ChildCount
        | Intrinsic::NestedSetLeft
        | Intrinsic::NestedSetRight
        | Intrinsic::NestedSetParent => SpanColumn::Tree,
        Intrinsic::InstrumentationName | Intrinsic::InstrumentationVersion => SpanColumn::Resource,
        Intrinsic::RootName
        | Intrinsic::RootService
        | Intrinsic::TraceDuration
        | Intrinsic::TraceId
        | Intrinsic::EventName
        | Intrinsic::EventTimeSinceStart
        | Intrinsic::LinkTraceId
        | Intrinsic::LinkSpanId
        | Intrinsic::Parent => return None,
    })
}

fn add_child(projection: &mut Projection, intrinsic: Intrinsic) {
    match intrinsic {
        Intrinsic::EventName => projection.events.get_or_insert_default().name = true,
        Intrinsic::EventTimeSinceStart => {
            projection.events.get_or_insert_default().time = true;
            projection.columns.insert(SpanColumn::Start);
        }
        Intrinsic::LinkTraceId | Intrinsic::LinkSpanId => {
            projection.links.get_or_insert_default().ids = true;
        }
        _ => {}
    }
}

/// Whether the order of spans in time decides what is left.
fn stages_take_first(stages: &[Stage]) -> bool {
    stages.iter().any(|stage| match stage {
        Stage::Traces => true,
        Stage::Spansets(expr) => takes_first(expr),
        Stage::Scalar(_) | Stage::GroupBy { .. } | Stage::Coalesce => false,
    })
}

fn takes_first(expr: &Spansets) -> bool {
    match expr {
        Spansets::Filter(_) => false,
        Spansets::Both(lhs, rhs)
        | Spansets::Either(lhs, rhs)
        | Spansets::Without(lhs, rhs)
        | Spansets::Structural { lhs, rhs, .. } => takes_first(lhs) || takes_first(rhs),
        Spansets::Pipeline(stages) => stages_take_first(stages),
    }
}

fn stages_relate(stages: &[Stage]) -> bool {
    stages.iter().any(|stage| matches!(stage, Stage::Spansets(expr) if relates(expr)))
}

fn relates(expr: &Spansets) -> bool {
    match expr {
        Spansets::Filter(_) => false,
        Spansets::Structural { .. } => true,
        Spansets::Both(lhs, rhs) | Spansets::Either(lhs, rhs) | Spansets::Without(lhs, rhs) => {
            relates(lhs) || relates(rhs)
        }
        Spansets::Pipeline(stages) => stages_relate(stages),
    }
}

/// Whether no span can be left after the stages, whatever the data.
pub(super) fn is_never(plan: &Plan, stages: &[Stage]) -> bool {
    stages.iter().any(|stage| matches!(stage, Stage::Spansets(expr) if keeps_nothing(plan, expr)))
}

fn keeps_nothing(plan: &Plan, expr: &Spansets) -> bool {
    match expr {
        Spansets::Filter(filter) => plan.filters[*filter].is_never(),
        Spansets::Structural { form: Form::Negated, rhs: kept, .. }
        | Spansets::Without(kept, _) => keeps_nothing(plan, kept),
        Spansets::Both(lhs, rhs) | Spansets::Structural { lhs, rhs, .. } => {
            keeps_nothing(plan, lhs) || keeps_nothing(plan, rhs)
        }
        Spansets::Either(lhs, rhs) => keeps_nothing(plan, lhs) && keeps_nothing(plan, rhs),
        Spansets::Pipeline(stages) => is_never(plan, stages),
    }
}

/// What a trace must have somewhere in it for a span to be left after the stages.
pub(super) fn of_stages(plan: &Plan, stages: &[Stage]) -> Need {
    // Every filter must leave a span; grouping and aggregates only take away.
    all(stages.iter().filter_map(|stage| match stage {
        Stage::Spansets(expr) => Some(of_spansets(plan, expr)),
        Stage::Scalar(_) | Stage::GroupBy { .. } | Stage::Coalesce | Stage::Traces => None,
    }))
}

fn of_spansets(plan: &Plan, expr: &Spansets) -> Need {
    match expr {
        Spansets::Filter(filter) => of_condition(&plan.filters[*filter]),
        Spansets::Structural { form: Form::Negated, rhs: kept, .. }
        | Spansets::Without(kept, _) => of_spansets(plan, kept),
        Spansets::Both(lhs, rhs) | Spansets::Structural { lhs, rhs, .. } => {
            all([of_spansets(plan, lhs), of_spansets(plan, rhs)])
        }
        Spansets::Either(lhs, rhs) => any([of_spansets(plan, lhs), of_spansets(plan, rhs)]),
        Spansets::Pipeline(stages) => of_stages(plan, stages),
    }
}

/// What must be there for the condition to be true of a span.
fn of_condition(expr: &Expr) -> Need {
    match expr {
        Expr::Constant(Static::Bool(true)) => Need::Anything,
        Expr::Constant(_) => Need::Any(Vec::new()),
        Expr::Field(field) => equals(field, NeedValue::Bool(true)),
        Expr::Test(test) => of_test(test),
        Expr::And(items) => all(items.iter().map(of_condition)),
        Expr::Or(items) => any(items.iter().map(of_condition)),
        Expr::Each { expr, .. } => of_condition(expr),
        Expr::Exists { expr, present: true } => required(expr),
        Expr::Binary { op, lhs, rhs } if !op.is_arithmetic() => all([required(lhs), required(rhs)]),
        Expr::Not(inner) => match &**inner {
            Expr::Field(field) => has(field),
            _ => Need::Anything,
        },
        Expr::Exists { .. } | Expr::Binary { .. } | Expr::Neg(_) => Need::Anything,
    }
}

/// What must be there for the expression not to be nil.
fn required(expr: &Expr) -> Need {
    match expr {
        Expr::Field(field) => has(field),
        Expr::Neg(inner) => required(inner),
        Expr::Binary { op, lhs, rhs } if op.is_arithmetic() => all([required(lhs), required(rhs)]),
        _ => Need::Anything,
    }
}

fn of_test(test: &Test) -> Need {
    let Test { field, check } = test;
    match (field, check) {
        (Attribute::Intrinsic(Intrinsic::Duration), check) => of_duration(check),
        (
            Attribute::Intrinsic(Intrinsic::Status),
            Check::Compare(Compare::Eq, Static::Status(Status::Error)),
        ) => Need::StatusError,
        (
            Attribute::Intrinsic(Intrinsic::TraceId),
            Check::Compare(Compare::Eq, Static::String(id)),
        ) => TraceId::parse(id).map_or(Need::Anything, Need::Trace),
        (_, Check::Compare(Compare::Eq, literal)) => match value_of(literal) {
            Some(value) => equals(field, value),
            None => has(field),
        },
        (_, Check::Match { text, negated: false, .. }) => match alternatives(text) {
            Some(texts) => any(texts.map(|text| equals(field, NeedValue::String(text.to_owned())))),
            None => has(field),
        },
        (_, Check::Compare(..) | Check::Match { .. }) => has(field),
    }
}

fn of_duration(check: &Check) -> Need {
    let Some((least, most)) = check.int_range().and_then(super::value::IntRange::bounds) else {
        return Need::Anything;
    };
    let at_least = u64::try_from(least).ok().filter(|least| *least > 0).map(Need::DurationAtLeast);
    // A span of more than 292 years reads as one of that length.
    let at_most = u64::try_from(most).ok().filter(|_| most < i64::MAX).map(Need::DurationAtMost);
    all(at_least.into_iter().chain(at_most))
}

fn value_of(literal: &Static) -> Option<NeedValue> {
    Some(match literal {
        Static::String(text) => NeedValue::String(text.clone()),
        Static::Int(value) | Static::Duration(value) => NeedValue::Int(*value),
        Static::Float(value) if !value.is_nan() => NeedValue::Double(*value),
        Static::Bool(value) => NeedValue::Bool(*value),
        _ => return None,
    })
}

/// The texts that a pattern without any operator but `|` matches.
fn alternatives(pattern: &str) -> Option<impl Iterator<Item = &str>> {
    let plain = !pattern.contains(|c| r"\.+*?()[]{}^$".contains(c));
    (plain && pattern.split('|').count() <= ALTERNATIVES_MAX).then(|| pattern.split('|'))
}

fn equals(field: &Attribute, value: NeedValue) -> Need {
    match (field, value) {
        (Attribute::Intrinsic(Intrinsic::Name), NeedValue::String(name)) => Need::NameEquals(name),
        // A root is a span of the trace. Without one the name reads as empty.
        (Attribute::Intrinsic(Intrinsic::RootName), NeedValue::String(name))
            if !name.is_empty() =>
        {
            Need::NameEquals(name)
        }
        (Attribute::Intrinsic(Intrinsic::RootService), NeedValue::String(name))
            if !name.is_empty() =>
        {
            let (key, value) = (SERVICE_NAME.to_owned(), NeedValue::String(name));
            Need::Equals { scope: NeedScope::Resource, key, value }
        }
        // One without a name reads as empty, and no block's index knows it.
        (Attribute::Named { scope: Scope::Resource, name }, NeedValue::String(value))
            if name == SERVICE_NAME && value.is_empty() =>
        {
            Need::Anything
        }
        (Attribute::Named { scope, name }, value) => {
            Need::Equals { scope: need_scope(*scope), key: name.clone(), value }
        }
        _ => Need::Anything,
    }
}

pub(super) fn has(field: &Attribute) -> Need {
    match field {
        Attribute::Named { scope: Scope::Resource, name } if name == SERVICE_NAME => Need::Anything,
        Attribute::Named { scope, name } => {
            Need::HasAttribute { scope: need_scope(*scope), key: name.clone() }
        }
        Attribute::Intrinsic(_) | Attribute::OfParent { .. } => Need::Anything,
    }
}

pub(super) fn need_scope(scope: Scope) -> NeedScope {
    match scope {
        Scope::None => NeedScope::SpanOrResource,
        Scope::Span => NeedScope::Span,
        Scope::Resource => NeedScope::Resource,
        Scope::Event => NeedScope::Event,
        Scope::Link => NeedScope::Link,
        Scope::Instrumentation => NeedScope::Instrumentation,
    }
}

pub(super) fn all(needs: impl IntoIterator<Item = Need>) -> Need {
    let mut parts: Vec<Need> = Vec::new();
    for need in needs {
        match need {
            Need::Anything => {}
            Need::All(inner) => parts.extend(inner),
            need => parts.push(need),
        }
    }
    match parts.len() {
        0 => Need::Anything,
        1 => parts.remove(0),
        _ => Need::All(parts),
    }
}

pub(super) fn any(needs: impl IntoIterator<Item = Need>) -> Need {
    let mut parts: Vec<Need> = Vec::new();
    for need in needs {
        match need {
            Need::Anything => return Need::Anything,
            Need::Any(inner) => parts.extend(inner),
            need => parts.push(need),
        }
    }
    if parts.len() == 1 { parts.remove(0) } else { Need::Any(parts) }
}

#[cfg(test)]
#[path = "need_tests.rs"]
mod tests;
