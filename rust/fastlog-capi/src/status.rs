//! What became of a call: a status for the caller, and the words and the Kafka code kept for its thread.

use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use fastlog_core::{AppendError, Error, ErrorCode};

use crate::types::Status;

/// `UNKNOWN_SERVER_ERROR` of the Kafka protocol: a fault of ours, for which there is no better code.
const UNKNOWN_SERVER_ERROR: i16 = -1;

/// Why a call failed.
pub struct Fault {
    status: Status,
    code: i16,
    text: String,
}

impl Fault {
    /// Something the caller must not pass.
    pub fn argument(text: &str) -> Self {
        Self::new(
            Status::InvalidArgument,
            ErrorCode::InvalidRequest.code(),
            text.to_owned(),
        )
    }

    /// The first batch needs `needed` bytes.
    pub fn too_small(needed: usize) -> Self {
        let text = format!("the first batch has {needed} bytes");
        Self::new(Status::BufferTooSmall, ErrorCode::InvalidRequest.code(), text)
    }

    fn new(status: Status, code: i16, text: String) -> Self {
        Self { status, code, text }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Io { .. } | Error::Offline { .. } | Error::OutOfMemory(_) | Error::Aborted(_) => {
                Status::Io
            }
            Error::NoSpace { .. } => Status::NoSpace,
            Error::Corrupt { .. } => Status::Corrupt,
            Error::OffsetOutOfRange { .. } => Status::OffsetOutOfRange,
            Error::Malformed(_) | Error::Compression { .. } => Status::Rejected,
            Error::InvalidArgument(_) | Error::Fenced { .. } => Status::InvalidArgument,
        };
        Self::new(status, error.code().code(), error.to_string())
    }
}

impl From<AppendError> for Fault {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Rejected(rejection) => {
                Self::new(Status::Rejected, rejection.code.code(), rejection.to_string())
            }
            AppendError::Failed(error) | AppendError::Unflushed { error, .. } => Self::from(error),
        }
    }
}

struct LastError {
    text: CString,
    code: i16,
}

thread_local! {
    static LAST: RefCell<LastError> = RefCell::new(LastError { text: CString::default(), code: 0 });
}

/// Runs the body of a function of the ABI; a panic in it becomes a status.
pub fn guarded(body: impl FnOnce() -> Result<(), Fault>) -> Status {
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&'static str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(Fault::new(
            Status::Internal,
            UNKNOWN_SERVER_ERROR,
            format!("internal fault: {text}"),
        ))
    });
    match result {
        Ok(()) => Status::Ok,
        Err(fault) => {
            let last = LastError {
                text: c_string(&fault.text),
                code: fault.code,
            };
            LAST.with_borrow_mut(|slot| *slot = last);
            fault.status
        }
    }
}

/// Text for C, which ends at the first zero byte.
pub fn c_string(text: &str) -> CString {
    let text = text.split('\0').next().unwrap_or_default();
    CString::new(text).unwrap_or_default()
}

/// Version of the library, "major.minor.patch".
#[unsafe(no_mangle)]
pub extern "C" fn fastlog_version() -> *const c_char {
    const VERSION: &[u8] = concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes();
    VERSION.as_ptr().cast()
}

/// Why the last failed call of this thread failed.
#[unsafe(no_mangle)]
pub extern "C" fn fastlog_last_error() -> *const c_char {
    LAST.with_borrow(|last| last.text.as_ptr())
}

/// The Kafka error code of that failure.
#[unsafe(no_mangle)]
pub extern "C" fn fastlog_last_error_code() -> i16 {
    LAST.with_borrow(|last| last.code)
}
