//! Blocks opened and kept: what was read of the index of each, its resources and traces.

use std::hash::Hash;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use quick_cache::OptionsBuilder;
use quick_cache::sync::{Cache, DefaultLifecycle};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::Error;
use super::bloom::{self, Shard};
use super::index::{Section, u64_at};
use super::known::Known;
use super::mask::LastMasks;
use super::resources::ResourceTable;
use super::sections::{IndexObject, Opening};
use super::zones::{Catalog, Zones};
use crate::columns::TraceTable;
use crate::manifest::BlockEntry;
use crate::runtime::Cpu;
use crate::scan::ScanCost;
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
    pub(super) index: IndexObject,
    pub(super) zones: Zones,
    pub(super) catalog: Catalog,
    /// The section `EntryTable`.
    pub(super) entry_table: Bytes,
    shared: Bytes,
    pub(super) known: Known,
    pub(super) resources: OnceCell<Arc<ResourceTable>>,
    pub(super) traces: TraceTables,
    pub(super) last_masks: LastMasks,
    /// What it may grow to: an estimate made when it is opened.
    memory_bytes: u64,
}

/// The traces of a block by unit: of the first unit that is read alone, since often no other is; then of all.
#[derive(Default)]
pub(super) struct TraceTables {
    pub first: OnceCell<(usize, Arc<TraceTable>)>,
    pub all: OnceCell<Vec<Arc<TraceTable>>>,
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

    /// Opens a block, mostly with one GET, or finds it in the cache.
    ///
    /// # Errors
    /// When the index cannot be read or is damaged.
    pub async fn open(
        &self,
        tenant: &TenantId,
        entry: &BlockEntry,
        opening: Opening,
        cost: &mut ScanCost,
    ) -> Result<Arc<Block>, Error> {
        let load = async { Ok(Arc::new(self.read(tenant, entry, opening, cost).await?)) };
        self.open.get_or_insert_async(&entry.id, load).await
    }

    async fn read(
        &self,
        tenant: &TenantId,
        entry: &BlockEntry,
        opening: Opening,
        cost: &mut ScanCost,
    ) -> Result<Block, Error> {
        let key = keys::block(tenant, entry.id, BlockObject::Index);
        let bytes = |object| entry.object(object).map_or(0, |info| info.bytes);
        let at = (self.store.clone(), self.cpu.clone());
        let index = IndexObject::open(at, key, bytes(BlockObject::Index), opening, cost).await?;
        let wanted = [Section::Zones, Section::EntryTable, Section::Shared];
        let [zones, entry_table, shared] = index.sections(wanted, cost).await?;
        let decode = move || -> Result<_, Error> {
            let mut zones = Zones::decode(zones)?;
            let entries = zones.take_entries();
            Ok((Catalog::of(&zones), entries, zones))
        };
        let (catalog, entries, zones) = self.cpu.run(decode).await?;
        Ok(Block {
            store: self.store.clone(),
            cpu: self.cpu.clone(),
            tenant: tenant.clone(),
            id: entry.id,
            memory_bytes: memory_bytes(&index, bytes(BlockObject::Resources), &zones),
            index,
            zones,
            catalog,
            entry_table,
            shared,
            known: Known::with_zones(entries),
            resources: OnceCell::new(),
            traces: TraceTables::default(),
            last_masks: LastMasks::default(),
        })
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

/// About what a block takes when all that is kept of it was read.
fn memory_bytes(index: &IndexObject, resources: u64, zones: &Zones) -> u64 {
    let traces: u64 = zones.units.iter().map(|unit| unit.traces).sum();
    // A trace table takes about 80 bytes a trace; tails are thrice as large when decoded; resources are kept as they came and
    // decoded, and are stored in a tenth of that.
    index.bytes()
        + index.plain_bytes(Section::Directory)
        + 3 * index.plain_bytes(Section::SpansTail)
        + 4 * index.plain_bytes(Section::Zones)
        + traces * 80
        + resources * 30
}

impl Block {
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The folds of traces that the writer found in other blocks too, ascending.
    pub fn shared(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.shared.len() / 8).map(|place| u64_at(&self.shared, place * 8))
    }

    /// The section `WalCoverage`.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub async fn wal_coverage(&self) -> Result<Bytes, Error> {
        let [section] =
            self.index.sections([Section::WalCoverage], &mut ScanCost::default()).await?;
        Ok(section)
    }

    /// The units, and all keys that occur in the block.
    pub fn zones(&self) -> &Zones {
        &self.zones
    }
}
