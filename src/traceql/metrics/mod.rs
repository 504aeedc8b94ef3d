//! Metrics queries: spans counted and measured into series over time.
//!
//! A [`MetricsQuery`] observes batches of whole traces: of the spans that the pipeline of each of its functions leaves, those that
//! start in a slot are grouped by codes of dictionaries, resources and traces where it can, and added to the cells of their series
//! ([`Partial`]). Partials merge in any order to the same answer; [`MetricsQuery::finish`] makes the series, runs what follows the
//! functions, and computes with their series.

mod arithmetic;
mod cells;
mod compare;
mod exemplars;
mod finish;
mod function;
mod groups;
mod numbers;
mod only;
mod picked;
mod quantile;
mod second;
mod slots;
mod tally;

use std::collections::BTreeMap;

use traceql_grammar::Error;
use traceql_grammar::ast::{self, Hint, Static};

use self::arithmetic::Node;
use self::function::{Body, Function};
use super::{EvalError, need};
use crate::columns::{AttributeValues, Batch, Projection};
use crate::scan::Need;
use crate::trace::{TraceId, Value};

pub use self::compare::ComparedSpans;
pub use self::slots::Slots;

/// A metrics query, bound. Cheap to share, holds no data.
#[derive(Debug, Clone)]
pub struct MetricsQuery {
    /// Each once, however often the query has it.
    functions: Vec<Function>,
    root: Node,
    projection: Projection,
    exemplars: Option<usize>,
}

/// What is asked of a batch besides the query.
pub struct MetricsAsk<'a> {
    /// Whether the spans of a trace count here.
    pub is_wanted: &'a (dyn Fn(TraceId) -> bool + Sync),
}

/// What a batch had for a query.
#[derive(Debug)]
pub enum Observed {
    Nothing,
    Counted,
    /// Spans the attributes of which are to be counted too, by [`Partial::observe_attributes`].
    Compared(ComparedSpans),
}

/// What some batches add to an answer.
pub struct Partial {
    slots: Slots,
    exemplars: usize,
    samples_max: usize,
    /// Of each function.
    bodies: Vec<Body>,
}

/// A series of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub labels: Vec<(String, Value)>,
    /// Milliseconds and value, ascending; never NaN, never none.
    pub samples: Vec<(u64, f64)>,
    pub exemplars: Vec<Exemplar>,
}

/// A span that stands for a part of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    pub trace: TraceId,
    /// The span's start, Unix milliseconds.
    pub timestamp_ms: u64,
    pub value: f64,
}

/// Reads, checks and binds a metrics query; `None` if it is a query without a metrics stage.
///
/// # Errors
/// As [`super::compile`].
pub fn compile_metrics(text: &str) -> Result<Option<MetricsQuery>, Error> {
    let ast::Query { root, hints } = traceql_grammar::parse_valid(text)?;
    let ast::Root::Metrics(expr) = root else { return Ok(None) };
    let mut functions = Vec::new();
    let root = Node::bind(&expr, &hints, &mut functions).map_err(|error| error.with_text(text))?;
    let functions: Vec<Function> = functions.into_iter().map(|(_, function)| function).collect();
    let mut projection = Projection::default();
    for function in &functions {
        projection.extend(function.projection());
    }
    Ok(Some(MetricsQuery { functions, root, projection, exemplars: exemplars_hint(&hints) }))
}

/// A count, or `false` for none; `true` changes nothing.
fn exemplars_hint(hints: &[Hint]) -> Option<usize> {
    hints.iter().filter(|hint| hint.name == "exemplars").find_map(|hint| match hint.value {
        Static::Int(count) => Some(usize::try_from(count).unwrap_or(0)),
        Static::Bool(false) => Some(0),
        _ => None,
    })
}

impl MetricsQuery {
    /// The columns that [`MetricsQuery::observe`] reads.
    pub fn projection(&self) -> &Projection {
        &self.projection
    }

    /// What a trace must have to add anything.
    pub fn need(&self) -> Need {
        need::any(self.functions.iter().map(Function::need))
    }

