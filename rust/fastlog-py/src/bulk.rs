//! Many records with one call: lists of Python's, and tables of Arrow's.

use std::ops::Range;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use crate::accumulator::{Accumulator, NotYet};
use crate::arrow_records::ArrowBatch;
use crate::payload::{Payload, headers_of, now_ms, slices_of};
use crate::placing::Parcel;
use crate::producing::RecordBatch;

/// A batch, the index of the first record in it, and how many follow each other.
type Run = (Py<PyAny>, u32, u32);

/// What all records have in common: headers, the partition and the time, as far as they are given.
type Common<'a, 'py> = (&'a Bound<'py, PyAny>, Option<i64>, Option<i64>);

/// How far a call came.
#[derive(Debug)]
pub struct Sent {
    at: usize,
    why: Option<(u8, i64)>,
    runs: Vec<Run>,
    is_full: bool,
}

impl Sent {
    /// The index of the first record that was not taken, its reason and partition (as of `NotYet`), and the runs.
    pub fn into_parts(self) -> (usize, Option<(u8, i64)>, Vec<Run>) {
        (self.at, self.why, self.runs)
    }

    fn from(at: usize) -> Self {
        Self {
            at,
            why: None,
            runs: Vec::new(),
            is_full: false,
        }
    }

    /// Notes what became of the next record; whether to go on.
    fn note(&mut self, py: Python<'_>, taken: PyResult<(Py<RecordBatch>, u32, bool)>) -> PyResult<bool> {
        match taken {
            Ok((batch, index, full)) => {
                self.is_full |= full;
                self.at += 1;
                match self.runs.last_mut() {
                    Some((last, first, count))
                        if last.as_ptr() == batch.as_ptr() && *first + *count == index =>
                    {
                        *count += 1;
                    }
                    _ => self.runs.push((batch.into_any(), index, 1)),
                }
                Ok(true)
            }
            Err(error) if error.is_instance_of::<NotYet>(py) => {
                self.why = Some(error.value(py).getattr("args")?.extract()?);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn done(self, py: Python<'_>, accumulator: &Accumulator) -> PyResult<Self> {
        if self.is_full {
            accumulator.wake(py)?;
        }
        Ok(self)
    }
}

/// Puts the records `range` of lists into batches, as far as they are taken.
pub fn send_lists<'py>(
    accumulator: &Accumulator,
    topic: &Bound<'py, PyString>,
    (values, keys): (&Bound<'py, PyList>, Option<&Bound<'py, PyList>>),
    (headers, partition, timestamp_ms): Common<'_, 'py>,
    range: Range<usize>,
) -> PyResult<Sent> {
    let py = topic.py();
    let headers = headers_of(headers)?;
    let headers = slices_of(&headers);
    let timestamp = timestamp_ms.map_or_else(now_ms, Ok)?;
    let none = py.None().into_bound(py);
    let mut sent = Sent::from(range.start);
    while sent.at < range.end.min(values.len()) {
        let value = values.get_item(sent.at)?;
        let key = keys.map_or_else(|| Ok(none.clone()), |keys| keys.get_item(sent.at))?;
        let value = Payload::of(&value, "value")?;
        let key = Payload::of(&key, "key")?;
        let parcel = Parcel {
            key: key.bytes(),
            value: value.bytes(),
            headers: &headers,
            timestamp,
            callback: None,
        };
        let taken = accumulator.take(py, topic, partition, &parcel, false);
        if !sent.note(py, taken)? {
            break;
        }
    }
    sent.done(py, accumulator)
}

/// Puts the rows `range` of a table into batches, as far as they are taken.
pub fn send_rows<'py>(
    accumulator: &Accumulator,
    topic: &Bound<'py, PyString>,
    rows: &ArrowBatch,
    (headers, partition, timestamp_ms): Common<'_, 'py>,
    range: Range<usize>,
) -> PyResult<Sent> {
    let py = topic.py();
    let common = headers_of(headers)?;
    let common = slices_of(&common);
    let timestamp = timestamp_ms.map_or_else(now_ms, Ok)?;
    let rows = rows.rows();
    let (has_headers, ..) = rows.columns();
    let mut own = Vec::new();
    let mut sent = Sent::from(range.start);
    while sent.at < range.end.min(rows.len()) {
        let row = match rows.get(sent.at, &mut own) {
            Ok(row) => row,
            Err(reason) if sent.runs.is_empty() => return Err(PyValueError::new_err(reason)),
            // What was taken is told first; the next call comes here again.
            Err(_) => break,
        };
        let parcel = Parcel {
            key: row.key,
            value: row.value,
            headers: if has_headers { &own } else { &common },
            timestamp: row.timestamp.unwrap_or(timestamp),
            callback: None,
        };
        let taken = accumulator.take(py, topic, row.partition.or(partition), &parcel, false);
        if !sent.note(py, taken)? {
            break;
        }
    }
    sent.done(py, accumulator)
}
