//! Rows in trace order → the objects of a block. Sync: CPU work.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use prost::Message;

use super::arrays::{self, Column};
use super::index::{IndexWriter, Section};
use super::leaf::{self, Encoded};
use super::order::{self, UnitPlan};
use super::present::{Present, Rows};
use super::promote::{self, Scope};
use super::resources::ResourceKeys;
use super::source::Source;
use super::survey::Survey;
use super::{Error, bloom, tables};
use crate::columns::{Layout, Spans};
use crate::manifest::ObjectInfo;
use crate::store::keys::BlockObject;

/// Rows of a page: small pages cost little and let a trace be read without its neighbours.
pub(super) const PAGE_ROWS: usize = 4096;

/// A dictionary that grows past this is given up: such values hardly repeat.
const DICTIONARY_BYTES_MAX: usize = 1024 * 1024;

/// Room made for a span in `spans.parquet`: most take less, so that the file is seldom moved while it grows.
const SPAN_BYTES_LIKELY: usize = 64;

/// What the writer cannot know of the spans that it is given.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// Folds of traces that other blocks hold too, sorted.
    pub shared: Vec<u64>,
    /// The section `WalCoverage`, empty if no WAL record is covered.
    pub wal_coverage: Vec<u8>,
}

/// The objects of a block, not yet stored.
pub struct Written {
    pub objects: Vec<(BlockObject, Bytes)>,
    pub spans: u64,
    pub traces: u64,
    /// Earliest start and latest end of a span.
    pub start_unix_nano: u64,
    pub end_unix_nano: u64,
    /// Distinct `service.name`s, sorted.
    pub service_names: Vec<String>,
}

impl Written {
    /// What the list of blocks says of the objects.
    pub fn object_infos(&self) -> Vec<ObjectInfo> {
        self.objects.iter().map(|(object, bytes)| object_info(*object, bytes)).collect()
    }
}

/// What the list of blocks says of an object.
pub fn object_info(object: BlockObject, bytes: &Bytes) -> ObjectInfo {
    ObjectInfo { object, bytes: bytes.len() as u64, crc32c: bloom::crc32c(bytes) }
}

/// Writes the rows of a layout, which may be in any order of traces and must not be empty.
///
/// # Errors
/// When an encoder fails.
pub fn write(chunks: &[&Spans], layout: &Layout, facts: &Facts) -> Result<Written, Error> {
    let layout = &order::sorted(layout);
    let units = order::units(&layout.traces, order::ROW_GROUP_ROWS);
    let resources = keyed_resources(chunks, layout);
    let (spans, mut survey) = write_spans(chunks, layout, &units, &resources)?;
    let traces = write_table(&tables::traces(&layout.traces)?)?;
    let table = write_table(&tables::resources(resources.all())?)?;

    let mut index = IndexWriter::new();
    let entry_table = survey.write_entries(&mut index)?;
    index.add(Section::Directory, &directory(layout))?;
    index.add(Section::SpansTail, &spans.tail())?;
    index.add(Section::TracesTail, &traces.tail())?;
    index.add(Section::ResourcesTail, &table.tail())?;
    index.add(Section::WalCoverage, &facts.wal_coverage)?;
    index.add(
        Section::Shared,
        &facts.shared.iter().flat_map(|f| f.to_le_bytes()).collect::<Vec<_>>(),
    )?;
    index.add(Section::EntryTable, &entry_table)?;
    index.add(Section::Zones, &survey.zones().encode_to_vec())?;

    let mut objects = vec![
        (BlockObject::Spans, spans.bytes),
        (BlockObject::Traces, traces.bytes),
        (BlockObject::Resources, table.bytes),
        (BlockObject::Index, index.finish()),
    ];
    for (shard, object) in (0..).zip(bloom::build(&layout.traces.id)?) {
        objects.push((BlockObject::Bloom(shard), object));
    }
    let mut service_names: Vec<String> =
        resources.all().iter().map(|(_, resource)| resource.service_name().to_string()).collect();
    service_names.sort();
    service_names.dedup();
    Ok(Written {
        objects,
        spans: layout.len() as u64,
        traces: layout.traces.len() as u64,
        start_unix_nano: layout.traces.start.iter().min().copied().unwrap_or_default(),
        end_unix_nano: layout.traces.end.iter().max().copied().unwrap_or_default(),
        service_names,
    })
}

/// A finished Parquet file.
struct File {
    bytes: Bytes,
    metadata: ParquetMetaData,
}

