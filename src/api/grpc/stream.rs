//! Answers that come while the question is at work.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::mpsc;
use futures::{FutureExt, SinkExt, Stream, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tonic::Status;

use super::super::{Api, Call, cost};
use super::status_of;
use crate::failure::Failure;
use crate::runtime::metered;

/// How often is looked for something to tell.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Without anything else to tell, progress is told as often as this.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// A question that is at work, as its stream sees it.
pub(super) trait Watched: Send + 'static {
    type Message: Send + 'static;

    /// Messages about what has become certain since the last look; none if there is nothing new.
    fn news(&mut self) -> impl Future<Output = Vec<Self::Message>> + Send;

    /// A message about nothing but how far it has come.
    fn progress(&self) -> Self::Message;
}

/// The messages of a call. Dropped, it drops the work.
pub(super) struct Answers<M>(Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>);

impl<M> Answers<M> {
    pub(super) fn of(answers: impl Stream<Item = Result<M, Status>> + Send + 'static) -> Self {
        Self(Box::pin(answers))
    }
}

impl<M> Stream for Answers<M> {
    type Item = Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

/// The news of a question while `work` is under way, then the messages that it ends with.
pub(super) fn answers<W: Watched>(
    api: Arc<Api>,
    call: Arc<Call>,
    mut watched: W,
    work: impl Future<Output = Result<Vec<W::Message>, Failure>> + Send + 'static,
) -> impl Stream<Item = Result<W::Message, Status>> + Send + 'static {
    let (mut sender, receiver) = mpsc::channel(0);
    let driver = async move {
        let begun = api.now();
        let work = metered(api.in_time(work).boxed());
        tokio::pin!(work);
        let mut looks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Instant::now();
        let (result, cpu) = loop {
            tokio::select! {
                biased;
                done = &mut work => break done,
                _ = looks.tick() => {
                    let mut news = watched.news().await;
                    if news.is_empty() && told.elapsed() >= PROGRESS_EVERY {
                        news.push(watched.progress());
                    }
                    for message in news {
                        told = Instant::now();
                        // Nobody listens: the call is gone, and this future with it.
                        if sender.send(Ok(message)).await.is_err() {
                            return;
                        }
                    }
                }
            }
        };
        cost::log_if_slow(&api, &call.params, "StreamingQuerier", (begun, cpu), result.is_ok());
        let last = match result {
            Ok(messages) => messages.into_iter().map(Ok).collect(),
            Err(failure) => vec![Err(status_of(failure))],
        };
        for message in last {
            if sender.send(message).await.is_err() {
                return;
            }
        }
    };
    let at_work = driver.into_stream().filter_map(|()| std::future::ready(None));
    futures::stream::select(receiver, at_work)
}
