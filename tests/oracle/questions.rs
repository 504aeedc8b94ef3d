//! Random questions: the text of a query, typed well enough that most are accepted, and what is asked besides.

use crate::dice::Dice;
use crate::generate::{
    BEGIN, EVENT_NAMES, MESSAGES, MILLI, NAMES, SECOND, SERVICES, TEXTS, trace_id,
};

/// What is asked besides the query. Times in Unix nanoseconds.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Search { window: (u64, u64), limit: usize, spans_per_spanset: usize },
    Range { start: u64, end: u64, step: u64, exemplars: usize },
    Instant { start: u64, end: u64 },
}

/// What kind of value an attribute has, mostly.
#[derive(Clone, Copy, PartialEq)]
enum Family {
    Number,
    Time,
    Text,
    Boolean,
    Status,
    Kind,
    Mixed,
}

const NUMBERS: [&str; 12] = [
    "span.n",
    ".n",
    "span.m",
    ".m",
    "resource.n",
    "event.n",
    "link.n",
    "span.u",
    "span:childCount",
    "nestedSetLeft",
    "nestedSetRight",
    "nestedSetParent",
];
const TIMES: [&str; 5] =
    ["duration", "span:duration", "traceDuration", "trace:duration", "event:timeSinceStart"];
const WORDS: [&str; 28] = [
    "name",
    "span:name",
    "statusMessage",
    "span:statusMessage",
    "rootName",
    "trace:rootName",
    "rootServiceName",
    "trace:rootService",
    "span.s",
    ".s",
    "resource.s",
    "event.s",
    "link.s",
    "instrumentation.s",
    "resource.service.name",
    ".service.name",
    "event:name",
    "instrumentation:name",
    "instrumentation:version",
    "span.t",
    ".t",
    "event.t",
    "span.http.method",
    ".name",
    "trace:id",
    "span:id",
    "span:parentID",
    "link:traceID",
];
const BOOLEANS: [&str; 4] = ["span.f", ".f", "resource.f", "event.f"];
const MIXED: [&str; 9] = [
    ".a",
    "span.a",
    "resource.a",
    "event.a",
    "link.a",
    "instrumentation.a",
    "span.odd",
    "span.u",
    "span.nowhere",
];
const ORDERINGS: [&str; 6] = ["=", "!=", "<", "<=", ">", ">="];
const SPANSET_OPS: [&str; 15] =
    [">", "<", ">>", "<<", "~", "!>", "!<", "!>>", "!<<", "!~", "&>", "&<", "&>>", "&<<", "&~"];

/// Writes questions.
pub(crate) struct Writer<'a>(pub(crate) &'a mut Dice);

