//! Beginning a new segment.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{LogConfig, PartitionLog, Writer, lock};
use crate::batch::BatchHeader;
use crate::error::{Error, Result};
use crate::segment::{MAX_SEGMENT_SIZE, RollLimits, Segment, SegmentWriter};

impl PartitionLog {
    /// Begins a new segment, unless the active one is empty. Returns its base offset.
    pub fn roll(&self) -> Result<i64> {
        self.check_online()?;
        let mut writer = lock(&self.writer);
        let base_offset = writer.active.extent().next_offset;
        self.guard(self.roll_to(&mut writer, base_offset, self.clock.now_ms()))?;
        Ok(writer.active.segment().base_offset())
    }

    /// Rolls when a batch of `size` bytes does not fit into the active segment any more, as Kafka decides it.
    pub(super) fn roll_if_due(
        &self,
        writer: &mut Writer,
        size: u64,
        header: &BatchHeader,
        config: &LogConfig,
        now_ms: i64,
    ) -> Result<()> {
        if writer.must_roll(size, header, config, now_ms) {
            self.roll_to(writer, header.base_offset, now_ms)?;
        }
        Ok(())
    }

    /// Seals the active segment and begins one at `base_offset`. Nothing is synced here: that is left to
    /// the next flush, which takes the sealed segment first.
    pub(super) fn roll_to(&self, writer: &mut Writer, base_offset: i64, now_ms: i64) -> Result<()> {
        let sealed = Arc::clone(writer.active.segment());
        if writer.active.extent().size == 0 && sealed.base_offset() == base_offset {
            return Ok(());
        }
        let config = self.config();
        if base_offset > writer.active.extent().next_offset {
            // The leader's log was compacted.
            self.allow_holes_below(base_offset)?;
        }
        writer.active.seal()?;
        let reserve = config
            .preallocate
            .then_some(config.segment_bytes.min(MAX_SEGMENT_SIZE));
        let segment = Arc::new(Segment::create(&self.space, base_offset, reserve)?);
        segment.publish(crate::segment::Extent {
            next_offset: base_offset,
            size: 0,
        });
        self.directory_changed.store(true, Ordering::Release);
        if config.preallocate {
            // Gives back what was reserved beyond the end.
            sealed.log().set_len(writer.active.extent().size)?;
        }
        writer.active.end_at(base_offset);
        lock(&self.sealed).push(sealed);
        writer.active = SegmentWriter::new(Arc::clone(&segment), now_ms);
        writer.jitter_ms = draw_jitter(config.segment_jitter_ms, base_offset);
        self.push_segment(segment);
        self.snapshot_producers(writer, base_offset)
    }

    /// The producer state at a segment's start saves a restart from reading the log from further back. It
    /// can be rebuilt, so a full disk is no reason to refuse the append.
    fn snapshot_producers(&self, writer: &Writer, offset: i64) -> Result<()> {
        match writer
            .producers
            .write_snapshot(&*self.space.fs, &self.space.dir, offset)
        {
            Err(Error::NoSpace { .. }) => Ok(()),
            other => other,
        }
    }
}

impl Writer {
    /// Whether `size` bytes, the last batch of which has this header, do not fit into the active segment.
    pub(super) fn must_roll(&self, size: u64, header: &BatchHeader, config: &LogConfig, now_ms: i64) -> bool {
        let limits = RollLimits {
            segment_bytes: config.segment_bytes.min(MAX_SEGMENT_SIZE),
            segment_ms: config.segment_ms,
            jitter_ms: self.jitter_ms,
        };
        self.active
            .must_roll(size, header.last_offset(), header.max_timestamp, now_ms, limits)
    }
}

/// A number in `[0, max]` that differs from segment to segment.
pub(super) fn draw_jitter(max: i64, base_offset: i64) -> i64 {
    use std::hash::{BuildHasher, RandomState};
    // Every RandomState has keys of its own, which is all the randomness that is asked for here.
    match u64::try_from(max) {
        Ok(max) if max > 0 => (RandomState::new().hash_one(base_offset) % (max + 1)) as i64,
        _ => 0,
    }
}
