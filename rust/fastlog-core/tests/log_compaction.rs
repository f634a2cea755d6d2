//! Compaction of logs on a real disk: what there is to do, what stays, and what may happen meanwhile.

#![allow(clippy::case_sensitive_file_extension_comparisons)] // the names are our own

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::keyed::{Pair, Producer, committed, end, everything, put, stored, table};
use common::{Dir, NOW_MS, batch, clean, read_all, unclean};
use fastlog_core::batch::{BatchBuilder, ControlKind};
use fastlog_core::log::{LogConfig, OpenOptions, PartitionLog};
use fastlog_core::{Codec, CompactionOptions, Error, Throttle};

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 2000,
        index_interval_bytes: 200,
        compact: true,
        delete: false,
        ..LogConfig::default()
    }
}

/// `batches` batches of five records over `keys` keys, with one codec after the other, and a rolled segment.
fn fill(log: &PartitionLog, batches: usize, keys: usize) {
    let round = log.log_end_offset() as usize;
    for step in 0..batches {
        let pairs: Vec<(String, String)> = (0..5)
            .map(|n| {
                (
                    format!("key-{}", (round + step * 5 + n) % keys),
                    format!("value-{step}-{n}"),
                )
            })
            .collect();
        let records: Vec<Pair<'_>> = pairs
            .iter()
            .map(|(key, value)| (Some(key.as_bytes()), Some(value.as_bytes())))
            .collect();
        put(
            log,
            Codec::ALL[step % 5],
            None,
            NOW_MS + step as i64 * 10,
            &records,
        );
    }
    log.roll().unwrap();
}

