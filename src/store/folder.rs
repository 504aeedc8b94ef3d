//! Parts of files of a local folder.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};

use super::Path;
use crate::runtime::blocking;

/// Reads parts of one file by one call that blocks one thread: to wake a thread for each part costs more than to read it. A part is shorter
/// where the file ends before.
pub(super) async fn read(
    folder: &LocalFileSystem,
    key: &Path,
    parts: Vec<Range<u64>>,
) -> Result<Vec<Bytes>, object_store::Error> {
    let path = folder.path_to_filesystem(key)?;
    let failed = |error: io::Error| {
        let (path, source) = (key.to_string(), Box::new(error));
        match source.kind() {
            ErrorKind::NotFound => object_store::Error::NotFound { path, source },
            _ => object_store::Error::Generic { store: "LocalFileSystem", source },
        }
    };
    blocking(move || read_parts(path, &parts)).await.map_err(failed)
}

fn read_parts(path: PathBuf, parts: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
    let file = File::open(path)?;
    parts.iter().map(|part| read_part(&file, part)).collect()
}

fn read_part(file: &File, part: &Range<u64>) -> io::Result<Bytes> {
    let wanted = usize::try_from(part.end - part.start).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(wanted);
    while bytes.len() < wanted {
        let at = part.start + bytes.len() as u64;
        match pread(file, spare_capacity(&mut bytes), at) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // There may have been room for more.
    bytes.truncate(wanted);
    Ok(bytes.into())
}
