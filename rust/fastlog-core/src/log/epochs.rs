//! Leader epochs of the log.

use std::sync::atomic::Ordering;

use super::{PartitionLog, lock};
use crate::error::{Error, Result};

impl PartitionLog {
    /// Notes, durably, that `epoch` starts at `start_offset`.
    pub fn assign_epoch(&self, epoch: i32, start_offset: i64) -> Result<()> {
        self.check_online()?;
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
        lock(&self.epochs).end_offset_for(epoch, end)
    }

    /// The latest leader epoch, `None` when the log has seen none.
    pub fn latest_epoch(&self) -> Option<i32> {
        Some(self.latest_epoch.load(Ordering::Acquire)).filter(|epoch| *epoch >= 0)
    }

    /// The epoch that wrote `offset`.
    pub fn epoch_at(&self, offset: i64) -> Option<i32> {
        lock(&self.epochs).epoch_at(offset)
    }

    /// Makes sure that the epoch of an append is on record before its first batch is. An epoch below the
    /// latest one belongs to a leader that was replaced: its batches must not enter the log.
    pub(super) fn enter_epoch(&self, epoch: i32, first_offset: i64) -> Result<()> {
        let latest = self.latest_epoch.load(Ordering::Acquire);
        if epoch == latest || epoch < 0 {
            return Ok(());
        }
        if epoch < latest {
            return Err(Error::InvalidArgument(format!(
                "append in leader epoch {epoch}, the log has seen epoch {latest}"
            )));
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
