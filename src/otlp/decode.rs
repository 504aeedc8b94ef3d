//! One walk from the bytes of a request into columns.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::columns::{PartsRef, Resource, ResourceCache, ResourceParts, Spans};
use crate::trace::wire::{Fields, WireError};

use super::attribute::check_key_value;
use super::error::{Error, Place, REJECTED_MAX, Reason, Stop};
use super::span::{self, Memory};

/// What a request held.
pub struct Decoded {
    /// The spans that were accepted, in wire order.
    pub spans: Spans,
    pub rejected: Vec<Rejected>,
    /// Spans of the request: accepted and rejected ones.
    pub total: u32,
}

/// A span that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Counts the spans of the request from 0, in wire order.
    pub ordinal: u32,
    pub reason: Reason,
}

/// Reads an `ExportTraceServiceRequest` (or `TracesData`, which has the same form). Spans with a wrong id or a text that
/// is not UTF-8 are rejected, the others kept. Unknown fields of the request itself are dropped.
///
/// # Errors
/// Says where the bytes are not protobuf, or what the request has too much of. Nothing of such a body is taken.
pub fn decode(body: &[u8]) -> Result<Decoded, Error> {
    decode_with(body, &ResourceCache::default())
}

/// As [`decode`], but resources that other requests named too are shared with them.
///
/// # Errors
/// As [`decode`].
pub fn decode_with(body: &[u8], cache: &ResourceCache) -> Result<Decoded, Error> {
    let mut walk = Walk::new(WhenBad::Stop, cache);
    let mut outcome = walk.request(body, &|_| false);
    if matches!(outcome, Err(Stop::Span(_))) {
        // Rare: begin again, and try each span on its own before it goes into the columns.
        walk = Walk::new(WhenBad::Reject, cache);
        outcome = walk.request(body, &|_| false);
    }
    outcome.map_err(|stop| walk.error(stop))?;
    let Walk { spans, rejected, ordinal, .. } = walk;
    Ok(Decoded { spans, rejected, total: ordinal })
}

/// Reads a request of which it is known which spans were refused: those are passed over. Ordinals as in [`Rejected`].
///
/// # Errors
/// When the bytes are not protobuf, or when a span that was not refused is one that [`decode()`] rejects.
pub fn decode_accepted(body: &[u8], refused: impl Fn(u32) -> bool) -> Result<Spans, Error> {
    let cache = ResourceCache::default();
    let mut walk = Walk::new(WhenBad::Stop, &cache);
    let outcome = walk.request(body, &refused);
    outcome.map_err(|stop| walk.error(stop))?;
    Ok(walk.spans)
}

/// What is done about a span that must be refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenBad {
    Stop,
    Reject,
}

struct Walk<'a> {
    spans: Spans,
    memory: Memory<'a>,
    /// Each distinct pair of resource and scope is decoded once.
    resources: HashMap<(Around<'a>, Around<'a>), Result<Arc<Resource>, Reason>, Hasher>,
    cache: &'a ResourceCache,
    rejected: Vec<Rejected>,
    place: Place,
    ordinal: u32,
    when_bad: WhenBad,
}

type Hasher = foldhash::fast::RandomState;

impl<'a> Walk<'a> {
    fn new(when_bad: WhenBad, cache: &'a ResourceCache) -> Self {
        Self {
            spans: Spans::default(),
            memory: Memory::default(),
            resources: HashMap::default(),
            cache,
            rejected: Vec::new(),
            place: Place::default(),
            ordinal: 0,
            when_bad,
        }
    }

    /// The error for what has ended the walk, where it stands.
    fn error(&self, stop: Stop) -> Error {
        match stop {
            Stop::Wire(error) => Error::Wire { place: self.place, error },
            Stop::Span(reason) => Error::Span { place: self.place, reason },
            Stop::TooManyRejected(reason) => Error::TooManyRejected { reason },
        }
    }

    fn request(&mut self, body: &'a [u8], refused: &dyn Fn(u32) -> bool) -> Result<(), Stop> {
        let mut groups = 0;
        for field in Fields::of(body) {
            self.place = Place::default();
            let field = field?;
            if field.number == 1 {
                self.place.resource_spans = Some(groups);
                groups += 1;
                self.resource_spans(field.bytes()?, refused)?;
            }
        }
        Ok(())
    }

    fn resource_spans(
        &mut self,
        message: &'a [u8],
        refused: &dyn Fn(u32) -> bool,
    ) -> Result<(), Stop> {
        let around = Around::of(message)?;
        let mut groups = 0;
        for field in Fields::of(message) {
            let field = field?;
            if field.number == 2 {
                self.place.scope_spans = Some(groups);
                groups += 1;
                self.scope_spans(&around, field.bytes()?, refused)?;
            }
        }
        Ok(())
    }

    fn scope_spans(
        &mut self,
        around: &Around<'a>,
        message: &'a [u8],
        refused: &dyn Fn(u32) -> bool,
    ) -> Result<(), Stop> {
        self.place.span = None;
        let resource = self.resource(around, Around::of(message)?)?;
        let mut index = None;
        let mut spans = 0;
        for field in Fields::of(message) {
            let field = field?;
            if field.number != 2 {
                continue;
            }
            self.place.span = Some(spans);
            spans += 1;
            let span = field.bytes()?;
            let ordinal = self.ordinal;
            self.ordinal += 1;
            if refused(ordinal) || !self.is_good(ordinal, span, &resource)? {
                continue;
            }
            let Ok(resource) = &resource else { continue };
            let index = *index.get_or_insert_with(|| self.spans.adopt(resource));
            span::fill(&mut self.spans, &mut self.memory, span, index)?;
        }
        self.place.span = None;
        Ok(())
    }

