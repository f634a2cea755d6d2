//! The operating system's files.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::{DirEntry, File, FileSystem, Mapping, OpenMode};
use crate::error::{Error, Result};

/// Linux takes at most this many slices in one vectored write (`IOV_MAX`); callers here pass far fewer.
const MAX_SLICES: usize = 1024;

/// The real file system.
#[derive(Debug, Default, Clone, Copy)]
pub struct StdFs;

#[derive(Debug)]
struct StdFile {
    file: fs::File,
    path: PathBuf,
}

impl FileSystem for StdFs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::Write => {
                options.write(true);
            }
            OpenMode::Create => {
                options.write(true).create(true).truncate(false);
            }
            OpenMode::Truncate => {
                options.write(true).create(true).truncate(true);
            }
        }
        let file = options
            .open(path)
            .map_err(|error| Error::io("open", path, error))?;
        Ok(Arc::new(StdFile {
            file,
            path: path.to_owned(),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(|error| Error::io("rename", from, error))
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        fs::remove_file(path).map_err(|error| Error::io("remove", path, error))
    }

    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        fs::remove_dir_all(path).map_err(|error| Error::io("remove", path, error))
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        fs::create_dir_all(path).map_err(|error| Error::io("create directory", path, error))
    }

    fn list_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        let failed = |error| Error::io("list", path, error);
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = OsString::into_string(entry.file_name()) else {
                continue;
            };
            let metadata = match entry.metadata() {
                // Unlinked between the listing and the look at it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(failed)?,
            };
            let is_dir = metadata.is_dir();
            entries.push(DirEntry {
                name,
                is_dir,
                len: if is_dir { 0 } else { metadata.len() },
            });
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        fs::File::open(path)
            .and_then(|directory| directory.sync_all())
            .map_err(|source| Error::Io {
                op: "fsync directory",
                path: path.to_owned(),
                source,
            })
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        path.try_exists().map_err(|error| Error::io("stat", path, error))
    }

    fn modified_ms(&self, path: &Path) -> Result<i64> {
        let modified = fs::metadata(path)
            .and_then(|metadata| metadata.modified())
            .map_err(|error| Error::io("stat", path, error))?;
        Ok(modified
            .duration_since(UNIX_EPOCH)
            .map_or(0, |age| age.as_millis() as i64))
    }
}

impl StdFile {
    fn failed(&self, op: &'static str, error: io::Error) -> Error {
        Error::io(op, &self.path, error)
    }
}

impl File for StdFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.file.read_at(&mut buf[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed("read", error)),
            }
        }
        Ok(filled)
    }

    fn write_vectored_at(&self, bufs: &[IoSlice<'_>], position: u64) -> Result<usize> {
        let bufs = &bufs[..bufs.len().min(MAX_SLICES)];
        loop {
            // SAFETY: the descriptor is open for as long as `self.file` lives, and `IoSlice` is guaranteed to
            // have the layout of `iovec`; the slices stay borrowed, hence valid, during the call.
            let written = unsafe {
                libc::pwritev(
                    self.file.as_raw_fd(),
                    bufs.as_ptr().cast::<libc::iovec>(),
                    bufs.len() as libc::c_int,
                    position as libc::off_t,
                )
            };
            if written >= 0 {
                return Ok(written as usize);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(self.failed("write", error));
            }
        }
    }

    fn len(&self) -> Result<u64> {
        Ok(self
            .file
            .metadata()
            .map_err(|error| self.failed("stat", error))?
            .len())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file
            .set_len(len)
            .map_err(|error| self.failed("truncate", error))
    }

    fn sync_data(&self) -> Result<()> {
        self.file
            .sync_data()
            .map_err(|error| self.failed("fdatasync", error))
    }

    fn reserve(&self, len: u64) -> Result<()> {
        // SAFETY: the descriptor is open for as long as `self.file` lives; the call takes no pointers.
        let result = unsafe {
            libc::fallocate(
                self.file.as_raw_fd(),
                libc::FALLOC_FL_KEEP_SIZE,
                0,
                len as libc::off_t,
            )
        };
        if result == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINTR) => Ok(()),
            _ => Err(self.failed("allocate", error)),
        }
    }

    fn map(&self, len: usize) -> Result<Mapping> {
        if len == 0 {
            return Ok(Mapping::Copied(Vec::new()));
        }
        // SAFETY: the map is read-only and within the file: callers map only bytes that were written, and by
        // the rule stated at `Mapping` no mapped file is cut afterwards, so no access can fault. Bytes that
        // change under the map (a damaged disk, another process) are only ever read as plain integers.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(&self.file) };
        Ok(Mapping::Mapped(map.map_err(|error| self.failed("map", error))?))
    }

    fn set_modified_ms(&self, modified_ms: i64) -> Result<()> {
        let time = UNIX_EPOCH + Duration::from_millis(modified_ms.max(0) as u64);
        self.file
            .set_modified(time)
            .map_err(|error| self.failed("set time of", error))
    }

    fn raw_fd(&self) -> Option<RawFd> {
        Some(self.file.as_raw_fd())
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_atomically_and_lists() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        StdFs.write_atomically(&path, b"one").unwrap();
        StdFs.write_atomically(&path, b"second").unwrap();
        assert_eq!(StdFs.read_file(&path).unwrap(), b"second");
        StdFs.create_dir_all(&dir.path().join("sub")).unwrap();
        let listed = StdFs.list_dir(dir.path()).unwrap();
        assert_eq!(
            listed,
            [
                DirEntry {
                    name: "checkpoint".to_owned(),
                    is_dir: false,
                    len: 6
                },
                DirEntry {
                    name: "sub".to_owned(),
                    is_dir: true,
                    len: 0
                },
            ]
        );
    }

    #[test]
    fn writes_slices_at_a_position() {
        let dir = tempfile::tempdir().unwrap();
        let file = StdFs.open(&dir.path().join("f"), OpenMode::Create).unwrap();
        let mut slices = [
            IoSlice::new(b""),
            IoSlice::new(b"head"),
            IoSlice::new(b""),
            IoSlice::new(b"body"),
        ];
        file.write_all_vectored_at(&mut slices, 3).unwrap();
        let mut bytes = [0xff; 20];
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 11);
        assert_eq!(&bytes[..11], b"\0\0\0headbody");
        assert_eq!(&*file.map(7).unwrap(), b"\0\0\0head");
        assert!(file.read_exact_at(&mut bytes, 0).is_err());
        file.reserve(1 << 20).unwrap();
        assert_eq!(file.len().unwrap(), 11);
        file.set_len(4).unwrap();
        assert_eq!(StdFs.read_file(file.path()).unwrap(), b"\0\0\0h");
    }

    #[test]
    fn errors_name_the_path() {
        let error = StdFs
            .open(Path::new("/nonexistent/x"), OpenMode::Read)
            .unwrap_err();
        assert!(error.to_string().contains("/nonexistent/x"), "{error}");
        assert!(!StdFs.exists(Path::new("/nonexistent/x")).unwrap());
    }
}
