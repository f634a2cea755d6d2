//! What is missing and no loss, what is given up when losses are allowed, and results of compaction that are damaged.

#![allow(clippy::case_sensitive_file_extension_comparisons)] // the names are our own

use std::fs;

use crate::common::{NOW_MS, append, batch, clean, contents, unclean};
use crate::damage::{Way, apply, borders, copied, filled, serve};
use fastlog_core::Error;
use fastlog_core::log::OpenOptions;

#[test]
fn with_losses_allowed_offsets_are_not_given_out_again() {
    let (dir, config, served, end) = filled(false);
    let logs: Vec<String> = dir
        .names()
        .into_iter()
        .filter(|name| name.ends_with(".log"))
        .collect();
    for name in &logs {
        for way in [Way::Removed, Way::Emptied, Way::CutAtBatch(1), Way::CutInBatch] {
            for options in [clean(end), unclean(end)] {
                let copy = copied(&dir);
                assert!(apply(&copy.file(name), way));
                let case = format!("{name} {way:?} {}", options.clean_shutdown);
                assert!(copy.try_open(&config, options.clone()).is_err(), "{case}");
                let allowed = OpenOptions {
                    allow_data_loss: true,
                    ..options
                };
                let (log, report) = copy.open(&config, allowed);
                assert!(!report.warnings.is_empty(), "{case}");
                assert_eq!(log.log_end_offset(), end, "{case}");
                let (found, error) = serve(&log);
                assert!(error.is_none(), "{case}: {error:?}");
                assert!(found.iter().all(|batch| served.contains(batch)), "{case}");
                assert_eq!(append(&log, &batch(1, 10, NOW_MS)).first_offset, end);
                log.close().unwrap();
                drop(log);
                // Once is enough.
                let (log, _) = copy.open(&config, clean(end + 1));
                assert_eq!(log.log_end_offset(), end + 1, "{case}");
            }
        }
    }
}

#[test]
fn a_deletion_that_a_crash_interrupted_is_no_loss() {
    let (dir, config, _, end) = filled(false);
    let (log, _) = dir.open(&config, clean(end));
    let second = log.segments().unwrap()[1].base_offset;
    log.advance_log_start_offset(second).unwrap();
    assert_eq!(log.apply_retention(NOW_MS).unwrap().len(), 1);
    drop(log);
    let index = format!("{:020}.index", 0);
    // After the log, and before its index: with and without what explains it.
    fs::rename(dir.file(&format!("{index}.deleted")), dir.file(&index)).unwrap();
    for without in [false, true] {
        let copy = copied(&dir);
        if without {
            fs::remove_file(copy.file(&format!("{:020}.log.deleted", 0))).unwrap();
        }
        // The checkpoint of log start offsets was not written yet.
        let (log, _) = copy.open(&config, unclean(end));
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (second, end));
        assert!(!copy.file(&index).exists());
    }
}

#[test]
fn a_directory_of_kafka_may_begin_later_than_its_epochs_say() {
    let (dir, config, served, end) = filled(false);
    fs::remove_file(dir.file(&format!("{:020}.log", 0))).unwrap();
    for suffix in ["index", "timeindex", "txnindex"] {
        let _ = fs::remove_file(dir.file(&format!("{:020}.{suffix}", 0)));
    }
    assert!(matches!(
        copied(&dir).try_open(&config, clean(end)),
        Err(Error::Corrupt { .. })
    ));
    let adopted = OpenOptions {
        adopted: true,
        ..clean(end)
    };
    let (log, _) = dir.open(&config, adopted);
    assert!(log.log_start_offset() > 0);
    assert!(served.ends_with(&serve(&log).0));
}

#[test]
fn damaged_results_of_a_compaction_replace_nothing() {
    let (dir, config, served, end) = filled(false);
    let name = dir
        .names()
        .into_iter()
        .filter(|name| name.ends_with(".log"))
        .nth(1)
        .unwrap();
    let sound = fs::read(dir.file(&name)).unwrap();
    let flip = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cut = borders(&sound)[2];
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("flipped", flip(100)),
        ("flipped at the end", flip(sound.len() - 1)),
        ("torn", sound[..sound.len() - 9].to_vec()),
        ("cut at a batch", sound[..cut].to_vec()),
        ("zeros", vec![0; sound.len()]),
    ] {
        let copy = copied(&dir);
        fs::write(copy.file(&format!("{name}.swap")), &bytes).unwrap();
        let index = name.replace(".log", ".index");
        fs::copy(copy.file(&index), copy.file(&format!("{index}.swap"))).unwrap();
        // What it was made from is there: a compaction can be done again.
        let (log, report) = copy.open(&config, clean(end));
        assert_eq!(serve(&log).0, served, "{what}");
        assert!(
            report.warnings.iter().any(|text| text.contains("dropped")),
            "{what}: {report:?}"
        );
        assert!(!copy.names().iter().any(|name| name.ends_with(".swap")), "{what}");

        // It is gone: refused, and nothing is changed.
        let copy = copied(&dir);
        fs::write(copy.file(&format!("{name}.swap")), &bytes).unwrap();
        fs::copy(copy.file(&index), copy.file(&format!("{index}.swap"))).unwrap();
        fs::rename(copy.file(&name), copy.file(&format!("{name}.deleted"))).unwrap();
        let before = contents(&copy.path());
        let refused = copy.try_open(&config, clean(end));
        assert!(
            matches!(refused, Err(Error::Corrupt { .. })),
            "{what}: {refused:?}"
        );
        assert!(contents(&copy.path()) == before, "{what}");
    }
}
