//! `compaction-checkpoint`: who waits while it is written, and what it says after a crash.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::common::keyed::{committed, everything, put, table};
use crate::common::slow::SlowFs;
use crate::common::{Dir, NOW_MS, unclean};
use fastlog_core::env::{Crash, FaultFs, Faults, FileSystem};
use fastlog_core::log::{LogConfig, OpenOptions, PartitionLog};
use fastlog_core::{Codec, Error, ManualClock, Result};

use super::support::{config, fill, filled, wait_until};

const DIR: &str = "/data/topic-0";

fn open(fs: Arc<dyn FileSystem>, config: LogConfig, options: OpenOptions) -> Result<PartitionLog> {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    PartitionLog::open(Path::new(DIR), config, fs, clock, options).map(|(log, _)| log)
}

/// The bytes of the batch at an offset.
fn bytes_at(log: &PartitionLog, offset: i64) -> Vec<u8> {
    let slice = log.read(offset, 1, i64::MAX, true).unwrap();
    let mut bytes = vec![0; slice.len];
    slice.read_into(&mut bytes).unwrap();
    bytes
}

#[test]
fn nobody_waits_for_the_fsync_of_a_compaction() {
    let fs = SlowFs::of("compaction-checkpoint");
    let log = open(Arc::new(fs.clone()), config(), OpenOptions::default()).unwrap();
    fill(&log, 60, 10);
    log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    fill(&log, 20, 10);
    let end = log.log_end_offset();
    let (_dir, leader) = filled(200, 10);
    let next = bytes_at(&leader, end);
    let after_a_hole = bytes_at(&leader, end + 100);
    let (send, done) = channel();
    fs.set_slow(true);
    std::thread::scope(|scope| {
        let compaction = scope.spawn(|| log.compact(&everything(&log, 300, NOW_MS)));
        wait_until("the checkpoint is being written", || {
            fs.waiting.load(Ordering::Acquire) || compaction.is_finished()
        });
        let follower = scope.spawn(|| {
            log.append_as_follower(&next, 0).unwrap();
            put(&log, Codec::None, None, NOW_MS, &[(Some(b"k"), Some(b"v"))]);
            log.compaction_state(300, end, NOW_MS, 0, i64::MAX).unwrap();
            send.send("appended").unwrap();
            // This one has to be written down itself, but without keeping others away from the log.
            log.append_as_follower(&after_a_hole, 0)
        });
        let appended = done.recv_timeout(Duration::from_secs(20));
        let others = scope.spawn(|| {
            for _ in 0..50 {
                log.active_producers();
                std::thread::sleep(Duration::from_millis(1));
            }
            log.roll().unwrap();
            send.send("rolled").unwrap();
        });
        let rolled = done.recv_timeout(Duration::from_secs(20));
        fs.set_slow(false);
        others.join().unwrap();
        assert_eq!((appended, rolled), (Ok("appended"), Ok("rolled")));
        assert_eq!(follower.join().unwrap().unwrap().end_offset, end + 105);
        compaction.join().unwrap().unwrap();
    });
    // The hole is believed afterwards, under any policy.
    let found = committed(&log);
    drop(log);
    let delete = LogConfig {
        compact: false,
        ..config()
    };
    let image = fs.disk.crash_image(fs.disk.operations(), Crash::Process);
    assert_eq!(
        committed(&open(Arc::new(image), delete, unclean(0)).unwrap()),
        found
    );
}

#[test]
fn what_happens_just_before_a_swap_is_noticed() {
    // Retention takes some of a group, or all of it, or somebody wants the compaction to end.
    for what in ["some", "all", "stop"] {
        let fs = SlowFs::of("compaction-checkpoint");
        let log = open(Arc::new(fs.clone()), config(), OpenOptions::default()).unwrap();
        fill(&log, 80, 20);
        let large = LogConfig {
            segment_bytes: 6000,
            ..config()
        };
        log.update_config(large);
        let segments = log.segments().unwrap();
        let mut size = 0;
        let group = segments
            .iter()
            .take_while(|segment| {
                size += segment.size;
                size <= 6000
            })
            .count();
        assert!(group > 1 && segments.len() > group + 2);
        let start = segments[if what == "some" { 1 } else { group }].base_offset;
        fs.set_slow(true);
        let result = std::thread::scope(|scope| {
            let compaction = scope.spawn(|| log.compact(&everything(&log, -1, NOW_MS)));
            wait_until("the first group is about to be replaced", || {
                fs.waiting.load(Ordering::Acquire) || compaction.is_finished()
            });
            let stop = (what == "stop").then(|| scope.spawn(|| log.stop_compaction()));
            if what == "stop" {
                std::thread::sleep(Duration::from_millis(20));
            } else {
                log.advance_log_start_offset(start).unwrap();
                log.apply_retention(NOW_MS).unwrap();
            }
            fs.set_slow(false);
            if let Some(stop) = stop {
                stop.join().unwrap();
            }
            compaction.join().unwrap()
        });
        match (what, result) {
            ("all", Ok(report)) => assert_eq!(report.segments_before, segments.len() - 1 - group),
            ("some", Err(Error::Aborted(reason))) => assert!(reason.contains("retention"), "{reason}"),
            ("stop", Err(Error::Aborted(_))) => assert_eq!(log.segment_count(), segments.len()),
            (_, other) => panic!("{what}: {other:?}"),
        }
        assert_eq!(log.failure(), None);
        let names = fs.list_dir(Path::new(DIR)).unwrap();
        assert!(
            !names
                .iter()
                .any(|entry| entry.name.contains(".cleaned") || entry.name.contains(".swap")),
            "{what}: {names:?}"
        );
        log.compact(&everything(&log, -1, NOW_MS)).unwrap();
        let left = committed(&log);
        assert_eq!((left.len(), left[0].offset), (20, 380), "{what}");
    }
}

