//! Cutting the log at its end, and moving its start.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::replay::{Replayed, replay};
use super::segments::holding;
use super::stability::Stability;
use super::{PartitionLog, Writer, lock};
use crate::error::{Error, Result};
use crate::producer_state::{ProducerState, delete_snapshots_after};
use crate::segment::{Extent, Segment, SegmentWriter};

impl PartitionLog {
    /// Drops everything at and after `offset`. A batch that holds `offset` goes as a whole, so that the log
    /// end offset may end up below it; an `offset` before the oldest segment empties the log and starts it
    /// there. Durable before it returns.
    ///
    /// The recovery point falls with the log end offset: whoever keeps it on disk must write it down before
    /// the next append.
    pub fn truncate_to(&self, offset: i64) -> Result<()> {
        self.check_online()?;
        let _layout = lock(&self.layout);
        let mut writer = lock(&self.writer);
        let _flushing = lock(&self.flushing);
        if offset >= writer.active.extent().next_offset {
            return Ok(());
        }
        // Before the first byte goes: a compaction that reads here has to know why it cannot go on.
        self.compaction.note_truncation();
        self.guard(match holding(&self.snapshot(), offset) {
            Some(index) => self.cut(&mut writer, index, offset),
            None => self.start_over(&mut writer, offset.max(0)),
        })
    }

    /// Drops everything and starts again, empty, at `offset`.
    pub fn truncate_fully_and_start_at(&self, offset: i64) -> Result<()> {
        if offset < 0 {
            return Err(Error::InvalidArgument(format!("log start offset {offset}")));
        }
        self.check_online()?;
        let _layout = lock(&self.layout);
        let mut writer = lock(&self.writer);
        let _flushing = lock(&self.flushing);
        self.compaction.note_truncation();
        self.guard(self.start_over(&mut writer, offset))
    }

    /// Raises the log start offset: records below it can no longer be read, and retention deletes the
    /// segments that lie below it. Returns the log start offset, which never falls.
    pub fn advance_log_start_offset(&self, offset: i64) -> Result<i64> {
        self.check_online()?;
        let _writer = lock(&self.writer);
        let end = self.log_end_offset();
        if offset > end {
            return Err(Error::OffsetOutOfRange {
                offset,
                start: self.log_start_offset(),
                end,
            });
        }
        if offset > self.log_start_offset() {
            self.raise_log_start(offset)?;
        }
        Ok(self.log_start_offset())
    }

    /// The log start offset after segments were deleted, or because somebody asked.
    pub(super) fn raise_log_start(&self, offset: i64) -> Result<()> {
        self.log_start_offset.fetch_max(offset, Ordering::AcqRel);
        match self.trim_epochs(offset, i64::MAX) {
            // The file is cut again whenever the start moves, and at every start.
            Err(Error::NoSpace { .. }) => Ok(()),
            other => self.guard(other),
        }
    }

    fn cut(&self, writer: &mut Writer, index: usize, offset: i64) -> Result<()> {
        let segments = self.snapshot();
        let keep = Arc::clone(&segments[index]);
        let extent = keep.extent();
        let at = keep.find(offset, extent)?;
        let to = match at {
            Some(batch) => Extent {
                next_offset: offset.min(batch.header.base_offset),
                size: batch.position,
            },
            None => Extent {
                next_offset: offset,
                size: extent.size,
            },
        };
        // Readers first: what they are shown must exist.
        keep.publish(to);
        self.set_segments(segments[..=index].to_vec());
        self.log_end_offset.store(to.next_offset, Ordering::Release);
        self.log_start_offset.fetch_min(to.next_offset, Ordering::AcqRel);
        self.lower_recovery_point(to.next_offset);
        // From the end, so that a crash in between leaves no hole.
        for segment in segments[index + 1..].iter().rev() {
            self.discard(segment)?;
        }
        // What comes before must not be lost while this is kept.
        let sealed = std::mem::take(&mut *lock(&self.sealed));
        for segment in sealed
            .iter()
            .filter(|segment| segment.base_offset() < keep.base_offset())
        {
            segment.sync(true)?;
        }
        self.space.fs.sync_dir(&self.space.dir)?;
        writer.active = SegmentWriter::truncate(keep, to, self.clock.now_ms())?;
        writer.active.segment().sync(false)?;
        self.trim_epochs(self.log_start_offset(), to.next_offset)?;
        self.forget_compaction_above(to.next_offset)?;
        self.reload_producers(writer, to.next_offset)
    }

    fn start_over(&self, writer: &mut Writer, offset: i64) -> Result<()> {
        let segments = self.snapshot();
        for segment in segments.iter().rev() {
            self.discard(segment)?;
        }
        lock(&self.sealed).clear();
        let segment = Arc::new(Segment::create(&self.space, offset, None)?);
        segment.publish(Extent {
            next_offset: offset,
            size: 0,
        });
        // The start before the end rises, the end before the start falls: readers never see start > end.
        if offset >= self.log_end_offset() {
            self.log_end_offset.store(offset, Ordering::Release);
            self.log_start_offset.store(offset, Ordering::Release);
        } else {
            self.log_start_offset.store(offset, Ordering::Release);
            self.log_end_offset.store(offset, Ordering::Release);
        }
        self.set_segments(vec![Arc::clone(&segment)]);
        self.recovery_point.store(offset, Ordering::Release);
        writer.active = SegmentWriter::new(segment, self.clock.now_ms());
        writer.producers = ProducerState::new(self.config().producer_id_expiration_ms);
        *lock(&self.stability) = Stability::default();
        delete_snapshots_after(&*self.space.fs, &self.space.dir, -1)?;
        self.forget_compaction()?;
        {
            let mut epochs = lock(&self.epochs);
            epochs.clear()?;
            self.latest_epoch.store(-1, Ordering::Release);
        }
        self.space.fs.sync_dir(&self.space.dir)
    }

    fn reload_producers(&self, writer: &mut Writer, end: i64) -> Result<()> {
        let (fs, dir) = (&*self.space.fs, &self.space.dir);
        delete_snapshots_after(fs, dir, end)?;
        let expiration_ms = self.config().producer_id_expiration_ms;
        let Replayed { producers, stability } = replay(&self.space, &self.snapshot(), end, expiration_ms)?;
        writer.producers = producers;
        *lock(&self.stability) = stability;
        Ok(())
    }
}
