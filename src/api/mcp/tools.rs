//! What the tools are called, and what they take.

use serde_json::{Value, json};

use super::docs::{CONFIG, TRACEQL};

/// A tool's place in [`list`], and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Search,
    MetricsInstant,
    MetricsRange,
    GetTrace,
    AttributeNames,
    AttributeValues,
    DocsTraceql,
    DocsConfig,
}

const ALL: [(Tool, &str, &str); 8] = [
    (
        Tool::Search,
        "traceql-search",
        "Finds traces by a TraceQL query, the newest first, at most 20. Not for metrics queries.",
    ),
    (
        Tool::MetricsInstant,
        "traceql-metrics-instant",
        "Computes one value for each series of a TraceQL metrics query over a time range, such as \
         `{ status = error } | rate() by (resource.service.name)`. Rather use this than the range tool unless the course over time matters.",
    ),
    (
        Tool::MetricsRange,
        "traceql-metrics-range",
        "Computes series over time of a TraceQL metrics query.",
    ),
    (Tool::GetTrace, "get-trace", "Reads one trace by its id: services, spans, attributes."),
    (
        Tool::AttributeNames,
        "get-attribute-names",
        "Lists the names of the attributes that recent spans have, by scope, as TraceQL wants them.",
    ),
    (
        Tool::AttributeValues,
        "get-attribute-values",
        "Lists the values of an attribute on recent spans, the most frequent first, by type.",
    ),
    (Tool::DocsTraceql, "docs-traceql", "Reads a chapter of the TraceQL reference."),
    (Tool::DocsConfig, "docs-config", "Reads about the server's configuration file."),
];

impl Tool {
    pub(super) fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|(_, known, _)| *known == name).map(|(tool, ..)| *tool)
    }

    /// What a result is, for programs that show it.
    pub(super) fn result_type(self) -> &'static str {
        match self {
            Self::Search => "search-results",
            Self::MetricsInstant => "metrics-instant",
            Self::MetricsRange => "metrics-range",
            Self::GetTrace => "trace",
            Self::AttributeNames => "attribute-names",
            Self::AttributeValues => "attribute-values",
            Self::DocsTraceql | Self::DocsConfig => "documentation",
        }
    }

    /// The arguments as a JSON schema.
    fn schema(self) -> Value {
        let text = |description: &str| json!({"type": "string", "description": description});
        let one_of = |names: &[&str]| json!({"type": "string", "enum": names});
        let ranged = |query: &str| {
            json!({
                "query": text(query),
                "start": text("Begin of the time range, RFC 3339 or Unix seconds; default: an hour before its end"),
                "end": text("End of the time range, RFC 3339 or Unix seconds; default: now"),
            })
        };
        let (properties, required): (Value, &[&str]) = match self {
            Self::Search => (ranged("TraceQL"), &["query"]),
            Self::MetricsInstant | Self::MetricsRange => {
                (ranged("TraceQL that ends in a metrics function"), &["query"])
            }
            Self::GetTrace => (json!({"trace_id": text("Trace id, hexadecimal")}), &["trace_id"]),
            Self::AttributeNames => {
                let scopes = ["resource", "span", "event", "link", "instrumentation", "intrinsic"];
                (json!({"scope": one_of(&scopes)}), &[])
            }
            Self::AttributeValues => {
                let name = "The attribute with its scope, such as span.http.route or resource.service.name";
                let filter = "TraceQL filter: only values on spans that it keeps, such as { status = error }";
                (json!({"name": text(name), "filter-query": text(filter)}), &["name"])
            }
            Self::DocsTraceql => (json!({"name": one_of(&TRACEQL)}), &["name"]),
            Self::DocsConfig => (json!({"name": one_of(&CONFIG)}), &["name"]),
        };
        json!({"type": "object", "properties": properties, "required": required})
    }
}

/// All tools, as `tools/list` tells them.
pub(super) fn list() -> Vec<Value> {
    let told = |(tool, name, description): &(Tool, &str, &str)| {
        json!({
            "name": name,
            "description": description,
            "inputSchema": tool.schema(),
            "annotations": {
                "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false,
            },
        })
    };
    ALL.iter().map(told).collect()
}
