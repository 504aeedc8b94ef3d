//! `/api/metrics/query_range` and `/api/metrics/query`: series computed from spans, over time or as one value.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::request;
use traceql_grammar::go_duration as print_nanos;

use super::cost::{metrics_of, with_cost};
use super::explain::{self, Explained, counted};
use super::format::{Form, json};
use super::params::{self, Params, clamped, latest};
use super::proto::{
    Exemplar, InstantSeries, KeyValue, PartialStatus, QueryInstantResponse, QueryRangeResponse,
    Sample, TimeSeries,
};
use super::series::range_json;
use super::times::{flexible, go_duration, print_go, since};
use super::{Answered, Api, ApiState, Call, Config};
use crate::failure::Failure;
use crate::listener::on_cpu;
use crate::querier::{Cost, MetricsAnswer, MetricsRequest};
use crate::runtime::metered;
use crate::trace::Value;
use crate::traceql::{Series, Slots, compile_metrics};

const SECOND: u64 = 1_000_000_000;

/// How far back a query without a start looks.
const SINCE: Duration = Duration::from_hours(1);

/// A range is divided into about so many steps if the request names none.
const STEPS: u64 = 240;

/// What a metrics query may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsLimits {
    /// Longest time range; zero = no bound.
    pub max_duration: Duration,
    /// Most exemplars in an answer; 0 = none.
    pub max_exemplars: usize,
    /// Most series in an answer; 0 = no bound.
    pub max_response_series: usize,
    /// Most steps in a time range; 0 = no bound.
    pub max_intervals: usize,
}

impl Default for MetricsLimits {
    fn default() -> Self {
        Self {
            max_duration: Duration::from_hours(24),
            max_exemplars: 100,
            max_response_series: 0,
            max_intervals: 10_000,
        }
    }
}

pub(super) async fn query_range(State(api): ApiState, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    let wanted = range_request(&call.params, &call.config, api.now())?;
    if explain::is_wanted(&call.params) {
        return explained(&api, &call, wanted).await;
    }
    let (form, max) = (call.form, wanted.max_series);
    let answer =
        api.within(&call, Box::pin(api.parts.querier.metrics(&call.tenants, wanted))).await?;
    let cost = answer.cost;
    let response = on_cpu(move || range_response(form, answer, max)).await;
    Ok(with_cost(response, &cost))
}

fn range_response(form: Form, mut answer: MetricsAnswer, max: usize) -> Response {
    match form {
        Form::Protobuf => form.answer(&range_answer(answer, max)),
        Form::Json | Form::Llm => {
            let series = std::mem::take(&mut answer.series);
            json(range_json(series, &range_answer(answer, max)))
        }
    }
}

pub(super) async fn query(State(api): ApiState, request: request::Parts) -> Answered {
    let call = api.enter(&request)?;
    if explain::is_wanted(&call.params) {
        let wanted = instant_request(&call.params, &call.config, api.now())?;
        return explained(&api, &call, wanted).await;
    }
    let (message, cost) = instant(&api, &call).await?;
    answer(&call, message, &cost).await
}

/// Series over time, by the parameters of a call.
pub(super) async fn range(api: &Api, call: &Call) -> Result<(QueryRangeResponse, Cost), Failure> {
    let wanted = range_request(&call.params, &call.config, api.now())?;
    let max = wanted.max_series;
    let answer =
        api.within(call, Box::pin(api.parts.querier.metrics(&call.tenants, wanted))).await?;
    let cost = answer.cost;
    Ok((on_cpu(move || range_answer(answer, max)).await, cost))
}

/// A value for each series, by the parameters of a call.
pub(super) async fn instant(
    api: &Api,
    call: &Call,
) -> Result<(QueryInstantResponse, Cost), Failure> {
    let wanted = instant_request(&call.params, &call.config, api.now())?;
    let max = wanted.max_series;
    let answer =
        api.within(call, Box::pin(api.parts.querier.metrics(&call.tenants, wanted))).await?;
    let cost = answer.cost;
    Ok((on_cpu(move || instant_answer(answer, max)).await, cost))
}

