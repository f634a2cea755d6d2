//! Records as columns: a table in native memory, which Python reads as buffers and Arrow as a struct array.

use std::ffi::{CStr, c_int, c_void};
use std::sync::Arc;

use fastlog_core::arrow::ArrowTable;
use fastlog_core::batch::{BytesColumn, RecordTable, TablePool as Pool};
use pyo3::exceptions::{PyBufferError, PyIndexError, PyKeyError, PyRuntimeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyList, PyString};

use crate::consuming::Record;

const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";
/// The name of capsules of streams.
pub const STREAM: &CStr = c"arrow_array_stream";

/// Memory of a reader's earlier tables.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug, Default)]
pub struct TablePool(Arc<Pool>);

#[pymethods]
impl TablePool {
    #[new]
    fn new() -> Self {
        Self::default()
    }
}

/// Collects the records of several partitions.
#[pyclass(module = "fastlog.native._core")]
#[derive(Debug)]
pub struct TableBuilder {
    /// `None` once it was finished.
    table: Option<RecordTable>,
    pool: Option<Arc<Pool>>,
}

impl TableBuilder {
    /// The table. Raises `RuntimeError` when it was finished.
    pub fn table(&mut self) -> PyResult<&mut RecordTable> {
        self.table
            .as_mut()
            .ok_or_else(|| PyRuntimeError::new_err("the table was finished before"))
    }
}

#[pymethods]
impl TableBuilder {
    #[new]
    #[pyo3(signature = (pool=None))]
    fn new(pool: Option<&TablePool>) -> Self {
        let pool = pool.map(|pool| Arc::clone(&pool.0));
        Self {
            table: Some(
                pool.as_ref()
                    .map_or_else(RecordTable::default, |pool| pool.take()),
            ),
            pool,
        }
    }

    fn __len__(&self) -> usize {
        self.table.as_ref().map_or(0, RecordTable::len)
    }

    /// What its rows take, as `most_bytes` counts them.
    #[getter]
    fn size(&self) -> usize {
        self.table.as_ref().map_or(0, RecordTable::size)
    }

    fn finish(&mut self, py: Python<'_>) -> PyResult<Table> {
        let table = self
            .table
            .take()
            .ok_or_else(|| PyRuntimeError::new_err("the table was finished before"))?;
        let topics = table
            .parts
            .iter()
            .map(|part| PyString::new(py, &part.topic).unbind())
            .collect();
        Ok(Table {
            arrow: ArrowTable::pooled(table, self.pool.take()),
            topics,
        })
    }
}

/// Records of one or several partitions, column by column.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct Table {
    arrow: Arc<ArrowTable>,
    /// Those of the parts.
    topics: Vec<Py<PyString>>,
}

#[pymethods]
impl Table {
    fn __len__(&self) -> usize {
        self.arrow.table().len()
    }

    /// Topic, partition, first row, one more than the last, and the offset to go on from, for each partition.
    #[getter]
    fn parts(&self, py: Python<'_>) -> Vec<(Py<PyString>, i32, usize, usize, i64)> {
        let parts = self.arrow.table().parts.iter().zip(&self.topics);
        parts
            .map(|(part, topic)| {
                (
                    topic.clone_ref(py),
                    part.partition,
                    part.start,
                    part.stop,
                    part.next_offset,
                )
            })
            .collect()
    }

    fn buffer(&self, name: &str) -> PyResult<TableBuffer> {
        let which = Which::named(name).ok_or_else(|| PyKeyError::new_err(name.to_owned()))?;
        let (bytes, item) = which.bytes(&self.arrow);
        Ok(TableBuffer {
            shape: [(bytes.len() / item.size) as ffi::Py_ssize_t],
            strides: [item.size as ffi::Py_ssize_t],
            arrow: Arc::clone(&self.arrow),
            which,
        })
    }

    /// A row as a record.
    fn record(&self, py: Python<'_>, row: usize) -> PyResult<Record> {
        let table = self.arrow.table();
        let (Some(part), Some(run)) = (table.part_of(row), table.run_of(row)) else {
            return Err(PyIndexError::new_err("there is no such row"));
        };
        let at = table.parts.partition_point(|part| part.stop <= row);
        let bytes = |column: &BytesColumn| column.get(row).map(|bytes| PyBytes::new(py, bytes).unbind());
        let headers = self.headers(py, row)?;
        Ok(Record::of(
            self.topics[at].clone_ref(py),
            part.partition,
            (table.offsets[row], table.timestamps[row]),
            (bytes(&table.keys), bytes(&table.values)),
            (!headers.bind(py).is_empty()).then_some(headers),
            run.is_append_time,
            run.leader_epoch,
        ))
    }

    /// The headers of a row.
    fn headers(&self, py: Python<'_>, row: usize) -> PyResult<Py<PyList>> {
        let table = self.arrow.table();
        if row >= table.len() {
            return Err(PyIndexError::new_err("there is no such row"));
        }
        let headers = &table.headers;
        let list = PyList::empty(py);
        for at in headers.offsets[row] as usize..headers.offsets[row + 1] as usize {
            let name = String::from_utf8_lossy(headers.names.get(at).unwrap_or_default());
            let value = headers.values.get(at).map(|value| PyBytes::new(py, value));
            list.append((name.as_ref(), value))?;
        }
        Ok(list.unbind())
    }

