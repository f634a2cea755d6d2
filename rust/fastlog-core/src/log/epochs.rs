//! Leader epochs of the log, and the fence between leaderships.
//!
//! | | what it is | lives |
//! |---|---|---|
//! | epochs | which leader wrote what: the first offset of each epoch that has records, or is about to | in the checkpoint; cut with the log |
//! | fence | the oldest epoch that may still append | in memory, under the writer's lock; at a start the latest of the epochs |
//!
//! An append names the epoch in which it was decided and may be queued for long. Whoever takes it up does so under the
//! lock under which the fence was raised: nothing of an older leadership lands behind the start of the next one.

use std::sync::atomic::Ordering;

use super::{PartitionLog, Writer, lock};
use crate::error::{Error, Result};

impl PartitionLog {
    /// Begins the leadership of `epoch` at the end of the log, durably; returns its first offset. One that has begun
    /// goes on.
    ///
    /// From now on, also when the checkpoint cannot be written, nothing of an older epoch gets into the log. Waits for
    /// the append that is being written. Fails with [`Error::Fenced`] when the epoch is older itself.
    pub fn lead(&self, epoch: i32) -> Result<i64> {
        let mut writer = self.settled_writer()?;
        writer.pass_fence(epoch)?;
        let end = writer.active.extent().next_offset;
        if self.latest_epoch.load(Ordering::Acquire) < epoch {
            self.assign_epoch(epoch, end)?;
        }
        Ok(lock(&self.epochs).latest().map_or(end, |(_, start)| start))
    }

    /// Ends every leadership before `epoch`, which begins elsewhere: nothing of an older one gets into the log any
    /// more. Returns the end of the log. Waits for the append that is being written. Fails with [`Error::Fenced`] when
    /// the epoch is older itself.
    pub fn fence(&self, epoch: i32) -> Result<i64> {
        let mut writer = lock(&self.writer);
        writer.pass_fence(epoch)?;
        Ok(writer.active.extent().next_offset)
    }

    /// Notes, durably, that `epoch` starts at `start_offset`.
    fn assign_epoch(&self, epoch: i32, start_offset: i64) -> Result<()> {
        let mut epochs = lock(&self.epochs);
        self.guard(epochs.assign(epoch, start_offset))?;
        self.latest_epoch
            .store(epochs.latest().map_or(-1, |(epoch, _)| epoch), Ordering::Release);
        Ok(())
    }

    /// The largest known epoch not above `epoch`, and the offset at which the one after it starts; `(-1, -1)`
    /// when it is not known (KIP-101, KIP-279).
    pub fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        let end = self.log_end_offset();
        self.epoch_reader.end_offset_for(epoch, end)
    }

    /// The latest leader epoch, `None` when the log has seen none.
    pub fn latest_epoch(&self) -> Option<i32> {
        Some(self.latest_epoch.load(Ordering::Acquire)).filter(|epoch| *epoch >= 0)
    }

    /// The epoch that wrote `offset`.
    pub fn epoch_at(&self, offset: i64) -> Option<i32> {
        self.epoch_reader.epoch_at(offset)
    }

    /// Makes sure that the epoch of a batch is on record before the batch is in the log.
    pub(super) fn enter_epoch(&self, epoch: i32, first_offset: i64) -> Result<()> {
        if epoch <= self.latest_epoch.load(Ordering::Acquire) {
            return Ok(());
        }
        self.assign_epoch(epoch, first_offset)
    }

    /// Drops epochs outside of `[start, end)` after the log was cut at one side.
    pub(super) fn trim_epochs(&self, start: i64, end: i64) -> Result<()> {
        let mut epochs = lock(&self.epochs);
        epochs.truncate_from_end(end)?;
        epochs.truncate_from_start(start)?;
        self.latest_epoch
            .store(epochs.latest().map_or(-1, |(epoch, _)| epoch), Ordering::Release);
        Ok(())
    }
}

impl Writer {
    /// Lets in who acts in `epoch`, and nobody of an older one from now on.
    pub(super) fn pass_fence(&mut self, epoch: i32) -> Result<()> {
        if epoch < self.fence {
            return Err(Error::Fenced {
                epoch,
                fence: self.fence,
            });
        }
        self.fence = epoch;
        Ok(())
    }
}
