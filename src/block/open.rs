//! Blocks opened and kept: the decoded index of each, its resources and trace table.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use bytes::Bytes;
use parquet::DecodeResult;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataPushDecoder, RowGroupMetaData};
use prost::Message;
use quick_cache::OptionsBuilder;
use quick_cache::sync::{Cache, DefaultLifecycle};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::Error;
use super::bloom::{self, Shard};
use super::index::{IndexReader, Section, u64_at};
use super::resources::ResourceTable;
use super::zones::{Catalog, Zones};
use crate::columns::TraceTable;
use crate::runtime::Cpu;
use crate::store::Store;
use crate::store::keys::{self, BlockObject};
use crate::tenant::TenantId;
use crate::trace::TraceId;

/// Opens blocks and keeps what it has decoded, within a bound of bytes.
#[derive(Clone)]
pub struct Blocks {
    store: Store,
    cpu: Cpu,
    open: Arc<BoundedCache<Uuid, Arc<Block>>>,
    shards: Arc<BoundedCache<(Uuid, u32), Arc<Shard>>>,
    filter_cache_bytes: u64,
}

type BoundedCache<K, V> = Cache<K, V, ByBytes, foldhash::fast::RandomState>;

/// Share of the cache that bloom shards may take, and so much again the packs of traces.
const FILTER_SHARE: u64 = 8;

#[derive(Clone)]
struct ByBytes;

impl quick_cache::Weighter<Uuid, Arc<Block>> for ByBytes {
    fn weight(&self, _: &Uuid, block: &Arc<Block>) -> u64 {
        block.memory_bytes
    }
}

impl quick_cache::Weighter<(Uuid, u32), Arc<Shard>> for ByBytes {
    fn weight(&self, _: &(Uuid, u32), shard: &Arc<Shard>) -> u64 {
        shard.memory_bytes() as u64
    }
}

/// An opened block.
pub struct Block {
    pub(super) store: Store,
    pub(super) cpu: Cpu,
    pub(super) tenant: TenantId,
    pub(super) id: Uuid,
    pub(super) index: Index,
    pub(super) resources: OnceCell<Arc<ResourceTable>>,
    /// One per unit.
    pub(super) traces: OnceCell<Vec<Arc<TraceTable>>>,
    /// What it may grow to: an estimate made when it is opened.
    memory_bytes: u64,
}

/// The decoded `index` object.
pub(super) struct Index {
    /// Of the whole object, which sections are slices of.
    stored_bytes: usize,
    directory: Bytes,
    shared: Bytes,
    wal_coverage: Bytes,
    /// The section `Values`, as it is stored.
    pub values: Bytes,
    pub zones: Zones,
    pub catalog: Catalog,
    pub spans: ArrowReaderMetadata,
    pub traces: ArrowReaderMetadata,
    pub resources: ArrowReaderMetadata,
}

/// A trace's spans in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub first_row: u64,
    pub rows: u64,
}

/// A cache in one piece: of one in many pieces each would refuse what is larger than itself.
fn cache<K: Eq + Hash, V: Clone>(bytes: u64) -> BoundedCache<K, V>
where
    ByBytes: quick_cache::Weighter<K, V>,
{
    let options = OptionsBuilder::new()
        .shards(1)
        .estimated_items_capacity(1024)
        .weight_capacity(bytes)
        .build()
        .expect("all that must be given is given");
    let hasher = foldhash::fast::RandomState::default();
    Cache::with_options(options, ByBytes, hasher, DefaultLifecycle::default())
}

const DIRECTORY_ENTRY: usize = 16;

impl Blocks {
    pub fn new(store: Store, cpu: Cpu, cache_bytes: u64) -> Self {
        let filter_cache_bytes = cache_bytes / FILTER_SHARE;
        Self {
            store,
            cpu,
            open: Arc::new(cache(cache_bytes - 2 * filter_cache_bytes)),
            shards: Arc::new(cache(filter_cache_bytes)),
            filter_cache_bytes,
        }
    }

    /// Memory of decoded filters: so much is left for the packs, too.
    pub fn filter_cache_bytes(&self) -> u64 {
        self.filter_cache_bytes
    }

    /// Opens a block with one GET, or finds it in the cache.
    ///
    /// # Errors
    /// When the index cannot be read or is damaged.
    pub async fn open(&self, tenant: &TenantId, id: Uuid) -> Result<Arc<Block>, Error> {
        let load = async {
            let key = keys::block(tenant, id, BlockObject::Index);
            let object = self.store.get(&key).await?;
            let index = self.cpu.run(move || Index::decode(object)).await?;
            Ok(Arc::new(Block {
                store: self.store.clone(),
                cpu: self.cpu.clone(),
                tenant: tenant.clone(),
                id,
                memory_bytes: index.memory_bytes(),
                index,
                resources: OnceCell::new(),
                traces: OnceCell::new(),
            }))
        };
        self.open.get_or_insert_async(&id, load).await
    }

