//! A data set from a seed: traces of every shape, attributes of every type, and what senders get wrong.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use crate::sent::{Dice, Sent};

pub(crate) const SECOND: u64 = 1_000_000_000;

/// When the data set begins, Unix nanoseconds.
pub(crate) const BEGIN: u64 = 1_790_000_000 * SECOND;

/// Over how long a time its traces start.
pub(crate) const LENGTH: u64 = 600 * SECOND;

const TRACES: u64 = 240;
const LARGE_TRACE_SPANS: u64 = 500;
const SERVICES: u64 = 7;
const NAMES: [&str; 9] =
    ["GET /", "GET /cart", "POST /order", "SELECT", "INSERT", "publish", "consume", "", "größe"];

impl Dice {
    /// Once in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        let place = usize::try_from(self.below(all.len() as u64)).unwrap();
        all[place]
    }
}

/// All spans, those that come twice included, in no order that means anything.
pub(crate) fn spans() -> Vec<Sent> {
    let mut dice = Dice(0x5eed);
    let mut all = Vec::new();
    for number in 0..TRACES {
        trace(&mut dice, number, &mut all);
    }
    duplicates(&mut dice, &mut all);
    all
}

/// Id of the trace with this number: some are of 64 bits, the last two fold to the same word in a block's directory.
pub(crate) fn trace_id(number: u64) -> [u8; 16] {
    let mut dice = Dice(number * 31 + 7);
    let (high, low) = (dice.roll(), dice.roll());
    let fold = 0x9e37_79b9_7f4a_7c15_u64;
    let (high, low) = match number {
        _ if number == TRACES - 1 => {
            let mut other = Dice((number - 1) * 31 + 7);
            let (other_high, other_low) = (other.roll(), other.roll());
            (high, other_high.wrapping_mul(fold) ^ other_low ^ high.wrapping_mul(fold))
        }
        _ if number % 4 == 1 => (0, low >> 8),
        _ => (high, low),
    };
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}

fn trace(dice: &mut Dice, number: u64, all: &mut Vec<Sent>) {
    let count = match number {
        17 => LARGE_TRACE_SPANS,
        _ if dice.once_in(8) => 1,
        _ => 2 + dice.below(22),
    };
    // Whole tens of milliseconds, so that starts are equal now and then. Some clocks are days away.
    let mut begin = BEGIN + dice.below(LENGTH / 10_000_000) * 10_000_000;
    if number % 10 == 3 {
        begin = BEGIN + LENGTH / 2;
    }
    if number % 40 == 5 {
        begin -= 3 * 86_400 * SECOND;
    }
    let first = number * 1000 + 1;
    for index in 0..count {
        let parent = parent(dice, number, first, index, count);
        let id = first + index;
        all.push(span(dice, number, id, parent, begin));
        // As Zipkin sends it: the client's and the server's half of a call have one id.
        if dice.once_in(12) {
            let client = all.last_mut().unwrap();
            client.span.kind = 3;
            let mut server = span(dice, number, id, parent, begin);
            server.span.kind = 2;
            all.push(server);
        }
    }
}

/// Parent id of a span, 0 for none: mostly one before it, but traces have several roots, none, missing spans and cycles.
fn parent(dice: &mut Dice, number: u64, first: u64, index: u64, count: u64) -> u64 {
    let shape = number % 12;
    let missing = first + 999;
    match (shape, index) {
        // A cycle of all spans but the later ones.
        (1, 0) => first + (count - 1).min(2),
        // Without a root.
        (2, 0) => missing,
        // Its own parent.
        (3, 0) if number % 24 == 3 => first,
        (_, 0) => 0,
        (4, _) if dice.once_in(4) => 0,
        (5, _) if dice.once_in(4) => missing,
        (6, _) if dice.once_in(6) => first + index,
        // The cycle goes on; a trace as deep as it has spans.
        (1, 1 | 2) | (7, _) => first + index - 1,
        // The parent comes later.
        (8, _) if dice.once_in(5) && index + 1 < count => first + index + 1,
        _ => first + dice.below(index),
    }
}

