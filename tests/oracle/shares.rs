//! How much of the language a run has tried.

use std::collections::BTreeMap;
use std::fmt;

use crate::answers::{Answer, Question};
use crate::mentions;

/// From so many cases on a share means something.
const CASES_MIN: u64 = 3000;

/// Counts of a run.
#[derive(Default)]
pub(crate) struct Shares {
    pub(crate) cases: u64,
    /// Texts that are no valid queries.
    pub(crate) refused: u64,
    /// Queries that are not asked yet.
    pub(crate) pending: u64,
    found: u64,
    split: u64,
    words: BTreeMap<String, u64>,
}

impl Shares {
    pub(crate) fn add(&mut self, question: &Question, answer: &Answer, splits: bool) {
        self.cases += 1;
        self.found += u64::from(!answer.lines.is_empty());
        self.split += u64::from(splits);
        for word in mentions::of(&question.tree).words {
            *self.words.entry(word).or_default() += 1;
        }
    }

    /// Answers that are never empty, traces that are never split and operators that are never used prove nothing.
    pub(crate) fn check(&self) {
        if self.cases < CASES_MIN {
            return;
        }
        assert!(self.percent(self.found) >= 30.0, "too few answers have something");
        assert!(self.percent(self.split) >= 30.0, "too few traces are split");
        for (word, count) in &self.words {
            let is_asked = !word.starts_with("intrinsic") && !word.starts_with("hint");
            assert!(!is_asked || self.percent(*count) >= 1.0, "{word} is too rare");
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "shares are rounded anyway")]
    fn percent(&self, count: u64) -> f64 {
        count as f64 * 100.0 / self.cases as f64
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cases, refused, pending, found, split, words } = self;
        writeln!(f, "{cases} cases, {refused} more texts refused, {pending} not asked yet")?;
        writeln!(
            f,
            "{:.1} % not empty, {:.1} % with split traces",
            self.percent(*found),
            self.percent(*split)
        )?;
        for (word, count) in words {
            writeln!(f, "{:5.1} % {word}", self.percent(*count))?;
        }
        Ok(())
    }
}
