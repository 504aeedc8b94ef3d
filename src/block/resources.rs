//! `resources.parquet` read back.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, BinaryArray, RecordBatch, StringArray, UInt64Array};
use bytes::Bytes;

use super::Error;
use super::fetch::column;
use crate::columns::{Resource, ResourceParts};

/// The resources of a block: the index in `all` of each hash.
pub(super) struct ResourceTable {
    pub all: Arc<Vec<Arc<Resource>>>,
    by_hash: HashMap<u64, u32, foldhash::fast::FixedState>,
}

impl ResourceTable {
    pub(super) fn decode(batches: &[RecordBatch]) -> Result<Self, Error> {
        let mut all = Vec::new();
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
                if parsed.hash() != hashes.value(row) {
                    let what = "a resource does not have the hash that it is stored under";
                    return Err(Error::Corrupt { part: "resources.parquet", what });
                }
                all.push(Arc::new(parsed));
            }
        }
        let by_hash =
            (0_u32..).zip(&all).map(|(index, resource)| (resource.hash(), index)).collect();
        Ok(Self { all: Arc::new(all), by_hash })
    }

    /// # Errors
    /// When the hash names no resource of the block.
    pub(super) fn index_of(&self, hash: u64) -> Result<u32, Error> {
        let what = "a span names a resource that is not there";
        self.by_hash.get(&hash).copied().ok_or(Error::Corrupt { part: "resources.parquet", what })
    }

    /// Indices of a whole column of hashes. Neighbours are mostly alike.
    pub(super) fn indices_of(&self, hashes: &UInt64Array) -> Result<Vec<u32>, Error> {
        let mut last = None;
        hashes
            .values()
            .iter()
            .map(|hash| match last {
                Some((known, index)) if known == *hash => Ok(index),
                _ => {
                    let index = self.index_of(*hash)?;
                    last = Some((*hash, index));
                    Ok(index)
                }
            })
            .collect()
    }
}
