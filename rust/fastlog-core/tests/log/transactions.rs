//! What a log knows of transactions after crashes at every operation, after cuts, and with damaged indexes: the same as
//! whoever goes through its batches.

#![allow(clippy::case_sensitive_file_extension_comparisons)] // the names are our own

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::{NOW_MS, clean, unclean};
use fastlog_core::batch::{AppendOrigin, BatchBuilder, ControlKind, ControlMarker};
use fastlog_core::env::{Crash, FaultFs, FileSystem};
use fastlog_core::log::{AppendOptions, LogConfig, OpenOptions, PartitionLog, RecoveryReport};
use fastlog_core::{Codec, Error, ManualClock, batches};

const DIR: &str = "/data/topic-0";
const PRODUCERS: i64 = 4;

/// What was appended at an offset: one record of a transaction, or a marker.
#[derive(Debug, Clone, Copy)]
struct Item {
    offset: i64,
    producer: i64,
    kind: Option<ControlKind>,
}

struct History {
    fs: FaultFs,
    items: Vec<Item>,
    /// After which operation how much was flushed.
    flushed: Vec<(usize, i64)>,
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 900,
        index_interval_bytes: 200,
        ..LogConfig::default()
    }
}

fn open(fs: &FaultFs, options: OpenOptions) -> PartitionLog {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    PartitionLog::open(Path::new(DIR), config(), Arc::new(fs.clone()), clock, options)
        .unwrap()
        .0
}

/// Draws numbers below `most`.
fn draw(state: &mut u64, most: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % most
}

fn append(log: &PartitionLog, producer: i64, sequence: i32, kind: Option<ControlKind>) -> i64 {
    let (bytes, origin) = if let Some(kind) = kind {
        let marker = ControlMarker {
            kind,
            coordinator_epoch: 3,
        };
        (
            marker.to_batch(NOW_MS, producer, 0).unwrap(),
            AppendOrigin::Coordinator,
        )
    } else {
        let mut builder = BatchBuilder::new(Codec::None)
            .producer(producer, 0, sequence)
            .transactional();
        builder.append(NOW_MS, None, Some(b"value"), []).unwrap();
        (builder.build().unwrap(), AppendOrigin::Client)
    };
    let options = AppendOptions {
        origin,
        ..AppendOptions::default()
    };
    log.append(&bytes, 0, options).unwrap().first_offset
}

/// Several producers whose transactions interleave, over several segments.
fn workload(seed: u64, count: usize) -> History {
    let fs = FaultFs::new();
    let log = open(&fs, OpenOptions::default());
    let mut state = seed;
    let mut sequences = BTreeMap::new();
    let mut items = Vec::new();
    let mut flushed = vec![(0, 0)];
    for step in 0..count {
        let producer = draw(&mut state, PRODUCERS as u64) as i64;
        let kind = match draw(&mut state, 8) {
            0 => Some(ControlKind::Commit),
            1 | 2 => Some(ControlKind::Abort),
            _ => None,
        };
        let sequence = sequences.entry(producer).or_insert(0);
        let offset = append(&log, producer, *sequence, kind);
        *sequence += i32::from(kind.is_none());
        items.push(Item {
            offset,
            producer,
            kind,
        });
        if step % 11 == 10 {
            let point = log.flush(None).unwrap();
            flushed.push((fs.operations(), point));
        }
    }
    assert!(log.segment_count() >= 4, "{}", log.segment_count());
    History { fs, items, flushed }
}

/// Transactions of the items below `end`: those that are open (producer and first offset), and those that have ended
/// (first offset, marker, producer, whether it is aborted).
type Truth = (BTreeMap<i64, i64>, Vec<(i64, i64, i64, bool)>);

fn truth(items: &[Item], end: i64) -> Truth {
    let (mut open, mut ended) = (BTreeMap::new(), Vec::new());
    for item in items.iter().filter(|item| item.offset < end) {
        match item.kind {
            None => {
                open.entry(item.producer).or_insert(item.offset);
            }
            Some(kind) => {
                if let Some(first) = open.remove(&item.producer) {
                    ended.push((first, item.offset, item.producer, kind == ControlKind::Abort));
                }
            }
        }
    }
    (open, ended)
}

