//! What must hold of a block of which some bytes are not as they were written: it is read as it can be or refused, and nothing panics. The body
//! of the fuzz target `stored`; a test of the house runs it too.

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use uuid::Uuid;
use vivace::block::{self, Blocks, Facts, Opening};
use vivace::columns::{Layout, RowRef, Spans, group_by_trace};
use vivace::manifest::BlockEntry;
use vivace::otlp;
use vivace::runtime::Cpu;
use vivace::scan::{Need, Scan, ScanCost, SpanSource};
use vivace::store::{Store, keys};
use vivace::tenant::TenantId;
use vivace::traceql::compile;

use super::data;
use super::sent;

/// Spans in the block: enough for every shape that the data has.
const SPANS: usize = 400;

/// Bytes of an edit: which object, where in it, what.
const EDIT_BYTES: usize = 5;

static WHOLE: LazyLock<Whole> = LazyLock::new(whole);

/// A block as it was written.
struct Whole {
    objects: Vec<(keys::BlockObject, Bytes)>,
    entry: BlockEntry,
    cpu: Cpu,
    runtime: tokio::runtime::Runtime,
}

fn whole() -> Whole {
    let spans: Vec<_> = data::spans().into_iter().take(SPANS).collect();
    let spans: Spans = otlp::decode(&sent::body(&spans)).expect("it was just written").spans;
    let rows = (0..spans.next_row()).map(|row| RowRef { chunk: 0, row });
    let traces = group_by_trace(&[&spans], rows);
    let layout = Layout::of(&[&spans], traces, &|row| otlp::content_hash(&spans, row.row as usize));
    let written = block::write(&[&spans], &layout, &Facts::default()).expect("a block");
    let entry = written.entry(Uuid::from_u128(7));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    Whole {
        objects: written.objects,
        entry,
        cpu: Cpu::new(NonZeroUsize::new(1)).expect("a thread"),
        runtime: runtime.expect("a runtime"),
    }
}

/// Reads all of the block with some bytes changed; whether all of it could be read.
///
/// # Panics
/// If something does not hold.
pub(crate) fn check(data: &[u8]) -> bool {
    let Whole { objects, entry, cpu, runtime } = &*WHOLE;
    let mut objects: Vec<_> =
        objects.iter().map(|(object, bytes)| (*object, bytes.to_vec())).collect();
    let count = objects.len();
    for edit in data.chunks_exact(EDIT_BYTES) {
        let (_, bytes) = &mut objects[usize::from(edit[0]) % count];
        let place =
            u32::from_le_bytes([edit[1], edit[2], edit[3], 0]) as usize % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(place) {
            *byte = edit[4];
        }
    }
    runtime.block_on(async {
        let (store, tenant) = (Store::memory(), TenantId::single());
        for (object, bytes) in objects {
            let put = store.put(&keys::block(&tenant, entry.id, object), Bytes::from(bytes)).await;
            put.expect("memory takes it");
        }
        read(&store, &tenant, entry, cpu).await.is_ok()
    })
}

async fn read(
    store: &Store,
    tenant: &TenantId,
    entry: &BlockEntry,
    cpu: &Cpu,
) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| vivace::failure::chain(error);
    let cost = &mut ScanCost::default();
    let blocks = Blocks::new(store.clone(), cpu.clone(), 1 << 20);
    let open = blocks.open(tenant, entry, Opening::Short, cost).await;
    let block: Arc<_> = open.map_err(|error| text(&error))?;
    let mut all = Ok(());
    // Each part for itself: one that is refused hides nothing of the others.
    for query in ["{ span.http.status > 300 && name != `x` } | select(event:name)", "{} >> {}"] {
        let query = compile(query).expect("a query");
        let projection = query.projection().clone();
        let scan = Scan { window: 0..=u64::MAX, projection, need: Need::Anything };
        match block.units(&scan, cost).await {
            Ok(units) => {
                for unit in units {
                    all = all.and(block.read(&unit, &scan).await.map(drop).map_err(|e| text(&e)));
                }
            }
            Err(error) => all = Err(text(&error)),
        }
    }
    all = all.and(block.directory(cost).await.map(drop).map_err(|error| text(&error)));
    let rows = 0..entry.spans;
    let spans = block.spans(std::slice::from_ref(&rows), cost).await;
    all = all.and(spans.map(drop).map_err(|error| text(&error)));
    let id = vivace::trace::TraceId([1; 16]);
    let filter = blocks.may_contain(tenant, entry.id, 1, id).await;
    all.and(filter.map(drop).map_err(|error| text(&error)))
}
