//! A trace that was found, and how it is told: whole, or in pieces.

use std::ops::Range;
use std::sync::Arc;

use super::split::Assembled;
use super::{Cost, JsonStyle, unreadable};
use crate::block::Block;
use crate::columns::{Layout, RowRef, Spans};
use crate::failure::Failure;
use crate::otlp::{self, Row};
use crate::runtime::wait;
use crate::scan::ScanCost;

/// All spans of a trace.
pub struct FoundTrace {
    pub(super) assembled: Assembled,
    /// By chunk: where its fields are read when it is told, if only those are here that lay it out.
    pub(super) later: Vec<Option<Later>>,
    pub(super) layout: Layout,
    /// Of finding it, without what large parts cost when they are told.
    pub cost: Cost,
}

/// A large part of a trace: memory has no room for all of them at once.
#[derive(Clone)]
pub(super) struct Later {
    pub(super) block: Arc<Block>,
    pub(super) rows: Vec<Range<u64>>,
}

impl Later {
    /// All its fields. The rows are those, and in the order, in which the part was laid out.
    pub(super) async fn spans(&self) -> Result<Spans, Failure> {
        let read = self.block.spans(&self.rows, &mut ScanCost::default()).await;
        read.map_err(|error| unreadable(self.block.id(), &error))
    }
}

impl FoundTrace {
    /// Spans, without duplicates.
    pub fn span_count(&self) -> usize {
        self.layout.len()
    }

    fn later_of(&self, chunk: u32) -> Option<&Later> {
        self.later.get(chunk as usize).and_then(Option::as_ref)
    }

    /// The rows of which all fields are here.
    fn rows_here(&self) -> Vec<Row<'_>> {
        let row = |row: &RowRef| (&*self.assembled.chunks[row.chunk as usize], row.row as usize);
        let rows = self.layout.rows.iter();
        rows.filter(|row| self.later_of(row.chunk).is_none()).map(row).collect()
    }

    /// The pieces of a part that is read now.
    fn pieces_of(&self, chunk: u32, later: &Later, piece_bytes: usize) -> Vec<Piece> {
        let spans = match wait(later.spans()) {
            Ok(spans) => spans,
            Err(failure) => return vec![Err(failure)],
        };
        let rows = self.layout.rows.iter().filter(|row| row.chunk == chunk);
        let rows: Vec<Row<'_>> = rows.map(|row| (&spans, row.row as usize)).collect();
        otlp::trace_pieces(&rows, piece_bytes).map(Ok).collect()
    }

    /// OTLP `TracesData`, which is also Tempo's `Trace`.
    ///
    /// # Errors
    /// As [`FoundTrace::protobuf_pieces`].
    pub fn protobuf(&self) -> Result<Vec<u8>, Failure> {
        let mut pieces = self.protobuf_pieces(usize::MAX);
        let mut whole = pieces.next().unwrap_or_else(|| Ok(Vec::new()))?;
        for piece in pieces {
            whole.extend_from_slice(&piece?);
        }
        Ok(whole)
    }

    /// The same in pieces that joined are one message. Large parts are read meanwhile, one after the other, which waits: only for threads that
    /// may. A piece is an error when a part cannot be read.
    pub fn protobuf_pieces(&self, piece_bytes: usize) -> impl Iterator<Item = Piece> {
        let here = otlp::trace_pieces(&self.rows_here(), piece_bytes).map(Ok);
        let later = (0_u32..).zip(&self.later);
        let later = later.filter_map(|(chunk, later)| Some((chunk, later.as_ref()?)));
        here.chain(later.flat_map(move |(chunk, later)| self.pieces_of(chunk, later, piece_bytes)))
    }

    /// Tempo's JSON of the trace in pieces, as [`FoundTrace::protobuf_pieces`]: one object, without the envelope of its second API. A piece is an
    /// error also when what was stored of the trace cannot be read as OTLP.
    pub fn json_pieces(&self, style: JsonStyle, piece_bytes: usize) -> impl Iterator<Item = Piece> {
        let pieces = self.protobuf_pieces(piece_bytes);
        otlp::pieces_json(pieces, style, |error| Failure::internal(&error))
    }
}

/// Some bytes of an answer.
type Piece = Result<Vec<u8>, Failure>;
