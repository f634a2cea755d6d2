//! A log beside what must be in it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use crate::common::keyed::{Producer, Rec, end, everything, put, stored};
use crate::common::{NOW_MS, clean, unclean};
use fastlog_core::batch::ControlKind;
use fastlog_core::env::{Crash, FaultFs};
use fastlog_core::log::{LogConfig, OpenOptions, PartitionLog};
use fastlog_core::{Codec, CompactionOptions, ManualClock};

use super::ops::Op;

pub const RETENTION_MS: i64 = 1000;

/// One append as the model remembers it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub base: i64,
    pub next: i64,
    /// The producer when it is part of a transaction.
    pub transaction: Option<i64>,
    pub marker: Option<ControlKind>,
    pub records: Vec<Rec>,
}

/// What became of the records of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Committed,
    Aborted,
    Open,
}

pub struct Model {
    pub fs: FaultFs,
    pub log: PartitionLog,
    pub now_ms: i64,
    pub entries: Vec<Entry>,
    pub start: i64,
    /// The cleaner checkpoint.
    pub checkpoint: i64,
    /// Up to where the log is known to be clean: the end of the last compaction that was not interrupted.
    pub clean: i64,
    /// Up to where a compaction may have worked: the end of the last one that was interrupted.
    pub touched: i64,
    /// The log end offset at the last compaction, below which nothing is cut.
    pub high_watermark: i64,
    /// Per batch: the first compaction that may have set its delete horizon, and the first that did.
    pub may_have_horizon: HashMap<i64, i64>,
    pub has_horizon: HashMap<i64, i64>,
    pub last_compaction_ms: i64,
    pub last_success_ms: i64,
}

pub fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 900,
        index_interval_bytes: 150,
        compact: true,
        delete: false,
        ..LogConfig::default()
    }
}

pub fn open(fs: &FaultFs, config: LogConfig, options: OpenOptions) -> PartitionLog {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let path = Path::new("/data/t-0");
    let opened = PartitionLog::open(path, config, Arc::new(fs.clone()), clock, options);
    opened.unwrap().0
}

/// (id, epoch, last sequence, first offset of the open transaction)
pub fn producers(log: &PartitionLog) -> Vec<(i64, i16, i32, i64)> {
    let active = log.active_producers().into_iter();
    active
        .map(|one| {
            (
                one.producer_id,
                one.epoch,
                one.last_sequence,
                one.txn_start_offset,
            )
        })
        .collect()
}

impl Model {
    /// After a kill the producers are those of before. One of whose batches none is left may be forgotten when the
    /// log is read from its start, with the snapshot that knew it; a marker that is left tells of no sequence. Both
    /// as in Kafka.
    fn check_producers(&self, before: &[(i64, i16, i32, i64)], from_start: bool) {
        let after = producers(&self.log);
        let held: Vec<i64> = stored(&self.log)
            .iter()
            .filter(|batch| !batch.header.is_control())
            .map(|batch| batch.header.producer_id)
            .collect();
        let may_forget = |id| from_start && !held.contains(&id);
        for &(id, epoch, last_sequence, open) in &after {
            let by_marker = |one: &&(i64, i16, i32, i64)| may_forget(id) && (one.0, one.1) == (id, epoch);
            assert!(
                before.contains(&(id, epoch, last_sequence, open))
                    || ((last_sequence, open) == (-1, -1) && before.iter().find(by_marker).is_some()),
                "{after:?} {before:?}"
            );
        }
        for one in before.iter().filter(|one| !after.contains(one)) {
            assert!(may_forget(one.0), "{one:?} of {before:?}");
        }
    }

    pub fn new() -> Self {
        let fs = FaultFs::new();
        let log = open(&fs, config(), OpenOptions::default());
        Self {
            fs,
            log,
            now_ms: NOW_MS,
            entries: Vec::new(),
            start: 0,
            checkpoint: -1,
            clean: 0,
            touched: 0,
            high_watermark: 0,
            may_have_horizon: HashMap::new(),
            has_horizon: HashMap::new(),
            last_compaction_ms: 0,
            last_success_ms: 0,
        }
    }

    pub fn end(&self) -> i64 {
        self.entries
            .last()
            .map_or(self.start, |entry| entry.next)
            .max(self.start)
    }

