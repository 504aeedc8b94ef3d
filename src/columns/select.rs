//! A batch out of chunks: a layout, and of it the columns that a projection asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::batch::{
    AttributeValues, Batch, EventBatch, EventProjection, LinkBatch, LinkProjection, Projection,
    SpanColumn, TreeColumns,
};
use super::gather::{self, NOWHERE, Owners};
use super::layout::{Layout, RowRef};
use super::resource::Resource;
use super::spans::Spans;

/// The columns that `projection` asks for, of the rows of a layout.
pub fn batch(chunks: &[&Spans], layout: &Layout, projection: &Projection) -> Batch {
    let rows = &layout.rows;
    let each = |value: &dyn Fn(&Spans, usize) -> u64| -> Vec<u64> {
        rows.iter().map(|row| value(chunks[row.chunk as usize], row.row as usize)).collect()
    };
    let mut batch = Batch { traces: Arc::new(layout.traces.clone()), ..Batch::default() };
    for column in &projection.columns {
        match column {
            SpanColumn::SpanId => batch.span_id = ids(chunks, rows, |spans| &spans.span_id),
            SpanColumn::ParentId => batch.parent_id = ids(chunks, rows, |spans| &spans.parent_id),
            SpanColumn::Tree => batch.tree = tree(layout),
            SpanColumn::Tops => batch.tree.top = layout.top.clone().into(),
            SpanColumn::Start => batch.start = each(&|spans, row| spans.start[row]).into(),
            SpanColumn::Duration => batch.duration = each(&Spans::duration).into(),
            SpanColumn::Name => {
                batch.name = Some(gather::strings(chunks, rows, |spans| &spans.name));
            }
            SpanColumn::Kind => batch.kind = ids(chunks, rows, |spans| &spans.kind).into(),
            SpanColumn::Status => {
                let status = ids(chunks, rows, |spans| &spans.status);
                batch.status = status.into_iter().map(|code| code.max(0)).collect();
            }
            SpanColumn::StatusMessage => {
                let texts = gather::strings(chunks, rows, |spans| &spans.status_message);
                batch.status_message = Some(texts);
            }
            SpanColumn::Resource => (batch.resource, batch.resources) = resources(chunks, rows),
        }
    }
    attributes(chunks, layout, projection, &mut batch);
    batch
}

fn ids<T: Copy>(chunks: &[&Spans], rows: &[RowRef], column: impl Fn(&Spans) -> &[T]) -> Vec<T> {
    rows.iter().map(|row| column(chunks[row.chunk as usize])[row.row as usize]).collect()
}

fn tree(layout: &Layout) -> TreeColumns {
    TreeColumns {
        parent_delta: layout.parent_delta.clone().into(),
        subtree: layout.subtree.clone().into(),
        top: layout.top.clone().into(),
    }
}

/// One numbering of the resources of all chunks, by content.
pub fn resources(
    chunks: &[&Spans],
    rows: &[RowRef],
) -> (arrow::buffer::ScalarBuffer<u32>, Arc<Vec<Arc<Resource>>>) {
    let mut all = Spans::default();
    let told: Vec<Vec<u32>> = chunks
        .iter()
        .map(|spans| spans.resources.iter().map(|resource| all.adopt(resource)).collect())
        .collect();
    let index = |row: &RowRef| {
        told[row.chunk as usize][chunks[row.chunk as usize].resource[row.row as usize] as usize]
    };
    (rows.iter().map(index).collect(), Arc::new(all.resources))
}

fn attributes(chunks: &[&Spans], layout: &Layout, projection: &Projection, batch: &mut Batch) {
    let Projection { columns: _, attributes, events, links } = projection;
    if attributes.is_empty() && events.is_none() && links.is_none() {
        return;
    }
    let places = gather::places(chunks, &layout.rows);
    let owners = owners_of(chunks, &places);
    for key in attributes {
        if let Some(values) = gather::attribute(&owners, key, layout.len()) {
            batch.attributes.insert(key.clone(), values);
        }
    }
    if let Some(events) = events {
        batch.events = Some(event_batch(chunks, &places, layout.len(), events));
    }
    if let Some(links) = links {
        batch.links = Some(link_batch(chunks, &places, layout.len(), links));
    }
}

/// Attributes of some rows of a layout, by their places in it: one row for each. Keys that none of them has are left out.
pub fn attributes_of(
    chunks: &[&Spans],
    layout: &Layout,
    rows: &[u32],
    keys: &BTreeSet<String>,
) -> BTreeMap<String, AttributeValues> {
    let rows: Vec<RowRef> = rows.iter().map(|row| layout.rows[*row as usize]).collect();
    let places = gather::places(chunks, &rows);
    keyed(&owners_of(chunks, &places), keys, rows.len())
}

