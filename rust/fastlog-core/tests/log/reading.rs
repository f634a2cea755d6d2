//! `LogReader` step by step: where it begins and ends, what it leaves out, and what it says of damage.

use std::path::Path;
use std::sync::Arc;

use fastlog_core::batch::{ControlKind, RecordTable};
use fastlog_core::checkpoints::OffsetCheckpoint;
use fastlog_core::env::StdFs;
use fastlog_core::log::{AppendOptions, LogConfig};
use fastlog_core::log_reader::{Ask, LogReader, ReaderOptions};
use fastlog_core::{Codec, Error};

use crate::common::keyed::{Pair, Producer, end, put};
use crate::common::{Dir, NOW_MS, append, batch, config, contents, filled, opened};

pub(crate) const COMMITTED: ReaderOptions = ReaderOptions {
    to_committed_end: true,
    read_committed: false,
};
const WRITTEN: ReaderOptions = ReaderOptions {
    to_committed_end: false,
    read_committed: false,
};

pub(crate) fn commit(dir: &Path, offset: i64) {
    let path = dir.parent().unwrap().join("replication-offset-checkpoint");
    // Without fsyncs: a test does it a thousand times.
    let text = format!("0\n1\ntopic 0 {offset}\n");
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, text).unwrap();
    std::fs::rename(&temporary, &path).unwrap();
}

pub(crate) fn reader(dir: &Path, options: ReaderOptions) -> LogReader {
    LogReader::open(Arc::new(StdFs), dir, options).unwrap()
}

pub(crate) fn ask(position: i64) -> Ask {
    Ask {
        position,
        until: i64::MAX,
        most_rows: usize::MAX,
        most_bytes: usize::MAX,
    }
}

/// Offsets from `position` on, and where it goes on.
pub(crate) fn offsets(reader: &mut LogReader, ask: &Ask) -> (Vec<i64>, i64) {
    let mut table = RecordTable::default();
    let took = reader.read(&mut table, ask).unwrap();
    assert_eq!(took.damage, None);
    (table.offsets, took.next_offset)
}

pub(crate) fn all(range: std::ops::Range<i64>) -> Vec<i64> {
    range.collect()
}

#[test]
fn segments_one_after_the_other_to_the_committed_end_and_no_file_changes() {
    let (dir, log) = filled(&config(), 60);
    let end = log.log_end_offset();
    assert!(log.segments().unwrap().len() > 5);
    let mut reader = reader(&dir.path(), COMMITTED);
    // A copy of one partition: there is no checkpoint, and no broker's directory around it.
    let before = contents(&dir.path());
    assert_eq!(offsets(&mut reader, &ask(0)), (all(0..end), end));
    commit(&dir.path(), 100);
    assert_eq!(offsets(&mut reader, &ask(0)), (all(0..100), 100));
    assert_eq!(
        (reader.start_offset().unwrap(), reader.end_offset().unwrap()),
        (0, 100)
    );
    commit(&dir.path(), end + 50);
    assert_eq!(reader.end_offset().unwrap(), end);
    for start in [0, 1, 2, 55, end - 1, end] {
        assert_eq!(
            offsets(&mut reader, &ask(start)),
            (all(start..end), end),
            "from {start}"
        );
    }
    let some = Ask {
        position: 50,
        until: 77,
        most_rows: 10,
        most_bytes: usize::MAX,
    };
    assert_eq!(offsets(&mut reader, &some), (all(50..60), 60));
    assert_eq!(
        offsets(&mut reader, &Ask { position: 70, ..some }),
        (all(70..77), 77)
    );
    let mut position = 0;
    while position < end {
        let small = Ask {
            position,
            most_bytes: 300,
            ..ask(0)
        };
        let (found, next) = offsets(&mut reader, &small);
        assert_eq!(found, all(position..next));
        assert!(next > position && next <= position + 3);
        position = next;
    }
    assert_eq!(contents(&dir.path()), before);
}

#[test]
fn a_partition_that_no_checkpoint_names_has_no_committed_end_yet() {
    let (dir, _log) = filled(&config(), 3);
    std::fs::write(dir.path().parent().unwrap().join("meta.properties"), "").unwrap();
    let mut of_broker = reader(&dir.path(), COMMITTED);
    assert_eq!(offsets(&mut of_broker, &ask(0)), (vec![], 0));
    let path = dir.path().parent().unwrap().join("replication-offset-checkpoint");
    OffsetCheckpoint::write(&StdFs, &path, &[]).unwrap();
    assert_eq!(offsets(&mut of_broker, &ask(0)), (vec![], 0));
    assert_eq!(of_broker.end_offset().unwrap(), 0);
    assert_eq!(
        offsets(&mut reader(&dir.path(), WRITTEN), &ask(0)),
        (all(0..9), 9)
    );
    // fastlog's own, with its checksum, and one that is damaged.
    let text = "0\n2\ntopic 0 6\n";
    let mut sum = flate2::Crc::new();
    sum.update(text.as_bytes());
    std::fs::write(&path, format!("{text}__fastlog_crc32 0 {}\n", sum.sum())).unwrap();
    assert_eq!(offsets(&mut of_broker, &ask(0)).1, 6);
    for damaged in [
        format!("{text}__fastlog_crc32 0 {}\n", sum.sum() ^ 1),
        "0\n2\ntopic 0 6\n".to_owned(),
        "1\n1\ntopic 0 6\n".to_owned(),
        "0\n1\ntopic 0 x\n".to_owned(),
    ] {
        std::fs::write(&path, &damaged).unwrap();
        let error = of_broker.read(&mut RecordTable::default(), &ask(0)).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{damaged:?}: {error}");
    }
}

