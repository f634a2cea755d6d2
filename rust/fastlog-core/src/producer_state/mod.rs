//! What the log knows about idempotent and transactional producers (Kafka: `ProducerStateManager`,
//! `ProducerAppendInfo`; KIP-98, KIP-360).
//!
//! Nothing here is durable by itself: the state is rebuilt by recording every batch from the offset of the
//! newest snapshot on. [`ProducerState::check`] judges a batch before it is appended and changes nothing;
//! [`ProducerState::record`] takes note of it afterwards.

mod entry;
mod snapshot;
#[cfg(test)]
mod snapshot_tests;
mod standing;
#[cfg(test)]
mod standing_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::batch::{AppendOrigin, BatchHeader, ControlKind, ControlMarker, Rejection};
use crate::compaction::LastRecord;
use crate::env::FileSystem;
use crate::error::{Error, ErrorCode, Result};
use entry::{BatchMetadata, Entry, NO_EPOCH};
use standing::{check_beginning, check_verified};

pub use snapshot::{delete_snapshots_after, delete_snapshots_before, snapshot_offsets, snapshot_path};
pub use standing::Standing;

/// How many producers a partition remembers. Their ids are the clients' choice, so there has to be an end to it: some
/// 20 MB. Beyond that those that were silent for longest are forgotten, as if they had expired.
pub const MAX_PRODUCERS: usize = 100_000;
/// Of how many places one is made free at once, so that not every new producer costs a look at all.
const FREED_SHARE: usize = 16;
/// To move so many takes some microseconds.
const FEW_PRODUCERS: usize = 1000;

/// What to do with a batch that passed the producer checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceVerdict {
    /// It is new.
    Append,
    /// It was appended before: answer with what happened then.
    Duplicate {
        /// First offset of the earlier append.
        first_offset: i64,
        /// Last offset of the earlier append.
        last_offset: i64,
        /// Largest timestamp of the earlier append.
        timestamp: i64,
    },
}

/// A transaction that a marker has just ended in this partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletedTxn {
    /// The producer.
    pub producer_id: i64,
    /// First offset of the transaction.
    pub first_offset: i64,
    /// Offset of the marker.
    pub last_offset: i64,
    /// Whether it was aborted; only those enter the transaction index.
    pub aborted: bool,
    /// First offset of the oldest transaction that is still open, or the offset after the marker.
    pub last_stable_offset: i64,
}

/// One producer as `DescribeProducers` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveProducer {
    /// The producer.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Sequence number of its last record, -1 unknown.
    pub last_sequence: i32,
    /// Timestamp of its last batch or marker, ms.
    pub last_timestamp: i64,
    /// Epoch of the coordinator that wrote its last marker, -1 none.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction, -1 none.
    pub txn_start_offset: i64,
}

/// The producers of one partition.
#[derive(Debug)]
pub struct ProducerState {
    expiration_ms: i64,
    most: usize,
    producers: HashMap<i64, Entry>,
    /// Open transactions: first offset to producer id.
    open: BTreeMap<i64, i64>,
}

impl ProducerState {
    /// No producers. They are forgotten `expiration_ms` after their last batch (`producer.id.expiration.ms`).
    pub fn new(expiration_ms: i64) -> Self {
        Self {
            expiration_ms,
            most: MAX_PRODUCERS,
            producers: HashMap::new(),
            open: BTreeMap::new(),
        }
    }

