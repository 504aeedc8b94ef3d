//! The rooms that an answer needs, over one bucket and one write-ahead log.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use vivace::block::Blocks;
use vivace::distributor::{self, Distributor};
use vivace::ingester::{self, Ingester};
use vivace::querier::{self, Querier};
use vivace::runtime::{Clock, Cpu};
use vivace::store::Store;
use vivace::tenant::TenantId;
use vivace::wal::{self, RealDisk, Wal};

use crate::sent::{self, Sent};

/// The running rooms. The folder and the server end with them.
pub(crate) struct House {
    pub(crate) querier: Querier,
    pub(crate) store: Store,
    pub(crate) blocks: Blocks,
    pub(crate) cpu: Cpu,
    pub(crate) ingester: Ingester,
    distributor: Distributor,
    wal: Wal,
    pub(crate) clock: Clock,
    folder: TempDir,
    sizes: Sizes,
}

/// What is set smaller than it would be, so that few spans are many.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) max_block_spans: usize,
    pub(crate) assembled_spans_max: usize,
}

impl House {
    /// Over what the bucket and the log hold.
    pub(crate) async fn open(store: Store, folder: TempDir, clock: Clock, sizes: Sizes) -> Self {
        let Sizes { max_block_spans, assembled_spans_max } = sizes;
        let wal = open_wal(folder.path());
        let cpu = Cpu::new(None).unwrap();
        let blocks = Blocks::new(store.clone(), cpu.clone(), 64 << 20);
        let config = ingester::Config { max_block_spans, ..ingester::Config::default() };
        let ingester = Ingester::new(ingester::Parts {
            config,
            store: store.clone(),
            blocks: blocks.clone(),
            wal: wal.clone(),
            clock: clock.clone(),
            cpu: cpu.clone(),
            metrics: ingester::Metrics::default(),
        });
        let metrics = distributor::Metrics::default();
        let distributor = Distributor::new(ingester.clone(), cpu.clone(), metrics);
        // Some parts of traces are read whole, others when the trace is told.
        let whole_part_spans = 3;
        let config =
            querier::Config { assembled_spans_max, whole_part_spans, ..querier::Config::default() };
        let querier = Querier::new(ingester.clone(), blocks.clone(), cpu.clone(), config);
        ingester.recover().await.unwrap();
        Self { querier, store, blocks, cpu, ingester, distributor, wal, clock, folder, sizes }
    }

    /// Each part in a push of its own, half a second apart.
    pub(crate) async fn push_all(&self, parts: &[Vec<Sent>]) {
        for part in parts {
            let body = Bytes::from(sent::body(part));
            let pushed = self.distributor.push(&TenantId::single(), body).await.unwrap();
            assert_eq!(pushed.rejected, 0, "{}", pushed.reason);
            self.clock.advance(Duration::from_millis(500));
        }
    }

    /// Each part into a block of its own.
    pub(crate) async fn push_and_cut(&self, parts: &[Vec<Sent>]) {
        for part in parts {
            self.push_all(std::slice::from_ref(part)).await;
            self.ingester.flush().await.unwrap();
            assert_eq!(self.ingester.live_spans(), 0);
        }
    }

    /// The same bucket and log in another process, the old one gone without a word to the ingester.
    pub(crate) async fn restarted(self) -> Self {
        let Self { store, wal, clock, folder, sizes, ingester, distributor, querier, blocks, cpu } =
            self;
        let live = ingester.live_spans();
        wal.close().await;
        drop((wal, ingester, distributor, querier, blocks, cpu));
        let house = Self::open(store, folder, clock, sizes).await;
        assert_eq!(house.ingester.live_spans(), live, "all that was not in blocks is back");
        house
    }
}

fn open_wal(folder: &Path) -> Wal {
    let config = wal::Config { segment_bytes_max: 256 << 10, ..wal::Config::default() };
    Wal::open(&folder.join("wal"), &config, Arc::new(RealDisk)).unwrap()
}
