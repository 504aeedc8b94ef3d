//! Pages of blocks that the writer made: planned, read, and damaged.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::RowSelection;

use super::super::Block;
use super::super::fetch::{Fetch, decode};
use super::super::tests::{chunk, spans_of, stored};
use super::*;

/// One range alone: a list of one is taken for a mistake.
fn one(range: Range<usize>) -> Vec<Range<usize>> {
    std::iter::once(range).collect()
}
use crate::scan::ScanCost;
use crate::store::keys::BlockObject;

/// More rows than a page, and columns that most rows lack.
async fn block() -> (Arc<Block>, Bytes) {
    let (block, written) = stored(&[&chunk((1..1300).map(|id| (id, 1 + id % 9)))]).await;
    let spans = written.objects.iter().find(|(object, _)| *object == BlockObject::Spans);
    (block, spans.unwrap().1.clone())
}

fn leaves(block: &Block) -> Vec<usize> {
    (0..spans_of(block).parquet_schema().num_columns()).collect()
}

fn part(object: &Bytes, range: &Range<u64>) -> Bytes {
    object.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap())
}

#[tokio::test]
async fn every_header_that_the_writer_makes_is_read() {
    let (block, object) = block().await;
    let metadata = spans_of(&block).metadata();
    let plans = GroupPlan::all(metadata, &leaves(&block), &[0], None).unwrap();
    let schema = spans_of(&block).parquet_schema();
    let mut dictionaries = 0;
    for chunk in &plans[0].chunks {
        let flat = schema.column(chunk.column).max_rep_level() == 0;
        for page in &chunk.pages {
            let page_bytes = part(&object, page.bytes.as_ref().unwrap());
            let header = PageHeader::read(&page_bytes).unwrap();
            assert_eq!(header.header_bytes + header.stored_bytes, page_bytes.len());
            let PageKind::Data { values, .. } = header.kind else { panic!("{header:?}") };
            assert!(if flat { values as usize == page.rows } else { values as usize >= page.rows });
            for end in 0..header.header_bytes {
                assert_eq!(PageHeader::read(&page_bytes[..end]), None);
            }
        }
        if let Some(range) = &chunk.dictionary {
            let page_bytes = part(&object, range);
            let header = PageHeader::read(&page_bytes).unwrap();
            assert_eq!(header.header_bytes + header.stored_bytes, page_bytes.len());
            assert!(matches!(header.kind, PageKind::Dictionary { .. }));
            dictionaries += 1;
        }
        let rows: usize = chunk.pages.iter().map(|page| page.rows).sum();
        assert_eq!(rows, plans[0].rows);
    }
    assert!(dictionaries > 5);
}

#[tokio::test]
async fn only_pages_with_wanted_rows_are_planned() {
    let (block, _) = block().await;
    let metadata = spans_of(&block).metadata();
    let rows = usize::try_from(metadata.row_group(0).num_rows()).unwrap();
    assert!(rows > 4096);
    let plan = |ranges: Vec<Range<usize>>| {
        let selection = RowSelection::from_consecutive_ranges(ranges.into_iter(), rows);
        GroupPlan::all(metadata, &leaves(&block), &[0], Some(selection)).unwrap()
    };
    let wanted = |plans: &[GroupPlan]| -> Vec<Vec<bool>> {
        let pages =
            |chunk: &ChunkPlan| chunk.pages.iter().map(|page| page.bytes.is_some()).collect();
        plans[0].chunks.iter().map(pages).collect()
    };
    assert!(plan(vec![]).is_empty());
    for pages in wanted(&plan(one(10..20))) {
        assert_eq!(pages[..2], [true, false]);
    }
    for pages in wanted(&plan(one(rows - 1..rows))) {
        assert!(!pages[0] && pages.last() == Some(&true));
    }
    // Single rows at both ends are read through.
    let every_other: Vec<_> = (0..rows).step_by(2).map(|row| row..row + 1).collect();
    assert!(wanted(&plan(every_other)).iter().flatten().all(|page| *page));
}

/// A cell as text.
fn cell(array: &ArrayRef, row: usize) -> String {
    array_value_to_string(array, row).unwrap()
}

