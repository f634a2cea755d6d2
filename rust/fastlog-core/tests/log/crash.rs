//! Crashes at every operation of a workload, full disks and failing ones.

#![allow(clippy::case_sensitive_file_extension_comparisons)] // the names are our own

use std::path::Path;
use std::sync::Arc;

use crate::common::{NOW_MS, append, batch, read_all, unclean};
use fastlog_core::batch::crc32c;
use fastlog_core::env::{Crash, FaultFs, Faults, FileSystem};
use fastlog_core::log::{AppendError, AppendOptions, LogConfig, OpenOptions, PartitionLog, RecoveryReport};
use fastlog_core::{Error, ManualClock, Result};

const DIR: &str = "/data/topic-0";

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 3000,
        index_interval_bytes: 300,
        ..LogConfig::default()
    }
}

fn try_open(fs: &FaultFs, options: OpenOptions) -> Result<(PartitionLog, RecoveryReport)> {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    PartitionLog::open(Path::new(DIR), config(), Arc::new(fs.clone()), clock, options)
}

fn open(fs: &FaultFs, options: OpenOptions) -> PartitionLog {
    try_open(fs, options).unwrap().0
}

/// Offset, length and checksum of every record.
fn values(log: &PartitionLog) -> Vec<(i64, usize, u32)> {
    let all = read_all(log, log.log_start_offset(), 700);
    all.into_iter()
        .map(|(offset, value)| (offset, value.len(), crc32c(&value)))
        .collect()
}

/// Name, length and checksum of every file.
fn files(fs: &FaultFs) -> Vec<(String, usize, u32)> {
    let entries = fs.list_dir(Path::new(DIR)).unwrap();
    let named = entries.into_iter().map(|entry| {
        let bytes = fs.read_file(&Path::new(DIR).join(&entry.name)).unwrap();
        (entry.name, bytes.len(), crc32c(&bytes))
    });
    named.collect()
}

/// A workload with its history: after which operation how much was flushed.
struct History {
    fs: FaultFs,
    records: Vec<(i64, usize, u32)>,
    flushed: Vec<(usize, i64)>,
}

fn workload() -> History {
    let fs = FaultFs::new();
    let log = open(&fs, OpenOptions::default());
    let mut flushed = vec![(fs.operations(), 0)];
    for step in 0..40_i64 {
        let epoch = i32::from(step > 20);
        let records = batch(
            1 + (step % 4) as usize,
            40 + (step * 37 % 300) as usize,
            NOW_MS + step * 10,
        );
        log.append(&records, epoch, AppendOptions::default()).unwrap();
        if step % 7 == 6 {
            let point = log.flush(None).unwrap();
            flushed.push((fs.operations(), point));
        }
    }
    let records = values(&log);
    assert!(log.segment_count() >= 4, "{}", log.segment_count());
    History { fs, records, flushed }
}

/// Opens an image twice and checks that it holds a prefix of the records with everything flushed in it.
fn check(history: &History, image: &FaultFs, at: usize, what: &str) {
    let flushed = history
        .flushed
        .iter()
        .rev()
        .find(|(operation, _)| *operation <= at)
        .map_or(0, |(_, at)| *at);
    let opened = try_open(image, unclean(flushed));
    let (log, report) = opened.unwrap_or_else(|error| panic!("{what} at {at}: {error}"));
    let found = values(&log);
    assert_eq!(
        found,
        history.records[..found.len()],
        "{what} at {at}: {report:?}"
    );
    assert!(
        log.log_end_offset() >= flushed,
        "{what} at {at}: {} < {flushed}",
        log.log_end_offset()
    );
    assert_eq!(log.log_end_offset(), found.len() as i64);
    drop(log);
    let first = files(image);
    let (log, report) = try_open(image, unclean(flushed)).unwrap();
    assert_eq!(report.truncated_bytes, 0, "{what} at {at}: {report:?}");
    assert_eq!(
        files(image),
        first,
        "{what} at {at}: a second recovery changes nothing"
    );
    // And the log goes on from there.
    let end = log.log_end_offset();
    assert_eq!(
        log.append(&batch(1, 5, NOW_MS), 2, AppendOptions::default())
            .unwrap()
            .first_offset,
        end
    );
    assert_eq!(values(&log).len(), found.len() + 1);
}

#[test]
fn every_crash_of_the_process_recovers() {
    let history = workload();
    for at in 0..=history.fs.operations() {
        check(&history, &history.fs.crash_image(at, Crash::Process), at, "kill");
    }
}

#[test]
fn every_torn_write_recovers() {
    let history = workload();
    for at in 0..history.fs.operations() {
        for bytes in [1, 13, 61, 150] {
            for zeros in [false, true] {
                let crash = Crash::TornWrite { bytes, zeros };
                check(
                    &history,
                    &history.fs.crash_image(at, crash),
                    at,
                    &format!("{crash:?}"),
                );
            }
        }
    }
}

#[test]
fn every_power_loss_keeps_what_was_flushed() {
    let history = workload();
    for at in 0..=history.fs.operations() {
        check(&history, &history.fs.crash_image(at, Crash::Power), at, "power");
    }
}