fn filled(batches: usize, keys: usize) -> (Dir, PartitionLog) {
    let dir = Dir::new();
    let (log, _) = dir.open(&config(), OpenOptions::default());
    fill(&log, batches, keys);
    (dir, log)
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn has(dir: &Dir, suffix: &str) -> bool {
    dir.names().iter().any(|name| name.ends_with(suffix))
}

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
    assert_eq!(
        report.map_bytes_read,
        log.segments().unwrap()[0].size - report.bytes_kept + report.map_bytes_read
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
fn open_transactions_are_not_touched_and_markers_go_last() {
    let dir = Dir::new();
    let (log, _) = dir.open(&config(), OpenOptions::default());
    let write = |id, value: &str| {
        let producer = Producer {
            id,
            transactional: true,
        };
        put(
            &log,
            Codec::Gzip,
            Some(producer),
            NOW_MS,
            &[(Some(b"k"), Some(value.as_bytes()))],
        );
    };
    write(1, "committed");
    end(&log, 1, ControlKind::Commit, NOW_MS);
    write(2, "aborted");
    end(&log, 2, ControlKind::Abort, NOW_MS);
    log.roll().unwrap();
    write(3, "open");
    log.roll().unwrap();
    let report = log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    assert_eq!(report.cleaned_to, 4);
    let values = || -> Vec<String> {
        let value = |rec: common::keyed::Rec| String::from_utf8(rec.value.unwrap()).unwrap();
        committed(&log).into_iter().map(value).collect()
    };
    assert_eq!(values(), ["committed"]);
    // The aborted record is gone; its empty batch keeps the sequence, and so the marker and the index entry stay.
    assert_eq!(log.aborted_transactions(0, 4).len(), 1);
    end(&log, 3, ControlKind::Commit, NOW_MS);
    log.roll().unwrap();
    let report = log.compact(&everything(&log, 4, NOW_MS)).unwrap();
    assert_eq!(report.cleaned_to, 6);
    assert_eq!(values(), ["open"]);
    assert_eq!(log.active_producers().len(), 3);
    let kinds: Vec<(i64, i32)> = stored(&log)
        .iter()
        .map(|batch| (batch.header.base_offset, batch.header.record_count))
        .collect();
    assert_eq!(kinds, [(0, 0), (1, 1), (2, 0), (3, 1), (4, 1), (5, 1)]);
    log.expire_producers(i64::MAX);
    for round in 1..4 {
        // Batches without records, then a delete horizon, then nothing.
        fill(&log, 1, 5);
        let state = log
            .compaction_state(-1, log.log_end_offset(), NOW_MS, 0, i64::MAX)
            .unwrap();
        log.compact(&everything(&log, state.first_dirty_offset, NOW_MS + round * 2000))
            .unwrap();
    }
    assert_eq!(stored(&log)[0].header.base_offset, 4);
    assert!(log.aborted_transactions(0, 100).is_empty());
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
        common::append(&log, &builder.build().unwrap());
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
fn a_log_that_was_compacted_opens_under_another_policy() {
    // Two segments, of which the first one loses its end, and the third one its beginning.
    for evidence in [false, true] {
        let dir = Dir::new();
        let (log, _) = dir.open(&config(), OpenOptions::default());
        let write = |key: &[u8]| {
            put(&log, Codec::None, None, NOW_MS, &[(Some(key), Some(b"value"))]);
        };
        for keys in [[b"a", b"b"], [b"b", b"c"], [b"d", b"e"]] {
            write(keys[0]);
            write(keys[1]);
            log.roll().unwrap();
        }
        let separate = LogConfig {
            segment_bytes: 80,
            ..config()
        };
        log.update_config(separate);
        log.compact(&everything(&log, -1, NOW_MS)).unwrap();
        let found = committed(&log);
        assert_eq!(
            found.iter().map(|record| record.offset).collect::<Vec<_>>(),
            [0, 2, 3, 4, 5]
        );
        drop(log);
        let delete = LogConfig {
            compact: false,
            ..config()
        };
        if evidence {
            // As in a directory of Kafka: nobody knows.
            std::fs::remove_file(dir.file("compaction-checkpoint")).unwrap();
            assert!(matches!(
                dir.try_open(&delete, unclean(0)),
                Err(Error::Corrupt { .. })
            ));
            let told = OpenOptions {
                compacted_below: 2,
                ..unclean(0)
            };
            assert_eq!(committed(&dir.open(&delete, told).0), found);
            assert_eq!(committed(&dir.open(&config(), unclean(0)).0), found);
        } else {
            assert_eq!(committed(&dir.open(&delete, unclean(0)).0), found);
            // But a segment that loses its end where nothing was compacted has lost it, whatever the policy.
            let (log, _) = dir.open(&config(), unclean(0));
            fill(&log, 20, 5);
            assert!(log.segment_count() > 5);
            let last = log.segments().unwrap()[log.segment_count() - 3];
            drop(log);
            let path = dir.file(&format!("{:020}.log", last.base_offset));
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_len(0).unwrap();
            for config in [&config(), &delete] {
                assert!(matches!(
                    dir.try_open(config, unclean(0)),
                    Err(Error::Corrupt { .. })
                ));
            }
        }
    }
}

#[test]
fn followers_of_compacted_leaders_open_under_another_policy() {
    let (_dir, leader) = filled(100, 20);
    leader.compact(&everything(&leader, -1, NOW_MS)).unwrap();
    fill(&leader, 2, 20);
    let dir = Dir::new();
    let small = LogConfig {
        segment_bytes: 300,
        ..config()
    };
    let (follower, _) = dir.open(&small, OpenOptions::default());
    let mut offset = 0;
    while offset < leader.log_end_offset() {
        let slice = leader.read(offset, 200, i64::MAX, true).unwrap();
        let mut bytes = vec![0; slice.len];
        slice.read_into(&mut bytes).unwrap();
        offset = follower.append_as_follower(&bytes).unwrap().end_offset;
    }
    assert!(follower.segment_count() > 3);
    let found = committed(&follower);
    assert_eq!(found, committed(&leader));
    drop(follower);
    let delete = LogConfig {
        compact: false,
        ..small
    };
    assert_eq!(committed(&dir.open(&delete, unclean(0)).0), found);
}

#[test]
fn damage_is_reported_and_changes_nothing() {
    for dirty in [true, false] {
        let (dir, log) = filled(100, 20);
        let mut from = -1;
        if !dirty {
            from = log.compact(&everything(&log, -1, NOW_MS)).unwrap().cleaned_to;
            fill(&log, 5, 20);
        }
        let last_clean = log
            .segments()
            .unwrap()
            .iter()
            .rposition(|one| one.size > 100 && one.base_offset < 500);
        let base = log.segments().unwrap()[last_clean.unwrap()].base_offset;
        let path = dir.file(&format!("{base:020}.log"));
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() - 1;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        log.purge_deleted(i64::MAX).unwrap();
        let before = common::contents(&dir.path());
        let result = log.compact(&everything(&log, from, NOW_MS));
        assert!(matches!(result, Err(Error::Corrupt { .. })), "{result:?}");
        assert_eq!(log.failure(), None);
        let after = common::contents(&dir.path());
        let changed = before
            .iter()
            .filter(|file| !after.contains(file))
            .map(|(name, _)| name);
        // Groups before the damaged one may be done.
        if dirty {
            assert_eq!(changed.collect::<Vec<_>>(), [""; 0]);
        } else {
            let later = changed.filter(|name| **name >= format!("{base:020}") && name.starts_with('0'));
            assert_eq!(later.collect::<Vec<_>>(), [""; 0]);
        }
        assert!(!has(&dir, ".cleaned"));
    }
}

/// Starts a compaction that is too slow to end, and runs `then` when it has begun to write.
fn interrupted(dir: &Dir, log: &PartitionLog, then: impl FnOnce(&Throttle)) -> Result<(), Error> {
    let throttle = Arc::new(Throttle::new(None));
    let options = CompactionOptions {
        throttle: Some(Arc::clone(&throttle)),
        ..everything(log, -1, NOW_MS)
    };
    // The map is built at full speed, then a debt of hours is made.
    throttle.set_rate(Some(1.0));
    let size = log.size_bytes();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| log.compact(&options).map(|_| ()));
        wait_until("the map is being built", || throttle.bytes_taken() > 0);
        throttle.set_rate(None);
        // As soon as some of it was read a second time.
        wait_until("it is being written", || {
            throttle.bytes_taken() > size || running.is_finished()
        });
        throttle.set_rate(Some(1.0));
        if !running.is_finished() {
            then(&throttle);
        }
        assert!(dir.path().exists() || running.is_finished());
        let begin = Instant::now();
        let result = running.join().unwrap();
        assert!(begin.elapsed() < Duration::from_secs(20));
        result
    })
}

