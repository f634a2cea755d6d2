//! What counts and what does not. That requests get the same answers as the other way is tested through Python.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::batch::BatchBuilder;
use crate::clock::ManualClock;
use crate::compression::Codec;
use crate::env::{FaultFs, Faults};
use crate::log::{AppendOptions, LogConfig, OpenOptions};
use crate::wire::Frame;

const LONG: Duration = Duration::from_secs(60);

fn open(fs: &FaultFs, config: LogConfig) -> Arc<PartitionLog> {
    let clock = Arc::new(ManualClock::new(1000));
    let options = OpenOptions::default();
    let log = PartitionLog::open(
        Path::new("/logs/t-0"),
        config,
        Arc::new(fs.clone()),
        clock,
        options,
    );
    let log = Arc::new(log.unwrap().0);
    log.append(&batch(Codec::None), 3, AppendOptions::default())
        .unwrap();
    log
}

fn batch(codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec);
    builder.append(1000, None, Some(&[7; 100]), []).unwrap();
    builder.build().unwrap()
}

/// A Produce request of version 7 for one partition of t.
fn frame(partition: u8, acks: i16, records: &[u8]) -> Frame {
    let mut bytes = b"\0\0\0\x07\0\0\0\x01\xff\xff\xff\xff".to_vec();
    bytes.extend(acks.to_be_bytes());
    bytes.extend(b"\0\0\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0");
    bytes.push(partition);
    bytes.extend((records.len() as u32).to_be_bytes());
    bytes.extend(records);
    Frame::from(bytes)
}

fn entry(log: &Arc<PartitionLog>, generation: &Generation) -> Entry<&'static str> {
    Entry {
        log: Arc::clone(log),
        leader_epoch: 3,
        acks_all: true,
        owner: "owner",
        generation: generation.clone(),
        decided_in: generation.number(),
    }
}

struct Setting {
    log: Arc<PartitionLog>,
    generation: Generation,
    table: SettledTable<&'static str>,
}

impl Setting {
    fn new(config: LogConfig) -> Self {
        Self::on(&FaultFs::new(), config)
    }

    fn on(fs: &FaultFs, config: LogConfig) -> Self {
        let (log, generation) = (open(fs, config), Generation::default());
        let mut table = SettledTable::default();
        table.enter("t", 0, entry(&log, &generation));
        Self {
            log,
            generation,
            table,
        }
    }

    /// How many of these are executed, and where the log ends then.
    fn run(&mut self, frames: &[Frame]) -> (usize, i64) {
        let served = self.table.produce(frames, LONG);
        assert!(served.failure.is_none());
        assert_eq!(served.taken_up.len(), served.requests);
        let ends: Vec<_> = served
            .appended
            .iter()
            .map(|(owner, end)| (*owner, *end))
            .collect();
        let end = self.log.log_end_offset();
        let first = end - served.requests as i64;
        assert!(ends.into_iter().eq((first + 1..=end).map(|end| ("owner", end))));
        (served.requests, end)
    }
}

#[test]
fn settled_requests_are_appended_and_answered_in_order() {
    let mut setting = Setting::new(LogConfig::default());
    let records = batch(Codec::None);
    let frames = [1, -1, 0].map(|acks| frame(0, acks, &records));
    let served = setting.table.produce(&frames, LONG);
    assert_eq!((served.requests, served.record_bytes), (3, 3 * records.len()));
    // acks=0 has no answer.
    assert_eq!(served.answers.len() % 2, 0);
    let (first, second) = served.answers.split_at(served.answers.len() / 2);
    assert_eq!(first[4..8], second[4..8], "the same correlation id");
    assert_eq!(setting.log.log_end_offset(), 4);
}

#[test]
fn a_stale_entry_is_not_used() {
    let mut setting = Setting::new(LogConfig::default());
    let request = [frame(0, 1, &batch(Codec::None))];
    assert_eq!(setting.run(&request), (1, 2));
    setting.generation.change();
    assert!(!setting.table.has("t", 0));
    assert_eq!(setting.run(&request), (0, 2));
    setting
        .table
        .enter("t", 0, entry(&setting.log, &setting.generation));
    assert_eq!(setting.run(&request), (1, 3));
}

#[test]
fn an_entry_that_was_decided_too_early_is_not_used() {
    let mut setting = Setting::new(LogConfig::default());
    let early = entry(&setting.log, &setting.generation);
    setting.generation.change();
    setting.table.enter("t", 0, early);
    assert_eq!(setting.run(&[frame(0, 1, &batch(Codec::None))]), (0, 1));
}