#[test]
fn crashes_during_recovery_recover() {
    let history = workload();
    let log = Path::new(DIR).join("00000000000000000000.log");
    let torn = history
        .fs
        .crash_image(history.fs.operations() / 3, Crash::Process);
    let last = torn
        .list_dir(Path::new(DIR))
        .unwrap()
        .into_iter()
        .filter(|entry| entry.name.ends_with(".log"));
    let last = last.max_by_key(|entry| entry.name.clone()).unwrap().name;
    assert_ne!(Path::new(DIR).join(&last), log);
    torn.damage(&Path::new(DIR).join(&last), |bytes| {
        let len = bytes.len();
        bytes.truncate(len - 7);
    })
    .unwrap();
    let damaged = torn.operations();
    let (recovered, report) = try_open(&torn, unclean(0)).unwrap();
    assert!(report.truncated_bytes > 0);
    let expected = values(&recovered);
    drop(recovered);
    for at in damaged..=torn.operations() {
        let image = torn.crash_image(at, Crash::Process);
        assert_eq!(values(&open(&image, unclean(0))), expected, "at {at}");
    }
}

#[test]
fn a_full_disk_is_survived_and_left_behind() {
    let fs = FaultFs::new();
    let log = open(&fs, OpenOptions::default());
    append(&log, &batch(2, 500, NOW_MS));
    let before = files(&fs);
    for room in [0, 1, 60, 61, 62, 700] {
        fs.set_faults(Faults {
            capacity: Some(fs.used() + room),
            ..Faults::default()
        });
        let result = log.append(&batch(2, 500, NOW_MS), 0, AppendOptions::default());
        assert!(
            matches!(result, Err(AppendError::Failed(Error::NoSpace { .. }))),
            "{result:?}"
        );
        assert_eq!(files(&fs), before, "with room for {room} bytes");
        assert_eq!((log.failure(), log.log_end_offset()), (None, 2));
        assert_eq!(values(&log).len(), 2);
    }
    fs.set_faults(Faults::default());
    assert_eq!(append(&log, &batch(2, 500, NOW_MS)).first_offset, 2);
    assert_eq!(values(&log).len(), 4);
    drop(log);
    assert_eq!(values(&open(&fs, unclean(0))).len(), 4);
}

#[test]
fn a_disk_that_fills_up_slowly_never_breaks_the_log() {
    let fs = FaultFs::new();
    let log = open(&fs, OpenOptions::default());
    let mut appended = 0;
    let mut refused = 0;
    // Every so many bytes there is a little more room: rolls, indexes and snapshots run into the limit too.
    for step in 0..600_u64 {
        fs.set_faults(Faults {
            capacity: Some(2000 + step * 41),
            ..Faults::default()
        });
        match log.append(&batch(1, 90, NOW_MS + appended), 0, AppendOptions::default()) {
            Ok(info) => {
                assert_eq!(info.first_offset, appended);
                appended += 1;
            }
            Err(AppendError::Failed(Error::NoSpace { .. })) => refused += 1,
            Err(other) => panic!("step {step}: {other}"),
        }
        assert_eq!(log.failure(), None);
    }
    assert!(
        refused > 50 && appended > 50,
        "{refused} refused, {appended} appended"
    );
    assert!(log.segment_count() > 3);
    assert_eq!(values(&log).len(), appended as usize);
    fs.set_faults(Faults::default());
    log.flush(None).unwrap();
    log.close().unwrap();
    drop(log);
    let (log, report) = try_open(&fs, crate::common::clean(appended)).unwrap();
    assert_eq!(report.warnings, [""; 0]);
    assert_eq!(values(&log).len(), appended as usize);
}

#[test]
fn short_writes_are_gone_on_with() {
    let fs = FaultFs::new();
    let log = open(&fs, OpenOptions::default());
    fs.set_faults(Faults {
        short_write: Some(7),
        ..Faults::default()
    });
    for step in 0..20 {
        append(&log, &batch(2, 100, NOW_MS + step));
    }
    assert_eq!(values(&log).len(), 40);
    drop(log);
    assert_eq!(values(&open(&fs, unclean(0))).len(), 40);
}

#[test]
fn a_failed_write_takes_the_log_offline() {
    let fs = FaultFs::new();
    let log = open(&fs, OpenOptions::default());
    append(&log, &batch(2, 100, NOW_MS));
    fs.set_faults(Faults {
        fail_write: Some(0),
        ..Faults::default()
    });
    let result = log.append(&batch(2, 100, NOW_MS), 0, AppendOptions::default());
    assert!(
        matches!(result, Err(AppendError::Failed(Error::Io { .. }))),
        "{result:?}"
    );
    assert!(log.failure().unwrap().reason.contains("write"));
    let result = log.append(&batch(2, 100, NOW_MS), 0, AppendOptions::default());
    assert!(
        matches!(result, Err(AppendError::Failed(Error::Offline { .. }))),
        "{result:?}"
    );
    assert!(matches!(
        log.read(0, 100, i64::MAX, true),
        Err(Error::Offline { .. })
    ));
    assert!(matches!(log.flush(None), Err(Error::Offline { .. })));
}

#[test]
fn a_failed_fsync_is_final() {
    for nth in 0..3 {
        let fs = FaultFs::new();
        let log = open(&fs, OpenOptions::default());
        for step in 0..12 {
            append(&log, &batch(2, 300, NOW_MS + step));
        }
        assert_eq!(log.segment_count(), 3);
        fs.set_faults(Faults {
            fail_sync: Some(nth),
            ..Faults::default()
        });
        assert!(matches!(log.flush(None), Err(Error::Io { .. })));
        assert_eq!(log.recovery_point(), 0, "nothing counts as durable");
        assert!(log.failure().is_some());
        let second = log.flush(None);
        assert!(
            matches!(second, Err(Error::Offline { .. })),
            "no second try: {second:?}"
        );
        let result = log.append(&batch(1, 1, NOW_MS), 0, AppendOptions::default());
        assert!(matches!(result, Err(AppendError::Failed(Error::Offline { .. }))));
    }
}