#[tokio::test]
async fn selected_rows_are_those_of_the_whole() {
    let (block, _) = block().await;
    let rows = usize::try_from(spans_of(&block).metadata().row_group(0).num_rows()).unwrap();
    let read = async |ranges: Option<&[Range<usize>]>| {
        let selection = ranges
            .map(|ranges| RowSelection::from_consecutive_ranges(ranges.iter().cloned(), rows));
        let fetch = Fetch {
            object: BlockObject::Spans,
            metadata: spans_of(&block),
            mask: ProjectionMask::all(),
            row_groups: vec![0],
            selection,
        };
        let mut cost = ScanCost::default();
        let mut batches = block.fetch(fetch, &mut cost, Ok).await.unwrap();
        assert_eq!(batches.len(), 1);
        (batches.remove(0), cost)
    };
    let (whole, all) = read(None).await;
    assert_eq!((whole.num_rows(), all.requests), (rows, 1));
    let mut absent = 0;
    for ranges in [
        one(0..3),
        // Within trace 13, which has nothing that its neighbours have.
        one(55..58),
        one(4090..4100),
        vec![5..9, 4000..4200, rows - 2..rows],
        one(0..rows),
        (0..rows).step_by(3).map(|row| row..row + 1).collect(),
    ] {
        let (some, cost) = read(Some(&ranges)).await;
        assert!(cost.bytes <= all.bytes && cost.requests == 1);
        let wanted: Vec<usize> = ranges.into_iter().flatten().collect();
        assert_eq!(some.num_rows(), wanted.len());
        for (field, column) in whole.schema().fields().iter().zip(whole.columns()) {
            // Fields of events that have no value may be absent, too.
            let nested = ["events", "links"].contains(&field.name().as_str());
            let length = |array: &ArrayRef, row| array.as_list::<i32>().value_length(row);
            match some.column_by_name(field.name()) {
                None => {
                    absent += 1;
                    assert!(wanted.iter().all(|row| column.is_null(*row)), "{}", field.name());
                }
                Some(found) if nested => wanted.iter().enumerate().for_each(|(place, row)| {
                    assert_eq!(length(found, place), length(column, *row));
                }),
                Some(found) => wanted
                    .iter()
                    .enumerate()
                    .for_each(|(place, row)| assert_eq!(cell(found, place), cell(column, *row))),
            }
        }
    }
    assert!(absent > 0, "some attributes are seldom");
    let (bare, _) = read(Some(&one(55..58))).await;
    assert!(bare.column_by_name("span.table").is_none());
    assert_eq!(bare.column_by_name("attributes_rest").unwrap().len(), 3);
}

/// A page with other contents, as the writer would store it.
fn repacked(kind: PageKind, plain: &[u8], zstd: bool) -> Bytes {
    let stored = if zstd { zstd::bulk::compress(plain, 1).unwrap() } else { plain.to_vec() };
    let mut header = Vec::new();
    let number = |into: &mut Vec<u8>, number: usize| {
        let mut left = number * 2;
        while left >= 0x80 {
            into.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
            left >>= 7;
        }
        into.push(u8::try_from(left).unwrap());
    };
    let code = |encoding: Encoding| encoding as usize;
    let (page_type, delta, fields) = match kind {
        PageKind::Data { values, encoding, definition, repetition } => {
            (0, 2, vec![values as usize, code(encoding), code(definition), code(repetition)])
        }
        PageKind::Dictionary { values, encoding, .. } => {
            (2, 4, vec![values as usize, code(encoding)])
        }
    };
    for field in [page_type, plain.len(), stored.len()] {
        header.push(0x15);
        number(&mut header, field);
    }
    header.push((delta << 4) | 0x0c);
    for field in fields {
        header.push(0x15);
        number(&mut header, field);
    }
    header.extend([0, 0]);
    [header, stored].concat().into()
}

/// The column as it is read when one page is other than it was.
fn read_with(block: &Block, plan: &GroupPlan, parts: &[Bytes]) -> Result<Vec<RecordBatch>, Error> {
    let metadata = spans_of(block);
    let columns: Vec<usize> = plan.chunks.iter().map(|chunk| chunk.column).collect();
    let pages = Pages::of(metadata.metadata(), plan, &mut parts.iter().cloned());
    decode(metadata, &columns, vec![(pages, plan)], None)
}

