//! How many traces of a tenant are open: spans may still come to them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::cut::{LiveTrace, is_closed};
use super::tenant::Tenant;
use super::{Config, Ingester};
use crate::columns::Spans;
use crate::tenant::TenantId;
use crate::trace::TraceId;

/// How long a count of open traces is good for: there may be very many.
const COUNTED_FOR: Duration = Duration::from_secs(1);

type Ids<'a> = HashSet<&'a TraceId, foldhash::fast::RandomState>;

/// How spans change the number of a tenant's open traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenTraces {
    /// Traces that are open, about.
    pub open: u64,
    /// Traces of the spans that are not live yet.
    pub new: u64,
}

impl Ingester {
    /// What becomes of the number of open traces if these spans are taken in. Pushes at work at the same time do not see one another.
    pub fn open_traces(&self, tenant: &TenantId, spans: &Spans) -> OpenTraces {
        let known = self.0.tenants.lock().get(tenant).map(Arc::clone);
        let now = self.0.clock.now_unix_nano();
        match known {
            Some(tenant) => tenant.open_traces(&self.0.config, spans, now),
            None => {
                OpenTraces { open: 0, new: spans.trace_id.iter().collect::<Ids<'_>>().len() as u64 }
            }
        }
    }

    /// How long a trace without new spans stays open.
    pub fn trace_idle_period(&self) -> Duration {
        self.0.config.trace_idle_period
    }
}

impl Tenant {
    fn open_traces(&self, config: &Config, spans: &Spans, now_unix_nano: u64) -> OpenTraces {
        let mut state = self.state.lock();
        let new = spans.trace_id.iter().filter(|id| !state.traces.contains_key(id));
        let new = new.collect::<Ids<'_>>().len() as u64;
        let since = |then: u64| Duration::from_nanos(now_unix_nano.saturating_sub(then));
        let open = match state.open {
            Some((at, open)) if since(at) < COUNTED_FOR => open,
            _ => {
                let is_open = |trace: &&LiveTrace| !is_closed(trace, config, now_unix_nano);
                let open = state.traces.values().filter(is_open).count() as u64;
                state.open = Some((now_unix_nano, open));
                open
            }
        };
        OpenTraces { open, new }
    }
}
