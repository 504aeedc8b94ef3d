//! Random small data sets: few keys and few values, so that questions find something, and what senders get wrong.

use crate::dice::Dice;
use crate::model::{Any, Attributes, Event, Link, Scope, Span};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const MILLI: u64 = 1_000_000;

/// When the data begins, Unix nanoseconds: on a minute.
pub(crate) const BEGIN: u64 = 1_790_000_040 * SECOND;

/// Over how long a time traces start.
pub(crate) const LENGTH: u64 = 60 * SECOND;

pub(crate) const NAMES: [&str; 4] = ["get", "put", "getx", ""];
pub(crate) const TEXTS: [&str; 6] = ["x", "y", "xy", "z", "", "nil"];
pub(crate) const SERVICES: [&str; 3] = ["front", "back", "db"];
pub(crate) const MESSAGES: [&str; 3] = ["", "boom", "x"];
pub(crate) const EVENT_NAMES: [&str; 4] = ["a", "b", "exception", ""];

/// What the spans of a trace have in common.
#[derive(Clone, Copy)]
struct Habits {
    services: u64,
    /// Some end before they start, which reads as the longest duration there is.
    end_early: bool,
}

/// The spans of a few traces, and into how many pushes they are dealt.
pub(crate) fn data(dice: &mut Dice, pushes: usize) -> Vec<Span> {
    let mut all = Vec::new();
    let end_early = dice.percent(30);
    for number in 0..6 + dice.below(7) {
        let first = all.len();
        let habits = Habits { services: 1 + dice.below(3), end_early };
        trace(dice, number, habits, &mut all);
        duplicates(dice, first, &mut all);
    }
    // Traces that stay in one push are as important as those that are split.
    let mut whole = dice.percent(50);
    for place in 0..all.len() {
        if place > 0 && all[place].trace != all[place - 1].trace {
            whole = dice.percent(50);
        }
        let is_new = place == 0 || all[place].trace != all[place - 1].trace;
        all[place].push = if whole && !is_new { all[place - 1].push } else { dice.place(pushes) };
    }
    all
}

/// Every fourth is one of 64 bits.
pub(crate) fn trace_id(number: u64) -> u128 {
    let mut dice = Dice(number * 31 + 7);
    let (high, low) = (u128::from(dice.roll()), u128::from(dice.roll() >> 4));
    if number % 4 == 1 { low } else { high << 64 | low }
}

fn trace(dice: &mut Dice, number: u64, habits: Habits, all: &mut Vec<Span>) {
    let count = match dice.below(10) {
        0 => 1,
        1 => 12,
        _ => 2 + dice.below(8),
    };
    // Few starts, so that some traces start at the same time.
    let begin = BEGIN + dice.below(LENGTH / SECOND / 3) * 3 * SECOND;
    let shape = dice.below(10);
    for index in 0..count {
        let id = number * 16 + index + 1;
        let parent = parent(dice, shape, number * 16 + 1, index, count);
        let span = span(dice, number, id, parent, begin, habits);
        // As Zipkin sends it: both halves of a call have one id. Sometimes a third has it, too.
        if dice.percent(8) {
            let mut other = self::span(dice, number, id, parent, begin, habits);
            other.kind = if span.kind == 2 { 3 } else { 2 };
            if dice.percent(25) {
                let mut third = self::span(dice, number, id, parent, begin, habits);
                third.kind = (1..6).find(|kind| ![span.kind, other.kind].contains(kind)).unwrap();
                all.push(third);
            }
            all.push(other);
        }
        all.push(span);
    }
}

/// Parent id, 0 for none: mostly a span before it, but traces have several roots, none, missing spans and cycles.
fn parent(dice: &mut Dice, shape: u64, first: u64, index: u64, count: u64) -> u64 {
    let missing = 0xabc0 + dice.below(2);
    match (shape, index) {
        // A cycle of the first three.
        (0, 0) => first + (count - 1).min(2),
        // No root.
        (1, 0) => missing,
        (_, 0) => 0,
        // Several roots.
        (2, _) if dice.percent(30) => 0,
        // Missing parents.
        (1 | 3, _) if dice.percent(30) => missing,
        // Their own parents.
        (4, _) if dice.percent(20) => first + index,
        // A chain, which is also what closes the cycle.
        (5, _) | (0, 1 | 2) => first + index - 1,
        // The parent comes later, which makes cycles, too.
        (6, _) if dice.percent(25) && index + 1 < count => first + index + 1,
        _ => first + dice.below(index),
    }
}

