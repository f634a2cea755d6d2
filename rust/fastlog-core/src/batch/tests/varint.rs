use proptest::prelude::*;

use crate::batch::varint::{MAX_VARLONG_SIZE, read_varint, read_varlong, varlong_size, write_varlong};

fn long(bytes: &[u8]) -> Option<(i64, usize)> {
    let mut rest = bytes;
    read_varlong(&mut rest).map(|value| (value, bytes.len() - rest.len()))
}

fn int(bytes: &[u8]) -> Option<(i32, usize)> {
    let mut rest = bytes;
    read_varint(&mut rest).map(|value| (value, bytes.len() - rest.len()))
}

#[test]
fn known_answers() {
    for (bytes, value) in [
        (&[0x00][..], 0),
        (&[0x01], -1),
        (&[0x02], 1),
        (&[0x7e], 63),
        (&[0x7f], -64),
        (&[0x80, 0x01], 64),
        (&[0x81, 0x01], -65),
        (&[0xfe, 0x7f], 8191),
        (&[0x80, 0x80, 0x01], 8192),
        (&[0xfe, 0xff, 0xff, 0xff, 0x0f], i64::from(i32::MAX)),
        (&[0xff, 0xff, 0xff, 0xff, 0x0f], i64::from(i32::MIN)),
    ] {
        assert_eq!(long(bytes), Some((value, bytes.len())), "{bytes:x?}");
        assert_eq!(int(bytes), Some((value as i32, bytes.len())), "{bytes:x?}");
        let mut out = Vec::new();
        write_varlong(&mut out, value);
        assert_eq!(out, bytes);
    }
}

#[test]
fn the_ends_of_64_bits() {
    for value in [i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1] {
        let mut out = Vec::new();
        write_varlong(&mut out, value);
        assert_eq!(out.len(), MAX_VARLONG_SIZE);
        assert_eq!(long(&out), Some((value, MAX_VARLONG_SIZE)));
        assert_eq!(int(&out), None, "does not fit 32 bits");
    }
}

#[test]
fn rejected() {
    assert_eq!(long(&[]), None);
    assert_eq!(long(&[0x80]), None, "ends too early");
    assert_eq!(long(&[0xff; 9]), None, "ends too early");
    assert_eq!(long(&[0xff; 10]), None, "no last byte");
    assert_eq!(
        long(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
        None,
        "65 bits"
    );
    assert_eq!(int(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None, "33 bits");
    assert_eq!(int(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), None, "40 bits");
    assert_eq!(int(&[0x80]), None);
    assert_eq!(int(&[]), None);
}

proptest! {
    #[test]
    fn round_trip(value: i64, tail: Vec<u8>) {
        let mut out = Vec::new();
        write_varlong(&mut out, value);
        let size = out.len();
        prop_assert_eq!(size, varlong_size(value));
        out.extend(&tail);
        prop_assert_eq!(long(&out), Some((value, size)));
        prop_assert_eq!(int(&out), i32::try_from(value).ok().map(|value| (value, size)));
    }

    #[test]
    fn hostile_bytes_are_read_or_refused(bytes: Vec<u8>) {
        if let Some((_, size)) = long(&bytes) {
            prop_assert!(size <= bytes.len() && size <= MAX_VARLONG_SIZE);
        }
        if let Some((value, size)) = int(&bytes) {
            prop_assert_eq!(long(&bytes), Some((i64::from(value), size)));
        }
    }
}
