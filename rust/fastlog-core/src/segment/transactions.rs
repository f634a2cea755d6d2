//! The transaction index of a segment on a disk that may be full.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::env::FileSystem;
use crate::error::Result;
use crate::txn_index::{AbortedTxn, Checksum, TxnIndex};

/// The aborted transactions whose markers lie in one segment. Without them a `read_committed` consumer would
/// see aborted records, so entries that the disk has no room for are kept and written later.
#[derive(Debug)]
pub struct Transactions {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    index: TxnIndex,
    unwritten: Vec<AbortedTxn>,
    /// Something was written since the last sync.
    unsynced: bool,
}

impl Transactions {
    /// Takes no notice of a file that may be there: see [`Self::reset`].
    pub fn empty(fs: Arc<dyn FileSystem>, path: &Path) -> Self {
        Self::over(TxnIndex::empty(fs, path))
    }

    /// Reads the file, which need not exist. Fails with [`Error::Corrupt`] when it cannot be true.
    pub fn open(fs: Arc<dyn FileSystem>, path: &Path, base_offset: i64, log_size: u64) -> Result<Self> {
        Ok(Self::over(TxnIndex::open(fs, path, base_offset, log_size)?))
    }

    fn over(index: TxnIndex) -> Self {
        Self {
            state: Mutex::new(State {
                index,
                unwritten: Vec::new(),
                unsynced: false,
            }),
        }
    }

    /// Adds a transaction, which must end after all others. A full disk is no error, nor is a shortage of the
    /// process.
    pub fn append(&self, transaction: AbortedTxn) -> Result<()> {
        let mut state = self.lock();
        state.unwritten.push(transaction);
        match state.write_out() {
            Err(error) if error.passes() => Ok(()),
            other => other,
        }
    }

    /// Adds to `found` what touches `[from, to)`; returns whether later segments need no look.
    pub fn search(&self, from: i64, to: i64, found: &mut Vec<AbortedTxn>) -> bool {
        let state = self.lock();
        if state.index.search(from, to, found) {
            return true;
        }
        for entry in &state.unwritten {
            if entry.last_offset >= from && entry.first_offset < to {
                found.push(*entry);
            }
            if entry.last_stable_offset >= to {
                return true;
            }
        }
        false
    }

    /// Drops transactions that end at or after `offset`.
    pub fn truncate_to(&self, offset: i64) -> Result<()> {
        let mut state = self.lock();
        state.unwritten.retain(|entry| entry.last_offset < offset);
        state.unsynced = true;
        state.index.truncate_to(offset)
    }

    /// Drops everything, in the file too.
    pub fn reset(&self) -> Result<()> {
        let mut state = self.lock();
        state.unwritten.clear();
        state.unsynced = true;
        state.index.reset()
    }

    /// Makes all entries durable; fails as long as some cannot be written.
    pub fn sync(&self) -> Result<()> {
        let mut state = self.lock();
        state.write_out()?;
        if state.unsynced {
            state.index.flush()?;
            state.unsynced = false;
        }
        Ok(())
    }

    /// Whether there is a file.
    pub fn has_file(&self) -> bool {
        !self.lock().index.entries().is_empty()
    }

    /// What is in the file; `None` when there are no entries.
    pub fn checksum(&self) -> Option<Checksum> {
        Some(self.lock().index.checksum()).filter(|checksum| checksum.entries > 0)
    }

    /// Whether the file begins with what it was at the time of `known`.
    pub fn begins_with(&self, known: Checksum) -> bool {
        self.lock().index.begins_with(known)
    }

    /// Goes by another name from now on.
    pub fn move_to(&mut self, path: PathBuf) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.index.move_to(path);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write_out(&mut self) -> Result<()> {
        while let Some(entry) = self.unwritten.first() {
            self.index.append(*entry)?;
            self.unsynced = true;
            self.unwritten.remove(0);
        }
        Ok(())
    }
}