/// The attributes of the chunks' spans, and where the spans go.
fn owners_of<'a>(chunks: &[&'a Spans], places: &'a [Vec<u32>]) -> Vec<Owners<'a>> {
    let owners = |(spans, places): (&&'a Spans, &'a Vec<u32>)| Owners {
        attributes: &spans.attributes,
        pool: &spans.pool,
        places,
    };
    chunks.iter().zip(places).map(owners).collect()
}

/// Events or links of some chunks in the order of the laid-out rows that own them.
pub struct Children {
    /// Those of row `r` are `offsets[r] .. offsets[r + 1]`.
    pub offsets: Vec<u32>,
    /// Where each comes from: chunk, and index within the chunk's events or links.
    pub from: Vec<RowRef>,
    /// For each chunk and child the place it has in `from`, or [`NOWHERE`].
    pub places: Vec<Vec<u32>>,
}

impl Children {
    /// `rows_of` gives the owning row of each child of a chunk, ascending.
    pub fn of(
        chunks: &[&Spans],
        row_places: &[Vec<u32>],
        count: usize,
        rows_of: impl Fn(&Spans) -> &[u32],
    ) -> Self {
        let mut sizes = vec![0_u32; count + 1];
        for (spans, places) in chunks.iter().zip(row_places) {
            for row in rows_of(spans) {
                if places[*row as usize] != NOWHERE {
                    sizes[places[*row as usize] as usize + 1] += 1;
                }
            }
        }
        let mut offsets = sizes;
        for index in 1..offsets.len() {
            offsets[index] += offsets[index - 1];
        }
        let total = offsets[count] as usize;
        let mut next = offsets.clone();
        let mut from = vec![RowRef { chunk: 0, row: 0 }; total];
        let mut places = Vec::with_capacity(chunks.len());
        for (chunk, (spans, row_places)) in (0_u32..).zip(chunks.iter().zip(row_places)) {
            let mut of_chunk = Vec::with_capacity(rows_of(spans).len());
            for (child, row) in (0_u32..).zip(rows_of(spans)) {
                let owner = row_places[*row as usize];
                if owner == NOWHERE {
                    of_chunk.push(NOWHERE);
                    continue;
                }
                let place = next[owner as usize];
                next[owner as usize] += 1;
                from[place as usize] = RowRef { chunk, row: child };
                of_chunk.push(place);
            }
            places.push(of_chunk);
        }
        Self { offsets, from, places }
    }
}

fn event_batch(
    chunks: &[&Spans],
    row_places: &[Vec<u32>],
    count: usize,
    projection: &EventProjection,
) -> EventBatch {
    let EventProjection { name, time, attributes } = projection;
    let Children { offsets, from, places } =
        Children::of(chunks, row_places, count, |spans| &spans.events.row);
    let owners: Vec<Owners<'_>> = chunks
        .iter()
        .zip(&places)
        .map(|(spans, places)| Owners {
            attributes: &spans.events.attributes,
            pool: &spans.pool,
            places,
        })
        .collect();
    EventBatch {
        time: if *time {
            ids(chunks, &from, |spans| &spans.events.time).into()
        } else {
            Vec::new().into()
        },
        name: name.then(|| gather::strings(chunks, &from, |spans| &spans.events.name)),
        attributes: keyed(&owners, attributes, from.len()),
        offsets,
    }
}

fn link_batch(
    chunks: &[&Spans],
    row_places: &[Vec<u32>],
    count: usize,
    projection: &LinkProjection,
) -> LinkBatch {
    let LinkProjection { ids: with_ids, attributes } = projection;
    let Children { offsets, from, places } =
        Children::of(chunks, row_places, count, |spans| &spans.links.row);
    let owners: Vec<Owners<'_>> = chunks
        .iter()
        .zip(&places)
        .map(|(spans, places)| Owners {
            attributes: &spans.links.attributes,
            pool: &spans.pool,
            places,
        })
        .collect();
    let id_bytes = |codes: &dyn Fn(&Spans) -> &[u32]| -> Vec<Vec<u8>> {
        let bytes = |row: &RowRef| {
            let spans = chunks[row.chunk as usize];
            spans.pool.get(codes(spans)[row.row as usize]).to_vec()
        };
        if *with_ids { from.iter().map(bytes).collect() } else { Vec::new() }
    };
    LinkBatch {
        trace_id: id_bytes(&|spans| &spans.links.trace_id),
        span_id: id_bytes(&|spans| &spans.links.span_id),
        attributes: keyed(&owners, attributes, from.len()),
        offsets,
    }
}

fn keyed(
    owners: &[Owners<'_>],
    keys: &BTreeSet<String>,
    count: usize,
) -> BTreeMap<String, AttributeValues> {
    let values = |key: &String| Some((key.clone(), gather::attribute(owners, key, count)?));
    keys.iter().filter_map(values).collect()
}
