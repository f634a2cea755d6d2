//! One file is missing or damaged after a crash in the middle of a swap: nothing of the log is lost without a word.

#![allow(clippy::case_sensitive_file_extension_comparisons)] // the names are our own

use std::collections::BTreeSet;
use std::path::Path;

use crate::common::keyed::{committed, table};
use crate::common::unclean;
use crate::compaction_crash::{DIR, Expected, config, history, try_open};
use fastlog_core::Error;
use fastlog_core::batch::batches;
use fastlog_core::env::{Crash, FaultFs, FileSystem, OpenMode};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Removed,
    Emptied,
    CutAtBatch,
    CutInBatch,
    Flipped(usize),
}

const WAYS: [Way; 8] = [
    Way::Removed,
    Way::Emptied,
    Way::CutAtBatch,
    Way::CutInBatch,
    Way::Flipped(3),
    Way::Flipped(10),
    Way::Flipped(40),
    Way::Flipped(70),
];

/// Whether there was something to do.
fn apply(fs: &FaultFs, name: &str, way: Way) -> bool {
    let path = Path::new(DIR).join(name);
    let mut bytes = fs.read_file(&path).unwrap();
    let before = bytes.len();
    match way {
        Way::Removed => {
            fs.remove_file(&path).unwrap();
            return true;
        }
        Way::Emptied => bytes.clear(),
        Way::CutInBatch => bytes.truncate(before - before / 3),
        Way::CutAtBatch => {
            let last = batches(&bytes)
                .map_while(Result::ok)
                .last()
                .map(|view| view.bytes().len());
            match last {
                Some(last) if name.contains(".log") => bytes.truncate(before - last),
                _ => return false,
            }
        }
        Way::Flipped(at) => match bytes.get_mut(at) {
            Some(byte) => *byte ^= 1,
            None => return false,
        },
    }
    if bytes.len() == before && !matches!(way, Way::Flipped(_)) {
        return false;
    }
    let file = fs.open(&path, OpenMode::Truncate).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    true
}

fn names(image: &FaultFs) -> Vec<String> {
    let entries = image.list_dir(Path::new(DIR)).unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}

/// Images of a compaction with all sets of names that there are on the way.
fn stages() -> (Vec<(usize, FaultFs)>, Expected) {
    let (fs, operations, expected) = history(false);
    let mut seen = BTreeSet::new();
    let stages = operations
        .map(|at| (at, fs.crash_image(at, Crash::Process)))
        .filter(|(_, image)| {
            let names = names(image);
            names.iter().any(|name| name.ends_with(".swap")) && seen.insert(names)
        })
        .collect();
    (stages, expected)
}

#[test]
fn one_file_at_a_time_in_the_middle_of_a_swap() {
    let (stages, expected) = stages();
    let (mut cases, mut refused) = (0, 0);
    for (at, stage) in stages {
        let names = names(&stage);
        // Nothing says which transactions were aborted but this file.
        for name in names.iter().filter(|name| !name.contains("txnindex")) {
            for way in WAYS {
                let what = format!("{name} {way:?} at {at} of {names:?}");
                let image = stage.crash_image(stage.operations(), Crash::Process);
                if !apply(&image, name, way) {
                    continue;
                }
                cases += 1;
                let log = match try_open(&image, config(), unclean(expected.end)) {
                    Ok((log, _)) => log,
                    Err(Error::Corrupt { .. }) => {
                        refused += 1;
                        assert!(
                            try_open(&image, config(), unclean(expected.end)).is_err(),
                            "{what}"
                        );
                        continue;
                    }
                    Err(error) => panic!("{what}: {error}"),
                };
                // Everything is read and checked before it is believed.
                let mut from = None;
                let damage = loop {
                    match log.scrub(from, u64::MAX) {
                        Ok(step) if step.next.is_none() => break None,
                        Ok(step) => from = step.next,
                        Err(error) => break Some(error),
                    }
                };
                if damage.is_some() {
                    assert!(log.damage().is_some(), "{what}: {damage:?}");
                    continue;
                }
                assert_eq!(log.log_end_offset(), expected.end, "{what}");
                assert_eq!(table(&committed(&log)), expected.table, "{what}");
            }
        }
    }
    assert!(cases > 500 && refused > 50, "{cases} {refused}");
}
