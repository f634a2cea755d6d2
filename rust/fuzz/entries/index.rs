//! Index files from anywhere: alone, and under a log that is opened as after a clean shutdown.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use fastlog_core::batch::{BatchBuilder, BatchView};
use fastlog_core::env::{FaultFs, FileSystem, OpenMode};
use fastlog_core::index::{OffsetIndex, OffsetPosition, TimeIndex, TimestampedOffset};
use fastlog_core::log::{AppendOptions, LogConfig, OpenOptions, PartitionLog};
use fastlog_core::{Codec, ManualClock};

const NOW: i64 = 1_700_000_000_000;
const BATCHES: i64 = 12;
const OFFSET_INDEX: &str = "00000000000000000000.index";
const TIME_INDEX: &str = "00000000000000000000.timeindex";
const LOG: &str = "00000000000000000000.log";

/// The first byte says how the rest is divided between the two indexes.
pub fn run(data: &[u8]) {
    let Some((share, bytes)) = data.split_first() else {
        return;
    };
    let (offsets, times) = bytes.split_at(usize::from(*share).min(bytes.len()));
    offset_index(offsets);
    time_index(times);
    log(offsets, times);
}

fn write(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) {
    let file = fs.open(path, OpenMode::Truncate).expect("memory");
    file.write_all_at(bytes, 0).expect("memory");
}

/// A disk with one file, and its path.
fn disk(bytes: &[u8]) -> (Arc<FaultFs>, PathBuf) {
    let fs = Arc::new(FaultFs::new());
    fs.create_dir_all(Path::new("/log")).expect("memory");
    let path = PathBuf::from("/log/index");
    write(&*fs, &path, bytes);
    (fs, path)
}

fn offset_index(bytes: &[u8]) {
    let (fs, path) = disk(bytes);
    let base = 1000;
    let Ok(index) = OffsetIndex::open(fs, path, bytes.len() as u64, base, 1 << 20) else {
        assert_ne!(bytes.len() % 8, 0, "whole entries open");
        return;
    };
    let good = index.check(5000, 1 << 20).expect("memory").is_ok();
    let rises = index.rises().expect("memory");
    let entries: Vec<OffsetPosition> = bytes
        .chunks_exact(8)
        .map(|entry| {
            let number =
                |at: usize| u32::from_be_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
            OffsetPosition {
                offset: base + i64::from(number(0)),
                position: number(4),
            }
        })
        .collect();
    for offset in [i64::MIN, 0, base, base + 1, base + 50, 4999, i64::MAX] {
        let floor = index.floor(offset).expect("memory");
        let above = index.ceiling(offset).expect("memory");
        if rises {
            assert_eq!(
                floor,
                entries.iter().rfind(|entry| entry.offset <= offset).copied()
            );
            assert_eq!(
                above,
                entries.iter().find(|entry| entry.offset >= offset).copied()
            );
        }
    }
    if good && rises {
        let last = index.last().expect("memory");
        index.append(5000, 1 << 20).expect("memory");
        index.truncate_to(5000).expect("memory");
        assert_eq!(index.last().expect("memory"), last);
        assert!(index.check(5000, 1 << 20).expect("memory").is_ok());
    }
}

fn time_index(bytes: &[u8]) {
    let (fs, path) = disk(bytes);
    let Ok(index) = TimeIndex::open(fs, path, bytes.len() as u64, 1000, 1 << 20) else {
        assert_ne!(bytes.len() % 12, 0, "whole entries open");
        return;
    };
    let good = index.check(5000).expect("memory").is_ok();
    let rises = index.rises().expect("memory");
    for timestamp in [i64::MIN, -1, 0, NOW, i64::MAX] {
        let floor = index.floor(timestamp).expect("memory");
        assert!(!rises || floor.is_none_or(|entry| entry.timestamp <= timestamp));
    }
    if good && rises {
        let last = index.last().expect("memory");
        let entry = TimestampedOffset {
            timestamp: i64::MAX,
            offset: 5000,
        };
        index.append_if_later(entry).expect("memory");
        index.truncate_to(5000).expect("memory");
        assert_eq!(index.last().expect("memory"), last);
    }
}

