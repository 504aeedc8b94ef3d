//! Query strings: text to typed requests, with the bounds, the defaults and the words of refusal that clients know.

use std::ops::RangeInclusive;
use std::time::Duration;

use axum::extract::Query;
use http::Uri;

use super::Config;
use super::legacy::{Legacy, logfmt};
use super::times::{flexible, go_duration, print_go, since};
use crate::failure::Failure;
use crate::querier::{SearchRequest, TagScope};
use crate::traceql::limit_of;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Parameters that are not tags in a search without `q`, `tags`, `start` and `end`.
const SEARCH_PARAMS: [&str; 6] =
    ["limit", "spss", "minDuration", "maxDuration", "since", "skip_ast_transformations"];

/// The parameters of a query string. Of several with one name the first counts; an empty one counts as missing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn of(uri: &Uri) -> Self {
        // Nothing that a query string can hold is refused: what is not UTF-8 is replaced.
        Self(Query::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default())
    }

    /// Those that are not empty.
    pub(super) fn made<const N: usize>(pairs: [(&str, String); N]) -> Self {
        let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        Self(pairs.map(|(name, value)| (name.to_owned(), value)).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All values of a parameter that may come several times, without empty ones.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(key, value)| key == name && !value.is_empty());
        named.map(|(_, value)| value.as_str())
    }

    /// A count that is ignored where it is not one.
    pub(super) fn lenient_count(&self, name: &str) -> usize {
        self.get(name).and_then(|text| text.parse::<u32>().ok()).map_or(0, in_memory)
    }
}

fn in_memory(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// What `/api/search` asks.
pub(super) fn search(params: &Params, config: &Config, now: u64) -> Result<SearchRequest, Failure> {
    let query = search_query(params, config)?;
    Ok(SearchRequest {
        window: search_window(params, config, now)?,
        limit: limit(params, &query, config)?,
        query,
        spans_per_spanset: spans_per_spanset(params, config)?,
    })
}

fn search_query(params: &Params, config: &Config) -> Result<String, Failure> {
    let (query, tags) = (params.get("q"), params.get("tags"));
    if query.is_some() && tags.is_some() {
        let text = "invalid request: can't specify tags and q in the same query";
        return Err(Failure::invalid(text));
    }
    let min_duration = duration(params, "minDuration")?;
    let max_duration = duration(params, "maxDuration")?;
    if max_duration.is_some_and(|max| min_duration.is_some_and(|min| max < min)) {
        return Err(Failure::invalid("invalid maxDuration: must be greater than minDuration"));
    }
    if let Some(query) = query {
        check_query_size(query, config)?;
        return Ok(query.to_owned());
    }
    let tags = match tags {
        Some(tags) => logfmt(tags)?,
        None if params.get("start").is_none() && params.get("end").is_none() => {
            let named = params
                .0
                .iter()
                .filter(|(key, value)| !value.is_empty() && !SEARCH_PARAMS.contains(&key.as_str()));
            named.map(|(key, value)| (key.clone(), Some(value.clone()))).collect()
        }
        None => Vec::new(),
    };
    let legacy = Legacy { tags, min_duration, max_duration };
    if legacy == Legacy::default() {
        return Ok(String::new());
    }
    let query = legacy.to_traceql()?;
    check_query_size(&query, config)?;
    Ok(query)
}

/// Refuses a TraceQL text that is too long.
pub(super) fn check_query_size(query: &str, config: &Config) -> Result<(), Failure> {
    let max = config.max_query_expression_size_bytes;
    if query.len() <= max {
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "TraceQL expression exceeds the configured maximum size of {max} bytes \
         (max_query_expression_size_bytes), found {}",
        query.len()
    )))
}

fn duration(params: &Params, name: &str) -> Result<Option<Duration>, Failure> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let read = go_duration(text);
    read.map(Some)
        .ok_or_else(|| Failure::invalid(format!("invalid {name}: {text:?} is no duration")))
}

