//! `vivace blocks check`: everything that is in the bucket, read and compared.
//!
//! Of each tenant: every manifest and segment; every object of every block of the newest manifest, its size and CRC32C; the block's
//! index with all its sections and entries, against the list of blocks, the Parquet files, the traces and the bloom filters; every pack;
//! and what nothing refers to. Objects are read in parts, so that memory does not grow with them.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use uuid::Uuid;

use super::finding::{Kind, Report};
use super::progress::Progress;
use super::text::count;
use super::{Bucket, Error, Outcome};
use crate::block::{Crc32c, Opening};
use crate::failure::{self, chain};
use crate::manifest::{self, BlockEntry, ObjectInfo, made_unix_milli};
use crate::packs;
use crate::runtime::Clock;
use crate::scan::ScanCost;
use crate::store;
use crate::store::keys::{self, BlockObject};
use crate::tenant::TenantId;

/// One read of an object; so many at once.
const PART_BYTES: u64 = 8 << 20;
const PARTS_AT_ONCE: usize = 4;

/// A block folder that no manifest has is not called an orphan before: its block may be in the making.
const YOUNG: Duration = Duration::from_hours(1);

/// One tenant at work.
struct Check<'a> {
    bucket: &'a Bucket,
    tenant: &'a TenantId,
    progress: &'a mut Progress,
    report: Report,
}

pub(super) async fn run(
    bucket: &Bucket,
    tenant: Option<TenantId>,
    is_json: bool,
    out: &mut (dyn Write + Send),
) -> Result<Outcome, Error> {
    let (mut wrong, mut orphans, mut documents) = (0, 0, Vec::<Value>::new());
    let mut progress = Progress::new();
    for tenant in bucket.tenants(tenant).await? {
        let check =
            Check { bucket, tenant: &tenant, progress: &mut progress, report: Report::default() };
        let report = check.run().await?;
        wrong += report.count(Kind::Wrong);
        orphans += report.count(Kind::Orphan);
        if is_json {
            documents.push(report.document(&tenant));
        } else {
            report.tell(&tenant, out)?;
        }
    }
    drop(progress);
    if is_json {
        writeln!(out, "{:#}", json!({ "tenants": documents, "wrong": wrong, "orphans": orphans }))?;
    } else if wrong == 0 {
        writeln!(out, "nothing is wrong; {}", count(orphans, "orphan"))?;
    } else {
        writeln!(out, "{} wrong; {}", count(wrong, "thing"), count(orphans, "orphan"))?;
    }
    Ok(if wrong == 0 { Outcome::Good } else { Outcome::SomethingWrong })
}

