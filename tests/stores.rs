//! Every kind of bucket holds the same contract: memory, a local folder, and S3 spoken to a real server on loopback.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers here are the tests: each runs over every store"
)]

#[expect(dead_code, reason = "the tests of the manifest use the rest")]
mod faulty;

mod s3;

use std::ops::Range;

use bytes::Bytes;
use faulty::Fault;
use faulty::Faulty;
use futures::future::join_all;
use s3::Creates;
use s3::s3_config;
use s3::s3_server;
use tempfile::TempDir;
use uuid::Uuid;
use vivace::store::Backend;
use vivace::store::Config;
use vivace::store::Error;
use vivace::store::Path;
use vivace::store::PutOutcome;
use vivace::store::Store;
use vivace::store::keys;
use vivace::store::keys::BlockObject;
use vivace::tenant::TenantId;

#[tokio::test]
async fn memory_holds_the_contract() {
    let config = Config { backend: Backend::Memory, ..Config::default() };
    contract(&Store::open(&config).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_folder_holds_the_contract() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    // The folder is created.
    config.local.path = folder.path().join("data/blocks");
    // Of a file only what is wanted is read, by one call.
    contract_with(&Store::open(&config).await.unwrap(), (1, 1000 + 1 + 5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_holds_the_contract_with_and_without_a_prefix() {
    let folder = TempDir::new().unwrap();
    let mut config = s3_config(s3_server(&folder, Creates::Refused).await);
    contract(&Store::open(&config).await.unwrap()).await;
    config.s3.prefix = "some/prefix".to_owned();
    let with_prefix = Store::open(&config).await.unwrap();
    contract(&with_prefix).await;
    with_prefix.put(&Path::from("a/b"), Bytes::from_static(b"1")).await.unwrap();
    assert!(folder.path().join("traces/some/prefix/a/b").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_without_put_if_absent_is_refused() {
    let folder = TempDir::new().unwrap();
    let config = s3_config(s3_server(&folder, Creates::Overwrite).await);
    let error = Store::open(&config).await.unwrap_err();
    assert!(matches!(error, Error::NoPutIfAbsent { .. }), "{error}");
}

async fn contract(store: &Store) {
    // Near ranges are one request.
    contract_with(store, (2, 1000 + 300_000)).await;
}

/// With what reading ranges costs: requests and bytes.
async fn contract_with(store: &Store, cost_of_ranges: (u64, u64)) {
    objects_come_back(store).await;
    what_is_not_there_is_not_found(store).await;
    ranges_come_back_in_order(store, cost_of_ranges).await;
    folders_are_listed(store).await;
    of_racing_creates_exactly_one_wins(store).await;
    every_tenant_name_is_a_folder(store).await;
    // Nothing is left, the probe neither.
    for object in store.list(&Path::from("")).await.unwrap() {
        store.delete(&object.key).await.unwrap();
    }
    assert_eq!(store.list(&Path::from("")).await.unwrap(), []);
}

async fn objects_come_back(store: &Store) {
    let large: Bytes =
        (0..5 << 20).map(|i: u32| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let key = Path::from("tenant/object");
    for body in [Bytes::from_static(b"first"), Bytes::new(), large] {
        store.put(&key, body.clone()).await.unwrap();
        assert_eq!(
            store.get(&key).await.unwrap(),
            body,
            "also over an older, longer or shorter one"
        );
    }
    let free = Path::from("tenant/created");
    let create = async |body: &'static [u8]| {
        store.put_if_absent(&free, Bytes::from_static(body)).await.unwrap()
    };
    assert_eq!(create(b"").await, PutOutcome::Created);
    assert_eq!(create(b"other").await, PutOutcome::AlreadyExists);
    assert_eq!(store.get(&free).await.unwrap(), Bytes::new());
    store.delete(&free).await.unwrap();
    assert_eq!(create(b"again").await, PutOutcome::Created);
    assert_eq!(store.get(&free).await.unwrap(), "again");
    store.delete(&free).await.unwrap();
    store.delete(&key).await.unwrap();
}

async fn what_is_not_there_is_not_found(store: &Store) {
    let key = Path::from("tenant/nothing/here");
    let before = store.counters().get.requests();
    assert!(store.get(&key).await.unwrap_err().is_not_found());
    assert!(store.get_ranges(&key, &[0..1, 9 << 20..10 << 20]).await.unwrap_err().is_not_found());
    assert!(store.counters().get.requests() - before <= 3, "an answer is not tried again");
    store.delete(&key).await.unwrap();
    assert_eq!(store.list(&key).await.unwrap(), []);
    assert_eq!(store.list_folder(&key).await.unwrap(), []);
    assert_eq!(store.list_folders(&key).await.unwrap(), [] as [String; 0]);
}

async fn ranges_come_back_in_order(store: &Store, cost: (u64, u64)) {
    let body: Bytes = (0..4_u32 << 20).map(|i| (i ^ i >> 8 ^ i >> 16).to_le_bytes()[0]).collect();
    let key = Path::from("tenant/ranged");
    store.put(&key, body.clone()).await.unwrap();
    let end = body.len() as u64;
    let ranges: [Range<u64>; 6] =
        [end - 5..end, 7..9, 0..100, 5..5, 50..1000, end - 300_000..end - 299_999];
    let (requests, bytes) = (store.counters().get.requests(), store.counters().get.bytes());
    let parts = store.get_ranges(&key, &ranges).await.unwrap();
    let get = &store.counters().get;
    assert_eq!((get.requests() - requests, get.bytes() - bytes), cost);
    for (range, part) in ranges.iter().zip(parts) {
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
        assert_eq!(part, body.slice(start..end), "{range:?}");
    }
    assert_eq!(store.get_ranges(&key, &[]).await.unwrap(), [] as [Bytes; 0]);
    let before = store.counters().get.requests();
    let error = store.get_range(&key, end - 1..end + 1).await.unwrap_err();
    assert!(matches!(error, Error::Truncated { found: 1, .. } | Error::Refused { .. }), "{error}");
    let error = store.get_range(&key, end + 1..end + 2).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert_eq!(store.counters().get.requests() - before, 2, "a refusal is not tried again");
    store.delete(&key).await.unwrap();
}

async fn folders_are_listed(store: &Store) {
    let tenant = TenantId::parse("listed").unwrap();
    let segment = keys::manifest_segment(&tenant, Uuid::from_u128(1));
    for key in [&keys::manifest(&tenant, 1), &keys::manifest(&tenant, 10), &segment] {
        store.put(key, Bytes::from_static(b"123")).await.unwrap();
    }
    let folder = keys::manifests(&tenant);
    let mut found = store.list_folder(&folder).await.unwrap();
    found.sort_by(|a, b| a.key.cmp(&b.key));
    let numbers: Vec<_> = found.iter().map(|o| (keys::manifest_number(&o.key), o.bytes)).collect();
    assert_eq!(numbers, [(Some(1), 3), (Some(10), 3)]);
    assert_eq!(store.list_folders(&folder).await.unwrap(), ["segments"]);
    assert_eq!(store.list(&folder).await.unwrap().len(), 3);
    assert!(store.list_folders(&Path::from("")).await.unwrap().contains(&"listed".to_owned()));
    for object in store.list(&folder).await.unwrap() {
        store.delete(&object.key).await.unwrap();
    }
    assert_eq!(store.list_folder(&folder).await.unwrap(), []);
}

async fn of_racing_creates_exactly_one_wins(store: &Store) {
    for round in 0..4 {
        let key = keys::manifest(&TenantId::single(), round);
        let racers = (0..16_u8).map(|racer| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(
                async move { store.put_if_absent(&key, Bytes::from(vec![racer; 100])).await },
            )
        });
        let outcomes: Vec<PutOutcome> =
            join_all(racers).await.into_iter().map(|outcome| outcome.unwrap().unwrap()).collect();
        let winners: Vec<usize> = (0..16).filter(|i| outcomes[*i] == PutOutcome::Created).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        let body = store.get(&key).await.unwrap();
        assert_eq!(body, vec![u8::try_from(winners[0]).unwrap(); 100], "the winner's, whole");
        store.delete(&key).await.unwrap();
    }
}

async fn every_tenant_name_is_a_folder(store: &Store) {
    // The S3 server of this test puts a whole key into one file name, so the longest tenant name does not fit.
    let long = "x".repeat(50);
    for name in ["0-9_a.Z", "all!-_.*'()", "...", "-", long.as_str()] {
        let tenant = TenantId::parse(name).unwrap();
        let key = keys::block(&tenant, Uuid::from_u128(7), BlockObject::Spans);
        assert_eq!(
            store.put_if_absent(&key, Bytes::from_static(b"x")).await.unwrap(),
            PutOutcome::Created,
            "{name}"
        );
        assert_eq!(store.get(&key).await.unwrap(), "x", "{name}");
        assert!(
            store.list_folders(&Path::from("")).await.unwrap().contains(&name.to_owned()),
            "{name}"
        );
        let listed = store.list(&keys::blocks(&tenant)).await.unwrap();
        assert_eq!(listed.iter().map(|o| &o.key).collect::<Vec<_>>(), [&key]);
        store.delete(&key).await.unwrap();
        assert_eq!(store.list(&keys::blocks(&tenant)).await.unwrap(), []);
    }
}

// --- faults

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let key = Path::from("a");
    for fault in [Fault::Before, Fault::After] {
        let (faulty, store) = Faulty::store();
        faulty.fail(fault, 4);
        store.put(&key, Bytes::from_static(b"1")).await.unwrap();
        assert_eq!(store.counters().put.requests(), 5);
        assert_eq!(store.counters().put.errors(), 4);
        assert_eq!(store.get(&key).await.unwrap(), "1");
    }
    let (faulty, store) = Faulty::store();
    store.put(&key, Bytes::from_static(b"1")).await.unwrap();
    faulty.fail(Fault::Before, 4);
    assert_eq!(store.get(&key).await.unwrap(), "1");
    faulty.fail(Fault::Before, 4);
    assert_eq!(store.list_folder(&Path::from("")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_failure_that_stays_is_told_after_the_last_attempt() {
    let (faulty, store) = Faulty::store();
    faulty.fail(Fault::Before, 5);
    let error = store.put(&Path::from("a"), Bytes::new()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { attempts: 5, .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "a: 5 attempts, the last: Generic faulty error: connection reset"
    );
}

#[tokio::test]
async fn a_create_that_failed_before_the_write_creates() {
    let (faulty, store) = Faulty::store();
    faulty.fail(Fault::Before, 3);
    let outcome = store.put_if_absent(&Path::from("a"), Bytes::from_static(b"mine")).await.unwrap();
    assert_eq!(outcome, PutOutcome::Created);
    assert_eq!(store.get(&Path::from("a")).await.unwrap(), "mine");
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_not_lost_and_never_told_as_created_twice() {
    let key = Path::from("a");
    let (faulty, store) = Faulty::store();
    faulty.fail(Fault::After, 1);
    let outcome = store.put_if_absent(&key, Bytes::from_static(b"mine")).await.unwrap();
    assert_eq!(outcome, PutOutcome::AlreadyExists, "the caller compares");
    assert_eq!(store.get(&key).await.unwrap(), "mine");
    let (faulty, store) = Faulty::store();
    faulty.fail(Fault::After, 5);
    let error = store.put_if_absent(&key, Bytes::from_static(b"mine")).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "unknown, and said so: {error}");
    let outcome = store.put_if_absent(&key, Bytes::from_static(b"other")).await.unwrap();
    assert_eq!(outcome, PutOutcome::AlreadyExists);
    assert_eq!(store.get(&key).await.unwrap(), "mine");
}

#[tokio::test]
async fn a_local_folder_that_cannot_be_written_is_refused_with_its_name() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut config = Config::default();
    config.local.path = file.join("blocks");
    let error = Store::open(&config).await.unwrap_err();
    assert!(error.to_string().contains("file/blocks"), "{error}");
}
