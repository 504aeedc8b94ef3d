//! The words and symbols of the language, and small questions to the tree.

use crate::ast::{
    AggregateOp, BinaryOp, Direction, Form, Intrinsic, Kind, MetricsExpr, MetricsOp, Pipeline,
    Query, Relation, Root, Scope, SpansetOp, Status, UnaryOp,
};

impl Query {
    /// The one pipeline of a search or of a metrics query; none of arithmetic between several.
    pub fn pipeline(&self) -> Option<&Pipeline> {
        match &self.root {
            Root::Search(search) => Some(&search.pipeline),
            Root::Metrics(MetricsExpr::Query(metrics)) => Some(&metrics.pipeline),
            Root::Metrics(_) => None,
        }
    }

    /// As [`Query::pipeline`].
    pub fn into_pipeline(self) -> Option<Pipeline> {
        match self.root {
            Root::Search(search) => Some(search.pipeline),
            Root::Metrics(MetricsExpr::Query(metrics)) => Some(metrics.pipeline),
            Root::Metrics(_) => None,
        }
    }
}

impl SpansetOp {
    /// As written: `&&`, `>>`, `!~`.
    pub fn symbol(self) -> &'static str {
        let (relation, form) = match self {
            Self::And => return "&&",
            Self::Or => return "||",
            Self::Without => return "without",
            Self::Structural { relation, form } => (relation, form),
        };
        let [plain, negated, union] = match relation {
            Relation::Child => [">", "!>", "&>"],
            Relation::Parent => ["<", "!<", "&<"],
            Relation::Descendant => [">>", "!>>", "&>>"],
            Relation::Ancestor => ["<<", "!<<", "&<<"],
            Relation::Sibling => ["~", "!~", "&~"],
        };
        match form {
            Form::Plain => plain,
            Form::Negated => negated,
            Form::Union => union,
        }
    }
}

impl Relation {
    /// Every relation.
    pub const ALL: [Self; 5] =
        [Self::Child, Self::Parent, Self::Descendant, Self::Ancestor, Self::Sibling];
}

impl UnaryOp {
    /// As written: `!` or `-`.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Not => "!",
            Self::Neg => "-",
        }
    }
}

impl BinaryOp {
    /// Every operator between values.
    pub const ALL: [Self; 16] = [
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Mod,
        Self::Pow,
        Self::Eq,
        Self::Ne,
        Self::Lt,
        Self::Le,
        Self::Gt,
        Self::Ge,
        Self::Regex,
        Self::NotRegex,
        Self::And,
        Self::Or,
    ];

    /// As written: `+`, `=~`, `&&`.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
            Self::And => "&&",
            Self::Or => "||",
        }
    }
}

impl AggregateOp {
    /// Every aggregate.
    pub const ALL: [Self; 6] =
        [Self::Count, Self::Max, Self::Min, Self::Avg, Self::Sum, Self::CountDistinct];

    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Max => "max",
            Self::Min => "min",
            Self::Avg => "avg",
            Self::Sum => "sum",
            Self::CountDistinct => "count_distinct",
        }
    }
}

impl MetricsOp {
    /// Every metrics function but `compare()`.
    pub const ALL: [Self; 9] = [
        Self::Rate,
        Self::CountOverTime,
        Self::MinOverTime,
        Self::MaxOverTime,
        Self::AvgOverTime,
        Self::SumOverTime,
        Self::QuantileOverTime,
        Self::HistogramOverTime,
        Self::CountDistinctOverTime,
    ];

    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::CountOverTime => "count_over_time",
            Self::MinOverTime => "min_over_time",
            Self::MaxOverTime => "max_over_time",
            Self::AvgOverTime => "avg_over_time",
            Self::SumOverTime => "sum_over_time",
            Self::QuantileOverTime => "quantile_over_time",
            Self::HistogramOverTime => "histogram_over_time",
            Self::CountDistinctOverTime => "count_distinct_over_time",
        }
    }
}

impl Direction {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
    }
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Error, Self::Ok, Self::Unset];

    /// As written in a query, and as a label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Ok => "ok",
            Self::Unset => "unset",
        }
    }
}

impl Kind {
    /// Every kind, in the order of OTLP's numbers.
    pub const ALL: [Self; 6] = [
        Self::Unspecified,
        Self::Internal,
        Self::Server,
        Self::Client,
        Self::Producer,
        Self::Consumer,
    ];

    /// As written in a query, and as a label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Internal => "internal",
            Self::Client => "client",
            Self::Server => "server",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

impl Scope {
    /// What stands before a name: `span.`, or `.` alone without a scope.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::None => ".",
            Self::Span => "span.",
            Self::Resource => "resource.",
            Self::Event => "event.",
            Self::Link => "link.",
            Self::Instrumentation => "instrumentation.",
        }
    }
}

impl Intrinsic {
    /// Every intrinsic.
    pub const ALL: [Self; 22] = [
        Self::Duration,
        Self::Name,
        Self::Status,
        Self::StatusMessage,
        Self::Kind,
        Self::SpanId,
        Self::ParentId,
        Self::ChildCount,
        Self::RootName,
        Self::RootService,
        Self::TraceDuration,
        Self::TraceId,
        Self::NestedSetLeft,
        Self::NestedSetRight,
        Self::NestedSetParent,
        Self::EventName,
        Self::EventTimeSinceStart,
        Self::LinkTraceId,
        Self::LinkSpanId,
        Self::InstrumentationName,
        Self::InstrumentationVersion,
        Self::Parent,
    ];

    /// The canonical spelling, which is also the label's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Duration => "duration",
            Self::Name => "name",
            Self::Status => "status",
            Self::StatusMessage => "statusMessage",
            Self::Kind => "kind",
            Self::SpanId => "span:id",
            Self::ParentId => "span:parentID",
            Self::ChildCount => "span:childCount",
            Self::RootName => "rootName",
            Self::RootService => "rootServiceName",
            Self::TraceDuration => "traceDuration",
            Self::TraceId => "trace:id",
            Self::NestedSetLeft => "nestedSetLeft",
            Self::NestedSetRight => "nestedSetRight",
            Self::NestedSetParent => "nestedSetParent",
            Self::EventName => "event:name",
            Self::EventTimeSinceStart => "event:timeSinceStart",
            Self::LinkTraceId => "link:traceID",
            Self::LinkSpanId => "link:spanID",
            Self::InstrumentationName => "instrumentation:name",
            Self::InstrumentationVersion => "instrumentation:version",
            Self::Parent => "parent",
        }
    }
}

impl SpansetOp {
    /// Every operator between spansets.
    pub fn all() -> impl Iterator<Item = Self> {
        let forms = [Form::Plain, Form::Negated, Form::Union];
        let structural = Relation::ALL.into_iter().flat_map(move |relation| {
            forms.into_iter().map(move |form| Self::Structural { relation, form })
        });
        [Self::And, Self::Or, Self::Without].into_iter().chain(structural)
    }
}

impl BinaryOp {
    /// `= !=`
    pub fn is_equality(self) -> bool {
        matches!(self, Self::Eq | Self::Ne)
    }

    /// `< <= > >=`
    pub fn is_ordering(self) -> bool {
        matches!(self, Self::Lt | Self::Le | Self::Gt | Self::Ge)
    }

    /// `+ - * / % ^`
    pub fn is_arithmetic(self) -> bool {
        matches!(self, Self::Add | Self::Sub | Self::Mul | Self::Div | Self::Mod | Self::Pow)
    }

    /// `&& ||`
    pub fn is_logical(self) -> bool {
        matches!(self, Self::And | Self::Or)
    }
}
