//! Records with keys, transactions, and what a consumer makes of them.

use std::collections::BTreeMap;

use fastlog_core::batch::{AppendOrigin, BatchBuilder, ControlKind, ControlMarker, batches, control_marker};
use fastlog_core::batch::{BatchHeader, read_records};
use fastlog_core::compression::DecompressionLimit;
use fastlog_core::log::{AppendInfo, AppendOptions, PartitionLog};
use fastlog_core::{Codec, CompactionOptions};

/// One record as it is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rec {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// One batch as it is in the log.
#[derive(Debug, Clone)]
pub struct Stored {
    pub header: BatchHeader,
    pub records: Vec<Rec>,
    pub marker: Option<ControlKind>,
}

/// Key and value.
pub type Pair<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    pub id: i64,
    pub transactional: bool,
}

/// Appends a batch of key-value pairs; a producer goes on where the log says that it is.
pub fn put(
    log: &PartitionLog,
    codec: Codec,
    producer: Option<Producer>,
    timestamp: i64,
    records: &[Pair<'_>],
) -> AppendInfo {
    let mut builder = BatchBuilder::new(codec);
    if let Some(producer) = producer {
        let known = log.active_producers();
        let last = known
            .iter()
            .find(|known| known.producer_id == producer.id)
            .map_or(-1, |known| known.last_sequence);
        builder = builder.producer(producer.id, 0, last + 1);
        if producer.transactional {
            builder = builder.transactional();
        }
    }
    for (index, (key, value)) in records.iter().enumerate() {
        let header: &[(&[u8], Option<&[u8]>)] = &[(b"h", Some(b"x"))];
        builder
            .append(
                timestamp + index as i64,
                *key,
                *value,
                header[..index % 2].iter().copied(),
            )
            .unwrap();
    }
    let info = log
        .append(&builder.build().unwrap(), 0, AppendOptions::default())
        .unwrap();
    assert!(!info.duplicate);
    info
}

/// Ends the transaction of a producer; returns the offset of the marker.
pub fn end(log: &PartitionLog, id: i64, kind: ControlKind, timestamp: i64) -> i64 {
    let marker = ControlMarker {
        kind,
        coordinator_epoch: 0,
    };
    let options = AppendOptions {
        zstd_allowed: true,
        origin: AppendOrigin::Coordinator,
        ..AppendOptions::default()
    };
    let bytes = marker.to_batch(timestamp, id, 0).unwrap();
    log.append(&bytes, 0, options).unwrap().first_offset
}

/// All batches from the log start on, read piece by piece as a consumer does.
pub fn stored(log: &PartitionLog) -> Vec<Stored> {
    let mut found = Vec::new();
    let mut offset = log.log_start_offset();
    while offset < log.log_end_offset() {
        let slice = log.read(offset, 400, i64::MAX, true).unwrap();
        if slice.len == 0 {
            break;
        }
        let mut bytes = vec![0; slice.len];
        slice.read_into(&mut bytes).unwrap();
        for view in batches(&bytes) {
            let Ok(view) = view else { break };
            assert!(view.crc_is_valid(), "at {offset}");
            let header = *view.header();
            let records = read_records(view.bytes(), DecompressionLimit::for_topic(1 << 20)).unwrap();
            let mut stored = Stored {
                header,
                records: Vec::new(),
                marker: None,
            };
            for record in &records {
                let record = record.unwrap();
                if header.is_control() {
                    stored.marker = control_marker(record.key, record.value).map(|marker| marker.kind);
                } else {
                    stored.records.push(Rec {
                        offset: record.offset,
                        timestamp: record.timestamp,
                        key: record.key.map(<[u8]>::to_vec),
                        value: record.value.map(<[u8]>::to_vec),
                    });
                }
            }
            if header.last_offset() >= offset {
                offset = header.next_offset();
                found.push(stored);
            }
        }
    }
    found
}

/// The records that a `read_committed` consumer hands out, aborted ones left out by the transaction index.
pub fn committed(log: &PartitionLog) -> Vec<Rec> {
    let start = log.log_start_offset();
    let stable = log.last_stable_offset(log.log_end_offset());
    let mut to_come = log.aborted_transactions(start, stable);
    to_come.sort_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
    let mut aborted: Vec<i64> = Vec::new();
    let mut records = Vec::new();
    for batch in stored(log) {
        let header = &batch.header;
        if header.next_offset() > stable {
            break;
        }
        while let Some(begun) = to_come.pop_if(|one| one.first_offset <= header.last_offset()) {
            aborted.push(begun.producer_id);
        }
        if header.is_control() {
            if batch.marker == Some(ControlKind::Abort) {
                aborted.retain(|id| *id != header.producer_id);
            }
        } else if !(header.is_transactional() && aborted.contains(&header.producer_id)) {
            records.extend(batch.records.into_iter().filter(|record| record.offset >= start));
        }
    }
    records
}

/// What the records say last about each key; tombstones take keys away.
pub fn table<'r>(records: impl IntoIterator<Item = &'r Rec>) -> BTreeMap<Vec<u8>, (i64, Vec<u8>)> {
    let mut table = BTreeMap::new();
    for record in records {
        let key = record.key.clone().expect("a key");
        match &record.value {
            Some(value) => table.insert(key, (record.offset, value.clone())),
            None => table.remove(&key),
        };
    }
    table
}

/// Compaction of everything, at a time.
pub fn everything(log: &PartitionLog, clean_from: i64, now_ms: i64) -> CompactionOptions {
    CompactionOptions {
        clean_from,
        max_offset: log.log_end_offset(),
        now_ms,
        delete_retention_ms: 1000,
        ..CompactionOptions::default()
    }
}
