//! What recovery makes of damaged directories: the table of expected results, case by case.

#![allow(clippy::case_sensitive_file_extension_comparisons)] // the names are our own

use std::fs;

use crate::common::{Dir, NOW_MS, append, batch, clean, config, contents, read_all, unclean};
use fastlog_core::Error;
use fastlog_core::log::{LogConfig, OpenOptions};

const RECORDS: i64 = 60;

/// A closed log of three records a batch in several segments; the names of the segments, without suffix.
fn filled() -> (Dir, Vec<String>) {
    let dir = Dir::new();
    let (log, _) = dir.open(&config(), OpenOptions::default());
    for index in 0..RECORDS / 3 {
        append(&log, &batch(3, 150, NOW_MS + index));
    }
    log.close().unwrap();
    let bases: Vec<String> = log
        .segments()
        .unwrap()
        .iter()
        .map(|segment| format!("{:020}", segment.base_offset))
        .collect();
    assert!(bases.len() >= 3);
    (dir, bases)
}

fn records(dir: &Dir, options: OpenOptions) -> usize {
    read_all(&dir.open(&config(), options).0, 0, 900).len()
}

fn change(dir: &Dir, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = dir.file(name);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
}

fn corrupt_reason(dir: &Dir, options: OpenOptions) -> String {
    match dir.try_open(&config(), options) {
        Err(Error::Corrupt { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_torn_tail_is_cut_and_kept() {
    for cut in [1, 60, 100, 300] {
        let (dir, bases) = filled();
        let active = format!("{}.log", bases.last().unwrap());
        let before = fs::read(dir.file(&active)).unwrap();
        change(&dir, &active, |bytes| bytes.truncate(bytes.len() - cut));
        let (log, report) = dir.open(&config(), unclean(0));
        assert_eq!(log.log_end_offset(), RECORDS - 3, "{report:?}");
        assert_eq!(read_all(&log, 0, 900).len() as i64, RECORDS - 3);
        assert_eq!(report.warnings.len(), 1);
        let after = fs::read(dir.file(&active)).unwrap();
        assert_eq!(report.truncated_bytes as usize, before.len() - cut - after.len());
        let kept = fs::read(dir.file(&format!("{active}.{}.corrupt", after.len()))).unwrap();
        assert_eq!([after, kept].concat(), before[..before.len() - cut]);
        drop(log);
        let first = contents(&dir.path());
        assert_eq!(records(&dir, unclean(0)) as i64, RECORDS - 3);
        assert!(
            contents(&dir.path()) == first,
            "a second recovery changes nothing"
        );
    }
}

#[test]
fn zeros_and_garbage_behind_the_end_are_cut() {
    let garbage: Vec<u8> = (0..5000_u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for (tail, kept) in [
        (vec![0; 20], 0),
        (vec![0; 100_000], 0),
        (garbage, 1),
        (vec![2; 3000], 1),
    ] {
        for options in [unclean(0), unclean(RECORDS), clean(RECORDS)] {
            let (dir, bases) = filled();
            let active = format!("{}.log", bases.last().unwrap());
            change(&dir, &active, |bytes| bytes.extend_from_slice(&tail));
            let (log, report) = dir.open(&config(), options);
            assert_eq!(log.log_end_offset(), RECORDS);
            assert_eq!(report.truncated_bytes as usize, tail.len());
            assert_eq!(read_all(&log, 0, 900).len() as i64, RECORDS);
            let corrupt = dir
                .names()
                .iter()
                .filter(|name| name.ends_with(".corrupt"))
                .count();
            assert_eq!(corrupt, kept, "zeros are not worth keeping");
        }
    }
}

#[test]
fn damage_with_sound_batches_behind_it_is_refused() {
    let (_, bases) = filled();
    for (segment, at) in [(0, 30), (0, 700), (1, 0), (1, 6), (1, 8), (1, 16), (2, 100)] {
        let (dir, bases) = filled();
        let name = format!("{}.log", bases[segment]);
        change(&dir, &name, |bytes| bytes[at] ^= 0x40);
        let before = contents(&dir.path());
        let reason = corrupt_reason(&dir, unclean(0));
        assert!(reason.contains("sound batch follows"), "{reason}");
        let logs = |files: Vec<(String, Vec<u8>)>| -> Vec<_> {
            files
                .into_iter()
                .filter(|(name, _)| name.ends_with(".log") || name.ends_with(".snapshot"))
                .collect()
        };
        assert!(
            logs(before) == logs(contents(&dir.path())),
            "refusing changes nothing"
        );

        let allowed = OpenOptions {
            allow_data_loss: true,
            ..unclean(0)
        };
        let (log, report) = dir.open(&config(), allowed);
        assert!(log.log_end_offset() < RECORDS);
        assert_eq!(read_all(&log, 0, 900).len() as i64, log.log_end_offset());
        assert!(report.truncated_bytes > 0);
        let kept: u64 = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_name().to_string_lossy().ends_with(".corrupt"))
            .map(|entry| entry.metadata().unwrap().len())
            .sum();
        assert_eq!(kept, report.truncated_bytes);
        let end = log.log_end_offset();
        assert_eq!(append(&log, &batch(1, 1, NOW_MS)).first_offset, end);
    }
    assert!(bases.len() > 2);
}

#[test]
fn a_flipped_bit_in_the_last_batch_is_a_torn_tail_unless_it_was_flushed() {
    let (dir, bases) = filled();
    let active = format!("{}.log", bases.last().unwrap());
    change(&dir, &active, |bytes| *bytes.last_mut().unwrap() ^= 1);
    let reason = corrupt_reason(&dir, unclean(RECORDS));
    assert!(reason.contains("was durable"), "{reason}");
    assert_eq!(records(&dir, unclean(RECORDS - 3)) as i64, RECORDS - 3);
}

#[test]
fn a_lost_middle_segment_is_refused_unless_the_log_is_compacted() {
    let (dir, bases) = filled();
    for suffix in ["log", "index", "timeindex"] {
        fs::remove_file(dir.file(&format!("{}.{suffix}", bases[1]))).unwrap();
    }
    let reason = corrupt_reason(&dir, unclean(0));
    assert!(reason.contains("the next one starts at"), "{reason}");
    let compacted = LogConfig {
        compact: true,
        ..config()
    };
    let (log, _) = dir.open(&compacted, unclean(0));
    assert_eq!(log.log_end_offset(), RECORDS);
    let offsets: Vec<i64> = read_all(&log, 0, 900)
        .into_iter()
        .map(|(offset, _)| offset)
        .collect();
    let (from, to): (i64, i64) = (bases[1].parse().unwrap(), bases[2].parse().unwrap());
    assert_eq!(offsets, (0..from).chain(to..RECORDS).collect::<Vec<_>>());
    assert_eq!(
        read_all(&log, from + 1, 900)[0].0,
        to,
        "a read inside the hole goes on behind it"
    );
}

#[test]
fn indexes_are_rebuilt_when_they_are_missing_or_wrong() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change); 6] = [
        ("half an entry", |bytes| bytes.truncate(bytes.len() - 3)),
        ("extra bytes", |bytes| bytes.push(0)),
        ("an offset beyond the end", |bytes| {
            let at = bytes.len() - if bytes.len() % 12 == 0 { 4 } else { 8 };
            bytes[at] = 0x7f;
        }),
        ("zeros at the end", |bytes| bytes.extend_from_slice(&[0; 24])),
        ("only zeros", |bytes| bytes.iter_mut().for_each(|byte| *byte = 0)),
        ("nothing", Vec::clear),
    ];
    let (dir, bases) = filled();
    let sound = contents(&dir.path());
    for base in &bases {
        for suffix in ["index", "timeindex"] {
            let name = format!("{base}.{suffix}");
            for (what, damage) in changes {
                for options in [clean(RECORDS), unclean(RECORDS), unclean(0)] {
                    change(&dir, &name, damage);
                    assert_eq!(records(&dir, options) as i64, RECORDS, "{name}: {what}");
                    for offset in 0..RECORDS {
                        let (log, _) = dir.open(&config(), clean(RECORDS));
                        assert_eq!(read_all(&log, offset, 400)[0].0, offset);
                    }
                    fs::write(
                        dir.file(&name),
                        &sound.iter().find(|(file, _)| *file == name).unwrap().1,
                    )
                    .unwrap();
                }
            }
            fs::remove_file(dir.file(&name)).unwrap();
            let (log, report) = dir.open(&config(), clean(RECORDS));
            assert_eq!(report.indexes_rebuilt, 1);
            log.close().unwrap();
            drop(log);
            assert!(contents(&dir.path()) == sound, "{name} is what it was");
        }
    }
}

#[test]
fn leftovers_are_cleared_up() {
    let (dir, bases) = filled();
    let sound = contents(&dir.path());
    let swapped = format!("{}.log", bases[1]);
    let bytes = fs::read(dir.file(&swapped)).unwrap();
    for name in [
        "00000000000000000003.log.deleted",
        "00000000000000000000.log.cleaned",
        "00000000000000000000.index.tmp",
    ] {
        fs::write(dir.file(name), b"anything").unwrap();
    }
    fs::write(dir.file("00000000000000000777.index"), [0; 16]).unwrap();
    // Not finished: there is a .cleaned file at or below it.
    fs::write(dir.file(&format!("{}.log.swap", bases[2])), &bytes).unwrap();
    fs::write(dir.file("partition.metadata"), b"version: 0\ntopic_id: x\n").unwrap();
    let (log, report) = dir.open(&config(), clean(RECORDS));
    assert_eq!(report.warnings.len(), 1, "{report:?}");
    assert_eq!(read_all(&log, 0, 900).len() as i64, RECORDS);
    log.close().unwrap();
    drop(log);
    fs::remove_file(dir.file("partition.metadata")).unwrap();
    assert!(contents(&dir.path()) == sound);

    // Finished: it takes its place, its indexes are made again.
    fs::write(dir.file(&format!("{swapped}.swap")), &bytes).unwrap();
    let (log, _) = dir.open(&config(), clean(RECORDS));
    assert_eq!(read_all(&log, 0, 900).len() as i64, RECORDS);
    assert_eq!(
        dir.names().iter().filter(|name| name.ends_with(".swap")).count(),
        0
    );
}

#[test]
fn empty_directories_and_empty_files_are_logs() {
    let dir = Dir::new();
    let start = OpenOptions {
        log_start_offset: 17,
        ..OpenOptions::default()
    };
    let (log, _) = dir.open(&config(), start.clone());
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (17, 17));
    assert_eq!(append(&log, &batch(2, 10, NOW_MS)).first_offset, 17);
    drop(log);
    change(&dir, "00000000000000000017.log", Vec::clear);
    let (log, _) = dir.open(&config(), start.clone());
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (17, 17));
    drop(log);
    // The log start was moved beyond everything that is left.
    let (log, report) = dir.open(
        &config(),
        OpenOptions {
            log_start_offset: 40,
            ..start
        },
    );
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (40, 40));
    assert_eq!(report.warnings.len(), 1);
    assert_eq!(append(&log, &batch(2, 10, NOW_MS)).first_offset, 40);
}

