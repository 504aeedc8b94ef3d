//! `traces.parquet` read back: the traces of one unit.

use arrow::array::{Array, RecordBatch, StringArray, UInt32Array, UInt64Array};

use super::Error;
use super::fetch::column;
use super::fill::{children, ids, range};
use super::zones::Zone;
use crate::columns::TraceTable;
use crate::trace::TraceId;

/// The traces of one unit, out of rows of `traces.parquet` from `first_trace` on.
pub(super) fn trace_table(
    whole: &RecordBatch,
    zone: &Zone,
    first_trace: u64,
) -> Result<TraceTable, Error> {
    let outside = Error::Corrupt { part: "traces.parquet", what: "a unit's traces lie outside" };
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let (first, count) = (place(zone.first_trace.wrapping_sub(first_trace)), place(zone.traces));
    if first.checked_add(count).is_none_or(|end| end > whole.num_rows()) {
        return Err(outside);
    }
    let part = &whole.slice(first, count);
    let mut table = TraceTable { first_service: vec![0], ..TraceTable::default() };
    table.id = ids::<16>(column(part, "trace_id")?)?.into_iter().map(TraceId).collect();
    table.start = column::<UInt64Array>(part, "start_ns")?.values().to_vec();
    table.end = column::<UInt64Array>(part, "end_ns")?.values().to_vec();
    let roots = column::<UInt32Array>(part, "root_row")?;
    table.root = roots.iter().map(|root| root.unwrap_or(crate::columns::NO_ROOT)).collect();
    for (name, codes) in
        [("root_service", &mut table.root_service), ("root_name", &mut table.root_name)]
    {
        let texts = column::<StringArray>(part, name)?;
        codes.extend(
            texts.iter().map(|text| table.strings.intern(text.unwrap_or_default().as_bytes())),
        );
    }
    let spans = column::<UInt32Array>(part, "spans")?;
    table.first_row.push(0);
    let mut rows = 0_u32;
    for trace in 0..count {
        let wrong = Error::Corrupt { part: "traces.parquet", what: "more spans than there are" };
        rows = rows.checked_add(spans.value(trace)).ok_or(wrong)?;
        table.first_row.push(rows);
    }
    if u64::from(rows) != zone.rows {
        let what = "a unit's traces have another number of spans";
        return Err(Error::Corrupt { part: "traces.parquet", what });
    }
    services(part, &mut table)?;
    Ok(table)
}

fn services(part: &RecordBatch, table: &mut TraceTable) -> Result<(), Error> {
    let (list, items) = children(part, "services")?;
    let wrong = || Error::Corrupt { part: "traces.parquet", what: "services have another shape" };
    let names = items.column_by_name("service").and_then(|a| a.as_any().downcast_ref());
    let names: &StringArray = names.ok_or_else(wrong)?;
    let count = |name: &str| {
        let array = items.column_by_name(name).and_then(|a| a.as_any().downcast_ref());
        array.ok_or_else(wrong)
    };
    let (spans, errors): (&UInt32Array, &UInt32Array) = (count("spans")?, count("errors")?);
    for trace in 0..list.len() {
        for service in range(list, trace) {
            table.services.push(crate::columns::ServiceStats {
                service: table.strings.intern(names.value(service).as_bytes()),
                spans: spans.value(service),
                errors: errors.value(service),
            });
        }
        let end = u32::try_from(table.services.len()).expect("fewer services than spans");
        table.first_service.push(end);
    }
    Ok(())
}
