//! From `send` to an open batch: everything that a producer does for each record.
//!
//! What of it decides where a record goes is in `placing`, and many records at once are in `bulk`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::thread;

use fastlog_core::partitioner;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use crate::arrow_records::ArrowBatch;
use crate::buffers::ReadBuffer;
use crate::bulk;
use crate::payload::{Payload, headers_of, now_ms, slices_of};
use crate::placing::{Parcel, Reason, State, Topic};
use crate::producing::{Delivery, RecordBatch};

create_exception!(
    fastlog.native._core,
    NotYet,
    PyException,
    "A record was not taken; args are a reason (one of `Accumulator`'s constants) and the partition or -1."
);

/// The 32-bit `MurmurHash2` of Kafka's clients, unsigned.
#[pyfunction]
pub fn murmur2(data: ReadBuffer) -> u32 {
    partitioner::murmur2(data.as_bytes())
}

/// The open batches of a producer, by topic and partition.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct Accumulator {
    pub batch_size: usize,
    pub max_record: usize,
    pub buffer_memory: usize,
    pub state: Mutex<State>,
}

#[pymethods]
impl Accumulator {
    #[classattr]
    const CLOSED: u8 = Reason::Closed as u8;
    #[classattr]
    const TOPIC: u8 = Reason::Topic as u8;
    #[classattr]
    const PARTITION: u8 = Reason::Partition as u8;
    #[classattr]
    const TOO_LARGE: u8 = Reason::TooLarge as u8;
    #[classattr]
    const ROOM: u8 = Reason::Room as u8;
    #[classattr]
    const BATCH: u8 = Reason::Batch as u8;
    #[classattr]
    const TURN: u8 = Reason::Turn as u8;

    #[new]
    #[pyo3(signature = (*, batch_size, max_record, buffer_memory, seed))]
    fn new(batch_size: usize, max_record: usize, buffer_memory: usize, seed: u64) -> Self {
        Self {
            batch_size,
            max_record,
            buffer_memory,
            state: Mutex::new(State {
                topics: Vec::new(),
                by_name: HashMap::new(),
                last: 0,
                used: 0,
                blocked: false,
                closed: false,
                random: seed | 1,
                thread: None,
                wake: None,
            }),
        }
    }

    /// Puts a record into the open batch of its partition.
    #[allow(clippy::too_many_arguments)] // one per field of a record
    #[pyo3(signature = (topic, value, key, headers, partition, timestamp_ms, on_delivery, queued=false))]
    fn send(
        &self,
        py: Python<'_>,
        topic: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        headers: &Bound<'_, PyAny>,
        partition: Option<i64>,
        timestamp_ms: Option<i64>,
        on_delivery: Option<Py<PyAny>>,
        queued: bool,
    ) -> PyResult<Delivery> {
        let value = Payload::of(value, "value")?;
        let key = Payload::of(key, "key")?;
        let headers = headers_of(headers)?;
        let headers = slices_of(&headers);
        let parcel = Parcel {
            key: key.bytes(),
            value: value.bytes(),
            headers: &headers,
            timestamp: timestamp_ms.map_or_else(now_ms, Ok)?,
            callback: on_delivery.as_ref(),
        };
        let (batch, index, full) = self.take(py, topic, partition, &parcel, queued)?;
        if full {
            self.wake(py)?;
        }
        Ok(Delivery::of(batch.into_any(), index))
    }

    /// Puts records from `values[start]` on into batches, as far as they are taken: the index of the first
    /// that is not, its reason and partition (as of `NotYet`), and the runs that were taken.
    #[allow(clippy::too_many_arguments, clippy::type_complexity)]
    fn send_many(
        &self,
        topic: &Bound<'_, PyString>,
        values: &Bound<'_, PyList>,
        keys: Option<&Bound<'_, PyList>>,
        headers: &Bound<'_, PyAny>,
        partition: Option<i64>,
        timestamp_ms: Option<i64>,
        start: usize,
        stop: usize,
    ) -> PyResult<(usize, Option<(u8, i64)>, Vec<(Py<PyAny>, u32, u32)>)> {
        bulk::send_lists(
            self,
            topic,
            (values, keys),
            (headers, partition, timestamp_ms),
            start..stop,
        )
        .map(bulk::Sent::into_parts)
    }

