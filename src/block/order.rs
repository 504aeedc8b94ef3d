//! The order of traces in a block, and how they fall into row groups.

use std::ops::Range;

use crate::columns::{Layout, TraceTable};

/// Rows of a row group: small groups cost under 3 % of size and buy pruning.
pub(super) const ROW_GROUP_ROWS: usize = 64 * 1024;

/// A unit may have one row more in so many.
const SPARE_SHARE: usize = 32;

const MINUTE_NANOS: u64 = 60_000_000_000;

/// The same traces by (minute of the start, root service, root name, id): what is asked for together lies together.
pub(super) fn sorted(layout: &Layout) -> Layout {
    let traces = &layout.traces;
    let mut order: Vec<usize> = (0..traces.len()).collect();
    order.sort_by(|a, b| {
        let key = |trace: usize| {
            let minute = traces.start[trace] / MINUTE_NANOS;
            let text = |code: u32| traces.strings.get(code);
            let (service, name) = (traces.root_service[trace], traces.root_name[trace]);
            (minute, text(service), text(name), traces.id[trace])
        };
        key(*a).cmp(&key(*b))
    });
    let mut sorted = Layout::default();
    sorted.traces.first_row.push(0);
    sorted.traces.first_service.push(0);
    sorted.traces.strings = traces.strings.clone();
    for trace in order {
        push(&mut sorted, layout, trace);
    }
    sorted
}

fn push(into: &mut Layout, from: &Layout, trace: usize) {
    let rows = from.traces.rows(trace);
    into.rows.extend_from_slice(&from.rows[rows.clone()]);
    into.parent_delta.extend_from_slice(&from.parent_delta[rows.clone()]);
    into.subtree.extend_from_slice(&from.subtree[rows.clone()]);
    into.top.extend_from_slice(&from.top[rows]);
    let TraceTable { id, start, end, root, root_service, root_name, .. } = &from.traces;
    let traces = &mut into.traces;
    traces.id.push(id[trace]);
    traces.start.push(start[trace]);
    traces.end.push(end[trace]);
    traces.root.push(root[trace]);
    traces.root_service.push(root_service[trace]);
    traces.root_name.push(root_name[trace]);
    traces.services.extend_from_slice(from.traces.services(trace));
    traces.first_service.push(u32::try_from(traces.services.len()).expect("fewer than spans"));
    traces
        .first_row
        .push(u32::try_from(into.rows.len()).expect("a block has less than 4 Gi spans"));
}

/// Traces that are read together: one row group, or one trace that needs several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnitPlan {
    pub traces: Range<usize>,
    pub rows: Range<usize>,
    /// Row ranges of its row groups.
    pub row_groups: Vec<Range<usize>>,
}

/// Fills row groups with whole traces, about equally many rows in each; a trace that is larger than a group gets groups of its own.
pub(super) fn units(traces: &TraceTable, group_rows: usize) -> Vec<UnitPlan> {
    let mut units: Vec<UnitPlan> = Vec::new();
    let all = traces.first_row.last().map_or(0, |end| *end as usize);
    let equal = all.div_ceil(all.div_ceil(group_rows).max(1));
    // Whole traces do not fill a group: without room to spare there would be a small one left in the end.
    let unit_rows = (equal + equal / SPARE_SHARE).min(group_rows);
    let mut first = 0;
    while first < traces.len() {
        let from = traces.rows(first).start;
        let mut last = first + 1;
        while last < traces.len() && traces.rows(last).end - from <= unit_rows {
            last += 1;
        }
        let rows = from..traces.rows(last - 1).end;
        let row_groups = rows
            .clone()
            .step_by(group_rows)
            .map(|start| start..(start + group_rows).min(rows.end))
            .collect();
        units.push(UnitPlan { traces: first..last, rows, row_groups });
        first = last;
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(sizes: &[u32]) -> TraceTable {
        let mut first_row = vec![0];
        first_row.extend(sizes.iter().scan(0, |end, size| {
            *end += size;
            Some(*end)
        }));
        TraceTable {
            id: vec![crate::trace::TraceId::default(); sizes.len()],
            first_row,
            ..TraceTable::default()
        }
    }

    #[test]
    fn traces_stay_whole_and_large_ones_stand_alone() {
        let units = units(&table(&[3, 3, 3, 25, 1, 10]), 10);
        let traces: Vec<_> = units.iter().map(|unit| unit.traces.clone()).collect();
        assert_eq!(traces, [0..3, 3..4, 4..5, 5..6]);
        let groups: Vec<_> = units.iter().map(|unit| unit.row_groups.clone()).collect();
        assert_eq!(groups[1], [9..19, 19..29, 29..34]);
        assert_eq!(groups[3], vec![35..45]);
        assert_eq!(
            super::units(&TraceTable { first_row: vec![0], ..TraceTable::default() }, 10),
            []
        );
    }
}
