//! The oracle's answer.

use std::collections::BTreeMap;

use traceql_grammar::ast::{
    MetricsExpr, MetricsFirst, MetricsOp, Query, Root, Search as SearchTree, SecondStage, Static,
};

use crate::answers::{Answer, Question};
use crate::evaluate_arithmetic::Metrics;
use crate::evaluate_metrics::{Series, Slots, told_labels};
use crate::evaluate_order::Ordered;
use crate::evaluate_search::{Search, Spanset};
use crate::evaluate_second;
use crate::evaluate_trace::{Trace, duration, service};
use crate::questions::Ask;
use crate::told::{Spans, told_samples, told_span};

/// What the naive evaluator answers, and what cannot be said as lines.
pub(crate) struct Expected {
    pub(crate) answer: Answer,
    /// Whether the rules do not decide.
    pub(crate) is_open: bool,
    /// Before second stages.
    pub(crate) series: Vec<Series>,
    pub(crate) second: Vec<SecondStage>,
    /// Whether exemplars have what was measured of their span.
    pub(crate) is_measured: bool,
}

/// The oracle's answer.
pub(crate) fn expected(traces: &[Trace], question: &Question) -> Expected {
    let Question { tree, ask, .. } = question;
    let rootless = tree
        .hints
        .iter()
        .find(|hint| hint.name == "rootless" && matches!(hint.value, Static::Bool(_)))
        .is_some_and(|hint| hint.value == Static::Bool(true));
    let slots = match *ask {
        Ask::Search { window, limit, spans_per_spanset } => {
            let answer = search(traces, tree, rootless, window, limit, spans_per_spanset);
            return Expected {
                answer,
                is_open: false,
                series: Vec::new(),
                second: Vec::new(),
                is_measured: false,
            };
        }
        Ask::Range { start, end, step, .. } => Slots::of_range(start, end, step),
        Ask::Instant { start, end } => Slots::instant(start, end),
    };
    let Root::Metrics(expr) = &tree.root else { unreachable!("asked for series") };
    let mut metrics = Metrics { traces, rootless, slots, is_open: false, is_refused: false };
    let series = metrics.before_second(expr);
    let second = match expr {
        MetricsExpr::Query(query) => query.second.clone(),
        MetricsExpr::Arithmetic(arithmetic) => arithmetic.second.clone(),
        MetricsExpr::Number(_) => unreachable!("never a whole query"),
    };
    let told = evaluate_second::apply(&second, series.clone(), &mut metrics.is_open);
    let mut lines: Vec<String> = told.iter().map(told_series).collect();
    lines.sort();
    Expected {
        answer: Answer { lines, is_refused: metrics.is_refused },
        is_open: metrics.is_open,
        series,
        second,
        is_measured: is_measured(expr),
    }
}

/// Whether exemplars have what was measured of their span; else they have the value of their slot.
fn is_measured(expr: &MetricsExpr) -> bool {
    let MetricsExpr::Query(query) = expr else { return false };
    match &query.first {
        MetricsFirst::Aggregate { op, .. } => !matches!(
            op,
            MetricsOp::Rate
                | MetricsOp::CountOverTime
                | MetricsOp::HistogramOverTime
                | MetricsOp::CountDistinctOverTime
        ),
        MetricsFirst::Compare { .. } => false,
    }
}

fn told_series(series: &Series) -> String {
    let samples = series.samples.iter().map(|(at, value)| (*at, *value));
    told_samples(&told_labels(&series.labels), samples)
}

/// The newest traces, or the first in the query's order; ties newest first, then by id. Each as a line.
fn search(
    traces: &[Trace],
    tree: &Query,
    rootless: bool,
    window: (u64, u64),
    limit: usize,
    spans_per_spanset: usize,
) -> Answer {
    let Root::Search(SearchTree { pipeline, order, limit: own_limit }) = &tree.root else {
        unreachable!("asked for traces")
    };
    let (mut found, mut is_refused) = (Vec::new(), false);
    for trace in traces.iter().filter(|trace| trace.overlaps(window.0, window.1)) {
        match (Search { trace, rootless }).run(pipeline) {
            Ok(spansets) if spansets.is_empty() => {}
            Ok(spansets) => found.push(Ordered::of(trace, spansets, order.as_ref())),
            Err(_) => is_refused = true,
        }
    }
    found.sort_by(|one, other| one.compare(other, order.as_ref()));
    let own_limit = own_limit.as_ref().map(|limit| usize::try_from(limit.count).unwrap());
    found.truncate(own_limit.map_or(limit, |own| own.min(limit)));
    let told = order_of_spans(tree, spans_per_spanset);
    let lines = found
        .iter()
        .map(|found| told_trace(found.trace, &found.spansets, told, spans_per_spanset))
        .collect();
    Answer { lines, is_refused }
}

/// If only some spans are told, or the query orders them, their order counts.
pub(crate) fn order_of_spans(tree: &Query, spans_per_spanset: usize) -> Spans {
    match &tree.root {
        Root::Search(search) if search.order.is_some() => Spans::Ordered,
        _ if spans_per_spanset > 0 => Spans::Ordered,
        _ => Spans::Any,
    }
}

fn told_trace(trace: &Trace, spansets: &[Spanset], told: Spans, spans_max: usize) -> String {
    let mut services: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for span in &trace.spans {
        let (count, errors) = services.entry(service(span)).or_default();
        *count += 1;
        *errors += u32::from(span.status == 2);
    }
    let mut sets = Vec::new();
    for spanset in spansets {
        let attributes = told_labels(&spanset.attributes);
        let mut spans: Vec<_> = spanset.spans.iter().map(|place| &trace.spans[*place]).collect();
        if told == Spans::Any {
            spans.sort_by_key(|span| (span.start, span.id, duration(span)));
        }
        let matched = spans.len();
        if spans_max > 0 {
            spans.truncate(spans_max);
        }
        let spans: Vec<String> =
            spans.iter().map(|span| told_span(span.id, span.start, duration(span), told)).collect();
        sets.push(format!("({attributes}: {matched} {})", spans.join(" ")));
    }
    let root = trace.root();
    format!(
        "{:032x} {:?} {:?} {}+{} {services:?} {}",
        trace.id,
        root.map_or(String::new(), service),
        root.map_or("", |root| &root.name),
        trace.start(),
        trace.duration(),
        sets.join(" "),
    )
}
