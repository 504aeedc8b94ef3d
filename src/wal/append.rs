//! Group commit: one thread writes what waits, syncs once, then answers all.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tracing::error;
use uuid::Uuid;

use super::Config;
use super::Error;
use super::disk::Disk;
use super::disk::DiskFile;
use super::record::Position;
use super::record::RECORD_BYTES_MAX;
use super::record::Record;
use super::replay::Replay;
use super::segment;
use super::segment::HEADER_BYTES;
use super::segment::Header;

/// Records that wait for the writer; beside `queue_bytes_max`, for small ones.
const QUEUE_RECORDS_MAX: usize = 4096;

/// Bytes written by one write, if that is more than one record: some milliseconds of a disk.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// The unit in which waiting bytes are counted.
const PERMIT_BYTES: u64 = 1 << 10;

/// The log of this process. Cheap to clone. When the last clone is dropped, the writer finishes what waits and ends.
#[derive(Debug, Clone)]
pub struct Wal {
    shared: Arc<Shared>,
    /// The segments that were there at the start, in order.
    found: Arc<[u64]>,
    queue: mpsc::Sender<Command>,
    room: Arc<Semaphore>,
    room_permits: u32,
}

/// What callers, the replay and the writer's thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    writer: Uuid,
    /// By number. Only those whose name is durable: the highest keeps all numbers from being used again.
    segments: Mutex<BTreeMap<u64, Size>>,
}

#[derive(Debug, Clone, Copy)]
struct Size {
    bytes: u64,
    spans: u32,
}

/// One segment on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub number: u64,
    pub bytes: u64,
    /// Accepted spans acknowledged since the start, or found by the replay once it has passed the segment.
    pub spans: u32,
}

enum Command {
    Append(Append),
    Rotate(oneshot::Sender<Result<u64, Error>>),
    Close(oneshot::Sender<()>),
}

struct Append {
    record: Record,
    answer: oneshot::Sender<Result<Position, Error>>,
    /// Given back when the record is written.
    _room: OwnedSemaphorePermit,
}

impl Wal {
    /// Opens or begins the log in `dir`, and begins a new segment. Blocks on the disk.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process has it open; [`Error::Foreign`] if a segment is of another log or a later
    /// version; the disk's.
    ///
    /// # Panics
    /// If no thread can be started.
    pub fn open(dir: &Path, config: &Config, disk: Arc<dyn Disk>) -> Result<Self, Error> {
        disk.create_dir(dir).map_err(|e| Error::disk(dir, e))?;
        let lock = disk.lock(dir).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => Error::Locked { path: dir.to_owned() },
            _ => Error::disk(dir, e),
        })?;
        let found = super::open::find(dir, &*disk)?;
        let next_number = found.segments.keys().next_back().map_or(1, |last| last + 1);
        let numbers = found.segments.keys().copied().collect();
        let sizes = found.segments.into_iter().map(|(n, bytes)| (n, Size { bytes, spans: 0 }));
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            disk,
            writer: found.writer,
            segments: Mutex::new(sizes.collect()),
        });
        let (queue, commands) = mpsc::channel(QUEUE_RECORDS_MAX);
        let mut writer = Writer {
            shared: Arc::clone(&shared),
            config: config.clone(),
            active: None,
            next_number,
            buffer: Vec::new(),
            waiting: None,
            commands,
            _lock: lock,
        };
        writer.rotate()?;
        std::thread::Builder::new()
            .name("wal".to_owned())
            .spawn(move || writer.run())
            .expect("the process may have one more thread");
        let room_permits = u32::try_from(config.queue_bytes_max / PERMIT_BYTES)
            .unwrap_or(u32::MAX)
            .clamp(1, u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        let room = Arc::new(Semaphore::new(room_permits as usize));
        Ok(Self { shared, found: numbers, queue, room, room_permits })
    }

    /// The records that were there when the log was opened.
    pub fn replay(&self) -> Replay {
        let segments: VecDeque<u64> = self.found.iter().copied().collect();
        Replay::new(Arc::clone(&self.shared), segments)
    }

    /// Writes a record and returns when it is on stable storage. Waits while the queue is full. A future that is
    /// dropped, or an error of the disk, leaves open whether a restart finds the record.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Full`], [`Error::Disk`], [`Error::Closed`]: the record is not acknowledged.
    pub async fn append(&self, record: Record) -> Result<Position, Error> {
        let bytes = record.file_bytes();
        if bytes > RECORD_BYTES_MAX {
            return Err(Error::TooLarge { bytes, bytes_max: RECORD_BYTES_MAX });
        }
        let permits = u32::try_from(bytes / PERMIT_BYTES + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room)
            .acquire_many_owned(permits.min(self.room_permits))
            .await
            .map_err(|_| Error::Closed)?;
        let (answer, answered) = oneshot::channel();
        let append = Append { record, answer, _room: room };
        self.queue.send(Command::Append(append)).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }

    /// Ends the newest segment and begins another, so that the ended one can be let go. Returns the new one's number.
    /// A newest segment without records stays.
    ///
    /// # Errors
    /// [`Error::Disk`], [`Error::Closed`].
    pub async fn rotate(&self) -> Result<u64, Error> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Command::Rotate(answer)).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }

    /// Deletes a segment whose spans are all stored elsewhere, durably: after this a block need not say any more that
    /// it holds spans of it. One that is gone already is no error.
    ///
    /// # Errors
    /// [`Error::Newest`] for the newest one; [`Error::Disk`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn release(&self, segment: u64) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let removed = tokio::task::spawn_blocking(move || shared.remove(segment)).await;
        removed.map_err(|_| Error::Closed)?
    }

    /// Writes what waits and lets go of the folder. Later appends are refused.
    pub async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.queue.send(Command::Close(answer)).await.is_ok() {
            // An error says that the writer has ended, which is what was asked for.
            answered.await.ok();
        }
    }

    /// Bytes of all segments on the disk.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes()
    }

    /// All segments on the disk, oldest first; the last is the newest.
    pub fn segments(&self) -> Vec<Segment> {
        let segments = self.shared.segments.lock();
        let segment =
            |(&number, &Size { bytes, spans }): (&u64, &Size)| Segment { number, bytes, spans };
        segments.iter().map(segment).collect()
    }

    /// Who wrote these segments: with a segment's number it names that segment for all time.
    pub fn writer_id(&self) -> Uuid {
        self.shared.writer
    }
}

