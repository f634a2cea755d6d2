//! The index of aborted transactions of one segment, `<base offset>.txnindex` (Kafka: `TransactionIndex`,
//! `AbortedTxn`). This file owns its bytes.
//!
//! Entries stand in the order of the markers. All numbers are big-endian.
//!
//! | at | size | field | meaning |
//! |---:|---:|---|---|
//! | 0 | 2 | version | 0 |
//! | 2 | 8 | producer id | |
//! | 10 | 8 | first offset | first record of the transaction in the partition |
//! | 18 | 8 | last offset | the abort marker |
//! | 26 | 8 | last stable offset | first offset that was undecided once the marker was written |
//!
//! The index can be rebuilt from the segment at any time. The file is made with the first entry: most
//! segments have none.
//!
//! Nothing in the file covers its bytes. What they should be is in the log's `txnindex-checkpoint`, as a [`Checksum`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::{crc32c, crc32c_append};
use crate::env::{File, FileSystem, OpenMode};
use crate::error::{Error, Result};
use crate::producer_state::CompletedTxn;

const VERSION: i16 = 0;
const ENTRY_SIZE: usize = 34;
/// Bytes that an index may have beyond those of its segment: a segment that lost its end is judged by others.
const SLACK: u64 = 64 << 10;

/// One aborted transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTxn {
    /// The producer.
    pub producer_id: i64,
    /// First offset of the transaction.
    pub first_offset: i64,
    /// Offset of the abort marker.
    pub last_offset: i64,
    /// First offset that was still undecided after the marker.
    pub last_stable_offset: i64,
}

impl From<CompletedTxn> for AbortedTxn {
    fn from(completed: CompletedTxn) -> Self {
        Self {
            producer_id: completed.producer_id,
            first_offset: completed.first_offset,
            last_offset: completed.last_offset,
            last_stable_offset: completed.last_stable_offset,
        }
    }
}

impl AbortedTxn {
    fn to_bytes(self) -> [u8; ENTRY_SIZE] {
        let mut bytes = [0; ENTRY_SIZE];
        bytes[..2].copy_from_slice(&VERSION.to_be_bytes());
        let fields = [
            self.producer_id,
            self.first_offset,
            self.last_offset,
            self.last_stable_offset,
        ];
        for (slot, field) in bytes[2..].chunks_exact_mut(8).zip(fields) {
            slot.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    /// `None` for a version that is not known.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, fields) = bytes.split_first_chunk::<2>()?;
        if i16::from_be_bytes(*version) != VERSION {
            return None;
        }
        let (fields, _) = fields.as_chunks::<8>();
        let [producer_id, first_offset, last_offset, last_stable_offset] = fields else {
            return None;
        };
        Some(Self {
            producer_id: i64::from_be_bytes(*producer_id),
            first_offset: i64::from_be_bytes(*first_offset),
            last_offset: i64::from_be_bytes(*last_offset),
            last_stable_offset: i64::from_be_bytes(*last_stable_offset),
        })
    }
}

/// What the beginning of an index was at some time: entries are added at its end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    /// How many entries it covers.
    pub entries: usize,
    /// CRC-32C of their bytes.
    pub crc: u32,
}

/// The aborted transactions of one segment: kept in memory, written through to the file.
#[derive(Debug)]
pub struct TxnIndex {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    /// `None` as long as there is no file.
    file: Option<Arc<dyn File>>,
    entries: Vec<AbortedTxn>,
    /// CRC-32C of the entries.
    crc: u32,
}

impl TxnIndex {
    /// Opens the index at `path`, which need not exist, of a segment with this base offset and `log_size` bytes.
    ///
    /// Fails with [`Error::Corrupt`] when the file cannot be the index of that segment (too long, half an entry, an
    /// unknown version, markers that do not rise or lie before the segment): rebuild it from the segment
    /// after [`Self::reset`].
    pub fn open(fs: Arc<dyn FileSystem>, path: &Path, base_offset: i64, log_size: u64) -> Result<Self> {
        let mut index = Self::empty(fs, path);
        if !index.fs.exists(path)? {
            return Ok(index);
        }
        // An entry is shorter than the batch of its marker.
        let bytes = index.fs.read_bounded(path, log_size + SLACK)?;
        let (rows, rest) = bytes.as_chunks::<ENTRY_SIZE>();
        if index.entries.try_reserve_exact(rows.len()).is_err() {
            return Err(Error::io(
                "read",
                path,
                std::io::Error::from_raw_os_error(libc::ENOMEM),
            ));
        }
        let corrupt = |position: usize, offset: i64, reason: &str| {
            Err(Error::Corrupt {
                path: path.to_owned(),
                position: position as u64,
                offset,
                reason: reason.to_owned(),
            })
        };
        let mut lowest = base_offset;
        for (row, bytes) in rows.iter().enumerate() {
            let at = row * ENTRY_SIZE;
            let Some(entry) = AbortedTxn::from_bytes(bytes) else {
                return corrupt(at, lowest, "unknown version of an aborted transaction");
            };
            if entry.last_offset < lowest || entry.first_offset > entry.last_offset {
                return corrupt(at, lowest, "markers of aborted transactions must rise");
            }
            lowest = entry.last_offset.saturating_add(1);
            index.entries.push(entry);
        }
        if !rest.is_empty() {
            return corrupt(rows.len() * ENTRY_SIZE, lowest, "half an entry at the end");
        }
        index.crc = crc32c(rows.as_flattened());
        index.file = Some(index.fs.open(path, OpenMode::Write)?);
        Ok(index)
    }

