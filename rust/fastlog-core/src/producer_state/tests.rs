//! Kafka's idempotence rules and transactions.

use proptest::prelude::*;

use super::*;

pub(super) const DAY_MS: i64 = 86_400_000;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

pub(super) fn state() -> ProducerState {
    ProducerState::new(DAY_MS)
}

pub(super) fn batch(
    producer_id: i64,
    epoch: i16,
    base_sequence: i32,
    count: i32,
    base_offset: i64,
) -> BatchHeader {
    BatchHeader {
        base_offset,
        batch_length: 100,
        partition_leader_epoch: 0,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: 1_000,
        max_timestamp: 1_000 + base_offset,
        producer_id,
        producer_epoch: epoch,
        base_sequence,
        record_count: count,
    }
}

pub(super) fn transactional(mut header: BatchHeader) -> BatchHeader {
    header.attributes |= TRANSACTIONAL;
    header
}

pub(super) fn marker_batch(producer_id: i64, epoch: i16, offset: i64) -> BatchHeader {
    let mut header = batch(producer_id, epoch, -1, 1, offset);
    header.attributes = TRANSACTIONAL | CONTROL;
    header
}

pub(super) fn marker(kind: ControlKind, coordinator_epoch: i32) -> ControlMarker {
    ControlMarker {
        kind,
        coordinator_epoch,
    }
}

/// Checks and, when it is new, records.
pub(super) fn produce(state: &mut ProducerState, header: &BatchHeader) -> Result<SequenceVerdict, ErrorCode> {
    let verdict = state
        .check(header, AppendOrigin::Client, Standing::default())
        .map_err(|rejection| rejection.code)?;
    if verdict == SequenceVerdict::Append {
        assert_eq!(state.record(header, None), None);
    }
    Ok(verdict)
}

#[test]
fn batches_without_a_producer_leave_no_trace() {
    let mut state = state();
    for offset in 0..3 {
        assert_eq!(
            produce(&mut state, &batch(-1, -1, -1, 1, offset)),
            Ok(SequenceVerdict::Append)
        );
    }
    assert!(state.is_empty());
}

#[test]
fn an_unknown_producer_may_start_anywhere() {
    let mut state = state();
    assert_eq!(
        produce(&mut state, &batch(7, 3, 4_711, 10, 0)),
        Ok(SequenceVerdict::Append)
    );
    assert_eq!(
        produce(&mut state, &batch(7, 3, 4_721, 1, 10)),
        Ok(SequenceVerdict::Append)
    );
    assert_eq!(state.active()[0].last_sequence, 4_721);
}

#[test]
fn an_epoch_below_none_is_old_for_every_producer() {
    for origin in [AppendOrigin::Client, AppendOrigin::Coordinator] {
        for epoch in [-2, -5, i16::MIN] {
            let refused = state().check(&batch(7, epoch, 0, 1, 0), origin, Standing::default());
            let code = refused.map_err(|rejection| rejection.code);
            assert_eq!(code, Err(ErrorCode::InvalidProducerEpoch), "{epoch}");
        }
        for epoch in [-1, 0, i16::MAX] {
            let verdict = state().check(&batch(7, epoch, 0, 1, 0), origin, Standing::default());
            assert_eq!(verdict, Ok(SequenceVerdict::Append), "{epoch}");
        }
    }
    // What a leader took is taken; without a producer id an epoch says nothing.
    let (replicated, plain) = (batch(7, -5, 0, 1, 0), batch(-1, -5, -1, 1, 0));
    let verdict = state().check(&replicated, AppendOrigin::Replication, Standing::default());
    assert_eq!(verdict, Ok(SequenceVerdict::Append));
    let verdict = state().check(&plain, AppendOrigin::Client, Standing::default());
    assert_eq!(verdict, Ok(SequenceVerdict::Append));
}

#[test]
fn the_last_five_batches_are_recognised() {
    let mut state = state();
    for index in 0..7 {
        let sequence = index * 10;
        produce(&mut state, &batch(7, 0, sequence, 10, 100 + i64::from(sequence))).unwrap();
    }
    for index in 2..7 {
        let sequence = index * 10;
        let verdict = produce(&mut state, &batch(7, 0, sequence, 10, 0)).unwrap();
        let first_offset = 100 + i64::from(sequence);
        assert_eq!(
            verdict,
            SequenceVerdict::Duplicate {
                first_offset,
                last_offset: first_offset + 9,
                timestamp: 1_000 + first_offset
            }
        );
    }
    // Older than that, and other ranges of the same numbers, are sequence errors.
    for (sequence, count) in [(10, 10), (60, 9), (61, 9), (50, 20)] {
        let result = produce(&mut state, &batch(7, 0, sequence, count, 0));
        assert_eq!(
            result,
            Err(ErrorCode::OutOfOrderSequenceNumber),
            "{sequence}+{count}"
        );
    }
}

