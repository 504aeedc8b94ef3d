//! TraceQL: a query's text becomes a `Query`, which says what it must read and evaluates batches of whole traces.
//!
//! `bind` turns the grammar's tree into a plan; `need` derives from it the columns and the pruning test for storage. A batch is
//! evaluated in two steps: the condition of each `{ }` becomes one bit per span (`filter`, `leaf`), by dictionary entry, resource or
//! slice of numbers where it can and value by value (`rows`) where it must; then each trace that has a candidate goes through the
//! spanset pipeline (`spansets`, `structural`, `aggregate`), and what is left is told (`result`).
//!
//! Where it differs from Tempo on purpose:
//! - A missing value makes every comparison false, and `!` of that is true: `!(span.a = 1)` keeps spans without `a`. `!span.a` is
//!   true just if `a` is the boolean false.
//! - `x = nil` is true just if `x` is missing, as an empty array is. Division by zero and operands that do not fit give nil for that span, never an error.
//! - In `&&` and `||` whatever is not a boolean counts as false.
//! - Numbers compare by value whatever their type, exactly. `a ^ b` is a to the power of b. A literal may stand on either side.
//! - Tests of events that are joined by `&&` must hold of one event, those joined by `||` of any; the same for links.
//! - `&>>` and `&<<` are exact; sums of ints stop at the ends of their range; aggregates are right for negative numbers.

mod aggregate;
mod bind;
mod each;
mod filter;
mod leaf;
mod metrics;
mod need;
mod order;
mod plan;
mod result;
mod rows;
mod spansets;
mod structural;
mod tree;
mod value;
mod values;
mod window;

use std::ops::RangeInclusive;

use arrow::buffer::BooleanBuffer;
use traceql_grammar::ast;

use self::plan::{Plan, Spansets, Stage};
use self::rows::Rows;
use self::spansets::Run;
use crate::columns::{Batch, Projection};
use crate::scan::Need;
use crate::trace::{SpanId, TraceId, Value};

pub use self::metrics::{
    ComparedSpans, Exemplar, MetricsAsk, MetricsQuery, Observed, Partial, Series, Slots,
    compile_metrics,
};
pub use self::order::Rank;
pub use self::values::{TagType, ValueQuery, ValueSet, compile_values};
pub use traceql_grammar::Error;

/// A query, bound. Cheap to share, holds no data.
#[derive(Debug, Clone)]
pub struct Query {
    plan: Plan,
    projection: Projection,
    first_look: Projection,
    limit: Option<usize>,
    /// Whether it is `{}`.
    keeps_all: bool,
}

/// What is asked of a batch besides the query.
pub struct Ask<'a> {
    /// Unix nanoseconds, both ends included. A trace is in if a span of it overlaps.
    pub window: RangeInclusive<u64>,
    /// Most spans told of each spanset, by start and span id; 0 for all.
    pub spans_per_spanset: usize,
    /// Asked with id and start before work is spent on a trace.
    pub wanted: &'a (dyn Fn(TraceId, u64) -> bool + Sync),
}

/// A trace with the spansets that a query leaves of it.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceMatch {
    pub id: TraceId,
    /// Unix nanoseconds.
    pub start: u64,
    /// Nanoseconds.
    pub duration: u64,
    /// Empty without a root.
    pub root_service: String,
    /// Empty without a root.
    pub root_name: String,
    pub services: Vec<ServiceCount>,
    /// Spans whose parent is not in the trace; `None` if the column `Tops` was not read.
    pub orphans: Option<u32>,
    /// Never empty.
    pub spansets: Vec<SpansetMatch>,
    /// Where it stands if the query orders its answer.
    pub rank: Rank,
}

/// How many spans a service has in a trace, and how many of them failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceCount {
    pub service: String,
    pub spans: u32,
    pub errors: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SpansetMatch {
    /// Number of spans before the cut.
    pub matched: u32,
    /// What stages say of it: `by(...)`, `count()`, `avg(duration)`.
    pub attributes: Vec<(String, Value)>,
    /// By start, then span id.
    pub spans: Vec<SpanMatch>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SpanMatch {
    pub id: SpanId,
    /// Unix nanoseconds.
    pub start: u64,
    /// Nanoseconds.
    pub duration: u64,
    /// Only if the query mentions `name` and a comparison accepts it, as with attributes.
    pub name: Option<String>,
    /// What the query mentions and one of the comparisons with it accepts, by key without scope; status, kind and durations as
    /// text. An unscoped attribute is there twice if both the span's and the resource's value are accepted. Values of events are, as
    /// far as they are there, those of one event: one that a condition is true of, of which most is shown, the last of such.
    pub attributes: Vec<(String, Value)>,
}

/// Why a query cannot be evaluated on some data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    #[error(
        "a structural operator has several spansets on one side: join them by | coalesce() first"
    )]
    SeveralSpansets,
    #[error(
        "the answer needs more than {max} samples in memory (metrics_samples_max): group by attributes with fewer values, or ask \
         for a longer step"
    )]
    TooManySamples { max: usize },
}

