//! What an append costs beside a plain write(2) of the same bytes, and what a read plan and a lookup cost.
//!
//! The ratios that are printed first are measured in turns, so that both sides meet the same disk.
#![allow(missing_docs, clippy::print_stdout, clippy::cast_precision_loss)]

use std::fs::File;
use std::hint::black_box;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fastlog_core::batch::BatchBuilder;
use fastlog_core::env::StdFs;
use fastlog_core::log::{AppendOptions, LogConfig, OpenOptions, PartitionLog};
use fastlog_core::{Codec, SystemClock};

const SIZES: [(&str, usize); 5] = [
    ("16 B", 16),
    ("1 KiB", 1 << 10),
    ("16 KiB", 16 << 10),
    ("64 KiB", 64 << 10),
    ("1 MiB", 1 << 20),
];
/// Bytes after which both sides begin a new file.
const FILE_BYTES: usize = 256 << 20;

/// A batch of `size` bytes of values, at most 1 KiB in a record.
fn batch(size: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    let value = vec![b'x'; size.min(1 << 10)];
    for _ in 0..size.div_ceil(1 << 10) {
        builder.append(1_700_000_000_000, None, Some(&value), []).unwrap();
    }
    builder.build().unwrap()
}

fn open(dir: &Path) -> PartitionLog {
    let config = LogConfig {
        max_message_bytes: 2 << 20,
        ..LogConfig::default()
    };
    let options = OpenOptions::default();
    PartitionLog::open(dir, config, Arc::new(StdFs), Arc::new(SystemClock), options)
        .unwrap()
        .0
}

/// Appends to a log that begins anew, outside of the measured time, whenever it has grown enough.
struct Appender {
    log: PartitionLog,
    records: Vec<u8>,
    written: usize,
}

impl Appender {
    fn new(dir: &Path, size: usize) -> Self {
        Self {
            log: open(dir),
            records: batch(size),
            written: 0,
        }
    }

    fn run(&mut self, count: u64) -> Duration {
        let mut elapsed = Duration::ZERO;
        let mut left = count;
        while left > 0 {
            if self.written + self.records.len() > FILE_BYTES {
                self.log.truncate_fully_and_start_at(0).unwrap();
                self.log.purge_deleted(i64::MAX).unwrap();
                self.written = 0;
            }
            let round = left.min(((FILE_BYTES - self.written) / self.records.len()) as u64);
            let start = Instant::now();
            for _ in 0..round {
                self.log
                    .append(black_box(&self.records), 0, AppendOptions::default())
                    .unwrap();
            }
            elapsed += start.elapsed();
            self.written += round as usize * self.records.len();
            left -= round;
        }
        elapsed
    }
}

/// Writes the same bytes to a plain file, in the same rounds.
struct Plain {
    file: File,
    records: Vec<u8>,
    written: usize,
}

impl Plain {
    fn new(dir: &Path, size: usize) -> Self {
        Self {
            file: File::create(dir.join("plain")).unwrap(),
            records: batch(size),
            written: 0,
        }
    }

    fn run(&mut self, count: u64) -> Duration {
        let mut elapsed = Duration::ZERO;
        let mut left = count;
        while left > 0 {
            if self.written + self.records.len() > FILE_BYTES {
                self.file.set_len(0).unwrap();
                self.file.rewind().unwrap();
                self.written = 0;
            }
            let round = left.min(((FILE_BYTES - self.written) / self.records.len()) as u64);
            let start = Instant::now();
            for _ in 0..round {
                self.file.write_all(black_box(&self.records)).unwrap();
            }
            elapsed += start.elapsed();
            self.written += round as usize * self.records.len();
            left -= round;
        }
        elapsed
    }
}

fn print_ratios() {
    println!("append beside write(2) of the same bytes, best of 7 turns:");
    for (name, size) in SIZES {
        let dir = tempfile::tempdir().unwrap();
        let mut plain = Plain::new(dir.path(), size);
        let mut appender = Appender::new(&dir.path().join("topic-0"), size);
        let count = ((96 << 20) / plain.records.len()).min(60_000) as u64;
        let (mut best_plain, mut best_append) = (Duration::MAX, Duration::MAX);
        for _ in 0..7 {
            best_plain = best_plain.min(plain.run(count));
            best_append = best_append.min(appender.run(count));
        }
        let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
        let ratio = best_plain.as_secs_f64() / best_append.as_secs_f64();
        println!(
            "{name:>7}: write {:8.2} us, append {:8.2} us, ratio {ratio:.2}",
            each(best_plain),
            each(best_append)
        );
    }
}

fn appends(criterion: &mut Criterion) {
    print_ratios();
    let mut group = criterion.benchmark_group("append");
    for (name, size) in SIZES {
        let dir = tempfile::tempdir().unwrap();
        let mut appender = Appender::new(&dir.path().join("topic-0"), size);
        let mut plain = Plain::new(dir.path(), size);
        group.throughput(Throughput::Bytes(plain.records.len() as u64));
        group.bench_function(BenchmarkId::new("log", name), |bencher| {
            bencher.iter_custom(|count| appender.run(count));
        });
        group.bench_function(BenchmarkId::new("write(2)", name), |bencher| {
            bencher.iter_custom(|count| plain.run(count));
        });
    }
    group.finish();
}

fn lookups(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let records = batch(1 << 10);
    let end = 200_000;
    for _ in 0..end {
        log.append(&records, 0, AppendOptions::default()).unwrap();
    }
    // A walk over all offsets that never repeats nearby ones.
    let mut offset = 0;
    let mut next = move || {
        offset = (offset + 77_777) % end;
        offset
    };
    criterion.bench_function("read plan of 1 MiB, anywhere", |bencher| {
        bencher.iter(|| log.read(black_box(next()), 1 << 20, i64::MAX, true).unwrap().len);
    });
    criterion.bench_function("read plan at the end, below a cap", |bencher| {
        bencher.iter(|| log.read(black_box(end - 2), 1 << 20, end - 1, true).unwrap().len);
    });
    criterion.bench_function("available bytes (two index lookups)", |bencher| {
        bencher.iter(|| log.available_bytes(black_box(next()), end).unwrap());
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500)).sample_size(20);
    targets = appends, lookups
}
criterion_main!(benches);
