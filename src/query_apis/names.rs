//! Which services there are, and what they do: what the forms of clients offer.

use std::time::Duration;

use super::NO_SERVICE;
use super::wanted::service_is;
use crate::api::{Api, Call};
use crate::failure::Failure;
use crate::querier::{Cost, MetricsRequest, TagValuesRequest};
use crate::trace::Value;
use crate::traceql::Slots;

/// How far before the newest span operations are looked for. Their names are read from spans, which takes long over all that is
/// stored; services come from the index and are those of all times.
const OPERATIONS_BACK: Duration = Duration::from_hours(168);

/// A name of spans with their kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Operation {
    pub(super) name: String,
    /// `server`, `client`, …; empty if spans have none.
    pub(super) kind: String,
}

/// All services, sorted. One without a name is there as Jaeger calls it.
pub(super) async fn services(api: &Api, call: &Call) -> Result<(Vec<String>, Cost), Failure> {
    let (services, cost) = values(api, call, "resource.service.name", "").await?;
    let named = |service: String| match service.as_str() {
        "" => NO_SERVICE.to_owned(),
        _ => service,
    };
    let mut services: Vec<String> = services.into_iter().map(named).collect();
    services.sort_unstable();
    services.dedup();
    Ok((services, cost))
}

/// All values of an attribute as texts, sorted; of the spans that a filter keeps, if there is one, those of the last days that have data.
pub(super) async fn values(
    api: &Api,
    call: &Call,
    attribute: &str,
    filter: &str,
) -> Result<(Vec<String>, Cost), Failure> {
    let window = if filter.is_empty() { 0..=u64::MAX } else { recent(api, call).await? };
    let request = TagValuesRequest {
        attribute: attribute.to_owned(),
        window,
        filter: filter.to_owned(),
        limit: 0,
    };
    let found =
        api.within(call, Box::pin(api.parts.querier.tag_values(&call.tenants, request))).await?;
    let mut texts: Vec<String> = found.values.into_iter().map(|value| value.text).collect();
    texts.sort_unstable();
    texts.dedup();
    call.check_list(texts.iter().map(String::as_str))?;
    Ok((texts, found.cost))
}

/// The names and kinds of a service's spans, sorted; only of one kind, if it is not empty. They are those of the last 7 days in which
/// there is any data.
pub(super) async fn operations(
    api: &Api,
    call: &Call,
    service: &str,
    kind: &str,
) -> Result<(Vec<Operation>, Cost), Failure> {
    let of_kind = match kind.to_ascii_lowercase().trim_start_matches("span_kind_") {
        "" => String::new(),
        word @ ("server" | "client" | "producer" | "consumer" | "internal" | "unspecified") => {
            format!(" && kind = {word}")
        }
        _ => return Ok((Vec::new(), Cost::default())),
    };
    let window = recent(api, call).await?;
    let request = MetricsRequest {
        query: format!(
            "{{ {}{of_kind} }} | count_over_time() by (name, kind)",
            service_is(service)
        ),
        slots: Slots::instant(window.start().saturating_sub(1), *window.end()),
        exemplars: 0,
        exemplars_max: 0,
        max_series: 0,
    };
    let found =
        api.within(call, Box::pin(api.parts.querier.metrics(&call.tenants, request))).await?;
    let text = |labels: &[(String, Value)], name: &str| {
        let found = labels.iter().find(|(label, _)| label == name);
        match found {
            Some((_, Value::String(text))) => text.clone(),
            _ => String::new(),
        }
    };
    let operation = |labels: &[(String, Value)]| {
        let kind = text(labels, "kind");
        let kind = if kind == "unspecified" { String::new() } else { kind };
        Operation { name: text(labels, "name"), kind }
    };
    let counted = found.series.iter().filter(|series| {
        // What stands for no span at all has no labels of its own.
        series.samples.iter().any(|(_, count)| *count > 0.0)
    });
    let mut operations: Vec<Operation> = counted.map(|series| operation(&series.labels)).collect();
    operations.sort_unstable();
    operations.dedup();
    Ok((operations, found.cost))
}

/// The days before the newest span, or before now if that lies in the future, and all after them; Unix nanoseconds.
async fn recent(api: &Api, call: &Call) -> Result<std::ops::RangeInclusive<u64>, Failure> {
    let newest = api.within(call, api.parts.querier.newest(&call.tenants)).await?;
    let newest = newest.unwrap_or(u64::MAX).min(api.now());
    let back = u64::try_from(OPERATIONS_BACK.as_nanos()).unwrap_or(u64::MAX);
    Ok(newest.saturating_sub(back)..=u64::MAX)
}

/// Only the names, each once.
pub(super) fn names_of(operations: Vec<Operation>) -> Vec<String> {
    let mut names: Vec<String> = operations.into_iter().map(|operation| operation.name).collect();
    names.dedup();
    names
}
