//! `LogReader` beside a log that is appended to, rolled, cut, cleaned and deleted from: every record that is committed
//! once, in order, and none beyond.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastlog_core::batch::{BatchBuilder, RecordTable};
use fastlog_core::log::{LogConfig, OpenOptions};
use fastlog_core::log_reader::Ask;
use fastlog_core::{Codec, CompactionOptions, Error};

use crate::common::{Dir, NOW_MS, append};
use crate::reading::{COMMITTED, all, ask, commit, offsets, reader};

/// How long each of the runs below takes.
const SECONDS: u64 = 3;

/// One batch the values of which say their offsets, and how often the log was cut before.
fn told(base: i64, count: i64, turn: u64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(if base % 2 == 0 { Codec::None } else { Codec::Lz4 });
    for offset in base..base + count {
        let key = format!("{}", offset % 50);
        let value = format!("{offset} {turn} {}", "x".repeat((offset % 90) as usize));
        builder
            .append(NOW_MS, Some(key.as_bytes()), Some(value.as_bytes()), [])
            .unwrap();
    }
    builder.build().unwrap()
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// A writer of one log, and readers of it meanwhile. What is committed is the same for ever.
///
/// Seen to fail: always, in each of the tests below, when the reader does not stop at the committed end; once in three
/// runs, of the log that is compacted, when it does not look a second time at the names of the files before it takes
/// offsets for removed (`is_settled`). In three runs they did not notice that what seems damaged is not read again, nor
/// that a file that is gone is not looked for again: the writer seldom is in the middle of something for so long.
fn beside(seed: u64, compacts: bool, retains: bool) {
    let dir = Dir::new();
    let shape = LogConfig {
        segment_bytes: 6000,
        index_interval_bytes: 300,
        file_delete_delay_ms: 0,
        retention_ms: -1,
        retention_bytes: if retains { 60_000 } else { -1 },
        compact: compacts,
        delete: retains,
        ..LogConfig::default()
    };
    let (log, _) = dir.open(&shape, OpenOptions::default());
    let root = dir.path();
    commit(&root, 0);
    let (committed, stop) = (AtomicI64::new(0), AtomicBool::new(false));
    let log = &log;
    let (committed, stop, root) = (&committed, &stop, &root);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut random = Random(seed | 1);
            let began = Instant::now();
            let mut turn = 0;
            while began.elapsed() < Duration::from_secs(SECONDS) {
                let next = log.log_end_offset();
                match random.below(100) {
                    0..=79 => {
                        append(log, &told(next, 1 + random.below(20) as i64, turn));
                    }
                    80..=84 => {
                        log.roll().unwrap();
                    }
                    85..=89 => {
                        // What is not committed is cut, and others take its place.
                        let safe = committed.load(Ordering::SeqCst);
                        log.truncate_to(safe + random.below((next - safe + 1) as u64) as i64)
                            .unwrap();
                        turn += 1;
                    }
                    90..=92 if retains => {
                        log.apply_retention_below(NOW_MS, committed.load(Ordering::SeqCst))
                            .unwrap();
                        log.purge_deleted(NOW_MS + 1).unwrap();
                    }
                    93..=95 if compacts => {
                        let options = CompactionOptions {
                            max_offset: committed.load(Ordering::SeqCst),
                            ..CompactionOptions::default()
                        };
                        log.compact(&options).unwrap();
                        log.purge_deleted(NOW_MS + 1).unwrap();
                    }
                    _ => {
                        // First it is in the log, then it is committed, then it is written down.
                        committed.store(next, Ordering::SeqCst);
                        commit(root, next);
                    }
                }
            }
            stop.store(true, Ordering::SeqCst);
        });
        let readers: Vec<_> = (0..2)
            .map(|number| {
                scope.spawn(move || {
                    follow(
                        root,
                        committed,
                        stop,
                        Random(seed ^ (number + 7)),
                        compacts,
                        retains,
                    )
                })
            })
            .collect();
        for reader in readers {
            let (count, jumps) = reader.join().unwrap();
            assert!(count > 1000, "{count} records only");
            assert!(retains || jumps == 0);
        }
    });
    // All at once, now that nothing moves.
    let mut reader = reader(root, COMMITTED);
    let start = reader.start_offset().unwrap();
    let (found, next) = offsets(&mut reader, &ask(start));
    let end = committed.load(Ordering::SeqCst);
    assert_eq!(next.max(start), end.max(start));
    if !compacts {
        assert_eq!(found, all(start..end.max(start)));
    }
}

/// Reads until the end stands still, and checks each record; how many there were, and how often some were gone.
fn follow(
    root: &Path,
    committed: &AtomicI64,
    stop: &AtomicBool,
    mut random: Random,
    compacts: bool,
    retains: bool,
) -> (usize, usize) {
    let mut reader = reader(root, COMMITTED);
    let (mut position, mut count, mut jumps) = (0, 0, 0);
    loop {
        let is_last = stop.load(Ordering::SeqCst);
        let rows = 1 + random.below(40) as usize;
        let asked = Ask {
            position,
            until: i64::MAX,
            most_rows: if random.below(3) == 0 { rows } else { usize::MAX },
            most_bytes: if random.below(3) == 0 { 2000 } else { usize::MAX },
        };
        let mut table = RecordTable::default();
        let took = match reader.read(&mut table, &asked) {
            Ok(took) => took,
            Err(Error::OffsetOutOfRange { start, .. }) if retains => {
                assert!(start > position, "{start} {position}");
                (position, jumps) = (start, jumps + 1);
                continue;
            }
            Err(error) => panic!("at {position}: {error}"),
        };
        assert_eq!(took.damage, None, "at {position}");
        let end = committed.load(Ordering::SeqCst);
        for (row, offset) in table.offsets.iter().enumerate() {
            assert!(*offset < end, "{offset} is not committed, {end} is");
            assert!(*offset >= position, "{offset} twice, after {position}");
            assert!(compacts || *offset == position, "{offset} after {position}");
            let value = String::from_utf8(table.values.get(row).unwrap().to_vec()).unwrap();
            let (number, _) = value.split_once(' ').unwrap();
            assert_eq!(number, offset.to_string());
            position = offset + 1;
        }
        assert!(took.next_offset >= position && took.next_offset <= end.max(position));
        count += table.offsets.len();
        let moved = took.next_offset > asked.position;
        position = took.next_offset;
        if is_last && !moved {
            assert_eq!(position, end);
            return (count, jumps);
        }
    }
}

#[test]
fn beside_a_log_that_rolls_and_is_cut() {
    beside(0x9e37_79b9, false, false);
}

#[test]
fn beside_a_log_that_is_compacted() {
    beside(0x7f4a_7c15, true, false);
}

#[test]
fn beside_a_log_that_removes_its_oldest_segments() {
    beside(0xbf58_476d, false, true);
}
