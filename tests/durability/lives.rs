//! Lives of a process by seed: pushes, flushes and cuts, each life ended by a crash that loses what a disk and a bucket may lose.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use futures::poll;
use object_store::memory::InMemory;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use vivace::ingester;
use vivace::runtime::{Clock, Cpu, Drain, Task};
use vivace::tenant::TenantId;
use vivace::wal::{self, SimulatedDisk};

use super::bucket::{Bucket, Fault, Weather, Written};
use super::house::{BEGIN_UNIX_NANO, House, cpu, open_wal};
use super::ledger::{Batch, Ledger};

/// By default: some seconds.
const SEEDS: u64 = 24;

const LIVES: u32 = 5;

/// Between two looks at a round of compaction; one takes some milliseconds.
const LOOK_EVERY: Duration = Duration::from_micros(50);

/// What outlives the process.
struct World {
    rng: StdRng,
    disk: SimulatedDisk,
    objects: Arc<InMemory>,
    written: Arc<Written>,
    clock: Clock,
    cpu: Cpu,
    tenants: Vec<(TenantId, Ledger)>,
    wal: wal::Config,
    ingester: ingester::Config,
    /// The last requests, of which some come again; `None` where none does.
    again: Option<Vec<(usize, Batch)>>,
    /// Joined blocks that were there at the end.
    joined: usize,
}

