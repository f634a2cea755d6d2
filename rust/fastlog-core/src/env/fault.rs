//! A disk in memory that fails on demand and remembers every operation, so that the disk can be looked at as a
//! crash at any moment would have left it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{DirEntry, File, FileSystem, Mapping, OpenMode};
use crate::error::{Error, Result};

/// What is to go wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Bytes that all files together may have; a write beyond fails with `ENOSPC` after what still fits.
    pub capacity: Option<u64>,
    /// The n-th fsync of a file or directory from now on (0 is the next) fails with `EIO`.
    pub fail_sync: Option<u64>,
    /// The n-th write from now on fails with `EIO`.
    pub fail_write: Option<u64>,
    /// Most bytes that one write takes.
    pub short_write: Option<usize>,
}

/// What a crash leaves of the operations before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process died: all that was handed to the system is there.
    Process,
    /// The process died inside of a write: of the operation at the crash, if it is a write, this many bytes
    /// arrived, followed by zeros up to its length if `zeros` is set.
    TornWrite {
        /// Bytes that arrived.
        bytes: usize,
        /// The file had grown before its content arrived.
        zeros: bool,
    },
    /// The machine died: only synced file contents under synced names are there.
    Power,
}

/// The file system. Clones share the disk.
#[derive(Debug, Clone, Default)]
pub struct FaultFs {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Clone, Default)]
struct Tree {
    dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, usize>,
    files: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Disk {
    /// As it was before the first remembered operation.
    origin: Tree,
    now: Tree,
    journal: Vec<Op>,
    faults: Faults,
}

#[derive(Debug, Clone)]
enum Op {
    MakeDir(PathBuf),
    Create(PathBuf),
    Write {
        file: usize,
        position: usize,
        bytes: Vec<u8>,
    },
    SetLen {
        file: usize,
        len: usize,
    },
    Sync(usize),
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove(PathBuf),
    RemoveTree(PathBuf),
    SyncDir(PathBuf),
}

impl FaultFs {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what is to go wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// How many operations have changed the disk so far.
    pub fn operations(&self) -> usize {
        self.lock().journal.len()
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.lock().now.used()
    }

    /// Changes the bytes of a file behind everybody's back.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let mut disk = self.lock();
        let file = *disk
            .now
            .names
            .get(path)
            .ok_or_else(|| not_found("damage", path))?;
        let mut bytes = disk.now.files[file].clone();
        change(&mut bytes);
        disk.run(Op::SetLen {
            file,
            len: bytes.len(),
        });
        disk.run(Op::Write {
            file,
            position: 0,
            bytes,
        });
        Ok(())
    }

    /// The disk after a crash just before the operation number `at`, as a disk of its own.
    #[must_use]
    pub fn crash_image(&self, at: usize, crash: Crash) -> Self {
        let disk = self.lock();
        let mut tree = disk.origin.clone();
        let mut durable = disk.origin.clone();
        for op in &disk.journal[..at] {
            tree.apply(op);
            durable.settle(op, &tree);
        }
        if let (
            Crash::TornWrite {
                bytes: arrived,
                zeros,
            },
            Some(Op::Write {
                file,
                position,
                bytes,
            }),
        ) = (crash, disk.journal.get(at))
        {
            let arrived = arrived.min(bytes.len());
            let mut torn = bytes[..arrived].to_vec();
            if zeros {
                torn.resize(bytes.len(), 0);
            }
            tree.apply(&Op::Write {
                file: *file,
                position: *position,
                bytes: torn,
            });
        }
        let image = if crash == Crash::Power { durable } else { tree };
        let disk = Disk {
            origin: image.clone(),
            now: image,
            ..Disk::default()
        };
        Self {
            disk: Arc::new(Mutex::new(disk)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, op: Op) {
        self.lock().run(op);
    }
}

impl Tree {
    fn used(&self) -> u64 {
        self.names
            .values()
            .map(|file| self.files[*file].len() as u64)
            .sum()
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::MakeDir(path) => self.dirs.extend(path.ancestors().map(Path::to_owned)),
            Op::Create(path) => {
                self.names.insert(path.clone(), self.files.len());
                self.files.push(Vec::new());
            }
            Op::Write {
                file,
                position,
                bytes,
            } => {
                let content = &mut self.files[*file];
                let end = position + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*position..end].copy_from_slice(bytes);
            }
            Op::SetLen { file, len } => self.files[*file].resize(*len, 0),
            Op::Rename { from, to } => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            Op::Remove(path) => {
                self.names.remove(path);
            }
            Op::RemoveTree(path) => {
                self.names.retain(|name, _| !name.starts_with(path));
                self.dirs.retain(|dir| !dir.starts_with(path));
            }
            Op::Sync(_) | Op::SyncDir(_) => {}
        }
    }

    /// Takes over from `now` what `op` makes durable.
    fn settle(&mut self, op: &Op, now: &Self) {
        self.files.resize(now.files.len(), Vec::new());
        match op {
            // Directories are taken as durable: their creation is not what is tested here.
            Op::MakeDir(_) => self.dirs.clone_from(&now.dirs),
            Op::Sync(file) => self.files[*file].clone_from(&now.files[*file]),
            Op::SyncDir(dir) => {
                let is_here = |name: &PathBuf| name.parent() == Some(dir);
                self.names.retain(|name, _| !is_here(name));
                let here = now.names.iter().filter(|(name, _)| is_here(name));
                self.names.extend(here.map(|(name, file)| (name.clone(), *file)));
            }
            _ => {}
        }
    }
}

