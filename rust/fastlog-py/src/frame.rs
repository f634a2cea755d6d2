//! From a byte stream to frames: `FrameReader` is the buffer to receive into, `Frame` one request.

use std::borrow::Cow;
use std::ffi::c_int;
use std::os::fd::RawFd;

use fastlog_core::readiness;
use fastlog_core::wire::{self, FrameSplitter, RequestHeader, request_header};
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::buffers::export;
use crate::errors::{IntoPyResult, error_to_py, frame_error};

/// Socket bytes are taken in pieces of this size until a frame turns out to be larger.
const CHUNK_BYTES: usize = 64 * 1024;

/// Splits a byte stream into frames; it is itself the writable buffer to receive into.
#[pyclass(module = "fastlog.native._core")]
#[derive(Debug)]
pub struct FrameReader {
    splitter: FrameSplitter,
    /// The free space, once somebody asked for it; an idle reader holds none.
    window: Option<Window>,
    /// Views of the window that are alive. While there are any, the splitter is left alone, because all that
    /// it does may move or reuse that memory.
    exports: usize,
    failed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Window(*mut [u8]);

// SAFETY: the pointer is used by methods of `FrameReader` only, which run with the GIL held, and it points
// into memory that the splitter of the same object owns.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

impl FrameReader {
    fn window(&mut self, py: Python<'_>) -> PyResult<*mut [u8]> {
        if let Some(window) = self.window {
            return Ok(window.0);
        }
        let window = Window(self.splitter.writable().into_py_result(py)?);
        self.window = Some(window);
        Ok(window.0)
    }

    /// Receives what the socket has, as [`readiness::receive`] does; to be followed by [`Self::take`].
    pub fn receive(&mut self, py: Python<'_>, fd: RawFd) -> Result<Option<usize>, ReceiveError> {
        self.check_exports().map_err(ReceiveError::Other)?;
        // What was offered before is the same memory, and nobody has a view of it.
        self.window = None;
        let buffer = self
            .splitter
            .writable()
            .map_err(|error| ReceiveError::Other(error_to_py(py, &error)))?;
        readiness::receive(fd, buffer).map_err(|_| ReceiveError::Socket)
    }

    /// Takes over `n` bytes that were received, no more than there was room for.
    pub fn take(&mut self, py: Python<'_>, n: usize) -> PyResult<Vec<wire::Frame>> {
        self.check_exports()?;
        self.window = None;
        let mut frames = Vec::new();
        let outcome = if self.failed {
            Err(fastlog_core::Error::Malformed(
                "the stream was lost at an earlier frame".to_owned(),
            ))
        } else {
            self.splitter.advance(n, &mut frames)
        };
        match outcome {
            Ok(()) => Ok(frames),
            Err(error @ fastlog_core::Error::OutOfMemory(_)) => {
                self.failed = true;
                Err(error_to_py(py, &error))
            }
            Err(error) => {
                self.failed = true;
                Err(frame_error(py, &error, frames.into_iter().map(Frame).collect()))
            }
        }
    }

    fn check_exports(&self) -> PyResult<()> {
        if self.exports > 0 {
            return Err(PyBufferError::new_err(
                "a view of the reader's buffer is still alive",
            ));
        }
        Ok(())
    }
}

/// Why nothing was received.
#[derive(Debug)]
pub enum ReceiveError {
    /// The socket has failed.
    Socket,
    /// There is no place for it.
    Other(PyErr),
}

#[pymethods]
impl FrameReader {
    #[new]
    fn new(max_frame_bytes: usize) -> Self {
        Self {
            splitter: FrameSplitter::new(max_frame_bytes, CHUNK_BYTES),
            window: None,
            exports: 0,
            failed: false,
        }
    }

    fn __len__(&mut self, py: Python<'_>) -> PyResult<usize> {
        self.window(py).map(<*mut [u8]>::len)
    }

    /// # Safety
    /// Called by the interpreter only, with a view to fill in.
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let mut this = slf.borrow_mut();
        let window = this.window(slf.py())?;
        // SAFETY: the window is what the splitter offered after its last change, and the splitter does not
        // change before `advance`, which refuses to run while a view is alive. All views show the same
        // bytes, as Python's writable buffers do.
        unsafe { export(slf.as_any(), view, window, true, flags) }?;
        this.exports += 1;
        Ok(())
    }

    /// # Safety
    /// Called by the interpreter only, once per view.
    unsafe fn __releasebuffer__(&mut self, _view: *mut ffi::Py_buffer) {
        self.exports -= 1;
    }

    fn advance(&mut self, py: Python<'_>, n: usize) -> PyResult<Vec<Frame>> {
        self.check_exports()?;
        if n > self.window(py)?.len() {
            return Err(PyValueError::new_err("more bytes than the buffer offered"));
        }
        Ok(self.take(py, n)?.into_iter().map(Frame).collect())
    }

    fn set_limits(&mut self, min_frame_bytes: usize, max_frame_bytes: usize) {
        self.splitter.set_limits(min_frame_bytes, max_frame_bytes);
    }

    fn reuse_buffers(&mut self) {
        self.splitter.reuse_buffers();
    }

    #[getter]
    pub fn buffered(&self) -> usize {
        self.splitter.buffered()
    }

    #[getter]
    fn announced(&self) -> usize {
        self.splitter.announced()
    }
}

/// One request without its length prefix: a read-only buffer that keeps its bytes alive.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct Frame(wire::Frame);

impl From<wire::Frame> for Frame {
    fn from(frame: wire::Frame) -> Self {
        Self(frame)
    }
}

impl Frame {
    /// The frame of the core; a clone of it shares the bytes.
    pub fn inner(&self) -> &wire::Frame {
        &self.0
    }

    /// The first eight bytes, which every frame has, as (api key, version, correlation id).
    fn fixed_header(&self) -> (i16, i16, i32) {
        match *self.0 {
            [k0, k1, v0, v1, c0, c1, c2, c3, ..] => (
                i16::from_be_bytes([k0, k1]),
                i16::from_be_bytes([v0, v1]),
                i32::from_be_bytes([c0, c1, c2, c3]),
            ),
            // The splitter hands out no frame that short.
            _ => (-1, -1, -1),
        }
    }
}

#[pymethods]
impl Frame {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// # Safety
    /// Called by the interpreter only, with a view to fill in.
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let bytes: *const [u8] = &raw const *slf.get().0;
        // SAFETY: the class is frozen and the bytes are shared read-only, so they never change or move
        // while the object lives, and the view keeps it alive.
        unsafe { export(slf.as_any(), view, bytes, false, flags) }
    }

    #[getter]
    fn api_key(&self) -> i16 {
        self.fixed_header().0
    }

    #[getter]
    fn api_version(&self) -> i16 {
        self.fixed_header().1
    }

    #[getter]
    fn correlation_id(&self) -> i32 {
        self.fixed_header().2
    }

    #[getter]
    fn client_id(&self, py: Python<'_>) -> PyResult<Option<Cow<'_, str>>> {
        let header: RequestHeader<'_> = request_header(&self.0).into_py_result(py)?;
        Ok(header.client_id)
    }
}
