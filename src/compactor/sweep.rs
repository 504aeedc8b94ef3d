//! Objects that nothing refers to: of blocks that were joined or had their time, and of writes that failed.

use std::collections::HashSet;
use std::time::{Duration, UNIX_EPOCH};

use uuid::Uuid;

use super::{Compactor, Error};
use crate::manifest::made_unix_milli;
use crate::store::keys;
use crate::tenant::TenantId;

/// Folders of blocks that are deleted in one sweep; the rest waits for the next.
const FOLDERS_MAX: usize = 1000;

impl Compactor {
    /// Deletes old manifests, and the objects of blocks that no manifest names any more. How many blocks those were.
    ///
    /// A block may go when no manifest of the last [`Config::grace`](super::Config::grace) has it, so that whoever reads by one of those finds it, and when none
    /// can name it any more: the fence forbids that for ids that are older than `grace`.
    ///
    /// # Errors
    /// The bucket's. What was deleted before stays deleted.
    pub async fn sweep(&self, tenant: &TenantId) -> Result<u64, Error> {
        let grace = self.config.grace;
        let manifests = self.ingester.manifests(tenant).await?;
        let now = UNIX_EPOCH + Duration::from_nanos(self.clock.now_unix_nano());
        manifests.sweep(now, grace).await?;
        let grace_nanos = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX);
        let before_unix_milli = self.clock.now_unix_nano().saturating_sub(grace_nanos) / 1_000_000;
        let known: HashSet<Uuid> =
            manifests.current().blocks().iter().map(|block| block.id).collect();
        let folders = self.store.list_folders(&keys::blocks(tenant)).await?;
        let old = folders
            .iter()
            .filter_map(|name| Uuid::try_parse(name).ok())
            .filter(|id| !known.contains(id) && made_unix_milli(*id) < before_unix_milli);
        let old: Vec<Uuid> = old.take(FOLDERS_MAX).collect();
        if old.is_empty() {
            return Ok(0);
        }
        manifests.fence(before_unix_milli).await?;
        let used = manifests.blocks_in_use().await?;
        let mut deleted = 0;
        for id in old.into_iter().filter(|id| !used.contains(id)) {
            // The index last: while it is there the folder is listed again after a sweep that broke off.
            let mut objects = self.store.list(&keys::block_folder(tenant, id)).await?;
            objects.sort_by_key(|object| object.key.filename() == Some("index"));
            for object in objects {
                self.store.delete(&object.key).await?;
            }
            deleted += 1;
        }
        Ok(deleted)
    }
}
