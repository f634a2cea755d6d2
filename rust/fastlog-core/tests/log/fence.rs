//! Between leaderships: nothing that was decided in an older epoch lands behind the start of a newer one.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{Dir, NOW_MS, batch, clean, gate, unclean};
use fastlog_core::Error;
use fastlog_core::batch::batches;
use fastlog_core::log::{AppendError, AppendInfo, AppendOptions, LogConfig, OpenOptions, PartitionLog};

fn append(log: &PartitionLog, epoch: i32) -> Result<AppendInfo, AppendError> {
    log.append(&batch(1, 10, NOW_MS), epoch, AppendOptions::default())
}

fn is_fenced<T>(result: &Result<T, AppendError>) -> bool {
    matches!(result, Err(AppendError::Failed(Error::Fenced { .. })))
}

/// Base offset and leader epoch of each batch.
fn stamps(log: &PartitionLog) -> Vec<(i64, i32)> {
    let mut bytes = vec![0; log.size_bytes() as usize];
    let slice = log
        .read(log.log_start_offset(), bytes.len(), i64::MAX, true)
        .unwrap();
    assert_eq!(slice.len, bytes.len());
    slice.read_into(&mut bytes).unwrap();
    batches(&bytes)
        .map(|view| {
            let view = view.unwrap();
            let header = view.header();
            (header.base_offset, header.partition_leader_epoch)
        })
        .collect()
}

#[test]
fn an_older_epoch_is_refused_and_leaves_no_trace() {
    let dir = Dir::new();
    let (log, _) = dir.open(&LogConfig::default(), OpenOptions::default());
    assert_eq!(log.lead(3).unwrap(), 0);
    append(&log, 3).unwrap();
    assert_eq!(log.lead(5).unwrap(), 1);
    let size = log.size_bytes();
    assert!(is_fenced(&append(&log, 4)));
    assert!(is_fenced(&append(&log, 3)));
    assert!(matches!(log.lead(4), Err(Error::Fenced { epoch: 4, fence: 5 })));
    assert_eq!((log.log_end_offset(), log.size_bytes()), (1, size));
    append(&log, 5).unwrap();
    assert_eq!(log.lead(5).unwrap(), 1, "it has begun already");
    assert_eq!(stamps(&log), [(0, 3), (1, 5)]);
    assert_eq!(log.failure(), None);
}

#[test]
fn the_copy_of_an_earlier_append_is_refused_too() {
    let dir = Dir::new();
    let (log, _) = dir.open(&LogConfig::default(), OpenOptions::default());
    let mut builder = fastlog_core::batch::BatchBuilder::new(fastlog_core::Codec::None).producer(7, 0, 0);
    builder.append(NOW_MS, None, Some(b"once"), []).unwrap();
    let records = builder.build().unwrap();
    log.append(&records, 1, AppendOptions::default()).unwrap();
    assert!(
        log.append(&records, 1, AppendOptions::default())
            .unwrap()
            .duplicate
    );
    log.fence(2).unwrap();
    assert!(is_fenced(&log.append(&records, 1, AppendOptions::default())));
}

#[test]
fn the_fence_stays_whatever_is_truncated() {
    let dir = Dir::new();
    let (log, _) = dir.open(&LogConfig::default(), OpenOptions::default());
    log.lead(3).unwrap();
    append(&log, 3).unwrap();
    log.lead(8).unwrap();
    log.truncate_to(0).unwrap();
    assert_eq!(log.latest_epoch(), None);
    assert!(is_fenced(&append(&log, 7)));
    log.truncate_fully_and_start_at(100).unwrap();
    assert!(is_fenced(&append(&log, 7)));
    assert_eq!(log.lead(8).unwrap(), 100);
}

#[test]
fn a_follower_takes_nothing_from_former_leaders_nor_from_itself() {
    let dir = Dir::new();
    let (log, _) = dir.open(&LogConfig::default(), OpenOptions::default());
    log.lead(1).unwrap();
    append(&log, 1).unwrap();
    log.fence(4).unwrap();
    assert!(is_fenced(&append(&log, 1)));
    assert_eq!(log.latest_epoch(), Some(1), "it leads in no other epoch");
    let fetched = |epoch: u8| {
        let mut bytes = batch(1, 10, NOW_MS);
        bytes[7] = log.log_end_offset() as u8;
        bytes[12..16].copy_from_slice(&[0, 0, 0, epoch]);
        bytes
    };
    assert!(is_fenced(&log.append_as_follower(&fetched(3), 3)));
    // What the new leader has of older epochs is taken; of newer ones it cannot have anything.
    log.append_as_follower(&fetched(2), 4).unwrap();
    assert!(matches!(
        log.append_as_follower(&fetched(5), 4),
        Err(AppendError::Failed(Error::InvalidArgument(_)))
    ));
    assert_eq!(stamps(&log), [(0, 1), (1, 2)]);
}

#[test]
fn a_start_fences_what_the_epochs_on_disk_fence() {
    let dir = Dir::new();
    let (log, _) = dir.open(&LogConfig::default(), OpenOptions::default());
    log.lead(6).unwrap();
    append(&log, 6).unwrap();
    log.close().unwrap();
    drop(log);
    let (log, _) = dir.open(&LogConfig::default(), clean(1));
    assert!(is_fenced(&append(&log, 5)));
    drop(log);
    let (log, _) = dir.open(&LogConfig::default(), unclean(0));
    assert!(is_fenced(&append(&log, 5)));
    append(&log, 6).unwrap();
}

#[test]
fn an_epoch_begins_behind_the_append_that_is_being_written() {
    let (_dir, log, gate) = gate::opened(&LogConfig::default());
    log.lead(1).unwrap();
    gate.close();
    std::thread::scope(|scope| {
        let written = scope.spawn(|| append(&log, 1));
        gate.wait_for_writer();
        let begun = scope.spawn(|| log.lead(2));
        gate.open();
        assert_eq!(written.join().unwrap().unwrap().end_offset, 1);
        assert_eq!(begun.join().unwrap().unwrap(), 1);
    });
    assert_eq!(log.end_offset_for_epoch(1), (1, 1));
}

#[test]
fn epochs_follow_each_other_under_load() {
    let dir = Dir::new();
    let (log, _) = dir.open(&LogConfig::default(), OpenOptions::default());
    let over = AtomicBool::new(false);
    let mut starts = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                // Each append was decided in the epoch of some time ago.
                let mut decided = 0;
                while !over.load(Ordering::Acquire) {
                    if let Err(error) = append(&log, decided) {
                        assert!(is_fenced::<()>(&Err(error)));
                    }
                    decided = log.latest_epoch().unwrap_or(0);
                }
            });
        }
        for epoch in 0..12 {
            starts.push(log.lead(epoch).unwrap());
            let end = log.log_end_offset();
            while log.log_end_offset() < end + 5 {
                std::thread::yield_now();
            }
        }
        over.store(true, Ordering::Release);
    });
    for (offset, epoch) in stamps(&log) {
        let begun = starts.partition_point(|start| *start <= offset) as i32 - 1;
        assert_eq!(epoch, begun, "offset {offset} of {starts:?}");
        assert_eq!(log.epoch_at(offset), Some(epoch));
    }
}
