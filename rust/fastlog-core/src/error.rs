//! The one error enum of the crate, and the Kafka error codes that the log itself can give.

use std::io;
use std::path::{Path, PathBuf};

/// Result of every fallible operation of the crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Kafka error codes that the engine produces (`org.apache.kafka.common.protocol.Errors`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
#[allow(missing_docs)] // the names are Kafka's own
pub enum ErrorCode {
    None = 0,
    OffsetOutOfRange = 1,
    CorruptMessage = 2,
    MessageTooLarge = 10,
    RecordListTooLarge = 18,
    InvalidTimestamp = 32,
    UnsupportedVersion = 35,
    InvalidRequest = 42,
    UnsupportedForMessageFormat = 43,
    OutOfOrderSequenceNumber = 45,
    InvalidProducerEpoch = 47,
    InvalidTxnState = 48,
    TransactionCoordinatorFenced = 52,
    KafkaStorageError = 56,
    FencedLeaderEpoch = 74,
    UnsupportedCompressionType = 76,
    InvalidRecord = 87,
}

impl ErrorCode {
    /// The number on the wire.
    pub fn code(self) -> i16 {
        self as i16
    }
}

/// Everything that can go wrong below the wire.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed. What that costs is what [`Self::cause`] says.
    #[error("{op} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb ("write", "fdatasync", "rename").
        op: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The disk is full (`ENOSPC`, `EDQUOT`). The partial write was cut back; later writes may succeed.
    #[error("no space left on the device of {}", path.display())]
    NoSpace {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// Bytes on disk are damaged in a way that recovery must not paper over.
    #[error("{}: damaged at byte {position} (offset {offset}): {reason}", path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Byte position of the first bad batch.
        position: u64,
        /// Offset that was expected there.
        offset: i64,
        /// What is wrong.
        reason: String,
    },
    /// The log met a write or fsync error earlier and takes no more work.
    #[error("log {} is offline: {reason}", path.display())]
    Offline {
        /// The partition directory.
        path: PathBuf,
        /// The first error.
        reason: String,
    },
    /// The asked offset is outside `[log start offset, log end offset]`.
    #[error("offset {offset} is outside [{start}, {end}]")]
    OffsetOutOfRange {
        /// The asked offset.
        offset: i64,
        /// Log start offset.
        start: i64,
        /// Log end offset.
        end: i64,
    },
    /// What was to be appended comes from a leader that was replaced.
    #[error("append in leader epoch {epoch}, but the log is in epoch {fence} by now")]
    Fenced {
        /// The epoch of the append.
        epoch: i32,
        /// The oldest epoch that the log takes.
        fence: i32,
    },
    /// A request or a batch does not follow the protocol.
    #[error("malformed: {0}")]
    Malformed(String),
    /// A compressed payload cannot be decoded, or is larger than it may be.
    #[error("{codec} payload: {reason}")]
    Compression {
        /// Kafka's name of the codec.
        codec: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// So many bytes of memory could not be had. What was to be done with them may be tried again.
    #[error("no memory for {0} bytes")]
    OutOfMemory(usize),
    /// Work was given up because somebody asked for that, or took away what it was done on.
    #[error("aborted: {0}")]
    Aborted(String),
    /// An argument that no caller may pass.
    #[error("invalid argument: {0}")]
    InvalidArgument(String),
}

impl Error {
    /// Wraps an I/O error, telling a full disk from everything else.
    pub fn io(op: &'static str, path: &Path, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => Self::NoSpace {
                path: path.to_owned(),
            },
            _ => Self::Io {
                op,
                path: path.to_owned(),
                source,
            },
        }
    }

    /// The Kafka error code that a client should see.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Io { .. }
            | Self::NoSpace { .. }
            | Self::Offline { .. }
            | Self::OutOfMemory(_)
            | Self::Aborted(_) => ErrorCode::KafkaStorageError,
            Self::Corrupt { .. } | Self::Compression { .. } => ErrorCode::CorruptMessage,
            Self::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::Fenced { .. } => ErrorCode::FencedLeaderEpoch,
            Self::Malformed(_) | Self::InvalidArgument(_) => ErrorCode::InvalidRequest,
        }
    }
}

/// Whether a file ended before what is known to have been in it.
pub(crate) fn is_cut(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::UnexpectedEof)
}

/// Whether a file or directory was not there.
pub(crate) fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
