//! What a leader takes of transactions: verified batches, and markers.

use crate::common::{NOW_MS, config, opened};
use fastlog_core::batch::{AppendOrigin, BatchBuilder, ControlKind, ControlMarker};
use fastlog_core::log::{AppendError, AppendOptions, PartitionLog, VerifiedBatch};
use fastlog_core::{Codec, ErrorCode};

const ID: i64 = 7;

fn write(log: &PartitionLog, epoch: i16, sequence: i32, guard: Option<u64>) -> Result<i64, ErrorCode> {
    let mut builder = BatchBuilder::new(Codec::None)
        .producer(ID, epoch, sequence)
        .transactional();
    builder.append(NOW_MS, None, Some(b"value"), []).unwrap();
    let options = AppendOptions {
        guard,
        ..AppendOptions::default()
    };
    told(
        log.append(&builder.build().unwrap(), 0, options)
            .map(|info| info.first_offset),
    )
}

fn end(log: &PartitionLog, kind: ControlKind, epoch: i16, coordinator_epoch: i32) -> Result<i64, ErrorCode> {
    let marker = ControlMarker {
        kind,
        coordinator_epoch,
    };
    let options = AppendOptions {
        origin: AppendOrigin::Coordinator,
        ..AppendOptions::default()
    };
    let bytes = marker.to_batch(NOW_MS, ID, epoch).unwrap();
    told(log.append(&bytes, 0, options).map(|info| info.first_offset))
}

fn told(result: Result<i64, AppendError>) -> Result<i64, ErrorCode> {
    result.map_err(|error| match error {
        AppendError::Rejected(rejection) => rejection.code,
        other => panic!("{other:?}"),
    })
}

fn begin(log: &PartitionLog, epoch: i16, sequence: i32) -> Option<u64> {
    let batch = VerifiedBatch {
        producer_id: ID,
        epoch,
        sequence,
        raises_epoch: false,
    };
    log.begin_verification(&batch).unwrap()
}

#[test]
fn a_transaction_begins_with_the_guard_and_goes_on_without_one() {
    let (_dir, log) = opened(&config());
    let refused = Err(ErrorCode::InvalidTxnState);
    assert_eq!(write(&log, 0, 0, Some(0)), refused);
    let guard = begin(&log, 0, 0);
    assert!(guard.is_some());
    assert_eq!(write(&log, 0, 0, guard.map(|guard| guard + 1)), refused);
    assert_eq!(write(&log, 0, 0, guard), Ok(0));
    assert_eq!(begin(&log, 0, 1), None, "its transaction is open");
    assert_eq!(write(&log, 0, 1, Some(0)), Ok(1));
    // Another request of the same moment had the same guard, which is gone.
    assert_eq!(write(&log, 0, 2, guard), Ok(2));
    end(&log, ControlKind::Commit, 0, 0).unwrap();
    assert_eq!(write(&log, 0, 3, guard), refused);
    // Where nobody verifies, everything is taken.
    assert_eq!(write(&log, 0, 3, None), Ok(4));
}

#[test]
fn a_marker_makes_an_earlier_verification_void() {
    let (_dir, log) = opened(&config());
    let late = begin(&log, 0, 0);
    end(&log, ControlKind::Abort, 0, 0).unwrap();
    // The next transaction is verified; what was verified before is not in it.
    let next = begin(&log, 0, 0);
    assert_ne!(late, next);
    assert_eq!(write(&log, 0, 0, late), Err(ErrorCode::InvalidTxnState));
    assert_eq!(write(&log, 0, 0, next), Ok(1));
}

#[test]
fn a_later_epoch_is_not_in_the_transaction_that_is_open() {
    let (_dir, log) = opened(&config());
    write(&log, 0, 0, None).unwrap();
    assert!(
        begin(&log, 1, 0).is_some(),
        "the marker of the former epoch is still to come"
    );
    assert_eq!(write(&log, 1, 0, Some(0)), Err(ErrorCode::InvalidTxnState));
}

