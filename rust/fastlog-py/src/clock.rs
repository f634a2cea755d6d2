//! `ClockAhead`: by how much the logs of a broker under test are ahead of the operating system's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fastlog_core::AheadClock;
use pyo3::prelude::*;

/// Milliseconds that are added to the time of all logs opened with it.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct ClockAhead(Arc<AtomicI64>);

impl ClockAhead {
    /// The clock that follows it.
    pub fn clock(&self) -> AheadClock {
        AheadClock(Arc::clone(&self.0))
    }
}

#[pymethods]
impl ClockAhead {
    #[new]
    #[pyo3(signature = (milliseconds=0))]
    fn new(milliseconds: i64) -> Self {
        Self(Arc::new(AtomicI64::new(milliseconds)))
    }

    #[getter]
    fn milliseconds(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn advance(&self, milliseconds: i64) {
        self.0.fetch_add(milliseconds, Ordering::Relaxed);
    }
}
