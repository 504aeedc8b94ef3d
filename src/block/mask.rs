//! Which leaves of `spans.parquet` a projection needs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::schema::types::ColumnDescriptor;

use super::open::Block;
use super::promote::{Promoted, Scope};
use super::zones::KeyScope;
use crate::columns::{Projection, ScalarType, SpanColumn};

/// The leaves of the projections that were asked for last: the units of a query all have the same.
#[derive(Default)]
pub(super) struct LastMasks(Mutex<VecDeque<(Projection, ProjectionMask)>>);

/// Of a search or a comparison at once.
const LAST_MASKS: usize = 4;

impl Block {
    /// The leaves that spans of a projection are restored from: those of events and links whole.
    pub(super) fn mask_to_restore(
        &self,
        spans: &ArrowReaderMetadata,
        projection: &Projection,
    ) -> ProjectionMask {
        let mask = self.mask(spans, projection);
        let wanted = |(leaf, column): (usize, &Arc<ColumnDescriptor>)| {
            let root = column.path().parts()[0].as_str();
            let is_whole = match root {
                "trace_id" => true,
                "events" => projection.events.is_some(),
                "links" => projection.links.is_some(),
                _ => false,
            };
            (is_whole || mask.leaf_included(leaf)).then_some(leaf)
        };
        let schema = spans.parquet_schema();
        let leaves = schema.columns().iter().enumerate().filter_map(wanted);
        ProjectionMask::leaves(schema, leaves.collect::<Vec<_>>())
    }

    /// The leaves of `spans.parquet` that a projection needs.
    pub(super) fn mask(
        &self,
        spans: &ArrowReaderMetadata,
        projection: &Projection,
    ) -> ProjectionMask {
        let mut last = self.last_masks.0.lock();
        if let Some((_, mask)) = last.iter().find(|(known, _)| known == projection) {
            return mask.clone();
        }
        let mask = self.new_mask(spans, projection);
        last.push_front((projection.clone(), mask.clone()));
        last.truncate(LAST_MASKS);
        mask
    }

    fn new_mask(&self, spans: &ArrowReaderMetadata, projection: &Projection) -> ProjectionMask {
        let wanted = Wanted::of(projection, |scope, key| {
            let found = self.catalog.find(scope, key);
            found.is_some_and(|key| self.zones.keys[key as usize].rest)
                || self.catalog.is_incomplete(scope)
        });
        let schema = spans.parquet_schema();
        let leaves = schema
            .columns()
            .iter()
            .enumerate()
            .filter(|(_, column)| wanted.has(column.path().parts()))
            .map(|(index, _)| index)
            .collect::<Vec<_>>();
        ProjectionMask::leaves(schema, leaves)
    }
}

/// Names of wanted columns. Keys may hold dots, so paths are compared part by part.
struct Wanted {
    columns: BTreeSet<&'static str>,
    attributes: BTreeSet<String>,
    /// Names of fields within `events` and `links`.
    children: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Wanted {
    fn of(projection: &Projection, in_rest: impl Fn(KeyScope, &str) -> bool) -> Self {
        let Projection { columns, attributes, events, links } = projection;
        let mut wanted = Self {
            columns: BTreeSet::new(),
            attributes: BTreeSet::new(),
            children: BTreeMap::new(),
        };
        for column in columns {
            let names: &[&'static str] = match column {
                SpanColumn::SpanId => &["span_id"],
                // A parent's id stands in the parent's row.
                SpanColumn::ParentId => &["span_id", "parent_span_id", "parent_delta"],
                SpanColumn::Tree => &["parent_delta", "subtree", "top"],
                SpanColumn::Tops => &["top"],
                SpanColumn::Start => &["start_ns"],
                SpanColumn::Duration => &["start_ns", "duration_ns"],
                SpanColumn::Name => &["name"],
                SpanColumn::Kind => &["kind"],
                SpanColumn::Status => &["status"],
                SpanColumn::StatusMessage => &["status_message"],
                SpanColumn::Resource => &["resource"],
            };
            wanted.columns.extend(names);
        }
        wanted.attributes = promoted_names(Scope::Span, attributes);
        if attributes.iter().any(|key| in_rest(KeyScope::Span, key)) {
            wanted.columns.insert("attributes_rest");
        }
        let rest = |scope, keys: &BTreeSet<String>| {
            keys.iter().any(|key| in_rest(scope, key)).then(|| "attributes_rest".to_owned())
        };
        if let Some(events) = events {
            // One column is always read: it tells how many there are.
            let mut fields = promoted_names(Scope::Event, &events.attributes);
            fields.extend(rest(KeyScope::Event, &events.attributes));
            fields.extend(events.name.then(|| "name".to_owned()));
            fields.insert("time_offset_ns".to_owned());
            wanted.children.insert("events", fields);
            wanted.columns.insert("start_ns");
        }
        if let Some(links) = links {
            let mut fields = promoted_names(Scope::Link, &links.attributes);
            fields.extend(rest(KeyScope::Link, &links.attributes));
            fields.extend(["trace_id".to_owned(), "span_id".to_owned()]);
            wanted.children.insert("links", fields);
        }
        wanted
    }

    fn has(&self, path: &[String]) -> bool {
        let root = path[0].as_str();
        if let Some(fields) = self.children.get(root) {
            // events . list . element . <field> …
            return path.get(3).is_some_and(|field| fields.contains(field));
        }
        self.columns.contains(root) || self.attributes.contains(root)
    }
}

fn promoted_names(scope: Scope, keys: &BTreeSet<String>) -> BTreeSet<String> {
    let names = keys.iter().flat_map(|key| {
        ScalarType::ALL.map(|scalar| Promoted { scope, key: key.clone(), scalar }.column_name())
    });
    names.collect()
}
