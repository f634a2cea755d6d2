//! Compaction of logs on a real disk: what stays, what the files look like, what may happen meanwhile.

mod common;

use common::{Dir, NOW_MS, read_all};
use fastlog_core::batch::BatchBuilder;
use fastlog_core::log::{AppendOptions, LogConfig, OpenOptions, PartitionLog};
use fastlog_core::{Codec, CompactionOptions};

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 2000,
        index_interval_bytes: 200,
        compact: true,
        ..LogConfig::default()
    }
}

fn put(log: &PartitionLog, codec: Codec, records: &[(&str, Option<&str>)]) {
    let mut builder = BatchBuilder::new(codec);
    for (key, value) in records {
        builder
            .append(NOW_MS, Some(key.as_bytes()), value.map(str::as_bytes), [])
            .unwrap();
    }
    log.append(&builder.build().unwrap(), 0, AppendOptions::default())
        .unwrap();
}

#[test]
fn the_last_value_of_each_key_stays() {
    let dir = Dir::new();
    let (log, _) = dir.open(&config(), OpenOptions::default());
    for round in 0..100 {
        let values: Vec<(String, String)> = (0..5)
            .map(|key| {
                (
                    format!("key-{}", (round + key) % 20),
                    format!("value-{round}-{key}"),
                )
            })
            .collect();
        let records: Vec<(&str, Option<&str>)> = values
            .iter()
            .map(|(key, value)| (key.as_str(), Some(value.as_str())))
            .collect();
        put(&log, Codec::ALL[round % 5], &records);
    }
    log.roll().unwrap();
    let before = read_all(&log, 0, 1000);
    assert_eq!(before.len(), 500);
    let options = CompactionOptions {
        max_offset: 500,
        now_ms: NOW_MS,
        ..CompactionOptions::default()
    };
    let report = log.compact(&options).unwrap();
    assert_eq!((report.cleaned_to, report.map_full), (500, false));
    assert_eq!(
        (report.records_read, report.records_kept, report.map_records),
        (500, 20, 20)
    );
    let after = read_all(&log, 0, 1000);
    let last_of_key = |record: &&(i64, Vec<u8>)| before[before.len() - 100..].contains(record);
    assert_eq!(after.len(), 20);
    assert!(after.iter().all(|record| last_of_key(&record)));
}
