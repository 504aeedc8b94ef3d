//! The list of blocks under races, lost answers, long sleeps and length; and its format, by golden file.

#![expect(clippy::unwrap_used, reason = "the helpers here are parts of the tests")]

mod faulty;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use faulty::Fault;
use faulty::Faulty;
use futures::future::join_all;
use rand::RngExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use uuid::Uuid;
use vivace::manifest;
use vivace::manifest::BlockEntry;
use vivace::manifest::Edit;
use vivace::manifest::Error;
use vivace::manifest::Manifest;
use vivace::manifest::Manifests;
use vivace::manifest::ObjectInfo;
use vivace::manifest::Swept;
use vivace::manifest::WalCoverage;
use vivace::store::Path;
use vivace::store::Store;
use vivace::store::keys;
use vivace::store::keys::BlockObject;
use vivace::tenant::TenantId;

const SECOND: u64 = 1_000_000_000;

async fn open(store: &Store) -> Manifests {
    Manifests::open(store.clone(), TenantId::single(), Uuid::now_v7()).await.unwrap()
}

/// A block as an ingester makes them: about 300 bytes.
fn block(rng: &mut StdRng) -> BlockEntry {
    block_with(Uuid::now_v7(), rng)
}

fn block_with(id: Uuid, rng: &mut StdRng) -> BlockEntry {
    let start_unix_nano = 1_795_000_000 * SECOND + rng.random_range(0..1_209_600 * SECOND);
    let end_unix_nano = start_unix_nano + rng.random_range(0..900 * SECOND);
    let object = |object, rng: &mut StdRng| ObjectInfo {
        object,
        bytes: rng.random_range(1000..20_000_000),
        crc32c: rng.random(),
    };
    let objects = [
        BlockObject::Spans,
        BlockObject::Traces,
        BlockObject::Resources,
        BlockObject::Bloom(0),
        BlockObject::Index,
        BlockObject::Meta,
    ];
    let first = rng.random_range(0..40);
    BlockEntry {
        id,
        level: 1,
        spans: rng.random_range(1..300_000),
        traces: rng.random_range(1..30_000),
        start_unix_nano,
        end_unix_nano,
        received_min_unix_nano: start_unix_nano,
        received_max_unix_nano: end_unix_nano + 5,
        objects: objects.map(|kind| object(kind, rng)).to_vec(),
        service_names: (first..first + 12).map(|i| format!("service-{i}")).collect(),
        service_names_complete: true,
        shared_traces: rng.random_range(0..100),
        wal: vec![WalCoverage { writer: Uuid::from_u128(9), first_segment: 3, last_segment: 4 }],
        ..BlockEntry::default()
    }
}

fn add(blocks: &[BlockEntry]) -> Edit {
    Edit { add: blocks.to_vec(), ..Edit::default() }
}

fn add_one(block: &BlockEntry) -> Edit {
    add(std::slice::from_ref(block))
}

fn remove(ids: &[Uuid]) -> Edit {
    Edit { remove: ids.to_vec(), ..Edit::default() }
}

fn ids(manifest: &Manifest) -> BTreeSet<Uuid> {
    let ids: BTreeSet<Uuid> = manifest.blocks().iter().map(|block| block.id).collect();
    assert_eq!(ids.len(), manifest.blocks().len(), "no block twice");
    ids
}

/// All manifests but the newest are as old as it gets.
async fn sweep(manifests: &Manifests) -> Swept {
    manifests.sweep(SystemTime::now(), Duration::ZERO).await.unwrap()
}

async fn numbers(store: &Store) -> BTreeSet<u64> {
    let listed = store.list_folder(&keys::manifests(&TenantId::single())).await.unwrap();
    listed.iter().filter_map(|object| keys::manifest_number(&object.key)).collect()
}

// --- changes

