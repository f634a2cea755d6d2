//! The list of segments, which readers take snapshots of.

use std::sync::{Arc, PoisonError};

use super::PartitionLog;
use crate::error::{Error, Result};
use crate::segment::{NO_TIMESTAMP, Segment};

/// One segment, for people and tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Lowest offset that it can hold.
    pub base_offset: i64,
    /// Offset after its last one.
    pub next_offset: i64,
    /// Bytes of its log file.
    pub size: u64,
    /// Largest timestamp of its batches, -1 when there is none.
    pub largest_timestamp: i64,
}

impl PartitionLog {
    /// All segments, oldest first.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>> {
        self.snapshot()
            .iter()
            .map(|segment| {
                let extent = segment.extent();
                let largest = match segment.largest_timestamp() {
                    // Whoever wants the records will find the damage.
                    Err(Error::Corrupt { .. }) => NO_TIMESTAMP,
                    largest => largest?.timestamp,
                };
                Ok(SegmentInfo {
                    base_offset: segment.base_offset(),
                    next_offset: extent.next_offset,
                    size: extent.size,
                    largest_timestamp: largest,
                })
            })
            .collect()
    }

    /// Bytes of all segments' log files.
    pub fn size_bytes(&self) -> u64 {
        self.snapshot().iter().map(|segment| segment.extent().size).sum()
    }

    /// Number of segments.
    pub fn segment_count(&self) -> usize {
        self.snapshot().len()
    }

    pub(super) fn snapshot(&self) -> Arc<[Arc<Segment>]> {
        Arc::clone(&self.segments.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the list. Only whoever holds the writer's mutex may do that.
    pub(super) fn set_segments(&self, segments: Vec<Arc<Segment>>) {
        *self.segments.write().unwrap_or_else(PoisonError::into_inner) = segments.into();
    }

    pub(super) fn push_segment(&self, segment: Arc<Segment>) {
        let mut segments = self.snapshot().to_vec();
        segments.push(segment);
        self.set_segments(segments);
    }
}

/// Index of the segment that holds `offset`, or would; `None` when it lies before all of them.
pub(super) fn holding(segments: &[Arc<Segment>], offset: i64) -> Option<usize> {
    segments
        .partition_point(|segment| segment.base_offset() <= offset)
        .checked_sub(1)
}
