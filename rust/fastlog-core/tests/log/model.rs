//! Random sequences of operations against a plain list, and readers beside a writer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{Dir, NOW_MS, batch, clean, unclean};
use fastlog_core::ManualClock;
use fastlog_core::batch::{BatchBuilder, batches, crc32c, read_records};
use fastlog_core::compression::DecompressionLimit;
use fastlog_core::env::{Crash, FaultFs, FileSystem};
use fastlog_core::log::{AppendError, AppendOptions, LogConfig, OpenOptions, PartitionLog};
use fastlog_core::{Codec, Error};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Append {
        records: usize,
        size: usize,
        codec: usize,
        age: i64,
        /// By how many epochs the leader that appends is behind.
        behind: i32,
    },
    Lead {
        by: i32,
    },
    Fence {
        by: i32,
    },
    Read {
        offset: i64,
        max_bytes: usize,
        cap: i64,
    },
    FindTime {
        age: i64,
    },
    Roll,
    Flush,
    Truncate {
        offset: i64,
    },
    RaiseStart {
        offset: i64,
    },
    Retain,
    StartOver {
        offset: i64,
    },
    CloseAndOpen,
    KillAndOpen,
    PullThePlug,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let offset = 0..150_i64;
    let op = prop_oneof![
        12 => (1..5_usize, 0..400_usize, 0..5_usize, 0..50_i64, prop_oneof![4 => Just(0), 1 => 1..4])
            .prop_map(|(records, size, codec, age, behind)| Op::Append { records, size, codec, age, behind }),
        1 => (-1..3).prop_map(|by| Op::Lead { by }),
        1 => (-1..3).prop_map(|by| Op::Fence { by }),
        6 => (offset.clone(), 1..3000_usize, offset.clone())
            .prop_map(|(offset, max_bytes, cap)| Op::Read { offset, max_bytes, cap }),
        2 => (0..60_i64).prop_map(|age| Op::FindTime { age }),
        1 => Just(Op::Roll),
        2 => Just(Op::Flush),
        1 => offset.clone().prop_map(|offset| Op::Truncate { offset }),
        1 => offset.clone().prop_map(|offset| Op::RaiseStart { offset }),
        1 => Just(Op::Retain),
        1 => offset.prop_map(|offset| Op::StartOver { offset: offset * 1000 }),
        1 => Just(Op::CloseAndOpen),
        1 => Just(Op::KillAndOpen),
        1 => Just(Op::PullThePlug),
    ];
    proptest::collection::vec(op, 1..80)
}

/// Offset, first offset and end of the batch, timestamp and checksum of the value.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    offset: i64,
    batch: (i64, i64),
    timestamp: i64,
    value: u32,
}

struct Model {
    fs: FaultFs,
    log: PartitionLog,
    rows: Vec<Row>,
    start: i64,
    end: i64,
    /// The latest epoch that anybody has begun.
    fence: i32,
}

fn open(fs: &FaultFs, options: OpenOptions) -> PartitionLog {
    let config = LogConfig {
        segment_bytes: 2000,
        index_interval_bytes: 200,
        ..LogConfig::default()
    };
    let clock = Arc::new(ManualClock::new(NOW_MS));
    PartitionLog::open(
        Path::new("/data/t-0"),
        config,
        Arc::new(fs.clone()),
        clock,
        options,
    )
    .unwrap()
    .0
}

fn rows_of(bytes: &[u8]) -> Vec<Row> {
    let mut rows = Vec::new();
    for view in batches(bytes).filter_map(Result::ok) {
        assert!(view.crc_is_valid());
        let batch = (view.header().base_offset, view.header().next_offset());
        let records = read_records(view.bytes(), DecompressionLimit::for_topic(1 << 20)).unwrap();
        rows.extend(records.iter().map(Result::unwrap).map(|record| Row {
            offset: record.offset,
            batch,
            timestamp: record.timestamp,
            value: crc32c(record.value.unwrap()),
        }));
    }
    rows
}

