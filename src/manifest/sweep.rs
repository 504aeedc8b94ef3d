//! Deletes manifests that were followed by others long ago, and segments that no manifest names.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use uuid::Uuid;

use super::Error;
use super::commit::Manifests;
use super::entry::made_unix_milli;
use super::head::Found;
use super::snapshot::Manifest;
use super::wire;
use crate::store::Object;
use crate::store::keys;

/// What one sweep has deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    pub manifests: u64,
    pub segments: u64,
}

impl Manifests {
    /// Deletes manifests that were superseded longer ago than `grace`, one at a time, oldest first, and segments older
    /// than `grace` that none of the others names. Whoever slept longer than `grace` finds out (see the rules of this
    /// room), so it decides how long readers may use an old manifest, not what is true: an hour is usual, and must be
    /// more than clocks differ. One sweeper at a time is enough; two do no harm.
    ///
    /// # Errors
    /// The bucket's, or of a manifest that cannot be read. What was deleted before stays deleted.
    pub async fn sweep(&self, now: SystemTime, grace: Duration) -> Result<Swept, Error> {
        let before = now.checked_sub(grace).unwrap_or(UNIX_EPOCH);
        self.refresh().await?;
        let manifests = self.sweep_manifests(before).await?;
        let segments = self.sweep_segments(before).await?;
        Ok(Swept { manifests, segments })
    }

    /// The blocks that some manifest still in the bucket has: of those not in the newest, queries under way may be
    /// reading. A block that is not among them, and whose id was made before a [`Manifests::fence`] set earlier, may be
    /// deleted.
    ///
    /// # Errors
    /// As for [`Manifests::sweep`].
    pub async fn blocks_in_use(&self) -> Result<HashSet<Uuid>, Error> {
        let mut used = HashSet::new();
        // Of each segment, the blocks that all manifests with this segment have removed.
        let mut removed_of: HashMap<Uuid, HashSet<Uuid>> = HashMap::new();
        let mut last: Option<Arc<Manifest>> = None;
        for found in self.retained().await? {
            let base = last.take().unwrap_or_else(|| self.current());
            let Some(manifest) = self.reader().load(found, &base).await? else { continue };
            used.extend(manifest.inline.iter().map(|block| block.id));
            for segment in &manifest.segments {
                let removed =
                    removed_of.entry(segment.id).or_insert_with(|| manifest.removed.clone());
                removed.retain(|id| manifest.removed.contains(id));
                let listed = segment.entries.iter().map(|block| block.id);
                used.extend(listed.filter(|id| !manifest.removed.contains(id)));
            }
            last = Some(manifest);
        }
        Ok(used)
    }

    async fn sweep_manifests(&self, before: SystemTime) -> Result<u64, Error> {
        let store = &self.reader().store;
        let mut listed = self.list_manifests().await?;
        listed.sort_unstable_by_key(|(number, _)| *number);
        // The last one that was written before is the one that was the newest then: it and all after it stay.
        let newest_then = listed.iter().rposition(|(_, object)| object.last_modified <= before);
        let mut deleted = 0;
        for (_, object) in listed.iter().take(newest_then.unwrap_or(0)) {
            store.delete(&object.key).await?;
            deleted += 1;
        }
        Ok(deleted)
    }

    async fn sweep_segments(&self, before: SystemTime) -> Result<u64, Error> {
        let before_unix_milli = unix_milli(before);
        let reader = self.reader();
        let named: HashSet<Uuid> = self.current().segments.iter().map(|s| s.id).collect();
        let listed = reader.store.list(&keys::manifest_segments(&reader.tenant)).await?;
        let old: Vec<(Uuid, Object)> = listed
            .into_iter()
            .filter_map(|object| Some((keys::id(object.key.filename()?)?, object)))
            .filter(|(id, object)| {
                !named.contains(id)
                    && made_unix_milli(*id) < before_unix_milli
                    && object.last_modified <= before
            })
            .collect();
        if old.is_empty() {
            return Ok(0);
        }
        // A commit under way may name one of them. This commit makes it fail, and it then writes segments of its own.
        self.commit_fence(before_unix_milli).await?;
        let mut named = HashSet::new();
        for (_, body) in self.retained().await? {
            for reference in &body.segments {
                let corrupt = |reason| Error::corrupt(&keys::manifests(&reader.tenant), reason);
                named.insert(wire::id(&reference.id).map_err(corrupt)?);
            }
        }
        let mut deleted = 0;
        for (_, object) in old.iter().filter(|(id, _)| !named.contains(id)) {
            reader.store.delete(&object.key).await?;
            deleted += 1;
        }
        Ok(deleted)
    }

    /// All manifests in the bucket, oldest first.
    async fn retained(&self) -> Result<Vec<Found>, Error> {
        let mut numbers = self.reader().listed().await?;
        numbers.sort_unstable();
        let mut retained = Vec::with_capacity(numbers.len());
        for number in numbers {
            // One that another sweeper has deleted since is not retained.
            retained.extend(self.reader().read(number).await?);
        }
        Ok(retained)
    }

    async fn list_manifests(&self) -> Result<Vec<(u64, Object)>, Error> {
        let reader = self.reader();
        let listed = reader.store.list_folder(&keys::manifests(&reader.tenant)).await?;
        let numbered = |object: Object| Some((keys::manifest_number(&object.key)?, object));
        Ok(listed.into_iter().filter_map(numbered).collect())
    }
}

fn unix_milli(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
