//! Every call of every operation fails once, with every kind of error: what passes costs that operation and no more,
//! one file its log, a disk all of it; and what was acknowledged is there in any case.

use std::path::Path;
use std::sync::Arc;

use crate::common::keyed::everything;
use crate::common::{NOW_MS, read_all, unclean};
use fastlog_core::batch::BatchBuilder;
use fastlog_core::env::{Crash, DescriptorPool, FailingCalls, FaultFs, Faults, PooledFs};
use fastlog_core::log::{AppendError, AppendOptions, LogConfig, OpenOptions, PartitionLog};
use fastlog_core::{Cause, Codec, Error, ManualClock, Result};

const DIR: &str = "/data/topic-0";
const PASSING: [i32; 6] = [
    libc::EMFILE,
    libc::ENFILE,
    libc::ENOMEM,
    libc::EAGAIN,
    libc::ENOBUFS,
    libc::EFBIG,
];
const OF_ONE_FILE: [i32; 7] = [
    libc::EACCES,
    libc::EPERM,
    libc::ENOENT,
    libc::EISDIR,
    libc::ENOTDIR,
    libc::ELOOP,
    libc::ENAMETOOLONG,
];
const OF_THE_DISK: [i32; 3] = [libc::EIO, libc::EROFS, libc::ENODEV];
/// In the middle of a batch, some segments before the end.
const TRUNCATED_TO: i64 = 21;
/// Operations may meet the same shortage in several steps.
const ATTEMPTS: usize = 20;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 900,
        index_interval_bytes: 100,
        retention_ms: -1,
        file_delete_delay_ms: 0,
        compact: true,
        ..LogConfig::default()
    }
}

fn open(fs: &FaultFs, capacity: usize, options: OpenOptions) -> Result<PartitionLog> {
    let pooled = PooledFs::new(Arc::new(fs.clone()), Arc::new(DescriptorPool::new(capacity)));
    let clock = Arc::new(ManualClock::new(NOW_MS));
    PartitionLog::open(Path::new(DIR), config(), Arc::new(pooled), clock, options).map(|(log, _)| log)
}

/// One operation of the workload; `step` says which records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Append(i64, i32),
    Roll,
    Flush,
    Truncate,
    Retain,
    Purge,
    Compact,
    Read,
}

fn steps() -> Vec<Step> {
    let mut steps = Vec::new();
    for round in 0..3 {
        let epoch = i32::from(round > 0);
        steps.extend((0..6).map(|n| Step::Append(round * 6 + n, epoch)));
        steps.extend([
            Step::Roll,
            Step::Append(90 + round, epoch),
            Step::Flush,
            Step::Read,
        ]);
        if round == 1 {
            steps.extend([Step::Truncate, Step::Append(95, epoch)]);
        }
        steps.extend([Step::Retain, Step::Purge, Step::Compact, Step::Purge]);
    }
    steps
}

fn run(log: &PartitionLog, step: Step) -> Result<()> {
    match step {
        Step::Append(n, epoch) => {
            let mut builder = BatchBuilder::new(Codec::None);
            for record in 0..2 {
                let key = format!("key-{}", (n * 2 + record) % 11);
                let value = vec![b'v'; 40 + (n * 31 % 90) as usize];
                builder
                    .append(NOW_MS + n, Some(key.as_bytes()), Some(&value), [])
                    .unwrap();
            }
            let records = builder.build().unwrap();
            match log.append(&records, epoch, AppendOptions::default()) {
                Err(AppendError::Failed(error) | AppendError::Unflushed { error, .. }) => Err(error),
                other => {
                    other.unwrap();
                    Ok(())
                }
            }
        }
        Step::Roll => log.roll().map(drop),
        Step::Flush => log.flush(None).map(drop),
        Step::Truncate => log.truncate_to(TRUNCATED_TO),
        Step::Retain => {
            log.advance_log_start_offset((log.log_end_offset() / 3).max(log.log_start_offset()))?;
            log.apply_retention(NOW_MS).map(drop)
        }
        Step::Purge => log.purge_deleted(NOW_MS + 1).map(drop),
        Step::Compact => log.compact(&everything(log, -1, NOW_MS)).map(drop),
        Step::Read => {
            let mut offset = log.log_start_offset();
            while offset < log.log_end_offset() {
                let slice = log.read(offset, 1, i64::MAX, true)?;
                let mut bytes = vec![0; slice.len];
                slice.read_into(&mut bytes)?;
                offset += 2;
            }
            Ok(())
        }
    }
}

/// Offset and value of every record that can be read.
fn content(log: &PartitionLog) -> Vec<(i64, Vec<u8>)> {
    read_all(log, log.log_start_offset(), 700)
}

/// The workload without a fault: calls that it takes, and what it leaves.
fn undisturbed(capacity: usize) -> (u64, Vec<(i64, Vec<u8>)>) {
    let fs = FaultFs::new();
    let log = open(&fs, capacity, OpenOptions::default()).unwrap();
    for step in steps() {
        run(&log, step).unwrap();
    }
    (fs.calls().0, content(&log))
}

