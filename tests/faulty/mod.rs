//! A store in memory whose requests fail, or are held up, when a test says so.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use futures::stream::BoxStream;
use object_store::CopyOptions;
use object_store::GetOptions;
use object_store::GetResult;
use object_store::ListResult;
use object_store::MultipartUpload;
use object_store::ObjectMeta;
use object_store::ObjectStore;
use object_store::PutMultipartOptions;
use object_store::PutOptions;
use object_store::PutPayload;
use object_store::PutResult;
use object_store::memory::InMemory;
use tokio::sync::oneshot;
use vivace::store::Path;
use vivace::store::Retry;
use vivace::store::Store;

/// When requests fail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// Nothing is written.
    Before,
    /// The object is written, the answer is lost. Reads fail all the same.
    After,
}

#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) objects: InMemory,
    next: Mutex<Next>,
}

#[derive(Debug, Default)]
struct Next {
    fault: Option<(Fault, u32)>,
    hold: Option<Hold>,
}

/// The next write of a manifest is held up.
#[derive(Debug)]
struct Hold {
    fault: Fault,
    reached: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}

impl Faulty {
    pub(crate) fn store() -> (Arc<Self>, Store) {
        Self::over(InMemory::new())
    }

    pub(crate) fn over(objects: InMemory) -> (Arc<Self>, Store) {
        let faulty = Arc::new(Self { objects, next: Mutex::default() });
        let retry = Retry { attempts_max: 5, backoff_initial: Duration::ZERO, ..Retry::default() };
        let objects: Arc<Self> = Arc::clone(&faulty);
        (faulty, Store::from_object_store(objects).with_retry(retry))
    }

    /// The next requests (gets, puts, listings of a folder) fail.
    pub(crate) fn fail(&self, fault: Fault, times: u32) {
        self.next.lock().unwrap().fault = Some((fault, times));
    }

    /// The next write of a manifest is held up before or after it is done: the first channel tells that it is reached, the
    /// second lets it go on.
    pub(crate) fn hold(&self, fault: Fault) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let (reached, is_reached) = oneshot::channel();
        let (let_go, go_on) = oneshot::channel();
        self.next.lock().unwrap().hold = Some(Hold { fault, reached, go_on });
        (is_reached, let_go)
    }

    fn fault(&self) -> Option<Fault> {
        let next = &mut *self.next.lock().unwrap();
        let (fault, left) = next.fault.as_mut()?;
        *left = left.checked_sub(1)?;
        Some(*fault)
    }

    async fn held(&self, fault: Fault, location: &Path) {
        let hold = {
            let next = &mut *self.next.lock().unwrap();
            let is_manifest = !location.as_ref().contains("segments");
            next.hold.take_if(|hold| hold.fault == fault && is_manifest)
        };
        if let Some(hold) = hold {
            hold.reached.send(()).unwrap();
            hold.go_on.await.unwrap();
        }
    }
}

fn broken() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "connection reset".into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> object_store::Result<PutResult> {
        let fault = self.fault();
        if fault == Some(Fault::Before) {
            return Err(broken());
        }
        self.held(Fault::Before, location).await;
        let answer = self.objects.put_opts(location, payload, opts).await;
        self.held(Fault::After, location).await;
        if fault.is_some() { Err(broken()) } else { answer }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(location, opts).await
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        match self.fault() {
            Some(_) => Err(broken()),
            None => self.objects.get_opts(location, options).await,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        match self.fault() {
            Some(_) => Err(broken()),
            None => self.objects.list_with_delimiter(prefix).await,
        }
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
