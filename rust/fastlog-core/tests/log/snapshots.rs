//! Producer snapshots of rolls: appends do not wait for their fsyncs, and no crash makes them tell a lie.

#![allow(clippy::case_sensitive_file_extension_comparisons)] // the names are our own

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::keyed::{Producer, end, put};
use crate::common::{NOW_MS, unclean};
use fastlog_core::batch::ControlKind;
use fastlog_core::env::{Crash, FaultFs, Faults, FileSystem};
use fastlog_core::log::{LogConfig, OpenOptions, PartitionLog};
use fastlog_core::{ActiveProducer, Codec, ManualClock};

const DIR: &str = "/data/topic-0";

fn open(fs: &FaultFs, options: OpenOptions) -> PartitionLog {
    let config = LogConfig {
        segment_bytes: 600,
        delete: false,
        ..LogConfig::default()
    };
    let clock = Arc::new(ManualClock::new(NOW_MS));
    PartitionLog::open(Path::new(DIR), config, Arc::new(fs.clone()), clock, options)
        .unwrap()
        .0
}

fn snapshots(fs: &FaultFs) -> Vec<PathBuf> {
    let entries = fs.list_dir(Path::new(DIR)).unwrap().into_iter();
    let named = entries.filter(|entry| entry.name.ends_with(".snapshot"));
    named.map(|entry| Path::new(DIR).join(entry.name)).collect()
}

fn write(log: &PartitionLog, id: i64, transactional: bool) {
    let producer = Producer { id, transactional };
    put(
        log,
        Codec::None,
        Some(producer),
        NOW_MS,
        &[(Some(b"key"), Some(b"value"))],
    );
}

/// What of the producers comes back from the log itself.
fn producers(log: &PartitionLog) -> Vec<ActiveProducer> {
    log.active_producers()
}

#[test]
fn a_roll_leaves_fsyncs_to_the_next_flush() {
    let fs = FaultFs::new();
    let log = open(&fs, OpenOptions::default());
    write(&log, 1, false);
    log.flush(None).unwrap();
    fs.set_faults(Faults {
        fail_sync: Some(0),
        ..Faults::default()
    });
    let segments = log.segment_count();
    while log.segment_count() < segments + 3 {
        write(&log, 1, false);
    }
    log.roll().unwrap();
    assert_eq!(log.failure(), None);
    assert!(snapshots(&fs).len() >= 4);
    log.flush(None).unwrap_err();
    assert!(log.failure().is_some());
}

#[test]
fn a_flush_makes_snapshots_durable_with_their_names() {
    let fs = FaultFs::new();
    let log = open(&fs, OpenOptions::default());
    for _ in 0..3 {
        write(&log, 1, false);
        log.roll().unwrap();
    }
    log.flush(None).unwrap();
    let image = fs.crash_image(fs.operations(), Crash::Power);
    let found = snapshots(&image);
    assert_eq!(found.len(), 3);
    for path in &found {
        assert_eq!(image.read_file(path).unwrap(), fs.read_file(path).unwrap());
        assert!(!fs.read_file(path).unwrap().is_empty());
    }
    // Once is enough.
    let before = fs.operations();
    log.flush(None).unwrap();
    assert_eq!(fs.operations(), before);
}

#[test]
fn a_disk_that_fails_on_a_snapshot_takes_the_log_offline() {
    let fs = FaultFs::new();
    let log = open(&fs, OpenOptions::default());
    write(&log, 1, false);
    log.flush(None).unwrap();
    log.roll().unwrap();
    // The sealed segment and its indexes come first.
    for nth in 0.. {
        fs.set_faults(Faults {
            fail_sync: Some(nth),
            ..Faults::default()
        });
        let fs = fs.crash_image(fs.operations(), Crash::Process);
        let log = open(&fs, unclean(0));
        write(&log, 1, false);
        log.roll().unwrap();
        fs.set_faults(Faults {
            fail_sync: Some(nth),
            ..Faults::default()
        });
        let result = log.flush(None);
        assert_eq!(log.failure().is_some(), result.is_err(), "{nth}");
        if result.is_ok() {
            assert!(nth >= 4, "{nth}");
            break;
        }
    }
}

