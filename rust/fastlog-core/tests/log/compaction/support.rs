//! Logs to compact.

use std::time::{Duration, Instant};

use crate::common::keyed::{Pair, put};
use crate::common::{Dir, NOW_MS};
use fastlog_core::Codec;
use fastlog_core::log::{LogConfig, OpenOptions, PartitionLog};

pub fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 2000,
        index_interval_bytes: 200,
        compact: true,
        delete: false,
        ..LogConfig::default()
    }
}

/// `batches` batches of five records over `keys` keys, with one codec after the other, and a rolled segment.
pub fn fill(log: &PartitionLog, batches: usize, keys: usize) {
    let round = log.log_end_offset() as usize;
    for step in 0..batches {
        let pairs: Vec<(String, String)> = (0..5)
            .map(|n| {
                (
                    format!("key-{}", (round + step * 5 + n) % keys),
                    format!("value-{step}-{n}"),
                )
            })
            .collect();
        let records: Vec<Pair<'_>> = pairs
            .iter()
            .map(|(key, value)| (Some(key.as_bytes()), Some(value.as_bytes())))
            .collect();
        put(
            log,
            Codec::ALL[step % 5],
            None,
            NOW_MS + step as i64 * 10,
            &records,
        );
    }
    log.roll().unwrap();
}

pub fn filled(batches: usize, keys: usize) -> (Dir, PartitionLog) {
    let dir = Dir::new();
    let (log, _) = dir.open(&config(), OpenOptions::default());
    fill(&log, batches, keys);
    (dir, log)
}

pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn has(dir: &Dir, suffix: &str) -> bool {
    dir.names().iter().any(|name| name.ends_with(suffix))
}
