//! Threads for work that takes more than half a millisecond without waiting.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

tokio::task_local! {
    /// Nanoseconds of CPU time that pieces of work took for the task that is measured.
    static METER: Arc<AtomicU64>;
}

/// A pool of threads for decoding, evaluating and encoding. Clones share it; its threads end after the last of them.
///
/// Its queue has no bound of its own: each waiting piece belongs to a caller that waits for it, and callers are bounded where
/// they are let in. Threads without work sleep: they do not look for it.
#[derive(Debug, Clone)]
pub struct Cpu(Arc<Owner>);

/// The machine gives no threads.
#[derive(Debug, thiserror::Error)]
#[error("no threads for CPU work")]
pub struct CpuError(#[from] io::Error);

type Work = Box<dyn FnOnce() + Send>;

/// Closes the queue when the last clone goes.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    threads: usize,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Default)]
struct Queue {
    work: VecDeque<Work>,
    is_closed: bool,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.queue.lock().is_closed = true;
        self.shared.more.notify_all();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    /// What a thread does until the pool goes.
    fn serve(&self) {
        while let Some(work) = self.next() {
            work();
        }
    }

    fn next(&self) -> Option<Work> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(work) = queue.work.pop_front() {
                return Some(work);
            }
            if queue.is_closed {
                return None;
            }
            self.more.wait(&mut queue);
        }
    }
}

impl Cpu {
    /// A pool of so many threads; as many as the machine has cores, if none is said.
    ///
    /// # Errors
    /// The machine gives no threads.
    pub fn new(threads: Option<NonZeroUsize>) -> Result<Self, CpuError> {
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = threads.map_or_else(cores, NonZeroUsize::get);
        let owner = Owner { shared: Arc::default(), threads };
        for number in 0..threads {
            let shared = Arc::clone(&owner.shared);
            std::thread::Builder::new()
                .name(format!("cpu-{number}"))
                .spawn(move || shared.serve())?;
        }
        Ok(Self(Arc::new(owner)))
    }

    pub fn threads(&self) -> usize {
        self.0.threads
    }

    /// Runs the work on the pool; first come, first served. Work that has not begun when the future is dropped is skipped.
    ///
    /// # Panics
    /// A panic in the work goes on in the caller.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = oneshot::channel();
        let meter = METER.try_with(Arc::clone).ok();
        let piece = move || {
            if sender.is_closed() {
                return;
            }
            let begun = meter.is_some().then(thread_time);
            let result = catch_unwind(AssertUnwindSafe(work));
            if let (Some(meter), Some(begun)) = (meter, begun) {
                meter.fetch_add(thread_time().saturating_sub(begun), Ordering::Relaxed);
            }
            // The caller may have gone in the meantime: nobody wants the result.
            drop(sender.send(result));
        };
        let Owner { shared, threads: _ } = &*self.0;
        shared.queue.lock().work.push_back(Box::new(piece));
        shared.more.notify_one();
        let result = receiver.await.expect("the pool answers while somebody listens");
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// The result of a future, and the CPU time of all that it had done by [`Cpu::run`], on whichever pool.
pub async fn metered<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let meter = Arc::new(AtomicU64::new(0));
    let result = METER.scope(Arc::clone(&meter), future).await;
    let nanos = meter.load(Ordering::Relaxed);
    // A measured part of what is measured counts for both.
    METER.try_with(|whole| whole.fetch_add(nanos, Ordering::Relaxed)).ok();
    (result, Duration::from_nanos(nanos))
}

/// CPU time of this thread so far, in nanoseconds.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    seconds * 1_000_000_000 + nanos
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use futures::FutureExt;

    use super::*;
    use crate::runtime::task::panic_message;

    fn one_thread() -> Cpu {
        Cpu::new(NonZeroUsize::new(1)).unwrap()
    }

    #[tokio::test]
    async fn work_runs_on_the_pools_threads() {
        let cpu = one_thread();
        assert_eq!(cpu.threads(), 1);
        let name = cpu.run(|| std::thread::current().name().map(ToOwned::to_owned)).await;
        assert_eq!(name.as_deref(), Some("cpu-0"));
    }

    #[tokio::test]
    async fn a_panic_goes_on_in_the_caller_and_the_pool_lives() {
        let cpu = one_thread();
        let panicked = AssertUnwindSafe(cpu.run(|| panic!("no"))).catch_unwind().await;
        assert_eq!(panic_message(&*panicked.unwrap_err()), "no");
        assert_eq!(cpu.run(|| 7).await, 7);
    }

    #[tokio::test]
    async fn cpu_time_counts_for_the_task_that_is_measured() {
        let cpu = one_thread();
        let spin = || {
            let begun = thread_time();
            while thread_time() < begun + 2_000_000 {}
        };
        let (done, time) = metered(async {
            futures::join!(cpu.run(spin), cpu.run(spin));
            true
        })
        .await;
        assert!(done && time >= Duration::from_millis(4), "{time:?}");
        let ((), waited) = metered(tokio::task::yield_now()).await;
        assert_eq!(waited, Duration::ZERO);
    }

    #[test]
    fn threads_end_after_the_last_clone() {
        let cpu = one_thread();
        let shared = Arc::downgrade(&cpu.0.shared);
        let clone = cpu.clone();
        drop(cpu);
        assert!(shared.upgrade().is_some());
        drop(clone);
        // The thread lets go of the queue when it ends.
        let begun = std::time::Instant::now();
        while shared.upgrade().is_some() {
            assert!(begun.elapsed() < Duration::from_secs(10), "the thread is still there");
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn queued_work_of_a_dropped_future_is_skipped() {
        static RAN: AtomicBool = AtomicBool::new(false);
        let cpu = one_thread();
        let (release, held) = mpsc::channel::<()>();
        let mut busy = Box::pin(cpu.run(move || held.recv().unwrap()));
        assert!(busy.as_mut().now_or_never().is_none());
        let mut queued = Box::pin(cpu.run(|| RAN.store(true, Ordering::SeqCst)));
        assert!(queued.as_mut().now_or_never().is_none());
        drop(queued);
        release.send(()).unwrap();
        busy.await;
        cpu.run(|| ()).await;
        assert!(!RAN.load(Ordering::SeqCst));
    }
}