    #[allow(clippy::unused_self)] // all tables have one type, but the protocol asks a table for it
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        PyCapsule::new_with_value(py, ArrowTable::schema(), SCHEMA)
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        // What is wished for may be refused, and is: there is one type.
        let _ = requested_schema;
        let array = py.detach(|| self.arrow.array());
        Ok((
            self.__arrow_c_schema__(py)?,
            PyCapsule::new_with_value(py, array, ARRAY)?,
        ))
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        PyCapsule::new_with_value(py, self.arrow.stream(), STREAM)
    }
}

/// One column of a table, or a part of one.
#[derive(Debug, Clone, Copy)]
enum Which {
    Offsets,
    Timestamps,
    Partitions,
    HeaderOffsets,
    Data(Side),
    Starts(Side),
    Validity(Side),
}

/// A column of byte strings.
#[derive(Debug, Clone, Copy)]
enum Side {
    Key,
    Value,
    HeaderName,
    HeaderValue,
}

/// What a buffer consists of.
struct Item {
    size: usize,
    format: &'static CStr,
}

impl Which {
    fn named(name: &str) -> Option<Self> {
        let side = |name| match name {
            "key" => Some(Side::Key),
            "value" => Some(Side::Value),
            "header_name" => Some(Side::HeaderName),
            "header_value" => Some(Side::HeaderValue),
            _ => None,
        };
        match name {
            "offsets" => Some(Self::Offsets),
            "timestamps" => Some(Self::Timestamps),
            "partitions" => Some(Self::Partitions),
            "header_offsets" => Some(Self::HeaderOffsets),
            _ => {
                let (column, what) = name.rsplit_once('_')?;
                match what {
                    "data" => side(column).map(Self::Data),
                    "offsets" => side(column).map(Self::Starts),
                    "validity" => side(column).map(Self::Validity),
                    _ => None,
                }
            }
        }
    }

    /// The bytes, which live as long as the table, and what they consist of.
    fn bytes(self, arrow: &ArrowTable) -> (&[u8], Item) {
        let table = arrow.table();
        match self {
            Self::Offsets => (numbers(&table.offsets), LONG),
            Self::Timestamps => (numbers(&table.timestamps), LONG),
            Self::Partitions => (numbers(arrow.partitions()), INT),
            Self::HeaderOffsets => (numbers(&table.headers.offsets), LONG),
            Self::Data(side) => (&side.column(table).data, BYTE),
            Self::Starts(side) => (numbers(&side.column(table).offsets), LONG),
            Self::Validity(side) => (numbers(&side.column(table).validity), BOOL),
        }
    }
}

impl Side {
    fn column(self, table: &RecordTable) -> &BytesColumn {
        match self {
            Self::Key => &table.keys,
            Self::Value => &table.values,
            Self::HeaderName => &table.headers.names,
            Self::HeaderValue => &table.headers.values,
        }
    }
}

const LONG: Item = Item {
    size: 8,
    format: c"q",
};
const INT: Item = Item {
    size: 4,
    format: c"i",
};
const BYTE: Item = Item {
    size: 1,
    format: c"B",
};
const BOOL: Item = Item {
    size: 1,
    format: c"?",
};

/// A type all bytes of which mean something.
trait Plain: Copy {}
impl Plain for i64 {}
impl Plain for i32 {}
impl Plain for bool {}

fn numbers<T: Plain>(numbers: &[T]) -> &[u8] {
    // SAFETY: the range is that of the slice; numbers and bools are bytes without padding.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

/// A column of a table: a read-only buffer of one dimension.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct TableBuffer {
    arrow: Arc<ArrowTable>,
    which: Which,
    shape: [ffi::Py_ssize_t; 1],
    strides: [ffi::Py_ssize_t; 1],
}

#[pymethods]
impl TableBuffer {
    fn __len__(&self) -> usize {
        self.shape[0] as usize
    }

    /// # Safety
    /// Called by the interpreter only, with a view to fill in.
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let this = slf.get();
        let (bytes, item) = this.which.bytes(&this.arrow);
        if flags & ffi::PyBUF_WRITABLE == ffi::PyBUF_WRITABLE {
            return Err(PyBufferError::new_err("the buffer is read-only"));
        }
        let asked = |flag: c_int| flags & flag == flag;
        // SAFETY: the interpreter gives a view that may be written to. The bytes, and the shape and strides in a
        // frozen object, neither move nor change for as long as the object lives, which the view holds (`obj` is a
        // new reference, which its release gives back); the format is static.
        unsafe {
            (*view).obj = slf.clone().into_any().into_ptr();
            (*view).buf = bytes.as_ptr().cast::<c_void>().cast_mut();
            (*view).len = bytes.len() as ffi::Py_ssize_t;
            (*view).itemsize = this.strides[0];
            (*view).readonly = 1;
            (*view).ndim = 1;
            (*view).format = if asked(ffi::PyBUF_FORMAT) {
                item.format.as_ptr().cast_mut()
            } else {
                std::ptr::null_mut()
            };
            (*view).shape = if asked(ffi::PyBUF_ND) {
                this.shape.as_ptr().cast_mut()
            } else {
                std::ptr::null_mut()
            };
            (*view).strides = if asked(ffi::PyBUF_STRIDES) {
                this.strides.as_ptr().cast_mut()
            } else {
                std::ptr::null_mut()
            };
            (*view).suboffsets = std::ptr::null_mut();
            (*view).internal = std::ptr::null_mut();
        }
        Ok(())
    }
}
