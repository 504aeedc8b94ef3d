//! Which traces leave memory now. Pure.

use std::time::Duration;

use super::Config;
use crate::trace::TraceId;

/// What is known of a live trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LiveTrace {
    /// When its first and its last span came in, Unix nanoseconds.
    pub first_unix_nano: u64,
    pub last_unix_nano: u64,
    pub spans: u32,
    /// A span without a parent has come.
    pub has_root: bool,
}

/// Whether no more spans are waited for.
pub(super) fn is_closed(trace: &LiveTrace, config: &Config, now_unix_nano: u64) -> bool {
    let since = |then: u64| Duration::from_nanos(now_unix_nano.saturating_sub(then));
    since(trace.last_unix_nano) >= config.trace_idle_period
        || since(trace.first_unix_nano) >= config.trace_live_period
}

/// The traces to cut, oldest first; empty if it is not yet worth a block.
pub(super) fn plan(
    traces: impl Iterator<Item = (TraceId, LiveTrace)>,
    config: &Config,
    now_unix_nano: u64,
    pressure: bool,
) -> Vec<TraceId> {
    let since = |then: u64| Duration::from_nanos(now_unix_nano.saturating_sub(then));
    let closed = |trace: &LiveTrace| is_closed(trace, config, now_unix_nano);
    let (mut ready, open): (Vec<_>, Vec<_>) = traces.partition(|(_, trace)| closed(trace));
    ready.sort_unstable_by_key(|(id, trace)| (trace.first_unix_nano, *id));
    let spans = |traces: &[(TraceId, LiveTrace)]| -> usize {
        traces.iter().map(|(_, trace)| trace.spans as usize).sum()
    };
    let oldest = ready.first().map_or(Duration::ZERO, |(_, trace)| since(trace.first_unix_nano));
    let waited = oldest >= config.max_block_duration;
    let full = spans(&ready) >= config.max_block_spans;
    if pressure {
        ready.extend(early(open, config, spans(&ready)));
    } else if !waited && !full {
        return Vec::new();
    }
    ready.into_iter().map(|(id, _)| id).collect()
}

/// Under memory pressure traces that look complete go too, the longest quiet first, until there is a block's worth of spans.
fn early(
    mut open: Vec<(TraceId, LiveTrace)>,
    config: &Config,
    mut spans: usize,
) -> Vec<(TraceId, LiveTrace)> {
    open.sort_unstable_by_key(|(id, trace)| (!trace.has_root, trace.last_unix_nano, *id));
    let fits = |(_, trace): &(TraceId, LiveTrace)| {
        let more = spans < config.max_block_spans;
        spans += trace.spans as usize;
        more
    };
    open.into_iter().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn traces(ages: &[(u64, u64, u32)]) -> Vec<(TraceId, LiveTrace)> {
        let trace = |(index, (first, last, spans)): (usize, &(u64, u64, u32))| {
            let id = TraceId((index as u128).to_be_bytes());
            let (first_unix_nano, last_unix_nano) =
                ((1000 - first) * SECOND, (1000 - last) * SECOND);
            (
                id,
                LiveTrace {
                    first_unix_nano,
                    last_unix_nano,
                    spans: *spans,
                    has_root: index % 2 == 0,
                },
            )
        };
        ages.iter().enumerate().map(trace).collect()
    }

    fn cut(ages: &[(u64, u64, u32)], pressure: bool) -> Vec<u128> {
        let config = Config { max_block_spans: 100, ..Config::default() };
        let ids = plan(traces(ages).into_iter(), &config, 1000 * SECOND, pressure);
        ids.into_iter().map(|id| u128::from_be_bytes(id.0)).collect()
    }

    #[test]
    fn closed_traces_wait_for_company() {
        // (first seen, last seen: seconds ago; spans)
        assert_eq!(cut(&[(10, 6, 99)], false), [0; 0]);
        assert_eq!(cut(&[(10, 6, 50), (40, 1, 50), (3, 3, 500)], false), [1, 0]);
        assert_eq!(cut(&[(901, 6, 1), (7, 6, 1), (7, 2, 1)], false), [0, 1]);
    }

    #[test]
    fn under_pressure_what_looks_complete_goes_first() {
        let open = [(3, 1, 60), (3, 3, 60), (3, 2, 60), (4, 4, 60)];
        assert_eq!(cut(&open, true), [2, 0]);
        assert_eq!(cut(&[(10, 6, 100), (3, 1, 60)], true), [0]);
    }
}
