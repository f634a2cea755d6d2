//! What stays (Kafka: `Cleaner.cleanInto`, KIP-534).
//!
//! | what | stays |
//! |---|---|
//! | record at or above the end of the map | yes |
//! | record below the log start offset | no |
//! | record without a key | no |
//! | record whose key has a later one in the map | no |
//! | tombstone in a batch whose delete horizon has passed | no |
//! | record of an aborted transaction | no |
//! | transaction marker | until nothing of its transaction is left and, after that, its delete horizon has passed |
//!
//! The delete horizon is set, `delete.retention.ms` ahead, by the first compaction that keeps a tombstone, or
//! finds nothing left of a marker's transaction. A batch without records is dropped, unless it is the last one
//! of a producer that is still known (its sequence number or epoch would be forgotten) or the last one of
//! what this compaction cleans.

use std::collections::HashMap;

use crate::batch::{BatchHeader, BatchView, Records, control_marker};
use crate::compaction::offset_map::OffsetMap;
use crate::compaction::transactions::{MarkerVerdict, Transactions};
use crate::compression::DecompressionLimit;
use crate::error::Result;
use crate::txn_index::AbortedTxn;

/// The last trace of a producer that the log knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRecord {
    /// Last offset of its last batch of records of its epoch; `None` when it has written markers only.
    pub data_offset: Option<i64>,
    /// Its epoch.
    pub epoch: i16,
}

/// What becomes of a batch without looking at its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// It goes with all its records.
    Delete,
    /// It goes if no record stays.
    DeleteEmpty,
    /// It stays even if no record does.
    RetainEmpty,
}

/// The ruling on one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchRule {
    /// What becomes of the batch.
    pub retention: Retention,
    /// None of its records stays.
    pub discard: bool,
    /// It is a marker of a transaction of which nothing is left.
    pub is_dispensable_marker: bool,
    /// The entry of the transaction index that goes with it.
    pub aborted: Option<AbortedTxn>,
}

/// Everything that decides.
#[derive(Debug)]
pub struct Rules<'m> {
    /// The latest offsets of the dirty part.
    pub map: &'m OffsetMap,
    /// End of what the map speaks of.
    pub clean_end: i64,
    /// First offset that may be read.
    pub log_start: i64,
    /// End of the stretch that this compaction was to clean: the first uncleanable offset.
    pub round_end: i64,
    /// The time.
    pub now_ms: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// The producers that the log knows, by id.
    pub producers: HashMap<i64, LastRecord>,
}

impl Rules<'_> {
    /// Rules on a batch. `transactions` follows the log from its start.
    ///
    /// Fails with [`crate::Error::Malformed`] on a control batch that cannot be read.
    pub fn rule(&self, batch: &BatchView<'_>, transactions: &mut Transactions) -> Result<BatchRule> {
        let header = batch.header();
        let (discard, is_dispensable_marker, aborted) = if header.is_control() {
            match read_marker(batch, transactions)? {
                MarkerVerdict::Needed(aborted) => (false, false, aborted),
                MarkerVerdict::Dispensable => (self.horizon_has_passed(header), true, None),
            }
        } else {
            (transactions.on_records(header), false, None)
        };
        let keeps_state = self.is_last_of_producer(header) || header.next_offset() == self.round_end;
        let retention = match (keeps_state, discard) {
            (true, _) => Retention::RetainEmpty,
            (false, true) => Retention::Delete,
            (false, false) => Retention::DeleteEmpty,
        };
        Ok(BatchRule {
            retention,
            discard,
            is_dispensable_marker,
            aborted,
        })
    }

    /// Whether the batch's tombstones, or its marker, have been kept for long enough.
    pub fn horizon_has_passed(&self, header: &BatchHeader) -> bool {
        header.has_delete_horizon() && header.base_timestamp <= self.now_ms
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        let last = header
            .has_producer()
            .then(|| self.producers.get(&header.producer_id))
            .flatten();
        last.is_some_and(|last| match last.data_offset {
            Some(offset) => header.last_offset() == offset,
            None => header.is_control() && header.producer_epoch == last.epoch,
        })
    }
}

/// The first record of a control batch, which is never compressed.
fn read_marker(batch: &BatchView<'_>, transactions: &mut Transactions) -> Result<MarkerVerdict> {
    let header = batch.header();
    let records = Records::decode(batch, DecompressionLimit::for_topic(0))?;
    let Some(record) = records.iter().next() else {
        return Ok(transactions.on_marker(header, None));
    };
    let record = record?;
    match control_marker(record.key, record.value) {
        Some(marker) => Ok(transactions.on_marker(header, Some(marker.kind))),
        None => Ok(transactions.on_unknown_control(header)),
    }
}
