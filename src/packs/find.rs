//! Packs asked: which blocks may hold one of some traces.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tracing::warn;
use uuid::Uuid;

use super::format::{self, Directory, Page, key_of};
use super::{Error, FEW_BLOCKS, Known, LISTED_PERIOD, Narrowed, Packs};
use crate::manifest::BlockEntry;
use crate::runtime::blocking;
use crate::store::{self, keys};
use crate::tenant::TenantId;

/// Read of the end of a pack that was not seen before: the directory of some thousand blocks, and all of a small pack.
const END_BYTES: u64 = 256 << 10;

/// Packs that are asked at once.
const PARALLEL_PACKS: usize = 16;

/// Pages that are read, decoded and looked through at once: about 16 MB as stored, 30 MB decoded.
const PAGES_AT_ONCE: usize = 256;

/// Look-ups that meet a pack that was just merged away, before its blocks are asked themselves.
const ATTEMPTS_MAX: u32 = 3;

/// A pack whose directory was read.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) id: Uuid,
    pub(super) key: store::Path,
    pub(super) bytes: u64,
    pub(super) directory: Directory,
    /// All of it, if it is small.
    pub(super) body: Option<Bytes>,
}

impl Packs {
    /// Which of some blocks may hold one of the traces whose ids have these folds. A few blocks are not worth asking for: they
    /// come back as unknown.
    ///
    /// # Errors
    /// The bucket's. A pack that is damaged is logged and left out.
    pub async fn narrow(
        &self,
        tenant: &TenantId,
        entries: Vec<Arc<BlockEntry>>,
        folds: &[u64],
    ) -> Result<Narrowed, Error> {
        if entries.len() <= FEW_BLOCKS {
            return Ok(Narrowed { maybe: Vec::new(), unknown: entries });
        }
        let mut wanted: Vec<u64> = folds.iter().map(|fold| key_of(*fold)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let wanted = Arc::new(wanted);
        let mut attempt = 1;
        loop {
            let packs = self.packs(tenant, attempt > 1).await?;
            let (narrowed, is_whole) = self.ask(&packs, &entries, &wanted).await?;
            if is_whole || attempt == ATTEMPTS_MAX {
                return Ok(narrowed);
            }
            attempt += 1;
        }
    }

    /// Asks all packs that know some of the blocks; whether none of them was gone.
    async fn ask(
        &self,
        packs: &[Arc<Pack>],
        entries: &[Arc<BlockEntry>],
        wanted: &Arc<Vec<u64>>,
    ) -> Result<(Narrowed, bool), Error> {
        let mut left: HashMap<Uuid, Arc<BlockEntry>> =
            entries.iter().map(|entry| (entry.id, Arc::clone(entry))).collect();
        let mut asked = Vec::new();
        for pack in packs {
            let ids = &pack.directory.blocks;
            let mine: HashMap<u32, Arc<BlockEntry>> =
                (0..).zip(ids).filter_map(|(n, id)| Some((n, left.remove(id)?))).collect();
            if !mine.is_empty() {
                asked.push((Arc::clone(pack), mine));
            }
        }
        let reads: Vec<_> = asked
            .into_iter()
            .map(|(pack, mine)| async move {
                let hits = self.hits(&pack, wanted).await;
                (pack, mine, hits)
            })
            .collect();
        let answers: Vec<_> = futures::stream::iter(reads).buffered(PARALLEL_PACKS).collect().await;
        let mut narrowed = Narrowed { maybe: Vec::new(), unknown: left.into_values().collect() };
        let mut is_whole = true;
        for (pack, mut mine, hits) in answers {
            match hits {
                Ok(hits) => narrowed.maybe.extend(hits.iter().filter_map(|n| mine.remove(n))),
                Err(error) => {
                    is_whole &= !error.is_gone();
                    if !error.is_gone() {
                        log_or_fail(&pack.key, error)?;
                    }
                    narrowed.unknown.extend(mine.into_values());
                }
            }
        }
        Ok((narrowed, is_whole))
    }

    /// The places of the blocks in a pack that have one of the keys, which ascend.
    async fn hits(&self, pack: &Arc<Pack>, wanted: &Arc<Vec<u64>>) -> Result<Vec<u32>, Error> {
        let mut pages: Vec<usize> =
            wanted.iter().filter_map(|key| pack.directory.page_of(*key)).collect();
        pages.dedup();
        let mut hits = Vec::new();
        for some in pages.chunks(PAGES_AT_ONCE) {
            let pages = self.pages(pack, some).await?;
            let (pack, wanted) = (Arc::clone(pack), Arc::clone(wanted));
            let look = move || {
                let of_page = |(number, page): (usize, Arc<Page>)| {
                    let first = pack.directory.pages[number].first_key;
                    let next = pack.directory.pages.get(number + 1).map(|page| page.first_key);
                    let from = wanted.partition_point(|key| *key < first);
                    let keys = wanted[from..].iter().copied();
                    let mine = keys.take_while(|key| next.is_none_or(|next| *key < next));
                    mine.flat_map(|key| page.blocks_of(key).collect::<Vec<_>>()).collect::<Vec<_>>()
                };
                pages.into_iter().flat_map(of_page).collect::<Vec<u32>>()
            };
            hits.extend(self.0.cpu.run(look).await);
        }
        hits.sort_unstable();
        hits.dedup();
        Ok(hits)
    }

    /// Some pages of a pack, from memory or the bucket.
    async fn pages(
        &self,
        pack: &Arc<Pack>,
        numbers: &[usize],
    ) -> Result<Vec<(usize, Arc<Page>)>, Error> {
        let known = |number: &usize| self.0.pages.get(&(pack.id, *number));
        let mut pages: Vec<(usize, Arc<Page>)> =
            numbers.iter().filter_map(|n| Some((*n, known(n)?))).collect();
        let missing: Vec<usize> =
            numbers.iter().copied().filter(|n| pages.iter().all(|(known, _)| known != n)).collect();
        if missing.is_empty() {
            return Ok(pages);
        }
        let infos = &pack.directory.pages;
        let ranges: Vec<_> = missing.iter().map(|number| infos[*number].bytes.clone()).collect();
        let parts = match &pack.body {
            Some(body) => ranges.iter().map(|range| slice(body, range)).collect(),
            None => self.0.store.get_ranges(&pack.key, &ranges).await?,
        };
        let given = Arc::clone(pack);
        let decode = move || {
            let blocks = given.directory.blocks.len();
            let pages = missing.into_iter().zip(parts).map(|(number, bytes)| {
                let page = given.directory.pages[number].decode(&bytes, blocks);
                Ok((number, Arc::new(page.map_err(|what| corrupt(&given.key, what))?)))
            });
            pages.collect::<Result<Vec<_>, Error>>()
        };
        for (number, page) in self.0.cpu.run(decode).await? {
            self.0.pages.insert((pack.id, number), Arc::clone(&page));
            pages.push((number, page));
        }
        Ok(pages)
    }

    /// The tenant's packs, the largest first: as the last listing told, if that was not long ago.
    pub(super) async fn packs(
        &self,
        tenant: &TenantId,
        anew: bool,
    ) -> Result<Vec<Arc<Pack>>, Error> {
        let known = self.tenant(tenant);
        let mut known = known.lock().await;
        let now = self.0.clock.running();
        let is_old = known.listed.is_none_or(|at| now.saturating_sub(at) >= LISTED_PERIOD);
        if is_old || anew {
            self.list(tenant, &mut known).await?;
            known.listed = Some(now);
        }
        Ok(known.packs.clone())
    }

    /// Lists the packs and reads the directories of new ones.
    async fn list(&self, tenant: &TenantId, known: &mut Known) -> Result<(), Error> {
        let listed = self.0.store.list(&keys::filter_packs(tenant)).await?;
        let before: HashMap<Uuid, Arc<Pack>> =
            known.packs.drain(..).map(|pack| (pack.id, pack)).collect();
        let opens: Vec<_> = listed
            .into_iter()
            .filter_map(|object| Some((keys::id(object.key.filename()?)?, object)))
            .map(|(id, object)| {
                let pack = before.get(&id).map(Arc::clone);
                async move {
                    match pack {
                        Some(pack) => Ok(Some(pack)),
                        None => self.open(id, object).await,
                    }
                }
            })
            .collect();
        let opened = futures::stream::iter(opens).buffer_unordered(PARALLEL_PACKS);
        let packs: Vec<Option<Arc<Pack>>> = opened.try_collect().await?;
        known.packs = packs.into_iter().flatten().collect();
        known.packs.sort_by_key(|pack| (std::cmp::Reverse(pack.directory.entries), pack.id));
        Ok(())
    }

    /// A pack by its directory; `None` if it is gone or damaged.
    async fn open(&self, id: Uuid, object: store::Object) -> Result<Option<Arc<Pack>>, Error> {
        let store::Object { key, bytes, .. } = object;
        let opened = async {
            let end = self.0.store.get_range(&key, bytes.saturating_sub(END_BYTES)..bytes).await?;
            let wanted = format::directory_bytes(&end).map_err(|what| corrupt(&key, what))?;
            let end = if wanted > end.len() as u64 {
                self.0.store.get_range(&key, bytes.saturating_sub(wanted)..bytes).await?
            } else {
                end
            };
            let body = (end.len() as u64 == bytes).then(|| end.clone());
            let decode = move || Directory::decode(&end, bytes);
            let directory = blocking(decode).await.map_err(|what| corrupt(&key, what))?;
            Ok(Arc::new(Pack { id, key: key.clone(), bytes, directory, body }))
        };
        match opened.await {
            Ok(pack) => Ok(Some(pack)),
            Err(error) if Error::is_gone(&error) => Ok(None),
            Err(error) => log_or_fail(&key, error).map(|()| None),
        }
    }
}

pub(super) fn corrupt(key: &store::Path, what: &'static str) -> Error {
    Error::Corrupt { key: key.clone(), what }
}

/// A damaged pack, or one of a later version, is as good as none.
fn log_or_fail(key: &store::Path, error: Error) -> Result<(), Error> {
    match error {
        Error::Corrupt { what, .. } => {
            warn!(%key, error = what, "pack left out: its blocks are asked themselves");
            Ok(())
        }
        error => Err(error),
    }
}

/// A part of an object in memory: the directory was checked against its length.
pub(super) fn slice(body: &Bytes, range: &std::ops::Range<u64>) -> Bytes {
    let place = |at: u64| usize::try_from(at).expect("within what is in memory");
    body.slice(place(range.start)..place(range.end))
}