fn limit(params: &Params, query: &str, config: &Config) -> Result<usize, Failure> {
    let max = config.max_result_limit;
    let Some(text) = params.get("limit") else {
        // What the query asks for stands for what the request would.
        return match limit_of(query) {
            None => Ok(in_memory(config.default_result_limit)),
            Some(own) if own <= in_memory(max) => Ok(own),
            Some(own) => Err(Failure::invalid(format!("limit {own} exceeds max limit {max}"))),
        };
    };
    let not_positive = || Failure::invalid("invalid limit: must be a positive number");
    let limit = text.parse::<i64>().map_err(|_| not_a_number("limit", text))?;
    let limit = u64::try_from(limit).ok().filter(|limit| *limit > 0).ok_or_else(not_positive)?;
    match u32::try_from(limit) {
        Ok(limit) if limit <= max => Ok(in_memory(limit)),
        _ => Err(Failure::invalid(format!("limit {limit} exceeds max limit {max}"))),
    }
}

fn spans_per_spanset(params: &Params, config: &Config) -> Result<usize, Failure> {
    let max = config.max_spans_per_span_set;
    let spans = match params.get("spss") {
        None => config.default_spans_per_span_set,
        Some(text) => text.parse::<u32>().map_err(|_| not_a_number("spss", text))?,
    };
    match (spans, max) {
        (spans, 0) => Ok(in_memory(spans)),
        // All that are asked for are as many as are allowed.
        (0, max) => Ok(in_memory(max)),
        (spans, max) if spans <= max => Ok(in_memory(spans)),
        _ => Err(Failure::invalid(format!("spans per span set exceeds {max}. received {spans}"))),
    }
}

fn not_a_number(name: &str, text: &str) -> Failure {
    Failure::invalid(format!("invalid {name}: {text:?} is no whole number in range"))
}

/// Whole seconds of 32 bits.
fn seconds(params: &Params, name: &str) -> Result<Option<u64>, Failure> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let seconds = text.parse::<u32>().map_err(|_| not_a_number(name, text))?;
    Ok(Some(u64::from(seconds)))
}

fn search_window(
    params: &Params,
    config: &Config,
    now: u64,
) -> Result<RangeInclusive<u64>, Failure> {
    let has_query = params.get("q").is_some() || params.get("tags").is_some();
    let window = match params.get("since").filter(|_| has_query) {
        Some(text) => since_window(text, latest(config, now))?,
        None => match (seconds(params, "start")?, seconds(params, "end")?) {
            (None | Some(0), None | Some(0)) => return Ok(recent(config, latest(config, now))),
            (Some(start), Some(end)) if start >= end => return Err(start_after_end(start, end)),
            (Some(start), Some(end)) => in_nanos(start)..=in_nanos(end),
            _ => return Err(only_one()),
        },
    };
    let max = config.max_duration;
    if max > Duration::ZERO && window.end() - window.start() > nanos_of(max) {
        let (start, end) = (window.start() / NANOS_PER_SECOND, window.end() / NANOS_PER_SECOND);
        let max = print_go(max);
        return Err(Failure::invalid(format!(
            "range specified by start and end exceeds {max}. received start={start} end={end} \
             (query_frontend.search.max_duration, or overrides: read.max_search_duration)"
        )));
    }
    Ok(clamped(window, config, now))
}

/// Where questions stop looking.
pub(super) fn latest(config: &Config, now: u64) -> u64 {
    now.saturating_sub(nanos_of(config.query_end_cutoff))
}

/// Without what comes after the cutoff. What lies wholly behind it becomes a question about the most recent time, as in Tempo.
pub(super) fn clamped(
    window: RangeInclusive<u64>,
    config: &Config,
    now: u64,
) -> RangeInclusive<u64> {
    let latest = latest(config, now);
    if config.query_end_cutoff.is_zero() || *window.end() <= latest {
        window
    } else if *window.start() >= latest {
        recent(config, latest)
    } else {
        *window.start()..=latest
    }
}

