//! From timestamps to offsets (Kafka: `TimeIndex`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sparse::SparseFile;
use crate::env::FileSystem;
use crate::error::Result;

const ENTRY_SIZE: usize = 12;

/// The largest timestamp of a stretch of log, and the last offset of the first batch that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// Milliseconds since the Unix epoch; -1 when nothing has a timestamp.
    pub timestamp: i64,
    /// Last offset of the batch.
    pub offset: i64,
}

/// The sparse time index of one segment. Timestamps and offsets rise strictly from entry to entry.
#[derive(Debug)]
pub struct TimeIndex {
    entries: SparseFile<ENTRY_SIZE>,
    base_offset: i64,
    max_entries: usize,
}

impl TimeIndex {
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

    /// Whether first and last entry can be true of a segment that ends before `next_offset`; the answer is
    /// the reason if they cannot.
    pub fn check(&self, next_offset: i64) -> Result<Result<(), String>> {
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
        if self.entries.len() > 1 && (first.timestamp >= last.timestamp || first.offset >= last.offset) {
            return Ok(Err("the last entry is not after the first".to_owned()));
        }
        Ok(Ok(()))
    }

    /// Whether timestamps and offsets rise from entry to entry.
    pub fn rises(&self) -> Result<bool> {
        self.entries.all_pairs(|before, after| {
            let (before, after) = (self.decode(before), self.decode(after));
            before.timestamp < after.timestamp && before.offset < after.offset
        })
    }

    /// Adds an entry if its timestamp is above the last one's, which is how both columns keep rising.
    pub fn append_if_later(&self, entry: TimestampedOffset) -> Result<()> {
        let last = self.last()?;
        if entry.timestamp < 0
            || last.is_some_and(|last| entry.timestamp <= last.timestamp || entry.offset <= last.offset)
        {
            return Ok(());
        }
        self.entries.push(self.encode(entry))
    }

    /// The last entry whose timestamp is at most `timestamp`.
    pub fn floor(&self, timestamp: i64) -> Result<Option<TimestampedOffset>> {
        let found = self
            .entries
            .search(|entry| self.decode(entry).timestamp <= timestamp)?;
        Ok(found.floor.map(|entry| self.decode(&entry)))
    }

    /// The last entry.
    pub fn last(&self) -> Result<Option<TimestampedOffset>> {
        Ok(self.entries.last()?.map(|entry| self.decode(&entry)))
    }

    /// Whether there is no room for another entry. One is kept free for the entry that a roll adds.
    pub fn is_full(&self) -> bool {
        self.entries.len() + 1 >= self.max_entries
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
    pub fn reset(&self, entries: &[TimestampedOffset]) -> Result<()> {
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

    fn decode(&self, entry: &[u8; ENTRY_SIZE]) -> TimestampedOffset {
        let (mut timestamp, mut offset) = ([0; 8], [0; 4]);
        timestamp.copy_from_slice(&entry[..8]);
        offset.copy_from_slice(&entry[8..]);
        TimestampedOffset {
            timestamp: i64::from_be_bytes(timestamp),
            offset: self
                .base_offset
                .saturating_add(i64::from(u32::from_be_bytes(offset))),
        }
    }

    fn encode(&self, entry: TimestampedOffset) -> [u8; ENTRY_SIZE] {
        let mut bytes = [0; ENTRY_SIZE];
        bytes[..8].copy_from_slice(&entry.timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&((entry.offset - self.base_offset) as u32).to_be_bytes());
        bytes
    }
}
