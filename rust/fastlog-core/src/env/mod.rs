//! The disk as a parameter: everything in the crate that touches files does it through [`FileSystem`] and
//! [`File`], so that tests can fill the disk, fail an fsync or pull the plug.
//!
//! Calls are coarse, one per system call, so that the dynamic dispatch costs nothing next to it.

mod fault;
mod mapping;
mod pooled;
mod renamed;
mod std_fs;

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};

pub use fault::{Crash, FailingCalls, FaultFs, Faults};
pub use mapping::Mapping;
pub use pooled::{DescriptorPool, PooledFs};
pub(crate) use renamed::Renamed;
pub use std_fs::StdFs;

/// Most bytes of a file that is read as a whole, where nothing closer is known: a checkpoint of a million partitions, a
/// snapshot of a million producers.
pub const MAX_WHOLE_FILE: u64 = 64 << 20;

/// How [`FileSystem::open`] opens a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// For reading and writing; made when it is missing, kept as it is when it is there.
    Create,
    /// For reading and writing; made when it is missing, emptied when it is there.
    Truncate,
}

/// Length and time of the last write of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    /// Bytes.
    pub len: u64,
    /// Nanoseconds since the Unix epoch.
    pub modified_ns: i128,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// File name without the directory; names that are not UTF-8 are left out of listings.
    pub name: String,
    /// What it is; of a link, what the link leads to.
    pub kind: EntryKind,
    /// Bytes in the file; 0 for what is no file.
    pub len: u64,
}

/// What has a name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A regular file, or a link that leads nowhere.
    File,
    /// A directory.
    Directory,
    /// Something else, by its name in a sentence: "a FIFO".
    Other(&'static str),
}

/// An open file. All positions are absolute: there is no cursor.
pub trait File: Debug + Send + Sync {
    /// Reads at `position` into `buf` until it is full or the file ends; returns the bytes read.
    fn read_at(&self, buf: &mut [u8], position: u64) -> Result<usize>;

    /// One positioned write, which may be short; returns the bytes written, never 0 unless `bufs` are empty.
    fn write_vectored_at(&self, bufs: &[IoSlice<'_>], position: u64) -> Result<usize>;

    /// Current length in bytes.
    fn len(&self) -> Result<u64>;

    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, len: u64) -> Result<()>;

    /// Makes data and length durable (fdatasync). After an error nothing may be assumed about the file.
    fn sync_data(&self) -> Result<()>;

    /// Reserves blocks up to `len` without changing the length; does nothing where that is not supported.
    fn reserve(&self, len: u64) -> Result<()>;

    /// Maps the first `len` bytes for reading.
    fn map(&self, len: usize) -> Result<Mapping>;

    /// Whether a real file with a descriptor is behind this one.
    fn has_descriptor(&self) -> bool;

    /// Whether it can be written to without being opened first.
    fn is_open(&self) -> bool {
        true
    }

    /// Device and number of the file, the same for as long as it exists; `None` where nothing tells.
    fn identity(&self) -> Option<(u64, u64)> {
        None
    }

    /// Lets `act` use the descriptor, for `sendfile` and the like; without one `act` is not called.
    fn with_descriptor(&self, act: &mut dyn FnMut(RawFd)) -> Result<()>;

    /// Runs `rename`, which gives the file the name `path`, so that nobody looks for it by its former name after
    /// that.
    fn move_to(&self, path: &Path, rename: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let _ = path;
        rename()
    }

    /// From now on the file can be read although its name goes, for as long as somebody holds it.
    fn keep_open(&self) -> Result<()> {
        Ok(())
    }

    /// The path at which the file was opened (it may have been renamed since).
    fn path(&self) -> &Path;

    /// Sets the time of the last write, in milliseconds since the Unix epoch. Not made durable.
    fn set_modified_ms(&self, modified_ms: i64) -> Result<()>;

    /// What changes when the file is written to; `None` where nothing tells.
    fn stamp(&self) -> Result<Option<FileStamp>> {
        Ok(None)
    }

    /// Whether the file has no bytes.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from `position`, or fails when the file ends before.
    fn read_exact_at(&self, buf: &mut [u8], position: u64) -> Result<()> {
        if self.read_at(buf, position)? < buf.len() {
            return Err(Error::io(
                "read",
                self.path(),
                io::ErrorKind::UnexpectedEof.into(),
            ));
        }
        Ok(())
    }

    /// Writes all of `bytes` at `position`, going on after short writes.
    fn write_all_at(&self, bytes: &[u8], position: u64) -> Result<()> {
        self.write_all_vectored_at(&mut [IoSlice::new(bytes)], position)
    }

    /// Writes all of `bufs` at `position`, going on after short writes. `bufs` is used up.
    fn write_all_vectored_at(&self, mut bufs: &mut [IoSlice<'_>], mut position: u64) -> Result<()> {
        loop {
            // Also drops leading empty slices, so that "nothing left" is "no slices left".
            IoSlice::advance_slices(&mut bufs, 0);
            if bufs.is_empty() {
                return Ok(());
            }
            let written = self.write_vectored_at(bufs, position)?;
            if written == 0 {
                return Err(Error::io("write", self.path(), io::ErrorKind::WriteZero.into()));
            }
            position += written as u64;
            IoSlice::advance_slices(&mut bufs, written);
        }
    }
}

/// An open directory.
pub trait Directory: Debug + Send + Sync {
    /// Makes creations, renames and removals in it durable.
    fn sync(&self) -> Result<()>;
}

/// A tree of files and directories.
pub trait FileSystem: Debug + Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>>;

    /// Moves `from` over `to`, atomically, replacing it. Durable only after [`Self::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Unlinks a file.
    fn remove_file(&self, path: &Path) -> Result<()>;

    /// Removes a directory and everything in it.
    fn remove_dir_all(&self, path: &Path) -> Result<()>;

    /// Makes a directory and its parents; succeeds when it is there.
    fn create_dir_all(&self, path: &Path) -> Result<()>;

    /// The entries of a directory, sorted by name.
    fn list_dir(&self, path: &Path) -> Result<Vec<DirEntry>>;

    /// Opens a directory: whoever cannot go back once names have changed has to be able to make that durable.
    fn open_dir(&self, path: &Path) -> Result<Box<dyn Directory>>;

    /// Makes creations, renames and removals in a directory durable.
    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.open_dir(path)?.sync()
    }

