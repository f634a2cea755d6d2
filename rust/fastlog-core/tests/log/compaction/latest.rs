//! What stays of a log, and what is to be done.

use std::time::Duration;

use crate::common::keyed::{committed, everything, put, stored, table};
use crate::common::{Dir, NOW_MS, batch, clean, unclean};
use fastlog_core::batch::BatchBuilder;
use fastlog_core::log::{LogConfig, OpenOptions, PartitionLog};
use fastlog_core::{Codec, CompactionOptions, Error};

use super::support::{config, fill, filled, has};

#[test]
fn the_last_value_of_each_key_stays() {
    let (dir, log) = filled(100, 20);
    let before = committed(&log);
    let segments = log.segment_count();
    let report = log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    assert_eq!((report.cleaned_to, report.map_full), (500, false));
    assert_eq!(
        (report.records_read, report.records_kept, report.map_records),
        (500, 20, 20)
    );
    assert_eq!((report.map_records_read, report.batches_copied), (500, 4));
    assert_eq!(report.segments_before, segments - 1);
    assert_eq!(report.bytes_kept, log.size_bytes());
    assert_eq!(committed(&log), before[480..]);
    assert_eq!(log.read(0, 10_000, i64::MAX, true).unwrap().first_offset, 480);
    log.purge_deleted(i64::MAX).unwrap();
    assert!(!has(&dir, ".deleted") && !has(&dir, ".cleaned") && !has(&dir, ".swap"));

    // What is left becomes one segment the next time.
    fill(&log, 1, 20);
    let report = log.compact(&everything(&log, 500, NOW_MS)).unwrap();
    assert_eq!(report.records_kept, 20);
    assert_eq!(log.segment_count(), 2);
    assert_eq!(log.segments().unwrap()[0].size, report.bytes_kept);
    assert!(
        (1..report.bytes_read).contains(&report.map_bytes_read),
        "the map is made of the new part alone"
    );
    let seen = committed(&log);
    log.close().unwrap();
    let (log, report) = dir.open(&config(), clean(505));
    assert_eq!((report.indexes_rebuilt, report.warnings), (0, Vec::new()));
    assert_eq!(committed(&log), seen);
    let found = log
        .offset_for_timestamp(seen[3].timestamp, i64::MAX)
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.timestamp, found.offset),
        (seen[3].timestamp, seen[3].offset)
    );
    // The last index entry is that of the largest timestamp.
    let largest = seen.iter().map(|record| record.timestamp).max().unwrap();
    assert_eq!(log.segments().unwrap()[0].largest_timestamp, largest);
    assert_eq!(log.max_timestamp_offset().unwrap().unwrap().timestamp, largest);
    // Nothing is dirty: nothing is done.
    let report = log.compact(&everything(&log, 505, NOW_MS)).unwrap();
    assert_eq!((report.cleaned_to, report.bytes_read), (505, 0));
}

#[test]
fn what_there_is_to_do() {
    let (dir, log) = filled(30, 10);
    let bases: Vec<i64> = log
        .segments()
        .unwrap()
        .iter()
        .map(|segment| segment.base_offset)
        .collect();
    let sizes: Vec<u64> = log
        .segments()
        .unwrap()
        .iter()
        .map(|segment| segment.size)
        .collect();
    let state = |from, max, lag| {
        log.compaction_state(from, max, NOW_MS + 1000, lag, i64::MAX)
            .unwrap()
    };
    let all = state(-1, 150, 0);
    assert_eq!((all.first_dirty_offset, all.first_uncleanable_offset), (0, 150));
    assert_eq!((all.clean_bytes, all.cleanable_bytes), (0, log.size_bytes()));
    assert!(!all.checkpoint_valid && (all.dirty_ratio() - 1.0).abs() < 1e-9);
    assert_eq!(
        all.earliest_dirty_timestamp,
        NOW_MS + 4,
        "largest timestamp of the first batch"
    );
    // Whole segments below the limit.
    assert_eq!(state(-1, bases[2] + 1, 0).first_uncleanable_offset, bases[2]);
    assert_eq!(state(-1, bases[2], 0).cleanable_bytes, sizes[0] + sizes[1]);
    assert_eq!(state(-1, 1, 0).cleanable_bytes, 0);
    // Records that are too young.
    let young = log.segments().unwrap()[1].largest_timestamp;
    assert_eq!(
        state(-1, 150, NOW_MS + 1000 - young).first_uncleanable_offset,
        bases[2]
    );
    assert_eq!(
        state(-1, 150, NOW_MS + 1001 - young).first_uncleanable_offset,
        bases[1]
    );
    // Too old.
    let delay = |max| {
        log.compaction_state(-1, 150, NOW_MS + 1000, 0, max)
            .unwrap()
            .compaction_delay_ms
    };
    assert_eq!((delay(996), delay(995), delay(0)), (0, 1, 996));
    // A checkpoint that nothing is known of.
    assert_eq!(state(70, 150, 0).first_dirty_offset, 0);
    let report = log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    fill(&log, 10, 10);
    let state = |from| log.compaction_state(from, 200, NOW_MS, 0, i64::MAX).unwrap();
    let dirty = state(report.cleaned_to);
    assert!(dirty.checkpoint_valid);
    assert_eq!(
        (dirty.first_dirty_offset, dirty.first_uncleanable_offset),
        (150, 200)
    );
    assert_eq!(dirty.clean_bytes, report.bytes_kept);
    assert_eq!(dirty.clean_bytes + dirty.cleanable_bytes, log.size_bytes());
    assert!(!state(201).checkpoint_valid && state(201).first_dirty_offset == 0);
    // The log is cut and grows again: what is behind the cut is dirty.
    log.truncate_to(100).unwrap();
    fill(&log, 30, 10);
    assert_eq!(state(150).first_dirty_offset, 100);
    let (reopened, _) = dir.open(&config(), unclean(0));
    assert_eq!(
        reopened
            .compaction_state(150, 250, NOW_MS, 0, i64::MAX)
            .unwrap()
            .first_dirty_offset,
        100
    );
    let options = OpenOptions {
        compacted_below: 160,
        ..unclean(0)
    };
    let (reopened, _) = dir.open(&config(), options);
    assert_eq!(
        reopened
            .compaction_state(150, 250, NOW_MS, 0, i64::MAX)
            .unwrap()
            .first_dirty_offset,
        150
    );
}

