//! Traces as they are drawn in a file, into spans as they are sent.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use crate::sent::Sent;
use crate::words::{pair, text, time, words};

/// Second 0 of every file, Unix nanoseconds: a midnight.
pub(crate) const ZERO: u64 = 20_718 * 86_400 * 1_000_000_000;

/// What has been drawn so far.
#[derive(Default)]
pub(crate) struct Traces {
    pub(crate) spans: Vec<Sent>,
    /// As they are written.
    pub(crate) names: BTreeSet<String>,
    services: BTreeMap<String, Vec<String>>,
    used_services: BTreeSet<String>,
    current: Option<Current>,
}

/// The trace whose spans are being drawn.
struct Current {
    id: Vec<u8>,
    start: i64,
    /// Indentation and id of the spans above the next one.
    above: Vec<(usize, Vec<u8>)>,
}

impl Traces {
    /// A line without indentation: `trace a at 10s` or `service cart resource.zone="eu"`.
    pub(crate) fn head(&mut self, line: &str) -> Result<(), String> {
        let words = words(line)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["trace", name] => self.trace(name, 0),
            ["trace", name, "at", start] => self.trace(name, time(start)?),
            ["service", name, about @ ..] if !about.is_empty() => {
                if let Some(word) = about.iter().find(|word| {
                    !word.starts_with("resource.") && !word.starts_with("instrumentation")
                }) {
                    return Err(format!("not of a service: {word}"));
                }
                let about = about.iter().map(ToString::to_string).collect();
                match self.services.insert((*name).to_owned(), about) {
                    None => Ok(()),
                    Some(_) => Err(format!("service {name} is there twice")),
                }
            }
            _ => Err(format!("neither a trace, a service, a range nor a question: {line}")),
        }
    }

    fn trace(&mut self, name: &str, start: i64) -> Result<(), String> {
        if !self.names.insert(name.to_owned()) {
            return Err(format!("trace {name} is there twice"));
        }
        self.current = Some(Current { id: id(name, 16)?, start, above: Vec::new() });
        Ok(())
    }

    /// A line with indentation: a span, or more about the one before.
    pub(crate) fn indented(&mut self, line: &str) -> Result<(), String> {
        let indent = line.len() - line.trim_start().len();
        let words = words(line.trim())?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let Some(Current { id: trace, start, above }) = &mut self.current else {
            return Err("no trace that this could belong to".to_owned());
        };
        let [name, rest @ ..] = words.as_slice() else { return Err("an empty line".to_owned()) };
        let Ok(id) = id(name, 8) else {
            let span = above.last().and_then(|_| self.spans.last_mut());
            return describe(span.ok_or("no span that this could belong to")?, &words);
        };
        let [title, service, begin, length, about @ ..] = rest else {
            return Err("a span needs id, name, service, start and duration".to_owned());
        };
        let begin = nanos(*start + time(begin)?)?;
        let length = match length.strip_prefix('+') {
            Some(length) => time(length)?,
            None if length.starts_with('-') => time(length)?,
            None => return Err(format!("no duration such as +5ms: {length}")),
        };
        while above.last().is_some_and(|(before, _)| *before >= indent) {
            above.pop();
        }
        let parent = above.last().map(|(_, id)| id.clone()).unwrap_or_default();
        above.push((indent, id.clone()));
        let mut sent = Sent {
            resource: None,
            scope: None,
            span: Span {
                trace_id: trace.clone(),
                span_id: id,
                parent_span_id: parent,
                name: text(title)?,
                start_time_unix_nano: begin,
                end_time_unix_nano: begin.saturating_add_signed(length),
                ..Span::default()
            },
        };
        if *service != "-" {
            let name = format!("resource.service.name=\"{service}\"");
            describe(&mut sent, &[&name])?;
        }
        if let Some(of_service) = self.services.get(*service) {
            self.used_services.insert((*service).to_owned());
            let of_service: Vec<&str> = of_service.iter().map(String::as_str).collect();
            describe(&mut sent, &of_service)?;
        }
        describe(&mut sent, about)?;
        self.spans.push(sent);
        Ok(())
    }

    /// What was told and not used.
    pub(crate) fn unused_service(&self) -> Option<&String> {
        self.services.keys().find(|name| !self.used_services.contains(*name))
    }
}

