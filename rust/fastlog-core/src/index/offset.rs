//! From offsets to byte positions (Kafka: `OffsetIndex`).

use super::entries::{Entry, Index};
use crate::error::Result;

/// Where a batch starts and the offset that it ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetPosition {
    /// Last offset of the batch.
    pub offset: i64,
    /// Byte position of its first byte.
    pub position: u32,
}

impl Entry<8> for OffsetPosition {
    const RESERVED: usize = 0;

    fn encode(self, base_offset: i64) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&((self.offset - base_offset) as u32).to_be_bytes());
        bytes[4..].copy_from_slice(&self.position.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; 8], base_offset: i64) -> Self {
        let packed = u64::from_be_bytes(*bytes);
        Self {
            offset: base_offset.saturating_add((packed >> 32) as i64),
            position: packed as u32,
        }
    }

    fn offset(&self) -> i64 {
        self.offset
    }

    fn rises_to(&self, next: &Self) -> bool {
        self.offset < next.offset && self.position < next.position
    }
}

/// The sparse offset index of one segment.
pub type OffsetIndex = Index<OffsetPosition, 8>;

impl OffsetIndex {
    /// Whether first and last entry can be true of a segment that ends before `next_offset` and has `size`
    /// bytes; the answer is the reason if they cannot.
    pub fn check(&self, next_offset: i64, size: u64) -> Result<Result<(), String>> {
        match self.last()? {
            Some(last) if u64::from(last.position) >= size => Ok(Err(format!(
                "last entry has position {} of {size}",
                last.position
            ))),
            _ => self.check_ends(next_offset),
        }
    }

    /// Adds an entry; offset and position must be above those of the last one.
    pub fn append(&self, offset: i64, position: u32) -> Result<()> {
        self.push(OffsetPosition { offset, position })
    }

    /// Adds an entry unless the last one lies as far in the segment.
    pub fn append_if_later(&self, entry: OffsetPosition) -> Result<()> {
        if self.last()?.is_some_and(|last| !last.rises_to(&entry)) {
            return Ok(());
        }
        self.push(entry)
    }

    /// The last entry whose offset is at most `offset`.
    pub fn floor(&self, offset: i64) -> Result<Option<OffsetPosition>> {
        self.last_where(|entry| entry.offset <= offset)
    }

    /// The first entry whose offset is at least `offset`.
    pub fn ceiling(&self, offset: i64) -> Result<Option<OffsetPosition>> {
        self.first_after(|entry| entry.offset < offset)
    }

    /// The first entry whose position is at least `position`.
    pub fn ceiling_position(&self, position: u32) -> Result<Option<OffsetPosition>> {
        self.first_after(|entry| entry.position < position)
    }

    /// The last entry whose position is at most `position`.
    pub fn floor_position(&self, position: u32) -> Result<Option<OffsetPosition>> {
        self.last_where(|entry| entry.position <= position)
    }
}
