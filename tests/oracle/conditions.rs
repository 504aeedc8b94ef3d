//! Random expressions: conditions, attributes, literals, arithmetic.

use crate::dice::Dice;
use crate::generate::{EVENT_NAMES, MESSAGES, NAMES, SERVICES, TEXTS, trace_id};
use crate::questions::Writer;

/// What kind of value an attribute has, mostly.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Family {
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
pub(crate) const ORDERINGS: [&str; 6] = ["=", "!=", "<", "<=", ">", ">="];
impl Writer<'_> {
    /// Something that is true or false.
    pub(crate) fn condition(&mut self, depth: u64) -> String {
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
                53..59 => return self.of_one_child(),
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

    /// Two conditions that must hold of one event, or of one link.
    fn of_one_child(&mut self) -> String {
        let attributes: &[&str] = if self.0.percent(70) {
            &["event.s", "event.n", "event.a", "event:name"]
        } else {
            &["link.s", "link.n", "link.a"]
        };
        let mut test = || {
            let attribute = self.0.one_of(attributes);
            let family = if NUMBERS.contains(&attribute) { Family::Number } else { Family::Text };
            let op = self.0.one_of(&["=", "=", "!="]);
            format!("{attribute} {op} {}", self.literal(family, attribute))
        };
        let (lhs, rhs) = (test(), test());
        format!("({lhs} && {rhs})")
    }

    pub(crate) fn exists(&mut self) -> String {
        let what = if self.0.percent(15) { self.sum(1) } else { self.any_attribute() };
        match self.0.below(6) {
            0 => format!("nil != {what}"),
            1 => format!("nil = {what}"),
            2 | 3 => format!("{what} = nil"),
            _ => format!("{what} != nil"),
        }
    }

    pub(crate) fn any_attribute(&mut self) -> String {
        let family = self.family();
        self.attribute(family).to_owned()
    }

    pub(crate) fn family(&mut self) -> Family {
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

    pub(crate) fn attribute(&mut self, family: Family) -> &'static str {
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

    pub(crate) fn comparison(&mut self) -> String {
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

    pub(crate) fn pattern(&mut self) -> &'static str {
        self.0.one_of(&[
            "x", "x|y", ".*", "x.*", "[xy]+", "get", "get.*", ".+", "f.*t", "(a|b)", "b.*", "",
            "[0-9]", "nil|z", ".*000.*", "d?b?", "[^x]*",
        ])
    }

    pub(crate) fn literal(&mut self, family: Family, attribute: &str) -> String {
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

    pub(crate) fn number(&mut self, is_place: bool) -> String {
        if is_place {
            return self.0.one_of(&["0", "1", "-1", "2", "4", "6", "3.5"]).to_owned();
        }
        // The least and the greatest that the data has are among them: pruning must keep both.
        let usual =
            ["0", "1", "2", "3", "-1", "2.5", "1.0", "-1.5", "0.5", "4", "2", "-3", "-2.5", "100"];
        let rare = ["9007199254740993", "9007199254740992.0", "minInt", "maxInt", "1s"];
        if self.0.percent(85) { self.0.one_of(&usual) } else { self.0.one_of(&rare) }.to_owned()
    }

    pub(crate) fn time(&mut self) -> String {
        let times = [
            "1s", "100ms", "300ms", "0s", "1ns", "1.5s", "20s", "10ms", "1000000", "1e9", "1m5s",
            "65540ms", "65540ms", "65540ms", "65540ms",
        ];
        self.0.one_of(&times).to_owned()
    }

    pub(crate) fn word(&mut self, attribute: &str) -> String {
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
    pub(crate) fn sum(&mut self, depth: u64) -> String {
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
}
