//! What goes on, or interrupts, while a log is compacted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::keyed::{committed, everything, table};
use crate::common::{Dir, NOW_MS, read_all};
use fastlog_core::log::{LogConfig, OpenOptions, PartitionLog};
use fastlog_core::{CompactionOptions, Error, Throttle};

use super::support::{config, fill, filled, has, wait_until};

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
