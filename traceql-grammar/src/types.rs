//! What is known of a value before any span is read.

use crate::ast::{
    Aggregate, AggregateOp, Attribute, BinaryOp, ExprKind, FieldExpr, Intrinsic, ScalarExpr,
    Static, UnaryOp,
};
use std::fmt;

/// The type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// Only `nil` itself.
    Nil,
    /// Whatever the attribute turns out to be.
    Unknown,
    Int,
    Float,
    String,
    Bool,
    Duration,
    Status,
    Kind,
}

impl Type {
    /// Ints, floats and durations, which mix freely.
    pub fn is_numeric(self) -> bool {
        matches!(self, Self::Int | Self::Float | Self::Duration)
    }

    /// Whether two operands of these types may stand beside one operator.
    pub fn matches(self, other: Self) -> bool {
        let free = |side| matches!(side, Self::Unknown | Self::Nil);
        self == other || free(self) || free(other) || (self.is_numeric() && other.is_numeric())
    }

    /// Whether `op` is made for operands of this type.
    pub fn allows(self, op: BinaryOp) -> bool {
        match self {
            Self::Unknown => true,
            Self::Int | Self::Float | Self::Duration => {
                op.is_arithmetic() || op.is_equality() || op.is_ordering()
            }
            Self::String => {
                op.is_equality()
                    || op.is_ordering()
                    || matches!(op, BinaryOp::Regex | BinaryOp::NotRegex)
            }
            Self::Bool => op.is_logical() || op.is_equality(),
            Self::Status | Self::Kind | Self::Nil => op.is_equality(),
        }
    }

    /// Whether `op` is made for an operand of this type.
    pub fn allows_unary(self, op: UnaryOp) -> bool {
        match op {
            UnaryOp::Neg => self.is_numeric() || self == Self::Unknown,
            UnaryOp::Not => matches!(self, Self::Bool | Self::Unknown),
        }
    }
}

impl fmt::Display for Type {
    /// With its article, as in `name is a string`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nil => "nil",
            Self::Unknown => "an attribute",
            Self::Int => "an int",
            Self::Float => "a float",
            Self::String => "a string",
            Self::Bool => "a boolean",
            Self::Duration => "a duration",
            Self::Status => "a status",
            Self::Kind => "a kind",
        })
    }
}

impl Static {
    /// The type of the literal.
    pub fn static_type(&self) -> Type {
        match self {
            Self::Nil => Type::Nil,
            Self::Int(_) => Type::Int,
            Self::Float(_) => Type::Float,
            Self::String(_) => Type::String,
            Self::Bool(_) => Type::Bool,
            Self::Duration(_) => Type::Duration,
            Self::Status(_) => Type::Status,
            Self::Kind(_) => Type::Kind,
        }
    }
}

impl Intrinsic {
    /// The type of the intrinsic. The two of an instrumentation scope count as unknown, as in Tempo,
    /// which lets them be compared with anything.
    pub fn static_type(self) -> Type {
        match self {
            Self::Duration | Self::TraceDuration | Self::EventTimeSinceStart => Type::Duration,
            Self::Name
            | Self::StatusMessage
            | Self::SpanId
            | Self::ParentId
            | Self::RootName
            | Self::RootService
            | Self::TraceId
            | Self::EventName
            | Self::LinkTraceId
            | Self::LinkSpanId => Type::String,
            Self::Status => Type::Status,
            Self::Kind => Type::Kind,
            Self::ChildCount
            | Self::NestedSetLeft
            | Self::NestedSetRight
            | Self::NestedSetParent => Type::Int,
            Self::InstrumentationName | Self::InstrumentationVersion => Type::Unknown,
            Self::Parent => Type::Nil,
        }
    }
}

impl Attribute {
    /// The type of the intrinsic; unknown for what a user named.
    pub fn static_type(&self) -> Type {
        match self {
            Self::Intrinsic(intrinsic) => intrinsic.static_type(),
            Self::Named { .. } | Self::OfParent { .. } => Type::Unknown,
        }
    }
}

impl FieldExpr {
    /// The type of the value, as far as it is known without a span.
    pub fn static_type(&self) -> Type {
        match &self.kind {
            ExprKind::Static(value) => value.static_type(),
            ExprKind::Attribute(attribute) => attribute.static_type(),
            ExprKind::Unary { expr, .. } => expr.static_type(),
            ExprKind::Exists { .. } => Type::Bool,
            ExprKind::Binary { op, lhs, rhs } => {
                computed(*op, || lhs.static_type(), || rhs.static_type())
            }
        }
    }

    /// Whether the value depends on the span: an attribute or intrinsic is in it.
    pub fn references_span(&self) -> bool {
        match &self.kind {
            ExprKind::Static(_) => false,
            ExprKind::Attribute(_) => true,
            ExprKind::Unary { expr, .. } | ExprKind::Exists { expr, .. } => expr.references_span(),
            ExprKind::Binary { lhs, rhs, .. } => lhs.references_span() || rhs.references_span(),
        }
    }
}

impl Aggregate {
    /// An int for `count()` and `count_distinct()`, else the type of the argument.
    pub fn static_type(&self) -> Type {
        match (self.op, &self.argument) {
            (AggregateOp::Count | AggregateOp::CountDistinct, _) | (_, None) => Type::Int,
            (_, Some(argument)) => argument.static_type(),
        }
    }
}

impl ScalarExpr {
    /// The type of the value.
    pub fn static_type(&self) -> Type {
        match self {
            Self::Aggregate(aggregate) | Self::Pipeline(_, aggregate) => aggregate.static_type(),
            Self::Static(value) => value.static_type(),
            Self::Binary { op, lhs, rhs, .. } => {
                computed(*op, || lhs.static_type(), || rhs.static_type())
            }
        }
    }
}

/// Arithmetic has the type of its left side, or of the right one when that is unknown.
fn computed(op: BinaryOp, lhs: impl FnOnce() -> Type, rhs: impl FnOnce() -> Type) -> Type {
    if !op.is_arithmetic() {
        return Type::Bool;
    }
    match lhs() {
        Type::Unknown => rhs(),
        known => known,
    }
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;
