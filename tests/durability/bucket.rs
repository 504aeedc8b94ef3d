//! A bucket in memory whose requests fail when a test says so. Several processes, one after the other, see the same objects.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use vivace::runtime::Clock;
use vivace::store::{Path, Retry, Store};

/// Attempts of the store: two failures in a row are told to the caller.
const ATTEMPTS_MAX: u32 = 2;

/// When a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is written.
    Before,
    /// The object is written, the answer is lost.
    After,
}

/// What happens to requests.
#[derive(Debug)]
pub(crate) enum Weather {
    Fine,
    /// This many puts are answered, all later ones fail.
    Puts(u32, Fault),
    /// This many requests are answered, all later ones fail; a put that is among them, the first, as said.
    Requests(u32, Fault),
    /// One request in four fails.
    Gusts(Box<StdRng>),
}

impl Weather {
    pub(crate) fn gusts(seed: u64) -> Self {
        Self::Gusts(Box::new(StdRng::seed_from_u64(seed)))
    }

    /// Whether this request fails.
    fn fault(&mut self, is_put: bool) -> Option<Fault> {
        match self {
            Self::Fine => None,
            Self::Puts(..) if !is_put => None,
            Self::Puts(left, fault) | Self::Requests(left, fault) => match left.checked_sub(1) {
                Some(fewer) => {
                    *left = fewer;
                    None
                }
                // After the first nothing gets through.
                None => Some(std::mem::replace(fault, Fault::Before)),
            },
            Self::Gusts(rng) => {
                let fault = if rng.random() { Fault::Before } else { Fault::After };
                rng.random_ratio(1, 4).then_some(fault)
            }
        }
    }
}

/// One process's way to the bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    objects: Arc<InMemory>,
    weather: Mutex<Weather>,
    clock: Option<Clock>,
    /// When objects were written, by that clock.
    written: Arc<Written>,
}

/// Unix nanoseconds by object; what outlives a process.
pub(crate) type Written = Mutex<HashMap<Path, u64>>;

impl Bucket {
    pub(crate) fn over(objects: &Arc<InMemory>) -> (Arc<Self>, Store) {
        Self::opened(objects, None, Arc::default())
    }

    /// With the time of a simulated clock on its objects.
    pub(crate) fn at(
        objects: &Arc<InMemory>,
        clock: &Clock,
        written: &Arc<Written>,
    ) -> (Arc<Self>, Store) {
        Self::opened(objects, Some(clock.clone()), Arc::clone(written))
    }

    fn opened(
        objects: &Arc<InMemory>,
        clock: Option<Clock>,
        written: Arc<Written>,
    ) -> (Arc<Self>, Store) {
        let (objects, weather) = (Arc::clone(objects), Mutex::new(Weather::Fine));
        let bucket = Arc::new(Self { objects, weather, clock, written });
        let retry = Retry {
            attempts_max: ATTEMPTS_MAX,
            backoff_initial: Duration::ZERO,
            ..Retry::default()
        };
        let objects: Arc<Self> = Arc::clone(&bucket);
        (bucket, Store::from_object_store(objects).with_retry(retry))
    }

    /// Changes the weather; returns what it was.
    pub(crate) fn set(&self, weather: Weather) -> Weather {
        std::mem::replace(&mut *self.weather.lock().unwrap(), weather)
    }

    fn note(&self, location: &Path) {
        if let Some(clock) = &self.clock {
            self.written.lock().unwrap().insert(location.clone(), clock.now_unix_nano());
        }
    }

    fn fault(&self, is_put: bool) -> Option<Fault> {
        self.weather.lock().unwrap().fault(is_put)
    }
}

/// With the time of the clock that it was written by.
fn dated(mut meta: ObjectMeta, written: &Written) -> ObjectMeta {
    if let Some(at) = written.lock().unwrap().get(&meta.location) {
        meta.last_modified = (UNIX_EPOCH + Duration::from_nanos(*at)).into();
    }
    meta
}

fn broken() -> object_store::Error {
    object_store::Error::Generic { store: "bucket", source: "connection reset".into() }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bucket")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        match self.fault(true) {
            None => {
                let put = self.objects.put_opts(location, payload, opts).await?;
                self.note(location);
                Ok(put)
            }
            Some(Fault::Before) => Err(broken()),
            Some(Fault::After) => {
                self.objects.put_opts(location, payload, opts).await?;
                self.note(location);
                Err(broken())
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.fault(false) {
            Some(_) => Err(broken()),
            None => self.objects.get_opts(location, options).await,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let written = Arc::clone(&self.written);
        let dated = move |found: Result<ObjectMeta>| found.map(|meta| dated(meta, &written));
        self.objects.list(prefix).map(dated).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        if self.fault(false).is_some() {
            return Err(broken());
        }
        let mut listed = self.objects.list_with_delimiter(prefix).await?;
        let objects = std::mem::take(&mut listed.objects).into_iter();
        listed.objects = objects.map(|meta| dated(meta, &self.written)).collect();
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