#[test]
fn whatever_is_not_settled_ends_the_run_and_is_left_alone() {
    let good = batch(Codec::None);
    let mut broken = good.clone();
    *broken.last_mut().unwrap() ^= 1;
    let mut transactional = BatchBuilder::new(Codec::None).producer(7, 0, 0).transactional();
    transactional.append(1000, None, Some(b"x"), []).unwrap();
    let mut out_of_order = BatchBuilder::new(Codec::None).producer(7, 0, 5);
    out_of_order.append(1000, None, Some(b"x"), []).unwrap();
    let mut large = BatchBuilder::new(Codec::None);
    large
        .append(1000, None, Some(&vec![7; crate::log::MOST_BYTES_AT_ONCE]), [])
        .unwrap();
    let mut setting = Setting::new(LogConfig::default());
    setting.table.enter(
        "t",
        0,
        Entry {
            acks_all: false,
            ..entry(&setting.log, &setting.generation)
        },
    );
    let mut end = 1;
    for (what, left) in [
        ("another partition", frame(1, 1, &good)),
        ("a checksum", frame(0, 1, &broken)),
        ("a transaction", frame(0, 1, &transactional.build().unwrap())),
        ("compression", frame(0, 1, &batch(Codec::Lz4))),
        ("size", frame(0, 1, &large.build().unwrap())),
        ("acks", frame(0, 2, &good)),
        ("acks=all", frame(0, -1, &good)),
        ("no records", frame(0, 1, b"")),
        (
            "another request",
            Frame::from(b"\0\x01\0\x07\0\0\0\x01\xff\xff".to_vec()),
        ),
        ("a cut", Frame::from(frame(0, 1, &good)[..40].to_vec())),
    ] {
        let frames = [frame(0, 1, &good), left, frame(0, 1, &good)];
        end += 1;
        assert_eq!(setting.run(&frames), (1, end), "{what}");
    }
    // A producer that is not known may begin anywhere, and not leave anything out then.
    let first = out_of_order.build().unwrap();
    assert_eq!(setting.run(&[frame(0, 1, &first)]), (1, end + 1));
    assert_eq!(setting.run(&[frame(0, 1, &first)]), (0, end + 1), "a duplicate");
    let mut gap = BatchBuilder::new(Codec::None).producer(7, 0, 9);
    gap.append(1000, None, Some(b"x"), []).unwrap();
    assert_eq!(setting.run(&[frame(0, 1, &gap.build().unwrap())]), (0, end + 1));
}

#[test]
fn what_may_wait_is_left_to_others() {
    let request = [frame(0, 1, &batch(Codec::None))];
    for (what, config) in [
        (
            "a flush",
            LogConfig {
                flush_messages: 1000,
                ..LogConfig::default()
            },
        ),
        (
            "a roll",
            LogConfig {
                segment_bytes: 300,
                ..LogConfig::default()
            },
        ),
        (
            "compression",
            LogConfig {
                compression: crate::batch::CompressionPolicy::Codec(Codec::Zstd, None),
                ..LogConfig::default()
            },
        ),
        (
            "a refusal",
            LogConfig {
                max_message_bytes: 100,
                ..LogConfig::default()
            },
        ),
    ] {
        let mut setting = Setting::new(LogConfig::default());
        setting.log.update_config(config);
        assert_eq!(setting.run(&request), (0, 1), "{what}");
        setting.log.update_config(LogConfig::default());
        assert_eq!(setting.run(&request), (1, 2), "{what}");
    }
}

#[test]
fn an_epoch_that_is_over_and_one_that_has_not_begun_write_nothing() {
    let mut setting = Setting::new(LogConfig::default());
    let request = [frame(0, 1, &batch(Codec::None))];
    let later = Entry {
        leader_epoch: 4,
        ..entry(&setting.log, &setting.generation)
    };
    setting.table.enter("t", 0, later.clone());
    assert_eq!(
        setting.run(&request),
        (0, 1),
        "its beginning is to be written down first"
    );
    setting.log.lead(4).unwrap();
    assert_eq!(setting.run(&request), (1, 2));
    setting.log.fence(5).unwrap();
    assert_eq!(setting.run(&request), (0, 2));
}

#[test]
fn index_entries_are_not_written_out_here() {
    let config = LogConfig {
        index_interval_bytes: 1,
        ..LogConfig::default()
    };
    let mut setting = Setting::new(config);
    let request = [frame(0, 1, &batch(Codec::None))];
    let mut left = 0;
    for _ in 0..1200 {
        if setting.run(&request).0 == 0 {
            left += 1;
            setting
                .log
                .append(&batch(Codec::None), 3, AppendOptions::default())
                .unwrap();
        }
    }
    // A page of the offset index has 512 entries; each is written, and the one after it asks for the last entry.
    assert!((2..=8).contains(&left), "{left}");
}

#[test]
fn a_full_disk_is_left_to_others_and_leaves_no_trace() {
    let fs = FaultFs::new();
    let mut setting = Setting::on(&fs, LogConfig::default());
    let request = [frame(0, 1, &batch(Codec::None))];
    let size = setting.log.size_bytes();
    fs.set_faults(Faults {
        capacity: Some(0),
        ..Faults::default()
    });
    assert_eq!(setting.run(&request), (0, 1));
    assert!(setting.log.is_out_of_room());
    assert_eq!(setting.log.size_bytes(), size);
    fs.set_faults(Faults::default());
    setting
        .log
        .append(&batch(Codec::None), 3, AppendOptions::default())
        .unwrap();
    assert_eq!(setting.run(&request), (1, 3));
    assert!(!setting.log.is_out_of_room());
}

#[test]
fn entries_that_do_not_count_any_more_are_dropped() {
    let mut setting = Setting::new(LogConfig::default());
    for partition in 0..1000 {
        let generation = Generation::default();
        setting
            .table
            .enter("u", partition, entry(&setting.log, &generation));
        if partition % 10 != 0 {
            generation.change();
        }
    }
    assert!(setting.table.len() <= 2 * 101 + FEW, "{}", setting.table.len());
    assert!(setting.table.has("t", 0) && setting.table.has("u", 990));
    for partition in 0..1000 {
        setting.table.withdraw("u", partition);
    }
    setting.table.withdraw("t", 0);
    assert!(setting.table.is_empty());
    assert_eq!(Arc::strong_count(&setting.log), 1, "logs are let go");
}
