//! Appending, reading and reopening a log on the real file system.

use crate::common::{Dir, append, batch, clean, read_all, unclean};
use fastlog_core::Error;
use fastlog_core::log::{LogConfig, OpenOptions};

fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 10_000,
        index_interval_bytes: 500,
        ..LogConfig::default()
    }
}

#[test]
fn appends_and_reads_back_across_segments() {
    let dir = Dir::new();
    let (log, report) = dir.open(&small(), OpenOptions::default());
    assert_eq!(report.bytes_scanned, 0);
    for index in 0..100_i64 {
        let info = append(&log, &batch(3, 100, index));
        assert_eq!(
            (info.first_offset, info.last_offset, info.end_offset),
            (index * 3, index * 3 + 2, index * 3 + 3)
        );
    }
    assert!(log.segments().unwrap().len() > 3);
    for max_bytes in [1, 100, 1000, 100_000] {
        let all = read_all(&log, 0, max_bytes);
        let offsets: Vec<i64> = all.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, (0..300).collect::<Vec<_>>());
    }
    for offset in 0..300 {
        assert_eq!(read_all(&log, offset, 500)[0].0, offset);
    }
    assert!(matches!(
        log.read(301, 1, i64::MAX, true),
        Err(Error::OffsetOutOfRange { .. })
    ));
    assert!(matches!(
        log.read(-1, 1, i64::MAX, true),
        Err(Error::OffsetOutOfRange { .. })
    ));
    assert_eq!(log.read(300, 100, i64::MAX, true).unwrap().len, 0);
    let size = log.size_bytes();
    log.close().unwrap();
    drop(log);

    let (log, report) = dir.open(&small(), clean(300));
    assert_eq!((report.bytes_scanned, report.indexes_rebuilt), (0, 0));
    assert_eq!(report.warnings, [""; 0]);
    assert_eq!((log.log_end_offset(), log.size_bytes()), (300, size));
    assert_eq!(read_all(&log, 0, 1 << 20).len(), 300);
    append(&log, &batch(1, 10, 1));
    drop(log);

    let (log, report) = dir.open(&small(), unclean(300));
    assert!(report.bytes_scanned > 0);
    assert_eq!(report.warnings, [""; 0]);
    assert_eq!(log.log_end_offset(), 301);
    assert_eq!(read_all(&log, 0, 1 << 20).len(), 301);
}

#[test]
fn room_that_was_reserved_is_no_part_of_the_log() {
    let dir = Dir::new();
    let (log, _) = dir.open(&LogConfig::default(), OpenOptions::default());
    append(&log, &batch(3, 100, 0));
    let size = log.size_bytes();
    log.reserve_ahead(1 << 20).unwrap();
    let file = dir.file("00000000000000000000.log");
    let found = std::fs::metadata(&file).unwrap();
    assert_eq!((found.len(), log.size_bytes()), (size, size));
    assert!(std::os::unix::fs::MetadataExt::blocks(&found) * 512 >= 1 << 20);
    append(&log, &batch(3, 100, 0));
    drop(log);
    let (log, report) = dir.open(&LogConfig::default(), unclean(0));
    assert_eq!(report.warnings, [""; 0]);
    assert_eq!(log.log_end_offset(), 6);
}