impl Shared {
    fn bytes(&self) -> u64 {
        self.segments.lock().values().map(|size| size.bytes).sum()
    }

    pub(super) fn set_spans(&self, number: u64, spans: u32) {
        if let Some(size) = self.segments.lock().get_mut(&number) {
            size.spans = spans;
        }
    }

    fn set_bytes(&self, number: u64, bytes: u64) {
        if let Some(size) = self.segments.lock().get_mut(&number) {
            size.bytes = bytes;
        }
    }

    fn put(&self, number: u64, size: Size) {
        self.segments.lock().insert(number, size);
    }

    pub(super) fn remove(&self, number: u64) -> Result<(), Error> {
        if self.segments.lock().keys().next_back() == Some(&number) {
            return Err(Error::Newest { segment: number });
        }
        let path = self.dir.join(segment::file_name(number));
        match self.disk.remove(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::disk(&path, e)),
            _ => self.disk.sync_dir(&self.dir).map_err(|e| Error::disk(&self.dir, e))?,
        }
        self.segments.lock().remove(&number);
        Ok(())
    }
}

/// The thread that writes.
struct Writer {
    shared: Arc<Shared>,
    config: Config,
    /// `None` after a failure: the next record begins a new segment.
    active: Option<Active>,
    next_number: u64,
    buffer: Vec<u8>,
    /// Taken from the queue, but not for this group.
    waiting: Option<Command>,
    commands: mpsc::Receiver<Command>,
    _lock: Box<dyn Send + Sync>,
}

struct Active {
    number: u64,
    file: Box<dyn DiskFile>,
    size: Size,
}

/// An append that is in the buffer, to be answered after the sync.
struct Pending {
    append: Append,
    position: Position,
}

impl Writer {
    fn run(mut self) {
        while let Some(command) = self.waiting.take().or_else(|| self.commands.blocking_recv()) {
            match command {
                Command::Append(append) => self.write_group(append),
                Command::Rotate(answer) => {
                    // A caller that is gone does not need to know; so below.
                    answer.send(self.rotate_if_used()).ok();
                }
                Command::Close(answer) => {
                    drop(self);
                    answer.send(()).ok();
                    return;
                }
            }
        }
    }

    fn rotate_if_used(&mut self) -> Result<u64, Error> {
        match &self.active {
            Some(active) if active.size.bytes == HEADER_BYTES as u64 => Ok(active.number),
            _ => self.rotate(),
        }
    }

