//! What is on the disk, what was done to it and what fails next.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::Faults;
use crate::error::{Error, Result};

#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) names: BTreeMap<PathBuf, usize>,
    pub(super) files: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(super) struct Disk {
    /// As it was before the first remembered operation.
    pub(super) origin: Tree,
    pub(super) now: Tree,
    pub(super) journal: Vec<Op>,
    pub(super) faults: Faults,
    pub(super) calls: u64,
    pub(super) failed_calls: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Op {
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

impl Tree {
    pub(super) fn used(&self) -> u64 {
        self.names
            .values()
            .map(|file| self.files[*file].len() as u64)
            .sum()
    }

    pub(super) fn apply(&mut self, op: &Op) {
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
    pub(super) fn settle(&mut self, op: &Op, now: &Self) {
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
    pub(super) fn run(&mut self, op: Op) {
        self.now.apply(&op);
        self.journal.push(op);
    }

    /// Counts a fault down; says whether its time has come.
    pub(super) fn is_due(counter: &mut Option<u64>) -> bool {
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

    /// Counts a call; fails when it is one of those that do.
    pub(super) fn call(&mut self, op: &'static str, path: &Path) -> Result<()> {
        self.calls += 1;
        let Some(failing) = &mut self.faults.calls else {
            return Ok(());
        };
        if failing.after > 0 {
            failing.after -= 1;
            return Ok(());
        }
        if failing.count == 0 {
            return Ok(());
        }
        failing.count -= 1;
        self.failed_calls += 1;
        Err(os_error(op, path, failing.error))
    }

    pub(super) fn sync_fault(&mut self, op: &'static str, path: &Path) -> Result<()> {
        self.call(op, path)?;
        if Self::is_due(&mut self.faults.fail_sync) {
            return Err(os_error(op, path, libc::EIO));
        }
        Ok(())
    }
}

pub(super) fn os_error(op: &'static str, path: &Path, code: i32) -> Error {
    Error::io(op, path, io::Error::from_raw_os_error(code))
}

pub(super) fn not_found(op: &'static str, path: &Path) -> Error {
    os_error(op, path, libc::ENOENT)
}