    pub fn fates(&self) -> Vec<Fate> {
        let mut fates = vec![Fate::Committed; self.entries.len()];
        let mut open: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (index, entry) in self.entries.iter().enumerate() {
            let Some(producer) = entry.transaction else {
                continue;
            };
            if let Some(kind) = entry.marker {
                for of in open.remove(&producer).unwrap_or_default() {
                    fates[of] = if kind == ControlKind::Abort {
                        Fate::Aborted
                    } else {
                        Fate::Committed
                    };
                }
            } else {
                fates[index] = Fate::Open;
                open.entry(producer).or_default().push(index);
            }
        }
        fates
    }

    pub fn is_open(&self, producer: i64) -> bool {
        let fates = self.fates();
        self.entries
            .iter()
            .zip(fates)
            .any(|(entry, fate)| entry.transaction == Some(producer) && fate == Fate::Open)
    }

    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Append {
                records,
                codec,
                producer,
            } => self.append(records, Codec::ALL[*codec], *producer),
            Op::EndTransaction { producer, abort } => {
                if self.is_open(*producer) {
                    let kind = if *abort {
                        ControlKind::Abort
                    } else {
                        ControlKind::Commit
                    };
                    let offset = end(&self.log, *producer, kind, self.now_ms);
                    self.entries.push(Entry {
                        base: offset,
                        next: offset + 1,
                        transaction: Some(*producer),
                        marker: Some(kind),
                        records: Vec::new(),
                    });
                }
            }
            Op::Roll => {
                self.log.roll().unwrap();
            }
            Op::Flush => assert_eq!(self.log.flush(None).unwrap(), self.end()),
            Op::Wait { ms } => self.now_ms += ms,
            Op::Compact { slots } => self.compact(*slots),
            Op::CompactAndCrash { at, power } => self.compact_and_crash(*at, *power),
            Op::DeleteRecords { back } => {
                let offset = (self.log.last_stable_offset(self.end()) - back).max(self.start);
                self.start = self.log.advance_log_start_offset(offset).unwrap();
            }
            Op::Retain => {
                self.log.apply_retention(self.now_ms).unwrap();
                self.log.purge_deleted(i64::MAX).unwrap();
            }
            Op::Truncate { back } => {
                self.truncate((self.end() - back).max(self.high_watermark).max(self.start));
            }
            Op::CloseAndOpen => {
                let before = producers(&self.log);
                self.log.close().unwrap();
                self.reopen(config(), clean(self.end()));
                assert_eq!(producers(&self.log), before);
            }
            Op::KillAndOpen {
                policy_changed,
                from_start,
            } => {
                let before = producers(&self.log);
                let point = if *from_start { 0 } else { self.log.recovery_point() };
                let compact = !policy_changed;
                self.reopen(LogConfig { compact, ..config() }, unclean(point));
                self.check_producers(&before, *from_start);
                self.log.update_config(config());
            }
            Op::PullThePlug => {
                let point = self.log.recovery_point();
                self.fs = self.fs.crash_image(self.fs.operations(), Crash::Power);
                self.reopen(config(), unclean(point));
                let end = self.log.log_end_offset();
                assert!(end >= point && end >= self.clean, "{end} {point} {}", self.clean);
                self.forget_above(end);
            }
        }
        self.check(op);
    }

    pub fn append(&mut self, records: &[(u8, bool)], codec: Codec, producer: i64) {
        let base = self.end();
        let producer = (producer > 0).then_some(Producer {
            id: producer,
            transactional: producer > 2,
        });
        let pairs: Vec<(Vec<u8>, Option<Vec<u8>>)> = records
            .iter()
            .enumerate()
            .map(|(index, (key, tombstone))| {
                let value = format!("{:>30}", base + index as i64).into_bytes();
                (format!("key-{key}").into_bytes(), (!tombstone).then_some(value))
            })
            .collect();
        let borrowed: Vec<_> = pairs
            .iter()
            .map(|(key, value)| (Some(key.as_slice()), value.as_deref()))
            .collect();
        let info = put(&self.log, codec, producer, self.now_ms, &borrowed);
        assert_eq!(info.first_offset, base);
        let records = pairs.into_iter().enumerate().map(|(index, (key, value))| Rec {
            offset: base + index as i64,
            timestamp: self.now_ms + index as i64,
            key: Some(key),
            value,
        });
        self.entries.push(Entry {
            base,
            next: info.end_offset,
            transaction: producer
                .filter(|producer| producer.transactional)
                .map(|producer| producer.id),
            marker: None,
            records: records.collect(),
        });
    }

    pub fn options(&self, slots: usize) -> CompactionOptions {
        CompactionOptions {
            memory_bytes: slots * 24,
            delete_retention_ms: RETENTION_MS,
            ..everything(&self.log, self.checkpoint, self.now_ms)
        }
    }

    pub fn note_horizons(&mut self, sure: bool, below: i64) {
        for entry in self.entries.iter().filter(|entry| entry.base < below) {
            self.may_have_horizon.entry(entry.base).or_insert(self.now_ms);
            if sure {
                self.has_horizon.entry(entry.base).or_insert(self.now_ms);
            }
        }
        self.last_compaction_ms = self.now_ms;
        self.touched = self.touched.max(below);
        self.high_watermark = self.end();
    }

    pub fn compact(&mut self, slots: usize) {
        let state = self
            .log
            .compaction_state(self.checkpoint, self.end(), self.now_ms, 0, i64::MAX)
            .unwrap();
        let stable = self.log.last_stable_offset(self.end());
        assert!(state.first_uncleanable_offset <= stable.max(state.first_dirty_offset));
        let report = self.log.compact(&self.options(slots)).unwrap();
        assert!(report.map_memory_bytes <= slots * 24);
        assert_eq!(report.invalid_records, 0);
        if report.map_full {
            assert!(report.cleaned_to > state.first_dirty_offset);
        } else {
            assert_eq!(report.cleaned_to, state.first_uncleanable_offset);
        }
        let worked = report.segments_before > 0;
        if worked {
            // The log start may be the first dirty offset, in a segment that cannot be cleaned yet.
            let had_dirt = report.cleaned_to > state.first_dirty_offset;
            self.note_horizons(true, if had_dirt { report.cleaned_to } else { self.clean });
            self.last_success_ms = self.now_ms;
        }
        self.checkpoint = report.cleaned_to;
        self.clean = report.cleaned_to;
        let after = self
            .log
            .compaction_state(self.checkpoint, self.end(), self.now_ms, 0, i64::MAX)
            .unwrap();
        assert!(after.checkpoint_valid);
        assert!(!after.removal_due, "{after:?}");
        assert!(report.map_full || after.cleanable_bytes == 0, "{after:?}");
    }

    pub fn compact_and_crash(&mut self, at: usize, power: bool) {
        let point = self.log.recovery_point();
        let before = self.fs.operations();
        let options = self.options(1000);
        let report = self.log.compact(&options).unwrap();
        self.note_horizons(false, report.cleaned_to);
        let operations = self.fs.operations() - before;
        let crash = if power { Crash::Power } else { Crash::Process };
        self.fs = self.fs.crash_image(before + operations * at / 1000, crash);
        // The recovery point on the disk is one of before; so may be the policy.
        self.reopen(config(), unclean(point));
        let end = self.log.log_end_offset();
        assert!(end >= point && end >= self.clean);
        self.forget_above(end);
    }

    pub fn truncate(&mut self, offset: i64) {
        self.log.truncate_to(offset).unwrap();
        self.forget_above(self.log.log_end_offset());
    }

    pub fn forget_above(&mut self, end: i64) {
        self.entries.retain(|entry| entry.next <= end);
        self.may_have_horizon.retain(|base, _| *base < end);
        self.has_horizon.retain(|base, _| *base < end);
        // A hole may be what is left at the end.
        if self.end() < end {
            self.entries.push(Entry {
                base: end,
                next: end,
                transaction: None,
                marker: None,
                records: Vec::new(),
            });
        }
        self.start = self.start.min(end);
        self.clean = self.clean.min(end);
        self.touched = self.touched.min(end);
    }

    pub fn reopen(&mut self, config: LogConfig, options: OpenOptions) {
        let options = OpenOptions {
            log_start_offset: self.start,
            ..options
        };
        self.log = open(&self.fs, config, options);
    }
}
