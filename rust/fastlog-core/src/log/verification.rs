//! Which transactional batches a leader takes: those whose transaction is open here already, and those whose
//! partition the transaction's coordinator has just been asked about (KIP-890; Kafka: `VerificationStateEntry`).
//!
//! Without that a batch that comes late, after its transaction's marker, would begin a transaction of its own that
//! nobody ever ends (KAFKA-14402), or join the next one.
//!
//! 1. Before the coordinator is asked, [`PartitionLog::begin_verification`] gives a guard: a number that nobody else
//!    has. Requests of one producer that are under way together share it.
//! 2. The append brings the guard along. Under the log's lock it must still be the one that is remembered.
//! 3. The first transactional append, and any marker, removes it: an answer of the coordinator that is older than a
//!    marker is worth nothing (KAFKA-14884).
//!
//! It is kept beside what [`super::stability`] knows, behind the same lock, so that whoever asks does not wait for a
//! write. It is in memory only: after a restart the coordinator is asked again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{PartitionLog, lock};
use crate::batch::BatchHeader;
use crate::error::{Error, Result};
use crate::producer_state::{MAX_PRODUCERS, Standing};

/// What is known of a producer whose partition is being verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Verification {
    guard: u64,
    epoch: i16,
    /// Lowest first sequence of the batches that wait: those behind it must not be written before it (KAFKA-14920).
    lowest_sequence: i32,
    /// When somebody last asked for it, ms.
    asked_ms: i64,
    /// Whether the producer's epoch rises with each transaction.
    raises_epoch: bool,
}

/// Nobody waits longer than that for a coordinator's answer: brokers give up after half of it.
const LONGEST_WAIT_MS: i64 = 60_000;
/// How often room is looked for at most, where there is none.
const LOOK_EVERY_MS: i64 = 1000;

/// Guards are given once, whatever becomes of a log.
static LAST_GUARD: AtomicU64 = AtomicU64::new(0);

/// Verifications that are under way.
#[derive(Debug, Default)]
pub(super) struct Verifications {
    /// By producer id. What a coordinator has refused stays: whoever was refused may come again, and others not before.
    waiting: HashMap<i64, Verification>,
    /// When room was last looked for, ms.
    looked_ms: Option<i64>,
}

impl Verifications {
    fn begin(&mut self, asked: &VerifiedBatch, now_ms: i64, most: usize) -> Result<u64> {
        if let Some(known) = self.waiting.get_mut(&asked.producer_id) {
            known.asked_ms = now_ms;
            if asked.epoch > known.epoch {
                known.epoch = asked.epoch;
                known.lowest_sequence = asked.sequence;
                known.raises_epoch = asked.raises_epoch;
            } else if asked.epoch == known.epoch {
                known.lowest_sequence = known.lowest_sequence.min(asked.sequence);
            }
            return Ok(known.guard);
        }
        if self.waiting.len() >= most {
            self.make_room(now_ms);
        }
        if self.waiting.len() >= most || self.waiting.try_reserve(1).is_err() {
            return Err(Error::OutOfMemory(
                self.waiting.len() * size_of::<(i64, Verification)>(),
            ));
        }
        let begun = Verification {
            guard: LAST_GUARD.fetch_add(1, Ordering::Relaxed) + 1,
            epoch: asked.epoch,
            lowest_sequence: asked.sequence,
            asked_ms: now_ms,
            raises_epoch: asked.raises_epoch,
        };
        self.waiting.insert(asked.producer_id, begun);
        Ok(begun.guard)
    }

    /// Forgets those that nobody waits for. Ids are the clients' choice: ones that no coordinator knows must not keep
    /// others from beginning a transaction until they expire.
    fn make_room(&mut self, now_ms: i64) {
        let is_early = self
            .looked_ms
            .is_some_and(|looked| (0..LOOK_EVERY_MS).contains(&now_ms.saturating_sub(looked)));
        if !is_early {
            self.looked_ms = Some(now_ms);
            self.expire(now_ms, LONGEST_WAIT_MS);
        }
    }

    /// How a batch with this guard stands, whose transaction is open or not.
    pub fn standing(&self, header: &BatchHeader, guard: Option<u64>, is_open: bool) -> Standing {
        let known = self.waiting.get(&header.producer_id);
        let needed = header.is_transactional() && !header.is_control() && !is_open;
        Standing {
            unverified: needed && guard.is_some_and(|guard| known.is_none_or(|known| known.guard != guard)),
            lowest_sequence: known.map(|known| known.lowest_sequence),
            begins_with_zero: known.is_some_and(|known| known.raises_epoch),
        }
    }

