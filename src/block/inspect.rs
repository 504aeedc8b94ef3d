//! A block looked at by an operator: what its index has, and whether all that it says is so.
//!
//! Objects that are known to be damaged are left out: each finding is told once, where it is.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;

use super::bloom::{Shard, shard_of};
use super::entries;
use super::index::{Placed, Section, u64_at};
use super::open::Block;
use super::values::Listed;
use super::zones::KeyZones;
use super::{Directory, Error, Place};
use crate::columns::TraceTable;
use crate::failure::chain;
use crate::manifest::BlockEntry;
use crate::scan::ScanCost;
use crate::store::keys::{self, BlockObject};

/// Entries that are read and decoded at once.
const ENTRIES_AT_ONCE: usize = 256;

/// A section of an index, as its table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionInfo {
    pub number: u32,
    pub name: &'static str,
    pub offset: u64,
    pub stored_bytes: u64,
    pub plain_bytes: u64,
    pub is_compressed: bool,
    /// CRC-32C of the stored bytes.
    pub crc32c: u32,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub object: BlockObject,
    pub what: String,
}

/// What is found while a block is looked at.
struct Look<'a> {
    block: &'a Block,
    entry: &'a BlockEntry,
    wrong: Vec<Wrong>,
}

impl Block {
    /// The sections of the index.
    ///
    /// # Errors
    /// When one lies outside the object.
    pub fn section_infos(&self) -> Result<Vec<SectionInfo>, Error> {
        let info = |(number, placed): (u32, Result<Placed, Error>)| {
            let placed = placed?;
            Ok(SectionInfo {
                number,
                name: Section::name(number),
                offset: placed.range.start,
                stored_bytes: placed.range.end - placed.range.start,
                plain_bytes: placed.plain_bytes,
                is_compressed: placed.is_compressed(),
                crc32c: placed.crc32c(),
            })
        };
        self.index.all().map(info).collect()
    }

    /// Decodes all of the index and compares it with the entry in the list of blocks, with the ends of the Parquet files, with
    /// `traces.parquet` and with the bloom filters. Objects for which `is_damaged` are not read.
    pub async fn verify(
        &self,
        entry: &BlockEntry,
        is_damaged: impl Fn(BlockObject) -> bool,
    ) -> Vec<Wrong> {
        let mut look = Look { block: self, entry, wrong: Vec::new() };
        if !look.sections().await {
            return look.wrong;
        }
        look.units();
        look.tails(&is_damaged).await;
        look.entries().await;
        let read = [BlockObject::Traces].into_iter().chain(look.shards());
        if !read.into_iter().any(is_damaged) {
            look.traces().await;
        }
        look.wrong
    }
}

