//! One file at a time is damaged or missing: each kind of file, each way, after each kind of end. What comes of it is
//! one of these: nothing is lost, or the log is refused, or it goes offline when the damage is read, and the file or
//! what is missing of it is named. Never is a hole or a wrong byte served, and no end goes back that was durable.

#![allow(clippy::case_sensitive_file_extension_comparisons)] // the names are our own

use std::fs;
use std::path::Path;

use crate::common::keyed::{Producer, end, everything, put};
use crate::common::{Dir, NOW_MS, append, batch, clean, config, contents, unclean};
use fastlog_core::batch::{ControlKind, batches};
use fastlog_core::log::{LogConfig, OpenOptions, PartitionLog};
use fastlog_core::{Codec, Error};

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Removed,
    Renamed,
    Emptied,
    /// At the border of the n-th batch, counted from the end.
    CutAtBatch(usize),
    CutInBatch,
    /// In a batch in the middle.
    Flipped(usize),
    /// In the first batch.
    FlippedFirst(usize),
    /// In the last batch.
    FlippedLast(usize),
    Zeroed,
    Directory,
}

/// Positions in a file at which a bit is flipped: all fields of a batch header, and places in its records.
const PLACES: [usize; 22] = [
    0, 3, 6, 7, 8, 11, 12, 15, 16, 17, 20, 22, 25, 26, 30, 34, 42, 50, 56, 60, 80, 150,
];

/// Those of them that no checksum covers, and one that it does.
const NOT_COVERED: [usize; 7] = [0, 3, 6, 7, 12, 15, 60];

fn ways() -> Vec<Way> {
    let mut ways = vec![
        Way::Removed,
        Way::Renamed,
        Way::Emptied,
        Way::CutAtBatch(1),
        Way::CutAtBatch(3),
        Way::CutInBatch,
        Way::Zeroed,
        Way::Directory,
    ];
    ways.extend(PLACES.map(Way::Flipped));
    ways.extend(NOT_COVERED.map(Way::FlippedFirst));
    ways.extend(NOT_COVERED.map(Way::FlippedLast));
    ways
}

/// Where the batches of a segment file begin, and its end.
pub fn borders(bytes: &[u8]) -> Vec<usize> {
    let mut at = vec![0];
    for view in batches(bytes).map_while(Result::ok) {
        at.push(at[at.len() - 1] + view.bytes().len());
    }
    at
}

/// Whether there was something to do.
pub fn apply(path: &Path, way: Way) -> bool {
    let bytes = fs::read(path).unwrap();
    let is_log = path.to_string_lossy().ends_with(".log");
    let changed = match way {
        Way::Removed => {
            fs::remove_file(path).unwrap();
            return true;
        }
        Way::Renamed => {
            fs::rename(path, path.with_file_name("00000000000000099999.moved")).unwrap();
            return true;
        }
        Way::Directory => {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
            return true;
        }
        Way::Emptied => Vec::new(),
        Way::CutAtBatch(count) => {
            let borders = borders(&bytes);
            if !is_log || borders.len() <= count {
                return false;
            }
            bytes[..borders[borders.len() - 1 - count]].to_vec()
        }
        Way::CutInBatch => bytes[..bytes.len() - bytes.len() / 3].to_vec(),
        Way::Zeroed => vec![0; bytes.len()],
        Way::Flipped(at) | Way::FlippedFirst(at) | Way::FlippedLast(at) => {
            let borders = borders(&bytes);
            let from = match way {
                Way::FlippedFirst(_) => 0,
                _ if !is_log || borders.len() <= 2 => return false,
                Way::FlippedLast(_) => borders[borders.len() - 2],
                // Something stands before it and behind it.
                _ => borders[(borders.len() - 1) / 2],
            };
            let mut flipped = bytes.clone();
            match flipped.get_mut(from + at) {
                Some(byte) => *byte ^= 1 << (at % 8),
                None => return false,
            }
            flipped
        }
    };
    if changed == bytes {
        return false;
    }
    fs::write(path, changed).unwrap();
    true
}

/// What a log held: offset, key or timestamp do not matter, the bytes of the batch do.
pub type Served = Vec<(i64, Vec<u8>)>;

/// Everything from the log's start on, batch by batch, with the error that ended it.
pub fn serve(log: &PartitionLog) -> (Served, Option<Error>) {
    let mut found = Vec::new();
    let mut offset = log.log_start_offset();
    while offset < log.log_end_offset() {
        let slice = match log.read(offset, 700, i64::MAX, true) {
            Ok(slice) if slice.len == 0 => break,
            Ok(slice) => slice,
            Err(error) => return (found, Some(error)),
        };
        let mut bytes = vec![0; slice.len];
        slice.read_into(&mut bytes).unwrap();
        for view in batches(&bytes).map_while(Result::ok) {
            offset = view.header().next_offset();
            found.push((view.header().base_offset, view.bytes().to_vec()));
        }
    }
    (found, None)
}

