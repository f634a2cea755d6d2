//! What Python gives as a record: keys, values, headers, and the time when it gives none.

use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBytes, PyDict};

use crate::buffers::ReadBuffer;

/// A header: its name and its value.
pub type Header = (PyBackedStr, Option<PyBackedBytes>);

/// A key or a value.
#[derive(Debug)]
pub enum Payload<'py> {
    /// No bytes at all.
    Null,
    /// A `bytes` object.
    Bytes(Bound<'py, PyBytes>),
    /// Anything else that lends its bytes.
    Buffer(ReadBuffer),
}

impl<'py> Payload<'py> {
    /// The bytes of an argument; `what` names it in the `TypeError`.
    #[inline]
    pub fn of(object: &Bound<'py, PyAny>, what: &str) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self::Bytes(bytes.clone()));
        }
        if object.is_none() {
            return Ok(Self::Null);
        }
        object.extract::<ReadBuffer>().map(Self::Buffer).map_err(|_| {
            let kind = object
                .get_type()
                .name()
                .map_or_else(|_| "?".to_owned(), |name| name.to_string());
            PyTypeError::new_err(format!("{what} must be bytes-like or None, not {kind}"))
        })
    }

    /// The bytes, or nothing for null.
    #[inline]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Null => None,
            Self::Bytes(bytes) => Some(bytes.as_bytes()),
            Self::Buffer(buffer) => Some(buffer.as_bytes()),
        }
    }
}

/// The headers of an argument: None, pairs, or a dict.
pub fn headers_of(headers: &Bound<'_, PyAny>) -> PyResult<Vec<Header>> {
    if headers.is_none() {
        return Ok(Vec::new());
    }
    let pairs = match headers.cast::<PyDict>() {
        Ok(dict) => dict.items().into_any(),
        Err(_) => headers.clone(),
    };
    let wrong =
        || PyTypeError::new_err("headers must be pairs of a str and bytes or None, or a dict of them");
    pairs
        .try_iter()
        .map_err(|_| wrong())?
        .map(|pair| pair?.extract::<Header>().map_err(|_| wrong()))
        .collect()
}

/// The bytes of headers.
pub fn slices_of(headers: &[Header]) -> Vec<(&[u8], Option<&[u8]>)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_deref()))
        .collect()
}

/// Milliseconds since 1970.
pub fn now_ms() -> PyResult<i64> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map(|since| since.as_millis() as i64)
        .map_err(|_| PyValueError::new_err("the clock is before 1970"))
}
