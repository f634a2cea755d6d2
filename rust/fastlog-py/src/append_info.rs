//! `AppendInfo`: what one append to a log did, or why it did nothing.

use fastlog_core::{AppendError, AppendInfo as CoreInfo};
use pyo3::prelude::*;

use crate::errors::{error_to_py, rejection_to_py};

/// What one append did. A duplicate reports the offsets of the original and appended nothing.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct AppendInfo(CoreInfo);

#[pymethods]
impl AppendInfo {
    #[getter]
    fn first_offset(&self) -> i64 {
        self.0.first_offset
    }

    #[getter]
    fn last_offset(&self) -> i64 {
        self.0.last_offset
    }

    #[getter]
    fn log_append_time(&self) -> i64 {
        self.0.log_append_time
    }

    #[getter]
    fn log_start_offset(&self) -> i64 {
        self.0.log_start_offset
    }

    #[getter]
    fn duplicate(&self) -> bool {
        self.0.duplicate
    }

    #[getter]
    fn end_offset(&self) -> i64 {
        self.0.end_offset
    }

    fn __repr__(&self) -> String {
        let CoreInfo {
            first_offset,
            last_offset,
            end_offset,
            duplicate,
            ..
        } = self.0;
        format!("AppendInfo({first_offset}..={last_offset}, end {end_offset}, duplicate {duplicate})")
    }
}

impl AppendInfo {
    /// The outcome of an append as Python gets it.
    pub fn of(py: Python<'_>, result: Result<CoreInfo, AppendError>) -> PyResult<Self> {
        result.map(Self).map_err(|error| append_error_to_py(py, error))
    }
}

/// The exception for an append that was refused, or has failed.
pub fn append_error_to_py(py: Python<'_>, error: AppendError) -> PyErr {
    match error {
        AppendError::Rejected(rejection) => rejection_to_py(py, &rejection),
        AppendError::Failed(error) | AppendError::Unflushed { error, .. } => error_to_py(py, &error),
    }
}
