//! A budget of memory: who works on something large waits until there is room for it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a permit stands for. Budgets up to 4 TiB have fewer than 2^32 of them.
const UNIT_BYTES: u64 = 1024;

/// Bytes that some work may take together. Clones share them.
///
/// It counts what is asked for, not what is allocated: who asks must know about how much it takes. First come, first served, so that
/// something large is not overtaken for ever. Who holds a part must not wait for another one: two of them would wait for each other.
#[derive(Debug, Clone)]
pub struct Budget {
    free: Arc<Semaphore>,
    units: u32,
}

/// A part of a budget, given back when it is dropped.
#[must_use = "the room is free again when this is dropped"]
#[derive(Debug)]
pub struct Room {
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    /// A budget of so many bytes, at least one unit of 1 KiB.
    pub fn new(bytes: u64) -> Self {
        let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        let units = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX).clamp(1, most);
        Self { free: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// Waits until so many bytes are free, and takes them. What is larger than the whole budget waits for all of it and then works
    /// alone.
    pub async fn take(&self, bytes: u64) -> Room {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).min(self.units);
        let permit = Arc::clone(&self.free).acquire_many_owned(units).await;
        Room { _permit: permit.expect("nobody closes a budget") }
    }

    /// Bytes that are taken now.
    pub fn taken(&self) -> u64 {
        (self.units as usize).saturating_sub(self.free.available_permits()) as u64 * UNIT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_finds_no_room_waits_in_line() {
        let budget = Budget::new(10 << 10);
        let first = budget.take(6 << 10).await;
        let mut large = Box::pin(budget.take(8 << 10));
        assert!(large.as_mut().now_or_never().is_none());
        // Small enough, but behind the large one.
        let mut small = Box::pin(budget.take(1));
        assert!(small.as_mut().now_or_never().is_none());
        drop(first);
        let large = large.await;
        let small = small.await;
        assert_eq!(budget.taken(), 9 << 10);
        drop((large, small));
        assert_eq!(budget.taken(), 0);
    }

    #[tokio::test]
    async fn what_is_larger_than_all_works_alone() {
        let budget = Budget::new(4 << 10);
        let whole = budget.take(u64::MAX).await;
        assert_eq!(budget.taken(), 4 << 10);
        assert!(budget.take(0).now_or_never().is_some());
        assert!(budget.take(1).now_or_never().is_none());
        drop(whole);
        assert!(budget.take(1).now_or_never().is_some());
    }
}