/// As a message; of at most `max` series.
pub(super) fn range_answer(answer: MetricsAnswer, max: usize) -> QueryRangeResponse {
    let metrics = metrics_of_all(&answer.cost);
    let (status, message) = status(&answer, max);
    let series = answer.series.into_iter().map(TimeSeries::from).collect();
    QueryRangeResponse { series, metrics, status, message }
}

/// As a message; of at most `max` series.
pub(super) fn instant_answer(answer: MetricsAnswer, max: usize) -> QueryInstantResponse {
    let metrics = metrics_of_all(&answer.cost);
    let (status, message) = status(&answer, max);
    let series = answer.series.into_iter().filter_map(instant_series).collect();
    QueryInstantResponse { series, metrics, status, message }
}

async fn answer<M>(call: &Call, message: M, cost: &Cost) -> Answered
where
    M: prost::Message + serde::Serialize + 'static,
{
    let form = call.form;
    let response: Response = on_cpu(move || form.answer(&message)).await;
    Ok(with_cost(response, cost))
}

/// Computes, and tells how.
async fn explained(api: &Api, call: &Call, wanted: MetricsRequest) -> Answered {
    let (text, window, begun) = (wanted.query.clone(), wanted.slots.window(), api.now());
    let computed = api.within(call, Box::pin(api.parts.querier.metrics(&call.tenants, wanted)));
    let (answer, cpu) = metered(computed).await;
    let MetricsAnswer { series, is_cut: _, cost } = answer?;
    let query = compile_metrics(&text).map_err(|error| Failure::invalid(error.to_string()))?;
    let query = query.ok_or_else(|| Failure::invalid("not a metrics query"))?;
    let explained = Explained {
        query: explain::canonical(&text),
        window,
        need: query.need(),
        first_look: None,
        projection: query.projection(),
        cost,
        cpu,
        took: api.since(begun),
        found: counted(series.len(), "series"),
    };
    Ok(explained.answer())
}

fn metrics_of_all(cost: &Cost) -> super::proto::SearchMetrics {
    super::proto::SearchMetrics { inspected_spans: cost.inspected_spans, ..metrics_of(cost) }
}

fn status(answer: &MetricsAnswer, max: usize) -> (i32, String) {
    if !answer.is_cut {
        return (PartialStatus::Complete as i32, String::new());
    }
    let message =
        format!("Response exceeds maximum series limit of {max}, a partial response is returned.");
    (PartialStatus::Partial as i32, message)
}

impl From<Series> for TimeSeries {
    fn from(series: Series) -> Self {
        let Series { labels, samples, exemplars } = series;
        let sample = |(timestamp_ms, value)| Sample { value, timestamp_ms: signed(timestamp_ms) };
        let exemplar = |one: crate::traceql::Exemplar| Exemplar {
            labels: vec![KeyValue::from((
                "trace:id".to_owned(),
                Value::String(one.trace.short_hex()),
            ))],
            value: one.value,
            timestamp_ms: signed(one.timestamp_ms),
        };
        Self {
            labels: labels.into_iter().map(KeyValue::from).collect(),
            samples: samples.into_iter().map(sample).collect(),
            exemplars: exemplars.into_iter().map(exemplar).collect(),
        }
    }
}

fn instant_series(series: Series) -> Option<InstantSeries> {
    let (_, value) = *series.samples.first()?;
    Some(InstantSeries { labels: series.labels.into_iter().map(KeyValue::from).collect(), value })
}

fn signed(timestamp_ms: u64) -> i64 {
    i64::try_from(timestamp_ms).unwrap_or(i64::MAX)
}

