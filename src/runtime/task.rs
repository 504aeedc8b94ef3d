//! Work in the background that has a name and an owner.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::task::JoinHandle;
use tracing::error;

/// A running future. Dropping the handle ends it at its next wait; a panic in it is logged with its name.
#[must_use = "a task ends when its handle is dropped"]
#[derive(Debug)]
pub struct Task {
    name: &'static str,
    handle: JoinHandle<Result<(), Ended>>,
}

/// Why a task ended before its future did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    #[error("task {name} panicked: {message}")]
    Panicked { name: &'static str, message: String },
    #[error("task {name} was ended")]
    Aborted { name: &'static str },
}

impl Task {
    /// Starts the future on the current tokio runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn(name: &'static str, future: impl Future<Output = ()> + Send + 'static) -> Self {
        let watched = async move {
            let Err(panic) = AssertUnwindSafe(future).catch_unwind().await else { return Ok(()) };
            let message = panic_message(&*panic);
            error!(task = name, panic = message, "task panicked");
            Err(Ended::Panicked { name, message: message.to_owned() })
        };
        Self { name, handle: tokio::spawn(watched) }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Waits for the future's end. Dropping this future ends the task.
    ///
    /// # Errors
    /// A panic, or the end of the runtime.
    pub async fn join(mut self) -> Result<(), Ended> {
        let name = self.name;
        (&mut self.handle).await.unwrap_or(Err(Ended::Aborted { name }))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// Runs a future to its end, even if the returned future is dropped: for steps that must not stop halfway. `None` after a panic,
/// which is logged, or at the end of the runtime.
pub async fn to_the_end<T: Send + 'static>(
    name: &'static str,
    future: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let watched = async move {
        match AssertUnwindSafe(future).catch_unwind().await {
            Ok(value) => Some(value),
            Err(panic) => {
                error!(task = name, panic = panic_message(&*panic), "task panicked");
                None
            }
        }
    };
    tokio::spawn(watched).await.ok().flatten()
}

/// Waits for a future, on a thread that may wait: one of [`blocking`].
///
/// # Panics
/// On a thread that runs tasks.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Handle::current().block_on(future)
}

/// Runs file I/O and other calls that block on a thread that may wait. A panic goes on in the caller.
///
/// The call is not cut short when the future is dropped; one that has not begun is skipped.
pub async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    struct AbortOnDrop<T>(JoinHandle<T>);
    impl<T> Drop for AbortOnDrop<T> {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let mut call = AbortOnDrop(tokio::task::spawn_blocking(call));
    match (&mut call.0).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down and takes the caller with it.
            Err(_) => futures::future::pending().await,
        },
    }
}

/// The text that `panic!` was given.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_task_runs_to_its_end() {
        let (done, is_done) = oneshot::channel();
        let task = Task::spawn("work", async { done.send(()).unwrap() });
        assert_eq!(task.name(), "work");
        assert_eq!(task.join().await, Ok(()));
        is_done.await.unwrap();
    }

    #[tokio::test]
    async fn a_dropped_task_ends() {
        let (kept, end) = oneshot::channel::<()>();
        let task = Task::spawn("work", async {
            futures::future::pending::<()>().await;
            drop(kept);
        });
        drop(task);
        // Resolves only when the future was dropped with what it held.
        assert!(end.await.is_err());
    }

    #[tokio::test]
    async fn a_panic_is_told_with_the_tasks_name() {
        let ended = Task::spawn("work", async { panic!("no {}", 7) }).join().await;
        assert_eq!(ended, Err(Ended::Panicked { name: "work", message: "no 7".to_owned() }));
    }

    #[tokio::test]
    async fn blocking_calls_answer_and_panic_in_the_caller() {
        assert_eq!(blocking(|| 7).await, 7);
        let panicked = AssertUnwindSafe(blocking(|| panic!("no"))).catch_unwind().await;
        assert_eq!(panic_message(&*panicked.unwrap_err()), "no");
    }
}
