//! Files that give their descriptor back while nobody uses them.
//!
//! A log has many segments, and a broker many logs: most of their files are idle at any time. A [`PooledFs`] keeps
//! at most so many of them open as its [`DescriptorPool`] says. Beyond that, and when the process has no descriptor
//! left, it closes one that was not used lately; the next use opens it again by its name. So the layer has to know
//! where a file is: [`File::move_to`] tells it, and [`File::keep_open`] that a name is about to go.
//!
//! A use of an open file costs one read lock that nobody holds for writing, besides one flag.
//!
//! # Files with writes that are not durable
//!
//! Since Linux 4.13 an fsync reports the errors of writing back that happened since *its own* descriptor was opened,
//! and one that is opened later still gets those that nobody was told of (`errseq_sample`), but only for as
//! long as the inode is in memory. Without an open descriptor it may leave it, and a later fsync succeeds although
//! pages were lost. So a file that was written to keeps its descriptor until it was synced. When all files
//! that could be closed are like that, one of them is synced first, and what that says is kept for
//! whoever uses the file next, as a failed fsync.

mod file;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{DirEntry, Directory, File, FileSystem, OpenMode};
use crate::cause::lacks_descriptors;
use crate::error::Result;
use file::{Closing, PooledFile};

/// How many files are closed at once when the process has no descriptor left: others need some, too.
const CLOSED_AT_ONCE: usize = 8;
/// Entries of files that are gone are removed from the ring when it has this many more than there are open files.
const SLACK: usize = 256;

/// How many files may be open, and which are. Shared by all file systems that are made over it.
#[derive(Debug)]
pub struct DescriptorPool {
    capacity: AtomicUsize,
    open: AtomicUsize,
    /// Open files in the order in which they are looked at when one has to be closed (the CLOCK algorithm).
    ring: Mutex<VecDeque<Weak<PooledFile>>>,
}

impl DescriptorPool {
    /// A pool of at most `capacity` open files.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: AtomicUsize::new(capacity),
            open: AtomicUsize::new(0),
            ring: Mutex::default(),
        }
    }

    /// Most files that are open at a time, but for those that are in use at the moment.
    pub fn set_capacity(&self, capacity: usize) {
        self.capacity.store(capacity, Ordering::Relaxed);
        self.shrink();
    }

    /// Files that are open.
    pub fn open_files(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn admit(&self, file: &Arc<PooledFile>) {
        let mut ring = lock(&self.ring);
        ring.push_back(Arc::downgrade(file));
        if ring.len() > self.open_files() + SLACK {
            ring.retain(|entry| entry.strong_count() > 0);
        }
        drop(ring);
        self.shrink();
    }

    fn shrink(&self) {
        let excess = self
            .open_files()
            .saturating_sub(self.capacity.load(Ordering::Relaxed));
        if excess > 0 {
            self.close_some(excess);
        }
    }

    /// Closes up to `wanted` files that nobody uses; returns how many.
    fn close_some(&self, wanted: usize) -> usize {
        let mut closed = Vec::new();
        let mut unsynced = Vec::new();
        {
            let mut ring = lock(&self.ring);
            // Twice around: a file that was used since the last time is spared once.
            let mut left = 2 * ring.len();
            while left > 0 && closed.len() < wanted {
                left -= 1;
                let Some(entry) = ring.pop_front() else { break };
                let Some(file) = entry.upgrade() else { continue };
                if file.take_used() {
                    ring.push_back(entry);
                } else if file.is_unsynced() {
                    if unsynced.len() < wanted {
                        unsynced.push(file);
                    }
                    ring.push_back(entry);
                } else {
                    match file.try_close() {
                        // Dropped, and with that closed, when nobody waits for the ring any more.
                        Closing::Done(descriptor) => closed.push(descriptor),
                        Closing::Busy => ring.push_back(entry),
                        Closing::Exempt => {}
                    }
                }
            }
        }
        let mut count = closed.len();
        drop(closed);
        for file in unsynced {
            if count >= wanted {
                break;
            }
            file.settle();
            if let Closing::Done(descriptor) = file.try_close() {
                drop(descriptor);
                count += 1;
            }
        }
        count
    }

    /// `open`, again and again for as long as it lacks descriptors and there are some to take away from others.
    fn with_room<T>(&self, mut open: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            match open() {
                Err(error) if lacks_descriptors(&error) && self.close_some(CLOSED_AT_ONCE) > 0 => {}
                other => return other,
            }
        }
    }
}

/// A file system whose files are open only while they are used, or while there is room for them.
#[derive(Debug, Clone)]
pub struct PooledFs {
    inner: Arc<dyn FileSystem>,
    pool: Arc<DescriptorPool>,
}

impl PooledFs {
    /// The files of `inner`, with the descriptors of `pool`.
    pub fn new(inner: Arc<dyn FileSystem>, pool: Arc<DescriptorPool>) -> Self {
        Self { inner, pool }
    }
}

impl FileSystem for PooledFs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let descriptor = self.pool.with_room(|| self.inner.open(path, mode))?;
        let file = Arc::new(PooledFile::new(self.clone(), path, mode, descriptor));
        self.pool.open.fetch_add(1, Ordering::Relaxed);
        self.pool.admit(&file);
        Ok(file::handle(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        self.pool.with_room(|| self.inner.remove_dir_all(path))
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        self.inner.create_dir_all(path)
    }

    fn list_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        self.pool.with_room(|| self.inner.list_dir(path))
    }

    fn open_dir(&self, path: &Path) -> Result<Box<dyn Directory>> {
        self.pool.with_room(|| self.inner.open_dir(path))
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        self.inner.exists(path)
    }

    fn modified_ms(&self, path: &Path) -> Result<i64> {
        self.inner.modified_ms(path)
    }

    // Open for the length of the call only: such files have no place in the pool.

    fn read_bounded(&self, path: &Path, most: u64) -> Result<Vec<u8>> {
        self.pool.with_room(|| self.inner.read_bounded(path, most))
    }

    fn write_atomically(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.pool.with_room(|| self.inner.write_atomically(path, bytes))
    }

    fn replace_unsynced(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.pool.with_room(|| self.inner.replace_unsynced(path, bytes))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change behind these locks is one store.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
