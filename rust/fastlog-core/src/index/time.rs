//! From timestamps to offsets (Kafka: `TimeIndex`).

use super::entries::{Entry, Index};
use crate::error::Result;

/// The largest timestamp of a stretch of log, and the last offset of the first batch that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// Milliseconds since the Unix epoch; -1 when nothing has a timestamp.
    pub timestamp: i64,
    /// Last offset of the batch.
    pub offset: i64,
}

impl Entry<12> for TimestampedOffset {
    /// The entry that a roll adds.
    const RESERVED: usize = 1;

    fn encode(self, base_offset: i64) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&((self.offset - base_offset) as u32).to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; 12], base_offset: i64) -> Self {
        let (mut timestamp, mut offset) = ([0; 8], [0; 4]);
        timestamp.copy_from_slice(&bytes[..8]);
        offset.copy_from_slice(&bytes[8..]);
        Self {
            timestamp: i64::from_be_bytes(timestamp),
            offset: base_offset.saturating_add(i64::from(u32::from_be_bytes(offset))),
        }
    }

    fn offset(&self) -> i64 {
        self.offset
    }

    fn rises_to(&self, next: &Self) -> bool {
        self.timestamp < next.timestamp && self.offset < next.offset
    }
}

/// The sparse time index of one segment. Timestamps and offsets rise strictly from entry to entry.
pub type TimeIndex = Index<TimestampedOffset, 12>;

impl TimeIndex {
    /// Whether first and last entry can be true of a segment that ends before `next_offset`; the answer is
    /// the reason if they cannot.
    pub fn check(&self, next_offset: i64) -> Result<Result<(), String>> {
        self.check_ends(next_offset)
    }

    /// Adds an entry if its timestamp is above the last one's, which is how both columns keep rising.
    pub fn append_if_later(&self, entry: TimestampedOffset) -> Result<()> {
        if entry.timestamp < 0 || self.last()?.is_some_and(|last| !last.rises_to(&entry)) {
            return Ok(());
        }
        self.push(entry)
    }

    /// The last entry whose timestamp is at most `timestamp`.
    pub fn floor(&self, timestamp: i64) -> Result<Option<TimestampedOffset>> {
        self.last_where(|entry| entry.timestamp <= timestamp)
    }
}
