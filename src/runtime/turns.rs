//! Turns: so many may work at once, the others wait, and who waits for longer lines waits no less for it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Turns to work. Clones share them.
///
/// Each name has a line of its own, first come, first served; the lines take turns. Who holds a turn must not wait for another.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    free: usize,
    waiting: BTreeMap<String, VecDeque<oneshot::Sender<Turn>>>,
    /// Whose line had the last turn.
    last: String,
}

/// A turn; the next one has it when this is dropped.
#[must_use = "the turn is over when this is dropped"]
#[derive(Debug)]
pub struct Turn(Arc<Mutex<Lines>>);

impl Turns {
    /// So many at once, at least one.
    pub fn new(at_once: usize) -> Self {
        let lines = Lines { free: at_once.max(1), waiting: BTreeMap::new(), last: String::new() };
        Self(Arc::new(Mutex::new(lines)))
    }

    /// Waits in the line of this name. Dropping the future leaves the line.
    pub async fn take(&self, name: &str) -> Turn {
        let called = {
            let mut lines = self.0.lock();
            if lines.free > 0 {
                lines.free -= 1;
                return Turn(Arc::clone(&self.0));
            }
            let (sender, called) = oneshot::channel();
            lines.waiting.entry(name.to_owned()).or_default().push_back(sender);
            called
        };
        called.await.expect("lines are kept as long as somebody has a turn")
    }
}

impl Lines {
    /// Who is next.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let behind = (Bound::Excluded(self.last.as_str()), Bound::Unbounded);
        let name = self.waiting.range::<str, _>(behind).next();
        let name = name.or_else(|| self.waiting.first_key_value())?.0.clone();
        let line = self.waiting.get_mut(&name)?;
        let next = line.pop_front();
        if line.is_empty() {
            self.waiting.remove(&name);
        }
        self.last = name;
        next
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut lines = self.0.lock();
        match lines.next() {
            None => lines.free += 1,
            Some(next) => {
                drop(lines);
                // Who has left the line gives the turn back, which ends it for the one behind.
                drop(next.send(Self(Arc::clone(&self.0))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn lines_take_turns() {
        let turns = Turns::new(1);
        let first = turns.take("a").await;
        let mut second = Box::pin(turns.take("a"));
        let mut third = Box::pin(turns.take("a"));
        let mut other = Box::pin(turns.take("b"));
        for waiting in [&mut second, &mut third, &mut other] {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        drop(first);
        let second = second.now_or_never().unwrap();
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        let other = other.now_or_never().expect("the line of `b` is next, though `a` came before");
        drop(other);
        drop(third.now_or_never().unwrap());
        assert!(turns.take("c").now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_leaves_the_line_keeps_nobody() {
        let turns = Turns::new(2);
        let (one, two) = (turns.take("a").await, turns.take("a").await);
        let mut gone = Box::pin(turns.take("a"));
        let mut stays = Box::pin(turns.take("a"));
        assert!(gone.as_mut().now_or_never().is_none());
        assert!(stays.as_mut().now_or_never().is_none());
        drop(gone);
        drop(one);
        let stays = stays.now_or_never().unwrap();
        // Called, but it never looked.
        let mut called = Box::pin(turns.take("a"));
        assert!(called.as_mut().now_or_never().is_none());
        drop(two);
        drop(called);
        drop(stays);
        let (_one, _two) =
            (turns.take("a").now_or_never().unwrap(), turns.take("a").now_or_never().unwrap());
        assert!(turns.take("a").now_or_never().is_none());
    }
}
