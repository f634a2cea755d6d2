//! What a `read_committed` consumer may see: the last stable offset and the aborted transactions.
//!
//! The same facts are in the producer state, but behind the writer's mutex. This copy has a lock of its own,
//! so that fetches do not wait for a write.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::segments::holding;
use super::verification::Verifications;
use super::{PartitionLog, lock};
use crate::batch::BatchHeader;
use crate::producer_state::{CompletedTxn, ProducerState, Standing};
use crate::segment::Segment;
use crate::txn_index::AbortedTxn;

/// A transaction that is open.
#[derive(Debug, Clone, Copy)]
struct Open {
    first: i64,
    epoch: i16,
    /// When somebody looked at it first, ms; 0 for nobody yet.
    seen: i64,
}

/// Transactions that are not settled.
#[derive(Debug, Default)]
pub(super) struct Stability {
    /// Open ones, by producer id.
    open: BTreeMap<i64, Open>,
    /// Ended ones whose marker is not known to be below the high watermark: first offset to marker offset.
    unreplicated: BTreeMap<i64, i64>,
    /// Those that may begin.
    pub verifications: Verifications,
}

impl Stability {
    /// The transactions that are open in `producers`.
    pub fn of(producers: &ProducerState) -> Self {
        let open = producers
            .active()
            .into_iter()
            .filter(|producer| producer.txn_start_offset >= 0)
            .map(|producer| {
                let open = Open {
                    first: producer.txn_start_offset,
                    epoch: producer.epoch,
                    seen: 0,
                };
                (producer.producer_id, open)
            })
            .collect();
        Self {
            open,
            ..Self::default()
        }
    }

    /// Takes note of a batch that was appended, and of the transaction that it ended.
    pub fn note(&mut self, header: &BatchHeader, completed: Option<&CompletedTxn>) {
        if header.is_transactional() {
            self.verifications.end(header.producer_id);
        }
        if let Some(completed) = completed {
            self.open.remove(&completed.producer_id);
            self.unreplicated
                .insert(completed.first_offset, completed.last_offset);
        } else if header.is_transactional() && header.has_producer() && !header.is_control() {
            let entry = self.open.entry(header.producer_id).or_insert(Open {
                first: header.base_offset,
                epoch: 0,
                seen: 0,
            });
            entry.epoch = header.producer_epoch;
        }
    }

    /// Takes note of transactions that have ended, by first offset and marker.
    pub fn note_unreplicated(&mut self, ended: impl IntoIterator<Item = (i64, i64)>) {
        self.unreplicated.extend(ended);
    }

    /// Those of them whose markers lie below `end`.
    pub fn unreplicated_below(&self, end: i64) -> Vec<(i64, i64)> {
        let below = self.unreplicated.iter().filter(|(_, marker)| **marker < end);
        below.map(|(first, marker)| (*first, *marker)).collect()
    }

    /// Whether a transaction of this producer is open, in this epoch.
    pub fn is_open(&self, producer_id: i64, epoch: i16) -> bool {
        self.open
            .get(&producer_id)
            .is_some_and(|open| open.epoch == epoch)
    }

    /// How a batch with this guard stands.
    pub fn standing(&self, header: &BatchHeader, guard: Option<u64>) -> Standing {
        let is_open = self.is_open(header.producer_id, header.producer_epoch);
        self.verifications.standing(header, guard, is_open)
    }

    /// The end of what is settled below `limit`.
    pub fn settled_below(&self, limit: i64) -> i64 {
        let unreplicated = self.unreplicated.iter().filter(|(_, marker)| **marker >= limit);
        self.open
            .values()
            .map(|open| open.first)
            .chain(unreplicated.map(|(first, _)| *first))
            .fold(limit, i64::min)
    }

    /// The end of what is settled below `high_watermark`, which also replicates the markers below it.
    pub fn last_stable_offset(&mut self, high_watermark: i64) -> i64 {
        self.unreplicated.retain(|_, marker| *marker >= high_watermark);
        let open = self.open.values().map(|open| open.first).min();
        let unreplicated = self.unreplicated.keys().next().copied();
        open.into_iter()
            .chain(unreplicated)
            .fold(high_watermark, i64::min)
    }

    /// When the transaction that is open for longest was seen first; this is a look.
    pub fn open_since(&mut self, now_ms: i64) -> Option<i64> {
        let seen = self.open.values_mut().map(|open| {
            if open.seen == 0 {
                open.seen = now_ms;
            }
            open.seen
        });
        seen.min()
    }
}

impl PartitionLog {
    /// Like [`Self::last_stable_offset`], without taking the markers below `high_watermark` for replicated, and
    /// also where that lies before the log start offset.
    pub(super) fn settled_below(&self, high_watermark: i64) -> i64 {
        lock(&self.stability).settled_below(high_watermark)
    }

    /// Offset below which all transactions are decided, at most `high_watermark`.
    pub fn last_stable_offset(&self, high_watermark: i64) -> i64 {
        let stable = lock(&self.stability).last_stable_offset(high_watermark);
        // Records below the log start are gone, whatever became of their transactions.
        stable
            .max(self.log_start_offset())
            .min(high_watermark.max(self.log_start_offset()))
    }

    /// Since when some transaction is open, ms, as far as this method has seen it: who wants to know has to look now and
    /// then. Timestamps of records do not count, which are the producers'. Does not wait for writes.
    pub fn open_transaction_since(&self, now_ms: i64) -> Option<i64> {
        lock(&self.stability).open_since(now_ms)
    }

    /// The aborted transactions that touch `[from, to)`, in the order of their markers.
    pub fn aborted_transactions(&self, from: i64, to: i64) -> Vec<AbortedTxn> {
        aborted_in(&self.snapshot(), from, to)
    }
}

/// Those of some segments, one after the other.
pub(super) fn aborted_in(segments: &[Arc<Segment>], from: i64, to: i64) -> Vec<AbortedTxn> {
    let mut found = Vec::new();
    for segment in &segments[holding(segments, from).unwrap_or(0)..] {
        if segment.transactions().search(from, to, &mut found) {
            break;
        }
    }
    found
}
