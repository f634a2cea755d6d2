//! Shortages in the middle of an operation: what was begun is taken back or finished, and costs nothing later.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::common::slow::SlowFs;
use crate::common::{Dir, NOW_MS, append, batch, clean, read_all, unclean};
use fastlog_core::batch::BatchBuilder;
use fastlog_core::env::{
    Crash, DescriptorPool, FailingCalls, FaultFs, Faults, FileSystem, OpenMode, PooledFs,
};
use fastlog_core::log::{AppendError, AppendOptions, LogConfig, OpenOptions, PartitionLog, RecoveryReport};
use fastlog_core::{Cause, Codec, Error, ManualClock, Result};

const DIR: &str = "/data/topic-0";

fn config() -> LogConfig {
    LogConfig {
        index_interval_bytes: 0,
        preallocate: true,
        ..LogConfig::default()
    }
}

fn try_open(fs: &FaultFs, options: OpenOptions) -> Result<(PartitionLog, RecoveryReport)> {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    PartitionLog::open(Path::new(DIR), config(), Arc::new(fs.clone()), clock, options)
}

fn open(fs: &FaultFs) -> PartitionLog {
    try_open(fs, OpenOptions::default()).unwrap().0
}

/// The calls from the one number `after` on fail, `count` of them.
fn failing(fs: &FaultFs, after: u64, count: u64, error: i32) {
    fs.set_faults(Faults {
        calls: Some(FailingCalls { after, count, error }),
        ..Faults::default()
    });
}

fn names(fs: &FaultFs) -> Vec<String> {
    let entries = fs.list_dir(Path::new(DIR)).unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}

fn values(log: &PartitionLog) -> Vec<i64> {
    let all = read_all(log, log.log_start_offset(), 700);
    all.into_iter().map(|(offset, _)| offset).collect()
}

#[test]
fn a_roll_that_failed_is_overtaken_by_the_segment_before() {
    let mut failed = 0;
    let mut left_behind = 0;
    for count in [1, 2, 3, 20] {
        for after in 0..20 {
            let what = format!("{count} calls after {after}");
            let fs = FaultFs::new();
            let log = open(&fs);
            append(&log, &batch(2, 50, NOW_MS));
            let before = names(&fs);
            failing(&fs, after, count, libc::ENOSPC);
            let rolled = log.roll();
            fs.set_faults(Faults::default());
            if let Err(error) = &rolled {
                assert!(error.passes(), "{what}: {error}");
                failed += 1;
                if names(&fs) == before {
                    assert_eq!(log.segments().unwrap().len(), 1);
                } else {
                    assert!(count > 1, "{what}: {:?}", names(&fs));
                    left_behind += 1;
                }
            }
            for n in 0..3 {
                append(&log, &batch(2, 50, NOW_MS + n));
            }
            log.flush(None).unwrap();
            log.roll().unwrap();
            append(&log, &batch(2, 50, NOW_MS));
            log.flush(None).unwrap();
            drop(log);
            for options in [unclean(0), unclean(10), clean(10)] {
                let image = fs.crash_image(fs.operations(), Crash::Process);
                let (log, _) = try_open(&image, options).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(values(&log), (0..10).collect::<Vec<_>>(), "{what}");
                let logs = names(&image)
                    .iter()
                    .filter(|name| Path::new(name).extension() == Some("log".as_ref()))
                    .count();
                assert_eq!(logs, log.segments().unwrap().len(), "{what}: {:?}", names(&image));
            }
        }
    }
    assert!(failed > 0 && left_behind > 0, "{failed} {left_behind}");
}

/// Makes the files of a segment that was begun.
fn begin(fs: &FaultFs, offset: i64) {
    for kind in ["index", "timeindex", "log"] {
        let path = Path::new(DIR).join(format!("{offset:020}.{kind}"));
        fs.open(&path, OpenMode::Create).unwrap();
    }
}

#[test]
fn what_a_roll_left_behind_is_removed_at_the_next_start() {
    let fs = FaultFs::new();
    let log = open(&fs);
    for n in 0..3 {
        append(&log, &batch(2, 50, NOW_MS + n));
    }
    log.roll().unwrap();
    append(&log, &batch(2, 50, NOW_MS));
    log.close().unwrap();
    // Two inside of the first segment, one inside of the last one.
    for offset in [2, 3, 7] {
        begin(&fs, offset);
    }
    for options in [unclean(0), unclean(8), clean(8)] {
        let image = fs.crash_image(fs.operations(), Crash::Process);
        let (log, report) = try_open(&image, options).unwrap();
        assert_eq!(values(&log), (0..8).collect::<Vec<_>>());
        let removed = report
            .warnings
            .iter()
            .filter(|warning| warning.contains("never written to"))
            .count();
        assert_eq!(removed, 3, "{report:?}");
        append(&log, &batch(1, 50, NOW_MS));
        log.close().unwrap();
        let (_, report) = try_open(&image, clean(9)).unwrap();
        assert_eq!(report.warnings, [""; 0]);
    }
}

