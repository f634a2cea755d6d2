//! Beginning a new segment.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{LogConfig, PartitionLog, Writer, lock};
use crate::batch::BatchHeader;
use crate::env::OpenMode;
use crate::error::{Error, Result, is_not_found};
use crate::producer_state::snapshot_path;
use crate::segment::{MAX_SEGMENT_SIZE, RollLimits, Segment, SegmentWriter};

impl PartitionLog {
    /// Begins a new segment, unless the active one is empty. Returns its base offset.
    pub fn roll(&self) -> Result<i64> {
        let mut writer = self.settled_writer()?;
        let base_offset = writer.active.extent().next_offset;
        self.guard(self.roll_to(&mut writer, base_offset, self.clock.now_ms()))?;
        Ok(writer.active.segment().base_offset())
    }

    /// Reserves blocks for `ahead` bytes beyond the end of the active segment, so that appends of so much do not
    /// fail on a disk that gets full; its indexes, which grow by a block in a thousand, are not counted. The length
    /// does not change.
    ///
    /// It holds the writer over a system call: for logs with one writer, which calls it between its appends.
    pub fn reserve_ahead(&self, ahead: u64) -> Result<()> {
        let writer = self.settled_writer()?;
        let wanted = writer.active.extent().size.saturating_add(ahead);
        self.guard(
            writer
                .active
                .segment()
                .log()
                .reserve(wanted.min(MAX_SEGMENT_SIZE)),
        )
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

    /// Seals the active segment and begins one at `base_offset`. Nothing is synced here, as appends wait for it:
    /// that is left to the next flush, which takes the sealed segment first.
    pub(super) fn roll_to(&self, writer: &mut Writer, base_offset: i64, now_ms: i64) -> Result<()> {
        let sealed = Arc::clone(writer.active.segment());
        if writer.active.extent().size == 0 && sealed.base_offset() == base_offset {
            return Ok(());
        }
        let config = self.config();
        writer.active.seal()?;
        if config.preallocate {
            // Gives back what was reserved beyond the end.
            sealed.log().set_len(writer.active.extent().size)?;
        }
        let reserve = config
            .preallocate
            .then_some(config.segment_bytes.min(MAX_SEGMENT_SIZE));
        // The last step that can fail and be tried again: a segment that is on the disk and not in the list would be
        // overtaken by the one before it.
        let segment = Arc::new(Segment::create(&self.space, base_offset, reserve)?);
        segment.publish(crate::segment::Extent {
            next_offset: base_offset,
            size: 0,
        });
        self.directory_changed.store(true, Ordering::Release);
        writer.active.end_at(base_offset);
        sealed.trust_no_more();
        let has_aborted = sealed.transactions().has_file();
        lock(&self.sealed).push(sealed);
        writer.active = SegmentWriter::new(Arc::clone(&segment), now_ms);
        writer.jitter_ms = draw_jitter(config.segment_jitter_ms, base_offset);
        self.push_segment(segment);
        if has_aborted {
            self.note_txn_indexes(false)?;
        }
        self.snapshot_producers(writer, base_offset)
    }

    /// The producer state at a segment's start saves a restart from reading the log from further back. It
    /// can be rebuilt, so a full disk or a shortage is no reason to refuse the append.
    fn snapshot_producers(&self, writer: &Writer, offset: i64) -> Result<()> {
        let (fs, dir) = (&*self.space.fs, &self.space.dir);
        match writer.producers.write_snapshot_unsynced(fs, dir, offset) {
            Err(error) if error.passes() || matches!(error, Error::OutOfMemory(_)) => Ok(()),
            written => {
                written?;
                lock(&self.unsynced_snapshots).push(Arc::new(snapshot_path(dir, offset)));
                // Again: a flush that came between this and the new segment has synced the directory too early.
                self.directory_changed.store(true, Ordering::Release);
                Ok(())
            }
        }
    }

    /// Makes the producer snapshots of rolls durable, but for their names, which a sync of the directory does.
    ///
    /// Kafka does it in the background as well (`UnifiedLog.roll`). A restart takes a snapshot only if its checksum
    /// is right, and otherwise an older one and more of the log. So this has to be done before older snapshots
    /// and segments go, and before the recovery point rises, from which on a restart reads nothing again.
    pub(super) fn sync_snapshots(&self) -> Result<()> {
        let waiting = lock(&self.unsynced_snapshots).clone();
        for path in &waiting {
            match self.space.fs.open(path, OpenMode::Write) {
                // Gone with its segment, or with the end of the log.
                Err(error) if is_not_found(&error) => {}
                file => file?.sync_data()?,
            }
        }
        // Not before it is done: whoever finds the list empty relies on it.
        lock(&self.unsynced_snapshots).retain(|path| !waiting.iter().any(|done| Arc::ptr_eq(done, path)));
        Ok(())
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
