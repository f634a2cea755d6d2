//! Record batches built from tuples and read into tuples, for clients, tools and tests.

use fastlog_core::batch::{BatchBuilder, BatchHeader, BatchView, HEADER_SIZE, Records};
use fastlog_core::compression::DecompressionLimit;
use fastlog_core::{Error, Result};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyList};

use crate::buffers::ReadBuffer;
use crate::codecs::codec_named;
use crate::errors::IntoPyResult;

type HeaderArguments = Vec<(PyBackedStr, Option<PyBackedBytes>)>;

/// (key, value, headers, timestamp in ms)
type RecordArgument = (Option<PyBackedBytes>, Option<PyBackedBytes>, HeaderArguments, i64);

/// One record batch of format version 2.
#[pyfunction]
#[pyo3(signature = (
    records, *, codec="none", level=None, base_offset=0, producer_id=-1, producer_epoch=-1,
    base_sequence=-1, transactional=false, leader_epoch=-1
))]
#[allow(clippy::too_many_arguments)] // keyword-only in Python
pub fn build_batch<'py>(
    py: Python<'py>,
    records: Vec<RecordArgument>,
    codec: &str,
    level: Option<i32>,
    base_offset: i64,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    transactional: bool,
    leader_epoch: i32,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut builder = BatchBuilder::new(codec_named(codec)?)
        .level(level)
        .base_offset(base_offset)
        .leader_epoch(leader_epoch)
        .producer(producer_id, producer_epoch, base_sequence);
    if transactional {
        builder = builder.transactional();
    }
    let built = py.detach(|| -> Result<Vec<u8>> {
        for (key, value, headers, timestamp) in &records {
            let headers = headers
                .iter()
                .map(|(key, value)| (key.as_bytes(), value.as_deref()));
            builder.append(*timestamp, key.as_deref(), value.as_deref(), headers)?;
        }
        builder.build()
    });
    Ok(PyBytes::new(py, &built.into_py_result(py)?))
}

/// The records of every whole batch in `data`, control batches left out.
#[pyfunction]
pub fn read_batches(py: Python<'_>, data: ReadBuffer) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    let mut rest = data.as_bytes();
    while let Some(batch) = whole_batch(rest).into_py_result(py)? {
        rest = &rest[batch.bytes().len()..];
        if batch.header().is_control() {
            continue;
        }
        let records = py.detach(|| checked_records(&batch)).into_py_result(py)?;
        for record in &records {
            let record = record.into_py_result(py)?;
            let headers = PyList::empty(py);
            for (key, value) in record.headers {
                let key = std::str::from_utf8(key)
                    .map_err(|_| Error::Malformed("a header key that is not UTF-8".to_owned()))
                    .into_py_result(py)?;
                headers.append((key, value.map(|value| PyBytes::new(py, value))))?;
            }
            let key = record.key.map(|key| PyBytes::new(py, key));
            let value = record.value.map(|value| PyBytes::new(py, value));
            list.append((record.offset, record.timestamp, key, value, headers))?;
        }
    }
    Ok(list)
}

/// The batch that `bytes` start with; `None` when it is cut off, as the last one of a fetch may be.
fn whole_batch(bytes: &[u8]) -> Result<Option<BatchView<'_>>> {
    if bytes.len() < HEADER_SIZE || BatchHeader::parse(bytes)?.size() > bytes.len() {
        return Ok(None);
    }
    BatchView::first(bytes).map(Some)
}

fn checked_records<'a>(batch: &BatchView<'a>) -> Result<Records<'a>> {
    if !batch.crc_is_valid() {
        let offset = batch.header().base_offset;
        return Err(Error::Malformed(format!(
            "the batch at offset {offset} fails its checksum"
        )));
    }
    Records::decode(batch, DecompressionLimit::default())
}
