//! Writing what stays of a group of segments into `.cleaned` files.

use std::sync::Arc;

use crate::batch::BatchHeader;
use crate::compaction::Meter;
use crate::error::Result;
use crate::segment::{MAX_SEGMENT_SIZE, Segment, SegmentSpace, SegmentWriter};
use crate::txn_index::AbortedTxn;

/// Bytes written at once.
const BUFFER: usize = 1 << 20;

/// The segment that is being written, and those before it. There is more than one only when batches grew so
/// much, by being compressed anew, that one segment cannot hold them.
#[derive(Debug)]
pub(super) struct Output<'a> {
    space: &'a SegmentSpace,
    index_interval: u64,
    now_ms: i64,
    /// Base offsets of everything that was begun, which is there in part when something fails.
    begun: &'a mut Vec<i64>,
    finished: Vec<Arc<Segment>>,
    writer: SegmentWriter,
    /// Bytes of the segment that are not written yet, and where they go.
    buffer: &'a mut Vec<u8>,
    position: u64,
}

impl<'a> Output<'a> {
    pub fn begin(
        space: &'a SegmentSpace,
        base_offset: i64,
        index_interval: u64,
        now_ms: i64,
        begun: &'a mut Vec<i64>,
        buffer: &'a mut Vec<u8>,
    ) -> Result<Self> {
        buffer.clear();
        begun.push(base_offset);
        let segment = Arc::new(Segment::create_cleaned(space, base_offset)?);
        Ok(Self {
            space,
            index_interval,
            now_ms,
            begun,
            finished: Vec::new(),
            writer: SegmentWriter::new(segment, now_ms),
            buffer,
            position: 0,
        })
    }

    /// Adds a batch.
    pub fn push(&mut self, header: &BatchHeader, bytes: &[u8], meter: &mut Meter<'_>) -> Result<()> {
        let segment = self.writer.segment();
        let extent = self.writer.extent();
        let full = extent.size + bytes.len() as u64 > MAX_SEGMENT_SIZE
            || segment.offset_index().is_full()
            || segment.time_index().is_full()
            || !segment.offset_index().can_hold(header.last_offset());
        if full && extent.size > 0 {
            self.next_segment(header.base_offset, meter)?;
        }
        self.writer.note_batch(header, self.index_interval)?;
        if self.buffer.len() + bytes.len() > BUFFER {
            self.write_out(meter)?;
        }
        if bytes.len() >= BUFFER {
            self.writer.segment().log().write_all_at(bytes, self.position)?;
            self.position += bytes.len() as u64;
            return meter.count(bytes.len() as u64);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Adds the aborted transaction whose marker was added last.
    pub fn push_aborted(&mut self, transaction: AbortedTxn) -> Result<()> {
        self.writer.segment().transactions().append(transaction)
    }

    /// Ends everything at `end_offset` and makes it durable. `modified_ms` is the time of the last write.
    pub fn finish(
        mut self,
        end_offset: i64,
        modified_ms: i64,
        meter: &mut Meter<'_>,
    ) -> Result<Vec<Segment>> {
        self.end_segment(end_offset, meter)?;
        let Self { finished, writer, .. } = self;
        drop(writer);
        let owned = finished.into_iter().filter_map(Arc::into_inner);
        owned
            .map(|segment| segment.complete_cleaned(modified_ms))
            .collect()
    }

    fn next_segment(&mut self, base_offset: i64, meter: &mut Meter<'_>) -> Result<()> {
        self.end_segment(base_offset, meter)?;
        self.begun.push(base_offset);
        let segment = Arc::new(Segment::create_cleaned(self.space, base_offset)?);
        self.writer = SegmentWriter::new(segment, self.now_ms);
        self.position = 0;
        Ok(())
    }

    fn end_segment(&mut self, end_offset: i64, meter: &mut Meter<'_>) -> Result<()> {
        self.write_out(meter)?;
        self.writer.end_at(end_offset);
        self.writer.seal()?;
        self.finished.push(Arc::clone(self.writer.segment()));
        Ok(())
    }

    fn write_out(&mut self, meter: &mut Meter<'_>) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.writer
            .segment()
            .log()
            .write_all_at(self.buffer, self.position)?;
        let written = self.buffer.len() as u64;
        self.position += written;
        self.buffer.clear();
        meter.count(written)
    }
}
