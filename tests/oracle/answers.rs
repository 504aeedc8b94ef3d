//! Both answers to a question in one form, and where they differ.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use traceql_grammar::ast::{Attribute, MetricsFirst, MetricsOp, Query, SecondStage, Static};
use vivace::querier::{MetricsRequest, Querier, SearchRequest};
use vivace::tenant::TenantId;
use vivace::trace::Value;
use vivace::traceql;

use crate::evaluate_compare::Compare;
use crate::evaluate_metrics::{Function, Seen, Series, Slots, counted, number, told_labels};
use crate::evaluate_search::{Search, Spanset};
use crate::evaluate_second;
use crate::evaluate_trace::{Trace, duration, service};
use crate::evaluate_value::told_float;
use crate::mentions;
use crate::pending;
use crate::questions::Ask;

/// An answer: lines in the order in which they must come, each with the order inside taken out.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) lines: Vec<String>,
    /// The query cannot be evaluated on the data.
    pub(crate) is_refused: bool,
}

/// A query and what is asked besides.
#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) tree: Query,
    pub(crate) text: String,
    pub(crate) ask: Ask,
}

/// What the naive evaluator answers, and what cannot be said as lines.
pub(crate) struct Expected {
    pub(crate) answer: Answer,
    /// Whether the rules do not decide.
    is_open: bool,
    /// Before second stages.
    series: Vec<Series>,
}

/// Whether the engine's answer is the expected one; if not, in what it differs.
pub(crate) async fn check(
    querier: &Querier,
    traces: &[Trace],
    question: &Question,
) -> Result<Answer, String> {
    let expected = expected(traces, question);
    let found = match question.ask {
        Ask::Search { window, limit, spans_per_spanset } => {
            let request = SearchRequest {
                query: question.text.clone(),
                window: window.0..=window.1,
                limit,
                spans_per_spanset,
            };
            match querier.search(&[TenantId::single()], request).await {
                Ok(answer) => {
                    for found in &answer.traces {
                        check_shown(found, traces, question)?;
                    }
                    Answer {
                        lines: answer
                            .traces
                            .iter()
                            .map(|one| told_match(one, spans_per_spanset))
                            .collect(),
                        is_refused: false,
                    }
                }
                Err(failure) => refused(&failure)?,
            }
        }
        Ask::Range { start, end, step, exemplars } => {
            let slots = traceql::Slots::of_range(start, end, step);
            found_series(querier, question, slots, exemplars, &expected).await?
        }
        Ask::Instant { start, end } => {
            let slots = traceql::Slots::instant(start, end);
            found_series(querier, question, slots, 0, &expected).await?
        }
    };
    if expected.is_open || is_same(&expected.answer, &found) {
        return Ok(found);
    }
    Err(differences(&expected.answer, &found))
}

/// Traces that cannot be evaluated may be refused, but need not be looked at. Floats may differ a little.
fn is_same(expected: &Answer, found: &Answer) -> bool {
    if found.is_refused {
        return expected.is_refused;
    }
    expected.lines.len() == found.lines.len()
        && expected.lines.iter().zip(&found.lines).all(|(one, other)| is_same_line(one, other))
}

fn is_same_line(one: &str, other: &str) -> bool {
    let is_close = |one: &str, other: &str| {
        let is_float = one.contains('e') && other.contains('e');
        let numbers = (one.parse::<f64>(), other.parse::<f64>());
        let (true, (Ok(one), Ok(other))) = (is_float, numbers) else { return false };
        (one - other).abs() <= 1e-9 * one.abs().max(other.abs())
    };
    let words = |line: &str| {
        let words = line.split([' ', '(', ')', ':', ',', '[', ']']);
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let (one, other) = (words(one), words(other));
    one.len() == other.len()
        && one.iter().zip(&other).all(|(one, other)| one == other || is_close(one, other))
}

fn differences(expected: &Answer, found: &Answer) -> String {
    let all = |answer: &Answer| answer.lines.iter().cloned().collect::<BTreeSet<_>>();
    let (one, other) = (all(expected), all(found));
    let mut text =
        format!("refused: expected {}, found {}\n", expected.is_refused, found.is_refused);
    for line in one.difference(&other) {
        text += &format!("  expected {line}\n");
    }
    for line in other.difference(&one) {
        text += &format!("  found    {line}\n");
    }
    if one == other {
        text +=
            &format!("  order expected {:#?}\n  order found {:#?}", expected.lines, found.lines);
    }
    text
}

fn refused(failure: &vivace::failure::Failure) -> Result<Answer, String> {
    let text = format!("{failure:?}");
    // The one thing that cannot be evaluated.
    if text.contains("several spansets") {
        return Ok(Answer { lines: Vec::new(), is_refused: true });
    }
    Err(format!("the engine refuses: {text}"))
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
            return Expected { answer, is_open: false, series: Vec::new() };
        }
        Ask::Range { start, end, step, .. } => Slots::of_range(start, end, step),
        Ask::Instant { start, end } => Slots::instant(start, end),
    };
    let (spans, is_refused) = counted(traces, &tree.pipeline, rootless, &slots);
    let metrics = tree.metrics.as_ref().unwrap();
    let mut is_open = false;
    let series = match &metrics.first {
        MetricsFirst::Aggregate { op, argument, quantiles, by } => {
            let function = Function { op: *op, argument: argument.as_ref(), quantiles, by };
            function.series(&spans, &slots)
        }
        MetricsFirst::Compare { selection, top, start_unix_nano, end_unix_nano } => {
            let compare = Compare {
                selection,
                top: *top,
                window: [*start_unix_nano, *end_unix_nano],
                is_open: Cell::new(false),
            };
            let series = compare.series(&spans, &slots);
            is_open = compare.is_open.get();
            series
        }
    };
    let first = series.clone();
    let series = evaluate_second::apply(&metrics.second, series, &mut is_open);
    let mut lines: Vec<String> = series.iter().map(told_series).collect();
    lines.sort();
    Expected { answer: Answer { lines, is_refused }, is_open, series: first }
}