    /// Judges a batch by its producer id, epoch and sequence numbers.
    ///
    /// Batches from clients are checked in full, those of a coordinator (which have no sequence numbers) only
    /// by epoch and transaction, and replicated ones not at all: the leader has judged them.
    ///
    /// In this order, as in Kafka since 4.2 (KAFKA-19690): a duplicate gets its first answer; a producer that is
    /// fenced hears that; then verification counts, then the sequence.
    pub fn check(
        &self,
        header: &BatchHeader,
        origin: AppendOrigin,
        standing: Standing,
    ) -> Result<SequenceVerdict, Rejection> {
        if !header.has_producer() || origin == AppendOrigin::Replication {
            return Ok(SequenceVerdict::Append);
        }
        let Some(entry) = self.producers.get(&header.producer_id) else {
            check_epoch(header, NO_EPOCH)?;
            if self.open.len() >= self.most && origin == AppendOrigin::Client {
                let message = format!(
                    "{} producers have open transactions in the partition",
                    self.open.len()
                );
                return Err(Rejection::new(ErrorCode::KafkaStorageError, message));
            }
            check_verified(header, standing)?;
            if origin == AppendOrigin::Client {
                check_beginning(header, standing, false)?;
            }
            return Ok(SequenceVerdict::Append);
        };
        let checks_sequence = origin == AppendOrigin::Client && !header.is_control();
        if checks_sequence
            && header.producer_epoch == entry.epoch
            && let Some(earlier) = entry.find(header.base_sequence, header.last_sequence())
        {
            return Ok(SequenceVerdict::Duplicate {
                first_offset: earlier.first_offset(),
                last_offset: earlier.last_offset,
                timestamp: earlier.timestamp,
            });
        }
        check_epoch(header, entry.epoch)?;
        check_verified(header, standing)?;
        if checks_sequence {
            let is_known = entry.last_batch().is_some();
            let mut standing = standing;
            if is_known && header.producer_epoch == entry.epoch {
                // It is known what is due: what waits with a lower sequence is here already, and has come once more.
                standing.lowest_sequence = None;
            }
            check_beginning(header, standing, is_known)?;
            check_sequence(header, entry)?;
        }
        if entry.txn_first_offset.is_some() && !header.is_transactional() {
            let message = format!(
                "producer {} wrote outside of its open transaction",
                header.producer_id
            );
            return Err(Rejection::new(ErrorCode::InvalidTxnState, message));
        }
        Ok(SequenceVerdict::Append)
    }

    /// Judges a transaction marker in addition to [`Self::check`]: a coordinator with an older epoch than the last one is
    /// fenced.
    ///
    /// With `raised_epoch` (`transaction.version` 2, KIP-1228) the producer's epoch was raised for this end, so that a
    /// marker of the known epoch is one that comes late and would end the next transaction (KAFKA-19446). It is no
    /// more than written again when nothing is open: its answer was lost (KAFKA-19999).
    pub fn check_marker(
        &self,
        header: &BatchHeader,
        marker: &ControlMarker,
        raised_epoch: bool,
    ) -> Result<(), Rejection> {
        let Some(entry) = self.producers.get(&header.producer_id) else {
            return Ok(());
        };
        let id = header.producer_id;
        if raised_epoch && header.producer_epoch == entry.epoch && entry.txn_first_offset.is_some() {
            let message = format!(
                "marker for producer {id} has the epoch {} of its open transaction",
                entry.epoch
            );
            return Err(Rejection::new(ErrorCode::InvalidProducerEpoch, message));
        }
        if entry.coordinator_epoch > marker.coordinator_epoch {
            let message = format!(
                "marker for producer {id} comes from coordinator epoch {}, the log has seen epoch {}",
                marker.coordinator_epoch, entry.coordinator_epoch
            );
            return Err(Rejection::new(ErrorCode::TransactionCoordinatorFenced, message));
        }
        Ok(())
    }

    /// Makes room for `count` producers that may be new, so that [`Self::record`] takes no memory: to be called before
    /// their batches are in the log. Those without an open transaction that were silent for longest are forgotten when
    /// there are more than [`MAX_PRODUCERS`].
    pub fn make_room(&mut self, count: usize) -> Result<()> {
        if self.producers.len() + count > self.most {
            self.forget_silent(count)?;
        }
        let size = (self.producers.len() + count).saturating_mul(size_of::<(i64, Entry)>());
        self.producers
            .try_reserve(count)
            .map_err(|_| Error::OutOfMemory(size))
    }

    /// Whether [`Self::make_room`] for one has little to do: many others need neither be moved nor looked at.
    pub fn has_room(&self) -> bool {
        let len = self.producers.len();
        len < self.most && (len < self.producers.capacity() || len < FEW_PRODUCERS)
    }

    fn forget_silent(&mut self, count: usize) -> Result<()> {
        let closed = || {
            self.producers
                .values()
                .filter(|entry| entry.txn_first_offset.is_none())
        };
        let mut used = Vec::new();
        let len = closed().count();
        used.try_reserve_exact(len)
            .map_err(|_| Error::OutOfMemory(len * size_of::<i64>()))?;
        used.extend(closed().map(|entry| entry.last_used));
        let surplus = (self.producers.len() + count).saturating_sub(self.most);
        let gone = (surplus + self.most / FREED_SHARE).min(len);
        if gone == 0 {
            return Ok(());
        }
        // No two producers have the same offset, except for those of a snapshot that has none of them.
        let (_, last, _) = used.select_nth_unstable(gone - 1);
        let last = *last;
        self.producers
            .retain(|_, entry| entry.txn_first_offset.is_some() || entry.last_used > last);
        Ok(())
    }

