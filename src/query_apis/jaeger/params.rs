//! What Jaeger's query strings ask.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::found::ById;
use super::super::wanted::Wanted;
use crate::api::{Params, flexible, go_duration};
use crate::failure::Failure;
use crate::trace::TraceId;

/// How far a search looks back that does not say.
pub(super) const BACK: Duration = Duration::from_hours(48);

/// How far dependencies are counted back if the request does not say.
const DEPENDENCIES_BACK: Duration = Duration::from_hours(24);

/// Traces in an answer if the request does not say.
pub(super) const LIMIT: usize = 100;

fn unreadable(name: &str, text: &str, what: &str) -> Failure {
    Failure::invalid(format!("unable to parse param '{name}': {text:?} is no {what}"))
}

/// A whole number, in units of so many nanoseconds.
fn scaled(params: &Params, name: &str, nanos: u64) -> Result<Option<u64>, Failure> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let number = text.parse::<u64>().map_err(|_| unreadable(name, text, "whole number"))?;
    Ok(Some(number.saturating_mul(nanos)))
}

pub(super) fn micros(params: &Params, name: &str) -> Result<Option<u64>, Failure> {
    scaled(params, name, 1000)
}

pub(super) fn millis(params: &Params, name: &str) -> Result<Option<u64>, Failure> {
    scaled(params, name, 1_000_000)
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration as Go writes it.
fn duration(params: &Params, names: &[&str]) -> Result<Option<Duration>, Failure> {
    let Some((name, text)) = first(params, names) else { return Ok(None) };
    go_duration(text).map(Some).ok_or_else(|| unreadable(name, text, "duration"))
}

/// The first of some names that there is, and its value.
fn first<'a>(params: &'a Params, names: &[&'a str]) -> Option<(&'a str, &'a str)> {
    names.iter().find_map(|name| params.get(name).map(|text| (*name, text)))
}

fn limit(params: &Params, names: &[&str]) -> Result<usize, Failure> {
    let Some((name, text)) = first(params, names) else { return Ok(LIMIT) };
    let limit = text.parse::<u32>().map_err(|_| unreadable(name, text, "whole number"))?;
    Ok(if limit == 0 { LIMIT } else { limit as usize })
}

fn check(wanted: Wanted) -> Result<Wanted, Failure> {
    if let (Some(min), Some(max)) = (wanted.min_duration, wanted.max_duration)
        && min > max
    {
        return Err(Failure::invalid("'maxDuration' should be greater than 'minDuration'"));
    }
    if wanted.window.start() > wanted.window.end() {
        return Err(Failure::invalid("the start of the search lies after its end"));
    }
    Ok(wanted)
}

/// A search of the older API: times in microseconds.
pub(super) fn search(params: &Params, now: u64) -> Result<Wanted, Failure> {
    let service = params.get("service").unwrap_or_default();
    if service.is_empty() {
        return Err(Failure::invalid("parameter 'service' is required"));
    }
    let end = micros(params, "end")?.unwrap_or(now);
    let start = micros(params, "start")?.unwrap_or_else(|| {
        let back = params.get("lookback").and_then(lookback).unwrap_or(BACK);
        end.saturating_sub(nanos(back))
    });
    check(Wanted {
        service: service.to_owned(),
        operation: params.get("operation").unwrap_or_default().to_owned(),
        tags: legacy_tags(params)?,
        conditions: Vec::new(),
        min_duration: duration(params, &["minDuration"])?,
        max_duration: duration(params, &["maxDuration"])?,
        window: start..=end,
        limit: limit(params, &["limit"])?,
    })
}

/// As the UI writes it: `1h`, `2d`, `custom`.
fn lookback(text: &str) -> Option<Duration> {
    match text.strip_suffix('d') {
        Some(days) => days.parse::<u64>().ok()?.checked_mul(24 * 3600).map(Duration::from_secs),
        None => go_duration(text),
    }
}

/// `tag=k:v`, as often as wanted, and `tags={"k":"v"}`.
fn legacy_tags(params: &Params) -> Result<Vec<(String, String)>, Failure> {
    let mut tags = Vec::new();
    for text in params.all("tag") {
        let (key, value) = text.split_once(':').ok_or_else(|| {
            Failure::invalid(format!(
                "malformed 'tag' parameter, expecting key:value, received: {text}"
            ))
        })?;
        tags.push((key.to_owned(), value.to_owned()));
    }
    for text in params.all("tags") {
        tags.extend(tags_of_json("tags", text)?);
    }
    Ok(tags)
}

/// An object; Jaeger wants texts as values, and others are taken by their text.
fn tags_of_json(name: &str, text: &str) -> Result<Vec<(String, String)>, Failure> {
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|error| {
            Failure::invalid(format!(
                "malformed '{name}' parameter, cannot unmarshal JSON: {error}"
            ))
        })?;
    let text_of = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(object.into_iter().map(|(key, value)| (key, text_of(value))).collect())
}

