//! The short way over a record against the full one.

use proptest::prelude::*;

use crate::batch::record::{Glance, glance, split_record};
use crate::batch::varint::write_varlong;

/// What [`glance`] must say, by way of [`split_record`].
fn full(bytes: &[u8]) -> Option<Glance> {
    let (record, tail) = split_record(bytes).ok()?;
    Some(Glance {
        timestamp_delta: record.timestamp_delta,
        offset_delta: record.offset_delta,
        has_key: record.key.is_some(),
        size: bytes.len() - tail.len(),
    })
}

fn record(timestamp_delta: i64, offset_delta: i32, key: Option<usize>, value: Option<usize>) -> Vec<u8> {
    let mut body = vec![0];
    write_varlong(&mut body, timestamp_delta);
    write_varlong(&mut body, i64::from(offset_delta));
    for length in [key, value] {
        write_varlong(&mut body, length.map_or(-1, |n| n as i64));
        body.resize(body.len() + length.unwrap_or(0), b'x');
    }
    body.push(0);
    let mut out = Vec::new();
    write_varlong(&mut out, body.len() as i64);
    out.extend(body);
    out
}

#[test]
fn usual_records_go_the_short_way() {
    for key in [None, Some(0), Some(1), Some(63), Some(64), Some(3000)] {
        for value in [None, Some(0), Some(1), Some(63), Some(64), Some(5000)] {
            for delta in [0, 1, 63, 64] {
                let bytes = record(i64::from(delta), delta, key, value);
                // The shortest record has 7 bytes; the word needs 8.
                let bytes = [&bytes[..], &[0xff]].concat();
                let short = glance(&bytes);
                assert_eq!(short, full(&bytes).filter(|_| short.is_some()));
                let wide = 2 * usize::from(delta > 63) + usize::from(key > Some(63));
                assert!(short.is_some() || wide == 3, "{key:?} {value:?} {delta}");
            }
        }
    }
}

#[test]
fn unusual_records_do_not() {
    assert_eq!(glance(&[]), None);
    assert_eq!(glance(&record(0, 0, None, None)), None, "7 bytes");
    assert_eq!(glance(&record(1 << 20, 0, None, Some(10))), None, "a long number");
    assert_eq!(glance(&record(0, 0, None, Some(9000))), None, "a long value");
    assert_eq!(
        glance(&[20, 0, 0, 0, 1, 2, b'v', 2, 2, b'h', 1]),
        None,
        "a header"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_short_way_never_disagrees(
        timestamp_delta in -20_000_i64..20_000,
        offset_delta in -20_000_i32..20_000,
        key in proptest::option::of(0_usize..200),
        value in proptest::option::of(0_usize..200),
        tail in proptest::collection::vec(any::<u8>(), 0..10),
        changes in proptest::collection::vec((0_usize..12, any::<u8>()), 0..3),
    ) {
        let mut bytes = [record(timestamp_delta, offset_delta, key, value), tail].concat();
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        if let Some(short) = glance(&bytes) {
            prop_assert_eq!(Some(short), full(&bytes));
        }
    }

    #[test]
    fn nor_on_any_bytes(bytes in proptest::collection::vec(prop_oneof![0_u8..24, any::<u8>()], 0..24)) {
        if let Some(short) = glance(&bytes) {
            prop_assert_eq!(Some(short), full(&bytes));
        }
    }
}
