//! Jobs over real logs on a disk that fails on demand. What the rows of an answer look like is tested
//! through Python.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::batch::BatchBuilder;
use crate::clock::ManualClock;
use crate::compression::Codec;
use crate::env::{FaultFs, Faults};
use crate::log::{LogConfig, OpenOptions, PartitionLog};
use crate::wire::{Frame, ProducePlan};

fn open(fs: &FaultFs, name: &str) -> Arc<PartitionLog> {
    let dir = Path::new("/logs").join(name);
    let clock = Arc::new(ManualClock::new(1000));
    let options = OpenOptions::default();
    Arc::new(
        PartitionLog::open(&dir, LogConfig::default(), Arc::new(fs.clone()), clock, options)
            .unwrap()
            .0,
    )
}

fn batch(size: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(1000, None, Some(&vec![7; size]), []).unwrap();
    builder.build().unwrap()
}

/// A Produce request of version 7 with these records for one partition each.
fn plan(rows: &[&[u8]]) -> Arc<ProducePlan> {
    let mut bytes = b"\0\0\0\x07\0\0\0\x01\xff\xff\xff\xff\xff\xff\0\0\0\0".to_vec();
    bytes.extend((rows.len() as u32).to_be_bytes());
    for records in rows {
        bytes.extend(b"\0\x01t\0\0\0\x01\0\0\0\0");
        bytes.extend((records.len() as u32).to_be_bytes());
        bytes.extend(*records);
    }
    Arc::new(ProducePlan::parse(Frame::from(bytes)).unwrap())
}

fn produce(plan: &Arc<ProducePlan>, logs: &[&Arc<PartitionLog>]) -> Vec<ProduceRowOutcome> {
    let targets = logs
        .iter()
        .map(|log| ProduceTarget::Append(Arc::clone(log), 0, None))
        .collect();
    match (ProduceJob {
        plan: Arc::clone(plan),
        targets,
    })
    .run()
    {
        Outcome::Produced(rows) => rows,
        other => panic!("{other:?}"),
    }
}

fn fetch_row(log: &Arc<PartitionLog>, partition: i32) -> FetchRow {
    FetchRow {
        topic: "t".to_owned(),
        topic_id: [0; 16],
        partition,
        error_code: 0,
        high_watermark: 0,
        last_stable_offset: 0,
        log_start_offset: 0,
        diverging_epoch: None,
        current_leader: None,
        committed: false,
        preferred_read_replica: -1,
        log: Some(Arc::clone(log)),
        fetch_offset: 0,
        max_offset: i64::MAX,
        partition_max_bytes: 1 << 20,
        force: true,
    }
}

fn fetch(rows: Vec<FetchRow>) -> FetchOutcome {
    fetch_at_least(1, rows)
}