/// What a range query asks.
pub(super) fn range_request(
    params: &Params,
    config: &Config,
    now: u64,
) -> Result<MetricsRequest, Failure> {
    let query = query_text(params, config)?;
    let (start, end) = time_range(params, config, now)?;
    let step = match params.get("step") {
        Some(text) => step_of(text)?,
        None => default_step(end - start),
    };
    let max = config.metrics.max_intervals as u64;
    if max > 0 && (end - start) / step > max {
        let least = print_step((end - start) / max);
        return Err(Failure::invalid(format!(
            "step of {} is too small, minimum step for given range is {least}",
            print_step(step)
        )));
    }
    let exemplars_max = config.metrics.max_exemplars;
    let exemplars = match params.lenient_count("exemplars") {
        0 => exemplars_max,
        count => count.min(exemplars_max),
    };
    Ok(MetricsRequest {
        query,
        slots: Slots::of_range_until(start, end, step, now),
        exemplars,
        exemplars_max,
        max_series: max_series(params, config),
    })
}

/// What an instant query asks.
pub(super) fn instant_request(
    params: &Params,
    config: &Config,
    now: u64,
) -> Result<MetricsRequest, Failure> {
    let query = query_text(params, config)?;
    let (start, end) = time_range(params, config, now)?;
    let (start, end) = clamped(start..=end, config, now).into_inner();
    Ok(MetricsRequest {
        query,
        slots: Slots::instant(start, end),
        exemplars: 0,
        exemplars_max: 0,
        max_series: max_series(params, config),
    })
}

fn query_text(params: &Params, config: &Config) -> Result<String, Failure> {
    // As Tempo, which looks at this one first.
    let query = params.get("query").or_else(|| params.get("q"));
    let query =
        query.ok_or_else(|| Failure::invalid("a metrics query is required: q is missing"))?;
    params::check_query_size(query, config)?;
    Ok(query.to_owned())
}

/// Start and end in Unix nanoseconds, the start before the end.
fn time_range(params: &Params, config: &Config, now: u64) -> Result<(u64, u64), Failure> {
    let bound = |name: &str| -> Result<Option<u64>, Failure> {
        let Some(text) = params.get(name) else { return Ok(None) };
        let time = flexible(text);
        let time =
            time.ok_or_else(|| Failure::invalid(format!("invalid {name}: {text:?} is no time")))?;
        Ok(Some(time).filter(|time| *time > 0))
    };
    let end = bound("end")?.unwrap_or_else(|| latest(config, now));
    let back = match params.get("since") {
        None => SINCE,
        Some(text) => since(text)
            .ok_or_else(|| Failure::invalid(format!("invalid since: {text:?} is no duration")))?,
    };
    let start = bound("start")?.unwrap_or_else(|| end.min(now).saturating_sub(nanos(back)));
    if start >= end {
        return Err(Failure::invalid("end must be greater than start"));
    }
    let max = config.metrics.max_duration;
    if max > Duration::ZERO && end - start > nanos(max) {
        return Err(Failure::invalid(format!(
            "metrics query time range exceeds the maximum allowed duration of {} \
             (query_frontend.metrics.max_duration, or overrides: read.max_metrics_duration)",
            print_go(max)
        )));
    }
    Ok((start, end))
}

fn max_series(params: &Params, config: &Config) -> usize {
    match (params.lenient_count("maxSeries"), config.metrics.max_response_series) {
        (0, max) | (max, 0) => max,
        (wanted, max) => wanted.min(max),
    }
}

/// A duration, or seconds.
fn step_of(text: &str) -> Result<u64, Failure> {
    let of_seconds =
        || text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let step = go_duration(text).or_else(|| since(text)).or_else(of_seconds);
    let step =
        step.ok_or_else(|| Failure::invalid(format!("invalid step: {text:?} is no duration")))?;
    match nanos(step) {
        0 => Err(Failure::invalid("invalid step: must be greater than 0")),
        step => Ok(step),
    }
}

/// A round step that divides the range into about [`STEPS`].
fn default_step(range: u64) -> u64 {
    const SHORT: u64 = SECOND / 20;
    let about = range / STEPS;
    if range < 60 * SECOND {
        return (about - about % SHORT).max(SHORT);
    }
    let round = [3600, 300, 60, 15, 5, 1].map(|seconds| seconds * SECOND);
    let round = round.into_iter().find(|round| about > *round);
    round.map_or(SECOND, |round| about - about % round)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn print_step(step: u64) -> String {
    print_nanos(i64::try_from(step).unwrap_or(i64::MAX))
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