/// Reads, checks and binds a search. No text means `{}`; of a metrics query only the pipeline counts, as in Tempo.
///
/// # Errors
/// With the place in the text: what is not TraceQL, makes no sense or is not evaluated.
pub fn compile(text: &str) -> Result<Query, Error> {
    let text = if text.is_empty() { "{}" } else { text };
    Query::of_tree(traceql_grammar::parse_valid(text)?).map_err(|error| error.with_text(text))
}

/// The number of traces that a search itself asks for.
pub fn limit_of(text: &str) -> Option<usize> {
    match traceql_grammar::parse(text).ok()?.root {
        ast::Root::Search(search) => usize::try_from(search.limit?.count).ok(),
        ast::Root::Metrics(_) => None,
    }
}

/// The filter of a query that is still being typed: what is unfinished does not count, and what is no single filter keeps every
/// span.
pub fn compile_lenient(text: &str) -> Query {
    let lenient = traceql_grammar::parse_lenient(text).and_then(|condition| {
        let stages = vec![ast::Stage::Spansets(ast::SpansetExpr::Filter(condition))];
        Query::bind(&ast::Pipeline { stages }, None, &[]).ok()
    });
    lenient.unwrap_or_else(Query::all)
}

impl Query {
    /// `{}`
    fn all() -> Self {
        let kind = ast::ExprKind::Static(ast::Static::Bool(true));
        let filter = ast::SpansetExpr::Filter(ast::FieldExpr { kind, span: 0..0 });
        let pipeline = ast::Pipeline { stages: vec![ast::Stage::Spansets(filter)] };
        Self::bind(&pipeline, None, &[])
            .unwrap_or_else(|_| unreachable!("a constant has nothing to refuse"))
    }

    fn of_tree(tree: ast::Query) -> Result<Self, Error> {
        let ast::Query { root, hints } = tree;
        match root {
            ast::Root::Search(ast::Search { pipeline, order, limit }) => {
                let query = Self::bind(&pipeline, order.as_ref(), &hints)?;
                let limit = limit.and_then(|limit| usize::try_from(limit.count).ok());
                Ok(Self { limit, ..query })
            }
            ast::Root::Metrics(ast::MetricsExpr::Query(metrics)) => {
                Self::bind(&metrics.pipeline, None, &hints)
            }
            ast::Root::Metrics(ast::MetricsExpr::Arithmetic(arithmetic)) => {
                let detail = "a search cannot run arithmetic between metrics queries";
                Err(bind::error(arithmetic.span, detail))
            }
            ast::Root::Metrics(ast::MetricsExpr::Number(_)) => {
                unreachable!("a number alone is no query")
            }
        }
    }

    fn bind(
        pipeline: &ast::Pipeline,
        order: Option<&ast::Order>,
        hints: &[ast::Hint],
    ) -> Result<Self, Error> {
        let plan = bind::bind(pipeline, order, hints)?;
        let keeps_all = matches!(&pipeline.stages[..],
            [ast::Stage::Spansets(ast::SpansetExpr::Filter(condition))]
                if condition.kind == ast::ExprKind::Static(ast::Static::Bool(true)));
        let (projection, first_look) = (need::projection(&plan), need::first_fields(&plan));
        Ok(Self { plan, projection, first_look, limit: None, keeps_all })
    }

    /// The most traces that the query itself asks for.
    pub fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// Whether its answer has an order of its own: then any trace may be among the first.
    pub fn is_ordered(&self) -> bool {
        self.plan.order.is_some()
    }

    /// All columns that [`Query::evaluate`] reads.
    pub fn projection(&self) -> &Projection {
        &self.projection
    }

    /// The columns that [`Query::candidates`] reads, seldom all of [`Query::projection`].
    pub fn first_look(&self) -> &Projection {
        &self.first_look
    }

