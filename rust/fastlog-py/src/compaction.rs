//! Compaction: its throttle, and what it found and did.

use std::sync::Arc;

use fastlog_core::{CompactionReport as CoreReport, CompactionState as CoreState, Throttle};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A limit for the bytes per second of all compactions that share it.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct CleanerThrottle(Arc<Throttle>);

impl CleanerThrottle {
    /// The throttle of the core.
    pub fn inner(&self) -> &Arc<Throttle> {
        &self.0
    }
}

/// A rate must mean something: a limit of 0 would be a way to hang.
fn checked(bytes_per_second: Option<f64>) -> PyResult<Option<f64>> {
    match bytes_per_second {
        Some(rate) if rate.is_nan() || rate <= 0.0 => Err(PyValueError::new_err(format!(
            "{rate} bytes per second are no rate"
        ))),
        rate => Ok(rate),
    }
}

#[pymethods]
impl CleanerThrottle {
    #[new]
    #[pyo3(signature = (bytes_per_second=None))]
    fn new(bytes_per_second: Option<f64>) -> PyResult<Self> {
        Ok(Self(Arc::new(Throttle::new(checked(bytes_per_second)?))))
    }

    #[getter]
    fn bytes_per_second(&self) -> Option<f64> {
        self.0.bytes_per_second()
    }

    fn set_rate(&self, bytes_per_second: Option<f64>) -> PyResult<()> {
        self.0.set_rate(checked(bytes_per_second)?);
        Ok(())
    }

    fn cancel(&self) {
        self.0.cancel();
    }

    #[getter]
    fn cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    #[getter]
    fn bytes_taken(&self) -> u64 {
        self.0.bytes_taken()
    }

    #[getter]
    fn seconds_slept(&self) -> f64 {
        self.0.slept().as_secs_f64()
    }
}

/// What there is to compact in a log.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct CompactionState(CoreState);

impl CompactionState {
    /// The state as Python sees it.
    pub fn new(state: CoreState) -> Self {
        Self(state)
    }
}

#[pymethods]
impl CompactionState {
    #[getter]
    fn first_dirty_offset(&self) -> i64 {
        self.0.first_dirty_offset
    }

    #[getter]
    fn checkpoint_valid(&self) -> bool {
        self.0.checkpoint_valid
    }

    #[getter]
    fn first_uncleanable_offset(&self) -> i64 {
        self.0.first_uncleanable_offset
    }

    #[getter]
    fn clean_bytes(&self) -> u64 {
        self.0.clean_bytes
    }

    #[getter]
    fn cleanable_bytes(&self) -> u64 {
        self.0.cleanable_bytes
    }

    #[getter]
    fn earliest_dirty_timestamp(&self) -> i64 {
        self.0.earliest_dirty_timestamp
    }

    #[getter]
    fn compaction_delay_ms(&self) -> i64 {
        self.0.compaction_delay_ms
    }

    #[getter]
    fn earliest_delete_horizon(&self) -> i64 {
        self.0.earliest_delete_horizon
    }

    #[getter]
    fn removal_due(&self) -> bool {
        self.0.removal_due
    }

    #[getter]
    fn dirty_ratio(&self) -> f64 {
        self.0.dirty_ratio()
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// What one compaction did.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct CompactionReport(CoreReport);

impl CompactionReport {
    /// The report as Python sees it.
    pub fn new(report: CoreReport) -> Self {
        Self(report)
    }
}

#[pymethods]
impl CompactionReport {
    #[getter]
    fn cleaned_to(&self) -> i64 {
        self.0.cleaned_to
    }

    #[getter]
    fn map_full(&self) -> bool {
        self.0.map_full
    }

    #[getter]
    fn map_records(&self) -> u64 {
        self.0.map_records
    }

    #[getter]
    fn map_memory_bytes(&self) -> usize {
        self.0.map_memory_bytes
    }

    #[getter]
    fn map_bytes_read(&self) -> u64 {
        self.0.map_bytes_read
    }

    #[getter]
    fn map_records_read(&self) -> u64 {
        self.0.map_records_read
    }

    #[getter]
    fn bytes_read(&self) -> u64 {
        self.0.bytes_read
    }

    #[getter]
    fn bytes_kept(&self) -> u64 {
        self.0.bytes_kept
    }

    #[getter]
    fn records_read(&self) -> u64 {
        self.0.records_read
    }

    #[getter]
    fn records_kept(&self) -> u64 {
        self.0.records_kept
    }

    #[getter]
    fn batches_copied(&self) -> u64 {
        self.0.batches_copied
    }

    #[getter]
    fn batches_rewritten(&self) -> u64 {
        self.0.batches_rewritten
    }

    #[getter]
    fn tombstones_dropped(&self) -> u64 {
        self.0.tombstones_dropped
    }

    #[getter]
    fn invalid_records(&self) -> u64 {
        self.0.invalid_records
    }

    #[getter]
    fn segments_before(&self) -> usize {
        self.0.segments_before
    }

    #[getter]
    fn segments_after(&self) -> usize {
        self.0.segments_after
    }

    #[getter]
    fn buffer_memory_bytes(&self) -> usize {
        self.0.buffer_memory_bytes
    }

    #[getter]
    fn map_seconds(&self) -> f64 {
        self.0.map_seconds
    }

    #[getter]
    fn clean_seconds(&self) -> f64 {
        self.0.clean_seconds
    }

    #[getter]
    fn throttled_seconds(&self) -> f64 {
        self.0.throttled_seconds
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}