    /// Whether a span can go into the columns, as far as that must be known before it does.
    fn is_good(
        &mut self,
        ordinal: u32,
        span: &[u8],
        resource: &Result<Arc<Resource>, Reason>,
    ) -> Result<bool, Stop> {
        let checked = match (resource, self.when_bad) {
            (Err(reason), _) => Err(Stop::Span(reason.clone())),
            (Ok(_), WhenBad::Stop) => Ok(()),
            (Ok(_), WhenBad::Reject) => {
                span::fill(&mut Spans::default(), &mut Memory::default(), span, 0)
            }
        };
        match checked {
            Err(Stop::Span(reason)) if self.when_bad == WhenBad::Reject => {
                if self.rejected.len() == REJECTED_MAX {
                    return Err(Stop::TooManyRejected(reason));
                }
                self.rejected.push(Rejected { ordinal, reason });
                Ok(false)
            }
            other => other.map(|()| true),
        }
    }

    /// The resource of a group, or why its spans must be refused.
    fn resource(
        &mut self,
        resource: &Around<'a>,
        scope: Around<'a>,
    ) -> Result<Result<Arc<Resource>, Reason>, Stop> {
        // The same bytes were checked when it was made.
        if let Some(known) = self.cache.find(&parts_of(resource, &scope)) {
            return Ok(Ok(known));
        }
        let key = (resource.clone(), scope);
        if let Some(known) = self.resources.get(&key) {
            return Ok(known.clone());
        }
        let made = match make_resource(&key.0, &key.1, self.cache) {
            Ok(resource) => Ok(resource),
            Err(Stop::Span(reason)) => Err(reason),
            Err(stop) => return Err(stop),
        };
        self.resources.insert(key, made.clone());
        Ok(made)
    }
}

/// All of a `ResourceSpans` or `ScopeSpans` but what it groups: both have the same form.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct Around<'a> {
    /// The `Resource` or `InstrumentationScope`. One that comes in parts is joined, as protobuf says.
    message: Option<Cow<'a, [u8]>>,
    schema_url: &'a [u8],
    unknown: Vec<u8>,
}

impl<'a> Around<'a> {
    fn of(message: &'a [u8]) -> Result<Self, WireError> {
        let mut around = Self::default();
        for field in Fields::of(message) {
            let field = field?;
            match field.number {
                1 => match &mut around.message {
                    Some(message) => message.to_mut().extend_from_slice(field.bytes()?),
                    None => around.message = Some(Cow::Borrowed(field.bytes()?)),
                },
                2 => {}
                3 => around.schema_url = field.bytes()?,
                _ => around.unknown.extend_from_slice(field.raw),
            }
        }
        Ok(around)
    }
}

fn parts_of<'p>(resource: &'p Around<'_>, scope: &'p Around<'_>) -> PartsRef<'p> {
    PartsRef {
        resource: resource.message.as_deref(),
        resource_schema_url: resource.schema_url,
        resource_unknown: &resource.unknown,
        scope: scope.message.as_deref(),
        scope_schema_url: scope.schema_url,
        scope_unknown: &scope.unknown,
    }
}

fn make_resource(
    resource: &Around<'_>,
    scope: &Around<'_>,
    cache: &ResourceCache,
) -> Result<Arc<Resource>, Stop> {
    check_resource(resource.message.as_deref().unwrap_or_default())
        .map_err(|error| Stop::at(error, "the resource"))?;
    check_scope(scope.message.as_deref().unwrap_or_default())
        .map_err(|error| Stop::at(error, "the scope"))?;
    // Copied: a slice would keep the whole body in memory for as long as the resource lives.
    let copied = |message: &Option<Cow<'_, [u8]>>| message.as_deref().map(Bytes::copy_from_slice);
    let parts = ResourceParts {
        resource: copied(&resource.message),
        resource_schema_url: text(resource.schema_url, "the schema URL of the resource")?,
        resource_unknown: Bytes::copy_from_slice(&resource.unknown),
        scope: copied(&scope.message),
        scope_schema_url: text(scope.schema_url, "the schema URL of the scope")?,
        scope_unknown: Bytes::copy_from_slice(&scope.unknown),
    };
    cache.get_or_make(parts).map_err(|error| Stop::at(error, "the resource or scope"))
}

fn text(bytes: &[u8], at: &'static str) -> Result<String, Stop> {
    let text = std::str::from_utf8(bytes).map_err(|_| Stop::at(WireError::Utf8, at))?;
    Ok(text.to_owned())
}

fn check_resource(message: &[u8]) -> Result<(), WireError> {
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => check_key_value(field.bytes()?, 0)?,
            2 => field.varint().map(drop)?,
            3 => {
                for part in Fields::of(field.bytes()?) {
                    let part = part?;
                    if (1..=4).contains(&part.number) {
                        part.text()?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_scope(message: &[u8]) -> Result<(), WireError> {
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 | 2 => field.text().map(drop)?,
            3 => check_key_value(field.bytes()?, 0)?,
            4 => field.varint().map(drop)?,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