    /// Whether no data can match: there is nothing to read.
    pub fn is_never(&self) -> bool {
        self.functions.iter().all(Function::is_never)
    }

    /// Whether all attributes of the spans are counted, which [`Partial::observe_attributes`] does.
    pub fn counts_attributes(&self) -> bool {
        self.functions.iter().any(Function::is_compare)
    }

    /// How many exemplars the query itself asks for.
    pub fn exemplars(&self) -> Option<usize> {
        self.exemplars
    }

    /// An answer of nothing yet, with at most `exemplars` of them and `samples_max` samples in memory.
    pub fn partial(&self, slots: Slots, exemplars: usize, samples_max: usize) -> Partial {
        let body = |function: &Function| function.body(&slots, exemplars);
        let bodies = self.functions.iter().map(body).collect();
        Partial { slots, exemplars, samples_max, bodies }
    }

    /// Adds the spans of a batch, which must have the columns of [`MetricsQuery::projection`].
    ///
    /// # Errors
    /// [`EvalError`]; missing values and operands that do not fit are none.
    pub fn observe(
        &self,
        batch: &Batch,
        ask: &MetricsAsk<'_>,
        into: &mut Partial,
    ) -> Result<Observed, EvalError> {
        let max = into.samples_each();
        let mut observed = Observed::Nothing;
        for (function, body) in self.functions.iter().zip(&mut into.bodies) {
            let seen = function.observe(batch, ask, &into.slots, body, max);
            match seen.map_err(|error| in_all(error, into.samples_max))? {
                Observed::Nothing => {}
                seen => observed = seen,
            }
        }
        Ok(observed)
    }

    /// A copy of an answer so far, without exemplars. `None` if it has too many samples, or is not to be told before it is whole: `compare`
    /// chooses by all of the time.
    pub fn copy(&self, partial: &Partial, samples_max: usize) -> Option<Partial> {
        let Partial { slots, exemplars: _, samples_max: max, bodies } = partial;
        let samples = bodies.iter().map(|body| body.samples(slots)).fold(0, usize::saturating_add);
        let bodies = bodies.iter().map(|body| body.copy(slots)).collect::<Option<_>>();
        let bodies = bodies.filter(|_| samples <= samples_max)?;
        Some(Partial { slots: *slots, exemplars: 0, samples_max: *max, bodies })
    }

    /// The series of an answer: by the number of labels, then label by label.
    pub fn finish(&self, partial: Partial) -> Vec<Series> {
        let Partial { slots, exemplars, samples_max: _, bodies } = partial;
        let functions = self.functions.iter().zip(bodies);
        let rows: Vec<_> = functions.map(|(function, body)| function.rows(body, &slots)).collect();
        finish::series(self.root.series(rows), &slots, exemplars)
    }
}

impl Partial {
    /// Counts the values of some span attributes of compared spans: of each of [`ComparedSpans::rows`] one row.
    ///
    /// # Errors
    /// As [`MetricsQuery::observe`].
    pub fn observe_attributes(
        &mut self,
        attributes: &BTreeMap<String, AttributeValues>,
        spans: &ComparedSpans,
    ) -> Result<(), EvalError> {
        let max = self.samples_each();
        for body in &mut self.bodies {
            let seen = body.observe_attributes(attributes, spans, max);
            seen.map_err(|error| in_all(error, self.samples_max))?;
        }
        Ok(())
    }

    /// Adds another part of the same answer.
    ///
    /// # Errors
    /// If both together have too many samples.
    pub fn merge(&mut self, other: Self) -> Result<(), EvalError> {
        let max = self.samples_each();
        for (mine, other) in self.bodies.iter_mut().zip(other.bodies) {
            mine.merge(other, max).map_err(|error| in_all(error, self.samples_max))?;
        }
        Ok(())
    }

    /// What one of several functions may hold.
    fn samples_each(&self) -> usize {
        self.samples_max / self.bodies.len().max(1)
    }
}

/// The limit is that of all functions together.
fn in_all(error: EvalError, max: usize) -> EvalError {
    match error {
        EvalError::TooManySamples { .. } => EvalError::TooManySamples { max },
        other @ EvalError::SeveralSpansets => other,
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
