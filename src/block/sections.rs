//! The `index` object of a block in its bucket: the end is read when it is opened, the other sections when they are asked for.

use std::ops::Range;

use bytes::Bytes;

use super::Error;
use super::index::{IndexReader, Placed, Section};
use crate::runtime::Cpu;
use crate::scan::ScanCost;
use crate::store::{Path, Store};

/// Read of the end by who asks about some units: zones, keys and where the rest lies. All of the index of a small block.
const END_BYTES: u64 = 16 << 10;

/// Read of the end by who knows that rows will be read: with the directory and the tails of the Parquet files.
const LONG_END_BYTES: u64 = 512 << 10;

/// How much of the end to read at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// What tells which units may matter.
    Short,
    /// What it takes to read rows, too: one round to the bucket instead of two.
    Long,
}

/// An `index` object of which the end was read.
pub(super) struct IndexObject {
    store: Store,
    cpu: Cpu,
    key: Path,
    reader: IndexReader,
}

impl IndexObject {
    /// Reads the end of an object of so many bytes.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub(super) async fn open(
        (store, cpu): (Store, Cpu),
        key: Path,
        object_bytes: u64,
        opening: Opening,
        cost: &mut ScanCost,
    ) -> Result<Self, Error> {
        let wanted = match opening {
            Opening::Short => END_BYTES,
            Opening::Long => LONG_END_BYTES,
        };
        let end = store.get_range(&key, object_bytes.saturating_sub(wanted)..object_bytes).await?;
        cost.requests += 1;
        cost.bytes += end.len() as u64;
        let reader = IndexReader::open(end, object_bytes)?;
        Ok(Self { store, cpu, key, reader })
    }

    /// Bytes of the whole object.
    pub(super) fn bytes(&self) -> u64 {
        self.reader.object_bytes()
    }

    /// Where a section is; `None` if there is none.
    pub(super) fn place(&self, section: Section) -> Result<Option<Placed>, Error> {
        self.reader.place(section)
    }

    /// All sections by their numbers, also those that we do not know.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, Result<Placed, Error>)> + '_ {
        self.reader.all()
    }

    /// Plain bytes of a section; 0 if there is none.
    pub(super) fn plain_bytes(&self, section: Section) -> u64 {
        self.place(section).ok().flatten().map_or(0, |placed| placed.plain_bytes)
    }

    /// The plain bytes of some sections, empty for those that are not there.
    ///
    /// # Errors
    /// When one cannot be read or is damaged.
    pub(super) async fn sections<const N: usize>(
        &self,
        wanted: [Section; N],
        cost: &mut ScanCost,
    ) -> Result<[Bytes; N], Error> {
        let placed = wanted.map(|section| self.place(section));
        let placed = placed.into_iter().collect::<Result<Vec<_>, Error>>()?;
        let range = |placed: &Option<Placed>| placed.as_ref().map_or(0..0, |at| at.range.clone());
        let stored = self.parts(&placed.iter().map(range).collect::<Vec<_>>(), cost).await?;
        let inflate = move || -> Result<Vec<Bytes>, Error> {
            let plain = |(placed, stored): (Option<Placed>, Bytes)| match placed {
                Some(placed) => placed.plain(stored),
                None => Ok(Bytes::new()),
            };
            placed.into_iter().zip(stored).map(plain).collect()
        };
        let plain = self.cpu.run(inflate).await?;
        Ok(<[Bytes; N]>::try_from(plain).expect("one for each that is wanted"))
    }

    /// Stored bytes of some ranges of the object.
    ///
    /// # Errors
    /// When the bucket does not give them.
    pub(super) async fn parts(
        &self,
        ranges: &[Range<u64>],
        cost: &mut ScanCost,
    ) -> Result<Vec<Bytes>, Error> {
        let held: Vec<Option<Bytes>> = ranges.iter().map(|range| self.reader.held(range)).collect();
        let is_missing = |(range, held): &(&Range<u64>, &Option<Bytes>)| {
            held.is_none() && range.start < range.end
        };
        let missing = ranges.iter().zip(&held).filter(is_missing).map(|(range, _)| range.clone());
        let missing: Vec<Range<u64>> = missing.collect();
        let mut read = Vec::new().into_iter();
        if !missing.is_empty() {
            let parts = self.store.get_ranges(&self.key, &missing).await?;
            cost.requests += 1;
            cost.bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
            read = parts.into_iter();
        }
        let part = |(range, held): (&Range<u64>, Option<Bytes>)| match held {
            Some(held) => held,
            None if range.start >= range.end => Bytes::new(),
            None => read.next().expect("one for each that is missing"),
        };
        Ok(ranges.iter().zip(held).map(part).collect())
    }
}
