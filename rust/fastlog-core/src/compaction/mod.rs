//! Log compaction: of all records with one key the last one stays (Kafka: `LogCleaner`).
//!
//! This module holds what needs no log and no disk to be tested: the map of keys, the rules of what stays, the
//! rebuilding of batches, the grouping of segments, the throttle. `log::compact` drives it over the segments of
//! a log and puts the result in their place.

mod filter;
mod grouping;
mod keyed_hash;
mod map_builder;
mod offset_map;
mod records;
mod rewrite;
mod source;
mod throttle;
mod transactions;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};

pub use filter::{BatchRule, LastRecord, Retention, Rules};
pub use grouping::{SegmentShape, group};
pub use keyed_hash::{KeyHash, KeyedHash};
pub use map_builder::MapBuilder;
pub use offset_map::OffsetMap;
pub use rewrite::{Kept, Rewriter, Tally};
pub use source::{BatchSource, SourceBuffer};
pub use throttle::Throttle;
pub use transactions::{MarkerVerdict, Transactions};

/// What a compaction is to do.
#[derive(Debug, Clone)]
pub struct CompactionOptions {
    /// Everything below is clean: the cleaner checkpoint, -1 when there is none.
    pub clean_from: i64,
    /// Nothing at or above is touched: the last stable offset.
    pub max_offset: i64,
    /// The time.
    pub now_ms: i64,
    /// How long tombstones and markers stay after the first compaction that saw them (`delete.retention.ms`).
    pub delete_retention_ms: i64,
    /// Younger records are not touched (`min.compaction.lag.ms`).
    pub min_lag_ms: i64,
    /// Most bytes that the map of keys may have.
    pub memory_bytes: usize,
    /// Limits the bytes per second.
    pub throttle: Option<Arc<Throttle>>,
}

impl Default for CompactionOptions {
    fn default() -> Self {
        Self {
            clean_from: -1,
            max_offset: i64::MAX,
            now_ms: 0,
            delete_retention_ms: 86_400_000,
            min_lag_ms: 0,
            memory_bytes: 128 << 20,
            throttle: None,
        }
    }
}

/// What there is to compact in a log (Kafka: `LogToClean`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionState {
    /// Where cleaning goes on.
    pub first_dirty_offset: i64,
    /// The checkpoint lay inside of the log, and not above what is known to be compacted.
    pub checkpoint_valid: bool,
    /// Base offset of the first segment that must stay as it is, at least the first dirty offset.
    pub first_uncleanable_offset: i64,
    /// Bytes of the segments that end at or below the first dirty offset.
    pub clean_bytes: u64,
    /// Bytes of the segments between the two offsets.
    pub cleanable_bytes: u64,
    /// Smallest first timestamp of the dirty segments but the active one, -1 when none has one.
    pub earliest_dirty_timestamp: i64,
    /// By how much `max.compaction.lag.ms` is exceeded.
    pub compaction_delay_ms: i64,
    /// When the first tombstones or markers of the clean part may go, -1 when none wait.
    pub earliest_delete_horizon: i64,
    /// That time has come.
    pub removal_due: bool,
}

impl CompactionState {
    /// The dirty part of what could be cleaned, between 0 and 1.
    pub fn dirty_ratio(&self) -> f64 {
        let total = self.clean_bytes + self.cleanable_bytes;
        if total == 0 {
            return 0.0;
        }
        #[allow(clippy::cast_precision_loss)] // a ratio for comparison with a setting of two digits
        let ratio = self.cleanable_bytes as f64 / total as f64;
        ratio
    }
}

/// What one compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CompactionReport {
    /// Everything below is clean.
    pub cleaned_to: i64,
    /// The map had no room for all dirty records.
    pub map_full: bool,
    /// Keys in the map.
    pub map_records: u64,
    /// Bytes of the map.
    pub map_memory_bytes: usize,
    /// Bytes read to build the map.
    pub map_bytes_read: u64,
    /// Records read to build the map.
    pub map_records_read: u64,
    /// Bytes of the segments that were cleaned.
    pub bytes_read: u64,
    /// Bytes of the segments that took their place.
    pub bytes_kept: u64,
    /// Records of the segments that were cleaned.
    pub records_read: u64,
    /// Records of the segments that took their place.
    pub records_kept: u64,
    /// Batches that stayed byte for byte.
    pub batches_copied: u64,
    /// Batches that were built anew.
    pub batches_rewritten: u64,
    /// Tombstones and markers that went because their delete horizon had passed.
    pub tombstones_dropped: u64,
    /// Records without a key.
    pub invalid_records: u64,
    /// Segments that were cleaned.
    pub segments_before: usize,
    /// Segments that took their place.
    pub segments_after: usize,
    /// Largest size of the buffers beside the map.
    pub buffer_memory_bytes: usize,
    /// Time that building the map took.
    pub map_seconds: f64,
    /// Time that everything else took.
    pub clean_seconds: f64,
    /// Time spent asleep because of the throttle.
    pub throttled_seconds: f64,
}

/// Counts the bytes that a compaction moves, slows it down and tells it when to stop.
pub struct Meter<'a> {
    throttle: Option<&'a Throttle>,
    stop: &'a dyn Fn() -> Option<&'static str>,
    slept: Duration,
}

impl fmt::Debug for Meter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("throttle", &self.throttle)
            .field("slept", &self.slept)
            .finish_non_exhaustive()
    }
}

impl<'a> Meter<'a> {
    /// `stop` gives the reason to stop, once there is one.
    pub fn new(throttle: Option<&'a Throttle>, stop: &'a dyn Fn() -> Option<&'static str>) -> Self {
        Self {
            throttle,
            stop,
            slept: Duration::ZERO,
        }
    }

    /// Fails with [`Error::Aborted`] when it is time to stop.
    pub fn check(&self) -> Result<()> {
        if self.throttle.is_some_and(Throttle::is_cancelled) {
            return Err(Error::Aborted("all compactions were stopped".to_owned()));
        }
        match (self.stop)() {
            Some(reason) => Err(Error::Aborted(reason.to_owned())),
            None => Ok(()),
        }
    }

    /// Counts bytes that were read or written, sleeps if they were too many, and checks.
    pub fn count(&mut self, bytes: u64) -> Result<()> {
        if let Some(throttle) = self.throttle {
            self.slept += throttle.take(bytes, || (self.stop)().is_some());
        }
        self.check()
    }

    /// Time that was slept.
    pub fn slept(&self) -> Duration {
        self.slept
    }
}

#[cfg(test)]
mod tests;