/// Compares all that the log says with what its items say, with the high watermark where it was when it was opened.
fn check(log: &PartitionLog, items: &[Item], high_watermark: i64, what: &str) {
    let end = log.log_end_offset();
    let (open, ended) = truth(items, end);
    let found: BTreeMap<i64, i64> = log
        .active_producers()
        .iter()
        .filter(|producer| producer.txn_start_offset >= 0)
        .map(|producer| (producer.producer_id, producer.txn_start_offset))
        .collect();
    assert_eq!(found, open, "{what}: open at {end}");
    for from in (0..end).step_by(5) {
        for to in [from + 1, from + 7, end] {
            let listed: Vec<_> = log
                .aborted_transactions(from, to)
                .iter()
                .map(|one| (one.producer_id, one.first_offset))
                .collect();
            let expected: Vec<_> = ended
                .iter()
                .filter(|(first, marker, _, aborted)| *aborted && *first < to && *marker >= from)
                .map(|(first, _, producer, _)| (*producer, *first))
                .collect();
            assert_eq!(listed, expected, "{what}: aborted in {from}..{to} of {end}");
        }
    }
    for at in high_watermark..=end {
        let undecided = ended.iter().filter(|(_, marker, _, _)| *marker >= at);
        let firsts = undecided
            .map(|(first, _, _, _)| *first)
            .chain(open.values().copied());
        let stable = firsts.fold(at, i64::min);
        assert_eq!(
            log.last_stable_offset(at),
            stable,
            "{what}: stable at {at} of {end}"
        );
    }
}

fn flushed_at(history: &History, at: usize) -> i64 {
    let before = history
        .flushed
        .iter()
        .rev()
        .find(|(operation, _)| *operation <= at);
    before.map_or(0, |(_, point)| *point)
}

#[test]
fn every_crash_leaves_what_is_known_of_transactions() {
    let history = workload(1, 90);
    for crash in [
        Crash::Process,
        Crash::Power,
        Crash::TornWrite {
            bytes: 33,
            zeros: false,
        },
    ] {
        for at in 0..history.fs.operations() {
            let image = history.fs.crash_image(at, crash);
            let log = open(&image, unclean(flushed_at(&history, at)));
            let high_watermark = log.log_end_offset() * 2 / 3;
            log.recall_unreplicated(high_watermark).unwrap();
            check(
                &log,
                &history.items,
                high_watermark,
                &format!("{crash:?} at {at}"),
            );
        }
    }
}

/// A snapshot that lies above the high watermark tells nothing of the markers between them.
#[test]
fn what_is_not_replicated_is_not_decided_after_a_start() {
    let mut forgotten = 0;
    for seed in 0..8 {
        let history = workload(seed, 70);
        let end = history.items.len() as i64;
        let log = open(&history.fs, unclean(0));
        log.close().unwrap();
        drop(log);
        for high_watermark in 0..=end {
            let log = open(&history.fs, clean(end));
            let before = log.last_stable_offset(high_watermark);
            log.recall_unreplicated(high_watermark).unwrap();
            forgotten += i32::from(log.last_stable_offset(high_watermark) < before);
            check(
                &log,
                &history.items,
                high_watermark,
                &format!("from {high_watermark}"),
            );
        }
    }
    assert!(
        forgotten > 20,
        "{forgotten}: snapshots alone tell nothing of them"
    );
}