#[test]
fn what_waits_behind_another_batch_is_not_written_before_it() {
    let (_dir, log) = opened(&config());
    let guard = begin(&log, 0, 0);
    assert_eq!(begin(&log, 0, 1), guard);
    assert_eq!(write(&log, 0, 1, guard), Err(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(write(&log, 0, 0, guard), Ok(0));
    assert_eq!(write(&log, 0, 1, guard), Ok(1));
}

/// Its answer was lost, or it comes late: the coordinator is asked about it once more, and nothing is appended.
#[test]
fn a_batch_that_is_there_already_keeps_no_other_from_being_written() {
    let (_dir, log) = opened(&config());
    write(&log, 0, 0, None).unwrap();
    end(&log, ControlKind::Commit, 0, 0).unwrap();
    let again = begin(&log, 0, 0);
    assert_eq!(write(&log, 0, 0, again), Ok(0));
    let guard = begin(&log, 0, 1);
    assert_eq!(write(&log, 0, 1, guard), Ok(2));
}

#[test]
fn guards_end_with_a_cut_of_the_log() {
    let (_dir, log) = opened(&config());
    write(&log, 3, 0, None).unwrap();
    end(&log, ControlKind::Commit, 3, 0).unwrap();
    let guard = begin(&log, 3, 1);
    log.truncate_to(1).unwrap();
    assert_eq!(
        begin(&log, 3, 1),
        None,
        "the marker is gone, its transaction is open again"
    );
    log.truncate_to(0).unwrap();
    assert_eq!(write(&log, 3, 0, guard), Err(ErrorCode::InvalidTxnState));
}

#[test]
fn a_marker_without_data_fences_and_is_no_aborted_transaction() {
    let (_dir, log) = opened(&config());
    assert_eq!(end(&log, ControlKind::Abort, 4, 9), Ok(0));
    assert!(log.aborted_transactions(0, 10).is_empty());
    assert_eq!(log.last_stable_offset(1), 1);
    assert_eq!(
        end(&log, ControlKind::Abort, 3, 9),
        Err(ErrorCode::InvalidProducerEpoch)
    );
    assert_eq!(
        end(&log, ControlKind::Abort, 4, 8),
        Err(ErrorCode::TransactionCoordinatorFenced)
    );
    assert_eq!(write(&log, 3, 0, None), Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(write(&log, 4, 0, None), Ok(1));
}

#[test]
fn a_read_bounds_the_aborted_transactions_that_it_needs() {
    let (_dir, log) = opened(&config());
    for round in 0..20 {
        write(&log, 0, round, None).unwrap();
        end(&log, ControlKind::Abort, 0, 0).unwrap();
    }
    let end = log.log_end_offset();
    let all = log.read(0, usize::MAX, end, true).unwrap();
    assert_eq!(all.upper_offset, end);
    let some = log.read(0, usize::MAX, 6, true).unwrap();
    assert_eq!(some.upper_offset, 6);
    assert_eq!(log.aborted_transactions(0, some.upper_offset).len(), 3);
    let nothing = log.read(end, usize::MAX, end, true).unwrap();
    assert_eq!((nothing.len, nothing.upper_offset), (0, end));
}

#[test]
fn an_open_transaction_counts_from_the_first_look() {
    let (_dir, log) = opened(&config());
    assert_eq!(log.open_transaction_since(1), None);
    write(&log, 0, 0, None).unwrap();
    assert_eq!(log.open_transaction_since(100), Some(100));
    write(&log, 0, 1, None).unwrap();
    assert_eq!(log.open_transaction_since(200), Some(100));
    end(&log, ControlKind::Commit, 0, 0).unwrap();
    assert_eq!(log.open_transaction_since(300), None);
    write(&log, 0, 2, None).unwrap();
    assert_eq!(log.open_transaction_since(400), Some(400), "another one");
    // Those that are found in the log count alike.
    end(&log, ControlKind::Commit, 0, 0).unwrap();
    log.truncate_to(4).unwrap();
    assert_eq!(log.open_transaction_since(500), Some(500));
}

#[test]
fn transactions_of_some_producers_are_aborted_by_hand() {
    let (_dir, log) = opened(&config());
    write(&log, 3, 0, None).unwrap();
    assert!(
        log.abort_open_transactions(0, Some(&[ID + 1]))
            .unwrap()
            .is_empty()
    );
    assert_eq!(log.last_stable_offset(1), 0);
    let ended = log.abort_open_transactions(0, Some(&[ID])).unwrap();
    assert_eq!((ended.len(), ended[0].producer_id, ended[0].epoch), (1, ID, 3));
    assert_eq!(log.last_stable_offset(2), 2);
    assert!(log.abort_open_transactions(0, None).unwrap().is_empty());
}