fn told_series(series: &Series) -> String {
    told_samples(
        &told_labels(&series.labels),
        series.samples.iter().map(|(at, value)| (*at, *value)),
    )
}

fn told_samples(labels: &str, samples: impl Iterator<Item = (u64, f64)>) -> String {
    let samples: Vec<(u64, f64)> = samples.collect();
    let zeros = samples.iter().filter(|(_, value)| *value == 0.0).count();
    let others = samples.iter().filter(|(_, value)| *value != 0.0);
    let others: Vec<String> =
        others.map(|(at, value)| format!("{at}: {}", told_float(*value))).collect();
    format!("{labels} {zeros} zeros {}", others.join(" "))
}

/// The newest traces, ties by id; each as a line.
fn search(
    traces: &[Trace],
    tree: &Query,
    rootless: bool,
    window: (u64, u64),
    limit: usize,
    spans_per_spanset: usize,
) -> Answer {
    let (mut found, mut is_refused) = (Vec::new(), false);
    for trace in traces.iter().filter(|trace| trace.overlaps(window.0, window.1)) {
        match (Search { trace, rootless }).run(&tree.pipeline) {
            Ok(spansets) if spansets.is_empty() => {}
            Ok(spansets) => found.push((trace, spansets)),
            Err(_) => is_refused = true,
        }
    }
    found.sort_by_key(|(trace, _)| (u64::MAX - trace.start(), trace.id));
    found.truncate(limit);
    let told =
        |(trace, spansets): &(&Trace, Vec<Spanset>)| told_trace(trace, spansets, spans_per_spanset);
    Answer { lines: found.iter().map(told).collect(), is_refused }
}

fn told_trace(trace: &Trace, spansets: &[Spanset], spans_max: usize) -> String {
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
        spans.sort_by_key(|span| (span.start, span.id, duration(span)));
        let matched = spans.len();
        if spans_max > 0 {
            spans.truncate(spans_max);
        }
        let spans: Vec<String> = spans
            .iter()
            .map(|span| told_span(span.id, span.start, duration(span), spans_max))
            .collect();
        sets.push(format!("({attributes}: {matched} {})", spans.join(" ")));
    }
    sets.sort();
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

/// If only some spans are told, those with equal start and id may be told in any order.
fn told_span(id: u64, start: u64, duration: u64, spans_max: usize) -> String {
    if spans_max > 0 { format!("{id:x}@{start}") } else { format!("{id:x}@{start}+{duration}") }
}

/// The engine's trace as such a line.
fn told_match(found: &traceql::TraceMatch, spans_max: usize) -> String {
    let traceql::TraceMatch { id, start, duration, root_service, root_name, services, spansets } =
        found;
    let services: BTreeMap<String, (u32, u32)> =
        services.iter().map(|one| (one.service.clone(), (one.spans, one.errors))).collect();
    let mut sets = Vec::new();
    for spanset in spansets {
        let mut spans: Vec<_> = spanset.spans.iter().collect();
        if spans_max == 0 {
            spans.sort_by_key(|span| (span.start, span.id, span.duration));
        }
        let spans: Vec<String> = spans
            .iter()
            .map(|span| {
                told_span(u64::from_be_bytes(span.id.0), span.start, span.duration, spans_max)
            })
            .collect();
        sets.push(format!(
            "({}: {} {})",
            told_values(&spanset.attributes),
            spanset.matched,
            spans.join(" ")
        ));
    }
    sets.sort();
    format!(
        "{id} {root_service:?} {root_name:?} {start}+{duration} {services:?} {}",
        sets.join(" ")
    )
}

