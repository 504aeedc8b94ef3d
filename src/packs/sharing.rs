//! Which traces of a new block other blocks have parts of.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use uuid::Uuid;

use super::{Error, Packs};
use crate::block::Opening;
use crate::manifest::BlockEntry;
use crate::scan::ScanCost;
use crate::tenant::TenantId;

/// Blocks that are opened at once to look for traces that they share.
const PARALLEL_OPENS: usize = 8;

/// Traces that lie in other blocks too.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// Folds of their ids, ascending.
    pub folds: Vec<u64>,
    /// The blocks that have one, ascending.
    pub blocks: Vec<Uuid>,
}

impl Packs {
    /// Which of some traces, by the folds of their ids, these blocks hold, and which of the blocks do.
    ///
    /// # Errors
    /// When a pack or a block cannot be read.
    pub async fn sharing(
        &self,
        tenant: &TenantId,
        entries: Vec<Arc<BlockEntry>>,
        folds: Vec<u64>,
    ) -> Result<Sharing, Error> {
        let narrowed = self.narrow(tenant, entries, &folds).await?;
        let folds: Arc<HashSet<u64, foldhash::fast::RandomState>> =
            Arc::new(folds.into_iter().collect());
        let entries = narrowed.maybe.into_iter().chain(narrowed.unknown);
        let found: Vec<(Uuid, Vec<u64>)> = futures::stream::iter(entries)
            .map(|entry| {
                let folds = Arc::clone(&folds);
                async move {
                    let fails = |source| Error::Block { block: entry.id, source };
                    let cost = &mut ScanCost::default();
                    let open = self.0.blocks.open(tenant, &entry, Opening::Short, cost);
                    let block = open.await.map_err(fails)?;
                    let directory = block.directory(cost).await.map_err(fails)?.clone();
                    let mine =
                        move || directory.folds().filter(|fold| folds.contains(fold)).collect();
                    Ok::<_, Error>((entry.id, self.0.cpu.run(mine).await))
                }
            })
            .buffer_unordered(PARALLEL_OPENS)
            .try_collect()
            .await?;
        let sharing = found.iter().filter(|(_, folds)| !folds.is_empty()).map(|(id, _)| *id);
        let mut blocks: Vec<Uuid> = sharing.collect();
        blocks.sort_unstable();
        let mut folds: Vec<u64> = found.into_iter().flat_map(|(_, folds)| folds).collect();
        folds.sort_unstable();
        folds.dedup();
        Ok(Sharing { folds, blocks })
    }
}
