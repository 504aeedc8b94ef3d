//! Our figures under the names that Tempo's dashboards and alerts read, as far as they mean something here; and the ledger.
//!
//! Looked at when metrics are asked for. What is only ours is declared in the rooms.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::compactor;
use crate::ingester::{self, Ingester, Ledger, Standing};
use crate::listener::{Durations, Labels, Requests};
use crate::manifest::BlockEntry;
use crate::store::Store;
use crate::tenant::TenantId;

/// Where the figures come from.
pub struct Figures {
    pub ingester: Ingester,
    pub ingester_metrics: ingester::Metrics,
    pub compactor_metrics: compactor::Metrics,
    pub durations: Durations,
    pub store: Store,
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Figures")
    }
}

/// What is told of each tenant.
type OfTenant = fn(&Standing) -> u64;

/// What is summed up over the blocks of each.
type OfBlock = fn(&BlockEntry) -> u64;

/// Names and values of labels.
type Tags<'a> = Vec<(&'static str, &'a str)>;

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut page = Page(encoder);
        let standings = self.ingester.standings();
        ledger(&mut page, &standings)?;
        tenants(&mut page, &standings)?;
        blocks(&mut page, &standings)?;
        self.totals(&mut page)?;
        requests(&mut page, &self.durations.all())?;
        self.backend(&mut page)
    }
}

fn ledger(page: &mut Page<'_>, standings: &[(TenantId, Standing)]) -> fmt::Result {
    let rows = standings.iter().flat_map(|(tenant, standing)| {
        let Ledger { received, stored, rejected, pending, .. } = standing.ledger;
        let states = [
            ("received", received),
            ("stored", stored),
            ("rejected", rejected),
            ("pending", pending),
        ];
        states.map(|(state, spans)| (vec![("tenant", tenant.as_str()), ("state", state)], spans))
    });
    let help = "Spans since the start: received = stored + rejected + pending";
    page.gauges("vivace_ledger_spans", help, rows)
}

fn tenants(page: &mut Page<'_>, standings: &[(TenantId, Standing)]) -> fmt::Result {
    let counters: [(&str, &str, OfTenant); 2] = [
        ("tempo_distributor_spans_received", "Spans that came in by pushes", |standing| {
            standing.ledger.received - standing.ledger.recovered
        }),
        (
            "tempo_distributor_bytes_received",
            "Bytes of the pushes that brought them, as OTLP",
            |standing| standing.ledger.received_bytes,
        ),
    ];
    for (name, help, of) in counters {
        page.counters(name, help, by_tenant(standings, of))?;
    }
    let gauges: [(&str, &str, OfTenant); 3] = [
        ("tempo_ingester_live_traces", "Traces in memory", |standing| standing.live_traces),
        ("tempo_live_store_live_traces", "Traces in memory", |standing| standing.live_traces),
        ("tempo_live_store_live_trace_bytes", "Memory of them", |standing| standing.live_bytes),
    ];
    for (name, help, of) in gauges {
        page.gauges(name, help, by_tenant(standings, of))?;
    }
    Ok(())
}

fn by_tenant(
    standings: &[(TenantId, Standing)],
    of: impl Fn(&Standing) -> u64,
) -> impl Iterator<Item = (Tags<'_>, u64)> {
    standings
        .iter()
        .map(move |(tenant, standing)| (vec![("tenant", tenant.as_str())], of(standing)))
}

/// What the block lists say, as this process knows them.
fn blocks(page: &mut Page<'_>, standings: &[(TenantId, Standing)]) -> fmt::Result {
    let count = |standing: &Standing| standing.manifest.blocks().len() as u64;
    let help = "Blocks in the list";
    page.gauges("tempodb_blocklist_length", help, by_tenant(standings, count))?;
    let sums: [(&str, &str, OfBlock); 2] = [
        ("tempodb_backend_objects_total", "Traces in these blocks", |block| block.traces),
        ("tempodb_backend_bytes_total", "Bytes of these blocks", BlockEntry::bytes),
    ];
    for (name, help, of) in sums {
        let rows = standings.iter().map(|(tenant, standing)| {
            let sum = standing.manifest.blocks().iter().map(|block| of(block)).sum();
            (vec![("tenant", tenant.as_str()), ("status", "live")], sum)
        });
        page.gauges(name, help, rows)?;
    }
    Ok(())
}