#[test]
fn what_a_roll_left_behind_below_the_start_is_removed_too() {
    let fs = FaultFs::new();
    let log = open(&fs);
    for n in 0..3 {
        append(&log, &batch(2, 50, NOW_MS - 9 + n));
    }
    log.roll().unwrap();
    append(&log, &batch(2, 50, NOW_MS - 5));
    begin(&fs, 2);
    log.advance_log_start_offset(6).unwrap();
    assert_eq!(log.apply_retention(NOW_MS).unwrap().len(), 1);
    log.close().unwrap();
    let options = OpenOptions {
        log_start_offset: 6,
        offsets_are_exact: true,
        ..clean(8)
    };
    let (log, _) = try_open(&fs, options).unwrap();
    assert_eq!(values(&log), [6, 7]);
}

#[test]
fn an_empty_segment_behind_what_is_lost_still_tells_of_it() {
    let fs = FaultFs::new();
    let log = open(&fs);
    append(&log, &batch(2, 50, NOW_MS));
    log.close().unwrap();
    begin(&fs, 4);
    let before = names(&fs);
    for options in [clean(4), unclean(4)] {
        let opened = try_open(&fs, options);
        assert!(matches!(opened, Err(Error::Corrupt { .. })));
    }
    assert_eq!(names(&fs), before);
}

fn produced(sequence: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None).producer(7, 0, sequence);
    let timestamp = NOW_MS + i64::from(sequence);
    builder.append(timestamp, None, Some(&[b'v'; 50]), []).unwrap();
    builder.build().unwrap()
}

/// Sends a batch of one record as an idempotent producer does, until it is acknowledged; returns the attempts that
/// failed, `None` when it was an fsync: that is final.
fn insist(log: &PartitionLog, sequence: i32, what: &str) -> Option<u32> {
    for attempt in 0..20 {
        match log.append(&produced(sequence), 0, AppendOptions::default()) {
            Ok(info) => {
                assert_eq!(info.first_offset, i64::from(sequence), "{what}");
                return Some(attempt);
            }
            Err(AppendError::Failed(error)) if error.passes() => {}
            Err(AppendError::Failed(error)) if error.cause() == Some(Cause::Disk) => return None,
            Err(error) => panic!("{what}: {error}"),
        }
    }
    panic!("{what}: no end to it")
}

#[test]
fn a_batch_that_met_a_shortage_is_stored_once() {
    let mut failures = 0;
    for (capacity, error) in [(0, libc::EMFILE), (100, libc::ENOSPC)] {
        for count in [1, 2, 5] {
            for after in 0..12 {
                let what = format!("{count} calls after {after}, {capacity} descriptors");
                let fs = FaultFs::new();
                let pooled: Arc<dyn FileSystem> = Arc::new(PooledFs::new(
                    Arc::new(fs.clone()),
                    Arc::new(DescriptorPool::new(capacity)),
                ));
                let open = |options| {
                    let clock = Arc::new(ManualClock::new(NOW_MS));
                    PartitionLog::open(Path::new(DIR), config(), Arc::clone(&pooled), clock, options)
                        .unwrap()
                        .0
                };
                let log = open(OpenOptions::default());
                assert_eq!(insist(&log, 0, &what), Some(0));
                assert_eq!(insist(&log, 1, &what), Some(0));
                log.close().unwrap();
                drop(log);
                // The indexes are closed, and their last entries not in memory.
                let log = open(clean(2));
                failing(&fs, after, count, error);
                let attempts = insist(&log, 2, &what)
                    .and_then(|first| insist(&log, 3, &what).map(|second| first + second));
                fs.set_faults(Faults::default());
                let Some(attempts) = attempts else {
                    continue;
                };
                failures += attempts;
                assert_eq!(log.failure(), None, "{what}");
                assert_eq!(values(&log), [0, 1, 2, 3], "{what}");
                assert_eq!(log.active_producers()[0].last_sequence, 3, "{what}");
            }
        }
    }
    assert!(failures > 10, "{failures}");
}

