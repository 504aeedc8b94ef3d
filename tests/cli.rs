//! The tools for operators over real folders: healthy ones, and ones with each kind of damage, which must be named.

#![expect(clippy::unwrap_used, reason = "the helpers here are parts of the tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod house;
#[expect(dead_code, reason = "other tests use the rest")]
mod sent;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;
use vivace::manifest::{BlockEntry, Edit, Manifests, audit};
use vivace::packs::Packs;
use vivace::runtime::Clock;
use vivace::store::keys::{self, BlockObject};
use vivace::store::{Backend, Config, Local, Store};
use vivace::tenant::TenantId;

use house::{House, Sizes};
use sent::{Dice, Sent};

const BEGIN: u64 = 1_790_000_000 * 1_000_000_000;
const TENANT: &str = "single-tenant";

/// So many that they are packed.
const BLOCKS: u64 = 17;

/// A bucket in a folder, with the config that names it.
struct Bucket {
    folder: TempDir,
}

/// What a tool has answered.
struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Bucket {
    fn path(&self) -> PathBuf {
        self.folder.path().join("bucket")
    }

    fn tenant(&self) -> PathBuf {
        self.path().join(TENANT)
    }

    /// A copy that may be damaged.
    fn copy(&self) -> Self {
        let copy = Self::new();
        copy_all(&self.path(), &copy.path());
        copy
    }

    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let bucket = folder.path().join("bucket");
        std::fs::create_dir(&bucket).unwrap();
        let text = format!(
            "storage: {{trace: {{backend: local, local: {{path: '{}'}}}}}}\n",
            bucket.display()
        );
        std::fs::write(folder.path().join("tempo.yaml"), text).unwrap();
        Self { folder }
    }

    fn run(&self, line: &str) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_vivace"))
            .args(line.split_whitespace())
            .arg(format!("-config.file={}", self.folder.path().join("tempo.yaml").display()))
            .output()
            .unwrap();
        Answer {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    async fn store(&self) -> Store {
        let local = Local { path: self.path() };
        let config = Config { backend: Backend::Local, local, ..Config::default() };
        Store::open(&config).await.unwrap()
    }

    fn files(&self) -> BTreeMap<PathBuf, (u64, SystemTime)> {
        let file = |path: PathBuf| {
            let meta = std::fs::metadata(&path).unwrap();
            (path, (meta.len(), meta.modified().unwrap()))
        };
        files_of(&self.path()).into_iter().map(file).collect()
    }

    /// A block that does not hide another's damage: the first.
    fn block(&self) -> PathBuf {
        let mut blocks: Vec<PathBuf> = folders_of(&self.tenant().join("blocks"));
        blocks.sort();
        blocks.remove(0)
    }
}

impl Answer {
    fn lines(&self, kind: &str) -> Vec<&str> {
        self.out.lines().map(str::trim).filter(|line| line.starts_with(kind)).collect()
    }

    /// Something is wrong, with this object and no other, and says this.
    fn assert_only_wrong(&self, key: &str, what: &str) {
        assert_eq!(self.code, 1, "{key}: {}{}", self.out, self.err);
        let wrong = self.lines("WRONG");
        assert!(!wrong.is_empty(), "{key}: {}", self.out);
        for line in &wrong {
            assert!(line.contains(key), "{key} is not in {line}");
        }
        assert!(wrong.iter().any(|line| line.contains(what)), "{what} is not in {wrong:?}");
    }
}

fn folders_of(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_of(&path)) } else { files.push(path) }
    }
    files
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in files_of(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
}

fn flip(file: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = std::fs::read(file).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    std::fs::write(file, bytes).unwrap();
}

fn cut(file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
}

