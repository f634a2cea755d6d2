//! Cutting the log at its end, and moving its start.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use super::replay::{Replayed, replay};
use super::segments::holding;
use super::stability::Stability;
use super::{PartitionLog, Writer, lock};
use crate::error::{Error, Result};
use crate::producer_state::{ProducerState, delete_snapshots_after};
use crate::segment::{Extent, Segment, SegmentWriter};

/// What a cut leaves of the log.
#[derive(Debug, Clone)]
pub(super) enum Cut {
    /// This segment, up to here, and those before it.
    At(Arc<Segment>, Extent),
    /// Nothing: it starts again at this offset.
    StartOver(i64),
}

impl PartitionLog {
    /// Drops everything at and after `offset`. A batch that holds `offset` goes as a whole, so that the log
    /// end offset may end up below it; an `offset` before the oldest segment empties the log and starts it
    /// there. Durable before it returns.
    ///
    /// The recovery point falls with the log end offset: whoever keeps it on disk must write it down before
    /// the next append.
    pub fn truncate_to(&self, offset: i64) -> Result<()> {
        self.truncate(offset, None)
    }

    /// The same for a follower of the leader of `leader_epoch`; returns the log end offset. Fails with
    /// [`Error::Fenced`] when another epoch has begun since.
    ///
    /// Where the log ends below `offset` no record goes; an epoch that has none does, since the leader does not know
    /// it.
    pub fn truncate_as_follower(&self, offset: i64, leader_epoch: i32) -> Result<i64> {
        self.truncate(offset, Some(leader_epoch))?;
        Ok(self.log_end_offset())
    }

    fn truncate(&self, offset: i64, leader_epoch: Option<i32>) -> Result<()> {
        self.check_online()?;
        let _layout = lock(&self.layout);
        let mut writer = lock(&self.writer);
        let _flushing = lock(&self.flushing);
        if let Some(epoch) = leader_epoch {
            writer.pass_fence(epoch)?;
        }
        self.guard(self.finish_cut(&mut writer))?;
        let end = writer.active.extent().next_offset;
        if offset >= end {
            return self.guard(self.trim_epochs(self.log_start_offset(), end));
        }
        let cut = match holding(&self.snapshot(), offset) {
            Some(index) => self.guard(self.plan_cut(index, offset))?,
            None => Cut::StartOver(offset.max(0)),
        };
        self.guard(self.begin_cut(&mut writer, cut))
    }

    /// Drops everything and starts again, empty, at `offset`.
    pub fn truncate_fully_and_start_at(&self, offset: i64) -> Result<()> {
        self.start_at(offset, None)
    }

    /// The same for a follower of the leader of `leader_epoch`; returns the log end offset. Fails with
    /// [`Error::Fenced`] when another epoch has begun since.
    pub fn start_over_as_follower(&self, offset: i64, leader_epoch: i32) -> Result<i64> {
        self.start_at(offset, Some(leader_epoch))?;
        Ok(self.log_end_offset())
    }

    fn start_at(&self, offset: i64, leader_epoch: Option<i32>) -> Result<()> {
        if offset < 0 {
            return Err(Error::InvalidArgument(format!("log start offset {offset}")));
        }
        self.check_online()?;
        let _layout = lock(&self.layout);
        let mut writer = lock(&self.writer);
        let _flushing = lock(&self.flushing);
        if let Some(epoch) = leader_epoch {
            writer.pass_fence(epoch)?;
        }
        self.guard(self.begin_cut(&mut writer, Cut::StartOver(offset)))
    }

    fn begin_cut(&self, writer: &mut Writer, cut: Cut) -> Result<()> {
        // Before the first byte goes: a compaction that reads here has to know why it cannot go on.
        self.compaction.note_truncation();
        writer.unfinished_cut = Some(cut);
        self.finish_cut(writer)
    }