    /// Takes note of a batch that is in the log, offsets stamped. `control` is the marker of a control batch,
    /// `None` for a data batch and for a control batch that compaction has emptied.
    ///
    /// Returns the transaction that the marker ended; a marker without a transaction ends nothing.
    pub fn record(&mut self, header: &BatchHeader, control: Option<ControlMarker>) -> Option<CompletedTxn> {
        // An emptied marker is left where nothing else tells the producer's epoch, which fences older ones.
        let is_unknown = header.is_control() && control.is_none() && header.record_count != 0;
        if !header.has_producer() || is_unknown {
            return None;
        }
        let entry = self
            .producers
            .entry(header.producer_id)
            .or_insert_with(Entry::new);
        entry.set_epoch(header.producer_epoch);
        entry.last_timestamp = header.max_timestamp;
        entry.silent_since = header.max_timestamp;
        entry.last_used = header.base_offset;
        if header.is_control() && control.is_none() {
            return None;
        }
        let Some(marker) = control else {
            entry.push(BatchMetadata::of(header));
            if header.is_transactional() && entry.txn_first_offset.is_none() {
                entry.txn_first_offset = Some(header.base_offset);
                self.open.insert(header.base_offset, header.producer_id);
            }
            return None;
        };
        entry.coordinator_epoch = marker.coordinator_epoch;
        let first_offset = entry.txn_first_offset.take()?;
        self.open.remove(&first_offset);
        let oldest_open = self.open.keys().next().copied();
        Some(CompletedTxn {
            producer_id: header.producer_id,
            first_offset,
            last_offset: header.base_offset,
            aborted: marker.kind == ControlKind::Abort,
            last_stable_offset: oldest_open.unwrap_or(header.next_offset()),
        })
    }

    /// Takes note of a batch from before the last one of its producer, which is all that a snapshot has: those that are
    /// recalled come in the order of the log.
    pub fn recall(&mut self, header: &BatchHeader) {
        if header.has_producer()
            && !header.is_control()
            && let Some(entry) = self.producers.get_mut(&header.producer_id)
            && entry.epoch == header.producer_epoch
        {
            entry.recall(BatchMetadata::of(header));
        }
    }

    /// Forgets the producers that have been silent for the expiration time and have no open transaction;
    /// returns how many. Others stay although their records are deleted, so that those who write rarely keep their
    /// sequence (Kafka since 2.4, KIP-360).
    ///
    /// Timestamps are the clients': one that lies in the future counts as the time at which it is first seen here, so
    /// that nobody is remembered for ever.
    pub fn expire(&mut self, now_ms: i64) -> usize {
        let before = self.producers.len();
        let expiration_ms = self.expiration_ms;
        self.producers.retain(|_, entry| {
            entry.silent_since = entry.silent_since.min(now_ms);
            entry.txn_first_offset.is_some() || now_ms.saturating_sub(entry.silent_since) < expiration_ms
        });
        before - self.producers.len()
    }

    /// Changes the expiration time.
    pub fn set_expiration_ms(&mut self, expiration_ms: i64) {
        self.expiration_ms = expiration_ms;
    }

    /// How many producers are known.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether no producer is known.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// All producers, by id.
    pub fn active(&self) -> Vec<ActiveProducer> {
        let mut active: Vec<ActiveProducer> = self.producers.iter().map(described).collect();
        active.sort_unstable_by_key(|producer| producer.producer_id);
        active
    }

    /// The first `most` producers whose ids are larger than `above`, by id.
    pub fn active_above(&self, above: i64, most: usize) -> Vec<ActiveProducer> {
        let mut ids: Vec<i64> = self.producers.keys().copied().filter(|id| *id > above).collect();
        if most < ids.len() {
            ids.select_nth_unstable(most);
            ids.truncate(most);
        }
        ids.sort_unstable();
        ids.iter()
            .filter_map(|id| self.producers.get_key_value(id))
            .map(described)
            .collect()
    }

    /// The last trace of every producer, which compaction must leave in the log.
    pub fn last_records(&self) -> HashMap<i64, LastRecord> {
        let last = |entry: &Entry| LastRecord {
            data_offset: entry.last_batch().map(|batch| batch.last_offset),
            epoch: entry.epoch,
        };
        self.producers
            .iter()
            .map(|(id, entry)| (*id, last(entry)))
            .collect()
    }

    /// Writes, durably, the state as the one just before `offset`.
    pub fn write_snapshot(&self, fs: &dyn FileSystem, dir: &Path, offset: i64) -> Result<()> {
        fs.write_atomically(&snapshot_path(dir, offset), &snapshot::encode(&self.producers)?)
    }

