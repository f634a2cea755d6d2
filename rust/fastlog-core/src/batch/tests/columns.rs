use super::vectors;
use crate::batch::{BatchBuilder, Columns, ControlKind, ControlMarker, stamp_base_offset, whole_batches};
use crate::compression::{Codec, DecompressionLimit};
use crate::error::{Error, Result};

fn decode(bytes: &[u8]) -> Result<Columns> {
    Columns::decode(bytes, DecompressionLimit::default())
}

/// Two records, compressed, at offset 100, and a transaction's end.
fn more() -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::Lz4).base_offset(100);
    builder.append(7, Some(b""), Some(b"x"), []).unwrap();
    builder.append(-1, None, None, []).unwrap();
    let marker = ControlMarker {
        kind: ControlKind::Commit,
        coordinator_epoch: 0,
    };
    [builder.build().unwrap(), marker.to_batch(8, 1, 0).unwrap()].concat()
}

#[test]
fn rows_of_all_batches_in_order() {
    let mut first = vectors::bytes(vectors::PLAIN_THREE);
    stamp_base_offset(&mut first, 10);
    let columns = decode(&[first, more()].concat()).unwrap();
    assert_eq!(columns.offsets, [10, 11, 12, 100, 101]);
    assert_eq!(
        columns.timestamps,
        [1_700_000_000_000, 1_700_000_000_005, 1_700_000_000_003, 7, -1]
    );
    assert_eq!(columns.keys.data, b"keyk3");
    assert_eq!(columns.keys.offsets, [0, 3, 3, 5, 5, 5]);
    assert_eq!(columns.keys.validity, [true, false, true, true, false]);
    let values: Vec<_> = (0..6).map(|i| columns.values.get(i)).collect();
    assert_eq!(
        values,
        [Some(&b"value"[..]), Some(b"second"), None, Some(b"x"), None, None]
    );
}

#[test]
fn nothing_gives_empty_columns() {
    assert_eq!(decode(&[]).unwrap(), Columns::default());
    assert_eq!(Columns::default().keys.offsets, [0]);
    assert_eq!(
        decode(&vectors::bytes(vectors::PLAIN_THREE)[..104]).unwrap(),
        Columns::default()
    );
}

#[test]
fn the_last_batch_may_be_cut_off() {
    let one = vectors::bytes(vectors::PLAIN_THREE);
    for cut in [0, 1, 12, 60, 61, one.len() - 1] {
        let bytes = [&one[..], &one[..cut]].concat();
        assert_eq!(whole_batches(&bytes).count(), 1);
        assert_eq!(decode(&bytes).unwrap().offsets, [0, 1, 2]);
    }
}

#[test]
fn damage_is_an_error() {
    let good = vectors::bytes(vectors::PLAIN_THREE);
    let mut flipped = good.clone();
    flipped[70] ^= 1;
    assert!(matches!(decode(&flipped), Err(Error::Malformed(reason)) if reason.contains("checksum")));
    for (at, byte) in [(16, 1), (11, 3), (8, 0xff)] {
        let mut frame = good.clone();
        frame[at] = byte;
        frame.extend_from_slice(&good);
        assert!(decode(&frame).is_err(), "byte {at}");
    }
}
