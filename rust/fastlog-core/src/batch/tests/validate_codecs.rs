//! The leader's checks on compressed batches, and batches that change their codec.

use proptest::prelude::*;

use super::validate::NOW;
use super::vectors;
use crate::batch::{
    AppendOrigin, AppendRules, BatchBuilder, BatchHeader, BatchView, CompressionPolicy, HEADER_SIZE,
    Rejection, TimestampType, Validated, crc32c, read_records, validate_for_append,
};
use crate::compression::{Codec, DecompressionLimit, compress};
use crate::error::ErrorCode;

const CODECS: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn check<'a>(batch: &'a [u8], rules: &AppendRules) -> Result<Validated<'a>, Rejection> {
    validate_for_append(batch, rules, NOW)
}

fn stored(valid: &Validated<'_>) -> Vec<u8> {
    [&valid.header[..], &valid.body].concat()
}

/// The batch again, with its records replaced by `records`, compressed with its codec.
fn with_records(batch: &[u8], records: &[u8]) -> Vec<u8> {
    let mut header = BatchHeader::parse(batch).unwrap();
    let body = compress(header.codec().unwrap(), None, records).unwrap();
    let mut bytes = [&[0; HEADER_SIZE][..], &body].concat();
    header.batch_length = (bytes.len() - 12) as i32;
    header.write_to(bytes.first_chunk_mut().unwrap());
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// The uncompressed records of a batch.
fn records_of(batch: &[u8]) -> Vec<u8> {
    let view = BatchView::first(batch).unwrap();
    crate::compression::decompress(
        view.header().codec().unwrap(),
        view.body(),
        DecompressionLimit::default(),
    )
    .unwrap()
}

#[test]
fn batches_of_kafka_python_pass_unchanged() {
    for (codec, hex) in vectors::COMPRESSED {
        let bytes = vectors::bytes(hex);
        let valid = check(&bytes, &AppendRules::default()).unwrap();
        assert_eq!(stored(&valid), bytes, "{codec:?}");
        assert_eq!(
            (valid.max_timestamp, valid.offset_delta_of_max_timestamp),
            (1_700_000_000_007, 7)
        );

        let rules = AppendRules {
            timestamp_type: TimestampType::LogAppendTime,
            ..AppendRules::default()
        };
        let stamped = stored(&check(&bytes, &rules).unwrap());
        assert!(BatchView::first(&stamped).unwrap().crc_is_valid());
    }
}

#[test]
fn zstd_needs_a_request_that_knows_it() {
    let rules = AppendRules {
        zstd_allowed: false,
        ..AppendRules::default()
    };
    // A leader's batch comes with no Produce request.
    let replication = AppendRules {
        origin: AppendOrigin::Replication,
        ..rules.clone()
    };
    assert!(check(&vectors::bytes(vectors::COMPRESSED[3].1), &replication).is_ok());
    for (codec, hex) in vectors::COMPRESSED {
        let bytes = vectors::bytes(hex);
        match check(&bytes, &rules) {
            Ok(_) => assert_ne!(codec, Codec::Zstd),
            Err(rejection) => {
                assert_eq!(codec, Codec::Zstd);
                assert_eq!(rejection.code, ErrorCode::UnsupportedCompressionType);
            }
        }
    }
}

#[test]
fn inner_records_fill_the_batch_exactly() {
    for (codec, hex) in vectors::COMPRESSED {
        let bytes = vectors::bytes(hex);
        let records = records_of(&bytes);
        let refused =
            |records: &[u8]| check(&with_records(&bytes, records), &AppendRules::default()).unwrap_err();
        assert!(check(&with_records(&bytes, &records), &AppendRules::default()).is_ok());

        let more = refused(&[&records[..], &[0]].concat());
        assert_eq!(
            more.message, "bytes are left over after the 8 records that the header counts",
            "{codec:?}"
        );
        let cut = refused(&records[..records.len() - 1]);
        assert_eq!(
            cut.message, "record 7: it reaches beyond the end of the batch",
            "{codec:?}"
        );
        let fewer = refused(&records[..records.len() - 35]);
        assert_eq!(
            fewer.message, "record 7: it reaches beyond the end of the batch",
            "{codec:?}"
        );
        assert_eq!(
            refused(&[]).message,
            "record 0: it reaches beyond the end of the batch",
            "{codec:?}"
        );
    }
}

#[test]
fn damaged_payloads_are_the_producers_fault() {
    for (codec, hex) in vectors::COMPRESSED {
        let mut bytes = vectors::bytes(hex);
        bytes[HEADER_SIZE..].fill(0xa5);
        let crc = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        let rejection = check(&bytes, &AppendRules::default()).unwrap_err();
        assert_eq!(rejection.code, ErrorCode::InvalidRecord, "{codec:?}");
    }
}

#[test]
fn keys_and_timestamps_are_checked_inside_too() {
    for codec in CODECS {
        let mut builder = BatchBuilder::new(codec);
        builder.append(NOW, Some(b"k"), None, []).unwrap();
        builder.append(NOW - 10, None, None, []).unwrap();
        let batch = builder.build().unwrap();
        let keys = AppendRules {
            require_keys: true,
            ..AppendRules::default()
        };
        assert_eq!(check(&batch, &keys).unwrap_err().record_errors[0].index, 1);
        let window = AppendRules {
            timestamp_before_max_ms: 9,
            ..AppendRules::default()
        };
        let rejection = check(&batch, &window).unwrap_err();
        assert_eq!(rejection.code, ErrorCode::InvalidTimestamp);
        assert_eq!(rejection.record_errors[0].index, 1);
    }
}

/// Records on both sides of the window's 64 KiB, and one with every field larger than it.
fn large(codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec);
    let noise: Vec<u8> = (0..200_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for size in [0, 65_000, 65_524, 65_530, 65_536, 65_537, 70_000, 131_072, 3] {
        builder
            .append(NOW + size as i64, None, Some(&noise[..size]), [])
            .unwrap();
    }
    let headers: [(&[u8], Option<&[u8]>); 4] = [
        (&noise[..70_000], Some(&noise[..80_000])),
        (b"", None),
        (b"k", Some(b"")),
        (&noise[..9], None),
    ];
    builder
        .append(NOW, Some(&noise[..90_000]), Some(&noise), headers)
        .unwrap();
    builder.append(NOW, None, None, []).unwrap();
    builder.build().unwrap()
}

#[test]
fn records_larger_than_the_window() {
    let rules = AppendRules {
        max_message_bytes: 8 << 20,
        ..AppendRules::default()
    };
    for codec in CODECS {
        let batch = large(codec);
        let valid = check(&batch, &rules).unwrap();
        assert_eq!(stored(&valid), batch);
        assert_eq!(
            (valid.max_timestamp, valid.offset_delta_of_max_timestamp),
            (NOW + 131_072, 7)
        );
        // One byte short, one byte more.
        let records = records_of(&batch);
        for wrong in [&records[..records.len() - 1], &[&records[..], &[0]].concat()] {
            assert!(check(&with_records(&batch, wrong), &rules).is_err());
        }
    }
}

#[test]
fn large_records_are_checked_field_by_field() {
    let field = |n: i64, out: &mut Vec<u8>| crate::batch::varint::write_varlong(out, n);
    let rules = AppendRules {
        max_message_bytes: 8 << 20,
        ..AppendRules::default()
    };
    let reason = |tail: &[u8], missing: usize| {
        let mut builder = BatchBuilder::new(Codec::Lz4);
        builder.append(NOW, None, None, []).unwrap();
        let mut record = vec![0, 0, 0];
        field(-1, &mut record);
        field(100_000, &mut record);
        record.resize(record.len() + 100_000, b'x');
        record.extend_from_slice(tail);
        let mut records = Vec::new();
        field((record.len() + missing) as i64, &mut records);
        records.extend(record);
        check(&with_records(&builder.build().unwrap(), &records), &rules)
            .map(|_| ())
            .map_err(|r| r.message)
    };
    let refused = |what: &str| Err(format!("record 0: {what}"));
    assert_eq!(reason(&[0], 0), Ok(()));
    assert_eq!(
        reason(&[], 0),
        refused("a field reaches beyond the end of the record")
    );
    assert_eq!(
        reason(&[0, 0], 0),
        refused("bytes are left over after the last field")
    );
    assert_eq!(reason(&[1], 0), refused("the number of headers is negative"));
    assert_eq!(
        reason(&[2, 1, 0], 0),
        refused("a header key has a negative length")
    );
    assert_eq!(reason(&[2, 0, 3], 0), refused("a length is below -1"));
    assert_eq!(
        reason(&[2, 20, 0], 0),
        refused("a field reaches beyond the end of the record")
    );
    assert_eq!(
        reason(&[2, 20, 0], 50),
        refused("it reaches beyond the end of the batch")
    );
}

#[test]
fn bombs_end_at_the_limit() {
    // 40 MiB of one record in some kilobytes, on a topic whose limit is the least one, 16 MiB.
    let rules = AppendRules {
        max_message_bytes: 100_000,
        ..AppendRules::default()
    };
    for codec in [Codec::Gzip, Codec::Zstd] {
        let mut builder = BatchBuilder::new(codec);
        builder.append(NOW, None, Some(&vec![0; 40 << 20]), []).unwrap();
        let bomb = builder.build().unwrap();
        assert!(bomb.len() < 100_000);
        let rejection = check(&bomb, &rules).unwrap_err();
        assert_eq!(rejection.code, ErrorCode::MessageTooLarge, "{codec:?}");
        assert!(
            rejection.message.contains("more than 16777216 bytes"),
            "{}",
            rejection.message
        );
    }
}

#[test]
fn the_topics_codec_wins() {
    for (source, hex) in vectors::COMPRESSED
        .into_iter()
        .chain([(Codec::None, vectors::PLAIN_THREE)])
    {
        let bytes = vectors::bytes(hex);
        let expected = records_of(&bytes);
        for target in Codec::ALL {
            let policy = CompressionPolicy::Codec(target, None);
            let valid = check(
                &bytes,
                &AppendRules {
                    compression: policy,
                    ..AppendRules::default()
                },
            )
            .unwrap();
            let after = stored(&valid);
            if source == target {
                assert_eq!(after, bytes);
            }
            let view = BatchView::first(&after).unwrap();
            assert!(view.crc_is_valid(), "{source:?} to {target:?}");
            assert_eq!(view.bytes().len(), after.len());
            assert_eq!(*view.header(), valid.info);
            assert_eq!(view.header().codec().unwrap(), target);
            assert_eq!(records_of(&after), expected);
            assert_eq!(
                view.header().producer_id,
                BatchHeader::parse(&bytes).unwrap().producer_id
            );
        }
    }
}

#[test]
fn a_batch_that_grows_too_large_is_refused() {
    let mut builder = BatchBuilder::new(Codec::Zstd);
    builder.append(NOW, None, Some(&vec![0; 300_000]), []).unwrap();
    let batch = builder.build().unwrap();
    let policy = CompressionPolicy::Codec(Codec::None, None);
    let rules = AppendRules {
        max_message_bytes: 200_000,
        compression: policy,
        ..AppendRules::default()
    };
    assert_eq!(
        check(&batch, &rules).unwrap_err().code,
        ErrorCode::MessageTooLarge
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The walk through the window and the walk over a slice see the same.
    #[test]
    fn any_built_batch_passes_in_every_codec(
        sizes in proptest::collection::vec((0_usize..90_000, any::<bool>(), -5_i64..5), 1..8),
        source in proptest::sample::select(&Codec::ALL[..]),
        target in proptest::sample::select(&Codec::ALL[..]),
    ) {
        let noise: Vec<u8> = (0..90_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut builder = BatchBuilder::new(source);
        for (size, keyed, late) in &sizes {
            let key = keyed.then(|| &noise[..size / 3]);
            builder.append(NOW + late, key, Some(&noise[..*size]), []).unwrap();
        }
        let batch = builder.build().unwrap();
        let rules = AppendRules { max_message_bytes: 8 << 20, ..AppendRules::default() };
        let keep = check(&batch, &rules).unwrap();
        prop_assert_eq!(stored(&keep), &batch[..]);
        let latest = sizes.iter().map(|(_, _, late)| *late).max().unwrap();
        prop_assert_eq!(keep.max_timestamp, NOW + latest);
        prop_assert_eq!(
            keep.offset_delta_of_max_timestamp as usize,
            sizes.iter().position(|(_, _, late)| *late == latest).unwrap()
        );

        let rules = AppendRules { compression: CompressionPolicy::Codec(target, None), ..rules };
        let after = stored(&check(&batch, &rules).unwrap());
        let records = read_records(&after, DecompressionLimit::default()).unwrap();
        for (record, (size, ..)) in records.iter().zip(&sizes) {
            prop_assert_eq!(record.unwrap().value, Some(&noise[..*size]));
        }
    }
}