#[test]
fn every_cut_leaves_what_is_known_of_transactions() {
    for seed in 0..3 {
        let history = workload(seed, 70);
        let end = history.items.len() as i64;
        for offset in 0..=end {
            let image = history.fs.crash_image(history.fs.operations(), Crash::Process);
            let log = open(&image, unclean(0));
            log.recall_unreplicated(0).unwrap();
            log.truncate_to(offset).unwrap();
            check(&log, &history.items, 0, &format!("cut to {offset}"));
            // And cut once more, after other transactions.
            let mut items: Vec<_> = history.items.iter().copied().take(offset as usize).collect();
            for kind in [None, Some(ControlKind::Abort), None, Some(ControlKind::Commit)] {
                let sequence =
                    i32::from(kind.is_none() && items.last().is_some_and(|item| item.producer == 77));
                let offset = append(&log, 77, sequence, kind);
                items.push(Item {
                    offset,
                    producer: 77,
                    kind,
                });
            }
            // What lies below the high watermark that it was asked about is decided for good.
            check(&log, &items, offset, &format!("after the cut to {offset}"));
            log.truncate_to(offset + 3).unwrap();
            check(
                &log,
                &items,
                offset + 3,
                &format!("second cut, to {}", offset + 3),
            );
        }
    }
}

/// Files of aborted transactions of a log that was closed.
fn indexes(fs: &FaultFs) -> Vec<(PathBuf, usize)> {
    let dir = Path::new(DIR);
    let entries = fs.list_dir(dir).unwrap().into_iter();
    entries
        .filter(|entry| entry.name.ends_with(".txnindex"))
        .map(|entry| (dir.join(&entry.name), entry.len as usize))
        .collect()
}

#[test]
fn a_damaged_or_missing_index_is_made_again_when_the_log_is_checked() {
    let history = workload(5, 90);
    let files = indexes(&history.fs);
    assert!(files.len() >= 3);
    for (path, len) in files {
        for bit in (0..len * 8).map(Some).chain([None]) {
            let image = history.fs.crash_image(history.fs.operations(), Crash::Process);
            if let Some(bit) = bit {
                image
                    .damage(&path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8))
                    .unwrap();
            } else {
                image.remove_file(&path).unwrap();
            }
            let log = open(&image, unclean(0));
            check(
                &log,
                &history.items,
                log.log_end_offset(),
                &format!("{} {bit:?}", path.display()),
            );
        }
    }
}

/// Opens an image in which `change` was done to the index at `path`, and checks what the log says.
fn check_changed(
    history: &History,
    options: OpenOptions,
    path: &Path,
    what: &str,
    change: impl Fn(&FaultFs),
) -> RecoveryReport {
    let image = history.fs.crash_image(history.fs.operations(), Crash::Process);
    change(&image);
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let (log, report) =
        PartitionLog::open(Path::new(DIR), config(), Arc::new(image.clone()), clock, options).unwrap();
    let what = format!("{} {what}", path.display());
    log.recall_unreplicated(log.log_end_offset()).unwrap();
    check(&log, &history.items, log.log_end_offset(), &what);
    report
}

/// Nothing in an index covers its bytes: the log's own checkpoint does.
#[test]
fn an_index_that_is_not_what_it_was_is_made_again_after_a_clean_stop() {
    let history = workload(6, 90);
    let end = history.items.len() as i64;
    open(&history.fs, unclean(0)).close().unwrap();
    let files = indexes(&history.fs);
    assert!(files.len() >= 3);
    let sound = check_changed(&history, clean(end), &files[0].0, "unchanged", |_| {});
    assert_eq!(
        (sound.segments_scanned, sound.warnings.len()),
        (0, 0),
        "{sound:?}"
    );
    for (path, len) in &files {
        for bit in 0..len * 8 {
            let report = check_changed(&history, clean(end), path, &format!("bit {bit}"), |image| {
                image
                    .damage(path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8))
                    .unwrap();
            });
            assert_eq!(report.warnings.len(), 1, "{report:?}");
        }
        for keep in (0..*len).step_by(34) {
            check_changed(&history, clean(end), path, &format!("{keep} bytes"), |image| {
                image.damage(path, |bytes| bytes.truncate(keep)).unwrap();
            });
        }
        check_changed(&history, clean(end), path, "gone", |image| {
            image.remove_file(path).unwrap();
        });
    }
}

