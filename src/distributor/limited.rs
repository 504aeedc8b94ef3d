//! Whether a push is within its tenant's limits, and what is said where it is not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::rate::{Over, Rates};
use super::sizes::{Sizes, TooLarge};
use crate::failure::{Failure, Kind};
use crate::ingester::OpenTraces;
use crate::otlp::SpanSize;
use crate::runtime::Clock;
use crate::tenant::{Ingestion, Limits, Overrides, TenantId};
use crate::trace::TraceId;

/// What the tenants have used of their limits. Clones share it.
#[derive(Clone)]
pub(super) struct Limiter {
    overrides: Overrides,
    clock: Clock,
    rates: Arc<Rates>,
    sizes: Arc<Sizes>,
}

/// What a push adds to its traces.
pub(super) struct Grown {
    came: HashMap<TraceId, u64>,
    pub(super) too_large: Vec<TooLarge>,
}

impl Limiter {
    pub(super) fn new(overrides: Overrides, clock: Clock) -> Self {
        Self { overrides, clock, rates: Arc::default(), sizes: Arc::default() }
    }

    pub(super) fn of(&self, tenant: &TenantId) -> Arc<Limits> {
        self.overrides.of(tenant)
    }

    /// Takes bytes of the tenant's rate.
    ///
    /// # Errors
    /// [`Kind::Busy`] until there is room, [`Kind::TooLarge`] if there never is.
    pub(super) fn take(
        &self,
        tenant: &TenantId,
        bytes: u64,
        limits: &Ingestion,
    ) -> Result<(), Failure> {
        let taken = self.rates.take(tenant, bytes, limits, self.clock.running());
        let rate = limits.rate_limit_bytes;
        taken.map_err(|over| match over {
            Over::Rate { wait } => Failure::new(
                Kind::Busy { retry_after: wait },
                format!(
                    "RATE_LIMITED: ingestion rate limit ({rate} bytes/s, burst {} bytes) exceeded while adding {bytes} bytes \
                     for user {tenant}: room in {wait:?} (overrides: ingestion.rate_limit_bytes, ingestion.burst_size_bytes)",
                    limits.burst_size_bytes
                ),
            ),
            Over::Burst { burst } => Failure::new(
                Kind::TooLarge,
                format!(
                    "RATE_LIMITED: batch size ({bytes} bytes) exceeds ingestion burst ({burst} bytes, at {rate} bytes/s) for user \
                     {tenant}: send smaller batches (overrides: ingestion.burst_size_bytes)"
                ),
            ),
        })
    }

    /// Gives bytes back that were not stored.
    pub(super) fn give_back(&self, tenant: &TenantId, bytes: u64, limits: &Ingestion) {
        self.rates.give_back(tenant, bytes, limits);
    }

    /// Adds spans to the sizes of their traces.
    pub(super) fn grow(&self, tenant: &TenantId, spans: &[SpanSize], bytes_max: u64) -> Grown {
        let mut came: HashMap<TraceId, u64> = HashMap::new();
        for SpanSize { trace, bytes } in spans {
            if let Some(trace) = trace {
                *came.entry(*trace).or_default() += bytes;
            }
        }
        let too_large = self.sizes.add(tenant, &came, bytes_max, self.clock.running());
        Grown { came, too_large }
    }

    /// Takes back what was added for spans that were not stored.
    pub(super) fn shrink(&self, tenant: &TenantId, grown: &Grown) {
        self.sizes.take_back(tenant, &grown.came, &grown.too_large);
    }
}

impl Grown {
    /// Whether spans of this trace are refused.
    pub(super) fn is_refused(&self, trace: Option<TraceId>) -> bool {
        trace.is_some_and(|trace| self.too_large.iter().any(|one| one.trace == trace))
    }
}

/// Why the spans of a trace are refused.
pub(super) fn reason(too_large: &TooLarge, bytes_max: u64) -> String {
    let TooLarge { trace, has, came } = too_large;
    format!(
        "TRACE_TOO_LARGE: trace {trace} has {has} bytes and {came} more came, at most {bytes_max} are taken (overrides: \
         global.max_bytes_per_trace)"
    )
}

/// Whether there may be so many open traces.
///
/// # Errors
/// [`Kind::Busy`] until traces are closed, [`Kind::TooLarge`] if that does not help.
pub(super) fn check_open(
    tenant: &TenantId,
    traces: OpenTraces,
    max: u64,
    idle_period: Duration,
) -> Result<(), Failure> {
    let OpenTraces { open, new } = traces;
    if new == 0 || open.saturating_add(new) <= max {
        return Ok(());
    }
    let kind = if new > max { Kind::TooLarge } else { Kind::Busy { retry_after: idle_period } };
    Err(Failure::new(
        kind,
        format!(
            "LIVE_TRACES_EXCEEDED: user {tenant} has {open} live traces and {new} more came, at most {max} are taken (overrides: \
             ingestion.max_traces_per_user)"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_that_are_live_may_grow_when_there_are_too_many() {
        let tenant = TenantId::single();
        let check = |open, new| {
            check_open(&tenant, OpenTraces { open, new }, 10, Duration::from_secs(5))
                .map_err(|failure| failure.kind)
        };
        assert_eq!(check(12, 0), Ok(()));
        assert_eq!(check(8, 2), Ok(()));
        assert_eq!(check(8, 3), Err(Kind::Busy { retry_after: Duration::from_secs(5) }));
        assert_eq!(check(0, 11), Err(Kind::TooLarge));
    }

    #[test]
    fn refusals_name_the_limit_the_value_and_the_setting() {
        let limiter = Limiter::new(Overrides::default(), Clock::simulated(0));
        let tenant = TenantId::single();
        let limits =
            Ingestion { rate_limit_bytes: 10, burst_size_bytes: 20, ..Ingestion::default() };
        let take = |bytes| limiter.take(&tenant, bytes, &limits).map_err(|failure| failure.message);
        assert_eq!(take(20), Ok(()));
        let text = take(15).unwrap_err();
        for part in [
            "10 bytes/s",
            "burst 20 bytes",
            "adding 15 bytes",
            "1.5s",
            "ingestion.rate_limit_bytes",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let text = take(21).unwrap_err();
        for part in ["(21 bytes)", "(20 bytes", "ingestion.burst_size_bytes"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
