//! A second request where the first is slow to answer: of a thousand GETs one takes ten times as long, and a query waits for the slowest.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::Operation;

/// When a GET is sent again though the first may still answer. The first answer counts; the others are dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hedge {
    /// After so long without the beginning of an answer; zero: never. What bodies take does not count: large ones would all be read twice.
    pub at: Duration,
    /// Requests of one GET at most, the first included.
    pub up_to: u32,
}

impl Default for Hedge {
    fn default() -> Self {
        Self { at: Duration::ZERO, up_to: 2 }
    }
}

impl Hedge {
    /// The first answer that is not a failure, or the last failure.
    pub(super) async fn run<T, F>(
        &self,
        count: &Operation,
        request: impl Fn() -> F,
    ) -> Result<T, object_store::Error>
    where
        F: Future<Output = Result<T, object_store::Error>>,
    {
        if self.at.is_zero() {
            return request().await;
        }
        let mut begun = 1;
        let mut running: FuturesUnordered<F> = std::iter::once(request()).collect();
        loop {
            tokio::select! {
                Some(answer) = running.next() => match answer {
                    Err(error) if !running.is_empty() && !is_answer(&error) => {}
                    answer => return answer,
                },
                () = tokio::time::sleep(self.at), if begun < self.up_to => {
                    begun += 1;
                    count.add_hedged();
                    running.push(request());
                }
            }
        }
    }
}

/// Another request would find the same.
fn is_answer(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Requests that take so many milliseconds each, in order; `None` never answers, odd times fail.
    async fn run(times: &[Option<u64>], up_to: u32) -> (Result<u32, ()>, u64) {
        let (count, begun) = (Operation::default(), AtomicU32::new(0));
        let hedge = Hedge { at: Duration::from_millis(20), up_to };
        let request = || {
            let number = begun.fetch_add(1, Ordering::Relaxed);
            let time = times[number as usize];
            async move {
                let Some(millis) = time else { return std::future::pending().await };
                tokio::time::sleep(Duration::from_millis(millis)).await;
                let broken = "connection closed".into();
                let broken = object_store::Error::Generic { store: "S3", source: broken };
                if millis % 2 == 1 { Err(broken) } else { Ok(number) }
            }
        };
        let answer = hedge.run(&count, request).await;
        (answer.map_err(|_| ()), count.hedged())
    }

    #[tokio::test]
    async fn the_first_answer_counts_and_failures_wait_for_the_others() {
        assert_eq!(run(&[Some(0)], 2).await, (Ok(0), 0), "a fast answer is asked for once");
        assert_eq!(run(&[None, Some(0)], 2).await, (Ok(1), 1));
        assert_eq!(run(&[None, None, Some(0)], 3).await, (Ok(2), 2));
        assert_eq!(run(&[Some(1)], 2).await, (Err(()), 0), "trying again is for `retry.rs`");
        assert_eq!(run(&[Some(60), Some(1)], 2).await, (Ok(0), 1));
        assert_eq!(run(&[Some(25), Some(11)], 2).await, (Err(()), 1));
    }
}
