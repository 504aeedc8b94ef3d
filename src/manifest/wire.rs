//! The protobuf messages, and what they become.

use std::sync::Arc;

use prost::Message;
use uuid::Uuid;

use super::entry::BlockEntry;
use super::entry::ObjectInfo;
use super::entry::WalCoverage;
use crate::store::keys::BlockObject;

/// What this program reads and writes.
pub(super) const VERSION: u32 = 1;

/// The body of a manifest.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Manifest {
    #[prost(uint32, tag = "1")]
    pub(super) min_reader: u32,
    #[prost(uint32, tag = "2")]
    pub(super) min_writer: u32,
    #[prost(uint64, tag = "3")]
    pub(super) fence_unix_milli: u64,
    /// 16 bytes each, oldest first, this manifest's last.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) recent_commits: Vec<u8>,
    #[prost(message, repeated, tag = "5")]
    pub(super) blocks: Vec<Block>,
    /// 16 bytes each: ids of blocks that are in a segment below, but were removed.
    #[prost(bytes = "vec", tag = "6")]
    pub(super) removed: Vec<u8>,
    #[prost(message, repeated, tag = "7")]
    pub(super) segments: Vec<SegmentRef>,
    /// Reserved: erasure by trace or query.
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub(super) tombstones: Vec<Vec<u8>>,
    /// Reserved: how far each writer's spans are in blocks.
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub(super) watermarks: Vec<Vec<u8>>,
}

