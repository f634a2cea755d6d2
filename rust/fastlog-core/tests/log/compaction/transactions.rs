//! Transactions, their markers, and batches that are left without records.

use crate::common::keyed::{Producer, committed, end, everything, put, stored};
use crate::common::{Dir, NOW_MS, clean, unclean};
use fastlog_core::Codec;
use fastlog_core::batch::ControlKind;
use fastlog_core::log::OpenOptions;

use super::support::{config, fill, filled, has};

#[test]
fn open_transactions_are_not_touched_and_markers_go_last() {
    let dir = Dir::new();
    let (log, _) = dir.open(&config(), OpenOptions::default());
    let write = |id, value: &str| {
        let producer = Producer {
            id,
            transactional: true,
        };
        put(
            &log,
            Codec::Gzip,
            Some(producer),
            NOW_MS,
            &[(Some(b"k"), Some(value.as_bytes()))],
        );
    };
    write(1, "committed");
    end(&log, 1, ControlKind::Commit, NOW_MS);
    write(2, "aborted");
    end(&log, 2, ControlKind::Abort, NOW_MS);
    log.roll().unwrap();
    write(3, "open");
    log.roll().unwrap();
    let report = log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    assert_eq!(report.cleaned_to, 4);
    let values = || -> Vec<String> {
        let value = |rec: crate::common::keyed::Rec| String::from_utf8(rec.value.unwrap()).unwrap();
        committed(&log).into_iter().map(value).collect()
    };
    assert_eq!(values(), ["committed"]);
    // The aborted record is gone; its empty batch keeps the sequence, and so the marker and the index entry stay.
    assert_eq!(log.aborted_transactions(0, 4).len(), 1);
    end(&log, 3, ControlKind::Commit, NOW_MS);
    log.roll().unwrap();
    let report = log.compact(&everything(&log, 4, NOW_MS)).unwrap();
    assert_eq!(report.cleaned_to, 6);
    assert_eq!(values(), ["open"]);
    assert_eq!(log.active_producers().len(), 3);
    let kinds: Vec<(i64, i32)> = stored(&log)
        .iter()
        .map(|batch| (batch.header.base_offset, batch.header.record_count))
        .collect();
    assert_eq!(kinds, [(0, 0), (1, 1), (2, 0), (3, 1), (4, 1), (5, 1)]);
    log.expire_producers(i64::MAX);
    for round in 1..4 {
        // Batches without records, then a delete horizon, then nothing.
        fill(&log, 1, 5);
        let state = log
            .compaction_state(-1, log.log_end_offset(), NOW_MS, 0, i64::MAX)
            .unwrap();
        log.compact(&everything(&log, state.first_dirty_offset, NOW_MS + round * 2000))
            .unwrap();
    }
    assert_eq!(stored(&log)[0].header.base_offset, 4);
    assert!(log.aborted_transactions(0, 100).is_empty());
}

#[test]
fn a_transaction_whose_marker_went_is_not_open_after_a_restart() {
    let dir = Dir::new();
    let (log, _) = dir.open(&config(), OpenOptions::default());
    let producer = Producer {
        id: 4,
        transactional: true,
    };
    put(
        &log,
        Codec::None,
        Some(producer),
        NOW_MS,
        &[(Some(b"a"), Some(b"1"))],
    );
    // The snapshot that the roll writes has the transaction open, and stays.
    log.roll().unwrap();
    end(&log, 4, ControlKind::Commit, NOW_MS);
    fill(&log, 1, 5);
    log.advance_log_start_offset(1).unwrap();
    assert_eq!(log.apply_retention(NOW_MS).unwrap().len(), 1);
    assert!(has(&dir, "00000000000000000001.snapshot"));
    let first = log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    let second = log
        .compact(&everything(&log, first.cleaned_to, NOW_MS + 1000))
        .unwrap();
    assert_eq!(second.tombstones_dropped, 1);
    assert!(has(&dir, "00000000000000000001.snapshot"));
    let known = log.active_producers();
    assert_eq!((known[0].producer_id, known[0].txn_start_offset), (4, -1));
    drop(log);
    let options = OpenOptions {
        log_start_offset: 1,
        ..unclean(0)
    };
    let (log, _) = dir.open(&config(), options);
    assert_eq!(log.active_producers()[0].txn_start_offset, -1);
    assert_eq!(log.last_stable_offset(log.log_end_offset()), log.log_end_offset());
}

#[test]
fn a_batch_without_records_has_no_timestamp() {
    let dir = Dir::new();
    let (log, _) = dir.open(&config(), OpenOptions::default());
    let producer = Producer {
        id: 4,
        transactional: false,
    };
    let late = NOW_MS + 5000;
    put(
        &log,
        Codec::None,
        Some(producer),
        late,
        &[(Some(b"a"), Some(b"1"))],
    );
    put(&log, Codec::None, None, NOW_MS, &[(Some(b"a"), Some(b"2"))]);
    log.roll().unwrap();
    log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    let batches = stored(&log);
    assert_eq!((batches.len(), batches[0].header.max_timestamp), (2, late));
    let found = log.max_timestamp_offset().unwrap().unwrap();
    assert_eq!((found.timestamp, found.offset), (NOW_MS, 1));
    assert_eq!(log.segments().unwrap()[0].largest_timestamp, NOW_MS);
    log.close().unwrap();
    let (log, _) = dir.open(&config(), clean(2));
    assert_eq!(log.segments().unwrap()[0].largest_timestamp, NOW_MS);
}

#[test]
fn an_empty_result_replaces_all_files_of_its_name() {
    let (dir, log) = filled(20, 5);
    assert!(log.segment_count() > 2);
    drop(log);
    let path = |suffix: &str| dir.file(&format!("{:020}{suffix}", 0));
    for suffix in [".log", ".index", ".timeindex"] {
        std::fs::rename(path(suffix), path(&format!("{suffix}.deleted"))).unwrap();
        std::fs::write(path(&format!("{suffix}.swap")), b"").unwrap();
    }
    std::fs::write(path(".txnindex"), [0; 34]).unwrap();
    let (log, report) = dir.open(
        &config(),
        OpenOptions {
            compacted_below: 100,
            ..clean(100)
        },
    );
    assert_eq!(report.warnings.len(), 3, "{report:?}");
    assert_eq!(log.segments().unwrap()[0].size, 0);
    assert!(!path(".txnindex").exists());
    let first = log.segments().unwrap()[1].base_offset;
    assert_eq!(committed(&log)[0].offset, first);
}
