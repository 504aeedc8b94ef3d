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

    /// The place in [`ResourceKeys::all`], which is the row in `resources.parquet`.
    pub(super) fn place_of(&self, resource: &Resource) -> Option<usize> {
        let key = self.key_of(resource);
        self.all.binary_search_by_key(&key, |(key, _)| *key).ok()
    }

    pub(super) fn key_of(&self, resource: &Resource) -> u64 {
        let hash = resource.hash();
        let is_it = |(moved, _): &&(Arc<Resource>, u64)| {
            moved.hash() == hash && moved.parts() == resource.parts()
        };
        self.moved.iter().find(is_it).map_or(hash, |(_, key)| *key)
    }
}

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
            let keys = column::<UInt64Array>(batch, "resource")?;
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
                if by_hash.insert(keys.value(row), index).is_some() {
                    let what = "two resources are stored under one key";
                    return Err(Error::Corrupt { part: "resources.parquet", what });
                }
                all.push(Arc::new(parsed));
            }
        }
        Ok(Self { all: Arc::new(all), by_hash })
    }

    /// The place of a resource in `all`, by its key.
    pub(super) fn index_of(&self, key: u64) -> Option<u32> {
        self.by_hash.get(&key).copied()
    }
}
