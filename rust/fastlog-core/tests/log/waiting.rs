//! What appends do not wait for: that somebody else writes to a slow disk.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use fastlog_core::ManualClock;
use fastlog_core::env::FileSystem;
use fastlog_core::log::{LogConfig, OpenOptions, PartitionLog};

use crate::common::slow::SlowFs;
use crate::common::{NOW_MS, append, batch, config};

const LONG: Duration = Duration::from_secs(30);

/// Appends while `work` waits for an fsync of the epochs' file.
fn append_beside(config: LogConfig, work: impl Send + FnOnce(&PartitionLog)) {
    let slow = SlowFs::of("leader-epoch-checkpoint");
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let fs: Arc<dyn FileSystem> = Arc::new(slow.clone());
    let (log, _) =
        PartitionLog::open(Path::new("/data/t-0"), config, fs, clock, OpenOptions::default()).unwrap();
    for n in 0..30 {
        append(&log, &batch(3, 150, NOW_MS + n));
    }
    assert!(log.segment_count() > 2);
    slow.set_slow(true);
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| work(&log));
        let begin = Instant::now();
        while !slow.waiting.load(Ordering::Acquire) {
            assert!(begin.elapsed() < LONG, "nothing is written");
            std::thread::sleep(Duration::from_millis(1));
        }
        scope.spawn(|| {
            for n in 0..30 {
                append(&log, &batch(3, 150, NOW_MS + 100 + n));
            }
            tell.send(()).unwrap();
        });
        let appended = told.recv_timeout(LONG);
        slow.set_slow(false);
        appended.expect("appends wait for the disk");
    });
    assert_eq!(log.log_end_offset(), 180);
    let bases: Vec<i64> = log
        .segments()
        .unwrap()
        .iter()
        .map(|one| one.base_offset)
        .collect();
    assert!(bases.is_sorted());
    assert!(bases.iter().any(|base| *base > 90), "{bases:?}");
    assert_eq!(append(&log, &batch(1, 10, NOW_MS)).first_offset, 180);
}

#[test]
fn appends_go_on_while_a_log_start_is_written_down() {
    append_beside(config(), |log| {
        assert_eq!(log.advance_log_start_offset(40).unwrap(), 40);
    });
}

#[test]
fn appends_go_on_while_retention_writes_the_log_start_down() {
    let config = LogConfig {
        retention_bytes: 5000,
        ..config()
    };
    append_beside(config, |log| {
        assert!(!log.apply_retention(NOW_MS).unwrap().is_empty());
        assert!(log.log_start_offset() > 0);
    });
}
