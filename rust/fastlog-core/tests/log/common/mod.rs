//! What the tests of the log share.

pub mod gate;
pub mod keyed;
pub mod slow;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fastlog_core::batch::{BatchBuilder, batches, read_records};
use fastlog_core::compression::DecompressionLimit;
use fastlog_core::env::{FileSystem, StdFs};
use fastlog_core::log::{AppendInfo, AppendOptions, LogConfig, OpenOptions, PartitionLog, RecoveryReport};
use fastlog_core::{Codec, ManualClock, Result};

/// The time at which the tests' clocks stand: that of the records is the offset of a record later.
pub const NOW_MS: i64 = 1_700_000_000_000;

pub struct Dir {
    pub temp: tempfile::TempDir,
    pub clock: Arc<ManualClock>,
}

impl Dir {
    pub fn new() -> Self {
        Self {
            temp: tempfile::tempdir().unwrap(),
            clock: Arc::new(ManualClock::new(NOW_MS)),
        }
    }

    pub fn path(&self) -> PathBuf {
        self.temp.path().join("topic-0")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn try_open(
        &self,
        config: &LogConfig,
        options: OpenOptions,
    ) -> Result<(PartitionLog, RecoveryReport)> {
        let fs: Arc<dyn FileSystem> = Arc::new(StdFs);
        PartitionLog::open(&self.path(), config.clone(), fs, self.clock.clone(), options)
    }

    pub fn open(&self, config: &LogConfig, options: OpenOptions) -> (PartitionLog, RecoveryReport) {
        self.try_open(config, options).unwrap()
    }

    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// A batch of `count` records with `size` bytes of value each.
pub fn batch(count: usize, size: usize, timestamp: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    for index in 0..count {
        let value = vec![b'a' + (index % 26) as u8; size];
        builder
            .append(timestamp + index as i64, None, Some(&value), [])
            .unwrap();
    }
    builder.build().unwrap()
}

pub fn append(log: &PartitionLog, records: &[u8]) -> AppendInfo {
    log.append(records, 0, AppendOptions::default()).unwrap()
}

/// Everything from `offset` on, read in pieces of `max_bytes`: offset and value of each record.
pub fn read_all(log: &PartitionLog, mut offset: i64, max_bytes: usize) -> Vec<(i64, Vec<u8>)> {
    let mut found = Vec::new();
    while offset < log.log_end_offset() {
        let slice = log.read(offset, max_bytes, i64::MAX, true).unwrap();
        if slice.len == 0 {
            break;
        }
        let mut bytes = vec![0; slice.len];
        slice.read_into(&mut bytes).unwrap();
        for view in batches(&bytes) {
            let Ok(view) = view else { break };
            assert!(view.crc_is_valid());
            let records = read_records(view.bytes(), DecompressionLimit::for_topic(1 << 20)).unwrap();
            for record in &records {
                let record = record.unwrap();
                if record.offset >= offset {
                    found.push((record.offset, record.value.unwrap_or_default().to_vec()));
                }
            }
            offset = offset.max(view.header().next_offset());
        }
    }
    found
}

pub fn clean(recovery_point: i64) -> OpenOptions {
    OpenOptions {
        clean_shutdown: true,
        recovery_point,
        ..OpenOptions::default()
    }
}

pub fn unclean(recovery_point: i64) -> OpenOptions {
    OpenOptions {
        recovery_point,
        ..OpenOptions::default()
    }
}

/// All files of a directory with their bytes, by name.
pub fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

/// Small segments with many index entries.
pub fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 4000,
        index_interval_bytes: 300,
        ..LogConfig::default()
    }
}

/// A new, empty log.
pub fn opened(config: &LogConfig) -> (Dir, PartitionLog) {
    let dir = Dir::new();
    let (log, _) = dir.open(config, OpenOptions::default());
    (dir, log)
}

/// Batches of three records with rising timestamps, one millisecond apart.
pub fn filled(config: &LogConfig, batches: i64) -> (Dir, PartitionLog) {
    let (dir, log) = opened(config);
    for index in 0..batches {
        append(&log, &batch(3, 150, NOW_MS + index * 3));
    }
    (dir, log)
}