/// What was sealed and made durable is not read again after a crash: its index has to be believed, or not.
#[test]
fn an_index_of_a_sealed_segment_is_made_again_after_a_crash() {
    let history = workload(7, 90);
    let (operation, point) = *history.flushed.last().unwrap();
    assert!(operation > 0 && point > 0);
    let files = indexes(&history.fs);
    let sealed = &files[..files.len() - 1];
    for (path, len) in sealed {
        for bit in (0..len * 8).step_by(5) {
            check_changed(&history, unclean(point), path, &format!("bit {bit}"), |image| {
                image
                    .damage(path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8))
                    .unwrap();
            });
        }
    }
}

/// A checkpoint that is damaged, gone or of an earlier time costs time, and nothing else.
#[test]
fn a_checkpoint_of_indexes_that_is_wrong_does_no_harm() {
    let history = workload(8, 90);
    let end = history.items.len() as i64;
    open(&history.fs, unclean(0)).close().unwrap();
    let path = Path::new(DIR).join("txnindex-checkpoint");
    let text = history.fs.read_file(&path).unwrap();
    check_changed(&history, clean(end), &path, "gone", |image| {
        image.remove_file(&path).unwrap();
    });
    for bit in 0..text.len() * 8 {
        check_changed(&history, clean(end), &path, &format!("bit {bit}"), |image| {
            image
                .damage(&path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8))
                .unwrap();
        });
    }
    // Of before the log was cut, and other transactions came: as a crash, or another program, may leave it.
    let image = history.fs.crash_image(history.fs.operations(), Crash::Process);
    let log = open(&image, clean(end));
    log.truncate_to(end / 2).unwrap();
    let mut items: Vec<_> = history.items.iter().copied().take(end as usize / 2).collect();
    for (producer, kind) in [(88, None), (88, Some(ControlKind::Abort))] {
        let offset = append(&log, producer, 0, kind);
        items.push(Item {
            offset,
            producer,
            kind,
        });
    }
    log.close().unwrap();
    assert_ne!(image.read_file(&path).unwrap(), text);
    image.write_atomically(&path, &text).unwrap();
    let log = open(&image, clean(items.len() as i64));
    check(&log, &items, log.log_end_offset(), "an earlier checkpoint");
    // It is of now again, without a stop.
    assert_ne!(image.read_file(&path).unwrap(), text);
}

/// Records of a segment that is deleted meanwhile can be read all the same: they come with what is known of their
/// transactions.
#[test]
fn what_is_read_comes_with_its_aborted_transactions() {
    let (mut looks, mut listed) = (0, 0);
    for seed in 0..40 {
        let history = workload(seed, 120);
        let end = history.items.len() as i64;
        let (_, ended) = truth(&history.items, end);
        let log = open(&history.fs, unclean(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for offset in 1..end {
                    log.advance_log_start_offset(offset).unwrap();
                    log.apply_retention(NOW_MS).unwrap();
                }
            });
            loop {
                let from = log.log_start_offset();
                if from >= end - 1 {
                    break;
                }
                let (slice, aborted) = match log.read_committed(from, 1 << 20, end, true) {
                    Err(Error::OffsetOutOfRange { .. }) => continue,
                    found => found.unwrap(),
                };
                let mut bytes = vec![0; slice.len];
                slice.read_into(&mut bytes).unwrap();
                looks += 1;
                for batch in batches(&bytes) {
                    let header = *batch.unwrap().header();
                    if header.is_control() || header.base_offset < from {
                        continue;
                    }
                    let of = ended.iter().find(|(first, marker, producer, aborted)| {
                        let range = *first..=*marker;
                        *aborted && *producer == header.producer_id && range.contains(&header.base_offset)
                    });
                    if let Some((first, _, producer, _)) = of {
                        listed += 1;
                        assert!(
                            aborted
                                .iter()
                                .any(|one| (one.producer_id, one.first_offset) == (*producer, *first)),
                            "{producer} from {first}, read from {from}"
                        );
                    }
                }
            }
        });
    }
    assert!(looks > 100 && listed > 100, "{looks} {listed}");
}
