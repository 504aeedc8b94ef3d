//! `vivace blocks view`: what one block is made of.

use std::io::Write;

use serde_json::{Value, json};
use uuid::Uuid;

use super::list::of_entry;
use super::text::{bytes, count, share, table, time};
use super::{Bucket, Error};
use crate::block::{Block, CatalogKey, KeyScope, Opening, SectionInfo, Zone};
use crate::manifest::BlockEntry;
use crate::scan::ScanCost;
use crate::tenant::TenantId;

/// Keys and blocks that are told as text; JSON has all.
const LINES_MAX: usize = 100;

/// What bits of `CatalogKey::types` mean, from the lowest.
const TYPES: [&str; 8] = ["string", "int", "double", "bool", "array", "kvlist", "bytes", "empty"];

pub(super) async fn run(
    bucket: &Bucket,
    tenant: &TenantId,
    block: Uuid,
    is_json: bool,
    out: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let known = bucket.tenants(Some(tenant.clone())).await?;
    let tenant = known.first().unwrap_or(tenant);
    let manifest = bucket.manifest(tenant).await?;
    let Some(entry) = manifest.block(block) else {
        let (tenant, manifest) = (tenant.clone(), manifest.number());
        return Err(Error::NoBlock { tenant, block, manifest });
    };
    let wrong = |source| Error::Block { block, source };
    let mut cost = ScanCost::default();
    let opened = bucket.blocks.open(tenant, entry, Opening::Long, &mut cost);
    let opened = opened.await.map_err(wrong)?;
    let sections = opened.section_infos().map_err(wrong)?;
    if is_json {
        writeln!(out, "{:#}", document(entry, &sections, &opened))?;
        return Ok(());
    }
    overview(tenant, entry, out)?;
    objects(entry, out)?;
    index(&sections, out)?;
    units(&opened.zones().units, out)?;
    keys(&opened, entry, out)
}

fn overview(tenant: &TenantId, entry: &BlockEntry, out: &mut dyn Write) -> Result<(), Error> {
    writeln!(out, "block     {} of tenant {tenant}, level {}", entry.id, entry.level)?;
    let (spans, traces) = (count(entry.spans, "span"), count(entry.traces, "trace"));
    writeln!(out, "content   {spans}, {traces}, {}", bytes(entry.bytes()))?;
    let range = |from, to| format!("{} to {}", time(from), time(to));
    writeln!(out, "spans     {}", range(entry.start_unix_nano, entry.end_unix_nano))?;
    let received = range(entry.received_min_unix_nano, entry.received_max_unix_nano);
    writeln!(out, "received  {received}")?;
    let with: Vec<String> = entry.shared_with.iter().map(Uuid::to_string).collect();
    let with = match (entry.shared_traces, with.is_empty()) {
        (0, _) => String::new(),
        (_, true) => ", with many blocks".to_owned(),
        (_, false) => format!(", with {}", with.join(" ")),
    };
    writeln!(
        out,
        "shared    {} that other blocks had too{with}",
        count(entry.shared_traces, "trace")
    )?;
    let known = if entry.service_names_complete { "" } else { " (too many to list)" };
    writeln!(out, "services  {}{known}", entry.service_names.join(", "))?;
    for wal in &entry.wal {
        let segments = format!("{} to {}", wal.first_segment, wal.last_segment);
        writeln!(out, "log       segments {segments} of writer {}", wal.writer)?;
    }
    Ok(())
}

fn objects(entry: &BlockEntry, out: &mut dyn Write) -> Result<(), Error> {
    let mut rows = vec![["OBJECT", ">BYTES", ">SHARE", "CRC32C"].map(str::to_owned).to_vec()];
    let mut objects = entry.objects.clone();
    objects.sort_by_key(|info| info.object);
    rows.extend(objects.iter().map(|info| {
        let crc = format!("{:08x}", info.crc32c);
        let part = share(info.bytes, entry.bytes());
        vec![info.object.to_string(), info.bytes.to_string(), part, crc]
    }));
    writeln!(out)?;
    Ok(table(out, &rows)?)
}

