//! What the tree of a batch's traces says of each span: nested-set numbers, children, whether structural operators see it.

use crate::columns::{Batch, Top};

/// Numbers of the spans of a batch, by row.
pub(super) struct Tree {
    left: Vec<u32>,
    /// Whether structural operators relate the span.
    related: Vec<bool>,
    parent_delta: Vec<u32>,
    subtree: Vec<u32>,
    child_count: Vec<u32>,
}

impl Tree {
    /// With `rootless` spans under any top are related, not only those under a root. Linear in the rows.
    pub(super) fn of(batch: &Batch, rootless: bool) -> Self {
        let rows = batch.rows();
        let unsigned = |numbers: &[i32]| -> Vec<u32> {
            numbers.iter().map(|number| number.unsigned_abs()).collect()
        };
        let parent_delta = unsigned(&batch.tree.parent_delta);
        let subtree = unsigned(&batch.tree.subtree);
        let mut tree = Self {
            left: vec![0; rows],
            related: vec![false; rows],
            parent_delta,
            subtree,
            child_count: vec![0; rows],
        };
        for trace in 0..batch.traces.len() {
            tree.number(batch, batch.traces.rows(trace), rootless);
        }
        tree
    }

    fn number(&mut self, batch: &Batch, rows: std::ops::Range<usize>, rootless: bool) {
        let mut depth = vec![0_u32; rows.len()];
        // Spans under roots that came before, and whether the current top is a root.
        let (mut numbered, mut under_root) = (0_u32, false);
        let first = rows.start;
        for row in rows {
            let delta = self.parent_delta[row] as usize;
            if delta == 0 {
                under_root = batch.tree.top[row] == Top::Root as u8;
            } else {
                depth[row - first] = depth[row - first - delta] + 1;
                self.child_count[row - delta] += 1;
            }
            self.related[row] = under_root || rootless;
            if under_root {
                self.left[row] = 2 * numbered - depth[row - first] + 1;
                numbered += 1;
            }
        }
    }

    /// 0 for a span that is not under a root.
    pub(super) fn left(&self, row: usize) -> i64 {
        i64::from(self.left[row])
    }

    /// 0 for a span that is not under a root.
    pub(super) fn right(&self, row: usize) -> i64 {
        match self.left(row) {
            0 => 0,
            left => left + 2 * i64::from(self.subtree[row]) + 1,
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
        self.child_count[row]
    }

    pub(super) fn parent_row(&self, row: usize) -> Option<usize> {
        match self.parent_delta[row] {
            0 => None,
            delta => Some(row - delta as usize),
        }
    }

    /// The last descendant's row; the row itself if there are none.
    pub(super) fn last_row(&self, row: usize) -> usize {
        row + self.subtree[row] as usize
    }

    pub(super) fn is_related(&self, row: usize) -> bool {
        self.related[row]
    }

    /// Whether it is one of the roots of its trace, which are siblings of each other.
    pub(super) fn is_root(&self, row: usize) -> bool {
        self.left[row] != 0 && self.parent_delta[row] == 0
    }
}