fn span(dice: &mut Dice, number: u64, id: u64, parent: u64, begin: u64) -> Sent {
    let skew = if dice.once_in(15) { 30 * SECOND } else { 0 };
    let start = begin + dice.below(400) * 5_000_000 - skew;
    let length = match dice.below(12) {
        0 => 0,
        1 => dice.below(1000),
        2 => 40 * SECOND,
        _ => dice.below(2 * SECOND),
    };
    // Sometimes it ends before it starts.
    let end = if dice.once_in(30) { start - 5 } else { start + length };
    let service = dice.below(SERVICES);
    Sent {
        resource: resource(dice, service),
        scope: scope(dice, service),
        span: Span {
            trace_id: trace_id(number).to_vec(),
            span_id: id.to_be_bytes().to_vec(),
            parent_span_id: if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() },
            trace_state: if dice.once_in(20) { "vendor=1".to_owned() } else { String::new() },
            flags: u32::from(dice.once_in(2)) * 257,
            name: dice.one_of(&NAMES).to_owned(),
            kind: if dice.once_in(60) { 9 } else { i32::try_from(dice.below(6)).unwrap() },
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes: attributes(dice, number),
            dropped_attributes_count: u32::from(dice.once_in(50)),
            events: (0..dice.below(4).saturating_sub(1)).map(|_| event(dice, start)).collect(),
            dropped_events_count: 0,
            links: (0..dice.below(6).saturating_sub(4)).map(|_| link(dice)).collect(),
            dropped_links_count: 0,
            status: status(dice),
        },
    }
}

fn resource(dice: &mut Dice, service: u64) -> Option<Resource> {
    let mut attributes = Vec::new();
    match service {
        0 => return None,
        // Without a name.
        1 => {}
        _ => attributes.push(pair("service.name", text(&format!("service-{service}")))),
    }
    attributes.push(pair("host", text(dice.one_of(&["a", "b", "c"]))));
    attributes.push(pair("replicas", int(i64::try_from(service).unwrap())));
    if service == 4 {
        attributes.push(pair("zones", array(vec![text("eu"), text("us")])));
        attributes.push(pair("http.method", text("of the resource")));
    }
    Some(Resource { attributes, ..Resource::default() })
}

fn scope(dice: &mut Dice, service: u64) -> Option<InstrumentationScope> {
    if service == 2 {
        return None;
    }
    let version = dice.one_of(&["", "1.0", "1.1"]).to_owned();
    let attributes = vec![pair("library", text(dice.one_of(&["http", "sql"])))];
    Some(InstrumentationScope {
        name: format!("scope-{}", service % 3),
        version,
        attributes,
        dropped_attributes_count: 0,
    })
}

fn status(dice: &mut Dice) -> Option<Status> {
    match dice.below(6) {
        0 => None,
        1 => Some(Status { message: String::new(), code: 1 }),
        2 => {
            let message = dice.one_of(&["timeout", "refused", ""]).to_owned();
            Some(Status { message, code: 2 })
        }
        _ => Some(Status::default()),
    }
}

fn event(dice: &mut Dice, start: u64) -> Event {
    let name = dice.one_of(&["exception", "retry", "cache", ""]).to_owned();
    let mut attributes = Vec::new();
    if name == "exception" {
        let message = dice.one_of(&["boom", "index out of range", "timeout"]);
        attributes.push(pair("exception.message", text(message)));
        attributes.push(pair("exception.escaped", boolean(dice.once_in(3))));
    }
    if dice.once_in(3) {
        attributes.push(pair("attempt", int(i64::try_from(dice.below(5)).unwrap())));
    }
    if dice.once_in(40) {
        attributes.push(pair(&format!("event.rare.{}", dice.below(20)), double(0.5)));
    }
    let time_unix_nano =
        if dice.once_in(10) { start - 1000 } else { start + dice.below(SECOND / 10) };
    Event { time_unix_nano, name, attributes, dropped_attributes_count: 0 }
}

fn link(dice: &mut Dice) -> Link {
    let number = dice.below(TRACES);
    let attributes = match dice.below(3) {
        0 => vec![pair("relation", text(dice.one_of(&["follows", "retries"])))],
        1 => vec![pair("weight", double(1.5))],
        _ => Vec::new(),
    };
    Link {
        trace_id: trace_id(number).to_vec(),
        span_id: (number * 1000 + 1).to_be_bytes().to_vec(),
        trace_state: String::new(),
        attributes,
        dropped_attributes_count: 0,
        flags: 0,
    }
}

