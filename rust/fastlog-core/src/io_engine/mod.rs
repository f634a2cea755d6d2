//! Threads that do the blocking work of the broker: appends, reads and fdatasync, without any interpreter.
//!
//! A job is submitted under a token; its result comes back through one completion queue whose eventfd
//! wakes the event loop. Every accepted token comes back exactly once, also when its job panics or the
//! engine closes. Jobs run in any order: whoever needs order waits for the earlier result.
//!
//! Appends and flushes have threads of their own, reads and sends others: a slow consumer of cold data, or many
//! of them, must not keep producers waiting.

mod append;
mod committer;
mod completions;
mod fetch;
#[cfg(test)]
mod job_tests;
mod outcome;
mod pool;
mod produce;
mod replicate;
#[cfg(test)]
mod replicate_tests;
mod response;
#[cfg(test)]
mod response_tests;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;

use completions::CompletionQueue;
use pool::WorkerPool;

pub use append::{AppendContent, AppendJob, AppendRow};
pub use committer::{Committer, Durable};
pub use fetch::{FetchJob, FetchOutcome, FetchRow, FetchedRow};
pub use outcome::{Completion, Failure, Outcome};
pub use pool::Closed;
pub(crate) use produce::ZSTD_SINCE;
pub use produce::{ProduceJob, ProduceRowOutcome, ProduceTarget};
pub use replicate::{ReplicateJob, ReplicateOutcome, ReplicateRow, Trouble};
pub use response::Response;

/// More disks than this rarely stand behind one broker, and each committer thread is idle most of the time.
const MAX_COMMIT_THREADS: usize = 4;

/// The threads and the queue of their results. Dropping it closes it.
#[derive(Debug)]
pub struct IoEngine {
    completions: Arc<CompletionQueue<Outcome>>,
    writers: WorkerPool,
    readers: WorkerPool,
    committer: Committer,
}

impl IoEngine {
    /// Starts `threads` threads (at least one) that write, as many that read, and those of the group commit.
    pub fn new(threads: usize) -> io::Result<Self> {
        Ok(Self {
            completions: Arc::new(CompletionQueue::new()?),
            writers: WorkerPool::new("fastlog-write", threads)?,
            readers: WorkerPool::new("fastlog-read", threads)?,
            committer: Committer::new(threads.clamp(1, MAX_COMMIT_THREADS))?,
        })
    }

    /// Runs `job`, which writes to logs; its outcome comes back under `token`.
    pub fn write(&self, token: u64, job: impl FnOnce() -> Outcome + Send + 'static) -> Result<(), Closed> {
        self.submit(&self.writers, token, job)
    }

    /// Runs `job`, which reads from logs; its outcome comes back under `token`.
    pub fn read(&self, token: u64, job: impl FnOnce() -> Outcome + Send + 'static) -> Result<(), Closed> {
        self.submit(&self.readers, token, job)
    }

    fn submit(
        &self,
        pool: &WorkerPool,
        token: u64,
        job: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Result<(), Closed> {
        pool.submit(|| {
            let completion = self.completion(token);
            Box::new(move || match catch(job) {
                Ok(outcome) => completion.finish(outcome),
                Err(failure) => completion.finish(Outcome::Failed(failure)),
            })
        })
    }

    /// Sends `response` from position `from` on, as [`Response::send`] does.
    pub fn send(
        &self,
        token: u64,
        socket: Arc<OwnedFd>,
        response: Arc<Response>,
        from: usize,
    ) -> Result<(), Closed> {
        self.read(token, move || match response.send(&socket, from) {
            Ok(position) => Outcome::Sent(position),
            Err(error) => Outcome::Failed(Failure::from(error)),
        })
    }

    /// Reads at most `most` bytes of `response` from position `from` on, as [`Response::read`] does.
    pub fn copy(&self, token: u64, response: Arc<Response>, from: usize, most: usize) -> Result<(), Closed> {
        self.read(token, move || match response.read(from, most) {
            Ok(bytes) => Outcome::Copied(bytes),
            Err(error) => Outcome::Failed(Failure::from(error)),
        })
    }

    /// Makes the appends of `log` durable together with those of everybody else who waits for it.
    pub fn commit(&self, token: u64, log: Arc<dyn Durable>) -> Result<(), Closed> {
        self.committer.commit(log, || self.completion(token))
    }

    /// Readable while results wait.
    pub fn event_fd(&self) -> RawFd {
        self.completions.event_fd()
    }

    /// Every result that is there, with its token.
    pub fn drain(&self) -> Vec<(u64, Outcome)> {
        self.completions.drain()
    }

    /// Runs what was submitted, then joins the threads. The results can still be drained.
    pub fn close(&self) {
        self.writers.close();
        self.readers.close();
        self.committer.close();
    }

    fn completion(&self, token: u64) -> Completion {
        Completion::new(token, Arc::clone(&self.completions))
    }
}

/// Runs `job`; a panic becomes a failure. What the job shares with others is behind locks that recover
/// from poisoning or report it, so nothing half-done is taken for whole.
fn catch<T>(job: impl FnOnce() -> T) -> Result<T, Failure> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(job))
        .map_err(|panic| Failure::from_panic(panic.as_ref()))
}
