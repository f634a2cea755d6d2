//! From `send` to an open batch: everything that a producer does for each record.
//!
//! Nothing here calls Python while the lock is held, and the lock is only taken with the GIL held, so it is
//! never waited for.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use fastlog_core::batch::HEADER_SIZE;
use fastlog_core::partitioner;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use crate::buffers::ReadBuffer;
use crate::errors::IntoPyResult;
use crate::payload::{Header, Payload, headers_of, now_ms};
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

/// Bytes of most that a record takes beside its key, value and headers.
const RECORD_OVERHEAD: usize = 21;

#[derive(Debug)]
struct Topic {
    name: Py<PyString>,
    /// The batch of each partition that takes records.
    open: Vec<Option<Py<RecordBatch>>>,
    /// Partitions that records without a key go to.
    available: Vec<u32>,
    sticky: Option<u32>,
}

#[derive(Debug)]
struct State {
    topics: Vec<Topic>,
    by_name: HashMap<String, usize>,
    last: usize,
    used: usize,
    blocked: bool,
    closed: bool,
    random: u64,
    thread: Option<ThreadId>,
    wake: Option<Py<PyAny>>,
}

/// The open batches of a producer, by topic and partition.
#[pyclass(frozen, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct Accumulator {
    batch_size: usize,
    max_record: usize,
    buffer_memory: usize,
    state: Mutex<State>,
}

/// Why a record is not taken.
#[derive(Debug, Clone, Copy)]
enum Reason {
    Closed = 0,
    Topic = 1,
    Partition = 2,
    TooLarge = 3,
    Room = 4,
    Batch = 5,
    Turn = 6,
}

impl Reason {
    fn err(self, partition: i64) -> PyErr {
        NotYet::new_err((self as u8, partition))
    }
}

/// One record on its way into a batch.
struct Parcel<'a> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: &'a [Header],
    timestamp: i64,
    callback: Option<&'a Py<PyAny>>,
}

impl Parcel<'_> {
    /// Upper bound of its bytes in a batch.
    fn size(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| 10 + name.len() + value.as_ref().map_or(0, |value| value.len()))
            .sum();
        RECORD_OVERHEAD + self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + headers
    }
}

impl State {
    fn find(&mut self, topic: &Bound<'_, PyString>) -> PyResult<Option<usize>> {
        if let Some(last) = self.topics.get(self.last)
            && last.name.as_ptr() == topic.as_ptr()
        {
            return Ok(Some(self.last));
        }
        let found = self.by_name.get(topic.to_str()?).copied();
        if let Some(index) = found {
            self.last = index;
            // The same string object comes again, most likely.
            self.topics[index].name = topic.clone().unbind();
        }
        Ok(found)
    }

    /// The next of a sequence of numbers that are random enough to spread records (xorshift64).
    fn draw(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        ((self.random >> 33) as usize) % below.max(1)
    }

    fn choose(&mut self, topic: usize, key: Option<&[u8]>, given: Option<i64>) -> Result<usize, Reason> {
        let count = self.topics[topic].open.len();
        if let Some(given) = given {
            return usize::try_from(given)
                .ok()
                .filter(|index| *index < count)
                .ok_or(Reason::Partition);
        }
        if let Some(key) = key {
            return Ok(partitioner::partition_of_key(key, count as u32) as usize);
        }
        if let Some(sticky) = self.topics[topic].sticky {
            return Ok(sticky as usize);
        }
        let drawn = self.draw(self.topics[topic].available.len());
        let chosen = self.topics[topic].available.get(drawn).copied();
        self.topics[topic].sticky = chosen;
        chosen.map(|index| index as usize).ok_or(Reason::Topic)
    }

    /// The next record without a key goes to another partition than this one.
    fn move_on(&mut self, topic: usize, partition: usize) {
        if self.topics[topic].sticky != Some(partition as u32) {
            return;
        }
        let others = self.topics[topic].available.len();
        let drawn = self.draw(others.saturating_sub(1).max(1));
        let topic = &mut self.topics[topic];
        topic.sticky = topic
            .available
            .iter()
            .copied()
            .filter(|index| others < 2 || *index != partition as u32)
            .nth(drawn);
    }
}