/// A closed log with every kind of file, in several segments; with `compact`, compacted up to its last segment.
pub fn filled(compact: bool) -> (Dir, LogConfig, Served, i64) {
    let dir = Dir::new();
    let config = LogConfig { compact, ..config() };
    let (log, _) = dir.open(&config, OpenOptions::default());
    for index in 0..16 {
        let filler = [[9, index as u8], [10, index as u8]];
        let values = filler
            .each_ref()
            .map(|key| (Some(&key[..]), Some(&[b'v'; 200][..])));
        put(&log, Codec::None, None, NOW_MS + index, &values);
        let producer = Producer {
            id: 7,
            transactional: true,
        };
        let keys: Vec<Vec<u8>> = (0..4).map(|key| vec![b'k', (key * index % 5) as u8]).collect();
        let pairs: Vec<_> = keys
            .iter()
            .map(|key| (Some(&key[..]), Some(&b"some value of no importance"[..])))
            .collect();
        put(&log, Codec::None, Some(producer), NOW_MS + 20 + index, &pairs);
        end(&log, 7, ControlKind::Abort, NOW_MS + 30 + index);
        put(&log, Codec::None, None, NOW_MS + 40 + index, &pairs);
    }
    if compact {
        log.compact(&everything(&log, -1, NOW_MS)).unwrap();
        log.purge_deleted(i64::MAX).unwrap();
        for index in 0..4 {
            let key = vec![b'z', index];
            put(
                &log,
                Codec::None,
                None,
                NOW_MS + 60,
                &[(Some(&key), Some(&[7; 900]))],
            );
        }
    }
    log.close().unwrap();
    let (served, error) = serve(&log);
    assert!(error.is_none());
    assert!(log.segment_count() > 3);
    (dir, config, served, log.log_end_offset())
}

pub fn copied(dir: &Dir) -> Dir {
    let copy = Dir::new();
    fs::create_dir_all(copy.path()).unwrap();
    for (name, bytes) in contents(&dir.path()) {
        fs::write(copy.file(&name), bytes).unwrap();
    }
    copy
}

/// What is known after a clean end of this program.
pub fn closed(end: i64) -> OpenOptions {
    OpenOptions {
        offsets_are_exact: true,
        ..clean(end)
    }
}

/// Whether the text names a file of the log, or its directory.
pub fn is_named(text: &str, dir: &Dir) -> bool {
    text.contains(&*dir.path().to_string_lossy())
}

#[test]
fn one_file_at_a_time() {
    let mut refused = 0;
    let mut offline = 0;
    let mut cases = 0;
    for compact in [false, true] {
        let (dir, config, served, end) = filled(compact);
        for name in dir.names() {
            for way in ways() {
                for (mode, options) in [
                    ("clean", closed(end)),
                    ("durable", unclean(end)),
                    ("page cache", unclean(0)),
                ] {
                    let case = format!("{name} {way:?} {mode} compact={compact}");
                    let copy = copied(&dir);
                    if !apply(&copy.file(&name), way) {
                        continue;
                    }
                    cases += 1;
                    let log = match copy.try_open(&config, options.clone()) {
                        Ok((log, _)) => log,
                        Err(error @ Error::Corrupt { .. }) => {
                            refused += 1;
                            assert!(is_named(&error.to_string(), &copy), "{case}: {error}");
                            // It stays so: nothing that proves the loss was removed.
                            let again = copy.try_open(&config, options);
                            assert!(again.is_err(), "{case}: {error}, and accepted later");
                            continue;
                        }
                        Err(error) => panic!("{case}: {error}"),
                    };
                    let (found, error) = serve(&log);
                    assert!(served.starts_with(&found), "{case}: something else is served");
                    if let Some(error) = error {
                        offline += 1;
                        assert!(matches!(error, Error::Offline { .. }), "{case}: {error}");
                        let damage = log.damage().expect(&case);
                        assert!(is_named(&damage, &copy), "{case}: {damage}");
                        continue;
                    }
                    // Above the recovery point a power failure may have taken the end, and the end only.
                    let may_end = mode == "page cache" && name.ends_with(".log");
                    if found.len() < served.len() {
                        assert!(may_end, "{case}: {} of {}", found.len(), served.len());
                        assert!(log.log_end_offset() <= served[found.len()].0, "{case}: a hole");
                    } else {
                        assert_eq!(log.log_end_offset(), end, "{case}");
                    }
                    assert_eq!(log.log_start_offset(), 0, "{case}");
                }
            }
        }
    }
    assert!(
        cases > 1000 && refused > 100 && offline > 50,
        "{cases} {refused} {offline}"
    );
}

