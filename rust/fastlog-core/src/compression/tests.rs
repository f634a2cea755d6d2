//! Round trips, foreign framings, and payloads that lie about their size.

use std::io::Write;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use proptest::prelude::*;

use super::{Codec, DecompressionLimit, Encoder, compress, decompress, snappy};
use crate::error::Error;

fn limit(bytes: usize) -> DecompressionLimit {
    DecompressionLimit {
        bytes,
        ..DecompressionLimit::default()
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
        (&[0, 0, 0, 0], "a chunk without bytes"),
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

/// A frame as a producer streams it that does not say how much is to come.
fn streamed(level: i32, window_log: Option<u32>, data: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level).unwrap();
    encoder.include_checksum(true).unwrap();
    if let Some(log) = window_log {
        encoder.window_log(log).unwrap();
    }
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn zstd_of_every_level_is_read_by_whoever_reads_a_topic() {
    let data = b"0123456789".repeat(2_000);
    for level in [-5, 1, 3, 19, 20, 21, 22] {
        let frame = streamed(level, None, &data);
        for limit in [DecompressionLimit::for_topic(0), DecompressionLimit::default()] {
            assert_eq!(decompress(Codec::Zstd, &frame, limit).unwrap(), data, "{level}");
        }
    }
}

#[test]
fn zstd_windows_are_capped() {
    let small = DecompressionLimit {
        bytes: 1 << 20,
        zstd_window_log: 23,
    };
    let frame = streamed(3, Some(24), &[1; 1000]);
    assert!(reason(decompress(Codec::Zstd, &frame, small)).contains("too much memory"));
    let frame = streamed(3, Some(27), &[1; 1000]);
    assert_eq!(
        decompress(Codec::Zstd, &frame, limit(1 << 20)).unwrap(),
        [1; 1000]
    );
    // A frame with a larger window behind one without.
    let both = [streamed(3, None, &[1; 10]), streamed(3, Some(24), &[2; 10])].concat();
    assert!(reason(decompress(Codec::Zstd, &both, small)).contains("too much memory"));
    assert_eq!(
        decompress(Codec::Zstd, &both, limit(20)).unwrap(),
        [[1; 10], [2; 10]].concat()
    );
}

#[test]
fn large_windows_are_decoded_side_by_side_with_small_ones() {
    let data = b"0123456789abcdef".repeat(20_000);
    let frames = [streamed(22, None, &data), streamed(3, None, &data)];
    std::thread::scope(|scope| {
        for index in 0..8 {
            let (frame, data) = (&frames[index % 2], &data);
            scope.spawn(move || {
                for _ in 0..10 {
                    let whole = decompress(Codec::Zstd, frame, limit(data.len())).unwrap();
                    assert_eq!(whole, *data);
                }
            });
        }
    });
}

#[test]
fn lz4_frames_that_java_cannot_read_are_refused() {
    let data = b"0123456789abcdef".repeat(20_000);
    let frame = |info: FrameInfo| {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&data).unwrap();
        encoder.finish().unwrap()
    };
    let independent = FrameInfo::new().block_mode(BlockMode::Independent);
    for size in [
        BlockSize::Max64KB,
        BlockSize::Max256KB,
        BlockSize::Max1MB,
        BlockSize::Max4MB,
    ] {
        let info = independent
            .clone()
            .block_size(size)
            .block_checksums(true)
            .content_checksum(true)
            .content_size(Some(data.len() as u64));
        assert_eq!(
            decompress(Codec::Lz4, &frame(info), limit(data.len())).unwrap(),
            data
        );
    }
    let linked = frame(FrameInfo::new().block_mode(BlockMode::Linked));
    assert_eq!(
        reason(decompress(Codec::Lz4, &linked, limit(data.len()))),
        "linked blocks, which Java clients cannot read"
    );
    let whole = frame(independent);
    for cut in 1..5 {
        let cut = &whole[..whole.len() - cut];
        assert_eq!(reason(decompress(Codec::Lz4, cut, limit(data.len()))), "cut off");
    }
    // One frame is all that Java reads.
    let twice = whole.repeat(2);
    assert_eq!(
        decompress(Codec::Lz4, &twice, limit(2 * data.len())).unwrap(),
        data
    );
}

#[test]
fn gzip_members_follow_each_other_until_one_does_not() {
    let (one, two) = (b"one".repeat(50), b"two".repeat(50));
    let member = |data: &[u8]| compress(Codec::Gzip, None, data).unwrap();
    let both = [member(&one), member(&two)].concat();
    let expected = [one.clone(), two].concat();
    assert_eq!(decompress(Codec::Gzip, &both, limit(1000)).unwrap(), expected);
    for behind in [&b"z"[..], &[0; 100], &both[..9]] {
        let payload = [&both, behind].concat();
        assert_eq!(decompress(Codec::Gzip, &payload, limit(1000)).unwrap(), expected);
    }
    for cut in 1..8 {
        let cut = &both[..both.len() - cut];
        assert_eq!(reason(decompress(Codec::Gzip, cut, limit(1000))), "cut off");
    }
    let mut wrong = member(&one);
    let at = wrong.len() - 8;
    wrong[at] ^= 1;
    assert_eq!(
        reason(decompress(Codec::Gzip, &wrong, limit(1000))),
        "a member fails its checksum"
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
