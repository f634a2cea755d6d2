//! `IoEngine`: jobs in, tuples out. The worker threads hold no Python object and never take the GIL.

use std::collections::HashMap;
use std::sync::Arc;

use fastlog_core::batch::{BatchBuilder, ControlKind, ControlMarker};
use fastlog_core::io_engine::{
    self, AppendContent, AppendJob, AppendRow, Closed, FetchJob, FetchOutcome, Outcome, ProduceJob,
    ProduceRowOutcome, ProduceTarget, ReplicateJob, ReplicateOutcome, ReplicateRow, Trouble,
};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyList, PyTuple};

use crate::buffers::Chunk;
use crate::codecs::codec_named;
use crate::errors::{IntoPyResult, failure_to_py, record_error_to_py};
use crate::fetching::{outcomes, rows_of, size};
use crate::log::Log;
use crate::plan::{EndpointTuple, FetchReply, ProducePlan, endpoints};
use crate::sending::{FileResponse, Socket};

/// (key, value) of one record.
type KeyValue = (Option<PyBackedBytes>, Option<PyBackedBytes>);

/// The transaction that a row of `append` belongs to; see `AppendTransaction` in shapes.py.
type TransactionTuple = (i64, i16, Stage);

/// (log, leader epoch, records, transaction).
type AppendTuple<'py> = (Bound<'py, Log>, i32, Vec<KeyValue>, Option<TransactionTuple>);

/// The first `transaction.version` in which the end of a transaction raises its producer's epoch.
const RAISES_EPOCH: i16 = 2;

/// What a row does with its transaction.
#[derive(FromPyObject)]
enum Stage {
    /// It ends it: whether it commits, epoch of the coordinator, `transaction.version`.
    End((bool, i32, i16)),
    /// Its records are part of it; the guard with which it may begin.
    Part(Option<u64>),
}

/// Native threads that read, append and flush without ever taking the GIL.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct IoEngine(io_engine::IoEngine);

#[pymethods]
impl IoEngine {
    #[new]
    fn new(threads: usize) -> PyResult<Self> {
        Ok(Self(io_engine::IoEngine::new(threads)?))
    }

