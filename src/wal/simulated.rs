//! A disk in memory that can lose what a real one may lose.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use parking_lot::MutexGuard;
use rand::Rng;
use rand::RngExt;

use super::disk::Disk;
use super::disk::DiskFile;
use super::disk::FileInfo;

/// A [`Disk`] that keeps apart what is durable and what is only written. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
    /// Changes nothing any more once another boot has come.
    boot: Option<u64>,
}

/// What goes wrong next, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The next append writes only this many bytes and fails.
    Append { bytes_written: usize },
    /// The next sync of a file fails, and makes nothing durable.
    Sync,
    /// The next create of a file fails.
    Create,
}

#[derive(Debug, Default)]
struct State {
    /// Names as a running process sees them, and as they are after a crash.
    live: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<PathBuf, u64>,
    files: BTreeMap<u64, Contents>,
    folders: BTreeSet<PathBuf>,
    locked: BTreeMap<PathBuf, u64>,
    next_file: u64,
    /// Counts crashes: handles of before are dead.
    boot: u64,
    fault: Option<Fault>,
    ignores_syncs_of: Option<&'static str>,
    /// Changes that still reach the disk.
    power: Option<u32>,
    syncs: u64,
}

#[derive(Debug, Default)]
struct Contents {
    bytes: Vec<u8>,
    durable: usize,
}

impl SimulatedDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty disk that says yes to the sync of a file with this extension and does nothing: for a test that a test
    /// notices.
    pub fn without_syncs_of(extension: &'static str) -> Self {
        let disk = Self::default();
        disk.state.lock().ignores_syncs_of = Some(extension);
        disk
    }

    /// The same disk as one process sees it: after the next crash nothing is changed through it, whatever of that process still
    /// runs in the test.
    #[must_use]
    pub fn of_one_process(&self) -> Self {
        let boot = Some(self.state.lock().boot);
        Self { state: Arc::clone(&self.state), boot }
    }

    /// Arranges for something to go wrong, once.
    pub fn set_fault(&self, fault: Fault) {
        self.state.lock().fault = Some(fault);
    }

    /// Syncs of files so far.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// Lets this many more changes through (creates, appends, syncs, renames, removes), then none: the moment of a crash.
    pub fn cut_power_after(&self, changes: u32) {
        self.state.lock().power = Some(changes);
    }

    /// Ends a cut of the power with a crash: whatever is not durable is lost or torn as `rng` decides, handles and locks of before are dead.
    pub fn crash(&self, rng: &mut dyn Rng) {
        let state = &mut *self.state.lock();
        let changed: BTreeSet<PathBuf> =
            state.live.keys().chain(state.durable.keys()).cloned().collect();
        for path in changed {
            let (live, durable) = (state.live.get(&path), state.durable.get(&path));
            let kept = if rng.random() { live } else { durable };
            match kept.copied() {
                Some(file) => state.durable.insert(path, file),
                None => state.durable.remove(&path),
            };
        }
        state.live.clone_from(&state.durable);
        let named: BTreeSet<u64> = state.live.values().copied().collect();
        state.files.retain(|file, _| named.contains(file));
        for contents in state.files.values_mut() {
            contents.tear(rng);
        }
        state.locked.clear();
        state.power = None;
        state.fault = None;
        state.boot += 1;
    }

    /// Holds up every call until the guard is dropped.
    pub fn pause(&self) -> impl Drop + '_ {
        Pause { _held: self.state.lock() }
    }

    /// Changes one byte of a file: damage that no crash explains.
    pub fn flip(&self, path: &Path, offset: usize) {
        let state = &mut *self.state.lock();
        let file = state.live.get(path).and_then(|file| state.files.get_mut(file));
        if let Some(byte) = file.and_then(|contents| contents.bytes.get_mut(offset)) {
            *byte ^= 0x55;
        }
    }
}

impl Contents {
    /// Keeps the durable bytes and a random prefix of the others; sometimes zeros stand for the rest.
    fn tear(&mut self, rng: &mut dyn Rng) {
        let written = self.bytes.len();
        self.bytes.truncate(rng.random_range(self.durable..=written));
        if rng.random_ratio(1, 4) {
            self.bytes.resize(rng.random_range(self.bytes.len()..=written), 0);
        }
        self.durable = self.bytes.len();
    }
}

impl State {
    fn takes(&mut self, fault: impl Fn(Fault) -> bool) -> Option<Fault> {
        self.fault.take_if(|next| fault(*next))
    }

