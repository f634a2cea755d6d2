//! Bytes across the boundary without a copy: borrowed from Python, and lent to Python.

use std::ffi::{c_int, c_void};

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

/// The bytes of an argument: any C-contiguous bytes-like object, held for as long as this value lives.
#[derive(Debug)]
pub struct ReadBuffer(PyUntypedBuffer);

impl<'py> FromPyObject<'_, 'py> for ReadBuffer {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let buffer = PyUntypedBuffer::get(&object)?;
        if !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err("the buffer is not C-contiguous"));
        }
        Ok(Self(buffer))
    }
}

impl ReadBuffer {
    /// The bytes. The slice may be read without the GIL.
    pub fn as_bytes(&self) -> &[u8] {
        let len = self.0.len_bytes();
        if len == 0 {
            return &[];
        }
        // SAFETY: the buffer is C-contiguous, so `len` bytes follow the pointer. The exporter may neither
        // free nor move them before the buffer is released, with the GIL or without (bytearray raises
        // BufferError, numpy and mmap likewise); it is released when `self` drops, which outlives the slice.
        // What is left is another thread that writes into a *mutable* object during the call. For `bytes`,
        // `Frame` and `Chunk`, all that the broker passes, nobody can. For the rest it is forbidden to the
        // caller by the documentation of the module, as it is for zlib, hashlib and socket in the standard
        // library, which read foreign buffers without the GIL in the same way.
        unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast::<u8>(), len) }
    }
}

/// Fills in `view` with `bytes`, which belong to `owner`; the view keeps `owner` alive.
///
/// # Safety
/// `view` must be the pointer that the interpreter gave to `__getbuffer__`. `bytes` must stay valid, and for
/// `writable` nobody else may touch them, until the view is released.
pub unsafe fn export(
    owner: &Bound<'_, PyAny>,
    view: *mut ffi::Py_buffer,
    bytes: *const [u8],
    writable: bool,
    flags: c_int,
) -> PyResult<()> {
    let Ok(len) = ffi::Py_ssize_t::try_from(bytes.len()) else {
        return Err(PyBufferError::new_err("the buffer is too large"));
    };
    let start = bytes.cast::<u8>().cast_mut().cast::<c_void>();
    // SAFETY: `view` comes from the interpreter and `owner` is a live object; the rest are plain values.
    // The function refuses a writable view of read-only bytes by itself.
    let status =
        unsafe { ffi::PyBuffer_FillInfo(view, owner.as_ptr(), start, len, c_int::from(!writable), flags) };
    if status < 0 {
        Err(PyErr::fetch(owner.py()))
    } else {
        Ok(())
    }
}

/// A finished run of bytes in native memory: a read-only buffer, written to a socket without a copy.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct Chunk(Vec<u8>);

impl Chunk {
    /// Takes over `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[pymethods]
impl Chunk {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// # Safety
    /// Called by the interpreter only, with a view to fill in.
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let bytes: *const [u8] = slf.get().0.as_slice();
        // SAFETY: the class is frozen, so the bytes never change or move while the object lives, and the
        // view keeps it alive.
        unsafe { export(slf.as_any(), view, bytes, false, flags) }
    }
}
