//! What can be wrong with a body, and with one span of it.

use std::borrow::Cow;
use std::fmt;

use crate::trace::wire::{DEPTH_MAX, WireError};

/// Most spans of a request that are rejected one by one: two bytes are a wrong span, and each is remembered with its reason.
pub(super) const REJECTED_MAX: usize = 1 << 16;

/// Most events, and most links, of a request: an empty one takes ten times as much memory as it takes bytes.
pub(super) const CHILDREN_MAX: usize = 1 << 22;

/// A body that can't be taken at all: the request is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{place}: {error}")]
    Wire { place: Place, error: WireError },
    /// Where all spans are known to be good, as on replay, or where the request as a whole is too much.
    #[error("{place}: {reason}")]
    Span { place: Place, reason: Reason },
    #[error("more than {REJECTED_MAX} spans are wrong, the last of them: {reason}")]
    TooManyRejected { reason: Reason },
    /// The path is in JSON names; the message says line and column.
    #[error("{path}: {message}")]
    Json { path: String, message: String },
}

/// Where in a request something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    pub resource_spans: Option<u32>,
    pub scope_spans: Option<u32>,
    pub span: Option<u32>,
}

/// `resource_spans[0].scope_spans[2].spans[7]`, as far as it is known.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource_spans, scope_spans, span } = self;
        let Some(index) = resource_spans else { return f.write_str("request") };
        write!(f, "resource_spans[{index}]")?;
        if let Some(index) = scope_spans {
            write!(f, ".scope_spans[{index}]")?;
        }
        if let Some(index) = span {
            write!(f, ".spans[{index}]")?;
        }
        Ok(())
    }
}

/// Why one span of a sound request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("trace id is {0}, expected 16 bytes (32 hex digits in JSON) that are not all zero")]
    TraceId(Found),
    #[error("span id is {0}, expected 8 bytes (16 hex digits in JSON) that are not all zero")]
    SpanId(Found),
    #[error("parent span id is {0}, expected none or 8 bytes (16 hex digits in JSON)")]
    ParentId(Found),
    #[error("{at} is not UTF-8")]
    Text { at: Cow<'static, str> },
    #[error("{at} is nested deeper than {DEPTH_MAX}")]
    TooDeep { at: Cow<'static, str> },
    #[error("more than {CHILDREN_MAX} events or links in one request")]
    TooManyChildren,
}

impl Reason {
    /// The reason for an error that concerns one span; `None` for one that makes the whole body undecodable.
    pub(super) fn of(error: WireError, at: impl Into<Cow<'static, str>>) -> Option<Self> {
        match error {
            WireError::Utf8 => Some(Self::Text { at: at.into() }),
            WireError::TooDeep => Some(Self::TooDeep { at: at.into() }),
            _ => None,
        }
    }
}

/// A wrong id, cut to what a message can show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    length: usize,
    start: Vec<u8>,
}

impl Found {
    /// Bytes of an id that are shown: twice the longest right one.
    const SHOWN_MAX: usize = 32;

    pub(super) fn of(id: &[u8]) -> Self {
        Self { length: id.len(), start: id.iter().copied().take(Self::SHOWN_MAX).collect() }
    }
}

/// Length and content: as text if it is some (a sender of JSON put it in), else in hex.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { length, start } = self;
        if start.is_empty() {
            return f.write_str("empty");
        }
        let more = if *length > start.len() { "…" } else { "" };
        match std::str::from_utf8(start) {
            Ok(text) if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) => {
                write!(f, "{length} bytes (\"{text}{more}\")")
            }
            _ => write!(f, "{length} bytes ({}{more})", const_hex::encode(start)),
        }
    }
}

/// What ends the reading of a span or group.
#[derive(Debug)]
pub(super) enum Stop {
    /// The whole body is undecodable.
    Wire(WireError),
    /// The span is refused.
    Span(Reason),
    /// So many spans are refused that the whole body is.
    TooManyRejected(Reason),
}

impl Stop {
    /// An error in a text or value, which concerns one span, or in the wire format, which concerns all.
    pub(super) fn at(error: WireError, at: impl Into<Cow<'static, str>>) -> Self {
        Reason::of(error, at).map_or(Self::Wire(error), Self::Span)
    }
}

impl From<WireError> for Stop {
    fn from(error: WireError) -> Self {
        Self::at(error, "a field")
    }
}
