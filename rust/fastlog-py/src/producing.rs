//! A producer's batches, and what the sender of a record is told: where it went, once somebody asks.

use fastlog_core::Codec;
use fastlog_core::batch::{BatchBuilder, HEADER_SIZE, read_records, stamp_producer};
use fastlog_core::compression::DecompressionLimit;
use pyo3::exceptions::{PyIndexError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::buffers::Chunk;
use crate::codecs::codec_named;
use crate::errors::IntoPyResult;

/// Where a record has gone.
#[pyclass(frozen, eq, hash, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct RecordMetadata {
    #[pyo3(get)]
    topic: Py<PyString>,
    #[pyo3(get)]
    partition: i32,
    #[pyo3(get)]
    offset: i64,
    #[pyo3(get)]
    timestamp: i64,
}

impl RecordMetadata {
    fn fields(&self) -> (i32, i64, i64) {
        (self.partition, self.offset, self.timestamp)
    }
}

impl PartialEq for RecordMetadata {
    fn eq(&self, other: &Self) -> bool {
        self.fields() == other.fields()
            && Python::attach(|py| text(&self.topic, py) == text(&other.topic, py))
    }
}

impl std::hash::Hash for RecordMetadata {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.fields().hash(state);
    }
}

#[pymethods]
impl RecordMetadata {
    #[classattr]
    fn __match_args__() -> (&'static str, &'static str, &'static str, &'static str) {
        ("topic", "partition", "offset", "timestamp")
    }

    #[new]
    fn new(topic: Py<PyString>, partition: i32, offset: i64, timestamp: i64) -> Self {
        Self {
            topic,
            partition,
            offset,
            timestamp,
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!(
            "RecordMetadata(topic={}, partition={}, offset={}, timestamp={})",
            self.topic.bind(py).repr()?,
            self.partition,
            self.offset,
            self.timestamp
        ))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let this = slf.get();
        let fields = (
            this.topic.clone_ref(py),
            this.partition,
            this.offset,
            this.timestamp,
        );
        Ok((slf.get_type().into_any(), fields.into_pyobject(py)?))
    }
}

/// The text of a string that was checked when it came; a lone surrogate makes it empty.
fn text(string: &Py<PyString>, py: Python<'_>) -> String {
    string
        .bind(py)
        .to_str()
        .map_or_else(|_| String::new(), ToOwned::to_owned)
}

/// What became of one record, once somebody asks: the record `index` of a batch.
///
/// The batch is asked through its methods `done_at`, `result_at`, `exception_at`, `wait_at` and `call_at`.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct Delivery {
    #[pyo3(get)]
    batch: Py<PyAny>,
    #[pyo3(get)]
    index: u32,
}

impl Delivery {
    /// The record `index` of `batch`.
    pub fn of(batch: Py<PyAny>, index: u32) -> Self {
        Self { batch, index }
    }
}

#[pymethods]
impl Delivery {
    #[new]
    fn new(batch: Py<PyAny>, index: u32) -> Self {
        Self::of(batch, index)
    }

    fn done(&self, py: Python<'_>) -> PyResult<bool> {
        self.batch
            .bind(py)
            .call_method1("done_at", (self.index,))?
            .is_truthy()
    }

    #[pyo3(signature = (timeout=None))]
    fn result<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        self.batch
            .bind(py)
            .call_method1("result_at", (self.index, timeout))
    }

    #[pyo3(signature = (timeout=None))]
    fn exception<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        self.batch
            .bind(py)
            .call_method1("exception_at", (self.index, timeout))
    }

    fn add_done_callback(slf: &Bound<'_, Self>, callback: &Bound<'_, PyAny>) -> PyResult<()> {
        let this = slf.get();
        this.batch
            .bind(slf.py())
            .call_method1("call_at", (this.index, callback, slf))
            .map(drop)
    }

    fn __await__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.batch.bind(py).call_method1("wait_at", (self.index,))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let state = if self.done(py)? { "done" } else { "pending" };
        Ok(format!("<Delivery {state}>"))
    }
}

#[derive(Debug)]
enum Outcome {
    /// The first record's offset (-1 unknown), and the broker's time or -1.
    Written(i64, i64),
    /// The error of all records that have none of their own.
    Failed(Py<PyAny>, Vec<(u32, Py<PyAny>)>),
}