/// A log of segments of three batches with keys of their own, whose last one is written again later.
fn distinct(fs: &FaultFs) -> PartitionLog {
    let separate = LogConfig {
        segment_bytes: 80,
        ..config()
    };
    let log = open(Arc::new(fs.clone()), config(), OpenOptions::default()).unwrap();
    for step in 0..9_u8 {
        put(
            &log,
            Codec::None,
            None,
            NOW_MS,
            &[(Some(&[step]), Some(b"value"))],
        );
        if step % 3 == 2 {
            log.roll().unwrap();
        }
    }
    log.update_config(separate);
    log
}

#[test]
fn what_a_full_disk_kept_from_the_file_is_written_before_there_are_holes() {
    let fs = FaultFs::new();
    let log = distinct(&fs);
    log.flush(None).unwrap();
    fs.set_faults(Faults {
        capacity: Some(fs.used()),
        ..Faults::default()
    });
    // Nothing changes but what is known.
    let report = log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    assert_eq!((report.cleaned_to, report.batches_copied), (9, 9));
    fs.set_faults(Faults::default());
    // It is known: what is clean is not looked at again.
    let state = log.compaction_state(9, 9, NOW_MS, 0, i64::MAX).unwrap();
    assert_eq!((state.first_dirty_offset, state.checkpoint_valid), (9, true));
    put(&log, Codec::None, None, NOW_MS, &[(Some(&[2]), Some(b"later"))]);
    put(&log, Codec::None, None, NOW_MS, &[(Some(&[5]), Some(b"later"))]);
    log.roll().unwrap();
    let before = fs.operations();
    log.compact(&everything(&log, 9, NOW_MS)).unwrap();
    let found = committed(&log);
    assert_eq!(found.len(), 9);
    let delete = LogConfig {
        compact: false,
        ..config()
    };
    for at in before..=fs.operations() {
        for crash in [Crash::Process, Crash::Power] {
            let image: Arc<dyn FileSystem> = Arc::new(fs.crash_image(at, crash));
            let log = open(image, delete.clone(), unclean(0)).unwrap();
            assert!(log.log_end_offset() >= 9);
        }
    }
}

#[test]
fn a_log_that_came_with_holes_opens_at_every_moment_of_its_first_compaction() {
    let fs = FaultFs::new();
    let log = distinct(&fs);
    put(&log, Codec::None, None, NOW_MS, &[(Some(&[8]), Some(b"later"))]);
    put(&log, Codec::None, None, NOW_MS, &[(Some(&[5]), Some(b"later"))]);
    log.roll().unwrap();
    log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    let found = committed(&log);
    drop(log);
    // As in a directory of Kafka, whose checkpoint was lost, too: only the holes speak.
    fs.remove_file(&PathBuf::from(DIR).join("compaction-checkpoint"))
        .unwrap();
    let small = LogConfig {
        segment_bytes: 80,
        ..config()
    };
    let log = open(Arc::new(fs.clone()), small.clone(), unclean(0)).unwrap();
    assert_eq!(committed(&log), found);
    put(&log, Codec::None, None, NOW_MS, &[(Some(&[0]), Some(b"later"))]);
    log.roll().unwrap();
    let expected = table(&committed(&log));
    let before = fs.operations();
    log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    for at in before..=fs.operations() {
        let image: Arc<dyn FileSystem> = Arc::new(fs.crash_image(at, Crash::Process));
        let again = open(image, small.clone(), unclean(0)).unwrap_or_else(|error| panic!("at {at}: {error}"));
        assert_eq!(table(&committed(&again)), expected, "at {at}");
    }
}

#[test]
fn a_checkpoint_beyond_the_log_does_not_come_true_later() {
    let dir = Dir::new();
    let (log, _) = dir.open(&config(), OpenOptions::default());
    fill(&log, 2, 5);
    drop(log);
    let text = "0\n2\ncompacted_below 100\ndelete_horizon -1\n";
    std::fs::write(dir.file("compaction-checkpoint"), text).unwrap();
    let (log, _) = dir.open(&config(), unclean(0));
    fill(&log, 38, 5);
    assert_eq!(log.log_end_offset(), 200);
    drop(log);
    let (log, _) = dir.open(&config(), unclean(0));
    let state = log.compaction_state(100, 200, NOW_MS, 0, i64::MAX).unwrap();
    assert_eq!((state.first_dirty_offset, state.checkpoint_valid), (10, false));
}
