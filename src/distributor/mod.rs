//! Writes: checked, limited, handed on.
//!
//! A push that is over a limit of its tenant (`crate::tenant::Limits`) is refused before anything of it is written: whole, where its sender
//! may come again or should send less at once (rate, burst, live traces); span by span, counted in the answer, where a
//! trace is too large. Texts are cut only where a tenant has a limit for them, before the log, and with a word about it.

mod limited;
mod metrics;
mod rate;
mod sizes;

use std::sync::Arc;

use bytes::Bytes;

pub use self::metrics::Metrics;

use self::limited::{Grown, Limiter, check_open, reason};
use self::metrics::Discarded;
use crate::columns::{ResourceCache, Spans};
use crate::failure::{Failure, chain};
use crate::ingester::{Ingester, Push};
use crate::otlp::{self, Decoded, Rejected, SpanSize};
use crate::runtime::{Clock, Cpu};
use crate::tenant::{Limits, Overrides, TenantId};
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
    limiter: Limiter,
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    pub accepted: u32,
    pub rejected: u32,
    /// Why the first ones were rejected, for a person; empty if none was.
    pub reason: String,
}

/// A push that was decoded and is within the limits.
struct Checked {
    decoded: Decoded,
    body: Bytes,
    refused: Refused,
    /// If traces have a limit.
    grown: Option<Grown>,
    /// Why spans are refused, for a person.
    reasons: Vec<String>,
}

impl Distributor {
    /// Without limits.
    pub fn new(ingester: Ingester, cpu: Cpu, metrics: Metrics) -> Self {
        let limiter = Limiter::new(Overrides::default(), Clock::real());
        Self { ingester, cpu, metrics, resources: Arc::default(), limiter }
    }

    /// With the limits of each tenant.
    #[must_use]
    pub fn limited(self, overrides: Overrides, clock: Clock) -> Self {
        Self { limiter: Limiter::new(overrides, clock), ..self }
    }

    /// Takes an OTLP `ExportTraceServiceRequest`. Returns after the spans are durable and visible.
    ///
    /// # Errors
    /// [`crate::failure::Kind::Invalid`] for a body that is not OTLP; otherwise which limit it is over, or why there is no room or no
    /// disk. Nothing of the body is acknowledged then.
    pub async fn push(&self, tenant: &TenantId, body: Bytes) -> Result<Pushed, Failure> {
        let pushed = self.push_limited(tenant, body).await;
        if pushed.is_err() {
            self.metrics.refused_pushes.inc();
        }
        pushed
    }

    async fn push_limited(&self, tenant: &TenantId, body: Bytes) -> Result<Pushed, Failure> {
        let limits = self.limiter.of(tenant);
        let bytes = body.len() as u64;
        if let Err(failure) = self.limiter.take(tenant, bytes, &limits.ingestion) {
            let spans = otlp::span_count(&body);
            self.metrics.discarded(tenant, Discarded::RateLimited, spans);
            self.ingester.reject(tenant, spans, bytes);
            return Err(failure);
        }
        let pushed = Box::pin(self.try_push(tenant, body, &limits)).await;
        if pushed.as_ref().is_err_and(|failure| failure.kind.retry_after().is_some()) {
            self.limiter.give_back(tenant, bytes, &limits.ingestion);
        }
        pushed
    }

    async fn try_push(
        &self,
        tenant: &TenantId,
        body: Bytes,
        limits: &Limits,
    ) -> Result<Pushed, Failure> {
        let bytes = body.len() as u64;
        let body = self.cut(tenant, body, limits.ingestion.max_attribute_bytes).await;
        let Checked { decoded, body, refused, grown, reasons } =
            self.check(tenant, body, limits).await?;
        let (total, count) = (decoded.total, refused.count());
        let stored = self.store(tenant, Push { spans: decoded.spans, refused, body }, limits).await;
        if let (Err(_), Some(grown)) = (&stored, &grown) {
            self.limiter.shrink(tenant, grown);
        }
        stored?;
        self.metrics.spans.inc_by(u64::from(total - count));
        self.metrics.bytes.inc_by(bytes);
        self.metrics.rejected.inc_by(u64::from(count));
        for rejected in &decoded.rejected {
            self.metrics.discarded(tenant, Discarded::of(&rejected.reason), 1);
        }
        let too_large = u64::from(count) - decoded.rejected.len() as u64;
        if too_large > 0 {
            self.metrics.discarded(tenant, Discarded::TraceTooLarge, too_large);
        }
        Ok(Pushed { accepted: total - count, rejected: count, reason: reasons.join("; ") })
    }

