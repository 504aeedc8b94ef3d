//! Where the values of a leaf belong: Parquet's levels, shared by all leaves of a list.

use std::ops::Range;

/// The levels of some rows down to a list, or of the rows themselves. A leaf that may lack values counts one definition level more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub repetition_max: u8,
    pub definition_max: u8,
    /// Of each entry: a place of the array, or an empty list. Both empty for rows: all are 0.
    pub repetition: Vec<u8>,
    pub definition: Vec<u8>,
    rows: Range<usize>,
    /// Of a list, where each row begins, and the last one ends: among the entries, and in the array.
    entries: Vec<u32>,
    places: Vec<u32>,
}

impl Shape {
    /// Of a column with a value or none in each row.
    pub(super) fn of_rows(rows: Range<usize>) -> Self {
        Self {
            repetition_max: 0,
            definition_max: 0,
            repetition: Vec::new(),
            definition: Vec::new(),
            rows,
            entries: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Of a list that has this shape: `offsets` tell where each of its places begins in the array of the elements.
    pub(super) fn within(&self, offsets: &[i32]) -> Self {
        let offset = |place: usize| offsets[place].cast_unsigned();
        let mut inner = Self {
            repetition_max: self.repetition_max + 1,
            definition_max: self.definition_max + 1,
            rows: self.rows.clone(),
            entries: vec![0],
            ..Self::of_rows(0..0)
        };
        for row in 0..self.rows() {
            let mut place = self.places(row..row + 1).start;
            inner.places.push(offset(place));
            for entry in self.entries(row..row + 1) {
                let repetition = self.repetition.get(entry).copied().unwrap_or(0);
                let definition = self.definition.get(entry).copied().unwrap_or(0);
                if definition < self.definition_max {
                    inner.push(repetition, definition);
                    continue;
                }
                let count = offset(place + 1) - offset(place);
                place += 1;
                inner.push(repetition, definition + u8::from(count > 0));
                (1..count).for_each(|_| inner.push(self.repetition_max + 1, definition + 1));
            }
            let end =
                u32::try_from(inner.definition.len()).expect("a list is bounded by a request");
            inner.entries.push(end);
        }
        inner.places.push(offset(self.places(0..self.rows()).end));
        inner
    }

    fn push(&mut self, repetition: u8, definition: u8) {
        self.repetition.push(repetition);
        self.definition.push(definition);
    }

    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The entries of some rows.
    pub(super) fn entries(&self, rows: Range<usize>) -> Range<usize> {
        match &self.entries[..] {
            [] => rows,
            entries => entries[rows.start] as usize..entries[rows.end] as usize,
        }
    }

    /// The places of some rows in the array.
    pub(super) fn places(&self, rows: Range<usize>) -> Range<usize> {
        match &self.places[..] {
            [] => self.rows.start + rows.start..self.rows.start + rows.end,
            places => places[rows.start] as usize..places[rows.end] as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_in_lists_have_their_levels() {
        let rows = Shape::of_rows(1..4);
        // Of four rows, the last three: two elements, none, one.
        let outer = rows.within(&[0, 1, 3, 3, 4]);
        assert_eq!(
            (&outer.repetition[..], &outer.definition[..]),
            (&[0, 1, 0, 0][..], &[1, 1, 0, 1][..])
        );
        assert_eq!(
            (outer.entries(0..2), outer.places(0..2), outer.places(2..3)),
            (0..3, 1..3, 3..4)
        );
        // Of the four elements the last three: three, none, one.
        let inner = outer.within(&[0, 2, 5, 5, 6]);
        assert_eq!(inner.repetition, [0, 2, 2, 1, 0, 0]);
        assert_eq!(inner.definition, [2, 2, 2, 1, 0, 2]);
        assert_eq!(
            (inner.entries(0..1), inner.places(0..1), inner.places(2..3)),
            (0..4, 2..5, 5..6)
        );
    }
}