impl Model {
    fn new() -> Self {
        let fs = FaultFs::new();
        let log = open(&fs, OpenOptions::default());
        Self {
            fs,
            log,
            rows: Vec::new(),
            start: 0,
            end: 0,
            fence: -1,
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Append {
                records,
                size,
                codec,
                age,
                behind,
            } => self.append(records, size, Codec::ALL[codec], age, self.fence - behind),
            Op::Lead { by } => {
                let epoch = (self.fence + by).max(0);
                match self.log.lead(epoch) {
                    Ok(first) => {
                        assert!(epoch >= self.fence && first <= self.end);
                        assert_eq!(self.log.latest_epoch(), Some(epoch));
                        self.fence = epoch;
                    }
                    Err(Error::Fenced { .. }) => assert!(epoch < self.fence),
                    Err(other) => panic!("{other}"),
                }
            }
            Op::Fence { by } => {
                let epoch = self.fence + by;
                assert_eq!(self.log.fence(epoch).is_ok(), epoch >= self.fence);
                self.fence = self.fence.max(epoch);
            }
            Op::Read {
                offset,
                max_bytes,
                cap,
            } => self.read(self.start + offset, max_bytes, self.start + cap),
            Op::FindTime { age } => {
                let found = self.log.offset_for_timestamp(NOW_MS - age, i64::MAX).unwrap();
                let expected = self
                    .rows
                    .iter()
                    .find(|row| row.offset >= self.start && row.timestamp >= NOW_MS - age);
                assert_eq!(found.map(|found| found.offset), expected.map(|row| row.offset));
            }
            Op::Roll => {
                self.log.roll().unwrap();
            }
            Op::Flush => assert_eq!(self.log.flush(None).unwrap(), self.end),
            Op::Truncate { offset } => self.truncate(self.start + offset),
            Op::RaiseStart { offset } => {
                let offset = self.start + offset;
                match self.log.advance_log_start_offset(offset) {
                    Ok(start) => self.start = start,
                    Err(Error::OffsetOutOfRange { .. }) => assert!(offset > self.end),
                    Err(other) => panic!("{other}"),
                }
            }
            Op::Retain => {
                self.log.apply_retention(NOW_MS).unwrap();
                self.log.purge_deleted(i64::MAX).unwrap();
            }
            Op::StartOver { offset } => {
                self.log.truncate_fully_and_start_at(offset).unwrap();
                self.rows.clear();
                (self.start, self.end) = (offset, offset);
            }
            Op::CloseAndOpen => {
                self.log.close().unwrap();
                self.reopen(OpenOptions {
                    log_start_offset: self.start,
                    ..clean(self.end)
                });
            }
            Op::KillAndOpen => {
                let point = self.log.recovery_point();
                self.reopen(OpenOptions {
                    log_start_offset: self.start,
                    ..unclean(point)
                });
            }
            Op::PullThePlug => {
                let point = self.log.recovery_point();
                self.fs = self.fs.crash_image(self.fs.operations(), Crash::Power);
                self.reopen(OpenOptions {
                    log_start_offset: self.start,
                    ..unclean(point)
                });
                let end = self.log.log_end_offset();
                assert!(
                    end >= point && end <= self.end.max(self.start),
                    "{end} of {point}..{}",
                    self.end
                );
                self.rows.retain(|row| row.batch.1 <= end);
                self.end = end;
            }
        }
        assert_eq!(
            (self.log.log_start_offset(), self.log.log_end_offset()),
            (self.start, self.end),
            "{op:?}"
        );
        assert_eq!(self.log.failure(), None);
    }

    fn append(&mut self, records: usize, size: usize, codec: Codec, age: i64, epoch: i32) {
        let mut builder = BatchBuilder::new(codec);
        let first = self.end;
        let mut rows = Vec::new();
        for index in 0..records as i64 {
            let value = vec![(first + index) as u8; size];
            let timestamp = NOW_MS - age - index;
            builder.append(timestamp, None, Some(&value), []).unwrap();
            let batch = (first, first + records as i64);
            rows.push(Row {
                offset: first + index,
                batch,
                timestamp,
                value: crc32c(&value),
            });
        }
        match self
            .log
            .append(&builder.build().unwrap(), epoch, AppendOptions::default())
        {
            Ok(info) => {
                assert!(epoch >= self.fence);
                assert_eq!(info.first_offset, first);
                assert_eq!(self.log.epoch_at(first), Some(epoch).filter(|epoch| *epoch >= 0));
                self.rows.extend(rows);
                self.end += records as i64;
            }
            Err(AppendError::Failed(Error::Fenced { .. })) => assert!(epoch < self.fence),
            Err(other) => panic!("{other}"),
        }
    }

    fn read(&self, offset: i64, max_bytes: usize, cap: i64) {
        match self.log.read(offset, max_bytes, cap, true) {
            Err(Error::OffsetOutOfRange { .. }) => assert!(offset > self.end),
            Err(other) => panic!("{other}"),
            Ok(slice) => {
                let mut bytes = vec![0; slice.len];
                slice.read_into(&mut bytes).unwrap();
                let found = rows_of(&bytes);
                let readable: Vec<Row> = self
                    .rows
                    .iter()
                    .filter(|row| row.batch.1 > offset && row.batch.1 <= cap)
                    .copied()
                    .collect();
                assert_eq!(found, readable[..found.len()]);
                assert_eq!(found.is_empty(), readable.is_empty(), "something to read is read");
            }
        }
    }