/// Producers and transactions over many segments, with a flush now and then.
fn workload() -> FaultFs {
    let fs = FaultFs::new();
    let log = open(&fs, OpenOptions::default());
    for step in 0..40_i64 {
        let id = step % 3;
        write(&log, id, id == 2);
        if step % 7 == 6 {
            end(&log, 2, ControlKind::Abort, NOW_MS);
        }
        if step % 5 == 4 {
            // As a new leader epoch does: it gives names to snapshots whose bytes are not durable.
            fs.sync_dir(Path::new(DIR)).unwrap();
        }
        if step % 11 == 10 {
            log.flush(None).unwrap();
        }
    }
    log.flush(None).unwrap();
    fs
}

#[test]
fn after_any_crash_the_producers_are_those_of_the_log() {
    let fs = workload();
    let mut torn = 0;
    for at in 0..=fs.operations() {
        for crash in [Crash::Power, Crash::Process] {
            let image = fs.crash_image(at, crash);
            if !image.exists(Path::new(DIR)).unwrap() {
                continue;
            }
            let bare = fs.crash_image(at, crash);
            for path in snapshots(&bare) {
                bare.remove_file(&path).unwrap();
            }
            let empty = |path: &PathBuf| image.read_file(path).unwrap().is_empty();
            torn += usize::from(snapshots(&image).iter().any(empty));
            let (log, expected) = (open(&image, unclean(0)), open(&bare, unclean(0)));
            assert_eq!(
                log.log_end_offset(),
                expected.log_end_offset(),
                "{crash:?} at {at}"
            );
            assert_eq!(producers(&log), producers(&expected), "{crash:?} at {at}");
            // As far back as a leader may have it cut: from there on it goes by the snapshots that are left.
            for log in [&log, &expected] {
                log.truncate_to(log.log_end_offset() / 2).unwrap();
            }
            assert_eq!(producers(&log), producers(&expected), "cut, {crash:?} at {at}");
        }
    }
    assert!(torn > 5, "{torn}");
}

#[test]
fn damaged_snapshots_are_made_again_from_the_log() {
    let fs = workload();
    let all = fs.operations();
    let expected = producers(&open(&fs.crash_image(all, Crash::Process), unclean(0)));
    assert_eq!(expected.len(), 3);
    let end = open(&fs.crash_image(all, Crash::Process), unclean(0)).log_end_offset();
    for (what, change) in [
        ("empty", (|bytes| bytes.clear()) as fn(&mut Vec<u8>)),
        ("torn", |bytes| bytes.truncate(bytes.len() - 1)),
        ("zeros", |bytes| bytes.fill(0)),
        ("flipped", |bytes| bytes[20] ^= 1),
    ] {
        for newest in [1, usize::MAX] {
            let image = fs.crash_image(all, Crash::Process);
            for path in snapshots(&image).iter().rev().take(newest) {
                image.damage(path, change).unwrap();
            }
            // The scan begins at the recovery point, where it needs what a snapshot would tell.
            let log = open(&image, unclean(end));
            assert_eq!(producers(&log), expected, "{what}");
        }
    }
}

#[test]
fn what_retention_takes_is_in_a_durable_snapshot_before() {
    // All segments but the active one, and all of them, so that a new one is begun for it.
    for all in [false, true] {
        let fs = FaultFs::new();
        let log = open(&fs, OpenOptions::default());
        write(&log, 7, false);
        log.flush(None).unwrap();
        log.roll().unwrap();
        write(&log, 8, false);
        let start = if all { 2 } else { 1 };
        let config = LogConfig {
            retention_ms: if all { 0 } else { -1 },
            delete: true,
            ..(*log.config()).clone()
        };
        log.update_config(config);
        log.advance_log_start_offset(start).unwrap();
        assert_eq!(log.apply_retention(NOW_MS + 5).unwrap().len(), start as usize);
        fs.sync_dir(Path::new(DIR)).unwrap();
        let image = fs.crash_image(fs.operations(), Crash::Power);
        let options = OpenOptions {
            log_start_offset: start,
            ..unclean(0)
        };
        let known: Vec<i64> = producers(&open(&image, options))
            .iter()
            .map(|one| one.producer_id)
            .collect();
        assert_eq!(known, if all { vec![7, 8] } else { vec![7] });
    }
}
