//! What a search of Jaeger's or Zipkin's looks for, as TraceQL: all conditions of one span.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::NO_SERVICE;
use crate::api::{Api, Call, attribute, quoted, typed};
use crate::failure::Failure;
use crate::querier::SearchRequest;

/// A search for traces of which one span is all of this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Empty: any.
    pub(super) service: String,
    /// Empty: any.
    pub(super) operation: String,
    /// Key and value, as texts: numbers and truth values are found by their text.
    pub(super) tags: Vec<(String, String)>,
    /// More conditions in TraceQL.
    pub(super) conditions: Vec<String>,
    pub(super) min_duration: Option<Duration>,
    pub(super) max_duration: Option<Duration>,
    /// Unix nanoseconds, both ends included.
    pub(super) window: RangeInclusive<u64>,
    /// Most traces.
    pub(super) limit: usize,
}

impl Wanted {
    /// # Errors
    /// More traces or a longer time than a search may ask for, or a text that is too long.
    pub(super) fn request(&self, api: &Api, call: &Call) -> Result<SearchRequest, Failure> {
        call.check_search(&self.window)?;
        let max = api.config.max_result_limit as usize;
        let Self { limit, window, .. } = self;
        if *limit > max {
            return Err(Failure::invalid(format!("limit {limit} exceeds max limit {max}")));
        }
        let query = self.traceql();
        let bytes_max = api.config.max_query_expression_size_bytes;
        if query.len() > bytes_max {
            return Err(Failure::invalid(format!(
                "the search takes {} bytes as TraceQL, at most {bytes_max} are allowed \
                 (max_query_expression_size_bytes)",
                query.len()
            )));
        }
        Ok(SearchRequest { query, window: window.clone(), limit: *limit, spans_per_spanset: 1 })
    }

    fn traceql(&self) -> String {
        let Self { service, operation, tags, conditions, min_duration, max_duration, .. } = self;
        let mut all = Vec::new();
        if !service.is_empty() {
            all.push(service_is(service));
        }
        if !operation.is_empty() {
            all.push(format!("name = {}", quoted(operation)));
        }
        all.extend(tags.iter().map(|(key, value)| tag_is(key, value)));
        all.extend(conditions.iter().cloned());
        let bounds = [(">=", min_duration), ("<=", max_duration)];
        all.extend(bounds.into_iter().filter_map(|(operator, bound)| {
            bound.map(|bound| format!("duration {operator} {}ns", bound.as_nanos()))
        }));
        format!("{{ {} }}", all.join(" && "))
    }
}

/// Spans of a service.
pub(super) fn service_is(service: &str) -> String {
    let named = format!("resource.service.name = {}", quoted(service));
    if service == NO_SERVICE {
        return format!("({named} || resource.service.name = \"\")");
    }
    named
}

/// A tag may be an attribute of anything that belongs to the span, of any type, or what Jaeger tells as a tag and is none in OTLP.
fn tag_is(key: &str, value: &str) -> String {
    let text = quoted(value);
    let lower = value.to_ascii_lowercase();
    match (key, lower.as_str()) {
        ("error", "true") => {
            "(status = error || span.error = true || span.error = \"true\")".to_owned()
        }
        ("error", "false") => "status != error".to_owned(),
        ("span.status" | "otel.status_code", word @ ("ok" | "error" | "unset")) => {
            format!("status = {word}")
        }
        (
            "span.kind",
            word @ ("server" | "client" | "producer" | "consumer" | "internal" | "unspecified"),
        ) => format!("kind = {word}"),
        ("otel.status_description", _) => format!("statusMessage = {text}"),
        ("scope.name" | "otel.scope.name" | "otel.library.name", _) => {
            format!("instrumentation:name = {text}")
        }
        ("scope.version" | "otel.scope.version" | "otel.library.version", _) => {
            format!("instrumentation:version = {text}")
        }
        ("event", _) => any_of(&SCOPES, key, value, Some(format!("event:name = {text}"))),
        _ => match key.strip_prefix("resource.") {
            Some(key) if !key.is_empty() => any_of(&["resource"], key, value, None),
            _ => any_of(&SCOPES, key, value, None),
        },
    }
}

/// Where an attribute of a span may be.
const SCOPES: [&str; 5] = ["span", "resource", "event", "link", "instrumentation"];

fn any_of(scopes: &[&str], key: &str, value: &str, more: Option<String>) -> String {
    let name = attribute(key);
    let values = [Some(quoted(value)), typed(value)];
    let values: Vec<String> = values.into_iter().flatten().collect();
    let of_scope = |scope: &&str| {
        let equals = |value: &String| format!("{scope}{name} = {value}");
        values.iter().map(equals).collect::<Vec<_>>()
    };
    let all: Vec<String> = scopes.iter().flat_map(of_scope).chain(more).collect();
    format!("({})", all.join(" || "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            service: String::new(),
            operation: String::new(),
            tags: Vec::new(),
            conditions: Vec::new(),
            min_duration: None,
            max_duration: None,
            window: 0..=1,
            limit: 20,
        }
    }

    #[test]
    fn every_search_is_traceql_that_the_engine_reads() {
        assert_eq!(wanted().traceql(), "{  }");
        let whole = Wanted {
            service: "a \"b\"".to_owned(),
            operation: "GET /x".to_owned(),
            tags: vec![("error".to_owned(), "true".to_owned())],
            conditions: vec!["kind = server".to_owned()],
            min_duration: Some(Duration::from_micros(1500)),
            max_duration: Some(Duration::from_secs(2)),
            ..wanted()
        };
        assert_eq!(
            whole.traceql(),
            r#"{ resource.service.name = "a \"b\"" && name = "GET /x" && (status = error || span.error = true || span.error = "true") && kind = server && duration >= 1500000ns && duration <= 2000000000ns }"#
        );
        for (key, value) in [
            ("http.status_code", "500"),
            ("ratio", "0.5"),
            ("cached", "true"),
            ("user name", "Ada"),
            ("error", "false"),
            ("span.kind", "server"),
            ("span.kind", "odd"),
            ("otel.status_code", "ERROR"),
            ("scope.name", "http"),
            ("resource.host", "a"),
            ("event", "retry"),
            ("", ""),
            ("a{b", "\u{1}\n"),
        ] {
            let tags = vec![(key.to_owned(), value.to_owned())];
            let query = Wanted { tags, ..wanted() }.traceql();
            let read = crate::traceql::compile(&query);
            assert!(read.is_ok(), "{query}: {:?}", read.err());
        }
    }

    #[test]
    fn a_tag_is_searched_for_everywhere_and_in_all_types() {
        assert_eq!(
            tag_is("code", "500"),
            r#"(span.code = "500" || span.code = 500 || resource.code = "500" || resource.code = 500 || event.code = "500" || event.code = 500 || link.code = "500" || link.code = 500 || instrumentation.code = "500" || instrumentation.code = 500)"#
        );
        assert_eq!(tag_is("resource.a", "b"), r#"(resource.a = "b")"#);
        assert_eq!(tag_is("span.kind", "Server"), "kind = server");
    }
}
