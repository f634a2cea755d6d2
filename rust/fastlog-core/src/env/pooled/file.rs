//! One file of a pool: open or not, and where it is.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use super::{PooledFs, lock};
use crate::cause::durability;
use crate::env::{File, FileStamp, Mapping, OpenMode};
use crate::error::{Error, Result};

/// What the pool knows of a file. Locks, in the order in which they may be taken: `place`, the ring, `descriptor`;
/// the pool never waits for the last one.
pub(super) struct PooledFile {
    fs: PooledFs,
    /// As it was opened first.
    opened: PathBuf,
    mode: OpenMode,
    has_descriptor: bool,
    /// Tells it from another file that has come to its name.
    identity: Option<(u64, u64)>,
    place: Mutex<Place>,
    descriptor: RwLock<Option<Arc<dyn File>>>,
    /// Those who use the descriptor without the lock, because they have just opened it.
    borrowers: AtomicUsize,
    used: AtomicBool,
    /// Something was written since the last sync.
    unsynced: AtomicBool,
    /// The name is gone, or goes: the descriptor is the last way to the bytes.
    kept: AtomicBool,
    /// What a sync said when nobody was there to hear it: the number of the operating system.
    lost: OnceLock<Option<i32>>,
}

/// Where a file is now.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// Nowhere: another file may have the name.
    gone: bool,
}

/// What became of the wish to close a file.
pub(super) enum Closing {
    Done(Arc<dyn File>),
    Busy,
    /// It is not open, or never to be closed.
    Exempt,
}

impl PooledFile {
    /// A file that was just opened as `descriptor`.
    pub fn new(fs: PooledFs, path: &Path, mode: OpenMode, descriptor: Arc<dyn File>) -> Self {
        Self {
            fs,
            opened: path.to_owned(),
            // What was made is there from now on.
            mode: if mode == OpenMode::Read {
                mode
            } else {
                OpenMode::Write
            },
            has_descriptor: descriptor.has_descriptor(),
            identity: descriptor.identity(),
            place: Mutex::new(Place {
                path: path.to_owned(),
                gone: false,
            }),
            descriptor: RwLock::new(Some(descriptor)),
            borrowers: AtomicUsize::new(0),
            used: AtomicBool::new(true),
            unsynced: AtomicBool::new(false),
            kept: AtomicBool::new(false),
            lost: OnceLock::new(),
        }
    }

    /// Whether it was used since the last time that somebody asked.
    pub fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    /// Whether something was written since the last sync.
    pub fn is_unsynced(&self) -> bool {
        self.unsynced.load(Ordering::Acquire)
    }

    /// Lets `act` use the file, opening it if need be.
    fn with<T>(self: &Arc<Self>, act: impl FnOnce(&dyn File) -> Result<T>) -> Result<T> {
        {
            let descriptor = self.descriptor.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(file) = &*descriptor {
                // Looked at first: a store to what all readers share would cost them more than the lock.
                if !self.used.load(Ordering::Relaxed) {
                    self.used.store(true, Ordering::Relaxed);
                }
                return act(&**file);
            }
        }
        // Counted before it can be found: what is written now must not be closed before it is written.
        let _borrowed = Borrowed::of(&self.borrowers);
        let file = self.reopen()?;
        act(&*file)
    }

    fn reopen(self: &Arc<Self>) -> Result<Arc<dyn File>> {
        self.reopen_at(lock(&self.place)).map(|(file, _)| file)
    }

