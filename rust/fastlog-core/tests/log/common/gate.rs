//! The operating system's files, with writes that wait for the test.

use std::io::IoSlice;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use fastlog_core::Result;
use fastlog_core::env::{DirEntry, Directory, File, FileSystem, Mapping, OpenMode, StdFs};
use fastlog_core::log::{LogConfig, OpenOptions, PartitionLog};

use super::Dir;

/// Where writes wait while it is closed.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    waiting: usize,
    syncs: usize,
}

impl Gate {
    pub fn close(&self) {
        self.state.lock().unwrap().closed = true;
    }

    pub fn open(&self) {
        self.state.lock().unwrap().closed = false;
        self.changed.notify_all();
    }

    /// Returns when somebody waits.
    pub fn wait_for_writer(&self) {
        let state = self.state.lock().unwrap();
        drop(
            self.changed
                .wait_while(state, |state| state.waiting == 0)
                .unwrap(),
        );
    }

    /// How many files were made durable.
    pub fn syncs(&self) -> usize {
        self.state.lock().unwrap().syncs
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        state = self.changed.wait_while(state, |state| state.closed).unwrap();
        state.waiting -= 1;
    }
}

#[derive(Debug, Default)]
pub struct GateFs {
    pub gate: Arc<Gate>,
}

/// A log on such a disk, whose gate is open.
pub fn opened(config: &LogConfig) -> (Dir, PartitionLog, Arc<Gate>) {
    let (dir, fs) = (Dir::new(), Arc::new(GateFs::default()));
    let gate = Arc::clone(&fs.gate);
    let (log, _) = PartitionLog::open(
        &dir.path(),
        config.clone(),
        fs,
        dir.clock.clone(),
        OpenOptions::default(),
    )
    .unwrap();
    (dir, log, gate)
}

#[derive(Debug)]
struct GateFile {
    gate: Arc<Gate>,
    file: Arc<dyn File>,
}

impl FileSystem for GateFs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        Ok(Arc::new(GateFile {
            gate: Arc::clone(&self.gate),
            file: StdFs.open(path, mode)?,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        StdFs.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        StdFs.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        StdFs.remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        StdFs.create_dir_all(path)
    }

    fn list_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        StdFs.list_dir(path)
    }

    fn open_dir(&self, path: &Path) -> Result<Box<dyn Directory>> {
        StdFs.open_dir(path)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        StdFs.exists(path)
    }

    fn modified_ms(&self, path: &Path) -> Result<i64> {
        StdFs.modified_ms(path)
    }
}

impl File for GateFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> Result<usize> {
        self.file.read_at(buf, position)
    }

    fn write_vectored_at(&self, bufs: &[IoSlice<'_>], position: u64) -> Result<usize> {
        self.gate.pass();
        self.file.write_vectored_at(bufs, position)
    }

    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Result<()> {
        self.gate.state.lock().unwrap().syncs += 1;
        self.file.sync_data()
    }

    fn reserve(&self, len: u64) -> Result<()> {
        self.file.reserve(len)
    }

    fn map(&self, len: usize) -> Result<Mapping> {
        self.file.map(len)
    }

    fn set_modified_ms(&self, modified_ms: i64) -> Result<()> {
        self.file.set_modified_ms(modified_ms)
    }

    fn has_descriptor(&self) -> bool {
        self.file.has_descriptor()
    }

    fn with_descriptor(&self, act: &mut dyn FnMut(RawFd)) -> Result<()> {
        self.file.with_descriptor(act)
    }

    fn path(&self) -> &Path {
        self.file.path()
    }
}
