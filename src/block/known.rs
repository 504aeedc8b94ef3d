//! What a block's index says, read as questions need it and kept.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use parquet::DecodeResult;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataPushDecoder};
use prost::Message;
use tokio::sync::OnceCell;

use super::Error;
use super::directory::Directory;
use super::entries::{self, Entry, EntryNumber};
use super::hashes::{self, BLOCK_BYTES, FilterBlocks};
use super::index::{Section, u64_at};
use super::judge::{self, Judge};
use super::open::Block;
use super::values::{Listed, Subject};
use super::zones::KeyZones;
use crate::scan::{Need, Scan, ScanCost};

/// Parts of the index that were read.
#[derive(Default)]
pub(super) struct Known {
    directory: OnceCell<Directory>,
    pub(super) tails: OnceCell<Arc<Tails>>,
    zones: Mutex<HashMap<EntryNumber, Arc<KeyZones>>>,
    /// Entries with counts, as they are stored.
    counts: Mutex<HashMap<EntryNumber, Bytes>>,
    filters: OnceCell<Bytes>,
    /// Some filter was asked before.
    has_probed: AtomicBool,
}

/// The Parquet files, opened.
pub(super) struct Tails {
    pub spans: ArrowReaderMetadata,
    pub traces: ArrowReaderMetadata,
    pub resources: ArrowReaderMetadata,
}

impl Known {
    /// With the zones of blocks from before there were entries.
    pub(super) fn with_zones(zones: HashMap<EntryNumber, Arc<KeyZones>>) -> Self {
        Self { zones: Mutex::new(zones), ..Self::default() }
    }
}

impl Tails {
    fn decode([spans, traces, resources]: &[Bytes; 3]) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self {
            spans: metadata(spans)?,
            traces: metadata(traces)?,
            resources: metadata(resources)?,
        }))
    }
}

/// Opens a Parquet file by its tail.
fn metadata(tail: &Bytes) -> Result<ArrowReaderMetadata, Error> {
    let corrupt = |what| Error::Corrupt { part: "index", what };
    if tail.len() < 8 {
        return Err(corrupt("a Parquet tail is missing"));
    }
    let start = u64_at(tail, 0);
    let tail = tail.slice(8..);
    let end = start + tail.len() as u64;
    let mut decoder = ParquetMetaDataPushDecoder::try_new(end)?
        .with_column_index_policy(PageIndexPolicy::Skip)
        .with_offset_index_policy(PageIndexPolicy::Optional);
    decoder.push_range(start..end, tail)?;
    match decoder.try_decode()? {
        DecodeResult::Data(metadata) => {
            Ok(ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new())?)
        }
        DecodeResult::NeedsData(_) | DecodeResult::Finished => {
            Err(corrupt("a Parquet tail is cut short"))
        }
    }
}

