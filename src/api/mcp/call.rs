//! Tools at work: arguments to the parameters of the HTTP question, its answer to text.

use http::HeaderMap;
use serde_json::{Value, json};

use super::super::json::to_json;
use super::super::params::Params;
use super::super::{Api, Call, llm, metrics, search, tags, times, traces};
use super::docs;
use super::tools::Tool;
use super::{INVALID_PARAMS, Wrong};
use crate::failure::{Failure, Kind};
use crate::listener::on_cpu;
use crate::trace::TraceId;
use crate::traceql::compile_metrics;

/// Longest answer, in bytes: about 25,000 tokens. A model's context is filled by few of them.
const ANSWER_BYTES_MAX: usize = 100 << 10;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// How far back a tool without a time range looks.
const HOUR: u64 = 3600 * NANOS_PER_SECOND;

/// `tools/call`. What went wrong in the tool is a result, so that the model reads it and asks better.
pub(super) async fn tool(api: &Api, headers: &HeaderMap, params: &Value) -> Result<Value, Wrong> {
    let name = params["name"].as_str().unwrap_or_default();
    let Some(tool) = Tool::named(name) else {
        return Err(Wrong::new(INVALID_PARAMS, format!("no tool {name:?}: see tools/list")));
    };
    let arguments = Arguments(&params["arguments"]);
    let (text, is_error) = match text_of(api, headers, tool, &arguments).await {
        Ok(text) => (text, false),
        Err(failure) => (failure.message, true),
    };
    let encoding = match tool {
        Tool::DocsTraceql | Tool::DocsConfig => "markdown",
        _ => "json",
    };
    Ok(json!({
        "content": [{"type": "text", "text": text}],
        "isError": is_error,
        "_meta": {"type": tool.result_type(), "encoding": encoding, "version": "1"},
    }))
}

async fn text_of(
    api: &Api,
    headers: &HeaderMap,
    tool: Tool,
    arguments: &Arguments<'_>,
) -> Result<String, Failure> {
    match tool {
        Tool::DocsTraceql | Tool::DocsConfig => {
            let name = arguments.required("name")?;
            let text =
                if tool == Tool::DocsTraceql { docs::traceql(name) } else { docs::config(name) };
            let known = if tool == Tool::DocsTraceql { &docs::TRACEQL[..] } else { &docs::CONFIG };
            text.ok_or_else(|| {
                Failure::invalid(format!("no chapter {name:?}, there are: {}", known.join(", ")))
            })
        }
        Tool::Search => {
            let query = arguments.required("query")?;
            if compile_metrics(query).is_ok_and(|query| query.is_some()) {
                return Err(Failure::invalid(
                    "this is a metrics query: use traceql-metrics-instant or traceql-metrics-range",
                ));
            }
            let (start, end) = arguments.seconds(api.now())?;
            let params = [("q", query.to_owned()), ("start", start), ("end", end)];
            let call = api.admit(headers, Params::made(params))?;
            let (message, _) = search::found(api, &call).await?;
            json_text(move || to_json(&message), "a query that matches less").await
        }
        Tool::MetricsInstant => {
            let call = api.admit(headers, arguments.metrics(api.now())?)?;
            let (message, _) = metrics::instant(api, &call).await?;
            json_text(move || to_json(&message), "fewer groups: topk(10) behind the function").await
        }
        Tool::MetricsRange => {
            let call = api.admit(headers, arguments.metrics(api.now())?)?;
            let (message, _) = metrics::range(api, &call).await?;
            json_text(move || to_json(&message), "fewer groups, or the instant tool").await
        }
        Tool::GetTrace => {
            let id = arguments.required("trace_id")?;
            let call = api.admit(headers, Params::default())?;
            trace(api, &call, id).await
        }
        Tool::AttributeNames => {
            let scope = arguments.get("scope").unwrap_or_default().to_owned();
            let call = api.admit(headers, Params::made([("scope", scope)]))?;
            let (message, _) = tags::scoped_names(api, &call).await?;
            json_text(move || to_json(&message), "one scope").await
        }
        Tool::AttributeValues => {
            let name = arguments.required("name")?;
            let filter = arguments.get("filter-query").unwrap_or_default().to_owned();
            let params = [("q", filter), ("limit", "1000".to_owned())];
            let call = api.admit(headers, Params::made(params))?;
            let found = tags::typed_values(api, &call, name).await?;
            json_text(move || tags::llm_values(found), "values of fewer spans, by filter-query")
                .await
        }
    }
}

