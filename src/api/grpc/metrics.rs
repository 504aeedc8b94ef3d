//! `MetricsQueryRange` and `MetricsQueryInstant`.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use prost::Message;

use super::super::ApiState;
use super::super::cost::metrics_so_far;
use super::super::metrics::{instant_answer, instant_request, range_answer, range_request};
use super::super::proto::{
    InstantSeries, PartialStatus, QueryInstantResponse, QueryRangeResponse, TimeSeries,
};
use super::packets::packets;
use super::search::unless_zero;
use super::stream::{Watched, answers};
use super::{Params, Question, answer};
use crate::listener::on_cpu;
use crate::querier::{Metrics, Querier};

/// `QueryRangeRequest`, as far as clients fill it.
#[derive(Clone, PartialEq, Message)]
struct QueryRangeRequest {
    #[prost(string, tag = "1")]
    query: String,
    /// Unix nanoseconds.
    #[prost(uint64, tag = "2")]
    start: u64,
    #[prost(uint64, tag = "3")]
    end: u64,
    /// Nanoseconds; 0: chosen.
    #[prost(uint64, tag = "4")]
    step: u64,
    #[prost(uint32, tag = "16")]
    exemplars: u32,
    #[prost(uint32, tag = "17")]
    max_series: u32,
}

/// `QueryInstantRequest`.
#[derive(Clone, PartialEq, Message)]
struct QueryInstantRequest {
    #[prost(string, tag = "1")]
    query: String,
    /// Unix nanoseconds.
    #[prost(uint64, tag = "2")]
    start: u64,
    #[prost(uint64, tag = "3")]
    end: u64,
}

/// So that it is read as nanoseconds, however few.
fn nanoseconds(time: u64) -> String {
    if time == 0 { String::new() } else { format!("{time:011}") }
}

impl Question for QueryRangeRequest {
    fn params(self) -> Params {
        let Self { query, start, end, step, exemplars, max_series } = self;
        Params::made([
            ("q", query),
            ("start", nanoseconds(start)),
            ("end", nanoseconds(end)),
            ("step", if step == 0 { String::new() } else { format!("{step}ns") }),
            ("exemplars", unless_zero(exemplars)),
            ("maxSeries", unless_zero(max_series)),
        ])
    }
}

impl Question for QueryInstantRequest {
    fn params(self) -> Params {
        let Self { query, start, end } = self;
        Params::made([("q", query), ("start", nanoseconds(start)), ("end", nanoseconds(end))])
    }
}

pub(super) async fn range(state: ApiState, request: Request) -> Response {
    answer::<QueryRangeRequest, QueryRangeResponse, _>(state, request, |api, call| {
        let wanted = range_request(&call.params, &call.config, api.now())?;
        let max = wanted.max_series;
        let metrics = api.parts.querier.begin_metrics(wanted)?;
        let (querier, tenants) = (Arc::clone(&api.parts.querier), call.tenants.clone());
        let watched =
            RangeWatcher { querier: Arc::clone(&querier), metrics: metrics.clone(), told: 0 };
        let (turns, caller) = (Arc::clone(&api), Arc::clone(&call));
        let work = async move {
            let _turn = turns.turn(&caller).await;
            let found = querier.finish_metrics(&tenants, &metrics).await?;
            Ok(on_cpu(move || whole_range(range_answer(found, max))).await)
        };
        Ok(answers(api, call, watched, work))
    })
    .await
}

pub(super) async fn instant(state: ApiState, request: Request) -> Response {
    answer::<QueryInstantRequest, QueryInstantResponse, _>(state, request, |api, call| {
        let wanted = instant_request(&call.params, &call.config, api.now())?;
        let max = wanted.max_series;
        let metrics = api.parts.querier.begin_metrics(wanted)?;
        let (querier, tenants) = (Arc::clone(&api.parts.querier), call.tenants.clone());
        let watched = InstantWatcher(metrics.clone());
        let (turns, caller) = (Arc::clone(&api), Arc::clone(&call));
        let work = async move {
            let _turn = turns.turn(&caller).await;
            let found = querier.finish_metrics(&tenants, &metrics).await?;
            Ok(on_cpu(move || whole_instant(instant_answer(found, max))).await)
        };
        Ok(answers(api, call, watched, work))
    })
    .await
}

/// What is said of the whole answer is in the last message.
fn whole_range(answer: QueryRangeResponse) -> Vec<QueryRangeResponse> {
    let QueryRangeResponse { series, metrics, status, message } = answer;
    let of = |series| QueryRangeResponse {
        series,
        metrics,
        status: PartialStatus::Complete as i32,
        message: String::new(),
    };
    let mut messages: Vec<_> = packets(series).into_iter().map(of).collect();
    if let Some(last) = messages.last_mut() {
        (last.status, last.message) = (status, message);
    }
    messages
}

fn whole_instant(answer: QueryInstantResponse) -> Vec<QueryInstantResponse> {
    let QueryInstantResponse { series, metrics, status, message } = answer;
    let of = |series: Vec<InstantSeries>| QueryInstantResponse {
        series,
        metrics,
        status: PartialStatus::Complete as i32,
        message: String::new(),
    };
    let mut messages: Vec<_> = packets(series).into_iter().map(of).collect();
    if let Some(last) = messages.last_mut() {
        (last.status, last.message) = (status, message);
    }
    messages
}

/// Tells the samples of slots that no unread span can be in: each is told as it is in the answer.
struct RangeWatcher {
    querier: Arc<Querier>,
    metrics: Metrics,
    /// Slots that were told.
    told: usize,
}

impl RangeWatcher {
    fn message(&self, series: Vec<TimeSeries>) -> QueryRangeResponse {
        QueryRangeResponse {
            series,
            metrics: metrics_so_far(&self.metrics.progress()),
            status: PartialStatus::Complete as i32,
            message: String::new(),
        }
    }
}

impl Watched for RangeWatcher {
    type Message = QueryRangeResponse;

    async fn news(&mut self) -> Vec<QueryRangeResponse> {
        let slots = self.told..self.metrics.settled_slots();
        if slots.is_empty() {
            return Vec::new();
        }
        self.told = slots.end;
        let series = self.querier.samples_so_far(&self.metrics, slots).await;
        if series.is_empty() {
            return Vec::new();
        }
        let told = move || packets(series.into_iter().map(TimeSeries::from).collect());
        on_cpu(told).await.into_iter().map(|series| self.message(series)).collect()
    }

    fn progress(&self) -> QueryRangeResponse {
        self.message(Vec::new())
    }
}

/// One value of all of the time is known at the end.
struct InstantWatcher(Metrics);

impl Watched for InstantWatcher {
    type Message = QueryInstantResponse;

    async fn news(&mut self) -> Vec<QueryInstantResponse> {
        Vec::new()
    }

    fn progress(&self) -> QueryInstantResponse {
        QueryInstantResponse {
            series: Vec::new(),
            metrics: metrics_so_far(&self.0.progress()),
            status: PartialStatus::Complete as i32,
            message: String::new(),
        }
    }
}