/// Hex digits into so many bytes.
fn id(digits: &str, bytes: usize) -> Result<Vec<u8>, String> {
    let wrong = |_| format!("no id of hex digits: {digits}");
    let value = u128::from_str_radix(digits, 16).map_err(wrong)?;
    let all = value.to_be_bytes();
    let (zeros, id) = all.split_at(all.len() - bytes);
    let fits = zeros.iter().all(|byte| *byte == 0) && value > 0;
    if fits { Ok(id.to_vec()) } else { Err(format!("no id of {bytes} bytes: {digits}")) }
}

fn nanos(after_zero: i64) -> Result<u64, String> {
    ZERO.checked_add_signed(after_zero).ok_or_else(|| "too early".to_owned())
}

/// Words that say more about a span, its last event or its last link.
fn describe(sent: &mut Sent, words: &[&str]) -> Result<(), String> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "event" => {
                let (name, after) = (words.next(), words.next());
                let (Some(name), Some(after)) = (name, after) else {
                    return Err("an event needs a name and a time".to_owned());
                };
                let after = after.strip_prefix('+').ok_or("no time such as +2ms")?;
                let start = sent.span.start_time_unix_nano;
                sent.span.events.push(Event {
                    name: text(name)?,
                    time_unix_nano: start.saturating_add_signed(time(after)?),
                    ..Event::default()
                });
            }
            "link" => {
                let to = words.next().and_then(|to| to.split_once('/'));
                let (trace, span) = to.ok_or("a link needs trace/span")?;
                let (trace_id, span_id) = (id(trace, 16)?, id(span, 8)?);
                sent.span.links.push(Link { trace_id, span_id, ..Link::default() });
            }
            word => property(sent, word)?,
        }
    }
    Ok(())
}

fn property(sent: &mut Sent, word: &str) -> Result<(), String> {
    let Sent { resource, scope, span } = sent;
    let unknown = || format!("unknown word: {word}");
    let (key, value) = word.split_once('=').ok_or_else(unknown)?;
    match key {
        "kind" => {
            let kind = SpanKind::from_str_name(&format!("SPAN_KIND_{}", value.to_uppercase()));
            span.kind = kind.ok_or_else(unknown)?.into();
        }
        "status" => {
            let code = StatusCode::from_str_name(&format!("STATUS_CODE_{}", value.to_uppercase()));
            span.status.get_or_insert_with(Status::default).code = code.ok_or_else(unknown)?.into();
        }
        "statusMessage" => {
            span.status.get_or_insert_with(Status::default).message = text(value)?;
        }
        "parent" if span.parent_span_id.is_empty() => span.parent_span_id = id(value, 8)?,
        "parent" => return Err("a parent is given and another one drawn".to_owned()),
        "instrumentation:name" => scope.get_or_insert_default().name = text(value)?,
        "instrumentation:version" => scope.get_or_insert_default().version = text(value)?,
        _ => {
            let (owner, attribute) = word.split_once('.').ok_or_else(unknown)?;
            let attributes: &mut Vec<KeyValue> = match owner {
                "span" => &mut span.attributes,
                "resource" => &mut resource.get_or_insert_with(Resource::default).attributes,
                "instrumentation" => &mut scope.get_or_insert_default().attributes,
                "event" => &mut span.events.last_mut().ok_or("no event before it")?.attributes,
                "link" => &mut span.links.last_mut().ok_or("no link before it")?.attributes,
                _ => return Err(unknown()),
            };
            attributes.push(pair(attribute)?);
        }
    }
    Ok(())
}
