//! One version of the list, in memory.

use std::collections::HashSet;
use std::sync::Arc;

use prost::Message;
use uuid::Uuid;

use super::entry::BlockEntry;
use super::envelope;
use super::envelope::Identity;
use super::wire;

/// Commit ids that a manifest carries.
pub(super) const RECENT_COMMITS: usize = 128;

/// One version of a tenant's list: it never changes.
#[derive(Debug)]
pub struct Manifest {
    pub(super) identity: Identity,
    pub(super) min_writer: u32,
    pub(super) min_reader: u32,
    pub(super) fence_unix_milli: u64,
    pub(super) recent_commits: Vec<Uuid>,
    /// Blocks that are in no segment.
    pub(super) inline: Vec<Arc<BlockEntry>>,
    /// Blocks that are in a segment, but not in the list.
    pub(super) removed: HashSet<Uuid>,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) tombstones: Vec<Vec<u8>>,
    pub(super) watermarks: Vec<Vec<u8>>,
    /// All of the above, by start and id.
    pub(super) blocks: Vec<Arc<BlockEntry>>,
}

/// A piece of the list.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) id: Uuid,
    pub(super) bytes: u64,
    pub(super) crc32c: u32,
    pub(super) entries: Vec<Arc<BlockEntry>>,
}

impl Manifest {
    /// The version number; 0 for a tenant that was never written to.
    pub fn number(&self) -> u64 {
        self.identity.number
    }

    /// The blocks that exist, by the start of their spans.
    pub fn blocks(&self) -> &[Arc<BlockEntry>] {
        &self.blocks
    }

    /// The blocks that may have a span that overlaps the time from `start` to `end`, both included.
    pub fn overlapping(
        &self,
        start_unix_nano: u64,
        end_unix_nano: u64,
    ) -> impl DoubleEndedIterator<Item = &Arc<BlockEntry>> {
        let end = self.blocks.partition_point(|block| block.start_unix_nano <= end_unix_nano);
        self.blocks[..end].iter().filter(move |block| block.end_unix_nano >= start_unix_nano)
    }

    /// One block. Looks through all.
    pub fn block(&self, id: Uuid) -> Option<&Arc<BlockEntry>> {
        self.blocks.iter().find(|block| block.id == id)
    }

    /// No block whose id was made before this can be added any more, in milliseconds since 1970.
    pub fn fence_unix_milli(&self) -> u64 {
        self.fence_unix_milli
    }

    pub(super) fn has_commit(&self, commit: Uuid) -> bool {
        self.recent_commits.contains(&commit)
    }

    /// Of a tenant without a manifest.
    pub(super) fn empty() -> Self {
        Self {
            identity: Identity { number: 0, writer: Uuid::nil(), id: Uuid::nil() },
            min_writer: 0,
            min_reader: 0,
            fence_unix_milli: 0,
            recent_commits: Vec::new(),
            inline: Vec::new(),
            removed: HashSet::new(),
            segments: Vec::new(),
            tombstones: Vec::new(),
            watermarks: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// From a body and the segments that it names, in its order.
    pub(super) fn from_wire(
        identity: Identity,
        body: wire::Manifest,
        segments: Vec<Arc<Segment>>,
    ) -> Result<Self, String> {
        let entry = |block: wire::Block| block.into_entry();
        let manifest = Self {
            identity,
            min_writer: body.min_writer,
            min_reader: body.min_reader,
            fence_unix_milli: body.fence_unix_milli,
            recent_commits: wire::ids(&body.recent_commits)?,
            inline: body.blocks.into_iter().map(entry).collect::<Result<_, _>>()?,
            removed: wire::ids(&body.removed)?.into_iter().collect(),
            segments,
            tombstones: body.tombstones,
            watermarks: body.watermarks,
            blocks: Vec::new(),
        };
        Ok(manifest.with_blocks())
    }

    /// Puts the list together from its parts.
    pub(super) fn with_blocks(mut self) -> Self {
        let segments = self.segments.iter().flat_map(|segment| &segment.entries);
        let listed = segments.filter(|block| !self.removed.contains(&block.id));
        self.blocks = listed.chain(&self.inline).map(Arc::clone).collect();
        self.blocks.sort_unstable_by_key(|block| (block.start_unix_nano, block.id));
        self
    }

    pub(super) fn to_wire(&self) -> wire::Manifest {
        let mut removed: Vec<Uuid> = self.removed.iter().copied().collect();
        removed.sort_unstable();
        wire::Manifest {
            min_reader: self.min_reader,
            min_writer: self.min_writer,
            fence_unix_milli: self.fence_unix_milli,
            recent_commits: wire::bytes_of(&self.recent_commits),
            blocks: self.inline.iter().map(|block| wire::Block::from(&**block)).collect(),
            removed: wire::bytes_of(&removed),
            segments: self.segments.iter().map(|segment| segment.reference()).collect(),
            tombstones: self.tombstones.clone(),
            watermarks: self.watermarks.clone(),
        }
    }

    /// The object.
    pub(super) fn seal(&self) -> bytes::Bytes {
        let body = self.to_wire().encode_to_vec();
        envelope::seal(envelope::Kind::Manifest, self.identity, &body)
    }
}

impl Segment {
    fn reference(&self) -> wire::SegmentRef {
        let starts = self.entries.iter().map(|block| block.start_unix_nano);
        let ends = self.entries.iter().map(|block| block.end_unix_nano);
        wire::SegmentRef {
            id: self.id.as_bytes().to_vec(),
            bytes: self.bytes,
            crc32c: self.crc32c,
            blocks: u32::try_from(self.entries.len()).expect("some hundred blocks"),
            start_unix_nano: starts.min().unwrap_or_default(),
            end_unix_nano: ends.max().unwrap_or_default(),
        }
    }

    /// A new piece, and its object.
    pub(super) fn seal(writer: Uuid, entries: Vec<Arc<BlockEntry>>) -> (Self, bytes::Bytes) {
        let id = Uuid::now_v7();
        let blocks = entries.iter().map(|block| wire::Block::from(&**block)).collect();
        let body = wire::Segment { min_reader: wire::VERSION, blocks }.encode_to_vec();
        let identity = Identity { number: 0, writer, id };
        let object = envelope::seal(envelope::Kind::Segment, identity, &body);
        let crc32c = envelope::crc32c(&object);
        (Self { id, bytes: object.len() as u64, crc32c, entries }, object)
    }

    /// The inverse, for the object that `reference` names; or what is wrong with it.
    pub(super) fn open(reference: &wire::SegmentRef, object: &[u8]) -> Result<Self, String> {
        let (bytes, crc32c) = (object.len() as u64, envelope::crc32c(object));
        if bytes != reference.bytes || crc32c != reference.crc32c {
            return Err("not the segment that the manifest names".to_owned());
        }
        let (identity, body) = envelope::open(envelope::Kind::Segment, object)?;
        let body = wire::Segment::decode(&*body).map_err(|e| e.to_string())?;
        if body.min_reader > wire::VERSION {
            return Err(format!("needs a reader of version {}", body.min_reader));
        }
        let entries =
            body.blocks.into_iter().map(wire::Block::into_entry).collect::<Result<_, _>>()?;
        Ok(Self { id: identity.id, bytes, crc32c, entries })
    }
}