fn index(sections: &[SectionInfo], out: &mut dyn Write) -> Result<(), Error> {
    let head = [">", "SECTION OF THE INDEX", ">OFFSET", ">STORED", ">PLAIN", "CRC32C"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(sections.iter().map(|section| {
        vec![
            section.number.to_string(),
            section.name.to_owned(),
            section.offset.to_string(),
            section.stored_bytes.to_string(),
            section.plain_bytes.to_string(),
            format!("{:08x}", section.crc32c),
        ]
    }));
    writeln!(out)?;
    Ok(table(out, &rows)?)
}

fn units(units: &[Zone], out: &mut dyn Write) -> Result<(), Error> {
    let head = [">UNIT", ">FIRST ROW", ">ROWS", ">TRACES", ">ERRORS", ">KEYS", "START", "END"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(units.iter().enumerate().take(LINES_MAX).map(|(number, unit)| {
        vec![
            number.to_string(),
            unit.first_row.to_string(),
            unit.rows.to_string(),
            unit.traces.to_string(),
            unit.errors.to_string(),
            unit.key_numbers.len().to_string(),
            time(unit.trace_start_min),
            time(unit.end_max),
        ]
    }));
    writeln!(out)?;
    table(out, &rows)?;
    more(units.len(), "unit", out)
}

fn keys(block: &Block, entry: &BlockEntry, out: &mut dyn Write) -> Result<(), Error> {
    let mut keys: Vec<&CatalogKey> = block.zones().keys.iter().collect();
    keys.sort_by_key(|key| (std::cmp::Reverse(key.present), &key.key));
    let head = [">VALUES", ">PER SPAN", "SCOPE", "TYPES", "KEPT", "KEY"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(keys.iter().take(LINES_MAX).map(|key| {
        vec![
            key.present.to_string(),
            share(key.present, entry.spans),
            scope(key).to_owned(),
            types(key).join("|"),
            kept(key).to_owned(),
            key.key.clone(),
        ]
    }));
    writeln!(out)?;
    table(out, &rows)?;
    more(keys.len(), "key", out)
}

fn more(all: usize, what: &str, out: &mut dyn Write) -> Result<(), Error> {
    let left = all.saturating_sub(LINES_MAX);
    if left > 0 {
        writeln!(out, "and {} more: see --json", count(left as u64, what))?;
    }
    Ok(())
}

fn scope(key: &CatalogKey) -> &'static str {
    match key.scope() {
        KeyScope::Span => "span",
        KeyScope::Event => "event",
        KeyScope::Link => "link",
        KeyScope::Resource => "resource",
        KeyScope::Instrumentation => "instrumentation",
    }
}

fn types(key: &CatalogKey) -> Vec<&'static str> {
    let bits = (0..).zip(TYPES).filter(|(bit, _)| key.types & (1 << bit) != 0);
    bits.map(|(_, name)| name).collect()
}

/// Where the values are. A key may have a column for one type and not for another.
fn kept(key: &CatalogKey) -> &'static str {
    match (key.scope(), key.rest) {
        (KeyScope::Resource | KeyScope::Instrumentation, _) => "resources",
        (_, true) => "rest",
        (_, false) => "columns",
    }
}

fn document(entry: &BlockEntry, sections: &[SectionInfo], block: &Block) -> Value {
    let object = |info: &crate::manifest::ObjectInfo| {
        let crc = format!("{:08x}", info.crc32c);
        json!({ "object": info.object.to_string(), "bytes": info.bytes, "crc32c": crc })
    };
    let section = |section: &SectionInfo| {
        json!({
            "number": section.number,
            "name": section.name,
            "offset": section.offset,
            "storedBytes": section.stored_bytes,
            "plainBytes": section.plain_bytes,
            "crc32c": format!("{:08x}", section.crc32c),
        })
    };
    let unit = |unit: &Zone| {
        json!({
            "firstRow": unit.first_row,
            "rows": unit.rows,
            "traces": unit.traces,
            "errors": unit.errors,
            "keys": unit.key_numbers.len(),
            "startUnixNano": unit.trace_start_min.to_string(),
            "endUnixNano": unit.end_max.to_string(),
        })
    };
    let key = |key: &CatalogKey| {
        json!({
            "scope": scope(key), "key": key.key, "values": key.present,
            "types": types(key), "kept": kept(key),
        })
    };
    let zones = block.zones();
    let mut document = of_entry(entry);
    document["serviceNames"] = json!(entry.service_names);
    document["serviceNamesComplete"] = json!(entry.service_names_complete);
    let with: Vec<String> = entry.shared_with.iter().map(Uuid::to_string).collect();
    document["sharedWith"] = json!(with);
    document["objects"] = entry.objects.iter().map(object).collect();
    document["sections"] = sections.iter().map(section).collect();
    document["units"] = zones.units.iter().map(unit).collect();
    document["keys"] = zones.keys.iter().map(key).collect();
    document
}
