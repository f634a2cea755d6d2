//! An answer of a leader on its way into logs.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::batch::BatchBuilder;
use crate::clock::ManualClock;
use crate::compression::Codec;
use crate::env::{FaultFs, Faults};
use crate::log::{LogConfig, OpenOptions, PartitionLog};
use crate::wire::{FetchAnswer, FetchReply, FetchRowAnswer, Frame};

fn open(fs: &FaultFs, name: &str) -> Arc<PartitionLog> {
    let dir = Path::new("/logs").join(name);
    let clock = Arc::new(ManualClock::new(1000));
    let options = OpenOptions::default();
    let opened = PartitionLog::open(&dir, LogConfig::default(), Arc::new(fs.clone()), clock, options);
    Arc::new(opened.unwrap().0)
}

fn stored(offset: i64, epoch: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(1000, None, Some(&[7; 100]), []).unwrap();
    let mut bytes = builder.build().unwrap();
    bytes[..8].copy_from_slice(&offset.to_be_bytes());
    bytes[12..16].copy_from_slice(&epoch.to_be_bytes());
    bytes
}

/// An answer with these records for one partition each; the leader's logs begin at `start`.
fn reply(rows: &[&[u8]], start: i64) -> Arc<FetchReply> {
    let rows: Vec<FetchRowAnswer<'_, &[u8]>> = rows
        .iter()
        .map(|records| FetchRowAnswer {
            topic: "t",
            topic_id: [1; 16],
            partition: 0,
            error_code: 0,
            high_watermark: 100,
            last_stable_offset: 100,
            log_start_offset: start,
            diverging_epoch: None,
            current_leader: None,
            snapshot_id: None,
            aborted: None,
            preferred_read_replica: -1,
            records: Some(*records),
        })
        .collect();
    let answer = FetchAnswer {
        throttle_ms: 0,
        error_code: 0,
        session_id: 0,
        rows: &rows,
        node_endpoints: &[],
    };
    let bytes = answer.encode(17, 1).unwrap();
    Arc::new(FetchReply::parse(Frame::from(bytes[4..].to_vec()), 17, rows.len()).unwrap())
}

fn replicate(reply: &Arc<FetchReply>, rows: &[(&Arc<PartitionLog>, i32, i64)]) -> Vec<ReplicateOutcome> {
    let rows = rows
        .iter()
        .enumerate()
        .map(|(row, (log, leader_epoch, fetch_offset))| ReplicateRow {
            row,
            log: Arc::clone(log),
            leader_epoch: *leader_epoch,
            fetch_offset: *fetch_offset,
        });
    let job = ReplicateJob {
        reply: Arc::clone(reply),
        rows: rows.collect(),
    };
    match job.run() {
        Outcome::Replicated(rows) => rows,
        other => panic!("{other:?}"),
    }
}

fn troubles(outcomes: &[ReplicateOutcome]) -> Vec<Option<Trouble>> {
    let trouble = |outcome: &ReplicateOutcome| outcome.trouble.as_ref().map(|(trouble, _)| *trouble);
    outcomes.iter().map(trouble).collect()
}

#[test]
fn whole_batches_are_taken_and_a_cut_one_is_not() {
    let fs = FaultFs::new();
    let log = open(&fs, "t-0");
    let (first, second) = (stored(0, 3), stored(1, 4));
    let records = [&first[..], &second, &stored(2, 4)[..80]].concat();
    let outcome = replicate(&reply(&[&records], 0), &[(&log, 5, 0)]).remove(0);
    assert_eq!((outcome.end_offset, outcome.trouble), (2, None));
    assert_eq!(log.end_offset_for_epoch(3), (3, 1));
    assert_eq!(log.latest_epoch(), Some(4));
    let mut bytes = vec![0; log.size_bytes() as usize];
    log.read(0, bytes.len(), i64::MAX, true)
        .unwrap()
        .read_into(&mut bytes)
        .unwrap();
    assert_eq!(bytes, [first, second].concat());
}

#[test]
fn each_row_has_its_own_trouble() {
    let fs = FaultFs::new();
    let names = ["ok", "damaged", "short", "gap", "moved", "epoch", "fenced"];
    let logs: Vec<_> = names.iter().map(|name| open(&fs, name)).collect();
    let good = stored(0, 1);
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    logs[4].append_as_follower(&good, 1).unwrap();
    logs[6].fence(9).unwrap();
    let newer = stored(0, 7);
    let rows: [&[u8]; 7] = [&good, &damaged, &good[..70], &[], &good, &newer, &good];
    let targets: Vec<_> = logs
        .iter()
        .enumerate()
        .map(|(at, log)| (log, 5, i64::from(at == 3)))
        .collect();
    let outcomes = replicate(&reply(&rows, 0), &targets);
    let expected = [
        None,
        Some(Trouble::Damaged),
        Some(Trouble::Damaged),
        Some(Trouble::OutOfOrder),
        Some(Trouble::OutOfOrder),
        Some(Trouble::OutOfOrder),
        Some(Trouble::Fenced),
    ];
    assert_eq!(troubles(&outcomes), expected);
    let ends: Vec<i64> = logs.iter().map(|log| log.log_end_offset()).collect();
    assert_eq!(ends, [1, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn the_start_follows_the_leaders_as_far_as_both_have_it() {
    let fs = FaultFs::new();
    let log = open(&fs, "t-0");
    let records = [stored(0, 1), stored(1, 1), stored(2, 1)].concat();
    let outcome = replicate(&reply(&[&records], 2), &[(&log, 1, 0)]).remove(0);
    assert_eq!((outcome.log_start_offset, outcome.end_offset), (2, 3));
    let outcome = replicate(&reply(&[&[]], 50), &[(&log, 1, 3)]).remove(0);
    assert_eq!((outcome.log_start_offset, outcome.trouble), (3, None));
}

#[test]
fn a_full_disk_keeps_records_out_and_the_log_goes_on() {
    let fs = FaultFs::new();
    let log = open(&fs, "t-0");
    fs.set_faults(Faults {
        capacity: Some(fs.used() + 50),
        ..Faults::default()
    });
    let answer = reply(&[&stored(0, 1)], 0);
    assert_eq!(
        troubles(&replicate(&answer, &[(&log, 1, 0)])),
        [Some(Trouble::Storage)]
    );
    assert!(log.failure().is_none());
    fs.set_faults(Faults::default());
    assert_eq!(troubles(&replicate(&answer, &[(&log, 1, 0)])), [None]);
}
