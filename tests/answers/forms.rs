//! The ways in which spans can lie in a house.

use std::time::Duration;

use tempfile::TempDir;
use vivace::compactor::{self, Compactor};
use vivace::runtime::{Clock, Drain, Task};
use vivace::store::Store;
use vivace::tenant::TenantId;

use crate::data::{BEGIN, LENGTH};
use crate::house::{House, Sizes};
use crate::s3::{Creates, s3_config, s3_server};
use crate::sent::{Sent, dealt};

/// A part of the data set in each block of the finest cut.
const MANY: usize = 40;

/// Where the spans are when the questions come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// In memory, in a few pushes.
    Live,
    /// In two blocks: what lies days away from its receive time has one of its own.
    OneCut,
    /// Each span at random in one of 40 pushes, each cut.
    ManyCuts,
    /// The same, in a bucket that speaks S3.
    S3,
    /// A part in blocks, a part in memory.
    HalfLive,
    /// In memory, out of the log of a process that is gone.
    Restarted,
    /// A part in blocks, a part out of the log.
    HalfRestarted,
    /// The ingester has cut by itself what was idle, so that pushes are partly in blocks; then a restart; then more.
    Kept,
    /// Each span at random in one of 40 blocks, which were joined to one, and another of spans of other days.
    Joined,
    /// Blocks that were joined to a few, blocks that came after that, and spans in memory, after a restart.
    HalfJoined,
    /// As `Kept`; then the blocks were joined while the log still had their spans; then another restart.
    KeptJoined,
}

impl House {
    /// Puts the spans where the form says.
    pub(crate) async fn with(form: Form, spans: &[Sent]) -> Self {
        let folder = TempDir::new().unwrap();
        let store = match form {
            Form::S3 => {
                let config = s3_config(s3_server(&folder, Creates::Refused).await);
                Store::open(&config).await.unwrap()
            }
            _ => Store::memory(),
        };
        let clock = Clock::simulated(BEGIN + LENGTH);
        // In one form a few hundred spans make a block, in the others all do.
        let kept = matches!(form, Form::Kept | Form::KeptJoined);
        let max_block_spans = if kept { 300 } else { 100_000 };
        // Split traces are read in several groups, but where blocks are so many that it takes long.
        let many = matches!(form, Form::ManyCuts | Form::S3);
        let assembled_spans_max = if many { 100_000 } else { 2500 };
        let sizes = Sizes { max_block_spans, assembled_spans_max };
        let mut house = Self::open(store, folder, clock, sizes).await;
        match form {
            Form::Live => house.push_all(&dealt(spans, 7, 1)).await,
            Form::OneCut => house.push_and_cut(&[spans.to_vec()]).await,
            Form::ManyCuts | Form::S3 => house.push_and_cut(&dealt(spans, MANY, 2)).await,
            Form::HalfLive => {
                let parts = dealt(spans, 8, 3);
                house.push_and_cut(&parts[..4]).await;
                house.push_all(&parts[4..]).await;
            }
            Form::Restarted => {
                house.push_all(&dealt(spans, 7, 4)).await;
                house = house.restarted().await;
            }
            Form::HalfRestarted => {
                let parts = dealt(spans, 8, 5);
                house.push_and_cut(&parts[..4]).await;
                house.push_all(&parts[4..]).await;
                house = house.restarted().await;
            }
            Form::Kept => house = house.kept(&dealt(spans, 30, 6)).await,
            Form::Joined => {
                house.push_and_cut(&dealt(spans, MANY, 7)).await;
                let before = house.block_count().await;
                let after = house.join(100_000).await;
                assert!(before >= MANY && after <= 2, "{before} blocks to {after}");
            }
            Form::KeptJoined => {
                house = house.kept(&dealt(spans, 30, 6)).await;
                let before = house.block_count().await;
                let after = house.join(100_000).await;
                assert!(after < before, "{before} blocks to {after}");
                house = house.restarted().await;
            }
            Form::HalfJoined => {
                let parts = dealt(spans, 16, 8);
                house.push_and_cut(&parts[..12]).await;
                let before = house.block_count().await;
                let after = house.join(spans.len() as u64 / 3).await;
                assert!((3..before).contains(&after), "{before} blocks to {after}");
                house.push_and_cut(&parts[12..14]).await;
                house.push_all(&parts[14..]).await;
                house = house.restarted().await;
            }
        }
        house
    }

    /// Hours later the blocks are joined, as far as so many spans are together; returns how many blocks there are then.
    pub(crate) async fn join(&self, spans_max: u64) -> usize {
        self.clock.advance(Duration::from_hours(3));
        let config = compactor::Config {
            spans_max,
            retention: Duration::ZERO,
            ..compactor::Config::default()
        };
        let compactor = Compactor::new(compactor::Parts {
            config,
            ingester: self.ingester.clone(),
            store: self.store.clone(),
            blocks: self.blocks.clone(),
            cpu: self.cpu.clone(),
            clock: self.clock.clone(),
            metrics: compactor::Metrics::default(),
        });
        compactor.look_after(&TenantId::single()).await.unwrap();
        self.block_count().await
    }

    pub(crate) async fn block_count(&self) -> usize {
        self.ingester.pin(&TenantId::single()).await.unwrap().manifest.blocks().len()
    }

    async fn kept(self, parts: &[Vec<Sent>]) -> Self {
        let drain = Drain::new();
        self.push_all(&parts[..20]).await;
        let (ingester, stop) = (self.ingester.clone(), drain.stop());
        let keeper = Task::spawn("ingester", async move { ingester.run(stop).await });
        // Traces with spans in the last pushes are still open; the others are closed and are a block's worth.
        self.clock.advance(Duration::from_millis(2500));
        let before = self.ingester.live_spans();
        while self.ingester.live_spans() == before {
            self.clock.advance(Duration::from_millis(100));
            tokio::task::yield_now().await;
        }
        drain.begin();
        self.clock.advance(Duration::from_secs(1));
        keeper.join().await.unwrap();
        assert!(self.ingester.live_spans() > 0, "some are still open");
        let house = self.restarted().await;
        house.push_all(&parts[20..]).await;
        house
    }
}
