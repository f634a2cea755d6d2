//! The snapshot file.

use super::tests::{DAY_MS, batch, marker, marker_batch, produce, state, transactional};
use super::*;
use crate::env::StdFs;

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
    let bytes = snapshot::encode(&state.producers).unwrap();
    assert!(snapshot::check(&bytes).is_ok());
    for cut in 0..bytes.len() {
        assert!(snapshot::check(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(snapshot::check(&flipped).is_err(), "bit {bit}");
    }
    // A count that does not match, under a good CRC.
    let mut counted = bytes.clone();
    counted[6..10].copy_from_slice(&i32::MAX.to_be_bytes());
    let crc = crate::batch::crc32c(&counted[6..]);
    counted[2..6].copy_from_slice(&crc.to_be_bytes());
    assert!(snapshot::check(&counted).unwrap_err().contains("entries"));
}