impl World {
    fn new(seed: u64, disk: SimulatedDisk, cpu: Cpu) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let tenant = |name| (TenantId::parse(name).unwrap(), Ledger::default());
        let wal = wal::Config {
            segment_bytes_max: rng.random_range(1000..20_000),
            ..wal::Config::default()
        };
        let ingester = ingester::Config {
            trace_idle_period: Duration::from_secs(1),
            trace_live_period: Duration::from_secs(5),
            max_block_duration: Duration::from_secs(2),
            max_block_spans: rng.random_range(40..300),
            flush_check_period: Duration::from_secs(1),
            ..ingester::Config::default()
        };
        let again = rng.random::<bool>().then(Vec::new);
        Self {
            rng,
            disk,
            objects: Arc::default(),
            written: Arc::default(),
            clock: Clock::simulated(BEGIN_UNIX_NANO),
            cpu,
            tenants: vec![tenant("a"), tenant("b")],
            wal,
            ingester,
            again,
            joined: 0,
        }
    }

    /// Lives one after the other, then a quiet one.
    async fn run(&mut self) -> Result<(), String> {
        for _ in 0..LIVES {
            let is_cut_at_start = self.rng.random_ratio(1, 4);
            if is_cut_at_start {
                self.disk.cut_power_after(self.rng.random_range(0..12));
            }
            match self.start().await {
                Ok((house, bucket)) => {
                    self.check(&house, true).await?;
                    self.live(&house, &bucket).await?;
                    bucket.set(Weather::Requests(0, Fault::Before));
                }
                Err(_) if is_cut_at_start => {}
                Err(wrong) => return Err(format!("start: {wrong}")),
            }
            self.disk.crash(&mut self.rng);
        }
        self.end().await
    }

    async fn start(&self) -> Result<(House, Arc<Bucket>), String> {
        let (bucket, store) = Bucket::at(&self.objects, &self.clock, &self.written);
        let wal = open_wal(&self.disk, &self.wal).map_err(|e| e.to_string())?;
        let (clock, cpu) = (self.clock.clone(), self.cpu.clone());
        let house = House::new(self.ingester.clone(), store, wal, clock, cpu);
        house.ingester.recover().await.map_err(|e| vivace::failure::chain(&e))?;
        Ok((house, bucket))
    }

    /// Compares all that is found. After a start that is what counts from then on.
    async fn check(&mut self, house: &House, after_start: bool) -> Result<(), String> {
        for (tenant, ledger) in &mut self.tenants {
            let found = house.check(tenant, ledger).await;
            let found = found.map_err(|wrong| format!("tenant {tenant}, {wrong}"))?;
            if after_start {
                ledger.settle(0..=0, &found);
            }
        }
        Ok(())
    }

    async fn live(&mut self, house: &House, bucket: &Bucket) -> Result<(), String> {
        if self.rng.random_ratio(3, 4) {
            self.disk.cut_power_after(self.rng.random_range(0..80));
        }
        let fault = if self.rng.random() { Fault::Before } else { Fault::After };
        let mut weather = match self.rng.random_range(0..3) {
            0 => Weather::Fine,
            1 => Weather::Requests(self.rng.random_range(0..60), fault),
            _ => Weather::gusts(self.rng.random()),
        };
        let drain = Drain::new();
        let (ingester, stop) = (house.ingester.clone(), drain.stop());
        let _keeper = Task::spawn("ingester", async move { ingester.run(stop).await });
        let other = self.other_process();
        for _ in 0..self.rng.random_range(1..20) {
            bucket.set(weather);
            self.step(house, &other).await;
            // Questions need a bucket that answers.
            weather = bucket.set(Weather::Fine);
            if self.rng.random_ratio(1, 6) {
                self.check(house, false).await?;
            }
        }
        Ok(())
    }

    /// Another process on the same bucket, which takes nothing in and compacts.
    fn other_process(&self) -> House {
        let (_, store) = Bucket::at(&self.objects, &self.clock, &self.written);
        let wal = open_wal(&SimulatedDisk::new(), &self.wal).unwrap();
        House::new(self.ingester.clone(), store, wal, self.clock.clone(), self.cpu.clone())
    }

    async fn step(&mut self, house: &House, other: &House) {
        match self.rng.random_range(0..14) {
            10 => {
                let compactor = if self.rng.random() { house } else { other };
                self.compact(compactor, u32::MAX).await;
            }
            11 => {
                let polls = self.rng.random_range(0..200);
                self.compact(house, polls).await;
            }
            12 => {
                let polls = self.rng.random_range(0..400);
                self.compact(other, polls).await;
            }
            13 => {
                let sweeper = if self.rng.random() { house } else { other };
                self.sweep(sweeper).await;
            }
            0 => drop(house.ingester.flush().await),
            1 => self.flush_and_go(house).await,
            2..=4 => {
                self.clock.advance(Duration::from_millis(self.rng.random_range(100..2000)));
                for _ in 0..self.rng.random_range(0..50) {
                    tokio::task::yield_now().await;
                }
            }
            5 => self.push_again(house).await,
            _ => self.push_some(house).await,
        }
    }

    /// A round of compaction that may be broken off after so many looks.
    async fn compact(&mut self, house: &House, polls: u32) {
        for (tenant, _) in &self.tenants {
            let mut round = Box::pin(house.compactor.look_after(tenant));
            for _ in 0..polls {
                if poll!(&mut round).is_ready() {
                    break;
                }
                // The threads that decode and encode need real time.
                std::thread::sleep(LOOK_EVERY);
                tokio::task::yield_now().await;
            }
        }
    }

    async fn sweep(&self, house: &House) {
        for (tenant, _) in &self.tenants {
            // A bucket that fails is tried again by the next one.
            drop(house.compactor.sweep(tenant).await);
        }
    }

    /// A flush whose caller does not wait for its end.
    async fn flush_and_go(&mut self, house: &House) {
        let mut flush = Box::pin(house.ingester.flush());
        for _ in 0..self.rng.random_range(0..100) {
            if poll!(&mut flush).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn push_some(&mut self, house: &House) {
        let now = self.clock.now_unix_nano();
        let mut batches = Vec::new();
        for _ in 0..self.rng.random_range(1..6) {
            let of = self.rng.random_range(0..self.tenants.len());
            batches.push((of, self.tenants[of].1.batch(&mut self.rng, 0, now)));
        }
        self.push_all(house, &batches).await;
        if let Some(again) = &mut self.again {
            *again = batches;
        }
    }

    async fn push_again(&mut self, house: &House) {
        let batches = self.again.clone().unwrap_or_default();
        for (of, batch) in &batches {
            self.tenants[*of].1.again(&batch.spans);
        }
        self.push_all(house, &batches).await;
    }

    async fn push_all(&mut self, house: &House, batches: &[(usize, Batch)]) {
        let tenants = &self.tenants;
        let pushes =
            batches.iter().map(|(of, batch)| house.push(&tenants[*of].0, batch.body.clone()));
        let acknowledged = join_all(pushes).await;
        for ((of, batch), acknowledged) in batches.iter().zip(acknowledged) {
            if acknowledged {
                self.tenants[*of].1.acknowledge(&batch.spans);
            }
        }
    }

    /// A life that ends well: everything is in blocks, and nothing is in the log.
    async fn end(&mut self) -> Result<(), String> {
        let (house, _bucket) = self.start().await?;
        self.check(&house, true).await?;
        house.ingester.close().await.map_err(|e| vivace::failure::chain(&e))?;
        drop(house);
        self.disk.crash(&mut self.rng);

        let wal = open_wal(&self.disk, &self.wal).map_err(|e| e.to_string())?;
        let left = wal.replay().count();
        wal.close().await;
        if left > 0 {
            return Err(format!("{left} records in the log after the end"));
        }
        let (house, _bucket) = self.start().await?;
        self.check(&house, false).await?;
        for (tenant, ledger) in &self.tenants {
            self.joined += house.joined_blocks(tenant).await;
            let found = house.check(tenant, ledger).await?;
            let (found, stored) =
                (found.values().map(Vec::len).sum::<usize>(), house.stored_spans(tenant).await);
            if self.again.is_none() && stored != found as u64 {
                return Err(format!("tenant {tenant}: {found} spans found, {stored} in blocks"));
            }
        }
        Ok(())
    }
}

fn seeds() -> u64 {
    std::env::var("VIVACE_CRASH_SEEDS").map_or(SEEDS, |text| text.parse().unwrap())
}

#[tokio::test]
async fn acknowledged_spans_survive_any_crash_once() {
    let (cpu, mut joined) = (cpu(), 0);
    for seed in 0..seeds() {
        let mut world = World::new(seed, SimulatedDisk::new(), cpu.clone());
        if let Err(wrong) = world.run().await {
            panic!("seed {seed}: {wrong}");
        }
        joined += world.joined;
    }
    assert!(joined as u64 > seeds() / 2, "{joined} joined blocks after {} seeds", seeds());
}

#[tokio::test]
async fn without_the_sync_the_same_test_finds_a_loss() {
    let (cpu, mut losses) = (cpu(), 0);
    for seed in 0..8 {
        let disk = SimulatedDisk::without_syncs_of("wal");
        let wrong = World::new(seed, disk, cpu.clone()).run().await.err().unwrap_or_default();
        losses += u32::from(wrong.contains("is lost"));
    }
    assert!(losses > 4, "{losses} of 8 seeds notice");
}