#[test]
fn old_message_formats_are_named() {
    // Apache Kafka's DumpLogSegments shows this as magic 0: offset, size, CRC-32, magic, attributes, null key, value.
    let mut message = vec![
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 19, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 5,
    ];
    message.extend_from_slice(b"hello");
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &message[16..]) as u32;
    message[12..16].copy_from_slice(&crc.to_be_bytes());
    for repeat in [1, 5] {
        let dir = Dir::new();
        fs::create_dir_all(dir.path()).unwrap();
        fs::write(dir.file("00000000000000000000.log"), message.repeat(repeat)).unwrap();
        for options in [
            unclean(0),
            clean(1),
            OpenOptions {
                allow_data_loss: true,
                ..unclean(0)
            },
        ] {
            let reason = corrupt_reason(&dir, options);
            assert!(
                reason.contains("message format v0/v1 is not supported"),
                "{reason}"
            );
        }
    }
}

#[test]
fn a_scan_reads_what_was_not_flushed() {
    let dir = Dir::new();
    let config = LogConfig {
        segment_bytes: 1 << 20,
        ..config()
    };
    let (log, _) = dir.open(&config, OpenOptions::default());
    let mut flushed = 0;
    for index in 0..1000 {
        append(&log, &batch(1, 500, NOW_MS + index));
        if index == 979 {
            flushed = log.flush(None).unwrap();
        }
    }
    // Writes the index tails out, which otherwise happens every few hundred entries.
    log.roll().unwrap();
    append(&log, &batch(1, 500, NOW_MS));
    drop(log);
    let (log, report) = dir.open(&config, unclean(flushed));
    assert_eq!((report.segments_scanned, report.truncated_bytes), (2, 0));
    assert!((21 * 500..24 * 700).contains(&report.bytes_scanned), "{report:?}");
    assert_eq!(read_all(&log, 0, 900).len(), 1001);
    assert_eq!(
        log.recovery_point(),
        flushed,
        "what was scanned is not durable yet"
    );
    assert_eq!(log.flush(None).unwrap(), 1001);
}

