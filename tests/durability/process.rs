//! A real process under load, killed or stopped again and again on the same folders.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use vivace::trace::TraceId;
use vivace::wal::{Config, RealDisk, Wal};

use super::ledger::Ledger;
use super::server::{Server, client, now_unix_nano, push};

const SENDERS: u64 = 3;

/// Rounds by default: well under a minute.
const ROUNDS: u32 = 8;

/// Most pushes that are acknowledged before the end of a round: some seconds of load, with some blocks cut.
const PUSHES_MAX: u32 = 1200;

/// Traces that are asked for by their id after a restart: searches tell of all.
const TRACES_ASKED: usize = 200;

/// How a round ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Kill,
    /// The process is told to stop, and killed before it has.
    TerminateAndKill,
    Terminate,
}

fn rounds() -> u32 {
    std::env::var("VIVACE_KILL_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap())
}

/// Pushes until nobody answers any more; tells of every push that was acknowledged.
fn send(seed: u64, round: u32, url: &str, ledger: &Mutex<Ledger>, told: &Sender<()>) {
    let mut rng = StdRng::seed_from_u64(seed);
    let client = client();
    loop {
        let batch = ledger.lock().unwrap().batch(&mut rng, round, now_unix_nano());
        match push(&client, url, batch.body) {
            Some(200) => {
                ledger.lock().unwrap().acknowledge(&batch.spans);
                // The round may have ended meanwhile.
                told.send(()).ok();
            }
            // No room or stopping: not acknowledged.
            Some(429 | 503) => {}
            Some(status) => panic!("a push was answered with {status}"),
            None => return,
        }
    }
}

/// Loads a server and ends it after so many pushes. Returns its log if it ended by itself.
fn round(
    rng: &mut StdRng,
    number: u32,
    server: Server,
    end: End,
    ledger: &Mutex<Ledger>,
) -> Option<Vec<String>> {
    let (told, acknowledged) = channel();
    let pushes = rng.random_range(1..PUSHES_MAX);
    let seeds: Vec<u64> = (0..SENDERS).map(|_| rng.random()).collect();
    let url = server.receiver.clone();
    std::thread::scope(|scope| {
        for seed in seeds {
            let (told, url) = (told.clone(), &url);
            scope.spawn(move || send(seed, number, url, ledger, &told));
        }
        drop(told);
        for _ in 0..pushes {
            acknowledged.recv_timeout(Duration::from_mins(1)).unwrap();
        }
        match end {
            End::Kill => server.kill(),
            End::TerminateAndKill => {
                server.terminate();
                server.kill();
            }
            End::Terminate => {
                server.terminate();
                let (status, log) = server.ended();
                assert!(status.success(), "{status}: {log:#?}");
                return Some(log);
            }
        }
        None
    })
}

/// Compares what is found of some traces, the first ones if there are too many, and of some rounds with what was pushed.
fn check(
    server: &Server,
    ledger: &mut Ledger,
    ids: &[TraceId],
    rounds: impl Iterator<Item = u32>,
) -> Result<(), String> {
    for round in rounds {
        let found = server.search(&format!("{{span.round = {round}}}"))?;
        ledger.check(round..=round, &found).map_err(|wrong| format!("by search: {wrong}"))?;
        ledger.settle(round..=round, &found);
    }
    for id in ids.iter().take(TRACES_ASKED) {
        ledger.check_trace(*id, &server.find(*id)?)?;
    }
    Ok(())
}

/// Kills some starts while the log is replayed.
fn stumble(rng: &mut StdRng, dir: &Path) {
    while rng.random_ratio(1, 3) {
        Server::until(dir, "api listens").kill();
    }
}

#[test]
fn acknowledged_spans_survive_kills_under_load() {
    let dir = TempDir::new().unwrap();
    let seed = rand::random();
    let mut rng = StdRng::seed_from_u64(seed);
    let ledger = Mutex::new(Ledger::default());
    let last = rounds();
    for number in 0..last {
        stumble(&mut rng, dir.path());
        let server = Server::ready(dir.path());
        if number > 0 {
            let mut ledger = ledger.lock().unwrap();
            let mut ids = ledger.ids().to_vec();
            ids.shuffle(&mut rng);
            let checked = [number - 1, rng.random_range(0..number)];
            check(&server, &mut ledger, &ids, checked.into_iter())
                .unwrap_or_else(|wrong| panic!("seed {seed}, start {number}: {wrong}"));
        }
        let end = if rng.random_ratio(1, 4) { End::TerminateAndKill } else { End::Kill };
        round(&mut rng, number, server, end, &ledger);
    }
    let server = Server::ready(dir.path());
    let mut ledger = ledger.into_inner().unwrap();
    let mut ids = ledger.ids().to_vec();
    ids.shuffle(&mut rng);
    check(&server, &mut ledger, &ids, 0..last)
        .unwrap_or_else(|wrong| panic!("seed {seed}, at the end: {wrong}"));
    assert!(ledger.acknowledged > u64::from(last), "there was load");
}

#[test]
fn a_stop_under_load_stores_all_that_was_acknowledged() {
    let dir = TempDir::new().unwrap();
    let mut rng = StdRng::seed_from_u64(7);
    let ledger = Mutex::new(Ledger::default());
    let server = Server::ready(dir.path());
    let log = round(&mut rng, 0, server, End::Terminate, &ledger).unwrap();

    let wal = Wal::open(&dir.path().join("wal"), &Config::default(), Arc::new(RealDisk)).unwrap();
    assert_eq!(wal.replay().count(), 0, "the log is empty: {log:#?}");
    tokio::runtime::Runtime::new().unwrap().block_on(wal.close());

    let server = Server::ready(dir.path());
    let mut ledger = ledger.into_inner().unwrap();
    let ids = ledger.ids().to_vec();
    check(&server, &mut ledger, &ids, 0..1).unwrap();
}
