//! What the tree of a batch's traces says of each span: nested-set numbers, children, whether structural operators see it.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use arrow::buffer::ScalarBuffer;

use crate::columns::{Batch, Top, TraceTable};

/// The tree of each trace of a batch, by row.
pub(super) struct Tree {
    parent_delta: ScalarBuffer<i32>,
    subtree: ScalarBuffer<i32>,
    top: ScalarBuffer<u8>,
    /// Whether structural operators relate the span; empty if they relate all.
    related: Vec<bool>,
    traces: Arc<TraceTable>,
    /// Seldom asked for.
    numbers: OnceCell<Numbers>,
}

/// Numbers of the spans of a batch.
struct Numbers {
    left: Vec<u32>,
    child_count: Vec<u32>,
}

impl Tree {
    /// With `rootless` spans under any top are related, not only those under a root. Linear in the tops.
    pub(super) fn of(batch: &Batch, rootless: bool) -> Self {
        let mut tree = Self {
            parent_delta: batch.tree.parent_delta.clone(),
            subtree: batch.tree.subtree.clone(),
            top: batch.tree.top.clone(),
            related: Vec::new(),
            traces: Arc::clone(&batch.traces),
            numbers: OnceCell::new(),
        };
        if !rootless {
            let mut related = vec![false; batch.rows()];
            for trace in 0..batch.traces.len() {
                tree.relate(batch.traces.rows(trace), &mut related);
            }
            tree.related = related;
        }
        tree
    }

    /// Marks the spans of a trace that are under roots: each top is followed by all that descend from it.
    fn relate(&self, rows: Range<usize>, related: &mut [bool]) {
        let mut top = rows.start;
        while top < rows.end {
            let next = (self.last_row(top) + 1).min(rows.end);
            if self.top[top] == Top::Root as u8 {
                related[top..next].fill(true);
            }
            top = next;
        }
    }

    fn numbers(&self) -> &Numbers {
        self.numbers.get_or_init(|| {
            let rows = self.parent_delta.len();
            let mut numbers = Numbers { left: vec![0; rows], child_count: vec![0; rows] };
            for trace in 0..self.traces.len() {
                self.number(self.traces.rows(trace), &mut numbers);
            }
            numbers
        })
    }

    fn number(&self, rows: Range<usize>, into: &mut Numbers) {
        let mut depth = vec![0_u32; rows.len()];
        // Spans under roots that came before, and whether the current top is a root.
        let (mut numbered, mut under_root) = (0_u32, false);
        let first = rows.start;
        for row in rows {
            match self.parent_row(row) {
                None => under_root = self.top[row] == Top::Root as u8,
                Some(parent) => {
                    depth[row - first] = depth[parent - first] + 1;
                    into.child_count[parent] += 1;
                }
            }
            if under_root {
                into.left[row] = 2 * numbered - depth[row - first] + 1;
                numbered += 1;
            }
        }
    }

    /// 0 for a span that is not under a root.
    pub(super) fn left(&self, row: usize) -> i64 {
        i64::from(self.numbers().left[row])
    }

    /// 0 for a span that is not under a root.
    pub(super) fn right(&self, row: usize) -> i64 {
        match self.left(row) {
            0 => 0,
            left => left + 2 * i64::from(self.subtree[row].unsigned_abs()) + 1,
        }
    }

    /// The parent's left; -1 for a root, 0 for a span that is not under one.
    pub(super) fn parent(&self, row: usize) -> i64 {
        match (self.left(row), self.parent_row(row)) {
            (0, _) => 0,
            (_, None) => -1,
            (_, Some(parent)) => self.left(parent),
        }
    }

    pub(super) fn child_count(&self, row: usize) -> u32 {
        self.numbers().child_count[row]
    }

    pub(super) fn parent_row(&self, row: usize) -> Option<usize> {
        match self.parent_delta[row] {
            0 => None,
            delta => Some(row - delta.unsigned_abs() as usize),
        }
    }

    /// The last descendant's row; the row itself if there are none.
    pub(super) fn last_row(&self, row: usize) -> usize {
        row + self.subtree[row].unsigned_abs() as usize
    }

    pub(super) fn is_related(&self, row: usize) -> bool {
        self.related.is_empty() || self.related[row]
    }

    /// Whether it is one of the roots of its trace, which are siblings of each other.
    pub(super) fn is_root(&self, row: usize) -> bool {
        self.parent_delta[row] == 0 && self.top[row] == Top::Root as u8
    }
}
