//! The bucket: the only room that talks to it.
//!
//! A `Store` is S3, GCS, Azure, a local folder or memory behind one small set of calls. All of them hold the one
//! promise that everything above is built on: of several `Store::put_if_absent` for one key exactly one creates
//! it. `Store::open` tries that out and refuses a bucket where it does not hold.
//!
//! Keys are relative to the prefix of the configuration; their shapes are in `keys`. What is tried again, how long
//! and how often is in `retry.rs`; every attempt is counted in `Counters`.

mod config;
mod counters;
mod folder;
mod hedge;
pub mod keys;
mod open;
mod ranges;
mod retry;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use bytes::Bytes;
use futures::StreamExt;
use futures::TryStreamExt;
use object_store::GetOptions;
use object_store::GetRange;
use object_store::ObjectStore;
use object_store::ObjectStoreExt;
use object_store::PutMode;
use object_store::PutOptions;
use object_store::PutPayload;
use object_store::local::LocalFileSystem;

pub use config::Azure;
pub use config::Backend;
pub use config::Config;
pub use config::Gcs;
pub use config::Local;
pub use config::S3;
pub use config::Secret;
pub use config::Sse;
pub use counters::Counters;
pub use counters::Operation;
pub use hedge::Hedge;
pub use object_store::path::Path;
pub use retry::Retry;

use crate::failure::Kind;

/// Most objects that one [`Store::list`] returns: 20,000 blocks have about 200,000 objects, and a listing of a million
/// is about 200 MB of memory.
pub const LIST_OBJECTS_MAX: usize = 1_000_000;

/// What a listing of so many takes on the wire, about: the time of one is bounded by it.
const LIST_BYTES_MAX: u64 = 512 << 20;

/// A bucket. Cheap to clone; clones share the counters.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    retry: Retry,
    hedge: Hedge,
    counters: Arc<Counters>,
    /// If it is a local folder: parts of its files are read without `objects`, and what lies between them is not read.
    folder: Option<Arc<LocalFileSystem>>,
}

/// What [`Store::put_if_absent`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// The key was free; the object is there and durable.
    Created,
    /// The key was taken, and nothing was written by the last attempt. An earlier attempt of this same call may have
    /// written it, if its answer was lost: who cares compares the content.
    AlreadyExists,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub key: Path,
    pub bytes: u64,
    /// By the bucket's clock.
    pub last_modified: SystemTime,
}

/// Why the bucket did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{key}: not in the bucket")]
    NotFound { key: Path },
    /// A body or a range shorter than what was asked for.
    #[error("{key}: wanted bytes {start}..{end}, found {found} bytes")]
    Truncated { key: Path, start: u64, end: u64, found: u64 },
    /// The bucket refused; trying again would not help.
    #[error("{key}: {source}")]
    Refused { key: Path, source: Box<object_store::Error> },
    /// All attempts failed in a way that may pass. A write may or may not have happened, or happen yet.
    #[error("{key}: {attempts} attempts, the last: {source}")]
    Unavailable { key: Path, attempts: u32, source: Box<object_store::Error> },
    #[error("{prefix}: more than {objects_max} objects in one listing")]
    TooMany { prefix: Path, objects_max: usize },
    #[error("storage.trace.{key}: {reason}")]
    Config { key: &'static str, reason: String },
    #[error("storage.trace.local.path: {}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error(
        "{store}: a second create of the same object was accepted: this bucket does not hold put-if-absent, on \
         which every change depends"
    )]
    NoPutIfAbsent { store: String },
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } => Kind::NotFound,
            Self::Unavailable { .. } => Kind::Unavailable { retry_after: Duration::from_secs(1) },
            Self::Truncated { .. }
            | Self::Refused { .. }
            | Self::TooMany { .. }
            | Self::Config { .. }
            | Self::Folder { .. }
            | Self::NoPutIfAbsent { .. } => Kind::Internal,
        }
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

