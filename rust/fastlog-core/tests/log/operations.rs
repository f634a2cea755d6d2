//! Rolling, cutting and deleting.

#![allow(clippy::case_sensitive_file_extension_comparisons)] // the names are our own

use crate::common::gate;
use crate::common::{Dir, NOW_MS, append, batch, config, filled, opened, read_all, unclean};
use fastlog_core::batch::{AppendOrigin, BatchBuilder, CompressionPolicy};
use fastlog_core::log::{AppendError, AppendOptions, DeletionReason, LogConfig, OpenOptions, PartitionLog};
use fastlog_core::{Codec, Error};

fn bases(log: &PartitionLog) -> Vec<i64> {
    log.segments()
        .unwrap()
        .iter()
        .map(|segment| segment.base_offset)
        .collect()
}

#[test]
fn rolls_by_size_age_and_index() {
    let (_dir, log) = filled(&config(), 30);
    for segment in log.segments().unwrap() {
        assert!(segment.size <= 4000);
    }
    assert!(bases(&log).len() > 4);

    let aging = LogConfig {
        segment_ms: 1000,
        ..LogConfig::default()
    };
    let (_dir, log) = opened(&aging);
    for timestamp in [0, 500, 1000, 1001, 1500, 2500] {
        append(&log, &batch(1, 10, NOW_MS + timestamp));
    }
    assert_eq!(bases(&log), [0, 3, 5]);

    let tiny = LogConfig {
        index_max_bytes: 24,
        index_interval_bytes: 0,
        ..LogConfig::default()
    };
    let (_dir, log) = opened(&tiny);
    for index in 0..20 {
        append(&log, &batch(1, 10, NOW_MS + index));
    }
    assert!(bases(&log).len() > 4);
    assert_eq!(read_all(&log, 0, 100).len(), 20);

    let (_dir, log) = opened(&LogConfig {
        preallocate: true,
        ..config()
    });
    append(&log, &batch(1, 10, NOW_MS));
    assert_eq!(log.roll().unwrap(), 1);
    assert_eq!(log.roll().unwrap(), 1, "an empty segment is not rolled");
}

#[test]
fn reads_end_below_the_cap() {
    let (_dir, log) = filled(&config(), 40);
    for cap in 0..=120 {
        for offset in 0..=cap {
            for max_bytes in [1, 700, 2000, 100_000] {
                let slice = log.read(offset, max_bytes, cap, true).unwrap();
                let mut bytes = vec![0; slice.len];
                slice.read_into(&mut bytes).unwrap();
                let whole: Vec<_> = fastlog_core::batches(&bytes).filter_map(Result::ok).collect();
                let room = cap / 3 * 3 - offset / 3 * 3;
                assert_eq!(whole.is_empty(), room <= 0, "cap {cap}, offset {offset}");
                for (index, view) in whole.iter().enumerate() {
                    assert!(view.header().next_offset() <= cap);
                    assert_eq!(view.header().base_offset, offset / 3 * 3 + index as i64 * 3);
                }
                if slice.len > 0 {
                    assert!(slice.len <= max_bytes || whole.len() == 1);
                    assert_eq!(slice.first_offset, offset / 3 * 3);
                }
            }
        }
    }
    assert_eq!(
        log.read(0, 10, i64::MAX, false).unwrap().len,
        0,
        "the first batch does not fit"
    );
    for (from, to) in [(0, 120), (5, 60), (60, 61), (119, 120), (7, 7)] {
        let size = log.size_bytes() / 40;
        let batches = if to > from { (to + 2) / 3 - from / 3 } else { 0 };
        let available = log.available_bytes(from, to).unwrap().unwrap();
        assert!(available >= batches as u64 * size, "{from}..{to}: {available}");
        assert!(
            available <= (batches as u64 + 3) * size,
            "{from}..{to}: {available}"
        );
    }
}

#[test]
fn a_read_says_whether_it_goes_on_in_a_later_segment() {
    let (_dir, log) = filled(&config(), 40);
    let (end, bases) = (log.log_end_offset(), bases(&log));
    let last = *bases.last().unwrap();
    assert!(bases.len() > 3 && last < end);
    for offset in 0..end {
        let next = bases.iter().copied().find(|base| *base > offset).unwrap_or(end);
        for limit in offset + 1..=end {
            assert_eq!(
                log.spans_segments(offset, limit),
                limit > next,
                "{offset}..{limit}"
            );
            let slice = log.read(offset, 1 << 20, limit, true).unwrap();
            assert_eq!(slice.goes_on, limit > next, "{offset}..{limit}");
        }
        assert!(!log.spans_segments(offset, offset));
        assert_eq!(log.spans_segments(offset, i64::MAX), offset < last);
    }
    assert!(!log.spans_segments(end, i64::MAX));
    assert!(!log.read(end, 100, i64::MAX, true).unwrap().goes_on);
}

