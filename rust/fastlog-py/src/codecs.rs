//! The checksum and the codecs as plain functions.

use fastlog_core::batch;
use fastlog_core::compression::{self, Codec, DecompressionLimit};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::buffers::ReadBuffer;
use crate::errors::IntoPyResult;

/// CRC-32C of `data`.
#[pyfunction]
pub fn crc32c(py: Python<'_>, data: ReadBuffer) -> u32 {
    let bytes = data.as_bytes();
    py.detach(|| batch::crc32c(bytes))
}

/// Compresses `data`; `level` is the codec's own scale.
#[pyfunction]
#[pyo3(signature = (codec, data, level=None))]
pub fn compress<'py>(
    py: Python<'py>,
    codec: &str,
    data: ReadBuffer,
    level: Option<i32>,
) -> PyResult<Bound<'py, PyBytes>> {
    let codec = codec_named(codec)?;
    let bytes = data.as_bytes();
    let packed = py
        .detach(|| compression::compress(codec, level, bytes))
        .into_py_result(py)?;
    Ok(PyBytes::new(py, &packed))
}

/// Decompresses `data`; raises `MalformedRequest` on damage and when the result exceeds `limit` bytes.
#[pyfunction]
#[pyo3(signature = (codec, data, limit=None))]
pub fn decompress<'py>(
    py: Python<'py>,
    codec: &str,
    data: ReadBuffer,
    limit: Option<usize>,
) -> PyResult<Bound<'py, PyBytes>> {
    let codec = codec_named(codec)?;
    let mut bound = DecompressionLimit::default();
    bound.bytes = limit.unwrap_or(bound.bytes);
    let bytes = data.as_bytes();
    let plain = py
        .detach(|| compression::decompress(codec, bytes, bound))
        .into_py_result(py)?;
    Ok(PyBytes::new(py, &plain))
}

/// The codec with Kafka's name for it.
pub fn codec_named(name: &str) -> PyResult<Codec> {
    Codec::from_name(name).ok_or_else(|| PyValueError::new_err(format!("unknown codec {name:?}")))
}
