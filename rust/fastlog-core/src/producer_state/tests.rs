//! Kafka's idempotence rules, transactions and the snapshot file.

use proptest::prelude::*;

use super::*;
use crate::env::StdFs;

const DAY_MS: i64 = 86_400_000;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

fn state() -> ProducerState {
    ProducerState::new(DAY_MS)
}

fn batch(producer_id: i64, epoch: i16, base_sequence: i32, count: i32, base_offset: i64) -> BatchHeader {
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

fn transactional(mut header: BatchHeader) -> BatchHeader {
    header.attributes |= TRANSACTIONAL;
    header
}

fn marker_batch(producer_id: i64, epoch: i16, offset: i64) -> BatchHeader {
    let mut header = batch(producer_id, epoch, -1, 1, offset);
    header.attributes = TRANSACTIONAL | CONTROL;
    header
}

fn marker(kind: ControlKind, coordinator_epoch: i32) -> ControlMarker {
    ControlMarker {
        kind,
        coordinator_epoch,
    }
}

/// Checks and, when it is new, records.
fn produce(state: &mut ProducerState, header: &BatchHeader) -> Result<SequenceVerdict, ErrorCode> {
    let verdict = state
        .check(header, AppendOrigin::Client)
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
        state.check(&old, AppendOrigin::Replication).unwrap(),
        SequenceVerdict::Append
    );
    let rejected = state.check(&old, AppendOrigin::Coordinator).unwrap_err();
    assert_eq!(rejected.code, ErrorCode::InvalidProducerEpoch);
    assert!(rejected.message.contains("epoch 3"), "{}", rejected.message);
    old.producer_epoch = 4;
    assert_eq!(
        state.check(&old, AppendOrigin::Coordinator).unwrap(),
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
        .check(&batch(1, 0, 10, 1, 25), AppendOrigin::Client)
        .unwrap_err();
    assert_eq!(outside.code, ErrorCode::InvalidTxnState);

    let header = marker_batch(1, 0, 25);
    assert_eq!(
        state.check(&header, AppendOrigin::Coordinator).unwrap(),
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
    let rejected = state.check_marker(&header, &old).unwrap_err();
    assert_eq!(rejected.code, ErrorCode::TransactionCoordinatorFenced);
    assert!(
        state
            .check_marker(&header, &marker(ControlKind::Abort, 4))
            .is_ok()
    );
    assert!(state.check_marker(&marker_batch(2, 0, 0), &old).is_ok());
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
fn snapshots_have_kafkas_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = state();
    state.record(&batch(258, 3, 5, 2, 7), None);
    state.write_snapshot(&StdFs, dir.path(), 9).unwrap();
    let bytes = std::fs::read(dir.path().join("00000000000000000009.snapshot")).unwrap();
    let mut expected = vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 1]; // version, crc, count
    expected.extend([0, 0, 0, 0, 0, 0, 1, 2]); // producer id
    expected.extend([0, 3, 0, 0, 0, 6]); // epoch, last sequence
    expected.extend([0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1]); // last offset, offset delta
    expected.extend([0, 0, 0, 0, 0, 0, 3, 0xef]); // timestamp
    expected.extend([0xff; 12]); // coordinator epoch, first offset of the transaction
    let crc = crate::batch::crc32c(&expected[6..]);
    expected[2..6].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(bytes, expected);
}

#[test]
fn snapshots_bring_the_state_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = state();
    for index in 0..3_i32 {
        state.record(&batch(7, 1, index * 2, 2, i64::from(index) * 2), None);
    }
    state.record(&transactional(batch(8, 0, 0, 4, 6)), None);
    state.record(&marker_batch(9, 2, 10), Some(marker(ControlKind::Commit, 5)));
    state.write_snapshot(&StdFs, dir.path(), 11).unwrap();

    let (mut loaded, offset) = ProducerState::load_latest(&StdFs, dir.path(), 11, DAY_MS).unwrap();
    assert_eq!(offset, 11);
    assert_eq!(loaded.active(), state.active());
    // Its transaction is the oldest one that is open.
    let other = marker_batch(8, 0, 12);
    loaded.record(&transactional(batch(9, 2, 0, 1, 11)), None);
    assert_eq!(
        loaded
            .record(&marker_batch(9, 2, 12), Some(marker(ControlKind::Commit, 5)))
            .map(|completed| completed.last_stable_offset),
        Some(6)
    );
    assert!(
        loaded
            .record(&other, Some(marker(ControlKind::Commit, 5)))
            .is_some()
    );
    // The last batch of each producer is known again, older ones are not (as in Kafka).
    assert!(matches!(
        produce(&mut loaded, &batch(7, 1, 4, 2, 0)),
        Ok(SequenceVerdict::Duplicate { first_offset: 4, .. })
    ));
    assert_eq!(
        produce(&mut loaded, &batch(7, 1, 2, 2, 0)),
        Err(ErrorCode::OutOfOrderSequenceNumber)
    );
    assert_eq!(
        produce(&mut loaded, &batch(7, 1, 6, 1, 11)),
        Ok(SequenceVerdict::Append)
    );
}

