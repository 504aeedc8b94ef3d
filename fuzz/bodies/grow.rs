//! Queries grown from bytes: each byte is one choice, so that a mutated byte is another query, mostly a valid one.

/// The text that a fuzz input stands for: itself, or, behind a byte that no text has, the query that its bytes grow to.
pub(crate) fn text(data: &[u8]) -> Option<String> {
    match data.split_first() {
        Some((&GROWN, choices)) => Some(grown(choices)),
        _ => std::str::from_utf8(data).ok().map(str::to_owned),
    }
}

/// First byte of an input that is grown.
pub(crate) const GROWN: u8 = 0xff;

/// The query of some choices. Where they end, the first of all possibilities is taken, which is always a short one.
pub(crate) fn grown(choices: &[u8]) -> String {
    let mut grower = Grower { choices, left: NODES_MAX };
    let mut text = String::new();
    grower.query(&mut text);
    text
}

/// Most choices that make a query longer: what is larger is slow to evaluate and says no more.
const NODES_MAX: usize = 60;

/// Of one type each, so that comparisons are mostly valid; all are in the data that the target `evaluate` asks.
const TEXTS: &[&str] = &[
    "name",
    "span.http.method",
    ".http.method",
    "resource.service.name",
    ".service.name",
    "span.user.id",
    "span.tags",
    "span.odd",
    "span.nowhere",
    "resource.host",
    "resource.zones",
    "statusMessage",
    "rootName",
    "rootServiceName",
    "event:name",
    "event.exception.message",
    "link.relation",
    "link:spanID",
    "link:traceID",
    "instrumentation:name",
    "instrumentation:version",
    "instrumentation.library",
    "trace:id",
    "span:id",
    "span:parentID",
    "span.\"of \\\"one\\\" name\"",
];

const NUMBERS: &[&str] = &[
    "span.retries",
    "span.ratio",
    "span.http.status",
    ".http.status",
    "span.sizes",
    "span.odd",
    ".replicas",
    "resource.replicas",
    "event.attempt",
    "link.weight",
    "nestedSetLeft",
    "nestedSetRight",
    "nestedSetParent",
    "span:childCount",
    "span.nowhere",
];

const DURATIONS: &[&str] = &["duration", "trace:duration", "event:timeSinceStart"];

const BOOLEANS: &[&str] = &["span.cached", ".cached", "event.exception.escaped", "span.nowhere"];

const TEXT_VALUES: &[&str] = &[
    "\"GET\"",
    "\"\"",
    "\"red\"",
    "`service-3`",
    "\"exception\"",
    "\"größe\"",
    "\"user-449\"",
    "\"timeout\"",
    "\"0\"",
    "\"a\"",
];

const PATTERNS: &[&str] =
    &["`GET.*`", "\"\"", "\".*\"", "`[a-s].*`", "`service-[2-4]|red`", "`.*e`", "\"(?i)get\""];

const NUMBER_VALUES: &[&str] =
    &["1", "0", "-1", "404", "0.5", "2.0", "-0.0", "1e300", "maxInt", "minInt", "500.5", "3"];

const DURATION_VALUES: &[&str] = &["1s", "0s", "100ms", "1.5s", "40s", "5m", "1ns", "2562047h"];

const COMPARISONS: &[&str] = &["=", "!=", "<", "<=", ">", ">="];

const SPANSET_OPERATORS: &[&str] = &[
    "&&", "||", ">", ">>", "<", "<<", "~", "!>", "!>>", "!<", "!<<", "!~", "&>", "&>>", "&<",
    "&<<", "&~", "without", "without",
];

const AGGREGATES: &[&str] = &["max", "min", "avg", "sum", "count_distinct"];

const OVER_TIME: &[&str] =
    &["min_over_time", "max_over_time", "avg_over_time", "sum_over_time", "histogram_over_time"];

struct Grower<'a> {
    choices: &'a [u8],
    left: usize,
}

