//! What others may do to a tenant's block list: the compactor removes blocks and adds what it made of them.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::coverage::Coverage;
use super::{Error, Ingester};
use crate::manifest::{BlockEntry, Edit, Manifest, Manifests, WalCoverage};
use crate::tenant::TenantId;

impl Ingester {
    /// The tenants that this process knows.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.0.tenants.lock().keys().cloned().collect()
    }

    /// Whether spans come in faster than they are stored: other work should wait.
    pub fn is_pressed(&self) -> bool {
        self.live_bytes() >= self.0.config.live_bytes_max / 2
    }

    /// The block list of a tenant, and nothing of what is live.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn manifests(&self, id: &TenantId) -> Result<Manifests, Error> {
        let known = self.0.tenants.lock().get(id).map(Arc::clone);
        match known {
            Some(tenant) => Ok(tenant.manifests.clone()),
            None => Ok(self.tenant(id).await?.manifests.clone()),
        }
    }

    /// Changes a tenant's block list. Readers see the change at once, and of the live spans no more and no less than before.
    ///
    /// # Errors
    /// As [`Manifests::commit`]; also while it is not known what became of a block that was cut.
    pub async fn commit(&self, id: &TenantId, edit: Edit) -> Result<Arc<Manifest>, Error> {
        let tenant = self.tenant(id).await?;
        let mut unsettled = tenant.cutting.lock().await;
        self.settle(&tenant, &mut unsettled).await?;
        let manifest = tenant.manifests.commit(edit).await?;
        tenant.state.lock().manifest = Arc::clone(&manifest);
        Ok(manifest)
    }

    /// What a block that is made of others covers of write-ahead logs: the section of its index, and what the list says of it. Of our own log
    /// only segments that are still there count.
    ///
    /// # Errors
    /// A section that cannot be read.
    pub fn coverage_of(
        &self,
        inputs: &[(Arc<BlockEntry>, Bytes)],
    ) -> Result<(Vec<u8>, Vec<WalCoverage>), Error> {
        let mine = self.0.wal.writer_id();
        let oldest = self.0.wal.segments().first().map_or(u64::MAX, |segment| segment.number);
        let mut merged = Coverage::default();
        for (entry, section) in inputs.iter().filter(|(entry, _)| !entry.wal.is_empty()) {
            let coverage = Coverage::decode(&section[..])
                .map_err(|source| Error::Coverage { block: entry.id, source })?;
            merged.add(coverage, |writer, segment| writer != mine.as_bytes() || segment >= oldest);
        }
        let ranges = merged.ranges().collect();
        Ok((merged.encode_to_vec(), ranges))
    }
}
