//! A log that somebody else writes, read from its directory.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use fastlog_core::arrow::{ArrowTable, stream_of};
use fastlog_core::batch::TablePool;
use fastlog_core::env::StdFs;
use fastlog_core::log_reader::{Ask, LogReader as Core, ReaderOptions};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::errors::IntoPyResult;
use crate::tables::{STREAM, TableBuilder};

/// The log of a partition, read only.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct LogReader {
    core: Arc<Mutex<Core>>,
    #[pyo3(get)]
    topic: String,
    #[pyo3(get)]
    partition: i32,
}

impl LogReader {
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Core) -> fastlog_core::Result<T> + Send,
    ) -> PyResult<T> {
        // Without the GIL, so that whoever waits for the lock keeps nobody from it.
        py.detach(|| act(&mut self.core.lock().unwrap_or_else(PoisonError::into_inner)))
            .into_py_result(py)
    }
}

#[pymethods]
impl LogReader {
    #[staticmethod]
    #[pyo3(signature = (path, *, to_committed_end=true, read_committed=false))]
    fn open(py: Python<'_>, path: &str, to_committed_end: bool, read_committed: bool) -> PyResult<Self> {
        let options = ReaderOptions {
            to_committed_end,
            read_committed,
        };
        let core = py
            .detach(|| Core::open(Arc::new(StdFs), Path::new(path), options))
            .into_py_result(py)?;
        Ok(Self {
            topic: core.topic().to_owned(),
            partition: core.partition(),
            core: Arc::new(Mutex::new(core)),
        })
    }

    #[getter]
    fn start_offset(&self, py: Python<'_>) -> PyResult<i64> {
        self.with(py, Core::start_offset)
    }

    #[getter]
    fn end_offset(&self, py: Python<'_>) -> PyResult<i64> {
        self.with(py, Core::end_offset)
    }

    /// Adds records to a table: the offset to go on from, whether there is nothing more now, and the damaged batch
    /// that ended it as (its offset, the next one's, what is wrong).
    #[allow(clippy::type_complexity)]
    fn read_into(
        &self,
        py: Python<'_>,
        table: &Bound<'_, TableBuilder>,
        position: i64,
        until: Option<i64>,
        most_rows: usize,
        most_bytes: usize,
    ) -> PyResult<(i64, bool, Option<(i64, i64, String)>)> {
        let ask = Ask {
            position,
            until: until.unwrap_or(i64::MAX),
            most_rows,
            most_bytes,
        };
        let mut builder = table.borrow_mut();
        let rows = builder.table()?;
        let took = self.with(py, |core| core.read(rows, &ask))?;
        let damage = took
            .damage
            .map(|damage| (damage.offset, damage.next_offset, damage.reason));
        Ok((took.next_offset, took.is_at_end, damage))
    }

    /// All records from `position` to `until` as an Arrow stream, each table read when it is asked for.
    fn stream<'py>(
        &self,
        py: Python<'py>,
        position: i64,
        until: i64,
        most_bytes: usize,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let core = Arc::clone(&self.core);
        let mut at = position;
        let pool = Arc::<TablePool>::default();
        let stream = stream_of(move || next_table(&core, &pool, &mut at, until, most_bytes));
        PyCapsule::new_with_value(py, stream, STREAM)
    }
}

fn next_table(
    core: &Mutex<Core>,
    pool: &Arc<TablePool>,
    at: &mut i64,
    until: i64,
    most_bytes: usize,
) -> Result<Option<Arc<ArrowTable>>, String> {
    if *at >= until {
        return Ok(None);
    }
    let ask = Ask {
        position: *at,
        until,
        most_rows: usize::MAX,
        most_bytes,
    };
    let mut table = pool.take();
    let took = core
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .read(&mut table, &ask)
        .map_err(|error| error.to_string())?;
    *at = if took.is_at_end { until } else { took.next_offset };
    match took.damage {
        // The next call comes here again.
        Some(damage) if table.is_empty() => Err(format!(
            "the batch at offset {} is damaged: {}",
            damage.offset, damage.reason
        )),
        _ => Ok((!table.is_empty()).then(|| ArrowTable::pooled(table, Some(Arc::clone(pool))))),
    }
}
