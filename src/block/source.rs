//! The rows of a block, and what of them has no column of its own.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use foldhash::fast::FixedState;

use super::promote::{Promoted, Scope};
use super::resources::ResourceKeys;
use crate::columns::gather::{self, NOWHERE, Owners, Part};
use crate::columns::{Children, Layout, Pool, Resource, RestType, RowRef, ScalarType, Spans};

/// Rows and what their columns are made of.
pub(super) struct Source<'a> {
    pub chunks: &'a [&'a Spans],
    pub rows: &'a [RowRef],
    /// Of the whole layout; the rows begin at `first`.
    pub layout: &'a Layout,
    pub first: usize,
    /// Place of each row of each chunk in `rows`, or [`NOWHERE`].
    pub places: Vec<Vec<u32>>,
    pub events: Children,
    pub links: Children,
    rest: BTreeMap<Scope, RestEntries>,
    /// Where the columns of chunks are of which the block's are made: chunk, and place among the columns.
    parts: HashMap<Promoted, Vec<(u32, u32)>, FixedState>,
    resources: Option<&'a ResourceKeys>,
}

/// The entries of `attributes_rest` of a scope, by owner.
#[derive(Default)]
pub(super) struct RestEntries {
    /// Keys and values of the entries are its codes.
    pub pool: Pool,
    pub entries: Vec<RestEntry>,
}

impl<'a> Source<'a> {
    /// The rows without what goes to `attributes_rest`: enough to see which keys there are.
    pub(super) fn bare(chunks: &'a [&'a Spans], layout: &'a Layout, rows: Range<usize>) -> Self {
        let first = rows.start;
        let rows = &layout.rows[rows];
        let places = gather::places(chunks, rows);
        let events = Children::of(chunks, &places, rows.len(), |spans| &spans.events.row);
        let links = Children::of(chunks, &places, rows.len(), |spans| &spans.links.row);
        let (rest, parts) = (BTreeMap::new(), HashMap::default());
        Self { chunks, rows, layout, first, places, events, links, rest, parts, resources: None }
    }

    pub(super) fn of(
        chunks: &'a [&'a Spans],
        layout: &'a Layout,
        rows: Range<usize>,
        (promoted, resources): (&[Promoted], &'a ResourceKeys),
    ) -> Self {
        let mut source = Self::bare(chunks, layout, rows);
        source.resources = Some(resources);
        for scope in [Scope::Span, Scope::Event, Scope::Link] {
            let mut parts: Parts<'_> = promoted
                .iter()
                .filter(|promoted| promoted.scope == scope)
                .map(|promoted| ((&*promoted.key, promoted.scalar), (promoted, Vec::new())))
                .collect();
            let rest = rest_entries(&source.owners(scope), &mut parts);
            let parts = parts.into_values().map(|(promoted, parts)| (promoted.clone(), parts));
            let parts: Vec<_> = parts.collect();
            source.parts.extend(parts);
            source.rest.insert(scope, rest);
        }
        source
    }

    /// What the chunks have of a column.
    pub(super) fn parts(&self, promoted: &Promoted) -> impl Iterator<Item = Part<'_>> {
        let parts = self.parts.get(promoted).map(Vec::as_slice).unwrap_or_default();
        let owners = self.owners(promoted.scope);
        parts.iter().map(move |(chunk, column)| {
            let Owners { attributes, pool, places } = owners[*chunk as usize];
            Part { column: &attributes.columns()[*column as usize], pool, places }
        })
    }

    pub(super) fn rest_of(&self, scope: Scope) -> &RestEntries {
        &self.rest[&scope]
    }

    /// The attributes of a scope and where their owners go.
    pub(super) fn owners(&self, scope: Scope) -> Vec<Owners<'_>> {
        let places = match scope {
            Scope::Span => &self.places,
            Scope::Event => &self.events.places,
            Scope::Link => &self.links.places,
        };
        let attributes = |spans: &'a Spans| match scope {
            Scope::Span => &spans.attributes,
            Scope::Event => &spans.events.attributes,
            Scope::Link => &spans.links.attributes,
        };
        self.chunks
            .iter()
            .zip(places)
            .map(|(spans, places)| Owners {
                attributes: attributes(spans),
                pool: &spans.pool,
                places,
            })
            .collect()
    }

    /// The places of the owners of a scope that belong to some rows.
    pub(super) fn owners_of_rows(&self, scope: Scope, rows: Range<usize>) -> Range<usize> {
        let children = match scope {
            Scope::Span => return rows,
            Scope::Event => &self.events,
            Scope::Link => &self.links,
        };
        children.offsets[rows.start] as usize..children.offsets[rows.end] as usize
    }

    /// The key that a resource is stored under.
    pub(super) fn resource_key(&self, resource: &Resource) -> u64 {
        self.resources.map_or(resource.hash(), |keys| keys.key_of(resource))
    }

    pub(super) fn owner_count(&self, scope: Scope) -> usize {
        match scope {
            Scope::Span => self.rows.len(),
            Scope::Event => self.events.from.len(),
            Scope::Link => self.links.from.len(),
        }
    }

    pub(super) fn each<T>(&self, rows: &[RowRef], value: impl Fn(&Spans, usize) -> T) -> Vec<T> {
        rows.iter().map(|row| value(self.chunks[row.chunk as usize], row.row as usize)).collect()
    }
}

/// What has no column of its own: everything in the chunks' `rest`, and typed values of keys that were not promoted.
pub(super) struct RestEntry {
    pub place: u32,
    pub key: u32,
    pub kind: u8,
    pub value: u32,
    /// It lies in a typed column of its chunk: only the block has none for it.
    pub is_typed_column: bool,
}

/// The columns of chunks that a block has too: its own, and where those are.
type Parts<'p> = BTreeMap<(&'p str, ScalarType), (&'p Promoted, Vec<(u32, u32)>)>;

/// What has no column in the block; for what has one, notes where it is.
fn rest_entries<'p>(owners: &[Owners<'p>], parts: &mut Parts<'p>) -> RestEntries {
    let mut pool = Pool::default();
    let mut entries = Vec::new();
    let mut room = Vec::new();
    for (chunk, Owners { attributes, pool: from, places }) in (0_u32..).zip(owners) {
        for (place, column) in (0_u32..).zip(attributes.columns()) {
            let (key, scalar) = (from.text(column.key), column.values.scalar_type());
            if let Some((_, parts)) = parts.get_mut(&(key, scalar)) {
                parts.push((chunk, place));
                continue;
            }
            let (key, kind) = (pool.intern(key.as_bytes()), RestType::from(scalar) as u8);
            for (index, owner) in column.owners.iter().enumerate() {
                let place = places[*owner as usize];
                if place != NOWHERE {
                    room.clear();
                    column.values.get(index, from).encode(&mut room);
                    let value = pool.intern(&room);
                    entries.push(RestEntry { place, key, kind, value, is_typed_column: true });
                }
            }
        }
        let rest = &attributes.rest;
        for (index, owner) in rest.owners.iter().enumerate() {
            let place = places[*owner as usize];
            if place != NOWHERE {
                let key = pool.intern(from.get(rest.keys[index]));
                let (kind, value) = (rest.types[index], pool.intern(from.get(rest.values[index])));
                entries.push(RestEntry { place, key, kind, value, is_typed_column: false });
            }
        }
    }
    // Stable: what came first of an owner stays first.
    entries.sort_by_key(|entry| entry.place);
    RestEntries { pool, entries }
}
