//! Both answers to a question, and where they differ.

use std::collections::BTreeSet;
use std::fmt::Write;

use traceql_grammar::ast::{Query, SecondStage};
use vivace::querier::{MetricsRequest, Querier, SearchRequest};
use vivace::tenant::TenantId;
use vivace::trace::Value;
use vivace::traceql;

use crate::evaluate_metrics::{Seen, number, told_labels};
use crate::evaluate_second;
use crate::evaluate_trace::Trace;
use crate::evaluate_value::told_float;
use crate::expected::{Expected, expected, order_of_spans};
use crate::mentions;
use crate::questions::Ask;
use crate::told::{told_match, told_samples, told_value, told_values};

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
                            .map(|one| {
                                told_match(one, order_of_spans(&question.tree, spans_per_spanset))
                            })
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
        writeln!(text, "  expected {line}").unwrap();
    }
    for line in other.difference(&one) {
        writeln!(text, "  found    {line}").unwrap();
    }
    if one == other {
        let (one, other) = (&expected.lines, &found.lines);
        write!(
            text,
            "  order expected {one:#?}
  order found {other:#?}"
        )
        .unwrap();
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
            if !places.iter().any(has) && !is_no_events_name(&key, &told) {
                return Err(format!("span {} of {} has no {key}={told}", span.id, found.id));
            }
        }
    }
    Ok(())
}

/// The name of an event reads as empty on spans without events.
fn is_no_events_name(key: &str, told: &str) -> bool {
    key == "event:name" && told == "\"\""
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
            check_exemplars(series, expected)?;
        }
    }
    Ok(answered)
}

/// Each must be a span of the series, with the value of the span or of its slot, which second stages may take away from the series
/// but not if the value fails them.
fn check_exemplars(found: &traceql::Series, expected: &Expected) -> Result<(), String> {
    let labels = told_values(&found.labels);
    let mut all = expected.series.iter();
    let series = all.find(|series| is_same_line(&told_labels(&series.labels), &labels));
    let series = series.unwrap();
    for exemplar in &found.exemplars {
        let is_seen = |seen: &&Seen| {
            seen.trace.to_be_bytes() == exemplar.trace.0
                && seen.start / 1_000_000 == exemplar.timestamp_ms
        };
        let has_value = |seen: &Seen| {
            let own = if expected.is_measured { number(&seen.value) } else { None };
            let value = own.or(series.samples.get(&seen.stamp).copied()).unwrap_or(f64::NAN);
            is_same_line(&told_float(value), &told_float(exemplar.value))
        };
        let passes = expected.second.iter().all(|stage| match stage {
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