/// Records of one partition that are sent, acknowledged or refused together.
#[pyclass(subclass, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct RecordBatch {
    #[pyo3(get)]
    topic: Py<PyString>,
    #[pyo3(get)]
    partition: i32,
    /// Whether it takes no more records.
    #[pyo3(get)]
    closed: bool,
    /// Bytes before compression, the header included.
    #[pyo3(get)]
    size: usize,
    open: Option<BatchBuilder>,
    timestamps: Vec<i64>,
    callbacks: Vec<(u32, Py<PyAny>)>,
    outcome: Option<Outcome>,
}

impl RecordBatch {
    /// Adds a record and returns its index. The batch must not be closed.
    pub fn push<'h>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h [u8], Option<&'h [u8]>), IntoIter: Clone + ExactSizeIterator>,
        callback: Option<Py<PyAny>>,
    ) -> fastlog_core::Result<u32> {
        let Some(open) = &mut self.open else {
            return Err(fastlog_core::Error::InvalidArgument(
                "the batch is sealed".to_owned(),
            ));
        };
        let index = open.record_count() as u32;
        open.append(timestamp, key, value, headers)?;
        self.size = open.uncompressed_size();
        self.timestamps.push(timestamp);
        if let Some(callback) = callback {
            self.callbacks.push((index, callback));
        }
        Ok(index)
    }

    /// Takes no more records from now on.
    pub fn shut(&mut self) {
        self.closed = true;
    }

    /// Whether it takes no more records.
    pub fn is_shut(&self) -> bool {
        self.closed
    }

    /// Bytes before compression, the header included.
    pub fn bytes(&self) -> usize {
        self.size
    }

    fn metadata(&self, py: Python<'_>, index: u32, base_offset: i64, append_time: i64) -> RecordMetadata {
        let created = self.timestamps.get(index as usize).copied().unwrap_or(-1);
        RecordMetadata {
            topic: self.topic.clone_ref(py),
            partition: self.partition,
            offset: if base_offset < 0 {
                -1
            } else {
                base_offset + i64::from(index)
            },
            timestamp: if append_time < 0 { created } else { append_time },
        }
    }
}

#[pymethods]
impl RecordBatch {
    #[new]
    #[pyo3(signature = (topic, partition, capacity=0))]
    fn new(topic: Py<PyString>, partition: i32, capacity: usize) -> Self {
        Self {
            topic,
            partition,
            closed: false,
            size: HEADER_SIZE,
            open: Some(BatchBuilder::new(Codec::None).capacity(capacity)),
            timestamps: Vec::new(),
            callbacks: Vec::new(),
            outcome: None,
        }
    }

    #[getter]
    fn count(&self) -> usize {
        self.timestamps.len()
    }

    #[getter]
    fn is_done(&self) -> bool {
        self.outcome.is_some()
    }

    fn close(&mut self) {
        self.shut();
    }

    /// The batch's bytes, compressed; it is closed and its records are let go.
    #[pyo3(signature = (*, codec, level=None, producer_id=-1, producer_epoch=-1, base_sequence=-1, transactional=false))]
    fn seal(
        slf: &Bound<'_, Self>,
        codec: &str,
        level: Option<i32>,
        producer_id: i64,
        producer_epoch: i16,
        base_sequence: i32,
        transactional: bool,
    ) -> PyResult<Chunk> {
        let py = slf.py();
        let codec = codec_named(codec)?;
        let taken = {
            let mut this = slf.borrow_mut();
            this.closed = true;
            this.open.take()
        };
        let builder = taken.ok_or_else(|| PyRuntimeError::new_err("the batch was sealed before"))?;
        let mut builder =
            builder
                .codec(codec)
                .level(level)
                .producer(producer_id, producer_epoch, base_sequence);
        if transactional {
            builder = builder.transactional();
        }
        let bytes = py.detach(|| builder.build()).into_py_result(py)?;
        Ok(Chunk::new(bytes))
    }

    /// The same records under another identity.
    #[staticmethod]
    fn restamped(
        py: Python<'_>,
        data: &Chunk,
        producer_id: i64,
        producer_epoch: i16,
        base_sequence: i32,
    ) -> Chunk {
        py.detach(|| {
            let mut bytes = data.as_bytes().to_vec();
            stamp_producer(&mut bytes, producer_id, producer_epoch, base_sequence);
            Chunk::new(bytes)
        })
    }

