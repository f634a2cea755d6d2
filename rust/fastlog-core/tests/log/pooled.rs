//! Logs whose files are closed whenever nobody uses them.

use std::path::Path;
use std::sync::Arc;

use crate::common::gate;
use crate::common::{Dir, NOW_MS, append, batch, read_all};
use fastlog_core::env::{
    DescriptorPool, FailingCalls, FaultFs, Faults, FileSystem, OpenMode, PooledFs, StdFs,
};
use fastlog_core::log::{LogConfig, OpenOptions, PartitionLog};
use fastlog_core::{Cause, ManualClock};

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 2000,
        index_interval_bytes: 200,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

fn pooled(inner: Arc<dyn FileSystem>, capacity: usize) -> (PooledFs, Arc<DescriptorPool>) {
    let pool = Arc::new(DescriptorPool::new(capacity));
    (PooledFs::new(inner, Arc::clone(&pool)), pool)
}

fn open(fs: &PooledFs, dir: &Path) -> PartitionLog {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    PartitionLog::open(dir, config(), Arc::new(fs.clone()), clock, OpenOptions::default())
        .unwrap()
        .0
}

/// Has everything closed that can be.
fn close_all(fs: &PooledFs, dir: &Dir) {
    drop(
        fs.open(&dir.temp.path().join("scratch"), OpenMode::Create)
            .unwrap(),
    );
}

#[test]
fn many_logs_share_few_descriptors() {
    let dir = Dir::new();
    let (fs, pool) = pooled(Arc::new(StdFs), 8);
    let logs: Vec<PartitionLog> = (0..40)
        .map(|n| open(&fs, &dir.temp.path().join(format!("t-{n}"))))
        .collect();
    assert!(pool.open_files() <= 8, "{}", pool.open_files());
    for round in 0..30 {
        for log in &logs {
            append(log, &batch(3, 60, NOW_MS + round));
        }
        // Written files are made durable before they are closed: never more than what may be open.
        assert!(pool.open_files() <= 8 + 1, "{}", pool.open_files());
    }
    for log in &logs {
        assert!(log.segment_count() > 2);
        assert_eq!(read_all(log, 0, 700).len(), 90);
        log.close().unwrap();
    }
    drop(logs);
    assert_eq!(pool.open_files(), 0);
}

#[test]
fn readers_keep_what_is_renamed_and_removed() {
    let dir = Dir::new();
    let (fs, pool) = pooled(Arc::new(StdFs), 0);
    let log = open(&fs, &dir.path());
    for n in 0..30 {
        append(&log, &batch(3, 60, NOW_MS + n));
    }
    let slice = log.read(0, 1 << 20, i64::MAX, true).unwrap();
    let mut before = vec![0; slice.len];
    slice.read_into(&mut before).unwrap();
    close_all(&fs, &dir);
    assert_eq!(pool.open_files(), 0);
    // Renamed, then unlinked, then the whole log is gone and another one has its place.
    log.advance_log_start_offset(60).unwrap();
    assert!(!log.apply_retention(NOW_MS).unwrap().is_empty());
    let mut bytes = vec![0; slice.len];
    slice.read_into(&mut bytes).unwrap();
    assert_eq!(bytes, before);
    assert!(log.purge_deleted(NOW_MS + 1).unwrap() > 0);
    bytes.fill(0);
    slice.read_into(&mut bytes).unwrap();
    assert_eq!(bytes, before);
    let late = log.read(60, 1 << 20, i64::MAX, true).unwrap();
    let mut expected = vec![0; late.len];
    late.read_into(&mut expected).unwrap();
    close_all(&fs, &dir);
    log.close().unwrap();
    std::fs::rename(dir.path(), dir.temp.path().join("t-0.x-delete")).unwrap();
    let other = open(&fs, &dir.path());
    append(&other, &batch(9, 100, NOW_MS));
    let mut bytes = vec![0; late.len];
    late.read_into(&mut bytes).unwrap();
    assert_eq!(bytes, expected);
    std::fs::remove_dir_all(dir.temp.path().join("t-0.x-delete")).unwrap();
    late.read_into(&mut bytes).unwrap();
    assert_eq!(bytes, expected);
    drop((slice, late, log, other));
    assert_eq!(pool.open_files(), 0);
}

#[test]
fn a_deleted_file_keeps_its_name_when_another_of_that_name_is_deleted() {
    let dir = Dir::new();
    let (fs, pool) = pooled(Arc::new(StdFs), 0);
    let log = open(&fs, &dir.path());
    let mut held = Vec::new();
    for round in 0..4 {
        append(&log, &batch(3, 60, NOW_MS + round));
        let slice = log.read(0, 1 << 20, i64::MAX, true).unwrap();
        let mut bytes = vec![0; slice.len];
        slice.read_into(&mut bytes).unwrap();
        held.push((slice, bytes));
        log.truncate_fully_and_start_at(0).unwrap();
        close_all(&fs, &dir);
        assert_eq!(pool.open_files(), 0);
    }
    let check = || {
        for (slice, expected) in &held {
            let mut bytes = vec![0; slice.len];
            slice.read_into(&mut bytes).unwrap();
            assert_eq!(&bytes, expected);
        }
    };
    check();
    close_all(&fs, &dir);
    assert!(log.purge_deleted(NOW_MS + 1).unwrap() > 0);
    check();
    let left = StdFs.list_dir(&dir.path()).unwrap();
    assert!(
        left.iter().all(|entry| !entry.name.ends_with(".deleted")),
        "{left:?}"
    );
}

