//! What a consumer gets: records as objects, made of the answer to a fetch as they are asked for.

use fastlog_core::AbortedTxn;
use fastlog_core::batch::{FetchedRecords as Walk, RecordRef, TimestampType};
use fastlog_core::compression::DecompressionLimit;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use crate::buffers::ReadBuffer;
use crate::tables::TableBuilder;

/// One record.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct Record {
    #[pyo3(get)]
    topic: Py<PyString>,
    #[pyo3(get)]
    partition: i32,
    #[pyo3(get)]
    offset: i64,
    #[pyo3(get)]
    timestamp: i64,
    #[pyo3(get)]
    key: Option<Py<PyBytes>>,
    #[pyo3(get)]
    value: Option<Py<PyBytes>>,
    headers: Option<Py<PyList>>,
    #[pyo3(get)]
    is_append_time: bool,
    #[pyo3(get)]
    leader_epoch: i32,
}

impl Record {
    /// A record out of its parts: offset and timestamp, key and value.
    pub fn of(
        topic: Py<PyString>,
        partition: i32,
        (offset, timestamp): (i64, i64),
        (key, value): (Option<Py<PyBytes>>, Option<Py<PyBytes>>),
        headers: Option<Py<PyList>>,
        is_append_time: bool,
        leader_epoch: i32,
    ) -> Self {
        Self {
            topic,
            partition,
            offset,
            timestamp,
            key,
            value,
            headers,
            is_append_time,
            leader_epoch,
        }
    }

    fn fields<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let (py, this) = (slf.py(), slf.get());
        (
            this.topic.clone_ref(py),
            this.partition,
            this.offset,
            this.timestamp,
            this.key.as_ref().map(|key| key.clone_ref(py)),
            this.value.as_ref().map(|value| value.clone_ref(py)),
            this.headers(py),
            this.is_append_time,
            this.leader_epoch,
        )
            .into_pyobject(py)
    }
}

#[pymethods]
impl Record {
    #[classattr]
    fn __match_args__() -> (
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
    ) {
        ("topic", "partition", "offset", "timestamp", "key", "value")
    }

    #[new]
    #[allow(clippy::too_many_arguments)] // one per field
    #[pyo3(signature = (topic, partition, offset, timestamp, key, value, headers=None, is_append_time=false, leader_epoch=-1))]
    fn new(
        topic: Py<PyString>,
        partition: i32,
        offset: i64,
        timestamp: i64,
        key: Option<Py<PyBytes>>,
        value: Option<Py<PyBytes>>,
        headers: Option<Py<PyList>>,
        is_append_time: bool,
        leader_epoch: i32,
    ) -> Self {
        Self {
            topic,
            partition,
            offset,
            timestamp,
            key,
            value,
            headers,
            is_append_time,
            leader_epoch,
        }
    }

    #[getter]
    fn headers(&self, py: Python<'_>) -> Py<PyList> {
        self.headers
            .as_ref()
            .map_or_else(|| PyList::empty(py).unbind(), |headers| headers.clone_ref(py))
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        match other.cast::<Self>() {
            Ok(other) => Self::fields(slf)?.eq(Self::fields(other)?),
            Err(_) => Ok(false),
        }
    }

    fn __hash__(slf: &Bound<'_, Self>) -> PyResult<isize> {
        let this = slf.get();
        (this.topic.clone_ref(slf.py()), this.partition, this.offset)
            .into_pyobject(slf.py())?
            .hash()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let py = slf.py();
        Ok(format!(
            "Record(topic={}, partition={}, offset={}, timestamp={}, key={}, value={}, headers={})",
            this.topic.bind(py).repr()?,
            this.partition,
            this.offset,
            this.timestamp,
            this.key.as_ref().into_pyobject(py)?.repr()?,
            this.value.as_ref().into_pyobject(py)?.repr()?,
            this.headers(py).bind(py).repr()?,
        ))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        Ok((slf.get_type().into_any(), Self::fields(slf)?))
    }
}

