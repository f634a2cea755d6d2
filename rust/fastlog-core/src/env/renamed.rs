//! An open file that was renamed.

use std::io::IoSlice;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{File, FileStamp, Mapping};
use crate::error::Result;

/// A file that goes by another path now.
#[derive(Debug)]
pub(crate) struct Renamed {
    file: Arc<dyn File>,
    path: PathBuf,
}

impl Renamed {
    /// `file`, which was opened under another name than `path`.
    pub fn new(file: Arc<dyn File>, path: PathBuf) -> Self {
        Self { file, path }
    }
}

impl File for Renamed {
    fn read_at(&self, buf: &mut [u8], position: u64) -> Result<usize> {
        self.file.read_at(buf, position)
    }

    fn write_vectored_at(&self, bufs: &[IoSlice<'_>], position: u64) -> Result<usize> {
        self.file.write_vectored_at(bufs, position)
    }

    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Result<()> {
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

    fn stamp(&self) -> Result<Option<FileStamp>> {
        self.file.stamp()
    }

    fn has_descriptor(&self) -> bool {
        self.file.has_descriptor()
    }

    fn is_open(&self) -> bool {
        self.file.is_open()
    }

    fn identity(&self) -> Option<(u64, u64)> {
        self.file.identity()
    }

    fn with_descriptor(&self, act: &mut dyn FnMut(RawFd)) -> Result<()> {
        self.file.with_descriptor(act)
    }

    fn move_to(&self, path: &Path, rename: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        self.file.move_to(path, rename)
    }

    fn keep_open(&self) -> Result<()> {
        self.file.keep_open()
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