fn config() -> LogConfig {
    LogConfig {
        index_interval_bytes: 100,
        ..LogConfig::default()
    }
}

fn open(fs: &Arc<FaultFs>, clean: bool) -> Option<PartitionLog> {
    let options = OpenOptions {
        recovery_point: if clean { BATCHES } else { 0 },
        clean_shutdown: clean,
        ..OpenOptions::default()
    };
    let clock = Arc::new(ManualClock::new(NOW));
    let fs: Arc<dyn FileSystem> = fs.clone();
    PartitionLog::open(Path::new("/log"), config(), fs, clock, options)
        .ok()
        .map(|(log, _)| log)
}

/// The three files of a log of batches of one record, offset and time rising together.
fn files() -> &'static [Vec<u8>; 3] {
    static FILES: OnceLock<[Vec<u8>; 3]> = OnceLock::new();
    FILES.get_or_init(|| {
        let fs = Arc::new(FaultFs::new());
        let log = open(&fs, false).expect("an empty disk");
        for i in 0..BATCHES {
            let mut builder = BatchBuilder::new(Codec::None);
            builder
                .append(NOW + i, None, Some(&[b'v'; 100]), [])
                .expect("small");
            let batch = builder.build().expect("small");
            log.append(&batch, 0, AppendOptions::default()).expect("memory");
        }
        log.close().expect("memory");
        [LOG, OFFSET_INDEX, TIME_INDEX]
            .map(|name| fs.read_file(&Path::new("/log").join(name)).expect("memory"))
    })
}

/// Whatever the indexes say, the records are those of the log: a wrong index is found out when the log is
/// opened, or makes a read fail, but never gives other records than those asked for.
fn log(offsets: &[u8], times: &[u8]) {
    let fs = Arc::new(FaultFs::new());
    fs.create_dir_all(Path::new("/log")).expect("memory");
    for (name, bytes) in [
        (LOG, &files()[0][..]),
        (OFFSET_INDEX, offsets),
        (TIME_INDEX, times),
    ] {
        write(&*fs, &Path::new("/log").join(name), bytes);
    }
    let Some(log) = open(&fs, true) else { return };
    assert_eq!(log.log_end_offset(), BATCHES);
    for offset in 0..BATCHES {
        if let Ok(slice) = log.read(offset, 1, i64::MAX, true) {
            let mut bytes = vec![0; slice.len];
            slice.read_into(&mut bytes).expect("memory");
            let view = BatchView::first(&bytes).expect("a whole batch");
            assert!(view.crc_is_valid());
            assert_eq!(view.header().base_offset, offset);
        }
        if let Ok(Some(found)) = log.offset_for_timestamp(NOW + offset, i64::MAX) {
            assert_eq!(
                (found.timestamp, found.offset),
                (NOW + found.offset, found.offset)
            );
        }
    }
    let _ = log.available_bytes(0, BATCHES);
    drop(log);

    // A scan makes all of it right.
    let log = open(&fs, false).expect("the records are good");
    for offset in 0..BATCHES {
        assert_eq!(
            log.read(offset, 1, i64::MAX, true).expect("memory").first_offset,
            offset
        );
        let found = log.offset_for_timestamp(NOW + offset, i64::MAX).expect("memory");
        assert_eq!(found.map(|found| found.offset), Some(offset));
    }
}

/// Inputs to start from.
#[allow(dead_code)] // the short run starts from them, libFuzzer from its corpus
pub fn seeds() -> Vec<Vec<u8>> {
    let [_, offsets, times] = files();
    let pair = |offsets: &[u8], times: &[u8]| [&[offsets.len() as u8], offsets, times].concat();
    vec![
        pair(offsets, times),
        pair(&offsets[..8], &times[..12]),
        pair(&[], times),
        pair(offsets, &[]),
        pair(&offsets[..11], &times[..17]),
        pair(
            &[offsets.as_slice(), &[0; 16]].concat(),
            &[times.as_slice(), &[0; 24]].concat(),
        ),
        pair(&[0, 0, 0, 1, 0, 0, 0, 100, 0, 0, 0, 2, 0, 0, 0, 200], &[]),
    ]
}