#[test]
fn leader_epochs_follow_the_log() {
    let dir = Dir::new();
    let (log, _) = dir.open(&config(), OpenOptions::default());
    append(&log, &batch(3, 10, NOW_MS));
    log.append(&batch(3, 10, NOW_MS), 4, fastlog_core::AppendOptions::default())
        .unwrap();
    assert_eq!(log.lead(9).unwrap(), 6);
    assert_eq!(log.end_offset_for_epoch(0), (0, 3));
    drop(log);
    let (log, _) = dir.open(&config(), unclean(0));
    assert_eq!(
        log.latest_epoch(),
        Some(4),
        "an epoch without records is forgotten"
    );
    drop(log);
    for damage in [None, Some("0\n1\nx y\n")] {
        match damage {
            None => fs::remove_file(dir.file("leader-epoch-checkpoint")).unwrap(),
            Some(text) => fs::write(dir.file("leader-epoch-checkpoint"), text).unwrap(),
        }
        let (log, _) = dir.open(&config(), unclean(0));
        assert_eq!(
            (log.end_offset_for_epoch(0), log.end_offset_for_epoch(4)),
            ((0, 3), (4, 6))
        );
    }
}

#[test]
fn holes_of_an_earlier_compaction_are_believed() {
    // What is left of a compacted segment, as on a topic whose policy is now to delete.
    let (dir, bases) = filled();
    let names: Vec<String> = bases.iter().map(|base| format!("{base}.log")).collect();
    let size = batch(3, 150, NOW_MS).len();
    change(&dir, &names[1], |bytes| {
        bytes.drain(size..2 * size);
        bytes.truncate(bytes.len() - size);
    });
    let (log, report) = dir.open(&config(), unclean(0));
    assert_eq!((log.log_end_offset(), report.truncated_bytes), (RECORDS, 0));
    assert_eq!(read_all(&log, 0, 900).len() as i64, RECORDS - 6);
}

