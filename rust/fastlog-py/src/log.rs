//! `Log`: one partition's log. Every method that may touch the disk runs without the GIL.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use fastlog_core::log::{ScrubPosition, TimestampOffset, VerifiedBatch};
use fastlog_core::{
    AppendOptions, Clock, CompactionOptions, OpenOptions, PartitionLog, RecoveryReport, SystemClock,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::append_info::{AppendInfo, append_error_to_py};
use crate::buffers::{Chunk, ReadBuffer};
use crate::clock::ClockAhead;
use crate::compaction::{CleanerThrottle, CompactionReport, CompactionState};
use crate::config::LogConfig;
use crate::errors::IntoPyResult;
use crate::files::file_system;

/// One partition's log. Thread-safe: readers do not wait for a writer that is inside the system call.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct Log {
    log: Arc<PartitionLog>,
    report: RecoveryReport,
}

/// (offset, base offset of the segment, byte position in it)
type Scrub = (i64, i64, u64);

/// (timestamp, offset, leader epoch)
type TimestampTuple = (i64, i64, i32);

fn timestamp_tuple(found: TimestampOffset) -> TimestampTuple {
    (found.timestamp, found.offset, found.leader_epoch)
}

impl Log {
    /// The log of the core. Jobs keep a clone of it, never this object.
    pub fn inner(&self) -> &Arc<PartitionLog> {
        &self.log
    }

    fn detached<T: Send>(
        &self,
        py: Python<'_>,
        call: impl Send + FnOnce(&PartitionLog) -> fastlog_core::Result<T>,
    ) -> PyResult<T> {
        py.detach(|| call(&self.log)).into_py_result(py)
    }
}

