//! Values and the operators between two of them, as the rules say it and not as it would be fast.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;

use regex::Regex;
use traceql_grammar::ast::{BinaryOp, Kind, Static, Status, UnaryOp};

use crate::model::Any;

/// What an expression has for a span.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Val {
    /// Missing.
    Nil,
    Int(i64),
    Float(f64),
    Text(String),
    Bool(bool),
    /// Nanoseconds.
    Duration(i64),
    /// By the language's numbers: error 0, ok 1, unset 2.
    Status(i64),
    /// By the language's numbers: unspecified 0, internal 1, client 2, server 3, producer 4, consumer 5.
    Kind(i64),
    /// At least two, all of one scalar type.
    List(Vec<Val>),
    /// What the language has no operators for: bytes, lists of pairs, arrays of several types or of arrays.
    Other(Any),
}

impl Val {
    pub(crate) fn of_literal(literal: &Static) -> Self {
        match literal {
            Static::Nil => Self::Nil,
            Static::Int(value) => Self::Int(*value),
            Static::Float(value) => Self::Float(*value),
            Static::String(text) => Self::Text(text.clone()),
            Static::Bool(value) => Self::Bool(*value),
            Static::Duration(nanos) => Self::Duration(*nanos),
            Static::Status(status) => Self::Status(match status {
                Status::Error => 0,
                Status::Ok => 1,
                Status::Unset => 2,
            }),
            Static::Kind(kind) => Self::Kind(match kind {
                Kind::Unspecified => 0,
                Kind::Internal => 1,
                Kind::Client => 2,
                Kind::Server => 3,
                Kind::Producer => 4,
                Kind::Consumer => 5,
            }),
        }
    }

    /// An empty array is not there; an array of one is its element.
    pub(crate) fn of_sent(value: &Any) -> Self {
        match value {
            Any::Text(text) => Self::Text(text.clone()),
            Any::Int(value) => Self::Int(*value),
            Any::Double(value) => Self::Float(*value),
            Any::Bool(value) => Self::Bool(*value),
            Any::Map(_) | Any::Bytes(_) | Any::Unset => Self::Other(value.clone()),
            Any::List(items) if items.is_empty() => Self::Nil,
            Any::List(items) => {
                let scalars: Vec<Self> = items.iter().map(Self::of_sent).collect();
                let is_one_type = |item: &Self| {
                    (1..=4).contains(&item.type_rank())
                        && item.type_rank() == scalars[0].type_rank()
                };
                let has_lists = items.iter().any(|item| matches!(item, Any::List(_)));
                match &scalars[..] {
                    all if has_lists || !all.iter().all(is_one_type) => Self::Other(value.clone()),
                    [one] => one.clone(),
                    _ => Self::List(scalars),
                }
            }
        }
    }

    /// Nil < int < float < string < bool < arrays < duration < status < kind.
    pub(crate) fn type_rank(&self) -> u8 {
        match self {
            Self::Nil => 0,
            Self::Int(_) => 1,
            Self::Float(_) => 2,
            Self::Text(_) => 3,
            Self::Bool(_) => 4,
            Self::List(_) => 5,
            Self::Duration(_) => 6,
            Self::Status(_) => 7,
            Self::Kind(_) => 8,
            Self::Other(_) => 9,
        }
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Float(_) | Self::Duration(_))
    }

    /// A duration is its nanoseconds.
    #[expect(clippy::cast_precision_loss, reason = "mixed arithmetic is float arithmetic")]
    pub(crate) fn as_float(&self) -> Option<f64> {
        match self {
            Self::Int(value) | Self::Duration(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// As it stands in answers: what has no type of its own there is a text.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Nil => "\"nil\"".to_owned(),
            Self::Int(value) => format!("{value}"),
            Self::Float(value) => told_float(*value),
            Self::Text(text) => format!("{text:?}"),
            Self::Bool(value) => format!("{value}"),
            Self::Duration(_) | Self::Status(_) | Self::Kind(_) => format!("{:?}", self.word()),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::told).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Other(value) => told_other(value),
        }
    }

    /// Status, kind and durations as a text.
    pub(crate) fn word(&self) -> String {
        match self {
            Self::Duration(nanos) => duration_text(*nanos),
            Self::Status(code) => word(&["error", "ok", "unset"], "status", *code),
            Self::Kind(code) => {
                let words = ["unspecified", "internal", "client", "server", "producer", "consumer"];
                word(&words, "kind", *code)
            }
            other => panic!("{other:?} is not told by a word"),
        }
    }
}