    /// A batch of a transaction, or a marker, was appended.
    pub fn end(&mut self, producer_id: i64) {
        self.waiting.remove(&producer_id);
    }

    /// Forgets those for which nobody has asked for so long.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.waiting
            .retain(|_, waiting| now_ms.saturating_sub(waiting.asked_ms) < expiration_ms);
    }
}

/// The batch for which a coordinator is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedBatch {
    /// Its producer.
    pub producer_id: i64,
    /// The producer's epoch.
    pub epoch: i16,
    /// Its first sequence number, -1 for the batches of a coordinator.
    pub sequence: i32,
    /// Whether the producer's epoch rises with each transaction (`transaction.version` 2): it begins each with
    /// sequence 0 then, also here (KAFKA-18202).
    pub raises_epoch: bool,
}

impl PartitionLog {
    /// The guard with which the batch may be appended once the coordinator has said yes; `None` when its transaction
    /// is open here already, so that nobody needs to be asked.
    ///
    /// Does not wait for writes. Fails with [`Error::OutOfMemory`] when too many verifications are under way.
    pub fn begin_verification(&self, batch: &VerifiedBatch) -> Result<Option<u64>> {
        let now_ms = self.clock.now_ms();
        let mut stability = lock(&self.stability);
        if stability.is_open(batch.producer_id, batch.epoch) {
            return Ok(None);
        }
        stability
            .verifications
            .begin(batch, now_ms, MAX_PRODUCERS)
            .map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(producer_id: i64, epoch: i16, sequence: i32) -> VerifiedBatch {
        VerifiedBatch {
            producer_id,
            epoch,
            sequence,
            raises_epoch: false,
        }
    }

    #[test]
    fn a_guard_is_shared_until_it_is_used_and_never_given_again() {
        let mut verifications = Verifications::default();
        let begin =
            |verifications: &mut Verifications, id| verifications.begin(&asked(id, 0, 0), 0, 10).unwrap();
        let first = begin(&mut verifications, 1);
        assert_eq!(begin(&mut verifications, 1), first);
        let other = begin(&mut verifications, 2);
        assert_ne!(other, first);
        verifications.end(1);
        let next = begin(&mut verifications, 1);
        assert!(next != first && next != other);
    }

    #[test]
    fn the_lowest_sequence_of_the_latest_epoch_counts() {
        let mut verifications = Verifications::default();
        for (epoch, sequence, lowest) in [(1, 5, 5), (1, 3, 3), (1, 9, 3), (0, 1, 3), (2, 7, 7), (1, 0, 7)] {
            verifications.begin(&asked(1, epoch, sequence), 0, 10).unwrap();
            assert_eq!(
                verifications.waiting[&1].lowest_sequence, lowest,
                "{epoch} {sequence}"
            );
        }
    }

    #[test]
    fn they_have_an_end_in_number_and_in_time() {
        let mut verifications = Verifications::default();
        for id in 0..3 {
            verifications.begin(&asked(id, 0, 0), id * 100, 3).unwrap();
        }
        assert!(verifications.begin(&asked(7, 0, 0), 0, 3).is_err());
        assert!(verifications.begin(&asked(2, 0, 0), 200, 3).is_ok());
        verifications.expire(1_100, 1_000);
        assert_eq!(verifications.waiting.len(), 1);
        assert!(verifications.begin(&asked(7, 0, 0), 0, 3).is_ok());
    }

    #[test]
    fn those_that_nobody_waits_for_make_room() {
        let mut verifications = Verifications::default();
        let begin = |verifications: &mut Verifications, id, now_ms| {
            verifications.begin(&asked(id, 0, 0), now_ms, 3).is_ok()
        };
        for id in 0..3 {
            assert!(begin(&mut verifications, id, 0));
        }
        assert!(!begin(&mut verifications, 7, LONGEST_WAIT_MS - 1));
        // One of them was asked for again.
        assert!(begin(&mut verifications, 2, LONGEST_WAIT_MS));
        assert!(!begin(&mut verifications, 7, LONGEST_WAIT_MS + LOOK_EVERY_MS - 2));
        assert!(begin(&mut verifications, 7, LONGEST_WAIT_MS + LOOK_EVERY_MS - 1));
        let mut left: Vec<_> = verifications.waiting.keys().copied().collect();
        left.sort_unstable();
        assert_eq!(left, [2, 7]);
        // A clock that was set back does not keep anybody from looking.
        assert!(begin(&mut verifications, 8, 0));
        assert!(!begin(&mut verifications, 9, 0));
        assert_eq!(verifications.looked_ms, Some(0));
    }
}