#[tokio::test]
async fn blocks_are_added_found_by_time_and_removed() {
    let store = Store::memory();
    let manifests = open(&store).await;
    assert_eq!(manifests.current().number(), 0);
    let mut rng = StdRng::seed_from_u64(1);
    let blocks: Vec<_> = (0..20).map(|_| block(&mut rng)).collect();
    let listed = manifests.commit(add(&blocks)).await.unwrap();
    assert_eq!(listed.number(), 1);
    assert!(listed.blocks().is_sorted_by_key(|block| block.start_unix_nano));
    for wanted in &blocks {
        assert_eq!(**listed.block(wanted.id).unwrap(), *wanted);
        let at = wanted.end_unix_nano;
        let wanted: BTreeSet<Uuid> =
            blocks.iter().filter(|other| other.overlaps(at, at)).map(|other| other.id).collect();
        let found: BTreeSet<Uuid> = listed.overlapping(at, at).map(|block| block.id).collect();
        assert_eq!(found, wanted);
    }
    let left = manifests.commit(remove(&[blocks[3].id])).await.unwrap();
    assert_eq!(left.blocks().len(), 19);
    assert_eq!(listed.blocks().len(), 20, "a manifest never changes");
    assert_eq!(ids(&open(&store).await.current()), ids(&left));
    assert_eq!(manifests.commit(Edit::default()).await.unwrap().number(), 2, "nothing to do");
    assert_eq!(manifest::tenants(&store).await.unwrap(), [TenantId::single()]);
}

#[tokio::test]
async fn edits_that_do_not_fit_the_list_change_nothing() {
    let store = Store::memory();
    let (here, there) = (open(&store).await, open(&store).await);
    let mut rng = StdRng::seed_from_u64(1);
    let (a, b) = (block(&mut rng), block(&mut rng));
    here.commit(add_one(&a)).await.unwrap();
    // The other one has not seen it yet.
    let compaction = Edit { add: vec![b.clone()], remove: vec![a.id], based_on: None };
    there.commit(compaction.clone()).await.unwrap();
    let again = Edit { add: vec![block(&mut rng)], remove: vec![a.id], based_on: None };
    let error = here.commit(again).await.unwrap_err();
    assert!(matches!(error, Error::Gone { block } if block == a.id), "{error}");
    let error = here.commit(add_one(&b)).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyThere { block } if block == b.id), "{error}");
    let error = here
        .commit(Edit { add: vec![b.clone()], remove: vec![b.id], based_on: None })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    assert_eq!(ids(&here.refresh().await.unwrap()), BTreeSet::from([b.id]));
    assert_eq!(numbers(&store).await, BTreeSet::from([1, 2]));
}

#[tokio::test]
async fn a_block_that_came_since_and_shares_traces_forbids_to_join_the_others() {
    let store = Store::memory();
    let (here, there) = (open(&store).await, open(&store).await);
    let mut rng = StdRng::seed_from_u64(2);
    let [a, b, c, d] = [(); 4].map(|()| BlockEntry { shared_traces: 0, ..block(&mut rng) });
    let base = here.commit(add(&[a.clone(), b.clone()])).await.unwrap();
    let joined = |entry: &BlockEntry| Edit {
        add: vec![entry.clone()],
        remove: vec![a.id, b.id],
        based_on: Some(Arc::clone(&base)),
    };
    let shared = BlockEntry { shared_traces: 1, shared_with: vec![a.id], ..block(&mut rng) };
    there.commit(add_one(&shared)).await.unwrap();
    let error = here.commit(joined(&c)).await.unwrap_err();
    assert!(matches!(error, Error::Overtaken { block } if block == shared.id), "{error}");
    // Of what is known by now nothing is new.
    let now = Edit { based_on: Some(here.refresh().await.unwrap()), ..joined(&c) };
    here.commit(now).await.unwrap();
    // A block that names one that is gone may share with any.
    let late = BlockEntry { shared_traces: 1, shared_with: vec![b.id], ..d };
    let manifest = there.commit(add_one(&late)).await.unwrap();
    assert!(manifest.block(late.id).unwrap().shared_with.is_empty());
    assert!(manifest.block(late.id).unwrap().may_share_with(c.id));
}