impl File {
    /// Where the page indexes and the footer begin, and all from there: enough to open the file without reading it.
    fn tail(&self) -> Vec<u8> {
        let columns = self.metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
        let offsets = columns.filter_map(ColumnChunkMetaData::offset_index_offset);
        let start = offsets.min().map_or(0, |offset| usize::try_from(offset).unwrap_or(0));
        let mut tail = (start as u64).to_le_bytes().to_vec();
        tail.extend_from_slice(&self.bytes[start..]);
        tail
    }
}

pub(super) fn base_properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_created_by(concat!("vivace ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).expect("level 1 exists")))
        .set_coerce_types(true)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
}

fn write_table(batch: &RecordBatch) -> Result<File, Error> {
    let properties = base_properties().build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    let metadata = writer.close()?;
    Ok(File { bytes: bytes.into(), metadata })
}

fn write_spans<'a>(
    chunks: &[&Spans],
    layout: &Layout,
    units: &[UnitPlan],
    resources: &'a ResourceKeys,
) -> Result<(File, Survey<'a>), Error> {
    let whole = Source::bare(chunks, layout, 0..layout.len());
    let owners = [Scope::Span, Scope::Event, Scope::Link].map(|scope| (scope, whole.owners(scope)));
    let scopes: Vec<_> = owners.iter().map(|(scope, owners)| (*scope, &owners[..])).collect();
    let promoted = promote::choose(&scopes, layout.len());
    drop(owners);
    drop(whole);

    let columns = arrays::columns(&promoted);
    let fields: Vec<Field> = columns.iter().map(Column::field).collect();
    let schema = Arc::new(Schema::new(fields.clone()));
    let mut bytes = Vec::with_capacity(layout.len().saturating_mul(SPAN_BYTES_LIKELY));
    let writer = ArrowWriter::try_new(&mut bytes, schema, Some(base_properties().build()))?;
    let (mut writer, _) = writer.into_serialized_writer()?;
    let groups: Vec<Range<usize>> =
        units.iter().flat_map(|unit| unit.row_groups.iter().cloned()).collect();
    let source = Source::of(chunks, layout, 0..layout.len(), (&promoted, resources));
    let rows = Rows::of(&source, units, resources);
    let mut present = Vec::new();
    let mut encoded: Vec<Vec<Encoded>> = groups.iter().map(|_| Vec::new()).collect();
    // One column after the other, so that only one dense array is in memory.
    let mut first = 0;
    for (column, field) in columns.iter().zip(&fields) {
        let array: ArrayRef = column.array(&source)?;
        present.extend(Present::of(column, &array, &source, &rows));
        let mut next = first;
        for (rows, encoded) in groups.iter().zip(&mut encoded) {
            next = first;
            let schema = writer.schema_descr();
            encoded.extend(leaf::encode(schema, &mut next, (field, &array), rows.clone())?);
        }
        first = next;
    }
    let mut encoded = encoded.into_iter();
    let mut stored = Vec::with_capacity(units.len());
    for unit in units {
        let before = writer.bytes_written();
        for leaves in encoded.by_ref().take(unit.row_groups.len()) {
            let mut row_group = writer.next_row_group()?;
            for Encoded { bytes, close } in leaves {
                row_group.append_column(&bytes, close)?;
            }
            row_group.close()?;
        }
        stored.push((unit.clone(), writer.bytes_written() - before));
    }
    let metadata = writer.close()?;
    let mut survey = Survey::of(resources);
    survey.add(&source, &rows, &present, &stored);
    Ok((File { bytes: bytes.into(), metadata }, survey))
}

/// The resources of the rows and the keys that they are stored under, by key. The key is the hash, but for the second and later ones of
/// one hash, which anybody can make: those get the next free numbers.
fn keyed_resources(chunks: &[&Spans], layout: &Layout) -> ResourceKeys {
    let (index, all) = crate::columns::resources(chunks, &layout.rows);
    let mut used = vec![false; all.len()];
    index.iter().for_each(|resource| used[*resource as usize] = true);
    let used = all.iter().zip(used).filter(|(_, used)| *used);
    ResourceKeys::of(used.map(|(resource, _)| Arc::clone(resource)))
}

fn directory(layout: &Layout) -> Vec<u8> {
    let traces = &layout.traces;
    let mut entries: Vec<(u64, u32, u32)> = (0..traces.len())
        .map(|trace| {
            let rows = traces.rows(trace);
            let count = u32::try_from(rows.len()).expect("a block has less than 4 Gi spans");
            (traces.id[trace].fold(), traces.first_row[trace], count)
        })
        .collect();
    entries.sort_unstable();
    let mut out = Vec::with_capacity(entries.len() * 16);
    for (fold, first, count) in entries {
        out.extend_from_slice(&fold.to_le_bytes());
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
    }
    out
}