/// A search of API v3: times in RFC 3339.
pub(super) fn search_v3(params: &Params, now: u64) -> Result<Wanted, Failure> {
    if params.get("query.filter").is_some() {
        return Err(Failure::invalid("query.filter is not supported: use the other parameters"));
    }
    let time = |names: &[&str]| -> Result<Option<u64>, Failure> {
        let Some((name, text)) = first(params, names) else { return Ok(None) };
        flexible(text).map(Some).ok_or_else(|| unreadable(name, text, "time"))
    };
    let end = time(&["query.startTimeMax", "query.start_time_max"])?.unwrap_or(now);
    let start = time(&["query.startTimeMin", "query.start_time_min"])?
        .unwrap_or_else(|| end.saturating_sub(nanos(BACK)));
    let text =
        |names: &[&str]| first(params, names).map(|(_, text)| text.to_owned()).unwrap_or_default();
    let tags = match params.get("query.attributes") {
        Some(text) => tags_of_json("query.attributes", text)?,
        None => Vec::new(),
    };
    check(Wanted {
        service: text(&["query.serviceName", "query.service_name"]),
        operation: text(&["query.operationName", "query.operation_name"]),
        tags,
        conditions: Vec::new(),
        min_duration: duration(params, &["query.durationMin", "query.duration_min"])?,
        max_duration: duration(params, &["query.durationMax", "query.duration_max"])?,
        window: start..=end,
        limit: limit(
            params,
            &["query.searchDepth", "query.search_depth", "query.numTraces", "query.num_traces"],
        )?,
    })
}

/// A trace by its id, with the window of the older API (microseconds) or of API v3 (RFC 3339).
pub(super) fn by_id(id: &str, params: &Params) -> Result<ById, Failure> {
    let start = match first(params, &["startTime", "start_time"]) {
        Some((name, text)) => Some(flexible(text).ok_or_else(|| unreadable(name, text, "time"))?),
        None => micros(params, "start")?,
    };
    let end = match first(params, &["endTime", "end_time"]) {
        Some((name, text)) => Some(flexible(text).ok_or_else(|| unreadable(name, text, "time"))?),
        None => micros(params, "end")?,
    };
    let window = match (start.unwrap_or(0), end.unwrap_or(0)) {
        (0, 0) => None,
        (start, 0) => Some(start..=u64::MAX),
        (start, end) => Some(start..=end),
    };
    Ok(ById { id: trace_id(id)?, window })
}

/// Hex of any length up to 32, or the 16 bytes in base64.
pub(super) fn trace_id(text: &str) -> Result<TraceId, Failure> {
    TraceId::parse(text).or_else(|error| {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok();
        bytes.and_then(|bytes| TraceId::from_otlp(&bytes)).ok_or_else(|| Failure::invalid(error))
    })
}

/// `endTs` and `lookback` in milliseconds.
pub(super) fn dependencies(params: &Params, now: u64) -> Result<RangeInclusive<u64>, Failure> {
    let end = millis(params, "endTs")?.unwrap_or(now);
    let back = millis(params, "lookback")?.unwrap_or(nanos(DEPENDENCIES_BACK));
    Ok(end.saturating_sub(back)..=end)
}

