//! A file of fixed-size entries in rising order: appended at the end, searched by halving.
//!
//! Entries on disk are read through a read-only map; the newest ones are held in memory and written out a
//! page at a time. Readers take a lock for the length of a few instructions, never for a system call of the
//! writer's, and the map that they search stays valid whatever the writer does: a file that was
//! mapped is only extended, or replaced as a whole by rename. When somebody else cuts it, it is damaged.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::env::{File, FileSystem, Mapping, OpenMode, temporary_path};
use crate::error::{Error, Result, is_not_found};

/// Bytes held in memory before they are written out.
const SPILL_BYTES: usize = 4096;

/// What [`SparseFile::search`] found: the entries on both sides of the asked key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Neighbours<const N: usize> {
    /// The last entry that is not after the key.
    pub floor: Option<[u8; N]>,
    /// The first entry that is after the key.
    pub above: Option<[u8; N]>,
}

#[derive(Debug)]
pub(super) struct SparseFile<const N: usize> {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    state: Mutex<State>,
    /// Held while entries are being written out; its content is the buffer for that.
    spill: Mutex<Vec<u8>>,
}

#[derive(Debug, Default)]
struct State {
    /// Open while entries are appended; read-only files are mapped and closed again.
    file: Option<Arc<dyn File>>,
    mapping: Option<Arc<Mapping>>,
    /// Entries in the file.
    stored: usize,
    /// Bytes of the entries after those.
    tail: Vec<u8>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere cannot leave half a change behind here: every update below is a few plain stores.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn entry_at<const N: usize>(bytes: &[u8], index: usize) -> [u8; N] {
    let mut entry = [0; N];
    entry.copy_from_slice(&bytes[index * N..(index + 1) * N]);
    entry
}

/// How many entries of `bytes` satisfy `before`, all of which come first.
fn partition_point<const N: usize>(bytes: &[u8], before: impl Fn(&[u8; N]) -> bool) -> usize {
    let (mut low, mut high) = (0, bytes.len() / N);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(&entry_at(bytes, middle)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

impl<const N: usize> SparseFile<N> {
    /// Makes an empty index at `path`, in place of whatever was there.
    pub fn create(fs: Arc<dyn FileSystem>, path: PathBuf) -> Result<Self> {
        let file = fs.open(&path, OpenMode::Truncate)?;
        let state = Mutex::new(State {
            file: Some(file),
            ..State::default()
        });
        Ok(Self {
            fs,
            path,
            state,
            spill: Mutex::default(),
        })
    }

    /// Opens the index at `path`, which is `len` bytes long.
    ///
    /// Fails with [`Error::Corrupt`] when that is no whole number of entries.
    pub fn open(fs: Arc<dyn FileSystem>, path: PathBuf, len: u64) -> Result<Self> {
        if !len.is_multiple_of(N as u64) {
            return Err(Error::Corrupt {
                path,
                position: len,
                offset: -1,
                reason: format!("{len} bytes are no multiple of {N}"),
            });
        }
        let state = Mutex::new(State {
            stored: (len / N as u64) as usize,
            ..State::default()
        });
        Ok(Self {
            fs,
            path,
            state,
            spill: Mutex::default(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a search takes no system call, and nobody is in one of which it would have to wait for the end.
    pub fn is_at_hand(&self) -> bool {
        match self.state.try_lock() {
            Ok(state) => state.mapping.is_some() || state.stored == 0,
            Err(_) => false,
        }
    }

    /// Whether [`Self::last`] and [`Self::push`] take no system call, and nobody is in one of which they would have
    /// to wait for the end.
    pub fn takes_at_once(&self) -> bool {
        match self.state.try_lock() {
            Ok(state) => {
                let is_known = state.stored == 0 || !state.tail.is_empty();
                is_known && state.tail.len() + N < SPILL_BYTES / N * N
            }
            Err(_) => false,
        }
    }

    pub fn len(&self) -> usize {
        let state = lock(&self.state);
        state.stored + state.tail.len() / N
    }

    /// The last entry.
    pub fn last(&self) -> Result<Option<[u8; N]>> {
        let state = lock(&self.state);
        if let Some(last) = state.tail.last_chunk() {
            return Ok(Some(*last));
        }
        state
            .stored
            .checked_sub(1)
            .map(|last| self.stored_entry(&state, last))
            .transpose()
    }

    /// The first entry.
    pub fn first(&self) -> Result<Option<[u8; N]>> {
        let state = lock(&self.state);
        if state.stored > 0 {
            return self.stored_entry(&state, 0).map(Some);
        }
        Ok(state.tail.first_chunk().copied())
    }

    /// One entry of the file, without mapping it: a start looks at the ends of thousands of indexes.
    fn stored_entry(&self, state: &State, index: usize) -> Result<[u8; N]> {
        let mut entry = [0; N];
        match (&state.mapping, &state.file) {
            (Some(mapping), _) => return self.read_map(mapping, |bytes| entry_at(bytes, index)),
            (None, Some(file)) => file.read_exact_at(&mut entry, (index * N) as u64)?,
            (None, None) => {
                self.fs
                    .open(&self.path, OpenMode::Read)?
                    .read_exact_at(&mut entry, (index * N) as u64)?;
            }
        }
        Ok(entry)
    }

    /// The entries around a key: `not_after` tells whether an entry is at or before it.
    pub fn search(&self, not_after: impl Fn(&[u8; N]) -> bool) -> Result<Neighbours<N>> {
        let mut state = lock(&self.state);
        let in_tail = partition_point(&state.tail, &not_after);
        let above_in_tail = |tail: &[u8]| tail.chunks_exact(N).nth(in_tail).map(|entry| entry_at(entry, 0));
        if in_tail > 0 || state.stored == 0 {
            let floor = in_tail.checked_sub(1).map(|index| entry_at(&state.tail, index));
            return Ok(Neighbours {
                floor,
                above: above_in_tail(&state.tail),
            });
        }
        let after_stored = above_in_tail(&state.tail);
        let stored = state.stored;
        let mapping = self.mapped(&mut state)?;
        drop(state);
        self.read_map(&mapping, |bytes| {
            let bytes = &bytes[..stored * N];
            let count = partition_point(bytes, &not_after);
            Neighbours {
                floor: count.checked_sub(1).map(|index| entry_at(bytes, index)),
                above: if count < stored {
                    Some(entry_at(bytes, count))
                } else {
                    after_stored
                },
            }
        })
    }

    /// Whether `holds` is true of every two neighbouring entries of the file.
    pub fn all_pairs(&self, holds: impl Fn(&[u8; N], &[u8; N]) -> bool) -> Result<bool> {
        let mut state = lock(&self.state);
        if state.stored == 0 {
            return Ok(true);
        }
        let mapping = self.mapped(&mut state)?;
        let stored = state.stored;
        self.read_map(&mapping, |bytes| {
            let (entries, _) = bytes[..stored * N].as_chunks::<N>();
            entries.windows(2).all(|pair| holds(&pair[0], &pair[1]))
        })
    }

    /// Adds an entry, which becomes visible to readers at once. To be called by one thread at a time.
    pub fn push(&self, entry: [u8; N]) -> Result<()> {
        let full = {
            let mut state = lock(&self.state);
            state.tail.extend_from_slice(&entry);
            state.tail.len() >= SPILL_BYTES / N * N
        };
        if full { self.spill() } else { Ok(()) }
    }

    /// Writes the entries in memory to the file. A full disk is no error, nor is a shortage of the process: they
    /// stay in memory until that has passed, and can be rebuilt from the log if it never does.
    pub fn spill(&self) -> Result<()> {
        match self.write_tail() {
            Err(error) if error.passes() => Ok(()),
            other => other,
        }
    }

    fn write_tail(&self) -> Result<()> {
        let mut buffer = lock(&self.spill);
        let (file, position) = {
            let mut state = lock(&self.state);
            if state.tail.is_empty() {
                return Ok(());
            }
            buffer.clear();
            buffer.extend_from_slice(&state.tail);
            (self.writable(&mut state)?, (state.stored * N) as u64)
        };
        match file.write_all_at(&buffer, position) {
            Ok(()) => {}
            // What was written in part lies beyond the entries that count, and is overwritten later.
            Err(error) if error.passes() => return file.set_len(position).and(Err(error)),
            Err(error) => return Err(error),
        }
        let mut state = lock(&self.state);
        state.stored += buffer.len() / N;
        state.tail.drain(..buffer.len());
        state.mapping = None;
        Ok(())
    }

    /// Writes out what is in memory and makes the file durable; fails as long as something cannot be written.
    pub fn sync(&self) -> Result<()> {
        self.write_tail()?;
        let open = lock(&self.state).file.clone();
        match open {
            Some(file) => file.sync_data(),
            None => match self.fs.open(&self.path, OpenMode::Write) {
                // Deleted meanwhile, with its segment or by somebody else: what is missing is made again.
                Err(error) if is_not_found(&error) => Ok(()),
                file => file?.sync_data(),
            },
        }
    }

    /// Gives the descriptor back: no more entries are to come.
    pub fn seal(&self) -> Result<()> {
        self.spill()?;
        let mut state = lock(&self.state);
        if state.tail.is_empty() {
            state.file = None;
        }
        Ok(())
    }

    /// Keeps the entries that satisfy `keep`, all of which come first. Writers are to be kept out.
    pub fn truncate(&self, keep: impl Fn(&[u8; N]) -> bool) -> Result<()> {
        let _spill = lock(&self.spill);
        let mut state = lock(&self.state);
        let in_tail = partition_point(&state.tail, &keep);
        if in_tail > 0 || state.stored == 0 {
            state.tail.truncate(in_tail * N);
            return Ok(());
        }
        state.tail.clear();
        let mapping = self.mapped(&mut state)?;
        let stored = state.stored;
        let kept = self.read_map(&mapping, |bytes| {
            let bytes = &bytes[..stored * N];
            let count = partition_point(bytes, &keep);
            (count < stored).then(|| bytes[..count * N].to_vec())
        })?;
        match kept {
            Some(kept) => self.replace(&mut state, &kept),
            None => Ok(()),
        }
    }

    /// Replaces everything by `bytes`, whole entries.
    pub fn reset(&self, bytes: &[u8]) -> Result<()> {
        let _spill = lock(&self.spill);
        self.replace(&mut lock(&self.state), bytes)
    }

    fn replace(&self, state: &mut State, bytes: &[u8]) -> Result<()> {
        // Cutting the file would pull pages from under readers' maps: a new one takes its name instead.
        let temporary = temporary_path(&self.path);
        let file = self.fs.open(&temporary, OpenMode::Truncate)?;
        file.write_all_at(bytes, 0)?;
        file.move_to(&self.path, &mut || self.fs.rename(&temporary, &self.path))?;
        *state = State {
            file: Some(file),
            mapping: None,
            stored: bytes.len() / N,
            tail: Vec::new(),
        };
        Ok(())
    }

    /// Makes sure that entries can be read even when another file takes the name of this one.
    pub fn pin(&self) -> Result<()> {
        let mut state = lock(&self.state);
        if state.stored > 0 {
            self.mapped(&mut state)?;
        }
        Ok(())
    }

    /// Goes by another name from now on. Everything must have been written out.
    pub fn move_to(&mut self, path: PathBuf) {
        self.path = path;
    }

    fn read_map<T>(&self, mapping: &Mapping, look: impl FnOnce(&[u8]) -> T) -> Result<T> {
        mapping.read(look).ok_or_else(|| self.cut(0))
    }

    fn cut(&self, position: u64) -> Error {
        Error::Corrupt {
            path: self.path.clone(),
            position,
            offset: -1,
            reason: "the index became shorter while it was in use".to_owned(),
        }
    }

    fn writable(&self, state: &mut State) -> Result<Arc<dyn File>> {
        if let Some(file) = &state.file {
            return Ok(Arc::clone(file));
        }
        let file = self.fs.open(&self.path, OpenMode::Write)?;
        state.file = Some(Arc::clone(&file));
        Ok(file)
    }

    fn mapped(&self, state: &mut State) -> Result<Arc<Mapping>> {
        if let Some(mapping) = &state.mapping {
            return Ok(Arc::clone(mapping));
        }
        let file = match &state.file {
            Some(file) => Arc::clone(file),
            None => self.fs.open(&self.path, OpenMode::Read)?,
        };
        let needed = state.stored * N;
        // Somebody else cut the file: a map of the missing part would kill the process when it is read.
        if file.len()? < needed as u64 {
            return Err(self.cut(needed as u64));
        }
        let mapping = Arc::new(file.map(needed)?);
        state.mapping = Some(Arc::clone(&mapping));
        Ok(mapping)
    }
}
