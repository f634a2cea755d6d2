use super::vectors;
use crate::batch::{
    BatchHeader, BatchView, HEADER_SIZE, TimestampType, batches, stamp_base_offset, stamp_leader_epoch,
    stamp_log_append_time,
};
use crate::compression::Codec;
use crate::error::Error;

const BASE: i64 = 1_700_000_000_000;

#[test]
fn a_batch_of_kafka_python_reads_as_it_was_written() {
    let bytes = vectors::bytes(vectors::PLAIN_THREE);
    let view = BatchView::first(&bytes).unwrap();
    let header = view.header();
    assert_eq!(
        *header,
        BatchHeader {
            base_offset: 0,
            batch_length: 0x5d,
            partition_leader_epoch: 0,
            magic: 2,
            crc: 0x9891_58c6,
            attributes: 0,
            last_offset_delta: 2,
            base_timestamp: BASE,
            max_timestamp: BASE + 5,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 3,
        }
    );
    assert!(view.crc_is_valid());
    assert_eq!(header.size(), bytes.len());
    assert_eq!(view.bytes(), bytes);
    assert_eq!(view.body(), &bytes[HEADER_SIZE..]);
    assert_eq!(
        (header.last_offset(), header.next_offset(), header.last_sequence()),
        (2, 3, -1)
    );
    assert_eq!(header.codec().unwrap(), Codec::None);
    assert_eq!(header.timestamp_type(), TimestampType::CreateTime);
    assert!(!header.is_transactional() && !header.is_control() && !header.has_delete_horizon());
    assert!(!header.has_producer());

    let mut written = [0; HEADER_SIZE];
    header.write_to(&mut written);
    assert_eq!(written, bytes[..HEADER_SIZE]);
}

fn header() -> BatchHeader {
    BatchHeader::parse(&vectors::bytes(vectors::PLAIN_THREE)).unwrap()
}

#[test]
fn flags() {
    let with = |attributes| BatchHeader {
        attributes,
        ..header()
    };
    for codec in Codec::ALL {
        assert_eq!(with(i16::from(codec.id())).codec().unwrap(), codec);
    }
    for id in 5..8 {
        assert!(with(id).codec().is_err());
    }
    assert_eq!(with(8).timestamp_type(), TimestampType::LogAppendTime);
    assert!(with(16).is_transactional());
    assert!(with(32).is_control());
    assert!(with(64).has_delete_horizon());
    assert!(
        BatchHeader {
            producer_id: 0,
            ..header()
        }
        .has_producer()
    );
}

#[test]
fn sequences_wrap_to_zero() {
    let last = |base_sequence, last_offset_delta| {
        BatchHeader {
            last_offset_delta,
            base_sequence,
            ..header()
        }
        .last_sequence()
    };
    assert_eq!(last(10, 4), 14);
    assert_eq!(last(i32::MAX - 1, 1), i32::MAX);
    assert_eq!(last(i32::MAX, 1), 0);
    assert_eq!(last(i32::MAX - 1, 5), 3);
    assert_eq!(last(i32::MAX, i32::MAX), i32::MAX - 1);
    assert_eq!(last(-1, 4), -1);
}

#[test]
fn impossible_numbers_saturate() {
    let header = BatchHeader {
        base_offset: i64::MAX,
        batch_length: i32::MIN,
        ..header()
    };
    assert_eq!((header.last_offset(), header.next_offset()), (i64::MAX, i64::MAX));
    assert_eq!(header.size(), 12);
}

#[test]
fn a_view_needs_length_magic_and_all_bytes() {
    let good = vectors::bytes(vectors::PLAIN_THREE);
    let reason = |bytes: &[u8]| match BatchView::first(bytes) {
        Err(Error::Malformed(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason(&[]).contains("61 bytes"));
    assert!(reason(&good[..60]).contains("61 bytes"));
    assert!(reason(&good[..good.len() - 1]).contains("only 104 are there"));
    for length in [i32::MIN, -1, 0, 48] {
        let mut bytes = good.clone();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        assert!(reason(&bytes).contains("below 49"), "{length}");
    }
    for magic in [0_u8, 1, 3, 0xff] {
        let mut bytes = good.clone();
        bytes[16] = magic;
        assert!(reason(&bytes).contains("instead of 2"));
    }
    let mut bytes = good;
    bytes[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(reason(&bytes).contains("2147483659 bytes"));
}

#[test]
fn batches_end_with_the_first_bad_one() {
    let one = vectors::bytes(vectors::PLAIN_THREE);
    assert_eq!(batches(&[]).count(), 0);
    let two = [one.clone(), one.clone()].concat();
    assert!(batches(&two).all(|view| view.unwrap().bytes() == one));
    assert_eq!(batches(&two).count(), 2);
    let cut = &two[..two.len() - 1];
    let all: Vec<_> = batches(cut).collect();
    assert_eq!(all.len(), 2);
    assert!(all[0].is_ok() && all[1].is_err());
}

#[test]
fn offset_and_epoch_lie_outside_the_crc() {
    let mut bytes = vectors::bytes(vectors::PLAIN_THREE);
    stamp_base_offset(&mut bytes, 1 << 40);
    stamp_leader_epoch(&mut bytes, 77);
    let view = BatchView::first(&bytes).unwrap();
    assert!(view.crc_is_valid());
    assert_eq!(
        *view.header(),
        BatchHeader {
            base_offset: 1 << 40,
            partition_leader_epoch: 77,
            ..header()
        }
    );
}

#[test]
fn append_time_redoes_the_crc() {
    let mut bytes = vectors::bytes(vectors::PLAIN_THREE);
    stamp_log_append_time(&mut bytes, 42);
    let view = BatchView::first(&bytes).unwrap();
    assert!(view.crc_is_valid());
    assert_eq!(view.header().timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(view.header().max_timestamp, 42);
    assert_eq!(view.body(), &vectors::bytes(vectors::PLAIN_THREE)[HEADER_SIZE..]);
}

#[test]
fn one_flipped_bit_breaks_the_crc() {
    let bytes = vectors::bytes(vectors::PLAIN_THREE);
    for at in 21..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 1;
        assert!(!BatchView::first(&broken).unwrap().crc_is_valid(), "byte {at}");
    }
}
