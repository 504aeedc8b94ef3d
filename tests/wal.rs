//! The write-ahead log against a disk that loses what a disk may lose, by seed; and its format, by golden file.

#![expect(clippy::unwrap_used, reason = "the helpers here are parts of the tests")]

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::join_all;
use rand::RngExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tempfile::TempDir;
use vivace::failure::Kind;
use vivace::tenant::TenantId;
use vivace::wal::Config;
use vivace::wal::Disk;
use vivace::wal::Error;
use vivace::wal::Fault;
use vivace::wal::Format;
use vivace::wal::Position;
use vivace::wal::RealDisk;
use vivace::wal::Record;
use vivace::wal::SimulatedDisk;
use vivace::wal::Wal;

const DIR: &str = "/wal";

fn open(disk: &SimulatedDisk, config: &Config) -> Result<Wal, Error> {
    Wal::open(Path::new(DIR), config, Arc::new(disk.clone()))
}

/// A record that tells its number in its body.
fn record(number: u64) -> Record {
    let mut rng = StdRng::seed_from_u64(number);
    let mut body = number.to_le_bytes().to_vec();
    body.resize(rng.random_range(8..400), 7);
    Record {
        tenant: TenantId::parse(["a", "team-1", "b"][rng.random_range(0..3)]).unwrap(),
        received_unix_nano: rng.random(),
        format: Format::Otlp,
        spans: rng.random_range(0..9),
        refused: (0..rng.random_range(0..3)).map(|i| i * 9).collect(),
        body: body.into(),
    }
}

fn number_of(record: &Record) -> u64 {
    u64::from_le_bytes(*record.body.first_chunk().unwrap())
}

fn segment_path(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("{number:020}.wal"))
}

fn replayed(wal: &Wal) -> Vec<(Position, Record)> {
    wal.replay().collect::<Result<_, _>>().unwrap()
}

// --- the model

#[derive(Default)]
struct Model {
    next: u64,
    /// What a replay must give: acknowledged, or found by an earlier replay.
    kept: BTreeMap<Position, Vec<u64>>,
    /// Segments that are gone for good, and those whose release was cut short.
    released: BTreeSet<u64>,
    maybe_released: BTreeSet<u64>,
}

impl Model {
    /// Checks a replay against what was acknowledged.
    fn check(&mut self, found: &[(Position, Record)]) -> Result<(), String> {
        let mut at = Position { segment: 0, first_span: 0 };
        let mut seen = BTreeSet::new();
        let mut by_position: BTreeMap<Position, Vec<u64>> = BTreeMap::new();
        for (position, found) in found {
            if position.segment != at.segment {
                at = Position { segment: position.segment, first_span: 0 };
            }
            if *position != at {
                return Err(format!("{position:?}, but {at:?} by the spans before it"));
            }
            at.first_span += found.spans;
            let number = number_of(found);
            if number >= self.next || *found != record(number) {
                return Err(format!("record {number} was never appended"));
            }
            if !seen.insert(number) {
                return Err(format!("record {number} twice"));
            }
            if self.released.contains(&position.segment) {
                return Err(format!("record {number} of a released segment"));
            }
            by_position.entry(*position).or_default().push(number);
        }
        for (position, numbers) in &self.kept {
            if self.released.contains(&position.segment)
                || self.maybe_released.contains(&position.segment)
            {
                continue;
            }
            // Records without spans share the position of the one after them.
            let there = by_position.get(position).map_or(&[] as &[u64], Vec::as_slice);
            if !there.starts_with(numbers) {
                return Err(format!("{position:?}: acknowledged {numbers:?}, found {there:?}"));
            }
        }
        for (position, numbers) in by_position {
            self.kept.insert(position, numbers);
        }
        Ok(())
    }
}

