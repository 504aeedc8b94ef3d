//! What the list says about one block.

use uuid::Uuid;

use crate::store::keys::BlockObject;

/// Most service names in an entry; blocks with more have none there, and say that the set is not complete.
pub const SERVICE_NAMES_MAX: usize = 64;

/// Most blocks that an entry names as sharing traces with it; one with more names none, which says any.
pub const SHARED_WITH_MAX: usize = 32;

/// One block: what planning needs before anything of the block is read. Times are nanoseconds since 1970; ranges
/// include both ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockEntry {
    /// `UUIDv7`, made before the first object of the block is written.
    pub id: Uuid,
    /// 0 as cut by an ingester; each compaction adds one to the highest of its inputs.
    pub level: u32,
    pub spans: u64,
    /// Distinct trace ids in this block.
    pub traces: u64,
    /// The earliest start of a span.
    pub start_unix_nano: u64,
    /// The latest end of a span.
    pub end_unix_nano: u64,
    /// When its pushes came in. Retention counts from here.
    pub received_min_unix_nano: u64,
    pub received_max_unix_nano: u64,
    /// Every object of the block, in any order.
    pub objects: Vec<ObjectInfo>,
    /// The values of `service.name`, at most [`SERVICE_NAMES_MAX`] of together 4 KiB.
    pub service_names: Vec<String>,
    /// Whether every span's service name is in `service_names`. A commit of an entry over the limits empties the list
    /// and sets this to false.
    pub service_names_complete: bool,
    /// Traces of this block that were also in other blocks of the manifest it was committed on.
    pub shared_traces: u64,
    /// Those blocks, at most [`SHARED_WITH_MAX`]. Empty though there are shared traces: any block. Blocks may be named that are gone.
    pub shared_with: Vec<Uuid>,
    /// What it holds of write-ahead logs whose segments may still be there. Which spans exactly is in a section of its
    /// `index` object.
    pub wal: Vec<WalCoverage>,
    /// Reserved: empty.
    pub retention_class: String,
    /// Reserved: 0, every span stands for itself.
    pub span_weight: u32,
    /// Reserved: counts, errors and durations by service and name. Empty.
    pub rollup: Vec<u8>,
}

/// One object of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectInfo {
    pub object: BlockObject,
    pub bytes: u64,
    /// CRC32C (Castagnoli) of the whole object.
    pub crc32c: u32,
}

/// Segments of one write-ahead log of which a block holds spans, from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalCoverage {
    pub writer: Uuid,
    pub first_segment: u64,
    pub last_segment: u64,
}

/// Bytes of all service names of an entry, so that one odd block does not fill a manifest.
const SERVICE_NAMES_BYTES_MAX: usize = 4 << 10;

impl BlockEntry {
    /// Whether a span of it may overlap the time from `start` to `end`, both included.
    pub fn overlaps(&self, start_unix_nano: u64, end_unix_nano: u64) -> bool {
        self.start_unix_nano <= end_unix_nano && self.end_unix_nano >= start_unix_nano
    }

    /// Whether a span of this service may be in it.
    pub fn may_have_service(&self, name: &str) -> bool {
        !self.service_names_complete || self.service_names.iter().any(|known| known == name)
    }

    /// Whether a trace of it may also be in this block, as far as its own writer knew: an older block does not know of a younger one.
    pub fn may_share_with(&self, block: Uuid) -> bool {
        self.shared_traces > 0 && (self.shared_with.is_empty() || self.shared_with.contains(&block))
    }

    /// What is known of one of its objects.
    pub fn object(&self, object: BlockObject) -> Option<&ObjectInfo> {
        self.objects.iter().find(|info| info.object == object)
    }

    /// Bytes of all its objects.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|info| info.bytes).sum()
    }

    /// The entry within the limits on service names and on blocks that share its traces.
    pub(super) fn bounded(mut self) -> Self {
        let bytes: usize = self.service_names.iter().map(String::len).sum();
        if self.service_names.len() > SERVICE_NAMES_MAX || bytes > SERVICE_NAMES_BYTES_MAX {
            self.service_names.clear();
            self.service_names_complete = false;
        }
        if self.shared_with.len() > SHARED_WITH_MAX {
            self.shared_with.clear();
        }
        self
    }

    /// When its id was made; 0 for an id without a time.
    pub(super) fn made_unix_milli(&self) -> u64 {
        made_unix_milli(self.id)
    }
}

/// The time in a `UUIDv7`; 0 for any other id.
pub fn made_unix_milli(id: Uuid) -> u64 {
    let Some(made) = id.get_timestamp().filter(|_| id.get_version_num() == 7) else { return 0 };
    let (seconds, nanos) = made.to_unix();
    seconds.saturating_mul(1000).saturating_add(u64::from(nanos) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_range_are_in_it() {
        let entry = BlockEntry { start_unix_nano: 10, end_unix_nano: 20, ..BlockEntry::default() };
        for (start, end, overlaps) in [
            (0, 9, false),
            (0, 10, true),
            (15, 16, true),
            (20, 30, true),
            (21, 30, false),
            (0, u64::MAX, true),
        ] {
            assert_eq!(entry.overlaps(start, end), overlaps, "{start}..={end}");
        }
    }

    #[test]
    fn an_incomplete_set_of_services_excludes_none() {
        let mut entry = BlockEntry {
            service_names: vec!["cart".to_owned()],
            service_names_complete: true,
            ..BlockEntry::default()
        };
        assert!(entry.may_have_service("cart") && !entry.may_have_service("shop"));
        entry.service_names = (0..65).map(|i| i.to_string()).collect();
        let entry = entry.bounded();
        assert!(entry.service_names.is_empty() && entry.may_have_service("shop"));
    }

    #[test]
    fn an_entry_that_names_no_block_shares_with_any() {
        let ids: Vec<Uuid> = (0..40).map(Uuid::from_u128).collect();
        let mut entry = BlockEntry { shared_with: ids[..2].to_vec(), ..BlockEntry::default() };
        assert!(!entry.may_share_with(ids[0]), "nothing is shared");
        entry.shared_traces = 1;
        assert!(entry.may_share_with(ids[1]) && !entry.may_share_with(ids[2]));
        entry.shared_with = ids[..33].to_vec();
        let entry = entry.bounded();
        assert!(entry.shared_with.is_empty() && entry.may_share_with(ids[39]));
    }

    #[test]
    fn the_time_of_an_id_is_its_milliseconds() {
        let id = Uuid::from_u128(0x0193_5a2b_7c00_7000_8000_0000_0000_0001);
        assert_eq!(made_unix_milli(id), 0x0193_5a2b_7c00);
        assert_eq!(made_unix_milli(Uuid::from_u128(5)), 0);
    }
}
