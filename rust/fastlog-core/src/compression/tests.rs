//! Round trips, foreign framings, and payloads that lie about their size.

use proptest::prelude::*;

use super::{Codec, DecompressionLimit, Encoder, compress, decompress, snappy};
use crate::error::Error;

fn limit(bytes: usize) -> DecompressionLimit {
    DecompressionLimit {
        bytes,
        zstd_window_log: 23,
    }
}

fn reason(result: Result<Vec<u8>, Error>) -> String {
    match result {
        Err(Error::Compression { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_and_numbers() {
    for (id, name) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let codec = Codec::from_id(id as u8).unwrap();
        assert_eq!((codec.id(), codec.name()), (id as u8, name));
        assert_eq!(Codec::from_name(name), Some(codec));
    }
    assert_eq!(Codec::from_name("uncompressed"), Some(Codec::None));
    assert_eq!(Codec::from_name("producer"), None);
    assert!(Codec::from_id(5).is_err());
}

#[test]
fn levels_are_clamped() {
    let data = b"a piece of text, a piece of text, a piece of text".repeat(50);
    for codec in Codec::ALL {
        for level in [
            None,
            Some(i32::MIN),
            Some(-1),
            Some(1),
            Some(9),
            Some(22),
            Some(i32::MAX),
        ] {
            let packed = compress(codec, level, &data).unwrap();
            assert_eq!(
                decompress(codec, &packed, limit(data.len())).unwrap(),
                data,
                "{codec:?} {level:?}"
            );
        }
    }
}

#[test]
fn the_limit_is_exact() {
    let data = vec![7; 100_000];
    for codec in Codec::ALL {
        let packed = compress(codec, None, &data).unwrap();
        assert_eq!(decompress(codec, &packed, limit(100_000)).unwrap(), data);
        let reason = reason(decompress(codec, &packed, limit(99_999)));
        assert_eq!(reason, "more than 99999 bytes when decompressed", "{codec:?}");
    }
}

#[test]
fn a_topics_limit_follows_its_message_size_within_bounds() {
    let bytes = |max| DecompressionLimit::for_topic(max).bytes;
    assert_eq!(bytes(0), 16 << 20);
    assert_eq!(bytes(1 << 20), 100 << 20);
    assert_eq!(bytes(usize::MAX), 512 << 20);
}

#[test]
fn snappy_in_both_framings() {
    let data = b"0123456789".repeat(10_000);
    let framed = compress(Codec::Snappy, None, &data).unwrap();
    assert_eq!(framed[..8], snappy::MAGIC);
    assert_eq!(framed[8..16], [0, 0, 0, 1, 0, 0, 0, 1]);
    // The first chunk holds 32 KiB, as snappy-java's do.
    let length = u32::from_be_bytes(framed[16..20].try_into().unwrap()) as usize;
    assert_eq!(
        snap::raw::decompress_len(&framed[20..20 + length]).unwrap(),
        32 * 1024
    );
    assert_eq!(
        decompress(Codec::Snappy, &framed, limit(data.len())).unwrap(),
        data
    );

    let raw = snap::raw::Encoder::new().compress_vec(&data).unwrap();
    assert_eq!(decompress(Codec::Snappy, &raw, limit(data.len())).unwrap(), data);
}

#[test]
fn snappy_sizes_are_not_believed() {
    // A raw block that announces 4 GiB - 1, and one that announces 500 MB, in a few bytes.
    let whole = decompress(Codec::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0], limit(1 << 20));
    assert_eq!(reason(whole), "more than 1048576 bytes when decompressed");
    let half = decompress(
        Codec::Snappy,
        &[0x80, 0xca, 0xb5, 0xee, 0x01, 0],
        DecompressionLimit::default(),
    );
    assert_eq!(reason(half), "a block of 6 bytes announces 500000000");

    let mut framed = snappy::MAGIC.to_vec();
    framed.extend([0, 0, 0, 1, 0, 0, 0, 1]);
    for (chunk, expected) in [
        (
            &[0x7f, 0xff, 0xff, 0xff, 1][..],
            "a chunk of 2147483647 bytes, 1 are there",
        ),
        (&[0xff, 0xff, 0xff, 0xff, 1], "a chunk of -1 bytes, 1 are there"),
        (&[0, 0, 0], "cut off inside a chunk length"),
        (
            &[0, 0, 0, 6, 0x80, 0xca, 0xb5, 0xee, 0x01, 0],
            "a block of 6 bytes announces 500000000",
        ),
    ] {
        let payload = [&framed, chunk].concat();
        assert_eq!(
            reason(decompress(Codec::Snappy, &payload, DecompressionLimit::default())),
            expected
        );
    }
}

#[test]
fn zstd_windows_are_capped() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(24).unwrap();
    std::io::Write::write_all(&mut encoder, &[1; 1000]).unwrap();
    let frame = encoder.finish().unwrap();
    assert!(reason(decompress(Codec::Zstd, &frame, limit(1 << 20))).contains("too much memory"));
    assert_eq!(
        decompress(Codec::Zstd, &frame, DecompressionLimit::default()).unwrap(),
        [1; 1000]
    );
}

#[test]
fn cut_off_payloads_never_give_the_whole() {
    let data = b"0123456789abcdef".repeat(5_000);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let packed = compress(codec, None, &data).unwrap();
        for keep in [0, 1, 3, 7, 15, 17, packed.len() / 2, packed.len() - 5] {
            if let Ok(out) = decompress(codec, &packed[..keep], limit(data.len())) {
                assert!(out.len() < data.len(), "{codec:?} cut to {keep}");
            }
        }
    }
}

fn any_codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(&Codec::ALL[..])
}

/// Text that compresses, of any length around the block sizes.
fn compressible() -> impl Strategy<Value = Vec<u8>> {
    (proptest::collection::vec(any::<u8>(), 1..40), 0_usize..200_000)
        .prop_map(|(word, length)| word.iter().copied().cycle().take(length).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trip(codec in any_codec(), data in compressible()) {
        let packed = compress(codec, None, &data).unwrap();
        prop_assert_eq!(decompress(codec, &packed, limit(data.len())).unwrap(), data);
    }

    #[test]
    fn written_in_pieces(codec in any_codec(), data in compressible(), piece in 1_usize..70_000) {
        let mut encoder = Encoder::new(codec, None, None).unwrap();
        for part in data.chunks(piece) {
            encoder.write(part).unwrap();
        }
        let packed = encoder.finish().unwrap();
        prop_assert_eq!(decompress(codec, &packed, limit(data.len())).unwrap(), data);
    }

    #[test]
    fn hostile_bytes_are_decoded_or_refused(
        codec in any_codec(),
        data in proptest::collection::vec(any::<u8>(), 0..2000),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut packed = compress(codec, None, &data).unwrap();
        if packed.is_empty() {
            return Ok(());
        }
        for (at, bits) in flips {
            let at = at.index(packed.len());
            packed[at] ^= bits;
        }
        if let Ok(out) = decompress(codec, &packed, limit(1 << 20)) {
            prop_assert!(out.len() <= 1 << 20);
        }
        let _ = decompress(codec, &data, limit(1 << 20));
    }
}
