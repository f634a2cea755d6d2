//! Who may interrupt a compaction, and what a log remembers of its compactions.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, TryLockError};
use std::time::Duration;

use super::compaction_checkpoint::CompactionCheckpoint;
use super::{PartitionLog, lock};
use crate::error::Result;

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
    /// What is known; never locked for longer than a look.
    pub checkpoint: Mutex<CompactionCheckpoint>,
    /// Held while the file is written, which no reader and no leader waits for.
    stored: Mutex<Stored>,
    /// `Stored::below`, for appends to look at without the lock.
    stored_below: AtomicI64,
}

/// What the file says.
#[derive(Debug)]
struct Stored {
    /// `compacted_below`; -1 when there is no file.
    below: i64,
    /// As long as there is no file, holes below this offset were judged by what was found in the log. A file that
    /// speaks of less would have the next start refuse them.
    unjudged_below: i64,
}

impl CompactionControl {
    /// `known` is what holds for the log, `stored_below` what its file says, `unjudged_below` the end of what there
    /// was without a file.
    pub fn new(known: CompactionCheckpoint, stored_below: i64, unjudged_below: i64) -> Self {
        Self {
            running: Mutex::default(),
            ended: AtomicBool::new(false),
            stops: AtomicU64::new(0),
            truncations: AtomicU64::new(0),
            checkpoint: Mutex::new(known),
            stored: Mutex::new(Stored {
                below: stored_below,
                unjudged_below,
            }),
            stored_below: AtomicI64::new(stored_below),
        }
    }

    /// Whether it is on the disk that offsets below `offset` may be missing.
    pub fn allows_holes_below(&self, offset: i64) -> bool {
        self.stored_below.load(Ordering::Acquire) >= offset
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
        let mut stored = lock(&self.compaction.stored);
        let known = *lock(&self.compaction.checkpoint);
        stored.unjudged_below = stored.unjudged_below.min(end);
        if known.compacted_below > end || stored.below > end {
            let next = CompactionCheckpoint {
                compacted_below: known.compacted_below.min(end),
                ..known
            };
            self.store_compaction(&mut stored, next)?;
        }
        Ok(())
    }

    /// Takes note that nothing has been compacted: the log begins anew.
    pub(super) fn forget_compaction(&self) -> Result<()> {
        let mut stored = lock(&self.compaction.stored);
        let known = *lock(&self.compaction.checkpoint);
        stored.unjudged_below = 0;
        if known != CompactionCheckpoint::default() || stored.below > 0 {
            self.store_compaction(&mut stored, CompactionCheckpoint::default())?;
        }
        Ok(())
    }

    /// Notes, durably, that offsets below `offset` may be missing.
    pub(super) fn allow_holes_below(&self, offset: i64) -> Result<()> {
        if self.compaction.allows_holes_below(offset) {
            return Ok(());
        }
        let mut stored = lock(&self.compaction.stored);
        if stored.below >= offset {
            return Ok(());
        }
        let known = *lock(&self.compaction.checkpoint);
        let next = CompactionCheckpoint {
            compacted_below: known.compacted_below.max(offset),
            ..known
        };
        self.guard(self.store_compaction(&mut stored, next))
    }

    /// Notes what a compaction that has ended leaves for the next one.
    pub(super) fn note_compacted(&self, clean_end: i64, delete_horizon: i64) -> Result<()> {
        let mut stored = lock(&self.compaction.stored);
        let known = *lock(&self.compaction.checkpoint);
        let next = CompactionCheckpoint {
            compacted_below: known.compacted_below.max(clean_end),
            delete_horizon,
        };
        if known == next && stored.below == next.compacted_below {
            return Ok(());
        }
        match self.store_compaction(&mut stored, next) {
            // What a restart forgets costs more work in the next compaction, which stores it before it makes holes.
            Err(error) if error.passes() => {
                *lock(&self.compaction.checkpoint) = next;
                Ok(())
            }
            other => self.guard(other),
        }
    }

    /// Writes the file. A rise counts when it is written, a fall before.
    fn store_compaction(&self, stored: &mut Stored, mut next: CompactionCheckpoint) -> Result<()> {
        let control = &self.compaction;
        if stored.below < 0 {
            next.compacted_below = next.compacted_below.max(stored.unjudged_below);
        }
        if next.compacted_below < stored.below {
            // From here on the file may say either.
            stored.below = next.compacted_below;
            control.stored_below.store(stored.below, Ordering::Release);
            *lock(&control.checkpoint) = next;
        }
        next.write(&*self.space.fs, &self.space.dir)?;
        stored.below = next.compacted_below;
        control.stored_below.store(stored.below, Ordering::Release);
        *lock(&control.checkpoint) = next;
        Ok(())
    }
}
