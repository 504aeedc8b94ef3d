//! How far long work has come: one line on standard error that is drawn over, if that is a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::text::bytes;
use crate::runtime::Clock;

/// Between two drawings.
const PERIOD: Duration = Duration::from_millis(200);

/// Cells of the bar.
const BAR: u64 = 24;

pub(super) struct Progress {
    clock: Clock,
    is_shown: bool,
    begun: Duration,
    drawn: Duration,
    done_bytes: u64,
    total_bytes: u64,
    what: String,
}

impl Progress {
    pub(super) fn new() -> Self {
        let clock = Clock::real();
        let now = clock.running();
        Self {
            clock,
            is_shown: io::stderr().is_terminal(),
            begun: now,
            drawn: now,
            done_bytes: 0,
            total_bytes: 0,
            what: String::new(),
        }
    }

    /// More work than was known.
    pub(super) fn expect(&mut self, bytes: u64) {
        self.total_bytes += bytes;
    }

    /// What is at work now.
    pub(super) fn at(&mut self, what: impl Into<String>) {
        self.what = what.into();
        self.draw();
    }

    pub(super) fn advance(&mut self, bytes: u64) {
        self.done_bytes += bytes;
        self.draw();
    }

    fn draw(&mut self) {
        let now = self.clock.running();
        if !self.is_shown || now.saturating_sub(self.drawn) < PERIOD {
            return;
        }
        self.drawn = now;
        let took = now.saturating_sub(self.begun);
        let line = line(self.done_bytes, self.total_bytes, took, &self.what);
        // Who has closed the terminal does not read it.
        write!(io::stderr(), "\r{line}\x1b[K").ok();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            write!(io::stderr(), "\r\x1b[K").ok();
        }
    }
}

fn line(done: u64, total: u64, took: Duration, what: &str) -> String {
    let filled = (done * BAR).checked_div(total).unwrap_or(0).min(BAR);
    let bar: String = (0..BAR).map(|cell| if cell < filled { '#' } else { '.' }).collect();
    let second =
        bytes(u64::try_from(u128::from(done) * 1000 / took.as_millis().max(1)).unwrap_or(0));
    let left = u128::from(total.saturating_sub(done)) * took.as_millis() / u128::from(done.max(1));
    let left = Duration::from_secs(u64::try_from(left / 1000).unwrap_or(u64::MAX));
    let left =
        if done == 0 { "?".to_owned() } else { humantime::format_duration(left).to_string() };
    format!("[{bar}] {} of {}, {second}/s, {left} left: {what}", bytes(done), bytes(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_and_how_long() {
        let line = |done, took| line(done, 4 << 20, Duration::from_secs(took), "acme");
        assert_eq!(
            line(1 << 20, 2),
            "[######..................] 1.0 MiB of 4.0 MiB, 512.0 KiB/s, 6s left: acme"
        );
        assert!(line(0, 0).contains("? left"), "{}", line(0, 0));
        assert!(super::line(9, 0, Duration::ZERO, "").contains("[....."), "more than was expected");
    }
}
