//! Writes: checked, limited, handed on.

use std::sync::Arc;

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::columns::ResourceCache;
use crate::failure::{Failure, chain};
use crate::ingester::{Ingester, Push};
use crate::otlp::{self, Rejected};
use crate::runtime::Cpu;
use crate::tenant::TenantId;
use crate::wal::Refused;

/// Rejected spans that are named in an answer; the others are only counted.
const REASONS_MAX: usize = 3;

/// Takes pushes from the receivers. Cheap to clone.
#[derive(Clone)]
pub struct Distributor {
    ingester: Ingester,
    cpu: Cpu,
    metrics: Metrics,
    resources: Arc<ResourceCache>,
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    pub accepted: u32,
    pub rejected: u32,
    /// Why the first ones were rejected, for a person; empty if none was.
    pub reason: String,
}

/// Counters of the distributor; clones count together.
#[derive(Clone, Default)]
pub struct Metrics {
    spans: Counter,
    bytes: Counter,
    rejected: Counter,
    refused_pushes: Counter,
}

impl Metrics {
    /// Declares the counters, under the names that Tempo's dashboards read.
    pub fn register(&self, registry: &mut Registry) {
        let Self { spans, bytes, rejected, refused_pushes } = self;
        registry.register("spans_received", "Spans accepted", spans.clone());
        registry.register("bytes_received", "Bytes of pushes that were accepted", bytes.clone());
        registry.register("spans_rejected", "Spans rejected, with a reason", rejected.clone());
        let help = "Pushes that were refused whole: undecodable, or no room";
        registry.register("pushes_refused", help, refused_pushes.clone());
    }
}

impl Distributor {
    pub fn new(ingester: Ingester, cpu: Cpu, metrics: Metrics) -> Self {
        Self { ingester, cpu, metrics, resources: Arc::default() }
    }

    /// Takes an OTLP `ExportTraceServiceRequest`. Returns after the spans are durable and visible.
    ///
    /// # Errors
    /// [`crate::failure::Kind::Invalid`] for a body that is not OTLP; otherwise why there is no room or no disk. Nothing of the
    /// body is acknowledged then.
    pub async fn push(&self, tenant: &TenantId, body: Bytes) -> Result<Pushed, Failure> {
        let pushed = self.try_push(tenant, body).await;
        if pushed.is_err() {
            self.metrics.refused_pushes.inc();
        }
        pushed
    }

    async fn try_push(&self, tenant: &TenantId, body: Bytes) -> Result<Pushed, Failure> {
        let bytes = body.len() as u64;
        let (given, resources) = (body.clone(), Arc::clone(&self.resources));
        let decoded = self.cpu.run(move || otlp::decode_with(&given, &resources)).await;
        let otlp::Decoded { spans, rejected, total } =
            decoded.map_err(|error| Failure::invalid(chain(&error)))?;
        let count = u32::try_from(rejected.len()).expect("rejected spans are bounded");
        let refused: Refused = rejected.iter().map(|rejected| rejected.ordinal).collect();
        self.ingester.push(tenant, Push { spans, refused, body }).await?;
        self.metrics.spans.inc_by(u64::from(total - count));
        self.metrics.bytes.inc_by(bytes);
        self.metrics.rejected.inc_by(u64::from(count));
        Ok(Pushed { accepted: total - count, rejected: count, reason: reasons(&rejected) })
    }
}

fn reasons(rejected: &[Rejected]) -> String {
    let reason = |rejected: &Rejected| format!("span {}: {}", rejected.ordinal, rejected.reason);
    let mut text: Vec<String> = rejected.iter().take(REASONS_MAX).map(reason).collect();
    if rejected.len() > REASONS_MAX {
        text.push(format!("and {} more", rejected.len() - REASONS_MAX));
    }
    text.join("; ")
}
