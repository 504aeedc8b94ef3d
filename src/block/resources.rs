//! `resources.parquet` read back.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, BinaryArray, RecordBatch, StringArray, UInt64Array};
use bytes::Bytes;

use super::Error;
use super::fetch::column;
use crate::columns::{Resource, ResourceParts};

/// The resources that a block will hold, and the key that each is stored under.
pub(super) struct ResourceKeys {
    /// By key.
    all: Vec<(u64, Arc<Resource>)>,
    /// Those that are not stored under their hash.
    moved: Vec<(Arc<Resource>, u64)>,
}

impl ResourceKeys {
    pub(super) fn of(resources: impl Iterator<Item = Arc<Resource>>) -> Self {
        let mut all: BTreeMap<u64, Arc<Resource>> = BTreeMap::new();
        let mut later = Vec::new();
        for resource in resources {
            match all.entry(resource.hash()) {
                Entry::Vacant(free) => {
                    free.insert(resource);
                }
                Entry::Occupied(_) => later.push(resource),
            }
        }
        let mut moved = Vec::new();
        for resource in later {
            let mut key = resource.hash();
            while all.contains_key(&key) {
                key = key.wrapping_add(1);
            }
            all.insert(key, Arc::clone(&resource));
            moved.push((resource, key));
        }
        Self { all: all.into_iter().collect(), moved }
    }

    pub(super) fn all(&self) -> &[(u64, Arc<Resource>)] {
        &self.all
    }

    pub(super) fn key_of(&self, resource: &Resource) -> u64 {
        let hash = resource.hash();
        let is_it = |(moved, _): &&(Arc<Resource>, u64)| {
            moved.hash() == hash && moved.parts() == resource.parts()
        };
        self.moved.iter().find(is_it).map_or(hash, |(_, key)| *key)
    }
}

/// Places in the table of recently found hashes: 16 KiB, which stay in the first cache.
const RECENT: usize = 1024;

/// No block has so many resources.
const NOT_KNOWN: u32 = u32::MAX;

/// The resources of a block: the index in `all` of each key.
pub(super) struct ResourceTable {
    pub all: Arc<Vec<Arc<Resource>>>,
    by_hash: HashMap<u64, u32, foldhash::fast::FixedState>,
}

impl ResourceTable {
    pub(super) fn decode(batches: &[RecordBatch]) -> Result<Self, Error> {
        let mut all = Vec::new();
        let mut by_hash: HashMap<u64, u32, foldhash::fast::FixedState> = HashMap::default();
        for batch in batches {
            let hashes = column::<UInt64Array>(batch, "resource")?;
            let resource = column::<BinaryArray>(batch, "resource_message")?;
            let resource_schema_url = column::<StringArray>(batch, "resource_schema_url")?;
            let resource_unknown = column::<BinaryArray>(batch, "resource_unknown")?;
            let scope = column::<BinaryArray>(batch, "scope_message")?;
            let scope_schema_url = column::<StringArray>(batch, "scope_schema_url")?;
            let scope_unknown = column::<BinaryArray>(batch, "scope_unknown")?;
            let bytes = |array: &BinaryArray, row| Bytes::copy_from_slice(array.value(row));
            let optional =
                |array: &BinaryArray, row| array.is_valid(row).then(|| bytes(array, row));
            for row in 0..batch.num_rows() {
                let parsed = Resource::from_parts(ResourceParts {
                    resource: optional(resource, row),
                    resource_schema_url: resource_schema_url.value(row).to_owned(),
                    resource_unknown: bytes(resource_unknown, row),
                    scope: optional(scope, row),
                    scope_schema_url: scope_schema_url.value(row).to_owned(),
                    scope_unknown: bytes(scope_unknown, row),
                })?;
                let index = u32::try_from(all.len()).expect("fewer resources than spans");
                if by_hash.insert(hashes.value(row), index).is_some() {
                    let what = "two resources are stored under one key";
                    return Err(Error::Corrupt { part: "resources.parquet", what });
                }
                all.push(Arc::new(parsed));
            }
        }
        Ok(Self { all: Arc::new(all), by_hash })
    }

    /// # Errors
    /// When the hash names no resource of the block.
    pub(super) fn index_of(&self, hash: u64) -> Result<u32, Error> {
        let what = "a span names a resource that is not there";
        self.by_hash.get(&hash).copied().ok_or(Error::Corrupt { part: "resources.parquet", what })
    }

    /// Indices of a whole column of hashes. Some hundred resources come again and again: a small table in front, found by the lowest bits
    /// of the hash, spares nearly all the searching.
    pub(super) fn indices_of(&self, hashes: &UInt64Array) -> Result<Vec<u32>, Error> {
        let mut known = [(0_u64, NOT_KNOWN); RECENT];
        let mut indices = Vec::with_capacity(hashes.len());
        for hash in hashes.values() {
            let place = usize::try_from(hash % RECENT as u64).expect("less than RECENT");
            if known[place].0 != *hash || known[place].1 == NOT_KNOWN {
                known[place] = (*hash, self.index_of(*hash)?);
            }
            indices.push(known[place].1);
        }
        Ok(indices)
    }
}
