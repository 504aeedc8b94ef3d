//! What the log needs of a disk, and the disk of this machine.

use std::fmt;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::path::Path;

/// A disk, as far as the log sees it. Calls block; the log makes them on a thread of its own.
///
/// # Contract
///
/// - Bytes appended before a successful [`DiskFile::sync`] of that file survive a crash. Of later ones a prefix may
///   survive, cut at any byte, or their length may survive with zeros in their place.
/// - Names made, changed or removed before a successful [`Disk::sync_dir`] of their folder survive a crash as they were
///   then. Later changes may or may not.
/// - A file whose name is lost is lost with its bytes, synced or not.
/// - After a sync that failed, it is unknown which bytes will survive, and another sync does not tell.
/// - Without a crash, what was written is read back, synced or not.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Creates a folder with its parents; durable when it returns. No error if it is there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Keeps others out of a folder until the guard is dropped or the process ends. `WouldBlock` if it is taken.
    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Send + Sync>>;

    /// Creates an empty file. `AlreadyExists` if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// The files of a folder with their sizes, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<FileInfo>>;

    /// The bytes from `offset`, at most `length`; fewer only at the end of the file.
    fn read(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>>;

    /// Removes a file. `NotFound` if it is not there.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Renames a file over another one or a free name, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// A file that is written from its begin to its end.
pub trait DiskFile: Send {
    /// Writes at the end. After an error any part of `bytes` may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes all bytes appended so far durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// One file of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    pub name: String,
    pub bytes: u64,
}

/// The file system of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        // Parents that are new need their own names durable, up to the first that was there.
        let new: Vec<&Path> = dir.ancestors().take_while(|dir| !is_dir(dir)).collect();
        fs::create_dir_all(dir)?;
        for dir in new {
            match dir.parent() {
                Some(parent) if parent.as_os_str().is_empty() => self.sync_dir(Path::new("."))?,
                Some(parent) => self.sync_dir(parent)?,
                None => {}
            }
        }
        Ok(())
    }

    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let file = OpenOptions::new().create(true).append(true).open(dir.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().create_new(true).append(true).open(path)?))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<FileInfo>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            // A name that is not text is none of ours.
            if let (true, Ok(name)) = (meta.is_file(), entry.file_name().into_string()) {
                files.push(FileInfo { name, bytes: meta.len() });
            }
        }
        Ok(files)
    }

    fn read(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

fn is_dir(dir: &Path) -> bool {
    dir.as_os_str().is_empty() || dir.is_dir()
}

impl DiskFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
