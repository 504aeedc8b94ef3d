//! The rooms that answer, with spans partly in blocks and partly in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use vivace::block::Blocks;
use vivace::distributor::{self, Distributor};
use vivace::ingester::{self, Ingester};
use vivace::querier::{self, Querier};
use vivace::runtime::{Clock, Cpu};
use vivace::store::Store;
use vivace::tenant::TenantId;
use vivace::wal::{self, SimulatedDisk, Wal};

use crate::dice::Dice;
use crate::generate::{BEGIN, LENGTH};
use crate::model::{Span, body};

/// How spans get into blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cutting {
    /// Among how many pushes spans are dealt.
    pub(crate) pushes: usize,
    /// So many pushes are blocks, each its own; the rest stays in memory.
    pub(crate) blocks: usize,
    /// Spans of split traces that are put together at once.
    pub(crate) assembled_spans_max: usize,
}

impl Cutting {
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let (pushes, blocks) = match dice.below(8) {
            0 => (2, 0),
            1 => (1, 1),
            2 | 3 => (2, 1),
            4 => (4, 2),
            _ => {
                let blocks = 2 + dice.place(4);
                (blocks, blocks)
            }
        };
        Self { pushes, blocks, assembled_spans_max: dice.one_of(&[10, 1000]) }
    }

    /// Where the spans of a push lie: memory is one place, whatever was pushed when.
    fn place(&self, push: usize) -> usize {
        push.min(self.blocks)
    }

    /// Whether spans of the trace lie in several places.
    pub(crate) fn splits(&self, spans: &[Span], trace: u128) -> bool {
        let places =
            spans.iter().filter(|span| span.trace == trace).map(|span| self.place(span.push));
        let mut places: Vec<usize> = places.collect();
        places.dedup();
        places.len() > 1
    }
}

pub(crate) struct House {
    pub(crate) querier: Querier,
}

impl House {
    pub(crate) async fn with(cutting: &Cutting, spans: &[Span], cpu: &Cpu) -> Self {
        let Cutting { pushes, blocks, assembled_spans_max } = *cutting;
        let store = Store::memory();
        let clock = Clock::simulated(BEGIN + LENGTH);
        let config = wal::Config { segment_bytes_max: 256 << 10, ..wal::Config::default() };
        let disk = Arc::new(SimulatedDisk::new());
        let log = Wal::open(Path::new("wal"), &config, disk).unwrap();
        let reader = Blocks::new(store.clone(), cpu.clone(), 4 << 20);
        let ingester = Ingester::new(ingester::Parts {
            config: ingester::Config::default(),
            store,
            blocks: reader.clone(),
            wal: log.clone(),
            clock: clock.clone(),
            cpu: cpu.clone(),
            metrics: ingester::Metrics::default(),
        });
        let metrics = distributor::Metrics::default();
        let distributor = Distributor::new(ingester.clone(), cpu.clone(), metrics);
        ingester.recover().await.unwrap();
        for push in 0..pushes {
            let body = Bytes::from(body(spans.iter().filter(|span| span.push == push)));
            let pushed = distributor.push(&TenantId::single(), body).await.unwrap();
            assert_eq!(pushed.rejected, 0, "{}", pushed.reason);
            clock.advance(Duration::from_millis(500));
            if push < blocks {
                ingester.flush().await.unwrap();
                assert_eq!(ingester.live_spans(), 0);
            }
        }
        // With little memory everything is read one after the other.
        let memory_bytes = if assembled_spans_max == 10 { 1 } else { 1 << 20 };
        let config =
            querier::Config { assembled_spans_max, memory_bytes, ..querier::Config::default() };
        Self { querier: Querier::new(ingester, reader, cpu.clone(), config) }
    }
}
