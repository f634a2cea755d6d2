//! `Receiver`: the sockets of connections, from which requests are read, executed and answered in one call.

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use fastlog_core::readiness::{self, Readiness};
use fastlog_core::wire;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::frame::{Frame, FrameReader, ReceiveError};
use crate::settled::{Owner, SettledTable};

/// Logs that are looked for among those that were appended to: of the others, each append is told.
const FEW: usize = 16;

/// One connection.
#[derive(Debug)]
struct Watched {
    connection: Py<PyAny>,
    reader: Py<FrameReader>,
    /// Nothing else of it is in work, waits or is unsent.
    free: bool,
    /// When something came last that Python was not told of.
    heard: Option<Instant>,
}

/// What came of one connection.
enum Came {
    /// All of it is done.
    Done,
    /// Frames that are left, and bytes of answers to those before them that the socket has not taken.
    Left(Vec<wire::Frame>, Vec<u8>),
    /// The peer has ended, or the socket failed: asyncio is to find out.
    Ended,
    /// What came is no frame, or what became of it is not known.
    Broken(PyErr),
}

/// What is counted over all connections.
#[derive(Default)]
struct Sum {
    received: usize,
    sent: usize,
    record_bytes: usize,
    /// The latest end of each log.
    appended: Vec<(Owner, i64)>,
    seconds: Vec<f64>,
}

impl Sum {
    fn note(&mut self, owner: Owner, end_offset: i64) {
        let known = self.appended.iter_mut().rev().take(FEW);
        match known.into_iter().find(|(known, _)| Owner::ptr_eq(known, &owner)) {
            Some((_, end)) => *end = end_offset.max(*end),
            None => self.appended.push((owner, end_offset)),
        }
    }
}

/// The sockets from which requests are read, without a call of Python for those about which everything is settled.
#[pyclass(module = "fastlog.native._core")]
#[derive(Debug)]
pub struct Receiver {
    sockets: Readiness,
    watched: HashMap<RawFd, Watched>,
}

#[pymethods]
impl Receiver {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self {
            sockets: Readiness::new()?,
            watched: HashMap::new(),
        })
    }

    fn __len__(&self) -> usize {
        self.watched.len()
    }

    fn fileno(&self) -> RawFd {
        self.sockets.fileno()
    }

    fn watch(&mut self, fd: RawFd, connection: Py<PyAny>, reader: Py<FrameReader>) -> PyResult<()> {
        if self.watched.contains_key(&fd) {
            return Err(PyValueError::new_err("the socket is watched already"));
        }
        self.sockets.add(fd)?;
        let watched = Watched {
            connection,
            reader,
            free: false,
            heard: None,
        };
        self.watched.insert(fd, watched);
        Ok(())
    }

    fn leave(&mut self, fd: RawFd) {
        if self.watched.remove(&fd).is_some() {
            // Fails only for one that is closed, and that is out of it by that.
            let _ = self.sockets.remove(fd);
        }
    }

    fn free(&mut self, fd: RawFd) {
        if let Some(watched) = self.watched.get_mut(&fd) {
            watched.free = true;
        }
    }

    fn hold(&mut self, fd: RawFd) {
        if let Some(watched) = self.watched.get_mut(&fd) {
            watched.free = false;
        }
    }

    fn heard<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let found = PyList::empty(py);
        for watched in self.watched.values_mut() {
            if let Some(heard) = watched.heard.take() {
                found.append((&watched.connection, heard.elapsed().as_secs_f64()))?;
            }
        }
        Ok(found)
    }

    #[pyo3(signature = (table, most_seconds))]
    fn receive(
        &mut self,
        py: Python<'_>,
        table: Option<Bound<'_, SettledTable>>,
        most_seconds: f64,
    ) -> PyResult<Received> {
        let began = Instant::now();
        let most = Duration::try_from_secs_f64(most_seconds).unwrap_or_default();
        let mut table = table.as_ref().map(Bound::borrow_mut);
        let (left, mut sum) = (PyList::empty(py), Sum::default());
        for fd in self.sockets.look()? {
            let Some(watched) = self.watched.get_mut(&fd) else {
                continue;
            };
            let table = table.as_deref_mut().filter(|_| watched.free);
            let (frames, unsent, error) = match watched.receive(py, fd, table, &mut sum, most) {
                Came::Done => {
                    watched.heard = Some(Instant::now());
                    continue;
                }
                Came::Left(frames, unsent) => (Some(frames), unsent, None),
                Came::Ended => (None, Vec::new(), None),
                Came::Broken(error) => (None, Vec::new(), Some(error.into_value(py))),
            };
            watched.free = false;
            let frames: Option<Vec<Frame>> =
                frames.map(|frames| frames.into_iter().map(Frame::from).collect());
            left.append((&watched.connection, frames, PyBytes::new(py, &unsent), error))?;
            if began.elapsed() > most {
                break;
            }
        }
        let appended = sum
            .appended
            .iter()
            .map(|(owner, end)| (owner.clone_ref(py), *end));
        let appended = PyList::new(py, appended.collect::<Vec<_>>())?;
        Ok(Received {
            bytes_in: sum.received,
            bytes_out: sum.sent,
            record_bytes: sum.record_bytes,
            appended: appended.unbind(),
            seconds: PyList::new(py, sum.seconds)?.unbind(),
            left: left.unbind(),
        })
    }
}