/// Traces of two spans, which share their second half with the next part.
fn parts(count: u64) -> Vec<Vec<Sent>> {
    let text = |text: String| Some(AnyValue { value: Some(StringValue(text)) });
    let attribute = |key: &str, value: String| KeyValue {
        key: key.to_owned(),
        value: text(value),
        ..KeyValue::default()
    };
    let span = |part: u64, number: u64| {
        let mut dice = Dice(number);
        Span {
            trace_id: [dice.roll(), dice.roll()].map(u64::to_be_bytes).concat(),
            span_id: (part * 1000 + number + 1).to_be_bytes().to_vec(),
            name: format!("GET /{}", number % 7),
            start_time_unix_nano: BEGIN + number,
            end_time_unix_nano: BEGIN + number + 1000,
            attributes: vec![attribute("http.method", "GET".to_owned())],
            ..Span::default()
        }
    };
    let service = |number: u64| Resource {
        attributes: vec![attribute("service.name", format!("service-{}", number % 3))],
        ..Resource::default()
    };
    let sent = |part, number| Sent {
        resource: Some(service(number)),
        scope: None,
        span: span(part, number),
    };
    let part = |part: u64| (part * 50..part * 50 + 100).map(|number| sent(part, number)).collect();
    (0..count).map(part).collect()
}

/// [`BLOCKS`] blocks and a pack of them.
async fn filled() -> Bucket {
    let bucket = Bucket::new();
    let sizes = Sizes { max_block_spans: 100_000, assembled_spans_max: 2500 };
    let clock = Clock::simulated(BEGIN);
    let house = House::open(bucket.store().await, TempDir::new().unwrap(), clock, sizes).await;
    house.push_and_cut(&parts(BLOCKS)).await;
    let manifests = house.ingester.manifests(&TenantId::single()).await.unwrap();
    let packs = Packs::new(
        house.store.clone(),
        house.blocks.clone(),
        house.cpu.clone(),
        house.clock.clone(),
    );
    packs.keep(&TenantId::single(), &manifests.current()).await.unwrap();
    bucket
}

fn pack_of(bucket: &Bucket) -> PathBuf {
    files_of(&bucket.tenant().join("traces")).pop().expect("a pack of all blocks")
}

fn key_of(bucket: &Bucket, file: &Path) -> String {
    file.strip_prefix(bucket.path()).unwrap().display().to_string()
}

#[tokio::test]
async fn of_a_healthy_bucket_nothing_is_wrong_and_nothing_is_changed() {
    let bucket = filled().await;
    let before = bucket.files();
    let answer = bucket.run("blocks check");
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    assert!(answer.out.contains("17 blocks with 102 objects, 1700 spans"), "{}", answer.out);
    assert!(answer.out.contains("1 pack,"), "{}", answer.out);
    assert!(answer.out.ends_with("nothing is wrong; 0 orphans\n"), "{}", answer.out);
    assert_eq!(answer.err, "", "no progress where nobody looks");

    let answer = bucket.run("blocks list --json");
    let listed: Value = serde_json::from_str(&answer.out).unwrap();
    let blocks = listed["tenants"][0]["blocks"].as_array().unwrap();
    let spans: u64 = blocks.iter().map(|block| block["spans"].as_u64().unwrap()).sum();
    assert_eq!((blocks.len(), spans), (17, 1700));
    assert_eq!(blocks[0]["startUnixNano"], BEGIN.to_string());
    let answer = bucket.run("blocks list --tenant=single-tenant");
    assert!(answer.out.contains("17 blocks in manifest 17, 1700 spans"), "{}", answer.out);
    let answer = bucket.run("blocks list --tenant=nobody");
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("nobody") && answer.err.contains(TENANT), "{}", answer.err);
    assert_eq!(bucket.files(), before, "the tools only read");
}

#[tokio::test]
async fn a_block_is_told_with_its_parts() {
    let bucket = filled().await;
    let id = bucket.block().file_name().unwrap().to_str().unwrap().to_owned();
    let answer = bucket.run(&format!("blocks view {TENANT} {id}"));
    assert_eq!(answer.code, 0, "{}", answer.err);
    for part in [
        "100 spans, 100 traces",
        "service-0, service-1, service-2",
        "spans.parquet",
        "zones and keys",
        "http.method",
        "100.0 %",
    ] {
        assert!(answer.out.contains(part), "{part} is not in {}", answer.out);
    }
    let answer = bucket.run(&format!("blocks view {TENANT} {id} --json"));
    let told: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((told["objects"].as_array().unwrap().len(), &told["spans"]), (6, &100.into()));
    let other = Uuid::from_u128(7);
    let answer = bucket.run(&format!("blocks view {TENANT} {other}"));
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains(&other.to_string()), "{}", answer.err);
}