impl Disk {
    fn run(&mut self, op: Op) {
        self.now.apply(&op);
        self.journal.push(op);
    }

    /// Counts a fault down; says whether its time has come.
    fn is_due(counter: &mut Option<u64>) -> bool {
        match counter {
            Some(0) => {
                *counter = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    fn sync_fault(&mut self, path: &Path) -> Result<()> {
        if Self::is_due(&mut self.faults.fail_sync) {
            return Err(os_error("fsync", path, libc::EIO));
        }
        Ok(())
    }
}

fn os_error(op: &'static str, path: &Path, code: i32) -> Error {
    Error::io(op, path, io::Error::from_raw_os_error(code))
}

fn not_found(op: &'static str, path: &Path) -> Error {
    os_error(op, path, libc::ENOENT)
}

#[derive(Debug)]
struct FaultFile {
    fs: FaultFs,
    file: usize,
    path: PathBuf,
}

impl FileSystem for FaultFs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let mut disk = self.lock();
        let known = disk.now.names.get(path).copied();
        let file = match (known, mode) {
            (Some(file), OpenMode::Truncate) => {
                disk.run(Op::SetLen { file, len: 0 });
                file
            }
            (Some(file), _) => file,
            (None, OpenMode::Create | OpenMode::Truncate)
                if path.parent().is_some_and(|dir| disk.now.dirs.contains(dir)) =>
            {
                disk.run(Op::Create(path.to_owned()));
                disk.now.files.len() - 1
            }
            (None, _) => return Err(not_found("open", path)),
        };
        Ok(Arc::new(FaultFile {
            fs: self.clone(),
            file,
            path: path.to_owned(),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        if !self.exists(from)? {
            return Err(not_found("rename", from));
        }
        self.run(Op::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        });
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        if !self.exists(path)? {
            return Err(not_found("remove", path));
        }
        self.run(Op::Remove(path.to_owned()));
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        self.run(Op::RemoveTree(path.to_owned()));
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        self.run(Op::MakeDir(path.to_owned()));
        Ok(())
    }

    fn list_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        let disk = self.lock();
        if !disk.now.dirs.contains(path) {
            return Err(not_found("list", path));
        }
        let files = disk
            .now
            .names
            .iter()
            .filter(|(name, _)| name.parent() == Some(path));
        let dirs = disk.now.dirs.iter().filter(|dir| dir.parent() == Some(path));
        let name_of = |path: &Path| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        let mut entries: Vec<DirEntry> = files
            .map(|(name, file)| DirEntry {
                name: name_of(name),
                is_dir: false,
                len: disk.now.files[*file].len() as u64,
            })
            .chain(dirs.map(|dir| DirEntry {
                name: name_of(dir),
                is_dir: true,
                len: 0,
            }))
            .collect();
        entries.sort_unstable();
        Ok(entries)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        let mut disk = self.lock();
        disk.sync_fault(path)?;
        disk.run(Op::SyncDir(path.to_owned()));
        Ok(())
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        let disk = self.lock();
        Ok(disk.now.names.contains_key(path) || disk.now.dirs.contains(path))
    }

    fn modified_ms(&self, path: &Path) -> Result<i64> {
        if self.exists(path)? {
            Ok(0)
        } else {
            Err(not_found("stat", path))
        }
    }
}

impl File for FaultFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> Result<usize> {
        let disk = self.fs.lock();
        let content = &disk.now.files[self.file];
        let from = content.len().min(position as usize);
        let len = buf.len().min(content.len() - from);
        buf[..len].copy_from_slice(&content[from..from + len]);
        Ok(len)
    }

    fn write_vectored_at(&self, bufs: &[IoSlice<'_>], position: u64) -> Result<usize> {
        let mut disk = self.fs.lock();
        if Disk::is_due(&mut disk.faults.fail_write) {
            return Err(os_error("write", &self.path, libc::EIO));
        }
        let mut bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        if bytes.is_empty() {
            return Ok(0);
        }
        let position = position as usize;
        if let Some(most) = disk.faults.short_write {
            bytes.truncate(most.max(1));
        }
        if let Some(capacity) = disk.faults.capacity {
            let free = capacity.saturating_sub(disk.now.used()) as usize;
            let overwritten = disk.now.files[self.file].len().saturating_sub(position);
            bytes.truncate(overwritten + free);
            if bytes.is_empty() {
                return Err(os_error("write", &self.path, libc::ENOSPC));
            }
        }
        let written = bytes.len();
        disk.run(Op::Write {
            file: self.file,
            position,
            bytes,
        });
        Ok(written)
    }

    fn len(&self) -> Result<u64> {
        Ok(self.fs.lock().now.files[self.file].len() as u64)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.fs.run(Op::SetLen {
            file: self.file,
            len: len as usize,
        });
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        let mut disk = self.fs.lock();
        disk.sync_fault(&self.path)?;
        disk.run(Op::Sync(self.file));
        Ok(())
    }

    fn reserve(&self, _len: u64) -> Result<()> {
        Ok(())
    }

    fn map(&self, len: usize) -> Result<Mapping> {
        let mut bytes = vec![0; len];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(Mapping::Copied(bytes))
    }

    fn set_modified_ms(&self, _modified_ms: i64) -> Result<()> {
        Ok(())
    }

    fn raw_fd(&self) -> Option<RawFd> {
        None
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