fn failing(fs: &FaultFs, after: u64, count: u64, error: i32) {
    fs.set_faults(Faults {
        calls: Some(FailingCalls { after, count, error }),
        ..Faults::default()
    });
}

#[test]
fn what_passes_costs_the_operation_that_met_it() {
    for capacity in [0, 100] {
        let (calls, expected) = undisturbed(capacity);
        for after in 0..calls {
            let error = PASSING[after as usize % PASSING.len()];
            let count = 1 + after % 3;
            let fs = FaultFs::new();
            let what = format!("{count} times error {error} after call {after}, {capacity} descriptors");
            failing(&fs, after, count, error);
            let mut opened = open(&fs, capacity, OpenOptions::default());
            for _ in 0..ATTEMPTS {
                if opened.is_err() {
                    opened = open(&fs, capacity, OpenOptions::default());
                }
            }
            let log = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
            let mut was_an_fsync = false;
            for step in steps() {
                let mut attempt = run(&log, step);
                for _ in 0..ATTEMPTS {
                    match &attempt {
                        Err(error) if error.passes() => attempt = run(&log, step),
                        _ => break,
                    }
                }
                if log.failure().is_some_and(|failure| failure.cause == Cause::Disk) {
                    // An fsync that fails is final, whatever it says.
                    was_an_fsync = true;
                    break;
                }
                assert_eq!(log.failure(), None, "{what}: {step:?}");
                attempt.unwrap_or_else(|error| panic!("{what}: {step:?}: {error}"));
            }
            if was_an_fsync {
                continue;
            }
            let found = content(&log);
            let offsets = |records: &[(i64, Vec<u8>)]| -> Vec<i64> {
                records.iter().map(|(offset, _)| *offset).collect()
            };
            assert_eq!(offsets(&found), offsets(&expected), "{what}");
            assert!(found == expected, "{what}");
            drop(log);
            let image = fs.crash_image(fs.operations(), Crash::Process);
            let log = open(&image, 100, unclean(0)).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(log.log_end_offset(), expected.last().unwrap().0 + 1, "{what}");
        }
    }
}

#[test]
fn other_errors_cost_the_log_or_the_disk_and_no_record() {
    let (calls, _) = undisturbed(2);
    let errors: Vec<i32> = OF_ONE_FILE.into_iter().chain(OF_THE_DISK).collect();
    let mut blamed = [0, 0];
    for after in 0..calls {
        let error = errors[after as usize % errors.len()];
        let what = format!("error {error} after call {after}");
        let fs = FaultFs::new();
        failing(&fs, after, 1, error);
        let Ok(log) = open(&fs, 2, OpenOptions::default()) else {
            continue;
        };
        let mut kept: Vec<i64> = Vec::new();
        for step in steps() {
            if step == Step::Truncate {
                // What it takes away is not promised.
                break;
            }
            let end = log.log_end_offset();
            let result = run(&log, step);
            match (step, &result) {
                (Step::Append(..), Ok(())) => kept.push(end),
                (_, Err(Error::Offline { .. })) => break,
                _ => {}
            }
        }
        if let Some(failure) = log.failure() {
            let is_fsync = failure.reason.contains("fdatasync") || failure.reason.contains("fsync directory");
            let of_the_disk = OF_THE_DISK.contains(&error) || is_fsync;
            let expected = if of_the_disk { Cause::Disk } else { Cause::File };
            assert_eq!(failure.cause, expected, "{what}: {}", failure.reason);
            blamed[usize::from(of_the_disk)] += 1;
        }
        let end = log.log_end_offset();
        drop(log);
        let image = fs.crash_image(fs.operations(), Crash::Process);
        let log = open(&image, 100, unclean(0)).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(kept.iter().all(|offset| *offset < end), "{what}");
        if let Some(last) = kept.last() {
            assert!(
                log.log_end_offset() > *last,
                "{what}: {} <= {last}",
                log.log_end_offset()
            );
        }
    }
    assert!(blamed[0] > 0 && blamed[1] > 0, "{blamed:?}");
}

#[test]
fn a_file_that_cannot_be_unlinked_keeps_none_of_the_others() {
    let fs = FaultFs::new();
    let log = open(&fs, 100, OpenOptions::default()).unwrap();
    for n in 0..30 {
        run(&log, Step::Append(n, 0)).unwrap();
    }
    log.advance_log_start_offset(40).unwrap();
    let files = 3 * log.apply_retention(NOW_MS).unwrap().len();
    assert!(files >= 9);
    failing(&fs, 4, 1, libc::EPERM);
    assert!(log.purge_deleted(NOW_MS).is_err());
    assert_eq!(fs.calls().1, 1);
    assert_eq!(log.failure(), None);
    assert_eq!(log.purge_deleted(NOW_MS).unwrap(), 1);
    assert_eq!(log.purge_deleted(NOW_MS).unwrap(), 0);
}