#[test]
fn compactions_end_when_they_are_told_to() {
    for way in 0..6 {
        let mut attempts = 0;
        let result = loop {
            let (dir, log) = filled(3000, 2000);
            let before = table(&committed(&log));
            let result = interrupted(&dir, &log, |throttle| match way {
                0 => log.stop_compaction(),
                1 => throttle.cancel(),
                2 => log.close().unwrap(),
                3 => log.delete().unwrap(),
                4 => log.truncate_to(log.log_end_offset() - 1).unwrap(),
                _ => {
                    assert!(matches!(
                        log.compact(&everything(&log, -1, NOW_MS)),
                        Err(Error::Aborted(_))
                    ));
                    log.stop_compaction();
                }
            });
            if way != 3 {
                assert!(!has(&dir, ".cleaned") && !has(&dir, ".swap"), "way {way}");
            }
            if way < 2 {
                assert_eq!(table(&committed(&log)), before);
            }
            if result.is_err() {
                match way {
                    2 | 3 => assert!(matches!(
                        log.compact(&everything(&log, -1, NOW_MS)),
                        Err(Error::Aborted(_) | Error::Offline { .. })
                    )),
                    _ => {
                        log.compact(&everything(&log, -1, NOW_MS)).unwrap();
                    }
                }
                break result;
            }
            // It was faster than we could look.
            attempts += 1;
            assert!(attempts < 20);
        };
        assert!(matches!(result, Err(Error::Aborted(_))), "way {way}: {result:?}");
    }
}

