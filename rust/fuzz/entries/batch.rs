//! Batches: the leader's checks, the record reader, and building again what was read.

use fastlog_core::batch::{
    AppendOrigin, AppendRules, BatchBuilder, BatchView, CompressionPolicy, ControlKind, ControlMarker,
    Records, TimestampType, batches, control_marker, crc32c, validate_for_append,
};
use fastlog_core::compression::{Codec, DecompressionLimit};

const NOW: i64 = 1_700_000_000_000;
const LIMIT: DecompressionLimit = DecompressionLimit {
    bytes: 1 << 20,
    zstd_window_log: 23,
};
const AT_CRC: usize = 17;
const AT_ATTRIBUTES: usize = 21;

/// The first byte chooses the rules, the rest is a batch. Since no mutation would ever hit on the right CRC,
/// the batch is tried as it is and with its CRC put right.
pub fn run(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let rules = rules(*choice);
    check(bytes, &rules);
    let mut bytes = bytes.to_vec();
    if bytes.len() >= AT_ATTRIBUTES {
        let crc = crc32c(&bytes[AT_ATTRIBUTES..]);
        bytes[AT_CRC..AT_ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
        check(&bytes, &rules);
    }
    for view in batches(&bytes).flatten() {
        read(&view);
    }
}

fn rules(choice: u8) -> AppendRules {
    let bit = |n: u8| choice >> n & 1 == 1;
    AppendRules {
        // Small, so that the limit of decompressed bytes is its least one and no input takes long.
        max_message_bytes: 4096,
        timestamp_type: if bit(0) {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        },
        timestamp_before_max_ms: if bit(1) { 1000 } else { i64::MAX },
        timestamp_after_max_ms: i64::MAX,
        require_keys: bit(2),
        compression: if bit(3) {
            CompressionPolicy::Codec(Codec::ALL[usize::from(choice >> 4) % Codec::ALL.len()], None)
        } else {
            CompressionPolicy::Producer
        },
        zstd_allowed: !bit(4),
        origin: match choice >> 5 {
            0..5 => AppendOrigin::Client,
            5 | 6 => AppendOrigin::Coordinator,
            _ => AppendOrigin::Replication,
        },
    }
}

/// What passes the checks must be a batch that nobody has to repair again.
fn check(bytes: &[u8], rules: &AppendRules) {
    let Ok(mut valid) = validate_for_append(bytes, rules, NOW) else {
        return;
    };
    valid.stamp(1 << 40, 3);
    let stored = [&valid.header[..], &valid.body].concat();
    let view = BatchView::first(&stored).expect("what passes is a batch");
    assert_eq!(view.bytes().len(), stored.len());
    assert_eq!(*view.header(), valid.info);
    assert!(view.crc_is_valid());
    if rules.origin != AppendOrigin::Replication {
        assert!(stored.len() <= rules.max_message_bytes);
        let records = Records::decode(&view, DecompressionLimit::for_topic(rules.max_message_bytes))
            .expect("what passes can be decompressed");
        let mut count = 0;
        for record in &records {
            let record = record.expect("what passes has good records");
            assert_eq!(record.offset, (1 << 40) + count);
            assert!(record.timestamp <= valid.max_timestamp);
            assert!(record.key.is_some() || !rules.require_keys || valid.info.is_control());
            count += 1;
        }
        assert_eq!(count, i64::from(valid.info.record_count));
    }
    let again = AppendRules {
        origin: AppendOrigin::Replication,
        ..rules.clone()
    };
    assert!(validate_for_append(&stored, &again, NOW).is_ok());
}

/// Records that can be read can be written, and come back the same.
fn read(view: &BatchView<'_>) {
    let header = view.header();
    let _ = (header.last_offset(), header.next_offset(), header.last_sequence());
    let Ok(records) = Records::decode(view, LIMIT) else {
        return;
    };
    let mut builder = BatchBuilder::new(header.codec().expect("it was decoded"));
    let mut originals = Vec::new();
    for record in records.iter().map_while(Result::ok) {
        let _ = control_marker(record.key, record.value);
        builder
            .append(record.timestamp, record.key, record.value, record.headers.clone())
            .expect("it came out of a batch");
        originals.push(record);
    }
    let bytes = builder.build().expect("it came out of a batch");
    let view = BatchView::first(&bytes).expect("a built batch");
    assert!(view.crc_is_valid());
    let copies = Records::decode(&view, DecompressionLimit::default()).expect("a built batch");
    assert_eq!(copies.iter().count(), originals.len());
    for (copy, original) in copies.iter().zip(&originals) {
        let copy = copy.expect("a built batch");
        assert_eq!(
            (copy.timestamp, copy.key, copy.value),
            (original.timestamp, original.key, original.value)
        );
        assert!(copy.headers.eq(original.headers.clone()));
    }
}

/// Inputs to start from.
#[allow(dead_code)] // the short run starts from them, libFuzzer from its corpus
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for codec in Codec::ALL {
        let mut builder = BatchBuilder::new(codec).producer(7, 1, 0);
        for i in 0..5 {
            let headers: [(&[u8], Option<&[u8]>); 2] = [(b"h", Some(b"1")), (b"null", None)];
            builder
                .append(NOW + i, Some(b"key"), Some(b"a value, a value, a value"), headers)
                .expect("small");
        }
        builder.append(NOW, None, None, []).expect("small");
        let batch = builder.build().expect("small");
        seeds.extend([0x00, 0x01, 0x08, 0x18, 0x28, 0xe0].map(|choice| [&[choice], &batch[..]].concat()));
    }
    let marker = ControlMarker {
        kind: ControlKind::Commit,
        coordinator_epoch: 5,
    };
    seeds.push([&[0xa0], &marker.to_batch(NOW, 7, 1).expect("small")[..]].concat());
    seeds
}
