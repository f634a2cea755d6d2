//! Random sequences of appends, transactions, compactions and crashes against a plain dictionary.

mod checks;
mod model;
mod ops;

use crate::common::NOW_MS;
use crate::common::keyed::{committed, everything, put};
use fastlog_core::env::FaultFs;
use fastlog_core::log::{LogConfig, OpenOptions};
use fastlog_core::{Codec, CompactionOptions, Error};
use proptest::prelude::*;

use self::model::{Model, RETENTION_MS, config, open};
use self::ops::{Op, ops};

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_dictionary(ops in ops()) {
        let mut model = Model::new();
        for op in &ops {
            model.apply(op);
        }
        // Whatever happened, the rest can be compacted and read.
        model.log.roll().unwrap();
        model.apply(&Op::Compact { slots: 1000 });
        model.now_ms += 2 * RETENTION_MS;
        model.apply(&Op::Compact { slots: 1000 });
        model.apply(&Op::KillAndOpen { policy_changed: true, from_start: true });
    }
}

#[test]
fn keyless_records_go_and_are_counted() {
    let fs = FaultFs::new();
    let log = open(
        &fs,
        LogConfig {
            compact: false,
            ..config()
        },
        OpenOptions::default(),
    );
    for _ in 0..5 {
        put(
            &log,
            Codec::Lz4,
            None,
            NOW_MS,
            &[(None, Some(b"v")), (Some(b"k"), Some(b"v"))],
        );
    }
    log.roll().unwrap();
    let report = log.compact(&everything(&log, -1, NOW_MS)).unwrap();
    assert_eq!((report.invalid_records, report.records_kept), (5, 1));
    assert_eq!(committed(&log).len(), 1);
    assert!(matches!(
        log.compact(&CompactionOptions {
            memory_bytes: 3,
            clean_from: 0,
            ..everything(&log, 0, 0)
        }),
        Err(Error::InvalidArgument(_))
    ));
}
