//! Packs written, merged and deleted, in the background.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tracing::info;
use uuid::Uuid;

use super::find::{Pack, corrupt, slice};
use super::format::{Directory, Entry, PackWriter, Page, key_of};
use super::plan::{Facts, Plan, plan};
use super::{Error, FEW_BLOCKS, Packs};
use crate::block::Opening;
use crate::manifest::{BlockEntry, Manifest};
use crate::runtime::blocking;
use crate::scan::ScanCost;
use crate::store::keys;
use crate::tenant::TenantId;

/// Blocks whose index is read at once.
const PARALLEL_OPENS: usize = 8;

/// Packs written by one call, so that one tenant does not keep the others waiting.
const STEPS_MAX: u32 = 64;

/// A block that is not in our manifest, and is younger than this, may have come in by a later one.
const YOUNG: Duration = Duration::from_hours(1);

/// Names a window by its start.
const WINDOW_SECONDS: u64 = 3600;

impl Packs {
    /// Packs the blocks of a manifest that no pack knows, merges packs, and deletes what is of no use: as planned in `plan.rs`, until
    /// nothing is left to do. Costs nothing if the manifest was looked after before, or has only a few blocks. Stopped halfway it
    /// leaves at most a pack too many, which the next call deletes.
    ///
    /// # Errors
    /// The bucket's, or of a block that cannot be read.
    pub async fn keep(&self, tenant: &TenantId, manifest: &Manifest) -> Result<(), Error> {
        let known = self.tenant(tenant);
        if manifest.blocks().len() <= FEW_BLOCKS || known.lock().await.kept == manifest.number() {
            return Ok(());
        }
        self.packs(tenant, true).await?;
        for _ in 0..STEPS_MAX {
            let packs = self.packs(tenant, false).await?;
            let plan = self.plan(manifest, &packs);
            if plan == Plan::default() {
                known.lock().await.kept = manifest.number();
                break;
            }
            let Plan { add, merge, delete } = plan;
            let some = |places: &[usize]| -> Vec<Arc<Pack>> {
                places.iter().map(|place| Arc::clone(&packs[*place])).collect()
            };
            let (merged, useless) = (some(&merge), some(&delete));
            let written = self.write(tenant, manifest, (add, &merged)).await?;
            for pack in merged.iter().chain(&useless) {
                self.0.store.delete(&pack.key).await?;
            }
            let mut known = known.lock().await;
            let gone: HashSet<Uuid> = merged.iter().chain(&useless).map(|pack| pack.id).collect();
            known.packs.retain(|pack| !gone.contains(&pack.id));
            known.packs.extend(written);
            known.packs.sort_by_key(|pack| (Reverse(pack.directory.entries), pack.id));
        }
        Ok(())
    }

    fn plan(&self, manifest: &Manifest, packs: &[Arc<Pack>]) -> Plan {
        let facts: Vec<Facts<'_>> = packs
            .iter()
            .map(|pack| {
                let Directory { blocks, entries, .. } = &pack.directory;
                Facts { id: pack.id, blocks, entries: *entries }
            })
            .collect();
        plan(manifest.blocks(), &facts, &self.gone(manifest))
    }

    /// Whether a block will never be in a manifest again.
    fn gone(&self, manifest: &Manifest) -> impl Fn(Uuid) -> bool + Send + 'static {
        let there: HashSet<Uuid> = manifest.blocks().iter().map(|block| block.id).collect();
        let now = Duration::from_nanos(self.0.clock.now_unix_nano());
        let before = now.saturating_sub(YOUNG);
        let made = |id: Uuid| {
            let (seconds, nanos) = id.get_timestamp().map_or((0, 0), |made| made.to_unix());
            Duration::new(seconds, nanos)
        };
        move |id| !there.contains(&id) && made(id) < before
    }

    /// One pack of some blocks and packs; `None` if nothing was given or is left.
    async fn write(
        &self,
        tenant: &TenantId,
        manifest: &Manifest,
        (add, merge): (Vec<Arc<BlockEntry>>, &[Arc<Pack>]),
    ) -> Result<Option<Arc<Pack>>, Error> {
        if add.is_empty() && merge.is_empty() {
            return Ok(None);
        }
        let reads: Vec<_> = add.iter().map(|entry| self.traces_of(tenant, entry)).collect();
        let folds: Vec<_> =
            futures::stream::iter(reads).buffered(PARALLEL_OPENS).try_collect().await?;
        let mut bodies = Vec::with_capacity(merge.len());
        for pack in merge {
            let body = match &pack.body {
                Some(body) => body.clone(),
                None => self.0.store.get_range(&pack.key, 0..pack.bytes).await?,
            };
            bodies.push((Arc::clone(pack), body));
        }
        let blocks = add.iter().map(|entry| entry.id).zip(folds).collect();
        let is_gone = self.gone(manifest);
        let (body, directory) = blocking(move || merged(blocks, &bodies, &is_gone)).await?;
        if directory.entries == 0 {
            return Ok(None);
        }
        let starts: HashMap<Uuid, u64> =
            manifest.blocks().iter().map(|block| (block.id, block.start_unix_nano)).collect();
        let first = directory.blocks.iter().filter_map(|id| starts.get(id)).min();
        let seconds = first.map_or(0, |start| start / 1_000_000_000);
        let (id, bytes) = (Uuid::now_v7(), body.len() as u64);
        let key = keys::filter_pack(tenant, seconds / WINDOW_SECONDS * WINDOW_SECONDS, id);
        self.0.store.put(&key, body).await?;
        let (blocks, traces) = (directory.blocks.len(), directory.entries);
        info!(%tenant, pack = %id, blocks, traces, bytes, merged = merge.len(), "pack written");
        Ok(Some(Arc::new(Pack { id, key, bytes, directory, body: None })))
    }

    /// The keys of a block's traces.
    async fn traces_of(&self, tenant: &TenantId, entry: &BlockEntry) -> Result<Vec<u64>, Error> {
        let fails = |source| Error::Block { block: entry.id, source };
        let cost = &mut ScanCost::default();
        let block = self.0.blocks.open(tenant, entry, Opening::Short, cost).await.map_err(fails)?;
        let directory = block.directory(cost).await.map_err(fails)?.clone();
        Ok(self.0.cpu.run(move || directory.folds().map(key_of).collect()).await)
    }
}