impl Block {
    /// Where each trace lies.
    ///
    /// # Errors
    /// When the index cannot be read or is damaged.
    pub async fn directory(&self, cost: &mut ScanCost) -> Result<&Directory, Error> {
        let load: BoxFuture<'_, Result<Directory, Error>> = Box::pin(async {
            let [section] = self.index.sections([Section::Directory], cost).await?;
            Ok(Directory::of(section))
        });
        self.known.directory.get_or_try_init(|| load).await
    }

    /// The units that some trace lies in whose id folds like one of these.
    ///
    /// # Errors
    /// When the index cannot be read or is damaged.
    pub async fn units_with<S: BuildHasher>(
        &self,
        folds: &HashSet<u64, S>,
        cost: &mut ScanCost,
    ) -> Result<BTreeSet<usize>, Error> {
        if folds.is_empty() {
            return Ok(BTreeSet::new());
        }
        Ok(self.directory(cost).await?.units_with(&self.zones, folds))
    }

    pub(super) async fn tails(&self, cost: &mut ScanCost) -> Result<Arc<Tails>, Error> {
        let load: BoxFuture<'_, Result<Arc<Tails>, Error>> = Box::pin(async {
            let wanted = [Section::SpansTail, Section::TracesTail, Section::ResourcesTail];
            let tails = self.index.sections(wanted, cost).await?;
            self.cpu.run(move || Tails::decode(&tails)).await
        });
        self.known.tails.get_or_try_init(|| load).await.cloned()
    }

    /// The units that may matter to a scan.
    pub(super) async fn wanted(
        &self,
        scan: &Scan,
        cost: &mut ScanCost,
    ) -> Result<Vec<usize>, Error> {
        let zones = (0..).zip(&self.zones.units);
        let mut units: Vec<usize> =
            zones.filter(|(_, zone)| zone.overlaps(&scan.window)).map(|(unit, _)| unit).collect();
        if units.is_empty() || scan.need == Need::Anything {
            return Ok(units);
        }
        let directory = if judge::asks_for_traces(&scan.need) {
            Some(self.directory(cost).await?)
        } else {
            None
        };
        let entries = judge::entries_of(&scan.need, &self.catalog);
        let entries = self.key_zones(&entries, cost).await?;
        let mut filters = FilterBlocks::default();
        loop {
            let unread = {
                let judge = Judge {
                    zones: &self.zones,
                    catalog: &self.catalog,
                    entries: &entries,
                    filters: &filters,
                    directory,
                    unread: RefCell::default(),
                };
                units.retain(|unit| judge.may_satisfy(*unit, &scan.need));
                judge.unread.into_inner()
            };
            if unread.is_empty() || units.is_empty() {
                return Ok(units);
            }
            self.read_filters(&unread, &mut filters, cost).await?;
        }
    }

    /// The zones of some keys, of which there are any.
    async fn key_zones(
        &self,
        wanted: &BTreeSet<EntryNumber>,
        cost: &mut ScanCost,
    ) -> Result<HashMap<EntryNumber, Arc<KeyZones>>, Error> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        {
            let known = self.known.zones.lock();
            for number in wanted {
                match known.get(number) {
                    Some(zones) => drop(found.insert(*number, Arc::clone(zones))),
                    None => missing.extend(self.entry(*number).map(|entry| (*number, entry))),
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let stored = self.stored_entries(&missing, cost).await?;
        let decode = move || -> Result<Vec<_>, Error> {
            let zones = |((number, entry), stored): (&(EntryNumber, Entry), Bytes)| {
                Ok((*number, Arc::new(KeyZones::decode(entry.plain(&stored)?)?)))
            };
            missing.iter().zip(stored).map(zones).collect()
        };
        let read = self.cpu.run(decode).await?;
        self.known.zones.lock().extend(read.iter().cloned());
        found.extend(read);
        Ok(found)
    }

    fn entry(&self, number: EntryNumber) -> Option<Entry> {
        entries::find(&self.entry_table, number)
    }

    pub(super) async fn stored_entries(
        &self,
        wanted: &[(EntryNumber, Entry)],
        cost: &mut ScanCost,
    ) -> Result<Vec<Bytes>, Error> {
        let corrupt = |what| Error::Corrupt { part: "index, entries", what };
        let placed = self.index.place(Section::Entries)?;
        let section = placed.ok_or_else(|| corrupt("they are missing"))?.range;
        let range = |(_, entry): &(EntryNumber, Entry)| {
            let from = section.start + u64::from(entry.offset);
            let end = from + u64::from(entry.stored_bytes);
            (end <= section.end).then_some(from..end).ok_or_else(|| corrupt("one lies outside"))
        };
        let ranges = wanted.iter().map(range).collect::<Result<Vec<Range<u64>>, Error>>()?;
        self.index.parts(&ranges, cost).await
    }

    /// What is known of how often the values of some subjects come. To be read on the CPU pool.
    pub(super) async fn listed(
        &self,
        subjects: &[Subject],
        cost: &mut ScanCost,
    ) -> Result<impl FnOnce() -> Result<HashMap<Subject, Listed>, Error> + use<>, Error> {
        let mut missing = Vec::new();
        {
            let known = self.known.counts.lock();
            let unread = subjects.iter().filter(|subject| !known.contains_key(&subject.entry()));
            let numbers = unread.map(|subject| subject.entry());
            missing.extend(numbers.filter_map(|number| Some((number, self.entry(number)?))));
        }
        if !missing.is_empty() {
            let stored = self.stored_entries(&missing, cost).await?;
            let read = missing.iter().map(|(number, _)| *number).zip(stored);
            self.known.counts.lock().extend(read);
        }
        let known = self.known.counts.lock();
        let stored = |subject: &Subject| {
            let number = subject.entry();
            Some((*subject, self.entry(number)?, known.get(&number)?.clone()))
        };
        let stored: Vec<(Subject, Entry, Bytes)> = subjects.iter().filter_map(stored).collect();
        Ok(move || {
            let read = |(subject, entry, stored): (Subject, Entry, Bytes)| {
                Ok((subject, Listed::read(&entry.plain(&stored)?)?))
            };
            stored.into_iter().map(read).collect()
        })
    }

    /// Reads blocks of filters: once only those that are asked for, then all.
    async fn read_filters(
        &self,
        places: &BTreeSet<u32>,
        filters: &mut FilterBlocks,
        cost: &mut ScanCost,
    ) -> Result<(), Error> {
        let is_known = self.known.filters.initialized();
        if is_known || self.known.has_probed.swap(true, Ordering::Relaxed) {
            let load: BoxFuture<'_, Result<Bytes, Error>> = Box::pin(async {
                let [section] = self.index.sections([Section::ValueFilters], cost).await?;
                Ok(section)
            });
            let whole = self.known.filters.get_or_try_init(|| load).await?;
            *filters = FilterBlocks::whole(whole.clone());
            return Ok(());
        }
        let at = self.index.place(Section::ValueFilters)?;
        let section = at.map_or(0..0, |placed| placed.range);
        let runs = hashes::runs(places, section.end - section.start);
        let range =
            |(_, run): &(u32, Range<u64>)| section.start + run.start..section.start + run.end;
        let parts = self.index.parts(&runs.iter().map(range).collect::<Vec<_>>(), cost).await?;
        // What lies outside the section rules nothing out.
        for place in places {
            filters.add(*place, [u8::MAX; BLOCK_BYTES]);
        }
        for ((first, _), part) in runs.iter().zip(&parts) {
            let (blocks, _) = part.as_chunks::<BLOCK_BYTES>();
            (*first..).zip(blocks).for_each(|(place, block)| filters.add(place, *block));
        }
        Ok(())
    }
}
