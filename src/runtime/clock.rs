//! What time it is, and waiting: in earnest, or in a simulation that moves by hand.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::{Either, select};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use uuid::{Builder, Uuid};

/// The time. Clones are cheap and show the same time.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    Real { started: Instant },
    Simulated { start_unix_nano: u64, state: Mutex<State> },
}

#[derive(Debug)]
struct State {
    now_unix_nano: u64,
    /// By time to wake, then by order of coming.
    sleepers: BTreeMap<(u64, u64), oneshot::Sender<()>>,
    sleepers_ever: u64,
    ids_ever: u32,
}

/// The time that was allowed is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not done within {}", humantime::format_duration(*.0))]
pub struct Elapsed(pub Duration);

impl Clock {
    /// The machine's clock. Its sleeps need a tokio runtime with time.
    pub fn real() -> Self {
        Self(Arc::new(Source::Real { started: Instant::now() }))
    }

    /// A clock that stands at `start_unix_nano` and moves only by [`Clock::advance`]. Needs no runtime.
    pub fn simulated(start_unix_nano: u64) -> Self {
        let state = State {
            now_unix_nano: start_unix_nano,
            sleepers: BTreeMap::new(),
            sleepers_ever: 0,
            ids_ever: 0,
        };
        Self(Arc::new(Source::Simulated { start_unix_nano, state: Mutex::new(state) }))
    }

    /// Nanoseconds since 1970. May jump, also backwards, when the machine's clock is set: for what is stored, not for measuring.
    pub fn now_unix_nano(&self) -> u64 {
        match &*self.0 {
            Source::Real { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
            }
            Source::Simulated { state, .. } => state.lock().now_unix_nano,
        }
    }

    /// An id for what is made now: `UUIDv7`. Later ones of one process are larger.
    pub fn new_id(&self) -> Uuid {
        match &*self.0 {
            Source::Real { .. } => Uuid::now_v7(),
            Source::Simulated { state, .. } => {
                let mut state = state.lock();
                state.ids_ever += 1;
                let mut rest: [u8; 10] = rand::random();
                let [_, number @ ..] = state.ids_ever.to_be_bytes();
                (rest[0], rest[1], rest[2]) = (0, 0, 0);
                rest[3..6].copy_from_slice(&number);
                let unix_milli = state.now_unix_nano / 1_000_000;
                Builder::from_unix_timestamp_millis(unix_milli, &rest).into_uuid()
            }
        }
    }

    /// Time since the clock was made; never goes backwards: for measuring.
    pub fn running(&self) -> Duration {
        match &*self.0 {
            Source::Real { started } => started.elapsed(),
            Source::Simulated { start_unix_nano, state } => {
                Duration::from_nanos(state.lock().now_unix_nano - start_unix_nano)
            }
        }
    }

    /// Waits. Dropping the future ends the wait.
    pub async fn sleep(&self, time: Duration) {
        match &*self.0 {
            Source::Real { .. } => tokio::time::sleep(time).await,
            Source::Simulated { state, .. } => {
                let (key, woken) = {
                    let mut state = state.lock();
                    if time.is_zero() {
                        return;
                    }
                    let key =
                        (state.now_unix_nano.saturating_add(nanos(time)), state.sleepers_ever);
                    state.sleepers_ever += 1;
                    let (waker, woken) = oneshot::channel();
                    state.sleepers.insert(key, waker);
                    (key, woken)
                };
                let _in_bed = InBed { state, key };
                let Ok(()) = woken.await else {
                    unreachable!("a simulated clock keeps its sleepers until they wake");
                };
            }
        }
    }

    /// The future's answer, unless it takes longer than `limit`: then it is dropped.
    ///
    /// # Errors
    /// The limit, if it is over first.
    pub async fn timeout<T>(
        &self,
        limit: Duration,
        future: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        // The answer is looked at first: one that is there at the limit counts.
        match select(pin!(future), pin!(self.sleep(limit))).await {
            Either::Left((answer, _)) => Ok(answer),
            Either::Right(((), _)) => Err(Elapsed(limit)),
        }
    }

    /// Moves a simulated clock and wakes those whose time has come, in the order of their times. They run when their runtime
    /// runs them, and then see the new time: move in steps where every tick counts.
    ///
    /// # Panics
    /// On the machine's clock, which nobody moves.
    pub fn advance(&self, time: Duration) {
        let Source::Simulated { state, .. } = &*self.0 else {
            panic!("the machine's clock cannot be moved");
        };
        let mut state = state.lock();
        state.now_unix_nano = state.now_unix_nano.saturating_add(nanos(time));
        let still_asleep = (state.now_unix_nano.saturating_add(1), 0);
        let later = state.sleepers.split_off(&still_asleep);
        for waker in std::mem::replace(&mut state.sleepers, later).into_values() {
            // Nobody listens if the sleeper has just been dropped.
            waker.send(()).ok();
        }
    }

    /// Time until the next sleeper of a simulated clock wakes; none if nobody sleeps, or on the machine's clock.
    pub fn until_next_wake(&self) -> Option<Duration> {
        let Source::Simulated { state, .. } = &*self.0 else { return None };
        let state = state.lock();
        let ((wake_unix_nano, _), _) = state.sleepers.first_key_value()?;
        Some(Duration::from_nanos(wake_unix_nano - state.now_unix_nano))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Takes a sleeper off the list when it is dropped.
struct InBed<'a> {
    state: &'a Mutex<State>,
    key: (u64, u64),
}

impl Drop for InBed<'_> {
    fn drop(&mut self) {
        self.state.lock().sleepers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_simulated_clock_moves_only_by_hand() {
        let clock = Clock::simulated(5);
        assert_eq!((clock.now_unix_nano(), clock.running()), (5, Duration::ZERO));
        clock.clone().advance(SECOND);
        assert_eq!((clock.now_unix_nano(), clock.running()), (1_000_000_005, SECOND));
    }

    #[test]
    fn sleepers_wake_when_their_time_has_come() {
        let clock = Clock::simulated(0);
        let mut early = Box::pin(clock.sleep(SECOND));
        let mut late = Box::pin(clock.sleep(2 * SECOND));
        assert!(early.as_mut().now_or_never().is_none() && late.as_mut().now_or_never().is_none());
        assert_eq!(clock.until_next_wake(), Some(SECOND));
        clock.advance(SECOND / 2);
        assert!(early.as_mut().now_or_never().is_none());
        clock.advance(SECOND / 2);
        assert!(early.as_mut().now_or_never().is_some() && late.as_mut().now_or_never().is_none());
        drop(late);
        assert_eq!(clock.until_next_wake(), None);
    }

    #[test]
    fn a_timeout_ends_what_takes_too_long_and_nothing_else() {
        let clock = Clock::simulated(0);
        let now = clock.timeout(Duration::ZERO, async { 7 }).now_or_never();
        assert_eq!(now, Some(Ok(7)));
        let mut never = Box::pin(clock.timeout(SECOND, futures::future::pending::<()>()));
        assert!(never.as_mut().now_or_never().is_none());
        clock.advance(SECOND);
        assert_eq!(never.as_mut().now_or_never(), Some(Err(Elapsed(SECOND))));
        assert_eq!(Elapsed(SECOND).to_string(), "not done within 1s");
    }

    #[test]
    fn the_machines_clock_is_in_this_century() {
        let clock = Clock::real();
        assert!(clock.now_unix_nano() > 1_700_000_000_000_000_000);
        assert!(clock.running() <= clock.running());
        assert_eq!(clock.until_next_wake(), None);
    }
}
