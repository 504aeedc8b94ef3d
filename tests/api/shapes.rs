//! The shapes of answers that Grafana demands: no field that Tempo's messages lack, and what Traces Drilldown counts on.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::other_shapes;

/// What an answer must look like, whatever it says.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shape {
    /// Of `/api/search`.
    Search,
    /// A search from which a tree is drawn: one spanset for each trace, the numbers of nested sets as ints.
    Structure,
    /// Of `/api/metrics/query_range`.
    Series,
    /// Series that are each named by one number, the bucket.
    Heatmap,
    /// Series of `compare()`: a side, and one attribute by its full name.
    Comparison,
    /// Traces in Jaeger's older form.
    Jaeger,
    /// The list of found traces of Jaeger UI.
    Summaries,
    /// Traces as lists of Zipkin's spans.
    Zipkin,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    traces: Vec<Trace>,
    #[serde(rename = "metrics")]
    _metrics: Metrics,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Trace {
    #[serde(rename = "traceID")]
    id: String,
    #[serde(rename = "rootServiceName")]
    _root_service_name: String,
    #[serde(rename = "rootTraceName")]
    _root_trace_name: Option<String>,
    start_time_unix_nano: String,
    #[serde(rename = "durationMs")]
    _duration_ms: Option<u32>,
    span_set: SpanSet,
    span_sets: Vec<SpanSet>,
    #[serde(rename = "serviceStats")]
    _service_stats: BTreeMap<String, ServiceStats>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ServiceStats {
    #[serde(rename = "spanCount")]
    _span_count: u32,
    #[serde(rename = "errorCount")]
    _error_count: Option<u32>,
}

#[derive(PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpanSet {
    spans: Vec<Span>,
    matched: usize,
    #[serde(default)]
    attributes: Vec<Pair>,
}

#[derive(PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Span {
    #[serde(rename = "spanID")]
    id: String,
    name: Option<String>,
    start_time_unix_nano: String,
    duration_nanos: Option<String>,
    #[serde(default)]
    attributes: Vec<Pair>,
}

#[derive(PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    key: String,
    /// One entry: the type and the value.
    value: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Metrics {
    #[serde(rename = "inspectedTraces")]
    _inspected_traces: Option<u32>,
    #[serde(rename = "inspectedBytes")]
    _inspected_bytes: Option<String>,
    #[serde(rename = "totalBlocks")]
    _total_blocks: Option<u32>,
    #[serde(rename = "completedJobs")]
    _completed_jobs: Option<u32>,
    #[serde(rename = "totalJobs")]
    _total_jobs: Option<u32>,
    #[serde(rename = "totalBlockBytes")]
    _total_block_bytes: Option<String>,
    #[serde(rename = "inspectedSpans")]
    _inspected_spans: Option<String>,
}

/// Without `status` and `message`: these are for partial answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    series: Vec<Series>,
    #[serde(rename = "metrics")]
    _metrics: Metrics,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Series {
    labels: Vec<Pair>,
    samples: Vec<Sample>,
    #[serde(default)]
    exemplars: Vec<Exemplar>,
}

/// A value of zero is left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Sample {
    timestamp_ms: String,
    #[serde(default)]
    value: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Exemplar {
    labels: Vec<Pair>,
    value: f64,
    timestamp_ms: String,
}

/// What is wrong with the shape of a body.
pub(crate) fn wrong(shape: Shape, body: &[u8]) -> Vec<String> {
    let checked = match shape {
        Shape::Search | Shape::Structure => {
            serde_json::from_slice(body).map(|search| of_search(shape, &search))
        }
        Shape::Series | Shape::Heatmap | Shape::Comparison => {
            serde_json::from_slice(body).map(|range| of_range(shape, &range))
        }
        Shape::Jaeger => Ok(other_shapes::of_jaeger(body)),
        Shape::Summaries => Ok(other_shapes::of_summaries(body)),
        Shape::Zipkin => Ok(other_shapes::of_zipkin(body)),
    };
    checked.unwrap_or_else(|error| vec![error.to_string()])
}

fn of_search(shape: Shape, search: &Search) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut types = BTreeMap::new();
    for trace in &search.traces {
        let id = &trace.id;
        if trace.start_time_unix_nano.parse::<u64>().is_err() {
            wrong.push(format!("{id}: start"));
        }
        if trace.span_sets.first() != Some(&trace.span_set) {
            wrong.push(format!("{id}: spanSet is not the first of spanSets"));
        }
        if shape == Shape::Structure && trace.span_sets.len() != 1 {
            wrong.push(format!("{id}: {} spansets", trace.span_sets.len()));
        }
        for set in &trace.span_sets {
            if set.spans.is_empty() || set.matched < set.spans.len() {
                wrong.push(format!("{id}: {} of {} spans", set.spans.len(), set.matched));
            }
            if let Some(Pair { key, .. }) = set.attributes.iter().find(|pair| !is_value(pair)) {
                wrong.push(format!("{id}: {key} is no value"));
            }
            for span in &set.spans {
                wrong.extend(of_span(shape, span, &mut types));
            }
        }
    }
    wrong
}