#[tokio::test]
async fn after_a_fence_no_older_block_is_added() {
    let store = Store::memory();
    let (here, there) = (open(&store).await, open(&store).await);
    let mut rng = StdRng::seed_from_u64(1);
    let old = block_with(Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0001), &mut rng);
    here.fence(0x0193_0000_0001).await.unwrap();
    let error = there.commit(add(&[old])).await.unwrap_err();
    assert!(matches!(error, Error::Expired { fence_unix_milli: 0x0193_0000_0001, .. }), "{error}");
    let new = block_with(Uuid::from_u128(0x0193_0000_0001_7000_8000_0000_0000_0001), &mut rng);
    let manifest = there.commit(add(&[new])).await.unwrap();
    assert_eq!(manifest.fence_unix_milli(), 0x0193_0000_0001);
    here.fence(5).await.unwrap();
    assert_eq!(here.refresh().await.unwrap().number(), 2, "an earlier fence is there already");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_commits_none_is_lost() {
    let store = Store::memory();
    let racers = (0..8).map(|seed| {
        let store = store.clone();
        tokio::spawn(async move {
            let manifests = open(&store).await;
            let mut rng = StdRng::seed_from_u64(seed);
            let mut kept = BTreeSet::new();
            for round in 0..12 {
                let blocks: Vec<_> = (0..rng.random_range(1..9)).map(|_| block(&mut rng)).collect();
                let mut edit = add(&blocks);
                if round % 3 == 2 {
                    edit.remove = kept.iter().take(5).copied().collect();
                }
                edit.remove.iter().for_each(|id| assert!(kept.remove(id)));
                kept.extend(blocks.iter().map(|block| block.id));
                let after = ids(&manifests.commit(edit).await.unwrap());
                assert!(kept.is_subset(&after), "one's own commits are seen");
            }
            kept
        })
    });
    let kept: BTreeSet<Uuid> =
        join_all(racers).await.into_iter().flat_map(|kept| kept.unwrap()).collect();
    let manifests = open(&store).await;
    assert_eq!(ids(&manifests.current()), kept);
    assert_eq!(manifests.current().number(), 8 * 12, "one manifest a commit");
}

#[tokio::test]
async fn a_process_that_commits_in_parallel_takes_turns() {
    let store = Store::memory();
    let manifests = open(&store).await;
    let mut rng = StdRng::seed_from_u64(1);
    let blocks: Vec<_> = (0..20).map(|_| block(&mut rng)).collect();
    let commits = blocks.iter().map(|block| manifests.commit(add_one(block)));
    join_all(commits).await.into_iter().for_each(|done| drop(done.unwrap()));
    assert_eq!(manifests.current().blocks().len(), 20);
    // A PUT, and the look whether its predecessor is still there; the first one lists instead.
    assert_eq!(store.counters().put.requests(), 20);
    assert_eq!(store.counters().get.requests(), 19);
}

// --- lost answers

#[tokio::test]
async fn a_put_that_won_without_an_answer_counts_once() {
    let (faulty, store) = Faulty::store();
    let manifests = open(&store).await;
    let mut rng = StdRng::seed_from_u64(1);
    for times in [1, 1, 4] {
        let block = block(&mut rng);
        faulty.fail(Fault::After, times);
        let manifest = manifests.commit(add_one(&block)).await.unwrap();
        assert_eq!(manifest.block(block.id).map(|found| found.id), Some(block.id));
    }
    assert_eq!(manifests.current().number(), 3);
}

#[tokio::test]
async fn a_commit_that_failed_can_be_made_again_and_is_made_once() {
    for fault in [Fault::Before, Fault::After] {
        let (faulty, store) = Faulty::store();
        let (here, there) = (open(&store).await, open(&store).await);
        let mut rng = StdRng::seed_from_u64(1);
        let (first, edit) = (block(&mut rng), block(&mut rng));
        here.commit(add_one(&first)).await.unwrap();
        // All attempts fail, so nobody knows.
        faulty.fail(fault, 5);
        let error = here.commit(add_one(&edit)).await.unwrap_err();
        assert!(matches!(error, Error::Store(vivace::store::Error::Unavailable { .. })), "{error}");
        // Meanwhile others go on; the block may even be compacted away.
        let seen = there.refresh().await.unwrap();
        let was_written = seen.block(edit.id).is_some();
        assert_eq!(was_written, fault == Fault::After);
        let removed = if was_written { edit.id } else { first.id };
        there.commit(remove(&[removed])).await.unwrap();
        let again = here.commit(add_one(&edit)).await.unwrap();
        assert_eq!(again.block(edit.id).is_some(), !was_written, "not added a second time");
        assert_eq!(ids(&there.refresh().await.unwrap()), ids(&again));
    }
}

