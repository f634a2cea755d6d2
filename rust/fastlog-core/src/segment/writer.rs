//! The writing side of a segment: bytes, index entries, and what the next roll depends on.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Extent, HeaderWalk, Located, NO_TIMESTAMP, Segment};
use crate::batch::BatchHeader;
use crate::error::{Error, Result};
use crate::index::{OffsetPosition, TimestampedOffset};

/// Appends to one segment.
#[derive(Debug)]
pub struct SegmentWriter {
    segment: Arc<Segment>,
    extent: Extent,
    bytes_since_entry: u64,
    largest: TimestampedOffset,
    /// The last batch.
    last: Option<OffsetPosition>,
    /// Timestamp of the first batch, by which the age of the segment is measured; `None` while it is empty.
    first_timestamp: Option<i64>,
    created_ms: i64,
    /// Bytes of a write that failed may lie behind the end: they could not be cut off yet.
    cut_due: AtomicBool,
}

impl SegmentWriter {
    /// The writer of a segment that is empty, or that is about to be read through from its start.
    pub fn new(segment: Arc<Segment>, now_ms: i64) -> Self {
        let base_offset = segment.base_offset();
        Self {
            segment,
            extent: Extent {
                next_offset: base_offset,
                size: 0,
            },
            bytes_since_entry: 0,
            largest: TimestampedOffset {
                timestamp: NO_TIMESTAMP,
                offset: base_offset,
            },
            last: None,
            first_timestamp: None,
            created_ms: now_ms,
            cut_due: AtomicBool::new(false),
        }
    }