#[test]
fn a_write_that_could_not_be_cut_back_is_cut_before_the_segment_ends() {
    for sealed_by in 0..2 {
        let fs = FaultFs::new();
        let log = open(&fs);
        append(&log, &batch(2, 50, NOW_MS));
        let size = log.size_bytes();
        // The first half is written; the second one fails, and so does the cut.
        fs.set_faults(Faults {
            short_write: Some(80),
            calls: Some(FailingCalls {
                after: 1,
                count: 2,
                error: libc::ENOMEM,
            }),
            ..Faults::default()
        });
        let refused = log.append(&batch(2, 50, NOW_MS), 0, AppendOptions::default());
        assert!(refused.is_err());
        fs.set_faults(Faults::default());
        let path = Path::new(DIR).join("00000000000000000000.log");
        assert!(fs.read_file(&path).unwrap().len() as u64 > size);
        if sealed_by == 0 {
            log.roll().unwrap();
        } else {
            log.close().unwrap();
        }
        assert_eq!(fs.read_file(&path).unwrap().len() as u64, size);
        let image = fs.crash_image(fs.operations(), Crash::Process);
        let (log, report) = try_open(&image, clean(2)).unwrap();
        assert_eq!(values(&log), [0, 1]);
        assert_eq!(report.warnings, [""; 0]);
    }
}

#[test]
fn a_flush_that_runs_does_not_raise_the_recovery_point_over_a_cut() {
    let slow = SlowFs::of(".log");
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let fs: Arc<dyn FileSystem> = Arc::new(slow.clone());
    let (log, _) = PartitionLog::open(Path::new(DIR), config(), fs, clock, OpenOptions::default()).unwrap();
    for _ in 0..50 {
        append(&log, &batch(2, 50, NOW_MS));
    }
    failing(&slow.disk, 0, 1, libc::EMFILE);
    assert!(log.truncate_fully_and_start_at(10).unwrap_err().passes());
    assert_eq!(log.log_end_offset(), 100);
    slow.set_slow(true);
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| log.flush(None));
        let begin = Instant::now();
        while !slow.waiting.load(Ordering::Acquire) {
            assert!(begin.elapsed() < Duration::from_secs(30), "no flush");
            std::thread::sleep(Duration::from_millis(1));
        }
        let append = scope.spawn(|| append(&log, &batch(2, 50, NOW_MS)));
        // It must not be done before the flush is; how long it takes to come that far nobody can see.
        std::thread::sleep(Duration::from_millis(100));
        slow.set_slow(false);
        flush.join().unwrap().unwrap();
        assert_eq!(append.join().unwrap().first_offset, 10);
    });
    assert_eq!(log.log_end_offset(), 12);
    assert!(log.recovery_point() <= 12, "{}", log.recovery_point());
    assert_eq!(log.flush(None).unwrap(), 12);
}

#[test]
fn a_shortage_in_a_rebuild_of_indexes_is_no_damage_and_no_success() {
    let fs = FaultFs::new();
    let log = open(&fs);
    for round in 0..3 {
        for n in 0..4 {
            append(&log, &batch(2, 50, NOW_MS + round * 4 + n));
        }
        log.roll().unwrap();
    }
    log.close().unwrap();
    for name in ["00000000000000000000.index", "00000000000000000008.index"] {
        fs.remove_file(&Path::new(DIR).join(name)).unwrap();
    }
    let begin = fs.crash_image(fs.operations(), Crash::Process);
    // What is scanned is at the end: the indexes before it are rebuilt without.
    let (_, report) = try_open(&begin.crash_image(0, Crash::Process), unclean(24)).unwrap();
    assert_eq!(report.indexes_rebuilt, 2, "{report:?}");
    let mut refused = 0;
    for after in 0..80 {
        let image = begin.crash_image(0, Crash::Process);
        failing(&image, after, 1, libc::EIO);
        let opened = try_open(&image, unclean(24));
        let failed = image.calls().1;
        image.set_faults(Faults::default());
        match opened {
            Err(_) => refused += 1,
            Ok(_) => assert_eq!(failed, 0, "an error after {after} calls was swallowed"),
        }
    }
    assert!(refused > 40, "{refused}");
}

