//! What producers and leaders leave in a log: sequences, transactions, batches to follow.

use crate::common::{Dir, NOW_MS, append, batch, clean, config, filled, opened, read_all, unclean};
use fastlog_core::batch::{AppendOrigin, BatchBuilder, ControlKind, ControlMarker};
use fastlog_core::log::{AppendError, AppendOptions, LogConfig, PartitionLog};
use fastlog_core::{Codec, Error, ErrorCode};

fn produced(id: i64, epoch: i16, sequence: i32, transactional: bool) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None).producer(id, epoch, sequence);
    if transactional {
        builder = builder.transactional();
    }
    for index in 0..2 {
        builder.append(NOW_MS + index, None, Some(b"value"), []).unwrap();
    }
    builder.build().unwrap()
}

fn marker(log: &PartitionLog, kind: ControlKind, id: i64, epoch: i16) -> i64 {
    let bytes = ControlMarker {
        kind,
        coordinator_epoch: 0,
    }
    .to_batch(NOW_MS, id, epoch)
    .unwrap();
    let options = AppendOptions {
        zstd_allowed: true,
        origin: AppendOrigin::Coordinator,
        ..AppendOptions::default()
    };
    log.append(&bytes, 0, options).unwrap().first_offset
}

#[test]
fn duplicates_get_their_first_answer_even_after_a_crash() {
    let (dir, log) = opened(&config());
    let send = |log: &PartitionLog, sequence| {
        log.append(&produced(7, 0, sequence, false), 0, AppendOptions::default())
    };
    for sequence in [0, 2, 4] {
        assert_eq!(send(&log, sequence).unwrap().first_offset, i64::from(sequence));
    }
    append(&log, &batch(1, 10, NOW_MS));
    let size = log.size_bytes();
    let again = send(&log, 2).unwrap();
    assert_eq!(
        (again.first_offset, again.last_offset, again.duplicate),
        (2, 3, true)
    );
    // What it waits for is its own end, not what others have appended since.
    assert_eq!(again.end_offset, 4);
    assert_eq!((log.log_end_offset(), log.size_bytes()), (7, size));
    for log in [
        log,
        dir.open(&config(), unclean(0)).0,
        dir.open(&config(), unclean(7)).0,
    ] {
        assert!(send(&log, 4).unwrap().duplicate);
        match send(&log, 8) {
            Err(AppendError::Rejected(rejection)) => {
                assert_eq!(rejection.code, ErrorCode::OutOfOrderSequenceNumber);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(log.active_producers().len(), 1);
    }
    let (log, _) = dir.open(&config(), unclean(7));
    assert_eq!(send(&log, 6).unwrap().first_offset, 7);
    log.truncate_to(7).unwrap();
    assert_eq!(
        send(&log, 6).unwrap().first_offset,
        7,
        "what was cut off is no duplicate"
    );
    log.close().unwrap();
    let (log, _) = dir.open(&config(), clean(9));
    assert!(send(&log, 6).unwrap().duplicate);
}

/// A snapshot has the last batch of a producer alone, and any of five may come again.
#[test]
fn what_was_under_way_at_a_clean_stop_is_known_after_it() {
    for rolled in [false, true] {
        let (dir, log) = opened(&config());
        let send = |log: &PartitionLog, id, sequence| {
            log.append(&produced(id, 0, sequence, false), 0, AppendOptions::default())
        };
        for sequence in (0..14).step_by(2) {
            for id in [7, 8] {
                send(&log, id, sequence).unwrap();
            }
        }
        if rolled {
            log.roll().unwrap();
        }
        let end = log.log_end_offset();
        log.close().unwrap();
        let (log, _) = dir.open(&config(), clean(end));
        for sequence in (4..14).step_by(2) {
            for id in [7, 8] {
                let again = send(&log, id, sequence).unwrap();
                let first = i64::from(sequence) * 2 + (id - 7) * 2;
                assert_eq!((again.first_offset, again.duplicate), (first, true));
            }
        }
        match send(&log, 7, 2) {
            Err(AppendError::Rejected(rejection)) => {
                assert_eq!(rejection.code, ErrorCode::OutOfOrderSequenceNumber);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(send(&log, 7, 14).unwrap().first_offset, end);
    }
}

#[test]
fn transactions_hold_the_last_stable_offset() {
    let (dir, log) = opened(&config());
    let send = |id, sequence| {
        log.append(&produced(id, 0, sequence, true), 0, AppendOptions::default())
            .unwrap()
    };
    append(&log, &batch(2, 10, NOW_MS));
    assert_eq!(send(1, 0).first_offset, 2);
    assert_eq!(send(2, 0).first_offset, 4);
    assert_eq!(log.last_stable_offset(6), 2);
    assert_eq!(log.last_stable_offset(1), 1);
    assert_eq!(marker(&log, ControlKind::Abort, 1, 0), 6);
    assert_eq!(log.last_stable_offset(6), 2, "the marker is not replicated");
    assert_eq!(log.last_stable_offset(7), 4);
    log.roll().unwrap();
    assert_eq!(marker(&log, ControlKind::Commit, 2, 0), 7);
    assert_eq!(log.last_stable_offset(8), 8);
    send(3, 0);
    let aborted = |log: &PartitionLog, from, to| -> Vec<(i64, i64)> {
        let found = log.aborted_transactions(from, to);
        found
            .iter()
            .map(|aborted| (aborted.producer_id, aborted.first_offset))
            .collect()
    };
    log.flush(None).unwrap();
    for options in [unclean(0), unclean(8), unclean(10)] {
        let (log, _) = dir.open(&config(), options);
        assert_eq!(aborted(&log, 0, 10), [(1, 2)]);
        assert_eq!(aborted(&log, 0, 2), []);
        assert_eq!(aborted(&log, 7, 10), []);
        assert_eq!(log.last_stable_offset(10), 8, "producer 3 is still at it");
    }
    drop(log);
    // A damaged index of aborted transactions is made again from the log.
    std::fs::write(dir.file("00000000000000000000.txnindex"), b"damage").unwrap();
    let (log, report) = dir.open(&config(), clean(10));
    assert_eq!(report.warnings.len(), 1);
    assert_eq!(aborted(&log, 0, 10), [(1, 2)]);
}

#[test]
fn followers_take_batches_as_they_are() {
    let (_leader_dir, leader) = filled(&config(), 20);
    leader
        .append(&batch(1, 10, NOW_MS), 3, AppendOptions::default())
        .unwrap();
    let (_dir, follower) = opened(&LogConfig {
        segment_bytes: 3000,
        ..config()
    });
    while follower.log_end_offset() < leader.log_end_offset() {
        let slice = leader
            .read(follower.log_end_offset(), 1700, i64::MAX, true)
            .unwrap();
        let mut bytes = vec![0; slice.len];
        slice.read_into(&mut bytes).unwrap();
        let end = follower.log_end_offset();
        let info = follower.append_as_follower(&bytes, 3).unwrap();
        assert_eq!(
            (info.first_offset, info.end_offset),
            (end, follower.log_end_offset())
        );
        assert!(matches!(
            follower.append_as_follower(&bytes, 3),
            Err(AppendError::Failed(Error::InvalidArgument(_)))
        ));
    }
    assert_eq!(read_all(&leader, 0, 900), read_all(&follower, 0, 900));
    assert_eq!(follower.end_offset_for_epoch(0), (0, 60));
    assert_eq!(follower.latest_epoch(), Some(3));
    let result = follower.append(&batch(1, 1, NOW_MS), 2, AppendOptions::default());
    assert!(
        matches!(
            result,
            Err(AppendError::Failed(Error::Fenced { epoch: 2, fence: 3 }))
        ),
        "the epoch fell: {result:?}"
    );

    let mut bad = batch(1, 10, NOW_MS);
    bad[7] = 61;
    *bad.last_mut().unwrap() ^= 1;
    match follower.append_as_follower(&bad, 3) {
        Err(AppendError::Rejected(rejection)) => assert_eq!(rejection.code, ErrorCode::CorruptMessage),
        other => panic!("{other:?}"),
    }
    assert_eq!(follower.failure(), None);
}

#[test]
fn snapshots_do_not_pile_up() {
    let dir = Dir::new();
    let mut end = 0;
    for _ in 0..6 {
        let (log, _) = dir.open(&config(), clean(end));
        for index in 0..3 {
            append(&log, &batch(3, 250, NOW_MS + index));
        }
        log.close().unwrap();
        end = log.log_end_offset();
    }
    let (log, _) = dir.open(&config(), clean(end));
    let mut expected: Vec<i64> = log
        .segments()
        .unwrap()
        .iter()
        .map(|segment| segment.base_offset)
        .collect();
    assert!(expected.len() > 2);
    expected.remove(0);
    expected.push(end);
    let names = dir.names();
    let offsets = names.iter().filter_map(|name| name.strip_suffix(".snapshot"));
    assert_eq!(
        offsets
            .map(|offset| offset.parse().unwrap())
            .collect::<Vec<i64>>(),
        expected
    );
}
