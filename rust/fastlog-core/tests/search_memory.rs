//! Looking for a record by time takes the memory of a window, whatever the batch would become when unpacked.

#[path = "wire/allocations.rs"]
mod allocations;

use fastlog_core::Codec;
use fastlog_core::batch::{BatchBuilder, batches, first_at_or_after};
use fastlog_core::compression::DecompressionLimit;

const TIME: i64 = 1_700_000_000_000;
const VALUE: usize = 4 << 20;

/// Eight records of 4 MiB each, a second apart.
fn bomb(codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec);
    for index in 0..8 {
        builder
            .append(TIME + index * 1000, None, Some(&vec![0; VALUE]), [])
            .unwrap();
    }
    builder.build().unwrap()
}

#[test]
fn a_bomb_is_searched_in_little_memory() {
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let bytes = bomb(codec);
        let batch = batches(&bytes).next().unwrap().unwrap();
        for (from, expected) in [(0, 7), (7, 7), (8, -1)] {
            let (found, allocated) = allocations::during(|| {
                first_at_or_after(&batch, TIME + 6500, from, DecompressionLimit::default()).unwrap()
            });
            assert_eq!(found.map_or(-1, |(_, offset)| offset), expected, "{codec:?}");
            assert!(allocated.bytes < VALUE / 4, "{codec:?}: {allocated:?}");
        }
    }
}

#[test]
fn the_search_ends_where_it_finds() {
    for codec in Codec::ALL {
        let mut bytes = bomb(codec);
        // Damage behind the first records is nobody's business.
        let half = bytes.len() / 2;
        bytes[half..].fill(0xff);
        let batch = batches(&bytes).next().unwrap().unwrap();
        let found = first_at_or_after(&batch, TIME + 1, 0, DecompressionLimit::default());
        assert_eq!(found.unwrap(), Some((TIME + 1000, 1)), "{codec:?}");
        let behind = first_at_or_after(&batch, TIME + 7000, 0, DecompressionLimit::default());
        assert!(behind.is_err(), "{codec:?}");
    }
}