/// `types`: of each key the one type that all spans have.
fn of_span(shape: Shape, span: &Span, types: &mut BTreeMap<String, String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let id = &span.id;
    let is_number = |text: &String| text.parse::<u64>().is_ok();
    if !is_number(&span.start_time_unix_nano) || !span.duration_nanos.iter().all(is_number) {
        wrong.push(format!("{id}: start or duration"));
    }
    for pair in &span.attributes {
        let kind = pair.value.keys().next().cloned().unwrap_or_default();
        let known = types.entry(pair.key.clone()).or_insert_with(|| kind.clone());
        if !is_value(pair) || *known != kind {
            wrong.push(format!("{id}: {} is {kind}, elsewhere {known}", pair.key));
        }
    }
    if shape == Shape::Structure {
        let is_of = |key: &str, kind: &str| {
            span.attributes.iter().any(|pair| pair.key == key && pair.value.contains_key(kind))
        };
        let ints = ["nestedSetParent", "nestedSetLeft", "nestedSetRight"];
        let is_whole = ints.iter().all(|key| is_of(key, "intValue"))
            && ["status", "service.name"].iter().all(|key| is_of(key, "stringValue"))
            && span.name.is_some();
        if !is_whole {
            wrong.push(format!("{id}: no node of a tree"));
        }
    }
    wrong
}

/// Whether it is one value of one of the types that there are.
fn is_value(pair: &Pair) -> bool {
    let kinds = ["stringValue", "intValue", "doubleValue", "boolValue", "arrayValue"];
    pair.value.len() == 1 && pair.value.keys().all(|kind| kinds.contains(&kind.as_str()))
}

fn of_range(shape: Shape, range: &Range) -> Vec<String> {
    let mut wrong = Vec::new();
    let times = |series: &Series| -> Vec<u64> {
        series.samples.iter().filter_map(|sample| sample.timestamp_ms.parse().ok()).collect()
    };
    let grid: BTreeSet<u64> = range.series.iter().flat_map(times).collect();
    let grid: Vec<u64> = grid.into_iter().collect();
    if !grid.windows(3).all(|three| three[1] - three[0] == three[2] - three[1]) {
        wrong.push(format!("no grid of times: {grid:?}"));
    }
    for series in &range.series {
        let name = name_of(series);
        if !series.labels.iter().all(is_value) || series.labels.is_empty() {
            wrong.push(format!("{name}: labels"));
        }
        let times = times(series);
        if times.len() != series.samples.len() || times.is_empty() || !times.is_sorted() {
            wrong.push(format!("{name}: times {times:?}"));
        }
        if !series.exemplars.iter().all(is_exemplar) {
            wrong.push(format!("{name}: exemplars"));
        }
        if shape == Shape::Heatmap && !is_bucket(&series.labels) {
            wrong.push(format!("{name}: no number names the series"));
        }
    }
    if shape == Shape::Comparison {
        wrong.extend(of_comparison(range));
    }
    wrong
}

fn name_of(series: &Series) -> String {
    let label = |pair: &Pair| format!("{}={:?}", pair.key, pair.value);
    series.labels.iter().map(label).collect::<Vec<_>>().join(", ")
}

/// Values of zero, times of zero and links to nowhere are thrown away.
fn is_exemplar(exemplar: &Exemplar) -> bool {
    let is_link =
        |pair: &Pair| pair.key == "trace:id" && pair.value["stringValue"].as_str().is_some();
    exemplar.labels.iter().any(is_link)
        && exemplar.value > 0.0
        && exemplar.timestamp_ms.parse().is_ok_and(|time: u64| time > 0)
}

fn is_bucket(labels: &[Pair]) -> bool {
    let [Pair { key, value }] = labels else { return false };
    key == "__bucket" && value.get("doubleValue").is_some_and(Value::is_number)
}

/// Each series is of a side and of one attribute; the values of an attribute are not more than its total.
fn of_comparison(range: &Range) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut totals, mut sums) = (BTreeMap::new(), BTreeMap::<_, f64>::new());
    for series in &range.series {
        let [Pair { key: meta, value: side }, Pair { key: attribute, value }] = &series.labels[..]
        else {
            wrong.push(format!("{}: not two labels", name_of(series)));
            continue;
        };
        let side = side.get("stringValue").and_then(Value::as_str).unwrap_or_default();
        if meta != "__meta_type" || !is_full_name(attribute) {
            wrong.push(format!("{}: names", name_of(series)));
        }
        let count: f64 = series.samples.iter().map(|sample| sample.value).sum();
        let of = (side.strip_suffix("_total").unwrap_or(side), attribute);
        if !["baseline", "selection"].contains(&of.0) {
            wrong.push(format!("{}: no such side", name_of(series)));
        } else if of.0 == side {
            *sums.entry(of).or_default() += count;
        } else {
            let is_nil = value.get("stringValue").is_some_and(|value| value == "nil");
            if totals.insert(of, count).is_some() || !is_nil {
                wrong.push(format!("{}: a total that is none", name_of(series)));
            }
        }
    }
    for (of, sum) in &sums {
        if totals.get(of).is_none_or(|total| sum > total) {
            wrong.push(format!("{of:?}: {sum} of {:?}", totals.get(of)));
        }
    }
    wrong
}

fn is_full_name(attribute: &str) -> bool {
    const INTRINSICS: [&str; 8] = [
        "name",
        "kind",
        "status",
        "statusMessage",
        "rootName",
        "rootServiceName",
        "instrumentation:name",
        "instrumentation:version",
    ];
    let scopes = ["resource.", "span.", "instrumentation."];
    INTRINSICS.contains(&attribute) || scopes.iter().any(|scope| attribute.starts_with(scope))
}
