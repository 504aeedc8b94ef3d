//! Some blocks read whole, their traces put together, and written as one.

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use super::plan::Job;
use super::{Compactor, Error};
use crate::block::{self, Facts, Opening, Written};
use crate::columns::{Layout, RowRef, Spans, group_by_trace};
use crate::manifest::{self, BlockEntry, Edit, Manifest};
use crate::otlp::content_hash;
use crate::packs::Sharing;
use crate::scan::ScanCost;
use crate::tenant::TenantId;

/// Attempts of one job, each but the first because a block came meanwhile that shares its traces.
const ATTEMPTS_MAX: u32 = 3;

/// The blocks of a job, as they were read.
struct Inputs {
    spans: Vec<Arc<Spans>>,
    /// The section `WalCoverage` of each.
    coverages: Vec<(Arc<BlockEntry>, bytes::Bytes)>,
}

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// So many spans were twins of others.
    Joined { duplicates: u64 },
    /// Somebody else was faster.
    Overtaken,
}

impl Compactor {
    /// Joins the blocks of a job: writes the new one, and puts it in the place of the others in one step.
    pub(super) async fn join(&self, tenant: &TenantId, job: &Job) -> Result<Done, Error> {
        let inputs = self.read(tenant, job).await?;
        for _ in 0..ATTEMPTS_MAX {
            let manifest = self.ingester.manifests(tenant).await?.refresh().await?;
            let id = self.clock.new_id();
            let (entry, duplicates) = self.write(tenant, job, &inputs, (id, &manifest)).await?;
            let edit = Edit {
                add: vec![entry],
                remove: job.inputs.iter().map(|block| block.id).collect(),
                based_on: Some(manifest),
            };
            match self.ingester.commit(tenant, edit).await {
                Ok(_) => return Ok(Done::Joined { duplicates }),
                // Its objects are in no manifest: the sweeper finds them.
                Err(crate::ingester::Error::Manifest(manifest::Error::Overtaken { .. })) => {}
                Err(crate::ingester::Error::Manifest(manifest::Error::Gone { .. })) => {
                    return Ok(Done::Overtaken);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Done::Overtaken)
    }

    async fn read(&self, tenant: &TenantId, job: &Job) -> Result<Inputs, Error> {
        let mut inputs = Inputs { spans: Vec::new(), coverages: Vec::new() };
        for entry in &job.inputs {
            let fails = |source| Error::Input { block: entry.id, source };
            let cost = &mut ScanCost::default();
            let open = self.blocks.open(tenant, entry, Opening::Short, cost);
            let block = open.await.map_err(fails)?;
            let all = 0..entry.spans;
            inputs.spans.push(Arc::new(block.spans(&[all], cost).await.map_err(fails)?));
            if !entry.wal.is_empty() {
                let coverage = block.wal_coverage().await.map_err(fails)?;
                inputs.coverages.push((Arc::clone(entry), coverage));
            }
        }
        Ok(inputs)
    }

    /// Writes the objects of the new block; its entry, and how many spans were left out since they are twins.
    async fn write(
        &self,
        tenant: &TenantId,
        job: &Job,
        inputs: &Inputs,
        (id, manifest): (Uuid, &Manifest),
    ) -> Result<(BlockEntry, u64), Error> {
        let (wal_coverage, wal) = self.ingester.coverage_of(&inputs.coverages)?;
        let leaving: HashSet<Uuid> = job.inputs.iter().map(|block| block.id).collect();
        let others = manifest.blocks().iter().filter(|block| !leaving.contains(&block.id));
        let chunks = inputs.spans.clone();
        let (chunks, layout, folds) = self.cpu.run(move || laid_out(chunks)).await;
        let sharing = self.ingester.packs().sharing(tenant, others.cloned().collect(), folds);
        let Sharing { folds: shared, blocks: shared_with } = sharing.await?;
        let shared_traces = shared.len() as u64;
        let facts = Facts { shared, wal_coverage };
        let write = move || -> Result<Written, block::Error> {
            block::write(&refs(&chunks), &layout, &facts)
        };
        let written = self.cpu.run(write).await.map_err(Error::Write)?;
        let read = job.spans();
        let received = |of: fn(&BlockEntry) -> u64| job.inputs.iter().map(move |block| of(block));
        let mut entry = BlockEntry {
            level: job.inputs.iter().map(|block| block.level).max().unwrap_or(0) + 1,
            received_min_unix_nano: received(|b| b.received_min_unix_nano).min().unwrap_or(0),
            received_max_unix_nano: received(|b| b.received_max_unix_nano).max().unwrap_or(0),
            shared_traces,
            shared_with,
            wal,
            ..written.entry(id)
        };
        let duplicates = read.saturating_sub(entry.spans);
        written.put(&self.store, tenant, &mut entry).await?;
        Ok((entry, duplicates))
    }
}

fn refs(chunks: &[Arc<Spans>]) -> Vec<&Spans> {
    chunks.iter().map(|chunk| &**chunk).collect()
}

/// All rows by trace, each trace whole, twins left out; and the folds of the traces.
fn laid_out(chunks: Vec<Arc<Spans>>) -> (Vec<Arc<Spans>>, Layout, Vec<u64>) {
    let (layout, folds) = {
        let spans = refs(&chunks);
        let rows = (0_u32..)
            .zip(&spans)
            .flat_map(|(chunk, spans)| (0..spans.next_row()).map(move |row| RowRef { chunk, row }));
        let traces = group_by_trace(&spans, rows);
        let folds = traces.iter().map(|(id, _)| id.fold()).collect();
        let hash = |row: RowRef| content_hash(spans[row.chunk as usize], row.row as usize);
        (Layout::of(&spans, traces, &hash), folds)
    };
    (chunks, layout, folds)
}