/// As [`dependencies`], or `start_time` and `end_time` in RFC 3339.
pub(super) fn dependencies_v3(params: &Params, now: u64) -> Result<RangeInclusive<u64>, Failure> {
    let time = |names: &[&str]| -> Result<Option<u64>, Failure> {
        let Some((name, text)) = first(params, names) else { return Ok(None) };
        flexible(text).map(Some).ok_or_else(|| unreadable(name, text, "time"))
    };
    match (time(&["startTime", "start_time"])?, time(&["endTime", "end_time"])?) {
        (None, None) => dependencies(params, now),
        (start, end) => Ok(start.unwrap_or(0)..=end.unwrap_or(now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000_000_000_000;

    fn params(text: &str) -> Params {
        Params::of(&format!("/x?{text}").parse().unwrap())
    }

    #[test]
    fn a_search_of_the_older_api_is_read() {
        let text = "service=shop&operation=GET&start=1789999000000000&end=1790000000000000&limit=7\
            &minDuration=1.5ms&maxDuration=2s&tag=a:b:c&tag=d:e&tags=%7B%22f%22%3A%22g%22%2C%22h%22%3A5%7D";
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let expected = Wanted {
            service: "shop".to_owned(),
            operation: "GET".to_owned(),
            tags: vec![pair("a", "b:c"), pair("d", "e"), pair("f", "g"), pair("h", "5")],
            conditions: vec![],
            min_duration: Some(Duration::from_micros(1500)),
            max_duration: Some(Duration::from_secs(2)),
            window: 1_789_999_000_000_000_000..=1_790_000_000_000_000_000,
            limit: 7,
        };
        assert_eq!(search(&params(text), NOW).unwrap(), expected);
        let short = search(&params("service=a&lookback=1h"), NOW).unwrap();
        assert_eq!(short.window, NOW - 3_600_000_000_000..=NOW);
        let short = search(&params("service=a&lookback=custom"), NOW).unwrap();
        assert_eq!((short.window, short.limit), (NOW - 172_800_000_000_000..=NOW, 100));
    }

    #[test]
    fn what_is_wrong_with_a_search_is_told() {
        for (text, expected) in [
            ("", "parameter 'service' is required"),
            ("service=a&limit=x", "unable to parse param 'limit': \"x\" is no whole number"),
            ("service=a&start=x", "unable to parse param 'start': \"x\" is no whole number"),
            (
                "service=a&minDuration=5",
                "unable to parse param 'minDuration': \"5\" is no duration",
            ),
            ("service=a&tag=b", "malformed 'tag' parameter, expecting key:value, received: b"),
            ("service=a&tags=[", "malformed 'tags' parameter, cannot unmarshal JSON"),
            ("service=a&minDuration=2s&maxDuration=1s", "should be greater than"),
            ("service=a&start=2&end=1", "lies after its end"),
        ] {
            let found = search(&params(text), NOW).unwrap_err().message;
            assert!(found.contains(expected), "{text}: {found}");
        }
    }

    #[test]
    fn both_spellings_of_v3_are_read() {
        for text in [
            "query.serviceName=a&query.operationName=b&query.startTimeMin=2026-09-21T14:13:20Z\
             &query.startTimeMax=2026-09-21T15:13:20.5Z&query.searchDepth=3&query.durationMin=1s\
             &query.attributes=%7B%22error%22%3A%22true%22%7D",
            "query.service_name=a&query.operation_name=b&query.start_time_min=2026-09-21T14:13:20Z\
             &query.start_time_max=2026-09-21T15:13:20.5Z&query.num_traces=3&query.duration_min=1s\
             &query.attributes=%7B%22error%22%3Atrue%7D",
        ] {
            let expected = Wanted {
                service: "a".to_owned(),
                operation: "b".to_owned(),
                tags: vec![("error".to_owned(), "true".to_owned())],
                conditions: vec![],
                min_duration: Some(Duration::from_secs(1)),
                max_duration: None,
                window: NOW..=NOW + 3_600_500_000_000,
                limit: 3,
            };
            assert_eq!(search_v3(&params(text), NOW).unwrap(), expected);
        }
    }

    #[test]
    fn ids_come_in_hex_or_base64() {
        let id = trace_id("a1").unwrap();
        assert_eq!(trace_id("AAAAAAAAAAAAAAAAAAAAoQ==").unwrap(), id);
        assert!(trace_id("xyz").unwrap_err().message.contains("hex"));
        let found = by_id("a1", &params("start=1000000&end=2000000")).unwrap();
        assert_eq!(found, ById { id, window: Some(1_000_000_000..=2_000_000_000) });
        assert_eq!(by_id("a1", &params("")).unwrap().window, None);
    }
}
