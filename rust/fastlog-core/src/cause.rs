//! What an error of the operating system is about: the one place that decides what an error costs.
//!
//! | cause | what it says | what it costs |
//! |---|---|---|
//! | [`Cause::Full`] | the disk or a quota is full | that operation; the partial write is cut back |
//! | [`Cause::Shortage`] | this process, or the machine, has no descriptor, memory or thread left | that operation |
//! | [`Cause::File`] | one file or directory cannot be used: rights, a missing name, a wrong kind | its partition |
//! | [`Cause::Disk`] | the device, or what it was promised to hold, is gone | its log directory |
//!
//! A failed fsync is about the disk whatever its number is: the kernel may have dropped the pages, and the next
//! fsync succeeds without them.

use std::io;

use crate::error::Error;

/// What is wrong, from the most harmless to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The disk is full. Passes.
    Full,
    /// The process has run into a limit. Passes.
    Shortage,
    /// One file is at fault.
    File,
    /// The disk is at fault.
    Disk,
}

impl Cause {
    /// Whether the same operation may succeed later, so that nothing has to be given up.
    pub fn passes(self) -> bool {
        self <= Self::Shortage
    }

    /// Its name in Python.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Shortage => "shortage",
            Self::File => "file",
            Self::Disk => "disk",
        }
    }

    /// What the number of a failed system call, fsync excepted, is about.
    pub fn of_errno(number: i32) -> Self {
        match number {
            libc::ENOSPC | libc::EDQUOT => Self::Full,
            // EFBIG is the limit of this process on the size of a file: the rest of the disk can be written to.
            libc::EMFILE
            | libc::ENFILE
            | libc::ENOMEM
            | libc::EAGAIN
            | libc::ENOBUFS
            | libc::ENOLCK
            | libc::EINTR
            | libc::EFBIG => Self::Shortage,
            libc::EIO
            | libc::EROFS
            | libc::ENODEV
            | libc::ENOMEDIUM
            | libc::EMEDIUMTYPE
            | libc::EUCLEAN
            | libc::EBADMSG
            | libc::EREMOTEIO
            | libc::ESTALE
            | libc::ETIMEDOUT
            | libc::ENOTCONN
            | libc::ESHUTDOWN
            | libc::EHOSTDOWN
            | libc::ENOLINK => Self::Disk,
            // ENXIO is among them: that is what a socket says when it is opened, or a device file without a device.
            _ => Self::File,
        }
    }

    /// What an error of the operating system, fsync excepted, is about.
    pub fn of_io(error: &io::Error) -> Self {
        match (error.raw_os_error(), error.kind()) {
            (Some(number), _) => Self::of_errno(number),
            (None, io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Self::Shortage
            }
            (None, io::ErrorKind::WriteZero) => Self::Disk,
            (None, _) => Self::File,
        }
    }
}

/// The names of the operations that make something durable, as [`Error::Io`] has them.
pub(crate) mod durability {
    pub const OF_DATA: &str = "fdatasync";
    pub const OF_DIRECTORY: &str = "fsync directory";
}

impl Error {
    /// What a failed system call, or a lack of memory, was about; `None` for errors of another kind.
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Io { op, source, .. } => Some(match *op {
                durability::OF_DATA | durability::OF_DIRECTORY => Cause::Disk,
                _ => Cause::of_io(source),
            }),
            Self::NoSpace { .. } => Some(Cause::Full),
            Self::OutOfMemory(_) => Some(Cause::Shortage),
            _ => None,
        }
    }

    /// Whether the same operation may succeed later: a full disk, or a shortage of the process.
    pub fn passes(&self) -> bool {
        self.cause().is_some_and(Cause::passes)
    }
}

/// Whether another file could be opened if one that is open were closed.
pub(crate) fn lacks_descriptors(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if matches!(source.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn cause(op: &'static str, number: i32) -> Cause {
        let source = io::Error::from_raw_os_error(number);
        Error::io(op, Path::new("/x"), source).cause().unwrap()
    }

    #[test]
    fn a_limit_passes_and_a_broken_disk_does_not() {
        for number in [
            libc::EMFILE,
            libc::ENFILE,
            libc::ENOMEM,
            libc::EAGAIN,
            libc::ENOBUFS,
            libc::EFBIG,
        ] {
            assert_eq!(cause("open", number), Cause::Shortage, "{number}");
        }
        for number in [libc::ENOSPC, libc::EDQUOT] {
            assert_eq!(cause("write", number), Cause::Full);
        }
        for number in [libc::EIO, libc::EROFS, libc::ENODEV, libc::EUCLEAN] {
            assert_eq!(cause("write", number), Cause::Disk);
        }
        for number in [
            libc::EACCES,
            libc::EPERM,
            libc::ENOENT,
            libc::EISDIR,
            libc::ENOTDIR,
            libc::ELOOP,
            libc::ENAMETOOLONG,
            libc::ENXIO,
        ] {
            assert_eq!(cause("open", number), Cause::File, "{number}");
        }
    }

    #[test]
    fn a_failed_fsync_is_the_disk_whatever_it_says() {
        for number in [libc::EIO, libc::ENOMEM, libc::EINTR, libc::EACCES] {
            assert_eq!(cause(durability::OF_DATA, number), Cause::Disk);
            assert_eq!(cause(durability::OF_DIRECTORY, number), Cause::Disk);
        }
        assert_eq!(Error::OutOfMemory(1).cause(), Some(Cause::Shortage));
        assert!(!Cause::File.passes());
        assert!(Cause::Full.passes() && Cause::Shortage.passes());
    }
}
