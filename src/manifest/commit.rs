//! One tenant's list, as this process sees and changes it.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tracing::warn;
use uuid::Uuid;

use super::Error;
use super::MANIFEST_BYTES_MAX;
use super::entry::BlockEntry;
use super::envelope::Identity;
use super::head::Reader;
use super::snapshot::Manifest;
use super::snapshot::RECENT_COMMITS;
use super::spill;
use super::spill::Parts;
use super::wire;
use crate::store::PutOutcome;
use crate::store::Store;
use crate::store::keys;
use crate::tenant::TenantId;

/// Attempts of one commit; each but the last means that another one succeeded.
const ATTEMPTS_MAX: u32 = 100;

/// Commits whose outcome is unknown, and remembered for when they are tried again.
const UNSETTLED_MAX: usize = 64;

/// Most blocks that one edit adds or removes.
const EDIT_BLOCKS_MAX: usize = 2000;

/// A change of the list, made whole or not at all.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    pub add: Vec<BlockEntry>,
    pub remove: Vec<Uuid>,
    /// What was known when it was decided: a block that came since forbids the edit, since what is added may share traces with it
    /// and does not know. Where blocks are removed, the new one would share traces with one of those.
    pub based_on: Option<Arc<Manifest>>,
}

/// The list of one tenant. Cheap to clone; clones share what they know.
#[derive(Debug, Clone)]
pub struct Manifests(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reader: Reader,
    writer: Uuid,
    current: Mutex<Arc<Manifest>>,
    /// One commit of this process at a time: racing ones would only make each other try again.
    turn: Semaphore,
    unsettled: Mutex<VecDeque<Unsettled>>,
}

/// What a commit does.
#[derive(Debug, Clone)]
struct Change {
    add: Vec<Arc<BlockEntry>>,
    remove: Vec<Uuid>,
    based_on: Option<Arc<Manifest>>,
    fence_unix_milli: u64,
}

/// A change by its content: the same change again is the same commit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ChangeKey {
    add: Vec<Uuid>,
    remove: Vec<Uuid>,
    fence_unix_milli: u64,
}

/// A commit whose PUT may have been done, or be done yet.
#[derive(Debug, Clone)]
struct Unsettled {
    change: ChangeKey,
    commit: Uuid,
    number: u64,
}

/// The next manifest, ready to be put.
struct Prepared {
    manifest: Manifest,
    object: Bytes,
    segments: Vec<(Uuid, Bytes)>,
}

enum Outcome {
    Counted,
    /// Somebody else has the number.
    Lost,
    /// The newest manifest tells.
    Unclear,
}

impl Manifests {
    /// Finds the newest manifest of a tenant. `writer` names this process in the manifests that it writes.
    ///
    /// # Errors
    /// The bucket's, or [`Error::Corrupt`], [`Error::ReaderTooOld`].
    pub async fn open(store: Store, tenant: TenantId, writer: Uuid) -> Result<Self, Error> {
        let reader = Reader { store, tenant };
        let newest = reader.find(&Manifest::empty()).await?;
        Ok(Self(Arc::new(Inner {
            reader,
            writer,
            current: Mutex::new(newest),
            turn: Semaphore::new(1),
            unsettled: Mutex::default(),
        })))
    }

    /// The newest manifest that this process knows of.
    pub fn current(&self) -> Arc<Manifest> {
        Arc::clone(&self.0.current.lock())
    }

    /// The newest manifest there is. Two small requests if nothing has changed.
    ///
    /// # Errors
    /// As for [`Manifests::open`].
    pub async fn refresh(&self) -> Result<Arc<Manifest>, Error> {
        let newest = self.0.reader.newest(self.current()).await?;
        Ok(self.publish(newest))
    }

