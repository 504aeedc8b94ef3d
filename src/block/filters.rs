//! Which values of a block get filters, and how many bits each.
//!
//! A filter spares reading units, so it may cost a small share of what is stored: keys with few values come first, since theirs cost
//! least. Apart from that share are identifiers, texts that are new on nearly each span and that many spans have: they are what people look
//! for in haystacks, and a unit that passes by chance costs the most there.

use std::collections::BTreeMap;

use super::entries::EntryNumber;
use super::hashes::{BITS_MAX, BITS_MIN, FilterWriter};
use super::zones::ValueFilter;

/// Filters take at most one byte in so many of those of the spans; those of identifiers likewise.
const SHARE: usize = 112;
const IDENTIFIERS_SHARE: usize = 24;

/// Most bits for each value of an identifier: one in a thousand that is not there passes.
const IDENTIFIER_BITS_MAX: usize = 16;

/// A filter of more numbers comes after those of texts: few are asked for by equality.
const FEW_NUMBERS: usize = 128;

/// So many bytes those of a unit may always take, either kind.
const BYTES_MIN: usize = 16 * 1024;

/// Of so many values of an identifier at most one repeats, in one unit.
const REPEATS: u64 = 16;

/// One span in so many has an identifier, at least.
const IDENTIFIED: u64 = 8;

/// What a filter is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    Texts(EntryNumber),
    Numbers(EntryNumber),
}

/// Hashes of values, unit by unit, until all are known.
#[derive(Default)]
pub(super) struct FilterPlan {
    wanted: BTreeMap<Wanted, Vec<Values>>,
    units: usize,
    stored_bytes: usize,
}

/// The values of a unit.
struct Values {
    unit: u32,
    hashes: Vec<u64>,
    is_identifier: bool,
}

/// The filters of one kind of value, by unit.
pub(super) struct Planned {
    pub wanted: Wanted,
    pub filters: Vec<(u32, ValueFilter)>,
}

impl FilterPlan {
    /// Adds the distinct values of a unit of so many rows, which `present` of its spans have.
    pub(super) fn add(
        &mut self,
        wanted: Wanted,
        (unit, rows): (u32, u64),
        hashes: Vec<u64>,
        present: u64,
    ) {
        let repeats = present.saturating_sub(hashes.len() as u64);
        let is_identifier = matches!(wanted, Wanted::Texts(_))
            && present >= rows / IDENTIFIED
            && repeats <= present / REPEATS;
        self.wanted.entry(wanted).or_default().push(Values { unit, hashes, is_identifier });
    }

    /// Ends a unit whose spans take so many bytes.
    pub(super) fn end_unit(&mut self, stored_bytes: usize) {
        self.units += 1;
        self.stored_bytes += stored_bytes;
    }

    /// The filters for which there is room, and their section. Each value gets as many bits as there is room for; if that is too little,
    /// the largest filters are left out. Large ones of numbers get what is left over.
    pub(super) fn finish(self) -> (Vec<Planned>, Vec<u8>) {
        let mut writer = FilterWriter::default();
        let mut planned = Vec::new();
        let is_identifier = |units: &[Values]| units.iter().all(|values| values.is_identifier);
        let (identifiers, mut others): (Vec<_>, Vec<_>) =
            self.wanted.into_iter().partition(|(_, units)| is_identifier(units));
        let is_extra = |(wanted, units): &(Wanted, Vec<Values>)| {
            matches!(wanted, Wanted::Numbers(_)) && room_for(units) > FEW_NUMBERS * units.len()
        };
        others.sort_by_key(|wanted| (is_extra(wanted), room_for(&wanted.1)));
        let counted = others.iter().filter(|wanted| !is_extra(wanted));
        let counted = counted.map(|(_, units)| room_for(units)).sum();
        let bytes = (self.stored_bytes / SHARE).max(BYTES_MIN * self.units);
        add(&mut writer, others, (counted, BITS_MAX), bytes, &mut planned);
        let counted = identifiers.iter().map(|(_, units)| room_for(units)).sum();
        let bytes = (self.stored_bytes / IDENTIFIERS_SHARE).max(BYTES_MIN * self.units);
        add(&mut writer, identifiers, (counted, IDENTIFIER_BITS_MAX), bytes, &mut planned);
        (planned, writer.finish())
    }
}

/// Values that the filters of a key have room for: all take as much as the largest.
fn room_for(units: &[Values]) -> usize {
    units.iter().map(|values| values.hashes.len()).max().unwrap_or(0) * units.len()
}

fn add(
    writer: &mut FilterWriter,
    all: Vec<(Wanted, Vec<Values>)>,
    (values, bits_max): (usize, usize),
    bytes: usize,
    planned: &mut Vec<Planned>,
) {
    let end = writer.len() + bytes;
    let bits = (bytes * 8 / values.max(1)).clamp(BITS_MIN, bits_max);
    for (wanted, units) in all {
        let largest = room_for(&units) / units.len();
        if writer.len() + FilterWriter::bytes_for(largest, bits) * units.len() > end {
            break;
        }
        let hashes: Vec<&[u64]> = units.iter().map(|values| &values.hashes[..]).collect();
        let Some(filters) = writer.add(&hashes, bits) else { break };
        let filters = units.iter().map(|values| values.unit).zip(filters).collect();
        planned.push(Planned { wanted, filters });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(count: u64) -> Vec<u64> {
        (0..count).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()
    }

    fn key(key: u32) -> EntryNumber {
        EntryNumber::key_zones(key)
    }

    #[test]
    fn small_filters_come_first_and_the_share_is_kept() {
        let mut plan = FilterPlan::default();
        for unit in 0..2 {
            plan.add(Wanted::Texts(key(1)), (unit, 200_000), hashes(60_000), 200_000);
            plan.add(Wanted::Texts(key(2)), (unit, 200_000), hashes(5_000), 60_000);
            plan.add(Wanted::Numbers(key(3)), (unit, 200_000), hashes(3_000), 60_000);
            plan.end_unit(2 << 20);
        }
        let (planned, section) = plan.finish();
        let wanted: Vec<Wanted> = planned.iter().map(|planned| planned.wanted).collect();
        assert_eq!(wanted, [Wanted::Texts(key(2))], "the large one has no room, nor what follows");
        assert!(section.len() <= (4 << 20) / SHARE, "{}", section.len());
        let units: Vec<u32> = planned[0].filters.iter().map(|(unit, _)| *unit).collect();
        assert_eq!(units, [0, 1]);
    }

    #[test]
    fn identifiers_have_a_share_of_their_own() {
        let plan = |present, rows| {
            let mut plan = FilterPlan::default();
            plan.add(Wanted::Texts(key(1)), (0, rows), hashes(60_000), present);
            plan.end_unit(3 << 20);
            let (planned, section) = plan.finish();
            (planned.len(), section.len() * 8 / 60_000)
        };
        assert_eq!(plan(60_100, 65_536), (1, IDENTIFIER_BITS_MAX), "new on each span");
        // Its filter would take more than its share.
        assert_eq!(plan(90_000, 90_000), (0, 0), "it repeats");
        assert_eq!(plan(60_100, 300_000), (1, IDENTIFIER_BITS_MAX), "new on each span of one kind");
        assert_eq!(plan(60_100, 3_000_000), (0, 0), "few spans have it");
    }
}