    /// Which traces of a batch are worth reading whole, by their ordinals, ascending. The batch needs the columns of
    /// [`Query::first_look`] only. Where the first condition decides, no more than the `newest_max` newest are.
    pub fn candidates(&self, batch: &Batch, ask: &Ask<'_>, newest_max: usize) -> Vec<u32> {
        let traces = &batch.traces;
        let bounds: Vec<Option<bool>> =
            (0..traces.len()).map(|trace| window::by_bounds(batch, trace, &ask.window)).collect();
        let is_asked = |trace: usize| {
            bounds[trace] != Some(false) && (ask.wanted)(traces.id[trace], traces.start[trace])
        };
        let asked: Vec<bool> = (0..traces.len()).map(is_asked).collect();
        if self.is_never() || !asked.contains(&true) {
            return Vec::new();
        }
        let within = asked.contains(&false).then(|| window::rows_of(batch, &asked));
        let rows = self.rows(batch);
        let may_match = Run::new(&rows, &self.plan, within).candidates();
        let (mut sure, mut found): (Vec<u32>, Vec<u32>) = (0..)
            .take(traces.len())
            .filter(|trace| asked[*trace as usize] && may_match[*trace as usize])
            .partition(|trace| bounds[*trace as usize] == Some(true));
        let decides = matches!(self.plan.stages[..], [Stage::Spansets(Spansets::Filter(_))]);
        if decides && !self.is_ordered() && sure.len() > newest_max {
            sure.select_nth_unstable_by_key(newest_max, |trace| {
                let trace = *trace as usize;
                (std::cmp::Reverse(traces.start[trace]), traces.id[trace])
            });
            sure.truncate(newest_max);
        }
        found.append(&mut sure);
        found.sort_unstable();
        found
    }

    /// What a trace must have somewhere in its spans to be in the answer.
    pub fn need(&self) -> Need {
        need::of_stages(&self.plan, &self.plan.stages)
    }

    /// Whether no data can match: there is nothing to read.
    pub fn is_never(&self) -> bool {
        need::is_never(&self.plan, &self.plan.stages)
    }

    /// The traces of a batch that match, in its order. The batch must have the columns of [`Query::projection`].
    ///
    /// # Errors
    /// [`EvalError`]; missing values and operands that do not fit are none.
    pub fn evaluate(&self, batch: &Batch, ask: &Ask<'_>) -> Result<Vec<TraceMatch>, EvalError> {
        let traces = &batch.traces;
        if self.is_never() {
            return Ok(Vec::new());
        }
        let asked: Vec<bool> = (0..traces.len())
            .map(|trace| {
                window::has(batch, trace, &ask.window)
                    && (ask.wanted)(traces.id[trace], traces.start[trace])
            })
            .collect();
        if !asked.contains(&true) {
            return Ok(Vec::new());
        }
        let within = asked.contains(&false).then(|| window::rows_of(batch, &asked));
        let rows = self.rows(batch);
        let run = Run::new(&rows, &self.plan, within);
        let candidates = run.candidates();
        let mut found = Vec::new();
        for trace in (0..traces.len()).filter(|trace| asked[*trace] && candidates[*trace]) {
            let spansets = run.trace(trace)?;
            if !spansets.is_empty() {
                let spans_max = ask.spans_per_spanset;
                found.push(result::trace_match(&rows, &self.plan, trace, spansets, spans_max));
            }
        }
        Ok(found)
    }

    /// Whether it is `{}`: every span of every trace.
    pub fn keeps_all(&self) -> bool {
        self.keeps_all
    }

    /// As [`Query::matching_rows`], but only of traces that overlap the window (Unix nanoseconds).
    ///
    /// # Errors
    /// As [`Query::evaluate`].
    pub fn matching_rows_in(
        &self,
        batch: &Batch,
        window: &RangeInclusive<u64>,
    ) -> Result<BooleanBuffer, EvalError> {
        match window::rows_in(batch, window, &|_| true) {
            Some(rows) => Ok(&self.matching_rows(batch)? & &rows),
            None => Ok(BooleanBuffer::new_unset(batch.rows())),
        }
    }

    /// The spans that are in a spanset after the last stage, one bit for each row.
    ///
    /// # Errors
    /// As [`Query::evaluate`].
    pub fn matching_rows(&self, batch: &Batch) -> Result<BooleanBuffer, EvalError> {
        let rows = self.rows(batch);
        if let [Stage::Spansets(Spansets::Filter(_))] = self.plan.stages[..] {
            return Ok(self.condition_mask(&rows));
        }
        let mut marks = vec![0_u8; batch.rows().div_ceil(8)];
        let run = Run::new(&rows, &self.plan, None);
        let candidates = run.candidates();
        for trace in (0..batch.traces.len()).filter(|trace| candidates[*trace]) {
            for spanset in run.trace(trace)? {
                for row in spanset.members.into_rows() {
                    leaf::set(&mut marks, row as usize);
                }
            }
        }
        Ok(BooleanBuffer::new(marks.into(), 0, batch.rows()))
    }

    fn rows<'a>(&self, batch: &'a Batch) -> Rows<'a> {
        Rows::new(batch, self.plan.rootless)
    }

    /// Where the condition of the first `{ }` is true.
    fn condition_mask<'a>(&'a self, rows: &Rows<'a>) -> BooleanBuffer {
        rows.truth(&self.plan.filters[0], plan::Owner::Span, None)
    }
}

#[cfg(test)]
#[path = "testing_tests.rs"]
mod testing;
