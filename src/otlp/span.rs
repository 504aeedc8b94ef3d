//! One `Span` message into a row of columns.

use crate::columns::{EMPTY, Events, Links, NO_STATUS, Pool, SpanRow, Spans};
use crate::trace::wire::{Field, Fields, put_bytes_field};
use crate::trace::{SpanId, TraceId};

use super::attribute::{self, Keys};
use super::error::{CHILDREN_MAX, Found, Reason, Stop};

/// What is remembered from span to span of one request.
#[derive(Default)]
pub(super) struct Memory<'a> {
    span: Keys<'a>,
    event: Keys<'a>,
    link: Keys<'a>,
    /// Room for the unknown fields of a span, and of one of its events or links.
    unknown: Vec<u8>,
    unknown_inner: Vec<u8>,
}

/// The ids of a span as they came.
#[derive(Default)]
struct Ids<'a> {
    trace: &'a [u8],
    span: &'a [u8],
    parent: &'a [u8],
}

/// Adds a span as the next row. After an error `spans` holds parts of it and must be thrown away.
pub(super) fn fill<'a>(
    spans: &mut Spans,
    memory: &mut Memory<'a>,
    message: &'a [u8],
    resource: u32,
) -> Result<(), Stop> {
    let owner = spans.next_row();
    let mut row = SpanRow { resource, ..SpanRow::default() };
    let mut ids = Ids::default();
    memory.unknown.clear();
    memory.span.start();
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => ids.trace = field.bytes()?,
            2 => ids.span = field.bytes()?,
            3 => row.trace_state = text(&mut spans.pool, field, "trace_state")?,
            4 => ids.parent = field.bytes()?,
            5 => row.name = text(&mut spans.pool, field, "name")?,
            6 => row.kind = field.varint32()?.cast_signed(),
            7 => row.start = field.fixed64()?,
            8 => row.end = field.fixed64()?,
            9 => {
                let into = &mut attribute::Into {
                    attributes: &mut spans.attributes,
                    pool: &mut spans.pool,
                    keys: &mut memory.span,
                    owner,
                    unknown: &mut memory.unknown,
                };
                attribute::push(into, field)?;
            }
            10 => row.dropped[0] = field.varint32()?,
            11 => event(&mut spans.events, &mut spans.pool, memory, owner, field)?,
            12 => row.dropped[1] = field.varint32()?,
            13 => link(&mut spans.links, &mut spans.pool, memory, owner, field)?,
            14 => row.dropped[2] = field.varint32()?,
            15 => status(&mut spans.pool, &mut row, memory, field)?,
            16 => row.flags = field.fixed32()?,
            _ => memory.unknown.extend_from_slice(field.raw),
        }
    }
    check_ids(&mut row, &ids, &mut memory.unknown)?;
    keep(&mut spans.unknown, &mut spans.pool, owner, &memory.unknown);
    spans.push(row);
    Ok(())
}

fn check_ids(row: &mut SpanRow, ids: &Ids<'_>, unknown: &mut Vec<u8>) -> Result<(), Stop> {
    let Ids { trace, span, parent } = ids;
    row.trace_id = TraceId::from_otlp(trace).ok_or_else(|| refuse(Reason::TraceId, trace))?;
    row.span_id = SpanId::from_otlp(span).ok_or_else(|| refuse(Reason::SpanId, span))?;
    match SpanId::from_otlp(parent) {
        Some(id) => row.parent_id = id,
        None if parent.is_empty() => {}
        // "None" written as zeros: the column can't tell it from an absent field.
        None if parent.len() == 8 => put_bytes_field(unknown, 4, parent),
        None => return Err(refuse(Reason::ParentId, parent)),
    }
    Ok(())
}

fn refuse(reason: impl Fn(Found) -> Reason, id: &[u8]) -> Stop {
    Stop::Span(reason(Found::of(id)))
}

fn text(pool: &mut Pool, field: Field<'_>, at: &'static str) -> Result<u32, Stop> {
    let text = field.bytes().and_then(|text| {
        attribute::check_text(text)?;
        Ok(text)
    });
    Ok(pool.intern(text.map_err(|error| Stop::at(error, at))?))
}

