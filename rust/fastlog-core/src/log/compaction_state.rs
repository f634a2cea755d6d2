//! What there is to compact in a log (Kafka: `LogCleanerManager`).

use std::sync::Arc;

use super::segments::holding;
use super::{PartitionLog, lock};
use crate::compaction::CompactionState;
use crate::error::Result;
use crate::segment::{NO_TIMESTAMP, Segment};

/// Which part of the log is what.
#[derive(Debug)]
pub(super) struct Bounds {
    pub segments: Arc<[Arc<Segment>]>,
    pub first_dirty: i64,
    pub checkpoint_valid: bool,
    /// Base offset of the first segment that must stay as it is.
    pub uncleanable: i64,
}

impl Bounds {
    /// The segments that may be cleaned.
    pub fn cleanable(&self) -> &[Arc<Segment>] {
        let count = self
            .segments
            .partition_point(|segment| segment.base_offset() < self.uncleanable);
        &self.segments[..count]
    }

    /// Index of the segment in which the dirty part begins.
    pub fn first_dirty_segment(&self) -> usize {
        holding(&self.segments, self.first_dirty).unwrap_or(0)
    }
}

impl PartitionLog {
    /// What there is to compact. `clean_from` is the cleaner checkpoint, -1 when there is none; `max_offset` is
    /// at most the high watermark.
    pub fn compaction_state(
        &self,
        clean_from: i64,
        max_offset: i64,
        now_ms: i64,
        min_lag_ms: i64,
        max_lag_ms: i64,
    ) -> Result<CompactionState> {
        self.check_online()?;
        let bounds = self.compaction_bounds(clean_from, max_offset, now_ms, min_lag_ms)?;
        let dirty_from = bounds.first_dirty_segment();
        let size = |segments: &[Arc<Segment>]| segments.iter().map(|segment| segment.extent().size).sum();
        let cleanable = bounds.cleanable();
        let dirty_from = dirty_from.min(cleanable.len());
        let mut earliest = NO_TIMESTAMP;
        let sealed = &bounds.segments[..bounds.segments.len() - 1];
        for segment in &sealed[dirty_from.min(sealed.len())..] {
            let first = segment.first_timestamp()?;
            if first > 0 && (earliest < 0 || first < earliest) {
                earliest = first;
            }
        }
        let clean_until = now_ms.saturating_sub(max_lag_ms.max(0));
        let horizon = lock(&self.compaction.checkpoint).delete_horizon;
        Ok(CompactionState {
            first_dirty_offset: bounds.first_dirty,
            checkpoint_valid: bounds.checkpoint_valid,
            first_uncleanable_offset: bounds.uncleanable.max(bounds.first_dirty),
            clean_bytes: size(&cleanable[..dirty_from]),
            cleanable_bytes: size(&cleanable[dirty_from..]),
            earliest_dirty_timestamp: earliest,
            compaction_delay_ms: if earliest > 0 {
                clean_until.saturating_sub(earliest).max(0)
            } else {
                0
            },
            earliest_delete_horizon: horizon,
            removal_due: !cleanable.is_empty() && (0..=now_ms).contains(&horizon),
        })
    }

    pub(super) fn compaction_bounds(
        &self,
        clean_from: i64,
        max_offset: i64,
        now_ms: i64,
        min_lag_ms: i64,
    ) -> Result<Bounds> {
        // The end first: what is in the list that is taken after it reaches at least that far.
        let end = self.log_end_offset();
        let segments = self.snapshot();
        let start = self.log_start_offset();
        // A checkpoint may be older than a cut of the log: what is not known to be clean is dirty.
        let known = lock(&self.compaction.checkpoint).compacted_below;
        let first_dirty = if (start..=end).contains(&clean_from) {
            clean_from.min(known).max(start)
        } else {
            start
        };
        // There always is an active segment.
        let (active, sealed) = (&segments[segments.len() - 1], &segments[..segments.len() - 1]);
        let mut limit = self.settled_below(max_offset).min(active.base_offset());
        if min_lag_ms > 0 {
            let from = holding(&segments, first_dirty).unwrap_or(0);
            for segment in &sealed[from.min(sealed.len())..] {
                if segment.largest_timestamp()?.timestamp > now_ms.saturating_sub(min_lag_ms) {
                    limit = limit.min(segment.base_offset());
                    break;
                }
            }
        }
        // Segments are cleaned as a whole or not at all.
        let uncleanable = match holding(&segments, limit) {
            Some(index) => segments[index].base_offset(),
            None => segments[0].base_offset(),
        };
        Ok(Bounds {
            segments,
            first_dirty,
            checkpoint_valid: first_dirty == clean_from,
            uncleanable,
        })
    }
}
