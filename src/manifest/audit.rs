//! Every object of a tenant's list looked at, for an operator: what is wrong is named, and does not end the look.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::Error;
use super::head::Reader;
use super::snapshot::Manifest;
use super::wire;
use crate::failure::{Kind, chain};
use crate::store::{self, Store, keys};
use crate::tenant::TenantId;

/// Missing numbers between manifests that are named one by one.
const GAPS_MAX: usize = 8;

/// What was found of a tenant's list.
#[derive(Debug, Default)]
pub struct Audit {
    /// The newest manifest that can be read with all of its segments; `None`: none can, or there is none.
    pub newest: Option<Arc<Manifest>>,
    pub manifests: u64,
    pub segments: u64,
    /// Blocks that some readable manifest in the bucket names: of those not in the newest, queries under way may be reading.
    pub in_use: HashSet<Uuid>,
    /// Segments that no readable manifest names: of commits that did not count, to be swept.
    pub unnamed_segments: Vec<store::Path>,
    /// What is wrong with which object.
    pub wrong: BTreeMap<store::Path, String>,
}

/// Reads every manifest and segment of a tenant.
///
/// # Errors
/// When the bucket does not answer, or cannot be listed.
pub async fn audit(store: &Store, tenant: &TenantId) -> Result<Audit, Error> {
    let reader = Reader { store: store.clone(), tenant: tenant.clone() };
    let listed = store.list(&keys::manifest_segments(tenant)).await?;
    let mut numbers = reader.listed().await?;
    numbers.sort_unstable();
    let mut audit = Audit::default();
    let mut named = HashSet::new();
    for number in &numbers {
        audit.look_at(&reader, *number, &mut named).await?;
    }
    audit.find_gaps(&reader, &numbers).await?;
    audit.segments = named.len() as u64;
    for object in listed {
        let id = object.key.filename().and_then(keys::id);
        if id.is_none_or(|id| !named.contains(&id)) && !audit.wrong.contains_key(&object.key) {
            audit.unnamed_segments.push(object.key);
        }
    }
    Ok(audit)
}

impl Audit {
    async fn look_at(
        &mut self,
        reader: &Reader,
        number: u64,
        named: &mut HashSet<Uuid>,
    ) -> Result<(), Error> {
        let found = match reader.read(number).await {
            Ok(Some(found)) => found,
            // Swept since the listing.
            Ok(None) => return Ok(()),
            Err(error) => return self.note(&keys::manifest(&reader.tenant, number), error),
        };
        self.manifests += 1;
        let (identity, body) = (found.0, found.1.clone());
        named.extend(body.segments.iter().filter_map(|segment| wire::id(&segment.id).ok()));
        let base = self.newest.take().unwrap_or_else(|| Arc::new(Manifest::empty()));
        let loaded = reader.load(found, &base).await;
        if base.number() > 0 {
            self.newest = Some(base);
        }
        match loaded {
            Ok(Some(manifest)) => {
                self.in_use.extend(manifest.blocks().iter().map(|block| block.id));
                self.newest = Some(manifest);
                Ok(())
            }
            Ok(None) if !reader.is_there(identity).await? => Ok(()),
            Ok(None) => self.note_missing(reader, number, &body).await,
            Err(error) => self.note(&keys::manifest(&reader.tenant, number), error),
        }
    }

    /// Names the segments of a manifest that are not in the bucket.
    async fn note_missing(
        &mut self,
        reader: &Reader,
        number: u64,
        body: &wire::Manifest,
    ) -> Result<(), Error> {
        for id in body.segments.iter().filter_map(|segment| wire::id(&segment.id).ok()) {
            let key = keys::manifest_segment(&reader.tenant, id);
            match reader.store.get_range(&key, 0..1).await {
                Err(error) if error.is_not_found() => {
                    let text = format!("not in the bucket; manifest {number} names it");
                    self.wrong.entry(key).or_insert(text);
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Manifests are deleted from the oldest on: between two that are there none is missing.
    async fn find_gaps(&mut self, reader: &Reader, numbers: &[u64]) -> Result<(), Error> {
        let gaps = numbers.windows(2).flat_map(|pair| pair[0] + 1..pair[1]);
        for number in gaps.take(GAPS_MAX) {
            // A sweep at work has deleted the ones before, too.
            let is_missing = matches!(reader.read(number).await, Ok(None));
            if is_missing && !matches!(reader.read(numbers[0]).await, Ok(None)) {
                let text = "not in the bucket, though older and newer ones are".to_owned();
                self.wrong.insert(keys::manifest(&reader.tenant, number), text);
            }
        }
        Ok(())
    }

    /// Keeps what is wrong with an object.
    ///
    /// # Errors
    /// When it is the bucket that does not answer.
    fn note(&mut self, key: &store::Path, error: Error) -> Result<(), Error> {
        if matches!(error.kind(), Kind::Unavailable { .. }) {
            return Err(error);
        }
        let (key, text) = match error {
            Error::Corrupt { key, reason } => (key, reason),
            error => (key.clone(), chain(&error)),
        };
        self.wrong.insert(key, text);
        Ok(())
    }
}
