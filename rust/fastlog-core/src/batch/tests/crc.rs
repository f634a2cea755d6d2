use proptest::prelude::*;

use crate::batch::crc::{crc32c, crc32c_append};

#[test]
fn known_answers() {
    // RFC 3720, appendix B.4.
    assert_eq!(crc32c(&[]), 0);
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    let ascending: Vec<u8> = (0..32).collect();
    assert_eq!(crc32c(&ascending), 0x46dd_794e);
}

/// Bit by bit, as the polynomial is defined.
fn slow_crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0x82f6_3b78
            } else {
                crc >> 1
            }
        })
    })
}

proptest! {
    #[test]
    fn agrees_with_the_definition(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        prop_assert_eq!(crc32c(&bytes), slow_crc32c(&bytes));
    }

    #[test]
    fn append_continues(bytes in proptest::collection::vec(any::<u8>(), 0..3000), cut: prop::sample::Index) {
        let (head, tail) = bytes.split_at(cut.index(bytes.len() + 1));
        prop_assert_eq!(crc32c_append(crc32c(head), tail), crc32c(&bytes));
    }
}