#[test]
fn a_sound_batch_with_a_wrong_offset_is_no_torn_end() {
    // The checksum covers neither: a flipped bit there takes no batch along, its own or a later one.
    let size = batch(3, 150, NOW_MS).len();
    for compact in [false, true] {
        for (before_end, byte, bit) in
            (1..=2).flat_map(|batches| (0..8).flat_map(move |byte| [0, 2, 6].map(|bit| (batches, byte, bit))))
        {
            let config = LogConfig { compact, ..config() };
            let (dir, bases) = filled();
            let active = format!("{}.log", bases.last().unwrap());
            let mut raised = false;
            change(&dir, &active, |bytes| {
                let at = bytes.len() - before_end * size + byte;
                bytes[at] ^= 1 << bit;
                raised = bytes[at] & (1 << bit) != 0;
            });
            match dir.try_open(&config, unclean(0)) {
                Err(Error::Corrupt { .. }) => {}
                // What goes on above looks like a hole, and may be one.
                Ok((log, report)) if compact && raised && before_end == 1 => {
                    assert_eq!(report.truncated_bytes, 0);
                    assert!(log.log_end_offset() > RECORDS);
                }
                Ok((_, report)) => panic!("{compact} {before_end} {byte} {bit}: {report:?}"),
                Err(error) => panic!("{error}"),
            }
        }
    }
}