    /// Like [`Self::write_snapshot`], but leaves the fsyncs, of the file and of `dir`, to the caller. A power failure
    /// before them may leave a file that is torn: its checksum tells.
    pub fn write_snapshot_unsynced(&self, fs: &dyn FileSystem, dir: &Path, offset: i64) -> Result<()> {
        fs.replace_unsynced(&snapshot_path(dir, offset), &snapshot::encode(&self.producers)?)
    }

    /// Ends transactions in the snapshots of `dir`: each of `ended` is a producer and the offset of a marker that is
    /// about to leave the log. Whoever went on from a snapshot before the marker would never see its end.
    pub fn end_in_snapshots(fs: &dyn FileSystem, dir: &Path, ended: &[(i64, i64)]) -> Result<()> {
        let Some(last) = ended.iter().map(|(_, marker)| *marker).max() else {
            return Ok(());
        };
        for offset in snapshot_offsets(fs, dir)? {
            if offset > last {
                break;
            }
            let path = snapshot_path(dir, offset);
            // Damaged ones are left to whoever wants to load them.
            let Some(mut producers) = snapshot::read(fs, &path)? else {
                continue;
            };
            let mut changed = false;
            for (producer, marker) in ended.iter().filter(|(_, marker)| *marker >= offset) {
                if let Some(entry) = producers.get_mut(producer)
                    && entry.txn_first_offset.is_some_and(|first| first <= *marker)
                {
                    entry.txn_first_offset = None;
                    changed = true;
                }
            }
            if changed {
                fs.write_atomically(&path, &snapshot::encode(&producers)?)?;
            }
        }
        Ok(())
    }

    /// Loads the newest good snapshot at or below `upper`. Damaged ones are removed and older ones tried.
    ///
    /// Returns the state and the offset from which batches must be recorded on top; without a snapshot that
    /// is the empty state and 0.
    pub fn load_latest(
        fs: &dyn FileSystem,
        dir: &Path,
        upper: i64,
        expiration_ms: i64,
    ) -> Result<(Self, i64)> {
        let mut state = Self::new(expiration_ms);
        let offsets = snapshot_offsets(fs, dir)?;
        for offset in offsets.into_iter().rev().filter(|offset| *offset <= upper) {
            let path = snapshot_path(dir, offset);
            let Some(producers) = snapshot::read(fs, &path)? else {
                fs.remove_file(&path)?;
                continue;
            };
            state.open = producers
                .iter()
                .filter_map(|(id, entry)| entry.txn_first_offset.map(|first| (first, *id)))
                .collect();
            state.producers = producers;
            return Ok((state, offset));
        }
        Ok((state, 0))
    }
}

fn described((id, entry): (&i64, &Entry)) -> ActiveProducer {
    ActiveProducer {
        producer_id: *id,
        epoch: entry.epoch,
        last_sequence: entry.last_sequence(),
        last_timestamp: entry.last_timestamp,
        coordinator_epoch: entry.coordinator_epoch,
        txn_start_offset: entry.txn_first_offset.unwrap_or(-1),
    }
}

/// A producer that the log has not seen yet counts as one of [`NO_EPOCH`], as in Kafka: only what is below is old.
fn check_epoch(header: &BatchHeader, seen: i16) -> Result<(), Rejection> {
    if header.producer_epoch >= seen {
        return Ok(());
    }
    let message = format!(
        "producer {} has epoch {}, the log has seen epoch {seen}",
        header.producer_id, header.producer_epoch
    );
    Err(Rejection::new(ErrorCode::InvalidProducerEpoch, message))
}

/// Sequence rules for a batch of a known producer that is no duplicate and not of an older epoch.
fn check_sequence(header: &BatchHeader, entry: &Entry) -> Result<(), Rejection> {
    let (id, first) = (header.producer_id, header.base_sequence);
    if entry.epoch == NO_EPOCH {
        return Ok(());
    }
    if header.producer_epoch != entry.epoch {
        if first == 0 {
            return Ok(());
        }
        let message = format!(
            "producer {id} starts epoch {} (was {}) with sequence {first} instead of 0",
            header.producer_epoch, entry.epoch
        );
        return Err(Rejection::new(ErrorCode::OutOfOrderSequenceNumber, message));
    }
    let last = entry.last_sequence();
    // From -1 (nothing of this epoch yet) to 0, and from 2^31-1 to 0.
    let expected = last.wrapping_add(1) & i32::MAX;
    if first == expected {
        return Ok(());
    }
    let message = format!("producer {id} sent sequence {first}, the log expects {expected}");
    Err(Rejection::new(ErrorCode::OutOfOrderSequenceNumber, message))
}
