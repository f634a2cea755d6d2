//! From offsets to byte positions (Kafka: `OffsetIndex`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sparse::SparseFile;
use crate::env::FileSystem;
use crate::error::Result;

const ENTRY_SIZE: usize = 8;

/// Where a batch starts and the offset that it ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetPosition {
    /// Last offset of the batch.
    pub offset: i64,
    /// Byte position of its first byte.
    pub position: u32,
}

/// The sparse offset index of one segment.
#[derive(Debug)]
pub struct OffsetIndex {
    entries: SparseFile<ENTRY_SIZE>,
    base_offset: i64,
    max_entries: usize,
}

impl OffsetIndex {
    /// Makes an empty index of at most `max_bytes`.
    pub fn create(
        fs: Arc<dyn FileSystem>,
        path: PathBuf,
        base_offset: i64,
        max_bytes: usize,
    ) -> Result<Self> {
        let entries = SparseFile::create(fs, path)?;
        Ok(Self {
            entries,
            base_offset,
            max_entries: max_bytes / ENTRY_SIZE,
        })
    }

    /// Opens an index of `len` bytes. Its entries are not looked at: see [`Self::check`].
    pub fn open(
        fs: Arc<dyn FileSystem>,
        path: PathBuf,
        len: u64,
        base_offset: i64,
        max_bytes: usize,
    ) -> Result<Self> {
        let entries = SparseFile::open(fs, path, len)?;
        Ok(Self {
            entries,
            base_offset,
            max_entries: max_bytes / ENTRY_SIZE,
        })
    }

    /// Whether first and last entry can be true of a segment that ends before `next_offset` and has `size`
    /// bytes; the answer is the reason if they cannot.
    pub fn check(&self, next_offset: i64, size: u64) -> Result<Result<(), String>> {
        let (Some(first), Some(last)) = (self.entries.first()?, self.entries.last()?) else {
            return Ok(Ok(()));
        };
        let (first, last) = (self.decode(&first), self.decode(&last));
        if last.offset < self.base_offset || last.offset >= next_offset {
            return Ok(Err(format!(
                "last entry has offset {}, the segment ends at {next_offset}",
                last.offset
            )));
        }
        if u64::from(last.position) >= size {
            return Ok(Err(format!(
                "last entry has position {} of {size}",
                last.position
            )));
        }
        if self.entries.len() > 1 && (first.offset >= last.offset || first.position >= last.position) {
            return Ok(Err("the last entry is not after the first".to_owned()));
        }
        Ok(Ok(()))
    }

    /// Whether offsets and positions rise from entry to entry.
    pub fn rises(&self) -> Result<bool> {
        self.entries.all_pairs(|before, after| {
            let (before, after) = (self.decode(before), self.decode(after));
            before.offset < after.offset && before.position < after.position
        })
    }

    /// Adds an entry; offset and position must be above those of the last one.
    pub fn append(&self, offset: i64, position: u32) -> Result<()> {
        self.entries
            .push(self.encode(OffsetPosition { offset, position }))
    }

    /// The last entry whose offset is at most `offset`.
    pub fn floor(&self, offset: i64) -> Result<Option<OffsetPosition>> {
        let found = self.entries.search(|entry| self.decode(entry).offset <= offset)?;
        Ok(found.floor.map(|entry| self.decode(&entry)))
    }

    /// The first entry whose offset is at least `offset`.
    pub fn ceiling(&self, offset: i64) -> Result<Option<OffsetPosition>> {
        let found = self.entries.search(|entry| self.decode(entry).offset < offset)?;
        Ok(found.above.map(|entry| self.decode(&entry)))
    }

    /// The last entry whose position is at most `position`.
    pub fn floor_position(&self, position: u32) -> Result<Option<OffsetPosition>> {
        let found = self
            .entries
            .search(|entry| self.decode(entry).position <= position)?;
        Ok(found.floor.map(|entry| self.decode(&entry)))
    }

    /// The last entry.
    pub fn last(&self) -> Result<Option<OffsetPosition>> {
        Ok(self.entries.last()?.map(|entry| self.decode(&entry)))
    }

    /// Whether `offset` can be stored relative to the base offset.
    pub fn can_hold(&self, offset: i64) -> bool {
        offset
            .checked_sub(self.base_offset)
            .is_some_and(|delta| (0..=i64::from(i32::MAX)).contains(&delta))
    }

    /// Whether there is no room for another entry.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= self.max_entries
    }

    /// Bytes of all entries.
    pub fn size_bytes(&self) -> usize {
        self.entries.len() * ENTRY_SIZE
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// Drops entries with an offset of at least `offset`.
    pub fn truncate_to(&self, offset: i64) -> Result<()> {
        self.entries.truncate(|entry| self.decode(entry).offset < offset)
    }

    /// Replaces all entries.
    pub fn reset(&self, entries: &[OffsetPosition]) -> Result<()> {
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| self.encode(*entry)).collect();
        self.entries.reset(&bytes)
    }

    /// Writes entries that are still in memory to the file.
    pub fn write_out(&self) -> Result<()> {
        self.entries.spill()
    }

    /// Makes all entries durable.
    pub fn sync(&self) -> Result<()> {
        self.entries.sync()
    }

    /// Makes sure that entries can be read even when another file takes the name of this one.
    pub fn pin(&self) -> Result<()> {
        self.entries.pin()
    }

    /// Goes by another name from now on. The index must be sealed.
    pub fn move_to(&mut self, path: PathBuf) {
        self.entries.move_to(path);
    }

    /// Writes everything out and gives the descriptor back.
    pub fn seal(&self) -> Result<()> {
        self.entries.seal()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.entries.path()
    }

    #[allow(clippy::trivially_copy_pass_by_ref)] // all sparse files hand out their entries like this
    fn decode(&self, entry: &[u8; ENTRY_SIZE]) -> OffsetPosition {
        let packed = u64::from_be_bytes(*entry);
        OffsetPosition {
            offset: self.base_offset.saturating_add((packed >> 32) as i64),
            position: packed as u32,
        }
    }

    fn encode(&self, entry: OffsetPosition) -> [u8; ENTRY_SIZE] {
        let mut bytes = [0; ENTRY_SIZE];
        bytes[..4].copy_from_slice(&((entry.offset - self.base_offset) as u32).to_be_bytes());
        bytes[4..].copy_from_slice(&entry.position.to_be_bytes());
        bytes
    }
}
