//! `vivace blocks list`: the blocks of a bucket, as the newest manifests have them.

use std::io::Write;

use serde_json::{Value, json};

use super::text::{bytes, count, table, time};
use super::{Bucket, Error};
use crate::manifest::{BlockEntry, Manifest};
use crate::tenant::TenantId;

pub(super) async fn run(
    bucket: &Bucket,
    tenant: Option<TenantId>,
    is_json: bool,
    out: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let mut documents = Vec::new();
    for tenant in bucket.tenants(tenant).await? {
        let manifest = bucket.manifest(&tenant).await?;
        if is_json {
            documents.push(document(&tenant, &manifest));
        } else {
            tell(&tenant, &manifest, out)?;
        }
    }
    if is_json {
        writeln!(out, "{:#}", json!({ "tenants": documents }))?;
    }
    Ok(())
}

fn tell(tenant: &TenantId, manifest: &Manifest, out: &mut dyn Write) -> Result<(), Error> {
    let blocks = manifest.blocks();
    let sum = |of: fn(&BlockEntry) -> u64| blocks.iter().map(|block| of(block)).sum::<u64>();
    writeln!(
        out,
        "tenant {tenant}: {} in manifest {}, {}, {}",
        count(blocks.len() as u64, "block"),
        manifest.number(),
        count(sum(|block| block.spans), "span"),
        bytes(sum(BlockEntry::bytes)),
    )?;
    let head =
        ["BLOCK", ">LEVEL", ">SPANS", ">TRACES", ">BYTES", "START", "END", "RECEIVED FROM", "TO"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(blocks.iter().map(|block| {
        vec![
            block.id.to_string(),
            block.level.to_string(),
            block.spans.to_string(),
            block.traces.to_string(),
            bytes(block.bytes()),
            time(block.start_unix_nano),
            time(block.end_unix_nano),
            time(block.received_min_unix_nano),
            time(block.received_max_unix_nano),
        ]
    }));
    if !blocks.is_empty() {
        table(out, &rows)?;
    }
    writeln!(out)?;
    Ok(())
}

fn document(tenant: &TenantId, manifest: &Manifest) -> Value {
    let blocks: Vec<Value> = manifest.blocks().iter().map(|block| of_entry(block)).collect();
    json!({ "tenant": tenant.as_str(), "manifest": manifest.number(), "blocks": blocks })
}

/// What the list says of a block. Times are texts, since JSON's readers round such numbers.
pub(super) fn of_entry(block: &BlockEntry) -> Value {
    json!({
        "block": block.id.to_string(),
        "level": block.level,
        "spans": block.spans,
        "traces": block.traces,
        "bytes": block.bytes(),
        "startUnixNano": block.start_unix_nano.to_string(),
        "endUnixNano": block.end_unix_nano.to_string(),
        "receivedMinUnixNano": block.received_min_unix_nano.to_string(),
        "receivedMaxUnixNano": block.received_max_unix_nano.to_string(),
        "sharedTraces": block.shared_traces,
    })
}
