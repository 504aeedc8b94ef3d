//! A bucket in memory that answers late, and remembers what it was asked.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use vivace::store::Store;

/// A bucket far away. Every request waits before it is answered.
#[derive(Debug)]
pub(crate) struct Watched {
    objects: InMemory,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    delay: Duration,
    /// Reads whose place in order (from 0, since they were set) is among these wait so long instead.
    slow: (Duration, Vec<usize>),
    reads: Vec<Read>,
}

/// One GET, or the listing of a folder (of 0 bytes).
#[derive(Debug, Clone)]
pub(crate) struct Read {
    key: String,
    range: Range<u64>,
    begun: Instant,
    ended: Instant,
}

/// What some reads were together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Listings count too.
    pub(crate) requests: usize,
    pub(crate) bytes: u64,
    /// Requests of which each was sent after the answer of the one before: the longest such chain.
    pub(crate) rounds: usize,
}

impl Read {
    /// For tables and messages of tests.
    pub(crate) fn told(&self) -> String {
        let Range { start, end } = self.range;
        format!("{} {start}..{end}", self.key)
    }
}

impl Watched {
    /// An empty one without delay.
    pub(crate) fn bucket() -> (Arc<Self>, Store) {
        let watched = Arc::new(Self { objects: InMemory::new(), state: Mutex::default() });
        let objects: Arc<Self> = Arc::clone(&watched);
        (watched, Store::from_object_store(objects))
    }

    /// How long every request waits from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        self.state.lock().delay = delay;
    }

    /// Of the reads from now on, those at `places` wait so long.
    pub(crate) fn slow(&self, delay: Duration, places: Vec<usize>) {
        let state = &mut *self.state.lock();
        state.reads.clear();
        state.slow = (delay, places);
    }

    /// The reads since the last call.
    pub(crate) fn take(&self) -> Vec<Read> {
        std::mem::take(&mut self.state.lock().reads)
    }

    /// The sum of the reads since the last call.
    pub(crate) fn seen(&self) -> Seen {
        Seen::of(&self.take())
    }

    /// Waits as long as it takes, and remembers.
    async fn read(&self, location: &Path) -> usize {
        let begun = Instant::now();
        let (place, delay) = {
            let state = &mut *self.state.lock();
            let place = state.reads.len();
            let key = location.to_string();
            state.reads.push(Read { key, range: 0..0, begun, ended: begun });
            let (slow, places) = &state.slow;
            (place, if places.contains(&place) { *slow } else { state.delay })
        };
        wait(delay).await;
        place
    }

    fn ended(&self, place: usize, range: Range<u64>) {
        // A read that was begun before `take` is not there any more.
        if let Some(read) = self.state.lock().reads.get_mut(place) {
            (read.range, read.ended) = (range, Instant::now());
        }
    }

    async fn write(&self) {
        let delay = self.state.lock().delay;
        wait(delay).await;
    }
}

async fn wait(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

impl Seen {
    pub(crate) fn of(reads: &[Read]) -> Self {
        let mut chains: Vec<usize> = Vec::with_capacity(reads.len());
        for (place, read) in reads.iter().enumerate() {
            let before = reads[..place].iter().zip(&chains);
            let longest = before.filter(|(other, _)| other.ended <= read.begun).map(|(_, n)| *n);
            chains.push(1 + longest.max().unwrap_or(0));
        }
        Self {
            requests: reads.len(),
            bytes: reads.iter().map(|read| read.range.end - read.range.start).sum(),
            rounds: chains.into_iter().max().unwrap_or(0),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, bytes, rounds } = self;
        write!(f, "{requests} requests, {bytes} bytes, {rounds} rounds")
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("watched")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Watched {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.write().await;
        self.objects.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let place = self.read(location).await;
        let answer = self.objects.get_opts(location, options).await;
        let range = answer.as_ref().map_or(0..0, |answer| answer.range.clone());
        self.ended(place, range);
        answer
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let begun = Instant::now();
        let key = prefix.map_or_else(String::new, Path::to_string);
        self.state.lock().reads.push(Read { key, range: 0..0, begun, ended: begun });
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let place = self.read(prefix.unwrap_or(&Path::default())).await;
        let answer = self.objects.list_with_delimiter(prefix).await;
        self.ended(place, 0..0);
        answer
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