#[test]
fn a_map_that_is_full_cleans_as_far_as_it_reaches() {
    let (_dir, log) = filled(60, 100);
    let expected = table(&committed(&log));
    let mut from = -1;
    let mut rounds = 0;
    loop {
        let options = CompactionOptions {
            memory_bytes: 40 * 24,
            ..everything(&log, from, NOW_MS)
        };
        let report = log.compact(&options).unwrap();
        assert!(report.map_memory_bytes <= 40 * 24 && report.map_records <= 33);
        assert!(report.cleaned_to > from);
        assert_eq!(table(&committed(&log)), expected);
        from = report.cleaned_to;
        rounds += 1;
        if !report.map_full {
            break;
        }
    }
    assert_eq!(from, 300);
    assert!(rounds >= 9, "{rounds}");
    assert_eq!(committed(&log).len(), 100);
    let options = CompactionOptions {
        memory_bytes: 47,
        ..everything(&log, -1, NOW_MS)
    };
    fill(&log, 1, 5);
    let options = CompactionOptions {
        max_offset: 305,
        ..options
    };
    assert!(matches!(log.compact(&options), Err(Error::InvalidArgument(_))));
}

#[test]
fn tombstones_that_are_due_are_known_even_after_a_restart() {
    let (dir, log) = filled(10, 10);
    put(&log, Codec::None, None, NOW_MS, &[(Some(b"key-1"), None)]);
    log.roll().unwrap();
    let state = |log: &PartitionLog, now| log.compaction_state(51, 51, now, 0, i64::MAX).unwrap();
    assert_eq!(state(&log, NOW_MS).earliest_delete_horizon, -1);
    log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    assert_eq!(state(&log, NOW_MS).earliest_delete_horizon, NOW_MS + 1000);
    assert_eq!(committed(&log).len(), 10);
    drop(log);
    let (log, _) = dir.open(&config(), unclean(0));
    assert!(!state(&log, NOW_MS + 999).removal_due);
    assert!(state(&log, NOW_MS + 1000).removal_due);
    let report = log.compact(&everything(&log, 51, NOW_MS + 1000)).unwrap();
    assert_eq!(
        (
            report.tombstones_dropped,
            report.cleaned_to,
            report.map_memory_bytes / 24
        ),
        (1, 51, 2)
    );
    assert_eq!(committed(&log).len(), 9);
    assert_eq!(state(&log, i64::MAX).earliest_delete_horizon, -1);
}

#[test]
fn deleted_records_are_dropped_and_retention_goes_on() {
    let (dir, log) = filled(100, 200);
    log.advance_log_start_offset(333).unwrap();
    let before = committed(&log);
    let report = log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    assert!(report.map_records < 200);
    assert_eq!(committed(&log), before);
    assert_eq!(stored(&log)[0].records[0].offset, 333);
    // Empty segments go with the next retention, since they lie below the log start.
    assert!(log.segments().unwrap()[0].size == 0);
    log.apply_retention(NOW_MS).unwrap();
    assert!(log.segments().unwrap()[0].next_offset > 333);
    assert_eq!(committed(&log), before);
    // By time: what is left of a segment is as old as its youngest record, or as its file.
    let both = LogConfig {
        delete: true,
        retention_ms: 10_000,
        ..config()
    };
    log.update_config(both.clone());
    assert!(log.apply_retention(NOW_MS + 9_000).unwrap().is_empty());
    assert!(!log.apply_retention(NOW_MS + 10_900).unwrap().is_empty());
    log.close().unwrap();
    let start = log.log_start_offset();
    let (log, _) = dir.open(
        &both,
        OpenOptions {
            log_start_offset: start,
            ..clean(500)
        },
    );
    assert_eq!(log.log_start_offset(), start);
}

#[test]
fn a_segment_without_timestamps_keeps_its_age() {
    let dir = Dir::new();
    let (log, _) = dir.open(&config(), OpenOptions::default());
    for value in ["one", "two"] {
        let mut builder = BatchBuilder::new(Codec::None);
        builder
            .append(-1, Some(b"k"), Some(value.as_bytes()), [])
            .unwrap();
        crate::common::append(&log, &builder.build().unwrap());
    }
    log.roll().unwrap();
    let path = dir.file("00000000000000000000.log");
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(100_000);
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let difference = modified
        .duration_since(long_ago)
        .unwrap_or_else(|error| error.duration());
    assert!(difference < Duration::from_secs(1), "{difference:?}");
    assert_eq!(log.size_bytes(), 72);
}

#[test]
fn keyless_batches_do_not_stop_a_compaction() {
    let dir = Dir::new();
    let (log, _) = dir.open(
        &LogConfig {
            compact: false,
            ..config()
        },
        OpenOptions::default(),
    );
    for _ in 0..30 {
        crate::common::append(&log, &batch(3, 100, NOW_MS));
    }
    fill(&log, 1, 5);
    let report = log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    assert_eq!((report.invalid_records, report.records_kept), (90, 5));
}
