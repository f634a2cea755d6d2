//! Crashes at every operation of a compaction and its swaps, full disks and failing ones.

#![allow(clippy::case_sensitive_file_extension_comparisons)] // the names are our own

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::common::keyed::{Pair, Producer, committed, end, everything, put, stored, table};
use crate::common::{NOW_MS, unclean};
use fastlog_core::batch::{ControlKind, crc32c};
use fastlog_core::env::{Crash, FaultFs, Faults, FileSystem};
use fastlog_core::log::{LogConfig, OpenOptions, PartitionLog, RecoveryReport};
use fastlog_core::{Codec, Error, ManualClock, Result};

pub const DIR: &str = "/data/topic-0";

pub type Table = BTreeMap<Vec<u8>, (i64, Vec<u8>)>;

pub fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1400,
        index_interval_bytes: 150,
        compact: true,
        ..LogConfig::default()
    }
}

pub fn try_open(
    fs: &FaultFs,
    config: LogConfig,
    options: OpenOptions,
) -> Result<(PartitionLog, RecoveryReport)> {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    PartitionLog::open(Path::new(DIR), config, Arc::new(fs.clone()), clock, options)
}

fn open(fs: &FaultFs) -> PartitionLog {
    try_open(fs, config(), unclean(0)).unwrap().0
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

/// A log with something of everything, and a second generation of it if `clean` says that the first was
/// compacted: then there are delete horizons and markers without records.
fn filled(clean: bool) -> (FaultFs, PartitionLog, i64) {
    let fs = FaultFs::new();
    let log = try_open(&fs, config(), OpenOptions::default()).unwrap().0;
    let mut checkpoint = -1;
    for generation in 0..if clean { 2 } else { 1 } {
        for step in 0..24_usize {
            let codec = Codec::ALL[step % 5];
            let keys: Vec<String> = (0..4)
                .map(|n| format!("key-{}", (step * 7 + n * 5) % 17))
                .collect();
            let value = format!("{:>40}", generation * 1000 + step);
            let records: Vec<Pair<'_>> = keys
                .iter()
                .enumerate()
                .map(|(n, key)| {
                    let tombstone = (step + n) % 6 == 0;
                    (Some(key.as_bytes()), (!tombstone).then_some(value.as_bytes()))
                })
                .collect();
            let id = (step % 4) as i64;
            let producer = (id > 0).then_some(Producer {
                id,
                transactional: id > 1,
            });
            put(&log, codec, producer, NOW_MS + step as i64, &records);
            if generation == 0 && step % 3 == 0 {
                let key = format!("gone-{step}");
                let gone: [Pair<'_>; 2] = [(Some(key.as_bytes()), None), (Some(b"gone"), None)];
                put(&log, codec, None, NOW_MS, &gone);
            }
            if [1, 2, 13, 15].contains(&step) {
                log.roll().unwrap();
            }
            if step % 8 == 7 {
                end(&log, 2, ControlKind::Abort, NOW_MS);
                end(&log, 3, ControlKind::Commit, NOW_MS);
            }
        }
        log.roll().unwrap();
        if generation == 0 && clean {
            let report = log.compact(&everything(&log, -1, NOW_MS)).unwrap();
            checkpoint = report.cleaned_to;
        }
    }
    put(
        &log,
        Codec::None,
        None,
        NOW_MS,
        &[(Some(b"last"), Some(b"value"))],
    );
    (fs, log, checkpoint)
}

pub struct Expected {
    pub table: Table,
    pub end: i64,
    producers: Vec<(i64, i32)>,
    /// What a whole compaction leaves.
    offsets: Vec<i64>,
    checkpoint: i64,
}

fn producers(log: &PartitionLog) -> Vec<(i64, i32)> {
    let active = log.active_producers().into_iter();
    active.map(|one| (one.producer_id, one.last_sequence)).collect()
}

fn offsets(log: &PartitionLog) -> Vec<i64> {
    committed(log).iter().map(|record| record.offset).collect()
}

/// When everything may go that a first compaction had to keep.
const LATER: i64 = NOW_MS + 5000;

/// Compacts a log and gives the operations that this took, and what must hold at each of them.
pub fn history(clean: bool) -> (FaultFs, std::ops::RangeInclusive<usize>, Expected) {
    let (fs, log, checkpoint) = filled(clean);
    let before = table(&committed(&log));
    let producers_before = producers(&log);
    let from = fs.operations();
    let report = log.compact(&everything(&log, checkpoint, LATER)).unwrap();
    assert!(
        report.segments_after >= 2 && report.segments_before > report.segments_after,
        "{report:?}"
    );
    assert!(report.batches_rewritten > 10, "{report:?}");
    assert!(!clean || report.tombstones_dropped > 3, "{report:?}");
    let expected = Expected {
        table: table(&committed(&log)),
        end: log.log_end_offset(),
        producers: producers(&log),
        offsets: offsets(&log),
        checkpoint,
    };
    assert_eq!(expected.table, before);
    assert_eq!(expected.producers, producers_before);
    let to = fs.operations();
    (fs, from..=to, expected)
}

fn check(image: &FaultFs, config: &LogConfig, expected: &Expected, what: &str) {
    let (log, report) =
        try_open(image, config.clone(), unclean(0)).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(report.truncated_bytes, 0, "{what}: {report:?}");
    assert_eq!(log.log_end_offset(), expected.end, "{what}: {report:?}");
    assert_eq!(table(&committed(&log)), expected.table, "{what}: {report:?}");
    assert_eq!(producers(&log), expected.producers, "{what}: {report:?}");
    drop(log);
    let first = files(image);
    for suffix in [".cleaned", ".swap", ".deleted", ".tmp"] {
        assert!(
            !first.iter().any(|(name, ..)| name.ends_with(suffix)),
            "{what}: {first:?}"
        );
    }
    let (log, report) = try_open(image, config.clone(), unclean(0)).unwrap();
    assert_eq!(
        (report.indexes_rebuilt, report.warnings),
        (0, Vec::new()),
        "{what}"
    );
    assert_eq!(files(image), first, "{what}: a second start changes nothing");
    // The next compaction comes to the same end.
    let report = log
        .compact(&everything(&log, expected.checkpoint, LATER))
        .unwrap();
    assert!(report.cleaned_to >= expected.checkpoint);
    assert_eq!(table(&committed(&log)), expected.table, "{what}");
    assert_eq!(offsets(&log), expected.offsets, "{what}");
}

#[test]
fn every_crash_of_the_process_leaves_the_same_table() {
    for clean in [false, true] {
        let (fs, operations, expected) = history(clean);
        for at in operations {
            let image = fs.crash_image(at, Crash::Process);
            check(&image, &config(), &expected, &format!("kill at {at}"));
        }
    }
}

#[test]
fn every_power_loss_leaves_the_same_table() {
    for clean in [false, true] {
        let (fs, operations, mut expected) = history(clean);
        let stored = *operations.start();
        for at in operations {
            let image = fs.crash_image(at, Crash::Power);
            // What was not flushed when the compaction began is lost up to its flush.
            let log = open(&image);
            if log.log_end_offset() < expected.end {
                assert!(at < stored + 40, "at {at}, from {stored}");
                continue;
            }
            drop(log);
            // The configuration may have changed since.
            let config = LogConfig {
                compact: at % 2 == 0,
                ..config()
            };
            expected.checkpoint = if at % 3 == 0 { -1 } else { expected.checkpoint };
            check(&image, &config, &expected, &format!("power at {at}"));
        }
    }
}

#[test]
fn torn_writes_leave_the_same_table() {
    let (fs, operations, expected) = history(false);
    for at in operations {
        for (bytes, zeros) in [(1, false), (100, true)] {
            let image = fs.crash_image(at, Crash::TornWrite { bytes, zeros });
            check(&image, &config(), &expected, &format!("torn at {at}"));
        }
    }
}

#[test]
fn crashes_of_the_start_that_finishes_a_swap_leave_the_same_table() {
    let (fs, operations, expected) = history(true);
    let has = |fs: &FaultFs, suffix: &str| files(fs).iter().any(|(name, ..)| name.ends_with(suffix));
    let mut images = 0;
    for at in operations.step_by(3) {
        let image = fs.crash_image(at, Crash::Process);
        if !has(&image, ".swap") {
            continue;
        }
        images += 1;
        let begin = image.operations();
        drop(open(&image));
        for during in begin..=image.operations() {
            for crash in [Crash::Process, Crash::Power] {
                let again = image.crash_image(during, crash);
                let what = format!("{crash:?} at {during} of the start after {at}");
                check(&again, &config(), &expected, &what);
            }
        }
    }
    assert!(images > 5, "{images}");
}

#[test]
fn a_full_disk_aborts_a_compaction_and_nothing_else() {
    let (_, operations, expected) = history(true);
    let mut refused = 0;
    let mut room = 0;
    loop {
        let (fs, log, checkpoint) = filled(true);
        log.flush(None).unwrap();
        fs.set_faults(Faults {
            capacity: Some(fs.used() + room),
            ..Faults::default()
        });
        let result = log.compact(&everything(&log, checkpoint, LATER));
        assert_eq!(log.failure(), None, "with {room} bytes");
        assert_eq!(table(&committed(&log)), expected.table, "with {room} bytes");
        match result {
            Ok(_) => break,
            Err(Error::NoSpace { .. }) => refused += 1,
            Err(other) => panic!("with {room} bytes: {other}"),
        }
        let left = files(&fs);
        assert!(
            !left
                .iter()
                .any(|(name, ..)| name.ends_with(".cleaned") || name.ends_with(".swap")),
            "{left:?}"
        );
        fs.set_faults(Faults::default());
        put(
            &log,
            Codec::None,
            None,
            NOW_MS,
            &[(Some(b"last"), Some(b"value"))],
        );
        log.compact(&everything(&log, checkpoint, LATER)).unwrap();
        assert_eq!(
            stored(&log)
                .iter()
                .map(|batch| batch.records.len())
                .sum::<usize>(),
            expected.offsets.len() + 1
        );
        room += 11;
    }
    assert!(refused > 10, "{refused}, {operations:?}");
}

#[test]
fn a_failing_disk_takes_the_log_offline_and_loses_nothing() {
    let (_, _, expected) = history(true);
    for fail_sync in [false, true] {
        for nth in 0.. {
            let (fs, log, checkpoint) = filled(true);
            log.flush(None).unwrap();
            fs.set_faults(Faults {
                fail_sync: fail_sync.then_some(nth),
                fail_write: (!fail_sync).then_some(nth),
                ..Faults::default()
            });
            let result = log.compact(&everything(&log, checkpoint, LATER));
            if result.is_ok() {
                assert!(nth > 8, "{nth}");
                break;
            }
            assert!(matches!(result, Err(Error::Io { .. })), "{result:?}");
            assert!(log.failure().is_some());
            assert!(matches!(
                log.compact(&everything(&log, checkpoint, LATER)),
                Err(Error::Offline { .. })
            ));
            drop(log);
            fs.set_faults(Faults::default());
            check(
                &fs,
                &config(),
                &expected,
                &format!("error {nth}, of a sync: {fail_sync}"),
            );
        }
    }
}

#[test]
fn leftovers_of_an_earlier_compaction_are_no_danger() {
    // A `.cleaned` file that could not be removed would make a restart drop the `.swap` files of a later one.
    let (fs, log, checkpoint) = filled(true);
    let stale = Path::new(DIR).join("00000000000000000001.timeindex.cleaned");
    drop(fs.open(&stale, fastlog_core::env::OpenMode::Create).unwrap());
    let before = table(&committed(&log));
    let from = fs.operations();
    log.compact(&everything(&log, checkpoint, LATER)).unwrap();
    for at in from..=fs.operations() {
        let image = fs.crash_image(at, Crash::Process);
        assert_eq!(table(&committed(&open(&image))), before, "at {at}");
    }
}