    fn fileno(&self) -> i32 {
        self.0.event_fd()
    }

    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let results = PyList::empty(py);
        for (token, outcome) in self.0.drain() {
            results.append((token, outcome_object(py, outcome)?))?;
        }
        Ok(results)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }

    #[pyo3(signature = (token, plan, targets, leader_epochs, guards=None))]
    fn produce(
        &self,
        token: u64,
        plan: &ProducePlan,
        targets: &Bound<'_, PyList>,
        leader_epochs: Vec<i32>,
        guards: Option<HashMap<usize, u64>>,
    ) -> PyResult<()> {
        let rows = plan.inner().rows().len();
        if targets.len() != rows || leader_epochs.len() != rows {
            return Err(PyValueError::new_err(format!("the plan has {rows} rows")));
        }
        let target = |(row, (target, epoch)): (usize, (Bound<'_, PyAny>, i32))| {
            Ok(match target.cast::<Log>() {
                Ok(log) => {
                    let guard = guards.as_ref().and_then(|guards| guards.get(&row).copied());
                    ProduceTarget::Append(log.get().inner().clone(), epoch, guard)
                }
                Err(_) => ProduceTarget::Refuse(target.extract()?),
            })
        };
        let targets = targets
            .iter()
            .zip(leader_epochs)
            .enumerate()
            .map(target)
            .collect::<PyResult<_>>()?;
        let job = ProduceJob {
            plan: plan.inner().clone(),
            targets,
        };
        self.0.write(token, move || job.run()).map_err(closed)
    }

    #[pyo3(signature = (token, rows, *, timestamp_ms, codec="none"))]
    fn append(
        &self,
        py: Python<'_>,
        token: u64,
        rows: Vec<AppendTuple<'_>>,
        timestamp_ms: i64,
        codec: &str,
    ) -> PyResult<()> {
        let codec = codec_named(codec)?;
        let row = |(log, leader_epoch, records, transaction): AppendTuple<'_>| {
            let mut batch = BatchBuilder::new(codec);
            for (key, value) in &records {
                batch
                    .append(timestamp_ms, key.as_deref(), value.as_deref(), [])
                    .into_py_result(py)?;
            }
            let content = match transaction {
                None => AppendContent::Records(batch),
                Some((id, epoch, Stage::Part(guard))) => {
                    AppendContent::Transactional(batch.producer(id, epoch, -1), guard)
                }
                Some((id, epoch, Stage::End((commits, coordinator_epoch, version)))) => {
                    let kind = if commits {
                        ControlKind::Commit
                    } else {
                        ControlKind::Abort
                    };
                    AppendContent::Marker {
                        marker: ControlMarker {
                            kind,
                            coordinator_epoch,
                        },
                        producer: (id, epoch),
                        raised_epoch: version >= RAISES_EPOCH,
                        timestamp_ms,
                    }
                }
            };
            Ok(AppendRow {
                log: log.get().inner().clone(),
                leader_epoch,
                content,
            })
        };
        let job = AppendJob {
            rows: rows.into_iter().map(row).collect::<PyResult<_>>()?,
        };
        self.0.write(token, move || job.run()).map_err(closed)
    }

    fn replicate(
        &self,
        token: u64,
        reply: &FetchReply,
        rows: Vec<(usize, Bound<'_, Log>, i32, i64)>,
    ) -> PyResult<()> {
        let row = |(row, log, leader_epoch, fetch_offset): (usize, Bound<'_, Log>, i32, i64)| ReplicateRow {
            row,
            log: log.get().inner().clone(),
            leader_epoch,
            fetch_offset,
        };
        let job = ReplicateJob {
            reply: Arc::clone(reply.inner()),
            rows: rows.into_iter().map(row).collect(),
        };
        self.0.write(token, move || job.run()).map_err(closed)
    }

    fn truncate(&self, token: u64, log: &Log, offset: i64, leader_epoch: i32) -> PyResult<()> {
        let log = log.inner().clone();
        self.0
            .write(token, move || {
                Outcome::from(log.truncate_as_follower(offset, leader_epoch))
            })
            .map_err(closed)
    }

    fn start_over(&self, token: u64, log: &Log, offset: i64, leader_epoch: i32) -> PyResult<()> {
        let log = log.inner().clone();
        self.0
            .write(token, move || {
                Outcome::from(log.start_over_as_follower(offset, leader_epoch))
            })
            .map_err(closed)
    }

    fn lead(&self, token: u64, log: &Log, epoch: i32) -> PyResult<()> {
        let log = log.inner().clone();
        self.0
            .write(token, move || Outcome::from(log.lead(epoch)))
            .map_err(closed)
    }

    fn fence(&self, token: u64, log: &Log, epoch: i32) -> PyResult<()> {
        let log = log.inner().clone();
        self.0
            .write(token, move || Outcome::from(log.fence(epoch)))
            .map_err(closed)
    }

    #[pyo3(signature = (
        token, version, correlation_id, rows, *, max_bytes, min_bytes, throttle_ms=0, error_code=0,
        session_id=0, node_endpoints=vec![], hard_max_bytes=false, from_files=false
    ))]
    #[allow(clippy::too_many_arguments)] // keyword-only in Python
    fn fetch(
        &self,
        token: u64,
        version: i16,
        correlation_id: i32,
        rows: &Bound<'_, PyAny>,
        max_bytes: i64,
        min_bytes: i64,
        throttle_ms: i32,
        error_code: i16,
        session_id: i32,
        node_endpoints: Vec<EndpointTuple>,
        hard_max_bytes: bool,
        from_files: bool,
    ) -> PyResult<()> {
        let job = FetchJob {
            version,
            correlation_id,
            rows: rows_of(rows)?,
            max_bytes: size(max_bytes),
            min_bytes: size(min_bytes),
            hard_max_bytes,
            from_files,
            throttle_ms,
            error_code,
            session_id,
            node_endpoints: endpoints(node_endpoints),
        };
        self.0.read(token, move || job.run()).map_err(closed)
    }

    fn send(&self, token: u64, socket: &Socket, response: &FileResponse, start: usize) -> PyResult<()> {
        self.0
            .send(token, socket.inner(), response.inner(), start)
            .map_err(closed)
    }

    fn copy(&self, token: u64, response: &FileResponse, start: usize, most: usize) -> PyResult<()> {
        self.0.copy(token, response.inner(), start, most).map_err(closed)
    }

    fn flush(&self, token: u64, log: &Log) -> PyResult<()> {
        let log = log.inner().clone();
        self.0
            .write(token, move || Outcome::from(log.flush(None)))
            .map_err(closed)
    }

    fn commit(&self, token: u64, log: &Log) -> PyResult<()> {
        self.0.commit(token, log.inner().clone()).map_err(closed)
    }
}

