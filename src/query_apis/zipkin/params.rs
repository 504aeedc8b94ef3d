//! What Zipkin's query strings ask.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::wanted::{Wanted, service_is};
use crate::api::{Params, attribute, quoted};
use crate::failure::Failure;

/// How far back is looked if the request does not say.
pub(super) const BACK: Duration = Duration::from_hours(24);

/// Traces in an answer if the request does not say.
pub(super) const LIMIT: usize = 10;

/// Attributes of a span that name who is called, the best one first; all but the first only of a span that calls: of one that is called
/// they name itself.
pub(super) const REMOTE_SERVICES: [&str; 3] = ["peer.service", "server.address", "net.peer.name"];

/// Spans that call.
const CALLS: &str = "(kind = client || kind = producer)";

/// Spans of a service that may name a remote one in an attribute of [`REMOTE_SERVICES`].
pub(super) fn naming(service: &str, key: &str) -> String {
    let service = service_is(service);
    if key == REMOTE_SERVICES[0] { service } else { format!("{service} && {CALLS}") }
}

/// Spans that name this remote service.
fn remote_is(remote: &str) -> String {
    let is = |key: &str| format!("span.{key} = {}", quoted(remote));
    let [best, others @ ..] = REMOTE_SERVICES;
    format!("({} || ({CALLS} && ({})))", is(best), others.map(is).join(" || "))
}

fn number(params: &Params, name: &str) -> Result<Option<u64>, Failure> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let refused = || Failure::invalid(format!("invalid {name}: {text:?} is no whole number"));
    text.parse().map(Some).map_err(|_| refused())
}

/// `endTs` and `lookback` in milliseconds, as Unix nanoseconds.
pub(super) fn window(params: &Params, now: u64) -> Result<RangeInclusive<u64>, Failure> {
    const MILLI: u64 = 1_000_000;
    let end = number(params, "endTs")?.map_or(now, |millis| millis.saturating_mul(MILLI));
    let back = match number(params, "lookback")? {
        Some(millis) => millis.saturating_mul(MILLI),
        None => u64::try_from(BACK.as_nanos()).unwrap_or(u64::MAX),
    };
    Ok(end.saturating_sub(back)..=end)
}

pub(super) fn search(params: &Params, now: u64) -> Result<Wanted, Failure> {
    let micros = |name| -> Result<Option<Duration>, Failure> {
        Ok(number(params, name)?.filter(|micros| *micros > 0).map(Duration::from_micros))
    };
    // `all` is what old UIs send for any.
    let name = |name| match params.get(name) {
        None | Some("all") => String::new(),
        Some(text) => text.to_owned(),
    };
    let mut wanted = Wanted {
        service: name("serviceName"),
        operation: name("spanName"),
        tags: Vec::new(),
        conditions: Vec::new(),
        min_duration: micros("minDuration")?,
        max_duration: micros("maxDuration")?,
        window: window(params, now)?,
        limit: match number(params, "limit")? {
            None | Some(0) => LIMIT,
            Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        },
    };
    if let Some(remote) = params.get("remoteServiceName") {
        wanted.conditions.push(remote_is(remote));
    }
    for part in params.get("annotationQuery").unwrap_or_default().split(" and ") {
        match part.trim().split_once('=') {
            Some((key, value)) => wanted.tags.push((key.to_owned(), value.to_owned())),
            None if part.trim().is_empty() => {}
            None => wanted.conditions.push(has(part.trim())),
        }
    }
    Ok(wanted)
}

/// A span that has a tag of this name, or an annotation.
fn has(name: &str) -> String {
    if name == "error" {
        return "(status = error || span.error != nil)".to_owned();
    }
    let key = attribute(name);
    format!("(span{key} != nil || resource{key} != nil || event:name = {})", quoted(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000_000_000_000;

    fn read(text: &str) -> Wanted {
        search(&Params::of(&format!("/x?{text}").parse().unwrap()), NOW).unwrap()
    }

    #[test]
    fn a_search_is_read() {
        let found = read(
            "serviceName=shop&spanName=get&remoteServiceName=db&annotationQuery=http.method%3DGET+and+error+and+retry\
             &minDuration=100&maxDuration=200&endTs=1790000000000&lookback=3600000&limit=7",
        );
        let expected = Wanted {
            service: "shop".to_owned(),
            operation: "get".to_owned(),
            tags: vec![("http.method".to_owned(), "GET".to_owned())],
            conditions: vec![
                r#"(span.peer.service = "db" || ((kind = client || kind = producer) && (span.server.address = "db" || span.net.peer.name = "db")))"#.to_owned(),
                "(status = error || span.error != nil)".to_owned(),
                r#"(span.retry != nil || resource.retry != nil || event:name = "retry")"#.to_owned(),
            ],
            min_duration: Some(Duration::from_micros(100)),
            max_duration: Some(Duration::from_micros(200)),
            window: NOW - 3_600_000_000_000..=NOW,
            limit: 7,
        };
        assert_eq!(found, expected);
        let short = read("serviceName=all");
        assert_eq!((short.service.as_str(), short.limit), ("", 10));
        assert_eq!(short.window, NOW - 86_400_000_000_000..=NOW);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let params = Params::of(&"/x?limit=many".parse().unwrap());
        let refused = search(&params, NOW).unwrap_err();
        assert_eq!(refused.message, "invalid limit: \"many\" is no whole number");
    }
}