/// Keys of one type and of several, few and many values, common and rare, and some that come twice.
fn attributes(dice: &mut Dice, number: u64) -> Vec<KeyValue> {
    let mut all = Vec::new();
    if !dice.once_in(4) {
        all.push(pair("http.method", text(dice.one_of(&["GET", "POST", "PUT"]))));
        let code = dice.one_of(&[200_i64, 201, 404, 500, 503]);
        all.push(match dice.below(10) {
            0 => pair("http.status", text(&code.to_string())),
            #[expect(clippy::cast_precision_loss, reason = "three digits")]
            1 => pair("http.status", double(code as f64 + 0.5)),
            _ => pair("http.status", int(code)),
        });
    }
    if dice.once_in(2) {
        all.push(pair("user.id", text(&format!("user-{}", dice.below(2000)))));
    }
    if dice.once_in(3) {
        all.push(pair("ratio", double(ratio(dice))));
    }
    if dice.once_in(3) {
        all.push(pair("retries", int(i64::try_from(dice.below(9)).unwrap() - 2)));
        all.push(pair("cached", boolean(dice.once_in(2))));
    }
    if dice.once_in(6) {
        let tags = ["red", "green", "blue"];
        let items = (0..dice.below(4)).map(|_| text(dice.one_of(&tags))).collect();
        all.push(pair("tags", array(items)));
    }
    if dice.once_in(9) {
        let items = (0..=dice.below(3)).map(|_| int(i64::try_from(dice.below(5)).unwrap()));
        all.push(pair("sizes", array(items.collect())));
    }
    if dice.once_in(25) {
        let odd = match dice.below(6) {
            0 => array(vec![int(1), text("two"), boolean(true)]),
            1 => AnyValue { value: Some(Any::BytesValue(vec![0, 255, 7])) },
            2 => AnyValue {
                value: Some(Any::KvlistValue(KeyValueList { values: vec![pair("a", int(1))] })),
            },
            3 => AnyValue { value: None },
            4 => text(""),
            _ => int(i64::MIN),
        };
        all.push(pair("odd", odd));
    }
    if dice.once_in(60) {
        all.push(pair(&format!("rare.{}", dice.below(40)), text(&format!("trace {number}"))));
    }
    if dice.once_in(80) {
        all.push(pair("of \"one\" name", text("quoted")));
    }
    if dice.once_in(40) {
        all.push(pair("service.name", text("of the span")));
    }
    if dice.once_in(30) {
        all.push(pair("retries", text("twice")));
    }
    all
}

fn ratio(dice: &mut Dice) -> f64 {
    match dice.below(20) {
        0 => f64::NAN,
        1 => -0.0,
        2 => f64::INFINITY,
        3 => 4.0,
        _ => f64::from(u32::try_from(dice.below(1000)).unwrap()) / 8.0 - 20.0,
    }
}

/// Some spans are sent again: as they were; with other attributes; with another start, too.
fn duplicates(dice: &mut Dice, all: &mut Vec<Sent>) {
    for index in 0..all.len() {
        if !dice.once_in(12) {
            continue;
        }
        let mut again = all[index].clone();
        match dice.below(3) {
            0 => {}
            1 => "GET / again".clone_into(&mut again.span.name),
            _ => {
                again.span.start_time_unix_nano += 1_000_000;
                again.span.end_time_unix_nano += 2_000_000;
                again.span.attributes = attributes(dice, 0);
            }
        }
        all.push(again);
    }
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn text(value: &str) -> AnyValue {
    AnyValue { value: Some(Any::StringValue(value.to_owned())) }
}

fn int(value: i64) -> AnyValue {
    AnyValue { value: Some(Any::IntValue(value)) }
}

fn double(value: f64) -> AnyValue {
    AnyValue { value: Some(Any::DoubleValue(value)) }
}

fn boolean(value: bool) -> AnyValue {
    AnyValue { value: Some(Any::BoolValue(value)) }
}

fn array(values: Vec<AnyValue>) -> AnyValue {
    AnyValue { value: Some(Any::ArrayValue(ArrayValue { values })) }
}
