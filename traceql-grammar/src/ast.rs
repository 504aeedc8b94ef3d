//! The typed tree of a query. Every node that a message may point at carries its byte range in the text.

use std::ops::Range;

/// Byte range of a node in the query text.
pub type Span = Range<usize>;

/// A whole query: what is asked for, and hints.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub root: Root,
    /// Of several `with (...)` groups only the last counts, as in Tempo.
    pub hints: Vec<Hint>,
}

/// What a query asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Root {
    /// Traces.
    Search(Search),
    /// Series.
    Metrics(MetricsExpr),
}

/// A spanset pipeline, and which of its traces are answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    pub pipeline: Pipeline,
    /// Newest first without it. Not in Tempo 3.0.
    pub order: Option<Order>,
    /// Most traces. Not in Tempo 3.0.
    pub limit: Option<Limit>,
}

/// `order by key asc`.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub key: OrderKey,
    pub direction: Direction,
    pub span: Span,
}

/// What traces are ordered by.
#[derive(Debug, Clone, PartialEq)]
pub enum OrderKey {
    /// A value of one span.
    Field(FieldExpr),
    /// A number about a spanset.
    Aggregate(Aggregate),
}

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    Ascending,
    Descending,
}

/// `limit count`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    pub count: i64,
    pub span: Span,
}

/// Stages joined by `|`. Never empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    pub stages: Vec<Stage>,
}

/// One step of a pipeline: spansets in, spansets out.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// `{ ... }` and combinations of such.
    Spansets(SpansetExpr),
    /// `count() > 3`: spansets for which it holds.
    Scalar(ScalarFilter),
    /// `by(expr)`: a spanset for each value.
    GroupBy(FieldExpr),
    /// `select(a, b)`: attributes to return. Never empty.
    Select(Vec<Attribute>),
    /// `coalesce()`: all spansets into one. Never the first stage.
    Coalesce,
    /// `traces()`: of each trace only its earliest span. Never the first stage. Not in Tempo 3.0.
    Traces,
}

/// Spans that fulfil conditions, and how those of two sides are combined.
#[derive(Debug, Clone, PartialEq)]
pub enum SpansetExpr {
    /// `{ expr }`; `{}` is `{ true }`.
    Filter(FieldExpr),
    /// `lhs op rhs`.
    Binary { op: SpansetOp, lhs: Box<SpansetExpr>, rhs: Box<SpansetExpr>, span: Span },
    /// A parenthesised pipeline as an operand: `({.a} | count() > 1) && ({.b})`.
    Pipeline(Pipeline),
}

/// An operator between spansets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpansetOp {
    /// `&&`: the spans of both sides, if both have some.
    And,
    /// `||`: the spans of either side.
    Or,
    /// `without`: the spans of the left side, if the right side has none. Not in Tempo 3.0.
    Without,
    /// Spans of the right side by their place in the trace relative to the left side's.
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

/// Which spans a structural operator keeps.
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

/// A number about a spanset.
#[derive(Debug, Clone, PartialEq)]
pub enum ScalarExpr {
    /// `avg(duration)`.
    Aggregate(Aggregate),
    /// A literal, its sign included. Scalars are not folded.
    Static(Static),
    /// Arithmetic: accepted by the grammar, refused by validation, as in Tempo.
    Binary { op: BinaryOp, lhs: Box<ScalarExpr>, rhs: Box<ScalarExpr>, span: Span },
    /// `({...} | count())`: accepted by the grammar, refused by validation, as in Tempo.
    Pipeline(Box<Pipeline>, Aggregate),
}

/// A number over the spans of a spanset.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    pub op: AggregateOp,
    /// `None` for `count()` only.
    pub argument: Option<FieldExpr>,
    pub span: Span,
}

/// How an aggregate is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    Count,
    Max,
    Min,
    Avg,
    Sum,
    /// How many different values there are. Not in Tempo 3.0.
    CountDistinct,
}

/// A value of one span: what stands in braces, in `by()` and in aggregates.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldExpr {
    pub kind: ExprKind,
    /// Without parentheses around it. A folded constant has that of the whole expression.
    pub span: Span,
}

/// What a [`FieldExpr`] is.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A literal, or a constant that was folded.
    Static(Static),
    /// The value of an attribute or intrinsic.
    Attribute(Attribute),
    /// `op expr`.
    Unary { op: UnaryOp, expr: Box<FieldExpr> },
    /// `lhs op rhs`.
    Binary { op: BinaryOp, lhs: Box<FieldExpr>, rhs: Box<FieldExpr> },
    /// `x != nil` (`present`) and `x = nil` (not `present`).
    Exists { expr: Box<FieldExpr>, present: bool },
}

/// An operator before a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `!`
    Not,
    /// `-`
    Neg,
}

/// An operator between two values; [`BinaryOp::symbol`] tells how it is written.
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

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Static {
    /// Only inside [`ExprKind::Exists`], and there only before folding.
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

/// A span's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    Error,
    Ok,
    Unset,
}

/// A span's kind.
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
    /// One of the fixed names.
    Intrinsic(Intrinsic),
    /// An attribute by its name; `.name` has [`Scope::None`].
    Named { scope: Scope, name: String },
    /// `parent.name`, `parent.span.name`, `parent.resource.name`: parsed, not supported.
    OfParent { scope: Scope, name: String },
}

/// Whose attributes are meant.
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

/// What a span, its trace, event, link or scope has by itself; [`Intrinsic::as_str`] gives the label.
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

/// `name=value` of `with (...)`. Neither is checked here.
#[derive(Debug, Clone, PartialEq)]
pub struct Hint {
    pub name: String,
    pub value: Static,
}

/// Series: a metrics query, or arithmetic between such. Arithmetic is not in Tempo 3.0.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricsExpr {
    Query(Metrics),
    /// An int, a float or a duration; never a whole query.
    Number(Static),
    Arithmetic(Box<MetricsArithmetic>),
}

/// `(lhs) op (rhs)` and what follows it.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsArithmetic {
    /// One of `+ - * /`.
    pub op: BinaryOp,
    pub lhs: MetricsExpr,
    pub rhs: MetricsExpr,
    /// Applied to the result, in order.
    pub second: Vec<SecondStage>,
    pub span: Span,
}

/// A spanset pipeline, the metrics stage and what follows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    pub pipeline: Pipeline,
    pub first: MetricsFirst,
    /// Applied in order.
    pub second: Vec<SecondStage>,
    pub span: Span,
}

/// The function that makes series of spans.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricsFirst {
    /// Every function but `compare()`.
    Aggregate {
        op: MetricsOp,
        /// `None` for `rate()` and `count_over_time()`.
        argument: Option<Attribute>,
        /// For `quantile_over_time` only, in the order written.
        quantiles: Vec<f64>,
        by: Vec<Attribute>,
    },
    /// `compare({ selection }, top, start, end)`.
    Compare {
        selection: FieldExpr,
        /// Values per attribute for which series are made; 10 when not written.
        top: i64,
        /// Both zero when not written.
        start_unix_nano: i64,
        end_unix_nano: i64,
    },
}

/// A metrics function; [`MetricsOp::as_str`] tells its name.
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
    /// Not in Tempo 3.0.
    CountDistinctOverTime,
}

/// What is done with the series.
#[derive(Debug, Clone, PartialEq)]
pub enum SecondStage {
    /// The largest at each step.
    TopK(i64),
    /// The smallest at each step.
    BottomK(i64),
    /// Samples for which the comparison holds.
    Filter { op: BinaryOp, value: Static },
}