    /// One change: an error if there is no power.
    fn change(&mut self) -> io::Result<()> {
        match &mut self.power {
            Some(0) => Err(broken("no power")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change_by(&mut self, boot: Option<u64>) -> io::Result<()> {
        self.check_boot(boot)?;
        self.change()
    }

    fn check_boot(&self, boot: Option<u64>) -> io::Result<()> {
        if boot.is_some_and(|boot| boot != self.boot) {
            return Err(broken("used after a crash"));
        }
        Ok(())
    }

    fn contents(&self, path: &Path) -> io::Result<&Contents> {
        let file = self.live.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(&self.files[file])
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::other(format!("simulated fault: {what}"))
}

impl Disk for SimulatedDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let state = &mut *self.state.lock();
        state.change_by(self.boot)?;
        state.folders.insert(dir.to_owned());
        Ok(())
    }

    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let state = &mut *self.state.lock();
        state.check_boot(self.boot)?;
        if state.locked.contains_key(dir) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locked.insert(dir.to_owned(), state.boot);
        Ok(Box::new(Lock { disk: self.clone(), dir: dir.to_owned(), boot: state.boot }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let state = &mut *self.state.lock();
        state.change_by(self.boot)?;
        if state.takes(|fault| fault == Fault::Create).is_some() {
            return Err(broken("create"));
        }
        if !path.parent().is_some_and(|dir| state.folders.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if state.live.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.next_file;
        state.next_file += 1;
        state.files.insert(file, Contents::default());
        state.live.insert(path.to_owned(), file);
        let ignored = state.ignores_syncs_of.map(OsStr::new);
        let ignores_syncs = ignored.is_some() && path.extension() == ignored;
        Ok(Box::new(Handle { disk: self.clone(), file, boot: state.boot, ignores_syncs }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<FileInfo>> {
        let state = self.state.lock();
        if !state.folders.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let files = state.live.iter().filter(|(path, _)| path.parent() == Some(dir));
        let info = |(path, file): (&PathBuf, &u64)| FileInfo {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: state.files[file].bytes.len() as u64,
        };
        Ok(files.map(info).collect())
    }

    fn read(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let state = self.state.lock();
        let bytes = &state.contents(path)?.bytes;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(length).min(bytes.len());
        Ok(bytes[start..end].to_vec())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let state = &mut *self.state.lock();
        state.change_by(self.boot)?;
        state.live.remove(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let state = &mut *self.state.lock();
        state.change_by(self.boot)?;
        let file = state.live.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.live.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let state = &mut *self.state.lock();
        state.change_by(self.boot)?;
        state.durable.retain(|path, _| path.parent() != Some(dir));
        let live = state.live.iter().filter(|(path, _)| path.parent() == Some(dir));
        state.durable.extend(live.map(|(path, file)| (path.clone(), *file)));
        Ok(())
    }
}

struct Pause<'a> {
    _held: MutexGuard<'a, State>,
}

/// Only so that it is known to be a guard.
impl Drop for Pause<'_> {
    fn drop(&mut self) {}
}

struct Handle {
    disk: SimulatedDisk,
    file: u64,
    boot: u64,
    ignores_syncs: bool,
}

impl DiskFile for Handle {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let state = &mut *self.disk.state.lock();
        if state.boot != self.boot {
            return Err(broken("written after a crash"));
        }
        state.change()?;
        let fault = state.takes(|fault| matches!(fault, Fault::Append { .. }));
        let Some(contents) = state.files.get_mut(&self.file) else { return Ok(()) };
        if let Some(Fault::Append { bytes_written }) = fault {
            contents.bytes.extend_from_slice(&bytes[..bytes_written.min(bytes.len())]);
            return Err(broken("append"));
        }
        contents.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let state = &mut *self.disk.state.lock();
        if state.boot != self.boot {
            return Err(broken("synced after a crash"));
        }
        state.change()?;
        state.syncs += 1;
        if state.takes(|fault| fault == Fault::Sync).is_some() {
            return Err(broken("sync"));
        }
        if self.ignores_syncs {
            return Ok(());
        }
        if let Some(contents) = state.files.get_mut(&self.file) {
            contents.durable = contents.bytes.len();
        }
        Ok(())
    }
}

struct Lock {
    disk: SimulatedDisk,
    dir: PathBuf,
    boot: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let state = &mut *self.disk.state.lock();
        if state.locked.get(&self.dir) == Some(&self.boot) {
            state.locked.remove(&self.dir);
        }
    }
}
