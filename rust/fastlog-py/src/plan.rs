//! Produce and Fetch requests as flat rows of tuples.

use std::borrow::Cow;
use std::sync::Arc;

use fastlog_core::batch::RecordError;
use fastlog_core::wire::{self, NodeEndpoint, ProduceRowResult, TopicRef};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyList, PyString};

use crate::errors::IntoPyResult;
use crate::frame::Frame;

/// Parsing a frame of this size or more is worth giving up the GIL for. Records are not looked into, so only
/// requests with very many partitions take noticeable time.
const DETACH_BYTES: usize = 256 * 1024;

/// A node endpoint as (node id, host, port, rack).
pub type EndpointTuple = (i32, String, i32, Option<String>);

/// One row of the argument of `encode_response`; see `ProduceResponseRow` in shapes.py.
type ResultTuple = (
    i16,
    i64,
    i64,
    i64,
    Option<Vec<(i32, Option<String>)>>,
    Option<String>,
    Option<(i32, i32)>,
);

/// The endpoints of an answer.
pub fn endpoints(tuples: Vec<EndpointTuple>) -> Vec<NodeEndpoint> {
    let endpoint = |(node_id, host, port, rack)| NodeEndpoint {
        node_id,
        host,
        port,
        rack,
    };
    tuples.into_iter().map(endpoint).collect()
}

/// A Produce request of versions 3 to 12 as flat rows; the records stay in the frame.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct ProducePlan(Arc<wire::ProducePlan>);

impl ProducePlan {
    /// The plan of the core.
    pub fn inner(&self) -> &Arc<wire::ProducePlan> {
        &self.0
    }
}

#[pymethods]
impl ProducePlan {
    #[staticmethod]
    fn parse(py: Python<'_>, frame: &Frame) -> PyResult<Self> {
        let frame = frame.inner().clone();
        let plan = if frame.len() < DETACH_BYTES {
            wire::ProducePlan::parse(frame)
        } else {
            py.detach(|| wire::ProducePlan::parse(frame))
        };
        Ok(Self(Arc::new(plan.into_py_result(py)?)))
    }

    #[getter]
    fn acks(&self) -> i16 {
        self.0.acks()
    }

    #[getter]
    fn timeout_ms(&self) -> i32 {
        self.0.timeout_ms()
    }

    #[getter]
    fn transactional_id(&self) -> Option<Cow<'_, str>> {
        self.0.transactional_id()
    }

    #[getter]
    fn is_transactional(&self) -> bool {
        self.0.is_transactional()
    }

    #[getter]
    fn transactional_batches(&self) -> Vec<(usize, i64, i16, i32)> {
        self.0
            .transactional_batches()
            .map(|(row, header)| {
                (
                    row,
                    header.producer_id,
                    header.producer_epoch,
                    header.base_sequence,
                )
            })
            .collect()
    }

    #[getter]
    fn version(&self) -> i16 {
        self.0.version()
    }

    #[getter]
    fn correlation_id(&self) -> i32 {
        self.0.correlation_id()
    }

    #[getter]
    fn total_bytes(&self) -> usize {
        self.0.total_bytes()
    }

    #[getter]
    fn rows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        for topic in self.0.rows().chunk_by(|row, next| row.topic == next.topic) {
            let name = PyString::new(py, &self.0.topic(&topic[0]));
            for row in topic {
                let bytes = row.records.map_or(-1, |records| records.len() as i64);
                rows.append((&name, row.partition, bytes))?;
            }
        }
        Ok(rows)
    }

    #[pyo3(signature = (results, throttle_ms=0, node_endpoints=vec![]))]
    fn encode_response<'py>(
        &self,
        py: Python<'py>,
        results: Vec<ResultTuple>,
        throttle_ms: i32,
        node_endpoints: Vec<EndpointTuple>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let results: Vec<_> = results.into_iter().map(row_result).collect();
        let response = self
            .0
            .encode_response(&results, throttle_ms, &endpoints(node_endpoints));
        Ok(PyBytes::new(py, &response.into_py_result(py)?))
    }
}

fn row_result(tuple: ResultTuple) -> ProduceRowResult {
    let (error_code, base_offset, log_append_time, log_start_offset, record_errors, error_message, leader) =
        tuple;
    let record_error = |(index, message)| RecordError { index, message };
    ProduceRowResult {
        error_code,
        base_offset,
        log_append_time,
        log_start_offset,
        record_errors: record_errors
            .unwrap_or_default()
            .into_iter()
            .map(record_error)
            .collect(),
        error_message,
        current_leader: leader,
    }
}

/// A Fetch request of versions 4 to 17 as flat rows.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct FetchPlan(wire::FetchPlan);

impl FetchPlan {
    fn tuples<'py>(&self, py: Python<'py>, rows: &[wire::FetchRow]) -> PyResult<Bound<'py, PyList>> {
        let tuples = PyList::empty(py);
        // Sessions keep these numbers, most of which are the same for all partitions: they share one object.
        let mut shared: Option<(i32, Bound<'py, PyInt>)> = None;
        for topic in rows.chunk_by(|row, next| row.topic == next.topic) {
            let (name, id) = topic_objects(py, self.0.topic(topic[0].topic));
            for row in topic {
                let bytes = row.partition_max_bytes;
                let max_bytes = match shared.take() {
                    Some((known, object)) if known == bytes => object,
                    _ => PyInt::new(py, bytes),
                };
                tuples.append((
                    &name,
                    &id,
                    row.partition,
                    row.current_leader_epoch,
                    row.fetch_offset,
                    row.last_fetched_epoch,
                    row.log_start_offset,
                    &max_bytes,
                ))?;
                shared = Some((bytes, max_bytes));
            }
        }
        Ok(tuples)
    }
}

