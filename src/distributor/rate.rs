//! Bytes a second and tenant: a bucket that leaks at the tenant's rate. Pure but for the lock; the time is given.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::tenant::{Ingestion, TenantId};

/// Tenants that are remembered before those whose bucket is empty again are forgotten.
const TENANTS_MAX: usize = 4096;

/// The buckets of all tenants.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<TenantId, Bucket>>);

/// What came in and has not leaked out at the time `at`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Bucket {
    bytes: f64,
    at: Duration,
    /// Bytes a second, when it was looked at last.
    rate: f64,
}

/// Bytes that do not matter: what sums of fractions are wrong by.
const NOTHING: f64 = 1e-3;

/// Why bytes are not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// They never fit into the burst.
    Burst { burst: u64 },
    /// They fit in after this time, if nothing else comes meanwhile.
    Rate { wait: Duration },
}

impl Rates {
    /// Takes bytes in at the time `now`, which counts from any moment.
    ///
    /// # Errors
    /// Nothing is taken then.
    pub(super) fn take(
        &self,
        tenant: &TenantId,
        bytes: u64,
        limits: &Ingestion,
        now: Duration,
    ) -> Result<(), Over> {
        let Some((rate, burst)) = rate_and_burst(limits) else { return Ok(()) };
        let mut buckets = self.0.lock();
        if buckets.len() >= TENANTS_MAX && !buckets.contains_key(tenant) {
            buckets.retain(|_, bucket| bucket.at_time(now) > 0.0);
        }
        buckets.entry(tenant.clone()).or_default().take(bytes, rate, burst, now)
    }

    /// As if these bytes had not been taken: they were not stored, and their sender comes again.
    pub(super) fn give_back(&self, tenant: &TenantId, bytes: u64, limits: &Ingestion) {
        if rate_and_burst(limits).is_some()
            && let Some(bucket) = self.0.lock().get_mut(tenant)
        {
            bucket.bytes = (bucket.bytes - number(bytes)).max(0.0);
        }
    }
}

/// None without a limit. Without a burst it is what comes in a second.
fn rate_and_burst(limits: &Ingestion) -> Option<(u64, u64)> {
    let Ingestion { rate_limit_bytes: rate, burst_size_bytes: burst, .. } = *limits;
    (rate > 0).then_some((rate, if burst == 0 { rate } else { burst }))
}

impl Bucket {
    fn take(&mut self, bytes: u64, rate: u64, burst: u64, now: Duration) -> Result<(), Over> {
        if bytes > burst {
            return Err(Over::Burst { burst });
        }
        self.rate = number(rate);
        self.bytes = self.at_time(now);
        self.at = now;
        let filled = self.bytes + number(bytes);
        let over = filled - number(burst);
        if over > NOTHING {
            let wait = Duration::try_from_secs_f64(over / self.rate).unwrap_or(Duration::MAX);
            return Err(Over::Rate { wait });
        }
        self.bytes = filled;
        Ok(())
    }

    /// What is in it at a later time.
    fn at_time(&self, now: Duration) -> f64 {
        let leaked = now.saturating_sub(self.at).as_secs_f64() * self.rate;
        (self.bytes - leaked).max(0.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes are far fewer than 2^53")]
fn number(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn limits(rate_limit_bytes: u64, burst_size_bytes: u64) -> Ingestion {
        Ingestion { rate_limit_bytes, burst_size_bytes, ..Ingestion::default() }
    }

    fn tenant(id: &str) -> TenantId {
        TenantId::parse(id).unwrap()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let (rates, limits, a) = (Rates::default(), limits(1000, 3000), tenant("a"));
        let take = |bytes, millis| rates.take(&a, bytes, &limits, MILLI * millis);
        assert_eq!(take(2000, 0), Ok(()));
        assert_eq!(take(1000, 0), Ok(()));
        assert_eq!(take(1, 0), Err(Over::Rate { wait: MILLI }));
        assert_eq!(take(500, 200), Err(Over::Rate { wait: MILLI * 300 }));
        assert_eq!(take(500, 500), Ok(()), "after the time that was told");
        assert_eq!(take(1, 500), Err(Over::Rate { wait: MILLI }));
        // Full again, and never more than full.
        assert_eq!(take(3000, 60_000), Ok(()));
        assert_eq!(take(1, 60_000), Err(Over::Rate { wait: MILLI }));
        assert_eq!(take(3001, 90_000), Err(Over::Burst { burst: 3000 }));
    }

    #[test]
    fn tenants_do_not_take_from_one_another() {
        let (rates, small) = (Rates::default(), limits(10, 10));
        assert_eq!(rates.take(&tenant("a"), 10, &small, Duration::ZERO), Ok(()));
        assert_eq!(rates.take(&tenant("b"), 10, &small, Duration::ZERO), Ok(()));
        assert!(rates.take(&tenant("a"), 10, &small, Duration::ZERO).is_err());
        rates.give_back(&tenant("a"), 10, &small);
        assert_eq!(rates.take(&tenant("a"), 10, &small, Duration::ZERO), Ok(()));
    }

    #[test]
    fn zero_is_no_rate_and_no_burst_is_a_second() {
        let (rates, a) = (Rates::default(), tenant("a"));
        for _ in 0..3 {
            assert_eq!(rates.take(&a, u64::MAX, &limits(0, 1), Duration::ZERO), Ok(()));
        }
        assert_eq!(
            rates.take(&a, 11, &limits(10, 0), Duration::ZERO),
            Err(Over::Burst { burst: 10 })
        );
        assert_eq!(rates.take(&a, 10, &limits(10, 0), Duration::ZERO), Ok(()));
    }

    #[test]
    fn a_changed_limit_holds_at_once() {
        let (rates, a) = (Rates::default(), tenant("a"));
        assert_eq!(rates.take(&a, 1000, &limits(10, 1000), Duration::ZERO), Ok(()));
        assert!(rates.take(&a, 1000, &limits(10, 1000), Duration::ZERO).is_err());
        let second = Duration::from_secs(1);
        assert_eq!(rates.take(&a, 1000, &limits(1000, 1000), second), Ok(()));
        assert_eq!(rates.take(&a, 1000, &limits(0, 1000), second), Ok(()));
    }

    #[test]
    fn quiet_tenants_are_forgotten() {
        let (rates, limits) = (Rates::default(), limits(1, 1));
        for id in 0..TENANTS_MAX {
            rates.take(&tenant(&format!("t{id}")), 1, &limits, Duration::ZERO).unwrap();
        }
        rates.take(&tenant("new"), 1, &limits, Duration::from_secs(1)).unwrap();
        assert_eq!(rates.0.lock().len(), 1);
    }
}
