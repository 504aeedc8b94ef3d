//! Threads for work that takes more than half a millisecond without waiting.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::oneshot;

/// A pool of threads for decoding, evaluating and encoding. Clones share it.
///
/// Its queue has no bound of its own: each waiting piece belongs to a caller that waits for it, and callers are bounded where
/// they are let in. Inside a piece rayon's own functions use the same threads.
#[derive(Debug, Clone)]
pub struct Cpu(Arc<ThreadPool>);

/// The machine gives no threads.
#[derive(Debug, thiserror::Error)]
#[error("no threads for CPU work")]
pub struct CpuError(#[from] ThreadPoolBuildError);

impl Cpu {
    /// A pool of so many threads; as many as the machine has cores, if none is said.
    ///
    /// # Errors
    /// The machine gives no threads.
    pub fn new(threads: Option<NonZeroUsize>) -> Result<Self, CpuError> {
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads.map_or_else(cores, NonZeroUsize::get))
            .thread_name(|number| format!("cpu-{number}"))
            .build()?;
        Ok(Self(Arc::new(pool)))
    }

    pub fn threads(&self) -> usize {
        self.0.current_num_threads()
    }

    /// Runs the work on the pool; first come, first served. Work that has not begun when the future is dropped is skipped.
    ///
    /// # Panics
    /// A panic in the work goes on in the caller.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = oneshot::channel();
        self.0.spawn_fifo(move || {
            if sender.is_closed() {
                return;
            }
            let result = catch_unwind(AssertUnwindSafe(work));
            // The caller may have gone in the meantime: nobody wants the result.
            drop(sender.send(result));
        });
        let result = receiver.await.expect("the pool answers while somebody listens");
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
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