fn span(dice: &mut Dice, number: u64, id: u64, parent: u64, begin: u64, habits: Habits) -> Span {
    let start = begin + dice.below(8) * 250 * MILLI + dice.below(20) / 19 * 7;
    let length = dice.one_of(&[
        0,
        1,
        700,
        MILLI,
        10 * MILLI,
        100 * MILLI,
        300 * MILLI,
        SECOND,
        1500 * MILLI,
        20 * SECOND,
        65_540 * MILLI,
    ]);
    let resource = resource(dice, habits.services);
    Span {
        trace: trace_id(number),
        id,
        parent,
        name: dice.one_of(&NAMES).to_owned(),
        kind: if dice.percent(2) { 9 } else { dice.one_of(&[0, 1, 1, 2, 2, 3, 3, 4, 5]) },
        status: dice.one_of(&[0, 0, 1, 2]),
        message: dice.one_of(&MESSAGES).to_owned(),
        start,
        end: if habits.end_early && dice.percent(10) { start - 5 * MILLI } else { start + length },
        attributes: span_attributes(dice),
        events: (0..dice.below(5).saturating_sub(1)).map(|_| event(dice, start)).collect(),
        links: (0..dice.below(5).saturating_sub(2)).map(|_| link(dice)).collect(),
        scope: if dice.percent(20) { Scope::default() } else { scope(dice) },
        resource,
        push: 0,
    }
}

fn resource(dice: &mut Dice, services: u64) -> Attributes {
    let mut all = Vec::new();
    match dice.below(12) {
        0 => {}
        1 => all.push(pair("service.name", Any::Int(7))),
        _ => {
            let service = SERVICES[usize::try_from(dice.below(services)).unwrap()];
            all.push(pair("service.name", text(service)));
        }
    }
    maybe(dice, 40, "a", mixed, &mut all);
    maybe(dice, 40, "s", plain_text, &mut all);
    maybe(dice, 30, "n", number, &mut all);
    maybe(dice, 20, "t", texts, &mut all);
    maybe(dice, 20, "f", boolean, &mut all);
    all
}

fn scope(dice: &mut Dice) -> Scope {
    let mut attributes = Vec::new();
    maybe(dice, 40, "a", mixed, &mut attributes);
    maybe(dice, 40, "s", plain_text, &mut attributes);
    Scope {
        name: dice.one_of(&["", "lib", "x"]).to_owned(),
        version: dice.one_of(&["", "1", "2"]).to_owned(),
        attributes,
    }
}

fn event(dice: &mut Dice, start: u64) -> Event {
    let mut attributes = Vec::new();
    maybe(dice, 40, "a", mixed, &mut attributes);
    maybe(dice, 40, "s", plain_text, &mut attributes);
    maybe(dice, 40, "n", number, &mut attributes);
    maybe(dice, 20, "f", boolean, &mut attributes);
    maybe(dice, 10, "t", texts, &mut attributes);
    let time = if dice.percent(10) { start - 1000 } else { start + dice.below(4) * 10 * MILLI };
    Event { time, name: dice.one_of(&EVENT_NAMES).to_owned(), attributes }
}

fn link(dice: &mut Dice) -> Link {
    let mut attributes = Vec::new();
    maybe(dice, 40, "a", mixed, &mut attributes);
    maybe(dice, 40, "s", plain_text, &mut attributes);
    maybe(dice, 40, "n", number, &mut attributes);
    let number = dice.below(6);
    Link { trace: trace_id(number), span: number * 16 + 1 + dice.below(3), attributes }
}