fn closed(_: Closed) -> PyErr {
    PyRuntimeError::new_err("the I/O engine is closed")
}

fn outcome_object(py: Python<'_>, outcome: Outcome) -> PyResult<Bound<'_, PyAny>> {
    match outcome {
        Outcome::Produced(rows) => {
            let list = PyList::empty(py);
            for row in &rows {
                list.append(produced_tuple(py, row)?)?;
            }
            Ok(list.into_any())
        }
        Outcome::Replicated(rows) => {
            let rows: Vec<_> = rows.iter().map(replicated_tuple).collect();
            Ok(PyList::new(py, rows)?.into_any())
        }
        Outcome::Fetched(FetchOutcome {
            total,
            response,
            rows,
        }) => {
            let chunk = response
                .map(|response| match response.into_memory() {
                    Ok(bytes) => Bound::new(py, Chunk::new(bytes)).map(Bound::into_any),
                    Err(response) => Bound::new(py, FileResponse::new(response)).map(Bound::into_any),
                })
                .transpose()?;
            let rows = outcomes(py, rows)?;
            Ok((total, chunk, rows).into_pyobject(py)?.into_any())
        }
        // The peer's leaving is no error of ours: a number, as for everything that is sent.
        Outcome::Sent(position) => {
            let position = position.map_or(-1, |position| position as i64);
            Ok(position.into_pyobject(py)?.into_any())
        }
        Outcome::Copied(bytes) => Ok(Bound::new(py, Chunk::new(bytes))?.into_any()),
        Outcome::Offset(offset) => Ok(offset.into_pyobject(py)?.into_any()),
        Outcome::Failed(failure) => Ok(failure_to_py(py, &failure)
            .into_value(py)
            .into_bound(py)
            .into_any()),
    }
}

/// (end offset, log start offset, kind of trouble, text); see `ReplicateResult` in shapes.py.
fn replicated_tuple(row: &ReplicateOutcome) -> (i64, i64, Option<&'static str>, Option<&str>) {
    let kind = row.trouble.as_ref().map(|(trouble, _)| match trouble {
        Trouble::Damaged => "damaged",
        Trouble::OutOfOrder => "order",
        Trouble::Fenced => "fenced",
        Trouble::Storage => "storage",
    });
    let text = row.trouble.as_ref().map(|(_, text)| text.as_str());
    (row.end_offset, row.log_start_offset, kind, text)
}

fn produced_tuple<'py>(py: Python<'py>, row: &ProduceRowOutcome) -> PyResult<Bound<'py, PyTuple>> {
    let record_errors: Option<Vec<_>> = match &row.record_errors[..] {
        [] => None,
        errors => Some(errors.iter().map(record_error_to_py).collect()),
    };
    (
        row.error_code,
        row.base_offset,
        row.log_append_time,
        row.log_start_offset,
        record_errors,
        row.message.as_deref(),
        row.end_offset,
    )
        .into_pyobject(py)
}