    /// Begins a new segment: header and name are durable before it is used.
    fn rotate(&mut self) -> Result<u64, Error> {
        self.active = None;
        let number = self.next_number;
        // Also after a failure below: half of it may be there.
        self.next_number += 1;
        let Shared { dir, disk, writer, .. } = &*self.shared;
        let path = dir.join(segment::file_name(number));
        let begin = || {
            let mut file = disk.create(&path)?;
            file.append(&Header::encode(*writer, number))?;
            file.sync()?;
            disk.sync_dir(dir)?;
            Ok(file)
        };
        let file = begin().map_err(|e| Error::disk(&path, e))?;
        let size = Size { bytes: HEADER_BYTES as u64, spans: 0 };
        self.shared.put(number, size);
        self.active = Some(Active { number, file, size });
        Ok(number)
    }

    fn write_group(&mut self, first: Append) {
        let mut group: Vec<Pending> = Vec::new();
        let mut next = Some(first);
        self.buffer.clear();
        while let Some(append) = next.take() {
            if !group.is_empty() && !self.fits(&append.record) {
                self.waiting = Some(Command::Append(append));
                break;
            }
            match self.add(&append.record) {
                Ok(position) => group.push(Pending { append, position }),
                Err(error) => {
                    append.answer.send(Err(error)).ok();
                }
            }
            match self.commands.try_recv() {
                Ok(Command::Append(append)) => next = Some(append),
                Ok(other) => self.waiting = Some(other),
                Err(_) => {}
            }
        }
        let result = self.commit();
        for Pending { append, position } in group {
            append.answer.send(result.clone().map(|()| position)).ok();
        }
    }

    /// Whether a record still belongs to this write and this segment.
    fn fits(&self, record: &Record) -> bool {
        let bytes = record.file_bytes();
        let Some(Active { size, .. }) = &self.active else { return false };
        let buffered = self.buffer.len() as u64;
        buffered + bytes <= GROUP_BYTES_MAX as u64
            && size.bytes + buffered + bytes <= self.config.segment_bytes_max
            && size.spans.checked_add(record.spans).is_some()
    }

    /// Puts a record into the buffer; the first of a group into a new segment if it does not fit into this one.
    fn add(&mut self, record: &Record) -> Result<Position, Error> {
        let bytes = self.shared.bytes() + self.buffer.len() as u64;
        let bytes_max = self.config.wal_bytes_max;
        if bytes + record.file_bytes() > bytes_max {
            return Err(Error::Full { bytes, bytes_max });
        }
        if self.buffer.is_empty() {
            let room = self.active.as_ref().is_some_and(|active| {
                let used = active.size.bytes + record.file_bytes();
                let fits = used <= self.config.segment_bytes_max
                    && active.size.spans.checked_add(record.spans).is_some();
                fits || active.size.bytes == HEADER_BYTES as u64
            });
            if !room {
                self.rotate()?;
            }
        }
        let active = self.active.as_mut().expect("begun just now, or by the first of the group");
        let position = Position { segment: active.number, first_span: active.size.spans };
        record.encode(&mut self.buffer);
        active.size.spans += record.spans;
        Ok(position)
    }

    /// Writes the buffer and makes it durable. On a failure the segment is not touched again.
    fn commit(&mut self) -> Result<(), Error> {
        let Some(active) = self.active.as_mut().filter(|_| !self.buffer.is_empty()) else {
            return Ok(());
        };
        let written = active.file.append(&self.buffer).and_then(|()| active.file.sync());
        active.size.bytes += self.buffer.len() as u64;
        if self.buffer.capacity() > GROUP_BYTES_MAX {
            self.buffer = Vec::new();
        }
        if let Err(source) = written {
            // Its bytes count, its spans were not acknowledged.
            self.shared.set_bytes(active.number, active.size.bytes);
            let path = self.shared.dir.join(segment::file_name(active.number));
            error!(path = %path.display(), error = %source, "write-ahead log segment given up");
            self.active = None;
            return Err(Error::disk(&path, source));
        }
        self.shared.put(active.number, active.size);
        Ok(())
    }
}

impl Error {
    pub(super) fn disk(path: &Path, source: io::Error) -> Self {
        Self::Disk { path: path.to_owned(), source: Arc::new(source) }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Append(_) => "Append",
            Self::Rotate(_) => "Rotate",
            Self::Close(_) => "Close",
        })
    }
}
