//! What models may read about the language and the server: chapters of the project's own documentation.

use serde_json::{Value, json};

pub(super) const MARKDOWN: &str = "text/markdown";

/// Chapters of the TraceQL reference.
pub(super) const TRACEQL: [&str; 5] = ["basic", "aggregates", "structural", "metrics", "query"];

/// About the configuration.
pub(super) const CONFIG: [&str; 2] = ["overview", "reference"];

const REFERENCE: &str = include_str!("../../../docs/traceql.md");
const TEMPO_YAML: &str = include_str!("../../../tempo.yaml");

const CONFIG_OVERVIEW: &str = "# Configuration\n\n\
    One file, `tempo.yaml`, given by `-config.file`; it has the keys of Grafana Tempo. Keys of Tempo's that are not needed are warned about, \
    unknown ones refused. `-config.expand-env` puts environment variables in place of `${NAME}`, `-config.verify` checks the file and ends. Of a key that \
    is left out the default holds. The parts:\n\n\
    | part | what |\n|---|---|\n\
    | `server` | where the API is listened on, TLS, the log |\n\
    | `distributor` | receivers of spans, and their limits |\n\
    | `ingester` | when spans leave memory for a block |\n\
    | `storage.trace` | the bucket (`local`, `s3`, `gcs`, `azure`) and the write-ahead log |\n\
    | `query_frontend`, `querier` | what a query may ask, and what it may take |\n\
    | `overrides` | limits by tenant |\n\
    | `memory` | the share of the machine's memory |\n\n\
    The reference lists every key with its default.\n";

/// A chapter of the TraceQL reference.
pub(super) fn traceql(name: &str) -> Option<String> {
    let chapters: &[(&str, &str)] = match name {
        "basic" => &[("## From a filter", "## Between spansets")],
        "structural" => &[("## Between spansets", "## Pipelines")],
        "aggregates" => &[("## Pipelines", "## Metrics")],
        "metrics" => &[("## Metrics", "## Limits")],
        "query" => &[("# TraceQL", "## Text and literals"), ("## Limits", "## Beyond")],
        _ => return None,
    };
    Some(chapters.iter().map(|(from, to)| between(REFERENCE, from, to)).collect())
}

/// About the configuration.
pub(super) fn config(name: &str) -> Option<String> {
    match name {
        "overview" => Some(CONFIG_OVERVIEW.to_owned()),
        "reference" => {
            Some(format!("# tempo.yaml, every key with its default\n\n```yaml\n{TEMPO_YAML}```\n"))
        }
        _ => None,
    }
}

/// The text from a heading up to another one.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let line = |heading: &str| {
        if text.starts_with(heading) { Some(0) } else { text.find(&format!("\n{heading}")) }
    };
    let begin = line(from).unwrap_or(text.len());
    let rest = text.get(begin..).unwrap_or_default();
    let end = rest.get(1..).and_then(|rest| rest.find(&format!("\n{to}"))).map(|end| end + 1);
    rest.get(..end.unwrap_or(rest.len())).unwrap_or_default().trim_start_matches('\n')
}

/// All that can be read, as `resources/list` tells it.
pub(super) fn list() -> Vec<Value> {
    let told = |(group, name): (&str, &str)| json!({"uri": format!("docs://{group}/{name}"), "name": format!("{group} {name}"), "mimeType": MARKDOWN});
    let traceql = TRACEQL.map(|name| ("traceql", name));
    traceql.into_iter().chain(CONFIG.map(|name| ("config", name))).map(told).collect()
}

/// What is behind an address of [`list`].
pub(super) fn resource(uri: &str) -> Option<String> {
    let (group, name) = uri.strip_prefix("docs://")?.split_once('/')?;
    match group {
        "traceql" => traceql(name),
        "config" => config(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chapter_is_there_and_is_not_all_of_the_book() {
        for name in TRACEQL {
            let text = traceql(name).unwrap();
            assert!(
                (500..REFERENCE.len() / 2 + 2000).contains(&text.len()),
                "{name}: {}",
                text.len()
            );
            assert!(text.starts_with('#'), "{name}");
        }
        assert!(traceql("metrics").unwrap().contains("quantile_over_time"));
        assert!(traceql("structural").unwrap().contains(">>"));
        assert!(!traceql("structural").unwrap().contains("quantile_over_time"));
        for resource_told in list() {
            assert!(resource(resource_told["uri"].as_str().unwrap()).is_some());
        }
        assert_eq!(resource("docs://traceql/none"), None);
    }
}
