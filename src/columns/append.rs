//! Chunks joined: rows of one appended to another, codes told in its pool.

use super::pool::{NOWHERE, Pool, Told};
use super::spans::{Events, Links, SpanRow, Spans};

impl Spans {
    /// Appends all of `other`: equal resources are joined.
    pub fn append(&mut self, other: &Self) {
        self.append_rows(other, |_| true);
    }

    /// Appends the rows of `other` that `keep` names, in their order.
    pub fn append_rows(&mut self, other: &Self, keep: impl Fn(usize) -> bool) {
        let mut told = Told::of(&other.pool);
        let mut places = vec![NOWHERE; other.len()];
        let mut adopted = vec![NOWHERE; other.resources.len()];
        for row in (0..other.len()).filter(|row| keep(*row)) {
            places[row] = self.next_row();
            let kept = other.row(row);
            let mut code = |code| told.code(code, &mut self.pool);
            let (name, status_message, trace_state) =
                (code(kept.name), code(kept.status_message), code(kept.trace_state));
            let resource = &mut adopted[kept.resource as usize];
            if *resource == NOWHERE {
                *resource = self.adopt(&other.resources[kept.resource as usize]);
            }
            let resource = *resource;
            self.push(SpanRow { name, status_message, trace_state, resource, ..kept });
        }
        let pool = &mut self.pool;
        self.attributes.append(pool, &other.attributes, &mut told, &places);
        self.events.append(pool, &other.events, &mut told, &places);
        self.links.append(pool, &other.links, &mut told, &places);
        append_unknown(&mut self.unknown, pool, &other.unknown, (&mut told, &places));
    }
}

/// The places of children whose rows have one: they follow those that are here.
fn child_places(rows: &[u32], row_places: &[u32], first: usize) -> Vec<u32> {
    let mut next = u32::try_from(first).expect("a chunk holds less than 4 Gi events");
    let place = |row: &u32| {
        if row_places[*row as usize] == NOWHERE {
            return NOWHERE;
        }
        next += 1;
        next - 1
    };
    rows.iter().map(place).collect()
}

impl Events {
    fn append(&mut self, pool: &mut Pool, other: &Self, told: &mut Told<'_>, rows: &[u32]) {
        let Self { row, time, name, dropped, attributes, unknown } = other;
        let places = child_places(row, rows, self.row.len());
        for event in (0..row.len()).filter(|event| places[*event] != NOWHERE) {
            self.row.push(rows[row[event] as usize]);
            self.time.push(time[event]);
            self.name.push(told.code(name[event], pool));
            self.dropped.push(dropped[event]);
        }
        self.attributes.append(pool, attributes, told, &places);
        append_unknown(&mut self.unknown, pool, unknown, (told, &places));
    }
}

impl Links {
    fn append(&mut self, pool: &mut Pool, other: &Self, told: &mut Told<'_>, rows: &[u32]) {
        let Self { row, trace_id, span_id, trace_state, flags, dropped, attributes, unknown } =
            other;
        let places = child_places(row, rows, self.row.len());
        for link in (0..row.len()).filter(|link| places[*link] != NOWHERE) {
            self.row.push(rows[row[link] as usize]);
            self.trace_id.push(told.code(trace_id[link], pool));
            self.span_id.push(told.code(span_id[link], pool));
            self.trace_state.push(told.code(trace_state[link], pool));
            self.flags.push(flags[link]);
            self.dropped.push(dropped[link]);
        }
        self.attributes.append(pool, attributes, told, &places);
        append_unknown(&mut self.unknown, pool, unknown, (told, &places));
    }
}

fn append_unknown(
    into: &mut Vec<(u32, u32)>,
    pool: &mut Pool,
    unknown: &[(u32, u32)],
    (told, places): (&mut Told<'_>, &[u32]),
) {
    for (owner, code) in unknown {
        let place = places[*owner as usize];
        if place != NOWHERE {
            into.push((place, told.code(*code, pool)));
        }
    }
}
