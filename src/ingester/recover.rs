//! What the WAL still has, back into memory: before the first push.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prost::Message;

use super::coverage::{Coverage, Covered, Origin};
use super::ledger::Ledger;
use super::tenant::Tenant;
use super::{Error, Ingester};
use crate::block::Opening;
use crate::columns::Spans;
use crate::runtime::blocking;
use crate::scan::ScanCost;
use crate::tenant::TenantId;
use crate::wal::{Position, Record};

impl Ingester {
    /// Replays the WAL. Spans that are in blocks already are passed over; when memory fills up, blocks are cut on the way.
    ///
    /// # Errors
    /// When the WAL or a block list cannot be read: the process must not start without what it acknowledged.
    pub async fn recover(&self) -> Result<u64, Error> {
        let mut replay = self.0.wal.replay();
        let mut covered: HashMap<TenantId, Arc<Covered>> = HashMap::new();
        let mut recovered = 0;
        loop {
            let (given, next) = blocking(move || {
                let next = replay.next();
                (replay, next)
            })
            .await;
            replay = given;
            let Some(next) = next else { break };
            let (position, record) = next?;
            let tenant = self.tenant(&record.tenant).await?;
            if !covered.contains_key(&record.tenant) {
                let known = Arc::new(self.covered(&tenant).await?);
                covered.insert(record.tenant.clone(), known);
            }
            let known = Arc::clone(&covered[&record.tenant]);
            recovered += self.replay(&tenant, &known, position, record).await?;
            if self.live_bytes() >= self.0.config.live_bytes_max / 2 {
                self.flush().await?;
            }
        }
        for damage in replay.damage() {
            // What was not read may be acknowledged spans: the file stays for an operator.
            self.0.recovered.lock().insert(damage.segment, u64::MAX);
            tracing::error!(
                segment = %damage.path.display(),
                offset = damage.offset,
                resumes_at = damage.resumes_at,
                "damaged write-ahead log: what follows in this segment was not read"
            );
        }
        self.0.metrics.recovered_spans.inc_by(recovered);
        self.0.has_recovered.store(true, Ordering::Release);
        self.release_segments(false).await?;
        Ok(recovered)
    }

    /// The spans of our WAL that blocks hold.
    async fn covered(&self, tenant: &Tenant) -> Result<Covered, Error> {
        let writer = self.0.wal.writer_id();
        let segments: Vec<u64> =
            self.0.wal.segments().iter().map(|segment| segment.number).collect();
        let mut covered = Covered::default();
        for entry in tenant.manifests.current().blocks() {
            let mine = entry.wal.iter().any(|wal| {
                let holds =
                    |segment: &u64| (wal.first_segment..=wal.last_segment).contains(segment);
                wal.writer == writer && segments.iter().any(holds)
            });
            if mine {
                let cost = &mut ScanCost::default();
                let open = self.0.blocks.open(&tenant.id, entry, Opening::Short, cost);
                let coverage = Coverage::decode(open.await?.wal_coverage().await?)
                    .map_err(|source| Error::Coverage { block: entry.id, source })?;
                covered.add(&coverage, writer);
            }
        }
        Ok(covered)
    }

    /// Takes the spans of a record that no block holds.
    async fn replay(
        &self,
        tenant: &Tenant,
        covered: &Arc<Covered>,
        position: Position,
        record: Record,
    ) -> Result<u64, Error> {
        let Record { received_unix_nano, spans: count, refused, body, .. } = record;
        let known = Arc::clone(covered);
        let decode = move || -> Result<(Spans, Vec<Origin>), Error> {
            let all = crate::otlp::decode_accepted(&body, |ordinal| refused.contains(ordinal))?;
            let origin =
                |row: u32| Origin { segment: position.segment, span: position.first_span + row };
            let is_new = |row: u32| !known.contains(position.segment, origin(row).span);
            let rows: Vec<u32> = (0..all.next_row()).filter(|row| is_new(*row)).collect();
            if rows.len() == all.len() {
                return Ok((all, rows.into_iter().map(origin).collect()));
            }
            let mut spans = Spans::default();
            spans.append_rows(&all, |row| is_new(u32::try_from(row).expect("counted above")));
            Ok((spans, rows.into_iter().map(origin).collect()))
        };
        let (spans, origins) = self.0.cpu.run(decode).await?;
        *self.0.recovered.lock().entry(position.segment).or_default() += u64::from(count);
        let fresh = spans.len() as u64;
        *self.0.stored.lock().entry(position.segment).or_default() += u64::from(count) - fresh;
        if !spans.is_empty() {
            let received = (received_unix_nano, received_unix_nano);
            if tenant.add_chunk(spans, origins, received, &Ledger::recovered(fresh)) {
                let unsettled = tenant.cutting.lock().await;
                tenant.merge_chunks(&self.0.cpu, unsettled.as_ref()).await;
            }
        }
        Ok(fresh)
    }
}