/// The entries of some blocks and packs as one pack, without those of blocks that are gone.
fn merged(
    blocks: Vec<(Uuid, Vec<u64>)>,
    packs: &[(Arc<Pack>, Bytes)],
    is_gone: &dyn Fn(Uuid) -> bool,
) -> Result<(Bytes, Directory), Error> {
    let (mut ids, mut places) = (Vec::new(), HashMap::new());
    let mut place_of = |id: Uuid| {
        *places.entry(id).or_insert_with(|| {
            ids.push(id);
            u32::try_from(ids.len() - 1).expect("blocks are counted in 32 bits")
        })
    };
    let mut fresh: Vec<Entry> = Vec::new();
    for (id, keys) in blocks {
        let block = place_of(id);
        fresh.extend(keys.into_iter().map(|key| Entry { key, block }));
    }
    fresh.sort_unstable();
    let mut runs: Vec<Run<'_>> = Vec::with_capacity(packs.len());
    for (pack, body) in packs {
        let place = |id: &Uuid| (!is_gone(*id)).then(|| place_of(*id));
        let places = pack.directory.blocks.iter().map(place).collect();
        let page = Page { entries: Vec::new() };
        runs.push(Run { pack, body, places, next_page: 0, page, at: 0 });
    }
    let mut fresh = fresh.into_iter();
    let mut writer = PackWriter::default();
    // The next entry of each run; the fresh ones are the run after the last.
    let mut heap = BinaryHeap::new();
    for (number, run) in runs.iter_mut().enumerate() {
        heap.extend(run.next()?.map(|entry| Reverse((entry, number))));
    }
    heap.extend(fresh.next().map(|entry| Reverse((entry, runs.len()))));
    while let Some(Reverse((entry, number))) = heap.pop() {
        writer.add(entry);
        let next = match runs.get_mut(number) {
            Some(run) => run.next()?,
            None => fresh.next(),
        };
        heap.extend(next.map(|entry| Reverse((entry, number))));
    }
    Ok(writer.finish(&ids))
}

/// The entries of a pack, one page at a time in memory.
struct Run<'a> {
    pack: &'a Pack,
    body: &'a Bytes,
    /// Where each of its blocks is in the new pack, unless it is gone.
    places: Vec<Option<u32>>,
    next_page: usize,
    /// Of the new pack.
    page: Page,
    at: usize,
}

impl Run<'_> {
    fn next(&mut self) -> Result<Option<Entry>, Error> {
        while self.at == self.page.entries.len() {
            let Some(info) = self.pack.directory.pages.get(self.next_page) else { return Ok(None) };
            let page = info.decode(&slice(self.body, &info.bytes), self.places.len());
            let Page { entries } = page.map_err(|what| corrupt(&self.pack.key, what))?;
            let moved = entries.into_iter().filter_map(|Entry { key, block }| {
                Some(Entry { key, block: self.places[block as usize]? })
            });
            let mut entries: Vec<Entry> = moved.collect();
            // Blocks have other numbers now.
            entries.sort_unstable();
            (self.page, self.at) = (Page { entries }, 0);
            self.next_page += 1;
        }
        self.at += 1;
        Ok(Some(self.page.entries[self.at - 1]))
    }
}