    /// The same with records of a table, which may have headers, times and partitions of their own.
    #[allow(clippy::too_many_arguments, clippy::type_complexity)]
    fn send_table(
        &self,
        topic: &Bound<'_, PyString>,
        rows: &Bound<'_, ArrowBatch>,
        headers: &Bound<'_, PyAny>,
        partition: Option<i64>,
        timestamp_ms: Option<i64>,
        start: usize,
        stop: usize,
    ) -> PyResult<(usize, Option<(u8, i64)>, Vec<(Py<PyAny>, u32, u32)>)> {
        bulk::send_rows(
            self,
            topic,
            rows.get(),
            (headers, partition, timestamp_ms),
            start..stop,
        )
        .map(bulk::Sent::into_parts)
    }

    /// What a topic is like: the number of its partitions, and those that have a leader. Open batches stay.
    fn set_topic(&self, topic: &Bound<'_, PyString>, partitions: usize, available: Vec<u32>) -> PyResult<()> {
        let name = topic.to_str()?.to_owned();
        let mut state = self.lock();
        let next = state.topics.len();
        let at = *state.by_name.entry(name).or_insert(next);
        if at == next {
            state.topics.push(Topic {
                name: topic.clone().unbind(),
                open: Vec::new(),
                available: Vec::new(),
                sticky: None,
            });
        }
        let topic = &mut state.topics[at];
        topic.open.resize_with(partitions.max(topic.open.len()), || None);
        if topic.sticky.is_some_and(|index| !available.contains(&index)) {
            topic.sticky = None;
        }
        topic.available = available;
        Ok(())
    }

    /// The batch of a partition that takes records from now on; one that others made meanwhile stays.
    fn put(&self, topic: &Bound<'_, PyString>, partition: usize, batch: Py<RecordBatch>) -> PyResult<()> {
        let mut state = self.lock();
        let Some(at) = state.find(topic)? else {
            return Ok(());
        };
        let old = state.topics[at]
            .open
            .get_mut(partition)
            .and_then(|slot| slot.replace(batch));
        drop(state);
        drop(old);
        Ok(())
    }

    /// A batch is on its way: records without a key go elsewhere.
    fn left(&self, topic: &Bound<'_, PyString>, partition: usize) -> PyResult<()> {
        let mut state = self.lock();
        if let Some(at) = state.find(topic)? {
            state.move_on(at, partition);
        }
        Ok(())
    }

    /// Gives memory back.
    fn release(&self, size: usize) {
        let mut state = self.lock();
        state.used = state.used.saturating_sub(size);
    }

    /// While blocked nothing but what is queued is taken.
    fn block(&self, blocked: bool) {
        self.lock().blocked = blocked;
    }

    /// From now on `wake` is called when a batch is full; with `own_thread` no other thread may send.
    fn start(&self, wake: Py<PyAny>, own_thread: bool) {
        let mut state = self.lock();
        state.thread = own_thread.then(|| thread::current().id());
        let old = state.wake.replace(wake);
        drop(state);
        drop(old);
    }

    /// Whether records are refused; for a while, unlike `close`.
    fn shut(&self, shut: bool) {
        self.lock().closed = shut;
    }

    /// Takes no more records, and lets go of all batches.
    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let topics = std::mem::take(&mut state.topics);
        state.by_name.clear();
        let wake = state.wake.take();
        drop(state);
        drop((topics, wake));
    }

    #[getter]
    fn used(&self) -> usize {
        self.lock().used
    }
}