#[test]
fn gaps_are_refused_and_change_nothing() {
    let mut state = state();
    produce(&mut state, &batch(7, 0, 0, 5, 0)).unwrap();
    for sequence in [6, 4, 1_000, i32::MAX] {
        let result = produce(&mut state, &batch(7, 0, sequence, 1, 5));
        assert_eq!(result, Err(ErrorCode::OutOfOrderSequenceNumber), "{sequence}");
    }
    assert_eq!(
        produce(&mut state, &batch(7, 0, 5, 1, 5)),
        Ok(SequenceVerdict::Append)
    );
}

#[test]
fn sequences_wrap_after_two_billion() {
    let mut state = state();
    produce(&mut state, &batch(7, 0, i32::MAX - 1, 2, 0)).unwrap();
    assert_eq!(
        produce(&mut state, &batch(7, 0, 0, 3, 2)),
        Ok(SequenceVerdict::Append)
    );

    // A batch that itself crosses the border is followed by, and recognised with, wrapped numbers.
    let mut state = self::state();
    let crossing = batch(8, 0, i32::MAX - 1, 4, 10);
    produce(&mut state, &crossing).unwrap();
    assert_eq!(state.active()[0].last_sequence, 1);
    assert!(matches!(
        produce(&mut state, &crossing),
        Ok(SequenceVerdict::Duplicate {
            first_offset: 10,
            last_offset: 13,
            ..
        })
    ));
    assert_eq!(
        produce(&mut state, &batch(8, 0, 2, 1, 14)),
        Ok(SequenceVerdict::Append)
    );
}

#[test]
fn epochs_fence() {
    let mut state = state();
    produce(&mut state, &batch(7, 4, 0, 5, 0)).unwrap();
    assert_eq!(
        produce(&mut state, &batch(7, 3, 5, 1, 5)),
        Err(ErrorCode::InvalidProducerEpoch)
    );
    assert_eq!(
        produce(&mut state, &batch(7, 5, 5, 1, 5)),
        Err(ErrorCode::OutOfOrderSequenceNumber)
    );
    assert_eq!(
        produce(&mut state, &batch(7, 5, 0, 5, 5)),
        Ok(SequenceVerdict::Append)
    );
    // The batches of the old epoch are no duplicates any more, those of the new one are.
    assert_eq!(
        produce(&mut state, &batch(7, 4, 0, 5, 0)),
        Err(ErrorCode::InvalidProducerEpoch)
    );
    assert!(matches!(
        produce(&mut state, &batch(7, 5, 0, 5, 0)),
        Ok(SequenceVerdict::Duplicate { first_offset: 5, .. })
    ));
}

#[test]
fn origins_are_checked_to_different_depths() {
    let mut state = state();
    produce(&mut state, &batch(7, 4, 0, 5, 0)).unwrap();
    let mut old = batch(7, 3, 99, 1, 5);
    assert_eq!(
        state
            .check(&old, AppendOrigin::Replication, Standing::default())
            .unwrap(),
        SequenceVerdict::Append
    );
    let rejected = state
        .check(&old, AppendOrigin::Coordinator, Standing::default())
        .unwrap_err();
    assert_eq!(rejected.code, ErrorCode::InvalidProducerEpoch);
    assert!(rejected.message.contains("epoch 3"), "{}", rejected.message);
    old.producer_epoch = 4;
    assert_eq!(
        state
            .check(&old, AppendOrigin::Coordinator, Standing::default())
            .unwrap(),
        SequenceVerdict::Append
    );
    // What the leader accepted is taken over, even when the epoch falls.
    old.producer_epoch = 2;
    state.record(&old, None);
    assert_eq!(state.active()[0].epoch, 2);
}

