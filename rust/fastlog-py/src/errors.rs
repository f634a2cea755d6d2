//! Errors of the core as Python exceptions. Each instance carries `code`, the Kafka error code for clients.

use fastlog_core::batch::{RecordError, Rejection};
use fastlog_core::io_engine::Failure;
use fastlog_core::{Cause, Error, ErrorCode};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};

use crate::frame::Frame;

create_exception!(
    fastlog.native._core,
    FastlogNativeError,
    PyException,
    "Base of everything that the native module raises by itself."
);
create_exception!(
    fastlog.native._core,
    MalformedRequest,
    FastlogNativeError,
    "A frame, a batch or a compressed payload does not follow the protocol."
);
create_exception!(
    fastlog.native._core,
    FrameError,
    MalformedRequest,
    "A frame length is not positive, or larger than allowed: the connection cannot be resynchronized."
);
create_exception!(
    fastlog.native._core,
    CorruptLog,
    FastlogNativeError,
    "Bytes on disk are damaged in a way that recovery must not paper over."
);
create_exception!(
    fastlog.native._core,
    StorageError,
    FastlogNativeError,
    "A system call on the log failed; the text of the operating system is in the message."
);
create_exception!(
    fastlog.native._core,
    CompactionAborted,
    FastlogNativeError,
    "A compaction was interrupted: nothing is lost, what it had finished stays, the rest is as before."
);
create_exception!(
    fastlog.native._core,
    OffsetOutOfRange,
    FastlogNativeError,
    "The asked offset is outside [log start offset, log end offset]."
);
create_exception!(
    fastlog.native._core,
    FencedLeader,
    FastlogNativeError,
    "Another leader epoch of the log has begun: nothing was appended."
);
create_exception!(
    fastlog.native._core,
    RejectedBatch,
    FastlogNativeError,
    "A batch failed validation and nothing was appended."
);

/// The exception of an error below the wire. A wrong argument is a `ValueError`, as Python has it.
pub fn error_to_py(py: Python<'_>, error: &Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::InvalidArgument(_) => PyValueError::new_err(text),
        Error::OutOfMemory(_) => PyMemoryError::new_err(text),
        Error::Malformed(_) | Error::Compression { .. } => {
            with_code(py, py.get_type::<MalformedRequest>(), text, error.code())
        }
        Error::Corrupt { .. } => with_code(py, py.get_type::<CorruptLog>(), text, error.code()),
        Error::OffsetOutOfRange { .. } => {
            with_code(py, py.get_type::<OffsetOutOfRange>(), text, error.code())
        }
        Error::Fenced { .. } => with_code(py, py.get_type::<FencedLeader>(), text, error.code()),
        Error::Aborted(_) => with_code(py, py.get_type::<CompactionAborted>(), text, error.code()),
        Error::Io { source, .. } => storage_error(py, text, error.cause(), source.raw_os_error()),
        Error::NoSpace { .. } => storage_error(py, text, error.cause(), None),
        Error::Offline { .. } => storage_error(py, text, None, None),
    }
}

/// A frame error of the connection's byte stream, with the frames that came before the bad one.
pub fn frame_error(py: Python<'_>, error: &Error, frames: Vec<Frame>) -> PyErr {
    let raised = with_code(py, py.get_type::<FrameError>(), error.to_string(), error.code());
    set(py, &raised, "frames", frames);
    raised
}

/// The exception of a batch that was not appended.
pub fn rejection_to_py(py: Python<'_>, rejection: &Rejection) -> PyErr {
    let raised = with_code(
        py,
        py.get_type::<RejectedBatch>(),
        rejection.to_string(),
        rejection.code,
    );
    let records: Vec<_> = rejection.record_errors.iter().map(record_error_to_py).collect();
    set(py, &raised, "message", &rejection.message);
    set(py, &raised, "record_errors", PyList::new(py, records).ok());
    raised
}

/// One rejected record as (index, text).
pub fn record_error_to_py(error: &RecordError) -> (i32, Option<&str>) {
    (error.index, error.message.as_deref())
}

/// The exception of an I/O job that failed as a whole.
pub fn failure_to_py(py: Python<'_>, failure: &Failure) -> PyErr {
    match failure {
        Failure::Error(error) => error_to_py(py, error),
        Failure::Panicked(_) => storage_error(py, failure.to_string(), None, None),
    }
}

/// `Result` of the core as the result of a Python call.
pub trait IntoPyResult<T> {
    /// Turns the error into an exception; the GIL is held.
    fn into_py_result(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> IntoPyResult<T> for fastlog_core::Result<T> {
    fn into_py_result(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| error_to_py(py, &error))
    }
}

/// What a failed system call is about: "full", "shortage", "file" or "disk".
#[pyfunction]
pub fn errno_cause(number: i32) -> &'static str {
    Cause::of_errno(number).name()
}

fn storage_error(py: Python<'_>, text: String, cause: Option<Cause>, errno: Option<i32>) -> PyErr {
    let raised = with_code(
        py,
        py.get_type::<StorageError>(),
        text,
        ErrorCode::KafkaStorageError,
    );
    set(py, &raised, "no_space", cause == Some(Cause::Full));
    set(py, &raised, "cause", cause.map(Cause::name));
    set(py, &raised, "errno", errno);
    raised
}

fn with_code(py: Python<'_>, class: Bound<'_, PyType>, text: String, code: ErrorCode) -> PyErr {
    let raised = PyErr::from_type(class, text);
    set(py, &raised, "code", code.code());
    raised
}

fn set<'py>(py: Python<'py>, raised: &PyErr, name: &str, value: impl IntoPyObject<'py>) {
    // Exceptions have a `__dict__`: this fails only without memory, and then the error itself matters more.
    let _ = raised.value(py).setattr(name, value);
}
