//! What is in the folder of a log before it is used: its writer id and its segments.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use tracing::info;
use uuid::Uuid;

use super::Error;
use super::disk::Disk;
use super::segment;
use super::segment::HEADER_BYTES;
use super::segment::Header;

const WRITER_ID: &str = "writer_id";

/// Longest content of `writer_id` that is looked at.
const WRITER_ID_BYTES_MAX: usize = 100;

pub(super) struct Found {
    pub(super) writer: Uuid,
    /// Bytes by number.
    pub(super) segments: BTreeMap<u64, u64>,
}

/// Reads the folder, and writes the writer id if there is none or no segment has it.
pub(super) fn find(dir: &Path, disk: &dyn Disk) -> Result<Found, Error> {
    let mut segments = BTreeMap::new();
    for file in disk.list(dir).map_err(|e| Error::disk(dir, e))? {
        if let Some(number) = segment::number_of(&file.name) {
            segments.insert(number, file.bytes);
        }
    }
    let mut writer = if segments.is_empty() { None } else { read_writer_id(dir, disk)? };
    let known = writer;
    for &number in segments.keys() {
        let path = dir.join(segment::file_name(number));
        let head = disk.read(&path, 0, HEADER_BYTES).map_err(|e| Error::disk(&path, e))?;
        let reason = match Header::decode(&head) {
            Header::None => continue,
            Header::Version(version) => format!("version {version}; this program reads 1"),
            Header::Valid { number: named, .. } if named != number => {
                format!("the file of segment {named} under another name")
            }
            Header::Valid { writer: other, .. } => match writer {
                Some(writer) if writer != other => {
                    format!("a segment of writer {other}; the others are of {writer}")
                }
                _ => {
                    writer = Some(other);
                    continue;
                }
            },
        };
        return Err(Error::Foreign { path, reason });
    }
    let id = writer.unwrap_or_else(Uuid::now_v7);
    if known != Some(id) {
        info!(writer_id = %id, dir = %dir.display(), "write-ahead log begun");
        write_writer_id(dir, disk, id).map_err(|e| Error::disk(&dir.join(WRITER_ID), e))?;
    }
    Ok(Found { writer: id, segments })
}

fn read_writer_id(dir: &Path, disk: &dyn Disk) -> Result<Option<Uuid>, Error> {
    let path = dir.join(WRITER_ID);
    let text = match disk.read(&path, 0, WRITER_ID_BYTES_MAX) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::disk(&path, e)),
    };
    match Uuid::try_parse_ascii(text.trim_ascii()) {
        Ok(id) => Ok(Some(id)),
        Err(e) => Err(Error::Foreign { path, reason: format!("not a UUID: {e}") }),
    }
}

/// In one step: the file is never half there.
fn write_writer_id(dir: &Path, disk: &dyn Disk, id: Uuid) -> io::Result<()> {
    let new = dir.join("writer_id.new");
    match disk.remove(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = disk.create(&new)?;
    file.append(format!("{id}\n").as_bytes())?;
    file.sync()?;
    disk.rename(&new, &dir.join(WRITER_ID))?;
    disk.sync_dir(dir)
}
