//! `Search`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use prost::Message;

use super::super::cost::{metrics_of, metrics_so_far};
use super::super::proto::{SearchResponse, TraceSearchMetadata};
use super::super::search::metadata_of;
use super::super::{ApiState, params};
use super::packets::packets;
use super::stream::{Watched, answers};
use super::{Params, Question, answer};
use crate::listener::on_cpu;
use crate::querier::{Querier, Search, SearchAnswer};
use crate::traceql::TraceMatch;

/// `SearchRequest`.
#[derive(Clone, PartialEq, Message)]
struct SearchRequest {
    #[prost(btree_map = "string, string", tag = "1")]
    tags: BTreeMap<String, String>,
    #[prost(uint32, tag = "2")]
    min_duration_ms: u32,
    #[prost(uint32, tag = "3")]
    max_duration_ms: u32,
    #[prost(uint32, tag = "4")]
    limit: u32,
    /// Seconds.
    #[prost(uint32, tag = "5")]
    start: u32,
    #[prost(uint32, tag = "6")]
    end: u32,
    #[prost(string, tag = "8")]
    query: String,
    #[prost(uint32, tag = "9")]
    spans_per_span_set: u32,
}

impl Question for SearchRequest {
    fn params(self) -> Params {
        let Self {
            tags,
            min_duration_ms,
            max_duration_ms,
            limit,
            start,
            end,
            query,
            spans_per_span_set,
        } = self;
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let tags: Vec<String> =
            tags.iter().map(|(key, value)| format!("{key}=\"{}\"", quoted(value))).collect();
        let duration =
            |millis: u32| if millis == 0 { String::new() } else { format!("{millis}ms") };
        Params::made([
            ("q", query),
            ("tags", tags.join(" ")),
            ("minDuration", duration(min_duration_ms)),
            ("maxDuration", duration(max_duration_ms)),
            ("limit", unless_zero(limit)),
            ("start", unless_zero(start)),
            ("end", unless_zero(end)),
            ("spss", unless_zero(spans_per_span_set)),
        ])
    }
}

/// A field that is zero is not set.
pub(super) fn unless_zero(number: u32) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

pub(super) async fn search(state: ApiState, request: Request) -> Response {
    answer::<SearchRequest, SearchResponse, _>(state, request, |api, call| {
        let wanted = params::search(&call.params, &call.config, api.now())?;
        let search = Querier::begin_search(wanted)?;
        let padded = call.config.left_pad_trace_ids;
        let watched = Watcher { search: search.clone(), told: 0, padded };
        let (querier, tenants) = (Arc::clone(&api.parts.querier), call.tenants.clone());
        let (turns, caller) = (Arc::clone(&api), Arc::clone(&call));
        let work = async move {
            let _turn = turns.turn(&caller).await;
            let found = querier.finish_search(&tenants, &search).await?;
            Ok(on_cpu(move || whole(found, padded)).await)
        };
        Ok(answers(api, call, watched, work))
    })
    .await
}

fn whole(found: SearchAnswer, padded: bool) -> Vec<SearchResponse> {
    let SearchAnswer { traces, cost } = found;
    let metrics = metrics_of(&cost);
    let message = |traces| SearchResponse { traces, metrics };
    packets(told(traces, padded)).into_iter().map(message).collect()
}

fn told(traces: Vec<TraceMatch>, padded: bool) -> Vec<TraceSearchMetadata> {
    traces.into_iter().map(|trace| metadata_of(trace, padded)).collect()
}

struct Watcher {
    search: Search,
    /// Traces that were told.
    told: usize,
    padded: bool,
}

impl Watched for Watcher {
    type Message = SearchResponse;

    async fn news(&mut self) -> Vec<SearchResponse> {
        let settled = self.search.settled(self.told);
        if settled.is_empty() {
            return Vec::new();
        }
        self.told += settled.len();
        let (padded, metrics) = (self.padded, metrics_so_far(&self.search.progress()));
        let message = move |traces| SearchResponse { traces, metrics };
        on_cpu(move || packets(told(settled, padded)).into_iter().map(message).collect()).await
    }

    fn progress(&self) -> SearchResponse {
        let metrics = metrics_so_far(&self.search.progress());
        SearchResponse { traces: Vec::new(), metrics }
    }
}
