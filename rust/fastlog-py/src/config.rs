//! `LogConfig`: the settings of one log as an immutable object.

use fastlog_core::batch::CompressionPolicy;
use fastlog_core::{LogConfig as CoreConfig, TimestampType};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::codecs::codec_named;

/// Settings of one log; the defaults are Kafka's. Immutable.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct LogConfig(CoreConfig);

impl LogConfig {
    /// The settings of the core.
    pub fn inner(&self) -> &CoreConfig {
        &self.0
    }
}

#[pymethods]
impl LogConfig {
    #[new]
    #[pyo3(signature = (
        *,
        segment_bytes=1_073_741_824,
        segment_ms=604_800_000,
        segment_jitter_ms=0,
        index_interval_bytes=4096,
        index_max_bytes=10_485_760,
        flush_messages=9_223_372_036_854_775_807,
        flush_ms=9_223_372_036_854_775_807,
        retention_ms=604_800_000,
        retention_bytes=-1,
        file_delete_delay_ms=60_000,
        max_message_bytes=1_048_588,
        timestamp_type="CreateTime",
        timestamp_before_max_ms=9_223_372_036_854_775_807,
        timestamp_after_max_ms=9_223_372_036_854_775_807,
        compact=false,
        delete=true,
        compression="producer",
        compression_level=None,
        preallocate=false,
        producer_id_expiration_ms=86_400_000,
    ))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)] // keyword-only in Python
    fn new(
        segment_bytes: u64,
        segment_ms: i64,
        segment_jitter_ms: i64,
        index_interval_bytes: u64,
        index_max_bytes: usize,
        flush_messages: i64,
        flush_ms: i64,
        retention_ms: i64,
        retention_bytes: i64,
        file_delete_delay_ms: i64,
        max_message_bytes: usize,
        timestamp_type: &str,
        timestamp_before_max_ms: i64,
        timestamp_after_max_ms: i64,
        compact: bool,
        delete: bool,
        compression: &str,
        compression_level: Option<i32>,
        preallocate: bool,
        producer_id_expiration_ms: i64,
    ) -> PyResult<Self> {
        let timestamp_type = match timestamp_type {
            "CreateTime" => TimestampType::CreateTime,
            "LogAppendTime" => TimestampType::LogAppendTime,
            other => return Err(PyValueError::new_err(format!("unknown timestamp type {other:?}"))),
        };
        let compression = match compression {
            "producer" => CompressionPolicy::Producer,
            name => CompressionPolicy::Codec(codec_named(name)?, compression_level),
        };
        Ok(Self(CoreConfig {
            segment_bytes,
            segment_ms,
            segment_jitter_ms,
            index_interval_bytes,
            index_max_bytes,
            flush_messages,
            flush_ms,
            retention_ms,
            retention_bytes,
            file_delete_delay_ms,
            max_message_bytes,
            timestamp_type,
            timestamp_before_max_ms,
            timestamp_after_max_ms,
            compact,
            delete,
            compression,
            preallocate,
            producer_id_expiration_ms,
        }))
    }

    #[getter]
    fn segment_bytes(&self) -> u64 {
        self.0.segment_bytes
    }

    #[getter]
    fn segment_ms(&self) -> i64 {
        self.0.segment_ms
    }

    #[getter]
    fn segment_jitter_ms(&self) -> i64 {
        self.0.segment_jitter_ms
    }

    #[getter]
    fn index_interval_bytes(&self) -> u64 {
        self.0.index_interval_bytes
    }

    #[getter]
    fn index_max_bytes(&self) -> usize {
        self.0.index_max_bytes
    }

    #[getter]
    fn flush_messages(&self) -> i64 {
        self.0.flush_messages
    }

    #[getter]
    fn flush_ms(&self) -> i64 {
        self.0.flush_ms
    }

    #[getter]
    fn retention_ms(&self) -> i64 {
        self.0.retention_ms
    }

    #[getter]
    fn retention_bytes(&self) -> i64 {
        self.0.retention_bytes
    }

    #[getter]
    fn file_delete_delay_ms(&self) -> i64 {
        self.0.file_delete_delay_ms
    }

    #[getter]
    fn max_message_bytes(&self) -> usize {
        self.0.max_message_bytes
    }

    #[getter]
    fn timestamp_type(&self) -> &'static str {
        match self.0.timestamp_type {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        }
    }

    #[getter]
    fn timestamp_before_max_ms(&self) -> i64 {
        self.0.timestamp_before_max_ms
    }

    #[getter]
    fn timestamp_after_max_ms(&self) -> i64 {
        self.0.timestamp_after_max_ms
    }

    #[getter]
    fn compact(&self) -> bool {
        self.0.compact
    }

    #[getter]
    fn delete(&self) -> bool {
        self.0.delete
    }

    #[getter]
    fn compression(&self) -> &'static str {
        match self.0.compression {
            CompressionPolicy::Producer => "producer",
            CompressionPolicy::Codec(codec, _) => codec.name(),
        }
    }

    #[getter]
    fn compression_level(&self) -> Option<i32> {
        match self.0.compression {
            CompressionPolicy::Producer => None,
            CompressionPolicy::Codec(_, level) => level,
        }
    }

    #[getter]
    fn preallocate(&self) -> bool {
        self.0.preallocate
    }

    #[getter]
    fn producer_id_expiration_ms(&self) -> i64 {
        self.0.producer_id_expiration_ms
    }
}