#[tokio::test]
async fn a_commit_that_was_dropped_may_still_be_made_and_is_made_once() {
    let (faulty, store) = Faulty::store();
    let manifests = open(&store).await;
    let block = block(&mut StdRng::seed_from_u64(1));
    let (reached, let_go) = faulty.hold(Fault::After);
    let commit = manifests.commit(add_one(&block));
    tokio::select! {
        _ = commit => panic!("it is held up"),
        reached = reached => reached.unwrap(),
    }
    drop(let_go);
    let again = manifests.commit(add_one(&block)).await.unwrap();
    assert_eq!((again.number(), again.blocks().len()), (1, 1));
}

// --- length

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_20_000_blocks_a_commit_writes_and_a_follower_reads_at_most_128_kib() {
    const BYTES_MAX: u64 = 128 << 10;
    let store = Store::memory();
    let manifests = open(&store).await;
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..20 {
        let blocks: Vec<_> = (0..1000).map(|_| block(&mut rng)).collect();
        manifests.commit(add(&blocks)).await.unwrap();
    }
    let mut wanted = ids(&manifests.current());
    assert_eq!(wanted.len(), 20_000);
    let (mut most_written, mut most_read) = (0, 0);
    let follower = open(&store).await;
    let mut recent: Vec<Uuid> = Vec::new();
    for round in 0..90_usize {
        // Cut blocks, now and then a compaction of recent ones, retention of the oldest, and one of just any blocks.
        let blocks: Vec<_> = (0..6).map(|_| block(&mut rng)).collect();
        let mut edit = add(&blocks);
        match round % 6 {
            2 if recent.len() > 8 => edit.remove = recent.drain(..8).collect(),
            3 => edit.remove = manifests.current().blocks()[..8].iter().map(|b| b.id).collect(),
            5 => {
                let all = manifests.current();
                let any = |_| all.blocks()[rng.random_range(0..all.blocks().len())].id;
                edit.remove = (0..4).map(any).collect::<BTreeSet<_>>().into_iter().collect();
            }
            _ => {}
        }
        recent.retain(|id| !edit.remove.contains(id));
        recent.extend(edit.add.iter().map(|block| block.id));
        edit.remove.iter().for_each(|id| assert!(wanted.remove(id)));
        wanted.extend(edit.add.iter().map(|block| block.id));
        let before = store.counters().put.bytes();
        manifests.commit(edit).await.unwrap();
        most_written = most_written.max(store.counters().put.bytes() - before);
        let (before, requests) = (store.counters().get.bytes(), store.counters().get.requests());
        let number = follower.refresh().await.unwrap().number();
        most_read = most_read.max(store.counters().get.bytes() - before);
        assert!(store.counters().get.requests() - requests <= 5);
        assert_eq!(number, manifests.current().number());
    }
    assert_eq!(ids(&follower.current()), wanted);
    assert!(most_written <= BYTES_MAX && most_read <= BYTES_MAX, "{most_written} {most_read}");
    assert!(most_written > 40 << 10, "some commit wrote segments: {most_written}");
    let opened = open(&store).await;
    assert_eq!(ids(&opened.current()), wanted);
    assert_eq!(opened.current().blocks(), follower.current().blocks());
    let swept = sweep(&manifests).await;
    assert!(swept.manifests > 100 && swept.segments > 3, "{swept:?}");
    assert_eq!(ids(&open(&store).await.current()), wanted, "nothing that is named was swept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_can_shrink_to_nothing_and_grow_again() {
    let store = Store::memory();
    let manifests = open(&store).await;
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..3 {
        for _ in 0..6 {
            let blocks: Vec<_> = (0..100).map(|_| block(&mut rng)).collect();
            manifests.commit(add(&blocks)).await.unwrap();
        }
        let all: Vec<Uuid> = ids(&manifests.current()).into_iter().collect();
        // In an order that has nothing to do with segments.
        for part in 0..7 {
            let some: Vec<Uuid> = all.iter().skip(part).step_by(7).copied().collect();
            manifests.commit(remove(&some)).await.unwrap();
        }
        assert_eq!(manifests.current().blocks(), [] as [Arc<BlockEntry>; 0]);
        assert_eq!(open(&store).await.current().blocks(), [] as [Arc<BlockEntry>; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_entries_make_larger_segments_and_no_larger_manifest() {
    let store = Store::memory();
    let manifests = open(&store).await;
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..3 {
        let large = |_| {
            let mut entry = block(&mut rng);
            let name = |_| (0..32).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect();
            entry.service_names = (0..64).map(name).collect();
            entry
        };
        let blocks: Vec<BlockEntry> = (0..2000).map(large).collect();
        manifests.commit(add(&blocks)).await.unwrap();
    }
    let followed = open(&store).await;
    assert_eq!(followed.current().blocks(), manifests.current().blocks());
    assert!(followed.current().blocks()[0].service_names_complete);
    let key = keys::manifest(&TenantId::single(), 3);
    assert!(store.get(&key).await.unwrap().len() < manifest::MANIFEST_BYTES_MAX);
}

// --- following

#[tokio::test]
async fn a_follower_catches_up_with_two_small_requests_where_nothing_has_changed() {
    let store = Store::memory();
    let (here, there) = (open(&store).await, open(&store).await);
    let mut rng = StdRng::seed_from_u64(1);
    for count in [1, 1, 3, 5] {
        for _ in 0..count {
            here.commit(add(&[block(&mut rng)])).await.unwrap();
        }
        assert_eq!(ids(&there.refresh().await.unwrap()), ids(&here.current()));
    }
    let (gets, lists) = (store.counters().get.requests(), store.counters().list.requests());
    there.refresh().await.unwrap();
    assert_eq!(store.counters().get.requests() - gets, 2);
    assert_eq!(store.counters().list.requests(), lists);
}

#[tokio::test]
async fn a_follower_that_slept_past_a_sweep_finds_the_newest() {
    let store = Store::memory();
    let (here, there, from_nothing) = (open(&store).await, open(&store).await, open(&store).await);
    let mut rng = StdRng::seed_from_u64(1);
    here.commit(add(&[block(&mut rng)])).await.unwrap();
    there.refresh().await.unwrap();
    for _ in 0..5 {
        here.commit(add(&[block(&mut rng)])).await.unwrap();
    }
    assert_eq!(sweep(&here).await, Swept { manifests: 5, segments: 0 });
    assert_eq!(numbers(&store).await, BTreeSet::from([6]));
    assert_eq!(there.refresh().await.unwrap().number(), 6);
    assert_eq!(from_nothing.refresh().await.unwrap().number(), 6, "also one that had none");
    assert_eq!(sweep(&here).await, Swept::default(), "the newest stays");
}

#[tokio::test]
async fn what_a_grace_period_keeps_is_kept() {
    let store = Store::memory();
    let manifests = open(&store).await;
    let mut rng = StdRng::seed_from_u64(1);
    let blocks: Vec<_> = (0..3).map(|_| block(&mut rng)).collect();
    manifests.commit(add(&blocks)).await.unwrap();
    manifests.commit(remove(&[blocks[0].id])).await.unwrap();
    let hour = Duration::from_hours(1);
    assert_eq!(manifests.sweep(SystemTime::now(), hour).await.unwrap(), Swept::default());
    let in_use = manifests.blocks_in_use().await.unwrap();
    assert!(blocks.iter().all(|block| in_use.contains(&block.id)), "a query may be reading it");
    sweep(&manifests).await;
    let in_use: BTreeSet<Uuid> = manifests.blocks_in_use().await.unwrap().into_iter().collect();
    assert_eq!(in_use, BTreeSet::from([blocks[1].id, blocks[2].id]));
}

// --- long sleeps

/// A writer is suspended in its commit, before or after the PUT is done, while others commit and sweep.
async fn suspended(at: Fault, commits_before: usize, commits_meanwhile: usize) {
    let (faulty, store) = Faulty::store();
    let (sleeper, other) = (open(&store).await, open(&store).await);
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..commits_before {
        other.commit(add(&[block(&mut rng)])).await.unwrap();
    }
    sleeper.refresh().await.unwrap();
    let mine = block(&mut rng);
    let (reached, let_go) = faulty.hold(at);
    let commit = tokio::spawn({
        let (sleeper, edit) = (sleeper.clone(), add_one(&mine));
        async move { sleeper.commit(edit).await }
    });
    reached.await.unwrap();
    for _ in 0..commits_meanwhile {
        other.commit(add(&[block(&mut rng)])).await.unwrap();
    }
    sweep(&other).await;
    let head = other.current().number();
    assert_eq!(numbers(&store).await, BTreeSet::from([head]));
    let_go.send(()).unwrap();
    let committed = commit.await.unwrap().unwrap();
    let others = other.current();
    // Before: its PUT went into a swept number and does not count, so the change was made again, on the newest.
    // After: it counted, and was not made twice.
    let wanted = if at == Fault::Before { head + 1 } else { head };
    assert_eq!(committed.number(), wanted, "{at:?}");
    let all = other.refresh().await.unwrap();
    assert_eq!(ids(&all), ids(&committed));
    assert!(ids(&others).is_subset(&ids(&all)) && all.block(mine.id).is_some());
    assert_eq!(all.blocks().len(), commits_before + commits_meanwhile + 1);
    assert_eq!(ids(&open(&store).await.current()), ids(&all));
}

#[tokio::test]
async fn the_commit_of_a_writer_that_slept_past_a_sweep_does_not_count_by_accident() {
    for before in [0, 1, 4] {
        for meanwhile in [2, 3, 60] {
            suspended(Fault::Before, before, meanwhile).await;
            suspended(Fault::After, before, meanwhile).await;
        }
    }
}

#[tokio::test]
async fn a_follower_is_not_misled_by_the_manifest_of_a_sleeper() {
    let (faulty, store) = Faulty::store();
    let (sleeper, follower, other) = (open(&store).await, open(&store).await, open(&store).await);
    let mut rng = StdRng::seed_from_u64(1);
    other.commit(add(&[block(&mut rng)])).await.unwrap();
    sleeper.refresh().await.unwrap();
    follower.refresh().await.unwrap();
    let (reached, let_go) = faulty.hold(Fault::Before);
    let commit = sleeper.commit(add(&[block(&mut rng)]));
    let others = async {
        reached.await.unwrap();
        for _ in 0..3 {
            other.commit(add(&[block(&mut rng)])).await.unwrap();
        }
        sweep(&other).await;
        let (reached, go_on) = faulty.hold(Fault::After);
        let_go.send(()).unwrap();
        reached.await.unwrap();
        assert_eq!(numbers(&store).await, BTreeSet::from([2, 4]), "2 is the sleeper's");
        assert_eq!(follower.refresh().await.unwrap().number(), 4);
        go_on.send(()).unwrap();
    };
    let (committed, ()) = futures::future::join(commit, others).await;
    assert_eq!(committed.unwrap().number(), 5);
    assert_eq!(sweep(&other).await.manifests, 2, "the sleeper's too");
    assert_eq!(numbers(&store).await, BTreeSet::from([5]));
}

#[tokio::test]
async fn who_slept_longer_than_anybody_remembers_is_told_so() {
    let (faulty, store) = Faulty::store();
    let (sleeper, other) = (open(&store).await, open(&store).await);
    let mut rng = StdRng::seed_from_u64(1);
    other.commit(add(&[block(&mut rng)])).await.unwrap();
    sleeper.refresh().await.unwrap();
    faulty.fail(Fault::After, 5);
    let edit = add(&[block(&mut rng)]);
    sleeper.commit(edit.clone()).await.unwrap_err();
    for _ in 0..140 {
        other.commit(add(&[block(&mut rng)])).await.unwrap();
    }
    let error = sleeper.commit(edit).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { number: 2 }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_of_a_commit_under_way_is_not_swept_from_under_it() {
    let (faulty, store) = Faulty::store();
    let (sleeper, other) = (open(&store).await, open(&store).await);
    let mut rng = StdRng::seed_from_u64(1);
    other.commit(add(&[block(&mut rng)])).await.unwrap();
    sleeper.refresh().await.unwrap();
    // Enough for a segment, which is written before the manifest.
    let blocks: Vec<_> = (0..200).map(|_| block(&mut rng)).collect();
    let (reached, let_go) = faulty.hold(Fault::Before);
    let commit = tokio::spawn({
        let (sleeper, edit) = (sleeper.clone(), add(&blocks));
        async move { sleeper.commit(edit).await }
    });
    reached.await.unwrap();
    // Nobody else has committed. The block ids are no older than the fence only because a fence is older than "now".
    let segments = keys::manifest_segments(&TenantId::single());
    assert_eq!(store.list(&segments).await.unwrap().len(), 1);
    let later = SystemTime::now() + Duration::from_millis(5);
    let swept = other.sweep(later, Duration::ZERO).await.unwrap();
    assert_eq!(swept.segments, 1, "garbage, as far as anybody can know");
    let_go.send(()).unwrap();
    // The fence is for blocks too: these were begun before it.
    let error = commit.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Expired { .. }), "{error}");
    assert_eq!(
        open(&store).await.current().blocks().len(),
        1,
        "and nothing names the swept segment"
    );
}

// --- damage and versions

#[tokio::test]
async fn a_damaged_manifest_is_an_error_with_its_key() {
    let store = Store::memory();
    let manifests = open(&store).await;
    manifests.commit(add(&[block(&mut StdRng::seed_from_u64(1))])).await.unwrap();
    let key = keys::manifest(&TenantId::single(), 1);
    let mut object = store.get(&key).await.unwrap().to_vec();
    *object.last_mut().unwrap() ^= 1;
    store.put(&key, object.into()).await.unwrap();
    let tenant = TenantId::single();
    let error = Manifests::open(store.clone(), tenant, Uuid::nil()).await.unwrap_err();
    assert_eq!(error.to_string(), "single-tenant/manifest/00000000000000000001: damaged body");
}

/// The objects of version 1: a manifest with blocks of its own, removed ones, and segments.
fn golden() -> PathBuf {
    PathBuf::from("tests/formats/manifest/v1")
}

fn golden_blocks() -> Vec<BlockEntry> {
    let mut rng = StdRng::seed_from_u64(7);
    (0_u128..300)
        .map(|i| {
            block_with(Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 + i), &mut rng)
        })
        .collect()
}

#[tokio::test]
async fn version_1_reads_back() {
    let store = Store::memory();
    for folder in ["", "segments"] {
        for file in fs::read_dir(golden().join(folder)).unwrap() {
            let file = file.unwrap();
            if file.path().is_dir() {
                continue;
            }
            let name = file.file_name().into_string().unwrap();
            let key = Path::from(format!("single-tenant/manifest/{folder}/{name}"));
            store.put(&key, fs::read(file.path()).unwrap().into()).await.unwrap();
        }
    }
    let manifests = open(&store).await;
    let current = manifests.current();
    assert_eq!((current.number(), current.fence_unix_milli()), (4, 0x0192_ffff_ffff));
    let mut wanted = golden_blocks();
    wanted.retain(|block| block.id.as_u128() % 50 != 3);
    wanted.sort_by_key(|block| (block.start_unix_nano, block.id));
    let found: Vec<BlockEntry> = current.blocks().iter().map(|block| (**block).clone()).collect();
    assert!(found == wanted);
    let more = manifests.commit(add(&[block(&mut StdRng::seed_from_u64(1))])).await.unwrap();
    assert_eq!(more.blocks().len(), wanted.len() + 1);
}