#[test]
fn the_newest_good_snapshot_below_the_bound_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = state();
    for offset in [5, 10, 20, 30] {
        state.record(&batch(offset, 0, 0, 1, offset), None);
        state.write_snapshot(&StdFs, dir.path(), offset).unwrap();
    }
    let damaged = snapshot_path(dir.path(), 20);
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[17] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    std::fs::write(dir.path().join("00000000000000000025.snapshot.tmp"), b"x").unwrap();
    std::fs::write(dir.path().join("notes.snapshot"), b"x").unwrap();

    let (loaded, offset) = ProducerState::load_latest(&StdFs, dir.path(), 29, DAY_MS).unwrap();
    assert_eq!((loaded.len(), offset), (2, 10));
    assert_eq!(snapshot_offsets(&StdFs, dir.path()).unwrap(), [5, 10, 30]);
    delete_snapshots_after(&StdFs, dir.path(), 10).unwrap();
    assert_eq!(snapshot_offsets(&StdFs, dir.path()).unwrap(), [5, 10]);
    delete_snapshots_before(&StdFs, dir.path(), 10).unwrap();
    assert_eq!(snapshot_offsets(&StdFs, dir.path()).unwrap(), [10]);
    delete_snapshots_after(&StdFs, dir.path(), 0).unwrap();
    let (loaded, offset) = ProducerState::load_latest(&StdFs, dir.path(), 29, DAY_MS).unwrap();
    assert_eq!((loaded.len(), offset), (0, 0));
}

#[test]
fn every_cut_and_flip_of_a_snapshot_is_noticed() {
    let mut state = state();
    state.record(&batch(1, 0, 0, 1, 0), None);
    state.record(&batch(2, 0, 0, 1, 1), None);
    let bytes = snapshot::encode(&state.producers);
    assert!(snapshot::decode(&bytes).is_ok());
    for cut in 0..bytes.len() {
        assert!(snapshot::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(snapshot::decode(&flipped).is_err(), "bit {bit}");
    }
    // A count that does not match, under a good CRC.
    let mut counted = bytes.clone();
    counted[6..10].copy_from_slice(&i32::MAX.to_be_bytes());
    let crc = crate::batch::crc32c(&counted[6..]);
    counted[2..6].copy_from_slice(&crc.to_be_bytes());
    assert!(snapshot::decode(&counted).unwrap_err().contains("entries"));
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
            let _ = state.check(&header, AppendOrigin::Client);
            let control = if header.is_control() { Some(marker(ControlKind::Abort, 1)) } else { None };
            state.record(&header, control);
            if !stay {
                state.expire(mark);
            }
            prop_assert!(snapshot::decode(&snapshot::encode(&state.producers)).is_ok());
        }
    }
}
