//! The typed tree of a query. Every node that a message may point at carries its byte range in the text.

use std::ops::Range;

/// Byte range of a node in the query text.
pub type Span = Range<usize>;

/// A whole query: a spanset pipeline, an optional metrics stage, hints.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub pipeline: Pipeline,
    pub metrics: Option<Metrics>,
    /// Of several `with (...)` groups only the last counts, as in Tempo.
    pub hints: Vec<Hint>,
}

/// Stages joined by `|`. Never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    pub stages: Vec<Stage>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    Spansets(SpansetExpr),
    Scalar(ScalarFilter),
    GroupBy(FieldExpr),
    Select(Vec<Attribute>),
    Coalesce,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SpansetExpr {
    /// `{ expr }`; `{}` is `{ true }`.
    Filter(FieldExpr),
    Binary {
        op: SpansetOp,
        lhs: Box<SpansetExpr>,
        rhs: Box<SpansetExpr>,
        span: Span,
    },
    /// A parenthesised pipeline as an operand: `({.a} | count() > 1) && ({.b})`.
    Pipeline(Pipeline),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpansetOp {
    And,
    Or,
    Structural { relation: Relation, form: Form },
}

/// How a span of the right side stands to a span of the left side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// `>`: right is a child of left.
    Child,
    /// `<`: right is the parent of left.
    Parent,
    /// `>>`
    Descendant,
    /// `<<`
    Ancestor,
    /// `~`
    Sibling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// `>`: the right spans that stand in the relation.
    Plain,
    /// `!>`: the right spans that stand in it to no left span.
    Negated,
    /// `&>`: both sides' spans that take part.
    Union,
}

/// `lhs cmp rhs` over one spanset, such as `count() > 3`.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalarFilter {
    pub lhs: ScalarExpr,
    pub op: BinaryOp,
    pub rhs: ScalarExpr,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ScalarExpr {
    Aggregate(Aggregate),
    Static(Static),
    Binary {
        op: BinaryOp,
        lhs: Box<ScalarExpr>,
        rhs: Box<ScalarExpr>,
        span: Span,
    },
    /// `({...} | count())`: accepted by the grammar, refused by validation, as in Tempo.
    Pipeline(Box<Pipeline>, Aggregate),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    pub op: AggregateOp,
    /// `None` for `count()` only.
    pub argument: Option<FieldExpr>,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    Count,
    Max,
    Min,
    Avg,
    Sum,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FieldExpr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    Static(Static),
    Attribute(Attribute),
    Unary {
        op: UnaryOp,
        expr: Box<FieldExpr>,
    },
    Binary {
        op: BinaryOp,
        lhs: Box<FieldExpr>,
        rhs: Box<FieldExpr>,
    },
    /// `x != nil` (`present`) and `x = nil` (not `present`).
    Exists {
        expr: Box<FieldExpr>,
        present: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    Not,
    Neg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Regex,
    NotRegex,
    And,
    Or,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Static {
    Nil,
    Int(i64),
    Float(f64),
    String(String),
    Bool(bool),
    /// Nanoseconds.
    Duration(i64),
    Status(Status),
    Kind(Kind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    Error,
    Ok,
    Unset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Unspecified,
    Internal,
    Client,
    Server,
    Producer,
    Consumer,
}

/// A reference to an attribute or an intrinsic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Attribute {
    Intrinsic(Intrinsic),
    /// `.name` has [`Scope::None`].
    Named {
        scope: Scope,
        name: String,
    },
    /// `parent.name`, `parent.span.name`, `parent.resource.name`: parsed, not supported.
    OfParent {
        scope: Scope,
        name: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Unscoped: the span's attribute, else the resource's.
    None,
    Span,
    Resource,
    Event,
    Link,
    Instrumentation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Intrinsic {
    Duration,
    Name,
    Status,
    StatusMessage,
    Kind,
    SpanId,
    ParentId,
    ChildCount,
    RootName,
    RootService,
    TraceDuration,
    TraceId,
    NestedSetLeft,
    NestedSetRight,
    NestedSetParent,
    EventName,
    EventTimeSinceStart,
    LinkTraceId,
    LinkSpanId,
    InstrumentationName,
    InstrumentationVersion,
    /// `parent`: parsed, not supported.
    Parent,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Hint {
    pub name: String,
    pub value: Static,
}

/// The metrics stage and what follows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    pub first: MetricsFirst,
    pub second: Vec<SecondStage>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum MetricsFirst {
    Aggregate {
        op: MetricsOp,
        /// `None` for `rate()` and `count_over_time()`.
        argument: Option<Attribute>,
        /// For `quantile_over_time` only, in the order written.
        quantiles: Vec<f64>,
        by: Vec<Attribute>,
    },
    Compare {
        selection: FieldExpr,
        top: i64,
        start_unix_nano: i64,
        end_unix_nano: i64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricsOp {
    Rate,
    CountOverTime,
    MinOverTime,
    MaxOverTime,
    AvgOverTime,
    SumOverTime,
    QuantileOverTime,
    HistogramOverTime,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SecondStage {
    TopK(i64),
    BottomK(i64),
    Filter { op: BinaryOp, value: Static },
}