    /// Adds and removes blocks in one step, and returns the manifest that has the change, or a later one. An empty edit
    /// changes nothing.
    ///
    /// After an error of the bucket, or when the future is dropped, the change may have been made or be made yet:
    /// the same edit again finds out, and is not made twice.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::AlreadyThere`], [`Error::Expired`], [`Error::Invalid`], [`Error::WriterTooOld`]:
    /// nothing was changed. Else the bucket's, [`Error::Contended`], [`Error::TooLarge`], [`Error::Unknown`].
    pub async fn commit(&self, edit: Edit) -> Result<Arc<Manifest>, Error> {
        if edit.add.is_empty() && edit.remove.is_empty() {
            return Ok(self.current());
        }
        self.apply(Change::checked(edit)?).await
    }

    /// Forbids to add blocks whose ids were made before this time, in milliseconds since 1970. After it returns, the
    /// objects of such a block that is in no manifest will never be in one, and may be deleted.
    ///
    /// # Errors
    /// As for [`Manifests::commit`].
    pub async fn fence(&self, fence_unix_milli: u64) -> Result<Arc<Manifest>, Error> {
        if self.current().fence_unix_milli >= fence_unix_milli {
            return Ok(self.current());
        }
        self.commit_fence(fence_unix_milli).await
    }

    /// A manifest that follows all before it, with this fence or a later one. Commits under way have to start again.
    pub(super) async fn commit_fence(&self, fence_unix_milli: u64) -> Result<Arc<Manifest>, Error> {
        let change =
            Change { add: Vec::new(), remove: Vec::new(), based_on: None, fence_unix_milli };
        self.apply(change).await
    }

    pub(super) fn reader(&self) -> &Reader {
        &self.0.reader
    }

    fn publish(&self, manifest: Arc<Manifest>) -> Arc<Manifest> {
        let mut current = self.0.current.lock();
        if manifest.number() > current.number() {
            *current = manifest;
        }
        Arc::clone(&current)
    }

    async fn apply(&self, change: Change) -> Result<Arc<Manifest>, Error> {
        let _turn = self.0.turn.acquire().await.expect("never closed");
        let (commit, mut attempted) = self.earlier(&change);
        let mut head = self.current();
        for _ in 0..ATTEMPTS_MAX {
            if let Some(number) = attempted {
                head = self.0.reader.newest(head).await?;
                let open = is_open(&head, commit, number).inspect_err(|_| self.settle(commit))?;
                attempted = open.then_some(number);
            }
            if head.has_commit(commit) {
                self.settle(commit);
                return Ok(self.publish(head));
            }
            let prepared = match self.prepare(&head, &change, commit).await {
                Ok(prepared) => prepared,
                Err(error) => {
                    // It may be that only what we know is old.
                    let newest = self.0.reader.newest(Arc::clone(&head)).await?;
                    if newest.number() > head.number() {
                        head = newest;
                        continue;
                    }
                    if attempted.is_none() {
                        self.settle(commit);
                    }
                    return Err(error);
                }
            };
            let number = head.number() + 1;
            self.remember(Unsettled { change: change.key(), commit, number });
            attempted = Some(number);
            match self.put(&head, &prepared).await? {
                Outcome::Counted => {
                    self.settle(commit);
                    return Ok(self.publish(Arc::new(prepared.manifest)));
                }
                Outcome::Lost => {
                    attempted = None;
                    head = self.0.reader.newest(head).await?;
                }
                Outcome::Unclear => {}
            }
        }
        Err(Error::Contended { attempts: ATTEMPTS_MAX })
    }

    async fn prepare(
        &self,
        head: &Arc<Manifest>,
        change: &Change,
        commit: Uuid,
    ) -> Result<Prepared, Error> {
        let (head, change, writer) = (Arc::clone(head), change.clone(), self.0.writer);
        let prepare = move || prepare(&head, &change, writer, commit);
        tokio::task::spawn_blocking(prepare).await.expect("making a list does not panic")
    }