impl Store {
    /// Opens the bucket that `config` names and tries out put-if-absent: two creates and a delete of one small object
    /// under `@probe/`.
    ///
    /// # Errors
    /// A wrong configuration, a bucket that cannot be reached or written, or one without put-if-absent.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        let store = open::open(config).await?;
        open::probe(&store).await?;
        Ok(store)
    }

    /// Opens the bucket that `config` names for who only reads: nothing is written, and nothing is tried out. A local folder must be there.
    ///
    /// # Errors
    /// A wrong configuration, or a folder that is not there.
    pub async fn open_to_read(config: &Config) -> Result<Self, Error> {
        let Config { backend, local, .. } = config;
        if *backend == Backend::Local && !local.path.is_dir() {
            let source = io::Error::new(io::ErrorKind::NotFound, "no such folder");
            return Err(Error::Folder { path: local.path.clone(), source });
        }
        open::open(config).await
    }

    /// An empty store in memory, gone with its last clone.
    pub fn memory() -> Self {
        Self::from_object_store(Arc::new(object_store::memory::InMemory::new()))
    }

    /// A store over any `objects`, not probed: for tests that put faults or counters in between.
    pub fn from_object_store(objects: Arc<dyn ObjectStore>) -> Self {
        let (retry, hedge, counters) = (Retry::default(), Hedge::default(), Arc::default());
        Self { objects, retry, hedge, counters, folder: None }
    }

    fn from_folder(folder: LocalFileSystem) -> Self {
        let folder = Arc::new(folder);
        let objects = Arc::clone(&folder) as Arc<dyn ObjectStore>;
        Self { folder: Some(folder), ..Self::from_object_store(objects) }
    }

    /// The same bucket and counters with other rules for trying again.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// The same bucket and counters with other rules for asking a second time.
    #[must_use]
    pub fn with_hedge(self, hedge: Hedge) -> Self {
        Self { hedge, ..self }
    }

    /// Requests and bytes since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A whole object.
    ///
    /// # Errors
    /// [`Error::NotFound`], or the bucket's failure.
    pub async fn get(&self, key: &Path) -> Result<Bytes, Error> {
        let (retry, count, objects) = (&self.retry, &self.counters.get, &self.objects);
        let bytes = retry::run(retry, count, key, || async {
            let head = || retry.within(0, objects.get(key));
            let answer = self.hedge.run(count, head).await?;
            retry.within(answer.meta.size, answer.bytes()).await
        })
        .await?;
        count.add_bytes(bytes.len());
        Ok(bytes)
    }

    /// Parts of one object, in the order asked for. Ranges less than 512 KiB apart are read by one request as long as no more
    /// than twice the wanted bytes are read (see `ranges.rs`), and the returned parts then share its memory; at most 10
    /// requests run at once. An empty range costs nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Truncated`] or [`Error::Refused`] where a range reaches past the end.
    pub async fn get_ranges(&self, key: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        self.get_ranges_in(key, ranges, usize::MAX).await
    }

    /// As [`Store::get_ranges`], in at most `requests_max` requests where no gap is wider than 1 MiB, whatever is read for nothing.
    ///
    /// # Errors
    /// As for [`Store::get_ranges`].
    pub async fn get_ranges_in(
        &self,
        key: &Path,
        ranges: &[Range<u64>],
        requests_max: usize,
    ) -> Result<Vec<Bytes>, Error> {
        if let Some(folder) = &self.folder {
            return self.get_ranges_of_file(folder, key, ranges).await;
        }
        let joined = ranges::join(ranges, requests_max);
        // Owned ranges: a closure over borrowed ones makes the future not `Send` in general.
        let requests: Vec<_> =
            joined.iter().cloned().map(|range| self.get_range(key, range)).collect();
        let bodies: Vec<Bytes> =
            futures::stream::iter(requests).buffered(ranges::PARALLEL_MAX).try_collect().await?;
        Ok(ranges.iter().map(|range| ranges::part(range, &joined, &bodies)).collect())
    }

    async fn get_ranges_of_file(
        &self,
        folder: &LocalFileSystem,
        key: &Path,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, Error> {
        let pieces = ranges::of_file(ranges);
        if pieces.is_empty() {
            return Ok(vec![Bytes::new(); ranges.len()]);
        }
        let (retry, count) = (&self.retry, &self.counters.get);
        let wanted = &pieces;
        let bodies = retry::run(retry, count, key, || async {
            let bytes = wanted.iter().map(|piece| piece.end - piece.start).sum();
            retry.within(bytes, folder::read(folder, key, wanted.clone())).await
        })
        .await?;
        for (piece, body) in pieces.iter().zip(&bodies) {
            count.add_bytes(body.len());
            checked(key, piece, body)?;
        }
        Ok(ranges.iter().map(|range| ranges::part(range, &pieces, &bodies)).collect())
    }

    /// One part of an object. An empty range costs nothing.
    ///
    /// # Errors
    /// As for [`Store::get_ranges`].
    pub async fn get_range(&self, key: &Path, range: Range<u64>) -> Result<Bytes, Error> {
        if range.start >= range.end {
            return Ok(Bytes::new());
        }
        let (retry, count, objects) = (&self.retry, &self.counters.get, &self.objects);
        let wanted = &range;
        let bytes = retry::run(retry, count, key, || async {
            let range = Some(GetRange::Bounded(wanted.clone()));
            let options = GetOptions { range, ..GetOptions::default() };
            let head = || retry.within(0, objects.get_opts(key, options.clone()));
            let answer = self.hedge.run(count, head).await?;
            retry.within(wanted.end - wanted.start, answer.bytes()).await
        })
        .await?;
        count.add_bytes(bytes.len());
        checked(key, &range, &bytes)?;
        Ok(bytes)
    }

    /// Writes or overwrites an object; durable when it returns.
    ///
    /// # Errors
    /// The bucket's failure. After [`Error::Unavailable`] it is unknown whether the object was written.
    pub async fn put(&self, key: &Path, body: Bytes) -> Result<(), Error> {
        let (retry, count, objects) = (&self.retry, &self.counters.put, &self.objects);
        let (body, size) = (&body, body.len());
        retry::run(retry, count, key, || async move {
            count.add_bytes(size);
            retry.within(size as u64, objects.put(key, PutPayload::from(body.clone()))).await
        })
        .await?;
        Ok(())
    }

    /// Writes an object if its key is free; durable when it returns `Created`. Of any number of racing calls exactly
    /// one creates the object.
    ///
    /// # Errors
    /// The bucket's failure. After [`Error::Unavailable`], or when the future is dropped, it is unknown whether the
    /// object was written.
    pub async fn put_if_absent(&self, key: &Path, body: Bytes) -> Result<PutOutcome, Error> {
        let (retry, count, objects) = (&self.retry, &self.counters.put, &self.objects);
        let (body, size) = (&body, body.len());
        let result = retry::run(retry, count, key, || async move {
            count.add_bytes(size);
            let options = PutOptions::from(PutMode::Create);
            let put = objects.put_opts(key, PutPayload::from(body.clone()), options);
            match retry.within(size as u64, put).await {
                Ok(_) => Ok(PutOutcome::Created),
                Err(e @ object_store::Error::AlreadyExists { .. }) if !retry::is_conflict(&e) => {
                    Ok(PutOutcome::AlreadyExists)
                }
                Err(e) => Err(e),
            }
        });
        result.await
    }

    /// Every object at or below `prefix` (a whole path segment or several; empty for all), in no order. At most
    /// [`LIST_OBJECTS_MAX`].
    ///
    /// # Errors
    /// [`Error::TooMany`], or the bucket's failure. A prefix without objects is an empty list.
    pub async fn list(&self, prefix: &Path) -> Result<Vec<Object>, Error> {
        let retry = &self.retry;
        let found = retry::run(retry, &self.counters.list, prefix, || async {
            // One more than allowed, to know that there are more.
            let stream = self.objects.list(Some(prefix)).take(LIST_OBJECTS_MAX + 1);
            let all = stream.map_ok(Object::from).try_collect::<Vec<_>>();
            retry.within(LIST_BYTES_MAX, all).await
        })
        .await?;
        bounded(prefix, found)
    }

    /// The objects directly in the folder `prefix`, without those in folders below it.
    ///
    /// # Errors
    /// As for [`Store::list`].
    pub async fn list_folder(&self, prefix: &Path) -> Result<Vec<Object>, Error> {
        let found = self.list_with_delimiter(prefix).await?;
        bounded(prefix, found.objects.into_iter().map(Object::from).collect())
    }

    /// The names of the folders directly in the folder `prefix`, sorted. A local folder may be empty.
    ///
    /// # Errors
    /// As for [`Store::list`].
    pub async fn list_folders(&self, prefix: &Path) -> Result<Vec<String>, Error> {
        let found = self.list_with_delimiter(prefix).await?;
        let mut names: Vec<String> =
            found.common_prefixes.iter().filter_map(|p| Some(p.filename()?.to_owned())).collect();
        names.sort_unstable();
        bounded(prefix, names)
    }

    async fn list_with_delimiter(&self, prefix: &Path) -> Result<object_store::ListResult, Error> {
        let retry = &self.retry;
        retry::run(retry, &self.counters.list, prefix, || async {
            retry.within(LIST_BYTES_MAX, self.objects.list_with_delimiter(Some(prefix))).await
        })
        .await
    }

    /// Deletes an object. One that is not there is not an error: a retried delete cannot know.
    ///
    /// # Errors
    /// The bucket's failure.
    pub async fn delete(&self, key: &Path) -> Result<(), Error> {
        let retry = &self.retry;
        let result = retry::run(retry, &self.counters.delete, key, || async {
            retry.within(0, self.objects.delete(key)).await
        });
        match result.await {
            Err(Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// # Errors
/// When the bytes that were found of a range are not as many as it has.
fn checked(key: &Path, range: &Range<u64>, bytes: &Bytes) -> Result<(), Error> {
    let (Range { start, end }, found) = (range.clone(), bytes.len() as u64);
    if found == end - start {
        return Ok(());
    }
    Err(Error::Truncated { key: key.clone(), start, end, found })
}

fn bounded<T>(prefix: &Path, found: Vec<T>) -> Result<Vec<T>, Error> {
    if found.len() > LIST_OBJECTS_MAX {
        return Err(Error::TooMany { prefix: prefix.clone(), objects_max: LIST_OBJECTS_MAX });
    }
    Ok(found)
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.objects)
    }
}

impl From<object_store::ObjectMeta> for Object {
    fn from(meta: object_store::ObjectMeta) -> Self {
        Self { key: meta.location, bytes: meta.size, last_modified: meta.last_modified.into() }
    }
}