#[tokio::test]
async fn a_flipped_byte_is_named_in_every_kind_of_object() {
    let good = filled().await;
    for object in
        ["spans.parquet", "traces.parquet", "resources.parquet", "bloom-0", "index", "meta.json"]
    {
        let places: [fn(usize) -> usize; 3] = [|_| 0, |len| len / 2, |len| len - 1];
        for place in places {
            let bucket = good.copy();
            let file = bucket.block().join(object);
            flip(&file, place);
            bucket.run("blocks check").assert_only_wrong(&key_of(&bucket, &file), "CRC32C");
        }
    }
    let bucket = good.copy();
    let pack = pack_of(&bucket);
    flip(&pack, |_| 3);
    bucket.run("blocks check").assert_only_wrong(&key_of(&bucket, &pack), "checksum of a page");
}

#[tokio::test]
async fn missing_and_shorter_objects_are_named() {
    let good = filled().await;
    for object in ["spans.parquet", "bloom-0", "index", "meta.json"] {
        let bucket = good.copy();
        let file = bucket.block().join(object);
        let key = key_of(&bucket, &file);
        cut(&file);
        bucket.run("blocks check").assert_only_wrong(&key, "bytes, the list of blocks says");
        std::fs::remove_file(&file).unwrap();
        bucket.run("blocks check").assert_only_wrong(&key, "not in the bucket");
    }
    let bucket = good.copy();
    std::fs::remove_file(bucket.tenant().join("manifest/00000000000000000002")).unwrap();
    let answer = bucket.run("blocks check");
    answer.assert_only_wrong("manifest/00000000000000000002", "not in the bucket, though");
}

#[tokio::test]
async fn a_truncated_manifest_is_named_and_the_one_before_is_checked() {
    let bucket = filled().await.copy();
    let newest = bucket.tenant().join("manifest/00000000000000000017");
    cut(&newest);
    let answer = bucket.run("blocks check");
    answer.assert_only_wrong(&key_of(&bucket, &newest), "");
    assert!(answer.out.contains("manifest 16; read"), "{}", answer.out);
    assert!(answer.out.contains("16 blocks"), "{}", answer.out);
    assert!(answer.lines("ORPHAN").is_empty(), "the last block is none: {}", answer.out);
    flip(&bucket.tenant().join("manifest/00000000000000000001"), |len| len - 1);
    assert_eq!(bucket.run("blocks check").lines("WRONG").len(), 2);
}

#[tokio::test]
async fn what_nothing_refers_to_is_named_but_not_wrong() {
    let bucket = filled().await.copy();
    let block = bucket.block();
    let old = bucket.tenant().join("blocks/0190a000-0000-7000-8000-000000000001");
    copy_all(&block, &old);
    let young = bucket.tenant().join(format!("blocks/{}", Uuid::now_v7()));
    copy_all(&old, &young);
    std::fs::write(block.join("notes.txt"), "mine").unwrap();
    let answer = bucket.run("blocks check");
    assert_eq!(answer.code, 0, "{}", answer.out);
    let orphans = answer.lines("ORPHAN");
    assert_eq!(orphans.len(), 2, "{}", answer.out);
    for part in ["0190a000-0000-7000-8000-000000000001/: 6 objects", "notes.txt"] {
        assert!(orphans.iter().any(|line| line.contains(part)), "{part}: {orphans:?}");
    }
    assert!(answer.out.contains("1 block folder not in the list yet"), "{}", answer.out);
    let answer = bucket.run("blocks check --json");
    let told: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((&told["wrong"], &told["orphans"]), (&0.into(), &2.into()));
}

type Lie = fn(&mut BlockEntry);

/// A block whose objects are whole, but not what its entry says, as only a bug could write.
#[tokio::test]
async fn a_block_that_is_not_what_the_list_says_is_named() {
    let good = filled().await;
    let lies: [(&str, Lie, &str); 3] = [
        ("index", |entry| entry.spans += 1, "spans of the directory: 100"),
        ("index", |entry| entry.shared_traces += 1, "shared traces: "),
        ("traces.parquet", |entry| entry.traces -= 1, "rows: 100"),
    ];
    for (object, lie, what) in lies {
        let bucket = good.copy();
        let id = Uuid::now_v7();
        commit_changed(&bucket, id, lie).await;
        let answer = bucket.run("blocks check");
        let key = format!("{TENANT}/blocks/{id}/{object}");
        assert_eq!(answer.code, 1, "{}", answer.out);
        let wrong = answer.lines("WRONG");
        assert!(wrong.iter().any(|line| line.contains(&key) && line.contains(what)), "{wrong:?}");
        assert!(wrong.iter().all(|line| line.contains(&id.to_string())), "{wrong:?}");
    }
}

