//! A trace as `TracesData`: rows put in groups by resource and scope, whole or in pieces.

use std::collections::HashMap;

use crate::columns::{ResourceParts, Spans};
use crate::trace::wire::{close_message, open_message, put_bytes_field};

use super::encode::encode_span;

/// A span to be written: its chunk and row.
pub type Row<'a> = (&'a Spans, usize);

/// `TracesData` of all rows: grouped by resource, then by scope, both in the order in which they are first seen; spans in
/// the order of `rows`.
pub fn encode_trace(rows: &[Row<'_>]) -> Vec<u8> {
    trace_pieces(rows, usize::MAX).next().unwrap_or_default()
}

/// `TracesData` in pieces of about `piece_bytes`, to be sent one after the other: joined they are one message. A
/// resource or scope whose spans fill several pieces comes several times. No piece is empty.
pub fn trace_pieces<'a>(rows: &[Row<'a>], piece_bytes: usize) -> TracePieces<'a> {
    TracePieces { groups: group(rows), place: Cursor::default(), piece_bytes: piece_bytes.max(1) }
}

/// The iterator of [`trace_pieces`].
pub struct TracePieces<'a> {
    groups: Vec<ResourceGroup<'a>>,
    place: Cursor,
    piece_bytes: usize,
}

/// The next span to be written.
#[derive(Default)]
struct Cursor {
    resource: usize,
    scope: usize,
    row: usize,
}

/// The spans of one resource.
struct ResourceGroup<'a> {
    parts: &'a ResourceParts,
    scopes: Vec<ScopeGroup<'a>>,
}

struct ScopeGroup<'a> {
    parts: &'a ResourceParts,
    rows: Vec<Row<'a>>,
}

impl Iterator for TracePieces<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        while self.place.resource < self.groups.len() && out.len() < self.piece_bytes {
            self.put_resource(&mut out);
        }
        (!out.is_empty()).then_some(out)
    }
}

impl TracePieces<'_> {
    /// Writes what is left of the resource, or as much of it as the piece may have.
    fn put_resource(&mut self, out: &mut Vec<u8>) {
        let Self { groups, place, piece_bytes } = self;
        let ResourceGroup { parts, scopes } = &groups[place.resource];
        let resource_spans = open_message(out, 1);
        if let Some(resource) = &parts.resource {
            put_bytes_field(out, 1, resource);
        }
        while let Some(scope) = scopes.get(place.scope) {
            put_scope(scope, &mut place.row, *piece_bytes, out);
            if place.row < scope.rows.len() {
                break;
            }
            place.scope += 1;
            place.row = 0;
            if out.len() >= *piece_bytes {
                break;
            }
        }
        put_text(out, 3, &parts.resource_schema_url);
        out.extend_from_slice(&parts.resource_unknown);
        close_message(out, resource_spans);
        if place.scope == scopes.len() {
            *place = Cursor { resource: place.resource + 1, ..Cursor::default() };
        }
    }
}

fn put_scope(scope: &ScopeGroup<'_>, row: &mut usize, piece_bytes: usize, out: &mut Vec<u8>) {
    let ScopeGroup { parts, rows } = scope;
    let scope_spans = open_message(out, 2);
    if let Some(scope) = &parts.scope {
        put_bytes_field(out, 1, scope);
    }
    while let Some((spans, index)) = rows.get(*row) {
        let span = open_message(out, 2);
        encode_span(spans, *index, out);
        close_message(out, span);
        *row += 1;
        if out.len() >= piece_bytes {
            break;
        }
    }
    put_text(out, 3, &parts.scope_schema_url);
    out.extend_from_slice(&parts.scope_unknown);
    close_message(out, scope_spans);
}

fn put_text(out: &mut Vec<u8>, number: u32, text: &str) {
    if !text.is_empty() {
        put_bytes_field(out, number, text.as_bytes());
    }
}

fn group<'a>(rows: &[Row<'a>]) -> Vec<ResourceGroup<'a>> {
    let mut groups: Vec<ResourceGroup<'a>> = Vec::new();
    let mut resources = HashMap::new();
    let mut scopes = HashMap::new();
    // Resources of a chunk are distinct objects: most rows are placed without a look at their content.
    let mut places: HashMap<*const ResourceParts, (usize, usize)> = HashMap::new();
    for (spans, row) in rows {
        let parts = spans.resources[spans.resource[*row] as usize].parts();
        let (resource, scope) = *places.entry(std::ptr::from_ref(parts)).or_insert_with(|| {
            let around = (&parts.resource, &parts.resource_schema_url, &parts.resource_unknown);
            let resource = *resources.entry(around).or_insert_with(|| {
                groups.push(ResourceGroup { parts, scopes: Vec::new() });
                groups.len() - 1
            });
            let of_resource = &mut groups[resource].scopes;
            let around = (resource, &parts.scope, &parts.scope_schema_url, &parts.scope_unknown);
            let scope = *scopes.entry(around).or_insert_with(|| {
                of_resource.push(ScopeGroup { parts, rows: Vec::new() });
                of_resource.len() - 1
            });
            (resource, scope)
        });
        groups[resource].scopes[scope].rows.push((spans, *row));
    }
    groups
}