impl Writer<'_> {
    /// The text of a query, and what is asked besides.
    pub(crate) fn question(&mut self) -> (String, Ask) {
        let (mut text, ask) = if self.0.percent(62) {
            (self.search(), self.search_ask())
        } else {
            (self.metrics(), self.metrics_ask())
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
        for _ in 0..1 + self.0.below(3) {
            let stage = match self.0.below(10) {
                0..4 => self.scalar(),
                4..7 => self.group(),
                7 => self.select(),
                8 => self.spansets(1),
                _ => "coalesce()".to_owned(),
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
        match self.0.below(8) {
            0 => "&&",
            1 => "||",
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

    /// Something that is true or false.
    fn condition(&mut self, depth: u64) -> String {
        if depth > 0 {
            match self.0.below(100) {
                0..38 => {
                    let op = self.0.one_of(&["&&", "&&", "||"]);
                    let (lhs, rhs) = (self.condition(depth - 1), self.condition(depth - 1));
                    return match self.0.below(4) {
                        0 => format!("{lhs} {op} {rhs}"),
                        1 => format!("({lhs}) {op} {rhs}"),
                        2 => format!("{lhs} {op} ({rhs})"),
                        _ => format!("({lhs}) {op} ({rhs})"),
                    };
                }
                38..48 => return format!("!({})", self.condition(depth - 1)),
                48..51 => {
                    let inside = self.condition(depth - 1);
                    let op = self.0.one_of(&["=", "!="]);
                    let value = self.0.one_of(&["true", "false", "span.f", "event.f"]);
                    return format!("({inside}) {op} {value}");
                }
                51..53 => {
                    let inside = self.condition(depth - 1);
                    return format!("({inside}) {} nil", self.0.one_of(&["=", "!="]));
                }
                _ => {}
            }
        }
        match self.0.below(100) {
            0..10 => self.exists(),
            10..14 => self.0.one_of(&BOOLEANS).to_owned(),
            14..16 => format!("!{}", self.0.one_of(&BOOLEANS)),
            16..17 => format!("!!{}", self.0.one_of(&BOOLEANS)),
            17..18 => {
                self.0.one_of(&["true", "false", ".a", "!.a", "1 = 1", "2 ^ 3 = 8"]).to_owned()
            }
            18..24 => {
                format!("{} {} {}", self.sum(2), self.0.one_of(&ORDERINGS), self.number(false))
            }
            24..27 => format!("{} {} {}", self.sum(1), self.0.one_of(&ORDERINGS), self.sum(1)),
            _ => self.comparison(),
        }
    }

    fn exists(&mut self) -> String {
        let what = if self.0.percent(15) { self.sum(1) } else { self.any_attribute() };
        match self.0.below(6) {
            0 => format!("nil != {what}"),
            1 => format!("nil = {what}"),
            2 | 3 => format!("{what} = nil"),
            _ => format!("{what} != nil"),
        }
    }

    fn any_attribute(&mut self) -> String {
        let family = self.family();
        self.attribute(family).to_owned()
    }

    fn family(&mut self) -> Family {
        self.0.one_of(&[
            Family::Number,
            Family::Number,
            Family::Time,
            Family::Text,
            Family::Text,
            Family::Text,
            Family::Boolean,
            Family::Status,
            Family::Kind,
            Family::Mixed,
            Family::Mixed,
        ])
    }

    fn attribute(&mut self, family: Family) -> &'static str {
        match family {
            Family::Number => self.0.one_of(&NUMBERS),
            Family::Time => self.0.one_of(&TIMES),
            Family::Text if self.0.percent(3) => "link:spanID",
            Family::Text => self.0.one_of(&WORDS),
            Family::Boolean => self.0.one_of(&BOOLEANS),
            Family::Status => self.0.one_of(&["status", "span:status"]),
            Family::Kind => self.0.one_of(&["kind", "span:kind"]),
            Family::Mixed => self.0.one_of(&MIXED),
        }
    }

    fn comparison(&mut self) -> String {
        let family = self.family();
        let attribute = self.attribute(family);
        // A literal for a mixed attribute may be of any type; now and then for the others, too.
        let of = match family {
            Family::Mixed => self.family(),
            family => family,
        };
        let of = if of == Family::Mixed { Family::Text } else { of };
        let op = match of {
            Family::Boolean | Family::Status | Family::Kind => self.0.one_of(&["=", "!="]),
            Family::Text if self.0.percent(35) => {
                let op = self.0.one_of(&["=~", "!~"]);
                return format!("{attribute} {op} \"{}\"", self.pattern());
            }
            _ => self.0.one_of(&ORDERINGS),
        };
        let other = if self.0.percent(12) {
            self.attribute(family).to_owned()
        } else {
            self.literal(of, attribute)
        };
        match self.0.below(6) {
            0 => format!("{other} {op} {attribute}"),
            _ => format!("{attribute} {op} {other}"),
        }
    }

    fn pattern(&mut self) -> &'static str {
        self.0.one_of(&[
            "x", "x|y", ".*", "x.*", "[xy]+", "get", "get.*", ".+", "f.*t", "(a|b)", "b.*", "",
            "[0-9]", "nil|z", ".*000.*", "d?b?", "[^x]*",
        ])
    }

    fn literal(&mut self, family: Family, attribute: &str) -> String {
        match family {
            Family::Number | Family::Mixed => self.number(attribute.starts_with("nestedSet")),
            Family::Time => self.time(),
            Family::Text => format!("\"{}\"", self.word(attribute)),
            Family::Boolean => self.0.one_of(&["true", "false"]).to_owned(),
            Family::Status => self.0.one_of(&["error", "ok", "unset"]).to_owned(),
            Family::Kind => self
                .0
                .one_of(&["unspecified", "internal", "client", "server", "producer", "consumer"])
                .to_owned(),
        }
    }

    fn number(&mut self, is_place: bool) -> String {
        if is_place {
            return self.0.one_of(&["0", "1", "-1", "2", "4", "6", "3.5"]).to_owned();
        }
        let usual = ["0", "1", "2", "3", "-1", "2.5", "1.0", "-1.5", "0.5", "4", "2"];
        let rare = ["9007199254740993", "9007199254740992.0", "minInt", "maxInt", "100", "1s"];
        if self.0.percent(85) { self.0.one_of(&usual) } else { self.0.one_of(&rare) }.to_owned()
    }

    fn time(&mut self) -> String {
        let times =
            ["1s", "100ms", "300ms", "0s", "1ns", "1.5s", "20s", "10ms", "1000000", "1e9", "1m5s"];
        self.0.one_of(&times).to_owned()
    }

    fn word(&mut self, attribute: &str) -> String {
        let id = |dice: &mut Dice| dice.below(8) * 16 + 1 + dice.below(4);
        let words: &[&str] = match attribute {
            "trace:id" | "link:traceID" if self.0.percent(20) => {
                return format!("{:032X}", trace_id(self.0.below(8)));
            }
            "trace:id" | "link:traceID" => return format!("{:x}", trace_id(self.0.below(8))),
            "span:id" | "span:parentID" | "link:spanID" if self.0.percent(60) => {
                return format!("{:016x}", id(self.0));
            }
            "span:id" | "span:parentID" | "link:spanID" if self.0.percent(60) => {
                return format!("{:X}", id(self.0));
            }
            "span:parentID" => &["0000000000000000", "000000000000abc0"],
            "name" | "span:name" | "rootName" | "trace:rootName" => &NAMES,
            "statusMessage" | "span:statusMessage" => &MESSAGES,
            "rootServiceName" | "trace:rootService" | "resource.service.name" | ".service.name" => {
                &SERVICES
            }
            "event:name" => &EVENT_NAMES,
            "instrumentation:name" => &["", "lib", "x"],
            "instrumentation:version" => &["", "1", "2"],
            _ => &TEXTS,
        };
        self.0.one_of(words).to_owned()
    }

    /// Something that is a number.
    fn sum(&mut self, depth: u64) -> String {
        if depth == 0 || self.0.percent(15) {
            return match self.0.below(10) {
                0..4 => self.attribute(Family::Number).to_owned(),
                4 => self.attribute(Family::Time).to_owned(),
                5 => self.attribute(Family::Mixed).to_owned(),
                6 => "span.m".to_owned(),
                _ => self.number(false),
            };
        }
        if self.0.percent(15) {
            return format!("-({})", self.sum(depth - 1));
        }
        let (lhs, rhs) = (self.sum(depth - 1), self.sum(depth - 1));
        let op = self.0.one_of(&["+", "-", "*", "/", "%", "^"]);
        if self.0.percent(60) { format!("({lhs} {op} {rhs})") } else { format!("{lhs} {op} {rhs}") }
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
        if self.0.percent(30) {
            return format!("count() {op} {}", self.0.one_of(&["0", "1", "2", "3", "2.5", "5"]));
        }
        let function = self.0.one_of(&["min", "max", "avg", "sum"]);
        let (argument, bound) = match self.0.below(10) {
            0..3 => (self.attribute(Family::Time).to_owned(), self.time()),
            3..7 => (self.attribute(Family::Number).to_owned(), self.number(false)),
            7 => (self.attribute(Family::Mixed).to_owned(), self.number(false)),
            _ => (self.sum(1), self.number(false)),
        };
        format!("{function}({argument}) {op} {bound}")
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
            stage += &format!(" by ({})", by.join(", "));
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