impl Figures {
    fn totals(&self, page: &mut Page<'_>) -> fmt::Result {
        let (ingester, compactor) = (&self.ingester_metrics, &self.compactor_metrics);
        for (name, help, counter) in [
            ("tempo_ingester_blocks_flushed", "Blocks written", &ingester.blocks),
            ("tempo_live_store_blocks_completed", "Blocks written", &ingester.blocks),
            ("tempo_ingester_failed_flushes", "Blocks not written", &ingester.failed_flushes),
            ("tempo_live_store_failed_completions", "Blocks not written", &ingester.failed_flushes),
            ("tempodb_compaction_blocks", "Blocks joined into others", &compactor.joined_blocks),
            ("tempodb_compaction_spans_deduped", "Twins left out", &compactor.duplicate_spans),
            ("tempodb_compaction_errors", "Rounds that failed", &compactor.failures),
            (
                "tempodb_retention_marked_for_deletion",
                "Blocks that had their time",
                &compactor.expired_blocks,
            ),
            ("tempodb_retention_deleted", "Blocks deleted", &compactor.swept_blocks),
        ] {
            page.counters(name, help, [(Tags::new(), counter.get())])?;
        }
        let waiting = u64::try_from(compactor.waiting_blocks.get()).unwrap_or(0);
        let help = "Blocks that wait to be joined";
        page.gauges("tempodb_compaction_outstanding_blocks", help, [(Tags::new(), waiting)])
    }

    fn backend(&self, page: &mut Page<'_>) -> fmt::Result {
        let counters = self.store.counters();
        let help = "GETs sent again because the first was slow";
        let hedged = [(Tags::new(), counters.get.hedged())];
        page.counters("tempodb_backend_hedged_roundtrips", help, hedged)?;
        let name = "tempodb_backend_request_duration_seconds";
        let help = "Requests to the bucket; LIST is ours, and 500 is every failure";
        let mut family = page.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (operation, counter) in [
            ("GET", &counters.get),
            ("PUT", &counters.put),
            ("LIST", &counters.list),
            ("DELETE", &counters.delete),
        ] {
            for (status, seconds) in counter.durations() {
                let labels = [("operation", operation), ("status_code", status)];
                seconds.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn requests(page: &mut Page<'_>, all: &[(Labels, Requests)]) -> fmt::Result {
    let name = "tempo_request_duration_seconds";
    let help = "Requests, from their head to the last byte of the answer";
    let mut family = page.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (Labels { method, route, status_code }, requests) in all {
        let labels = [("method", *method), ("route", route), ("status_code", status_code)];
        requests.seconds.encode(family.encode_family(&labels)?)?;
    }
    let (mut queries, mut bytes) = (BTreeMap::new(), BTreeMap::new());
    for (labels, requests) in all {
        let Some(op) = operation(&labels.route) else { continue };
        let result = if labels.is_canceled() { "canceled" } else { "completed" };
        *queries.entry((op, result)).or_default() += requests.count;
        *bytes.entry(op).or_default() += requests.inspected_bytes;
    }
    let rows = queries.into_iter();
    let rows = rows.map(|((op, result), count)| (vec![("op", op), ("result", result)], count));
    page.counters("tempo_query_frontend_queries", "Questions of clients", rows)?;
    let rows = bytes.into_iter().map(|(op, bytes)| (vec![("op", op)], bytes));
    let help = "Bytes looked at for answers over HTTP";
    page.counters("tempo_query_frontend_bytes_inspected", help, rows)
}

/// What Tempo calls the kind of a question; `None` for other requests. A prefix of the API does not matter.
fn operation(route: &str) -> Option<&'static str> {
    let is = |names: &[&str]| names.iter().any(|name| route.ends_with(name));
    if is(&["api_search", "StreamingQuerier/Search"]) {
        Some("search")
    } else if is(&["api_traces_traceid", "api_v2_traces_traceid"]) {
        Some("traces")
    } else if is(&["api_metrics_query_range", "api_metrics_query"])
        || route.contains("StreamingQuerier/Metrics")
    {
        Some("metrics")
    } else if route.contains("_search_tag") || route.contains("StreamingQuerier/SearchTag") {
        Some("metadata")
    } else {
        None
    }
}

/// What is written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// A family of counters; their names get `_total`.
    fn counters<'t>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Tags<'t>, u64)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, rows, |value, encoder| {
            ConstCounter::new(value).encode(encoder)
        })
    }

    fn gauges<'t>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Tags<'t>, u64)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, rows, |value, encoder| {
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder)
        })
    }

    fn family<'t>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        rows: impl IntoIterator<Item = (Tags<'t>, u64)>,
        encode: impl Fn(u64, MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (tags, value) in rows {
            if tags.is_empty() {
                // Without labels there is only one.
                return encode(value, family);
            }
            encode(value, family.encode_family(&tags)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_told_by_their_routes() {
        for (route, op) in [
            ("api_search", Some("search")),
            ("tempo_api_search", Some("search")),
            ("/tempopb.StreamingQuerier/Search", Some("search")),
            ("/tempopb.StreamingQuerier/SearchTagsV2", Some("metadata")),
            ("api_v2_search_tag_tagname_values", Some("metadata")),
            ("api_search_tags", Some("metadata")),
            ("api_v2_traces_traceid", Some("traces")),
            ("api_metrics_query", Some("metrics")),
            ("/tempopb.StreamingQuerier/MetricsQueryRange", Some("metrics")),
            ("metrics", None),
            ("otlp_v1_traces", None),
            ("ready", None),
        ] {
            assert_eq!(operation(route), op, "{route}");
        }
    }
}
