//! The log of a follower: where it may be cut, by whom, and where an empty one begins.

use crate::common::{Dir, NOW_MS, append, batch, read_all, unclean};
use fastlog_core::Error;
use fastlog_core::log::{AppendError, LogConfig, OpenOptions, PartitionLog};

/// A batch of `records` at an offset, as a leader of this epoch has stored it.
fn stored(records: usize, offset: i64, epoch: i32) -> Vec<u8> {
    let mut bytes = batch(records, 10, NOW_MS);
    bytes[..8].copy_from_slice(&offset.to_be_bytes());
    bytes[12..16].copy_from_slice(&epoch.to_be_bytes());
    bytes
}

fn open() -> (Dir, PartitionLog) {
    let dir = Dir::new();
    let (log, _) = dir.open(&LogConfig::default(), OpenOptions::default());
    (dir, log)
}

#[test]
fn an_epoch_without_records_goes_though_no_record_does() {
    let (dir, log) = open();
    log.append_as_follower(&stored(5, 0, 2), 2).unwrap();
    log.lead(3).unwrap();
    assert_eq!(
        (log.latest_epoch(), log.end_offset_for_epoch(2)),
        (Some(3), (2, 5))
    );
    log.fence(4).unwrap();
    assert_eq!(log.truncate_as_follower(5, 4).unwrap(), 5);
    assert_eq!(log.latest_epoch(), Some(2));
    drop(log);
    let (log, _) = dir.open(&LogConfig::default(), unclean(0));
    assert_eq!((log.latest_epoch(), log.log_end_offset()), (Some(2), 5));
}

#[test]
fn a_cut_of_a_former_epoch_is_refused() {
    let (_dir, log) = open();
    log.append_as_follower(&stored(5, 0, 2), 2).unwrap();
    log.fence(6).unwrap();
    assert!(matches!(
        log.truncate_as_follower(0, 5),
        Err(Error::Fenced { .. })
    ));
    assert!(matches!(
        log.start_over_as_follower(9, 5),
        Err(Error::Fenced { .. })
    ));
    assert_eq!(log.log_end_offset(), 5);
    assert_eq!(log.start_over_as_follower(9, 6).unwrap(), 9);
    assert_eq!((log.log_start_offset(), log.latest_epoch()), (9, None));
    assert!(matches!(
        log.truncate_as_follower(0, 5),
        Err(Error::Fenced { .. })
    ));
}

#[test]
fn an_empty_log_begins_with_the_batch_that_it_ends_in() {
    let (_dir, log) = open();
    log.truncate_fully_and_start_at(7).unwrap();
    let records = [stored(10, 4, 1), stored(3, 14, 1)].concat();
    let info = log.append_as_follower(&records, 1).unwrap();
    assert_eq!((info.first_offset, info.end_offset), (4, 17));
    assert_eq!((log.log_start_offset(), log.recovery_point()), (4, 17));
    assert_eq!(read_all(&log, 4, 1000).len(), 13);
}

#[test]
fn a_log_with_records_does_not_begin_anew() {
    let (_dir, log) = open();
    append(&log, &batch(5, 10, NOW_MS));
    for (offset, records) in [(3, 10), (0, 5), (4, 1)] {
        let result = log.append_as_follower(&stored(records, offset, 1), 1);
        assert!(
            matches!(result, Err(AppendError::Failed(Error::InvalidArgument(_)))),
            "{offset}"
        );
    }
    log.truncate_fully_and_start_at(20).unwrap();
    // All of it is below the end.
    assert!(log.append_as_follower(&stored(5, 10, 1), 1).is_err());
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (20, 20));
}
