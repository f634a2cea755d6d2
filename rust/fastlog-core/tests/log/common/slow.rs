//! A disk whose fsyncs wait.

use std::io::IoSlice;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use fastlog_core::Result;
use fastlog_core::env::{DirEntry, Directory, FaultFs, File, FileSystem, Mapping, OpenMode};

/// A disk whose fsync of some files takes until it is told to end.
#[derive(Debug, Clone)]
pub struct SlowFs {
    /// The disk.
    pub disk: FaultFs,
    /// Whether an fsync waits.
    pub waiting: Arc<AtomicBool>,
    slow: Arc<(Mutex<bool>, Condvar)>,
    /// Part of the names of the files.
    name: &'static str,
}

#[derive(Debug)]
struct SlowFile(Arc<dyn File>, SlowFs);

impl SlowFs {
    pub fn of(name: &'static str) -> Self {
        Self {
            disk: FaultFs::new(),
            waiting: Arc::default(),
            slow: Arc::default(),
            name,
        }
    }

    pub fn set_slow(&self, slow: bool) {
        *self.slow.0.lock().unwrap() = slow;
        self.slow.1.notify_all();
    }
}

impl FileSystem for SlowFs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let file = self.disk.open(path, mode)?;
        if path.to_string_lossy().contains(self.name) {
            return Ok(Arc::new(SlowFile(file, self.clone())));
        }
        Ok(file)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        self.disk.remove_dir_all(path)
    }
    fn create_dir_all(&self, path: &Path) -> Result<()> {
        self.disk.create_dir_all(path)
    }
    fn list_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        self.disk.list_dir(path)
    }
    fn open_dir(&self, path: &Path) -> Result<Box<dyn Directory>> {
        self.disk.open_dir(path)
    }
    fn exists(&self, path: &Path) -> Result<bool> {
        self.disk.exists(path)
    }
    fn modified_ms(&self, path: &Path) -> Result<i64> {
        self.disk.modified_ms(path)
    }
}

impl File for SlowFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> Result<usize> {
        self.0.read_at(buf, position)
    }
    fn write_vectored_at(&self, bufs: &[IoSlice<'_>], position: u64) -> Result<usize> {
        self.0.write_vectored_at(bufs, position)
    }
    fn len(&self) -> Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> Result<()> {
        let mut slow = self.1.slow.0.lock().unwrap();
        while *slow {
            self.1.waiting.store(true, Ordering::Release);
            slow = self.1.slow.1.wait(slow).unwrap();
        }
        self.0.sync_data()
    }
    fn reserve(&self, len: u64) -> Result<()> {
        self.0.reserve(len)
    }
    fn map(&self, len: usize) -> Result<Mapping> {
        self.0.map(len)
    }
    fn has_descriptor(&self) -> bool {
        self.0.has_descriptor()
    }
    fn with_descriptor(&self, act: &mut dyn FnMut(RawFd)) -> Result<()> {
        self.0.with_descriptor(act)
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
    fn set_modified_ms(&self, modified_ms: i64) -> Result<()> {
        self.0.set_modified_ms(modified_ms)
    }
}
