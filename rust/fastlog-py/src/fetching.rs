//! The rows of a fetch on their way in and out: few as a list of tuples, many in lots between which the event
//! loop can do something else.

use std::sync::{Mutex, PoisonError};

use fastlog_core::io_engine::{FetchRow, FetchedRow};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::log::Log;
use crate::plan::topic_id;

/// With more rows than this an outcome is no list: making one holds the event loop.
const MOST_AT_ONCE: usize = 1024;

/// (row, error code, record bytes).
type FetchedTuple = (usize, i16, usize);

/// Rows that are handed over in lots, for one `IoEngine.fetch`.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug, Default)]
pub struct FetchRowBuilder(Mutex<Vec<FetchRow>>);

impl FetchRowBuilder {
    /// All of them; none are left.
    fn take(&self) -> Vec<FetchRow> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[pymethods]
impl FetchRowBuilder {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn add(&self, rows: &Bound<'_, PyList>, start: usize) -> PyResult<()> {
        // Converted before the lock is taken: what Python does meanwhile is not ours to know.
        let mut more = rows_from(rows, start)?;
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(&mut more);
        Ok(())
    }

    fn __len__(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// What became of many rows.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct FetchedRows(Vec<FetchedRow>);

#[pymethods]
impl FetchedRows {
    fn part(&self, start: usize, stop: usize) -> Vec<FetchedTuple> {
        let stop = stop.min(self.0.len());
        (start..stop)
            .map(|index| fetched_tuple(index, &self.0[index]))
            .collect()
    }

    fn has_error(&self, code: i16) -> bool {
        self.0.iter().any(|row| row.error_code == code)
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

/// The rows of a job: from a list of tuples, or those that a builder has.
pub fn rows_of(rows: &Bound<'_, PyAny>) -> PyResult<Vec<FetchRow>> {
    if let Ok(builder) = rows.cast::<FetchRowBuilder>() {
        return Ok(builder.get().take());
    }
    rows_from(rows.cast::<PyList>()?, 0)
}

/// The outcome of each row, for Python.
pub fn outcomes(py: Python<'_>, rows: Vec<FetchedRow>) -> PyResult<Bound<'_, PyAny>> {
    if rows.len() > MOST_AT_ONCE {
        return Ok(Bound::new(py, FetchedRows(rows))?.into_any());
    }
    let tuples = rows
        .iter()
        .enumerate()
        .map(|(index, row)| fetched_tuple(index, row));
    Ok(PyList::new(py, tuples)?.into_any())
}

fn fetched_tuple(index: usize, row: &FetchedRow) -> FetchedTuple {
    (index, row.error_code, row.bytes)
}

fn rows_from(rows: &Bound<'_, PyList>, start: usize) -> PyResult<Vec<FetchRow>> {
    let mut made = Vec::with_capacity(rows.len().saturating_sub(start));
    // The length is looked at each time: converting a field may run code that changes the list.
    let mut index = start;
    while index < rows.len() {
        made.push(fetch_row(&rows.get_item(index)?)?);
        index += 1;
    }
    Ok(made)
}

/// Sizes come from requests, where a client may send a negative one.
pub fn size(bytes: i64) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}

fn fetch_row(row: &Bound<'_, PyAny>) -> PyResult<FetchRow> {
    let row = row.cast::<PyTuple>()?;
    if row.len() != 16 {
        return Err(PyValueError::new_err(format!(
            "a fetch row has 16 fields, not {}",
            row.len()
        )));
    }
    let field = |index| row.get_borrowed_item(index);
    let log = field(11)?;
    Ok(FetchRow {
        topic: field(0)?.extract()?,
        topic_id: topic_id(field(1)?.extract()?)?,
        partition: field(2)?.extract()?,
        error_code: field(3)?.extract()?,
        high_watermark: field(4)?.extract()?,
        last_stable_offset: field(5)?.extract()?,
        log_start_offset: field(6)?.extract()?,
        diverging_epoch: field(7)?.extract()?,
        current_leader: field(8)?.extract()?,
        committed: field(9)?.extract()?,
        preferred_read_replica: field(10)?.extract()?,
        log: if log.is_none() {
            None
        } else {
            Some(log.cast::<Log>()?.get().inner().clone())
        },
        fetch_offset: field(12)?.extract()?,
        max_offset: field(13)?.extract()?,
        partition_max_bytes: size(field(14)?.extract()?),
        force: field(15)?.extract()?,
    })
}