#[test]
fn lookups_by_time_give_no_wrong_answer() {
    let (dir, config, _, end) = filled(false);
    let right = |log: &PartitionLog, ms: i64| log.offset_for_timestamp(NOW_MS + ms, i64::MAX);
    let times = [0, 3, 20, 25, 33, 40, 47, 100];
    let expected: Vec<_> = {
        let copy = copied(&dir);
        let (log, _) = copy.open(&config, clean(end));
        times.iter().map(|ms| right(&log, *ms).unwrap()).collect()
    };
    for name in dir.names() {
        for way in ways() {
            let copy = copied(&dir);
            if !apply(&copy.file(&name), way) {
                continue;
            }
            let Ok((log, _)) = copy.try_open(&config, clean(end)) else {
                continue;
            };
            for (ms, expected) in times.iter().zip(&expected) {
                match right(&log, *ms) {
                    Ok(found) => assert_eq!(found, *expected, "{name} {way:?} at {ms}"),
                    Err(error) => assert!(matches!(error, Error::Offline { .. }), "{name} {way:?}: {error}"),
                }
            }
        }
    }
}

#[test]
fn the_scrub_finds_what_changes_under_a_log_that_was_read() {
    let (dir, config, served, end) = filled(false);
    let names: Vec<String> = dir
        .names()
        .into_iter()
        .filter(|name| name.ends_with(".log"))
        .collect();
    for name in names {
        for at in PLACES {
            let copy = copied(&dir);
            let (log, _) = copy.open(&config, clean(end));
            assert_eq!(serve(&log).0, served);
            let path = copy.file(&name);
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            if !apply(&path, Way::Flipped(at)) {
                continue;
            }
            // As the disk does it: nobody has written to the file.
            fs::File::open(&path).unwrap().set_modified(modified).unwrap();
            let mut from = None;
            let found = loop {
                match log.scrub(from, 900) {
                    Ok(step) if step.next.is_none() => break None,
                    Ok(step) => from = step.next,
                    Err(error) => break Some(error),
                }
            };
            assert!(
                matches!(found, Some(Error::Offline { .. })),
                "{name} {at}: {found:?}"
            );
            assert!(log.damage().unwrap().contains(&name), "{:?}", log.damage());
            assert!(matches!(
                log.read(0, 1, i64::MAX, true),
                Err(Error::Offline { .. })
            ));
        }
    }
}

#[test]
fn a_file_that_somebody_writes_to_is_checked_again() {
    let (dir, config, served, end) = filled(false);
    let (log, _) = dir.open(&config, clean(end));
    assert_eq!(serve(&log).0, served);
    let first = dir
        .names()
        .into_iter()
        .find(|name| name.ends_with(".log"))
        .unwrap();
    assert!(apply(&dir.file(&first), Way::Flipped(80)));
    let (found, error) = serve(&log);
    assert_eq!(found[..], served[..found.len()]);
    assert!(matches!(error, Some(Error::Offline { .. })), "{error:?}");
}

#[test]
fn what_was_appended_is_checked_once_its_segment_is_sealed() {
    let dir = Dir::new();
    let (log, _) = dir.open(&config(), OpenOptions::default());
    for index in 0..30 {
        append(&log, &batch(3, 150, NOW_MS + index));
    }
    let (served, _) = serve(&log);
    let first = dir
        .names()
        .into_iter()
        .find(|name| name.ends_with(".log"))
        .unwrap();
    let path = dir.file(&first);
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    drop(log);
    let (log, _) = dir.open(&config(), clean(90));
    assert!(apply(&path, Way::Flipped(80)));
    fs::File::open(&path).unwrap().set_modified(modified).unwrap();
    let (found, error) = serve(&log);
    assert_eq!(found[..], served[..found.len()]);
    assert!(matches!(error, Some(Error::Offline { .. })), "{error:?}");
}

#[test]
fn an_index_that_is_cut_while_it_is_in_use_ends_nothing() {
    let dir = Dir::new();
    let config = LogConfig {
        index_interval_bytes: 0,
        ..LogConfig::default()
    };
    let (log, _) = dir.open(&config, OpenOptions::default());
    for n in 0..3000 {
        append(&log, &batch(1, 60, NOW_MS + n));
    }
    // Maps it.
    assert!(log.read(5, 1000, i64::MAX, true).unwrap().len > 0);
    let name = dir
        .names()
        .into_iter()
        .find(|name| name.ends_with(".index"))
        .unwrap();
    let file = fs::OpenOptions::new().write(true).open(dir.file(&name)).unwrap();
    file.set_len(0).unwrap();
    for _ in 0..2 {
        // It is done without.
        let slice = log.read(5, 1000, i64::MAX, true).unwrap();
        assert_eq!(slice.first_offset, 5);
        assert!(slice.len > 0);
    }
}
