//! Where a record goes: its partition, the open batch there, and why it is not taken.
//!
//! Nothing here calls Python while the lock is held, and the lock is only taken with the GIL held, so it is
//! never waited for.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use fastlog_core::batch::HEADER_SIZE;
use fastlog_core::partitioner;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::accumulator::{Accumulator, NotYet};
use crate::errors::IntoPyResult;
use crate::producing::RecordBatch;

/// Bytes of most that a record takes beside its key, value and headers.
const RECORD_OVERHEAD: usize = 21;

/// A topic, as far as a producer knows it.
#[derive(Debug)]
pub struct Topic {
    pub name: Py<PyString>,
    /// The batch of each partition that takes records.
    pub open: Vec<Option<Py<RecordBatch>>>,
    /// Partitions that records without a key go to.
    pub available: Vec<u32>,
    pub sticky: Option<u32>,
}

/// What the lock protects.
#[derive(Debug)]
pub struct State {
    pub topics: Vec<Topic>,
    pub by_name: HashMap<String, usize>,
    pub last: usize,
    pub used: usize,
    pub blocked: bool,
    pub closed: bool,
    pub random: u64,
    pub thread: Option<ThreadId>,
    pub wake: Option<Py<PyAny>>,
}

/// Why a record is not taken.
#[derive(Debug, Clone, Copy)]
pub enum Reason {
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
#[derive(Debug)]
pub struct Parcel<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
    pub timestamp: i64,
    pub callback: Option<&'a Py<PyAny>>,
}

impl Parcel<'_> {
    /// Upper bound of its bytes in a batch.
    fn size(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| 10 + name.len() + value.map_or(0, <[u8]>::len))
            .sum();
        RECORD_OVERHEAD + self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + headers
    }
}

impl State {
    /// The index of a topic, if it is known.
    pub fn find(&mut self, topic: &Bound<'_, PyString>) -> PyResult<Option<usize>> {
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
    pub fn move_on(&mut self, topic: usize, partition: usize) {
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
    /// The state, which nobody holds while Python runs.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a record in: its batch, its index, and whether the batch is full now.
    pub fn take(
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
        let headers = parcel.headers.iter().copied();
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

    /// Tells the sender that a batch is full.
    pub fn wake(&self, py: Python<'_>) -> PyResult<()> {
        let wake = self.lock().wake.as_ref().map(|wake| wake.clone_ref(py));
        wake.map_or(Ok(()), |wake| wake.call0(py).map(drop))
    }
}