#[test]
fn what_is_no_partition_is_refused() {
    let dir = Dir::new();
    let root = dir.temp.path();
    for name in ["topic", "-1", "topic-", "topic-x", "topic-0.abc-delete"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
        let error = LogReader::open(Arc::new(StdFs), &root.join(name), COMMITTED).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument(_)), "{name}: {error}");
    }
    std::fs::create_dir_all(root.join("empty-0")).unwrap();
    assert!(LogReader::open(Arc::new(StdFs), &root.join("empty-0"), COMMITTED).is_err());
    assert!(LogReader::open(Arc::new(StdFs), &root.join("missing-0"), COMMITTED).is_err());
}

#[test]
fn removed_records_are_out_of_range() {
    let (dir, log) = filled(&config(), 60);
    let mut reader = reader(&dir.path(), WRITTEN);
    let mut kept = self::reader(&dir.path(), WRITTEN);
    let (_, next) = offsets(
        &mut kept,
        &Ask {
            most_rows: 5,
            ..ask(0)
        },
    );
    let size = i64::try_from(log.size_bytes()).unwrap();
    log.update_config(LogConfig {
        retention_bytes: size / 2,
        retention_ms: -1,
        ..config()
    });
    assert!(!log.apply_retention(NOW_MS).unwrap().is_empty());
    let start = log.log_start_offset();
    assert_eq!(reader.start_offset().unwrap(), start);
    let error = reader
        .read(&mut RecordTable::default(), &ask(start - 1))
        .unwrap_err();
    assert!(
        matches!(error, Error::OffsetOutOfRange { start: found, .. } if found == start),
        "{error}"
    );
    assert_eq!(
        offsets(&mut reader, &ask(start)).0,
        all(start..log.log_end_offset())
    );
    // Whoever was in a file that goes reads it to its end.
    let mut table = RecordTable::default();
    let left = kept.read(
        &mut table,
        &Ask {
            most_rows: 3,
            ..ask(next)
        },
    );
    assert_eq!(
        (left.unwrap().next_offset, table.offsets),
        (next + 3, all(next..next + 3))
    );
    // DeleteRecords.
    let path = dir.path().parent().unwrap().join("log-start-offset-checkpoint");
    std::fs::write(path, format!("0\n1\ntopic 0 {}\n", start + 7)).unwrap();
    assert_eq!(reader.start_offset().unwrap(), start + 7);
    assert!(reader.read(&mut RecordTable::default(), &ask(start + 6)).is_err());
    assert_eq!(offsets(&mut reader, &ask(start + 7)).0[0], start + 7);
}

#[test]
fn a_torn_end_is_not_there_yet_and_a_bad_batch_before_others_is_damage() {
    let (dir, log) = filled(&LogConfig::default(), 10);
    drop(log);
    let path = dir.file("00000000000000000000.log");
    let good = std::fs::read(&path).unwrap();
    let size = good.len() / 10;
    for cut in [1, 12, 60, 61, 100, size - 1] {
        std::fs::write(&path, &good[..size * 4 + cut]).unwrap();
        let mut reader = reader(&dir.path(), WRITTEN);
        assert_eq!(offsets(&mut reader, &ask(0)), (all(0..12), 12), "{cut}");
        assert_eq!(reader.end_offset().unwrap(), 12);
        // And then it is there.
        std::fs::write(&path, &good).unwrap();
        assert_eq!(offsets(&mut reader, &ask(12)), (all(12..30), 30));
    }
    // Zeros, as a power failure leaves them.
    let mut zeros = good[..size * 4].to_vec();
    zeros.resize(good.len(), 0);
    std::fs::write(&path, &zeros).unwrap();
    assert_eq!(offsets(&mut reader(&dir.path(), WRITTEN), &ask(0)).1, 12);
    // Where the broker says that there are records they are missing.
    commit(&dir.path(), 30);
    let took = reader(&dir.path(), COMMITTED)
        .read(&mut RecordTable::default(), &ask(0))
        .unwrap();
    assert_eq!(took.damage.unwrap().offset, 12);
    for at in [8, 11, 16, 17, 30, 70] {
        let mut bad = good.clone();
        bad[size * 4 + at] ^= 0xff;
        std::fs::write(&path, &bad).unwrap();
        for options in [WRITTEN, COMMITTED] {
            let mut reader = reader(&dir.path(), options);
            let mut table = RecordTable::default();
            let took = reader.read(&mut table, &ask(0)).unwrap();
            assert_eq!((table.offsets, took.next_offset), (all(0..12), 12), "byte {at}");
            let damage = took.damage.unwrap();
            assert_eq!(
                (damage.offset, damage.next_offset),
                (12, 15),
                "byte {at}: {}",
                damage.reason
            );
            // Again from there, and on behind it.
            let again = reader.read(&mut RecordTable::default(), &ask(12)).unwrap();
            assert_eq!(again.damage.map(|damage| damage.offset), Some(12));
            assert_eq!(offsets(&mut reader, &ask(15)), (all(15..30), 30), "byte {at}");
            assert_eq!(offsets(&mut reader, &ask(20)), (all(20..30), 30), "byte {at}");
        }
    }
}