/// The records of one partition in the answer to a fetch; they are read when they are taken.
#[pyclass(module = "fastlog.native._core")]
#[derive(Debug)]
pub struct FetchedRecords {
    walk: Walk,
    data: ReadBuffer,
    topic: Py<PyString>,
    partition: i32,
}

#[pymethods]
impl FetchedRecords {
    #[new]
    fn new(
        topic: Py<PyString>,
        partition: i32,
        data: ReadBuffer,
        position: i64,
        until: Option<i64>,
        aborted: Vec<(i64, i64)>,
    ) -> Self {
        let aborted = aborted
            .into_iter()
            .map(|(producer_id, first_offset)| AbortedTxn {
                producer_id,
                first_offset,
                last_offset: i64::MAX,
                last_stable_offset: -1,
            })
            .collect();
        Self {
            walk: Walk::new(
                position,
                until.unwrap_or(i64::MAX),
                aborted,
                DecompressionLimit::default(),
            ),
            data,
            topic,
            partition,
        }
    }

    /// At most `most` records, in order.
    fn take<'py>(&mut self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyList>> {
        let Self {
            walk,
            data,
            topic,
            partition,
        } = self;
        let list = PyList::empty(py);
        let mut failed: Option<PyErr> = None;
        walk.visit(data.as_bytes(), most, |header, record| {
            let is_append_time = header.timestamp_type() == TimestampType::LogAppendTime;
            let made = headers_of(py, &record).and_then(|headers| {
                let record = Record {
                    topic: topic.clone_ref(py),
                    partition: *partition,
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: record.key.map(|key| PyBytes::new(py, key).unbind()),
                    value: record.value.map(|value| PyBytes::new(py, value).unbind()),
                    headers,
                    is_append_time,
                    leader_epoch: header.partition_leader_epoch,
                };
                list.append(Bound::new(py, record)?)
            });
            if let Err(error) = made {
                failed.get_or_insert(error);
            }
        });
        failed.map_or(Ok(list), Err)
    }

    /// Adds at most `most` records to a table, and none once it has reached `most_bytes`; returns how many.
    fn take_into(
        &mut self,
        py: Python<'_>,
        table: &Bound<'_, TableBuilder>,
        most: usize,
        most_bytes: usize,
    ) -> PyResult<usize> {
        let Self {
            walk,
            data,
            topic,
            partition,
        } = self;
        let name = topic.bind(py).to_str()?;
        let mut builder = table.borrow_mut();
        let rows = builder.table()?;
        let bytes = data.as_bytes();
        Ok(py.detach(|| {
            let taken = rows.take(walk, bytes, most, most_bytes);
            rows.close_part(name, *partition, walk.position());
            taken
        }))
    }

    /// Whether there is a batch with records to take.
    fn has_records(&mut self) -> bool {
        let Self { walk, data, .. } = self;
        walk.has_records(data.as_bytes())
    }

    #[getter]
    fn position(&self) -> i64 {
        self.walk.position()
    }

    #[getter]
    fn leader_epoch(&self) -> i32 {
        self.walk.leader_epoch()
    }

    #[getter]
    fn is_over(&self) -> bool {
        self.walk.is_over()
    }

    /// The damaged batch that ended the reading: its offset, the next one's, and what is wrong.
    #[getter]
    fn damage(&self) -> Option<(i64, i64, String)> {
        self.walk
            .damage()
            .map(|damage| (damage.offset, damage.next_offset, damage.reason.clone()))
    }
}

fn headers_of(py: Python<'_>, record: &RecordRef<'_>) -> PyResult<Option<Py<PyList>>> {
    if record.headers.is_empty() {
        return Ok(None);
    }
    let list = PyList::empty(py);
    for (name, value) in record.headers.clone() {
        // Java's clients read what is no UTF-8 with replacement characters, too.
        let name = String::from_utf8_lossy(name);
        list.append((name.as_ref(), value.map(|value| PyBytes::new(py, value))))?;
    }
    if list.len() != record.headers.len() {
        return Err(PyRuntimeError::new_err("headers are missing"));
    }
    Ok(Some(list.unbind()))
}