    /// The body with its long texts cut, if there is a limit for them.
    async fn cut(&self, tenant: &TenantId, body: Bytes, bytes_max: usize) -> Bytes {
        if bytes_max == 0 {
            return body;
        }
        let given = body.clone();
        match self.cpu.run(move || otlp::cut_attributes(&given, bytes_max)).await {
            Some((cut, attributes)) => {
                self.metrics.cut(tenant, attributes);
                cut.into()
            }
            None => body,
        }
    }

    /// Decodes, and leaves out what may not be taken in.
    async fn check(
        &self,
        tenant: &TenantId,
        body: Bytes,
        limits: &Limits,
    ) -> Result<Checked, Failure> {
        let (given, resources) = (body.clone(), Arc::clone(&self.resources));
        let decoded = self.cpu.run(move || otlp::decode_with(&given, &resources)).await;
        let mut decoded = decoded.map_err(|error| Failure::invalid(chain(&error)))?;
        let mut refused: Refused = decoded.rejected.iter().map(|one| one.ordinal).collect();
        let mut reasons = reasons(&decoded.rejected);
        let bytes_max = limits.global.max_bytes_per_trace;
        if bytes_max == 0 {
            return Ok(Checked { decoded, body, refused, grown: None, reasons });
        }
        let given = body.clone();
        let sizes = self.cpu.run(move || otlp::span_sizes(&given)).await;
        let mut sizes = sizes.map_err(|error| Failure::invalid(chain(&error)))?;
        for rejected in &decoded.rejected {
            if let Some(size) = sizes.get_mut(rejected.ordinal as usize) {
                *size = SpanSize { trace: None, bytes: 0 };
            }
        }
        let grown = self.limiter.grow(tenant, &sizes, bytes_max);
        if !grown.too_large.is_empty() {
            for (ordinal, size) in (0..).zip(&sizes) {
                if grown.is_refused(size.trace) {
                    refused.insert(ordinal);
                }
            }
            let told = grown.too_large.iter().take(REASONS_MAX);
            reasons.extend(told.map(|too_large| reason(too_large, bytes_max)));
            decoded.spans = self.decode_rest(body.clone(), refused.clone()).await?;
        }
        Ok(Checked { decoded, body, refused, grown: Some(grown), reasons })
    }

    /// The spans that are not refused.
    async fn decode_rest(&self, body: Bytes, refused: Refused) -> Result<Spans, Failure> {
        let decode = move || otlp::decode_accepted(&body, |span| refused.contains(span));
        self.cpu.run(decode).await.map_err(|error| Failure::internal(chain(&error)))
    }

    async fn store(&self, tenant: &TenantId, push: Push, limits: &Limits) -> Result<(), Failure> {
        let max = limits.ingestion.max_traces_per_user;
        if max > 0 {
            let traces = self.ingester.open_traces(tenant, &push.spans);
            let idle_period = self.ingester.trace_idle_period();
            if let Err(failure) = check_open(tenant, traces, max, idle_period) {
                let spans = push.spans.len() as u64;
                self.metrics.discarded(tenant, Discarded::LiveTraces, spans);
                let all = spans + u64::from(push.refused.count());
                self.ingester.reject(tenant, all, push.body.len() as u64);
                return Err(failure);
            }
        }
        Ok(self.ingester.push(tenant, push).await?)
    }
}

/// Of the first ones.
fn reasons(rejected: &[Rejected]) -> Vec<String> {
    let reason = |rejected: &Rejected| format!("span {}: {}", rejected.ordinal, rejected.reason);
    let mut text: Vec<String> = rejected.iter().take(REASONS_MAX).map(reason).collect();
    if rejected.len() > REASONS_MAX {
        text.push(format!("and {} more", rejected.len() - REASONS_MAX));
    }
    text
}
