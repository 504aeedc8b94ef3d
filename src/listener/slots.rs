//! A bound on the requests at work at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::{Failure, Kind};

/// When to come back to a full house: most requests are done by then.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Places for requests at work. Clones share them.
#[derive(Debug, Clone)]
pub struct Slots {
    free: Arc<Semaphore>,
    max: usize,
}

impl Slots {
    pub fn new(max: usize) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(max)), max }
    }

    /// Takes a place for as long as the permit lives.
    ///
    /// # Errors
    /// All are taken: [`Kind::Busy`].
    pub fn take(&self) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.free).try_acquire_owned().map_err(|_| {
            let kind = Kind::Busy { retry_after: RETRY_AFTER };
            Failure::new(kind, format!("{} requests are at work already (requests_max)", self.max))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_after_use() {
        let slots = Slots::new(1);
        let place = slots.take().unwrap();
        let full = slots.take().unwrap_err();
        assert_eq!(full.kind, Kind::Busy { retry_after: RETRY_AFTER });
        assert!(full.message.contains("1 requests"));
        drop(place);
        assert!(slots.take().is_ok());
    }
}
