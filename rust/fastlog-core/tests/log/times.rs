//! Finding records by time.

use crate::common::{NOW_MS, append, batch, clean, config, opened};
use fastlog_core::batch::{BatchBuilder, CompressionPolicy};
use fastlog_core::log::LogConfig;
use fastlog_core::{Codec, TimestampType};

#[test]
fn finds_records_by_timestamp() {
    for codec in [Codec::None, Codec::Lz4] {
        let (dir, log) = opened(&config());
        // Timestamps go back and forth a little, as producers' clocks do.
        let stamps: Vec<i64> = (0..100_i64)
            .map(|index| NOW_MS + index * 10 - index % 7 * 25)
            .collect();
        for pair in stamps.chunks(2) {
            let mut builder = BatchBuilder::new(codec);
            for stamp in pair {
                builder.append(*stamp, None, Some(&[b'x'; 150]), []).unwrap();
            }
            append(&log, &builder.build().unwrap());
        }
        log.close().unwrap();
        let reopened = dir.open(&config(), clean(100)).0;
        for log in [&log, &reopened] {
            for target in (NOW_MS - 200..NOW_MS + 1100)
                .step_by(3)
                .chain(stamps.iter().copied())
            {
                let expected = stamps.iter().position(|stamp| *stamp >= target);
                let found = log.offset_for_timestamp(target, i64::MAX).unwrap();
                assert_eq!(found.map(|found| found.offset as usize), expected, "{target}");
                if let Some(found) = found {
                    assert_eq!(
                        (found.timestamp, found.leader_epoch),
                        (stamps[found.offset as usize], 0)
                    );
                }
            }
            let max = stamps.iter().max().unwrap();
            let found = log.max_timestamp_offset().unwrap().unwrap();
            assert_eq!(found.timestamp, *max);
            assert_eq!(
                found.offset as usize,
                stamps.iter().position(|stamp| stamp == max).unwrap()
            );
            assert_eq!(log.offset_for_timestamp(stamps[50], 10).unwrap(), None);
        }
    }
    let (_dir, log) = opened(&config());
    assert_eq!(log.max_timestamp_offset().unwrap(), None);
    assert_eq!(log.offset_for_timestamp(0, i64::MAX).unwrap(), None);
}

#[test]
fn the_largest_timestamp_is_one_of_those_that_are_left() {
    // The largest ones come first, go back and forth within batches, and some batches have none.
    let stamps: Vec<i64> = (0..60_i64)
        .map(|index| match index % 12 {
            6..9 => -1,
            rest => NOW_MS - index / 12 * 100 - rest * 37 % 50,
        })
        .collect();
    for codec in [Codec::None, Codec::Lz4] {
        let (_dir, log) = opened(&config());
        for (number, batch) in stamps.chunks(3).enumerate() {
            let mut builder = BatchBuilder::new(codec);
            for stamp in batch {
                builder.append(*stamp, None, Some(&[b'x'; 150]), []).unwrap();
            }
            append(&log, &builder.build().unwrap());
            if number % 6 == 5 {
                log.roll().unwrap();
            }
        }
        for start in 0..=stamps.len() {
            log.advance_log_start_offset(start as i64).unwrap();
            let mut expected = None;
            for (offset, stamp) in stamps.iter().enumerate().skip(start) {
                if *stamp > expected.map_or(-1, |(largest, _)| largest) {
                    expected = Some((*stamp, offset as i64));
                }
            }
            let found = log.max_timestamp_offset().unwrap();
            let found = found.map(|found| (found.timestamp, found.offset));
            assert_eq!(found, expected, "{codec:?} from {start}");
        }
    }
}

#[test]
fn what_was_let_in_is_found_although_the_topic_takes_less_now() {
    for codec in Codec::ALL {
        let (_dir, log) = opened(&LogConfig {
            max_message_bytes: 64 << 20,
            segment_bytes: 64 << 20,
            compression: CompressionPolicy::Codec(codec, Some(22)),
            ..config()
        });
        let mut builder = BatchBuilder::new(Codec::None);
        for index in 0..3 {
            // More than a topic with small messages lets in, however well it is packed.
            builder
                .append(NOW_MS + index, None, Some(&vec![b'x'; 6 << 20]), [])
                .unwrap();
        }
        append(&log, &builder.build().unwrap());
        log.update_config(LogConfig {
            max_message_bytes: 1000,
            ..config()
        });
        let found = log.offset_for_timestamp(NOW_MS + 2, i64::MAX).unwrap();
        assert_eq!(found.map(|found| found.offset), Some(2), "{codec:?}");
        let max = log.max_timestamp_offset().unwrap();
        assert_eq!(max.map(|found| found.offset), Some(2), "{codec:?}");
    }
}

#[test]
fn log_append_time_replaces_timestamps() {
    let (_dir, log) = opened(&LogConfig {
        timestamp_type: TimestampType::LogAppendTime,
        ..config()
    });
    let info = append(&log, &batch(3, 10, 5));
    assert_eq!(info.log_append_time, NOW_MS);
    assert_eq!(
        log.max_timestamp_offset()
            .unwrap()
            .map(|found| (found.timestamp, found.offset)),
        Some((NOW_MS, 0))
    );
}
