//! Which pages of a Parquet object hold the wanted rows, and where their bytes are.

use std::ops::Range;

use parquet::arrow::arrow_reader::RowSelection;
use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaData;

use super::Error;

/// A selection of shorter pieces than this, on average, is read through: the Parquet reader then decodes what lies between, too, instead of
/// skipping it. It does so below 32 rows; twice that is safe.
const PIECE_ROWS_MIN: usize = 64;

/// The wanted pages of one row group.
#[derive(Debug)]
pub(super) struct GroupPlan {
    pub group: usize,
    /// Rows of the row group.
    pub rows: usize,
    /// Those that are wanted, ascending; `None` for all.
    pub selected: Option<Vec<Range<usize>>>,
    pub chunks: Vec<ChunkPlan>,
}

/// The wanted pages of one column of a row group.
#[derive(Debug)]
pub(super) struct ChunkPlan {
    /// Which leaf of the schema.
    pub column: usize,
    pub zstd: bool,
    pub dictionary: Option<Range<u64>>,
    /// All pages, in order.
    pub pages: Vec<PagePlan>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PagePlan {
    pub first_row: usize,
    pub rows: usize,
    /// Where it is stored, header included; `None` if it has no wanted row.
    pub bytes: Option<Range<u64>>,
}

impl GroupPlan {
    /// The plans of those row groups that have wanted rows.
    ///
    /// # Errors
    /// When the object's metadata contradicts itself.
    pub(super) fn all(
        metadata: &ParquetMetaData,
        columns: &[usize],
        groups: &[usize],
        selection: Option<RowSelection>,
    ) -> Result<Vec<Self>, Error> {
        let mut left = selection;
        let mut plans = Vec::with_capacity(groups.len());
        for group in groups {
            let rows = count(metadata.row_group(*group).num_rows())?;
            let selected = left.as_mut().map(|left| ranges(&left.split_off(rows)));
            if rows == 0 || selected.as_ref().is_some_and(Vec::is_empty) {
                continue;
            }
            let touched = selected.as_deref().map(touched);
            let chunk =
                |column: &usize| ChunkPlan::of(metadata, *group, *column, touched.as_deref());
            let chunks = columns.iter().map(chunk).collect::<Result<_, _>>()?;
            plans.push(Self { group: *group, rows, selected, chunks });
        }
        Ok(plans)
    }

    /// How many rows are wanted.
    pub(super) fn wanted(&self) -> usize {
        self.selected.as_ref().map_or(self.rows, |ranges| ranges.iter().map(Range::len).sum())
    }

    /// What to fetch, in the order of [`ChunkPlan::ranges`] of all chunks.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        self.chunks.iter().flat_map(ChunkPlan::ranges)
    }
}

impl ChunkPlan {
    fn of(
        metadata: &ParquetMetaData,
        group: usize,
        column: usize,
        touched: Option<&[Range<usize>]>,
    ) -> Result<Self, Error> {
        let chunk = metadata.row_group(group).column(column);
        let rows = count(metadata.row_group(group).num_rows())?;
        let index = metadata.page_index().and_then(|index| index.offset_index(group, column));
        let locations = index.ok_or(wrong("a column has no offset index"))?.page_locations();
        let mut pages = Vec::with_capacity(locations.len());
        for (place, location) in locations.iter().enumerate() {
            let first_row = count(location.first_row_index)?;
            let end = locations.get(place + 1).map_or(Ok(rows), |l| count(l.first_row_index))?;
            let rows = end.checked_sub(first_row).ok_or(wrong("pages are out of order"))?;
            let start = offset(location.offset)?;
            let bytes = start..start + offset(location.compressed_page_size.into())?;
            let wanted = touched.is_none_or(|ranges| overlaps(ranges, first_row..end));
            pages.push(PagePlan { first_row, rows, bytes: wanted.then_some(bytes) });
        }
        if pages.first().is_none_or(|page| page.first_row != 0) {
            return Err(wrong("the first rows of a column have no page"));
        }
        let zstd = match chunk.compression() {
            Compression::UNCOMPRESSED => false,
            Compression::ZSTD(_) => true,
            _ => return Err(wrong("a column is compressed as the writer does not")),
        };
        let dictionary = match chunk.dictionary_page_offset() {
            Some(start) => Some(offset(start)?..offset(locations[0].offset)?),
            None => None,
        };
        Ok(Self { column, zstd, dictionary, pages })
    }

    /// The dictionary's, then the wanted pages'.
    fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        let pages = self.pages.iter().filter_map(|page| page.bytes.clone());
        self.dictionary.clone().into_iter().chain(pages)
    }
}

fn wrong(what: &'static str) -> Error {
    Error::Corrupt { part: "index", what }
}

fn count(number: i64) -> Result<usize, Error> {
    usize::try_from(number).map_err(|_| wrong("a number of rows is negative"))
}

fn offset(number: i64) -> Result<u64, Error> {
    u64::try_from(number).map_err(|_| wrong("an offset is negative"))
}

fn ranges(selection: &RowSelection) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut row = 0;
    for selector in Vec::from(selection.clone()) {
        let end = row + selector.row_count;
        if !selector.skip && selector.row_count > 0 {
            match ranges.last_mut() {
                Some(last) if last.end == row => last.end = end,
                _ => ranges.push(row..end),
            }
        }
        row = end;
    }
    ranges
}

/// The rows whose pages the Parquet reader will ask for.
fn touched(selected: &[Range<usize>]) -> Vec<Range<usize>> {
    let (Some(first), Some(last)) = (selected.first(), selected.last()) else { return Vec::new() };
    let pieces = selected.len() * 2;
    if last.end / pieces < PIECE_ROWS_MIN {
        return std::iter::once(first.start..last.end).collect();
    }
    selected.to_vec()
}

/// Whether one of some ascending ranges overlaps the other.
fn overlaps(ranges: &[Range<usize>], other: Range<usize>) -> bool {
    let after = ranges.partition_point(|range| range.end <= other.start);
    ranges.get(after).is_some_and(|range| range.start < other.end)
}