    /// The writer of a segment that ends at `extent` and whose indexes are right as far as they go.
    pub fn resume(segment: Arc<Segment>, extent: Extent, now_ms: i64) -> Result<Self> {
        let mut writer = Self::new(segment, now_ms);
        writer.extent = extent;
        let segment = Arc::clone(&writer.segment);
        if extent.size > 0 {
            let mut walk = HeaderWalk::new(&**segment.log(), 0, extent.size);
            writer.first_timestamp = walk
                .next(segment.base_offset())?
                .map(|batch| batch.header.max_timestamp);
        }
        if let Some(last) = segment.time_index().last()? {
            writer.largest = last;
        }
        // What came after the last entries is known only to the log.
        let mut from = 0;
        if let Some(entry) = segment.offset_index().last()?
            && u64::from(entry.position) < extent.size
        {
            let mut walk = HeaderWalk::new(&**segment.log(), entry.position.into(), extent.size);
            match walk.next(segment.base_offset()) {
                Ok(Some(batch)) if batch.header.last_offset() == entry.offset => from = batch.position,
                // A damaged entry costs a longer walk.
                Ok(_) | Err(Error::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let mut walk = HeaderWalk::new(&**segment.log(), from, extent.size);
        while let Some(batch) = walk.next(segment.base_offset())? {
            writer.note_timestamp(&batch.header);
            writer.bytes_since_entry += batch.header.size() as u64;
            writer.last = Some(OffsetPosition {
                offset: batch.header.last_offset(),
                position: batch.position as u32,
            });
        }
        segment.set_largest_timestamp(writer.largest);
        Ok(writer)
    }

    /// The segment.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Where the segment ends.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// The largest timestamp so far and the last offset of the first batch that has it.
    pub fn largest(&self) -> TimestampedOffset {
        self.largest
    }

    /// Writes bytes at the end, in one system call where the system takes them all. Nothing of them counts
    /// before [`Self::note_batch`] and [`Self::publish`].
    ///
    /// An error that passes, such as that of a full disk, leaves the file as it was; or as soon as it can be cut
    /// again, which happens before anything else is written and before the segment is sealed.
    pub fn write(&self, bytes: &mut [IoSlice<'_>]) -> Result<()> {
        self.cut_if_due()?;
        match self.segment.log().write_all_vectored_at(bytes, self.extent.size) {
            Err(error) if error.passes() => {
                self.cut_due.store(true, Ordering::Relaxed);
                match self.cut_if_due() {
                    Err(again) if !again.passes() => Err(again),
                    _ => Err(error),
                }
            }
            other => other,
        }
    }

    /// Cuts off what a write has left behind the end.
    fn cut_if_due(&self) -> Result<()> {
        if self.cut_due.load(Ordering::Relaxed) {
            self.segment.log().set_len(self.extent.size)?;
            self.cut_due.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether the next batch takes one write to a file that is open, and its index entries none.
    pub fn takes_at_once(&self, index_interval: u64) -> bool {
        let entry_is_due = self.bytes_since_entry > index_interval;
        !self.cut_due.load(Ordering::Relaxed)
            && self.segment.log().is_open()
            && (!entry_is_due
                || (self.segment.offset_index.takes_at_once() && self.segment.time_index.takes_at_once()))
    }

    /// Counts a batch that stands at the end of the segment, and adds index entries when they are due.
    ///
    /// The batch counts in any case. Entries that cannot be added because of something that passes are left to the
    /// next batch: indexes are sparse, and a batch that is in the log must not look as if it were not.
    pub fn note_batch(&mut self, header: &BatchHeader, index_interval: u64) -> Result<()> {
        let position = self.extent.size as u32;
        let size = header.size() as u64;
        if self.extent.size == 0 {
            self.first_timestamp = Some(header.max_timestamp);
        }
        self.note_timestamp(header);
        self.extent = Extent {
            next_offset: header.next_offset(),
            size: self.extent.size + size,
        };
        self.last = Some(OffsetPosition {
            offset: header.last_offset(),
            position,
        });
        let is_due = self.bytes_since_entry > index_interval;
        if is_due {
            match self.add_entries(header.last_offset(), position) {
                Err(error) if error.passes() => {}
                added => {
                    added?;
                    self.bytes_since_entry = 0;
                }
            }
        }
        self.bytes_since_entry += size;
        Ok(())
    }

    fn add_entries(&self, offset: i64, position: u32) -> Result<()> {
        self.segment.offset_index.append(offset, position)?;
        self.segment.time_index.append_if_later(self.largest)
    }

    fn note_timestamp(&mut self, header: &BatchHeader) {
        // What compaction left of a batch may be its header alone: there is no record with its timestamp.
        if header.record_count != 0 && header.max_timestamp > self.largest.timestamp {
            self.largest = TimestampedOffset {
                timestamp: header.max_timestamp,
                offset: header.last_offset(),
            };
        }
    }

    /// Shows readers everything that was counted.
    pub fn publish(&self) {
        self.segment.set_largest_timestamp(self.largest);
        self.segment.publish(self.extent);
    }

    /// Ends the segment where the next one starts: what lies between can only be a gap.
    pub fn end_at(&mut self, next_offset: i64) {
        self.extent.next_offset = next_offset;
        self.publish();
    }

    /// Whether a batch of `size` bytes, with this last offset and largest timestamp, has to go to a new
    /// segment.
    pub fn must_roll(
        &self,
        size: u64,
        last_offset: i64,
        max_timestamp: i64,
        now_ms: i64,
        limits: RollLimits,
    ) -> bool {
        let aged = self.age_ms(max_timestamp, now_ms) > limits.segment_ms.saturating_sub(limits.jitter_ms);
        self.extent.size + size > limits.segment_bytes
            || (self.extent.size > 0 && aged)
            || self.segment.offset_index.is_full()
            || self.segment.time_index.is_full()
            || !self.segment.offset_index.can_hold(last_offset)
    }

    /// How long the segment has been open: measured by timestamps where batches have them, otherwise by the
    /// clock.
    fn age_ms(&self, max_timestamp: i64, now_ms: i64) -> i64 {
        match self.first_timestamp {
            Some(first) if first >= 0 => max_timestamp.saturating_sub(first),
            _ => now_ms.saturating_sub(self.created_ms),
        }
    }

    /// Adds the entries of the largest timestamp and of the last batch, and writes the indexes out: the state of a
    /// segment that gets no more batches, or of a log that is being closed.
    ///
    /// That the offset index lists the last batch, which Kafka's does by chance only, tells a start that the file was
    /// cut between two batches, also where offsets may be missing.
    pub fn seal(&self) -> Result<()> {
        self.cut_if_due()?;
        self.segment.time_index.append_if_later(self.largest)?;
        if let Some(last) = self.last
            && !self.segment.offset_index.is_full()
        {
            self.segment.offset_index.append_if_later(last)?;
        }
        self.segment.offset_index.seal()?;
        self.segment.time_index.seal()
    }

    /// A writer that stands at `to`, a batch boundary, with indexes that know nothing of what comes after it.
    /// The log file is left alone.
    pub fn rewind(segment: Arc<Segment>, to: Extent, now_ms: i64) -> Result<Self> {
        segment.offset_index.truncate_to(to.next_offset)?;
        segment.time_index.truncate_to(to.next_offset)?;
        segment.transactions.truncate_to(to.next_offset)?;
        segment.trust_from(to.size);
        segment.forget_first_timestamp();
        Self::resume(segment, to, now_ms)
    }

    /// Cuts the segment at `to`, a batch boundary.
    pub fn truncate(segment: Arc<Segment>, to: Extent, now_ms: i64) -> Result<Self> {
        segment.log.set_len(to.size)?;
        Self::rewind(segment, to, now_ms)
    }

    /// Brings offset and time index in line with the log, whose batches up to `extent` must be sound.
    pub fn rebuild_indexes(
        segment: &Arc<Segment>,
        extent: Extent,
        index_interval: u64,
        now_ms: i64,
    ) -> Result<Self> {
        segment.offset_index.reset(&[])?;
        segment.time_index.reset(&[])?;
        let mut writer = Self::new(Arc::clone(segment), now_ms);
        let mut walk = HeaderWalk::new(&**segment.log(), 0, extent.size);
        let mut expected = segment.base_offset();
        while let Some(Located { header, .. }) = walk.next(expected)? {
            expected = header.next_offset();
            writer.note_batch(&header, index_interval)?;
        }
        if expected > extent.next_offset {
            return Err(Error::Corrupt {
                path: segment.log.path().to_owned(),
                position: extent.size,
                offset: extent.next_offset,
                reason: format!("the segment reaches up to offset {expected}"),
            });
        }
        writer.extent.next_offset = extent.next_offset;
        Ok(writer)
    }
}

/// What decides about rolling a segment.
#[derive(Debug, Clone, Copy)]
pub struct RollLimits {
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// The part of `segment.jitter.ms` that this segment drew.
    pub jitter_ms: i64,
}
