//! Records that somebody offers as an Arrow stream.

use std::sync::{Mutex, PoisonError};

use fastlog_core::arrow::{ArrowArrayStream, ArrowRows, ArrowSource};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyList};

use crate::tables::STREAM;

/// Takes records out of whatever has `__arrow_c_stream__`.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct ArrowReader(Mutex<ArrowSource>);

#[pymethods]
impl ArrowReader {
    #[new]
    fn new(offered: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = offered.py();
        let found = offered.call_method0("__arrow_c_stream__")?;
        let capsule = found
            .cast::<PyCapsule>()
            .map_err(|_| PyTypeError::new_err("__arrow_c_stream__ gave something that is not a PyCapsule"))?;
        let pointer = capsule.pointer_checked(Some(STREAM)).map_err(|_| {
            PyTypeError::new_err("__arrow_c_stream__ gave a PyCapsule that is not an \"arrow_array_stream\"")
        })?;
        // SAFETY: the name of the capsule says what its pointer is. It was made for us, and is held until this is done.
        let stream = unsafe { ArrowArrayStream::move_out(pointer.cast().as_ptr()) };
        // Without the GIL: whoever makes the stream may want it in another thread.
        // SAFETY: whoever offers a stream under this name says that it keeps to the specification.
        let opened = py.detach(move || unsafe { ArrowSource::of(stream) });
        opened
            .map(|source| Self(Mutex::new(source)))
            .map_err(PyValueError::new_err)
    }

    /// The next records; None at the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<ArrowBatch>> {
        let rows = py.detach(|| self.0.lock().unwrap_or_else(PoisonError::into_inner).next_rows());
        rows.map(|rows| rows.map(ArrowBatch))
            .map_err(PyValueError::new_err)
    }
}

/// Some records of a stream.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct ArrowBatch(ArrowRows);

impl ArrowBatch {
    /// The records.
    pub fn rows(&self) -> &ArrowRows {
        &self.0
    }
}

#[pymethods]
impl ArrowBatch {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// Whether there are headers, times, and partitions.
    #[getter]
    fn columns(&self) -> (bool, bool, bool) {
        self.0.columns()
    }

    /// Value, key, headers, partition and timestamp of a row.
    #[allow(clippy::type_complexity)]
    fn row<'py>(
        &self,
        py: Python<'py>,
        row: usize,
    ) -> PyResult<(
        Option<Bound<'py, PyBytes>>,
        Option<Bound<'py, PyBytes>>,
        Option<Bound<'py, PyList>>,
        Option<i64>,
        Option<i64>,
    )> {
        let mut headers = Vec::new();
        let found = self.0.get(row, &mut headers).map_err(PyValueError::new_err)?;
        let pairs = PyList::empty(py);
        for (name, value) in &headers {
            let name = String::from_utf8_lossy(name);
            pairs.append((name.as_ref(), value.map(|value| PyBytes::new(py, value))))?;
        }
        Ok((
            found.value.map(|value| PyBytes::new(py, value)),
            found.key.map(|key| PyBytes::new(py, key)),
            (!headers.is_empty()).then_some(pairs),
            found.partition,
            found.timestamp,
        ))
    }
}