/// The last block has traces that the first has not: the filter of one does not know all traces of the other.
#[tokio::test]
async fn a_bloom_filter_of_other_traces_is_named() {
    let bucket = filled().await.copy();
    let mut blocks = folders_of(&bucket.tenant().join("blocks"));
    blocks.sort();
    let other = std::fs::read(blocks[5].join("bloom-0")).unwrap();
    let id = Uuid::now_v7();
    let (bytes, crc32c) = (other.len() as u64, vivace::block::crc32c(&other));
    let swap = move |entry: &mut BlockEntry| {
        let bloom = entry.objects.iter_mut().find(|info| info.object == BlockObject::Bloom(0));
        let bloom = bloom.unwrap();
        (bloom.bytes, bloom.crc32c) = (bytes, crc32c);
    };
    commit_changed(&bucket, id, swap).await;
    std::fs::write(bucket.tenant().join(format!("blocks/{id}/bloom-0")), other).unwrap();
    let answer = bucket.run("blocks check");
    answer.assert_only_wrong(&format!("blocks/{id}/bloom-0"), "not in their bloom filter");
}

/// Puts the first block into the list once more, under another id and with a changed entry.
async fn commit_changed(bucket: &Bucket, id: Uuid, change: impl FnOnce(&mut BlockEntry)) {
    let tenant = TenantId::single();
    let manifests = Manifests::open(bucket.store().await, tenant, Uuid::now_v7()).await.unwrap();
    let first: Uuid = bucket.block().file_name().unwrap().to_str().unwrap().parse().unwrap();
    copy_all(&bucket.block(), &bucket.tenant().join(format!("blocks/{id}")));
    let mut entry = BlockEntry::clone(manifests.current().block(first).unwrap());
    entry.id = id;
    change(&mut entry);
    manifests.commit(Edit { add: vec![entry], ..Edit::default() }).await.unwrap();
}

#[tokio::test]
async fn segments_of_the_list_are_read_and_named() {
    let (store, tenant) = (Store::memory(), TenantId::single());
    let manifests = Manifests::open(store.clone(), tenant.clone(), Uuid::now_v7()).await.unwrap();
    for _ in 0..40 {
        let entry = |number: u64| BlockEntry {
            id: Uuid::now_v7(),
            start_unix_nano: BEGIN + number,
            end_unix_nano: BEGIN + number,
            spans: 1,
            traces: 1,
            service_names: (0..30).map(|_| random_name()).collect(),
            ..BlockEntry::default()
        };
        let add = (0..20).map(entry).collect();
        manifests.commit(Edit { add, ..Edit::default() }).await.unwrap();
    }
    let good = audit(&store, &tenant).await.unwrap();
    assert_eq!((good.manifests, good.wrong.len(), good.in_use.len()), (40, 0, 800));
    assert!(good.segments > 0, "the list is long enough");
    assert_eq!(good.newest.unwrap().blocks().len(), 800);

    let segments = store.list(&keys::manifest_segments(&tenant)).await.unwrap();
    let named = segments.iter().find(|object| !good.unnamed_segments.contains(&object.key));
    let key = &named.unwrap().key;
    let body = store.get(key).await.unwrap();
    let mut damaged = body.to_vec();
    damaged[100] ^= 1;
    store.put(key, damaged.into()).await.unwrap();
    let found = audit(&store, &tenant).await.unwrap();
    assert_eq!(found.wrong.keys().collect::<Vec<_>>(), [key]);
    store.delete(key).await.unwrap();
    let found = audit(&store, &tenant).await.unwrap();
    assert_eq!(found.wrong.keys().collect::<Vec<_>>(), [key]);
    assert!(found.wrong[key].contains("names it"), "{:?}", found.wrong);
}

/// A text that does not compress.
fn random_name() -> String {
    format!("{:032x}", rand::random::<u128>())
}