fn span_attributes(dice: &mut Dice) -> Attributes {
    let mut all = Vec::new();
    maybe(dice, 60, "a", mixed, &mut all);
    maybe(dice, 50, "s", plain_text, &mut all);
    maybe(dice, 60, "n", number, &mut all);
    maybe(dice, 50, "m", small, &mut all);
    maybe(dice, 40, "f", boolean, &mut all);
    maybe(dice, 30, "t", texts, &mut all);
    maybe(dice, 25, "u", list, &mut all);
    maybe(dice, 15, "odd", odd, &mut all);
    maybe(dice, 15, "http.method", plain_text, &mut all);
    maybe(dice, 10, "name", plain_text, &mut all);
    maybe(dice, 5, "service.name", plain_text, &mut all);
    // A key that comes twice: the first is asked for.
    maybe(dice, 3, "s", plain_text, &mut all);
    maybe(dice, 3, "n", number, &mut all);
    all
}

fn maybe(
    dice: &mut Dice,
    percent: u64,
    key: &str,
    value: fn(&mut Dice) -> Any,
    all: &mut Attributes,
) {
    if dice.percent(percent) {
        all.push(pair(key, value(dice)));
    }
}

fn pair(key: &str, value: Any) -> (String, Any) {
    (key.to_owned(), value)
}

fn text(text: &str) -> Any {
    Any::Text(text.to_owned())
}

fn plain_text(dice: &mut Dice) -> Any {
    text(dice.one_of(&TEXTS))
}

fn boolean(dice: &mut Dice) -> Any {
    Any::Bool(dice.percent(50))
}

fn small(dice: &mut Dice) -> Any {
    Any::Int(dice.one_of(&[0, 1, 2, 3, 4, -1, -3, 100]))
}

/// Ints and floats, those at the ends of what is exact among them.
fn number(dice: &mut Dice) -> Any {
    match dice.below(20) {
        0 => Any::Int(dice.one_of(&[i64::MIN, i64::MAX, (1 << 53) + 1])),
        1 => Any::Double(dice.one_of(&[f64::NAN, -0.0, f64::INFINITY, 9_007_199_254_740_992.0])),
        2..8 => Any::Double(dice.one_of(&[0.5, 1.0, 2.0, 2.5, -1.5, -2.5, 0.0])),
        _ => small(dice),
    }
}

fn mixed(dice: &mut Dice) -> Any {
    match dice.below(8) {
        0 | 1 => number(dice),
        2 => boolean(dice),
        3 => texts(dice),
        4 => text(dice.one_of(&["1", "2", "x"])),
        _ => plain_text(dice),
    }
}

fn texts(dice: &mut Dice) -> Any {
    let count = dice.one_of(&[0, 1, 1, 2, 2, 3]);
    Any::List((0..count).map(|_| text(dice.one_of(&["x", "y", "xy"]))).collect())
}

/// Arrays of every type, of several, and in one another.
fn list(dice: &mut Dice) -> Any {
    let count = dice.below(4);
    let item: fn(&mut Dice) -> Any = match dice.below(8) {
        0 => boolean,
        1 => number,
        2 => mixed,
        3 => |dice| Any::Double(dice.one_of(&[0.5, 1.0, 2.0])),
        4 => texts,
        _ => small,
    };
    Any::List((0..count).map(|_| item(dice)).collect())
}

fn odd(dice: &mut Dice) -> Any {
    match dice.below(4) {
        0 => Any::Bytes(vec![0, 255, 7]),
        1 => Any::Map(vec![pair("x", Any::Int(1))]),
        2 => Any::Unset,
        _ => text("x"),
    }
}

/// Some spans are sent again: as they were, or with another start and all else different.
fn duplicates(dice: &mut Dice, first: usize, all: &mut Vec<Span>) {
    for place in first..all.len() {
        if !dice.percent(8) {
            continue;
        }
        let mut again = all[place].clone();
        if dice.percent(60) {
            again.start =
                if dice.percent(50) { again.start + 250 * MILLI } else { again.start - MILLI };
            again.end = again.start + dice.below(3) * SECOND;
            "put".clone_into(&mut again.name);
            again.attributes = span_attributes(dice);
            again.parent = if dice.percent(80) { again.parent } else { 0 };
        }
        all.push(again);
    }
}