    async fn put(&self, base: &Manifest, next: &Prepared) -> Result<Outcome, Error> {
        let Reader { store, tenant } = &self.0.reader;
        for (id, object) in &next.segments {
            store.put(&keys::manifest_segment(tenant, *id), object.clone()).await?;
        }
        let identity = next.manifest.identity;
        let key = keys::manifest(tenant, identity.number);
        match store.put_if_absent(&key, next.object.clone()).await? {
            PutOutcome::Created => {
                if self.is_next_of(base).await? {
                    return Ok(Outcome::Counted);
                }
                warn!(%key, "manifest written after a long sleep, into a number that was used and swept");
                Ok(Outcome::Unclear)
            }
            PutOutcome::AlreadyExists => match self.0.reader.read(identity.number).await? {
                Some((found, _)) if found.id != identity.id => Ok(Outcome::Lost),
                _ => Ok(Outcome::Unclear),
            },
        }
    }

    /// Whether what was just put after `base` is a successor of it: `base` is still there. The first manifest has no
    /// predecessor; it is the first if a listing shows no other.
    async fn is_next_of(&self, base: &Manifest) -> Result<bool, Error> {
        if base.number() > 0 {
            return self.0.reader.is_there(base.identity).await;
        }
        Ok(self.0.reader.listed().await? == [1])
    }

    /// The commit id of a change, and the number at which it was attempted before.
    fn earlier(&self, change: &Change) -> (Uuid, Option<u64>) {
        let key = change.key();
        let unsettled = self.0.unsettled.lock();
        match unsettled.iter().find(|earlier| earlier.change == key) {
            Some(earlier) => (earlier.commit, Some(earlier.number)),
            None => (Uuid::now_v7(), None),
        }
    }

    fn remember(&self, new: Unsettled) {
        let mut unsettled = self.0.unsettled.lock();
        unsettled.retain(|earlier| earlier.commit != new.commit);
        if unsettled.len() == UNSETTLED_MAX {
            unsettled.pop_front();
        }
        unsettled.push_back(new);
    }

    fn settle(&self, commit: Uuid) {
        self.0.unsettled.lock().retain(|earlier| earlier.commit != commit);
    }
}

/// Whether a commit that is not in `head` may still turn up as manifest `number`.
fn is_open(head: &Manifest, commit: Uuid, number: u64) -> Result<bool, Error> {
    if head.has_commit(commit) || head.number() < number {
        return Ok(true);
    }
    // The newest manifest has the commits of so many manifests before it.
    if head.number() - number >= RECENT_COMMITS as u64 {
        return Err(Error::Unknown { number });
    }
    Ok(false)
}

impl Change {
    fn checked(edit: Edit) -> Result<Self, Error> {
        let Edit { add, remove, based_on } = edit;
        let most = add.len().max(remove.len());
        if most > EDIT_BLOCKS_MAX {
            let text = format!("has {most} blocks; at most {EDIT_BLOCKS_MAX}");
            return Err(Error::Invalid(text));
        }
        let mut seen = HashSet::new();
        for id in add.iter().map(|entry| &entry.id).chain(&remove) {
            if !seen.insert(*id) {
                return Err(Error::Invalid(format!("names block {id} twice")));
            }
        }
        let add = add.into_iter().map(|entry| Arc::new(entry.bounded())).collect();
        Ok(Self { add, remove, based_on, fence_unix_milli: 0 })
    }

    fn key(&self) -> ChangeKey {
        let mut add: Vec<Uuid> = self.add.iter().map(|entry| entry.id).collect();
        let mut remove = self.remove.clone();
        add.sort_unstable();
        remove.sort_unstable();
        ChangeKey { add, remove, fence_unix_milli: self.fence_unix_milli }
    }

    /// Whether the change can be made to `head`.
    fn check(&self, head: &Manifest) -> Result<(), Error> {
        if head.min_writer > wire::VERSION {
            let (min_writer, version) = (head.min_writer, wire::VERSION);
            return Err(Error::WriterTooOld { min_writer, version });
        }
        let there: HashSet<Uuid> = head.blocks().iter().map(|block| block.id).collect();
        for entry in &self.add {
            let (block, fence_unix_milli) = (entry.id, head.fence_unix_milli);
            // One that a segment still has cannot be told from its new self.
            if there.contains(&block) || head.removed.contains(&block) {
                return Err(Error::AlreadyThere { block });
            }
            if entry.made_unix_milli() < fence_unix_milli {
                return Err(Error::Expired { block, fence_unix_milli });
            }
        }
        match self.remove.iter().find(|id| !there.contains(id)) {
            Some(&block) => Err(Error::Gone { block }),
            None => self.check_sharing(head),
        }
    }