/// Some lives of a log, each ended by a crash at a random place.
async fn lives(seed: u64, disk: &SimulatedDisk) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut model = Model::default();
    let config = Config { segment_bytes_max: rng.random_range(300..3000), ..Config::default() };
    for _ in 0..6 {
        if rng.random_ratio(1, 4) {
            disk.cut_power_after(rng.random_range(0..12));
        }
        if let Ok(wal) = open(disk, &config) {
            let found: Result<Vec<_>, Error> = wal.replay().collect();
            if let Ok(found) = found {
                model.check(&found)?;
                life(&mut rng, disk, &wal, &mut model).await;
            }
            if rng.random() {
                wal.close().await;
            }
        }
        disk.crash(&mut rng);
    }
    let wal = open(disk, &config).map_err(|e| e.to_string())?;
    let mut replay = wal.replay();
    let found: Result<Vec<_>, Error> = replay.by_ref().collect();
    model.check(&found.map_err(|e| e.to_string())?)?;
    if replay.damage().is_empty() { Ok(()) } else { Err(format!("{:?}", replay.damage())) }
}

async fn life(rng: &mut StdRng, disk: &SimulatedDisk, wal: &Wal, model: &mut Model) {
    if rng.random_ratio(3, 4) {
        disk.cut_power_after(rng.random_range(0..40));
    }
    for _ in 0..rng.random_range(1..20) {
        match rng.random_range(0..12) {
            0 => {
                wal.rotate().await.ok();
            }
            1 => {
                let segments = wal.segments();
                let segment = segments[rng.random_range(0..segments.len())].number;
                match wal.release(segment).await {
                    Ok(()) => model.released.insert(segment),
                    Err(Error::Newest { .. }) => false,
                    Err(_) => model.maybe_released.insert(segment),
                };
            }
            2 => disk.set_fault(match rng.random_range(0..3) {
                0 => Fault::Append { bytes_written: rng.random_range(0..500) },
                1 => Fault::Sync,
                _ => Fault::Create,
            }),
            _ => {
                let numbers = model.next..model.next + rng.random_range(1..6);
                model.next = numbers.end;
                let appends = numbers.map(|n| wal.append(record(n)).map(move |done| (n, done)));
                for (number, done) in join_all(appends).await {
                    if let Ok(position) = done {
                        assert!(!model.released.contains(&position.segment), "a number used again");
                        model.kept.entry(position).or_default().push(number);
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_any_crash_in_order_and_once() {
    for seed in 0..400 {
        if let Err(wrong) = lives(seed, &SimulatedDisk::new()).await {
            panic!("seed {seed}: {wrong}");
        }
    }
}

#[tokio::test]
async fn without_the_sync_the_same_test_finds_a_loss() {
    let mut losses = 0;
    for seed in 0..40 {
        // Other seeds find nothing to lose.
        let disk = SimulatedDisk::without_syncs_of("wal");
        let wrong = lives(seed, &disk).await.err().unwrap_or_default();
        losses += u32::from(wrong.contains("acknowledged"));
    }
    assert!(losses > 20, "{losses} of 40 seeds notice");
}

// --- torn and damaged

/// Three records in one segment; the bytes of the segment, and where each record ends.
async fn three_records() -> (Vec<u8>, [usize; 3]) {
    let disk = SimulatedDisk::new();
    let wal = open(&disk, &Config::default()).unwrap();
    let mut ends = [0; 3];
    for (number, end) in (1..).zip(&mut ends) {
        wal.append(record(number)).await.unwrap();
        *end = usize::try_from(wal.bytes()).unwrap();
    }
    (disk.read(&segment_path(1), 0, usize::MAX).unwrap(), ends)
}

/// A log whose only segment has these bytes.
fn log_of(bytes: &[u8]) -> (SimulatedDisk, Wal) {
    let disk = SimulatedDisk::new();
    disk.create_dir(Path::new(DIR)).unwrap();
    disk.create(&segment_path(1)).unwrap().append(bytes).unwrap();
    let wal = open(&disk, &Config::default()).unwrap();
    (disk, wal)
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_not_an_error() {
    let (bytes, ends) = three_records().await;
    for cut in 0..=bytes.len() {
        for zeros in [0, 1, 64] {
            let mut torn = bytes[..cut].to_vec();
            torn.resize(cut + zeros, 0);
            let (_, wal) = log_of(&torn);
            let mut replay = wal.replay();
            let found: Vec<u64> =
                replay.by_ref().map(|found| number_of(&found.unwrap().1)).collect();
            // Zeros can stand for the last bytes of a record, if those were zeros.
            let whole: Vec<u64> =
                (1..).zip(ends).filter(|(_, end)| *end <= cut).map(|(n, _)| n).collect();
            assert!(
                found.starts_with(&whole) && found.len() <= whole.len() + 1,
                "{cut}: {found:?}"
            );
            assert_eq!(replay.damage(), []);
        }
    }
}

#[tokio::test]
async fn damage_before_good_records_is_reported_and_ends_the_segment() {
    let (bytes, ends) = three_records().await;
    // Length, CRC, receive time, format, body.
    for at in [0, 4, 8, 16, 30] {
        let (disk, wal) = log_of(&bytes);
        wal.close().await;
        disk.flip(&segment_path(1), ends[0] + at);
        let wal = open(&disk, &Config::default()).unwrap();
        let mut replay = wal.replay();
        let found: Vec<u64> = replay.by_ref().map(|found| number_of(&found.unwrap().1)).collect();
        assert_eq!(found, [1]);
        let [damage] = replay.damage() else { panic!("{at}: {:?}", replay.damage()) };
        assert_eq!((damage.offset, damage.resumes_at), (ends[0] as u64, ends[1] as u64), "{at}");
        assert_eq!(replay.torn(), 0);
    }
    let (disk, wal) = log_of(&bytes);
    wal.close().await;
    disk.flip(&segment_path(1), 3);
    let wal = open(&disk, &Config::default()).unwrap();
    let mut replay = wal.replay();
    assert!(replay.next().is_none());
    assert_eq!(replay.damage()[0].resumes_at, 40, "a damaged header");
    assert_eq!(wal.segments().len(), 2, "nothing damaged is removed");
}

// --- writing

#[tokio::test]
async fn what_waits_together_is_synced_once() {
    let disk = SimulatedDisk::new();
    let wal = open(&disk, &Config::default()).unwrap();
    let before = disk.syncs();
    // Fewer than tokio lets one task do without a pause.
    let mut appends: Vec<_> = (0..30).map(|n| Box::pin(wal.append(record(n)))).collect();
    let paused = disk.pause();
    for append in &mut appends {
        assert!(append.now_or_never().is_none(), "nothing is acknowledged before its sync");
    }
    drop(paused);
    let positions: Vec<Position> =
        join_all(appends).await.into_iter().collect::<Result<_, _>>().unwrap();
    assert!(positions.is_sorted(), "in the order of the calls");
    let syncs = disk.syncs() - before;
    assert!(syncs <= 2, "the first taken, and all the others: {syncs}");
}

#[tokio::test]
async fn a_full_queue_waits_and_a_dropped_append_hurts_nobody() {
    let disk = SimulatedDisk::new();
    let config = Config { queue_bytes_max: 2048, ..Config::default() };
    let wal = open(&disk, &config).unwrap();
    let mut appends: Vec<_> = (0..20).map(|n| Box::pin(wal.append(record(n)))).collect();
    let paused = disk.pause();
    for append in &mut appends {
        assert!(append.now_or_never().is_none());
    }
    drop(appends.remove(3));
    drop(paused);
    for append in join_all(appends).await {
        append.unwrap();
    }
}

#[tokio::test]
async fn after_a_failed_sync_or_write_nothing_is_acknowledged_on_that_segment() {
    for fault in [Fault::Sync, Fault::Append { bytes_written: 11 }] {
        let disk = SimulatedDisk::new();
        let wal = open(&disk, &Config::default()).unwrap();
        assert_eq!(wal.append(record(1)).await.unwrap().segment, 1);
        disk.set_fault(fault);
        let error = wal.append(record(2)).await.unwrap_err();
        assert!(matches!(error, Error::Disk { .. }), "{error}");
        assert_eq!(error.kind(), Kind::Unavailable { retry_after: Duration::from_secs(1) });
        let position = wal.append(record(3)).await.unwrap();
        assert_eq!(position, Position { segment: 2, first_span: 0 });
        let spans: Vec<u32> = wal.segments().iter().map(|segment| segment.spans).collect();
        assert_eq!(spans, [record(1).spans, record(3).spans], "acknowledged ones only");
        disk.set_fault(Fault::Create);
        wal.rotate().await.unwrap_err();
        assert_eq!(wal.append(record(4)).await.unwrap().segment, 4, "a number is used once");
    }
}

#[tokio::test]
async fn a_full_log_refuses_with_the_setting_and_takes_again_after_a_release() {
    let disk = SimulatedDisk::new();
    let config = Config { wal_bytes_max: 2000, segment_bytes_max: 1000, ..Config::default() };
    let wal = open(&disk, &config).unwrap();
    let mut number = 0;
    let error = loop {
        number += 1;
        match wal.append(record(number)).await {
            Ok(_) => assert!(number < 1000),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("wal_bytes_max = 2000"), "{error}");
    assert!(matches!(error.kind(), Kind::Unavailable { .. }));
    assert!(wal.bytes() <= 2000);
    wal.release(1).await.unwrap();
    wal.append(record(number)).await.unwrap();
}

#[tokio::test]
async fn a_record_larger_than_a_segment_is_a_segment_of_its_own() {
    let disk = SimulatedDisk::new();
    let wal = open(&disk, &Config { segment_bytes_max: 1000, ..Config::default() }).unwrap();
    let large = Record { body: Bytes::from(vec![1; 3 << 20]), ..record(0) };
    for wanted in [1, 2] {
        assert_eq!(wal.append(large.clone()).await.unwrap().segment, wanted);
    }
    assert_eq!(wal.append(record(1)).await.unwrap().segment, 3);
    wal.close().await;
    let found = replayed(&open(&disk, &Config::default()).unwrap());
    assert_eq!(
        found.iter().map(|(_, record)| record).collect::<Vec<_>>(),
        [&large, &large, &record(1)]
    );
    let huge = Record { body: Bytes::from(vec![0; 129 << 20]), ..record(0) };
    let error = wal.append(huge).await.unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
}

// --- letting go, starting again

#[tokio::test]
async fn the_newest_segment_is_let_go_after_a_rotation_only() {
    let disk = SimulatedDisk::new();
    let wal = open(&disk, &Config::default()).unwrap();
    wal.append(record(1)).await.unwrap();
    assert!(matches!(wal.release(1).await, Err(Error::Newest { segment: 1 })));
    assert_eq!(wal.rotate().await.unwrap(), 2);
    assert_eq!(wal.rotate().await.unwrap(), 2, "an empty one stays");
    wal.release(1).await.unwrap();
    wal.release(1).await.unwrap();
    assert_eq!(wal.segments().iter().map(|segment| segment.number).collect::<Vec<_>>(), [2]);
    let id = wal.writer_id();
    wal.close().await;
    assert!(matches!(wal.append(record(2)).await, Err(Error::Closed)));
    let wal = open(&disk, &Config::default()).unwrap();
    assert_eq!(wal.writer_id(), id);
    assert_eq!(wal.append(record(2)).await.unwrap().segment, 3, "numbers go on");
    assert_eq!(replayed(&wal), []);
    assert_eq!(wal.segments().len(), 1, "the empty segment is gone");
}

#[tokio::test]
async fn a_folder_without_segments_gets_a_new_writer_id() {
    let disk = SimulatedDisk::new();
    let wal = open(&disk, &Config::default()).unwrap();
    let id = wal.writer_id();
    wal.close().await;
    disk.remove(&segment_path(1)).unwrap();
    assert_ne!(open(&disk, &Config::default()).unwrap().writer_id(), id);
}

#[tokio::test]
async fn segments_of_another_log_are_refused() {
    let (bytes, _) = three_records().await;
    let (disk, wal) = log_of(&bytes);
    wal.close().await;
    let (other, _) = three_records().await;
    disk.create(&segment_path(7)).unwrap().append(&other).unwrap();
    let error = open(&disk, &Config::default()).unwrap_err();
    assert!(error.to_string().contains("segment 1 under another name"), "{error}");
    disk.rename(&segment_path(7), &segment_path(1)).unwrap();
    let error = open(&disk, &Config::default()).unwrap_err();
    assert!(error.to_string().contains("a segment of writer"), "{error}");
}

#[tokio::test]
async fn two_processes_do_not_share_a_log() {
    let folder = TempDir::new().unwrap();
    let wal = Wal::open(folder.path(), &Config::default(), Arc::new(RealDisk)).unwrap();
    let error = Wal::open(folder.path(), &Config::default(), Arc::new(RealDisk)).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    wal.close().await;
    Wal::open(folder.path(), &Config::default(), Arc::new(RealDisk)).unwrap();
}

#[tokio::test]
async fn a_real_disk_gives_back_what_was_acknowledged() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path().join("new/wal");
    let config = Config { segment_bytes_max: 2000, ..Config::default() };
    let wal = Wal::open(&dir, &config, Arc::new(RealDisk)).unwrap();
    let appended: Vec<_> = join_all((0..50).map(|n| wal.append(record(n)))).await;
    let appended: Vec<Position> = appended.into_iter().collect::<Result<_, _>>().unwrap();
    wal.close().await;
    let wal = Wal::open(&dir, &config, Arc::new(RealDisk)).unwrap();
    let found = replayed(&wal);
    assert_eq!(found.iter().map(|(position, _)| *position).collect::<Vec<_>>(), appended);
    assert!(found.iter().zip(0..).all(|((_, found), n)| *found == record(n)));
    assert!(wal.segments().len() > 2);
}

// --- the contract of disks

#[test]
fn both_disks_hold_the_contract() {
    let folder = TempDir::new().unwrap();
    disk_contract(&RealDisk, &folder.path().join("a/b"));
    let simulated = SimulatedDisk::new();
    disk_contract(&simulated, Path::new("/a/b"));
}

fn disk_contract(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    assert_eq!(disk.list(dir).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.create(&path).err().unwrap().kind(), ErrorKind::NotFound);
    disk.create_dir(dir).unwrap();
    disk.create_dir(dir).unwrap();
    assert_eq!(disk.read(&path, 0, 1).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.remove(&path).unwrap_err().kind(), ErrorKind::NotFound);
    let mut file = disk.create(&path).unwrap();
    assert_eq!(disk.create(&path).err().unwrap().kind(), ErrorKind::AlreadyExists);
    file.append(b"hello").unwrap();
    file.append(b"").unwrap();
    assert_eq!(disk.read(&path, 0, 100).unwrap(), b"hello", "before any sync");
    file.sync().unwrap();
    file.append(b" world").unwrap();
    assert_eq!(disk.read(&path, 4, 3).unwrap(), b"o w");
    assert_eq!(disk.read(&path, 11, 3).unwrap(), b"");
    assert_eq!(disk.read(&path, 99, 3).unwrap(), b"");
    let names = || -> Vec<(String, u64)> {
        let mut files: Vec<_> =
            disk.list(dir).unwrap().into_iter().map(|file| (file.name, file.bytes)).collect();
        files.sort();
        files.retain(|(name, _)| name != "lock");
        files
    };
    assert_eq!(names(), [("file".to_owned(), 11)]);
    disk.create(&dir.join("other")).unwrap();
    disk.rename(&path, &dir.join("other")).unwrap();
    assert_eq!(names(), [("other".to_owned(), 11)], "renamed over another");
    file.append(b"!").unwrap();
    assert_eq!(
        disk.read(&dir.join("other"), 6, 9).unwrap(),
        b"world!",
        "a handle follows its file"
    );
    disk.sync_dir(dir).unwrap();
    let lock = disk.lock(dir).unwrap();
    assert_eq!(disk.lock(dir).err().unwrap().kind(), ErrorKind::WouldBlock);
    drop(lock);
    disk.lock(dir).unwrap();
    disk.remove(&dir.join("other")).unwrap();
    assert_eq!(names(), []);
}

#[test]
fn a_crash_keeps_what_was_synced_and_tears_the_rest() {
    let (mut torn, mut whole, mut lost_name, mut lost_remove) = (0, 0, 0, 0);
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let disk = SimulatedDisk::new();
        let dir = Path::new(DIR);
        disk.create_dir(dir).unwrap();
        let mut file = disk.create(&dir.join("synced")).unwrap();
        file.append(b"durable").unwrap();
        file.sync().unwrap();
        disk.create(&dir.join("removed")).unwrap();
        disk.sync_dir(dir).unwrap();
        file.append(b"and more").unwrap();
        disk.create(&dir.join("unsynced")).unwrap();
        disk.remove(&dir.join("removed")).unwrap();
        disk.crash(&mut rng);
        let bytes = disk.read(&dir.join("synced"), 0, 100).unwrap();
        let rest = bytes.strip_prefix(b"durable").unwrap();
        let kept = rest.iter().zip(b"and more").take_while(|(a, b)| a == b).count();
        assert!(rest[kept..].iter().all(|byte| *byte == 0), "only zeros stand for what is lost");
        torn += u32::from(kept < 8);
        whole += u32::from(kept == 8);
        lost_name += u32::from(disk.read(&dir.join("unsynced"), 0, 1).is_err());
        lost_remove += u32::from(disk.read(&dir.join("removed"), 0, 1).is_ok());
        file.append(b"x").unwrap_err();
        file.sync().unwrap_err();
    }
    assert!(torn > 50 && whole > 5, "{torn} {whole}");
    assert!((50..150).contains(&lost_name) && (50..150).contains(&lost_remove));
}

// --- the format

/// The folder of a released version.
fn golden(version: u32) -> PathBuf {
    PathBuf::from(format!("tests/formats/wal/v{version}"))
}

/// The records in it.
fn golden_records() -> Vec<Record> {
    let record = |tenant: &str, spans, refused: &[u32], body: &'static [u8]| Record {
        tenant: TenantId::parse(tenant).unwrap(),
        received_unix_nano: 1_795_000_000_123_456_789,
        format: Format::Otlp,
        spans,
        refused: refused.iter().copied().collect(),
        body: Bytes::from_static(body),
    };
    vec![
        record("single-tenant", 2, &[], b"\x0a\x00"),
        record("team-1", 0, &[0, 9], b""),
        record("a.b*'()!_", u32::MAX - 2, &[], &[0xff; 300]),
    ]
}

fn load(version: u32) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.create_dir(Path::new(DIR)).unwrap();
    for entry in fs::read_dir(golden(version)).unwrap() {
        let entry = entry.unwrap();
        let path = Path::new(DIR).join(entry.file_name());
        disk.create(&path).unwrap().append(&fs::read(entry.path()).unwrap()).unwrap();
    }
    disk
}

#[tokio::test]
async fn version_1_reads_back() {
    let wal = open(&load(1), &Config::default()).unwrap();
    assert_eq!(wal.writer_id().to_string(), "01930000-0000-7000-8000-000000000001");
    let at = |first_span| Position { segment: 1, first_span };
    let wanted: Vec<_> = [at(0), at(2), at(2)].into_iter().zip(golden_records()).collect();
    assert_eq!(replayed(&wal), wanted);
}

#[tokio::test]
async fn what_is_written_is_version_1_to_the_byte() {
    let disk = load(1);
    // A log of the same writer, where segment 1 comes next.
    disk.remove(&segment_path(1)).unwrap();
    disk.create(&segment_path(0)).unwrap();
    let wal = open(&disk, &Config::default()).unwrap();
    for record in golden_records() {
        wal.append(record).await.unwrap();
    }
    let written = disk.read(&segment_path(1), 0, usize::MAX).unwrap();
    let path = golden(1).join("00000000000000000001.wal");
    assert!(written == fs::read(path).unwrap());
}
