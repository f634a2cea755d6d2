//! Compaction: the map of keys and the rewriting of batches in memory, and a whole log on the disk.
//!
//! Throughput is in bytes of batches as they are stored. `FASTLOG_BENCH_RECORDS` changes the size of the log on
//! the disk (default 500,000 records over a tenth as many keys).

#![allow(missing_docs)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fastlog_core::batch::{BatchBuilder, BatchView, batches, stamp_base_offset};
use fastlog_core::compaction::{Kept, MapBuilder, OffsetMap, Rewriter, Rules, Transactions};
use fastlog_core::compression::DecompressionLimit;
use fastlog_core::env::StdFs;
use fastlog_core::log::{AppendOptions, LogConfig, OpenOptions, PartitionLog};
use fastlog_core::{Codec, CompactionOptions, SystemClock};

const RECORDS_PER_BATCH: u64 = 100;

/// A number that looks random.
fn scrambled(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 11
}

fn one_batch(codec: Codec, base: u64, keys: u64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec).base_offset(base as i64);
    for offset in base..base + RECORDS_PER_BATCH {
        let key = format!("customer-{:012}", scrambled(offset) % keys);
        let value = format!("{{\"balance\":{:>60},\"version\":{offset}}}", scrambled(!offset));
        builder
            .append(
                1_700_000_000_000 + offset as i64,
                Some(key.as_bytes()),
                Some(value.as_bytes()),
                [],
            )
            .unwrap();
    }
    builder.build().unwrap()
}

fn many(codec: Codec, records: u64, keys: u64) -> Vec<u8> {
    (0..records / RECORDS_PER_BATCH)
        .flat_map(|n| one_batch(codec, n * RECORDS_PER_BATCH, keys))
        .collect()
}

fn map_of(bytes: &[u8], records: u64) -> OffsetMap {
    let map = OffsetMap::new(records, usize::MAX).unwrap();
    let mut builder = MapBuilder::new(map, DecompressionLimit::default());
    for batch in batches(bytes) {
        assert_eq!(builder.add(&batch.unwrap(), 0).unwrap(), None);
    }
    builder.finish()
}

fn in_memory(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compaction in memory");
    let records = 200_000;
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        let bytes = many(codec, records, records / 10);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::new("map", codec.name()), |bencher| {
            bencher.iter(|| map_of(&bytes, records));
        });
        let map = map_of(&bytes, records);
        let rules = Rules {
            map: &map,
            clean_end: i64::MAX,
            log_start: 0,
            round_end: i64::MAX,
            now_ms: 0,
            delete_retention_ms: 0,
            producers: HashMap::new(),
        };
        group.bench_function(BenchmarkId::new("rewrite", codec.name()), |bencher| {
            bencher.iter(|| {
                let mut rewriter = Rewriter::new(DecompressionLimit::default(), None);
                let mut transactions = Transactions::default();
                let mut kept = 0;
                for batch in batches(&bytes) {
                    let batch: BatchView<'_> = batch.unwrap();
                    assert!(batch.crc_is_valid());
                    let rule = rules.rule(&batch, &mut transactions).unwrap();
                    kept += match rewriter.rewrite(&batch, &rule, &rules).unwrap() {
                        Kept::Nothing => 0,
                        Kept::Original => batch.bytes().len(),
                        Kept::Rewritten(_, bytes) => bytes.len(),
                    };
                }
                kept
            });
        });
    }
    group.finish();
}

fn filled(dir: &Path, codec: Codec, records: u64) -> PartitionLog {
    let config = LogConfig {
        segment_bytes: 64 << 20,
        compact: true,
        ..LogConfig::default()
    };
    let (log, _) = PartitionLog::open(
        dir,
        config,
        Arc::new(StdFs),
        Arc::new(SystemClock),
        OpenOptions::default(),
    )
    .unwrap();
    for n in 0..records / RECORDS_PER_BATCH {
        let mut batch = one_batch(codec, n * RECORDS_PER_BATCH, records / 10);
        stamp_base_offset(&mut batch, 0);
        log.append(&batch, 0, AppendOptions::default()).unwrap();
    }
    log.roll().unwrap();
    log.flush(None).unwrap();
    log
}

fn on_disk(criterion: &mut Criterion) {
    let records = std::env::var("FASTLOG_BENCH_RECORDS").map_or(500_000, |text| text.parse().unwrap());
    let mut group = criterion.benchmark_group("compaction of a log");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_secs(5));
    for codec in [Codec::None, Codec::Lz4] {
        let temp = tempfile::tempdir().unwrap();
        let size = filled(&temp.path().join("size-0"), codec, records).size_bytes();
        group.throughput(Throughput::Bytes(size));
        group.bench_function(BenchmarkId::new("compact", codec.name()), |bencher| {
            bencher.iter_batched(
                || {
                    let temp = tempfile::tempdir().unwrap();
                    (filled(&temp.path().join("topic-0"), codec, records), temp)
                },
                |(log, temp)| {
                    let options = CompactionOptions {
                        max_offset: log.log_end_offset(),
                        now_ms: 1,
                        ..CompactionOptions::default()
                    };
                    let report = log.compact(&options).unwrap();
                    assert_eq!(report.cleaned_to, records as i64);
                    (log, temp, report)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, in_memory, on_disk);
criterion_main!(benches);