#[test]
fn every_byte_changed_gives_an_answer() {
    let (dir, log) = filled(
        &LogConfig {
            segment_bytes: 1500,
            ..config()
        },
        9,
    );
    let end = log.log_end_offset();
    drop(log);
    let path = dir.file("00000000000000000000.log");
    let good = std::fs::read(&path).unwrap();
    for (index, options) in (0..good.len()).zip([WRITTEN, COMMITTED].into_iter().cycle()) {
        let mut bad = good.clone();
        bad[index] ^= 0xff;
        std::fs::write(&path, &bad).unwrap();
        let mut reader = reader(&dir.path(), options);
        let (mut position, mut found) = (0, Vec::new());
        while position < end {
            let mut table = RecordTable::default();
            let took = reader.read(&mut table, &ask(position)).unwrap();
            found.append(&mut table.offsets);
            position = match took.damage {
                Some(damage) => damage.next_offset.max(position + 1),
                None => took.next_offset,
            };
            assert!(position > 0, "byte {index}");
            if took.is_at_end && table.offsets.is_empty() && position < end {
                break;
            }
        }
        // Not the changed batch, perhaps, but nothing twice, nothing out of order, and the others.
        assert!(
            found.is_sorted_by(|one, next| one < next),
            "byte {index}: {found:?}"
        );
        assert!(found.len() as i64 >= end - 6, "byte {index}: {found:?}");
    }
}

#[test]
fn aborted_and_open_transactions_are_left_out() {
    let (dir, log) = opened(&config());
    let of = |id| {
        Some(Producer {
            id,
            transactional: true,
        })
    };
    let pairs: &[Pair<'_>] = &[(Some(&b"k"[..]), Some(&b"v"[..])); 4];
    let (mut wanted, mut time) = (Vec::new(), NOW_MS);
    for round in 0..30 {
        let (kept, lost) = (1 + round % 3, 11 + round % 2);
        time += 100;
        let first = put(&log, Codec::Lz4, of(kept), time, pairs).first_offset;
        put(&log, Codec::None, of(lost), time, pairs);
        let plain = put(&log, Codec::None, None, time, pairs).first_offset;
        end(&log, lost, ControlKind::Abort, time);
        end(&log, kept, ControlKind::Commit, time);
        wanted.extend((first..first + 4).chain(plain..plain + 4));
    }
    let open = put(&log, Codec::None, of(99), time, pairs).first_offset;
    put(&log, Codec::None, None, time, pairs);
    wanted.sort_unstable();
    let committed = ReaderOptions {
        to_committed_end: false,
        read_committed: true,
    };
    let mut reader = reader(&dir.path(), committed);
    assert_eq!(reader.end_offset().unwrap(), open);
    assert_eq!(offsets(&mut reader, &ask(0)), (wanted.clone(), open));
    // In small pieces, from the middle of a transaction, and back again.
    for start in [0, 150, 149, 5, 6, 7, 8, 9, open - 1] {
        let (mut position, mut found) = (start, Vec::new());
        while position < open {
            let (more, next) = offsets(
                &mut reader,
                &Ask {
                    position,
                    most_rows: 3,
                    ..ask(0)
                },
            );
            assert!(next > position);
            found.extend(more);
            position = next;
        }
        let expected: Vec<i64> = wanted.iter().copied().filter(|offset| *offset >= start).collect();
        assert_eq!(found, expected, "from {start}");
    }
    end(&log, 99, ControlKind::Commit, time);
    assert_eq!(offsets(&mut reader, &ask(open)).0.len(), 8);
}

#[test]
fn what_another_leader_did_not_have_is_told() {
    let (dir, log) = opened(&config());
    log.lead(0).unwrap();
    for index in 0..10 {
        append(&log, &batch(3, 150, NOW_MS + index));
    }
    let mut reader = reader(&dir.path(), WRITTEN);
    assert_eq!(offsets(&mut reader, &ask(0)).1, 30);
    log.truncate_to(24).unwrap();
    log.lead(5).unwrap();
    for index in 0..10 {
        log.append(&batch(3, 150, NOW_MS + index), 5, AppendOptions::default())
            .unwrap();
    }
    let error = reader.read(&mut RecordTable::default(), &ask(30)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::OffsetOutOfRange {
                offset: 30,
                end: 24,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(offsets(&mut reader, &ask(24)), (all(24..54), 54));
}
