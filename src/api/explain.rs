//! `explain=1`: how a query was answered and what it cost, as a text for people.

use std::fmt::{self, Display, Formatter, Write};
use std::ops::RangeInclusive;
use std::time::{Duration, UNIX_EPOCH};

use axum::response::{IntoResponse, Response};
use bytesize::ByteSize;

use super::cost::with_cost;
use super::params::Params;
use crate::columns::{Projection, SpanColumn};
use crate::querier::Cost;
use crate::scan::Need;

/// Whether the request asks how, not what.
pub(super) fn is_wanted(params: &Params) -> bool {
    matches!(params.get("explain"), Some("1" | "true"))
}

/// A valid query as it was understood.
pub(super) fn canonical(text: &str) -> String {
    let text = if text.is_empty() { "{}" } else { text };
    traceql_grammar::parse(text).map_or_else(|_| text.to_owned(), |query| query.to_string())
}

/// How a query was answered.
pub(super) struct Explained<'a> {
    /// The query as it was understood.
    pub(super) query: String,
    /// Unix nanoseconds.
    pub(super) window: RangeInclusive<u64>,
    pub(super) need: Need,
    /// What is read of every row that is left, and then of the traces that pass; a metrics query reads all at once.
    pub(super) first_look: Option<&'a Projection>,
    pub(super) projection: &'a Projection,
    pub(super) cost: Cost,
    pub(super) cpu: Duration,
    pub(super) took: Duration,
    /// What was found, such as `20 traces`.
    pub(super) found: String,
}

impl Explained<'_> {
    pub(super) fn answer(&self) -> Response {
        with_cost(self.to_string().into_response(), &self.cost)
    }
}

impl Display for Explained<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { query, window, need, first_look, projection, cost, cpu, took, found } = self;
        let mut line = |name: &str, text: &str| writeln!(f, "{name:<12}{text}");
        line("query", query)?;
        line("window", &format!("{} to {}", time(*window.start()), time(*window.end())))?;
        line("only where", &need.to_string())?;
        match first_look {
            Some(first) => {
                line("first", &format!("{}, of every span left", names(first)))?;
                line("then", &format!("{}, of traces that pass", names(projection)))?;
            }
            None => line("reads", &format!("{}, of every span left", names(projection)))?,
        }
        let Cost {
            inspected_bytes,
            inspected_traces,
            inspected_spans,
            blocks,
            blocks_skipped,
            block_bytes,
            jobs,
            jobs_skipped,
            requests,
        } = *cost;
        let size = |bytes: u64| ByteSize::b(bytes).to_string();
        line(
            "blocks",
            &format!("{blocks} of {} looked at, {}", blocks + blocks_skipped, size(block_bytes)),
        )?;
        line("units", &format!("{jobs} of {} read", jobs + jobs_skipped))?;
        line("spans", &format!("{inspected_spans} in {inspected_traces} traces"))?;
        line("bucket", &format!("{requests} requests, {}", size(inspected_bytes)))?;
        line("CPU", &humantime::format_duration(whole_micros(*cpu)).to_string())?;
        line("time", &humantime::format_duration(whole_micros(*took)).to_string())?;
        line("found", found)
    }
}

fn whole_micros(duration: Duration) -> Duration {
    Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

fn time(unix_nano: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_nanos(unix_nano);
    humantime::format_rfc3339_millis(time).to_string()
}

/// The columns of a projection, as a person calls them.
fn names(projection: &Projection) -> String {
    let Projection { columns, attributes, events, links } = projection;
    let mut all: Vec<String> =
        columns.iter().map(|column| column_name(*column).to_owned()).collect();
    all.extend(attributes.iter().map(|key| format!("span.{key}")));
    if let Some(events) = events {
        all.push("events".to_owned());
        all.extend(events.attributes.iter().map(|key| format!("event.{key}")));
    }
    if let Some(links) = links {
        all.push("links".to_owned());
        all.extend(links.attributes.iter().map(|key| format!("link.{key}")));
    }
    if all.is_empty() { "nothing but traces".to_owned() } else { all.join(", ") }
}

fn column_name(column: SpanColumn) -> &'static str {
    match column {
        SpanColumn::SpanId => "span id",
        SpanColumn::ParentId => "parent id",
        SpanColumn::Tree => "tree",
        SpanColumn::Tops => "top",
        SpanColumn::Start => "start",
        SpanColumn::Duration => "duration",
        SpanColumn::Name => "name",
        SpanColumn::Kind => "kind",
        SpanColumn::Status => "status",
        SpanColumn::StatusMessage => "status message",
        SpanColumn::Resource => "resource",
    }
}

/// `1 trace`, `2 traces`.
pub(super) fn counted(count: usize, what: &str) -> String {
    let mut text = format!("{count} {what}");
    if count != 1 && what != "series" {
        // A string takes all that is written to it.
        text.write_char('s').ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{NeedScope, NeedValue};

    #[test]
    fn an_explanation_is_a_page_that_a_person_can_read() {
        let projection = Projection::default().with([SpanColumn::Start, SpanColumn::Duration]);
        let mut first = Projection::default();
        first.attributes.insert("user.id".into());
        let equals = Need::Equals {
            scope: NeedScope::Span,
            key: "user.id".into(),
            value: NeedValue::String("u-1".into()),
        };
        let explained = Explained {
            query: "{ span.user.id = \"u-1\" && duration > 1s }".into(),
            window: 1_741_000_000_000_000_000..=1_741_000_060_000_000_000,
            need: Need::All(vec![equals, Need::DurationAtLeast(1_000_000_001)]),
            first_look: Some(&first),
            projection: &projection,
            cost: Cost {
                inspected_bytes: 2048,
                inspected_spans: 7,
                blocks: 1,
                blocks_skipped: 2,
                requests: 3,
                ..Cost::default()
            },
            cpu: Duration::from_nanos(1_234_567),
            took: Duration::from_millis(2),
            found: counted(1, "trace"),
        };
        let expected = "\
query       { span.user.id = \"u-1\" && duration > 1s }
window      2025-03-03T11:06:40.000Z to 2025-03-03T11:07:40.000Z
only where  span.user.id = \"u-1\" and duration >= 1.000000001s
first       span.user.id, of every span left
then        start, duration, of traces that pass
blocks      1 of 3 looked at, 0 B
units       0 of 0 read
spans       7 in 0 traces
bucket      3 requests, 2.0 KiB
CPU         1ms 234us
time        2ms
found       1 trace
";
        assert_eq!(explained.to_string(), expected);
    }
}
