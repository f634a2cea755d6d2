//! Bytes from anywhere get an answer, never a panic.

use proptest::prelude::*;

use super::validate::NOW;
use super::vectors;
use crate::batch::{
    AppendOrigin, AppendRules, BatchView, CompressionPolicy, HEADER_SIZE, batches, crc32c, read_records,
    validate_for_append,
};
use crate::compression::{Codec, DecompressionLimit};

fn seeds() -> Vec<Vec<u8>> {
    vectors::COMPRESSED
        .iter()
        .map(|(_, hex)| *hex)
        .chain([vectors::PLAIN_THREE])
        .map(vectors::bytes)
        .collect()
}

fn rules(origin: AppendOrigin, compression: CompressionPolicy) -> AppendRules {
    AppendRules {
        origin,
        compression,
        timestamp_before_max_ms: 1000,
        require_keys: true,
        ..AppendRules::default()
    }
}

/// Everything that takes bytes from a network or a disk.
fn use_everything(bytes: &[u8]) {
    for origin in [
        AppendOrigin::Client,
        AppendOrigin::Coordinator,
        AppendOrigin::Replication,
    ] {
        for policy in [
            CompressionPolicy::Producer,
            CompressionPolicy::Codec(Codec::Lz4, None),
        ] {
            if let Ok(valid) = validate_for_append(bytes, &rules(origin, policy), NOW) {
                let stored = [&valid.header[..], &valid.body].concat();
                let view = BatchView::first(&stored).expect("what passes is a batch");
                assert!(view.crc_is_valid(), "what passes has the right CRC");
                assert_eq!(view.bytes().len(), stored.len());
                assert_eq!(*view.header(), valid.info);
            }
        }
    }
    let limit = DecompressionLimit {
        bytes: 1 << 20,
        zstd_window_log: 23,
    };
    for view in batches(bytes).flatten() {
        let header = view.header();
        let _ = (
            header.last_offset(),
            header.next_offset(),
            header.last_sequence(),
            header.size(),
        );
        if let Ok(records) = read_records(view.bytes(), limit) {
            for record in records.iter().flatten() {
                assert!(record.headers.count() <= view.bytes().len() + limit.bytes);
            }
        }
    }
}

fn fix_crc(bytes: &mut [u8]) {
    if bytes.len() >= HEADER_SIZE {
        let crc = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

#[test]
fn every_single_byte_changed() {
    for seed in seeds() {
        for at in 0..seed.len() {
            for bits in [0x01, 0x80, 0xff] {
                let mut bytes = seed.clone();
                bytes[at] ^= bits;
                use_everything(&bytes);
                fix_crc(&mut bytes);
                use_everything(&bytes);
            }
        }
    }
}

#[test]
fn every_length() {
    for seed in seeds() {
        for length in 0..seed.len() {
            use_everything(&seed[..length]);
        }
    }
}

proptest! {
    #[test]
    fn several_bytes_changed(
        seed in proptest::sample::select(seeds()),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = seed;
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        fix_crc(&mut bytes);
        use_everything(&bytes);
    }

    #[test]
    fn any_records_under_a_good_header(
        seed in proptest::sample::select(seeds()),
        body in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = seed[..HEADER_SIZE].to_vec();
        bytes.extend(body);
        let length = (bytes.len() - 12) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        fix_crc(&mut bytes);
        use_everything(&bytes);
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        use_everything(&bytes);
    }
}