/// A value for which the language has no type.
fn told_other(value: &Any) -> String {
    match value {
        Any::Bytes(bytes) => format!("bytes {bytes:?}"),
        Any::Map(entries) => {
            let told = |(key, value): &(String, Any)| format!("{key}: {}", told_other(value));
            format!("{{{}}}", entries.iter().map(told).collect::<Vec<_>>().join(", "))
        }
        Any::List(items) => {
            format!("[{}]", items.iter().map(told_other).collect::<Vec<_>>().join(", "))
        }
        Any::Unset => "unset".to_owned(),
        scalar => Val::of_sent(scalar).told(),
    }
}

/// A float, never to be taken for an int. The sign of zero does not count.
pub(crate) fn told_float(value: f64) -> String {
    if value == 0.0 { "0e0".to_owned() } else { format!("{value:e}") }
}

fn word(words: &[&str], what: &str, code: i64) -> String {
    let known = usize::try_from(code).ok().and_then(|place| words.get(place));
    known.map_or_else(|| format!("{what}({code})"), |word| (*word).to_owned())
}

/// As Go prints a duration: `1m30s`, `1.5s`, `250µs`, `0s`.
fn duration_text(nanos: i64) -> String {
    let (sign, nanos) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let text = match nanos {
        0 => "0s".to_owned(),
        1..1000 => format!("{nanos}ns"),
        1000..1_000_000 => format!("{}µs", decimal(nanos, 3)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(nanos, 6)),
        _ => {
            let (minutes, rest) = (nanos / 60_000_000_000, nanos % 60_000_000_000);
            let seconds = decimal(rest, 9);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

/// With so many places after the point, without zeros at the end.
fn decimal(value: u64, places: usize) -> String {
    let digits = format!("{value:0width$}", width = places + 1);
    let (whole, part) = digits.split_at(digits.len() - places);
    format!("{whole}.{part}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `lhs op rhs` for every operator but the logical ones, which also look at events.
pub(crate) fn binary(op: BinaryOp, lhs: &Val, rhs: &Val) -> Val {
    if op.is_arithmetic() { arithmetic(op, lhs, rhs) } else { Val::Bool(compare(op, lhs, rhs)) }
}

/// Nothing about a missing value is true. Of an array one element must fit, for `!=` and `!~`, too.
fn compare(op: BinaryOp, lhs: &Val, rhs: &Val) -> bool {
    match (lhs, rhs) {
        (Val::List(items), other) => items.iter().any(|item| compare(op, item, other)),
        (other, Val::List(items)) => items.iter().any(|item| compare(op, other, item)),
        (Val::Text(text), Val::Text(pattern)) if op == BinaryOp::Regex => matches(text, pattern),
        (Val::Text(text), Val::Text(pattern)) if op == BinaryOp::NotRegex => {
            !matches(text, pattern)
        }
        (Val::Text(lhs), Val::Text(rhs)) => ordered(op, Some(lhs.as_bytes().cmp(rhs.as_bytes()))),
        (lhs, rhs) if lhs.is_number() && rhs.is_number() => ordered(op, compare_numbers(lhs, rhs)),
        (Val::Bool(_), Val::Bool(_))
        | (Val::Status(_), Val::Status(_))
        | (Val::Kind(_), Val::Kind(_)) => match op {
            BinaryOp::Eq => lhs == rhs,
            BinaryOp::Ne => lhs != rhs,
            _ => false,
        },
        _ => false,
    }
}

/// Without an order, which only NaN lacks, just `!=` is true.
fn ordered(op: BinaryOp, order: Option<Ordering>) -> bool {
    match op {
        BinaryOp::Eq => order == Some(Ordering::Equal),
        BinaryOp::Ne => order != Some(Ordering::Equal),
        BinaryOp::Lt => order == Some(Ordering::Less),
        BinaryOp::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        BinaryOp::Gt => order == Some(Ordering::Greater),
        BinaryOp::Ge => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        _ => false,
    }
}

/// By value and exactly, whatever type they have; none with NaN.
pub(crate) fn compare_numbers(lhs: &Val, rhs: &Val) -> Option<Ordering> {
    match (lhs, rhs) {
        (Val::Float(lhs), Val::Float(rhs)) => lhs.partial_cmp(rhs),
        (Val::Float(float), Val::Int(int) | Val::Duration(int)) => {
            compare_int(*int, *float).map(Ordering::reverse)
        }
        (Val::Int(int) | Val::Duration(int), Val::Float(float)) => compare_int(*int, *float),
        (Val::Int(lhs) | Val::Duration(lhs), Val::Int(rhs) | Val::Duration(rhs)) => {
            Some(lhs.cmp(rhs))
        }
        _ => None,
    }
}

fn compare_int(int: i64, float: f64) -> Option<Ordering> {
    // 2^63: every int is less.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        return None;
    }
    if float >= BEYOND {
        return Some(Ordering::Less);
    }
    if float < -BEYOND {
        return Some(Ordering::Greater);
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is within the range of ints")]
    let whole = float.trunc() as i64;
    // 0 is compared with what is behind the point.
    Some(int.cmp(&whole).then_with(|| 0.0_f64.total_cmp(&(float.fract() + 0.0))))
}

/// The pattern must match the whole text; a point matches line ends, too.
fn matches(text: &str, pattern: &str) -> bool {
    thread_local! {
        static KNOWN: RefCell<HashMap<String, Regex>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        let compile = || Regex::new(&format!(r"\A(?s:{pattern})\z")).unwrap();
        known.entry(pattern.to_owned()).or_insert_with(compile).is_match(text)
    })
}

/// Two ints give an int that wraps; all other numbers are floats. Division of ints by zero and what is no number give nothing.
fn arithmetic(op: BinaryOp, lhs: &Val, rhs: &Val) -> Val {
    if let (Val::Int(lhs), Val::Int(rhs)) = (lhs, rhs) {
        return match op {
            BinaryOp::Add => Val::Int(lhs.wrapping_add(*rhs)),
            BinaryOp::Sub => Val::Int(lhs.wrapping_sub(*rhs)),
            BinaryOp::Mul => Val::Int(lhs.wrapping_mul(*rhs)),
            BinaryOp::Div | BinaryOp::Mod if *rhs == 0 => Val::Nil,
            BinaryOp::Div => Val::Int(lhs.wrapping_div(*rhs)),
            BinaryOp::Mod => Val::Int(lhs.wrapping_rem(*rhs)),
            BinaryOp::Pow => Val::Int(power(*lhs, *rhs)),
            _ => unreachable!("not arithmetic"),
        };
    }
    let (Some(lhs), Some(rhs)) = (lhs.as_float(), rhs.as_float()) else { return Val::Nil };
    match op {
        BinaryOp::Add => Val::Float(lhs + rhs),
        BinaryOp::Sub => Val::Float(lhs - rhs),
        BinaryOp::Mul => Val::Float(lhs * rhs),
        BinaryOp::Div => Val::Float(lhs / rhs),
        BinaryOp::Mod => Val::Float(lhs % rhs),
        BinaryOp::Pow => Val::Float(lhs.powf(rhs)),
        _ => unreachable!("not arithmetic"),
    }
}

/// Exact where it fits, else the nearest int; a negative exponent gives a fraction, of which the whole part stays.
fn power(base: i64, exponent: i64) -> i64 {
    let is_even = exponent % 2 == 0;
    match (base, exponent) {
        (_, 0) | (1, _) => 1,
        (-1, _) => {
            if is_even {
                1
            } else {
                -1
            }
        }
        (0, ..0) => i64::MAX,
        (_, ..0) | (0, _) => 0,
        _ => {
            let mut product = 1_i64;
            for _ in 0..exponent {
                let Some(next) = product.checked_mul(base) else {
                    return if base < 0 && !is_even { i64::MIN } else { i64::MAX };
                };
                product = next;
            }
            product
        }
    }
}

/// `-x` of a number, `!x` of a boolean, or of an array in which one is false; of all else nothing.
pub(crate) fn unary(op: UnaryOp, value: &Val) -> Val {
    match (op, value) {
        (UnaryOp::Not, Val::Bool(value)) => Val::Bool(!value),
        (UnaryOp::Not, Val::List(items)) if matches!(items[0], Val::Bool(_)) => {
            Val::Bool(items.contains(&Val::Bool(false)))
        }
        (UnaryOp::Neg, Val::Int(value)) => Val::Int(value.wrapping_neg()),
        (UnaryOp::Neg, Val::Float(value)) => Val::Float(-value),
        (UnaryOp::Neg, Val::Duration(nanos)) => Val::Duration(nanos.wrapping_neg()),
        _ => Val::Nil,
    }
}