impl Check<'_> {
    async fn run(mut self) -> Result<Report, Error> {
        self.progress.at(format!("{}: manifests", self.tenant));
        let audit = manifest::audit(&self.bucket.store, self.tenant).await?;
        (self.report.manifests, self.report.segments) = (audit.manifests, audit.segments);
        for (key, what) in &audit.wrong {
            self.report.wrong(key, what);
        }
        if audit.wrong.is_empty() {
            for key in &audit.unnamed_segments {
                let id = key.filename().and_then(keys::id);
                // A young one may be of a commit under way.
                if id.is_none_or(|id| made_unix_milli(id) < young_since()) {
                    self.report.orphan(key, "no manifest names this segment");
                }
            }
        }
        let blocks = audit.newest.as_ref().map(|newest| newest.blocks()).unwrap_or_default();
        self.report.manifest = audit.newest.as_ref().map(|newest| newest.number());
        self.progress.expect(blocks.iter().map(|block| block.bytes()).sum());
        for block in blocks {
            self.progress.at(format!("{}: block {}", self.tenant, block.id));
            self.block(block).await?;
        }
        self.progress.at(format!("{}: packs", self.tenant));
        let packs = packs::check(&self.bucket.store, &self.bucket.cpu, self.tenant).await?;
        self.report.packs = packs.packs;
        self.report.bytes += packs.bytes;
        for (key, what) in packs.wrong {
            self.report.wrong(key, format!("{what}; it may be deleted, and is made anew"));
        }
        self.report.is_list_whole = audit.wrong.is_empty();
        if self.report.is_list_whole {
            let listed: HashSet<Uuid> = blocks.iter().map(|block| block.id).collect();
            self.folders(&listed, &audit.in_use).await?;
        }
        Ok(self.report)
    }

    /// One block. What is wrong with it does not count if it left the list meanwhile.
    async fn block(&mut self, entry: &BlockEntry) -> Result<(), Error> {
        let before = self.report.findings.len();
        self.report.blocks += 1;
        self.report.spans += entry.spans;
        let damaged = self.objects(entry).await?;
        if !damaged.contains(&BlockObject::Index) {
            self.index(entry, &damaged).await;
        }
        if self.report.findings.len() > before {
            let newest = manifest::newest(&self.bucket.store, self.tenant).await;
            if newest.is_ok_and(|newest| newest.block(entry.id).is_none()) {
                self.report.findings.truncate(before);
                self.report.waiting += 1;
            }
        }
        Ok(())
    }

    /// Presence, size and checksum of each object; those that are damaged.
    async fn objects(&mut self, entry: &BlockEntry) -> Result<HashSet<BlockObject>, Error> {
        let folder = keys::block_folder(self.tenant, entry.id);
        let listed = self.bucket.store.list(&folder).await?;
        let mut found: HashMap<store::Path, u64> =
            listed.into_iter().map(|object| (object.key, object.bytes)).collect();
        let mut damaged = HashSet::new();
        for info in &entry.objects {
            let key = keys::block(self.tenant, entry.id, info.object);
            self.report.objects += 1;
            if let Some(what) = self.object(&key, info, found.remove(&key)).await? {
                self.report.wrong(key, what);
                damaged.insert(info.object);
            }
        }
        for needed in [BlockObject::Spans, BlockObject::Traces, BlockObject::Index] {
            if entry.object(needed).is_none() {
                self.report.wrong(&folder, format!("the list of blocks has no {needed} of it"));
                damaged.insert(needed);
            }
        }
        for key in found.into_keys() {
            self.report.orphan(key, "the list of blocks does not name it");
        }
        Ok(damaged)
    }

    /// What is wrong with an object of which a listing found so many bytes.
    async fn object(
        &mut self,
        key: &store::Path,
        info: &ObjectInfo,
        found: Option<u64>,
    ) -> Result<Option<String>, Error> {
        let ObjectInfo { object: _, bytes, crc32c } = *info;
        match found {
            None => {
                self.progress.advance(bytes);
                return Ok(Some("not in the bucket".to_owned()));
            }
            Some(found) if found != bytes => {
                self.progress.advance(bytes);
                return Ok(Some(format!("{found} bytes, the list of blocks says {bytes}")));
            }
            Some(_) => {}
        }
        match self.crc32c(key, bytes).await {
            Ok(found) if found == crc32c => Ok(None),
            Ok(found) => {
                Ok(Some(format!("CRC32C is {found:08x}, the list of blocks says {crc32c:08x}")))
            }
            Err(error) if matches!(error.kind(), failure::Kind::Unavailable { .. }) => {
                Err(error.into())
            }
            Err(error) => Ok(Some(chain(&error))),
        }
    }

    async fn crc32c(&mut self, key: &store::Path, bytes: u64) -> Result<u32, store::Error> {
        let store = self.bucket.store.clone();
        let parts = (0..bytes.div_ceil(PART_BYTES)).map(|part| {
            let (store, key) = (store.clone(), key.clone());
            let range = part * PART_BYTES..((part + 1) * PART_BYTES).min(bytes);
            async move { store.get_range(&key, range).await }
        });
        let mut parts = futures::stream::iter(parts).buffered(PARTS_AT_ONCE);
        let mut crc = Crc32c::default();
        while let Some(part) = parts.try_next().await? {
            crc.update(&part);
            self.report.bytes += part.len() as u64;
            self.progress.advance(part.len() as u64);
        }
        Ok(crc.finish())
    }

    async fn index(&mut self, entry: &BlockEntry, damaged: &HashSet<BlockObject>) {
        let key = |object| keys::block(self.tenant, entry.id, object);
        let mut cost = ScanCost::default();
        let opened = self.bucket.blocks.open(self.tenant, entry, Opening::Long, &mut cost);
        match opened.await {
            Ok(block) => {
                for wrong in block.verify(entry, |object| damaged.contains(&object)).await {
                    self.report.wrong(key(wrong.object), wrong.what);
                }
            }
            Err(error) => self.report.wrong(key(BlockObject::Index), chain(&error)),
        }
    }

    /// Folders of blocks that the newest manifest does not have.
    async fn folders(
        &mut self,
        listed: &HashSet<Uuid>,
        in_use: &HashSet<Uuid>,
    ) -> Result<(), Error> {
        let store = &self.bucket.store;
        let young_since = young_since();
        let folder = keys::blocks(self.tenant);
        for name in store.list_folders(&folder).await? {
            let id = keys::id(&name);
            if id.is_some_and(|id| listed.contains(&id)) {
                continue;
            }
            let objects = store.list(&folder.clone().join(name.as_str())).await?;
            if objects.is_empty() {
                // A local folder of which all was deleted.
                continue;
            }
            if id.is_some_and(|id| in_use.contains(&id) || made_unix_milli(id) >= young_since) {
                self.report.waiting += 1;
                continue;
            }
            let bytes = super::text::bytes(objects.iter().map(|object| object.bytes).sum());
            let objects = count(objects.len() as u64, "object");
            let what = format!("{objects}, {bytes}: no manifest has this block");
            self.report.orphan(format!("{folder}/{name}/"), what);
        }
        Ok(())
    }
}

/// What was made since then may be of work under way, in milliseconds since 1970.
fn young_since() -> u64 {
    let young = u64::try_from(YOUNG.as_millis()).unwrap_or(u64::MAX);
    (Clock::real().now_unix_nano() / 1_000_000).saturating_sub(young)
}
