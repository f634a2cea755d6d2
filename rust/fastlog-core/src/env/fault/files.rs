//! The disk as the engine sees it: files and directories.

use std::io::IoSlice;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::FaultFs;
use super::disk::{Disk, Op, not_found, os_error};
use crate::cause::durability;
use crate::env::{DirEntry, Directory, EntryKind, File, FileSystem, Mapping, OpenMode};
use crate::error::Result;

#[derive(Debug)]
struct FaultDirectory {
    fs: FaultFs,
    path: PathBuf,
}

impl Directory for FaultDirectory {
    fn sync(&self) -> Result<()> {
        let mut disk = self.fs.lock();
        disk.sync_fault(durability::OF_DIRECTORY, &self.path)?;
        disk.run(Op::SyncDir(self.path.clone()));
        Ok(())
    }
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
        disk.call("open", path)?;
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
        if !self.lock().now.names.contains_key(from) {
            return Err(not_found("rename", from));
        }
        let op = Op::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        };
        self.run("rename", from, op)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        if !self.lock().now.names.contains_key(path) {
            return Err(not_found("remove", path));
        }
        self.run("remove", path, Op::Remove(path.to_owned()))
    }

    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        self.run("remove", path, Op::RemoveTree(path.to_owned()))
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        self.run("create directory", path, Op::MakeDir(path.to_owned()))
    }

    fn list_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        let mut disk = self.lock();
        disk.call("list", path)?;
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
                kind: EntryKind::File,
                len: disk.now.files[*file].len() as u64,
            })
            .chain(dirs.map(|dir| DirEntry {
                name: name_of(dir),
                kind: EntryKind::Directory,
                len: 0,
            }))
            .collect();
        entries.sort_unstable();
        Ok(entries)
    }

    fn open_dir(&self, path: &Path) -> Result<Box<dyn Directory>> {
        self.lock().call("open directory", path)?;
        Ok(Box::new(FaultDirectory {
            fs: self.clone(),
            path: path.to_owned(),
        }))
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        let mut disk = self.lock();
        disk.call("stat", path)?;
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
        let mut disk = self.fs.lock();
        disk.call("read", &self.path)?;
        let content = &disk.now.files[self.file];
        let from = content.len().min(position as usize);
        let len = buf.len().min(content.len() - from);
        buf[..len].copy_from_slice(&content[from..from + len]);
        Ok(len)
    }

    fn write_vectored_at(&self, bufs: &[IoSlice<'_>], position: u64) -> Result<usize> {
        let mut disk = self.fs.lock();
        disk.call("write", &self.path)?;
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
        let mut disk = self.fs.lock();
        disk.call("stat", &self.path)?;
        Ok(disk.now.files[self.file].len() as u64)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let op = Op::SetLen {
            file: self.file,
            len: len as usize,
        };
        self.fs.run("truncate", &self.path, op)
    }

    fn sync_data(&self) -> Result<()> {
        let mut disk = self.fs.lock();
        disk.sync_fault(durability::OF_DATA, &self.path)?;
        disk.run(Op::Sync(self.file));
        Ok(())
    }

    fn reserve(&self, _len: u64) -> Result<()> {
        self.fs.lock().call("allocate", &self.path)
    }

    fn map(&self, len: usize) -> Result<Mapping> {
        let mut bytes = vec![0; len];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(Mapping::copied(bytes))
    }

    fn set_modified_ms(&self, _modified_ms: i64) -> Result<()> {
        Ok(())
    }

    fn has_descriptor(&self) -> bool {
        false
    }

    fn with_descriptor(&self, _act: &mut dyn FnMut(RawFd)) -> Result<()> {
        Ok(())
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
