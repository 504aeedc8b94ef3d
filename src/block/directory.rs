//! Which rows of a block a trace has: the section `Directory`.

use std::collections::{BTreeSet, HashSet};
use std::hash::BuildHasher;

use bytes::Bytes;

use super::index::u64_at;
use super::zones::Zones;
use crate::trace::TraceId;

const ENTRY_BYTES: usize = 16;

/// A trace's spans in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub first_row: u64,
    pub rows: u64,
}

/// All traces of a block, by the folds of their ids.
#[derive(Debug, Clone)]
pub struct Directory(Bytes);

impl Directory {
    pub(super) fn of(section: Bytes) -> Self {
        Self(section)
    }

    /// Where traces whose id folds like this one lie: none, one, or, for ids made to collide, several.
    pub fn places(&self, id: TraceId) -> Vec<Place> {
        self.places_of_fold(id.fold())
    }

    /// As [`Directory::places`], by the fold of an id.
    pub fn places_of_fold(&self, fold: u64) -> Vec<Place> {
        let count = self.len();
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.fold_at(middle) < fold { low = middle + 1 } else { high = middle }
        }
        (low..count)
            .take_while(|place| self.fold_at(*place) == fold)
            .map(|place| self.place_at(place))
            .collect()
    }

    /// The units that some trace lies in whose id folds like one of these.
    pub(super) fn units_with<S: BuildHasher>(
        &self,
        zones: &Zones,
        folds: &HashSet<u64, S>,
    ) -> BTreeSet<usize> {
        let places = folds.iter().flat_map(|fold| self.places_of_fold(*fold));
        places.map(|place| unit_of(zones, place)).collect()
    }

    /// The folds of all traces, ascending.
    pub fn folds(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.len()).map(|place| self.fold_at(place))
    }

    /// Where each trace lies, by the folds of their ids.
    pub(super) fn all(&self) -> impl Iterator<Item = Place> + '_ {
        (0..self.len()).map(|place| self.place_at(place))
    }

    fn len(&self) -> usize {
        self.0.len() / ENTRY_BYTES
    }

    fn fold_at(&self, place: usize) -> u64 {
        u64_at(&self.0, place * ENTRY_BYTES)
    }

    fn place_at(&self, place: usize) -> Place {
        let packed = u64_at(&self.0, place * ENTRY_BYTES + 8);
        Place { first_row: packed & u64::from(u32::MAX), rows: packed >> 32 }
    }
}

/// The unit in which a trace lies.
pub(super) fn unit_of(zones: &Zones, place: Place) -> usize {
    zones.units.partition_point(|unit| unit.first_row <= place.first_row).saturating_sub(1)
}
