//! Whether the log is what the model says.

use std::collections::BTreeMap;

use crate::common::keyed::{Rec, committed, stored, table};

use super::model::{Fate, Model, RETENTION_MS};
use super::ops::Op;

impl Model {
    pub fn check(&self, op: &Op) {
        assert_eq!(self.log.failure(), None);
        assert_eq!(
            (self.log.log_start_offset(), self.log.log_end_offset()),
            (self.start, self.end()),
            "{op:?}"
        );
        let fates = self.fates();
        let all: BTreeMap<i64, (&Rec, Fate, i64)> = self
            .entries
            .iter()
            .zip(&fates)
            .flat_map(|(entry, fate)| {
                entry
                    .records
                    .iter()
                    .map(move |rec| (rec.offset, (rec, *fate, entry.base)))
            })
            .filter(|(offset, _)| *offset >= self.start)
            .collect();

        // What a consumer sees is what was written, and its table is that of everything that was written.
        let seen = committed(&self.log);
        for record in &seen {
            assert_eq!(all[&record.offset].0, record, "{op:?}");
            assert_eq!(all[&record.offset].1, Fate::Committed, "{op:?}: {record:?}");
        }
        let stable = self.log.last_stable_offset(self.end());
        let settled = all
            .values()
            .filter(|(record, fate, _)| *fate == Fate::Committed && record.offset < stable)
            .map(|(record, ..)| *record);
        assert_eq!(table(&seen), table(settled.clone()), "{op:?}");

        // What no compaction can have touched is whole.
        let batches = stored(&self.log);
        let there: BTreeMap<i64, &Rec> = batches
            .iter()
            .flat_map(|batch| &batch.records)
            .map(|record| (record.offset, record))
            .collect();
        for (offset, (record, fate, _)) in all.range(self.touched..) {
            assert!(
                *fate == Fate::Aborted || there.contains_key(offset),
                "{op:?}: {record:?} is lost"
            );
        }

        // The clean part has one record of each key, and tombstones for as long as they are to stay.
        let mut latest: BTreeMap<&[u8], i64> = BTreeMap::new();
        let mut touched: BTreeMap<&[u8], i64> = BTreeMap::new();
        for record in settled.filter(|record| record.offset < self.touched) {
            let key = record.key.as_deref().unwrap();
            touched.insert(key, record.offset);
            if record.offset < self.clean {
                latest.insert(key, record.offset);
            }
        }
        for (offset, (record, fate, base)) in all.range(..self.clean) {
            let is_latest = *fate == Fate::Committed && latest[record.key.as_deref().unwrap()] == *offset;
            let is_there = there.contains_key(offset);
            if !is_latest {
                assert!(
                    !is_there,
                    "{op:?}: {record:?} {fate:?} is still there, clean to {}",
                    self.clean
                );
            } else if touched[record.key.as_deref().unwrap()] != *offset {
                // A compaction that was interrupted may have seen a later one.
            } else if record.value.is_none() {
                let may_go = self.may_have_horizon[base] + RETENTION_MS <= self.last_compaction_ms;
                let must_go = self
                    .has_horizon
                    .get(base)
                    .is_some_and(|seen| seen + RETENTION_MS <= self.last_success_ms);
                assert!(is_there || may_go, "{op:?}: {record:?} went too early");
                assert!(!is_there || !must_go, "{op:?}: {record:?} stayed too long");
            } else {
                assert!(is_there, "{op:?}: {record:?} is lost");
            }
        }

        // Records of a transaction come with its marker.
        let mut open: BTreeMap<i64, i64> = BTreeMap::new();
        for batch in batches.iter().filter(|batch| batch.header.is_transactional()) {
            if !batch.header.is_control() {
                open.insert(batch.header.producer_id, batch.header.base_offset);
            } else if batch.marker.is_some() {
                open.remove(&batch.header.producer_id);
            }
        }
        for (producer, offset) in open {
            assert!(
                self.is_open(producer),
                "{op:?}: the marker after {offset} is gone"
            );
        }
    }
}