impl Accumulator {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a record in: its batch, its index, and whether the batch is full now.
    fn take(
        &self,
        py: Python<'_>,
        topic: &Bound<'_, PyString>,
        given: Option<i64>,
        parcel: &Parcel<'_>,
        queued: bool,
    ) -> PyResult<(Py<RecordBatch>, u32, bool)> {
        let mut state = self.lock();
        if state.closed {
            return Err(Reason::Closed.err(-1));
        }
        if let Some(owner) = state.thread
            && owner != thread::current().id()
        {
            return Err(PyRuntimeError::new_err(
                "an AsyncProducer belongs to the thread of its event loop; Producer may be used from any",
            ));
        }
        let size = parcel.size();
        if size + HEADER_SIZE > self.max_record {
            return Err(Reason::TooLarge.err(size as i64));
        }
        let Some(at) = state.find(topic)? else {
            return Err(Reason::Topic.err(-1));
        };
        if state.blocked && !queued {
            return Err(Reason::Turn.err(-1));
        }
        let wrong = |reason: Reason| reason.err(given.unwrap_or(-1));
        let mut index = state.choose(at, parcel.key, given).map_err(wrong)?;
        if state.used > 0 && state.used + size > self.buffer_memory {
            return Err(Reason::Room.err(index as i64));
        }
        let mut full = false;
        if given.is_none() && parcel.key.is_none() && self.is_full(py, &state.topics[at], index, size) {
            full = true;
            state.move_on(at, index);
            index = state.choose(at, None, None).map_err(wrong)?;
        }
        let Some(slot) = &state.topics[at].open[index] else {
            return Err(Reason::Batch.err(index as i64));
        };
        let mut batch = slot.borrow_mut(py);
        let there = batch.bytes();
        if batch.is_shut() || there > HEADER_SIZE && there + size > self.batch_size {
            return Err(Reason::Batch.err(index as i64));
        }
        let headers = parcel
            .headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_deref()));
        let callback = parcel.callback.map(|callback| callback.clone_ref(py));
        let place = batch
            .push(parcel.timestamp, parcel.key, parcel.value, headers, callback)
            .into_py_result(py)?;
        let now = batch.bytes();
        let filled = now >= self.batch_size;
        if filled {
            batch.shut();
        }
        drop(batch);
        let taken = slot.clone_ref(py);
        state.used += now - there;
        if filled {
            state.move_on(at, index);
        }
        Ok((taken, place, full || filled))
    }

    /// Whether the open batch of a partition has no room for so many bytes more; it is shut then.
    fn is_full(&self, py: Python<'_>, topic: &Topic, index: usize, size: usize) -> bool {
        let Some(Some(slot)) = topic.open.get(index) else {
            return false;
        };
        let mut batch = slot.borrow_mut(py);
        if batch.bytes() > HEADER_SIZE && batch.bytes() + size > self.batch_size {
            batch.shut();
            return true;
        }
        false
    }

    fn wake(&self, py: Python<'_>) -> PyResult<()> {
        let wake = self.lock().wake.as_ref().map(|wake| wake.clone_ref(py));
        wake.map_or(Ok(()), |wake| wake.call0(py).map(drop))
    }
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
        py: Python<'_>,
        topic: &Bound<'_, PyString>,
        values: &Bound<'_, PyList>,
        keys: Option<&Bound<'_, PyList>>,
        headers: &Bound<'_, PyAny>,
        partition: Option<i64>,
        timestamp_ms: Option<i64>,
        start: usize,
        stop: usize,
    ) -> PyResult<(usize, Option<(u8, i64)>, Vec<(Py<PyAny>, u32, u32)>)> {
        let headers = headers_of(headers)?;
        let timestamp = timestamp_ms.map_or_else(now_ms, Ok)?;
        let none = py.None().into_bound(py);
        let mut runs: Vec<(Py<PyAny>, u32, u32)> = Vec::new();
        let mut wake = false;
        let mut at = start;
        let mut why = None;
        while at < stop.min(values.len()) {
            let value = values.get_item(at)?;
            let key = keys.map_or_else(|| Ok(none.clone()), |keys| keys.get_item(at))?;
            let value = Payload::of(&value, "value")?;
            let key = Payload::of(&key, "key")?;
            let parcel = Parcel {
                key: key.bytes(),
                value: value.bytes(),
                headers: &headers,
                timestamp,
                callback: None,
            };
            match self.take(py, topic, partition, &parcel, false) {
                Ok((batch, index, full)) => {
                    wake |= full;
                    match runs.last_mut() {
                        Some((last, first, count))
                            if last.as_ptr() == batch.as_ptr() && *first + *count == index =>
                        {
                            *count += 1;
                        }
                        _ => runs.push((batch.into_any(), index, 1)),
                    }
                }
                Err(error) if error.is_instance_of::<NotYet>(py) => {
                    why = Some(error.value(py).getattr("args")?.extract()?);
                    break;
                }
                Err(error) => return Err(error),
            }
            at += 1;
        }
        if wake {
            self.wake(py)?;
        }
        Ok((at, why, runs))
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