#[test]
fn appends_fetches_retention_and_deletes_go_on_meanwhile() {
    let dir = Dir::new();
    let config = LogConfig {
        segment_bytes: 6000,
        ..config()
    };
    let (log, _) = dir.open(&config, OpenOptions::default());
    fill(&log, 20, 50);
    let done = AtomicBool::new(false);
    let failed = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..60 {
                fill(&log, 20, 50);
            }
            done.store(true, Ordering::Release);
        });
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut rounds = 0;
                    while !done.load(Ordering::Acquire) || rounds < 3 {
                        // A slice that is held stays what it is, whatever takes the place of its segment.
                        let start = log.log_start_offset();
                        let held = match log.read(start, 3000, i64::MAX, true) {
                            Err(Error::OffsetOutOfRange { .. }) => continue,
                            held => held.unwrap(),
                        };
                        let read = || {
                            let mut bytes = vec![0; held.len];
                            held.read_into(&mut bytes).unwrap();
                            bytes
                        };
                        let first = read();
                        let end = log.log_end_offset();
                        let mut offset = end - 100;
                        let mut offsets = Vec::new();
                        while offset < end {
                            let slice = match log.read(offset, 1000, end, true) {
                                Err(Error::OffsetOutOfRange { .. }) => break,
                                slice => slice.unwrap(),
                            };
                            if slice.len == 0 {
                                break;
                            }
                            let mut bytes = vec![0; slice.len];
                            slice.read_into(&mut bytes).unwrap();
                            for view in fastlog_core::batches(&bytes) {
                                let Ok(view) = view else { break };
                                assert!(view.crc_is_valid());
                                offsets.push(view.header().base_offset);
                                offset = view.header().next_offset();
                            }
                        }
                        assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
                        log.offset_for_timestamp(NOW_MS + 50, i64::MAX).unwrap();
                        log.available_bytes(0, end).unwrap();
                        log.segments().unwrap();
                        assert_eq!(read(), first);
                        rounds += 1;
                    }
                })
            })
            .collect();
        let mut aborted = 0;
        let mut from = -1;
        let mut rounds = 0;
        while !done.load(Ordering::Acquire) {
            match log.compact(&everything(&log, from, NOW_MS)) {
                Ok(report) => from = report.cleaned_to,
                Err(Error::Aborted(_)) => aborted += 1,
                Err(other) => panic!("{other}"),
            }
            if rounds % 4 == 3 {
                log.advance_log_start_offset(log.log_end_offset() - 700).ok();
                log.apply_retention(NOW_MS).unwrap();
                log.purge_deleted(i64::MAX).unwrap();
                log.flush(None).unwrap();
            }
            rounds += 1;
        }
        writer.join().unwrap();
        for reader in readers {
            reader.join().unwrap();
        }
        aborted
    });
    assert_eq!((failed, log.failure()), (0, None));
    log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    let left = committed(&log);
    assert_eq!(left.len(), 50);
    assert_eq!(left[0].offset, log.log_end_offset() - 50);
}

#[test]
fn retention_during_a_compaction_is_noticed() {
    // All of a group gone: the others go on. Some of it gone: the compaction ends.
    let mut seen = Vec::new();
    for delete_to in [400, 14_990] {
        let (dir, log) = filled(3000, 2000);
        let result = interrupted(&dir, &log, |throttle| {
            log.advance_log_start_offset(delete_to).unwrap();
            log.apply_retention(NOW_MS).unwrap();
            throttle.set_rate(None);
        });
        assert_eq!(log.failure(), None);
        assert!(!has(&dir, ".cleaned") && !has(&dir, ".swap"));
        log.compact(&everything(&log, -1, NOW_MS)).unwrap();
        let left = committed(&log);
        assert_eq!(left.len(), 2000.min(15_000 - delete_to as usize));
        assert_eq!(read_all(&log, delete_to, 5000).len(), left.len());
        seen.push(result.is_ok());
    }
    assert!(seen.contains(&true), "{seen:?}");
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
        common::append(&log, &batch(3, 100, NOW_MS));
    }
    fill(&log, 1, 5);
    let report = log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    assert_eq!((report.invalid_records, report.records_kept), (90, 5));
}

