//! What is tried again, how long, how often.
//!
//! The stores' own retries are switched off, so that this is the only place. Tried again: answers 408, 409 (a create
//! that met another one), 429 and 5xx, broken and refused connections, and attempts that took too long. Not tried
//! again: every other answer (it would be the same), and errors of a local folder or memory, of which none passes by
//! waiting a second. After attempt n we wait between half and all of `backoff_initial * 2^(n-1)`, at most `backoff_max`.
//!
//! A write whose answer is lost is tried again too, so a create can meet its own earlier attempt and answer "already
//! exists". Only the caller knows its content: the manifest compares commit ids.

use std::time::Duration;

use object_store::client::HttpError;
use rand::RngExt;
use tokio::time::Instant;
use tracing::info;

use super::Error;
use super::Operation;
use super::Path;
use super::counters::Ended;

/// How long and how often: with the defaults at most about half a minute of waiting, then the caller decides.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Attempts of one operation, the first included; at least 1.
    pub attempts_max: u32,
    pub backoff_initial: Duration,
    pub backoff_max: Duration,
    /// The time that one attempt may take beside that for its bytes, which is a second per MiB.
    pub attempt_timeout: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts_max: 10,
            backoff_initial: Duration::from_millis(200),
            backoff_max: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(30),
        }
    }
}

/// Slowest transfer that is not given up, in bytes per second.
const BYTES_PER_SECOND_MIN: u64 = 1 << 20;

impl Retry {
    /// Gives a request, or a part of one, up after the time for so many bytes.
    pub(super) async fn within<T>(
        &self,
        bytes: u64,
        request: impl Future<Output = Result<T, object_store::Error>>,
    ) -> Result<T, object_store::Error> {
        let timeout = self.attempt_timeout + Duration::from_secs(bytes / BYTES_PER_SECOND_MIN);
        tokio::time::timeout(timeout, request).await.unwrap_or_else(|_| {
            let source = format!("no answer within {timeout:?}").into();
            Err(object_store::Error::Generic { store: "store", source })
        })
    }

    /// The wait after attempt number `attempt`, from 1.
    fn backoff(&self, attempt: u32) -> Duration {
        let doubled = self.backoff_initial.saturating_mul(1 << (attempt - 1).min(20));
        doubled.min(self.backoff_max).mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

/// Runs `attempt` until it succeeds, fails for good, or has failed too often; counts every attempt.
pub(super) async fn run<T, F>(
    retry: &Retry,
    count: &Operation,
    key: &Path,
    attempt: impl Fn() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, object_store::Error>>,
{
    let mut attempts = 0;
    loop {
        attempts += 1;
        count.add_request();
        let begun = Instant::now();
        let outcome = attempt().await;
        let ended = match &outcome {
            Ok(_) => Ended::Answered,
            Err(object_store::Error::NotFound { .. }) => Ended::NotFound,
            Err(_) => Ended::Failed,
        };
        count.observe(ended, begun.elapsed().as_secs_f64());
        let error = match outcome {
            Ok(value) => return Ok(value),
            Err(object_store::Error::NotFound { .. }) => {
                return Err(Error::NotFound { key: key.clone() });
            }
            Err(error) => error,
        };
        count.add_error();
        if !is_transient(&error) {
            return Err(Error::Refused { key: key.clone(), source: Box::new(error) });
        }
        if attempts >= retry.attempts_max {
            let source = Box::new(error);
            return Err(Error::Unavailable { key: key.clone(), attempts, source });
        }
        let wait = retry.backoff(attempts);
        info!(%key, attempts, ?wait, %error, "bucket request will be tried again");
        tokio::time::sleep(wait).await;
    }
}

/// A create that met another create still under way: S3 asks to try again.
pub(super) fn is_conflict(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::AlreadyExists { .. })
        && error.to_string().contains("ConditionalRequestConflict")
}

fn is_transient(error: &object_store::Error) -> bool {
    match error {
        object_store::Error::Generic { store: "LocalFileSystem" | "InMemory", .. } => false,
        object_store::Error::Generic { source, .. } => match status_in(&source.to_string()) {
            Some(status) => matches!(status, 408 | 409 | 425 | 429) || status >= 500,
            None => is_transport(source.as_ref()),
        },
        error => is_conflict(error),
    }
}

/// The HTTP status of a failed request. The client's error type cannot be named from outside, so its text is read;
/// a test against a real server holds it.
fn status_in(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// Whether the request failed on its way, or in a way that we cannot tell: both are tried again. A chain of errors is
/// short; its end is a bound for a cycle.
fn is_transport(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    for _ in 0..16 {
        let Some(error) = cause else { break };
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return !matches!(http.kind(), object_store::client::HttpErrorKind::Decode);
        }
        cause = error.source();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_maximum() {
        let retry = Retry::default();
        for (attempt, longest) in [(1, 200), (2, 400), (5, 3200), (6, 5000), (60, 5000)] {
            let wait = retry.backoff(attempt);
            let longest = Duration::from_millis(longest);
            assert!(wait <= longest && wait >= longest / 2, "{attempt}: {wait:?}");
        }
    }

    #[tokio::test]
    async fn a_request_without_an_answer_is_given_up_and_tried_again() {
        let retry = Retry {
            attempts_max: 3,
            backoff_initial: Duration::ZERO,
            attempt_timeout: Duration::ZERO,
            ..Retry::default()
        };
        let (count, retry) = (Operation::default(), &retry);
        let key = Path::from("a");
        let never = || retry.within(0, std::future::pending::<Result<(), _>>());
        let error = run(retry, &count, &key, never).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { attempts: 3, .. }), "{error}");
        assert_eq!(count.errors(), 3);
    }

    #[test]
    fn statuses_decide_what_is_tried_again() {
        for (status, again) in [(400, false), (404, false), (408, true), (429, true), (503, true)] {
            let text = format!("Server returned non-2xx status code: {status} Some Reason: <xml>");
            let error = object_store::Error::Generic { store: "S3", source: text.into() };
            assert_eq!(is_transient(&error), again, "{status}");
        }
        let source = "connection closed".into();
        assert!(is_transient(&object_store::Error::Generic { store: "S3", source }));
        let source = "no space left on device".into();
        assert!(!is_transient(&object_store::Error::Generic { store: "LocalFileSystem", source }));
    }
}