async fn trace(api: &Api, call: &Call, id: &str) -> Result<String, Failure> {
    let parsed = TraceId::parse(id).map_err(Failure::invalid)?;
    let Some(found) = traces::find(api, call, id).await? else {
        return Err(Failure::new(Kind::NotFound, format!("no trace {parsed}")));
    };
    let (spans, cost) = (found.span_count(), found.cost);
    let encoded = on_cpu(move || {
        let bytes = found.protobuf()?;
        llm::trace(Some(&bytes), &cost).map_err(Failure::internal)
    });
    let less = format!(
        "traceql-search with {{ trace:id = \"{parsed}\" && status = error }} or another filter: the trace has {spans} spans"
    );
    bounded(encoded.await?, &less)
}

async fn json_text(
    encode: impl FnOnce() -> Vec<u8> + Send + 'static,
    less: &str,
) -> Result<String, Failure> {
    bounded(on_cpu(encode).await, less)
}

/// The answer as text, if it is not too long for its reader.
fn bounded(answer: Vec<u8>, less: &str) -> Result<String, Failure> {
    if answer.len() > ANSWER_BYTES_MAX {
        return Err(Failure::new(
            Kind::TooLarge,
            format!(
                "the answer would take {} bytes, at most {ANSWER_BYTES_MAX} are given; ask for {less}",
                answer.len()
            ),
        ));
    }
    String::from_utf8(answer).map_err(Failure::internal)
}

/// What a model gave a tool.
struct Arguments<'a>(&'a Value);

impl Arguments<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0[name].as_str().filter(|text| !text.is_empty())
    }

    fn required(&self, name: &str) -> Result<&str, Failure> {
        self.get(name).ok_or_else(|| Failure::invalid(format!("the argument {name:?} is missing")))
    }

    /// Start and end in Unix nanoseconds.
    fn range(&self, now: u64) -> Result<(u64, u64), Failure> {
        let time = |name: &str| match self.get(name) {
            None => Ok(None),
            Some(text) => times::flexible(text).map(Some).ok_or_else(|| {
                Failure::invalid(format!("{name} {text:?} is no time, as in 2026-01-31T09:00:00Z"))
            }),
        };
        let end = time("end")?.unwrap_or(now);
        Ok((time("start")?.unwrap_or_else(|| end.saturating_sub(HOUR)), end))
    }

    /// Start and end in whole seconds, none of the range left out.
    fn seconds(&self, now: u64) -> Result<(String, String), Failure> {
        let (start, end) = self.range(now)?;
        let (start, end) = (start / NANOS_PER_SECOND, end.div_ceil(NANOS_PER_SECOND));
        Ok((start.to_string(), end.to_string()))
    }

    fn metrics(&self, now: u64) -> Result<Params, Failure> {
        let query = self.required("query")?.to_owned();
        let (start, end) = self.range(now)?;
        let time = |nanos: u64| format!("{nanos:011}");
        Ok(Params::made([("q", query), ("start", time(start)), ("end", time(end))]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_answer_is_refused_with_a_hint() {
        assert_eq!(bounded(b"{}".to_vec(), "less").unwrap(), "{}");
        let refused = bounded(vec![b'x'; ANSWER_BYTES_MAX + 1], "one scope").unwrap_err();
        assert!(refused.message.ends_with("ask for one scope"), "{refused}");
    }

    #[test]
    fn a_range_is_the_last_hour_if_nothing_is_said() {
        let now = 1_700_000_000 * NANOS_PER_SECOND + 5;
        let of = |arguments: Value| Arguments(&arguments).seconds(now);
        let told = |start: &str, end: &str| (start.to_owned(), end.to_owned());
        assert_eq!(of(json!({})).unwrap(), told("1699996400", "1700000001"));
        let hour = json!({"end": "2023-11-14T22:13:20Z", "start": ""});
        assert_eq!(of(hour).unwrap(), told("1699996400", "1700000000"));
        assert!(of(json!({"start": "yesterday"})).unwrap_err().message.contains("yesterday"));
    }
}
