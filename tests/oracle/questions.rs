//! Random questions: the text of a query, typed well enough that most are accepted, and what is asked besides.

use crate::conditions::{Family, ORDERINGS};
use crate::dice::Dice;
use crate::generate::{BEGIN, MILLI, SECOND};

/// What is asked besides the query. Times in Unix nanoseconds.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Search { window: (u64, u64), limit: usize, spans_per_spanset: usize },
    Range { start: u64, end: u64, step: u64, exemplars: usize },
    Instant { start: u64, end: u64 },
}

const SPANSET_OPS: [&str; 15] =
    [">", "<", ">>", "<<", "~", "!>", "!<", "!>>", "!<<", "!~", "&>", "&<", "&>>", "&<<", "&~"];

/// Writes questions.
pub(crate) struct Writer<'a>(pub(crate) &'a mut Dice);

impl Writer<'_> {
    /// The text of a query, and what is asked besides.
    pub(crate) fn question(&mut self) -> (String, Ask) {
        let (mut text, ask) = match self.0.below(100) {
            0..52 => (self.search(), self.search_ask()),
            52..60 => (self.ordered(), self.search_ask()),
            60..93 => (self.metrics(), self.metrics_ask()),
            _ => (self.arithmetic(2), self.metrics_ask()),
        };
        if self.0.percent(10) {
            text += self.0.one_of(&[
                " with (rootless=true)",
                " with (rootless=true)",
                " with (sample=true)",
                " with (exemplars=3)",
            ]);
        }
        (text, ask)
    }

    fn search_ask(&mut self) -> Ask {
        let window = if self.0.percent(85) {
            (BEGIN - 3600 * SECOND, BEGIN + 3600 * SECOND)
        } else {
            let start = BEGIN + self.0.below(60) * 500 * MILLI;
            (start, start + self.0.below(20) * 500 * MILLI)
        };
        let limit = if self.0.percent(90) { 1000 } else { 1 + self.0.place(4) };
        let spans_per_spanset = if self.0.percent(90) { 0 } else { 1 + self.0.place(4) };
        Ask::Search { window, limit, spans_per_spanset }
    }

    fn metrics_ask(&mut self) -> Ask {
        let start = match self.0.below(4) {
            0 => BEGIN,
            1 => BEGIN - 10 * SECOND,
            _ => BEGIN + self.0.below(100) * 250 * MILLI,
        };
        let end = start + (1 + self.0.below(280)) * 250 * MILLI;
        if self.0.percent(25) {
            return Ask::Instant { start, end };
        }
        let step = self.0.one_of(&[
            1000 * MILLI,
            1000 * MILLI,
            3000 * MILLI,
            7000 * MILLI,
            10_000 * MILLI,
            60_000 * MILLI,
            750 * MILLI,
        ]);
        Ask::Range { start, end, step, exemplars: self.0.one_of(&[0, 1, 4, 100]) }
    }

    fn search(&mut self) -> String {
        match self.0.below(20) {
            0 => self.wrapped(),
            1 => self.starting_otherwise(),
            2..9 => self.spansets(2),
            _ => self.pipeline(),
        }
    }

    /// A search that says which traces come first, or how many.
    fn ordered(&mut self) -> String {
        let mut text = self.search();
        if self.0.percent(75) {
            let key = match self.0.below(10) {
                0 | 1 => self.aggregate().0,
                2 => self.sum(1),
                3 => self.condition(0),
                _ => self.any_attribute(),
            };
            let direction = self.0.one_of(&["", " asc", " desc"]);
            text = format!("{text} | order by {key}{direction}");
        }
        if self.0.percent(60) {
            text = format!("{text} | limit {}", 1 + self.0.below(5));
        }
        text
    }

    /// Metrics queries and numbers with operators between them.
    fn arithmetic(&mut self, depth: u64) -> String {
        let (lhs, rhs) = match self.0.below(6) {
            0 => {
                (self.operand(depth), self.0.one_of(&["100", "2.5", "0", "2s", "7 / 2"]).to_owned())
            }
            1 => (self.0.one_of(&["1", "0.5", "1s"]).to_owned(), self.operand(depth)),
            _ => (self.operand(depth), self.operand(depth)),
        };
        let op = self.0.one_of(&["+", "-", "*", "/"]);
        let mut text = format!("{lhs} {op} {rhs}");
        if self.0.percent(30) {
            text += &self.second();
        }
        text
    }

    fn operand(&mut self, depth: u64) -> String {
        if depth > 1 && self.0.percent(15) {
            return format!("({})", self.arithmetic(depth - 1));
        }
        // Often the same groups, so that series have partners.
        let by = self.0.one_of(&["", "", " by (name)", " by (name)", " by (kind)", " by (span.m)"]);
        let function = self.0.one_of(&[
            "rate()",
            "count_over_time()",
            "sum_over_time(span.m)",
            "max_over_time(duration)",
            "histogram_over_time(duration)",
            "quantile_over_time(duration, 0.5)",
            "count_distinct_over_time(span.a)",
        ]);
        let second = if self.0.percent(15) { self.second() } else { String::new() };
        if self.0.percent(20) {
            return format!("({})", self.metrics());
        }
        format!("({} | {function}{by}{second})", self.filter(1))
    }

    /// A pipeline whose first stage is no spanset.
    fn starting_otherwise(&mut self) -> String {
        match self.0.below(3) {
            0 => self.scalar(),
            1 => format!("{} | {}", self.group(), self.scalar()),
            _ => format!("{} | {}", self.select(), self.filter(1)),
        }
    }

    fn pipeline(&mut self) -> String {
        let mut text = self.spansets(1);
        for _ in 0..=self.0.below(3) {
            let stage = match self.0.below(12) {
                0..5 => self.scalar(),
                5..8 => self.group(),
                8 => self.select(),
                9 => self.spansets(1),
                10 => "coalesce()".to_owned(),
                _ => "traces()".to_owned(),
            };
            text = format!("{text} | {stage}");
        }
        text
    }

    /// Pipelines as operands. The leftmost must have two stages.
    fn wrapped(&mut self) -> String {
        let (lhs, rhs) = (self.pipeline(), self.pipeline());
        let op = self.spanset_op();
        if self.0.percent(30) {
            let (third, other) = (self.spansets(1), self.spanset_op());
            return format!("({lhs}) {op} ({rhs}) {other} ({third})");
        }
        format!("({lhs}) {op} ({rhs})")
    }

    fn spanset_op(&mut self) -> &'static str {
        match self.0.below(10) {
            0 => "&&",
            1 => "||",
            2 => "without",
            _ => self.0.one_of(&SPANSET_OPS),
        }
    }

    fn spansets(&mut self, depth: u64) -> String {
        if depth == 0 || self.0.percent(35) {
            return self.filter(2);
        }
        let (lhs, rhs) = (self.spansets(depth - 1), self.spansets(depth - 1));
        let op = self.spanset_op();
        match self.0.below(3) {
            0 => format!("({lhs}) {op} {rhs}"),
            1 => format!("{lhs} {op} ({rhs})"),
            _ => format!("{lhs} {op} {rhs}"),
        }
    }

    /// Half of them keep many spans, so that there is something to relate.
    fn filter(&mut self, depth: u64) -> String {
        if self.0.percent(45) {
            let wide = [
                "{}",
                "{ true }",
                "{ status = error }",
                "{ status != ok }",
                "{ kind = server }",
                "{ kind != client }",
                "{ name = \"get\" }",
                "{ name != \"put\" }",
                "{ span.f != nil }",
                "{ resource.service.name = \"front\" }",
                "{ duration > 10ms }",
                "{ nestedSetParent < 0 }",
                "{ span.m > 0 }",
            ];
            return self.0.one_of(&wide).to_owned();
        }
        format!("{{ {} }}", self.condition(depth))
    }

    fn group(&mut self) -> String {
        let by = match self.0.below(10) {
            0 => self.condition(1),
            1 => self.sum(1),
            2 | 3 => self.0.one_of(&["name", "kind", "status", "resource.service.name"]).to_owned(),
            _ => self.any_attribute(),
        };
        format!("by({by})")
    }

    fn select(&mut self) -> String {
        let attributes: Vec<String> = (0..=self.0.below(3)).map(|_| self.any_attribute()).collect();
        format!("select({})", attributes.join(", "))
    }

    fn scalar(&mut self) -> String {
        let op = self.0.one_of(&ORDERINGS);
        let (aggregate, bound) = self.aggregate();
        format!("{aggregate} {op} {bound}")
    }

    /// And a number with which it may be compared.
    fn aggregate(&mut self) -> (String, String) {
        match self.0.below(10) {
            0..3 => {
                let bound = self.0.one_of(&["0", "1", "2", "3", "2.5", "5"]);
                return ("count()".to_owned(), bound.to_owned());
            }
            3 => {
                let bound = self.0.one_of(&["0", "1", "2", "3"]).to_owned();
                return (format!("count_distinct({})", self.any_attribute()), bound);
            }
            _ => {}
        }
        let function = self.0.one_of(&["min", "max", "avg", "sum"]);
        let (argument, bound) = match self.0.below(10) {
            0..3 => (self.attribute(Family::Time).to_owned(), self.time()),
            3..7 => (self.attribute(Family::Number).to_owned(), self.number(false)),
            7 => (self.attribute(Family::Mixed).to_owned(), self.number(false)),
            _ => (self.sum(1), self.number(false)),
        };
        (format!("{function}({argument})"), bound)
    }

    fn metrics(&mut self) -> String {
        let pipeline = match self.0.below(10) {
            0..3 => "{}".to_owned(),
            3..6 => self.filter(1),
            6..8 => self.spansets(1),
            _ => self.pipeline(),
        };
        if self.0.percent(10) {
            return format!("{pipeline} | {}", self.compare());
        }
        let functions = ["rate", "count_over_time"];
        let measures = [
            "min_over_time",
            "max_over_time",
            "sum_over_time",
            "avg_over_time",
            "histogram_over_time",
            "quantile_over_time",
            "count_distinct_over_time",
        ];
        let mut most = 5;
        let mut stage = if self.0.percent(25) {
            format!("{}()", self.0.one_of(&functions))
        } else {
            let function = self.0.one_of(&measures);
            if matches!(function, "avg_over_time" | "histogram_over_time" | "quantile_over_time") {
                most = 4;
            }
            let quantiles =
                if function == "quantile_over_time" { self.quantiles() } else { String::new() };
            format!("{function}({}{quantiles})", self.measured())
        };
        if self.0.percent(60) {
            let count = self.0.one_of(&[1, 1, 1, 2, 2, 3, most]);
            let by: Vec<String> = (0..count).map(|_| self.any_attribute()).collect();
            stage = format!("{stage} by ({})", by.join(", "));
        }
        while self.0.percent(40) {
            stage += &self.second();
        }
        format!("{pipeline} | {stage}")
    }

    fn measured(&mut self) -> &'static str {
        match self.0.below(10) {
            0..3 => "duration",
            3 => self.attribute(Family::Time),
            4 => self.attribute(Family::Mixed),
            5 => self.attribute(Family::Text),
            6 | 7 => "span.m",
            _ => self.attribute(Family::Number),
        }
    }

    fn quantiles(&mut self) -> String {
        let all = ["0", "0.5", ".9", "0.99", "1"];
        (0..=self.0.below(2)).fold(String::new(), |text, _| text + ", " + self.0.one_of(&all))
    }

    fn second(&mut self) -> String {
        match self.0.below(5) {
            0 => format!(" | topk({})", 1 + self.0.below(4)),
            1 => format!(" | bottomk({})", 1 + self.0.below(4)),
            _ => {
                let bounds = ["0", "1", "2", "0.5", "-1", "100ms", "1s", "0.3", "1.5"];
                format!(" {} {}", self.0.one_of(&ORDERINGS), self.0.one_of(&bounds))
            }
        }
    }

    fn compare(&mut self) -> String {
        let selection = self.filter(1);
        match self.0.below(4) {
            0 => format!("compare({selection})"),
            1 | 2 => format!("compare({selection}, {})", 1 + self.0.below(4)),
            _ => {
                let start = BEGIN + self.0.below(60) * SECOND;
                let end = start + (1 + self.0.below(30)) * SECOND;
                format!("compare({selection}, {}, {start}, {end})", 1 + self.0.below(9))
            }
        }
    }
}
