//! Records as columns that numpy reads without a copy.

use std::ffi::c_int;
use std::ptr::slice_from_raw_parts;

use fastlog_core::batch::{BytesColumn, Columns};
use fastlog_core::compression::DecompressionLimit;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::buffers::{ReadBuffer, export};
use crate::errors::IntoPyResult;

/// One array in native memory: a read-only buffer of its raw bytes, in the order of the machine.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
struct Column(Array);

#[derive(Debug)]
enum Array {
    Numbers(Vec<i64>),
    Bytes(Vec<u8>),
    Flags(Vec<bool>),
}

#[pymethods]
impl Column {
    /// # Safety
    /// Called by the interpreter only, with a view to fill in.
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let bytes = match &slf.get().0 {
            Array::Numbers(array) => slice_from_raw_parts(array.as_ptr().cast(), size_of_val(&array[..])),
            Array::Bytes(array) => slice_from_raw_parts(array.as_ptr(), array.len()),
            Array::Flags(array) => slice_from_raw_parts(array.as_ptr().cast(), array.len()),
        };
        // SAFETY: the range is that of a vector of plain numbers (a bool is one byte, 0 or 1). The class is
        // frozen, so the vector never changes or moves while the object lives, and the view keeps it alive.
        unsafe { export(slf.as_any(), view, bytes, false, flags) }
    }
}

/// The records of every whole batch in `data` as columns of raw bytes.
#[pyfunction]
pub fn decode_columns(py: Python<'_>, data: ReadBuffer) -> PyResult<Bound<'_, PyDict>> {
    let bytes = data.as_bytes();
    let columns = py
        .detach(|| Columns::decode(bytes, DecompressionLimit::default()))
        .into_py_result(py)?;
    let dict = PyDict::new(py);
    dict.set_item("offsets", Column(Array::Numbers(columns.offsets)))?;
    dict.set_item("timestamps", Column(Array::Numbers(columns.timestamps)))?;
    for (
        name,
        BytesColumn {
            data,
            offsets,
            validity,
        },
    ) in [("key", columns.keys), ("value", columns.values)]
    {
        dict.set_item(format!("{name}_data"), Column(Array::Bytes(data)))?;
        dict.set_item(format!("{name}_offsets"), Column(Array::Numbers(offsets)))?;
        dict.set_item(format!("{name}_validity"), Column(Array::Flags(validity)))?;
    }
    Ok(dict)
}