    /// The writer of a log that is online, without a cut that is unfinished.
    pub(super) fn settled_writer(&self) -> Result<MutexGuard<'_, Writer>> {
        loop {
            let writer = lock(&self.writer);
            self.check_online()?;
            if writer.unfinished_cut.is_none() {
                return Ok(writer);
            }
            // In the order of the locks, as whoever begins a cut takes them.
            drop(writer);
            let _layout = lock(&self.layout);
            self.guard(self.settle(&mut lock(&self.writer)))?;
        }
    }

    /// Finishes a cut that was begun. `layout` is held. A flush that runs waits, or is waited for: it would raise the
    /// recovery point to an end that the log has no more.
    pub(super) fn settle(&self, writer: &mut Writer) -> Result<()> {
        if writer.unfinished_cut.is_none() {
            return Ok(());
        }
        let _flushing = lock(&self.flushing);
        self.finish_cut(writer)
    }

    /// Finishes a cut that was begun, if there is one; `layout` and `flushing` are held. Every step may be done twice: when one fails for want of
    /// something, all of them are done again by whoever comes next.
    fn finish_cut(&self, writer: &mut Writer) -> Result<()> {
        match writer.unfinished_cut.clone() {
            None => return Ok(()),
            Some(Cut::At(keep, to)) => self.cut(writer, keep, to)?,
            Some(Cut::StartOver(offset)) => self.start_over(writer, offset)?,
        }
        writer.unfinished_cut = None;
        Ok(())
    }

    /// Raises the log start offset: records below it can no longer be read, and retention deletes the
    /// segments that lie below it. Returns the log start offset, which never falls.
    pub fn advance_log_start_offset(&self, offset: i64) -> Result<i64> {
        self.check_online()?;
        // The end falls only while this is held; appends go on while the epochs are written to the disk.
        let _layout = lock(&self.layout);
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
            // The file would tell a start that segments are missing, which are about to be deleted on purpose. It is
            // written again when the start moves, or made from the batches.
            Err(error) if error.passes() => {
                self.guard(lock(&self.epochs).truncate_from_start_without_file(offset))
            }
            other => self.guard(other),
        }
    }

    fn plan_cut(&self, index: usize, offset: i64) -> Result<Cut> {
        let keep = Arc::clone(&self.snapshot()[index]);
        let extent = keep.extent();
        let to = match keep.find(offset, extent)? {
            Some(batch) => Extent {
                next_offset: offset.min(batch.header.base_offset),
                size: batch.position,
            },
            None => Extent {
                next_offset: offset,
                size: extent.size,
            },
        };
        Ok(Cut::At(keep, to))
    }

    fn cut(&self, writer: &mut Writer, keep: Arc<Segment>, to: Extent) -> Result<()> {
        let segments = self.snapshot();
        let kept = segments.partition_point(|segment| segment.base_offset() <= keep.base_offset());
        // Readers first: what they are shown must exist.
        keep.publish(to);
        self.log_end_offset.store(to.next_offset, Ordering::Release);
        self.log_start_offset.fetch_min(to.next_offset, Ordering::AcqRel);
        self.lower_recovery_point(to.next_offset);
        // From the end, so that a crash in between leaves no hole.
        for segment in segments[kept..].iter().rev() {
            self.discard(segment)?;
        }
        self.set_segments(segments[..kept].to_vec());
        // What comes before must not be lost while this is kept.
        let sealed = lock(&self.sealed).clone();
        for segment in sealed
            .iter()
            .filter(|segment| segment.base_offset() < keep.base_offset())
        {
            segment.sync(true)?;
        }
        lock(&self.sealed).clear();
        self.space.fs.sync_dir(&self.space.dir)?;
        writer.active = SegmentWriter::truncate(keep, to, self.clock.now_ms())?;
        writer.active.segment().sync(false)?;
        self.trim_epochs(self.log_start_offset(), to.next_offset)?;
        self.forget_compaction_above(to.next_offset)?;
        self.note_txn_indexes(false)?;
        self.reload_producers(writer, to.next_offset)
    }

    fn start_over(&self, writer: &mut Writer, offset: i64) -> Result<()> {
        {
            // First: the epochs say where the log begins.
            let mut epochs = lock(&self.epochs);
            epochs.clear()?;
            self.latest_epoch.store(-1, Ordering::Release);
        }
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
        self.note_txn_indexes(false)?;
        self.space.fs.sync_dir(&self.space.dir)
    }

    fn reload_producers(&self, writer: &mut Writer, end: i64) -> Result<()> {
        let (fs, dir) = (&*self.space.fs, &self.space.dir);
        delete_snapshots_after(fs, dir, end)?;
        let expiration_ms = self.config().producer_id_expiration_ms;
        let Replayed {
            producers,
            stability: mut found,
        } = replay(&self.space, &self.snapshot(), end, expiration_ms)?;
        writer.producers = producers;
        let mut stability = lock(&self.stability);
        // Snapshots do not tell of them.
        found.note_unreplicated(stability.unreplicated_below(end));
        *stability = found;
        Ok(())
    }
}
