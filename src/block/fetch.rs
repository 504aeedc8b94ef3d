//! Rows of a Parquet object: the pages that are needed, fetched in joined ranges and decoded on the CPU pool.

use std::ops::Range;

use arrow::array::{Array, RecordBatch};
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, RowSelection};
use parquet::arrow::push_decoder::ParquetPushDecoderBuilder;

use super::Error;
use super::open::Block;
use crate::scan::ScanCost;
use crate::store::keys::{self, BlockObject};

/// What to read of one Parquet object of a block.
pub(super) struct Fetch<'a> {
    pub object: BlockObject,
    pub metadata: &'a ArrowReaderMetadata,
    pub mask: ProjectionMask,
    pub row_groups: Vec<usize>,
    /// Rows within `row_groups`, counted from the first of them; `None` for all.
    pub selection: Option<RowSelection>,
}

impl Block {
    /// One batch per row group that has selected rows.
    pub(super) async fn fetch(
        &self,
        fetch: Fetch<'_>,
        cost: &mut ScanCost,
    ) -> Result<Vec<RecordBatch>, Error> {
        let Fetch { object, metadata, mask, row_groups, selection } = fetch;
        let key = keys::block(&self.tenant, self.id, object);
        let groups = metadata.metadata().row_groups();
        let rows = row_groups.iter().map(|group| groups[*group].num_rows()).max().unwrap_or(0);
        let mut builder = ParquetPushDecoderBuilder::new_with_metadata(metadata.clone())
            .with_row_groups(row_groups)
            .with_projection(mask)
            .with_batch_size(usize::try_from(rows).unwrap_or(0).max(1));
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        let mut decoder = builder.build()?;
        let mut batches = Vec::new();
        loop {
            match decoder.try_next_reader()? {
                DecodeResult::NeedsData(ranges) => {
                    let data = self.store.get_ranges(&key, &ranges).await?;
                    cost.requests += 1;
                    cost.bytes += data.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
                    decoder.push_ranges(ranges, data)?;
                }
                DecodeResult::Data(reader) => {
                    let read = self.cpu.run(move || reader.collect::<Result<Vec<_>, _>>());
                    batches.extend(read.await?);
                }
                DecodeResult::Finished => return Ok(batches),
            }
        }
    }

    /// The row groups that hold some rows, and the rows' places in them. Ranges ascend and do not overlap.
    pub(super) fn select(&self, rows: &[Range<u64>]) -> (Vec<usize>, RowSelection) {
        let (mut groups, mut ranges) = (Vec::new(), Vec::new());
        let (mut start, mut taken) = (0_u64, 0_usize);
        for (group, metadata) in self.index.spans.metadata().row_groups().iter().enumerate() {
            let count = metadata.num_rows().unsigned_abs();
            let end = start + count;
            let mut any = false;
            for range in rows {
                let (from, to) = (range.start.max(start), range.end.min(end));
                if from < to {
                    any = true;
                    let place =
                        |row: u64| taken + usize::try_from(row - start).unwrap_or(usize::MAX);
                    ranges.push(place(from)..place(to));
                }
            }
            if any {
                groups.push(group);
                taken += usize::try_from(count).unwrap_or(usize::MAX);
            }
            start = end;
        }
        (groups, RowSelection::from_consecutive_ranges(ranges.into_iter(), taken))
    }
}

/// A column of the type that the format says.
pub(super) fn column<'a, A: Array + 'static>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a A, Error> {
    let array = batch.column_by_name(name);
    array.and_then(|array| array.as_any().downcast_ref::<A>()).ok_or(Error::Corrupt {
        part: "parquet",
        what: "a column is missing or has another type than the format says",
    })
}
