//! Who may interrupt a compaction, and what a log remembers of its compactions.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, TryLockError};
use std::time::Duration;

use super::compaction_checkpoint::CompactionCheckpoint;
use super::{PartitionLog, lock};
use crate::error::{Error, Result};

/// How often the one who waits for a compaction to stop looks.
const STOP_POLL: Duration = Duration::from_millis(1);

/// What compactions of a log and those who interrupt them share.
#[derive(Debug)]
pub(super) struct CompactionControl {
    pub running: Mutex<()>,
    /// The log takes no more compactions.
    pub ended: AtomicBool,
    /// Rises with every wish to stop what is running.
    pub stops: AtomicU64,
    /// Rises before the log is cut at its end.
    pub truncations: AtomicU64,
    pub checkpoint: Mutex<CompactionCheckpoint>,
}

impl CompactionControl {
    pub fn new(checkpoint: CompactionCheckpoint) -> Self {
        Self {
            running: Mutex::default(),
            ended: AtomicBool::new(false),
            stops: AtomicU64::new(0),
            truncations: AtomicU64::new(0),
            checkpoint: Mutex::new(checkpoint),
        }
    }

    pub fn note_truncation(&self) {
        self.truncations.fetch_add(1, Ordering::AcqRel);
    }
}

impl PartitionLog {
    /// Interrupts the compaction that is running, if one is, and waits until it has ended.
    pub fn stop_compaction(&self) {
        loop {
            // Again and again: one that began after the last time is stopped as well.
            self.compaction.stops.fetch_add(1, Ordering::AcqRel);
            match self.compaction.running.try_lock() {
                Err(TryLockError::WouldBlock) => std::thread::sleep(STOP_POLL),
                _ => return,
            }
        }
    }

    /// Interrupts the compaction that is running, waits until it has ended, and allows no more.
    pub(super) fn end_compaction(&self) {
        self.compaction.ended.store(true, Ordering::Release);
        drop(lock(&self.compaction.running));
    }

    /// Takes note that nothing at or above `end` has been compacted: the log was cut there.
    pub(super) fn forget_compaction_above(&self, end: i64) -> Result<()> {
        let mut checkpoint = lock(&self.compaction.checkpoint);
        if checkpoint.compacted_below > end {
            checkpoint.compacted_below = end;
            checkpoint.write(&*self.space.fs, &self.space.dir)?;
        }
        Ok(())
    }

    /// Takes note that nothing has been compacted: the log begins anew.
    pub(super) fn forget_compaction(&self) -> Result<()> {
        let mut checkpoint = lock(&self.compaction.checkpoint);
        if *checkpoint != CompactionCheckpoint::default() {
            *checkpoint = CompactionCheckpoint::default();
            checkpoint.write(&*self.space.fs, &self.space.dir)?;
        }
        Ok(())
    }

    /// Notes, durably, that offsets below `offset` may be missing.
    pub(super) fn allow_holes_below(&self, offset: i64) -> Result<()> {
        let mut checkpoint = lock(&self.compaction.checkpoint);
        if checkpoint.compacted_below < offset {
            let next = CompactionCheckpoint {
                compacted_below: offset,
                ..*checkpoint
            };
            self.guard(next.write(&*self.space.fs, &self.space.dir))?;
            *checkpoint = next;
        }
        Ok(())
    }

    /// Notes what a compaction that has ended leaves for the next one.
    pub(super) fn note_compacted(&self, clean_end: i64, delete_horizon: i64) -> Result<()> {
        let mut checkpoint = lock(&self.compaction.checkpoint);
        let next = CompactionCheckpoint {
            compacted_below: checkpoint.compacted_below.max(clean_end),
            delete_horizon,
        };
        if *checkpoint == next {
            return Ok(());
        }
        *checkpoint = next;
        match next.write(&*self.space.fs, &self.space.dir) {
            // What is forgotten by a restart costs more work in the next compaction.
            Err(Error::NoSpace { .. }) => Ok(()),
            other => self.guard(other),
        }
    }
}
