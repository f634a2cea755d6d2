//! Verified and unverified batches, and markers that come late.

use super::tests::{batch, marker, marker_batch, produce, state, transactional};
use super::*;

#[test]
fn late_markers_of_raised_epochs_end_nothing() {
    let mut state = state();
    let abort = marker(ControlKind::Abort, 3);
    produce(&mut state, &transactional(batch(1, 5, 0, 1, 0))).unwrap();
    // The transaction of epoch 5 ends with 6: what has 5 comes from one before.
    let check = |state: &ProducerState, epoch, raised| {
        let header = marker_batch(1, epoch, 1);
        let verdict = state.check(&header, AppendOrigin::Coordinator, Standing::default());
        verdict
            .and_then(|_| state.check_marker(&header, &abort, raised))
            .map_err(|rejection| rejection.code)
    };
    assert_eq!(check(&state, 4, true), Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(check(&state, 5, true), Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(check(&state, 5, false), Ok(()));
    assert_eq!(check(&state, 6, true), Ok(()));
    state.record(&marker_batch(1, 6, 1), Some(abort));
    // Once more, as the answer may be lost; but not when the next one is open.
    assert_eq!(check(&state, 6, true), Ok(()));
    produce(&mut state, &transactional(batch(1, 6, 0, 1, 2))).unwrap();
    assert_eq!(check(&state, 6, true), Err(ErrorCode::InvalidProducerEpoch));
}

#[test]
fn verification_comes_after_duplicates_and_epochs_and_before_sequences() {
    let mut state = state();
    let code = |state: &ProducerState, header: &BatchHeader, standing| {
        let verdict = state.check(header, AppendOrigin::Client, standing);
        verdict.map_err(|rejection| rejection.code)
    };
    let unverified = Standing {
        unverified: true,
        ..Standing::default()
    };
    let first = transactional(batch(1, 5, 0, 1, 0));
    assert_eq!(code(&state, &first, unverified), Err(ErrorCode::InvalidTxnState));
    produce(&mut state, &first).unwrap();
    state.record(&marker_batch(1, 5, 1), Some(marker(ControlKind::Commit, 0)));
    assert!(matches!(
        code(&state, &first, unverified),
        Ok(SequenceVerdict::Duplicate { .. })
    ));
    let old = transactional(batch(1, 4, 9, 1, 2));
    assert_eq!(
        code(&state, &old, unverified),
        Err(ErrorCode::InvalidProducerEpoch)
    );
    let gap = transactional(batch(1, 5, 9, 1, 2));
    assert_eq!(code(&state, &gap, unverified), Err(ErrorCode::InvalidTxnState));
    assert_eq!(
        code(&state, &gap, Standing::default()),
        Err(ErrorCode::OutOfOrderSequenceNumber)
    );
}

#[test]
fn a_verified_transaction_begins_with_its_lowest_sequence() {
    let state = state();
    let code = |sequence, lowest, begins_with_zero| {
        let standing = Standing {
            unverified: false,
            lowest_sequence: Some(lowest),
            begins_with_zero,
        };
        let header = transactional(batch(1, 0, sequence, 1, 0));
        state
            .check(&header, AppendOrigin::Client, standing)
            .map_err(|rejection| rejection.code)
    };
    let early = Err(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(code(5, 3, false), early);
    assert_eq!(code(3, 3, false), Ok(SequenceVerdict::Append));
    assert_eq!(code(3, 3, true), early);
    assert_eq!(code(0, 0, true), Ok(SequenceVerdict::Append));
}
