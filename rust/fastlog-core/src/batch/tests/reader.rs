//! Builder and reader, against each other and against kafka-python's bytes.

use proptest::prelude::*;

use super::vectors;
use crate::batch::{
    BatchBuilder, BatchView, ControlKind, ControlMarker, RecordRef, TimestampType, control_marker,
    read_records,
};
use crate::compression::{Codec, DecompressionLimit};
use crate::error::Error;

const BASE: i64 = 1_700_000_000_000;

type Header = (Vec<u8>, Option<Vec<u8>>);

/// A record with everything owned, to compare.
#[derive(Debug, Clone, PartialEq)]
struct Owned {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
}

impl From<RecordRef<'_>> for Owned {
    fn from(record: RecordRef<'_>) -> Self {
        Self {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record
                .headers
                .map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)))
                .collect(),
        }
    }
}

fn read(batch: &[u8]) -> Vec<Owned> {
    let records = read_records(batch, DecompressionLimit::default()).unwrap();
    records.iter().map(|record| record.unwrap().into()).collect()
}

fn append(builder: &mut BatchBuilder, record: &Owned) {
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|(k, v)| (k.as_slice(), v.as_deref()))
        .collect();
    builder
        .append(
            record.timestamp,
            record.key.as_deref(),
            record.value.as_deref(),
            headers,
        )
        .unwrap();
}

#[test]
fn reads_what_kafka_python_wrote() {
    let some = |bytes: &[u8]| Some(bytes.to_vec());
    let record = |offset, timestamp, key, value, headers| Owned {
        offset,
        timestamp,
        key,
        value,
        headers,
    };
    let expected = [
        record(
            0,
            BASE,
            some(b"key"),
            some(b"value"),
            vec![(b"h".to_vec(), some(b"1")), (b"n".to_vec(), None)],
        ),
        record(1, BASE + 5, None, some(b"second"), vec![]),
        record(2, BASE + 3, some(b"k3"), None, vec![]),
    ];
    assert_eq!(read(&vectors::bytes(vectors::PLAIN_THREE)), expected);
}

#[test]
fn writes_what_kafka_python_wrote() {
    let mut builder = BatchBuilder::new(Codec::None).leader_epoch(0);
    for record in read(&vectors::bytes(vectors::PLAIN_THREE)) {
        append(&mut builder, &record);
    }
    assert_eq!(builder.record_count(), 3);
    assert_eq!(builder.uncompressed_size(), 105);
    assert_eq!(builder.build().unwrap(), vectors::bytes(vectors::PLAIN_THREE));
}

#[test]
fn reads_every_codec_of_kafka_python() {
    for (codec, hex) in vectors::COMPRESSED {
        let bytes = vectors::bytes(hex);
        let view = BatchView::first(&bytes).unwrap();
        assert!(view.crc_is_valid());
        assert_eq!(view.header().codec().unwrap(), codec);
        assert!(view.header().is_transactional());
        let records = read(&bytes);
        assert_eq!(records.len(), 8);
        for (i, record) in (0..).zip(&records) {
            assert_eq!((record.offset, record.timestamp), (i, BASE + i));
            assert_eq!(record.key, Some(format!("key{}", i % 3).into_bytes()));
            assert_eq!(
                record.value,
                Some(format!("value value value value {i}").into_bytes())
            );
            assert_eq!(record.headers.len(), usize::from(i == 4));
        }
    }
}

#[test]
fn the_append_time_counts_for_all_records() {
    let mut builder = BatchBuilder::new(Codec::None).base_offset(10).log_append_time(99);
    builder.append(5, None, None, []).unwrap();
    builder.append(7, None, Some(b"x"), []).unwrap();
    let batch = builder.build().unwrap();
    assert_eq!(
        BatchView::first(&batch).unwrap().header().timestamp_type(),
        TimestampType::LogAppendTime
    );
    let stamps: Vec<_> = read(&batch)
        .into_iter()
        .map(|r| (r.offset, r.timestamp))
        .collect();
    assert_eq!(stamps, [(10, 99), (11, 99)]);
}

#[test]
fn the_header_says_what_was_asked_for() {
    let mut builder = BatchBuilder::new(Codec::Zstd)
        .level(Some(7))
        .base_offset(40)
        .leader_epoch(5)
        .producer(9, 2, 100)
        .transactional();
    builder.append(3, None, None, []).unwrap();
    builder.append(1, None, None, []).unwrap();
    let batch = builder.build().unwrap();
    let header = *BatchView::first(&batch).unwrap().header();
    assert_eq!(
        (
            header.base_offset,
            header.partition_leader_epoch,
            header.last_offset()
        ),
        (40, 5, 41)
    );
    assert_eq!(
        (header.producer_id, header.producer_epoch, header.base_sequence),
        (9, 2, 100)
    );
    assert_eq!(
        (header.base_timestamp, header.max_timestamp, header.record_count),
        (3, 3, 2)
    );
    assert!(header.is_transactional() && !header.is_control());
}