#[test]
fn another_file_under_the_same_name_is_not_read() {
    let dir = Dir::new();
    let (fs, _pool) = pooled(Arc::new(StdFs), 0);
    std::fs::create_dir_all(dir.path()).unwrap();
    let path = dir.path().join("file");
    fs.write_atomically(&path, b"one").unwrap();
    let file = fs.open(&path, OpenMode::Read).unwrap();
    close_all(&fs, &dir);
    let mut bytes = [0; 3];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"one");
    close_all(&fs, &dir);
    fs.write_atomically(&path, b"two").unwrap();
    let error = file.read_exact_at(&mut bytes, 0).unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
}

#[test]
fn a_file_that_could_not_be_kept_open_still_has_its_name() {
    let disk = FaultFs::new();
    let (fs, pool) = pooled(Arc::new(disk.clone()), 0);
    let path = Path::new("/data/file");
    fs.create_dir_all(Path::new("/data")).unwrap();
    fs.write_atomically(path, b"bytes").unwrap();
    let file = fs.open(path, OpenMode::Write).unwrap();
    drop(fs.open(Path::new("/data/scratch"), OpenMode::Create).unwrap());
    assert_eq!(pool.open_files(), 0);
    disk.set_faults(Faults {
        calls: Some(FailingCalls {
            after: 0,
            count: u64::MAX,
            error: libc::EMFILE,
        }),
        ..Faults::default()
    });
    assert!(file.keep_open().unwrap_err().passes());
    disk.set_faults(Faults::default());
    let mut bytes = [0; 5];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"bytes");
    drop(fs.open(Path::new("/data/scratch"), OpenMode::Create).unwrap());
    assert_eq!(pool.open_files(), 0, "nobody keeps it");
    file.keep_open().unwrap();
    fs.remove_file(path).unwrap();
    file.read_exact_at(&mut bytes, 0).unwrap();
}

#[test]
fn a_write_that_a_sync_overtakes_is_synced_before_the_file_is_closed() {
    let inner = Arc::new(gate::GateFs::default());
    let gate = Arc::clone(&inner.gate);
    let (fs, pool) = pooled(inner, 1);
    let dir = Dir::new();
    std::fs::create_dir_all(dir.path()).unwrap();
    let file = fs.open(&dir.path().join("file"), OpenMode::Create).unwrap();
    file.write_all_at(b"first", 0).unwrap();
    gate.close();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| file.write_all_at(b"second", 5));
        gate.wait_for_writer();
        file.sync_data().unwrap();
        gate.open();
        writer.join().unwrap().unwrap();
    });
    assert_eq!(gate.syncs(), 1);
    pool.set_capacity(0);
    assert_eq!(pool.open_files(), 0);
    assert_eq!(gate.syncs(), 2);
}

#[test]
fn a_sync_that_fails_while_a_file_is_closed_is_not_forgotten() {
    let disk = FaultFs::new();
    let (fs, pool) = pooled(Arc::new(disk.clone()), 1);
    let dir = Path::new("/data/topic-0");
    let log = open(&fs, dir);
    append(&log, &batch(3, 60, NOW_MS));
    disk.set_faults(Faults {
        fail_sync: Some(0),
        ..Faults::default()
    });
    // Takes the only descriptor: the log is made durable for that, in vain.
    let other = fs.open(Path::new("/data/other"), OpenMode::Create).unwrap();
    other.write_all_at(b"x", 0).unwrap();
    assert_eq!(pool.open_files(), 1);
    disk.set_faults(Faults::default());
    assert!(log.flush(None).is_err());
    assert_eq!(log.failure().unwrap().cause, Cause::Disk);
}

#[test]
fn a_lack_of_descriptors_closes_idle_files() {
    let disk = FaultFs::new();
    let (fs, pool) = pooled(Arc::new(disk.clone()), usize::MAX);
    let log = open(&fs, Path::new("/data/topic-0"));
    for n in 0..30 {
        append(&log, &batch(3, 60, NOW_MS + n));
    }
    log.flush(None).unwrap();
    let open_files = pool.open_files();
    assert!(open_files > 4);
    disk.set_faults(Faults {
        calls: Some(FailingCalls {
            after: 0,
            count: 1,
            error: libc::EMFILE,
        }),
        ..Faults::default()
    });
    fs.open(Path::new("/data/topic-0/x"), OpenMode::Create).unwrap();
    assert!(pool.open_files() < open_files);
    assert_eq!(disk.calls().1, 1);
    assert_eq!(read_all(&log, 0, 700).len(), 90);
}
