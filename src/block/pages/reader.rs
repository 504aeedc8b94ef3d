//! Fetched pages as the Parquet crate's column readers want them, for the lists that it decodes.

use std::sync::Arc;

use parquet::bloom_filter::Sbbf;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use super::super::Error;
use super::super::header::PageKind;
use super::{Chunk, Data, DataPage, Dictionary, Failure, Pages, Slot, damaged, inflate};

/// The crate reads the file's row groups one after the other: all but ours are empty.
impl FileReader for Pages {
    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }

    fn num_row_groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    fn get_row_group(&self, group: usize) -> ParquetResult<Box<dyn RowGroupReader + '_>> {
        Ok(Box::new(Group { pages: self, group }))
    }

    fn get_row_iter(&self, _: Option<Type>) -> ParquetResult<RowIter<'_>> {
        Err(ParquetError::NYI("rows one by one".to_owned()))
    }
}

struct Group<'a> {
    pages: &'a Pages,
    group: usize,
}

impl RowGroupReader for Group<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.pages.metadata.row_group(self.group)
    }

    fn num_columns(&self) -> usize {
        self.metadata().num_columns()
    }

    fn get_column_page_reader(&self, column: usize) -> ParquetResult<Box<dyn PageReader>> {
        let chunk = match self.pages.chunks.get(&column) {
            None => return Err(ParquetError::IndexOutOfBound(column, self.num_columns())),
            Some(chunk) if self.group == self.pages.group => chunk.clone(),
            Some(chunk) => {
                Chunk { dictionary: Dictionary::Missing, pages: Arc::default(), ..chunk.clone() }
            }
        };
        Ok(Box::new(Reader { chunk, next: 0, failure: Arc::clone(&self.pages.failure) }))
    }

    fn get_column_bloom_filter(&self, _: usize) -> Option<&Sbbf> {
        None
    }

    fn get_row_iter(&self, _: Option<Type>) -> ParquetResult<RowIter<'_>> {
        Err(ParquetError::NYI("rows one by one".to_owned()))
    }
}

/// The data pages of a chunk in order. Its dictionary is always handed over late: when a page needs it.
struct Reader {
    chunk: Chunk,
    next: usize,
    failure: Failure,
}

impl Reader {
    fn next_page(&mut self) -> Result<Option<Page>, Error> {
        let Some(slot) = self.chunk.pages.get(self.next) else { return Ok(None) };
        self.next += 1;
        match &slot.data {
            Data::Missing => Err(damaged("a page was not fetched")),
            Data::Plain(page) => Ok(Some(page.page())),
            Data::Stored(stored) => {
                Ok(Some(DataPage::inflate(stored, self.chunk.zstd, self.chunk.levels)?.page()))
            }
        }
    }

    fn dictionary(&mut self) -> Result<Option<Page>, Error> {
        let (num_values, encoding, is_sorted, buf) =
            match std::mem::replace(&mut self.chunk.dictionary, Dictionary::Missing) {
                Dictionary::Missing => return Ok(None),
                Dictionary::Stored(stored) => {
                    let (kind, plain) = inflate(&stored, self.chunk.zstd)?;
                    let PageKind::Dictionary { values, encoding, sorted } = kind else {
                        return Err(damaged("a page is no dictionary"));
                    };
                    (values, encoding, sorted, plain)
                }
            };
        // Each entry takes a byte at least, and the decoders reserve room for as many as there are said to be.
        if num_values as usize > buf.len() {
            return Err(damaged("a dictionary has fewer entries than its header says"));
        }
        Ok(Some(Page::DictionaryPage { buf, num_values, encoding, is_sorted }))
    }

    /// Keeps the error, and tells the crate that there is one.
    fn told<T>(&self, result: Result<T, Error>) -> ParquetResult<T> {
        result.map_err(|error| {
            let text = error.to_string();
            self.failure.lock().get_or_insert(error);
            ParquetError::General(text)
        })
    }
}

impl Iterator for Reader {
    type Item = ParquetResult<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Reader {
    fn get_next_page(&mut self) -> ParquetResult<Option<Page>> {
        let page = self.next_page();
        self.told(page)
    }

    fn peek_next_page(&mut self) -> ParquetResult<Option<PageMetadata>> {
        let rows = |slot: &Slot| PageMetadata {
            num_rows: Some(slot.rows),
            num_levels: None,
            is_dict: false,
        };
        Ok(self.chunk.pages.get(self.next).map(rows))
    }

    fn skip_next_page(&mut self) -> ParquetResult<()> {
        self.next += 1;
        Ok(())
    }

    fn supports_deferred_dictionary(&self) -> bool {
        true
    }

    fn take_deferred_dictionary(&mut self) -> ParquetResult<Option<Page>> {
        let dictionary = self.dictionary();
        self.told(dictionary)
    }

    /// Pages begin with whole rows: the offset index, by which they were found, says so.
    fn at_record_boundary(&mut self) -> ParquetResult<bool> {
        Ok(true)
    }
}