    /// An index without entries whose file, if there is one, has not been looked at. Call [`Self::reset`]
    /// before the first append.
    pub fn empty(fs: Arc<dyn FileSystem>, path: &Path) -> Self {
        Self {
            fs,
            path: path.to_owned(),
            file: None,
            entries: Vec::new(),
            crc: crc32c(&[]),
        }
    }

    /// Adds a transaction; its marker must lie behind all others.
    pub fn append(&mut self, entry: AbortedTxn) -> Result<()> {
        if let Some(last) = self.entries.last()
            && last.last_offset >= entry.last_offset
        {
            return Err(Error::InvalidArgument(format!(
                "abort marker at {} after the one at {}",
                entry.last_offset, last.last_offset
            )));
        }
        let position = (self.entries.len() * ENTRY_SIZE) as u64;
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(self.fs.open(&self.path, OpenMode::Create)?),
        };
        // A write that fails half way leaves bytes behind the last entry, which the next append overwrites
        // and the next opening reports.
        let bytes = entry.to_bytes();
        file.write_all_at(&bytes, position)?;
        self.entries.push(entry);
        self.crc = crc32c_append(self.crc, &bytes);
        Ok(())
    }

    /// Adds to `out` the transactions that touch `[from, to)`; returns whether the search is complete, so
    /// that later segments need no look.
    pub fn search(&self, from: i64, to: i64, out: &mut Vec<AbortedTxn>) -> bool {
        let first = self.entries.partition_point(|entry| entry.last_offset < from);
        for entry in &self.entries[first..] {
            if entry.first_offset < to {
                out.push(*entry);
            }
            if entry.last_stable_offset >= to {
                return true;
            }
        }
        false
    }

    /// Drops the transactions whose marker lies at or after `offset`.
    pub fn truncate_to(&mut self, offset: i64) -> Result<()> {
        let keep = self.entries.partition_point(|entry| entry.last_offset < offset);
        if keep < self.entries.len() {
            self.cut(keep)?;
        }
        Ok(())
    }

    /// Drops everything, in the file too: the start of a rebuild.
    pub fn reset(&mut self) -> Result<()> {
        if self.file.is_none() && self.fs.exists(&self.path)? {
            self.file = Some(self.fs.open(&self.path, OpenMode::Write)?);
        }
        self.cut(0)
    }

    /// Makes the file durable.
    pub fn flush(&self) -> Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.sync_data())
    }

    /// Goes by another name from now on.
    pub fn move_to(&mut self, path: PathBuf) {
        if let Some(file) = &self.file {
            // Whoever renames it does that later: nobody opens it in between.
            let _ = file.move_to(&path, &mut || Ok(()));
        }
        self.path = path;
    }

    /// All entries, in the order of their markers.
    pub fn entries(&self) -> &[AbortedTxn] {
        &self.entries
    }

    /// What the index is now.
    pub fn checksum(&self) -> Checksum {
        Checksum {
            entries: self.entries.len(),
            crc: self.crc,
        }
    }

    /// Whether it begins with what it was at the time of `known`.
    pub fn begins_with(&self, known: Checksum) -> bool {
        self.entries
            .get(..known.entries)
            .is_some_and(|entries| crc_of(entries) == known.crc)
    }

    fn cut(&mut self, keep: usize) -> Result<()> {
        if let Some(file) = &self.file {
            file.set_len((keep * ENTRY_SIZE) as u64)?;
        }
        self.entries.truncate(keep);
        self.crc = crc_of(&self.entries);
        Ok(())
    }
}