#[test]
fn a_transaction_whose_marker_went_is_not_open_after_a_restart() {
    let dir = Dir::new();
    let (log, _) = dir.open(&config(), OpenOptions::default());
    let producer = Producer {
        id: 4,
        transactional: true,
    };
    put(
        &log,
        Codec::None,
        Some(producer),
        NOW_MS,
        &[(Some(b"a"), Some(b"1"))],
    );
    // The snapshot that the roll writes has the transaction open, and stays.
    log.roll().unwrap();
    end(&log, 4, ControlKind::Commit, NOW_MS);
    fill(&log, 1, 5);
    log.advance_log_start_offset(1).unwrap();
    assert_eq!(log.apply_retention(NOW_MS).unwrap().len(), 1);
    assert!(has(&dir, "00000000000000000001.snapshot"));
    let first = log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    let second = log
        .compact(&everything(&log, first.cleaned_to, NOW_MS + 1000))
        .unwrap();
    assert_eq!(second.tombstones_dropped, 1);
    assert!(has(&dir, "00000000000000000001.snapshot"));
    let known = log.active_producers();
    assert_eq!((known[0].producer_id, known[0].txn_start_offset), (4, -1));
    drop(log);
    let options = OpenOptions {
        log_start_offset: 1,
        ..unclean(0)
    };
    let (log, _) = dir.open(&config(), options);
    assert_eq!(log.active_producers()[0].txn_start_offset, -1);
    assert_eq!(log.last_stable_offset(log.log_end_offset()), log.log_end_offset());
}

#[test]
fn a_batch_without_records_has_no_timestamp() {
    let dir = Dir::new();
    let (log, _) = dir.open(&config(), OpenOptions::default());
    let producer = Producer {
        id: 4,
        transactional: false,
    };
    let late = NOW_MS + 5000;
    put(
        &log,
        Codec::None,
        Some(producer),
        late,
        &[(Some(b"a"), Some(b"1"))],
    );
    put(&log, Codec::None, None, NOW_MS, &[(Some(b"a"), Some(b"2"))]);
    log.roll().unwrap();
    log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    let batches = stored(&log);
    assert_eq!((batches.len(), batches[0].header.max_timestamp), (2, late));
    let found = log.max_timestamp_offset().unwrap().unwrap();
    assert_eq!((found.timestamp, found.offset), (NOW_MS, 1));
    assert_eq!(log.segments().unwrap()[0].largest_timestamp, NOW_MS);
    log.close().unwrap();
    let (log, _) = dir.open(&config(), clean(2));
    assert_eq!(log.segments().unwrap()[0].largest_timestamp, NOW_MS);
}

#[test]
fn an_empty_result_replaces_all_files_of_its_name() {
    let (dir, log) = filled(20, 5);
    assert!(log.segment_count() > 2);
    drop(log);
    let path = |suffix: &str| dir.file(&format!("{:020}{suffix}", 0));
    for suffix in [".log.swap", ".index.swap", ".timeindex.swap"] {
        std::fs::write(path(suffix), b"").unwrap();
    }
    std::fs::write(path(".txnindex"), [0; 34]).unwrap();
    let (log, report) = dir.open(
        &config(),
        OpenOptions {
            compacted_below: 100,
            ..clean(100)
        },
    );
    assert_eq!(report.warnings.len(), 3, "{report:?}");
    assert_eq!(log.segments().unwrap()[0].size, 0);
    assert!(!path(".txnindex").exists());
    let first = log.segments().unwrap()[1].base_offset;
    assert_eq!(committed(&log)[0].offset, first);
}
