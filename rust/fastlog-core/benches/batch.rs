//! How fast a batch is checked, built and read: `cargo bench --bench batch`.
//!
//! `crc32c` stands beside the crate that computes it, called directly, to show that the way through ours
//! costs nothing; `validate` is what every append pays before its write.

#![allow(missing_docs)] // criterion's macros make public functions

use std::hint::black_box;
use std::io::Read;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fastlog_core::batch::{
    AppendRules, BatchBuilder, BatchView, Columns, TimestampType, crc32c, read_records, validate_for_append,
};
use fastlog_core::compression::{Codec, DecompressionLimit, compress, decompress_reader};

const NOW: i64 = 1_700_000_000_000;

/// Log-like text: compresses about as well as real records do.
fn text(size: usize) -> Vec<u8> {
    let mut seed = 42_u64;
    let mut out = Vec::with_capacity(size + 100);
    while out.len() < size {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        out.extend_from_slice(
            format!(
                "user={} path=/item/{} took={}ms;",
                seed >> 50,
                seed >> 58,
                seed >> 56
            )
            .as_bytes(),
        );
    }
    out.truncate(size);
    out
}

/// A batch of about `size` bytes of records of `record_size` bytes each.
fn batch(codec: Codec, size: usize, record_size: usize) -> Vec<u8> {
    let data = text(size);
    let mut builder = BatchBuilder::new(codec);
    for (i, value) in (0..).zip(data.chunks(record_size)) {
        builder
            .append(NOW + i, Some(b"key"), Some(value), [])
            .expect("fits");
    }
    builder.build().expect("fits")
}

fn crc(c: &mut Criterion) {
    let mut group = c.benchmark_group("crc32c");
    for size in [40, 1 << 10, 64 << 10, 1 << 20] {
        let data = text(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_with_input(BenchmarkId::new("fastlog", size), &data, |b, data| {
            b.iter(|| crc32c(black_box(data)));
        });
        group.bench_with_input(BenchmarkId::new("crc-fast", size), &data, |b, data| {
            b.iter(|| crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, black_box(data)));
        });
    }
    group.finish();
}

fn validate(c: &mut Criterion) {
    let mut group = c.benchmark_group("validate");
    let rules = AppendRules {
        max_message_bytes: 8 << 20,
        ..AppendRules::default()
    };
    for (size, record_size) in [
        (16, 16),
        (1 << 10, 100),
        (64 << 10, 100),
        (64 << 10, 1 << 10),
        (1 << 20, 1 << 10),
    ] {
        let bytes = batch(Codec::None, size, record_size);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let id = BenchmarkId::new("none", format!("{size}/{record_size}"));
        group.bench_with_input(id, &bytes, |b, bytes| {
            b.iter(|| {
                validate_for_append(black_box(bytes), &rules, NOW)
                    .expect("good")
                    .max_timestamp
            });
        });
    }
    let bytes = batch(Codec::None, 64 << 10, 100);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("crc alone/65536/100", |b| {
        let view = BatchView::first(&bytes).expect("good");
        b.iter(|| black_box(view).crc_is_valid());
    });
    let append_time = AppendRules {
        timestamp_type: TimestampType::LogAppendTime,
        ..rules.clone()
    };
    group.bench_function("log append time/65536/100", |b| {
        b.iter(|| {
            validate_for_append(black_box(&bytes), &append_time, NOW)
                .expect("good")
                .info
                .crc
        });
    });
    group.finish();
}

fn codecs(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    let data = text(64 << 10);
    let rules = AppendRules::default();
    let limit = DecompressionLimit::default();
    group.throughput(Throughput::Bytes(data.len() as u64));
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let packed = compress(codec, None, &data).expect("compresses");
        group.bench_function(BenchmarkId::new("compress", codec.name()), |b| {
            b.iter(|| compress(codec, None, black_box(&data)).expect("compresses").len());
        });
        group.bench_function(BenchmarkId::new("decompress", codec.name()), |b| {
            let mut buffer = vec![0; 64 << 10];
            b.iter(|| {
                let mut reader = decompress_reader(codec, black_box(&packed), limit).expect("opens");
                while reader.read(&mut buffer).expect("reads") > 0 {}
            });
        });
        let bytes = batch(codec, 64 << 10, 100);
        group.bench_function(BenchmarkId::new("validate", codec.name()), |b| {
            b.iter(|| {
                validate_for_append(black_box(&bytes), &rules, NOW)
                    .expect("good")
                    .max_timestamp
            });
        });
    }
    group.finish();
}

fn build_and_read(c: &mut Criterion) {
    let mut group = c.benchmark_group("records");
    let bytes = batch(Codec::None, 64 << 10, 100);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("build/65536/100", |b| {
        b.iter(|| batch(Codec::None, black_box(64 << 10), 100).len());
    });
    group.bench_function("read/65536/100", |b| {
        b.iter(|| {
            let records = read_records(black_box(&bytes), DecompressionLimit::default()).expect("good");
            records
                .iter()
                .map(|record| record.expect("good").value.map_or(0, <[u8]>::len))
                .sum::<usize>()
        });
    });
    group.bench_function("columns/65536/100", |b| {
        b.iter(|| {
            Columns::decode(black_box(&bytes), DecompressionLimit::default())
                .expect("good")
                .offsets
                .len()
        });
    });
    group.finish();
}

criterion_group!(benches, crc, validate, codecs, build_and_read);
criterion_main!(benches);
