//! What the event loop holds of a response that an I/O thread sends.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use fastlog_core::io_engine::Response;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A descriptor of a connected socket that belongs to this object alone.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct Socket(Arc<OwnedFd>);

impl Socket {
    /// Shared with the jobs that send: the descriptor is closed, and its number free again, after the last.
    pub fn inner(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.0)
    }
}

#[pymethods]
impl Socket {
    #[new]
    fn new(fd: RawFd) -> PyResult<Self> {
        if fd < 0 {
            return Err(PyValueError::new_err("the socket is closed"));
        }
        // SAFETY: the caller holds the socket open during this call, which makes a descriptor of our own.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        Ok(Self(Arc::new(borrowed.try_clone_to_owned()?)))
    }

    fn fileno(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A response whose records are sent from their files by `IoEngine.send`.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct FileResponse(Arc<Response>);

impl FileResponse {
    /// Takes over `response`.
    pub fn new(response: Response) -> Self {
        Self(Arc::new(response))
    }

    /// For the job that sends it.
    pub fn inner(&self) -> Arc<Response> {
        Arc::clone(&self.0)
    }
}

#[pymethods]
impl FileResponse {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[getter]
    fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }
}