    /// Whether something is at `path`.
    fn exists(&self, path: &Path) -> Result<bool>;

    /// When the file was last written, in milliseconds since the Unix epoch.
    fn modified_ms(&self, path: &Path) -> Result<i64>;

    /// Reads a whole file of at most [`MAX_WHOLE_FILE`] bytes.
    fn read_file(&self, path: &Path) -> Result<Vec<u8>> {
        self.read_bounded(path, MAX_WHOLE_FILE)
    }

    /// Reads a whole file of at most `most` bytes. Fails with [`Error::Corrupt`] when it is longer: nobody writes such
    /// a file, and a length that is wrong, as a sparse file has it for nothing, must not cost as much memory.
    fn read_bounded(&self, path: &Path, most: u64) -> Result<Vec<u8>> {
        let file = self.open(path, OpenMode::Read)?;
        let len = file.len()?;
        if len > most {
            return Err(Error::Corrupt {
                path: path.to_owned(),
                position: most,
                offset: -1,
                reason: format!("{len} bytes are more than the {most} that it can have"),
            });
        }
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(len as usize).is_err() {
            // Like that of the system, which passes.
            return Err(Error::io(
                "read",
                path,
                io::Error::from_raw_os_error(libc::ENOMEM),
            ));
        }
        bytes.resize(len as usize, 0);
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Replaces `path` by `bytes`, durably and atomically: temporary file, fsync, rename, directory fsync.
    fn write_atomically(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        // Before anything changes: a shortage must not come between the new content and its durability.
        let parent = path.parent().map(|parent| self.open_dir(parent)).transpose()?;
        // Nothing relies on the new file yet: what its fsync says is judged by the number, like any other error.
        let settle = |file: &dyn File| match file.sync_data() {
            Err(Error::Io { path, source, .. }) => Err(Error::io("fsync", &path, source)),
            other => other,
        };
        replace(self, path, bytes, settle)?;
        parent.map_or(Ok(()), |parent| parent.sync())
    }

    /// Like [`Self::write_atomically`] without the fsyncs: other processes, and this one after a kill, see the old
    /// bytes or the new ones. After a power failure there may be anything.
    fn replace_unsynced(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        replace(self, path, bytes, |_| Ok(()))
    }
}

fn replace<F: FileSystem + ?Sized>(
    fs: &F,
    path: &Path,
    bytes: &[u8],
    settle: impl FnOnce(&dyn File) -> Result<()>,
) -> Result<()> {
    let temporary = temporary_path(path);
    let result = fs
        .open(&temporary, OpenMode::Truncate)
        .and_then(|file| file.write_all_at(bytes, 0).and_then(|()| settle(&*file)))
        .and_then(|()| fs.rename(&temporary, path));
    if result.is_err() {
        // Best effort: the error that counts is the first one, and leftovers are swept at the next start.
        let _ = fs.remove_file(&temporary);
    }
    result
}

/// The name under which [`FileSystem::write_atomically`] writes before it renames.
pub fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}
