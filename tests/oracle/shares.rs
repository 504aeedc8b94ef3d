//! How much of the language a run has tried.

use std::collections::BTreeMap;
use std::fmt;

use traceql_grammar::ast::{AggregateOp, BinaryOp, Form, MetricsOp, Relation, SpansetOp};

use crate::answers::{Answer, Question};
use crate::mentions;

/// From so many cases on a share means something.
const CASES_MIN: u64 = 2500;

/// Counts of a run.
#[derive(Default)]
pub(crate) struct Shares {
    pub(crate) cases: u64,
    /// Texts that are no valid queries.
    pub(crate) refused: u64,
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
        for word in words() {
            let count = self.words.get(&word).copied().unwrap_or_default();
            assert!(self.percent(count) >= 1.0, "{word} is too rare");
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "shares are rounded anyway")]
    fn percent(&self, count: u64) -> f64 {
        count as f64 * 100.0 / self.cases as f64
    }
}

/// Every operator and function of the language.
fn words() -> Vec<String> {
    let mut all = Vec::new();
    let mut add = |what: &str, words: &[&str]| {
        all.extend(words.iter().map(|word| format!("{what} {word}")));
    };
    add("field", &BinaryOp::ALL.map(BinaryOp::symbol));
    add("field", &["= nil", "!= nil"]);
    add("unary", &["!", "-"]);
    add("spanset", &["&&", "||", "without"]);
    for relation in Relation::ALL {
        let symbols = [Form::Plain, Form::Negated, Form::Union]
            .map(|form| SpansetOp::Structural { relation, form }.symbol());
        add("spanset", &symbols);
    }
    add("aggregate", &AggregateOp::ALL.map(AggregateOp::as_str));
    add("scalar", &["=", "!=", "<", "<=", ">", ">="]);
    add("stage", &["by", "coalesce", "select", "traces", "(pipeline)"]);
    add("search", &["order by", "limit"]);
    add("metrics", &MetricsOp::ALL.map(MetricsOp::as_str));
    add("metrics", &["by", "compare"]);
    add("second", &["topk", "bottomk", "=", "!=", "<", "<=", ">", ">="]);
    add("arithmetic", &["+", "-", "*", "/"]);
    add("scope", &["None", "Span", "Resource", "Event", "Link", "Instrumentation"]);
    all
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cases, refused, found, split, words } = self;
        writeln!(f, "{cases} cases, {refused} more texts refused")?;
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