    /// Whether no block came since that what is added should know of.
    fn check_sharing(&self, head: &Manifest) -> Result<(), Error> {
        let Some(base) = self.based_on.as_ref().filter(|base| base.number() != head.number())
        else {
            return Ok(());
        };
        let known: HashSet<Uuid> = base.blocks().iter().map(|block| block.id).collect();
        let may_share = |block: &&Arc<BlockEntry>| {
            let is_relative = |id: &Uuid| block.may_share_with(*id);
            !known.contains(&block.id)
                && (self.remove.is_empty() || self.remove.iter().any(is_relative))
        };
        match head.blocks().iter().find(may_share) {
            Some(block) => Err(Error::Overtaken { block: block.id }),
            None => Ok(()),
        }
    }

    /// The blocks that are added, as they are after `head`: one that names a block that is gone shares with any.
    fn added(&self, head: &Manifest) -> Vec<Arc<BlockEntry>> {
        let there: HashSet<Uuid> = head.blocks().iter().map(|block| block.id).collect();
        let is_there = |id: &Uuid| there.contains(id) && !self.remove.contains(id);
        let added = self.add.iter().map(|entry| {
            if entry.shared_with.iter().all(is_there) {
                return Arc::clone(entry);
            }
            Arc::new(BlockEntry { shared_with: Vec::new(), ..BlockEntry::clone(entry) })
        });
        added.collect()
    }
}

/// The manifest after `head` with the change made.
fn prepare(
    head: &Manifest,
    change: &Change,
    writer: Uuid,
    commit: Uuid,
) -> Result<Prepared, Error> {
    change.check(head)?;
    let leaving: HashSet<Uuid> = change.remove.iter().copied().collect();
    let stays = |block: &&Arc<BlockEntry>| !leaving.contains(&block.id);
    let added = change.added(head);
    let inline: Vec<_> = head.inline.iter().filter(stays).chain(&added).map(Arc::clone).collect();
    let in_manifest: HashSet<Uuid> = head.inline.iter().map(|block| block.id).collect();
    let in_segments = leaving.iter().filter(|id| !in_manifest.contains(id));
    let removed = head.removed.iter().chain(in_segments).copied().collect();
    let segments = head.segments.iter().map(Arc::clone).collect();
    let parts = Parts { inline, removed, segments };
    let (parts, objects) =
        if spill::is_due(&parts) { spill::spill(writer, parts) } else { (parts, Vec::new()) };
    let mut recent_commits = head.recent_commits.clone();
    recent_commits.push(commit);
    let oldest = recent_commits.len().saturating_sub(RECENT_COMMITS);
    recent_commits.drain(..oldest);
    let Parts { inline, removed, segments } = parts;
    let manifest = Manifest {
        identity: Identity { number: head.number() + 1, writer, id: commit },
        min_writer: head.min_writer.max(wire::VERSION),
        min_reader: head.min_reader.max(wire::VERSION),
        fence_unix_milli: head.fence_unix_milli.max(change.fence_unix_milli),
        recent_commits,
        inline,
        removed,
        segments,
        tombstones: head.tombstones.clone(),
        watermarks: head.watermarks.clone(),
        ..Manifest::empty()
    };
    let manifest = manifest.with_blocks();
    let object = manifest.seal();
    if object.len() > MANIFEST_BYTES_MAX {
        return Err(Error::TooLarge { bytes: object.len(), bytes_max: MANIFEST_BYTES_MAX });
    }
    Ok(Prepared { manifest, object, segments: objects })
}
