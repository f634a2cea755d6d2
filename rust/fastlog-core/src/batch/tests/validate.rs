//! The leader's checks on uncompressed batches: what passes, what is repaired, what is refused and how.

use super::vectors;
use crate::batch::varint::write_varlong;
use crate::batch::{
    AppendOrigin, AppendRules, BatchBuilder, BatchHeader, BatchView, ControlKind, ControlMarker, HEADER_SIZE,
    Rejection, TimestampType, crc32c, stamp_base_offset, validate_for_append,
};
use crate::compression::Codec;
use crate::error::ErrorCode;

pub(super) const NOW: i64 = 1_700_000_000_100;

fn good() -> Vec<u8> {
    vectors::bytes(vectors::PLAIN_THREE)
}

/// Changes fields of the header and makes the CRC right again.
fn with(mut batch: Vec<u8>, change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let mut header = BatchHeader::parse(&batch).unwrap();
    header.crc = 0;
    change(&mut header);
    let forged_crc = header.crc;
    header.write_to(batch.first_chunk_mut().unwrap());
    if forged_crc == 0 {
        let crc = crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    batch
}

/// A batch of one record with this body, whatever it says.
fn with_body(body: &[u8]) -> Vec<u8> {
    let mut batch = good();
    batch.truncate(HEADER_SIZE);
    batch.extend_from_slice(body);
    let length = (batch.len() - 12) as i32;
    with(batch, |header| {
        header.batch_length = length;
        header.record_count = 1;
        header.last_offset_delta = 0;
    })
}

type Change = fn(&mut BatchHeader);

fn refuse(batch: &[u8], rules: &AppendRules) -> Rejection {
    validate_for_append(batch, rules, NOW)
        .map(|valid| valid.info)
        .unwrap_err()
}

fn code(batch: &[u8]) -> ErrorCode {
    refuse(batch, &AppendRules::default()).code
}

#[test]
fn a_good_batch_is_left_as_it_is() {
    let bytes = good();
    let mut valid = validate_for_append(&bytes, &AppendRules::default(), NOW).unwrap();
    assert_eq!([&valid.header[..], &valid.body].concat(), bytes);
    assert_eq!(valid.max_timestamp, 1_700_000_000_005);
    assert_eq!(valid.offset_delta_of_max_timestamp, 1);
    assert_eq!(valid.log_append_time, -1);
    assert_eq!(valid.info, *BatchView::first(&bytes).unwrap().header());
    assert_eq!(valid.size(), bytes.len());

    valid.stamp(1234, 7);
    let stamped = [&valid.header[..], &valid.body].concat();
    let view = BatchView::first(&stamped).unwrap();
    assert!(view.crc_is_valid());
    assert_eq!(
        (view.header().base_offset, view.header().partition_leader_epoch),
        (1234, 7)
    );
    assert_eq!(*view.header(), valid.info);
}

#[test]
fn frames() {
    let bytes = good();
    assert_eq!(code(&[]), ErrorCode::InvalidRecord);
    assert_eq!(code(&bytes[..60]), ErrorCode::InvalidRecord);
    assert_eq!(code(&bytes[..104]), ErrorCode::InvalidRecord);
    assert_eq!(code(&[&bytes[..], &[0]].concat()), ErrorCode::InvalidRecord);
    assert_eq!(code(&[&bytes[..], &bytes].concat()), ErrorCode::InvalidRecord);
    assert_eq!(
        code(&with(good(), |h| h.batch_length = 48)),
        ErrorCode::CorruptMessage
    );
    assert_eq!(
        code(&with(good(), |h| h.batch_length = -1)),
        ErrorCode::CorruptMessage
    );
    assert_eq!(
        code(&with(good(), |h| h.batch_length = i32::MAX)),
        ErrorCode::InvalidRecord
    );
    for (magic, expected) in [
        (0, ErrorCode::InvalidRecord),
        (1, ErrorCode::InvalidRecord),
        (3, ErrorCode::CorruptMessage),
        (-1, ErrorCode::CorruptMessage),
    ] {
        assert_eq!(code(&with(good(), |h| h.magic = magic)), expected);
    }
    assert_eq!(code(&with(good(), |h| h.crc = 1)), ErrorCode::CorruptMessage);
    let reason = refuse(&with(good(), |h| h.base_offset = 5), &AppendRules::default());
    assert_eq!(reason.code, ErrorCode::InvalidRecord);
    assert!(reason.message.contains("should be 0, but it is 5"));
    for codec in 5..8 {
        assert_eq!(
            code(&with(good(), |h| h.attributes = codec)),
            ErrorCode::UnsupportedCompressionType
        );
    }
}

#[test]
fn the_size_limit_is_exact() {
    let bytes = good();
    let rules = |max_message_bytes| AppendRules {
        max_message_bytes,
        ..AppendRules::default()
    };
    assert!(validate_for_append(&bytes, &rules(bytes.len()), NOW).is_ok());
    assert_eq!(
        refuse(&bytes, &rules(bytes.len() - 1)).code,
        ErrorCode::MessageTooLarge
    );
}

#[test]
fn fields_must_agree() {
    let refused: [(&str, Change); 9] = [
        ("no records", |h| h.record_count = 0),
        ("negative count", |h| h.record_count = -3),
        ("count beyond the delta", |h| h.record_count = 4),
        ("delta beyond the count", |h| h.last_offset_delta = 3),
        ("both wrong together", |h| {
            (h.record_count, h.last_offset_delta) = (i32::MIN, i32::MAX);
        }),
        ("control", |h| h.attributes = 0x20),
        ("producer without a sequence", |h| {
            (h.producer_id, h.producer_epoch) = (1, 0);
        }),
        ("transaction without a producer", |h| h.attributes = 0x10),
        ("fewer records than there are", |h| {
            (h.record_count, h.last_offset_delta) = (2, 1);
        }),
    ];
    for (name, change) in refused {
        assert_eq!(code(&with(good(), change)), ErrorCode::InvalidRecord, "{name}");
    }
    let more = with(good(), |h| {
        (h.record_count, h.last_offset_delta) = (i32::MAX, i32::MAX - 1);
    });
    let reason = refuse(&more, &AppendRules::default());
    assert_eq!(reason.message, "record 3: it reaches beyond the end of the batch");
    assert_eq!(reason.record_errors[0].index, 3);

    let accepted: [Change; 8] = [
        |h| (h.producer_id, h.producer_epoch, h.base_sequence) = (1, 0, 0),
        |h| (h.producer_id, h.producer_epoch, h.base_sequence) = (0, 0, i32::MAX),
        |h| (h.producer_id, h.producer_epoch, h.base_sequence, h.attributes) = (1, 0, 0, 0x10),
        // Some clients leave the sequence 0 without a producer id.
        |h| h.base_sequence = 0,
        // Kafka lets these pass too: only what is certain to be wrong is refused.
        |h| (h.producer_id, h.base_sequence) = (1, 0),
        |h| h.producer_id = -2,
        |h| h.attributes = 0x40,
        |h| h.attributes = i16::from_be_bytes([0xff, 0x80]),
    ];
    for change in accepted {
        assert!(validate_for_append(&with(good(), change), &AppendRules::default(), NOW).is_ok());
    }
}

#[test]
fn record_structure() {
    let length = |body: &[u8]| [&[(body.len() * 2) as u8], body].concat();
    let refused: [(&str, Vec<u8>, &str); 13] = [
        ("no record", vec![], "it reaches beyond the end of the batch"),
        ("cut length", vec![0x80], "it reaches beyond the end of the batch"),
        ("negative length", vec![1], "its length is negative"),
        (
            "length of 2 GiB",
            vec![0xfe, 0xff, 0xff, 0xff, 0x0f, 0],
            "it reaches beyond the end of the batch",
        ),
        (
            "empty",
            length(&[]),
            "a field reaches beyond the end of the record",
        ),
        (
            "no count",
            length(&[0, 0, 0, 1, 1]),
            "a field reaches beyond the end of the record",
        ),
        (
            "key too long",
            length(&[0, 0, 0, 10, 1, 1, 0]),
            "a field reaches beyond the end of the record",
        ),
        ("key of -2", length(&[0, 0, 0, 3, 1, 0]), "a length is below -1"),
        ("value of -2", length(&[0, 0, 0, 1, 3, 0]), "a length is below -1"),
        (
            "-1 headers",
            length(&[0, 0, 0, 1, 1, 1]),
            "the number of headers is negative",
        ),
        (
            "too many headers",
            length(&[0, 0, 0, 1, 1, 4, 0, 0]),
            "a field reaches beyond the end of the record",
        ),
        (
            "null header key",
            length(&[0, 0, 0, 1, 1, 2, 1, 0]),
            "a header key has a negative length",
        ),
        (
            "left over",
            length(&[0, 0, 0, 1, 1, 0, 0]),
            "bytes are left over after the last field",
        ),
    ];
    for (name, body, reason) in refused {
        let rejection = refuse(&with_body(&body), &AppendRules::default());
        assert_eq!(rejection.code, ErrorCode::InvalidRecord, "{name}");
        assert_eq!(rejection.message, format!("record 0: {reason}"), "{name}");
        assert_eq!(rejection.record_errors.len(), 1, "{name}");
    }
    let after = refuse(&with_body(&[12, 0, 0, 0, 1, 1, 0, 0]), &AppendRules::default());
    assert_eq!(
        after.message,
        "bytes are left over after the 1 records that the header counts"
    );
    let smallest = with_body(&length(&[0, 0, 0, 1, 1, 0]));
    assert!(validate_for_append(&smallest, &AppendRules::default(), NOW).is_ok());
}

#[test]
fn offset_deltas_are_consecutive() {
    for delta in [1_i64, -1, i64::from(i32::MAX), i64::from(i32::MIN)] {
        let mut record = vec![0, 0];
        write_varlong(&mut record, delta);
        record.extend([1, 1, 0]);
        let mut body = Vec::new();
        write_varlong(&mut body, record.len() as i64);
        body.extend(record);
        let rejection = refuse(&with_body(&body), &AppendRules::default());
        assert_eq!(
            rejection.message,
            format!("record 0: offset delta {delta} instead of 0")
        );
    }
}

fn batch_of(records: &[(i64, Option<&[u8]>)]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    for (timestamp, key) in records {
        builder.append(*timestamp, *key, Some(b"v"), []).unwrap();
    }
    builder.build().unwrap()
}

#[test]
fn compacted_topics_need_keys() {
    let rules = AppendRules {
        require_keys: true,
        ..AppendRules::default()
    };
    let batch = batch_of(&[(1, Some(b"a")), (2, None), (3, Some(b"")), (4, None)]);
    let rejection = refuse(&batch, &rules);
    assert_eq!(rejection.code, ErrorCode::InvalidRecord);
    let at: Vec<_> = rejection.record_errors.iter().map(|error| error.index).collect();
    assert_eq!(at, [1, 3]);
    assert!(
        rejection.record_errors[0]
            .message
            .as_ref()
            .unwrap()
            .contains("without key")
    );
    assert!(validate_for_append(&batch_of(&[(1, Some(b""))]), &rules, NOW).is_ok());
}

#[test]
fn record_errors_are_bounded() {
    let rules = AppendRules {
        require_keys: true,
        ..AppendRules::default()
    };
    let rejection = refuse(&batch_of(&vec![(1, None); 5000]), &rules);
    assert_eq!(rejection.record_errors.len(), Rejection::MAX_RECORD_ERRORS);
}

#[test]
fn timestamps_lie_inside_the_window() {
    let rules = AppendRules {
        timestamp_before_max_ms: 1000,
        timestamp_after_max_ms: 500,
        ..AppendRules::default()
    };
    let inside = batch_of(&[(NOW - 1000, None), (NOW + 500, None), (-1, None)]);
    assert!(validate_for_append(&inside, &rules, NOW).is_ok());
    let outside = batch_of(&[
        (NOW, None),
        (NOW - 1001, None),
        (NOW + 501, None),
        (i64::MIN, None),
        (i64::MAX, None),
    ]);
    let rejection = refuse(&outside, &rules);
    assert_eq!(rejection.code, ErrorCode::InvalidTimestamp);
    let at: Vec<_> = rejection.record_errors.iter().map(|error| error.index).collect();
    assert_eq!(at, [1, 2, 3, 4]);

    // Neither for the broker's own records nor when the broker's clock counts.
    let coordinator = AppendRules {
        origin: AppendOrigin::Coordinator,
        ..rules.clone()
    };
    assert!(validate_for_append(&outside, &coordinator, NOW).is_ok());
    let append_time = AppendRules {
        timestamp_type: TimestampType::LogAppendTime,
        ..rules.clone()
    };
    assert!(validate_for_append(&outside, &append_time, NOW).is_ok());

    // Both faults at once: the timestamp gives the code.
    let keys = AppendRules {
        require_keys: true,
        ..rules
    };
    let both = refuse(&batch_of(&[(NOW, None), (0, Some(b"k"))]), &keys);
    assert_eq!(
        (both.code, both.record_errors.len()),
        (ErrorCode::InvalidTimestamp, 2)
    );
}

#[test]
fn a_wrong_max_timestamp_is_repaired() {
    for lie in [i64::MIN, -1, 0, 1_700_000_000_003, i64::MAX] {
        let bytes = with(good(), |h| h.max_timestamp = lie);
        let valid = validate_for_append(&bytes, &AppendRules::default(), NOW).unwrap();
        assert_eq!([&valid.header[..], &valid.body].concat(), good());
        assert_eq!(valid.max_timestamp, 1_700_000_000_005);
    }
    let none = batch_of(&[(-1, None), (-1, None)]);
    let valid = validate_for_append(&none, &AppendRules::default(), NOW).unwrap();
    assert_eq!(
        (valid.max_timestamp, valid.offset_delta_of_max_timestamp),
        (-1, 0)
    );
}

#[test]
fn the_bit_of_another_topics_append_time_is_cleared() {
    let copied = |max_timestamp| {
        with(good(), |h| {
            h.attributes = 8;
            h.max_timestamp = max_timestamp;
        })
    };
    for max_timestamp in [1_700_000_000_005, NOW] {
        let bytes = copied(max_timestamp);
        let valid = validate_for_append(&bytes, &AppendRules::default(), NOW).unwrap();
        assert_eq!([&valid.header[..], &valid.body].concat(), good());
        assert_eq!(
            (valid.log_append_time, valid.max_timestamp),
            (-1, 1_700_000_000_005)
        );
    }
    assert_eq!(code(&copied(-1)), ErrorCode::InvalidTimestamp);
    let append_time = AppendRules {
        timestamp_type: TimestampType::LogAppendTime,
        ..AppendRules::default()
    };
    assert_eq!(
        refuse(&copied(NOW), &append_time).code,
        ErrorCode::InvalidTimestamp
    );
}

#[test]
fn append_time_changes_the_header_only() {
    let rules = AppendRules {
        timestamp_type: TimestampType::LogAppendTime,
        ..AppendRules::default()
    };
    let bytes = good();
    let valid = validate_for_append(&bytes, &rules, NOW).unwrap();
    assert_eq!((valid.log_append_time, valid.max_timestamp), (NOW, NOW));
    assert_eq!(valid.body, &bytes[HEADER_SIZE..]);
    let stored = [&valid.header[..], &valid.body].concat();
    let view = BatchView::first(&stored).unwrap();
    assert!(view.crc_is_valid());
    assert_eq!(view.header().timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(view.header().max_timestamp, NOW);
    assert_eq!(*view.header(), valid.info);
}

#[test]
fn the_coordinator_writes_markers() {
    let marker = ControlMarker {
        kind: ControlKind::Commit,
        coordinator_epoch: 1,
    };
    let batch = marker.to_batch(5, 9, 0).unwrap();
    assert_eq!(code(&batch), ErrorCode::InvalidRecord);
    let rules = AppendRules {
        origin: AppendOrigin::Coordinator,
        max_message_bytes: 1,
        require_keys: true,
        ..AppendRules::default()
    };
    assert!(
        validate_for_append(&batch, &rules, NOW)
            .unwrap()
            .info
            .is_control()
    );
    assert_eq!(refuse(&good(), &rules).code, ErrorCode::MessageTooLarge);
}

#[test]
fn a_follower_stores_what_the_leader_stored() {
    let mut bytes = with(good(), |h| (h.record_count, h.last_offset_delta) = (1, 9));
    stamp_base_offset(&mut bytes, 1000);
    let rules = AppendRules {
        origin: AppendOrigin::Replication,
        max_message_bytes: 1,
        ..AppendRules::default()
    };
    let valid = validate_for_append(&bytes, &rules, NOW).unwrap();
    assert_eq!([&valid.header[..], &valid.body].concat(), bytes);
    assert_eq!(valid.info.last_offset(), 1009);
    assert_eq!(
        refuse(&with(good(), |h| h.crc = 1), &rules).code,
        ErrorCode::CorruptMessage
    );
}