fn told_values(labels: &[(String, Value)]) -> String {
    let told = |(key, value): &(String, Value)| format!("{key}= {}", told_value(value));
    labels.iter().map(told).collect::<Vec<_>>().join(" ")
}

fn told_value(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Bool(value) => format!("{value}"),
        Value::Int(value) => format!("{value}"),
        Value::Double(value) => told_float(*value),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(told_value).collect::<Vec<_>>().join(", "))
        }
        Value::Bytes(bytes) => format!("bytes {bytes:?}"),
        Value::Map(entries) => {
            let told = |(key, value): &(String, Value)| format!("{key}: {}", told_value(value));
            format!("{{{}}}", entries.iter().map(told).collect::<Vec<_>>().join(", "))
        }
        Value::Empty => "unset".to_owned(),
    }
}

/// What is shown of a span must be a value that it has of something that the query mentions.
fn check_shown(
    found: &traceql::TraceMatch,
    traces: &[Trace],
    question: &Question,
) -> Result<(), String> {
    let trace = traces.iter().find(|trace| trace.id.to_be_bytes() == found.id.0);
    let trace = trace.ok_or_else(|| format!("there is no trace {}", found.id))?;
    let mentioned = mentions::of(&question.tree);
    for span in found.spansets.iter().flat_map(|spanset| &spanset.spans) {
        let places: Vec<usize> = (0..trace.spans.len())
            .filter(|place| trace.spans[*place].id.to_be_bytes() == span.id.0)
            .collect();
        let name = span.name.iter().map(|name| ("name".to_owned(), Value::String(name.clone())));
        for (key, value) in span.attributes.iter().cloned().chain(name) {
            let told = told_value(&value);
            let has = |place: &usize| mentioned.shows(trace, *place, &key, &told);
            if !places.iter().any(has) && !pending::is_shown_anyway(&key, &told) {
                return Err(format!("span {} of {} has no {key}={told}", span.id, found.id));
            }
        }
    }
    Ok(())
}

async fn found_series(
    querier: &Querier,
    question: &Question,
    slots: traceql::Slots,
    exemplars: usize,
    expected: &Expected,
) -> Result<Answer, String> {
    let request = MetricsRequest {
        query: question.text.clone(),
        slots,
        exemplars,
        exemplars_max: 100,
        max_series: 0,
    };
    let answer = match querier.metrics(&[TenantId::single()], request).await {
        Ok(answer) => answer,
        Err(failure) => return refused(&failure),
    };
    let told = |series: &traceql::Series| {
        told_samples(&told_values(&series.labels), series.samples.iter().copied())
    };
    let mut lines: Vec<String> = answer.series.iter().map(told).collect();
    lines.sort();
    let answered = Answer { lines, is_refused: false };
    if is_same(&expected.answer, &answered) && !expected.is_open {
        for series in &answer.series {
            check_exemplars(question, series, &expected.series)?;
        }
    }
    Ok(answered)
}

/// Each must be a span of the series, with the value of the span or of its slot, which second stages may take away from the series
/// but not if the value fails them.
fn check_exemplars(
    question: &Question,
    found: &traceql::Series,
    expected: &[Series],
) -> Result<(), String> {
    let labels = told_values(&found.labels);
    let series = expected.iter().find(|series| is_same_line(&told_labels(&series.labels), &labels));
    let series = series.unwrap();
    for exemplar in &found.exemplars {
        let is_seen = |seen: &&Seen| {
            seen.trace.to_be_bytes() == exemplar.trace.0
                && seen.start / 1_000_000 == exemplar.timestamp_ms
        };
        let has_value = |seen: &Seen| {
            let own = measure(question).and_then(|_| number(&seen.value));
            let value = own.unwrap_or(series.samples[&seen.stamp]);
            is_same_line(&told_float(value), &told_float(exemplar.value))
        };
        let filters = question.tree.metrics.iter().flat_map(|metrics| &metrics.second);
        let passes = filters.clone().all(|stage| match stage {
            SecondStage::Filter { op, value } => {
                evaluate_second::passes(exemplar.value, *op, value)
            }
            SecondStage::TopK(_) | SecondStage::BottomK(_) => true,
        });
        if !passes || !series.seen.iter().filter(is_seen).any(has_value) {
            return Err(format!("{exemplar:?} is no span of the series {labels}"));
        }
    }
    Ok(())
}

/// What is measured, if exemplars have its value.
fn measure(question: &Question) -> Option<&Attribute> {
    match &question.tree.metrics.as_ref()?.first {
        MetricsFirst::Aggregate { op: MetricsOp::HistogramOverTime, .. } => None,
        MetricsFirst::Aggregate { argument, .. } => argument.as_ref(),
        MetricsFirst::Compare { .. } => None,
    }
}