#[test]
fn an_empty_batch_reads_as_empty() {
    let batch = BatchBuilder::default().build().unwrap();
    let header = *BatchView::first(&batch).unwrap().header();
    assert_eq!(
        (
            header.record_count,
            header.last_offset_delta,
            header.max_timestamp
        ),
        (0, -1, -1)
    );
    assert_eq!(read(&batch), []);
}

#[test]
fn a_damaged_record_ends_the_batch_with_an_error() {
    let good = vectors::bytes(vectors::PLAIN_THREE);
    let errors = |bytes: &[u8]| {
        let records = read_records(bytes, DecompressionLimit::default()).unwrap();
        let all: Vec<_> = records.iter().map(|record| record.map(|r| r.offset)).collect();
        let (last, before) = all.split_last().unwrap();
        assert!(before.iter().all(Result::is_ok));
        match last {
            Err(Error::Malformed(reason)) => (before.len(), reason.clone()),
            other => panic!("{other:?}"),
        }
    };
    let mut more = good.clone();
    more[60] = 4;
    assert_eq!(
        errors(&more),
        (
            3,
            "record 3 of the batch at offset 0: it reaches beyond the end of the batch".into()
        )
    );
    let mut fewer = good.clone();
    fewer[60] = 2;
    assert_eq!(
        errors(&fewer),
        (
            2,
            "record 2 of the batch at offset 0: bytes are left over after the last record".into()
        )
    );
    let mut long = good;
    long[61] = 0x2c;
    assert_eq!(errors(&long).0, 0);
}

#[test]
fn markers() {
    for (kind, byte) in [(ControlKind::Abort, 0), (ControlKind::Commit, 1)] {
        let marker = ControlMarker {
            kind,
            coordinator_epoch: 77,
        };
        let batch = marker.to_batch(5, 4000, 3).unwrap();
        let header = *BatchView::first(&batch).unwrap().header();
        assert!(header.is_control() && header.is_transactional());
        assert_eq!(
            (header.producer_id, header.producer_epoch, header.base_sequence),
            (4000, 3, -1)
        );
        let record = read(&batch).remove(0);
        assert_eq!(record.key.as_deref(), Some(&[0, 0, 0, byte][..]));
        assert_eq!(record.value.as_deref(), Some(&[0, 0, 0, 0, 0, 77][..]));
        assert_eq!(
            control_marker(record.key.as_deref(), record.value.as_deref()),
            Some(marker)
        );
    }
    let value = Some(&[0, 0, 0, 0, 0, 1][..]);
    for key in [
        None,
        Some(&[][..]),
        Some(&[0, 0, 0]),
        Some(&[0, 0, 0, 2]),
        Some(&[0xff, 0xff, 0, 1]),
    ] {
        assert_eq!(control_marker(key, value), None, "{key:?}");
    }
    let key = Some(&[0, 0, 0, 1][..]);
    for value in [
        None,
        Some(&[][..]),
        Some(&[0, 0, 0, 0, 0]),
        Some(&[0x80, 0, 0, 0, 0, 1]),
    ] {
        assert_eq!(control_marker(key, value), None, "{value:?}");
    }
    // A later version may say more.
    let newer = control_marker(Some(&[0, 1, 0, 1, 9, 9]), Some(&[0, 1, 0, 0, 0, 1, 9]));
    assert_eq!(
        newer,
        Some(ControlMarker {
            kind: ControlKind::Commit,
            coordinator_epoch: 1
        })
    );
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..most)
}

fn records() -> impl Strategy<Value = Vec<Owned>> {
    let header = (bytes(20), proptest::option::of(bytes(40)));
    let one = (
        prop_oneof![Just(-1), BASE..BASE + 100_000, any::<i64>()],
        proptest::option::of(bytes(100)),
        proptest::option::of(bytes(3000)),
        proptest::collection::vec(header, 0..4),
    );
    proptest::collection::vec(one, 1..40).prop_map(|all| {
        (0..)
            .zip(all)
            .map(|(offset, (timestamp, key, value, headers))| Owned {
                offset,
                timestamp,
                key,
                value,
                headers,
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trip(records in records(), codec in proptest::sample::select(&Codec::ALL[..])) {
        let mut builder = BatchBuilder::new(codec);
        for record in &records {
            append(&mut builder, record);
        }
        let expected_size = builder.uncompressed_size();
        let batch = builder.build().unwrap();
        if codec == Codec::None {
            prop_assert_eq!(batch.len(), expected_size);
        }
        let view = BatchView::first(&batch).unwrap();
        prop_assert!(view.crc_is_valid());
        prop_assert_eq!(view.bytes().len(), batch.len());
        prop_assert_eq!(view.header().max_timestamp, records.iter().map(|r| r.timestamp).max().unwrap().max(-1));
        prop_assert_eq!(read(&batch), records);
    }
}