/// The body of a segment.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Segment {
    #[prost(uint32, tag = "1")]
    pub(super) min_reader: u32,
    #[prost(message, repeated, tag = "2")]
    pub(super) blocks: Vec<Block>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SegmentRef {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(super) bytes: u64,
    /// Of the whole object.
    #[prost(fixed32, tag = "3")]
    pub(super) crc32c: u32,
    #[prost(uint32, tag = "4")]
    pub(super) blocks: u32,
    /// The time window: earliest start and latest end of its blocks.
    #[prost(fixed64, tag = "5")]
    pub(super) start_unix_nano: u64,
    #[prost(fixed64, tag = "6")]
    pub(super) end_unix_nano: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Block {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(uint32, tag = "2")]
    level: u32,
    #[prost(uint64, tag = "3")]
    spans: u64,
    #[prost(uint64, tag = "4")]
    traces: u64,
    #[prost(fixed64, tag = "5")]
    start_unix_nano: u64,
    #[prost(fixed64, tag = "6")]
    end_unix_nano: u64,
    #[prost(fixed64, tag = "7")]
    received_min_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    received_max_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    objects: Vec<Object>,
    #[prost(string, repeated, tag = "10")]
    service_names: Vec<String>,
    #[prost(bool, tag = "11")]
    service_names_complete: bool,
    #[prost(uint64, tag = "12")]
    shared_traces: u64,
    #[prost(message, repeated, tag = "13")]
    wal: Vec<Coverage>,
    /// Reserved.
    #[prost(string, tag = "14")]
    retention_class: String,
    /// Reserved.
    #[prost(uint32, tag = "15")]
    span_weight: u32,
    /// Reserved.
    #[prost(bytes = "vec", tag = "16")]
    rollup: Vec<u8>,
    /// 16 bytes each. A writer that does not know the field drops it, which says that any block may share.
    #[prost(bytes = "vec", tag = "17")]
    shared_with: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Object {
    /// 1 spans, 2 traces, 3 resources, 4 bloom, 5 index, 6 meta. Others are of later versions, and skipped.
    #[prost(uint32, tag = "1")]
    kind: u32,
    /// Of a bloom.
    #[prost(uint32, tag = "2")]
    shard: u32,
    #[prost(uint64, tag = "3")]
    bytes: u64,
    #[prost(fixed32, tag = "4")]
    crc32c: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Coverage {
    #[prost(bytes = "vec", tag = "1")]
    writer: Vec<u8>,
    #[prost(uint64, tag = "2")]
    first_segment: u64,
    #[prost(uint64, tag = "3")]
    last_segment: u64,
}

pub(super) fn id(bytes: &[u8]) -> Result<Uuid, String> {
    Uuid::from_slice(bytes).map_err(|_| format!("an id of {} bytes", bytes.len()))
}

pub(super) fn ids(bytes: &[u8]) -> Result<Vec<Uuid>, String> {
    let (ids, []) = bytes.as_chunks::<16>() else {
        return Err(format!("ids of together {} bytes", bytes.len()));
    };
    Ok(ids.iter().map(|id| Uuid::from_bytes(*id)).collect())
}

pub(super) fn bytes_of<'a>(ids: impl IntoIterator<Item = &'a Uuid>) -> Vec<u8> {
    ids.into_iter().flat_map(|id| *id.as_bytes()).collect()
}

impl From<&BlockEntry> for Block {
    fn from(entry: &BlockEntry) -> Self {
        let BlockEntry {
            id,
            level,
            spans,
            traces,
            start_unix_nano,
            end_unix_nano,
            received_min_unix_nano,
            received_max_unix_nano,
            objects,
            service_names,
            service_names_complete,
            shared_traces,
            shared_with,
            wal,
            retention_class,
            span_weight,
            rollup,
        } = entry;
        Self {
            id: id.as_bytes().to_vec(),
            level: *level,
            spans: *spans,
            traces: *traces,
            start_unix_nano: *start_unix_nano,
            end_unix_nano: *end_unix_nano,
            received_min_unix_nano: *received_min_unix_nano,
            received_max_unix_nano: *received_max_unix_nano,
            objects: objects.iter().map(Object::from).collect(),
            service_names: service_names.clone(),
            service_names_complete: *service_names_complete,
            shared_traces: *shared_traces,
            shared_with: bytes_of(shared_with),
            wal: wal.iter().map(Coverage::from).collect(),
            retention_class: retention_class.clone(),
            span_weight: *span_weight,
            rollup: rollup.clone(),
        }
    }
}

impl Block {
    pub(super) fn into_entry(self) -> Result<Arc<BlockEntry>, String> {
        let coverage = |coverage: &Coverage| {
            let Coverage { writer, first_segment, last_segment } = coverage;
            let writer = id(writer)?;
            Ok(WalCoverage { writer, first_segment: *first_segment, last_segment: *last_segment })
        };
        Ok(Arc::new(BlockEntry {
            id: id(&self.id)?,
            level: self.level,
            spans: self.spans,
            traces: self.traces,
            start_unix_nano: self.start_unix_nano,
            end_unix_nano: self.end_unix_nano,
            received_min_unix_nano: self.received_min_unix_nano,
            received_max_unix_nano: self.received_max_unix_nano,
            objects: self.objects.iter().filter_map(Object::info).collect(),
            service_names: self.service_names,
            service_names_complete: self.service_names_complete,
            shared_traces: self.shared_traces,
            shared_with: ids(&self.shared_with)?,
            wal: self.wal.iter().map(coverage).collect::<Result<_, String>>()?,
            retention_class: self.retention_class,
            span_weight: self.span_weight,
            rollup: self.rollup,
        }))
    }
}

impl From<&ObjectInfo> for Object {
    fn from(info: &ObjectInfo) -> Self {
        let ObjectInfo { object, bytes, crc32c } = *info;
        let (kind, shard) = match object {
            BlockObject::Spans => (1, 0),
            BlockObject::Traces => (2, 0),
            BlockObject::Resources => (3, 0),
            BlockObject::Bloom(shard) => (4, shard),
            BlockObject::Index => (5, 0),
            BlockObject::Meta => (6, 0),
        };
        Self { kind, shard, bytes, crc32c }
    }
}

impl Object {
    fn info(&self) -> Option<ObjectInfo> {
        let object = match self.kind {
            1 => BlockObject::Spans,
            2 => BlockObject::Traces,
            3 => BlockObject::Resources,
            4 => BlockObject::Bloom(self.shard),
            5 => BlockObject::Index,
            6 => BlockObject::Meta,
            _ => return None,
        };
        Some(ObjectInfo { object, bytes: self.bytes, crc32c: self.crc32c })
    }
}

impl From<&WalCoverage> for Coverage {
    fn from(coverage: &WalCoverage) -> Self {
        let WalCoverage { writer, first_segment, last_segment } = coverage;
        Self {
            writer: writer.as_bytes().to_vec(),
            first_segment: *first_segment,
            last_segment: *last_segment,
        }
    }
}
