//! A written block into the bucket.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use serde_json::json;
use uuid::Uuid;

use super::write::{Written, object_info};
use crate::manifest::{BlockEntry, ObjectInfo};
use crate::store::keys::{self, BlockObject};
use crate::store::{self, Store};
use crate::tenant::TenantId;

/// Objects of a block that are written at once.
const PARALLEL_PUTS: usize = 4;

impl Written {
    /// What the list of blocks says of the block, as far as the block itself tells.
    pub fn entry(&self, id: Uuid) -> BlockEntry {
        BlockEntry {
            id,
            spans: self.spans,
            traces: self.traces,
            start_unix_nano: self.start_unix_nano,
            end_unix_nano: self.end_unix_nano,
            objects: self.object_infos(),
            service_names: self.service_names.clone(),
            service_names_complete: true,
            ..BlockEntry::default()
        }
    }

    /// Writes the objects of the block, and `meta.json` of what its entry says, which is added to the entry. Nothing refers to them yet.
    ///
    /// # Errors
    /// The bucket's. Some objects may be there then.
    pub async fn put(
        self,
        store: &Store,
        tenant: &TenantId,
        entry: &mut BlockEntry,
    ) -> Result<(), store::Error> {
        let meta = meta(tenant, entry);
        entry.objects.push(object_info(BlockObject::Meta, &meta));
        let id = entry.id;
        let mut objects = self.objects;
        objects.push((BlockObject::Meta, meta));
        let puts = objects.into_iter().map(|(object, bytes)| {
            let key = keys::block(tenant, id, object);
            async move { store.put(&key, bytes).await }
        });
        let puts: Vec<_> = puts.collect();
        futures::stream::iter(puts).buffer_unordered(PARALLEL_PUTS).try_collect::<()>().await
    }
}

/// `meta.json`: for people and for rebuilding a manifest.
fn meta(tenant: &TenantId, entry: &BlockEntry) -> Bytes {
    let object = |info: &ObjectInfo| {
        let ObjectInfo { object, bytes, crc32c } = info;
        json!({ "name": object.to_string(), "bytes": bytes, "crc32c": crc32c })
    };
    let meta = json!({
        "format": "vivace-block",
        "version": 1,
        "block": entry.id.to_string(),
        "tenant": tenant.as_str(),
        "level": entry.level,
        "spans": entry.spans,
        "traces": entry.traces,
        "sharedTraces": entry.shared_traces,
        "sharedWith": entry.shared_with.iter().map(Uuid::to_string).collect::<Vec<_>>(),
        "startUnixNano": entry.start_unix_nano,
        "endUnixNano": entry.end_unix_nano,
        "receivedMinUnixNano": entry.received_min_unix_nano,
        "receivedMaxUnixNano": entry.received_max_unix_nano,
        "serviceNames": entry.service_names,
        "objects": entry.objects.iter().map(object).collect::<Vec<_>>(),
    });
    Bytes::from(format!("{meta:#}\n"))
}
