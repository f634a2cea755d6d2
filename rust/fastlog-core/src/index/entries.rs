//! What the two indexes of a segment have in common: entries of a type, offsets relative to a base offset.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sparse::SparseFile;
use crate::env::FileSystem;
use crate::error::Result;

/// An entry of `N` bytes in a file.
pub trait Entry<const N: usize>: Copy + Debug {
    /// How many entries an index keeps free when it says that it is full.
    const RESERVED: usize;

    /// The bytes of an entry in the index of a segment with this base offset.
    fn encode(self, base_offset: i64) -> [u8; N];

    /// The entry of these bytes.
    fn decode(bytes: &[u8; N], base_offset: i64) -> Self;

    /// The offset that it names.
    fn offset(&self) -> i64;

    /// Whether `next` may follow this one: both columns rise strictly.
    fn rises_to(&self, next: &Self) -> bool;
}

/// A sparse index of one segment with entries of type `E`.
#[derive(Debug)]
pub struct Index<E, const N: usize> {
    pub(super) entries: SparseFile<N>,
    base_offset: i64,
    max_entries: usize,
    entry: PhantomData<fn() -> E>,
}

impl<E: Entry<N>, const N: usize> Index<E, N> {
    /// Makes an empty index of at most `max_bytes`.
    pub fn create(
        fs: Arc<dyn FileSystem>,
        path: PathBuf,
        base_offset: i64,
        max_bytes: usize,
    ) -> Result<Self> {
        Ok(Self::over(SparseFile::create(fs, path)?, base_offset, max_bytes))
    }

    /// Opens an index of `len` bytes. Its entries are not looked at: see `check`.
    pub fn open(
        fs: Arc<dyn FileSystem>,
        path: PathBuf,
        len: u64,
        base_offset: i64,
        max_bytes: usize,
    ) -> Result<Self> {
        Ok(Self::over(
            SparseFile::open(fs, path, len)?,
            base_offset,
            max_bytes,
        ))
    }

    fn over(entries: SparseFile<N>, base_offset: i64, max_bytes: usize) -> Self {
        Self {
            entries,
            base_offset,
            max_entries: max_bytes / N,
            entry: PhantomData,
        }
    }

    /// Whether first and last entry can be true of a segment that ends before `next_offset`; the answer is
    /// the reason if they cannot.
    pub(super) fn check_ends(&self, next_offset: i64) -> Result<Result<(), String>> {
        let (Some(first), Some(last)) = (self.entries.first()?, self.last()?) else {
            return Ok(Ok(()));
        };
        if !(self.base_offset..next_offset).contains(&last.offset()) {
            return Ok(Err(format!(
                "last entry has offset {}, the segment ends at {next_offset}",
                last.offset()
            )));
        }
        if self.len() > 1 && !self.decode(&first).rises_to(&last) {
            return Ok(Err("the last entry is not after the first".to_owned()));
        }
        Ok(Ok(()))
    }

    /// Whether both columns rise from entry to entry.
    pub fn rises(&self) -> Result<bool> {
        self.entries
            .all_pairs(|before, after| self.decode(before).rises_to(&self.decode(after)))
    }

    /// The last entry.
    pub fn last(&self) -> Result<Option<E>> {
        Ok(self.entries.last()?.map(|entry| self.decode(&entry)))
    }

    /// Whether there is no room for another entry, beside [`Entry::RESERVED`] ones.
    pub fn is_full(&self) -> bool {
        self.len() + E::RESERVED >= self.max_entries
    }

    /// Bytes of all entries.
    pub fn size_bytes(&self) -> usize {
        self.len() * N
    }

    /// Whether a search takes no system call.
    pub fn is_at_hand(&self) -> bool {
        self.entries.is_at_hand()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops entries with an offset of at least `offset`.
    pub fn truncate_to(&self, offset: i64) -> Result<()> {
        self.entries
            .truncate(|entry| self.decode(entry).offset() < offset)
    }

    /// Replaces all entries.
    pub fn reset(&self, entries: &[E]) -> Result<()> {
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

    /// Whether `offset` can be stored relative to the base offset.
    pub fn can_hold(&self, offset: i64) -> bool {
        offset
            .checked_sub(self.base_offset)
            .is_some_and(|delta| (0..=i64::from(i32::MAX)).contains(&delta))
    }

    /// The last entry that satisfies `before`, all of which come first.
    pub(super) fn last_where(&self, before: impl Fn(&E) -> bool) -> Result<Option<E>> {
        let found = self.entries.search(|entry| before(&self.decode(entry)))?;
        Ok(found.floor.map(|entry| self.decode(&entry)))
    }

    /// The first entry that does not satisfy `before`.
    pub(super) fn first_after(&self, before: impl Fn(&E) -> bool) -> Result<Option<E>> {
        let found = self.entries.search(|entry| before(&self.decode(entry)))?;
        Ok(found.above.map(|entry| self.decode(&entry)))
    }

    /// Whether another entry only takes memory: neither is the last one read from the file, nor a page written.
    pub fn takes_at_once(&self) -> bool {
        self.entries.takes_at_once()
    }

    /// Adds an entry; the caller has seen that it is above the last one.
    pub(super) fn push(&self, entry: E) -> Result<()> {
        self.entries.push(self.encode(entry))
    }

    fn decode(&self, entry: &[u8; N]) -> E {
        E::decode(entry, self.base_offset)
    }

    fn encode(&self, entry: E) -> [u8; N] {
        entry.encode(self.base_offset)
    }
}
