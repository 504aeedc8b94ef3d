//! The end: a signal that all parts can see, and a wait for those that have something to finish.
//!
//! ```text
//! running ──signal──→ stopping: parts finish what they hold ──all done──→ end
//!                        └──second signal, or the deadline──→ end, with the names of those that had not finished
//! ```

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use super::clock::Clock;
use super::task::Task;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Stopping,
    /// Whoever has not finished is not waited for.
    CutShort,
}

/// The owner's side: begins the stop and waits for the parts.
#[derive(Debug, Clone)]
pub struct Drain {
    phase: Arc<watch::Sender<Phase>>,
    holds: Arc<watch::Sender<Holds>>,
}

/// Who is still at work, by order of coming.
#[derive(Debug, Default)]
struct Holds {
    names: BTreeMap<u64, &'static str>,
    ever: u64,
}

/// A part's side: sees the stop. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Stop {
    phase: watch::Receiver<Phase>,
    drain: Drain,
}

/// The process waits while this lives.
#[must_use = "the process waits only while the hold lives"]
#[derive(Debug)]
pub struct Hold {
    drain: Drain,
    number: u64,
}

/// Who had not finished when the time was over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not finished in time: {}", .0.join(", "))]
pub struct Unfinished(pub Vec<&'static str>);

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl Drain {
    pub fn new() -> Self {
        Self {
            phase: Arc::new(watch::Sender::new(Phase::Running)),
            holds: Arc::new(watch::Sender::new(Holds::default())),
        }
    }

    /// The signal for the parts.
    pub fn stop(&self) -> Stop {
        Stop { phase: self.phase.subscribe(), drain: self.clone() }
    }

    /// Begins the stop, once; later calls do nothing.
    pub fn begin(&self) {
        self.raise(Phase::Stopping);
    }

    /// Ends the wait for parts that have not finished.
    pub fn cut_short(&self) {
        self.raise(Phase::CutShort);
    }

    fn raise(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let raised = to > *phase;
            *phase = to.max(*phase);
            raised
        });
    }

    /// Waits, after the stop has begun, until every hold is dropped.
    ///
    /// # Errors
    /// The names of those that hold on when `limit` is over, counted from this call, or [`Drain::cut_short`] was called.
    pub async fn finished(&self, clock: &Clock, limit: Duration) -> Result<(), Unfinished> {
        let mut phase = self.phase.subscribe();
        let mut holds = self.holds.subscribe();
        let all = async {
            tokio::select! {
                biased;
                _ = holds.wait_for(|holds| holds.names.is_empty()) => true,
                _ = phase.wait_for(|phase| *phase == Phase::CutShort) => false,
            }
        };
        match clock.timeout(limit, all).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => {
                Err(Unfinished(self.holds.borrow().names.values().copied().collect()))
            }
        }
    }

    /// Listens to SIGTERM and SIGINT: the first begins the stop, the second cuts it short.
    ///
    /// # Errors
    /// The system does not let us listen.
    pub fn on_signals(&self) -> io::Result<Task> {
        let mut signals = Signals::new()?;
        let drain = self.clone();
        Ok(Task::spawn("signals", async move {
            let signal = signals.next().await;
            info!(signal, "stopping");
            drain.begin();
            let signal = signals.next().await;
            warn!(signal, "stopping at once");
            drain.cut_short();
        }))
    }
}

impl Stop {
    pub fn is_requested(&self) -> bool {
        *self.phase.borrow() > Phase::Running
    }

    /// Resolves when the stop has begun. Dropping the future does no harm.
    pub async fn requested(&self) {
        let mut phase = self.phase.clone();
        let Ok(_) = phase.wait_for(|phase| *phase > Phase::Running).await else {
            unreachable!("a Stop keeps its Drain");
        };
    }

    /// Makes the process wait for the caller, who is told by `name` if it does not finish.
    pub fn hold(&self, name: &'static str) -> Hold {
        let mut number = 0;
        self.drain.holds.send_modify(|holds| {
            number = holds.ever;
            holds.ever += 1;
            holds.names.insert(number, name);
        });
        Hold { drain: self.drain.clone(), number }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.drain.holds.send_modify(|holds| {
            holds.names.remove(&self.number);
        });
    }
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> &'static str {
        self.0.recv().await;
        "Ctrl-C"
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn every_part_sees_the_stop() {
        let drain = Drain::new();
        let (early, late) = (drain.stop(), drain.stop().clone());
        assert!(!early.is_requested() && early.requested().now_or_never().is_none());
        drain.begin();
        drain.begin();
        assert!(early.is_requested() && late.is_requested());
        assert!(late.requested().now_or_never().is_some());
        assert!(drain.stop().requested().now_or_never().is_some());
    }

    #[test]
    fn the_process_waits_until_all_have_finished() {
        let (drain, clock) = (Drain::new(), Clock::simulated(0));
        let stop = drain.stop();
        let (one, other) = (stop.hold("ingester"), stop.hold("api"));
        drain.begin();
        let mut finished = Box::pin(drain.finished(&clock, LIMIT));
        drop(one);
        assert!(finished.as_mut().now_or_never().is_none());
        drop(other);
        assert_eq!(finished.as_mut().now_or_never(), Some(Ok(())));
    }

    #[test]
    fn the_deadline_names_who_had_not_finished() {
        let (drain, clock) = (Drain::new(), Clock::simulated(0));
        let stop = drain.stop();
        let _kept = (stop.hold("ingester"), stop.hold("compactor"));
        drop(stop.hold("api"));
        drain.begin();
        let mut finished = Box::pin(drain.finished(&clock, LIMIT));
        assert!(finished.as_mut().now_or_never().is_none());
        clock.advance(LIMIT);
        let unfinished = finished.as_mut().now_or_never().unwrap().unwrap_err();
        assert_eq!(unfinished.to_string(), "not finished in time: ingester, compactor");
    }

    #[test]
    fn a_second_signal_cuts_the_wait_short() {
        let (drain, clock) = (Drain::new(), Clock::simulated(0));
        let _kept = drain.stop().hold("ingester");
        drain.begin();
        drain.cut_short();
        // A late first signal changes nothing.
        drain.begin();
        let finished = drain.finished(&clock, LIMIT).now_or_never();
        assert_eq!(finished, Some(Err(Unfinished(vec!["ingester"]))));
    }
}