impl Watched {
    fn receive(
        &self,
        py: Python<'_>,
        fd: RawFd,
        table: Option<&mut SettledTable>,
        sum: &mut Sum,
        most: Duration,
    ) -> Came {
        let began = Instant::now();
        let mut reader = self.reader.borrow_mut(py);
        let received = match reader.receive(py, fd) {
            Ok(Some(0)) | Err(ReceiveError::Socket) => return Came::Ended,
            Ok(Some(received)) => received,
            Ok(None) => return Came::Done,
            Err(ReceiveError::Other(error)) => return Came::Broken(error),
        };
        sum.received += received;
        let mut frames = match reader.take(py, received) {
            Ok(frames) => frames,
            Err(error) => return Came::Broken(error),
        };
        let is_partial = reader.buffered() > 0;
        let mut unsent = Vec::new();
        if let Some(table) = table.filter(|_| !frames.is_empty()) {
            let table = table.inner();
            let (served, sent) = py.detach(|| {
                let served = table.produce(&frames, most);
                let sent = if served.answers.is_empty() {
                    Ok(Some(0))
                } else {
                    readiness::send(fd, &served.answers)
                };
                (served, sent)
            });
            // A socket that fails is left to asyncio, which finds that out with the first byte.
            let sent = sent.ok().flatten().unwrap_or(0);
            sum.sent += sent;
            unsent.extend_from_slice(&served.answers[sent..]);
            let until_now = began.elapsed();
            let seconds = served
                .taken_up
                .iter()
                .map(|at| until_now.saturating_sub(*at).as_secs_f64());
            sum.seconds.extend(seconds);
            sum.record_bytes += served.record_bytes;
            for (owner, end_offset) in served.appended {
                sum.note(owner, end_offset);
            }
            if let Some(failure) = served.failure {
                return Came::Broken(PyRuntimeError::new_err(failure.to_string()));
            }
            frames.drain(..served.requests);
        }
        if frames.is_empty() && unsent.is_empty() && !is_partial && self.free {
            return Came::Done;
        }
        Came::Left(frames, unsent)
    }
}

/// What `Receiver.receive` has read.
#[pyclass(frozen, get_all, module = "fastlog.native._core")]
#[derive(Debug)]
pub struct Received {
    bytes_in: usize,
    bytes_out: usize,
    record_bytes: usize,
    appended: Py<PyList>,
    seconds: Py<PyList>,
    left: Py<PyList>,
}
