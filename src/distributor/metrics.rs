//! What the distributor counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::otlp::Reason;
use crate::tenant::TenantId;

/// Counters of the distributor; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) spans: Counter,
    pub(super) bytes: Counter,
    pub(super) rejected: Counter,
    pub(super) refused_pushes: Counter,
    discarded: Family<[(&'static str, String); 2], Counter>,
    cut: Family<[(&'static str, String); 1], Counter>,
}

/// Why spans are not taken in. The words are Tempo's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Discarded {
    RateLimited,
    TraceTooLarge,
    LiveTraces,
    TraceId,
    SpanId,
    Other,
}

impl Discarded {
    pub(super) fn of(reason: &Reason) -> Self {
        match reason {
            Reason::TraceId(_) => Self::TraceId,
            Reason::SpanId(_) | Reason::ParentId(_) => Self::SpanId,
            Reason::Text { .. } | Reason::TooDeep { .. } | Reason::TooManyChildren => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::TraceTooLarge => "trace_too_large",
            Self::LiveTraces => "live_traces_exceeded",
            Self::TraceId => "invalid_trace_id",
            Self::SpanId => "invalid_span_id",
            Self::Other => "unknown_error",
        }
    }
}

impl Metrics {
    /// Declares the counters of the room.
    pub fn register(&self, registry: &mut Registry) {
        let Self { spans, bytes, rejected, refused_pushes, .. } = self;
        registry.register("spans_received", "Spans accepted", spans.clone());
        registry.register("bytes_received", "Bytes of pushes that were accepted", bytes.clone());
        registry.register("spans_rejected", "Spans rejected, with a reason", rejected.clone());
        let help = "Pushes that were refused whole: undecodable, over a limit, or no room";
        registry.register("pushes_refused", help, refused_pushes.clone());
    }

    /// Declares the counters that have Tempo's names.
    pub fn register_known(&self, registry: &mut Registry) {
        let Self { discarded, cut, .. } = self;
        let help = "Spans that were not taken in, each time they came";
        registry.register("tempo_discarded_spans", help, discarded.clone());
        let help = "Attributes that were cut to ingestion.max_attribute_bytes";
        registry.register("tempo_distributor_attributes_truncated", help, cut.clone());
    }

    pub(super) fn discarded(&self, tenant: &TenantId, reason: Discarded, spans: u64) {
        let labels = [("reason", reason.name().to_owned()), ("tenant", tenant.to_string())];
        self.discarded.get_or_create(&labels).inc_by(spans);
    }

    pub(super) fn cut(&self, tenant: &TenantId, attributes: u64) {
        self.cut.get_or_create(&[("tenant", tenant.to_string())]).inc_by(attributes);
    }
}
