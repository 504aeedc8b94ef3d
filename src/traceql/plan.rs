//! The bound form of a query: what the evaluator walks.

use regex::Regex;
use traceql_grammar::ast::{
    AggregateOp, Attribute, BinaryOp, Direction, Form, Intrinsic, Relation, Scope, Static,
};

use super::value::{Compare, IntRange, Val, any_element, compare};

/// A field expression. Chains of `&&` and `||` are flat; tests of events and links stand inside an [`Expr::Each`].
#[derive(Debug, Clone)]
pub(super) enum Expr {
    Constant(Static),
    Field(Attribute),
    /// `field op literal`, the common leaf.
    Test(Test),
    Not(Box<Expr>),
    Neg(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    /// Arithmetic, or a comparison that is not a [`Test`].
    Binary {
        op: BinaryOp,
        lhs: Box<Expr>,
        rhs: Box<Expr>,
    },
    Exists {
        expr: Box<Expr>,
        present: bool,
    },
    /// True if one event (or link) of the span satisfies the expression whole.
    Each {
        owner: Owner,
        expr: Box<Expr>,
    },
}

/// What a value belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Span,
    Event,
    Link,
}

#[derive(Debug, Clone)]
pub(super) struct Test {
    pub(super) field: Attribute,
    pub(super) check: Check,
}

/// What a [`Test`] asks of a value.
#[derive(Debug, Clone)]
pub(super) enum Check {
    Compare(Compare, Static),
    Match {
        /// As it was written.
        text: String,
        pattern: Regex,
        negated: bool,
    },
}

/// A stage of a pipeline.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    Spansets(Spansets),
    Scalar(ScalarFilter),
    GroupBy {
        expr: Expr,
        /// `by(<expr>)`: the name of the spanset's attribute.
        label: String,
    },
    Coalesce,
    /// Of each trace its earliest span.
    Traces,
}

#[derive(Debug, Clone)]
pub(super) enum Spansets {
    /// Index into [`Plan::filters`].
    Filter(usize),
    Both(Box<Spansets>, Box<Spansets>),
    Either(Box<Spansets>, Box<Spansets>),
    /// The left side where the right side has nothing.
    Without(Box<Spansets>, Box<Spansets>),
    Structural {
        relation: Relation,
        form: Form,
        lhs: Box<Spansets>,
        rhs: Box<Spansets>,
    },
    Pipeline(Vec<Stage>),
}

/// `aggregate op literal`.
#[derive(Debug, Clone)]
pub(super) struct ScalarFilter {
    pub(super) aggregate: AggregateOp,
    /// `None` for `count()`.
    pub(super) argument: Option<Expr>,
    /// The aggregate's text: the name of the spanset's attribute.
    pub(super) label: String,
    pub(super) op: Compare,
    pub(super) operand: Static,
}

/// By what an answer is ordered.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) key: OrderKey,
    pub(super) direction: Direction,
}

#[derive(Debug, Clone)]
pub(super) enum OrderKey {
    /// Spans, and what they are in, by their values.
    Field(Expr),
    /// Spansets by an aggregate.
    Aggregate(AggregateOp, Option<Expr>),
}

/// A bound pipeline.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    /// The expressions of all `{ }`.
    pub(super) filters: Vec<Expr>,
    pub(super) stages: Vec<Stage>,
    /// All fields that are read.
    pub(super) mentions: Vec<Mention>,
    /// What is told of each span: the mentions, but an unscoped one as both of the fields that it may be.
    pub(super) shown: Vec<Mention>,
    /// What some condition asks of one event, or of one link: those that satisfy it are shown rather than others.
    pub(super) wanted: Vec<(Owner, Expr)>,
    pub(super) order: Option<Order>,
    /// Structural operators relate spans under any top, not only under roots.
    pub(super) rootless: bool,
}

/// How a query speaks of one attribute, which decides what of it is shown.
#[derive(Debug, Clone)]
pub(super) struct Mention {
    pub(super) field: Attribute,
    /// Mentioned without a literal: shown whatever it is.
    pub(super) whole: bool,
    /// All literals that it is compared with.
    pub(super) checks: Vec<Check>,
}

impl Expr {
    /// Whether its value is always true or false, never nil.
    pub(super) fn is_boolean(&self) -> bool {
        match self {
            Self::Constant(value) => matches!(value, Static::Bool(_)),
            Self::Test(_)
            | Self::And(_)
            | Self::Or(_)
            | Self::Exists { .. }
            | Self::Each { .. } => true,
            Self::Binary { op, .. } => !op.is_arithmetic(),
            Self::Not(inner) => inner.is_boolean(),
            Self::Field(_) | Self::Neg(_) => false,
        }
    }

    /// The conditions on one event or link that help to make it true.
    pub(super) fn wanted<'a>(&'a self, into: &mut Vec<(Owner, &'a Self)>) {
        match self {
            Self::And(items) | Self::Or(items) => {
                for item in items {
                    item.wanted(into);
                }
            }
            Self::Each { owner, expr } => into.push((*owner, expr)),
            _ => {}
        }
    }

    /// Whether it is the constant false: nil is no match either.
    pub(super) fn is_never(&self) -> bool {
        match self {
            Self::Constant(value) => *value != Static::Bool(true),
            Self::And(items) => items.iter().any(Self::is_never),
            Self::Or(items) => items.iter().all(Self::is_never),
            Self::Each { expr, .. } => expr.is_never(),
            _ => false,
        }
    }
}

impl Test {
    /// Whether it is `nestedSetParent < 0`, in whatever way: just the roots pass, and why each span is a top is enough to know them.
    pub(super) fn is_of_roots(&self) -> bool {
        is_of_roots(&self.field, &self.check)
    }
}

/// As [`Test::is_of_roots`].
pub(super) fn is_of_roots(field: &Attribute, check: &Check) -> bool {
    *field == Attribute::Intrinsic(Intrinsic::NestedSetParent)
        && check
            .int_range()
            .and_then(IntRange::bounds)
            .is_some_and(|(least, most)| least < 0 && most == -1)
}

impl Check {
    /// Whether the value passes; of an array any element.
    pub(super) fn accepts(&self, value: &Val<'_>) -> bool {
        match self {
            Self::Compare(op, operand) => compare(*op, value, &Val::of_static(operand)),
            Self::Match { pattern, negated, .. } => match value {
                Val::Text(text) => pattern.is_match(text) != *negated,
                Val::Array(items) => any_element(items, |item| self.accepts(item)),
                _ => false,
            },
        }
    }

    pub(super) fn accepts_text(&self, text: &str) -> bool {
        self.accepts(&Val::text(text))
    }

    /// The ints that pass, where the operand is a number.
    pub(super) fn int_range(&self) -> Option<IntRange> {
        match self {
            Self::Compare(op, operand) => IntRange::of(*op, &Val::of_static(operand)),
            Self::Match { .. } => None,
        }
    }
}

/// What a field belongs to.
pub(super) fn owner_of(field: &Attribute) -> Owner {
    match field {
        Attribute::Named { scope: Scope::Event, .. }
        | Attribute::Intrinsic(Intrinsic::EventName | Intrinsic::EventTimeSinceStart) => {
            Owner::Event
        }
        Attribute::Named { scope: Scope::Link, .. }
        | Attribute::Intrinsic(Intrinsic::LinkTraceId | Intrinsic::LinkSpanId) => Owner::Link,
        _ => Owner::Span,
    }
}
