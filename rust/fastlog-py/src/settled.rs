//! `SettledTable`: Produce requests about which nothing is left to decide, executed where they came in.

use std::sync::Arc;
use std::time::Duration;

use fastlog_core::settled::{self, Entry};
use fastlog_core::wire;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::frame::Frame;
use crate::log::Log;

/// A number that changes with all that is decided about a partition.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct Generation(settled::Generation);

#[pymethods]
impl Generation {
    #[new]
    fn new() -> Self {
        Self(settled::Generation::default())
    }

    #[getter]
    fn number(&self) -> u64 {
        self.0.number()
    }

    fn change(&self) {
        self.0.change();
    }
}

/// Who is told how far a log reaches.
pub type Owner = Arc<Py<PyAny>>;

/// What is settled about partitions.
#[pyclass(module = "fastlog.native._core")]
#[derive(Debug)]
pub struct SettledTable(settled::SettledTable<Owner>);

impl SettledTable {
    /// The table of the core.
    pub fn inner(&mut self) -> &mut settled::SettledTable<Owner> {
        &mut self.0
    }
}

#[pymethods]
impl SettledTable {
    #[new]
    fn new() -> Self {
        Self(settled::SettledTable::default())
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn has(&self, topic: &str, partition: i32) -> bool {
        self.0.has(topic, partition)
    }

    #[pyo3(signature = (topic, partition, *, log, leader_epoch, acks_all, owner, generation, decided_in))]
    #[allow(clippy::too_many_arguments)] // keyword-only in Python
    fn enter(
        &mut self,
        topic: &str,
        partition: i32,
        log: &Log,
        leader_epoch: i32,
        acks_all: bool,
        owner: Py<PyAny>,
        generation: &Generation,
        decided_in: u64,
    ) {
        let entry = Entry {
            log: log.inner().clone(),
            leader_epoch,
            acks_all,
            owner: Arc::new(owner),
            generation: generation.0.clone(),
            decided_in,
        };
        self.0.enter(topic, partition, entry);
    }

    fn withdraw(&mut self, topic: &str, partition: i32) {
        self.0.withdraw(topic, partition);
    }

    fn produce(
        &mut self,
        py: Python<'_>,
        frames: &Bound<'_, PyList>,
        most_seconds: f64,
    ) -> PyResult<Option<Produced>> {
        let frames = frames
            .iter()
            .map(|frame| Ok(frame.cast::<Frame>()?.get().inner().clone()))
            .collect::<PyResult<Vec<wire::Frame>>>()?;
        let most = Duration::try_from_secs_f64(most_seconds).unwrap_or_default();
        let table = &mut self.0;
        let served = py.detach(|| table.produce(&frames, most));
        if served.requests == 0 && served.failure.is_none() {
            return Ok(None);
        }
        let appended = served
            .appended
            .into_iter()
            .map(|(owner, end_offset)| (owner.clone_ref(py), end_offset));
        let appended = PyList::new(py, appended.collect::<Vec<_>>())?;
        let taken_up = PyList::new(py, served.taken_up.iter().map(Duration::as_secs_f64))?;
        Ok(Some(Produced {
            requests: served.requests,
            answers: PyBytes::new(py, &served.answers).unbind(),
            appended: appended.unbind(),
            record_bytes: served.record_bytes,
            taken_up: taken_up.unbind(),
            failure: served.failure.map(|failure| failure.to_string()),
        }))
    }
}

/// What became of requests that were executed.
#[pyclass(frozen, get_all, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct Produced {
    requests: usize,
    answers: Py<PyBytes>,
    appended: Py<PyList>,
    record_bytes: usize,
    taken_up: Py<PyList>,
    failure: Option<String>,
}
