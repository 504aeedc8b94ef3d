//! Rows of columns into OTLP messages.

use crc_fast::{CrcAlgorithm, Digest};

use crate::columns::{Attributes, EMPTY, NO_STATUS, OwnerValue, Pool, SpanRow, Spans};
use crate::trace::wire::{
    close_message, open_message, put_bytes_field, put_fixed32_field, put_fixed64_field,
    put_varint_field,
};

/// Appends a `Span` message. Attributes are sorted by key, so that the bytes do not depend on where the span was kept;
/// events and links have their own order; unknown fields come last, as they came.
///
/// # Panics
/// If there is no such row.
pub fn encode_span(spans: &Spans, row: usize, out: &mut Vec<u8>) {
    let owner = u32::try_from(row).expect("a chunk holds less than 4 Gi spans");
    let SpanRow {
        trace_id,
        span_id,
        parent_id,
        start,
        end,
        name,
        kind,
        status,
        status_message,
        trace_state,
        flags,
        dropped,
        resource: _,
    } = spans.row(row);
    let pool = &spans.pool;
    put_bytes_field(out, 1, &trace_id.0);
    put_bytes_field(out, 2, &span_id.0);
    put_code(out, 3, pool, trace_state);
    if !parent_id.is_none() {
        put_bytes_field(out, 4, &parent_id.0);
    }
    put_code(out, 5, pool, name);
    put_number(out, 6, signed(kind));
    put_time(out, 7, start);
    put_time(out, 8, end);
    put_attributes(out, 9, &spans.attributes, pool, owner);
    put_number(out, 10, u64::from(dropped[0]));
    put_events(out, spans, owner);
    put_number(out, 12, u64::from(dropped[1]));
    put_links(out, spans, owner);
    put_number(out, 14, u64::from(dropped[2]));
    if status != NO_STATUS {
        let message = open_message(out, 15);
        put_code(out, 2, pool, status_message);
        put_number(out, 3, signed(status));
        close_message(out, message);
    }
    if flags != 0 {
        put_fixed32_field(out, 16, flags);
    }
    put_unknown(out, &spans.unknown, pool, owner);
}

/// Names the content of a span and its resource: CRC-64/NVME over the message that [`encode_span`] writes and the hash of
/// the resource. Equal for equal spans wherever they are kept; stable, since the span that is kept of two depends on it.
///
/// # Panics
/// If there is no such row.
pub fn content_hash(spans: &Spans, row: usize) -> u64 {
    let mut message = Vec::with_capacity(512);
    encode_span(spans, row, &mut message);
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    digest.update(&message);
    digest.update(&spans.resources[spans.resource[row] as usize].hash().to_le_bytes());
    digest.finalize()
}

fn put_events(out: &mut Vec<u8>, spans: &Spans, row: u32) {
    let events = &spans.events;
    for owner in owners(&events.row, row) {
        let index = owner as usize;
        let message = open_message(out, 11);
        put_time(out, 1, events.time[index]);
        put_code(out, 2, &spans.pool, events.name[index]);
        put_attributes(out, 3, &events.attributes, &spans.pool, owner);
        put_number(out, 4, u64::from(events.dropped[index]));
        put_unknown(out, &events.unknown, &spans.pool, owner);
        close_message(out, message);
    }
}

fn put_links(out: &mut Vec<u8>, spans: &Spans, row: u32) {
    let links = &spans.links;
    for owner in owners(&links.row, row) {
        let index = owner as usize;
        let message = open_message(out, 13);
        put_code(out, 1, &spans.pool, links.trace_id[index]);
        put_code(out, 2, &spans.pool, links.span_id[index]);
        put_code(out, 3, &spans.pool, links.trace_state[index]);
        put_attributes(out, 4, &links.attributes, &spans.pool, owner);
        put_number(out, 5, u64::from(links.dropped[index]));
        if links.flags[index] != 0 {
            put_fixed32_field(out, 6, links.flags[index]);
        }
        put_unknown(out, &links.unknown, &spans.pool, owner);
        close_message(out, message);
    }
}

/// The events or links of a row: `rows` has the row of each, ascending.
fn owners(rows: &[u32], row: u32) -> std::ops::Range<u32> {
    let place = |index: usize| u32::try_from(index).expect("owners are counted in 32 bits");
    let first = rows.partition_point(|other| *other < row);
    let count = rows[first..].iter().take_while(|other| **other == row).count();
    place(first)..place(first + count)
}

fn put_attributes(
    out: &mut Vec<u8>,
    number: u32,
    attributes: &Attributes,
    pool: &Pool,
    owner: u32,
) {
    let mut all = Vec::with_capacity(32);
    attributes.of_owner(pool, owner, |key, value| all.push((key, value)));
    all.sort_by_key(|(key, _)| *key);
    for (key, value) in all {
        let key_value = open_message(out, number);
        if !key.is_empty() {
            put_bytes_field(out, 1, key.as_bytes());
        }
        match value {
            OwnerValue::Scalar(scalar) => {
                let any_value = open_message(out, 2);
                scalar.encode(out);
                close_message(out, any_value);
            }
            OwnerValue::Rest(_, any_value) => put_bytes_field(out, 2, any_value),
        }
        close_message(out, key_value);
    }
}

fn put_unknown(out: &mut Vec<u8>, unknown: &[(u32, u32)], pool: &Pool, owner: u32) {
    if let Ok(place) = unknown.binary_search_by_key(&owner, |(owner, _)| *owner) {
        out.extend_from_slice(pool.get(unknown[place].1));
    }
}

fn put_code(out: &mut Vec<u8>, number: u32, pool: &Pool, code: u32) {
    if code != EMPTY {
        put_bytes_field(out, number, pool.get(code));
    }
}

fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_varint_field(out, number, value);
    }
}

fn put_time(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_fixed64_field(out, number, value);
    }
}

/// An enum's number as the wire carries it: negative ones in ten bytes.
fn signed(value: i32) -> u64 {
    i64::from(value).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::{decode, transcode};

    fn hash_of(resource: &str, attributes: &str) -> u64 {
        let body = format!(
            r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"spans":[{{"traceId":"01020304050607080102030405060708","spanId":"0102030405060708","attributes":[{attributes}]}}]}}]}}]}}"#
        );
        content_hash(&decode(&transcode(body.as_bytes()).unwrap()).unwrap().spans, 0)
    }

    #[test]
    fn the_content_hash_does_not_depend_on_the_order_of_attributes() {
        let (a, b) =
            (r#"{"key":"a","value":{"intValue":1}}"#, r#"{"key":"b","value":{"bytesValue":""}}"#);
        let hash = hash_of("{}", &format!("{a},{b}"));
        // Two copies of a span that differ are told apart by it, in blocks too: it may never change.
        assert_eq!(hash, 866_397_219_586_682_290);
        assert_eq!(hash, hash_of("{}", &format!("{b},{a}")));
        assert_ne!(hash, hash_of("{}", a));
        assert_ne!(hash, hash_of("null", &format!("{a},{b}")));
    }
}
