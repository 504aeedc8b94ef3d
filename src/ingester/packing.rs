//! The packs of trace ids, looked after beside everything else: no push and no cut waits for them.

use std::time::Duration;

use super::Ingester;
use crate::packs::Packs;
use crate::runtime::Stop;

/// How often new blocks are looked for. Until they are packed they are asked themselves.
const PERIOD: Duration = Duration::from_secs(30);

impl Ingester {
    /// The packs of trace ids of all tenants.
    pub fn packs(&self) -> &Packs {
        &self.0.packs
    }

    /// Packs new blocks until `stop` is requested.
    pub async fn run_packing(&self, stop: Stop) {
        while !stop.is_requested() {
            tokio::select! {
                () = stop.requested() => return,
                () = self.0.clock.sleep(PERIOD) => {}
            }
            for tenant in self.all_tenants() {
                let manifest = tenant.manifests.current();
                let kept = self.0.packs.keep(&tenant.id, &manifest);
                let kept = tokio::select! {
                    () = stop.requested() => return,
                    kept = kept => kept,
                };
                if let Err(error) = kept {
                    let error = crate::failure::chain(&error);
                    tracing::warn!(tenant = %tenant.id, error, "new blocks are not packed yet");
                }
            }
        }
    }
}