#[tokio::test]
async fn a_damaged_page_is_an_error_or_other_values() {
    let (block, object) = block().await;
    let mut seed = 7_u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let (mut refused, mut read) = (0, 0);
    for column in leaves(&block) {
        let rows = RowSelection::from_consecutive_ranges(
            [100..140, 4300..4310].into_iter(),
            usize::try_from(spans_of(&block).metadata().row_group(0).num_rows()).unwrap(),
        );
        let metadata = spans_of(&block).metadata();
        let plans = GroupPlan::all(metadata, &[column], &[0], Some(rows)).unwrap();
        let plan = &plans[0];
        let parts: Vec<Bytes> = plan.ranges().map(|range| part(&object, &range)).collect();
        assert!(read_with(&block, plan, &parts).is_ok());
        for round in 0..60 {
            let mut parts = parts.clone();
            let which = random(parts.len());
            let page = &mut parts[which];
            if round % 3 == 0 {
                // As it could lie on a disk.
                let mut bytes = page.to_vec();
                let at = random(bytes.len());
                bytes[at] ^= 1 << random(8);
                *page = bytes.into();
            } else {
                // As a writer could make it that means harm.
                let zstd = plan.chunks[0].zstd;
                let (kind, inflated) = inflate(page, zstd).unwrap();
                let mut bytes = inflated.to_vec();
                if !bytes.is_empty() {
                    let at = random(bytes.len().min(if round % 3 == 1 { 40 } else { usize::MAX }));
                    bytes[at] = u8::try_from(random(256)).unwrap();
                    bytes.truncate(bytes.len() - random(2));
                }
                *page = repacked(kind, &bytes, zstd);
            }
            match read_with(&block, plan, &parts) {
                Ok(_) => read += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 100 && read > 100, "{refused} {read}");
}

type Change<'a> = &'a dyn Fn(PageKind, Bytes) -> Bytes;

#[tokio::test]
async fn a_page_that_claims_too_much_is_corrupt() {
    let (block, object) = block().await;
    let column = |name: &str| {
        let columns = spans_of(&block).parquet_schema().columns().iter();
        columns.clone().position(|column| column.path().string() == name).unwrap()
    };
    let read = |name: &str, change: &dyn Fn(PageKind, Bytes) -> Bytes, which: usize| {
        let metadata = spans_of(&block).metadata();
        let plans = GroupPlan::all(metadata, &[column(name)], &[0], None).unwrap();
        let mut parts: Vec<Bytes> = plans[0].ranges().map(|range| part(&object, &range)).collect();
        let (kind, plain) = inflate(&parts[which], true).unwrap();
        parts[which] = change(kind, plain);
        read_with(&block, &plans[0], &parts).unwrap_err()
    };
    let many = |kind: PageKind, plain: Bytes| match kind {
        PageKind::Dictionary { encoding, sorted, .. } => {
            repacked(PageKind::Dictionary { values: 1 << 30, encoding, sorted }, &plain, true)
        }
        PageKind::Data { encoding, definition, repetition, .. } => {
            let values = 1 << 30;
            repacked(PageKind::Data { values, encoding, definition, repetition }, &plain, true)
        }
    };
    let as_dictionary = |_: PageKind, plain: Bytes| {
        let kind = PageKind::Dictionary { values: 1, encoding: Encoding::PLAIN, sorted: false };
        repacked(kind, &plain, true)
    };
    // {block size, blocks, count} with a count of 2^30.
    let count =
        |kind: PageKind, _: Bytes| repacked(kind, &[128, 1, 4, 0x80, 0x80, 0x80, 0x80, 4, 0], true);
    // What is said to be a GiB of a few bytes: the second field of the header is the plain length.
    let long = |kind: PageKind, plain: Bytes| {
        let page = repacked(kind, &plain[..1], true);
        let mut bytes = vec![0x15, 0, 0x15, 0x80, 0x80, 0x80, 0x80, 8];
        bytes.extend_from_slice(&page[4..]);
        bytes.into()
    };
    let changes: [(&str, Change<'_>, usize); 5] = [
        ("name", &many, 0),
        ("name", &many, 1),
        ("name", &as_dictionary, 1),
        ("start_ns", &count, 0),
        ("name", &long, 1),
    ];
    for (name, change, which) in changes {
        let error = read(name, change, which);
        assert!(matches!(error, Error::Corrupt { part: "parquet", .. }), "{name}: {error:?}");
    }
}
