//! What a question has not read yet, and what that leaves open.

use std::collections::BTreeMap;

/// The units that are still to be read, and the blocks that are not even opened.
#[derive(Debug)]
pub(super) struct Ahead {
    /// How many units by the start that tells how far they reach.
    units: BTreeMap<u64, u64>,
    /// Whether what is not opened may hold traces of any time.
    is_anything: bool,
    /// The latest start of a trace in blocks that are not opened; `None` if all are.
    rest: Option<u64>,
    /// Units that those blocks have, about.
    rest_units: u64,
}

impl Ahead {
    /// Before anything was opened.
    pub(super) fn new() -> Self {
        Self { units: BTreeMap::new(), is_anything: true, rest: None, rest_units: 0 }
    }

    /// Some units are known that will be read, beside blocks that will be opened after them: the latest start of a trace there, and about how
    /// many units they have.
    pub(super) fn opened(
        &mut self,
        units: impl IntoIterator<Item = u64>,
        rest: Option<u64>,
        rest_units: u64,
    ) {
        for start in units {
            *self.units.entry(start).or_default() += 1;
        }
        (self.is_anything, self.rest, self.rest_units) = (false, rest, rest_units);
    }

    /// More is to come of which nothing is known yet.
    pub(super) fn expect_anything(&mut self) {
        self.is_anything = true;
    }

    /// A unit was read, or will not be.
    pub(super) fn done(&mut self, start: u64) {
        if let Some(count) = self.units.get_mut(&start) {
            *count -= 1;
            if *count == 0 {
                self.units.remove(&start);
            }
        }
    }

    /// Units that are still to be read, about.
    pub(super) fn units_left(&self) -> u64 {
        self.units.values().sum::<u64>() + self.rest_units
    }

    /// Nothing that is still to be read starts later; `None` if nothing is.
    pub(super) fn newest(&self) -> Option<u64> {
        if self.is_anything {
            return Some(u64::MAX);
        }
        self.units.last_key_value().map(|(start, _)| *start).max(self.rest)
    }

    /// Nothing that is still to be read starts earlier; `None` if nothing is.
    pub(super) fn oldest(&self) -> Option<u64> {
        if self.is_anything || self.rest.is_some() {
            return Some(0);
        }
        self.units.first_key_value().map(|(start, _)| *start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_to_read_ends_where_the_last_unit_and_the_unopened_blocks_end() {
        let mut ahead = Ahead::new();
        assert_eq!((ahead.newest(), ahead.oldest()), (Some(u64::MAX), Some(0)));
        ahead.opened([30, 20, 30], Some(25), 4);
        assert_eq!((ahead.newest(), ahead.oldest(), ahead.units_left()), (Some(30), Some(0), 7));
        ahead.done(30);
        assert_eq!(ahead.newest(), Some(30));
        ahead.done(30);
        assert_eq!((ahead.newest(), ahead.units_left()), (Some(25), 5));
        ahead.opened([], None, 0);
        assert_eq!((ahead.newest(), ahead.oldest()), (Some(20), Some(20)));
        ahead.expect_anything();
        assert_eq!((ahead.newest(), ahead.oldest()), (Some(u64::MAX), Some(0)));
        ahead.opened([], None, 0);
        ahead.done(20);
        assert_eq!((ahead.newest(), ahead.oldest(), ahead.units_left()), (None, None, 0));
    }
}