    /// Moves the records of a sealed batch (`data`) to two others that are empty.
    fn split(
        slf: &Bound<'_, Self>,
        data: &Chunk,
        first: &Bound<'_, Self>,
        second: &Bound<'_, Self>,
    ) -> PyResult<u32> {
        let py = slf.py();
        let (count, callbacks) = {
            let mut this = slf.borrow_mut();
            this.closed = true;
            (this.timestamps.len(), std::mem::take(&mut this.callbacks))
        };
        let middle = (count / 2) as u32;
        let records = py
            .detach(|| read_records(data.as_bytes(), DecompressionLimit::default()))
            .into_py_result(py)?;
        let (mut front, mut back) = (first.borrow_mut(), second.borrow_mut());
        for (index, record) in records.iter().enumerate() {
            let record = record.into_py_result(py)?;
            let half = if (index as u32) < middle {
                &mut front
            } else {
                &mut back
            };
            half.push(record.timestamp, record.key, record.value, record.headers, None)
                .into_py_result(py)?;
        }
        for (index, callback) in callbacks {
            if index < middle {
                front.callbacks.push((index, callback));
            } else {
                back.callbacks.push((index - middle, callback));
            }
        }
        front.closed = true;
        back.closed = true;
        Ok(middle)
    }

    /// All records are written; calls their callbacks.
    fn succeed(slf: &Bound<'_, Self>, base_offset: i64, append_time_ms: i64) {
        let py = slf.py();
        let (callbacks, results) = {
            let mut this = slf.borrow_mut();
            this.outcome = Some(Outcome::Written(base_offset, append_time_ms));
            let callbacks = std::mem::take(&mut this.callbacks);
            let results: Vec<RecordMetadata> = callbacks
                .iter()
                .map(|(index, _)| this.metadata(py, *index, base_offset, append_time_ms))
                .collect();
            (callbacks, results)
        };
        for ((_, callback), result) in callbacks.into_iter().zip(results) {
            let called = Bound::new(py, result).and_then(|result| callback.call1(py, (result, py.None())));
            report(py, called, &callback);
        }
    }

    /// No record is written; calls their callbacks. Whether there were any.
    fn fail(
        slf: &Bound<'_, Self>,
        error: Py<PyAny>,
        of_records: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let mut own: Vec<(u32, Py<PyAny>)> = Vec::new();
        for (index, error) in of_records.into_iter().flatten() {
            own.push((index.extract()?, error.unbind()));
        }
        let callbacks = std::mem::take(&mut slf.borrow_mut().callbacks);
        let told: Vec<(Py<PyAny>, Py<PyAny>)> = callbacks
            .into_iter()
            .map(|(index, callback)| (callback, error_of(&error, &own, index).clone_ref(py)))
            .collect();
        slf.borrow_mut().outcome = Some(Outcome::Failed(error, own));
        let any = !told.is_empty();
        for (callback, error) in told {
            report(py, callback.call1(py, (py.None(), error)), &callback);
        }
        Ok(any)
    }

    /// Where a record has gone. Raises what it failed with.
    fn metadata_at(&self, py: Python<'_>, index: u32) -> PyResult<RecordMetadata> {
        match &self.outcome {
            Some(Outcome::Written(base_offset, append_time)) => {
                Ok(self.metadata(py, index, *base_offset, *append_time))
            }
            Some(Outcome::Failed(error, own)) => {
                let error = error_of(error, own, index).bind(py);
                // It may be raised for every record: what one has added to its traceback is not for the next.
                error.setattr("__traceback__", py.None())?;
                Err(PyErr::from_value(error.clone()))
            }
            None => Err(PyIndexError::new_err("nothing is known of the record")),
        }
    }

    /// What a record failed with, or None.
    fn error_at(&self, py: Python<'_>, index: u32) -> Option<Py<PyAny>> {
        match &self.outcome {
            Some(Outcome::Failed(error, own)) => Some(error_of(error, own, index).clone_ref(py)),
            _ => None,
        }
    }
}

fn error_of<'e>(error: &'e Py<PyAny>, own: &'e [(u32, Py<PyAny>)], index: u32) -> &'e Py<PyAny> {
    own.iter()
        .find(|(at, _)| *at == index)
        .map_or(error, |(_, error)| error)
}

/// A callback that raises harms nobody else; Python tells of it as of an error in a destructor.
fn report(py: Python<'_>, called: PyResult<Py<PyAny>>, callback: &Py<PyAny>) {
    if let Err(error) = called {
        error.write_unraisable(py, Some(callback.bind(py)));
    }
}