impl Look<'_> {
    fn wrong(&mut self, object: BlockObject, what: impl Into<String>) {
        self.wrong.push(Wrong { object, what: what.into() });
    }

    fn failed(&mut self, object: BlockObject, what: &str, error: &Error) {
        self.wrong(object, format!("{what}: {}", chain(error)));
    }

    fn counted(&mut self, object: BlockObject, what: &str, found: u64, said: u64) {
        if found != said {
            self.wrong(object, format!("{what}: {found}, the list of blocks says {said}"));
        }
    }

    fn shards(&self) -> Vec<BlockObject> {
        let objects = self.entry.objects.iter().map(|info| info.object);
        objects.filter(|object| matches!(object, BlockObject::Bloom(_))).collect()
    }

    /// Checksum and inflation of each section; whether all can be read.
    async fn sections(&mut self) -> bool {
        let mut is_readable = true;
        for (number, placed) in self.block.index.all() {
            let read = async {
                let placed = placed?;
                let parts = std::slice::from_ref(&placed.range);
                let stored = self.block.index.parts(parts, &mut ScanCost::default()).await?;
                let stored = stored.into_iter().next().unwrap_or_default();
                let plain = self.block.cpu.run(move || placed.plain(stored)).await?;
                Ok::<Bytes, Error>(plain)
            };
            match read.await {
                Ok(plain) => self.section(number, &plain),
                Err(error) => {
                    let what = format!("section {number}, {}", Section::name(number));
                    self.failed(BlockObject::Index, &what, &error);
                    is_readable = false;
                }
            }
        }
        is_readable
    }

    /// What the bytes of a section have to be whatever else is there.
    fn section(&mut self, number: u32, plain: &Bytes) {
        if number == Section::Shared as u32 {
            let folds: Vec<u64> = plain.chunks_exact(8).map(|fold| u64_at(fold, 0)).collect();
            let said = self.entry.shared_traces;
            self.counted(BlockObject::Index, "shared traces", folds.len() as u64, said);
            if !folds.is_sorted() {
                self.wrong(BlockObject::Index, "the shared traces are out of order");
            }
        }
        if number == Section::Directory as u32 {
            self.directory(&Directory::of(plain.clone()));
        }
    }

    fn directory(&mut self, directory: &Directory) {
        let folds = directory.folds();
        self.counted(
            BlockObject::Index,
            "traces of the directory",
            folds.count() as u64,
            self.entry.traces,
        );
        if !directory.folds().is_sorted() {
            self.wrong(BlockObject::Index, "the directory is out of order");
        }
        let mut places: Vec<Place> = directory.all().collect();
        places.sort_unstable_by_key(|place| place.first_row);
        let rows = places.iter().map(|place| place.rows).sum();
        self.counted(BlockObject::Index, "spans of the directory", rows, self.entry.spans);
        if places.windows(2).any(|pair| pair[0].first_row + pair[0].rows != pair[1].first_row) {
            self.wrong(BlockObject::Index, "rows of the directory overlap, or some are missing");
        }
    }

    fn units(&mut self) {
        let units = &self.block.zones.units;
        let rows = units.iter().map(|unit| unit.rows).sum();
        let traces = units.iter().map(|unit| unit.traces).sum();
        let (said_rows, said_traces) = (self.entry.spans, self.entry.traces);
        self.counted(BlockObject::Index, "spans of the units", rows, said_rows);
        self.counted(BlockObject::Index, "traces of the units", traces, said_traces);
    }

    /// The Parquet files end as the index says, and have as many rows.
    async fn tails(&mut self, is_damaged: &impl Fn(BlockObject) -> bool) {
        let tails = match self.block.tails(&mut ScanCost::default()).await {
            Ok(tails) => tails,
            Err(error) => return self.failed(BlockObject::Index, "tails", &error),
        };
        let files = [
            (BlockObject::Spans, Section::SpansTail, &tails.spans, Some(self.entry.spans)),
            (BlockObject::Traces, Section::TracesTail, &tails.traces, Some(self.entry.traces)),
            (BlockObject::Resources, Section::ResourcesTail, &tails.resources, None),
        ];
        for (object, section, metadata, said) in files {
            if let Some(said) = said {
                let rows = metadata.metadata().file_metadata().num_rows();
                self.counted(object, "rows", u64::try_from(rows).unwrap_or_default(), said);
            }
            if is_damaged(object) {
                continue;
            }
            match self.ends_so(object, section).await {
                Ok(true) => {}
                Ok(false) => self.wrong(object, "its end is not the one that the index has"),
                Err(error) => self.failed(object, "its end", &error),
            }
        }
    }

    async fn ends_so(&self, object: BlockObject, section: Section) -> Result<bool, Error> {
        let [tail] = self.block.index.sections([section], &mut ScanCost::default()).await?;
        let Some((start, tail)) = tail.split_first_chunk::<8>() else { return Ok(false) };
        let start = u64::from_le_bytes(*start);
        let bytes = self.entry.object(object).map_or(0, |info| info.bytes);
        if start.checked_add(tail.len() as u64) != Some(bytes) {
            return Ok(false);
        }
        let key = keys::block(&self.block.tenant, self.block.id, object);
        Ok(self.block.store.get_range(&key, start..bytes).await? == tail)
    }

    /// Each entry of a key inflates and decodes.
    async fn entries(&mut self) {
        let all: Vec<_> = entries::all(&self.block.entry_table).collect();
        for some in all.chunks(ENTRIES_AT_ONCE) {
            let read = async {
                let stored = self.block.stored_entries(some, &mut ScanCost::default()).await?;
                let some = some.to_vec();
                let decode = move || -> Result<(), Error> {
                    for ((number, entry), stored) in some.iter().zip(stored) {
                        let plain = entry.plain(&stored)?;
                        if number.is_counts() {
                            Listed::read(&plain)?;
                        } else {
                            KeyZones::decode(plain)?;
                        }
                    }
                    Ok(())
                };
                self.block.cpu.run(decode).await
            };
            if let Err(error) = read.await {
                self.failed(BlockObject::Index, "entries of keys", &error);
                return;
            }
        }
    }

    /// Each trace of `traces.parquet` is in the directory and in its bloom filter.
    async fn traces(&mut self) {
        let mut shards = HashMap::new();
        let (block, entry) = (self.block, self.entry);
        for object in self.shards() {
            let BlockObject::Bloom(number) = object else { continue };
            let read = block.store.get(&keys::block(&block.tenant, entry.id, object)).await;
            match read.map_err(Error::from).and_then(|bytes| Shard::decode(&bytes)) {
                Ok(shard) => {
                    shards.insert(number, shard);
                }
                Err(error) => return self.failed(object, "filter", &error),
            }
        }
        let directory = match block.directory(&mut ScanCost::default()).await {
            Ok(directory) => directory,
            Err(error) => return self.failed(BlockObject::Index, "directory", &error),
        };
        for (unit, zone) in block.zones.units.iter().enumerate() {
            let read = block.read_traces(unit..unit + 1, &mut ScanCost::default()).await;
            let table = match read {
                Ok(tables) => tables.into_iter().next(),
                Err(error) => return self.failed(BlockObject::Traces, "a unit", &error),
            };
            let Some(table) = table else { continue };
            let (unplaced, unfiltered) = unknown(&table, zone.first_row, directory, &shards);
            if unplaced > 0 {
                let text =
                    format!("{unplaced} traces of unit {unit} are not where the directory says");
                self.wrong(BlockObject::Index, text);
            }
            if unfiltered > 0 {
                let text =
                    format!("{unfiltered} traces of unit {unit} are not in their bloom filter");
                self.wrong(BlockObject::Bloom(0), text);
            }
        }
    }
}

/// How many traces the directory does not have at their place, and how many their filter does not know.
fn unknown(
    table: &TraceTable,
    first_row: u64,
    directory: &Directory,
    shards: &HashMap<u32, Shard>,
) -> (usize, usize) {
    let count = u32::try_from(shards.len()).unwrap_or(u32::MAX).max(1);
    let (mut unplaced, mut unfiltered) = (0, 0);
    for (trace, id) in table.id.iter().enumerate() {
        let rows = u64::from(table.first_row[trace])..u64::from(table.first_row[trace + 1]);
        let place = Place { first_row: first_row + rows.start, rows: rows.end - rows.start };
        unplaced += usize::from(!directory.places(*id).contains(&place));
        let shard = shards.get(&shard_of(*id, count));
        unfiltered += usize::from(shard.is_none_or(|shard| !shard.may_contain(*id)));
    }
    (unplaced, unfiltered)
}
