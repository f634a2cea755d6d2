//! The operating system's files.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::{DirEntry, Directory, EntryKind, File, FileStamp, FileSystem, Mapping, OpenMode};
use crate::cause::durability;
use crate::error::{Error, Result};

/// Linux takes at most this many slices in one vectored write (`IOV_MAX`); callers here pass far fewer.
const MAX_SLICES: usize = 1024;

/// The real file system.
#[derive(Debug, Default, Clone, Copy)]
pub struct StdFs;

/// Others than the user of the broker have no business in its data: records, and who may log in.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
/// Without effect on regular files; a FIFO is opened without waiting for its writer.
const FLAGS: i32 = libc::O_NONBLOCK | libc::O_NOCTTY;

#[derive(Debug)]
struct StdDirectory {
    directory: fs::File,
    path: PathBuf,
}

impl Directory for StdDirectory {
    fn sync(&self) -> Result<()> {
        // Not by `Error::io`: whatever an fsync says, what it was for is not durable.
        self.directory.sync_all().map_err(|source| Error::Io {
            op: durability::OF_DIRECTORY,
            path: self.path.clone(),
            source,
        })
    }
}

#[derive(Debug)]
struct StdFile {
    file: fs::File,
    path: PathBuf,
    identity: (u64, u64),
}