    /// The file, opened if need be at `place`, and the lock on that.
    fn reopen_at<'a>(
        self: &Arc<Self>,
        place: MutexGuard<'a, Place>,
    ) -> Result<(Arc<dyn File>, MutexGuard<'a, Place>)> {
        self.check_lost()?;
        if let Some(file) = &*self.descriptor.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok((Arc::clone(file), place));
        }
        let not_found = |place: &Place| {
            let source = io::Error::from_raw_os_error(libc::ENOENT);
            Error::io("open", &place.path, source)
        };
        if place.gone {
            return Err(not_found(&place));
        }
        let pool = &self.fs.pool;
        let file = pool.with_room(|| self.fs.inner.open(&place.path, self.mode))?;
        if file.identity() != self.identity {
            // Another file has come to the name: its bytes are not those that were asked for.
            return Err(not_found(&place));
        }
        *self.descriptor.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&file));
        self.used.store(true, Ordering::Relaxed);
        pool.open.fetch_add(1, Ordering::Relaxed);
        pool.admit(self);
        Ok((file, place))
    }

    /// Lets `write` change the file.
    fn change<T>(self: &Arc<Self>, write: impl FnOnce(&dyn File) -> Result<T>) -> Result<T> {
        self.with(|file| {
            let result = write(file);
            // After it, and whatever it said: a sync that ran meanwhile has cleared the flag, and may have been too
            // early for these bytes. Nobody closes the file before `with` is done with it.
            self.unsynced.store(true, Ordering::Release);
            result
        })
    }

    /// Fails when a sync failed that nobody has heard of.
    fn check_lost(&self) -> Result<()> {
        match self.lost.get() {
            None => Ok(()),
            Some(number) => Err(Error::Io {
                op: durability::OF_DATA,
                path: self.opened.clone(),
                source: number.map_or_else(|| io::ErrorKind::Other.into(), io::Error::from_raw_os_error),
            }),
        }
    }

    fn sync(&self, file: &dyn File) -> Result<()> {
        self.check_lost()?;
        // Before the sync: what is written while it runs may need another one.
        self.unsynced.store(false, Ordering::Release);
        let synced = file.sync_data();
        if synced.is_err() {
            self.unsynced.store(true, Ordering::Release);
        }
        synced
    }

    /// Makes the file durable, so that it can be closed.
    pub fn settle(&self) {
        let descriptor = self.descriptor.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*descriptor
            && let Err(error) = self.sync(&**file)
        {
            let number = match &error {
                Error::Io { source, .. } => source.raw_os_error(),
                _ => None,
            };
            let _ = self.lost.set(number);
        }
    }

    pub fn try_close(&self) -> Closing {
        let Ok(mut descriptor) = self.descriptor.try_write() else {
            return Closing::Busy;
        };
        if descriptor.is_none() || self.kept.load(Ordering::Acquire) {
            return Closing::Exempt;
        }
        // With the lock held exclusively nobody is in the middle of a write.
        let is_lost = self.lost.get().is_some();
        if self.borrowers.load(Ordering::Acquire) > 0 || (self.unsynced.load(Ordering::Acquire) && !is_lost) {
            return Closing::Busy;
        }
        match descriptor.take() {
            Some(file) => {
                self.fs.pool.open.fetch_sub(1, Ordering::Relaxed);
                Closing::Done(file)
            }
            None => Closing::Exempt,
        }
    }
}

impl Drop for PooledFile {
    fn drop(&mut self) {
        let descriptor = self.descriptor.get_mut().unwrap_or_else(PoisonError::into_inner);
        if descriptor.is_some() {
            self.fs.pool.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for PooledFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledFile")
            .field("opened", &self.opened)
            .field("unsynced", &self.unsynced)
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

/// One more borrower, for as long as this lives.
struct Borrowed<'a>(&'a AtomicUsize);

impl<'a> Borrowed<'a> {
    fn of(borrowers: &'a AtomicUsize) -> Self {
        borrowers.fetch_add(1, Ordering::AcqRel);
        Self(borrowers)
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What is handed out: the pool itself holds files by weak references only.
#[derive(Debug)]
struct Handle(Arc<PooledFile>);

/// The file for whoever opened it.
pub(super) fn handle(file: Arc<PooledFile>) -> Arc<dyn File> {
    Arc::new(Handle(file))
}

impl File for Handle {
    fn read_at(&self, buf: &mut [u8], position: u64) -> Result<usize> {
        self.0.with(|file| file.read_at(buf, position))
    }

    fn write_vectored_at(&self, bufs: &[IoSlice<'_>], position: u64) -> Result<usize> {
        self.0.change(|file| file.write_vectored_at(bufs, position))
    }

    fn len(&self) -> Result<u64> {
        self.0.with(|file| file.len())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.0.change(|file| file.set_len(len))
    }

    fn sync_data(&self) -> Result<()> {
        self.0.with(|file| self.0.sync(file))
    }

    fn reserve(&self, len: u64) -> Result<()> {
        self.0.with(|file| file.reserve(len))
    }

    fn map(&self, len: usize) -> Result<Mapping> {
        self.0.with(|file| file.map(len))
    }

    fn set_modified_ms(&self, modified_ms: i64) -> Result<()> {
        self.0.with(|file| file.set_modified_ms(modified_ms))
    }

    fn stamp(&self) -> Result<Option<FileStamp>> {
        self.0.with(|file| file.stamp())
    }

    fn has_descriptor(&self) -> bool {
        self.0.has_descriptor
    }

    fn is_open(&self) -> bool {
        // One who is about to close it has the lock.
        self.0
            .descriptor
            .try_read()
            .is_ok_and(|descriptor| descriptor.is_some())
    }

    fn identity(&self) -> Option<(u64, u64)> {
        self.0.identity
    }

    fn with_descriptor(&self, act: &mut dyn FnMut(RawFd)) -> Result<()> {
        self.0.with(|file| file.with_descriptor(act))
    }

    fn move_to(&self, path: &Path, rename: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let mut place = lock(&self.0.place);
        rename()?;
        path.clone_into(&mut place.path);
        Ok(())
    }

    fn keep_open(&self) -> Result<()> {
        let place = lock(&self.0.place);
        if place.gone {
            return Ok(());
        }
        // Before it is opened, so that nobody closes it again.
        self.0.kept.store(true, Ordering::Release);
        match self.0.reopen_at(place) {
            Ok((_, mut place)) => {
                place.gone = true;
                Ok(())
            }
            Err(error) => {
                // It still has its name, and may be opened by that later.
                self.0.kept.store(false, Ordering::Release);
                Err(error)
            }
        }
    }

    fn path(&self) -> &Path {
        &self.0.opened
    }
}