fn since_window(text: &str, now: u64) -> Result<RangeInclusive<u64>, Failure> {
    let back = since(text);
    let back =
        back.ok_or_else(|| Failure::invalid(format!("invalid since: {text:?} is no duration")))?;
    Ok(now.saturating_sub(nanos_of(back))..=now)
}

/// What a question without a time range looks at.
fn recent(config: &Config, now: u64) -> RangeInclusive<u64> {
    now.saturating_sub(nanos_of(config.recent))..=now
}

fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn in_nanos(seconds: u64) -> u64 {
    seconds.saturating_mul(NANOS_PER_SECOND)
}

fn only_one() -> Failure {
    let text = "error parsing date range: only one of start and end provided: must provide both or neither";
    Failure::invalid(text)
}

fn start_after_end(start: impl std::fmt::Display, end: impl std::fmt::Display) -> Failure {
    let text = "http parameter start must be before end.";
    Failure::invalid(format!("{text} received start={start} end={end}"))
}

/// The window of a trace by id: `None` if neither end is given, open where one is missing.
pub(super) fn trace_window(params: &Params) -> Result<Option<RangeInclusive<u64>>, Failure> {
    let bound = |name| -> Result<Option<i64>, Failure> {
        let Some(text) = params.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| not_a_number(name, text))
    };
    let (start, end) = (bound("start")?, bound("end")?);
    if let (Some(start), Some(end)) = (start, end)
        && start >= end
        && (start, end) != (0, 0)
    {
        return Err(start_after_end(start, end));
    }
    let nanos = |seconds: i64| in_nanos(u64::try_from(seconds).unwrap_or(0));
    Ok(match (start.unwrap_or(0), end.unwrap_or(0)) {
        (0, 0) => None,
        (start, 0) => Some(nanos(start)..=u64::MAX),
        (start, end) => Some(nanos(start)..=nanos(end)),
    })
}

/// Refuses an unknown `mode` of a trace by id. All known ones mean the same here: there is one place to look.
pub(super) fn check_mode(params: &Params) -> Result<(), Failure> {
    match params.get("mode") {
        None | Some("ingesters" | "blocks" | "external" | "all") => Ok(()),
        Some(mode) => Err(Failure::invalid(format!("invalid value for mode {mode}"))),
    }
}

/// The window of a question for tags or their values.
pub(super) fn tags_window(
    params: &Params,
    config: &Config,
    now: u64,
) -> Result<RangeInclusive<u64>, Failure> {
    if let Some(text) = params.get("since") {
        return since_window(text, latest(config, now));
    }
    let bound = |name| -> Result<Option<u64>, Failure> {
        let Some(text) = params.get(name) else { return Ok(None) };
        let time = flexible(text);
        time.map(Some)
            .ok_or_else(|| Failure::invalid(format!("invalid {name}: {text:?} is no time")))
    };
    match (bound("start")?, bound("end")?) {
        (None | Some(0), None | Some(0)) => Ok(recent(config, latest(config, now))),
        (Some(start), Some(end)) if start > end => Err(start_after_end(
            params.get("start").unwrap_or_default(),
            params.get("end").unwrap_or_default(),
        )),
        (Some(start), Some(end)) => Ok(clamped(start..=end, config, now)),
        _ => Err(only_one()),
    }
}

/// Whose names a question for tags wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WantedScope {
    All,
    One(TagScope),
    /// Traces have no attributes.
    Trace,
}

pub(super) fn tag_scope(params: &Params) -> Result<WantedScope, Failure> {
    match params.get("scope") {
        None | Some("none") => Ok(WantedScope::All),
        Some("trace") => Ok(WantedScope::Trace),
        Some(name) => {
            let scope = super::tags::SCOPES.iter().find(|(_, known)| *known == name);
            scope
                .map(|(scope, _)| WantedScope::One(*scope))
                .ok_or_else(|| Failure::invalid(format!("invalid scope: {name}")))
        }
    }
}

#[cfg(test)]
#[path = "params_tests.rs"]
mod tests;
