//! The shapes of answers that the clients of Jaeger and Zipkin demand.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

/// The envelope of Jaeger's older API around traces.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Traces {
    data: Vec<Trace>,
    total: usize,
    #[serde(rename = "limit")]
    _limit: usize,
    #[serde(rename = "offset")]
    _offset: usize,
    #[serde(rename = "errors")]
    _errors: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trace {
    #[serde(rename = "traceID")]
    id: String,
    spans: Vec<Span>,
    processes: BTreeMap<String, Process>,
    #[serde(rename = "warnings")]
    _warnings: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Process {
    service_name: String,
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Span {
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    id: String,
    #[serde(rename = "operationName")]
    _operation_name: String,
    references: Vec<Reference>,
    start_time: u64,
    #[serde(rename = "duration")]
    _duration: u64,
    tags: Vec<Tag>,
    logs: Vec<Log>,
    #[serde(rename = "processID")]
    process_id: String,
    #[serde(rename = "warnings")]
    _warnings: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Reference {
    ref_type: String,
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tag {
    key: String,
    r#type: String,
    value: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Log {
    #[serde(rename = "timestamp")]
    _timestamp: u64,
    fields: Vec<Tag>,
}

/// What the search page of Jaeger UI reads, and checks.
#[derive(Deserialize)]
struct Summaries {
    summaries: Vec<Summary>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Summary {
    trace_id: String,
    #[serde(rename = "rootServiceName")]
    _root_service_name: String,
    #[serde(rename = "rootOperationName")]
    _root_operation_name: String,
    min_start_time_unix_nano: String,
    max_end_time_unix_nano: String,
    span_count: u32,
    error_span_count: u32,
    orphan_span_count: u32,
    services: Vec<OfService>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct OfService {
    name: String,
    span_count: u32,
    error_span_count: u32,
}

/// A span of Zipkin's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ZipkinSpan {
    trace_id: String,
    parent_id: Option<String>,
    id: String,
    kind: Option<String>,
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "timestamp")]
    _timestamp: u64,
    #[serde(rename = "duration")]
    _duration: Option<u64>,
    #[serde(rename = "localEndpoint")]
    _local_endpoint: Option<Endpoint>,
    #[serde(rename = "remoteEndpoint")]
    _remote_endpoint: Option<Endpoint>,
    #[serde(rename = "annotations", default)]
    _annotations: Vec<Annotation>,
    #[serde(rename = "tags", default)]
    _tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Endpoint {
    #[serde(rename = "serviceName")]
    _service_name: String,
    #[serde(rename = "port")]
    _port: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotation {
    #[serde(rename = "timestamp")]
    _timestamp: u64,
    #[serde(rename = "value")]
    _value: String,
}

fn is_hex(text: &str, lengths: &[usize]) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn read<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    check: impl FnOnce(T) -> Vec<String>,
) -> Vec<String> {
    serde_json::from_slice(body).map_or_else(|error| vec![error.to_string()], check)
}

/// Traces in Jaeger's older form.
pub(crate) fn of_jaeger(body: &[u8]) -> Vec<String> {
    read(body, |Traces { data, total, .. }| {
        let mut wrong: Vec<String> = data.iter().flat_map(of_trace).collect();
        if total != data.len() {
            wrong.push(format!("total is {total}, not {}", data.len()));
        }
        wrong
    })
}

fn of_trace(trace: &Trace) -> Vec<String> {
    let mut wrong = Vec::new();
    let Trace { id, spans, processes, .. } = trace;
    if !is_hex(id, &[16, 32]) || spans.is_empty() {
        wrong.push(format!("{id:?} with {} spans", spans.len()));
    }
    for Process { service_name, tags } in processes.values() {
        if service_name.is_empty() || tags.iter().any(|tag| tag.key == "service.name") {
            wrong.push(format!("{id}: the process {service_name:?}"));
        }
        wrong.extend(tags.iter().filter_map(of_tag));
    }
    for span in spans {
        let name = &span.id;
        let is_known = processes.contains_key(&span.process_id);
        if span.trace_id != *id || !is_hex(name, &[16]) || !is_known || span.start_time == 0 {
            wrong.push(format!("{id}: the span {name}"));
        }
        for Reference { ref_type, trace_id, span_id } in &span.references {
            let is_kind = ["CHILD_OF", "FOLLOWS_FROM"].contains(&ref_type.as_str());
            if !is_kind || !is_hex(trace_id, &[16, 32]) || !is_hex(span_id, &[16]) {
                wrong.push(format!("{name}: the reference {ref_type} {trace_id} {span_id}"));
            }
        }
        let logged = span.logs.iter().flat_map(|log| &log.fields);
        wrong.extend(span.tags.iter().chain(logged).filter_map(of_tag));
    }
    wrong
}

fn of_tag(tag: &Tag) -> Option<String> {
    let Tag { key, r#type, value } = tag;
    let fits = match r#type.as_str() {
        "string" | "binary" => value.is_string(),
        "bool" => value.is_boolean(),
        "int64" => value.is_i64() || value.is_string(),
        "float64" => value.is_number() || value.is_string(),
        _ => false,
    };
    (!fits).then(|| format!("the tag {key} of type {type}: {value}"))
}

/// The list of found traces of Jaeger UI.
pub(crate) fn of_summaries(body: &[u8]) -> Vec<String> {
    read(body, |Summaries { summaries }| {
        let is_number = |text: &str| text.parse::<u64>().is_ok();
        let is_whole = |one: &Summary| {
            let names: Vec<&String> = one.services.iter().map(|service| &service.name).collect();
            let spans: u32 = one.services.iter().map(|service| service.span_count).sum();
            let errors: u32 = one.services.iter().map(|service| service.error_span_count).sum();
            is_hex(&one.trace_id, &[32])
                && is_number(&one.min_start_time_unix_nano)
                && is_number(&one.max_end_time_unix_nano)
                && names.is_sorted()
                && (spans, errors) == (one.span_count, one.error_span_count)
                && one.orphan_span_count <= one.span_count
        };
        let wrong = summaries.iter().filter(|one| !is_whole(one));
        wrong.map(|one| format!("the summary of {}", one.trace_id)).collect()
    })
}

/// Traces as lists of Zipkin's spans.
pub(crate) fn of_zipkin(body: &[u8]) -> Vec<String> {
    read(body, |traces: Vec<Vec<ZipkinSpan>>| {
        let kinds = ["CLIENT", "SERVER", "PRODUCER", "CONSUMER"];
        let is_whole = |span: &&ZipkinSpan| {
            is_hex(&span.trace_id, &[16, 32])
                && is_hex(&span.id, &[16])
                && span.parent_id.iter().all(|id| is_hex(id, &[16]))
                && span.kind.iter().all(|kind| kinds.contains(&kind.as_str()))
        };
        let mut wrong: Vec<String> = traces
            .iter()
            .flatten()
            .filter(|span| !is_whole(span))
            .map(|span| format!("the span {}", span.id))
            .collect();
        let mixed = traces.iter().filter(|spans| {
            let ids: BTreeSet<&String> = spans.iter().map(|span| &span.trace_id).collect();
            ids.len() != 1
        });
        wrong.extend(mixed.map(|spans| format!("a list of {} spans", spans.len())));
        wrong
    })
}