#[test]
fn a_length_that_is_wrong_costs_no_memory() {
    let dir = Dir::new();
    let config = config();
    let (log, _) = dir.open(&config, OpenOptions::default());
    log.append(&produced(0), 3, AppendOptions::default()).unwrap();
    log.roll().unwrap();
    log.append(&produced(1), 3, AppendOptions::default()).unwrap();
    log.close().unwrap();
    drop(log);
    let snapshots: Vec<String> = dir
        .names()
        .into_iter()
        .filter(|name| name.contains("snapshot"))
        .collect();
    assert_eq!(snapshots.len(), 2);
    let others = [
        "leader-epoch-checkpoint",
        "compaction-checkpoint",
        "00000000000000000000.txnindex",
        "txnindex-checkpoint",
    ];
    for name in others.into_iter().chain(snapshots.iter().map(|name| &**name)) {
        let file = std::fs::File::options()
            .append(true)
            .create(true)
            .open(dir.file(name))
            .unwrap();
        file.set_len(1 << 40).unwrap();
    }
    let (log, report) = dir.open(&config, clean(2));
    assert_eq!(values(&log), [0, 1], "{report:?}");
    assert_eq!(log.latest_epoch(), Some(3));
    assert!(
        log.append(&produced(1), 3, AppendOptions::default())
            .unwrap()
            .duplicate
    );
    log.close().unwrap();
    let (_, report) = dir.open(&config, clean(2));
    assert!(report.warnings.len() <= 1, "{report:?}");
}

#[test]
fn a_batch_that_is_sent_again_waits_for_the_flush_that_failed() {
    let mut duplicates = 0;
    for after in 0..40 {
        let fs = FaultFs::new();
        let log = open(&fs);
        // Every append rolls, which leaves the flush something to open.
        log.update_config(LogConfig {
            flush_messages: 1,
            segment_bytes: 120,
            ..config()
        });
        let send = |sequence| log.append(&produced(sequence), 0, AppendOptions::default());
        send(0).unwrap();
        failing(&fs, after, 1, libc::EMFILE);
        let first = send(1);
        fs.set_faults(Faults::default());
        // An fsync that fails is final, whatever it says.
        if first.is_ok() || log.failure().is_some() {
            continue;
        }
        let again = send(1).unwrap();
        duplicates += usize::from(again.duplicate);
        assert_eq!(again.end_offset, 2);
        assert_eq!(
            log.recovery_point(),
            2,
            "after {after} calls: acknowledged and not durable"
        );
    }
    assert!(duplicates > 0);
}

#[test]
fn a_flush_that_failed_is_due_with_the_next_record() {
    let mut failed = 0;
    for after in 0..40 {
        let fs = FaultFs::new();
        let log = open(&fs);
        log.update_config(LogConfig {
            flush_messages: 3,
            segment_bytes: 120,
            ..config()
        });
        let send = |sequence| log.append(&produced(sequence), 0, AppendOptions::default());
        for sequence in 0..2 {
            send(sequence).unwrap();
        }
        failing(&fs, after, 1, libc::EMFILE);
        let third = send(2);
        fs.set_faults(Faults::default());
        let is_in_log = log.failure().is_none() && log.log_end_offset() == 3;
        if let (true, Err(error)) = (is_in_log, third) {
            failed += 1;
            assert!(
                matches!(error, AppendError::Unflushed { info, .. } if info.end_offset == 3),
                "after {after} calls: it is in the log"
            );
            assert_eq!(log.recovery_point(), 0);
            send(3).unwrap();
            assert_eq!(log.recovery_point(), 4, "after {after} calls");
        }
    }
    assert!(failed > 0);
}

#[test]
fn a_batch_that_a_killed_process_did_not_acknowledge_is_flushed_when_it_is_sent_again() {
    let fs = FaultFs::new();
    let log = open(&fs);
    log.append(&produced(0), 0, AppendOptions::default()).unwrap();
    drop(log);
    let image = fs.crash_image(fs.operations(), Crash::Process);
    let config = LogConfig {
        flush_messages: 1,
        ..config()
    };
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let (log, _) = PartitionLog::open(
        Path::new(DIR),
        config,
        Arc::new(image),
        clock,
        OpenOptions::default(),
    )
    .unwrap();
    assert!(
        log.append(&produced(0), 0, AppendOptions::default())
            .unwrap()
            .duplicate
    );
    assert_eq!(log.recovery_point(), 1);
}

#[test]
fn room_that_cannot_be_reserved_costs_nothing() {
    let fs = FaultFs::new();
    let log = open(&fs);
    append(&log, &batch(2, 50, NOW_MS));
    failing(&fs, 0, 1, libc::ENOSPC);
    assert!(log.reserve_ahead(1 << 20).unwrap_err().passes());
    fs.set_faults(Faults::default());
    append(&log, &batch(2, 50, NOW_MS));
    assert_eq!(values(&log), [0, 1, 2, 3]);
}
