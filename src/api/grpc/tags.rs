//! `SearchTags`, `SearchTagValues`, and the second version of each.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use futures::Stream;
use prost::Message;
use tonic::Status;

use super::super::proto::{
    SearchTagValuesResponse, SearchTagValuesV2Response, SearchTagsResponse, SearchTagsV2Response,
    SearchTagsV2Scope,
};
use super::super::{Api, ApiState, Call, tags};
use super::packets::packets;
use super::search::unless_zero;
use super::stream::{Watched, answers};
use super::{Params, Question, answer};
use crate::failure::Failure;
use crate::listener::on_cpu;

/// `SearchTagsRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
struct SearchTagsRequest {
    #[prost(string, tag = "1")]
    scope: String,
    #[prost(string, tag = "2")]
    query: String,
    /// Seconds.
    #[prost(uint32, tag = "3")]
    start: u32,
    #[prost(uint32, tag = "4")]
    end: u32,
    #[prost(uint32, tag = "5")]
    max_tags_per_scope: u32,
    #[prost(uint32, tag = "6")]
    stale_values_threshold: u32,
}

/// `SearchTagValuesRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
struct SearchTagValuesRequest {
    #[prost(string, tag = "1")]
    tag_name: String,
    #[prost(string, tag = "2")]
    query: String,
    /// Seconds.
    #[prost(uint32, tag = "4")]
    start: u32,
    #[prost(uint32, tag = "5")]
    end: u32,
    #[prost(uint32, tag = "6")]
    max_tag_values: u32,
    #[prost(uint32, tag = "7")]
    stale_value_threshold: u32,
}

impl Question for SearchTagsRequest {
    fn params(self) -> Params {
        // Nothing is stale: what is asked for is whole or fails.
        let Self { scope, query, start, end, max_tags_per_scope, stale_values_threshold: _ } = self;
        Params::made([
            ("scope", scope),
            ("q", query),
            ("start", unless_zero(start)),
            ("end", unless_zero(end)),
            ("limit", unless_zero(max_tags_per_scope)),
        ])
    }
}

/// The parameter that stands for the path of the HTTP question.
const NAME: &str = "tagName";

impl Question for SearchTagValuesRequest {
    fn params(self) -> Params {
        let Self { tag_name, query, start, end, max_tag_values, stale_value_threshold: _ } = self;
        Params::made([
            (NAME, tag_name),
            ("q", query),
            ("start", unless_zero(start)),
            ("end", unless_zero(end)),
            ("limit", unless_zero(max_tag_values)),
        ])
    }
}

pub(super) async fn names(state: ApiState, request: Request) -> Response {
    answer::<SearchTagsRequest, SearchTagsResponse, _>(state, request, |api, call| {
        Ok(told(api, call, |api, call| async move {
            let SearchTagsResponse { tag_names, metrics } = tags::names(&api, &call).await?.0;
            let message = |tag_names| SearchTagsResponse { tag_names, metrics };
            Ok(packets(tag_names).into_iter().map(message).collect())
        }))
    })
    .await
}

pub(super) async fn names_v2(state: ApiState, request: Request) -> Response {
    answer::<SearchTagsRequest, SearchTagsV2Response, _>(state, request, |api, call| {
        Ok(told(api, call, |api, call| async move {
            let (found, _) = tags::scoped_names(&api, &call).await?;
            let SearchTagsV2Response { scopes, metrics } = found;
            // A scope may have more names than a message has room for.
            let parts = scopes.into_iter().flat_map(|SearchTagsV2Scope { name, tags }| {
                let part = move |tags| SearchTagsV2Scope { name: name.clone(), tags };
                packets(tags).into_iter().map(part)
            });
            let message = |scopes| SearchTagsV2Response { scopes, metrics };
            Ok(packets(parts.collect()).into_iter().map(message).collect())
        }))
    })
    .await
}

pub(super) async fn values(state: ApiState, request: Request) -> Response {
    answer::<SearchTagValuesRequest, SearchTagValuesResponse, _>(state, request, |api, call| {
        Ok(told(api, call, |api, call| async move {
            let (found, _) = tags::texts(&api, &call, name_in(&call)?).await?;
            let SearchTagValuesResponse { tag_values, metrics } = found;
            let message = |tag_values| SearchTagValuesResponse { tag_values, metrics };
            Ok(packets(tag_values).into_iter().map(message).collect())
        }))
    })
    .await
}

pub(super) async fn values_v2(state: ApiState, request: Request) -> Response {
    answer::<SearchTagValuesRequest, SearchTagValuesV2Response, _>(state, request, |api, call| {
        Ok(told(api, call, |api, call| async move {
            let found = tags::typed_values(&api, &call, name_in(&call)?).await?;
            let of = move || {
                let SearchTagValuesV2Response { tag_values, metrics } = tags::message_of(found);
                let message = |tag_values| SearchTagValuesV2Response { tag_values, metrics };
                packets(tag_values).into_iter().map(message).collect()
            };
            Ok(on_cpu(of).await)
        }))
    })
    .await
}

/// An answer that is told as a whole.
fn told<M: Message + Default + 'static, F>(
    api: Arc<Api>,
    call: Arc<Call>,
    work: impl FnOnce(Arc<Api>, Arc<Call>) -> F,
) -> impl Stream<Item = Result<M, Status>> + Send + 'static
where
    F: Future<Output = Result<Vec<M>, Failure>> + Send + 'static,
{
    let work = work(Arc::clone(&api), Arc::clone(&call));
    answers(api, call, Quiet(PhantomData), work)
}

/// Nothing to tell before the end but that it is at work.
struct Quiet<M>(PhantomData<M>);

impl<M: Message + Default + 'static> Watched for Quiet<M> {
    type Message = M;

    async fn news(&mut self) -> Vec<M> {
        Vec::new()
    }

    fn progress(&self) -> M {
        M::default()
    }
}

fn name_in(call: &Call) -> Result<&str, Failure> {
    let missing = || Failure::invalid("please provide a non-empty tagName");
    call.params.get(NAME).ok_or_else(missing)
}