#[test]
fn truncates_at_batch_boundaries() {
    for offset in 0..=60 {
        let (dir, log) = filled(&config(), 20);
        log.flush(None).unwrap();
        log.truncate_to(offset).unwrap();
        let end = offset / 3 * 3;
        assert_eq!((log.log_end_offset(), log.recovery_point()), (end, end));
        assert_eq!(read_all(&log, 0, 700).len() as i64, end);
        assert_eq!(append(&log, &batch(1, 10, NOW_MS)).first_offset, end);
        drop(log);
        let (log, report) = dir.open(&config(), unclean(0));
        assert_eq!(report.truncated_bytes, 0);
        assert_eq!(read_all(&log, 0, 700).len() as i64, end + 1);
    }
}

#[test]
fn starts_over_anywhere() {
    for offset in [0, 17, 60, 1000] {
        let (dir, log) = filled(&config(), 20);
        log.truncate_fully_and_start_at(offset).unwrap();
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (offset, offset));
        assert_eq!(log.latest_epoch(), None);
        assert_eq!(append(&log, &batch(2, 10, NOW_MS)).first_offset, offset);
        assert_eq!(read_all(&log, offset, 700).len(), 2);
        drop(log);
        let options = OpenOptions {
            log_start_offset: offset,
            ..OpenOptions::default()
        };
        let (log, _) = dir.open(&config(), options);
        assert_eq!(
            (log.log_start_offset(), log.log_end_offset()),
            (offset, offset + 2)
        );
    }
    let (_dir, log) = filled(&config(), 20);
    assert!(matches!(
        log.truncate_fully_and_start_at(-1),
        Err(Error::InvalidArgument(_))
    ));
}

#[test]
fn the_log_start_only_rises() {
    let (dir, log) = filled(&config(), 20);
    assert_eq!(log.advance_log_start_offset(30).unwrap(), 30);
    assert_eq!(log.advance_log_start_offset(10).unwrap(), 30);
    assert!(matches!(
        log.advance_log_start_offset(61),
        Err(Error::OffsetOutOfRange { .. })
    ));
    assert!(matches!(
        log.read(29, 1, i64::MAX, true),
        Err(Error::OffsetOutOfRange { start: 30, .. })
    ));
    assert_eq!(read_all(&log, 30, 700).len(), 30);
    let before = bases(&log);
    let deleted = log.apply_retention(NOW_MS).unwrap();
    assert!(!deleted.is_empty());
    assert!(
        deleted
            .iter()
            .all(|segment| segment.reason == DeletionReason::StartOffset)
    );
    assert_eq!(bases(&log), before[deleted.len()..]);
    assert!(bases(&log)[0] <= 30 && bases(&log)[1] > 30);
    let renamed = |dir: &Dir| {
        dir.names()
            .iter()
            .filter(|name| name.ends_with(".deleted"))
            .count()
    };
    assert!(renamed(&dir) >= deleted.len() * 3);
    assert_eq!(log.purge_deleted(NOW_MS + 59_999).unwrap(), 0);
    assert!(log.purge_deleted(NOW_MS + 60_000).unwrap() >= deleted.len() * 3);
    assert_eq!(renamed(&dir), 0);
    assert_eq!(read_all(&log, 30, 700).len(), 30);
}

#[test]
fn retention_deletes_by_time_and_size() {
    let aged = LogConfig {
        retention_ms: 1000,
        ..config()
    };
    let (_dir, log) = filled(&aged, 20);
    assert_eq!(log.apply_retention(NOW_MS + 1000).unwrap(), []);
    let deleted = log.apply_retention(NOW_MS + 1030).unwrap();
    assert!(
        deleted
            .iter()
            .all(|segment| segment.reason == DeletionReason::Time)
    );
    assert_eq!((deleted.len(), log.log_start_offset()), (1, bases(&log)[0]));
    // All of it: a new segment takes over.
    assert!(log.apply_retention(NOW_MS + 5000).unwrap().len() > 1);
    assert_eq!(
        (bases(&log), log.log_start_offset(), log.log_end_offset()),
        (vec![60], 60, 60)
    );
    assert_eq!(append(&log, &batch(1, 1, NOW_MS)).first_offset, 60);

    let (_dir, log) = filled(
        &LogConfig {
            retention_bytes: 5000,
            ..config()
        },
        20,
    );
    let deleted = log.apply_retention(NOW_MS).unwrap();
    assert!(
        deleted
            .iter()
            .all(|segment| segment.reason == DeletionReason::Size)
    );
    assert!((5000..9000).contains(&log.size_bytes()), "{}", log.size_bytes());

    let (_dir, log) = filled(
        &LogConfig {
            retention_ms: 1,
            delete: false,
            ..config()
        },
        20,
    );
    assert_eq!(log.apply_retention(i64::MAX).unwrap(), []);

    let (_dir, log) = filled(&aged, 20);
    assert_eq!(
        log.apply_retention_below(NOW_MS + 5000, 25).unwrap().len(),
        1,
        "the high watermark is kept"
    );

    // Timestamps of the far future do not keep a segment for ever: then the time of the last write counts.
    let (_dir, log) = opened(&aged);
    append(&log, &batch(1, 10, i64::MAX / 2));
    assert_eq!(log.apply_retention(NOW_MS).unwrap().len(), 0);
    assert_eq!(log.apply_retention(i64::MAX / 4).unwrap().len(), 1);
}