fn fetch_at_least(min_bytes: usize, rows: Vec<FetchRow>) -> FetchOutcome {
    let job = FetchJob {
        version: 11,
        correlation_id: 1,
        rows,
        max_bytes: 1 << 20,
        min_bytes,
        hard_max_bytes: false,
        from_files: false,
        throttle_ms: 0,
        error_code: 0,
        session_id: 0,
        node_endpoints: Vec::new(),
    };
    match job.run() {
        Outcome::Fetched(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_disk_fails_its_row_only_and_the_next_request_succeeds_once_there_is_space() {
    let fs = FaultFs::new();
    let (first, second) = (open(&fs, "t-0"), open(&fs, "t-1"));
    let (large, small) = (batch(5000), batch(10));
    let plan = plan(&[&large, &small]);
    let room = fs.used() + small.len() as u64 + 500;
    fs.set_faults(Faults {
        capacity: Some(room),
        ..Faults::default()
    });
    let rows = produce(&plan, &[&first, &second]);
    assert_eq!(
        (rows[0].error_code, rows[0].base_offset, rows[0].end_offset),
        (56, -1, -1)
    );
    assert_eq!(
        (rows[1].error_code, rows[1].base_offset, rows[1].end_offset),
        (0, 0, 1)
    );
    assert_eq!((first.is_out_of_room(), second.is_out_of_room()), (true, false));
    fs.set_faults(Faults::default());
    let rows = produce(&plan, &[&first, &second]);
    assert!(!first.is_out_of_room());
    assert_eq!((rows[0].error_code, rows[0].base_offset), (0, 0));
    assert_eq!((rows[1].error_code, rows[1].base_offset), (0, 1));
}

#[test]
fn a_write_error_answers_storage_error_from_then_on() {
    let fs = FaultFs::new();
    let log = open(&fs, "t-0");
    let plan = plan(&[&batch(10)]);
    fs.set_faults(Faults {
        fail_write: Some(0),
        ..Faults::default()
    });
    assert_eq!(produce(&plan, &[&log])[0].error_code, 56);
    fs.set_faults(Faults::default());
    let row = &produce(&plan, &[&log])[0];
    assert_eq!(row.error_code, 56);
    assert!(
        row.message.as_ref().is_some_and(|text| text.contains("offline")),
        "{row:?}"
    );
    assert!(log.failure().is_some());
}

#[test]
fn a_failed_fdatasync_acknowledges_nobody() {
    let fs = FaultFs::new();
    let log = open(&fs, "t-0");
    let engine = IoEngine::new(1).unwrap();
    assert_eq!(produce(&plan(&[&batch(10)]), &[&log])[0].error_code, 0);
    fs.set_faults(Faults {
        fail_sync: Some(0),
        ..Faults::default()
    });
    for token in 0..10 {
        engine.commit(token, log.clone()).unwrap();
    }
    engine.close();
    let results = engine.drain();
    assert_eq!(results.len(), 10);
    // Also those that came after the failed sync: what it failed on may be lost for ever.
    for (token, outcome) in results {
        assert!(
            matches!(outcome, Outcome::Failed(Failure::Error(_))),
            "{token}: {outcome:?}"
        );
    }
}

#[test]
fn a_row_that_is_in_the_log_and_not_durable_says_where_it_is() {
    let fs = FaultFs::new();
    let log = open(&fs, "t-0");
    let plan = plan(&[&batch(10)]);
    produce(&plan, &[&log]);
    log.update_config(LogConfig {
        flush_messages: 1,
        ..LogConfig::default()
    });
    fs.set_faults(Faults {
        fail_sync: Some(0),
        ..Faults::default()
    });
    let row = &produce(&plan, &[&log])[0];
    assert_eq!((row.error_code, row.base_offset, row.end_offset), (56, -1, 2));
}

#[test]
fn appends_of_many_jobs_to_one_log_do_not_block_the_pool() {
    let fs = FaultFs::new();
    let (busy, other) = (open(&fs, "t-0"), open(&fs, "t-1"));
    let engine = IoEngine::new(2).unwrap();
    let plan = plan(&[&batch(10)]);
    for token in 0..200 {
        let log = if token % 20 == 0 { &other } else { &busy };
        let targets = vec![ProduceTarget::Append(Arc::clone(log), 0, None)];
        let job = ProduceJob {
            plan: Arc::clone(&plan),
            targets,
        };
        engine.write(token, move || job.run()).unwrap();
    }
    engine.close();
    assert_eq!(engine.drain().len(), 200);
    assert_eq!((busy.log_end_offset(), other.log_end_offset()), (190, 10));
}

#[test]
fn a_row_of_an_older_segment_is_not_kept_waiting() {
    let fs = FaultFs::new();
    let (old, new) = (open(&fs, "t-0"), open(&fs, "t-1"));
    let records = batch(100);
    old.update_config(LogConfig {
        segment_bytes: 3 * records.len() as u64,
        ..LogConfig::default()
    });
    for log in [&old, &new] {
        for _ in 0..7 {
            produce(&plan(&[&records]), &[log]);
        }
    }
    let starting_at = |log, fetch_offset, max_offset| FetchRow {
        fetch_offset,
        max_offset,
        ..fetch_row(log, 0)
    };
    let many = 1 << 19;
    // Segments of three batches: the rest of the first, or of the second, is all that a read can give.
    for (offset, batches) in [(0, 3), (1, 2), (2, 1), (3, 3), (5, 1)] {
        let outcome = fetch_at_least(many, vec![starting_at(&old, offset, i64::MAX)]);
        assert!(outcome.response.is_some(), "{offset}");
        assert_eq!(outcome.total, batches * records.len());
    }
    for row in [
        starting_at(&old, 6, i64::MAX),
        // Nothing behind its segment may be read.
        starting_at(&old, 0, 3),
        starting_at(&new, 0, i64::MAX),
    ] {
        assert!(fetch_at_least(many, vec![row]).response.is_none());
    }
    let both = vec![starting_at(&new, 0, i64::MAX), starting_at(&old, 2, i64::MAX)];
    assert_eq!(fetch_at_least(many, both).total, 8 * records.len());
}

#[test]
fn records_that_cannot_be_read_cost_their_own_row_only() {
    let fs = FaultFs::new();
    let (first, second) = (open(&fs, "t-0"), open(&fs, "t-1"));
    let records = batch(100);
    produce(&plan(&[&records, &records]), &[&first, &second]);
    let file = Path::new("/logs/t-0/00000000000000000000.log");
    fs.damage(file, |bytes| bytes.truncate(70)).unwrap();
    let outcome = fetch(vec![fetch_row(&first, 0), fetch_row(&second, 1)]);
    assert_eq!(outcome.total, records.len());
    assert_eq!(
        outcome.rows[0],
        FetchedRow {
            error_code: 56,
            bytes: 0
        }
    );
    assert_eq!(
        outcome.rows[1],
        FetchedRow {
            error_code: 0,
            bytes: records.len()
        }
    );
    let response = outcome.response.unwrap().into_memory().unwrap();
    let length = u32::from_be_bytes(*response.first_chunk().unwrap()) as usize;
    assert_eq!(response.len(), 4 + length);
    assert!(response.ends_with(&records[61..]));
}

#[test]
fn a_fetch_with_nothing_new_builds_nothing() {
    let fs = FaultFs::new();
    let outcome = fetch(vec![fetch_row(&open(&fs, "t-0"), 0)]);
    assert_eq!(outcome.total, 0);
    assert!(outcome.response.is_none());
    assert_eq!(
        outcome.rows,
        [FetchedRow {
            error_code: 0,
            bytes: 0
        }]
    );
}

#[test]
fn an_error_that_came_with_its_row_waits_with_the_others() {
    let fs = FaultFs::new();
    let log = open(&fs, "t-0");
    let unknown = FetchRow {
        error_code: 3,
        log: None,
        ..fetch_row(&log, 1)
    };
    let rows = vec![unknown, fetch_row(&log, 0)];
    assert!(fetch(rows.clone()).response.is_none());
    let told = fetch_at_least(0, rows).response.unwrap();
    assert!(told.into_memory().is_ok());
    // One that the read itself has met is news.
    let beyond = FetchRow {
        fetch_offset: 99,
        ..fetch_row(&log, 0)
    };
    assert!(fetch(vec![beyond]).response.is_some());
}

#[test]
fn rows_of_an_append_share_nothing_but_the_job() {
    let fs = FaultFs::new();
    let (first, second) = (open(&fs, "t-0"), open(&fs, "t-1"));
    first.fence(4).unwrap();
    let row = |log: &Arc<PartitionLog>, codec, value: &[u8]| {
        let mut batch = BatchBuilder::new(codec);
        batch.append(1000, Some(b"key"), Some(value), []).unwrap();
        batch.append(1000, Some(b"tombstone"), None, []).unwrap();
        AppendRow {
            log: Arc::clone(log),
            leader_epoch: 3,
            content: AppendContent::Records(batch),
        }
    };
    let job = AppendJob {
        rows: vec![
            row(&first, Codec::None, b"late"),
            row(&second, Codec::Zstd, b"in time"),
            row(&second, Codec::None, &vec![7; 2 << 20]),
            row(&second, Codec::None, b"next"),
        ],
    };
    let Outcome::Produced(rows) = job.run() else {
        panic!("no rows")
    };
    let found: Vec<_> = rows.iter().map(|row| (row.error_code, row.end_offset)).collect();
    assert_eq!(found, [(6, -1), (0, 2), (10, -1), (0, 4)]);
    assert_eq!((first.log_end_offset(), second.log_end_offset()), (0, 4));
}