fn crc_of(entries: &[AbortedTxn]) -> u32 {
    entries
        .iter()
        .fold(crc32c(&[]), |crc, entry| crc32c_append(crc, &entry.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::StdFs;

    fn txn(producer_id: i64, first: i64, last: i64, stable: i64) -> AbortedTxn {
        AbortedTxn {
            producer_id,
            first_offset: first,
            last_offset: last,
            last_stable_offset: stable,
        }
    }

    fn path(dir: &tempfile::TempDir) -> PathBuf {
        dir.path().join("00000000000000000100.txnindex")
    }

    fn open(dir: &tempfile::TempDir) -> Result<TxnIndex> {
        TxnIndex::open(Arc::new(StdFs), &path(dir), 100, 4096)
    }

    fn filled(dir: &tempfile::TempDir) -> TxnIndex {
        let mut index = open(dir).unwrap();
        index.append(txn(1, 90, 110, 105)).unwrap();
        index.append(txn(2, 105, 120, 121)).unwrap();
        index.append(txn(1, 130, 140, 135)).unwrap();
        index
    }

    fn found(index: &TxnIndex, from: i64, to: i64) -> (Vec<i64>, bool) {
        let mut out = Vec::new();
        let complete = index.search(from, to, &mut out);
        (out.iter().map(|entry| entry.last_offset).collect(), complete)
    }

    #[test]
    fn the_file_comes_with_the_first_entry_in_kafkas_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = open(&dir).unwrap();
        index.flush().unwrap();
        assert!(!path(&dir).exists());
        index.append(txn(258, 1, 300, 301)).unwrap();
        index.flush().unwrap();
        let mut expected = vec![0; 34];
        (expected[8], expected[9]) = (1, 2);
        expected[17] = 1;
        (expected[24], expected[25]) = (1, 44);
        (expected[32], expected[33]) = (1, 45);
        assert_eq!(std::fs::read(path(&dir)).unwrap(), expected);
        assert_eq!(open(&dir).unwrap().entries(), [txn(258, 1, 300, 301)]);
    }

    #[test]
    fn markers_rise() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = filled(&dir);
        assert!(matches!(
            index.append(txn(3, 1, 140, 141)),
            Err(Error::InvalidArgument(_))
        ));
        assert_eq!(open(&dir).unwrap().entries().len(), 3);
    }

    #[test]
    fn searches_overlaps() {
        let dir = tempfile::tempdir().unwrap();
        let index = filled(&dir);
        assert_eq!(found(&index, 100, 1_000), (vec![110, 120, 140], false));
        assert_eq!(found(&index, 111, 1_000), (vec![120, 140], false));
        assert_eq!(found(&index, 141, 1_000), (vec![], false));
        // The stable offset 105 after the first marker tells nothing about offsets up to 106, 121 does.
        assert_eq!(found(&index, 100, 105), (vec![110], true));
        assert_eq!(found(&index, 100, 106), (vec![110, 120], true));
        assert_eq!(found(&index, 100, 131), (vec![110, 120, 140], true));
    }

    #[test]
    fn truncates_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = filled(&dir);
        index.truncate_to(141).unwrap();
        assert_eq!(index.entries().len(), 3);
        index.truncate_to(120).unwrap();
        assert_eq!(open(&dir).unwrap().entries(), [txn(1, 90, 110, 105)]);
        index.append(txn(4, 111, 119, 120)).unwrap();
        assert_eq!(open(&dir).unwrap().entries(), index.entries());
        index.reset().unwrap();
        assert!(open(&dir).unwrap().entries().is_empty());
    }

    #[test]
    fn a_checksum_holds_for_as_long_as_entries_are_added() {
        let dir = tempfile::tempdir().unwrap();
        let empty = open(&dir).unwrap().checksum();
        let mut index = filled(&dir);
        let known = index.checksum();
        assert_eq!(known.entries, 3);
        assert_eq!(known.crc, crc32c(&std::fs::read(path(&dir)).unwrap()));
        index.append(txn(4, 141, 150, 151)).unwrap();
        let longer = index.checksum();
        for index in [&index, &open(&dir).unwrap()] {
            assert!(index.begins_with(empty) && index.begins_with(known) && index.begins_with(longer));
        }
        index.truncate_to(150).unwrap();
        assert_eq!(index.checksum(), known);
        assert!(index.begins_with(known) && !index.begins_with(longer));
        let good = std::fs::read(path(&dir)).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(path(&dir), &bytes).unwrap();
            assert!(
                open(&dir).is_err() || !open(&dir).unwrap().begins_with(known),
                "{bit}"
            );
        }
        std::fs::remove_file(path(&dir)).unwrap();
        assert!(!open(&dir).unwrap().begins_with(known));
    }

    #[test]
    fn damage_is_reported_and_can_be_rebuilt() {
        let dir = tempfile::tempdir().unwrap();
        drop(filled(&dir));
        let good = std::fs::read(path(&dir)).unwrap();
        let mut cases = vec![(good[..50].to_vec(), 34)];
        for (at, value, position) in [
            (1, 1, 0),
            (34, 0xff, 34),
            (18, 0xff, 0),
            (59, 10, 34),
            (10, 0x7f, 0),
        ] {
            let mut bytes = good.clone();
            bytes[at] = value;
            cases.push((bytes, position));
        }
        for (bytes, at) in cases {
            std::fs::write(path(&dir), &bytes).unwrap();
            match open(&dir) {
                Err(Error::Corrupt { position, .. }) => assert_eq!(position, at),
                other => panic!("{other:?}"),
            }
        }
        let mut index = TxnIndex::empty(Arc::new(StdFs), &path(&dir));
        index.reset().unwrap();
        index.append(txn(1, 90, 110, 105)).unwrap();
        assert_eq!(open(&dir).unwrap().entries(), index.entries());
    }
}