impl Grower<'_> {
    fn next(&mut self) -> usize {
        let Some((first, rest)) = self.choices.split_first() else { return 0 };
        self.choices = rest;
        usize::from(*first)
    }

    /// A number below `count`.
    fn below(&mut self, count: usize) -> usize {
        self.next() % count
    }

    /// A number below `count`, 0 when the query is large enough; the greater ones make it longer.
    fn longer(&mut self, count: usize) -> usize {
        let chosen = if self.left == 0 { 0 } else { self.below(count) };
        self.left = self.left.saturating_sub(usize::from(chosen > 0));
        chosen
    }

    fn one_of(&mut self, all: &[&'static str]) -> &'static str {
        all[self.below(all.len())]
    }

    fn put(&mut self, all: &[&'static str], out: &mut String) {
        out.push_str(self.one_of(all));
    }

    fn query(&mut self, out: &mut String) {
        match self.longer(8) {
            0..=2 => self.search(out),
            3 => {
                self.wrapped(out);
                self.order(out);
            }
            4 => self.arithmetic(out),
            _ => {
                self.pipeline(out);
                self.metrics(out);
            }
        }
        self.hints(out);
    }

    fn search(&mut self, out: &mut String) {
        self.pipeline(out);
        self.order(out);
    }

    fn order(&mut self, out: &mut String) {
        match self.longer(7) {
            1..=3 => {
                out.push_str(" | order by ");
                match self.below(4) {
                    0 => out.push_str("count()"),
                    1 => self.aggregate(out),
                    2 => self.number(out),
                    _ => self.attribute(out),
                }
                self.put(&["", " asc", " desc"], out);
                self.put(&["", " | limit 2"], out);
            }
            4 => out.push_str(" | limit 3"),
            _ => {}
        }
    }

    /// Of metrics queries and numbers.
    fn arithmetic(&mut self, out: &mut String) {
        self.series(out);
        out.push(' ');
        self.put(&["+", "-", "*", "/"], out);
        out.push(' ');
        match self.longer(4) {
            0 => self.put(&["2", "0", "-1", "0.5", "1s", "(3 / 2)"], out),
            1 => {
                out.push('(');
                self.arithmetic(out);
                out.push(')');
            }
            _ => self.series(out),
        }
        self.second(out);
    }

    fn series(&mut self, out: &mut String) {
        out.push('(');
        self.pipeline(out);
        self.metrics(out);
        out.push(')');
    }

    /// Pipelines as operands: they stand alone.
    fn wrapped(&mut self, out: &mut String) {
        for side in 0..2 {
            if side == 1 {
                out.push(' ');
                self.put(SPANSET_OPERATORS, out);
                out.push(' ');
            }
            out.push('(');
            if self.longer(5) == 1 {
                self.wrapped(out);
            } else {
                self.pipeline(out);
                out.push_str(" | ");
                self.scalar(out);
            }
            out.push(')');
        }
    }

    fn pipeline(&mut self, out: &mut String) {
        self.spansets(out);
        for _ in 0..self.longer(4) {
            out.push_str(" | ");
            self.stage(out);
        }
    }

    fn stage(&mut self, out: &mut String) {
        match self.longer(9) {
            1 => self.spansets(out),
            2 => self.scalar(out),
            3 => {
                out.push_str("by(");
                self.value(out);
                out.push(')');
            }
            4 => {
                out.push_str("select(");
                self.attributes(out);
                out.push(')');
            }
            5 => out.push_str("coalesce()"),
            6 | 7 => out.push_str("traces()"),
            _ => out.push_str("{ }"),
        }
    }

    fn scalar(&mut self, out: &mut String) {
        match self.below(3) {
            0 => {
                out.push_str("count() ");
                self.compared_to(&["1", "2", "0", "5", "-1", "1.5"], out);
            }
            1 => {
                self.aggregate(out);
                out.push(' ');
                self.compared_to(NUMBER_VALUES, out);
            }
            _ => {
                self.put(AGGREGATES, out);
                out.push('(');
                self.put(DURATIONS, out);
                out.push_str(") ");
                self.compared_to(DURATION_VALUES, out);
            }
        }
    }

    fn aggregate(&mut self, out: &mut String) {
        let aggregate = self.one_of(AGGREGATES);
        out.push_str(aggregate);
        out.push('(');
        if aggregate == "count_distinct" {
            self.value(out);
        } else {
            self.number(out);
        }
        out.push(')');
    }

    fn compared_to(&mut self, values: &[&'static str], out: &mut String) {
        self.put(COMPARISONS, out);
        out.push(' ');
        self.put(values, out);
    }

    fn spansets(&mut self, out: &mut String) {
        match self.longer(6) {
            1 | 2 => {
                out.push('(');
                self.spansets(out);
                out.push_str(") ");
                self.put(SPANSET_OPERATORS, out);
                out.push_str(" (");
                self.spansets(out);
                out.push(')');
            }
            _ => {
                out.push_str("{ ");
                self.condition(out);
                out.push_str(" }");
            }
        }
    }

    fn condition(&mut self, out: &mut String) {
        match self.longer(12) {
            0 => out.push_str("true"),
            1..=3 => {
                out.push('(');
                self.condition(out);
                out.push_str([") && (", ") || (", ") = (", ") != ("][self.below(4)]);
                self.condition(out);
                out.push(')');
            }
            4 => {
                out.push_str("!(");
                self.condition(out);
                out.push(')');
            }
            5 => {
                self.named(out);
                out.push_str([" = nil", " != nil"][self.below(2)]);
            }
            6 => self.put(BOOLEANS, out),
            7 => self.text_test(out),
            8 => self.duration_test(out),
            9 => {
                out.push_str(["status", "span:status"][self.below(2)]);
                out.push_str([" = ", " != "][self.below(2)]);
                self.put(&["error", "ok", "unset"], out);
            }
            10 => {
                out.push_str(["kind = ", "kind != "][self.below(2)]);
                let kinds = ["server", "client", "internal", "producer", "consumer", "unspecified"];
                self.put(&kinds, out);
            }
            _ => {
                self.number(out);
                out.push(' ');
                self.put(COMPARISONS, out);
                out.push(' ');
                self.number(out);
            }
        }
    }

    fn text_test(&mut self, out: &mut String) {
        match self.below(5) {
            0 => {
                self.put(TEXT_VALUES, out);
                out.push(' ');
                self.compared_to(TEXTS, out);
            }
            1 => {
                self.put(TEXTS, out);
                out.push(' ');
                self.compared_to(TEXTS, out);
            }
            2 => {
                self.put(TEXTS, out);
                out.push_str([" =~ ", " !~ "][self.below(2)]);
                self.put(PATTERNS, out);
            }
            _ => {
                self.put(TEXTS, out);
                out.push(' ');
                self.compared_to(TEXT_VALUES, out);
            }
        }
    }

    fn duration_test(&mut self, out: &mut String) {
        self.put(DURATIONS, out);
        match self.below(4) {
            0 => out.push_str(" / 2"),
            1 => out.push_str(" % 1000"),
            _ => {}
        }
        out.push(' ');
        self.compared_to(DURATION_VALUES, out);
    }

    fn number(&mut self, out: &mut String) {
        match self.longer(6) {
            1 => {
                out.push('(');
                self.number(out);
                out.push(' ');
                self.put(&["+", "-", "*", "/", "%", "^"], out);
                out.push(' ');
                self.number(out);
                out.push(')');
            }
            2 => {
                out.push_str("-(");
                self.number(out);
                out.push(')');
            }
            3 => self.put(NUMBER_VALUES, out),
            _ => self.put(NUMBERS, out),
        }
    }

    /// Something to group by or to ask for.
    fn value(&mut self, out: &mut String) {
        match self.below(3) {
            1 => self.number(out),
            _ => self.attribute(out),
        }
    }

    fn attribute(&mut self, out: &mut String) {
        let kinds = [TEXTS, NUMBERS, DURATIONS, BOOLEANS, &["status", "kind"]];
        let kind = kinds[self.below(kinds.len())];
        self.put(kind, out);
    }

    /// An attribute that may be missing.
    fn named(&mut self, out: &mut String) {
        let start = out.len();
        self.attribute(out);
        if !out.get(start..).is_some_and(|added| added.contains('.')) {
            out.truncate(start);
            out.push_str("span.http.method");
        }
    }

    fn attributes(&mut self, out: &mut String) {
        self.attribute(out);
        for _ in 0..self.longer(4) {
            out.push_str(", ");
            self.attribute(out);
        }
    }

    fn metrics(&mut self, out: &mut String) {
        out.push_str(" | ");
        match self.below(7) {
            0 => out.push_str("rate()"),
            1 => out.push_str("count_over_time()"),
            2 => return self.compare(out),
            3 => {
                out.push_str("quantile_over_time(");
                self.measured(out);
                out.push_str([", 0.5)", ", 0.9, 0.5)", ", 0)", ", 1.0, 0.99, 0)"][self.below(4)]);
            }
            4 => {
                out.push_str("count_distinct_over_time(");
                self.attribute(out);
                out.push(')');
            }
            _ => {
                self.put(OVER_TIME, out);
                out.push('(');
                self.measured(out);
                out.push(')');
            }
        }
        if self.longer(3) > 0 {
            out.push_str(" by (");
            self.attributes(out);
            out.push(')');
        }
        self.second(out);
    }

    /// What is done with series.
    fn second(&mut self, out: &mut String) {
        for _ in 0..self.longer(3) {
            match self.below(4) {
                0 => out.push_str(" | topk(2)"),
                1 => out.push_str(" | bottomk(1)"),
                _ => {
                    out.push(' ');
                    self.compared_to(&["0", "1", "-1", "0.5", "1e9", "1s"], out);
                }
            }
        }
    }

    fn measured(&mut self, out: &mut String) {
        let kind = [DURATIONS, NUMBERS][self.below(2)];
        self.put(kind, out);
    }

    fn compare(&mut self, out: &mut String) {
        out.push_str("compare({ ");
        self.condition(out);
        out.push_str(
            [" })", " }, 3)", " }, 10, 1790000060000000000, 1790000300000000000)"][self.below(3)],
        );
    }

    fn hints(&mut self, out: &mut String) {
        match self.longer(8) {
            1 => out.push_str(" with (rootless=true)"),
            2 => out.push_str(" with (exemplars=3)"),
            3 => out.push_str(" with (exemplars=false, sample=true)"),
            _ => {}
        }
    }
}