#[test]
fn transactions_end_with_their_marker() {
    let mut state = state();
    produce(&mut state, &transactional(batch(1, 0, 0, 5, 10))).unwrap();
    produce(&mut state, &transactional(batch(2, 0, 0, 5, 15))).unwrap();
    produce(&mut state, &transactional(batch(1, 0, 5, 5, 20))).unwrap();
    assert_eq!(state.active()[0].txn_start_offset, 10);

    let outside = state
        .check(&batch(1, 0, 10, 1, 25), AppendOrigin::Client, Standing::default())
        .unwrap_err();
    assert_eq!(outside.code, ErrorCode::InvalidTxnState);

    let header = marker_batch(1, 0, 25);
    assert_eq!(
        state
            .check(&header, AppendOrigin::Coordinator, Standing::default())
            .unwrap(),
        SequenceVerdict::Append
    );
    let completed = state.record(&header, Some(marker(ControlKind::Abort, 3)));
    assert_eq!(
        completed,
        Some(CompletedTxn {
            producer_id: 1,
            first_offset: 10,
            last_offset: 25,
            aborted: true,
            last_stable_offset: 15
        })
    );
    let completed = state
        .record(&marker_batch(2, 0, 26), Some(marker(ControlKind::Commit, 3)))
        .unwrap();
    assert!(!completed.aborted);
    assert_eq!(completed.last_stable_offset, 27);
    assert!(
        state
            .active()
            .iter()
            .all(|producer| producer.txn_start_offset == -1)
    );

    // The sequence goes on over the marker, now outside of a transaction too.
    assert_eq!(
        produce(&mut state, &batch(1, 0, 10, 1, 28)),
        Ok(SequenceVerdict::Append)
    );
}

#[test]
fn markers_without_a_transaction_end_nothing() {
    let mut state = state();
    assert_eq!(
        state.record(&marker_batch(1, 5, 0), Some(marker(ControlKind::Commit, 2))),
        None
    );
    assert_eq!(state.active()[0].txn_start_offset, -1);
    // They do move the epoch, after which the producer starts at 0.
    assert_eq!(
        produce(&mut state, &batch(1, 5, 3, 1, 1)),
        Err(ErrorCode::OutOfOrderSequenceNumber)
    );
    assert_eq!(
        produce(&mut state, &batch(1, 5, 0, 1, 1)),
        Ok(SequenceVerdict::Append)
    );
    // A control batch that compaction emptied says nothing.
    assert_eq!(state.record(&marker_batch(9, 0, 2), None), None);
    assert_eq!(state.len(), 1);
}

#[test]
fn older_coordinators_are_fenced() {
    let mut state = state();
    let header = marker_batch(1, 0, 0);
    state.record(&header, Some(marker(ControlKind::Commit, 4)));
    let old = marker(ControlKind::Commit, 3);
    let rejected = state.check_marker(&header, &old, false).unwrap_err();
    assert_eq!(rejected.code, ErrorCode::TransactionCoordinatorFenced);
    assert!(
        state
            .check_marker(&header, &marker(ControlKind::Abort, 4), false)
            .is_ok()
    );
    assert!(state.check_marker(&marker_batch(2, 0, 0), &old, false).is_ok());
}

#[test]
fn silence_expires_but_not_in_a_transaction() {
    let mut state = state();
    state.record(&batch(1, 0, 0, 1, 0), None);
    state.record(&transactional(batch(2, 0, 0, 1, 1)), None);
    state.record(&batch(3, 0, 0, 1, 500), None);
    assert_eq!(state.expire(1_000 + DAY_MS - 1), 0);
    assert_eq!(state.expire(1_000 + DAY_MS + 1), 1);
    assert_eq!(state.expire(i64::MAX), 1);
    let left: Vec<i64> = state
        .active()
        .iter()
        .map(|producer| producer.producer_id)
        .collect();
    assert_eq!(left, [2]);
    state.set_expiration_ms(0);
    state.record(&marker_batch(2, 0, 2), Some(marker(ControlKind::Abort, 0)));
    assert_eq!(state.expire(1_002), 1);
}

#[test]
fn a_time_in_the_future_expires_as_if_it_were_now() {
    let mut state = state();
    let mut header = batch(1, 0, 0, 1, 0);
    header.max_timestamp = i64::MAX;
    state.record(&header, None);
    assert_eq!(state.expire(5_000), 0);
    assert_eq!(state.active()[0].last_timestamp, i64::MAX);
    assert_eq!(state.expire(5_000 + DAY_MS - 1), 0);
    assert_eq!(state.expire(5_000 + DAY_MS), 1);
}

