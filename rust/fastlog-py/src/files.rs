//! The files of all logs of the process share one bounded set of descriptors.

use std::sync::{Arc, LazyLock};

use fastlog_core::env::{DescriptorPool, PooledFs, StdFs};
use pyo3::prelude::*;

/// Until somebody has counted: the limit of the process is what bounds them.
const UNBOUNDED: usize = usize::MAX;

static POOL: LazyLock<Arc<DescriptorPool>> = LazyLock::new(|| Arc::new(DescriptorPool::new(UNBOUNDED)));

/// The file system that logs are opened on.
pub fn file_system() -> PooledFs {
    PooledFs::new(Arc::new(StdFs), Arc::clone(&POOL))
}

/// Sets how many files of logs may be open at a time.
#[pyfunction]
pub fn set_open_files(py: Python<'_>, capacity: usize) {
    py.detach(|| POOL.set_capacity(capacity));
}

/// How many files of logs are open.
#[pyfunction]
pub fn open_files() -> usize {
    POOL.open_files()
}
