//! How fast requests become plans and verdicts become responses: `cargo bench --bench wire`.
//!
//! Each for 1, 10 and 100 partitions, in the newest version; records are 1 KiB per partition.

#![allow(missing_docs)] // criterion's macros make public functions

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fastlog_core::wire::{
    FetchAnswer, FetchPlan, FetchRowAnswer, Frame, FrameSplitter, ProducePlan, ProduceRowResult,
};

const PARTITIONS: [usize; 3] = [1, 10, 100];
const RECORD_BYTES: usize = 1024;
const TOPIC_ID: [u8; 16] = [7; 16];

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Key, version, correlation id, client id and no tagged fields.
fn header(key: u8, version: u8) -> Vec<u8> {
    let mut out = vec![0, key, 0, version, 0, 0, 0, 9];
    out.extend(b"\0\x08producer\0");
    out
}

fn produce_request(partitions: usize) -> Vec<u8> {
    let mut out = header(0, 11);
    out.extend(b"\0\xff\xff\0\0\x75\x30"); // no transactional id, acks -1, 30 s
    out.extend(b"\x02\x07orders");
    varint(&mut out, partitions + 1);
    for partition in 0..partitions {
        out.extend((partition as i32).to_be_bytes());
        varint(&mut out, RECORD_BYTES + 1);
        out.resize(out.len() + RECORD_BYTES, 0xab);
        out.push(0);
    }
    out.extend(b"\0\0");
    out
}

fn fetch_request(partitions: usize) -> Vec<u8> {
    let mut out = header(1, 17);
    out.extend([0; 13]); // max wait, min bytes, max bytes, isolation
    out.extend([0; 8]); // session
    out.push(2);
    out.extend(TOPIC_ID);
    varint(&mut out, partitions + 1);
    for partition in 0..partitions {
        out.extend((partition as i32).to_be_bytes());
        out.extend([0; 4 + 8 + 4 + 8 + 4 + 1]);
    }
    out.extend(b"\0\x01\x01\0");
    out
}

fn plans(c: &mut Criterion) {
    let mut group = c.benchmark_group("plan");
    for partitions in PARTITIONS {
        let produce = Frame::from(produce_request(partitions));
        group.bench_function(BenchmarkId::new("produce", partitions), |b| {
            b.iter(|| {
                ProducePlan::parse(black_box(&produce).clone())
                    .expect("good")
                    .rows()
                    .len()
            });
        });
        let fetch = Frame::from(fetch_request(partitions));
        group.bench_function(BenchmarkId::new("fetch", partitions), |b| {
            b.iter(|| {
                FetchPlan::parse(black_box(&fetch).clone())
                    .expect("good")
                    .rows()
                    .len()
            });
        });
    }
    group.finish();
}

fn responses(c: &mut Criterion) {
    let records = vec![0xab; RECORD_BYTES];
    let mut group = c.benchmark_group("response");
    for partitions in PARTITIONS {
        let plan = ProducePlan::parse(Frame::from(produce_request(partitions))).expect("good");
        let results = vec![ProduceRowResult::default(); partitions];
        group.bench_function(BenchmarkId::new("produce", partitions), |b| {
            b.iter(|| {
                plan.encode_response(black_box(&results), 0, &[])
                    .expect("good")
                    .len()
            });
        });
        let rows: Vec<FetchRowAnswer<'_, &[u8]>> = (0..partitions)
            .map(|partition| FetchRowAnswer {
                topic: "orders",
                topic_id: TOPIC_ID,
                partition: partition as i32,
                error_code: 0,
                high_watermark: 100,
                last_stable_offset: 100,
                log_start_offset: 0,
                diverging_epoch: None,
                current_leader: None,
                snapshot_id: None,
                aborted: None,
                preferred_read_replica: -1,
                records: Some(&records[..]),
            })
            .collect();
        group.bench_function(BenchmarkId::new("fetch", partitions), |b| {
            b.iter(|| {
                let answer = FetchAnswer {
                    throttle_ms: 0,
                    error_code: 0,
                    session_id: 1,
                    rows: black_box(&rows),
                    node_endpoints: &[],
                };
                answer.encode(17, 9).expect("good").len()
            });
        });
    }
    group.finish();
}

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frames");
    for (size, count) in [(100, 100), (1 << 10, 50), (1 << 20, 1)] {
        let mut stream = Vec::new();
        for _ in 0..count {
            stream.extend((size as i32).to_be_bytes());
            stream.resize(stream.len() + size, 0xab);
        }
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function(BenchmarkId::new("split", size), |b| {
            let mut splitter = FrameSplitter::new(100 << 20, 64 << 10);
            let mut frames = Vec::new();
            b.iter(|| {
                frames.clear();
                let mut rest = &stream[..];
                while !rest.is_empty() {
                    let writable = splitter.writable().expect("memory");
                    let n = writable.len().min(rest.len());
                    writable[..n].copy_from_slice(&rest[..n]);
                    rest = &rest[n..];
                    splitter.advance(n, &mut frames).expect("good");
                }
                frames.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, plans, responses, frames);
criterion_main!(benches);
