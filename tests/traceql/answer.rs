//! What is answered, in the notation of the files.

use std::fmt::Write;

use vivace::failure::{Failure, Kind};
use vivace::querier::{MetricsAnswer, MetricsRequest, SearchRequest};
use vivace::tenant::TenantId;
use vivace::trace::{SpanId, TraceId, Value};
use vivace::traceql::{Series, Slots, SpanMatch, SpansetMatch, TraceMatch};

use crate::file::{Ask, Question};
use crate::house::House;
use crate::traces::ZERO;
use crate::words::UNITS;

/// A day before and after everything.
const MARGIN: u64 = 86_400_000_000_000;

/// Lines that say what a house answers.
pub(crate) async fn answer(house: &House, question: &Question) -> Vec<String> {
    let Question { query, ask, .. } = question;
    let request = metrics_request(query, ask);
    let lines = match house.querier.metrics(&[TenantId::single()], request).await {
        Ok(_) if ask.range.is_none() => return vec!["! the file has no range".to_owned()],
        Ok(found) => series_lines(&found, ask),
        Err(failure) if failure.message == "not a metrics query" => {
            let request = SearchRequest {
                query: query.clone(),
                window: ask.window.clone().unwrap_or(ZERO - MARGIN..=ZERO + MARGIN),
                limit: ask.limit,
                spans_per_spanset: ask.spans_per_spanset,
            };
            match house.querier.search(&[TenantId::single()], request).await {
                Ok(found) => found.traces.iter().flat_map(|found| trace(found, ask)).collect(),
                Err(failure) => vec![refused(&failure, question)],
            }
        }
        Err(failure) => vec![refused(&failure, question)],
    };
    if lines.is_empty() { vec!["nothing".to_owned()] } else { lines }
}

fn metrics_request(query: &str, ask: &Ask) -> MetricsRequest {
    let (start, end) = ask.range.clone().unwrap_or(ZERO..=ZERO + 1).into_inner();
    let slots = if ask.instant {
        Slots::instant(start, end)
    } else {
        Slots::of_range(start, end, ask.step.unwrap_or(1))
    };
    MetricsRequest {
        query: query.to_owned(),
        slots,
        exemplars: ask.exemplars,
        exemplars_max: 100,
        max_series: ask.max_series,
    }
}

/// `!`, carets below what is to blame, the message.
fn refused(failure: &Failure, question: &Question) -> String {
    let Failure { kind, message } = failure;
    if *kind != Kind::Invalid {
        return format!("! {kind:?}: {message}");
    }
    let message = message.strip_prefix("invalid TraceQL query: ").unwrap_or(message);
    let mut lines = message.lines();
    let message = lines.next().unwrap_or_default();
    let carets = lines.nth(1).and_then(|carets| carets.strip_prefix("  "));
    let is_one_line = !question.query.contains('\n');
    let before = if is_one_line { question.before.len() } else { 2 };
    carets.map_or_else(
        || format!("! {message}"),
        |carets| format!("!{:1$}{carets} {message}", "", before - 1),
    )
}

/// Whether this is what was expected. Of an error's message a part is enough; its place must be right.
pub(crate) fn is_right(expected: &[String], found: &[String]) -> bool {
    match (expected, found) {
        ([expected], [found]) if expected.starts_with('!') => {
            let split = |line: &str| {
                let message = line.trim_start_matches(['!', ' ', '^']).to_owned();
                (line.trim_end_matches(message.as_str()).trim_end().to_owned(), message)
            };
            let ((place, part), (found_place, message)) = (split(expected), split(found));
            place == found_place && !part.is_empty() && message.contains(&part)
        }
        _ => expected == found,
    }
}

/// A line for each spanset, with `traces` one for the trace before them.
fn trace(found: &TraceMatch, ask: &Ask) -> Vec<String> {
    let TraceMatch { id, start, duration, root_service, root_name, services, spansets, .. } = found;
    let id = short(*id);
    let mut lines = Vec::new();
    if ask.traces {
        let service = if root_service.is_empty() { "-" } else { root_service };
        let (start, duration) = (after_zero(*start), time(i128::from(*duration)));
        let mut line = format!("{id} \"{root_name}\" {service} {start} +{duration}");
        for count in services {
            let service = if count.service.is_empty() { "-" } else { &count.service };
            write!(line, ", {service} {}", count.spans).unwrap();
            if count.errors > 0 {
                write!(line, " ({} failed)", count.errors).unwrap();
            }
        }
        lines.push(line);
    }
    lines.extend(spansets.iter().map(|found| format!("{id}: {}", spanset(found, ask))));
    lines
}