#[pymethods]
impl Log {
    #[staticmethod]
    #[pyo3(signature = (
        path, config, *, recovery_point=0, log_start_offset=0, clean_shutdown=false, allow_data_loss=false,
        compacted_below=0, offsets_are_exact=false, adopted=false, ahead=None
    ))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)] // keyword-only in Python
    fn open(
        py: Python<'_>,
        path: &str,
        config: &LogConfig,
        recovery_point: i64,
        log_start_offset: i64,
        clean_shutdown: bool,
        allow_data_loss: bool,
        compacted_below: i64,
        offsets_are_exact: bool,
        adopted: bool,
        ahead: Option<&ClockAhead>,
    ) -> PyResult<Self> {
        let clock: Arc<dyn Clock> = match ahead {
            None => Arc::new(SystemClock),
            Some(ahead) => Arc::new(ahead.clock()),
        };
        let options = OpenOptions {
            recovery_point,
            log_start_offset,
            offsets_are_exact,
            adopted,
            compacted_below,
            clean_shutdown,
            allow_data_loss,
            progress: None,
        };
        let config = config.inner().clone();
        let (log, report) = py
            .detach(|| PartitionLog::open(Path::new(path), config, Arc::new(file_system()), clock, options))
            .into_py_result(py)?;
        Ok(Self {
            log: Arc::new(log),
            report,
        })
    }

    fn recall_unreplicated(&self, py: Python<'_>, high_watermark: i64) -> PyResult<()> {
        self.detached(py, |log| log.recall_unreplicated(high_watermark))
    }

    #[getter]
    fn recovery_report<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let report = PyDict::new(py);
        report.set_item("segments_scanned", self.report.segments_scanned)?;
        report.set_item("bytes_scanned", self.report.bytes_scanned)?;
        report.set_item("truncated_bytes", self.report.truncated_bytes)?;
        report.set_item("indexes_rebuilt", self.report.indexes_rebuilt)?;
        report.set_item("warnings", self.report.warnings.clone())?;
        Ok(report)
    }

    #[getter]
    fn path(&self) -> Cow<'_, str> {
        self.log.dir().to_string_lossy()
    }

    #[getter]
    fn log_start_offset(&self) -> i64 {
        self.log.log_start_offset()
    }

    #[getter]
    fn log_end_offset(&self) -> i64 {
        self.log.log_end_offset()
    }

    #[getter]
    fn recovery_point(&self) -> i64 {
        self.log.recovery_point()
    }

    #[getter]
    fn size_bytes(&self) -> u64 {
        self.log.size_bytes()
    }

    #[getter]
    fn segment_count(&self) -> usize {
        self.log.segment_count()
    }

    #[getter]
    fn unflushed_bytes(&self) -> u64 {
        self.log.unflushed_bytes()
    }

    #[getter]
    fn latest_epoch(&self) -> i32 {
        self.log.latest_epoch().unwrap_or(-1)
    }

    #[getter]
    fn is_out_of_room(&self) -> bool {
        self.log.is_out_of_room()
    }

    #[getter]
    fn failure(&self) -> Option<String> {
        self.log.failure().map(|failure| failure.reason)
    }

    #[getter]
    fn failure_cause(&self) -> Option<&'static str> {
        self.log.failure().map(|failure| failure.cause.name())
    }

    #[getter]
    fn damage(&self) -> Option<String> {
        self.log.damage()
    }

    /// Reads on from a position that an earlier call gave, by default from the log's start.
    #[pyo3(signature = (max_bytes, position=None))]
    fn scrub(
        &self,
        py: Python<'_>,
        max_bytes: u64,
        position: Option<Scrub>,
    ) -> PyResult<(u64, Option<Scrub>)> {
        let from = position.map(|(offset, segment, position)| ScrubPosition {
            offset,
            segment,
            position,
        });
        let scrubbed = self.detached(py, |log| log.scrub(from, max_bytes))?;
        let next = scrubbed.next.map(|at| (at.offset, at.segment, at.position));
        Ok((scrubbed.bytes, next))
    }

    #[pyo3(signature = (records, *, leader_epoch=0, zstd_allowed=true))]
    fn append(
        &self,
        py: Python<'_>,
        records: ReadBuffer,
        leader_epoch: i32,
        zstd_allowed: bool,
    ) -> PyResult<AppendInfo> {
        let options = AppendOptions {
            zstd_allowed,
            ..AppendOptions::default()
        };
        let bytes = records.as_bytes();
        AppendInfo::of(py, py.detach(|| self.log.append(bytes, leader_epoch, options)))
    }

    #[pyo3(signature = (records, *, leader_epoch))]
    fn append_as_follower(
        &self,
        py: Python<'_>,
        records: ReadBuffer,
        leader_epoch: i32,
    ) -> PyResult<AppendInfo> {
        let bytes = records.as_bytes();
        AppendInfo::of(py, py.detach(|| self.log.append_as_follower(bytes, leader_epoch)))
    }

    #[pyo3(signature = (offset, max_bytes, *, max_offset=None, min_one_batch=true))]
    fn read(
        &self,
        py: Python<'_>,
        offset: i64,
        max_bytes: usize,
        max_offset: Option<i64>,
        min_one_batch: bool,
    ) -> PyResult<Chunk> {
        self.detached(py, |log| {
            let slice = log.read(offset, max_bytes, max_offset.unwrap_or(i64::MAX), min_one_batch)?;
            let mut bytes = vec![0; slice.len];
            slice.read_into(&mut bytes)?;
            Ok(Chunk::new(bytes))
        })
    }

    #[pyo3(signature = (timestamp, max_offset=None))]
    fn offset_for_timestamp(
        &self,
        py: Python<'_>,
        timestamp: i64,
        max_offset: Option<i64>,
    ) -> PyResult<Option<TimestampTuple>> {
        let limit = max_offset.unwrap_or(i64::MAX);
        let found = self.detached(py, |log| log.offset_for_timestamp(timestamp, limit))?;
        Ok(found.map(timestamp_tuple))
    }

    fn max_timestamp_offset(&self, py: Python<'_>) -> PyResult<Option<TimestampTuple>> {
        Ok(self
            .detached(py, PartitionLog::max_timestamp_offset)?
            .map(timestamp_tuple))
    }

    fn lead(&self, py: Python<'_>, epoch: i32) -> PyResult<i64> {
        self.detached(py, |log| log.lead(epoch))
    }

    fn fence(&self, py: Python<'_>, epoch: i32) -> PyResult<i64> {
        self.detached(py, |log| log.fence(epoch))
    }

    fn end_offset_for_epoch(&self, py: Python<'_>, epoch: i32) -> (i32, i64) {
        py.detach(|| self.log.end_offset_for_epoch(epoch))
    }

    fn truncate_to(&self, py: Python<'_>, offset: i64) -> PyResult<()> {
        self.detached(py, |log| log.truncate_to(offset))
    }

    fn truncate_fully_and_start_at(&self, py: Python<'_>, offset: i64) -> PyResult<()> {
        self.detached(py, |log| log.truncate_fully_and_start_at(offset))
    }

    fn advance_log_start_offset(&self, py: Python<'_>, offset: i64) -> PyResult<i64> {
        self.detached(py, |log| log.advance_log_start_offset(offset))
    }

    fn roll(&self, py: Python<'_>) -> PyResult<()> {
        self.detached(py, |log| log.roll().map(|_| ()))
    }

    fn reserve_ahead(&self, py: Python<'_>, ahead: u64) -> PyResult<()> {
        self.detached(py, |log| log.reserve_ahead(ahead))
    }

    fn flush(&self, py: Python<'_>) -> PyResult<i64> {
        self.detached(py, |log| log.flush(None))
    }

    #[pyo3(signature = (now_ms, max_offset=None))]
    fn apply_retention(&self, py: Python<'_>, now_ms: i64, max_offset: Option<i64>) -> PyResult<usize> {
        let limit = max_offset.unwrap_or(i64::MAX);
        self.detached(py, |log| Ok(log.apply_retention_below(now_ms, limit)?.len()))
    }

    #[pyo3(signature = (clean_from, max_offset, now_ms, *, min_lag_ms=0, max_lag_ms=9_223_372_036_854_775_807))]
    fn compaction_state(
        &self,
        py: Python<'_>,
        clean_from: i64,
        max_offset: i64,
        now_ms: i64,
        min_lag_ms: i64,
        max_lag_ms: i64,
    ) -> PyResult<CompactionState> {
        self.detached(py, |log| {
            log.compaction_state(clean_from, max_offset, now_ms, min_lag_ms, max_lag_ms)
        })
        .map(CompactionState::new)
    }

    #[pyo3(signature = (
        clean_from, max_offset, now_ms, *,
        delete_retention_ms=86_400_000, min_lag_ms=0, memory_bytes=134_217_728, throttle=None
    ))]
    #[allow(clippy::too_many_arguments)] // keyword-only in Python
    fn compact(
        &self,
        py: Python<'_>,
        clean_from: i64,
        max_offset: i64,
        now_ms: i64,
        delete_retention_ms: i64,
        min_lag_ms: i64,
        memory_bytes: usize,
        throttle: Option<&CleanerThrottle>,
    ) -> PyResult<CompactionReport> {
        let options = CompactionOptions {
            clean_from,
            max_offset,
            now_ms,
            delete_retention_ms,
            min_lag_ms,
            memory_bytes,
            throttle: throttle.map(|throttle| Arc::clone(throttle.inner())),
        };
        self.detached(py, |log| log.compact(&options))
            .map(CompactionReport::new)
    }

    fn stop_compaction(&self, py: Python<'_>) {
        py.detach(|| self.log.stop_compaction());
    }

    #[getter]
    fn has_deleted(&self) -> bool {
        self.log.has_deleted()
    }

    fn purge_deleted(&self, py: Python<'_>, now_ms: i64) -> PyResult<usize> {
        self.detached(py, |log| log.purge_deleted(now_ms))
    }

    fn expire_producers(&self, py: Python<'_>, now_ms: i64) -> usize {
        py.detach(|| self.log.expire_producers(now_ms))
    }

    fn update_config(&self, py: Python<'_>, config: &LogConfig) {
        let config = config.inner().clone();
        py.detach(|| self.log.update_config(config));
    }

    fn last_stable_offset(&self, py: Python<'_>, high_watermark: i64) -> i64 {
        py.detach(|| self.log.last_stable_offset(high_watermark))
    }

    fn open_transaction_since(&self, py: Python<'_>, now_ms: i64) -> Option<i64> {
        py.detach(|| self.log.open_transaction_since(now_ms))
    }

    fn aborted_transactions(&self, py: Python<'_>, lo: i64, hi: i64) -> Vec<(i64, i64)> {
        let aborted = py.detach(|| self.log.aborted_transactions(lo, hi));
        aborted
            .into_iter()
            .map(|txn| (txn.producer_id, txn.first_offset))
            .collect()
    }

    #[pyo3(signature = (producer_id, epoch, sequence, *, raises_epoch))]
    fn begin_verification(
        &self,
        py: Python<'_>,
        producer_id: i64,
        epoch: i16,
        sequence: i32,
        raises_epoch: bool,
    ) -> PyResult<Option<u64>> {
        let batch = VerifiedBatch {
            producer_id,
            epoch,
            sequence,
            raises_epoch,
        };
        self.detached(py, |log| log.begin_verification(&batch))
    }

    #[pyo3(signature = (above=i64::MIN, most=usize::MAX))]
    fn active_producers(
        &self,
        py: Python<'_>,
        above: i64,
        most: usize,
    ) -> Vec<(i64, i16, i32, i64, i32, i64)> {
        let producers = py.detach(|| self.log.active_producers_above(above, most));
        let tuple = |p: fastlog_core::ActiveProducer| {
            (
                p.producer_id,
                p.epoch,
                p.last_sequence,
                p.last_timestamp,
                p.coordinator_epoch,
                p.txn_start_offset,
            )
        };
        producers.into_iter().map(tuple).collect()
    }

    /// Ends the open transactions of a log that no broker serves; returns their producers and first offsets.
    #[pyo3(signature = (*, leader_epoch, producer_ids=None))]
    fn abort_open_transactions(
        &self,
        py: Python<'_>,
        leader_epoch: i32,
        producer_ids: Option<Vec<i64>>,
    ) -> PyResult<Vec<(i64, i64)>> {
        match py.detach(|| {
            self.log
                .abort_open_transactions(leader_epoch, producer_ids.as_deref())
        }) {
            Ok(ended) => Ok(ended
                .into_iter()
                .map(|producer| (producer.producer_id, producer.txn_start_offset))
                .collect()),
            Err(error) => Err(append_error_to_py(py, error)),
        }
    }

    fn available_bytes(&self, py: Python<'_>, offset: i64, max_offset: i64) -> PyResult<Option<u64>> {
        self.detached(py, |log| log.available_bytes(offset, max_offset))
    }

    fn spans_segments(&self, offset: i64, max_offset: i64) -> bool {
        self.inner().spans_segments(offset, max_offset)
    }

    fn segments(&self, py: Python<'_>) -> PyResult<Vec<(i64, u64, i64)>> {
        let segments = self.detached(py, PartitionLog::segments)?;
        Ok(segments
            .into_iter()
            .map(|s| (s.base_offset, s.size, s.largest_timestamp))
            .collect())
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.detached(py, PartitionLog::close)
    }

    /// Removes the log's directory, or `path` when the directory was renamed to that after it was opened.
    #[pyo3(signature = (path=None))]
    fn delete_files(&self, py: Python<'_>, path: Option<&str>) -> PyResult<()> {
        self.detached(py, |log| match path {
            None => log.delete(),
            Some(path) => log.delete_at(Path::new(path)),
        })
    }
}
