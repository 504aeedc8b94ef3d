//! How large traces have become, of tenants that have a limit for it.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::tenant::TenantId;
use crate::trace::TraceId;

/// Traces that are remembered, about 80 bytes each; beyond it the longest quiet are forgotten, and begin at 0 again.
const TRACES_MAX: usize = 256 << 10;

/// Traces that are quiet for so long go first.
const QUIET: Duration = Duration::from_hours(1);

/// Bytes of traces since this process began.
#[derive(Debug, Default)]
pub(super) struct Sizes(Mutex<HashMap<(TenantId, TraceId), Size, foldhash::fast::RandomState>>);

#[derive(Debug, Clone, Copy, Default)]
struct Size {
    bytes: u64,
    last: Duration,
}

/// A trace that would become too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge {
    pub(super) trace: TraceId,
    /// Bytes that it has.
    pub(super) has: u64,
    /// Bytes that came now.
    pub(super) came: u64,
}

impl Sizes {
    /// Adds what came now of each trace, but for those that would become larger than `max`, which are told.
    pub(super) fn add(
        &self,
        tenant: &TenantId,
        came: &HashMap<TraceId, u64>,
        max: u64,
        now: Duration,
    ) -> Vec<TooLarge> {
        let mut sizes = self.0.lock();
        make_room(&mut sizes, now);
        let mut too_large = Vec::new();
        for (&trace, &bytes) in came {
            let size = sizes.entry((tenant.clone(), trace)).or_default();
            size.last = now;
            if size.bytes.saturating_add(bytes) > max {
                too_large.push(TooLarge { trace, has: size.bytes, came: bytes });
            } else {
                size.bytes += bytes;
            }
        }
        too_large.sort_unstable_by_key(|one| one.trace);
        too_large
    }

    /// As if these had not come: they were not stored. `refused` were not added.
    pub(super) fn take_back(
        &self,
        tenant: &TenantId,
        came: &HashMap<TraceId, u64>,
        refused: &[TooLarge],
    ) {
        let mut sizes = self.0.lock();
        for (&trace, bytes) in came {
            if refused.iter().all(|one| one.trace != trace)
                && let Some(size) = sizes.get_mut(&(tenant.clone(), trace))
            {
                size.bytes = size.bytes.saturating_sub(*bytes);
            }
        }
    }
}

fn make_room<S>(sizes: &mut HashMap<(TenantId, TraceId), Size, S>, now: Duration) {
    let mut quiet = QUIET;
    while sizes.len() >= TRACES_MAX && quiet > Duration::from_secs(1) {
        sizes.retain(|_, size| now.saturating_sub(size.last) < quiet);
        quiet /= 2;
    }
    if sizes.len() >= TRACES_MAX {
        sizes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(number: u32) -> TraceId {
        TraceId(u128::from(number + 1).to_be_bytes())
    }

    #[test]
    fn what_would_be_too_large_is_not_added() {
        let (sizes, a) = (Sizes::default(), TenantId::parse("a").unwrap());
        let add = |one: u64, two: u64| {
            let came = HashMap::from([(trace(1), one), (trace(2), two)]);
            sizes.add(&a, &came, 100, Duration::ZERO)
        };
        assert_eq!(add(60, 10), []);
        assert_eq!(add(50, 10), [TooLarge { trace: trace(1), has: 60, came: 50 }]);
        assert_eq!(add(40, 10), [], "smaller parts still fit");
        let came = HashMap::from([(trace(1), 40)]);
        sizes.take_back(&a, &came, &[]);
        assert_eq!(add(40, 10), []);
        let other = TenantId::parse("b").unwrap();
        assert_eq!(sizes.add(&other, &came, 100, Duration::ZERO), []);
    }

    #[test]
    fn the_longest_quiet_are_forgotten() {
        let (sizes, a) = (Sizes::default(), TenantId::parse("a").unwrap());
        let came: HashMap<TraceId, u64> =
            (0..u32::try_from(TRACES_MAX).unwrap()).map(|number| (trace(number), 9)).collect();
        sizes.add(&a, &came, 10, Duration::ZERO);
        let later = Duration::from_mins(30);
        sizes.add(&a, &HashMap::from([(trace(7), 1)]), 10, later);
        assert_eq!(sizes.0.lock().len(), 1);
    }
}