    /// Whether a block may hold a trace, by its bloom filter. `false` is certain.
    ///
    /// # Errors
    /// When the shard cannot be read or is damaged.
    pub async fn may_contain(
        &self,
        tenant: &TenantId,
        block: Uuid,
        shards: u32,
        id: TraceId,
    ) -> Result<bool, Error> {
        let number = bloom::shard_of(id, shards.max(1));
        let load = async {
            let key = keys::block(tenant, block, BlockObject::Bloom(number));
            Ok::<_, Error>(Arc::new(Shard::decode(&self.store.get(&key).await?)?))
        };
        let shard = self.shards.get_or_insert_async(&(block, number), load).await?;
        Ok(shard.may_contain(id))
    }
}

impl Index {
    fn decode(object: Bytes) -> Result<Self, Error> {
        let stored_bytes = object.len();
        let reader = IndexReader::open(object)?;
        let zones = Zones::decode(reader.section(Section::Zones)?)?;
        Ok(Self {
            stored_bytes,
            directory: reader.section(Section::Directory)?,
            shared: reader.section(Section::Shared)?,
            wal_coverage: reader.section(Section::WalCoverage)?,
            values: reader.section(Section::Values)?,
            catalog: Catalog::of(&zones, reader.section(Section::ValueFilters)?),
            zones,
            spans: metadata(&reader.section(Section::SpansTail)?)?,
            traces: metadata(&reader.section(Section::TracesTail)?)?,
            resources: metadata(&reader.section(Section::ResourcesTail)?)?,
        })
    }

    fn memory_bytes(&self) -> u64 {
        let traces = self.directory.len() / DIRECTORY_ENTRY;
        let metadata = self.spans.metadata().memory_size();
        let resources: i64 = self
            .resources
            .metadata()
            .row_groups()
            .iter()
            .map(RowGroupMetaData::total_byte_size)
            .sum();
        let zones = self.zones.encoded_len() * 4;
        // A trace table takes about 80 bytes a trace; resources are kept as they came and decoded.
        (self.stored_bytes + self.directory.len() + traces * 80 + metadata + zones) as u64
            + resources.unsigned_abs() * 3
    }
}

/// Opens a Parquet file by its tail.
fn metadata(tail: &Bytes) -> Result<ArrowReaderMetadata, Error> {
    let corrupt = |what| Error::Corrupt { part: "index", what };
    if tail.len() < 8 {
        return Err(corrupt("a Parquet tail is missing"));
    }
    let start = u64_at(tail, 0);
    let tail = tail.slice(8..);
    let end = start + tail.len() as u64;
    let mut decoder = ParquetMetaDataPushDecoder::try_new(end)?
        .with_column_index_policy(PageIndexPolicy::Skip)
        .with_offset_index_policy(PageIndexPolicy::Optional);
    decoder.push_range(start..end, tail)?;
    match decoder.try_decode()? {
        DecodeResult::Data(metadata) => {
            Ok(ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new())?)
        }
        DecodeResult::NeedsData(_) | DecodeResult::Finished => {
            Err(corrupt("a Parquet tail is cut short"))
        }
    }
}

impl Block {
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Where traces whose id folds like this one lie: none, one, or, for ids made to collide, several.
    pub fn places(&self, id: TraceId) -> Vec<Place> {
        self.places_of_fold(id.fold())
    }

    /// As [`Block::places`], by the fold of an id.
    pub fn places_of_fold(&self, fold: u64) -> Vec<Place> {
        let directory = &self.index.directory;
        let count = directory.len() / DIRECTORY_ENTRY;
        let fold_at = |place: usize| u64_at(directory, place * DIRECTORY_ENTRY);
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = usize::midpoint(low, high);
            if fold_at(middle) < fold { low = middle + 1 } else { high = middle }
        }
        (low..count)
            .take_while(|place| fold_at(*place) == fold)
            .map(|place| self.place(place))
            .collect()
    }

    /// The units that some trace lies in whose id folds like one of these.
    pub fn units_with<S: BuildHasher>(&self, folds: &HashSet<u64, S>) -> BTreeSet<usize> {
        let units = &self.index.zones.units;
        let places = folds.iter().flat_map(|fold| self.places_of_fold(*fold));
        let unit_of = |place: Place| {
            units.partition_point(|unit| unit.first_row <= place.first_row).saturating_sub(1)
        };
        places.map(unit_of).collect()
    }

    fn place(&self, place: usize) -> Place {
        let packed = u64_at(&self.index.directory, place * DIRECTORY_ENTRY + 8);
        Place { first_row: packed & u64::from(u32::MAX), rows: packed >> 32 }
    }

    /// The folds of all traces, ascending.
    pub fn folds(&self) -> impl Iterator<Item = u64> + '_ {
        let count = self.index.directory.len() / DIRECTORY_ENTRY;
        (0..count).map(|place| u64_at(&self.index.directory, place * DIRECTORY_ENTRY))
    }

    /// The folds of traces that the writer found in other blocks too, ascending.
    pub fn shared(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.index.shared.len() / 8).map(|place| u64_at(&self.index.shared, place * 8))
    }

    /// The section `WalCoverage`.
    pub fn wal_coverage(&self) -> &Bytes {
        &self.index.wal_coverage
    }

    /// All keys that occur in the block.
    pub fn zones(&self) -> &Zones {
        &self.index.zones
    }
}