#[pymethods]
impl FetchPlan {
    #[staticmethod]
    fn parse(py: Python<'_>, frame: &Frame) -> PyResult<Self> {
        let frame = frame.inner().clone();
        let plan = if frame.len() < DETACH_BYTES {
            wire::FetchPlan::parse(frame)
        } else {
            py.detach(|| wire::FetchPlan::parse(frame))
        };
        Ok(Self(plan.into_py_result(py)?))
    }

    #[getter]
    fn version(&self) -> i16 {
        self.0.version()
    }

    #[getter]
    fn correlation_id(&self) -> i32 {
        self.0.correlation_id()
    }

    #[getter]
    fn replica_id(&self) -> i32 {
        self.0.replica_id()
    }

    #[getter]
    fn replica_epoch(&self) -> i64 {
        self.0.replica_epoch()
    }

    #[getter]
    fn max_wait_ms(&self) -> i32 {
        self.0.max_wait_ms()
    }

    #[getter]
    fn min_bytes(&self) -> i32 {
        self.0.min_bytes()
    }

    #[getter]
    fn max_bytes(&self) -> i32 {
        self.0.max_bytes()
    }

    #[getter]
    fn isolation_level(&self) -> i8 {
        self.0.isolation_level()
    }

    #[getter]
    fn session_id(&self) -> i32 {
        self.0.session_id()
    }

    #[getter]
    fn session_epoch(&self) -> i32 {
        self.0.session_epoch()
    }

    #[getter]
    fn rack_id(&self) -> Cow<'_, str> {
        self.0.rack_id()
    }

    fn __len__(&self) -> usize {
        self.0.rows().len()
    }

    #[getter]
    fn rows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.tuples(py, self.0.rows())
    }

    fn part<'py>(&self, py: Python<'py>, start: usize, stop: usize) -> PyResult<Bound<'py, PyList>> {
        let rows = self.0.rows();
        let stop = stop.min(rows.len());
        self.tuples(py, &rows[start.min(stop)..stop])
    }

    #[getter]
    fn forgotten<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        for row in self.0.forgotten() {
            let (name, id) = topic_objects(py, self.0.topic(row.topic));
            rows.append((name, id, row.partition))?;
        }
        Ok(rows)
    }
}

/// One row of `FetchReply.rows`; see `FetchReplyRow` in shapes.py.
type ReplyTuple<'py> = (
    Option<Bound<'py, PyString>>,
    Option<Bound<'py, PyBytes>>,
    i32,
    i16,
    i64,
    i64,
    Option<(i32, i64)>,
    Option<(i32, i32)>,
    usize,
);

/// The answer to a follower's Fetch of versions 12 to 17 as flat rows; the records stay in the frame.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct FetchReply(Arc<wire::FetchReply>);

impl FetchReply {
    /// The answer of the core.
    pub fn inner(&self) -> &Arc<wire::FetchReply> {
        &self.0
    }
}

#[pymethods]
impl FetchReply {
    #[staticmethod]
    fn parse(py: Python<'_>, frame: &Frame, version: i16, max_rows: usize) -> PyResult<Self> {
        let frame = frame.inner().clone();
        let reply = if frame.len() < DETACH_BYTES {
            wire::FetchReply::parse(frame, version, max_rows)
        } else {
            py.detach(|| wire::FetchReply::parse(frame, version, max_rows))
        };
        Ok(Self(Arc::new(reply.into_py_result(py)?)))
    }

    #[getter]
    fn version(&self) -> i16 {
        self.0.version()
    }

    #[getter]
    fn throttle_ms(&self) -> i32 {
        self.0.throttle_ms()
    }

    #[getter]
    fn error_code(&self) -> i16 {
        self.0.error_code()
    }

    #[getter]
    fn session_id(&self) -> i32 {
        self.0.session_id()
    }

    #[getter]
    fn rows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        for topic in self.0.rows().chunk_by(|row, next| row.topic == next.topic) {
            let (name, id) = topic_objects(py, self.0.topic(&topic[0]));
            for row in topic {
                let tuple: ReplyTuple<'_> = (
                    name.clone(),
                    id.clone(),
                    row.partition,
                    row.error_code,
                    row.high_watermark,
                    row.log_start_offset,
                    row.diverging_epoch,
                    row.current_leader,
                    row.records.map_or(0, wire::Span::len),
                );
                rows.append(tuple)?;
            }
        }
        Ok(rows)
    }
}

type TopicObjects<'py> = (Option<Bound<'py, PyString>>, Option<Bound<'py, PyBytes>>);

/// A topic as (name or None, id or None).
fn topic_objects<'py>(py: Python<'py>, topic: TopicRef<'_>) -> TopicObjects<'py> {
    match topic {
        TopicRef::Name(name) => (Some(PyString::new(py, &name)), None),
        TopicRef::Id(id) => (None, Some(PyBytes::new(py, id))),
    }
}

/// A topic id from Python: 16 bytes.
pub fn topic_id(bytes: &[u8]) -> PyResult<[u8; 16]> {
    bytes
        .try_into()
        .map_err(|_| PyValueError::new_err("a topic id has 16 bytes"))
}