pub(super) fn ids(state: &ProducerState) -> Vec<i64> {
    state
        .active()
        .iter()
        .map(|producer| producer.producer_id)
        .collect()
}

#[test]
fn those_that_were_silent_for_longest_are_forgotten_first() {
    let mut state = state();
    state.most = 32;
    let record = |state: &mut ProducerState, header| {
        state.make_room(1).unwrap();
        state.record(&header, None);
    };
    record(&mut state, transactional(batch(1_000, 0, 0, 1, 0)));
    for id in 1..32 {
        record(&mut state, batch(id, 0, 0, 1, id));
    }
    // The first one writes again, which keeps it.
    record(&mut state, batch(1, 0, 1, 1, 32));
    assert_eq!(state.len(), 32 - 2);
    record(&mut state, batch(2, 0, 1, 1, 33));
    record(&mut state, batch(100, 0, 0, 1, 34));
    assert!(ids(&state).starts_with(&[1, 2]), "{:?}", ids(&state));
    assert!(ids(&state).contains(&1_000), "its transaction is open");
    for id in 101..1_000 {
        record(&mut state, batch(id, 0, 0, 1, id));
        assert!(state.len() <= 32);
        assert!(ids(&state).contains(&id) && ids(&state).contains(&1_000));
    }
}

#[test]
fn open_transactions_are_never_forgotten_and_have_an_end() {
    let mut state = state();
    state.most = 32;
    for id in 0..32 {
        state.make_room(1).unwrap();
        produce(&mut state, &transactional(batch(id, 0, 0, 1, id))).unwrap();
    }
    state.make_room(1).unwrap();
    let refused = produce(&mut state, &transactional(batch(32, 0, 0, 1, 32)));
    assert_eq!(refused, Err(ErrorCode::KafkaStorageError));
    assert_eq!(state.len(), 32);
    produce(&mut state, &transactional(batch(3, 0, 1, 1, 32))).unwrap();
    state.record(&marker_batch(3, 0, 33), Some(marker(ControlKind::Commit, 1)));
    state.make_room(1).unwrap();
    produce(&mut state, &transactional(batch(32, 0, 0, 1, 34))).unwrap();
    assert_eq!(state.len(), 32);
    assert!(!ids(&state).contains(&3));
}

proptest! {
    /// A producer that retries each of its batches any number of times, in order, ends with each one stored once.
    #[test]
    fn retries_never_store_twice(
        start in prop_oneof![Just(0), Just(i32::MAX - 7), any::<i32>().prop_map(|n| n & i32::MAX)],
        batches in prop::collection::vec((1..20_i32, 0..3_usize), 1..40),
    ) {
        let mut state = state();
        let (mut sequence, mut offset) = (start, 0_i64);
        for (count, retries) in batches {
            let header = batch(1, 0, sequence, count, offset);
            prop_assert_eq!(produce(&mut state, &header), Ok(SequenceVerdict::Append));
            for _ in 0..retries {
                let retried = batch(1, 0, sequence, count, 0);
                prop_assert_eq!(produce(&mut state, &retried), Ok(SequenceVerdict::Duplicate {
                    first_offset: offset,
                    last_offset: offset + i64::from(count) - 1,
                    timestamp: 1_000 + offset,
                }));
            }
            sequence = sequence.wrapping_add(count) & i32::MAX;
            offset += i64::from(count);
        }
    }

    /// No header, however wild, makes the state panic.
    #[test]
    fn wild_headers_do_not_panic(
        headers in prop::collection::vec(
            (any::<[i64; 3]>(), any::<[i32; 2]>(), any::<(i16, i16)>(), 0..4_i64, any::<bool>()), 1..20),
    ) {
        let mut state = state();
        for ([base_offset, time, mark], [sequence, delta], (attributes, epoch), id, stay) in headers {
            let mut header = batch(id, epoch, sequence, 1, base_offset);
            header.attributes = attributes;
            header.last_offset_delta = delta;
            header.max_timestamp = time;
            let _ = state.check(&header, AppendOrigin::Client, Standing::default());
            let control = if header.is_control() { Some(marker(ControlKind::Abort, 1)) } else { None };
            state.record(&header, control);
            if !stay {
                state.expire(mark);
            }
            prop_assert!(snapshot::check(&snapshot::encode(&state.producers).unwrap()).is_ok());
        }
    }
}