#[test]
fn readers_keep_what_retention_deletes() {
    let (_dir, log) = filled(&config(), 20);
    let slice = log.read(0, 2000, i64::MAX, true).unwrap();
    log.advance_log_start_offset(60).unwrap();
    assert!(!log.apply_retention(NOW_MS).unwrap().is_empty());
    log.purge_deleted(i64::MAX).unwrap();
    let mut bytes = vec![0; slice.len];
    slice.read_into(&mut bytes).unwrap();
    assert!(
        fastlog_core::batches(&bytes)
            .next()
            .unwrap()
            .unwrap()
            .crc_is_valid()
    );
}

#[test]
fn a_batch_that_no_segment_can_hold_is_refused() {
    let large = batch(1, 1000, NOW_MS);
    let size = large.len() as u64;
    let sized = |segment_bytes, compression| LogConfig {
        segment_bytes,
        compression,
        ..config()
    };
    let code = |log: &PartitionLog, records: &[u8]| match log.append(records, 0, AppendOptions::default()) {
        Ok(_) => 0,
        Err(AppendError::Rejected(rejection)) => rejection.code.code(),
        Err(other) => panic!("{other}"),
    };
    let (_dir, log) = opened(&sized(size, CompressionPolicy::Producer));
    assert_eq!(code(&log, &large), 0, "it just fits");
    assert_eq!(code(&log, &large), 0);
    log.update_config(sized(size - 1, CompressionPolicy::Producer));
    assert_eq!(code(&log, &large), 18);
    // One that was appended while there was room for it is no duplicate but too large, as in Kafka.
    let mut builder = BatchBuilder::new(Codec::None).producer(7, 0, 0);
    builder.append(NOW_MS, None, Some(&[b'x'; 1000]), []).unwrap();
    let numbered = builder.build().unwrap();
    log.update_config(config());
    assert_eq!(code(&log, &numbered), 0);
    log.update_config(sized(200, CompressionPolicy::Producer));
    assert_eq!((code(&log, &numbered), log.log_end_offset()), (18, 3));
    // What counts is what would be stored.
    log.update_config(sized(200, CompressionPolicy::Codec(Codec::Gzip, None)));
    assert_eq!(code(&log, &large), 0);
    let mut builder = BatchBuilder::new(Codec::Gzip);
    builder.append(NOW_MS, None, Some(&[b'x'; 1000]), []).unwrap();
    log.update_config(sized(200, CompressionPolicy::Codec(Codec::None, None)));
    assert_eq!(code(&log, &builder.build().unwrap()), 18);
    // Coordinators of this broker write what they must.
    let options = AppendOptions {
        origin: AppendOrigin::Coordinator,
        ..AppendOptions::default()
    };
    assert_eq!(log.append(&large, 0, options).unwrap().first_offset, 4);
}

#[test]
fn flush_by_message_count_and_deletion_of_the_log() {
    let (dir, log) = opened(&LogConfig {
        flush_messages: 5,
        ..config()
    });
    for (records, point) in [(2, 0), (2, 0), (2, 6), (1, 6), (5, 12)] {
        append(&log, &batch(records, 10, NOW_MS));
        assert_eq!(log.recovery_point(), point);
        assert_eq!(log.unflushed_bytes() == 0, log.log_end_offset() == point);
    }
    log.delete().unwrap();
    assert!(!dir.path().exists());
    let result = log.append(&batch(1, 10, NOW_MS), 0, AppendOptions::default());
    assert!(matches!(result, Err(AppendError::Failed(Error::Offline { .. }))));
}

#[test]
fn a_directory_that_is_moved_away_is_no_failure() {
    let (dir, log) = filled(&config(), 20);
    let moved = dir.temp.path().join("topic-0.0123-delete");
    std::fs::rename(dir.path(), &moved).unwrap();
    assert!(log.flush(None).is_err());
    assert!(log.roll().is_err());
    assert_eq!(log.failure(), None);
    assert_eq!(read_all(&log, 0, 700).len(), 60);
    log.delete_at(&moved).unwrap();
    assert!(!moved.exists());
}

#[test]
fn epochs_are_read_while_they_are_written_to_a_slow_disk() {
    let (_dir, log, gate) = gate::opened(&LogConfig::default());
    log.lead(1).unwrap();
    gate.close();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| log.lead(2));
        gate.wait_for_writer();
        // A reader that waits for the disk would wait for ever here.
        assert_eq!(log.end_offset_for_epoch(1), (1, 0));
        assert_eq!(log.epoch_at(0), Some(1));
        gate.open();
        writer.join().unwrap().unwrap();
    });
    assert_eq!(log.epoch_at(0), Some(2));
}
