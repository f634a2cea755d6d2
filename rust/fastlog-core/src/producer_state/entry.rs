//! What is remembered of one producer (Kafka: `ProducerStateEntry`).

use crate::batch::BatchHeader;

/// How many batches a producer may have in flight, so that many are remembered for duplicates.
pub(super) const BATCHES_KEPT: usize = 5;

/// No producer epoch is known.
pub(super) const NO_EPOCH: i16 = -1;
/// No sequence number is known.
pub(super) const NO_SEQUENCE: i32 = -1;

/// One appended batch, as the snapshot file stores it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BatchMetadata {
    pub last_sequence: i32,
    pub last_offset: i64,
    /// Last offset minus first offset, which is also last sequence minus first sequence.
    pub offset_delta: i32,
    /// Largest timestamp of the batch.
    pub timestamp: i64,
}

impl BatchMetadata {
    pub fn of(header: &BatchHeader) -> Self {
        Self {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        }
    }

    /// Sequence numbers wrap from 2^31-1 to 0, so the first one may be larger than the last one.
    pub fn first_sequence(&self) -> i32 {
        self.last_sequence.wrapping_sub(self.offset_delta) & i32::MAX
    }

    pub fn first_offset(&self) -> i64 {
        self.last_offset.saturating_sub(i64::from(self.offset_delta))
    }
}

/// The state of one producer id in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub epoch: i16,
    pub coordinator_epoch: i32,
    /// Timestamp of the last batch or marker.
    pub last_timestamp: i64,
    /// What expiry goes by: that timestamp, or the time at which it was seen to lie in the future.
    pub silent_since: i64,
    /// Offset of the last batch or marker: those with the lowest are forgotten first when there are too many.
    pub last_used: i64,
    /// First offset of the transaction that is open.
    pub txn_first_offset: Option<i64>,
    batches: [BatchMetadata; BATCHES_KEPT],
    len: u8,
}

impl Entry {
    pub fn new() -> Self {
        Self {
            epoch: NO_EPOCH,
            coordinator_epoch: -1,
            last_timestamp: -1,
            silent_since: -1,
            last_used: -1,
            txn_first_offset: None,
            batches: [BatchMetadata::default(); BATCHES_KEPT],
            len: 0,
        }
    }

    /// The remembered batches of the current epoch, oldest first.
    pub fn batches(&self) -> &[BatchMetadata] {
        &self.batches[..usize::from(self.len)]
    }

    pub fn last_batch(&self) -> Option<&BatchMetadata> {
        self.batches().last()
    }

    pub fn last_sequence(&self) -> i32 {
        self.last_batch().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    /// Moves to `epoch`; batches of another epoch are no duplicates of anything any more.
    pub fn set_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.len = 0;
        }
    }

    pub fn push(&mut self, batch: BatchMetadata) {
        if usize::from(self.len) == BATCHES_KEPT {
            self.batches.copy_within(1.., 0);
            self.len -= 1;
        }
        self.batches[usize::from(self.len)] = batch;
        self.len += 1;
    }

    /// Takes in a batch from before the last one, and after all others.
    pub fn recall(&mut self, batch: BatchMetadata) {
        if let Some(last) = self.last_batch().copied()
            && batch.last_offset < last.first_offset()
        {
            self.len -= 1;
            self.push(batch);
            self.push(last);
        }
    }

    /// The remembered batch with exactly these sequence numbers.
    pub fn find(&self, first_sequence: i32, last_sequence: i32) -> Option<&BatchMetadata> {
        self.batches()
            .iter()
            .find(|batch| batch.last_sequence == last_sequence && batch.first_sequence() == first_sequence)
    }
}