    fn truncate(&mut self, offset: i64) {
        self.log.truncate_to(offset).unwrap();
        if offset < self.end {
            self.rows.retain(|row| row.batch.1 <= offset);
            self.end = self
                .rows
                .last()
                .map_or(self.log.log_end_offset(), |row| row.offset + 1);
            self.start = self.start.min(self.end);
        }
    }

    fn reopen(&mut self, options: OpenOptions) {
        self.log = open(&self.fs, options);
        // What was queued died with the process.
        self.fence = self.log.latest_epoch().unwrap_or(-1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_list(ops in ops()) {
        let mut model = Model::new();
        for op in &ops {
            model.apply(op);
        }
        let mut offset = model.start;
        let mut found = Vec::new();
        while offset < model.end {
            let slice = model.log.read(offset, 777, i64::MAX, true).unwrap();
            let mut bytes = vec![0; slice.len];
            slice.read_into(&mut bytes).unwrap();
            let rows = rows_of(&bytes);
            prop_assert!(!rows.is_empty());
            found.extend(rows.iter().filter(|row| row.offset >= offset).copied());
            offset = rows.last().unwrap().offset + 1;
        }
        let expected: Vec<Row> = model.rows.iter().filter(|row| row.offset >= model.start).copied().collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_bytes_open_as_an_index(bytes in proptest::collection::vec(any::<u8>(), 0..600), time in any::<bool>()) {
        let fs = FaultFs::new();
        let log = open(&fs, OpenOptions::default());
        for step in 0..30 {
            log.append(&batch(2, 60, NOW_MS + step), 0, AppendOptions::default()).unwrap();
        }
        log.close().unwrap();
        drop(log);
        let name = if time { "00000000000000000000.timeindex" } else { "00000000000000000000.index" };
        fs.damage(&Path::new("/data/t-0").join(name), |file| *file = bytes).unwrap();
        let log = open(&fs, clean(60));
        for offset in 0..60 {
            let slice = log.read(offset, 500, i64::MAX, true).unwrap();
            let mut bytes = vec![0; slice.len];
            slice.read_into(&mut bytes).unwrap();
            let batch = rows_of(&bytes)[0].batch;
            prop_assert!(batch.0 <= offset && offset < batch.1);
            // The answer may be beside the point when the index is; it must be an answer.
            log.offset_for_timestamp(NOW_MS + offset, i64::MAX).unwrap();
        }
    }
}

#[test]
fn readers_see_whole_batches_while_a_writer_appends() {
    let dir = Dir::new();
    let config = LogConfig {
        segment_bytes: 20_000,
        index_interval_bytes: 300,
        ..LogConfig::default()
    };
    let (log, _) = dir.open(&config, OpenOptions::default());
    let done = AtomicBool::new(false);
    let total = 9000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while log.log_end_offset() < total {
                log.append(&batch(3, 80, NOW_MS), 0, AppendOptions::default())
                    .unwrap();
            }
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                log.flush(None).unwrap();
            }
        });
        for distance in [1, 5000] {
            let log = &log;
            scope.spawn(move || {
                let mut offset = 0;
                while offset < total {
                    let cap = log.log_end_offset();
                    let slice = log.read(offset, 4000, cap, true).unwrap();
                    let mut bytes = vec![0; slice.len];
                    slice.read_into(&mut bytes).unwrap();
                    let rows = rows_of(&bytes);
                    assert_eq!(rows.is_empty(), offset == cap);
                    for (index, row) in rows.iter().enumerate() {
                        assert_eq!(row.offset, offset / 3 * 3 + index as i64);
                        assert!(row.offset < cap);
                    }
                    offset = rows.last().map_or(offset, |row| row.offset + 1);
                    log.available_bytes((offset - distance).max(0), cap).unwrap();
                }
            });
        }
    });
    assert_eq!(log.flush(None).unwrap(), total);
}

#[test]
fn the_disk_of_the_model_is_a_file_system() {
    let fs = FaultFs::new();
    fs.create_dir_all(Path::new("/a/b")).unwrap();
    fs.write_atomically(Path::new("/a/b/c"), b"content").unwrap();
    assert_eq!(fs.read_file(Path::new("/a/b/c")).unwrap(), b"content");
    let names: Vec<String> = fs
        .list_dir(Path::new("/a/b"))
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    assert_eq!(names, ["c"]);
    assert!(fs.read_file(Path::new("/a/b/d")).is_err());
    assert_eq!(
        fs.crash_image(fs.operations(), Crash::Power)
            .read_file(Path::new("/a/b/c"))
            .unwrap(),
        b"content"
    );
}