/// Notes the raw fields that an owner keeps, if there are any.
fn keep(into: &mut Vec<(u32, u32)>, pool: &mut Pool, owner: u32, unknown: &[u8]) {
    if !unknown.is_empty() {
        into.push((owner, pool.intern(unknown)));
    }
}

fn status(
    pool: &mut Pool,
    row: &mut SpanRow,
    memory: &mut Memory<'_>,
    field: Field<'_>,
) -> Result<(), Stop> {
    let mut odd = false;
    if row.status == NO_STATUS {
        row.status = 0;
    }
    for part in Fields::of(field.bytes()?) {
        let part = part?;
        match part.number {
            2 => row.status_message = text(pool, part, "status.message")?,
            3 => row.status = part.varint32()?.cast_signed(),
            _ => odd = true,
        }
    }
    // The column can't tell this code from "no status".
    if odd || row.status == NO_STATUS {
        memory.unknown.extend_from_slice(field.raw);
    }
    Ok(())
}

fn event<'a>(
    events: &mut Events,
    pool: &mut Pool,
    memory: &mut Memory<'a>,
    row: u32,
    field: Field<'a>,
) -> Result<(), Stop> {
    let owner = next_owner(&events.row)?;
    let (mut time, mut name, mut dropped) = (0, EMPTY, 0);
    memory.unknown_inner.clear();
    memory.event.start();
    for part in Fields::of(field.bytes()?) {
        let part = part?;
        match part.number {
            1 => time = part.fixed64()?,
            2 => name = text(pool, part, "an event's name")?,
            3 => {
                let into = &mut attribute::Into {
                    attributes: &mut events.attributes,
                    pool,
                    keys: &mut memory.event,
                    owner,
                    unknown: &mut memory.unknown_inner,
                };
                attribute::push(into, part)?;
            }
            4 => dropped = part.varint32()?,
            _ => memory.unknown_inner.extend_from_slice(part.raw),
        }
    }
    keep(&mut events.unknown, pool, owner, &memory.unknown_inner);
    events.row.push(row);
    events.time.push(time);
    events.name.push(name);
    events.dropped.push(dropped);
    Ok(())
}

fn link<'a>(
    links: &mut Links,
    pool: &mut Pool,
    memory: &mut Memory<'a>,
    row: u32,
    field: Field<'a>,
) -> Result<(), Stop> {
    let owner = next_owner(&links.row)?;
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (&[], &[]);
    let (mut trace_state, mut flags, mut dropped) = (EMPTY, 0, 0);
    memory.unknown_inner.clear();
    memory.link.start();
    for part in Fields::of(field.bytes()?) {
        let part = part?;
        match part.number {
            1 => trace_id = part.bytes()?,
            2 => span_id = part.bytes()?,
            3 => trace_state = text(pool, part, "a link's trace_state")?,
            4 => {
                let into = &mut attribute::Into {
                    attributes: &mut links.attributes,
                    pool,
                    keys: &mut memory.link,
                    owner,
                    unknown: &mut memory.unknown_inner,
                };
                attribute::push(into, part)?;
            }
            5 => dropped = part.varint32()?,
            6 => flags = part.fixed32()?,
            _ => memory.unknown_inner.extend_from_slice(part.raw),
        }
    }
    keep(&mut links.unknown, pool, owner, &memory.unknown_inner);
    links.row.push(row);
    links.trace_id.push(pool.intern(trace_id));
    links.span_id.push(pool.intern(span_id));
    links.trace_state.push(trace_state);
    links.flags.push(flags);
    links.dropped.push(dropped);
    Ok(())
}

fn next_owner(rows: &[u32]) -> Result<u32, Stop> {
    match u32::try_from(rows.len()) {
        Ok(owner) if rows.len() < CHILDREN_MAX => Ok(owner),
        _ => Err(Stop::Span(Reason::TooManyChildren)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_of_a_request_are_bounded() {
        let mut rows = vec![0; CHILDREN_MAX - 1];
        assert!(next_owner(&rows).is_ok());
        rows.push(0);
        assert!(matches!(next_owner(&rows), Err(Stop::Span(Reason::TooManyChildren))));
    }
}