fn spanset(found: &SpansetMatch, ask: &Ask) -> String {
    let SpansetMatch { matched, attributes, spans } = found;
    let mut words = Vec::new();
    if !attributes.is_empty() {
        words.push(format!("[{}]", pairs(attributes)));
    }
    words.extend(spans.iter().map(|found| span(found, ask)));
    if *matched as usize != spans.len() {
        words.push(format!("of {matched}"));
    }
    words.join(" ")
}

/// The id, with `attributes` also those, by key.
fn span(found: &SpanMatch, ask: &Ask) -> String {
    let SpanMatch { id, start: _, duration: _, name, attributes } = found;
    let SpanId(bytes) = id;
    let id = format!("{:x}", u64::from_be_bytes(*bytes));
    let name = name.as_ref().map(|name| ("name".to_owned(), Value::String(name.clone())));
    let mut all: Vec<(String, Value)> = attributes.iter().cloned().chain(name).collect();
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    if ask.attributes && !all.is_empty() { format!("{id}({})", pairs(&all)) } else { id }
}

fn short(id: TraceId) -> String {
    format!("{:x}", u128::from_be_bytes(id.0))
}

/// A line for each series.
fn series_lines(found: &MetricsAnswer, ask: &Ask) -> Vec<String> {
    let MetricsAnswer { series, is_cut, cost: _ } = found;
    let is_told = |series: &&Series| {
        let wanted = ask.label.as_ref();
        wanted.is_none_or(|wanted| series.labels.iter().any(|(label, _)| label == wanted))
    };
    let mut lines: Vec<String> =
        series.iter().filter(is_told).map(|series| one_series(series, ask)).collect();
    if *is_cut {
        lines.push("and more".to_owned());
    }
    lines
}

fn one_series(series: &Series, ask: &Ask) -> String {
    let Series { labels, samples, exemplars } = series;
    let mut line = format!("{{{}}}", pairs(labels));
    for (at, value) in samples {
        let at =
            if ask.instant { String::new() } else { format!("{}:", after_zero(at * 1_000_000)) };
        write!(line, " {at}{}", number(*value)).unwrap();
    }
    for exemplar in exemplars {
        let at = after_zero(exemplar.timestamp_ms * 1_000_000);
        write!(line, " {}@{at}={}", short(exemplar.trace), number(exemplar.value)).unwrap();
    }
    line
}

fn pairs(pairs: &[(String, Value)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, of)| format!("{key}={}", value(of))).collect();
    pairs.join(" ")
}

/// As it is written in a trace.
fn value(of: &Value) -> String {
    match of {
        Value::Empty => "empty".to_owned(),
        Value::String(text) => format!("{text:?}"),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Double(value) => format!("{value:?}"),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(value).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Map(_) | Value::Bytes(_) => format!("{of:?}"),
    }
}

/// With nine digits, which is enough to check by hand.
fn number(value: f64) -> String {
    let rounded: f64 = format!("{value:.8e}").parse().unwrap_or(value);
    let is_tiny = rounded != 0.0 && rounded.abs() < 1e-4;
    if is_tiny { format!("{rounded:e}") } else { format!("{rounded}") }
}

fn after_zero(unix_nano: u64) -> String {
    time(i128::from(unix_nano) - i128::from(ZERO))
}

/// In the longest of the units up to a second that leaves no fraction.
fn time(nanos: i128) -> String {
    let units = UNITS.iter().skip_while(|(name, _)| *name != "s");
    let (name, unit) = units
        .map(|(name, unit)| (*name, i128::from(*unit)))
        .find(|(_, unit)| nanos % unit == 0)
        .unwrap_or(("ns", 1));
    format!("{}{name}", nanos / unit)
}
