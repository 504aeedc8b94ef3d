//! Packs read whole, for an operator.

use bytes::Bytes;

use super::find::slice;
use super::format::Directory;
use crate::failure::{Kind, chain};
use crate::runtime::Cpu;
use crate::store::{self, Store, keys};
use crate::tenant::TenantId;

/// What was found of a tenant's packs.
#[derive(Debug, Default)]
pub struct Checked {
    pub packs: u64,
    pub bytes: u64,
    /// What is wrong with which pack. Whoever deletes it loses nothing but time.
    pub wrong: Vec<(store::Path, String)>,
}

/// Reads every pack of a tenant, page by page.
///
/// # Errors
/// When the bucket does not answer, or cannot be listed.
pub async fn check(store: &Store, cpu: &Cpu, tenant: &TenantId) -> Result<Checked, store::Error> {
    let mut checked = Checked::default();
    for object in store.list(&keys::filter_packs(tenant)).await? {
        let body = match store.get(&object.key).await {
            Ok(body) => body,
            // Merged into another since the listing.
            Err(error) if error.is_not_found() => continue,
            Err(error) if matches!(error.kind(), Kind::Unavailable { .. }) => return Err(error),
            Err(error) => {
                checked.wrong.push((object.key, chain(&error)));
                continue;
            }
        };
        checked.packs += 1;
        checked.bytes += body.len() as u64;
        if let Err(what) = cpu.run(move || decode(&body)).await {
            checked.wrong.push((object.key, what.to_owned()));
        }
    }
    Ok(checked)
}

fn decode(body: &Bytes) -> Result<(), &'static str> {
    let directory = Directory::decode(body, body.len() as u64)?;
    let mut entries = 0;
    for page in &directory.pages {
        let page = page.decode(&slice(body, &page.bytes), directory.blocks.len())?;
        entries += page.entries.len() as u64;
    }
    if entries == directory.entries { Ok(()) } else { Err("not as many entries as its tail says") }
}