impl FileSystem for StdFs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).mode(FILE_MODE).custom_flags(FLAGS);
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
        let opened = options.open(path).and_then(|file| {
            let metadata = file.metadata()?;
            regular(&metadata)?;
            Ok((file, (metadata.dev(), metadata.ino())))
        });
        match opened {
            Ok((file, identity)) => Ok(Arc::new(StdFile {
                file,
                path: path.to_owned(),
                identity,
            })),
            // A socket, or a device that is not there, says "no such device or address": better what it is.
            Err(error) => {
                let named = fs::metadata(path).map_or(Ok(()), |metadata| regular(&metadata));
                Err(Error::io("open", path, named.err().unwrap_or(error)))
            }
        }
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
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(path)
            .map_err(|error| Error::io("create directory", path, error))
    }

    fn list_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        let failed = |error| Error::io("list", path, error);
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = OsString::into_string(entry.file_name()) else {
                continue;
            };
            let mut metadata = match entry.metadata() {
                // Unlinked between the listing and the look at it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(failed)?,
            };
            if metadata.is_symlink() {
                // What is wrong with one that leads nowhere is said by whoever opens it.
                metadata = fs::metadata(entry.path()).unwrap_or(metadata);
            }
            let kind = kind_of(metadata.file_type());
            let len = if kind == EntryKind::File {
                metadata.len()
            } else {
                0
            };
            entries.push(DirEntry { name, kind, len });
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn open_dir(&self, path: &Path) -> Result<Box<dyn Directory>> {
        let directory = fs::File::open(path).map_err(|error| Error::io("open directory", path, error))?;
        Ok(Box::new(StdDirectory {
            directory,
            path: path.to_owned(),
        }))
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

fn kind_of(found: fs::FileType) -> EntryKind {
    if found.is_dir() {
        EntryKind::Directory
    } else if found.is_fifo() {
        EntryKind::Other("a FIFO")
    } else if found.is_socket() {
        EntryKind::Other("a socket")
    } else if found.is_char_device() || found.is_block_device() {
        EntryKind::Other("a device")
    } else {
        EntryKind::File
    }
}

/// Fails, in a way that is about this one file, for everything but a regular file.
fn regular(metadata: &fs::Metadata) -> io::Result<()> {
    match kind_of(metadata.file_type()) {
        EntryKind::File => Ok(()),
        EntryKind::Directory => Err(io::Error::from_raw_os_error(libc::EISDIR)),
        EntryKind::Other(name) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("it is {name}, not a regular file"),
        )),
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
        // As for directories: ENOSPC is no exception, the pages may be gone.
        self.file.sync_data().map_err(|source| Error::Io {
            op: durability::OF_DATA,
            path: self.path.clone(),
            source,
        })
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
            return Ok(Mapping::copied(Vec::new()));
        }
        // SAFETY: the map is read-only and within the file: callers map only bytes that were written. Should somebody
        // else cut the file afterwards, `Mapping::read`, the only way to the bytes, takes the signal. Bytes that
        // change under the map (a damaged disk, another process) are only ever read as plain integers.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(&self.file) };
        Ok(Mapping::mapped(map.map_err(|error| self.failed("map", error))?))
    }

    fn set_modified_ms(&self, modified_ms: i64) -> Result<()> {
        let time = UNIX_EPOCH + Duration::from_millis(modified_ms.max(0) as u64);
        self.file
            .set_modified(time)
            .map_err(|error| self.failed("set time of", error))
    }

    fn stamp(&self) -> Result<Option<FileStamp>> {
        let metadata = self.file.metadata().map_err(|error| self.failed("stat", error))?;
        Ok(Some(FileStamp {
            len: metadata.len(),
            modified_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        }))
    }

    fn has_descriptor(&self) -> bool {
        true
    }

    fn identity(&self) -> Option<(u64, u64)> {
        Some(self.identity)
    }

    fn with_descriptor(&self, act: &mut dyn FnMut(RawFd)) -> Result<()> {
        act(self.file.as_raw_fd());
        Ok(())
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Cause;

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
                    kind: EntryKind::File,
                    len: 6
                },
                DirEntry {
                    name: "sub".to_owned(),
                    kind: EntryKind::Directory,
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
        assert_eq!(file.map(7).unwrap().read(<[u8]>::to_vec).unwrap(), b"\0\0\0head");
        assert!(file.read_exact_at(&mut bytes, 0).is_err());
        file.reserve(1 << 20).unwrap();
        assert_eq!(file.len().unwrap(), 11);
        file.set_len(4).unwrap();
        assert_eq!(StdFs.read_file(file.path()).unwrap(), b"\0\0\0h");
    }

    #[test]
    fn a_map_of_a_file_that_is_cut_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let file = StdFs.open(&dir.path().join("f"), OpenMode::Create).unwrap();
        file.write_all_at(&vec![7; 20_000], 0).unwrap();
        let map = file.map(20_000).unwrap();
        assert_eq!(map.read(|bytes| bytes[19_999]), Some(7));
        file.set_len(5000).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(map.read(|bytes| bytes[9000]), None));
            }
        });
        assert_eq!(map.read(|bytes| bytes[0]), None);
    }

    #[test]
    fn opens_regular_files_only_and_waits_for_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let fifo = std::ffi::CString::new(at("fifo").as_os_str().as_encoded_bytes()).unwrap();
        // SAFETY: the path is a string with a NUL at its end that lives during the call.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("device")).unwrap();
        StdFs.create_dir_all(&at("directory")).unwrap();
        std::os::unix::fs::symlink("directory", at("link")).unwrap();
        for (name, said) in [
            ("fifo", "it is a FIFO"),
            ("socket", "it is a socket"),
            ("device", "it is a device"),
            ("directory", "Is a directory"),
            ("link", "Is a directory"),
        ] {
            for mode in [
                OpenMode::Read,
                OpenMode::Write,
                OpenMode::Create,
                OpenMode::Truncate,
            ] {
                let error = StdFs.open(&at(name), mode).unwrap_err();
                assert_eq!(error.cause(), Some(Cause::File), "{name} {mode:?}");
                assert!(error.to_string().contains(said), "{error}");
            }
        }
        let listed = StdFs.list_dir(dir.path()).unwrap();
        assert!(
            listed
                .iter()
                .all(|entry| entry.kind != EntryKind::File && entry.len == 0)
        );
    }

    #[test]
    fn a_link_is_listed_as_what_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        StdFs
            .write_atomically(&dir.path().join("a"), b"twelve bytes")
            .unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("b")).unwrap();
        std::os::unix::fs::symlink("nothing", dir.path().join("c")).unwrap();
        let listed = StdFs.list_dir(dir.path()).unwrap();
        assert!(listed.iter().all(|entry| entry.kind == EntryKind::File));
        assert_eq!(listed[1].len, 12);
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
